//! One act through the real ledger: the one write that carries it, and what every fault leaves behind.

use std::sync::Arc;

use axum::http::Method;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use matverse::act::{self, ATTESTATION, DECISION, FENCE};
use matverse::decide::situation::{Action, GateView, Memory, ObjectRef, Plan, Standing};
use matverse::decide::{Decision, Situation, decide};
use matverse::ledger::configmaps::ConfigMaps;
use matverse::ledger::keys::Signer;
use matverse::ledger::{Ledger, Outcome, Recorded, Settings};
use matverse::observe::reading::Evidence;
use matverse::observe::{Observed, facts};
use matverse::orient::Picture;
use serde_json::{Value, json};

use crate::support::api_server::{ApiServer, Fault, Planned, Write};
use crate::support::objects::{NS, deployment, knobs, replica_set, scaling};
use crate::support::record::{LEDGER, Record};

/// A target of one replica, an open ledger, and a situation read from the objects.
struct Scene {
    server: ApiServer,
    client: Client,
    ledger: Ledger,
    signer: Signer,
    now: Timestamp,
}

fn now() -> Timestamp {
    Timestamp::now()
}

impl Scene {
    async fn set() -> Self {
        let server = ApiServer::start().await;
        server.put("deployments", deployment("web", 1));
        server.put("replicasets", replica_set("web", "5c4b", "v1", 1));
        server.put("replicasets", replica_set("web", "7d9f", "v2", 2));
        server.put("configmaps", knobs("10"));
        let client = server.client("a");
        let signer = Signer::generate("test/main").unwrap();
        let store = Arc::new(ConfigMaps::new(client.clone(), LEDGER));
        let opened =
            Ledger::open_with(store, signer.clone(), "test/main", Settings::immediate(), now()).await;
        Self { server, client, ledger: opened.unwrap().0, signer, now: now() }
    }

    fn object<T: serde::de::DeserializeOwned>(&self, plural: &str, name: &str) -> T {
        serde_json::from_value(self.server.get(plural, NS, name).unwrap()).unwrap()
    }

    fn situation(&self) -> Situation {
        let more = json!({"retune": {"configMapRef": {"name": "knobs"},
            "parameters": [{"key": "workers", "min": 1.0, "max": 100.0}]}});
        let spec: matverse::api::scaling::MatVerseScalingSpec =
            serde_json::from_value(scaling("web", &more)["spec"].clone()).unwrap();
        let workload = facts::workload(&facts::Sources {
            deployment: &self.object("deployments", "web"),
            replica_sets: &["web-5c4b", "web-7d9f"].map(|name| Arc::new(self.object("replicasets", name))),
            pods: Some(&[]),
            other_scalers: Vec::new(),
            config_changed_at: None,
            retune: spec.retune.as_ref(),
            tuned: Some(&self.object("configmaps", "knobs")),
            now: self.now,
        });
        Situation {
            now: self.now,
            object: ObjectRef {
                namespace: NS.into(),
                name: "web".into(),
                uid: "u".into(),
                target: "web".into(),
            }
            .into(),
            spec,
            observed: Observed { at: self.now, evidence: Evidence::default(), workload: Some(workload) },
            picture: Picture::default(),
            memory: Memory::default(),
            gate: GateView::None,
            gate_fault: None,
            standing: Standing { ledger_available: true, namespace_may_act: true, ..Standing::default() },
        }
    }

    /// What the pure code decides here: one replica is below the minimum of two.
    fn scale(&self) -> (Situation, Decision) {
        let situation = self.situation();
        let decision = decide(&situation);
        assert_eq!(decision.plan, Plan::Scale { from: 1, to: 2 }, "{}", decision.reasoning);
        assert!(decision.act);
        (situation, decision)
    }

    fn rollback(&self) -> (Situation, Decision) {
        let (situation, decision) = self.scale();
        let workload = situation.observed.workload.as_ref().unwrap();
        let plan = Plan::Rollback {
            replica_set: workload.previous[0].replica_set.clone(),
            to: workload.previous[0].pod_template_hash.clone(),
            from: workload.current.pod_template_hash.clone(),
            bad_template: workload.current.template.clone(),
            good_template: workload.previous[0].template.clone(),
        };
        (situation, Decision { action: Action::Rollback, plan, ..decision })
    }

