//! The last events of one workload, and what they amount to.
//!
//! Every event counts, approved or not: a window of approved ones alone has no tail to see.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::drill::{Drills, Mean, Resilience};
use super::event::{Event, Stress};
use crate::orient::tail::{self, TailWindow};
use crate::orient::{omega, outcomes};

/// Most events of a window.
pub const LARGEST: usize = 10_000;
/// Weight of Ψ and penalty of CVaR in Ω, exporter form.
const PSI_WEIGHT: f64 = 1.0;
const CVAR_PENALTY: f64 = 0.4;
/// Upper bounds of the loss histogram; the last is without bound.
pub const BOUNDS: [f64; 11] = [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, f64::INFINITY];

/// How a window is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Events in the window, 1…[`LARGEST`].
    pub window: usize,
    /// Level of the tail, 0 < α < 1.
    pub alpha: f64,
    /// Samples below which calibration and contractivity are undecided.
    pub min_samples: usize,
    /// Age of the newest event above which scores are absent; `None` = never.
    pub max_age: Option<SignedDuration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { window: 200, alpha: 0.95, min_samples: 20, max_age: None }
    }
}

/// The scores of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Score {
    /// Mean of Ψ.
    pub psi: Option<f64>,
    /// `CVaR` of the loss 1 − Ψ; unknown below 1/(1−α) events.
    pub cvar: Option<f64>,
    /// Ω; unknown where `CVaR` is.
    pub omega: Option<f64>,
    /// Events in the window.
    pub samples: usize,
}

/// Everything that a window says at one time; `None` = absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Ω, Ψ, `CVaR`, count.
    pub score: Score,
    /// Age of the newest event, s.
    pub age_seconds: Option<f64>,
    /// Expected calibration error.
    pub ece: Option<f64>,
    /// Largest bias ratio.
    pub rho_bias: Option<f64>,
    /// Fairness.
    pub fairness: Option<f64>,
    /// Consent, 0 or 1.
    pub consent: Option<f64>,
    /// Footprint of the window, kg.
    pub eco_kg: Option<f64>,
    /// Contractivity.
    pub rho: Option<f64>,
    /// Events with confidence and correctness.
    pub labelled: usize,
    /// Whether a stress episode is open.
    pub stress: bool,
    /// β and curvature.
    pub resilience: Resilience,
}

/// Losses seen since the start, by bound.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// Losses up to each of [`BOUNDS`] and above the one before it.
    pub counts: [u64; BOUNDS.len()],
    /// Their sum.
    pub sum: f64,
}

/// What is kept of an event.
#[derive(Clone, Debug)]
struct Sample {
    at: Timestamp,
    psi: f64,
    calibrated: Option<(f64, bool)>,
    grouped: Option<(Box<str>, bool)>,
    consent: Option<bool>,
    eco_kg: Option<f64>,
    risk: Option<f64>,
    stress: Option<Stress>,
}

/// The window.
#[derive(Clone, Debug)]
pub struct Window {
    settings: Settings,
    samples: VecDeque<Sample>,
    tail: TailWindow,
    losses: Losses,
    drills: Drills,
}

