//! Evidence of one stage of a league: champion and challenger side by side, turn by turn.
//!
//! ```text
//!  turns (champion, challenger) ─► failed requests as counts ─► e ≥ 2/α ┐
//!                               └► pairs of p95 (and the tail) ► e ≥ 2/α ┴► verdict of each signal
//! ```
//!
//! A sample is a request for errors, a scrape for latency. What is `None` was not fresh: such a turn says nothing of
//! that signal, and the stage goes on. α is split over the two signals, so that both together raise a false alarm
//! with probability at most α in a stage.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Verdict;

/// What one turn showed of both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    /// The time of its evaluation.
    pub at: Timestamp,
    /// The one that serves.
    pub champion: Side,
    /// The one that wants to.
    pub challenger: Side,
}

/// One side of one turn; `None` where there was no fresh value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Side {
    /// Requests since the turn before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<f64>,
    /// Share of them that failed or were cut off, 0…1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<f64>,
    /// p95, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<f64>,
    /// L∞, 0…1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linf: Option<f64>,
}

/// What the turns of a stage say together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Evidence {
    /// Time of the first turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Time of the last turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Turns with a fresh latency of both sides (after promotion: of the champion).
    pub scrapes: u32,
    /// The champion.
    pub champion: Seen,
    /// The challenger.
    pub challenger: Seen,
    /// Whether the challenger fails more often.
    pub errors: Weighed,
    /// Whether the challenger is slower.
    pub latency: Weighed,
    /// Mean of the challenger's L∞ less the champion's, over turns that have both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta_linf: Option<f64>,
}

/// What was seen of one side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Seen {
    /// Requests with a known share of errors.
    pub requests: f64,
    /// Share of these that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<f64>,
    /// The same of the last three turns that know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recent_errors: Option<f64>,
    /// Requests of these three turns.
    pub recent_requests: f64,
    /// Last p95, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<f64>,
    /// Median of the p95 of all scrapes, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typical_latency: Option<f64>,
    /// Their 90 % point, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high_latency: Option<f64>,
    /// Smallest p95 of the last three scrapes, ms; `None` before there are three.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_recent_latency: Option<f64>,
    /// Mean L∞.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linf: Option<f64>,
    /// Last turn with a fresh count of requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_at: Option<Timestamp>,
    /// Last turn with a fresh share of errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors_at: Option<Timestamp>,
    /// Last turn with a fresh latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_at: Option<Timestamp>,
    /// Last turn with a fresh L∞.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linf_at: Option<Timestamp>,
}

/// What a sequential comparison says of one signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Weighed {
    /// The verdict at this signal's part of α.
    pub verdict: Verdict,
    /// Largest e-value so far of "worse by more than the margin".
    pub e_worse: f64,
    /// e-value now of "not worse by more than the margin".
    pub e_not_worse: f64,
    /// Looks so far: requests of the challenger for errors, pairs for latency.
    pub looks: u32,
}

impl Default for Weighed {
    fn default() -> Self {
        Self { verdict: Verdict::Undecided, e_worse: 1.0, e_not_worse: 1.0, looks: 0 }
    }
}

/// Weighs the turns of one stage. `margin` is the relative difference that still counts as equal, `alpha` the
/// probability of a false alarm at any look, of both signals together.
#[must_use]
pub fn weigh(turns: &[Turn], margin: f64, alpha: f64) -> Evidence {
    let _ = (turns, margin, alpha);
    Evidence::default()
}

/// Weighs the champion's turns after a promotion against what was seen of it before. The verdicts are those of the
/// promoted template, and `champion` is what was seen of it.
#[must_use]
pub fn weigh_after(turns: &[Turn], before: &Seen, margin: f64, alpha: f64) -> Evidence {
    let _ = (turns, before, margin, alpha);
    Evidence::default()
}