    fn retune(&self) -> (Situation, Decision) {
        let (situation, decision) = self.scale();
        let tunable = situation.observed.workload.as_ref().unwrap().tunable.clone().unwrap();
        assert_eq!(tunable.refused, None);
        let plan = Plan::Retune {
            config_map: "knobs".into(),
            resource_version: tunable.resource_version,
            key: "workers".into(),
            from: "10".into(),
            to: "12".into(),
            restore: false,
        };
        (situation, Decision { action: Action::Retune, plan, ..decision })
    }

    /// intend → act → conclude, with the clock of the act in the test's hand.
    async fn carry_out_at(
        &self,
        (situation, decision): (Situation, Decision),
        clock: &(dyn Fn() -> Timestamp + Send + Sync),
    ) -> Recorded {
        let intended = self.ledger.intend(&situation, decision, now()).await.unwrap();
        let acted = act::act(&self.client, intended, clock).await;
        self.ledger.conclude(acted).await.unwrap()
    }

    async fn carry_out(&self, decided: (Situation, Decision)) -> Outcome {
        self.carry_out_at(decided, &now).await.outcome().unwrap().clone()
    }

    /// Write requests to the target: the whole history but the ledger's.
    fn acts(&self) -> Vec<Write> {
        self.server.history().into_iter().filter(|w| w.namespace == NS).collect()
    }

    fn replicas(&self) -> i64 {
        self.server.get("deployments", NS, "web").unwrap()["spec"]["replicas"].as_i64().unwrap()
    }

    /// One intent, one outcome with this result, all verified, and what was planned to go wrong did.
    fn assert_recorded(&self, result: &str, faults: usize) {
        let record = Record::read(&self.server, self.signer.verifier());
        record.assert_paired();
        assert_eq!(record.results(), [result], "{:#?}", record.entries);
        assert_eq!(self.server.fired().len(), faults, "{:?}", self.server.fired());
    }
}

fn is_applied(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Applied { .. })
}

fn is_fence(write: &Write) -> bool {
    let annotations = write.body["metadata"]["annotations"].as_object();
    annotations.is_some_and(|a| a.len() == 1 && a.contains_key(FENCE)) && write.body.get("spec").is_none()
}

fn annotation<'a>(object: &'a Value, name: &str) -> &'a str {
    object["metadata"]["annotations"][name].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_scale_is_one_write_with_version_decision_and_attestation() {
    let scene = Scene::set().await;
    let before = scene.server.get("deployments", NS, "web").unwrap();
    let decided = scene.scale();
    let id = decided.1.id();
    assert!(is_applied(&scene.carry_out(decided).await));
    let acts = scene.acts();
    assert_eq!(acts.len(), 1, "{acts:?}");
    let paths: Vec<&str> =
        acts[0].body.as_array().unwrap().iter().map(|o| o["path"].as_str().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "/metadata/resourceVersion",
            "/metadata/annotations/autonomy.matverse.io~1decision",
            "/metadata/annotations/autonomy.matverse.io~1attestation",
            "/spec/replicas"
        ]
    );
    assert_eq!(acts[0].body[0]["value"], before["metadata"]["resourceVersion"]);
    let after = scene.server.get("deployments", NS, "web").unwrap();
    assert_eq!((scene.replicas(), annotation(&after, DECISION)), (2, id.as_str()));
    let attested = matverse::ledger::attestation::parse(annotation(&after, ATTESTATION)).unwrap();
    let record = Record::read(&scene.server, scene.signer.verifier());
    assert_eq!(record.of("intent")[0]["index"], attested.index);
    assert_eq!(after["spec"]["template"], before["spec"]["template"]);
    scene.assert_recorded("applied", 0);
}

