//! What a ScaleDown that had to be taken back teaches: so many replicas are too few for such a load.
//!
//! ```text
//!  ScaleDown to n ─► n and the load are remembered
//!       └─ taken back, and the load has not grown ─► n is too few for it, and not tried again while it lasts
//! ```
//!
//! A forecast sees the mean and its noise, not every burst. Where a count is only just enough, a load that never changes
//! would be answered by fewer, more, fewer, … for ever.

use std::cmp::Ordering;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::policy::{DAY, NO_NOISE, SAME_LOAD};
use super::rules::Proposal;
use super::situation::{Action, Load, Memory};
use super::view::{View, seconds};
use crate::observe::reading::SignalName;

/// Counts remembered as too few.
const MOST: usize = 4;
/// Seconds over which a load is averaged: samples of a rate scatter by more than what one replica makes.
const MEAN_OVER: f64 = 300.0;

/// What is remembered of ScaleDowns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Regrets {
    /// The load in the mean over some [`MEAN_OVER`], and when it was last seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usual: Option<(Timestamp, Load)>,
    /// The last ScaleDown, until something else changes the count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowered: Option<Tested>,
    /// Counts that were too few for a load, each larger than the one before it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub too_few: Vec<Tested>,
    /// Retune steps in a row that were taken back.
    #[serde(skip_serializing_if = "none")]
    pub vain_steps: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
pub(super) fn none(steps: &u32) -> bool {
    *steps == 0
}

/// A count under a load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tested {
    /// When the count was set; of one too few, when it was raised.
    pub at: Timestamp,
    /// The count.
    pub replicas: i32,
    /// The mean load at that time; of one too few, the smallest at which it was.
    pub load: Load,
}

impl Regrets {
    /// Whether there is nothing to remember.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What lies a day back may have other reasons than the count.
    pub(super) fn forget(&mut self, now: Timestamp) {
        self.too_few.retain(|tested| seconds(now, tested.at) < DAY);
    }

    /// Somebody else set the count.
    pub(super) fn edited(&mut self) {
        self.lowered = None;
    }

    /// Takes back what the ScaleUp of that time taught: more replicas were no better.
    pub(super) fn withdraw(&mut self, at: Timestamp) {
        self.too_few.retain(|tested| tested.at != at);
    }

    /// A Retune step was taken back.
    pub(super) fn in_vain(&mut self, v: &View<'_>) {
        if v.version.since_four() {
            self.vain_steps = self.vain_steps.saturating_add(1);
        }
    }

    /// How many times its settling time a Retune rests: once both ways of each of `parameters` were in vain, twice as long
    /// after each further one.
    pub(super) fn rest(&self, parameters: usize) -> f64 {
        let further = self.vain_steps.saturating_sub(u32::try_from(2 * parameters).unwrap_or(u32::MAX));
        libm::ldexp(1.0, further.min(30).cast_signed())
    }

    fn learn(&mut self, mut found: Tested) {
        if let Some(known) = self.too_few.iter().find(|known| known.replicas == found.replicas) {
            found.load = smaller(known.load, found.load);
        }
        // Fewer replicas are known to be too few as well, unless by a smaller load.
        let says_more =
            |known: &Tested| alike(found.load, known.load).is_none_or(|(found, known)| known <= found);
        self.too_few.retain(|known| {
            known.replicas > found.replicas || (known.replicas < found.replicas && says_more(known))
        });
        self.too_few.push(found);
        self.too_few.sort_unstable_by_key(|known| known.replicas);
        let spare = self.too_few.len().saturating_sub(MOST);
        self.too_few.drain(..spare);
    }
}

/// What a load was and what it is, in the same unit; `None` where nothing alike was seen.
pub(super) fn alike(then: Load, now: Load) -> Option<(f64, f64)> {
    then.throughput.zip(now.throughput).or(then.work.zip(now.work))
}

/// How the load compares with what it was, by more than a share and than noise; `None` where nothing alike was seen. The
/// level of now counts: a mean would see a rise too late.
pub(super) fn compared(v: &View<'_>, then: Load, share: f64) -> Option<Ordering> {
    let load = v.load_level();
    let (then, now) = alike(then, load)?;
    let name = if load.throughput.is_some() { SignalName::THROUGHPUT } else { SignalName::CPU };
    let relative = v.level(&name).map_or(0.0, |(level, sd)| sd / level.max(f64::MIN_POSITIVE));
    let off = share * then + NO_NOISE * relative * now;
    Some(if now > then + off {
        Ordering::Greater
    } else if now < then - off {
        Ordering::Less
    } else {
        Ordering::Equal
    })
}

/// The mean load of late.
pub(super) fn usual(m: &Memory) -> Load {
    m.regrets.usual.map_or(Load::default(), |(_, load)| load)
}

/// Takes the turn's load into the mean.
pub(super) fn watch(m: &mut Memory, v: &View<'_>) {
    if !v.version.since_four() {
        return;
    }
    let now = v.load();
    let usual = m.regrets.usual.map_or(now, |(at, usual)| {
        let dt = v.since(at).max(0.0);
        let gain = dt / (dt + MEAN_OVER);
        let mean = |usual: Option<f64>, now: Option<f64>| match (usual, now) {
            (Some(usual), Some(now)) => Some(usual + gain * (now - usual)),
            (usual, now) => now.or(usual),
        };
        Load { throughput: mean(usual.throughput, now.throughput), work: mean(usual.work, now.work) }
    });
    // Arrivals are the better measure, and one is enough.
    let usual = if usual.throughput.is_some() { Load { work: None, ..usual } } else { usual };
    m.regrets.usual = (usual != Load::default()).then_some((v.now(), usual));
}

fn smaller(a: Load, b: Load) -> Load {
    let less = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a.min(b)).or(a).or(b);
    Load { throughput: less(a.throughput, b.throughput), work: less(a.work, b.work) }
}

/// Takes in that the count is changed by a decision.
pub(super) fn scaled(m: &mut Memory, v: &View<'_>, proposal: &Proposal, from: i32, to: i32) {
    if !v.version.since_four() {
        return;
    }
    let (at, load) = (v.now(), usual(m));
    let before = m.regrets.lowered.take();
    if proposal.action == Action::ScaleDown {
        // What a pool takes was not given because it was not needed.
        m.regrets.lowered = (proposal.why == "Surplus").then_some(Tested { at, replicas: to, load });
        return;
    }
    // A suspected revision says nothing of the count.
    if proposal.provisional || proposal.why == "BelowMin" {
        return;
    }
    if let Some(lowered) = before.filter(|lowered| lowered.replicas == from)
        && matches!(compared(v, lowered.load, SAME_LOAD), Some(Ordering::Less | Ordering::Equal))
    {
        m.regrets.learn(Tested { at, replicas: from, load: smaller(lowered.load, load) });
    }
}

/// The largest count that is known to be too few for the present load. A load that cannot be seen may be the one.
pub(super) fn too_few<'a>(v: &View<'a>) -> Option<&'a Tested> {
    if !v.version.since_four() {
        return None;
    }
    let now = usual(v.m);
    let still = |tested: &&Tested| {
        alike(tested.load, now)
            .is_none_or(|(then, now)| now.partial_cmp(&(then * (1.0 - SAME_LOAD))) != Some(Ordering::Less))
    };
    v.m.regrets.too_few.iter().rev().find(still)
}

#[cfg(test)]
#[path = "regret_tests.rs"]
mod tests;
