//! `matverse gate check` against the scripted servers: what it answers from status, from evidence, and when it must
//! not answer; and what a gate with `onFail: Rollback` has the operator do.

use std::collections::BTreeMap;

use jiff::Timestamp;
use matverse::cli::gate::online::{Ask, Failure, ask};
use matverse::cli::gate::{Basis, Verdict};
use matverse::decide::gate::GateAnswer;
use matverse::observe::Signals;
use matverse::operator::config::Config;
use matverse::operator::gate::evidence::Gathered;
use serde_json::{Value, json};

use crate::support::objects::{NS, gate, replica_set};
use crate::support::stage::{Stage, turns, until};

async fn set() -> Stage {
    let stage = Stage::set().await;
    stage.workload("web", 2);
    stage.prometheus.set("demo_psi", 0.95);
    stage.server.put("omegagates", gate("web", &json!({})));
    stage
}

fn signals(stage: &Stage) -> Signals {
    let text = format!(
        "sources: {{default: {{url: '{}', timeoutSeconds: 1}}}}\n\
         profiles: {{gated: {{psi: {{query: 'demo_psi'}}}}}}\n",
        stage.prometheus.url()
    );
    let (sources, profiles) = Config::reading(&text).unwrap();
    Signals::new(&sources, &profiles).unwrap()
}

async fn check(
    stage: &Stage,
    name: &str,
    revision: Option<&str>,
    signals: Option<&Signals>,
) -> Result<Verdict, Failure> {
    let question = Ask { namespace: NS, name, revision, signals, now: Timestamp::now() };
    ask(&stage.server.client("ci"), &question, &mut Gathered::default()).await
}

async fn known(stage: &Stage, revision: Option<&str>, signals: Option<&Signals>) -> Verdict {
    check(stage, "web", revision, signals).await.unwrap()
}

/// What an operator would have written.
fn status(stage: &Stage, change: impl FnOnce(&mut Value)) {
    let now = Timestamp::now().to_string();
    let mut status = json!({
        "observedGeneration": 1, "decision": "Admit", "revision": "7d9f", "samples": 30, "rollbacks": 0,
        "conditions": [{"type": "GatePassed", "status": "True", "reason": "Admit", "lastTransitionTime": now,
            "message": "Admit: all gates hold (30 samples since the rollout)"}],
        "gates": [{"name": "psi", "value": 0.95, "threshold": 0.85, "margin": 0.1, "pass": "Yes", "reason": "x"}],
        "signals": [{"name": "psi", "state": "Fresh", "value": 0.95, "sampledAt": now}],
    });
    change(&mut status);
    stage.server.edit("omegagates", NS, "web", |g| g["status"] = status);
}

#[tokio::test]
async fn a_fresh_status_is_the_answer_and_anything_doubtful_about_it_is_none() {
    let stage = set().await;
    let generation = stage.server.get("omegagates", NS, "web").unwrap()["metadata"]["generation"].clone();
    let none = known(&stage, None, None).await;
    assert_eq!(none.exit_code(), 2);
    assert!(none.reasoning.contains("never evaluated"), "{}", none.reasoning);
    status(&stage, |s| s["observedGeneration"] = generation.clone());
    let found = known(&stage, Some("7d9f"), None).await;
    assert_eq!(
        (found.decision, found.basis, found.exit_code()),
        (GateAnswer::Admit, Basis::Status, 0),
        "{found:?}"
    );
    assert_eq!(found.reasoning, "Admit: all gates hold (30 samples since the rollout)");
    let other = known(&stage, Some("5c4b"), None).await;
    assert_eq!(other.reasoning, "Unknown: Deployment shop/web runs 7d9f, not 5c4b");
    for (change, says) in [
        ((|s: &mut Value| s["observedGeneration"] = json!(77)) as fn(&mut Value), "newest spec"),
        (|s| s["revision"] = json!("5c4b"), "speaks of 5c4b"),
        (|s| drop(s.as_object_mut().unwrap().remove("revision")), "speaks of no revision"),
        (|s| s["decision"] = json!("admitted"), "all gates hold"),
        (|s| s["signals"] = json!([]), "of no known age"),
        (|s| s["signals"][0]["sampledAt"] = json!("2026-01-01T00:00:00Z"), "s old"),
        (|s| s["signals"][0]["sampledAt"] = json!("2999-01-01T00:00:00Z"), "s old"),
    ] {
        status(&stage, |s| {
            s["observedGeneration"] = generation.clone();
            change(s);
        });
        let found = known(&stage, None, None).await;
        assert_eq!(found.exit_code(), 2, "{says}: {found:?}");
        assert!(found.reasoning.contains(says), "{says}: {}", found.reasoning);
    }
    for (decision, code) in [("Block", 1), ("Quarantine", 1), ("Unknown", 2)] {
        status(&stage, |s| {
            s["observedGeneration"] = generation.clone();
            s["decision"] = json!(decision);
        });
        assert_eq!(known(&stage, None, None).await.exit_code(), code, "{decision}");
    }
}

