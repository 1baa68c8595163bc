//! Orient: from [`crate::observe::Observed`] evidence to a [`Picture`] — state, trend, tail, capacity, comparison.
//!
//! Pure: no clock, no IO, no randomness. Time comes in as a value; `exp`, `ln` and `erf` come from `libm`, so
//! that a picture is bit for bit the same on another machine.

pub mod adapt;
pub mod beta;
pub mod capacity;
pub mod comparison;
pub mod consistency;
pub mod counts;
pub mod demand;
mod estimates;
pub mod estimator;
pub mod growth;
pub mod joint;
pub mod judge;
pub mod kalman;
mod lanes;
pub mod local;
pub mod omega;
pub mod original;
pub mod outcomes;
pub mod paired;
pub mod proportions;
pub mod queue;
pub mod ready;
pub mod rhythm;
mod samples;
pub mod sequential;
pub mod service;
pub mod settings;
pub mod special;
pub mod surge;
pub mod surprise;
pub mod tail;
pub mod trial;

#[cfg(test)]
mod oracle_tests;

pub use estimates::Estimates;
pub use estimator::Estimator;
pub use settings::{Model, Settings};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::observe::reading::SignalName;

/// What the estimators make of the evidence, at one turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Picture {
    /// Filtered state of each named signal that has had a sample.
    pub signals: Estimates,
    /// Whether the innovations agree with the filters.
    pub consistency: Consistency,
    /// −log₁₀ of the tail probability of the joint innovation, 0…300; `None` before two signals are warm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joint_anomaly: Option<f64>,
    /// Ω, read or computed from Ψ and CVaR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omega: Option<OmegaEstimate>,
    /// Ψ, where fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psi: Option<f64>,
    /// CVaR, where fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cvar: Option<f64>,
    /// Θ̂ = exp(−latencyMs/1000), where latency is fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theta: Option<f64>,
    /// Demand through the horizon; `None` where no model is identified (then the reactive rules alone).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<capacity::Capacity>,
    /// A load beyond everything that was carried well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surge: Option<surge::Surge>,
    /// How far ahead the forecast looks, in seconds.
    pub horizon_seconds: f64,
    /// The current revision against its baseline, one per comparable signal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<Comparison>,
}

/// Filtered state of one signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// Level now, in the signal's unit.
    pub level: f64,
    /// Slope, in units a second.
    pub slope: f64,
    /// Standard deviation of the level.
    pub level_sd: f64,
    /// Standard deviation of the slope.
    pub slope_sd: f64,
    /// Mean of a sample one horizon ahead.
    pub forecast: f64,
    /// Standard deviation of that sample.
    pub forecast_sd: f64,
    /// Normalised innovation squared of the last sample.
    pub nis: f64,
    /// −log₁₀ of the tail probability of the last innovation under the distribution learned from the signal's
    /// own past, 0…300; see [`surprise`].
    pub anomaly: f64,
    /// Samples seen.
    pub samples: u32,
}

/// Whether the innovations agree with the filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Consistency {
    /// Too few samples to say.
    #[default]
    Unknown,
    /// Mean NIS inside its band.
    Consistent,
    /// Mean NIS above its 95 % band for ten minutes: the filter is too sure of itself.
    Overconfident,
    /// Mean NIS below its band (a constant signal); only reported.
    Underconfident,
}

/// Ω and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OmegaEstimate {
    /// Ω that counts, 0…1: the smaller one where a read and a computed value exist.
    pub value: f64,
    /// Whether a read value and the computed one differ by more than .05.
    pub disagrees: bool,
}

/// The current revision against its baseline on one signal, valid at every look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// `latency`, `errors` or `omega`.
    pub signal: SignalName,
    /// What it is compared with.
    pub baseline: Baseline,
    /// The verdict so far.
    pub verdict: Verdict,
    /// e-value of "worse by more than the margin"; ≥ 1/α is `Worse`.
    pub e_worse: f64,
    /// e-value of "not worse than the margin".
    pub e_not_worse: f64,
    /// Looks so far.
    pub looks: u32,
    /// Typical value of the baseline, in the signal's unit.
    pub baseline_level: f64,
    /// Typical value of the current revision.
    pub current_level: f64,
    /// First sample of the present run of bad ones, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onset: Option<Timestamp>,
    /// Whether load per replica, not the revision, explains the difference.
    pub load_explains: bool,
    /// What a few samples since the rollout say by their size, against the window before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_sided: Option<OneSided>,
}

/// One-sided evidence of the first samples since a rollout, where they come too seldom for a sequential verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OneSided {
    /// Probability of a deviation like this one at any look and on any signal, were all as before.
    pub p: f64,
    /// Samples behind it.
    pub samples: u32,
    /// The first bad sample.
    pub onset: Timestamp,
    /// The last sample before it, or the rollout's start: the trouble began after this.
    pub after: Timestamp,
}

/// What the current revision is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Baseline {
    /// Old pods that run beside the new.
    SideBySide,
    /// The window before the rollout.
    Before,
}

/// What a sequential comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Worse by more than the margin.
    Worse,
    /// Not worse by more than the margin.
    NotWorse,
    /// Neither is shown yet.
    Undecided,
}

impl Verdict {
    /// What e-values of "worse" and "not worse" say at level `alpha`. Worse goes first: a revision that was fine for
    /// an hour and then fell is worse.
    #[must_use]
    pub fn of((worse, not_worse): (f64, f64), alpha: f64) -> Self {
        if worse >= 1.0 / alpha {
            Self::Worse
        } else if not_worse >= 1.0 / alpha {
            Self::NotWorse
        } else {
            Self::Undecided
        }
    }
}
