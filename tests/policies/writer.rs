//! The operator's own code under the policies: its proof that they stand, and a ledger that is founded, led anew,
//! sealed, exported and trimmed without a refusal.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use matverse::ledger::configmaps::ConfigMaps;
use matverse::ledger::keys::Signer;
use matverse::ledger::statement::Note;
use matverse::ledger::store::{Store, StoreError};
use matverse::ledger::verify::{Request, Saved, Signatures, Verdict, verify};
use matverse::ledger::{Ledger, Settings};
use matverse::operator::policies::{Unproven, prove};
use serde_json::json;

use crate::cluster::{Cluster, Who};
use crate::story::{MARK, living, living_ledger, shop};

const ORIGIN: &str = "test/main";

pub async fn lives(cluster: &Cluster) {
    let (namespace, client) = (living_ledger(), cluster.client_of(Who::Writer));
    // Nothing guards the shop's ConfigMaps from being created.
    let unguarded = prove(&client, &shop()).await;
    assert!(matches!(unguarded, Err(Unproven::Missing(_))), "{unguarded:?}");
    let gone = prove(&client, "no-such-namespace").await;
    assert!(matches!(gone, Err(Unproven::Missing(_))), "{gone:?}");
    let without_rights = prove(&cluster.client_of(Who::Author), &shop()).await;
    assert!(matches!(without_rights, Err(Unproven::Unclear(_))), "{without_rights:?}");
    for round in 0.. {
        match prove(&client, &namespace).await {
            Ok(policy) => {
                assert_eq!(policy, format!("{}-matverse-autonomy-worm", living()));
                break;
            }
            Err(why) => assert!(round < 300, "{why}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let store = Arc::new(ConfigMaps::new(client, &namespace));
    let signer = Signer::generate(ORIGIN).unwrap();
    let settings = Settings { tail_bytes: 8192, ..Settings::immediate() };
    let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    for epoch in 1..=3 {
        let opened = Ledger::open_with(store.clone(), signer.clone(), ORIGIN, settings.clone(), now);
        let (ledger, recovery) = opened.await.unwrap();
        assert_eq!(recovery.epoch, epoch);
        // One by one, and all at once.
        let note = || Note { topic: "test".into(), message: "x".repeat(500), ..Note::default() };
        for _ in 0..6 {
            ledger.note(note(), now).await.unwrap();
        }
        for answer in futures::future::join_all((0..12).map(|_| ledger.note(note(), now))).await {
            answer.unwrap();
        }
    }
    let all = store.list().await.unwrap();
    let segments: Vec<&str> = all.iter().map(|o| o.name.as_str()).filter(|n| n.starts_with("seg-")).collect();
    assert!(segments.len() >= 3, "{segments:?}");
    let objects = all.iter().filter(|o| o.name != "kube-root-ca.crt").map(|o| Saved {
        name: o.name.clone(),
        namespace: Some(namespace.clone()),
        immutable: o.immutable,
        data: o.data.clone(),
    });
    let report = verify(&Request {
        objects: objects.collect(),
        keys: vec![signer.verifier().clone()],
        since: None,
        now: None,
        signatures: Signatures::All,
    });
    assert_eq!(report.verdict, Verdict::Good, "{:#?}", report.findings);

    let first = store.get(segments[0]).await.unwrap();
    let early = store.delete(&first.name, &first.uid, &first.resource_version).await;
    assert!(matches!(early, Err(StoreError::Denied(_))), "{early:?}");
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/{}", first.name);
    let mark = json!({"metadata": {"annotations": {MARK: "true"}}});
    cluster.send(Who::Marker, "MERGE", &path, Some(&mark)).await.unwrap();
    let marked = store.get(&first.name).await.unwrap();
    store.delete(&marked.name, &marked.uid, &marked.resource_version).await.unwrap();
    println!("a ledger of {} segments was written under the policies", segments.len());
}
