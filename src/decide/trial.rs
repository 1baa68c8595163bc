//! Whether the last ScaleUp gained anything: two in a row that did not are followed by no third, until the load changes.
//!
//! Up to [`policy::Version::Three`] one sample was compared with another; noise of a few percent then looked like a gain
//! or like another load. Since then levels are compared, and a difference must be beyond their noise.

use std::cmp::Ordering;

use super::policy;
use super::regret;
use super::situation::{Load, Memory};
use super::view::{Turn, View};
use crate::observe::reading::SignalName;

/// Throughput, latency, errors, cpu: what a ScaleUp may change.
const MEASURED: [SignalName; 4] =
    [SignalName::THROUGHPUT, SignalName::LATENCY, SignalName::ERRORS, SignalName::CPU];

/// The measurements as far as they are fresh.
pub(super) fn measures(v: &View<'_>) -> [Option<f64>; 4] {
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
    let (s, w, four) = (turn.s, turn.w, turn.version.since_four());
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
    if m.fruitless > 0 && m.fruitless_load.is_some_and(changed) {
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
    let comparable = (0..3).any(|i| pair(i).is_some()) && (load.throughput.is_some() || load.work.is_some());
    if !comparable {
        if v.since(ready_at) > policy::TRIAL_DEADLINE * v.horizon() {
            m.scale_up_trial = None;
        }
        return;
    }
    let gained = up(0) || down(1) || down(2);
    // Pods that came before the trouble they were meant for have done their work.
    let well = v.troubles_visible() && v.troubles().is_empty();
    let began = trial.at;
    m.scale_up_trial = None;
    if gained || well {
        m.fruitless = 0;
        m.fruitless_load = None;
    } else {
        m.fruitless = m.fruitless.saturating_add(1);
        m.fruitless_load = Some(load);
        m.regrets.withdraw(began);
    }
}

/// Whether the load differs by more than the margin; like is compared with like, and unseen is unchanged.
fn differs(then: Load, now: Load, margin: f64) -> bool {
    regret::alike(then, now).is_some_and(|(then, now)| (now - then).abs() > margin * then.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_compared_like_with_like() {
        let load = |throughput, work| Load { throughput, work };
        assert!(differs(load(Some(100.0), None), load(Some(111.0), None), 0.1));
        assert!(!differs(load(Some(100.0), None), load(Some(109.0), None), 0.1));
        assert!(differs(load(None, Some(2.0)), load(Some(100.0), Some(1.0)), 0.1));
        assert!(!differs(load(Some(100.0), None), load(None, Some(9.0)), 0.1), "unseen is unchanged");
    }
}
