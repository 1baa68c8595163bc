//! Death after, and before, every single write of a run; whoever comes next finds one effect and one record.

use serde_json::json;

use crate::support::objects::NS;
use crate::support::stage::{Stage, until};

/// A run in which the operator dies at its k-th write (leases apart), and another takes over. Whether it died.
async fn dies_at(kth: usize, commits: bool) -> bool {
    let stage = Stage::set().await;
    stage.workload("web", 1);
    stage.scaling("web", &json!({}));
    stage.server.crash("a", kth, commits);
    let first = stage.start("a");
    let done = || stage.status("web")["lastDecision"]["action"] == "Noop" && stage.replicas("web") == 2;
    until("death, or the end of the run", || stage.server.is_silenced("a") || done()).await;
    let died = stage.server.is_silenced("a");
    drop(first);
    stage.expire_lease();
    let _second = stage.start("b");
    until("the second leads", || stage.leader().starts_with("b_")).await;
    until("everything is as it should be", || {
        let record = stage.record();
        done() && !record.results().is_empty() && record.of("intent").len() == record.results().len()
    })
    .await;
    let record = stage.record();
    record.assert_paired();
    let applied = record.results().iter().filter(|r| *r == "applied").count();
    assert_eq!((applied, stage.counts("web")), (1, vec![1, 2]), "death at {kth}, commits: {commits}");
    // The effect is the one that the ledger calls applied.
    let target = stage.server.get("deployments", NS, "web").unwrap();
    let outcomes = record.of("outcome");
    let outcome = outcomes.iter().find(|o| o["outcome"]["result"] == "applied").unwrap();
    assert_eq!(outcome["id"], target["metadata"]["annotations"]["autonomy.matverse.io/decision"]);
    died
}

/// Every write of the run, four runs at a time.
async fn every_write(commits: bool) {
    let mut deaths = 0;
    for first in (1..=8).step_by(4) {
        let runs = (first..first + 4).map(|kth| tokio::spawn(dies_at(kth, commits)));
        for run in futures::future::join_all(runs).await {
            deaths += usize::from(run.unwrap());
        }
    }
    // genesis, epoch, intent, act, outcome, and at least one of status and event
    assert!(deaths >= 6, "only {deaths} writes were died at");
}

#[tokio::test]
async fn death_after_every_write_leaves_one_effect_and_one_record() {
    every_write(true).await;
}

#[tokio::test]
async fn death_before_every_write_leaves_one_effect_and_one_record() {
    every_write(false).await;
}
