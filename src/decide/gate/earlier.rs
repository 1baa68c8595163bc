//! What was admitted before: the L∞ to grow beyond, and whether a revision that fails took over from one that held.
//!
//! Revisions are kept in the order in which they were first admitted. Going back to one of them forgets those after
//! it: a revision that was brought back is not held to the L∞ of the one that it replaces.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{GateAnswer, GateDecision, GateSituation, Pass};
use crate::api::gate::{AdmittedStatus, OnFail};
use crate::decide::situation::GateFault;
use crate::observe::workload::Revision;

/// Revisions that are remembered.
const KEPT: usize = 4;
/// Longest text of a fault, in characters: it stands in every record of a rollback.
const TEXT: usize = 240;

/// The L∞ that a revision is compared with: the champion's, or that of what was admitted before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EarlierLinf {
    /// There is none: nothing was admitted before.
    #[default]
    None,
    /// There is one, and it is not to be believed.
    Unknown,
    /// It.
    Of(f64),
}

/// The L∞ of the last revision that was admitted before this template.
#[must_use]
pub fn earlier_linf(admitted: &[AdmittedStatus], template: &str) -> EarlierLinf {
    match before(admitted, template).iter().rev().find_map(|entry| entry.linf) {
        None => EarlierLinf::None,
        Some(linf) if (0.0..=1.0).contains(&linf) => EarlierLinf::Of(linf),
        Some(_) => EarlierLinf::Unknown,
    }
}

/// What was admitted before this template.
fn before<'a>(admitted: &'a [AdmittedStatus], template: &str) -> &'a [AdmittedStatus] {
    let place = admitted.iter().position(|entry| entry.template == template);
    &admitted[..place.unwrap_or(admitted.len())]
}

/// Takes an answer into account.
pub fn remember(admitted: &mut Vec<AdmittedStatus>, template: &str, answer: GateAnswer, linf: Option<f64>) {
    if let Some(place) = admitted.iter().position(|entry| entry.template == template) {
        admitted.truncate(place + 1);
    } else if answer == GateAnswer::Admit {
        admitted.push(AdmittedStatus { template: template.to_owned(), linf: None, stands: true });
    }
    admitted.drain(..admitted.len().saturating_sub(KEPT));
    let Some(entry) = admitted.last_mut().filter(|entry| entry.template == template) else { return };
    match answer {
        GateAnswer::Admit => {
            entry.linf = linf.or(entry.linf);
            entry.stands = true;
        }
        GateAnswer::Quarantine => entry.stands = true,
        GateAnswer::Block => entry.stands = false,
        GateAnswer::Unknown => {}
    }
}

/// A run of evaluations in which a hard gate fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Time of the first.
    pub since: Timestamp,
    /// Time of the last before it that did not, where there was one on this revision.
    pub after: Option<Timestamp>,
    /// How many.
    pub turns: u32,
}

/// What a gate that asks for a rollback holds against a revision; `None` where it does not ask for one.
///
/// `first` is the time of the first sample since the revision's rollout. A revision that was never admitted has been
/// in trouble since then, as far as anybody has seen; one that was, since its gates began to fail.
#[must_use]
pub fn fault(
    situation: &GateSituation,
    decision: &GateDecision,
    revision: &Revision,
    failing: &Failing,
    first: Timestamp,
    admitted: &[AdmittedStatus],
) -> Option<GateFault> {
    if situation.spec.on_fail != OnFail::Rollback || decision.decision != GateAnswer::Block {
        return None;
    }
    let hard = || decision.gates.iter().filter(|gate| gate.pass == Pass::No && gate.name != "omega");
    let held = admitted.iter().any(|entry| entry.template == revision.template);
    let (onset, after) = if held || failing.after.is_some() {
        (failing.since, failing.after.unwrap_or(failing.since))
    } else {
        (first, revision.started_at)
    };
    let stood = before(admitted, &revision.template).last().filter(|entry| entry.stands);
    let text: Vec<String> = hard().map(|gate| format!("{} {}", gate.name, gate.reason)).collect();
    Some(GateFault {
        target: situation.spec.target_ref.name.clone(),
        revision: revision.pod_template_hash.clone(),
        gates: hard().map(|gate| gate.name.clone()).collect(),
        text: text.join(", ").chars().take(TEXT).collect(),
        turns: failing.turns,
        samples: decision.samples,
        onset,
        after,
        stood: stood.map(|entry| entry.template.clone()),
    })
}
