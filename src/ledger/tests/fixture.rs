//! A situation, decisions on it, and a scripted target with a fence and a resourceVersion.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::api::scaling::MatVerseScalingSpec;
use crate::decide::situation::{Action, GateView, Holds, Memory, ObjectRef, Plan, RuleVerdict, Standing};
use crate::decide::{Decision, Situation};
use crate::ledger::keys::{Signer, VerifierKey};
use crate::ledger::memory::MemoryStore;
use crate::ledger::verify::{Report, Request, Saved, verify};
use crate::ledger::{Ledger, LedgerError, Outcome, Recovery, Settings, state};
use crate::observe::Observed;
use crate::observe::reading::{Evidence, Reading, SignalName};
use crate::observe::workload::{Revision, Rollout, Workload};
use crate::orient::{Estimate, Picture};

pub const ORIGIN: &str = "prod/main";

pub fn signer() -> Signer {
    Signer::from_seed(ORIGIN, &[1; 32]).unwrap()
}

pub fn keys() -> Vec<VerifierKey> {
    vec![signer().verifier().clone()]
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

pub fn settings() -> Settings {
    Settings { actor: "matverse-0".to_owned(), ..Settings::immediate() }
}

pub fn small(tail_bytes: usize) -> Settings {
    Settings { tail_bytes, ..settings() }
}

pub async fn open(
    store: &MemoryStore,
    settings: Settings,
    now: i64,
) -> Result<(Ledger, Recovery), LedgerError> {
    Ledger::open_with(Arc::new(store.clone()), signer(), ORIGIN, settings, at(now)).await
}

pub fn situation(target: &str, replicas: i32, now: i64) -> Situation {
    let spec: MatVerseScalingSpec = serde_json::from_value(serde_json::json!({
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    }))
    .unwrap();
    let fresh = |value| Reading::Fresh { value, sampled_at: at(now - 5) };
    let readings = BTreeMap::from([
        (SignalName::CPU, fresh(0.1 + 0.2)),
        (SignalName::LATENCY, Reading::Stale { age_seconds: Some(1.0 / 3.0) }),
        (SignalName::ERRORS, Reading::Missing),
    ]);
    let estimate = Estimate { level: 0.3, slope: 1e-17, nis: f64::MIN_POSITIVE, ..Estimate::default() };
    Situation {
        now: at(now),
        object: ObjectRef {
            namespace: "shop".into(),
            name: target.into(),
            uid: format!("mvs-{target}"),
            target: target.into(),
        }
        .into(),
        spec,
        observed: Observed {
            at: at(now),
            evidence: Evidence { readings, ..Evidence::default() },
            workload: Some(Workload {
                uid: format!("uid-{target}"),
                resource_version: "7".into(),
                generation: 1,
                desired: replicas,
                ready: replicas,
                updated: replicas,
                deployment_paused: false,
                pause_requested: false,
                fence: None,
                current: Revision {
                    replica_set: format!("{target}-abc"),
                    pod_template_hash: "abc".into(),
                    template: "0123456789abcdef".into(),
                    number: 1,
                    started_at: at(-3600),
                    ready: replicas,
                },
                previous: Vec::new(),
                rollout: Rollout { complete: true, ..Rollout::default() },
                start_seconds: Some(2.5),
                config_changed_at: None,
                other_scalers: Vec::new(),
                gitops: None,
                tunable: None,
            }),
        },
        picture: Picture {
            signals: [(SignalName::CPU, estimate)].into_iter().collect(),
            ..Picture::default()
        },
        memory: Memory::default(),
        gate: GateView::None,
        gate_fault: None,
        standing: Standing { ledger_available: true, namespace_may_act: true, ..Standing::default() },
    }
}

pub fn scale(situation: &Situation, to: i32) -> Decision {
    let from = situation.observed.workload.as_ref().unwrap().desired;
    Decision {
        at: situation.now,
        object: situation.object.clone(),
        action: if to > from { Action::ScaleUp } else { Action::ScaleDown },
        provisional: false,
        confidence: Some(0.93),
        proof: None,
        plan: Plan::Scale { from, to },
        act: true,
        want: to,
        why: "Forecast".into(),
        reasoning: format!("{from} to {to}").into(),
        rules: vec![RuleVerdict { rule: Action::ScaleUp, holds: Holds::Yes, because: "n* = 5".into() }],
        waiting_on: Vec::new(),
        notices: Vec::new(),
        memory: Arc::default(),
        memory_if_not_applied: Arc::default(),
        mode: crate::api::scaling::Mode::Balanced,
        policy_version: 1,
    }
}

/// The outcome *applied* of a plan on its situation.
pub fn applied(situation: &Situation, decision: &Decision) -> Outcome {
    let post = state::after(situation, &decision.plan).unwrap();
    Outcome::Applied { resource_version: "8".into(), post }
}

/// Intends and concludes one scaling.
pub async fn act(ledger: &Ledger, target: &str, from: i32, to: i32, now: i64) {
    let situation = situation(target, from, now);
    let decision = scale(&situation, to);
    let outcome = applied(&situation, &decision);
    let intended = ledger.intend(&situation, decision, at(now)).await.unwrap();
    ledger.conclude(intended.acted(outcome, at(now) + SignedDuration::from_secs(1))).await.unwrap();
}

pub fn request(store: &MemoryStore) -> Request {
    let objects = store.objects().into_iter().map(Saved::from).collect();
    Request { objects, keys: keys(), ..Request::default() }
}

pub fn audit(store: &MemoryStore) -> Report {
    verify(&request(store))
}