#[tokio::test]
async fn a_rollback_restores_the_whole_template_in_one_write() {
    let scene = Scene::set().await;
    let before = scene.server.get("deployments", NS, "web").unwrap();
    let decided = scene.rollback();
    let id = decided.1.id();
    assert!(is_applied(&scene.carry_out(decided).await));
    assert_eq!(scene.acts().len(), 1);
    let after = scene.server.get("deployments", NS, "web").unwrap();
    let mut expected = before["spec"]["template"].clone();
    expected["spec"]["containers"][0]["image"] = json!("v1");
    assert_eq!(after["spec"]["template"], expected);
    assert_eq!(scene.acts()[0].body[0]["value"], before["metadata"]["resourceVersion"]);
    assert_eq!((scene.replicas(), annotation(&after, DECISION)), (1, id.as_str()));
    assert!(!annotation(&after, ATTESTATION).is_empty());
    scene.assert_recorded("applied", 0);
}

#[tokio::test]
async fn a_rollback_to_a_revision_that_is_gone_or_another_is_refused_before_any_write() {
    for gone in [true, false] {
        let scene = Scene::set().await;
        let decided = scene.rollback();
        if gone {
            scene.server.delete("replicasets", NS, "web-5c4b");
        } else {
            scene.server.edit("replicasets", NS, "web-5c4b", |rs| {
                rs["metadata"]["labels"]["pod-template-hash"] = json!("other");
            });
        }
        scene.carry_out(decided).await;
        assert_eq!(scene.acts(), []);
        scene.assert_recorded("refused", 0);
    }
}

