//! The whole operator, turn after turn: what it does, what it holds, what it says.

use axum::http::Method;
use matverse::act::{ATTESTATION, DECISION};
use serde_json::json;

use crate::support::api_server::{Fault, Planned};
use crate::support::objects::{NS, knobs};
use crate::support::record::LEDGER;
use crate::support::stage::{Stage, turns, until};

fn pair(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

/// The steady state: once all is said, several turns without a write but the lease's.
async fn assert_silence(stage: &Stage) {
    let mut more = Vec::new();
    for _ in 0..4 {
        let before = stage.server.history().len();
        turns(3).await;
        more = stage.server.history().split_off(before);
        if more.is_empty() {
            return;
        }
    }
    panic!("written without need: {more:#?}");
}

#[tokio::test]
async fn a_count_below_the_minimum_is_raised_exactly_once_and_then_nothing_is_written() {
    let stage = Stage::set().await;
    stage.workload("web", 1);
    stage.scaling("web", &json!({}));
    let operator = stage.start("a");
    until("the minimum", || stage.replicas("web") == 2).await;
    until("it is said", || stage.status("web")["lastDecision"]["action"] == "Noop").await;
    let target = stage.server.get("deployments", NS, "web").unwrap();
    assert!(!target["metadata"]["annotations"][DECISION].is_null());
    assert!(!target["metadata"]["annotations"][ATTESTATION].is_null());
    assert_eq!(stage.condition("web", "Ready").0, "True");
    assert_eq!(stage.condition("web", "MetricsAvailable").0, "True");
    assert_eq!(operator.ready().await.0, 200);
    assert_silence(&stage).await;
    assert_eq!((stage.acts("web").len(), stage.counts("web")), (1, vec![1, 2]));
    let record = stage.record();
    record.assert_paired();
    assert_eq!(record.results(), ["applied"]);
    let text = operator.metrics().await;
    assert!(
        text.contains(r#"matverse_actions_executed_total{action="ScaleUp",result="applied"} 1"#),
        "{text}"
    );
}

#[tokio::test]
async fn what_may_not_act_touches_nothing_and_says_why() {
    let stage = Stage::set().await;
    for name in ["paused", "shown", "asked", "zero"] {
        stage.workload(name, i64::from(name != "zero"));
    }
    stage.server.edit("deployments", NS, "asked", |d| {
        d["metadata"]["annotations"]["autonomy.matverse.io/paused"] = json!("true");
    });
    stage.scaling("paused", &json!({"paused": true}));
    stage.scaling("shown", &json!({"enforcement": "Observe"}));
    stage.scaling("asked", &json!({}));
    stage.scaling("zero", &json!({}));
    stage.scaling("missing", &json!({}));
    let _operator = stage.start("a");
    until("each is evaluated", || {
        ["paused", "shown", "asked", "zero"].iter().all(|n| !stage.status(n)["lastDecision"].is_null())
    })
    .await;
    until("the target is missed", || stage.condition("missing", "TargetAvailable").0 == "False").await;
    turns(2).await;
    assert_eq!(stage.server.writes("deployments"), []);
    assert_eq!(stage.condition("paused", "Acting").0, "False");
    assert_eq!(stage.status("paused")["lastDecision"]["why"], "Paused");
    assert_eq!(stage.status("shown")["lastDecision"]["action"], "ScaleUp");
    assert_eq!(stage.condition("shown", "Acting").0, "False");
    assert_eq!(stage.record().of("intent").len(), 0);
    // The target comes, and is brought into its bounds.
    stage.workload("missing", 1);
    until("the target that came is served", || stage.replicas("missing") == 2).await;
    assert_eq!(stage.server.writes("deployments").len(), 1);
}

#[tokio::test]
async fn without_prometheus_the_count_is_held_and_comes_back_to_life_with_it() {
    let stage = Stage::set().await;
    stage.prometheus.down(true);
    stage.workload("web", 4);
    let calm = json!({"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}, "cooldownSeconds": 0});
    stage.scaling("web", &calm);
    let _operator = stage.start("a");
    until("MetricsAvailable=False", || stage.condition("web", "MetricsAvailable").0 == "False").await;
    turns(3).await;
    assert_eq!((stage.counts("web"), stage.acts("web")), (vec![4], vec![]));
    // Answers that are no evidence hold it as well.
    stage.prometheus.down(false);
    stage.prometheus.age(3600.0);
    turns(2).await;
    stage.prometheus.age(0.0);
    for nonsense in ["<html>", r#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#] {
        stage.prometheus.says(Some(nonsense));
        turns(1).await;
    }
    stage.prometheus.says(None);
    stage.prometheus.set("demo_cpu", "NaN");
    turns(1).await;
    assert_eq!((stage.counts("web"), stage.acts("web")), (vec![4], vec![]));
    stage.prometheus.set("demo_cpu", 0.01);
    until("MetricsAvailable=True", || stage.condition("web", "MetricsAvailable").0 == "True").await;
}

#[tokio::test]
async fn a_change_that_comes_while_a_turn_is_under_way_is_not_missed() {
    let stage = Stage::set().await;
    stage.prometheus.slow(std::time::Duration::from_millis(800));
    stage.workload("web", 2);
    // Its next turn comes after the test's patience.
    stage.scaling("web", &json!({"intervalSeconds": 300}));
    let _operator = stage.start("a");
    until("its first turn asks", || stage.prometheus.asked() > 0).await;
    stage.server.edit("matversescalings", NS, "web", |m| m["spec"]["minReplicas"] = json!(3));
    until("the change is acted on", || stage.replicas("web") == 3).await;
}

#[tokio::test]
async fn what_cannot_be_evaluated_is_refused_alone() {
    let stage = Stage::set().await;
    for name in ["no-profile", "no-promql", "unreadable", "good"] {
        stage.workload(name, 1);
    }
    stage.scaling("no-profile", &json!({"profile": "nobody-wrote-it"}));
    stage.scaling("no-promql", &json!({"signals": [{"name": "latency", "query": "sum(rate("}]}));
    stage.scaling("unreadable", &json!({"minReplicas": "two"}));
    stage.scaling("good", &json!({}));
    let _operator = stage.start("a");
    for name in ["no-profile", "no-promql", "unreadable"] {
        until(name, || stage.condition(name, "Ready") == pair("False", "InvalidSpec")).await;
    }
    until("the good one goes on", || stage.replicas("good") == 2).await;
    turns(1).await;
    assert_eq!(stage.server.writes("deployments").len(), 1);
    // Each writes its complaint once.
    assert_silence(&stage).await;
    // A mistake that is mended is forgotten.
    stage.server.edit("matversescalings", NS, "no-profile", |m| m["spec"]["profile"] = json!("plain"));
    until("the mended one acts", || stage.replicas("no-profile") == 2).await;
    stage.server.edit("matversescalings", NS, "unreadable", |m| m["spec"]["minReplicas"] = json!(3));
    until("what can be read again acts", || stage.replicas("unreadable") == 3).await;
}

#[tokio::test]
async fn two_resources_on_one_target_and_another_scaler_are_told_apart() {
    let stage = Stage::set().await;
    stage.workload("web", 1);
    stage.workload("scaled", 1);
    stage.scaling("web", &json!({}));
    let mut second = stage.server.get("matversescalings", NS, "web").unwrap();
    second["metadata"] =
        json!({"name": "second", "namespace": NS, "creationTimestamp": "2100-01-01T00:00:00Z"});
    second["spec"]["minReplicas"] = json!(4);
    stage.server.put("matversescalings", second);
    stage.server.put(
        "horizontalpodautoscalers",
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "hpa", "namespace": NS},
            "spec": {"maxReplicas": 9, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "scaled"}}}),
    );
    stage.scaling("scaled", &json!({}));
    stage.workload("queued", 1);
    stage.server.put(
        "scaledobjects",
        json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "so", "namespace": NS},
            "spec": {"scaleTargetRef": {"name": "queued"}}}),
    );
    stage.scaling("queued", &json!({}));
    let _operator = stage.start("a");
    until("the older acts", || stage.replicas("web") == 2).await;
    until("the newer says so", || stage.condition("second", "Ready").0 == "False").await;
    until("the other scaler is said", || !stage.status("scaled")["lastDecision"].is_null()).await;
    until("KEDA's too", || stage.condition("queued", "ScalerConflict").0 == "True").await;
    turns(2).await;
    assert_eq!((stage.counts("web"), stage.counts("scaled")), (vec![1, 2], vec![1]));
    assert_eq!(stage.counts("queued"), vec![1]);
}

