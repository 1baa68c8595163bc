//! The league: a challenger goes through shadow, canary and promotion, or back. One pure function from a
//! [`Situation`] to a [`Decision`] with at most one write.
//!
//! ```text
//!  Idle ─► Shadow ─► Canary ─► Promote ─► Watch ─► Promoted ─► (next challenger)
//!             └─────────┴──► RolledBack ◄───┘ (Revert)
//!
//!  Situation ─► hold? ─► the stage's step ─► is the traffic as our last write left it? ─► Decision
//! ```
//!
//! **Unknown is never success.** Without fresh evidence of the champion nothing passes and nothing ends. A challenger
//! that is silent while the champion speaks counts as one with too few samples.
//!
//! **Crash after a write.** Memory may be older than the cluster. A step whose write is there already is only
//! remembered; a write that leads one stage on is taken for ours; any other difference is somebody's edit, which is
//! respected and said.
//!
//! **Without a route** the challenger gets `max(1, round(weight · champion's replicas))` replicas behind the one
//! Service: no shadow, and a share that depends on how the Service balances.

mod borrowed;
mod draft;
mod request;
mod situation;
mod stages;
mod traffic;
mod watch;

#[cfg(test)]
mod fail_open_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod stage_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod watch_tests;

pub use crate::api::gate::League as Setup;
pub use borrowed::{borrows, end, runs};
pub use request::{Ask, Request};
pub use situation::{
    Contestant, Decision, Memory, Plan, Reason, Revision, Route, Rule, Situation, Split, Stage, Who,
};
pub use traffic::canary_weight;

use crate::orient::trial::{self, Evidence, Turn};
use draft::{Draft, Step};

/// Relative difference of the two sides that still counts as equal.
pub const MARGIN: f64 = 0.10;
/// Probability of a false alarm in one stage.
pub const ALPHA: f64 = 0.05;
/// How often a stage is extended.
pub const EXTENSIONS: u32 = 2;
/// Challenger templates that are remembered as failed.
pub const FAILED: usize = 8;
/// Rest after a league that ended through no fault of the challenger, s.
pub const REST_SECONDS: u32 = 300;
/// Scrapes below which a latency by itself means nothing.
pub const FEWEST_SCRAPES: u32 = 3;

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
    let mut draft = Draft::new(s);
    if let Some(held) = held(s) {
        draft.no("Hold", &held.reasoning);
        return draft.finish(held);
    }
    let step = if traffic::setup_changed(s) {
        traffic::set_up_anew(s)
    } else if let Some(asked) = request::answer(&mut draft) {
        asked
    } else {
        match s.memory.stage {
            Stage::Idle | Stage::RolledBack | Stage::Promoted => stages::at_rest(&mut draft),
            Stage::Shadow => stages::shadow(&mut draft),
            Stage::Canary => stages::canary(&mut draft),
            Stage::Promote | Stage::Watch => watch::after_promotion(&mut draft),
        }
    };
    let step = traffic::settle(&mut draft, step);
    draft.finish(step)
}

/// Gives back what a league borrowed — weight, mirror or replicas — for a resource that is deleted. `None` where
/// nothing is borrowed, or where it cannot be given back (gone, or edited by somebody else).
#[must_use]
pub fn release(s: &Situation) -> Option<Decision> {
    let step = traffic::home(s, &s.memory)?;
    let mut draft = Draft::new(s);
    let step = traffic::settle(&mut draft, step);
    (step.plan != Plan::Nothing).then(|| draft.finish(step))
}

/// Whether nothing may be done at all.
fn held(s: &Situation) -> Option<Step> {
    let (reason, why, on) = if let Some(who) = &s.paused {
        (Reason::Paused, who, "the pause to end")
    } else if let Some(why) = &s.ledger_trouble {
        (Reason::LedgerUnavailable, why, "the ledger")
    } else if let Some(why) = &s.blocked {
        (Reason::Blocked, why, "leave to act")
    } else {
        return None;
    };
    Some(Step::wait(s, reason, why.clone(), on))
}
