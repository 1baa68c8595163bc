//! What an act costs on a real API server: writes, bytes, time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use matverse::decide::situation::{Action, Plan};
use matverse::decide::{Decision, Situation};
use matverse::ledger::configmaps::ConfigMaps;
use matverse::ledger::keys::Signer;
use matverse::ledger::store::{Object, Store, StoreError, Stored};
use matverse::ledger::{Ledger, Outcome, Settings, state};
use serde_json::json;

use crate::turns;

/// Counts writes.
struct Counted(ConfigMaps, AtomicUsize);

#[async_trait]
impl Store for Counted {
    async fn get(&self, name: &str) -> Result<Object, StoreError> {
        self.0.get(name).await
    }
    async fn create(
        &self,
        name: &str,
        data: &BTreeMap<String, String>,
        immutable: bool,
    ) -> Result<Object, StoreError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.create(name, data, immutable).await
    }
    async fn replace(
        &self,
        name: &str,
        version: &str,
        data: &BTreeMap<String, String>,
    ) -> Result<Object, StoreError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.replace(name, version, data).await
    }
    async fn delete(&self, name: &str, uid: &str, version: &str) -> Result<(), StoreError> {
        self.0.delete(name, uid, version).await
    }
    async fn segments(&self) -> Result<Vec<Stored>, StoreError> {
        self.0.segments().await
    }
    async fn list(&self) -> Result<Vec<Object>, StoreError> {
        self.0.list().await
    }
}

/// Bytes that etcd has written to its log, where `ETCD_METRICS` names its metrics.
async fn wal() -> Option<f64> {
    let url = std::env::var("ETCD_METRICS").ok()?;
    let text = reqwest::get(url).await.ok()?.text().await.ok()?;
    let line = text.lines().find(|line| line.starts_with("etcd_disk_wal_write_bytes_total "))?;
    line.split(' ').nth(1)?.parse().ok()
}

/// A warm situation of four signals on a target of its own, and a plan on it.
fn decided(pilot: &mut matverse::simulate::Pilot, feed: &mut turns::Feed, n: usize) -> (Situation, Decision) {
    let mut situation = pilot.orient(feed.next());
    let mut decision = pilot.decide(&situation);
    std::sync::Arc::make_mut(&mut situation.object).target = format!("web-{n}");
    let from = situation.observed.workload.as_ref().map_or(1, |w| w.desired);
    decision.object = situation.object.clone();
    (decision.action, decision.act) = (Action::ScaleUp, true);
    decision.plan = Plan::Scale { from, to: from + 1 };
    (situation, decision)
}

async fn record(ledger: &Ledger, situation: &Situation, decision: Decision) -> [Duration; 2] {
    let post = state::after(situation, &decision.plan).unwrap();
    let began = Instant::now();
    let intended = ledger.intend(situation, decision, Timestamp::now()).await.unwrap();
    let intent = began.elapsed();
    let began = Instant::now();
    let outcome = Outcome::Applied { resource_version: "1".into(), post };
    ledger.conclude(intended.acted(outcome, Timestamp::now())).await.unwrap();
    [intent, began.elapsed()]
}

pub async fn costs() {
    let Some(path) = std::env::var_os("MATVERSE_E2E_KUBECONFIG") else {
        println!("skipped: an act's costs need a cluster (MATVERSE_E2E_KUBECONFIG)");
        return;
    };
    let file = Kubeconfig::read_from(path).unwrap();
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    let client: Client = matverse::operator::client::with(config).unwrap();
    let name = format!("ledger-bench-{}", std::process::id());
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let store = Arc::new(Counted(ConfigMaps::new(client, &name), AtomicUsize::new(0)));
    let signer = Signer::from_seed("bench/main", &[1; 32]).unwrap();
    let door: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
    // As it is shipped: lingering, five writes a second; and without either, for the bare append.
    let bare = Settings { linger: Duration::ZERO, slots: 100_000, ..Settings::default() };
    let (ledger, _) =
        Ledger::open_with(door, signer.clone(), "bench/main", bare, Timestamp::now()).await.unwrap();
    let (mut pilot, mut feed) = turns::pilot();
    (0..200).for_each(|_| drop(pilot.turn(feed.next())));

    let acts = 200;
    let (writes, before) = (store.1.load(Ordering::Relaxed), wal().await);
    let mut took = Vec::new();
    for n in 0..acts {
        let (situation, decision) = decided(&mut pilot, &mut feed, n);
        took.extend(record(&ledger, &situation, decision).await);
    }
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("one after the other, {acts} acts:");
    println!("  append p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99));
    let writes = store.1.load(Ordering::Relaxed) - writes;
    println!(
        "  {:.2} API writes an act for the ledger (its target's own write apart)",
        writes as f64 / acts as f64
    );
    if let (Some(before), Some(after)) = (before, wal().await) {
        println!("  {:.1} KiB of etcd's log an append", (after - before) / 1024.0 / (2 * acts) as f64);
    }
    drop(ledger);

    let door: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
    let (ledger, _) =
        Ledger::open_with(door, signer, "bench/main", Settings::default(), Timestamp::now()).await.unwrap();
    let (writes, burst) = (store.1.load(Ordering::Relaxed), 1000);
    let all: Vec<_> = (0..burst).map(|n| decided(&mut pilot, &mut feed, acts + n)).collect();
    let began = Instant::now();
    let each = all.into_iter().map(|(situation, decision)| {
        let ledger = ledger.clone();
        async move { record(&ledger, &situation, decision).await }
    });
    futures::future::join_all(each).await;
    println!("a burst of {burst} acts, intents and outcomes, as shipped:");
    println!("  {:.1} s", began.elapsed().as_secs_f64());
    println!("  {:.2} API writes an act", (store.1.load(Ordering::Relaxed) - writes) as f64 / burst as f64);

    let objects = store.list().await.unwrap();
    let bytes: usize = objects.iter().flat_map(|object| object.data.values()).map(String::len).sum();
    let each = bytes / (acts + burst);
    println!(
        "resident: {each} bytes an act; {:.0} MiB a day at 10,000 acts",
        each as f64 * 1e4 / 1_048_576.0
    );
    namespaces.delete(&name, &DeleteParams::default()).await.unwrap();
}
