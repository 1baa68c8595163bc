use std::time::Duration;

use http::Method;
use k8s_openapi::api::core::v1::ObjectReference;
use serde_json::{Value, json};

use super::*;
use crate::operator::conditions::{Fact, merge};
use crate::operator::testing::{ApiServer, Fault};

fn now() -> Timestamp {
    "2030-01-02T12:00:00Z".parse().unwrap()
}

fn later(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn status(facts: &[Fact]) -> MatVerseScalingStatus {
    status_of(facts, 1)
}

fn status_of(facts: &[Fact], generation: i64) -> MatVerseScalingStatus {
    MatVerseScalingStatus {
        conditions: merge(&[], facts, Some(generation), now()),
        ..MatVerseScalingStatus::default()
    }
}

fn healthy() -> MatVerseScalingStatus {
    status(&[
        Fact::new(Kind::Ready, true, "Evaluating", ""),
        Fact::new(Kind::MetricsAvailable, true, "Fresh", ""),
        Fact::new(Kind::TargetAvailable, true, "Found", ""),
        Fact::new(Kind::ScalerConflict, false, "NoConflict", ""),
        Fact::new(Kind::Contested, false, "NotContested", ""),
        Fact::new(Kind::Degraded, false, "NotDegraded", ""),
    ])
}

fn decision(action: &str, plan: &Plan, act: bool, why: &str) -> Decision {
    serde_json::from_value(json!({
        "at": "2030-01-02T12:00:00Z",
        "object": {"namespace": "shop", "name": "web", "uid": "o", "target": "web"},
        "action": action, "plan": plan, "act": act, "want": 5, "why": why,
        "reasoning": "5 replicas keep 70 % cpu", "rules": [], "waitingOn": [], "notices": [],
        "memory": {}, "memoryIfNotApplied": {}, "mode": "balanced", "policyVersion": 1,
    }))
    .unwrap()
}

fn quiet() -> Decision {
    decision("Noop", &Plan::Nothing, true, "Steady")
}

fn applied() -> Outcome {
    Outcome::Applied { resource_version: "8".into(), post: String::new() }
}

fn said(news: &[Happening]) -> Vec<(&'static str, &str)> {
    news.iter().map(|h| (h.reason.as_str(), h.note.as_str())).collect()
}

fn reasons(news: &[Happening]) -> Vec<Reason> {
    news.iter().map(|h| h.reason).collect()
}

#[test]
fn every_reason_has_its_own_name() {
    let names: BTreeSet<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
    assert_eq!(names.len(), 20);
    for reason in Reason::ALL {
        assert_eq!(Reason::parse(reason.as_str()), Some(reason));
    }
    assert_eq!(Reason::parse("Degraded"), None);
}

#[test]
fn an_act_is_said_with_its_numbers_and_a_steady_state_is_silent() {
    let mut announced = Announced::default();
    let up = decision("ScaleUp", &Plan::Scale { from: 3, to: 5 }, true, "Forecast");
    let news = announced.scaling(&healthy(), Some((&up, Some(&applied()))), now());
    let note = format!("3 → 5 replicas: 5 replicas keep 70 % cpu (decision {})", up.id());
    assert_eq!(said(&news), [("ScaledUp", note.as_str())]);
    assert!(news[0].is_act());
    for turn in 1..100 {
        let news = announced.scaling(&healthy(), Some((&quiet(), None)), later(15 * turn));
        assert_eq!(said(&news), [], "turn {turn}");
    }
}

#[test]
fn each_act_has_its_reason() {
    let rollback = Plan::Rollback {
        replica_set: "web-1".into(),
        to: "aaa".into(),
        from: "bbb".into(),
        bad_template: "b".into(),
        good_template: "a".into(),
    };
    let retune = |restore| Plan::Retune {
        config_map: "tuning".into(),
        resource_version: "3".into(),
        key: "workers".into(),
        from: "8".into(),
        to: "8.16".into(),
        restore,
    };
    for (action, plan, reason, start) in [
        ("ScaleDown", Plan::Scale { from: 5, to: 4 }, Reason::ScaledDown, "5 → 4 replicas"),
        ("Rollback", rollback, Reason::RolledBack, "from revision bbb to aaa"),
        ("Retune", retune(false), Reason::Retuned, "workers of ConfigMap tuning moved from 8 to 8.16"),
        ("Retune", retune(true), Reason::Retuned, "workers of ConfigMap tuning restored from 8 to 8.16"),
    ] {
        let decision = decision(action, &plan, true, "x");
        let news = Announced::default().scaling(&healthy(), Some((&decision, Some(&applied()))), now());
        assert_eq!(reasons(&news), [reason]);
        assert!(news[0].note.starts_with(start), "{}", news[0].note);
    }
}

#[test]
fn an_act_that_does_not_stand_is_held_and_says_why() {
    let up = decision("ScaleUp", &Plan::Scale { from: 3, to: 5 }, true, "Forecast");
    let refused = Outcome::Refused { why: "the target moved on".into() };
    let news = Announced::default().scaling(&healthy(), Some((&up, Some(&refused))), now());
    let note = format!("ScaleUp refused: the target moved on (decision {})", up.id());
    assert_eq!(said(&news), [("Held", note.as_str())]);
    assert!(!news[0].is_act(), "nothing happened to the Deployment");
}

#[test]
fn what_is_only_shown_is_said_once_and_again_after_a_rest() {
    let mut announced = Announced::default();
    let shown = decision("ScaleUp", &Plan::Scale { from: 3, to: 5 }, false, "Forecast");
    let low = decision("Noop", &Plan::Nothing, true, "LowConfidence");
    let mut turn =
        |decision: &Decision, at| reasons(&announced.scaling(&healthy(), Some((decision, None)), at)).len();
    assert_eq!(turn(&shown, now()), 1);
    for i in 1..60 {
        assert_eq!(turn(&shown, later(15 * i)), 0);
    }
    assert_eq!(turn(&quiet(), later(900)), 0);
    assert_eq!(turn(&shown, later(915)), 0, "a short pause is no news");
    assert_eq!(turn(&low, later(930)), 1);
    assert_eq!(turn(&low, later(945)), 0);
    assert_eq!(turn(&low, later(945 + 600)), 1);
}

#[test]
fn a_trouble_is_said_when_it_begins_and_metrics_also_when_they_recover() {
    let troubles = [
        (Kind::MetricsAvailable, false, "Stale", Reason::MetricsUnavailable, 1),
        (Kind::TargetAvailable, false, "NotFound", Reason::TargetNotFound, 0),
        (Kind::ScalerConflict, true, "OtherScaler", Reason::ScalerConflict, 0),
        (Kind::Contested, true, "Contested", Reason::Contested, 0),
        (Kind::Degraded, true, "Degraded", Reason::Held, 0),
        (Kind::Ready, false, "InvalidSpec", Reason::InvalidSpec, 0),
    ];
    for (kind, truth, why, reason, recoveries) in troubles {
        let mut announced = Announced::default();
        let mut turn = |status: &MatVerseScalingStatus| {
            reasons(&announced.scaling(status, Some((&quiet(), None)), now()))
        };
        let mut trouble = healthy();
        let fact = Fact::new(kind, truth, why, "so it is");
        trouble.conditions.retain(|c| c.type_ != kind.as_str());
        trouble.conditions.extend(merge(&[], &[fact], Some(1), now()));
        assert_eq!(turn(&healthy()), []);
        assert_eq!(turn(&trouble), [reason]);
        assert_eq!(turn(&trouble), []);
        assert_eq!(turn(&healthy()).len(), recoveries, "{kind:?}");
        assert_eq!(turn(&trouble), [reason], "it began anew");
        // And a restart in the middle repeats nothing.
        let mut heir = Announced::from_scaling(&trouble);
        assert_eq!(heir.scaling(&trouble, Some((&quiet(), None)), now()), []);
    }
}

#[test]
fn a_source_that_is_down_is_not_said_by_every_workload() {
    let mut announced = Announced::default();
    let down = status(&[Fact::new(Kind::MetricsAvailable, false, "SourceDown", "timeout")]);
    let stale = status(&[Fact::new(Kind::MetricsAvailable, false, "Stale", "cpu is 40 s old")]);
    let unknown = status(&[Fact::new(Kind::MetricsAvailable, Truth::Unknown, "NotEvaluated", "")]);
    let mut turn = |s: &MatVerseScalingStatus| reasons(&announced.scaling(s, Some((&quiet(), None)), now()));
    assert_eq!(turn(&down), []);
    assert_eq!(turn(&healthy()), [], "nor that it is up again");
    assert_eq!(turn(&stale), [Reason::MetricsUnavailable]);
    assert_eq!(turn(&down), []);
    assert_eq!(turn(&unknown), []);
    assert_eq!(turn(&stale), [], "it never recovered in between");
    assert_eq!(turn(&healthy()), [Reason::MetricsRecovered]);
}

#[test]
fn an_invalid_spec_is_said_for_each_generation() {
    let mut announced = Announced::default();
    let invalid = |generation| status_of(&[Fact::new(Kind::Ready, false, "InvalidSpec", "pool")], generation);
    assert_eq!(reasons(&announced.scaling(&invalid(1), None, now())), [Reason::InvalidSpec]);
    assert_eq!(announced.scaling(&invalid(1), None, now()), []);
    assert_eq!(reasons(&announced.scaling(&invalid(2), None, now())), [Reason::InvalidSpec]);
}

#[test]
fn notices_of_a_decision_are_said_when_they_begin() {
    let mut announced = Announced::default();
    let mut noticing = quiet();
    for (reason, message) in
        [("RollbackSuppressed", "both fell"), ("Degraded", "Ω .6"), ("ManualEdit", "by hand")]
    {
        let notice = json!({"reason": reason, "message": message});
        noticing.notices.push(serde_json::from_value(notice).unwrap());
    }
    let news = announced.scaling(&healthy(), Some((&noticing, None)), now());
    assert_eq!(said(&news), [("Held", "ManualEdit: by hand"), ("RollbackSuppressed", "both fell")]);
    assert_eq!(announced.scaling(&healthy(), Some((&noticing, None)), now()), []);
    assert_eq!(announced.scaling(&healthy(), None, now()), [], "a turn that failed clears nothing");
    assert_eq!(announced.scaling(&healthy(), Some((&noticing, None)), now()), []);
    assert_eq!(announced.scaling(&healthy(), Some((&quiet(), None)), now()), []);
    assert_eq!(announced.scaling(&healthy(), Some((&noticing, None)), now()).len(), 2);
}

#[test]
fn a_gate_is_said_when_its_answer_changes() {
    let gate = |decision: &str| OmegaGateStatus {
        decision: Some(decision.into()),
        gates: vec![
            serde_json::from_value(json!({"name": "psi", "pass": "No", "reason": "psi .7 < .85"})).unwrap(),
        ],
        ..OmegaGateStatus::default()
    };
    let mut announced = Announced::from_gate(&gate("Admit"));
    assert_eq!(announced.gate(&gate("Admit")), None, "known before the restart");
    assert_eq!(announced.gate(&gate("Unknown")), None);
    assert_eq!(announced.gate(&gate("Admit")), None);
    let blocked = announced.gate(&gate("Block")).unwrap();
    assert_eq!((blocked.reason, blocked.note.as_str()), (Reason::GateBlocked, "psi .7 < .85"));
    assert!(blocked.reason.is_warning());
    assert_eq!(announced.gate(&gate("Quarantine")).unwrap().reason, Reason::GateQuarantined);
    assert_eq!(announced.gate(&gate("Quarantine")), None);
    assert_eq!(Announced::default().gate(&gate("Admit")).unwrap().reason, Reason::GateAdmitted);
}

fn resource() -> ObjectReference {
    ObjectReference {
        api_version: Some("matverse.io/v1alpha1".into()),
        kind: Some("MatVerseScaling".into()),
        namespace: Some("shop".into()),
        name: Some("web-autonomy".into()),
        uid: Some("o".into()),
        ..ObjectReference::default()
    }
}

fn start(server: &ApiServer) -> Events {
    Events::start(server.client("operator"), "matverse-0", deployment_ref("ops", "matverse", "d"))
}

fn published(server: &ApiServer) -> Vec<Value> {
    server.objects("/apis/events.k8s.io/v1/")
}

fn happening(reason: Reason, note: &str) -> Happening {
    Happening::of(reason, note)
}

#[tokio::test]
async fn an_act_is_an_event_of_the_resource_and_of_the_deployment() {
    let server = ApiServer::start().await;
    let events = start(&server);
    let deployment = deployment_ref("shop", "web", "w");
    let act = Happening { action: Action::ScaleUp, ..happening(Reason::ScaledUp, "3 → 5") };
    events.publish(&resource(), Some(&deployment), vec![act, happening(Reason::Contested, "twice")]);
    events.close().await;
    let mut seen: Vec<_> = published(&server)
        .iter()
        .map(|e| {
            let text = |p: &str| e.pointer(p).and_then(Value::as_str).unwrap_or_default().to_owned();
            (text("/regarding/kind"), text("/reason"), text("/type"), text("/action"), text("/related/kind"))
        })
        .collect();
    seen.sort();
    let row = |a: &str, b: &str, c: &str, d: &str, e: &str| {
        (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned(), e.to_owned())
    };
    assert_eq!(
        seen,
        [
            row("Deployment", "ScaledUp", "Normal", "ScaleUp", "MatVerseScaling"),
            row("MatVerseScaling", "Contested", "Warning", "Evaluate", "Deployment"),
            row("MatVerseScaling", "ScaledUp", "Normal", "ScaleUp", "Deployment"),
        ]
    );
    let one = &published(&server)[0];
    assert_eq!(one["metadata"]["namespace"], "shop");
    assert_eq!(one["reportingController"], "matverse.io/operator");
    assert_eq!(one["reportingInstance"], "matverse-0");
}

#[tokio::test]
async fn the_same_words_are_one_series_and_other_words_another_event() {
    let server = ApiServer::start().await;
    let events = start(&server);
    for note in ["3 → 5", "5 → 8", "5 → 8", "5 → 8"] {
        events.publish(&resource(), None, vec![happening(Reason::ScaledUp, note)]);
    }
    events.close().await;
    let mut seen: Vec<_> = published(&server)
        .iter()
        .map(|e| (e["note"].as_str().unwrap().to_owned(), e.pointer("/series/count").and_then(Value::as_i64)))
        .collect();
    seen.sort();
    assert_eq!(seen, [("3 → 5".to_owned(), None), ("5 → 8".to_owned(), Some(3))]);
}

#[tokio::test]
async fn a_series_whose_event_was_removed_goes_on_as_a_new_one() {
    let server = ApiServer::start().await;
    let events = start(&server);
    events.publish(&resource(), None, vec![happening(Reason::Held, "x")]);
    server.fault(None, Some(Method::PATCH), Fault::Reject(404), 1);
    events.publish(&resource(), None, vec![happening(Reason::Held, "x")]);
    events.close().await;
    let methods: Vec<_> = server.requests().iter().map(|r| r.method.as_str().to_owned()).collect();
    assert_eq!(methods, ["POST", "PATCH", "POST"]);
    assert_eq!(published(&server).len(), 2);
}

#[tokio::test]
async fn a_source_or_ledger_that_is_down_is_one_event_of_the_operator() {
    let server = ApiServer::start().await;
    let events = start(&server);
    for _ in 0..1000 {
        events.source("default", Some("timeout"));
        events.ledger(Some("409"));
    }
    events.source("default", None);
    events.source("default", None);
    events.ledger(None);
    events.source("other", None);
    events.close().await;
    let mut seen: Vec<_> = published(&server)
        .iter()
        .map(|e| {
            assert_eq!(e["regarding"]["name"], "matverse");
            assert_eq!(e["regarding"]["kind"], "Deployment");
            (e["reason"].as_str().unwrap().to_owned(), e["note"].as_str().unwrap().to_owned())
        })
        .collect();
    seen.sort();
    let row = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        seen,
        [
            row("LedgerUnavailable", "no act until the ledger accepts intents again: 409"),
            row("MetricsRecovered", "source default answers again"),
            row("MetricsUnavailable", "source default does not answer: timeout"),
        ]
    );
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_neither_delays_nor_fails_anybody() {
    let server = ApiServer::start().await;
    server.fault(None, None, Fault::Reject(403), 1);
    server.fault(None, None, Fault::Hang, usize::MAX);
    let events = start(&server);
    let many: Vec<_> = (0..5000).map(|i| happening(Reason::Held, &i.to_string())).collect();
    let publish = async { events.publish(&resource(), None, many) };
    tokio::time::timeout(Duration::from_secs(2), publish).await.expect("the queue is bounded, not blocking");
    tokio::time::timeout(Duration::from_secs(8), events.close())
        .await
        .expect("nor is the end delayed for long");
    events.publish(&resource(), None, vec![happening(Reason::Held, "after the end")]);
}

#[tokio::test]
async fn a_long_note_is_cut_to_what_the_api_takes() {
    let server = ApiServer::start().await;
    let events = start(&server);
    events.publish(&resource(), None, vec![happening(Reason::InvalidSpec, &"ö".repeat(3000))]);
    events.close().await;
    assert!(published(&server)[0]["note"].as_str().unwrap().len() <= 1024);
}