#[tokio::test]
async fn without_a_key_nothing_is_done_and_with_it_all_is() {
    let stage = Stage::set().await;
    stage.take_key();
    stage.workload("web", 1);
    stage.scaling("web", &json!({}));
    let operator = stage.start("a");
    until("LedgerAvailable=False", || stage.condition("web", "LedgerAvailable").0 == "False").await;
    turns(2).await;
    let (code, why) = operator.ready().await;
    assert_eq!(code, 503, "{why}");
    assert_eq!((stage.counts("web"), stage.appended()), (vec![1], 0));
    stage.give_key();
    until("the key is found", || stage.replicas("web") == 2).await;
    until("it is said", || stage.condition("web", "LedgerAvailable").0 == "True").await;
    assert_eq!(operator.ready().await.0, 200);
    assert_eq!(stage.record().results(), ["applied"]);
}

#[tokio::test]
async fn an_intent_that_is_not_recorded_is_not_carried_out() {
    let stage = Stage::set().await;
    let operator = stage.start("a");
    until("the ledger is open", || stage.appended() >= 2).await;
    turns(1).await;
    stage.server.plan(Planned::at(Method::PUT, "configmaps", Fault::Reject(403)).within(LEDGER).times(9999));
    stage.workload("web", 1);
    stage.scaling("web", &json!({}));
    until("LedgerAvailable=False", || stage.condition("web", "LedgerAvailable").0 == "False").await;
    turns(2).await;
    assert_eq!((stage.counts("web"), stage.acts("web")), (vec![1], vec![]));
    stage.server.heal();
    until("it goes on", || stage.replicas("web") == 2).await;
    until("the outcome stands", || stage.record().results() == ["applied"]).await;
    stage.record().assert_paired();
    drop(operator);
}

