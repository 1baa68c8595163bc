//! The league: a challenger goes through shadow, canary and promotion, or back. One pure function from a
//! [`Situation`] to a [`Decision`] with at most one write.
//!
//! ```text
//!  Idle ─► Shadow ─► Canary ─► Promote ─► Watch ─► Promoted
//!             └─────────┴──► RolledBack ◄───┘ (Revert)
//! ```

mod release;
mod situation;

pub use release::{AT_REST, borrows, release, runs};
pub use situation::{
    Contestant, Decision, Memory, Plan, Reason, Revision, Route, Rule, Situation, Split, Stage, Who,
};

use super::policy::POLICY_VERSION;
use crate::orient::trial::{self, Evidence, Turn};

/// Relative difference of the two sides that still counts as equal.
pub const MARGIN: f64 = 0.10;
/// Probability of a false alarm in one stage.
pub const ALPHA: f64 = 0.05;

/// Weighs the turns of the current stage (earlier ones are left out): side by side, and after a promotion the
/// champion against what was seen of it in the canary stage.
#[must_use]
pub fn weigh(memory: &Memory, turns: &[Turn]) -> Evidence {
    let since = memory.since;
    let stage: Vec<Turn> =
        turns.iter().filter(|turn| since.is_some_and(|since| turn.at > since)).cloned().collect();
    match (memory.stage, &memory.baseline) {
        (Stage::Promote | Stage::Watch, Some(before)) => {
            trial::weigh_after(&stage, &before.champion, MARGIN, ALPHA)
        }
        _ => trial::weigh(&stage, MARGIN, ALPHA),
    }
}

/// Decides one turn of a league.
#[must_use]
pub fn decide(s: &Situation) -> Decision {
    Decision {
        id: String::new(),
        at: s.now,
        object: s.object.clone(),
        plan: Plan::Nothing,
        next: s.memory.clone(),
        stage: s.memory.stage,
        reason: Reason::Steady,
        reasoning: String::new(),
        rules: Vec::new(),
        waiting_on: Vec::new(),
        policy_version: POLICY_VERSION,
    }
}
