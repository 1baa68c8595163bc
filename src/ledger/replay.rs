//! Deciding again: from the inputs that an intent records to the decision that it records, bit for bit.

use serde::Serialize;

use super::statement::{EntryError, Intent, Parts};
use super::step::{Act, Step};
use crate::decide::{Action, Decision, Version, decide_by, league, release_by};

/// What deciding again gave, by the version of the rules that is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "result")]
pub enum Again {
    /// The same, in every bit.
    Same,
    /// Something else, which must not be.
    Differs {
        /// What differs.
        fields: Vec<&'static str>,
    },
    /// By a version of the rules that this build does not know.
    OtherPolicy {
        /// That version.
        version: u32,
        /// What the newest rules would decide otherwise.
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
    /// Version of the rules that decided it.
    pub policy_version: u32,
    /// What was decided then, in one line.
    pub then: String,
    /// What the same rules decide again, in one line; the newest, where those are not known.
    pub now: String,
    /// How the two compare.
    #[serde(flatten)]
    pub again: Again,
    /// What the newest rules decide otherwise; `None` where they decided it in the first place, or are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<Newest>,
}

/// What the newest rules make of a decision by older ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Newest {
    /// Their decision, in one line.
    pub decision: String,
    /// What differs.
    pub fields: Vec<&'static str>,
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
    let known = Version::of(intent.policy_version);
    let (decision, fields) = decided_by(known.unwrap_or(Version::NEWEST), intent);
    let older = known.filter(|version| *version != Version::NEWEST);
    let newest = older.map(|_| decided_by(Version::NEWEST, intent)).filter(|(_, fields)| !fields.is_empty());
    Replayed {
        index,
        id: intent.id.clone(),
        policy_version: intent.policy_version,
        then: line(intent.action, intent.confidence, &intent.why),
        now: line(decision.action, decision.confidence, &decision.why),
        again: again(intent.policy_version, fields),
        newest: newest.map(|(decision, fields)| Newest {
            decision: line(decision.action, decision.confidence, &decision.why),
            fields,
        }),
    }
}

/// The same for a step of a league, whose rules are those of every version so far.
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
        policy_version: step.policy_version,
        then: format!("League: {}", step.why),
        now: format!("League: {why}"),
        again: again(step.policy_version, fields),
        newest: None,
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
    match Version::of(version) {
        Some(_) if fields.is_empty() => Again::Same,
        Some(_) => Again::Differs { fields },
        None => Again::OtherPolicy { version, fields },
    }
}

fn line(action: Action, confidence: Option<f64>, why: &str) -> String {
    let sure = confidence.map_or_else(String::new, |p| format!(" ({p:.3})"));
    format!("{}: {why}{sure}", action.as_str())
}

/// What the rules of a version decide on the situation of an intent, and what of it differs.
fn decided_by(version: Version, intent: &Intent) -> (Decision, Vec<&'static str>) {
    let decision = decide_by(version, &intent.situation);
    let fields = differences(intent, &decision);
    // What is given back for a resource under deletion is decided by its own function on the same situation.
    if !fields.is_empty()
        && let Some(released) = release_by(version, &intent.situation)
        && differences(intent, &released).is_empty()
    {
        return (released, Vec::new());
    }
    (decision, fields)
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
        ("reasoning", decision.reasoning != intent.reasoning.as_str()),
        ("rules", intent.rules != decision.rules),
        ("id", intent.id != decision.id()),
    ]
    .into_iter()
    .filter_map(|(field, differs)| differs.then_some(field))
    .collect()
}