#[tokio::test]
async fn with_a_configuration_the_evidence_itself_is_read() {
    let stage = set().await;
    // Sources share answers within a second, so each look has sources of its own.
    let found = known(&stage, Some("7d9f"), Some(&signals(&stage))).await;
    assert_eq!((found.decision, found.basis), (GateAnswer::Admit, Basis::Evidence), "{found:?}");
    assert_eq!(
        found.gates.iter().map(|g| g.name.as_str()).collect::<Vec<_>>(),
        ["psi", "cvar", "theta", "omega"]
    );
    stage.prometheus.set("demo_psi", 0.5);
    assert_eq!(known(&stage, None, Some(&signals(&stage))).await.exit_code(), 1);
    stage.prometheus.set("demo_psi", "NaN");
    assert_eq!(known(&stage, None, Some(&signals(&stage))).await.exit_code(), 2);
    stage.prometheus.down(true);
    assert_eq!(known(&stage, None, Some(&signals(&stage))).await.exit_code(), 2);
}

#[tokio::test]
async fn a_spec_that_its_controller_has_not_seen_is_not_what_runs() {
    let stage = set().await;
    let signals = signals(&stage);
    stage.server.edit("deployments", NS, "web", |d| d["status"]["observedGeneration"] = json!(0));
    let found = known(&stage, None, Some(&signals)).await;
    assert_eq!(found.reasoning, "Unknown: the newest spec of Deployment shop/web has not been taken up yet");
    stage.server.delete("deployments", NS, "web");
    let gone = known(&stage, None, Some(&signals)).await;
    assert_eq!(gone.reasoning, "Unknown: Deployment shop/web does not exist");
}

#[tokio::test]
async fn what_cannot_be_asked_names_the_object_and_the_way_out() {
    let stage = set().await;
    let error = check(&stage, "nobodys", None, None).await.unwrap_err();
    let Failure::Final(error) = error else { panic!("{error:?}") };
    let text = format!("{error:#}");
    assert!(
        text.contains("OmegaGate shop/nobodys does not exist") && text.contains("kubectl get omegagates"),
        "{text}"
    );
    stage.server.edit("omegagates", NS, "web", |g| g["spec"]["evidence"]["profile"] = json!("nobodys"));
    let error = check(&stage, "web", None, Some(&signals(&stage))).await.unwrap_err();
    let Failure::Final(error) = error else { panic!("{error:?}") };
    assert!(format!("{error:#}").contains("profile \"nobodys\""), "{error:#}");
    let none = Signals::new(&BTreeMap::new(), &BTreeMap::new()).unwrap();
    stage.server.edit("omegagates", NS, "web", |g| g["spec"]["evidence"]["profile"] = json!("omega"));
    assert!(check(&stage, "web", None, Some(&none)).await.is_err());
}

#[tokio::test]
async fn a_blocking_gate_that_asks_for_a_rollback_is_refused_without_a_rollout_to_blame() {
    let stage = Stage::set().await;
    stage.workload("web", 2);
    stage.prometheus.set("demo_psi", 0.95);
    stage.server.put("omegagates", gate("web", &json!({"onFail": "Rollback", "sigmaGuard": {}})));
    stage.scaling("web", &json!({"gateRef": {"name": "web"}}));
    let _operator = stage.start("a");
    let answer = || stage.server.get("omegagates", NS, "web").unwrap()["status"].clone();
    until("it admits", || answer()["decision"] == "Admit").await;
    until("and that is recorded", || stage.record().of("gate").len() == 1).await;
    assert_eq!(answer()["revision"], "7d9f");
    assert_eq!(answer()["admitted"][0]["stands"], true);
    stage.prometheus.set("demo_psi", 0.5);
    until("it blocks", || answer()["decision"] == "Block").await;
    until("the refusal is said", || stage.condition("web", "Degraded").0 == "True").await;
    turns(3).await;
    let acts = stage.record();
    assert!(acts.of("intent").is_empty(), "no rollout to blame, so no rollback");
    let gates = acts.of("gate");
    assert_eq!(gates[0]["attest"], Value::Null, "an admission without a guard attests nothing");
    assert_eq!(gates[1]["attest"], json!(["GATE_FAIL"]));
}

#[tokio::test]
async fn a_blocking_gate_that_asks_for_a_rollback_has_the_rollout_reverted_that_brought_it() {
    let stage = Stage::set().await;
    stage.workload("web", 2);
    stage.prometheus.set("demo_psi", 0.95);
    stage.server.put("omegagates", gate("web", &json!({"onFail": "Rollback"})));
    stage.scaling("web", &json!({"gateRef": {"name": "web"}}));
    let first = stage.start("a");
    let answer = || stage.server.get("omegagates", NS, "web").unwrap()["status"].clone();
    until("it admits", || answer()["decision"] == "Admit").await;
    until("and is known to stand", || answer()["admitted"][0]["stands"] == true).await;
    // While nobody looks, a revision comes that is bad from its first sample on.
    first.stop().await;
    let mut set = replica_set("web", "9e9e", "v3", 3);
    set["metadata"]["creationTimestamp"] = json!(Timestamp::now().to_string());
    stage.server.put("replicasets", set);
    stage.server.edit("deployments", NS, "web", |d| {
        d["spec"]["template"]["spec"]["containers"][0]["image"] = json!("v3");
        d["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("3");
    });
    stage.prometheus.set("demo_psi", 0.5);
    stage.expire_lease();
    let _second = stage.start("b");
    let image = || {
        let web = stage.server.get("deployments", NS, "web").unwrap();
        web["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    until("the revision before is back", || image() == "v2").await;
    let record = stage.record();
    let intent = record.of("intent")[0].clone();
    assert_eq!((&intent["action"], &intent["why"]), (&json!("Rollback"), &json!("Gate:psi")), "{intent}");
    assert_eq!(intent["proof"]["kind"], "gate");
    assert_eq!(intent["situation"]["gateFault"]["revision"], "9e9e");
}
