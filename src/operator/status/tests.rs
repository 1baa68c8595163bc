use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::api::scaling::{Enforcement, MatVerseScaling};
use crate::observe::reading::Evidence;
use crate::observe::workload::Workload;
use crate::operator::conditions::{Kind, find};
use crate::operator::testing::{ApiServer, Fault};
use crate::orient::{Consistency, OmegaEstimate};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2030-01-02T12:00:00Z")
}

/// A turn and all it hangs on, healthy until a test says otherwise.
struct Scene {
    spec: MatVerseScalingSpec,
    standing: Standing,
    ledger_trouble: Option<&'static str>,
    invalid: Vec<String>,
    observed: Observed,
    picture: Picture,
    decision: Decision,
    outcome: Option<Outcome>,
    entry: Option<EntryRef>,
    at: Timestamp,
}

fn spec() -> MatVerseScalingSpec {
    serde_json::from_value(json!({"targetRef": {"name": "web"}, "enforcement": "Act"})).unwrap()
}

fn workload() -> Workload {
    serde_json::from_value(json!({
        "uid": "u", "resourceVersion": "7", "generation": 1, "desired": 3, "ready": 3, "updated": 3,
        "deploymentPaused": false, "pauseRequested": false, "startSeconds": 6.5,
        "current": {"replicaSet": "web-1", "podTemplateHash": "1", "template": "t1", "number": 1,
                    "startedAt": "2030-01-02T10:00:00Z", "ready": 3},
        "rollout": {"complete": true, "deadlineExceeded": false, "crashes": 0, "unschedulable": 0},
    }))
    .unwrap()
}

fn decision(plan: &Plan) -> Decision {
    let memory = json!({"recommendations": [["2030-01-02T11:59:45Z", 4], ["2030-01-02T12:00:00Z", 5]],
        "cooldownUntil": "2030-01-02T12:01:00Z"});
    serde_json::from_value(json!({
        "at": "2030-01-02T12:00:00Z",
        "object": {"namespace": "shop", "name": "web", "uid": "o", "target": "web"},
        "action": if *plan == Plan::Nothing { "Noop" } else { "ScaleUp" },
        "confidence": 0.914_9, "plan": plan, "act": true, "want": 5, "why": "Forecast",
        "reasoning": "5 replicas keep 70 % cpu", "rules": [], "waitingOn": [], "notices": [],
        "memory": memory, "memoryIfNotApplied": {}, "mode": "balanced", "policyVersion": 1,
    }))
    .unwrap()
}

fn scene() -> Scene {
    let cpu = Reading::Fresh { value: 0.82, sampled_at: at("2030-01-02T11:59:57Z") };
    let readings = BTreeMap::from([(SignalName::CPU, cpu), (SignalName::LATENCY, Reading::Idle)]);
    Scene {
        spec: spec(),
        standing: Standing { ledger_available: true, namespace_may_act: true, ..Standing::default() },
        ledger_trouble: None,
        invalid: Vec::new(),
        observed: Observed {
            at: now(),
            evidence: Evidence { readings, ..Evidence::default() },
            workload: Some(workload()),
        },
        picture: Picture {
            consistency: Consistency::Consistent,
            omega: Some(OmegaEstimate { value: 0.93, disagrees: false }),
            psi: Some(f64::NAN),
            capacity: Some(Capacity::Utilisation { mean: 3.0, sd: 0.2, target: 0.7 }),
            horizon_seconds: 21.5,
            ..Picture::default()
        },
        decision: decision(&Plan::Scale { from: 3, to: 5 }),
        outcome: Some(Outcome::Applied { resource_version: "8".into(), post: "p".into() }),
        entry: Some(EntryRef {
            origin: "c/l".into(),
            index: 9,
            leaf: "aa".into(),
            size: 10,
            root: "cm9vdA==".into(),
            signature: "s".into(),
            epoch: 1,
        }),
        at: now(),
    }
}

impl Scene {
    fn status(&self, previous: &MatVerseScalingStatus) -> MatVerseScalingStatus {
        let turn = Turn {
            observed: &self.observed,
            picture: &self.picture,
            decision: &self.decision,
            outcome: self.outcome.as_ref(),
            entry: self.entry.as_ref(),
        };
        let report = Report {
            generation: Some(4),
            spec: &self.spec,
            invalid: &self.invalid,
            standing: &self.standing,
            ledger_trouble: self.ledger_trouble,
            turn: self.invalid.is_empty().then_some(turn),
            now: self.at,
        };
        scaling_status(previous, &report)
    }

