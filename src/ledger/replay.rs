//! Deciding again: from the inputs that an intent records to the decision that it records, bit for bit.

use serde::Serialize;

use super::statement::{EntryError, Intent, Parts};
use super::step::{Act, Step};
use crate::decide::{Decision, POLICY_VERSION, decide, league, release};

/// What deciding again gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "result")]
pub enum Again {
    /// The same, in every bit.
    Same,
    /// Something else. With the rules that decided then, this must not be.
    Differs {
        /// What differs.
        fields: Vec<&'static str>,
    },
    /// Another version of the rules decided then.
    OtherPolicy {
        /// That version.
        version: u32,
        /// What these rules would decide otherwise.
        fields: Vec<&'static str>,
    },
}

/// One intent, decided again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// Index of its entry.
    pub index: u64,
    /// Id of the decision.
    pub id: String,
    /// What was decided then, in one line.
    pub then: String,
    /// What these rules decide, in one line.
    pub now: String,
    /// How the two compare.
    #[serde(flatten)]
    pub again: Again,
}

/// Decides on every intent among the lines again, in order.
///
/// # Errors
/// The index of a line that is no entry, and why.
pub fn replay(first: u64, lines: &[String]) -> Result<Vec<Replayed>, (u64, EntryError)> {
    let mut all = Vec::new();
    for (index, line) in (first..).zip(lines) {
        let statement = Parts::of(line).and_then(|parts| parts.read()).map_err(|why| (index, why))?;
        match Act::of(statement.predicate.body) {
            Some(Act::Turn(intent)) => all.push(once(index, &intent)),
            Some(Act::Step(step)) => all.push(step_once(index, &step)),
            None => {}
        }
    }
    Ok(all)
}

fn once(index: u64, intent: &Intent) -> Replayed {
    let mut decision = decide(&intent.situation);
    let mut fields = differences(intent, &decision);
    // What is given back for a resource under deletion is decided by its own function on the same situation.
    if !fields.is_empty()
        && let Some(released) = release(&intent.situation)
        && differences(intent, &released).is_empty()
    {
        (decision, fields) = (released, Vec::new());
    }
    Replayed {
        index,
        id: intent.id.clone(),
        then: format!("{}: {}", intent.action.as_str(), intent.why),
        now: format!("{}: {}", decision.action.as_str(), decision.why),
        again: again(intent.policy_version, fields),
    }
}

/// The same for a step of a league.
fn step_once(index: u64, step: &Step) -> Replayed {
    let mut decision = league::decide(&step.situation);
    let mut fields = step_differences(step, &decision);
    if !fields.is_empty()
        && let Some(released) = league::release(&step.situation)
        && step_differences(step, &released).is_empty()
    {
        (decision, fields) = (released, Vec::new());
    }
    let why = decision.reason.as_str();
    Replayed {
        index,
        id: step.id.clone(),
        then: format!("League: {}", step.why),
        now: format!("League: {why}"),
        again: again(step.policy_version, fields),
    }
}

fn step_differences(step: &Step, decision: &league::Decision) -> Vec<&'static str> {
    [
        ("plan", step.plan != decision.plan),
        ("why", step.why != decision.reason.as_str()),
        ("reasoning", step.reasoning != decision.reasoning),
        ("id", step.id != decision.id),
    ]
    .into_iter()
    .filter_map(|(field, differs)| differs.then_some(field))
    .collect()
}

fn again(version: u32, fields: Vec<&'static str>) -> Again {
    match version {
        POLICY_VERSION if fields.is_empty() => Again::Same,
        POLICY_VERSION => Again::Differs { fields },
        version => Again::OtherPolicy { version, fields },
    }
}

/// What differs in what is decided and in why: everything that an intent keeps of a decision.
fn differences(intent: &Intent, decision: &Decision) -> Vec<&'static str> {
    let bits = |confidence: Option<f64>| confidence.map(f64::to_bits);
    [
        ("action", intent.action != decision.action),
        ("plan", intent.plan != decision.plan),
        ("confidence", bits(intent.confidence) != bits(decision.confidence)),
        ("proof", intent.proof != decision.proof),
        ("why", intent.why != decision.why),
        ("reasoning", intent.reasoning != decision.reasoning),
        ("rules", intent.rules != decision.rules),
        ("id", intent.id != decision.id),
    ]
    .into_iter()
    .filter_map(|(field, differs)| differs.then_some(field))
    .collect()
}