impl Window {
    /// An empty window.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let window = settings.window.clamp(1, LARGEST);
        Self {
            settings: Settings { window, ..settings },
            samples: VecDeque::new(),
            tail: TailWindow::new(window),
            losses: Losses::default(),
            drills: Drills::default(),
        }
    }

    /// Takes an event of time `at` in; the oldest leaves when the window is full.
    pub fn push(&mut self, event: &Event, at: Timestamp) {
        if let Some(Stress { level }) = event.stress {
            let samples = &self.samples;
            self.drills.push(at, event.psi, level, |since| {
                let mut calm = Mean::default();
                let after = |s: &&Sample| s.stress.is_none() && since.is_none_or(|since| s.at > since);
                samples.iter().filter(after).for_each(|s| calm.push(s.psi));
                calm
            });
        }
        if self.samples.len() == self.settings.window {
            self.samples.pop_front();
        }
        let loss = 1.0 - event.psi;
        self.tail.push(loss);
        self.losses.sum += loss;
        if let Some(bucket) = BOUNDS.iter().position(|bound| loss <= *bound) {
            self.losses.counts[bucket] += 1;
        }
        self.samples.push_back(Sample {
            at,
            psi: event.psi,
            calibrated: event.calibrated,
            grouped: event.grouped.as_ref().map(|(group, positive)| (group.as_str().into(), *positive)),
            consent: event.consent,
            eco_kg: event.eco_kg,
            risk: event.risk,
            stress: event.stress,
        });
    }

    /// The score as it will be with one more event of this Ψ.
    #[must_use]
    pub fn with(&self, psi: f64) -> Score {
        let full = self.samples.len() == self.settings.window;
        let mut tail = self.tail.clone();
        tail.push(1.0 - psi);
        let kept = self.samples.iter().skip(usize::from(full)).map(|s| s.psi);
        self.scored(kept.chain([psi]), &tail)
    }

    /// The score as it is.
    #[must_use]
    pub fn score(&self) -> Score {
        self.scored(self.samples.iter().map(|s| s.psi), &self.tail)
    }

    fn scored(&self, psis: impl Iterator<Item = f64>, tail: &TailWindow) -> Score {
        let samples = tail.len();
        // Added up anew, in order: no drift, and the same sum for the same window.
        let psi = (samples > 0).then(|| psis.sum::<f64>() / samples as f64);
        let cvar = tail.expected_shortfall(self.settings.alpha);
        let omega =
            psi.zip(cvar).and_then(|(psi, cvar)| omega::exporter(psi, cvar, PSI_WEIGHT, CVAR_PENALTY));
        Score { psi, cvar, omega, samples }
    }

    /// The 95 % interval of `CVaR`.
    #[must_use]
    pub fn cvar_interval(&self) -> Option<(f64, f64)> {
        let losses: Vec<f64> = self.samples.iter().map(|s| 1.0 - s.psi).collect();
        tail::interval(&losses, self.settings.alpha, 0.95, 1)
    }

    /// Losses since the start.
    #[must_use]
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Closes stress episodes that are over.
    pub fn turn(&mut self, now: Timestamp) {
        self.drills.turn(now);
    }

    /// Everything, at `now`. Where the newest event is too old, nothing but its age, the count, and the episodes.
    #[must_use]
    pub fn figures(&self, now: Timestamp) -> Figures {
        let newest = self.samples.iter().map(|s| s.at).max();
        let age = newest.map(|at| now.duration_since(at));
        let mut figures = Figures {
            score: Score { samples: self.samples.len(), ..Score::default() },
            age_seconds: age.map(|age| age.as_secs_f64().max(0.0)),
            stress: self.drills.active(now),
            resilience: self.drills.resilience(),
            ..Figures::default()
        };
        if age.is_none() || self.settings.max_age.is_some_and(|most| age.is_some_and(|age| age > most)) {
            return figures;
        }
        let labelled: Vec<(f64, bool)> = self.samples.iter().filter_map(|s| s.calibrated).collect();
        let grouped: Vec<(&str, bool)> = self
            .samples
            .iter()
            .filter_map(|s| s.grouped.as_ref().map(|(group, yes)| (&**group, *yes)))
            .collect();
        let risks: Vec<f64> = self.samples.iter().filter_map(|s| s.risk).collect();
        let least = self.settings.min_samples;
        figures.score = self.score();
        figures.ece = outcomes::calibration_error(&labelled, least);
        figures.rho_bias = outcomes::rho_bias(&grouped);
        figures.fairness = outcomes::fairness(&grouped);
        figures.consent = outcomes::consent(self.samples.iter().filter_map(|s| s.consent));
        figures.eco_kg = outcomes::footprint(self.samples.iter().filter_map(|s| s.eco_kg));
        figures.rho = outcomes::contractivity(&risks, least);
        figures.labelled = labelled.len();
        figures
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