    fn condition(&self, kind: Kind) -> (String, String) {
        let status = self.status(&MatVerseScalingStatus::default());
        let condition = find(&status.conditions, kind).unwrap();
        assert_eq!(condition.observed_generation, Some(4));
        (condition.status.clone(), condition.reason.clone())
    }
}

fn is(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[test]
fn a_status_says_what_stands_what_is_wanted_and_what_was_done() {
    let scene = scene();
    let status = scene.status(&MatVerseScalingStatus::default());
    assert_eq!(status.observed_generation, Some(4));
    assert_eq!((status.current_replicas, status.desired_replicas), (Some(3), Some(5)));
    let last = status.last_decision.unwrap();
    assert_eq!((last.action.as_str(), last.confidence, last.executed), ("ScaleUp", Some(0.91), true));
    assert_eq!(last.decision_id, Some(scene.decision.id()));
    assert_eq!(status.current_metrics.cpu_usage, Some(0.82));
    assert_eq!(status.current_metrics.omega_score, Some(0.93));
    assert_eq!(status.current_metrics.psi_index, None, "a NaN is absent");
    assert_eq!(status.current_metrics.latency, None, "idle is no value");
    let forecast = status.forecast.unwrap();
    assert_eq!((forecast.replicas_needed, forecast.model.as_str()), (5, "Utilisation"));
    assert_eq!((forecast.horizon_seconds, forecast.start_seconds), (21.5, Some(6.5)));
    assert_eq!(status.cooldown_until.as_deref(), Some("2030-01-02T12:01:00Z"));
    let states: Vec<_> = status.signals.iter().map(|s| (s.name.as_str(), s.state.as_str())).collect();
    assert_eq!(states, [("cpu", "Fresh"), ("latency", "Idle")]);
    assert_eq!(status.ledger.unwrap().index, 9);
    let types: Vec<_> = status.conditions.iter().map(|c| c.type_.as_str()).collect();
    assert_eq!(types.len(), 11, "{types:?}");
}

#[test]
fn an_act_that_does_not_stand_is_not_remembered_as_one() {
    let mut scene = scene();
    for (outcome, remembered) in [
        (Some(Outcome::Refused { why: String::new() }), false),
        (Some(Outcome::Abandoned { why: String::new() }), false),
        (None, false),
        (Some(Outcome::Unknown { why: String::new() }), true),
    ] {
        scene.outcome = outcome;
        let status = scene.status(&MatVerseScalingStatus::default());
        assert!(!status.last_decision.unwrap().executed);
        assert_eq!(status.cooldown_until.is_some(), remembered, "{:?}", scene.outcome);
    }
    scene.decision = decision(&Plan::Nothing);
    scene.outcome = None;
    assert!(scene.status(&MatVerseScalingStatus::default()).cooldown_until.is_some());
}

#[test]
fn a_forecast_of_an_earlier_turn_is_not_shown() {
    let mut scene = scene();
    memory(&mut scene).recommendations.pop();
    assert_eq!(scene.status(&MatVerseScalingStatus::default()).forecast, None);
    memory(&mut scene).recommendations.clear();
    assert_eq!(scene.status(&MatVerseScalingStatus::default()).forecast, None);
}

#[test]
fn a_target_that_is_gone_shows_no_counts() {
    let mut scene = scene();
    scene.observed.workload = None;
    let status = scene.status(&MatVerseScalingStatus::default());
    assert_eq!((status.current_replicas, status.desired_replicas), (None, None));
    assert_eq!(scene.condition(Kind::TargetAvailable), is("False", "NotFound"));
    assert_eq!(scene.condition(Kind::Acting), is("False", "TargetNotFound"));
    assert_eq!(scene.condition(Kind::Unschedulable), is("Unknown", "NoTarget"));
    assert_eq!(scene.condition(Kind::Ready), is("True", "Evaluating"), "it is accepted all the same");
}

#[test]
fn an_invalid_spec_is_said_in_full_and_forgets_nothing() {
    let mut scene = scene();
    let before = scene.status(&MatVerseScalingStatus::default());
    scene.invalid = vec!["spec.windows is not built yet".into(), "spec.hpa is not built yet".into()];
    let status = scene.status(&before);
    let ready = find(&status.conditions, Kind::Ready).unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "InvalidSpec"));
    assert_eq!(ready.message, "spec.windows is not built yet; spec.hpa is not built yet");
    assert_eq!(scene.condition(Kind::Acting), is("False", "InvalidSpec"));
    assert_eq!(scene.condition(Kind::MetricsAvailable), is("Unknown", "NotEvaluated"));
    assert_eq!((status.current_replicas, status.signals.len()), (None, 0), "nothing was observed");
    assert_eq!(status.cooldown_until, before.cooldown_until);
    assert_eq!(status.last_decision, before.last_decision);
    assert_eq!(status.ledger, before.ledger);
}

