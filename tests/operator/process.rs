//! The process: who leads, who waits, and how it ends.

use std::sync::Arc;

use axum::http::Method;
use matverse::ledger::configmaps::ConfigMaps;
use matverse::ledger::{Ledger, Settings};
use matverse::operator::run::Ended;
use serde_json::json;

use crate::support::api_server::{Fault, Planned};
use crate::support::objects::NS;
use crate::support::record::LEDGER;
use crate::support::stage::{ORIGIN, Stage, turns, until};

#[tokio::test]
async fn a_standby_touches_nothing_and_takes_over_when_the_leader_stops() {
    let stage = Stage::set().await;
    stage.workload("web", 1);
    stage.scaling("web", &json!({}));
    let first = stage.start("a");
    until("the first leads and acts", || stage.replicas("web") == 2).await;
    assert!(stage.leader().starts_with("a_"), "{}", stage.leader());
    let second = stage.start("b");
    turns(3).await;
    assert!(stage.server.history().iter().all(|w| w.who == "a"), "a standby wrote");
    assert_eq!(second.ready().await.0, 200, "a standby is ready");
    assert_eq!(first.stop().await, Ended::Stopped);
    until("the second leads", || stage.leader().starts_with("b_")).await;
    stage.server.edit("matversescalings", NS, "web", |m| m["spec"]["minReplicas"] = json!(3));
    until("the second acts", || stage.replicas("web") == 3).await;
    until("both acts are recorded", || stage.record().results() == ["applied", "applied"]).await;
    let record = stage.record();
    record.assert_paired();
    assert_eq!(record.of("epoch").len(), 2, "each leader has its epoch");
    assert_eq!(stage.counts("web"), [1, 2, 3]);
}

/// Somebody appends with our key although we hold the lease: the writer steps down, no act is made on a lost ledger, and
/// a new epoch takes over from theirs.
#[tokio::test]
async fn a_ledger_that_another_took_is_opened_anew_while_we_lead() {
    let stage = Stage::set().await;
    stage.workload("web", 1);
    stage.scaling("web", &json!({}));
    let _operator = stage.start("a");
    until("it leads and acts", || stage.record().results() == ["applied"]).await;
    let store = Arc::new(ConfigMaps::new(stage.server.client("stranger"), LEDGER));
    let theirs =
        Ledger::open_with(store, stage.signer.clone(), ORIGIN, Settings::immediate(), jiff::Timestamp::now());
    drop(theirs.await.unwrap());
    stage.server.edit("matversescalings", NS, "web", |m| m["spec"]["minReplicas"] = json!(3));
    until("it acts again", || stage.replicas("web") == 3).await;
    until("both acts are recorded", || stage.record().results() == ["applied", "applied"]).await;
    let record = stage.record();
    record.assert_paired();
    assert_eq!(record.of("epoch").len(), 3);
    assert_eq!(stage.counts("web"), [1, 2, 3]);
}

#[tokio::test]
async fn a_stop_in_the_middle_of_an_act_loses_nothing() {
    let stage = Stage::set().await;
    stage.workload("web", 1);
    // The act is done, and its answer never comes.
    stage.server.plan(Planned::at(Method::PATCH, "deployments", Fault::LoseAnswer));
    stage.scaling("web", &json!({}));
    let operator = stage.start("a");
    until("the act is under way", || !stage.acts("web").is_empty()).await;
    assert_eq!(operator.stop().await, Ended::Stopped);
    let record = stage.record();
    record.assert_paired();
    assert_eq!((record.results(), stage.counts("web")), (vec!["applied".to_owned()], vec![1, 2]));
    assert_eq!(stage.leader(), "", "the lease is free");
}

#[tokio::test]
async fn a_server_in_trouble_does_not_end_the_loop() {
    let stage = Stage::set().await;
    stage.workload("web", 1);
    for plural in ["deployments", "configmaps", "matversescalings"] {
        stage.server.plan(Planned::at(Method::GET, plural, Fault::Reject(500)));
    }
    stage.server.plan(Planned::at(Method::PATCH, "matversescalings", Fault::Reject(503)).times(2));
    stage.server.plan(Planned::at(Method::POST, "events", Fault::Reject(500)));
    stage.scaling("web", &json!({}));
    let _operator = stage.start("a");
    until("it acts all the same", || stage.replicas("web") == 2).await;
    until("and says so", || stage.condition("web", "Ready").0 == "True").await;
    assert_eq!(stage.acts("web").len(), 1);
    stage.record().assert_paired();
}

#[tokio::test]
async fn the_content_of_configmaps_and_secrets_is_never_listed() {
    let stage = Stage::set().await;
    stage.workload("web", 1);
    stage.scaling("web", &json!({}));
    let _operator = stage.start("a");
    until("it acts", || stage.replicas("web") == 2).await;
    let all = stage.server.collections("configmaps");
    let everywhere: Vec<_> = all.into_iter().filter(|(key, _)| key.namespace != LEDGER).collect();
    assert!(everywhere.len() >= 2, "a list and a watch: {everywhere:?}");
    assert!(everywhere.iter().all(|(_, partial)| *partial), "{everywhere:?}");
    assert_eq!(stage.server.collections("secrets"), []);
}

#[tokio::test]
async fn an_older_ledger_in_the_place_of_a_newer_one_is_noticed_and_nothing_is_done() {
    let stage = Stage::set().await;
    stage.workload("web", 1);
    let first = stage.start("a");
    until("the ledger is open", || stage.appended() >= 2).await;
    let older = stage.server.get("configmaps", LEDGER, "tail").unwrap();
    stage.scaling("web", &json!({}));
    until("an act is recorded", || stage.record().results() == ["applied"]).await;
    assert_eq!(first.stop().await, Ended::Stopped);
    stage.server.put("configmaps", older);
    stage.expire_lease();
    let second = stage.start("b");
    stage.scaling("web", &json!({"minReplicas": 3}));
    let says = |words: &str| stage.status("web").to_string().contains(words);
    until("it says that the ledger is not that one", || says("restored in its place")).await;
    assert!(says("succession"), "the way out");
    let unavailable = ("False".to_owned(), "LedgerRestored".to_owned());
    assert_eq!(stage.condition("web", "LedgerAvailable"), unavailable);
    turns(2).await;
    assert_eq!(stage.replicas("web"), 2);
    assert_eq!(second.stop().await, Ended::Stopped);
}
