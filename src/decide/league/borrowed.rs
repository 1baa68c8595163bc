//! What a league holds that is not its own: weight and mirror of a route, replicas of the challenger.

use super::situation::{Decision, Memory, Reason, Situation, Stage};
use super::traffic::HOME;

/// Whether a stage that status names is one in which a league runs.
#[must_use]
pub fn runs(stage: &str) -> bool {
    [Stage::Shadow, Stage::Canary, Stage::Promote, Stage::Watch].iter().any(|s| s.as_str() == stage)
}

/// Whether a league holds something that is not its own.
#[must_use]
pub fn borrows(memory: &Memory) -> bool {
    memory.expected.is_some_and(|split| split != HOME) || memory.expected_replicas.is_some_and(|n| n > 0)
}

/// Gives back what is borrowed for a resource that is deleted or that names another setup, and ends the league. Where
/// nothing can be given back (gone, or edited by somebody else) it is given up.
#[must_use]
pub fn end(s: &Situation) -> Decision {
    let given = super::release(s);
    let mut decision = given.unwrap_or_else(|| {
        // Paused, so that nothing is decided but to forget.
        let text = "the resource names this league no longer".to_owned();
        let held = super::decide(&Situation { paused: Some(text), ..s.clone() });
        let next = Memory { expected: None, expected_replicas: None, ..held.next };
        Decision { next, ..held }
    });
    if decision.next.stage.running() {
        decision.next = Memory {
            stage: Stage::RolledBack,
            since: Some(s.now),
            until: None,
            reason: Some(Reason::Returned),
            ..decision.next
        };
        decision.stage = Stage::RolledBack;
    }
    decision
}