#[tokio::test]
async fn a_retune_is_one_write_of_one_key() {
    let scene = Scene::set().await;
    let before = scene.server.get("configmaps", NS, "knobs").unwrap();
    assert!(is_applied(&scene.carry_out(scene.retune()).await));
    let acts = scene.acts();
    assert_eq!(acts.len(), 1);
    assert_eq!(acts[0].body["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
    let after = scene.server.get("configmaps", NS, "knobs").unwrap();
    assert_eq!(after["data"], json!({"workers": "12", "other": "kept"}));
    assert!(!annotation(&after, DECISION).is_empty() && !annotation(&after, ATTESTATION).is_empty());
    scene.assert_recorded("applied", 0);
}

#[tokio::test]
async fn a_value_that_somebody_tuned_meanwhile_stands() {
    let scene = Scene::set().await;
    let decided = scene.retune();
    scene.server.edit("configmaps", NS, "knobs", |c| c["data"]["workers"] = json!("33"));
    scene.carry_out(decided).await;
    assert_eq!(scene.server.get("configmaps", NS, "knobs").unwrap()["data"]["workers"], "33");
    scene.assert_recorded("refused", 0);
}

#[tokio::test]
async fn a_configmap_that_was_replaced_meanwhile_is_not_the_one_decided_on() {
    let scene = Scene::set().await;
    let decided = scene.retune();
    scene.server.delete("configmaps", NS, "knobs");
    scene.server.put("configmaps", knobs("10"));
    scene.server.edit("configmaps", NS, "knobs", |c| c["immutable"] = json!(true));
    scene.carry_out(decided).await;
    assert_eq!(scene.server.get("configmaps", NS, "knobs").unwrap()["data"]["workers"], "10");
    scene.assert_recorded("refused", 0);
}

#[tokio::test]
async fn a_status_write_in_between_only_costs_a_second_try() {
    for plural in ["deployments", "configmaps"] {
        let scene = Scene::set().await;
        scene.server.plan(Planned::at(Method::PATCH, plural, Fault::StatusMoves).within(NS));
        let decided = if plural == "deployments" { scene.scale() } else { scene.retune() };
        assert!(is_applied(&scene.carry_out(decided).await));
        let committed: Vec<bool> = scene.acts().iter().map(|w| w.committed).collect();
        assert_eq!(committed, [false, true]);
        scene.assert_recorded("applied", 1);
    }
}

#[tokio::test]
async fn a_count_that_a_person_set_in_the_same_second_stands() {
    let scene = Scene::set().await;
    scene.server.plan(Planned::at(Method::PATCH, "deployments", Fault::HandScales));
    scene.carry_out(scene.scale()).await;
    assert_eq!(scene.replicas(), 7);
    assert_eq!(scene.acts().len(), 1, "not tried again");
    scene.assert_recorded("refused", 1);
}

#[tokio::test]
async fn a_target_that_never_rests_is_tried_five_times() {
    let scene = Scene::set().await;
    scene.server.plan(Planned::at(Method::PATCH, "deployments", Fault::StatusMoves).times(9));
    scene.carry_out(scene.scale()).await;
    assert_eq!((scene.acts().len(), scene.replicas()), (5, 1));
    scene.assert_recorded("refused", 5);
}

#[tokio::test]
async fn an_answer_lost_after_the_commit_is_found_by_the_fence() {
    for fault in [Fault::BreakAnswer, Fault::Lie(500), Fault::Lie(503), Fault::Lie(504)] {
        for plural in ["deployments", "configmaps"] {
            let scene = Scene::set().await;
            scene.server.plan(Planned::at(Method::PATCH, plural, fault).within(NS));
            let decided = if plural == "deployments" { scene.scale() } else { scene.retune() };
            assert!(is_applied(&scene.carry_out(decided).await), "{fault:?} {plural}");
            let acts = scene.acts();
            assert_eq!(acts.len(), 2, "{fault:?} {plural}: {acts:?}");
            assert!(!is_fence(&acts[0]) && is_fence(&acts[1]));
            scene.assert_recorded("applied", 1);
        }
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_is_waited_for_only_so_long() {
    let scene = Scene::set().await;
    scene.server.plan(Planned::at(Method::PATCH, "deployments", Fault::LoseAnswer));
    assert!(is_applied(&scene.carry_out(scene.scale()).await));
    assert_eq!((scene.acts().len(), scene.replicas()), (2, 2));
    scene.assert_recorded("applied", 1);
}

#[tokio::test]
async fn a_request_that_was_lost_is_abandoned_behind_a_fence() {
    for fault in [Fault::Reject(500), Fault::Reject(503), Fault::Reject(504)] {
        for plural in ["deployments", "configmaps"] {
            let scene = Scene::set().await;
            scene.server.plan(Planned::at(Method::PATCH, plural, fault).within(NS));
            let decided = if plural == "deployments" { scene.scale() } else { scene.retune() };
            scene.carry_out(decided).await;
            let acts = scene.acts();
            assert_eq!(acts.len(), 2, "{fault:?} {plural}: {acts:?}");
            assert!(is_fence(&acts[1]));
            assert_eq!(scene.replicas(), 1);
            assert_eq!(scene.server.get("configmaps", NS, "knobs").unwrap()["data"]["workers"], "10");
            scene.assert_recorded("abandoned", 1);
            // Whatever was on its way now carries a version that no longer stands.
            let late = acts[0].body.clone();
            let version = late[0]["value"].as_str().or(late["metadata"]["resourceVersion"].as_str());
            let name = if plural == "deployments" { "web" } else { "knobs" };
            let stands = scene.server.get(plural, NS, name).unwrap();
            assert_ne!(version, stands["metadata"]["resourceVersion"].as_str());
        }
    }
}

#[tokio::test]
async fn a_fence_whose_own_answer_is_lost_is_written_anew() {
    let scene = Scene::set().await;
    scene.server.plan(Planned::at(Method::PATCH, "deployments", Fault::Lie(500)));
    scene.server.plan(Planned::at(Method::PATCH, "deployments", Fault::BreakAnswer));
    assert!(is_applied(&scene.carry_out(scene.scale()).await));
    let acts = scene.acts();
    assert_eq!(acts.len(), 3);
    assert!(is_fence(&acts[1]) && is_fence(&acts[2]) && acts[1].body != acts[2].body);
    assert_eq!(scene.replicas(), 2);
    scene.assert_recorded("applied", 2);
}

#[tokio::test]
async fn what_the_server_refuses_is_refused() {
    for code in [400, 403, 422] {
        for plural in ["deployments", "configmaps"] {
            let scene = Scene::set().await;
            scene.server.plan(Planned::at(Method::PATCH, plural, Fault::Reject(code)).within(NS));
            let decided = if plural == "deployments" { scene.scale() } else { scene.retune() };
            scene.carry_out(decided).await;
            assert_eq!((scene.acts().len(), scene.replicas()), (1, 1), "{code} {plural}");
            scene.assert_recorded("refused", 1);
        }
    }
}

#[tokio::test]
async fn a_server_that_is_too_busy_is_no_proof_of_anything() {
    for code in [408, 429] {
        let scene = Scene::set().await;
        scene.server.plan(Planned::at(Method::PATCH, "deployments", Fault::Lie(code)));
        scene.carry_out(scene.scale()).await;
        assert_eq!(scene.replicas(), 2);
        scene.assert_recorded("applied", 1);
    }
}

#[tokio::test]
async fn a_target_that_is_gone_is_refused_and_one_that_came_after_is_not_touched() {
    for again in [false, true] {
        let scene = Scene::set().await;
        let decided = scene.scale();
        scene.server.delete("deployments", NS, "web");
        if again {
            let mut other = deployment("web", 1);
            other["metadata"]["uid"] = json!("another");
            scene.server.put("deployments", other);
        }
        scene.carry_out(decided).await;
        if again {
            assert_eq!(scene.replicas(), 1);
        }
        scene.assert_recorded("refused", 0);
    }
}

#[tokio::test]
async fn a_target_that_goes_while_its_fate_is_unknown_stays_unknown() {
    let scene = Scene::set().await;
    scene.server.plan(Planned::at(Method::PATCH, "deployments", Fault::Lie(500)));
    scene.server.plan(Planned::at(Method::PATCH, "deployments", Fault::Deleted));
    scene.carry_out(scene.scale()).await;
    scene.assert_recorded("unknown", 2);
}

#[tokio::test]
async fn a_fence_keeps_off_an_object_that_came_after() {
    let scene = Scene::set().await;
    scene.server.plan(Planned::at(Method::PATCH, "deployments", Fault::Lie(500)));
    scene.server.plan(Planned::at(Method::PATCH, "deployments", Fault::Replaced));
    scene.carry_out(scene.scale()).await;
    let other = scene.server.get("deployments", NS, "web").unwrap();
    assert_eq!((annotation(&other, FENCE), other["metadata"]["uid"].as_str()), ("", Some("another")));
    scene.assert_recorded("unknown", 2);
}

#[tokio::test]
async fn an_intent_that_is_too_old_is_not_carried_out() {
    let scene = Scene::set().await;
    let late = || now() + SignedDuration::from_secs(60);
    scene.carry_out_at(scene.scale(), &late).await;
    assert_eq!((scene.acts(), scene.replicas()), (Vec::new(), 1));
    scene.assert_recorded("refused", 0);
}

#[tokio::test]
async fn a_second_intent_waits_for_the_outcome_of_the_first() {
    let scene = Scene::set().await;
    let (situation, decision) = scene.scale();
    let intended = scene.ledger.intend(&situation, decision, now()).await.unwrap();
    let (situation, decision) = scene.rollback();
    let error = scene.ledger.intend(&situation, decision, now()).await.unwrap_err();
    assert_eq!(error.kind(), "open_intent");
    let acted = act::act(&scene.client, intended, &now).await;
    scene.ledger.conclude(acted).await.unwrap();
    scene.assert_recorded("applied", 0);
}

#[tokio::test]
async fn answers_of_the_ledger_that_are_lost_lose_no_entry_and_double_none() {
    for after in [0, 1] {
        for fault in [Fault::BreakAnswer, Fault::Lie(500), Fault::Reject(500), Fault::StatusMoves] {
            let scene = Scene::set().await;
            scene.server.plan(Planned::at(Method::PUT, "configmaps", fault).within(LEDGER).after(after));
            assert!(is_applied(&scene.carry_out(scene.scale()).await), "{fault:?} at {after}");
            assert_eq!((scene.acts().len(), scene.replicas()), (1, 2));
            scene.assert_recorded("applied", 1);
        }
    }
}
