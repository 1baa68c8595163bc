//! The evidence of one gate: readings, the samples that count, and what they are evaluated with.
//!
//! The operator's loop and `matverse gate check` gather it here, so that both evaluate the same.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::OmegaGate;
use crate::api::gate::AdmittedStatus;
use crate::decide::gate::{GateSituation, earlier_linf};
use crate::observe::Observed;
use crate::observe::reading::{Reading, Readings};
use crate::observe::signals::{Defaults, PlanError, SignalPlan, Signals};
use crate::observe::workload::Workload;

/// What is kept of a gate's evidence between evaluations.
#[derive(Default)]
pub struct Gathered {
    /// `pod-template-hash` of the revision that the samples belong to.
    pub revision: Option<String>,
    /// Time of the first sample since that revision's rollout.
    pub first: Option<Timestamp>,
    /// Times of the distinct samples since then, the newest `windowSize` of them.
    samples: BTreeSet<Timestamp>,
    warm: bool,
}

/// The signals that a gate names, checked, as they are asked of its target.
///
/// # Errors
/// Every mistake in them.
pub fn plan(signals: &Signals, gate: &OmegaGate) -> Result<SignalPlan, Vec<PlanError>> {
    plan_of(signals, gate, &gate.spec.target_ref.name)
}

/// The same, of a Deployment by name.
///
/// # Errors
/// Every mistake in them.
pub fn plan_of(signals: &Signals, gate: &OmegaGate, name: &str) -> Result<SignalPlan, Vec<PlanError>> {
    let evidence = &gate.spec.evidence;
    let defaults =
        Defaults { source: Some(&evidence.source), max_age_seconds: Some(evidence.max_age_seconds) };
    let namespace = gate.namespace().unwrap_or_default();
    signals.plan(&evidence.profile, &evidence.signals, defaults, &namespace, name)
}

impl Gathered {
    /// Reads the evidence of one evaluation, the first time with what came before it.
    pub async fn look(
        &mut self,
        signals: &Signals,
        plan: &SignalPlan,
        gate: &OmegaGate,
        workload: Option<&Workload>,
        now: Timestamp,
    ) -> Readings {
        let namespace = gate.namespace().unwrap_or_default();
        let name = &gate.spec.target_ref.name;
        let evidence = signals.read(plan, &namespace, name, workload, now).await;
        let revision = workload.map(|w| w.current.pod_template_hash.clone());
        let started = workload.map(|w| w.current.started_at);
        if self.revision != revision {
            *self = Self { revision, ..Self::default() };
        }
        if !self.warm {
            let observed = Observed { at: now, evidence: evidence.clone(), workload: workload.cloned() };
            let interval = gate.spec.interval_seconds;
            for past in signals.history(plan, &namespace, name, &observed, interval).await {
                self.count(&past.evidence.readings, started);
            }
            self.warm = true;
        }
        self.count(&evidence.readings, started);
        self.first = self.first.or(self.samples.first().copied());
        while self.samples.len() > gate.spec.evidence.window_size as usize {
            self.samples.pop_first();
        }
        evidence.readings
    }

    /// A sample counts once, by its own time, and only after the revision's rollout began.
    fn count(&mut self, readings: &Readings, started: Option<Timestamp>) {
        let times = readings.values().filter_map(Reading::fresh).map(|(_, at)| at);
        self.samples.extend(times.filter(|at| started.is_none_or(|s| *at >= s)).max());
    }

    /// What is evaluated.
    #[must_use]
    pub fn situation(
        &self,
        gate: &OmegaGate,
        readings: Readings,
        workload: Option<&Workload>,
        admitted: &[AdmittedStatus],
        pole: Option<f64>,
        now: Timestamp,
    ) -> GateSituation {
        let template = workload.map_or("", |w| w.current.template.as_str());
        GateSituation {
            now,
            spec: gate.spec.clone(),
            readings,
            samples: u32::try_from(self.samples.len()).unwrap_or(u32::MAX),
            revision_started_at: workload.map(|w| w.current.started_at),
            pole,
            earlier_linf: earlier_linf(admitted, template),
            paused: gate.spec.paused,
        }
    }
}
