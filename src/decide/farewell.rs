//! What is given back when a resource is deleted: an unsettled retune. Everything that works stays as it is.

use super::decide;
use super::situation::{Action, Decision, Plan, Situation};

/// The act that gives back what was borrowed; `None` when nothing is, or when what was borrowed from is gone.
#[must_use]
pub fn farewell(situation: &Situation) -> Option<Decision> {
    let trial = situation.memory.retune_trial.as_ref()?;
    let tunable = situation.observed.workload.as_ref()?.tunable.as_ref()?;
    let present = tunable.values.get(&trial.key)?;
    // Somebody else's later value is theirs to keep.
    if tunable.name != trial.config_map || *present != trial.trial {
        return None;
    }
    let mut decision = decide(situation);
    decision.action = Action::Retune;
    decision.plan = Plan::Retune {
        config_map: tunable.name.clone(),
        resource_version: tunable.resource_version.clone(),
        key: trial.key.clone(),
        from: present.clone(),
        to: trial.before.clone(),
        restore: true,
    };
    decision.act = true;
    decision.confidence = None;
    decision.proof = None;
    decision.why = "Deleted".into();
    decision.reasoning =
        format!("the resource is deleted: {} goes back from {present} to {}", trial.key, trial.before);
    decision.waiting_on.clear();
    decision.id = super::id::of(&decision);
    Some(decision)
}
