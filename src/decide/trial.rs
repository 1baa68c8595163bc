//! Whether the last ScaleUps gained anything: two in a row that did not are followed by no third, until the load changes.
//!
//! ```text
//!  ScaleUp ─► pods ready ─► one horizon later: throughput up, latency or errors down, or no trouble left?
//!     └─ another before the verdict: judged with it, and counted with it; a third waits for the verdict
//! ```
//!
//! Up to [`policy::Version::Three`] one sample was compared with another; noise of a few percent then looked like a gain
//! or like another load. Since then levels are compared, and a difference must be beyond their noise. Up to
//! [`policy::Version::Four`] a ScaleUp that came before the verdict put it off, and without a load there was none.

use std::cmp::Ordering;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::behavior::{self, Way};
use super::policy;
use super::regret;
use super::situation::{Load, Memory};
use super::view::{Turn, View, short};
use crate::observe::reading::SignalName;

/// Throughput, latency, errors, cpu: what a ScaleUp may change.
const MEASURED: [SignalName; 4] =
    [SignalName::THROUGHPUT, SignalName::LATENCY, SignalName::ERRORS, SignalName::CPU];

/// ScaleUps under judgement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleUpTrial {
    /// When the last of them was decided.
    pub at: Timestamp,
    /// When all its pods were ready, once they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<Timestamp>,
    /// Count asked for.
    pub to: i32,
    /// Throughput, latency, errors and cpu before the first of them.
    pub before: [Option<f64>; 4],
    /// How many came before the last; it is not known yet what they gained.
    #[serde(default, skip_serializing_if = "regret::none")]
    pub earlier: u32,
    /// The count that the last would have asked for without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<i32>,
    /// The load before the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
}

impl ScaleUpTrial {
    /// Whether a count would be no new ScaleUp but a further step of the last, which a limit had cut short: for as long as
    /// no window of samples has shown what its pods do.
    fn goes_on(&self, v: &View<'_>, to: i32) -> bool {
        let shown = self.ready_at.is_some_and(|ready_at| v.since(ready_at) >= policy::RATE_WINDOW);
        self.goal.is_some_and(|goal| to <= goal) && !shown
    }

    fn count(&self) -> u32 {
        self.earlier.saturating_add(1)
    }
}

/// The trial of a ScaleUp that is decided now. The measure of before is that of the first without a verdict.
pub(super) fn begun(v: &View<'_>, to: i32, goal: Option<i32>) -> ScaleUpTrial {
    let new = ScaleUpTrial {
        at: v.now(),
        ready_at: None,
        to,
        before: measures(v),
        earlier: 0,
        goal: None,
        load: None,
    };
    let five = v.version.since_five();
    match &v.m.scale_up_trial {
        Some(open) if five && open.goes_on(v, to) => {
            ScaleUpTrial { at: v.now(), ready_at: None, to, ..open.clone() }
        }
        Some(open) if five => {
            ScaleUpTrial { before: open.before, earlier: open.count(), goal, load: open.load, ..new }
        }
        Some(open) => ScaleUpTrial { before: open.before, ..new },
        None if five => {
            let load = Some(regret::usual(v.m)).filter(|load| *load != Load::default());
            ScaleUpTrial { goal, load, ..new }
        }
        None => new,
    }
}

/// How many ScaleUps have shown no gain under a load that has not grown, where one more would be too many before their
/// verdict; and what that waits for.
pub(super) fn open(v: &View<'_>, to: i32) -> Option<(u32, String)> {
    let trial = v.m.scale_up_trial.as_ref().filter(|_| v.version.since_five())?;
    let count = v.m.fruitless.saturating_add(trial.count());
    let margin = v.spec().rollback.equivalence_margin;
    let grown = trial.load.is_some_and(|then| regret::compared(v, then, margin) == Some(Ordering::Greater));
    // What is foreseen, and not yet there, shows no gain either. A trouble that cannot be seen may be there.
    let missed = !v.troubles().is_empty() || (v.version.since_six() && v.troubles_hidden());
    if count < policy::FRUITLESS_LIMIT || !missed || grown || trial.goes_on(v, to) {
        return None;
    }
    let waits = trial.ready_at.map_or_else(
        || format!("{} pods to be ready", trial.to),
        |ready_at| format!("their gain, for {} s", short((v.horizon() - v.since(ready_at)).max(0.0))),
    );
    Some((count, waits))
}

