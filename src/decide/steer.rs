//! Soft-steer: how much of the effort is stable, and whether what is optional may go on.
//!
//! ```text
//!  samples (traffic, replicas, retuned) ─► effort of each loop over 60 s ─► Φ ─► derivatives ─► Unrest | calm
//! ```
//!
//! Φ = 1 − (exploratory share of the traffic + replicas changed per replica-minute + retuned share of the ranges), in
//! [0, 1]. Its target is a floor for calm: below `phiTarget − band`, or while it moves faster than
//! `maxSlewPerMinute` for 30 s, `Retune`, `ScaleDown` and new canaries wait. Above the band is rest. Nothing here is
//! asked by a `Rollback` or a `ScaleUp`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::view::{seconds, short};
use crate::api::gate::Steer;

/// Seconds over which effort is counted.
pub const WINDOW: f64 = 60.0;
/// Seconds over which Φ is differentiated.
pub const DERIVATIVES: [u32; 3] = [30, 60, 300];
/// Seconds for which Φ may move too fast.
pub const SLEW_FOR: f64 = 30.0;
/// Seconds for which Φ may be below its band before it is an alert.
pub const BAND_FOR: f64 = 60.0;
/// Samples kept at most, whatever the interval: 300 s of them, one a second, and as many out of turn.
const KEPT: usize = 600;

/// What one evaluation saw of the effort.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// Share of the traffic that a challenger answers, 0 to 1, since the sample before.
    pub traffic: f64,
    /// `spec.replicas` of the target.
    pub replicas: i32,
    /// Sum of the steps of parameters since the sample before, each as a share of its range.
    pub retuned: f64,
}

/// The loops that spend effort, in the order of [`Steering::loops`].
pub const LOOPS: [&str; 3] = ["league", "scaling", "retune"];

/// Why optional acts wait.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum Unrest {
    /// The effort of the last minute, or how it moves, is not known.
    Unknown,
    /// Φ is below its band.
    Low {
        /// Φ.
        phi: f64,
        /// Lower end of the band.
        floor: f64,
    },
    /// Φ has moved too fast for 30 s.
    Steep {
        /// Over 30 s, per minute.
        slope: f64,
        /// Largest that is calm.
        most: f64,
    },
}

impl Unrest {
    /// A single token for status.
    #[must_use]
    pub fn token(&self) -> &'static str {
        match self {
            Self::Unknown => "Steer:Unknown",
            Self::Low { .. } => "Steer:Low",
            Self::Steep { .. } => "Steer:Steep",
        }
    }

    /// Why, with the numbers.
    #[must_use]
    pub fn because(&self) -> String {
        match self {
            Self::Unknown => "the effort of the last minute is not known".into(),
            Self::Low { phi, floor } => format!("stable effort {} < {}", short(*phi), short(*floor)),
            Self::Steep { slope, most } => {
                format!("stable effort moves {} a minute, at most ±{} is calm", short(*slope), short(*most))
            }
        }
    }
}

/// What is known after a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steering {
    /// Φ; `None` before there is a minute of samples.
    pub phi: Option<f64>,
    /// Φ of each loop alone, in the order of [`LOOPS`]; `None` as Φ.
    pub loops: Option<[f64; 3]>,
    /// Change of Φ a minute over each of [`DERIVATIVES`]; `None` before there is that much of it.
    pub slopes: [Option<f64>; 3],
    /// Why optional acts wait; `None` = calm.
    pub unrest: Option<Unrest>,
    /// Φ has been below its band for a minute.
    pub alert_low: bool,
    /// Φ has moved too fast for 30 s.
    pub alert_steep: bool,
}

impl Steering {
    /// What is known before any sample: nothing, so what is optional waits.
    pub const UNKNOWN: Self = Self {
        phi: None,
        loops: None,
        slopes: [None; 3],
        unrest: Some(Unrest::Unknown),
        alert_low: false,
        alert_steep: false,
    };
}

/// How far each loop is below the target: `max(0, phiTarget − Φ_loop)`.
#[must_use]
pub fn pressure(loops: &[f64; 3], target: f64) -> [f64; 3] {
    loops.map(|phi| (target - phi).max(0.0))
}

/// The ledger of effort of one gate: what the last minute cost, and the course of Φ. It is not kept over a restart: what
/// is optional waits until it is known again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effort {
    samples: Vec<Sample>,
    course: Vec<(Timestamp, f64)>,
    low_since: Option<Timestamp>,
    steep_since: Option<Timestamp>,
}

