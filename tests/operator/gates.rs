//! Gates: what they answer, and that the ledger has every change of the answer and nothing twice.

use serde_json::json;

use crate::support::objects::{NS, gate, scaling};
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

#[tokio::test]
async fn a_rollback_hardens_admission_is_measured_and_recorded_once_also_over_a_restart() {
    let stage = Stage::set().await;
    stage.workload("web", 2);
    stage.prometheus.set("demo_psi", 0.95);
    stage.prometheus.set("demo_omega", 0.86);
    let learns = json!({"antifragile": {"learn": true}, "cooldownSeconds": 0,
        "evidence": {"signals": [{"name": "omega", "query": "demo_omega"}]}});
    stage.server.put("omegagates", gate("web", &learns));
    let mut rolled = scaling("web", &json!({"gateRef": {"name": "web"}}));
    let now = jiff::Timestamp::now().to_string();
    rolled["status"] =
        json!({"rollback": {"lastTime": now, "countToday": 1, "times": [now], "badRevisions": []}});
    stage.server.put("matversescalings", rolled);
    let first = stage.start("a");
    until("it asks for more than the spec", || answer(&stage) == "Quarantine").await;
    let rollbacks = || {
        let record = stage.record();
        let notes = record.of("note").into_iter();
        notes.filter(|note| note["topic"] == "rollback").cloned().collect::<Vec<_>>()
    };
    until("the rollback is recorded", || rollbacks().len() == 1).await;
    let message: serde_json::Value =
        serde_json::from_str(rollbacks()[0]["message"].as_str().unwrap()).unwrap();
    assert_eq!((&message["timestamp"], &message["omega_old"]), (&json!(now), &json!(null)));
    assert_eq!((&message["omega_new"], &message["antifragile_gain"]), (&json!(0.86), &json!(null)));
    let status = || stage.server.get("omegagates", NS, "web").unwrap()["status"].clone();
    until("and no more to be measured", || status()["learned"]["settling"].is_null()).await;
    assert_eq!(status()["rollbacks"], 1);
    assert!((status()["learned"]["omegaMin"].as_f64().unwrap() - 0.87).abs() < 1e-3);
    first.stop().await;
    let _second = stage.start("b");
    turns(3).await;
    assert_eq!(
        (rollbacks().len(), &status()["rollbacks"], answer(&stage).as_str()),
        (1, &json!(1), "Quarantine")
    );
}

#[tokio::test]
async fn what_a_gate_steers_waits_until_it_is_known_to_be_calm() {
    let stage = set().await;
    stage.server.edit("omegagates", NS, "web", |g| g["spec"]["steer"] = json!({}));
    stage.scaling(
        "web",
        &json!({"gateRef": {"name": "web"}, "minReplicas": 1,
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}),
    );
    let operator = stage.start("a");
    until("it waits for calm", || stage.status("web")["lastDecision"]["why"] == "Steer:Unknown").await;
    assert_eq!(stage.replicas("web"), 2);
    assert!(!operator.metrics().await.contains("wiltonos"), "nothing is known of it");
    stage.server.edit("omegagates", NS, "web", |g| g["spec"]["steer"] = json!(null));
    until("which nobody asks for any more", || stage.replicas("web") == 1).await;
}