#[test]
fn a_healthy_resource_that_may_act_has_healthy_conditions() {
    let scene = scene();
    for (kind, status, reason) in [
        (Kind::Ready, "True", "Evaluating"),
        (Kind::Acting, "True", "Enforcing"),
        (Kind::MetricsAvailable, "True", "Fresh"),
        (Kind::TargetAvailable, "True", "Found"),
        (Kind::LedgerAvailable, "True", "Available"),
        (Kind::ModelConsistent, "True", "Consistent"),
        (Kind::Degraded, "False", "NotDegraded"),
        (Kind::ScalerConflict, "False", "NoConflict"),
        (Kind::Contested, "False", "NotContested"),
        (Kind::Unschedulable, "False", "Scheduled"),
        (Kind::ApprovalPending, "False", "NothingProposed"),
    ] {
        assert_eq!(scene.condition(kind), is(status, reason), "{kind:?}");
    }
}

/// A change of a healthy scene.
type Change = fn(&mut Scene);

#[test]
fn each_trouble_has_its_condition() {
    let unguarded = |s: &mut Scene| {
        s.standing.ledger_available = false;
        s.ledger_trouble = Some("the admission policies are not proven: nobody refused");
    };
    let troubles: [(Change, Kind, &str, &str); 27] = [
        (|s| s.spec.enforcement = Enforcement::Observe, Kind::Acting, "False", "Observe"),
        (|s| s.spec.enforcement = Enforcement::Propose, Kind::Acting, "False", "Propose"),
        (|s| s.spec.paused = true, Kind::Acting, "False", "Paused"),
        (|s| s.standing.namespace_may_act = false, Kind::Acting, "False", "NamespaceNotAllowed"),
        (|s| s.standing.unresolved_act = true, Kind::Acting, "False", "UnresolvedAct"),
        (|s| s.standing.older_claim = Some("web-old".into()), Kind::Acting, "False", "OlderClaim"),
        (|s| s.standing.older_claim = Some("web-old".into()), Kind::Ready, "False", "OlderClaim"),
        (|s| s.standing.older_claim = Some("web-old".into()), Kind::ScalerConflict, "True", "OlderClaim"),
        (|s| s.standing.ledger_available = false, Kind::Acting, "False", "LedgerUnavailable"),
        (|s| s.standing.ledger_available = false, Kind::LedgerAvailable, "False", "LedgerUnavailable"),
        (unguarded, Kind::Acting, "False", "PoliciesMissing"),
        (unguarded, Kind::LedgerAvailable, "False", "PoliciesMissing"),
        (|s| work(s).pause_requested = true, Kind::Acting, "False", "Paused"),
        (|s| work(s).deployment_paused = true, Kind::Acting, "False", "DeploymentPaused"),
        (|s| notice(s, "Contested"), Kind::Acting, "False", "Contested"),
        (|s| work(s).desired = 0, Kind::Acting, "False", "ScaledToZero"),
        (
            |s| work(s).other_scalers = vec!["HorizontalPodAutoscaler/web".into()],
            Kind::Acting,
            "False",
            "ScalerConflict",
        ),
        (
            |s| work(s).other_scalers = vec!["HorizontalPodAutoscaler/web".into()],
            Kind::ScalerConflict,
            "True",
            "OtherScaler",
        ),
        (|s| work(s).rollout.unschedulable = 2, Kind::Unschedulable, "True", "PodsPending"),
        (
            |s| s.picture.consistency = Consistency::Overconfident,
            Kind::ModelConsistent,
            "False",
            "Overconfident",
        ),
        (
            |s| s.picture.consistency = Consistency::Underconfident,
            Kind::ModelConsistent,
            "True",
            "Underconfident",
        ),
        (|s| s.picture.consistency = Consistency::Unknown, Kind::ModelConsistent, "Unknown", "TooFewSamples"),
        (|s| notice(s, "Degraded"), Kind::Degraded, "True", "Degraded"),
        (|s| notice(s, "Contested"), Kind::Contested, "True", "Contested"),
        (|s| s.observed.evidence.readings.clear(), Kind::MetricsAvailable, "Unknown", "NoSignals"),
        (|s| notice(s, "FrozenSignal"), Kind::MetricsAvailable, "True", "FrozenSignal"),
        (|s| notice(s, "OmegaDisagrees"), Kind::MetricsAvailable, "True", "OmegaDisagrees"),
    ];
    for (change, kind, status, reason) in troubles {
        let mut scene = scene();
        change(&mut scene);
        assert_eq!(scene.condition(kind), is(status, reason), "{kind:?}");
    }
}