impl Effort {
    /// Takes a sample in. One that is older than the last starts anew: time that goes back measures nothing.
    pub fn take(&mut self, sample: Sample, spec: &Steer) -> Steering {
        let sample = Sample { traffic: share(sample.traffic), retuned: share(sample.retuned), ..sample };
        match self.samples.last() {
            Some(last) if sample.at < last.at => *self = Self::default(),
            // The same evaluation once more.
            Some(last) if sample.at == last.at => return self.steering(sample.at, spec),
            _ => {}
        }
        let now = sample.at;
        self.samples.push(sample);
        let outside = self.samples.iter().filter(|s| seconds(now, s.at) >= WINDOW).count();
        // The newest of those outside stays: it says what the first inside differs from.
        self.samples.drain(..outside.saturating_sub(1).max(self.samples.len().saturating_sub(KEPT)));
        if let Some(loops) = self.loops(now) {
            self.course.push((now, phi(&loops)));
        } else {
            self.course.clear();
        }
        let longest = f64::from(DERIVATIVES[2]);
        let outside = self.course.iter().filter(|(at, _)| seconds(now, *at) >= longest).count();
        self.course.drain(..outside.saturating_sub(1).max(self.course.len().saturating_sub(KEPT)));
        let steering = self.steering(now, spec);
        keep_since(&mut self.low_since, now, steering.phi.is_some_and(|phi| low(phi, spec)));
        keep_since(&mut self.steep_since, now, steering.slopes[0].is_some_and(|s| steep(s, spec)));
        self.steering(now, spec)
    }

    /// The effort of each loop over the window, as Φ of it alone.
    fn loops(&self, now: Timestamp) -> Option<[f64; 3]> {
        let first = self.samples.first()?;
        // Written so that NaN is not known.
        let known = seconds(now, first.at) >= WINDOW;
        if !known {
            return None;
        }
        let (mut traffic, mut changed, mut minutes, mut retuned) = (0.0, 0.0, 0.0, 0.0);
        for pair in self.samples.windows(2) {
            let (before, after) = (pair[0], pair[1]);
            // A sample stands for the time since the one before it.
            let lasted = seconds(now, before.at).min(WINDOW) - seconds(now, after.at).min(WINDOW);
            traffic += after.traffic * lasted / WINDOW;
            minutes += f64::from(before.replicas.min(after.replicas).max(0)) * lasted / WINDOW;
            changed += f64::from(before.replicas.abs_diff(after.replicas));
            retuned += after.retuned;
        }
        let scaling = if changed > 0.0 { share(changed / minutes) } else { 0.0 };
        Some([share(traffic), scaling, share(retuned)].map(|effort| 1.0 - effort))
    }

    fn steering(&self, now: Timestamp, spec: &Steer) -> Steering {
        let (Some(loops), Some((_, phi))) = (self.loops(now), self.course.last()) else {
            return Steering::UNKNOWN;
        };
        let slopes = DERIVATIVES.map(|window| self.slope(now, f64::from(window)));
        let lasts =
            |since: Option<Timestamp>, least: f64| since.is_some_and(|since| seconds(now, since) >= least);
        let alert_steep = lasts(self.steep_since, SLEW_FOR);
        let unrest = match slopes[0] {
            _ if low(*phi, spec) => Some(Unrest::Low { phi: *phi, floor: spec.phi_target - spec.band }),
            None => Some(Unrest::Unknown),
            Some(slope) if alert_steep => Some(Unrest::Steep { slope, most: spec.max_slew_per_minute }),
            Some(_) => None,
        };
        Steering {
            phi: Some(*phi),
            loops: Some(loops),
            slopes,
            unrest,
            alert_low: lasts(self.low_since, BAND_FOR),
            alert_steep,
        }
    }

    /// Change of Φ a minute since the newest of its values that is as old as the window.
    fn slope(&self, now: Timestamp, window: f64) -> Option<f64> {
        let (_, present) = self.course.last()?;
        let (at, then) = self.course.iter().rev().find(|(at, _)| seconds(now, *at) >= window)?;
        Some((present - then) / (seconds(now, *at) / 60.0))
    }
}

/// Φ of all loops: what they leave together.
fn phi(loops: &[f64; 3]) -> f64 {
    let spent: f64 = loops.iter().map(|phi| 1.0 - phi).sum();
    1.0 - share(spent)
}

/// Written so that NaN is low.
fn low(phi: f64, spec: &Steer) -> bool {
    let calm = phi >= spec.phi_target - spec.band;
    !calm
}

/// Written so that NaN is steep.
fn steep(slope: f64, spec: &Steer) -> bool {
    let calm = slope.abs() <= spec.max_slew_per_minute;
    !calm
}

/// Into [0, 1]; what is no number, or below 0, counts as all of it.
fn share(value: f64) -> f64 {
    if (0.0..=1.0).contains(&value) { value } else { 1.0 }
}

fn keep_since(since: &mut Option<Timestamp>, now: Timestamp, holds: bool) {
    *since = if holds { since.or(Some(now)) } else { None };
}

#[cfg(test)]
#[path = "steer_tests.rs"]
mod tests;