/// The measurements as far as they are fresh.
fn measures(v: &View<'_>) -> [Option<f64>; 4] {
    levels(v).map(|level| level.map(|(value, _)| value))
}

/// The same with their standard deviations.
fn levels(v: &View<'_>) -> [Option<(f64, f64)>; 4] {
    MEASURED.map(|name| {
        if v.version.since_four() { v.level(&name) } else { v.value(&name).map(|value| (value, 0.0)) }
    })
}

/// Judges the last ScaleUp one horizon after its pods were ready.
pub(super) fn judge(m: &mut Memory, turn: &Turn<'_>) {
    if m.fruitless == 0 && m.scale_up_trial.is_none() {
        return;
    }
    let (s, w, four, five) = (turn.s, turn.w, turn.version.since_four(), turn.version.since_five());
    let before = m.clone();
    let v = turn.view(&before);
    let margin = s.spec.rollback.equivalence_margin;
    let load = if four { regret::usual(m) } else { v.load() };
    let changed = |then: Load| {
        if four {
            return regret::compared(&v, then, margin).is_some_and(Ordering::is_ne);
        }
        differs(then, load, margin)
    };
    if m.fruitless > 0 && (m.fruitless_load.is_some_and(changed) || (five && unseen(m, &v))) {
        m.fruitless = 0;
        m.fruitless_load = None;
    }
    let Some(trial) = &mut m.scale_up_trial else { return };
    if trial.ready_at.is_none() && w.ready >= trial.to {
        trial.ready_at = Some(s.now);
    }
    let Some(ready_at) = trial.ready_at else {
        // Pods that never start gain nothing and prove nothing.
        if v.since(trial.at) > f64::from(s.spec.rollback.attribution_seconds) {
            m.scale_up_trial = None;
        }
        return;
    };
    if v.since(ready_at) < v.horizon() {
        return;
    }
    let now = levels(&v);
    let pair = |i: usize| trial.before[i].zip(now[i]);
    // The level before was as uncertain as the one now.
    let noise = |sd: f64| policy::NO_NOISE * std::f64::consts::SQRT_2 * sd;
    let up = |i: usize| pair(i).is_some_and(|(then, (now, sd))| now > then * (1.0 + margin) + noise(sd));
    let down = |i: usize| pair(i).is_some_and(|(then, (now, sd))| now < then * (1.0 - margin) - noise(sd));
    let comparable = (0..3).any(|i| pair(i).is_some()) && (five || load != Load::default());
    if !comparable {
        if v.since(ready_at) > policy::TRIAL_DEADLINE * v.horizon() {
            m.scale_up_trial = None;
        }
        return;
    }
    let gained = up(0) || down(1) || down(2);
    // Pods that came before the trouble they were meant for have done their work.
    let well = v.troubles_visible() && v.troubles().is_empty();
    let (began, count) = (trial.at, trial.count());
    m.scale_up_trial = None;
    if gained || well {
        m.fruitless = 0;
        m.fruitless_load = None;
    } else {
        m.fruitless = m.fruitless.saturating_add(count);
        m.fruitless_load = Some(load);
        m.regrets.withdraw(began);
    }
}

/// Where the load was not seen when scaling was found not to help: whether the trouble has been over for as long as a
/// ScaleDown waits. The first load that is seen is then the one that has to change.
fn unseen(m: &mut Memory, v: &View<'_>) -> bool {
    let now = regret::usual(m);
    if m.fruitless_load.is_some_and(|then| regret::alike(then, now).is_some()) {
        return false;
    }
    m.fruitless_load = Some(now);
    let calm = m.calm_since.filter(|_| v.troubles_visible());
    calm.is_some_and(|since| v.since(since) >= behavior::window(Way::Down, v.spec()))
}

/// Whether the load differs by more than the margin; like is compared with like, and unseen is unchanged.
fn differs(then: Load, now: Load, margin: f64) -> bool {
    regret::alike(then, now).is_some_and(|(then, now)| (now - then).abs() > margin * then.abs())
}

#[cfg(test)]
#[path = "trial_tests.rs"]
mod tests;
