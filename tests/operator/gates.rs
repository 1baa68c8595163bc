//! Gates: what they answer, and that the ledger has every change of the answer and nothing twice.

use serde_json::json;

use crate::support::objects::{NS, gate};
use crate::support::stage::{Stage, turns, until};

/// The answers in the ledger, in order.
fn recorded(stage: &Stage) -> Vec<String> {
    let record = stage.record();
    record.of("gate").iter().map(|entry| entry["decision"].as_str().unwrap().to_owned()).collect()
}

fn answer(stage: &Stage) -> String {
    let object = stage.server.get("omegagates", NS, "web").unwrap();
    object["status"]["decision"].as_str().unwrap_or_default().to_owned()
}

/// A gate that wants Ψ ≥ .85, and evidence that gives it .95.
async fn set() -> Stage {
    let stage = Stage::set().await;
    stage.workload("web", 2);
    stage.prometheus.set("demo_psi", 0.95);
    stage.server.put("omegagates", gate("web", &json!({})));
    stage
}

#[tokio::test]
async fn each_change_of_the_answer_is_recorded_once_and_an_invalid_spec_is_one() {
    let stage = set().await;
    let _operator = stage.start("a");
    until("it admits", || recorded(&stage) == ["Admit"]).await;
    stage.prometheus.set("demo_psi", 0.5);
    until("it blocks", || recorded(&stage) == ["Admit", "Block"]).await;
    until("and says so", || answer(&stage) == "Block").await;
    let status = stage.server.get("omegagates", NS, "web").unwrap()["status"].clone();
    assert_eq!(status["ledger"]["decision"], "Block");
    turns(3).await;
    stage
        .server
        .edit("omegagates", NS, "web", |g| g["spec"]["evidence"]["profile"] = json!("nobody-wrote-it"));
    until("it knows nothing", || recorded(&stage) == ["Admit", "Block", "Unknown"]).await;
    let record = stage.record();
    let entry = record.of("gate")[2].clone();
    assert!(entry["reason"].as_str().unwrap().contains("nobody-wrote-it"), "{entry}");
}

#[tokio::test]
async fn an_answer_that_could_not_be_recorded_is_recorded_after_a_restart() {
    let stage = set().await;
    let first = stage.start("a");
    until("it admits", || recorded(&stage) == ["Admit"]).await;
    until("and says so", || answer(&stage) == "Admit").await;
    first.stop().await;
    stage.take_key();
    stage.prometheus.set("demo_psi", 0.5);
    let second = stage.start("b");
    until("it blocks", || answer(&stage) == "Block").await;
    assert_eq!(recorded(&stage), ["Admit"], "nothing can be recorded without a key");
    second.stop().await;
    stage.give_key();
    let _third = stage.start("c");
    until("it is recorded after all", || recorded(&stage) == ["Admit", "Block"]).await;
    turns(3).await;
    assert_eq!(recorded(&stage).len(), 2);
}

#[tokio::test]
async fn evidence_that_goes_takes_the_admission_with_it() {
    let stage = set().await;
    let _operator = stage.start("a");
    until("it admits", || recorded(&stage) == ["Admit"]).await;
    stage.prometheus.down(true);
    until("it does no more", || answer(&stage) == "Unknown").await;
    stage.prometheus.down(false);
    until("and admits again", || recorded(&stage) == ["Admit", "Unknown", "Admit"]).await;
}
