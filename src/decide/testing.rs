//! A small builder of situations for tests: a healthy web workload, changed one fact at a time.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::situation::{Decision, GateView, Memory, ObjectRef, Plan, Situation, Standing};
use crate::api::scaling::MatVerseScalingSpec;
use crate::observe::Observed;
use crate::observe::reading::{Evidence, Reading, SignalName};
use crate::observe::workload::{Revision, Rollout, Workload};
use crate::orient::capacity::Capacity;
use crate::orient::{Baseline, Comparison, Consistency, Estimate, OmegaEstimate, Picture, Verdict};

/// Some seconds after (or before) the moment at which every story plays.
pub(crate) fn at(seconds: i64) -> Timestamp {
    "2026-01-15T03:10:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

/// A spec that acts, with every default of the API.
pub(crate) fn spec() -> MatVerseScalingSpec {
    serde_json::from_value(json!({
        "targetRef": {"name": "web"}, "enforcement": "Act", "targets": {"latencyTarget": 250.0},
    }))
    .unwrap()
}

/// A revision that has run for a day.
pub(crate) fn revision(hash: &str, template: &str, number: i64, started_at: Timestamp) -> Revision {
    Revision {
        replica_set: format!("web-{hash}"),
        pod_template_hash: hash.into(),
        template: template.into(),
        number,
        started_at,
        ready: 0,
    }
}

/// One story: five replicas at 41 % cpu, latency 180 ms, no errors, no model, nothing remembered.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) s: Situation,
}

impl Story {
    pub(crate) fn new() -> Self {
        let started = at(-86_400);
        let workload = Workload {
            uid: "d-1".into(),
            resource_version: "100".into(),
            generation: 3,
            desired: 5,
            ready: 5,
            updated: 5,
            deployment_paused: false,
            pause_requested: false,
            fence: None,
            current: Revision { ready: 5, ..revision("7d9f", "t-new", 7, started) },
            previous: vec![revision("5c4b", "t-old", 6, at(-200_000))],
            rollout: Rollout {
                complete: true,
                last_ready_at: Some(started + SignedDuration::from_secs(60)),
                ..Rollout::default()
            },
            start_seconds: Some(30.0),
            config_changed_at: None,
            other_scalers: Vec::new(),
            gitops: None,
            tunable: None,
        };
        let s = Situation {
            now: at(0),
            object: ObjectRef {
                namespace: "shop".into(),
                name: "auth".into(),
                uid: "u-1".into(),
                target: "web".into(),
            }
            .into(),
            spec: spec(),
            observed: Observed { at: at(0), evidence: Evidence::default(), workload: Some(workload) },
            picture: Picture {
                consistency: Consistency::Consistent,
                horizon_seconds: 45.0,
                ..Picture::default()
            },
            memory: Memory { revision: Some("7d9f".into()), ..Memory::default() },
            gate: GateView::None,
            gate_fault: None,
            standing: Standing { ledger_available: true, namespace_may_act: true, ..Standing::default() },
        };
        Self { s }
            .fresh(SignalName::CPU, 0.41)
            .fresh(SignalName::LATENCY, 180.0)
            .fresh(SignalName::ERRORS, 0.0)
    }

