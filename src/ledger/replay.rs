//! Deciding again: from the inputs that an intent records to the decision that it records, bit for bit.

use serde::Serialize;

use super::statement::{Body, EntryError, Intent, Parts};
use crate::decide::{Decision, POLICY_VERSION, decide, release};

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
        if let Body::Intent(intent) = statement.predicate.body {
            all.push(once(index, &intent));
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
    let again = match intent.policy_version {
        POLICY_VERSION if fields.is_empty() => Again::Same,
        POLICY_VERSION => Again::Differs { fields },
        version => Again::OtherPolicy { version, fields },
    };
    Replayed {
        index,
        id: intent.id.clone(),
        then: format!("{}: {}", intent.action.as_str(), intent.why),
        now: format!("{}: {}", decision.action.as_str(), decision.why),
        again,
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
