//! One workload's way from evidence to decision, as a turn of the operator goes it, without acting.
//!
//! Nobody tells a pilot whether a plan was carried out: it sees it in the next observation, and remembers the act
//! or the abstention accordingly.

use std::sync::Arc;

use crate::api::scaling::MatVerseScalingSpec;
use crate::decide::situation::{GateView, Memory, ObjectRef, Plan, Situation, Standing};
use crate::decide::{self, Decision, Version};
use crate::observe::Observed;
use crate::observe::workload::Workload;
use crate::orient::{Estimator, Settings};

/// Estimators and memory of one workload.
#[derive(Clone, Debug)]
pub struct Pilot {
    object: Arc<ObjectRef>,
    spec: MatVerseScalingSpec,
    settings: Settings,
    version: Version,
    estimator: Estimator,
    memory: Memory,
    /// The last plan that may be carried out, with the memory for that case.
    open: Option<(Plan, Arc<Memory>)>,
}

impl Pilot {
    /// A pilot that has seen nothing.
    ///
    /// # Errors
    /// Every reason for which the operator would not evaluate the spec.
    pub fn new(namespace: &str, name: &str, spec: MatVerseScalingSpec) -> Result<Self, Vec<String>> {
        let object = ObjectRef {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: format!("{namespace}/{name}"),
            target: spec.target_ref.name.clone(),
        };
        let mut pilot = Self {
            object: Arc::new(object),
            settings: decide::settings(&spec),
            version: Version::NEWEST,
            spec: spec.clone(),
            estimator: Estimator::new(),
            memory: Memory::default(),
            open: None,
        };
        pilot.respec(spec)?;
        Ok(pilot)
    }

    /// Decides by the rules of a version from now on, to compare it with another.
    #[must_use]
    pub fn by(self, version: Version) -> Self {
        Self { version, ..self }
    }

    /// Goes on with another spec; what was learned stays.
    ///
    /// # Errors
    /// Every reason for which the operator would not evaluate the spec; the old one then stays.
    pub fn respec(&mut self, spec: MatVerseScalingSpec) -> Result<(), Vec<String>> {
        let why = decide::refused(&spec);
        if !why.is_empty() {
            return Err(why);
        }
        self.settings = decide::settings(&spec);
        self.spec = spec;
        Ok(())
    }

    /// The spec it follows.
    #[must_use]
    pub fn spec(&self) -> &MatVerseScalingSpec {
        &self.spec
    }

    /// Takes one turn's evidence in. Turns come in the order of their times.
    pub fn orient(&mut self, observed: Observed) -> Situation {
        if let Some((plan, memory)) = self.open.take()
            && observed.workload.as_ref().is_some_and(|w| carried_out(&plan, w))
        {
            self.memory = Arc::unwrap_or_clone(memory);
        }
        let picture = self.estimator.orient(&observed, &self.settings);
        Situation {
            now: observed.at,
            object: Arc::clone(&self.object),
            spec: self.spec.clone(),
            picture,
            memory: self.memory.clone(),
            gate: GateView::None,
            gate_fault: None,
            standing: Standing { ledger_available: true, namespace_may_act: true, ..Standing::default() },
            observed,
        }
    }

    /// Decides on a situation of [`Self::orient`].
    pub fn decide(&mut self, situation: &Situation) -> Decision {
        let decision = decide::decide_by(self.version, situation);
        self.memory = (*decision.memory_if_not_applied).clone();
        if decision.act {
            self.open = Some((decision.plan.clone(), Arc::clone(&decision.memory)));
        }
        decision
    }

    /// One whole turn.
    pub fn turn(&mut self, observed: Observed) -> Decision {
        let situation = self.orient(observed);
        self.decide(&situation)
    }
}

/// Whether a workload stands as a plan would leave it.
fn carried_out(plan: &Plan, w: &Workload) -> bool {
    match plan {
        Plan::Nothing => false,
        Plan::Scale { to, .. } => w.desired == *to,
        Plan::Rollback { to, good_template, .. } => {
            w.current.pod_template_hash == *to || w.current.template == *good_template
        }
        Plan::Retune { config_map, key, to, .. } => {
            w.tunable.as_ref().is_some_and(|t| t.name == *config_map && t.values.get(key) == Some(to))
        }
    }
}