/// A resource with a step under trial, as its status says.
fn borrowed(stage: &Stage) {
    let mut map = knobs("12");
    map["metadata"]["annotations"] = json!({});
    stage.server.put("configmaps", map);
    stage.workload("web", 2);
    let retune = json!({"profile": "with-beta", "retune": {"configMapRef": {"name": "knobs"},
        "parameters": [{"key": "workers", "min": 1.0, "max": 100.0}], "settleSeconds": 600}});
    stage.scaling("web", &retune);
    stage.server.edit("matversescalings", NS, "web", |m| {
        m["metadata"]["finalizers"] = json!(["autonomy.matverse.io/restore"]);
        m["status"] = json!({"retune": {"configMap": "knobs", "key": "workers", "before": "10", "trial": "12",
            "since": jiff::Timestamp::now().to_string(), "baseline": 1.0, "signal": "beta"}});
    });
}

fn knob(stage: &Stage) -> String {
    let map = stage.server.get("configmaps", NS, "knobs").unwrap();
    map["data"]["workers"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_deleted_resource_gives_back_what_it_borrowed_and_goes() {
    let stage = Stage::set().await;
    borrowed(&stage);
    stage.server.delete("matversescalings", NS, "web");
    let _operator = stage.start("a");
    until("it is gone", || stage.server.get("matversescalings", NS, "web").is_none()).await;
    assert_eq!(knob(&stage), "10");
    assert_eq!(stage.record().results(), ["applied"]);
    stage.record().assert_paired();
    assert_eq!(stage.server.writes("configmaps").iter().filter(|w| w.namespace == NS).count(), 1);
}

#[tokio::test]
async fn a_deleted_resource_does_not_hang_on_what_is_gone_or_another_owns() {
    for case in ["no target", "no configmap", "theirs", "invalid", "unreadable", "not configured"] {
        let stage = Stage::set().await;
        borrowed(&stage);
        match case {
            "no target" => stage.server.delete("deployments", NS, "web"),
            "no configmap" => stage.server.delete("configmaps", NS, "knobs"),
            "theirs" => stage.server.edit("configmaps", NS, "knobs", |m| m["data"]["workers"] = json!("50")),
            "invalid" => stage.server.edit("matversescalings", NS, "web", |m| {
                m["spec"]["profile"] = json!("nobody-wrote-it");
            }),
            // As an older or newer version of the kind may have left it.
            "unreadable" => stage.server.edit("matversescalings", NS, "web", |m| {
                m["spec"]["mode"] = json!({"reckless": true});
                m["status"]["cooldownUntil"] = json!(7);
            }),
            _ => stage.server.edit("matversescalings", NS, "web", |m| m["spec"]["retune"] = json!(null)),
        }
        stage.server.delete("matversescalings", NS, "web");
        let _operator = stage.start("a");
        until(case, || stage.server.get("matversescalings", NS, "web").is_none()).await;
        match case {
            "theirs" => assert_eq!(knob(&stage), "50"),
            "invalid" | "unreadable" | "not configured" => assert_eq!(knob(&stage), "10", "{case}"),
            _ => {} // A target that is gone counts as restored.
        }
    }
}

#[tokio::test]
async fn a_step_under_trial_is_taken_back_when_it_is_no_longer_configured() {
    let stage = Stage::set().await;
    borrowed(&stage);
    stage.server.edit("matversescalings", NS, "web", |m| m["spec"]["retune"] = json!(null));
    let _operator = stage.start("a");
    until("it is given back", || knob(&stage) == "10").await;
    until("nothing is borrowed", || {
        let mvs = stage.server.get("matversescalings", NS, "web").unwrap();
        mvs["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)
            && mvs["status"]["retune"].is_null()
    })
    .await;
    assert_eq!(stage.record().results(), ["applied"]);
}