fn work(scene: &mut Scene) -> &mut Workload {
    scene.observed.workload.as_mut().unwrap()
}

fn memory(scene: &mut Scene) -> &mut Memory {
    std::sync::Arc::make_mut(&mut scene.decision.memory)
}

fn notice(scene: &mut Scene, reason: &str) {
    let notice = json!({"reason": reason, "message": "Ω .6, no rollout to blame"});
    scene.decision.notices.push(serde_json::from_value(notice).unwrap());
}

#[test]
fn each_unbelievable_reading_makes_metrics_unavailable_and_says_which() {
    for (reading, reason, message) in [
        (Reading::Stale { age_seconds: Some(90.4) }, "Stale", "cpu is 90 s old"),
        (Reading::Stale { age_seconds: None }, "Stale", "the age of cpu could not be proven"),
        (Reading::Missing, "Missing", "cpu has no series"),
        (Reading::NotFinite, "NotFinite", "cpu is no finite number"),
        (Reading::Ambiguous { series: 2 }, "Ambiguous", "cpu has 2 series instead of one"),
        (Reading::WrongType, "WrongType", "the query of cpu gives no instant vector"),
        (Reading::OutOfRange { value: 65.0 }, "OutOfRange", "cpu is out of its range at 65"),
        (Reading::SourceDown { why: "timeout".into() }, "SourceDown", "the source of cpu is down (timeout)"),
    ] {
        let mut scene = scene();
        scene.observed.evidence.readings.insert(SignalName::CPU, reading);
        let status = scene.status(&MatVerseScalingStatus::default());
        let condition = find(&status.conditions, Kind::MetricsAvailable).unwrap();
        assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", reason));
        assert_eq!(condition.message, message);
        assert_eq!(status.current_metrics.cpu_usage, None);
        assert!(status.signals.iter().all(|s| s.value.is_none()));
    }
    let mut scene = scene();
    scene.observed.evidence.readings.insert(SignalName::CPU, Reading::Missing);
    scene.observed.evidence.readings.insert(SignalName::ERRORS, Reading::NotFinite);
    assert_eq!(scene.condition(Kind::MetricsAvailable), is("False", "SeveralReasons"));
}

#[test]
fn a_steady_state_writes_only_the_heartbeat() {
    let mut scene = scene();
    scene.outcome = None;
    scene.entry = None;
    scene.decision = decision(&Plan::Nothing);
    memory(&mut scene).cooldown_until = None;
    scene.decision.waiting_on = vec!["stabilisation: 212.5 s of 300 s".into()];
    let old = scene.status(&MatVerseScalingStatus::default());
    // Everything that rides along moves.
    scene.at = at("2030-01-02T12:00:15Z");
    scene.decision.at = scene.at;
    scene.decision.confidence = Some(0.5);
    scene.decision.reasoning = "5 replicas keep 69 % cpu".into();
    scene.decision.waiting_on = vec!["stabilisation: 227 s of 300 s".into()];
    scene.picture.horizon_seconds = 30.0;
    scene.picture.omega = Some(OmegaEstimate { value: 0.5, disagrees: false });
    let cpu = Reading::Fresh { value: 0.4, sampled_at: scene.at };
    scene.observed.evidence.readings.insert(SignalName::CPU, cpu);
    let new = scene.status(&old);
    assert_ne!(old, new);
    assert!(!worth_writing(&old, &new, Some(now()), scene.at));
    let due = now() + HEARTBEAT;
    assert!(!worth_writing(&old, &new, Some(now()), due - SignedDuration::from_secs(1)));
    assert!(worth_writing(&old, &new, Some(now()), due));
    assert!(worth_writing(&old, &new, None, scene.at), "who does not know when, writes");
    assert!(worth_writing(&old, &new, Some(due), now()), "nor is a clock that went back trusted");
    assert_eq!(last_written(&old), Some(now()));
}

