//! The rules that hold for any sample, wherever it comes from: finite, young enough, in range.
//!
//! This file is pure.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::reading::{Reading, Readings, SignalName};

/// Clocks may differ by this much, in seconds, before a sample counts as coming from the future.
pub const SKEW: f64 = 5.0;
/// Age a sample may have when nobody says, in seconds.
const MAX_AGE: u32 = 60;

/// What a signal's samples must meet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Oldest age, in seconds.
    pub max_age: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
}

impl Limits {
    /// The limits of a signal, with what its owner says over what its name says.
    #[must_use]
    pub fn of(signal: &str, max_age: Option<u32>, min: Option<f64>, max: Option<f64>) -> Self {
        let (smallest, largest) = range(signal);
        Self {
            max_age: f64::from(max_age.unwrap_or(MAX_AGE)),
            min: min.unwrap_or(smallest),
            max: max.unwrap_or(largest),
        }
    }

    /// What a value sampled at `sampled` (unix seconds; `None` = not proven) is worth at `at`.
    #[must_use]
    pub fn judge(&self, value: f64, sampled: Option<f64>, at: Timestamp) -> Reading {
        if !value.is_finite() {
            return Reading::NotFinite;
        }
        let Some(sampled) = sampled else { return Reading::Stale { age_seconds: None } };
        let age = seconds(at) - sampled;
        if age.is_nan() || age > self.max_age {
            return Reading::Stale { age_seconds: Some(age) };
        }
        if age < -SKEW || value < self.min || value > self.max {
            return Reading::OutOfRange { value };
        }
        match Timestamp::from_millisecond((sampled * 1000.0) as i64) {
            Ok(sampled_at) => Reading::Fresh { value, sampled_at },
            Err(_) => Reading::OutOfRange { value },
        }
    }
}

/// Unix seconds, to the millisecond.
#[must_use]
pub fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

/// No latency, no errors and no slow requests to speak of, because nothing is asked: that is idle, not missing.
/// `silent` names the signals whose source had nothing to measure.
pub fn idle(readings: &mut Readings, silent: &BTreeSet<SignalName>) {
    let quiet = readings.get(&SignalName::THROUGHPUT).and_then(Reading::fresh).is_some_and(|(v, _)| v == 0.0);
    if !quiet {
        return;
    }
    for name in [SignalName::LATENCY, SignalName::ERRORS, SignalName::SLOW] {
        if silent.contains(&name)
            && let Some(reading) = readings.get_mut(&name)
            && matches!(reading, Reading::Missing | Reading::NotFinite)
        {
            *reading = Reading::Idle;
        }
    }
}

/// The range of a signal where nobody gave another: (min, max).
fn range(name: &str) -> (f64, f64) {
    match name {
        "omega" | "psi" | "cvar" | "errors" | "slow" | "ece" | "fairness" | "consent" => (0.0, 1.0),
        "cpu" => (0.0, 10.0),
        "latency" => (0.0, 3.6e6),
        "throughput" | "ecoKg" | "rho" => (0.0, f64::MAX),
        "beta" => (0.0, 2.0),
        "rhoBias" => (1.0, f64::MAX),
        other
            if ["sr.", "oci.", "g.", "caos.", "linf.", "score.", "agape."]
                .iter()
                .any(|p| other.starts_with(p)) =>
        {
            (0.0, 1.0)
        }
        _ => (f64::MIN, f64::MAX),
    }
}