    pub(crate) fn decide(&self) -> Decision {
        super::decide(&self.s)
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Situation)) -> Self {
        change(&mut self.s);
        self
    }

    pub(crate) fn workload(mut self, change: impl FnOnce(&mut Workload)) -> Self {
        change(self.s.observed.workload.as_mut().unwrap());
        self
    }

    pub(crate) fn memory(mut self, change: impl FnOnce(&mut Memory)) -> Self {
        change(&mut self.s.memory);
        self
    }

    pub(crate) fn replicas(self, desired: i32) -> Self {
        self.workload(|w| {
            w.desired = desired;
            w.ready = desired;
            w.updated = desired;
            w.current.ready = desired;
        })
    }

    pub(crate) fn reading(mut self, name: SignalName, reading: Reading) -> Self {
        self.s.observed.evidence.readings.insert(name, reading);
        self
    }

    /// A fresh reading whose filter has settled on it.
    pub(crate) fn fresh(mut self, name: SignalName, value: f64) -> Self {
        let before = self.s.picture.signals.get(&name).copied().unwrap_or_default();
        self.s.picture.signals.insert(name.clone(), Estimate { level: value, ..before });
        let sampled_at = self.s.now - SignedDuration::from_secs(2);
        self.reading(name, Reading::Fresh { value, sampled_at })
    }

    /// Ω read as `value`.
    pub(crate) fn omega(mut self, value: f64) -> Self {
        self.s.picture.omega = Some(OmegaEstimate { value, disagrees: false });
        self.fresh(SignalName::OMEGA, value)
    }

    /// A demand that exactly `n` replicas keep at the spec's utilisation, almost surely.
    pub(crate) fn needs(mut self, n: i32) -> Self {
        let target = self.s.spec.targets.cpu_target;
        let mean = (f64::from(n) - 0.5) * target;
        self.s.picture.capacity = Some(Capacity::Utilisation { mean, sd: 0.05, target });
        self
    }

    /// The same demand, wanted in every turn of the last ten minutes.
    pub(crate) fn needs_for_long(mut self, n: i32) -> Self {
        self.s.memory.recommending_since = Some(at(-600));
        self.s.memory.recommendations = vec![(at(-15), n)];
        self.needs(n)
    }

    /// The current revision began to roll out so many seconds ago and was ready 40 s later.
    pub(crate) fn rollout(self, ago: f64) -> Self {
        let ago = ago as i64;
        self.workload(|w| {
            w.current.started_at = at(-ago);
            w.rollout.last_ready_at = Some(at(-ago + 40));
        })
    }

    /// The comparison of a signal, with the numbers of page 1's example.
    pub(crate) fn compared(mut self, signal: SignalName, baseline: Baseline, verdict: Verdict) -> Self {
        let e = |yes| if yes { 63.0 } else { 2.0 };
        self.s.picture.comparisons.push(Comparison {
            signal,
            baseline,
            verdict,
            e_worse: e(verdict == Verdict::Worse),
            e_not_worse: e(verdict == Verdict::NotWorse),
            looks: 9,
            baseline_level: 182.0,
            current_level: 410.0,
            onset: Some(
                self.s.observed.workload.as_ref().unwrap().current.started_at + SignedDuration::from_secs(30),
            ),
            load_explains: false,
            one_sided: None,
        });
        self
    }

    /// A rollout of 120 s ago after which latency has been at 410 ms for long, beside old pods at 182 ms.
    pub(crate) fn bad_rollout() -> Self {
        Self::new()
            .rollout(120.0)
            .fresh(SignalName::LATENCY, 410.0)
            .estimate(SignalName::LATENCY, 410.0, 0.0, 10.0)
            .memory(|m| m.latency_high = 5)
            .compared(SignalName::LATENCY, Baseline::SideBySide, Verdict::Worse)
    }

    pub(crate) fn estimate(mut self, name: SignalName, level: f64, slope: f64, sd: f64) -> Self {
        let estimate = Estimate {
            level,
            slope,
            level_sd: sd,
            slope_sd: sd / 60.0,
            forecast: level,
            forecast_sd: sd,
            samples: 100,
            ..Estimate::default()
        };
        self.s.picture.signals.insert(name, estimate);
        self
    }

    /// The situation after the plan was carried out, some seconds later.
    pub(crate) fn after(&self, decision: &Decision, seconds: i64) -> Self {
        let mut next = self.clone();
        next.s.now = self.s.now + SignedDuration::from_secs(seconds);
        next.s.memory = (*decision.memory).clone();
        let now = self.s.now;
        let w = next.s.observed.workload.as_mut().unwrap();
        match &decision.plan {
            Plan::Nothing => {}
            Plan::Scale { to, .. } => w.desired = *to,
            Plan::Rollback { to, .. } => {
                let place = w.previous.iter().position(|r| r.pod_template_hash == *to).unwrap();
                let mut restored = w.previous.remove(place);
                restored.number = w.current.number + 1;
                restored.started_at = now;
                let reverted = std::mem::replace(&mut w.current, restored);
                w.previous.insert(0, reverted);
                w.rollout = Rollout::default();
            }
            Plan::Retune { key, to, .. } => {
                w.tunable.as_mut().unwrap().values.insert(key.clone(), to.clone());
            }
        }
        next
    }
}

/// Asserts the action and its token, and says everything when they differ.
#[track_caller]
pub(crate) fn expect(decision: &Decision, action: super::Action, why: &str) {
    assert_eq!((decision.action, &*decision.why), (action, why), "{decision:#?}");
}

/// The verdict of one rule.
#[track_caller]
pub(crate) fn because(decision: &Decision, rule: super::Action) -> String {
    let verdict = decision.rules.iter().find(|verdict| verdict.rule == rule);
    verdict.unwrap_or_else(|| panic!("{rule:?} was not tried: {decision:#?}")).because.to_string()
}

/// Whether a notice of that reason is given.
pub(crate) fn notices(decision: &Decision, reason: &str) -> bool {
    decision.notices.iter().any(|notice| notice.reason == reason)
}