#[test]
fn what_matters_is_written_at_once() {
    let changes: [Change; 12] = [
        |s| s.decision.action = crate::decide::situation::Action::ScaleDown,
        |s| s.decision.want = 6,
        |s| s.decision.why = "LowConfidence".into(),
        |s| s.decision.waiting_on = vec!["approval".into()],
        |s| s.outcome = None,
        |s| work(s).desired = 4,
        |s| s.standing.ledger_available = false,
        |s| s.picture.consistency = Consistency::Overconfident,
        |s| drop(s.observed.evidence.readings.insert(SignalName::LATENCY, Reading::Missing)),
        |s| memory(s).cooldown_until = None,
        |s| memory(s).bad_templates.push("t0".into()),
        |s| memory(s).rollbacks.push(now()),
    ];
    let scene_before = scene();
    let old = scene_before.status(&MatVerseScalingStatus::default());
    assert!(!worth_writing(&old, &scene_before.status(&old), Some(now()), now()));
    for (index, change) in changes.into_iter().enumerate() {
        let mut scene = scene();
        change(&mut scene);
        assert!(worth_writing(&old, &scene.status(&old), Some(now()), now()), "change {index}");
    }
}

#[test]
fn a_condition_of_somebody_else_causes_no_write() {
    let scene = scene();
    let mut old = scene.status(&MatVerseScalingStatus::default());
    let mut other = old.conditions[0].clone();
    other.type_ = "example.org/Checked".into();
    old.conditions.push(other);
    let new = scene.status(&old);
    assert_eq!(new.conditions.len(), 11, "and is not claimed");
    assert!(!worth_writing(&old, &new, Some(now()), now()));
}

const PATH: &str = "/apis/matverse.io/v1alpha1/namespaces/shop/matversescalings/web";

fn stored(server: &ApiServer) -> MatVerseScaling {
    let object = json!({"apiVersion": "matverse.io/v1alpha1", "kind": "MatVerseScaling",
        "metadata": {"name": "web", "namespace": "shop", "uid": "x"},
        "spec": spec(), "status": {"cooldownUntil": "2030-01-02T11:00:00Z"}});
    serde_json::from_value(server.put(PATH, object)).unwrap()
}

#[tokio::test]
async fn a_status_is_applied_to_the_very_object_that_was_read() {
    let server = ApiServer::start().await;
    let object = stored(&server);
    let client = server.client("operator");
    let mut status = scene().status(&MatVerseScalingStatus::default());
    status.cooldown_until = None;
    let written = write_status(&client, &object, &status).await.unwrap();
    assert_eq!(written.status.as_ref(), Some(&status), "what is not stated is gone");
    assert_eq!(written.spec, object.spec);
    let request = server.requests().pop().unwrap();
    assert_eq!(request.path, format!("{PATH}/status"));
    assert_eq!(request.content_type, "application/apply-patch+yaml");
    assert!(request.query.contains("fieldManager=matverse") && request.query.contains("force=true"));
    assert_eq!(request.body["metadata"]["uid"], json!(object.uid().unwrap()));
    assert_eq!(request.body["metadata"]["resourceVersion"], json!(object.resource_version().unwrap()));
    assert!(request.body.get("spec").is_none());

    let error = write_status(&client, &object, &status).await.unwrap_err();
    assert_eq!(error.kind(), "stale", "an object that was read before the last write");
    assert!(write_status(&client, &written, &status).await.is_ok());
}

#[tokio::test]
async fn a_recreated_or_deleted_object_is_not_written_to() {
    let server = ApiServer::start().await;
    let object = stored(&server);
    let client = server.client("operator");
    server.delete(PATH);
    let status = MatVerseScalingStatus::default();
    assert_eq!(write_status(&client, &object, &status).await.unwrap_err().kind(), "gone");
    assert!(server.object(PATH).is_none(), "nor is it brought back");
    stored(&server);
    assert_eq!(write_status(&client, &object, &status).await.unwrap_err().kind(), "stale");
    server.fault(None, None, Fault::Reject(500), 1);
    assert_eq!(write_status(&client, &object, &status).await.unwrap_err().kind(), "api");
    let bare = MatVerseScaling::new("web", spec());
    assert_eq!(write_status(&client, &bare, &status).await.unwrap_err().kind(), "incomplete");
}

#[tokio::test]
async fn a_write_without_an_answer_is_bounded() {
    let server = ApiServer::start().await;
    let object = stored(&server);
    server.fault(None, None, Fault::CommitThenHang, 1);
    let client = server.client("operator");
    let error = write_status(&client, &object, &MatVerseScalingStatus::default()).await.unwrap_err();
    assert_eq!(error.kind(), "timeout");
}
