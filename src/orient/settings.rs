//! What the estimators are told: plain numbers, free of the resource's types.

use serde::{Deserialize, Serialize};

/// Settings of one workload's estimators. The `decide` room maps a resource's spec to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Length of one turn, s.
    pub interval_seconds: f64,
    /// How far ahead, s; 0 = measured start time of a pod plus one interval.
    pub horizon_seconds: f64,
    /// Mean utilisation of the cpu request to hold, as a share.
    pub cpu_target: f64,
    /// p95 latency to hold, ms; `None` = latency sizes nothing.
    pub latency_target_ms: Option<f64>,
    /// P(target kept through the horizon) asked for.
    pub keep_probability: f64,
    /// Smallest process noise: sd that one turn adds to the level, as a share of the signal's scale.
    pub q_min: f64,
    /// Largest process noise, in the same unit.
    pub q_max: f64,
    /// Which capacity model answers.
    pub model: Model,
    /// Turns for which trouble must last before it counts.
    pub persistence: u32,
    /// Ω below this is trouble.
    pub omega_below: f64,
    /// A share of failed requests above this is trouble.
    pub errors_above: f64,
    /// How long after a rollout trouble may be blamed on it, s.
    pub attribution_seconds: f64,
    /// Relative difference that still counts as equal.
    pub equivalence_margin: f64,
    /// Any-time false alarm probability of a comparison.
    pub alpha: f64,
    /// Weight of Ψ in Ω, at most 1.
    pub psi_weight: f64,
    /// Penalty of `CVaR` in Ω.
    pub cvar_penalty: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval_seconds: 15.0,
            horizon_seconds: 0.0,
            cpu_target: 0.7,
            latency_target_ms: None,
            keep_probability: 0.95,
            q_min: 0.001,
            q_max: 0.1,
            model: Model::Auto,
            persistence: 3,
            omega_below: 0.70,
            errors_above: 0.05,
            attribution_seconds: 1800.0,
            equivalence_margin: 0.10,
            alpha: 0.05,
            psi_weight: 1.0,
            cvar_penalty: 0.4,
        }
    }
}

impl Settings {
    /// Utilisation of the cpu request above which more replicas are needed, forecast or not.
    #[must_use]
    pub fn cpu_bound(&self) -> f64 {
        cpu_bound(self.cpu_target)
    }

    /// The same settings with every number inside the range where the formulas hold; a number that is not
    /// finite becomes the strictest one that is. Keeps NaN out of everything downstream.
    #[must_use]
    pub fn bounded(&self) -> Self {
        let q_min = within(self.q_min, 0.0, 1.0, 0.001);
        Self {
            interval_seconds: within(self.interval_seconds, 0.1, 3600.0, 15.0),
            horizon_seconds: within(self.horizon_seconds, 0.0, 3600.0, 0.0),
            cpu_target: within(self.cpu_target, 0.01, 10.0, 0.7),
            latency_target_ms: self.latency_target_ms.filter(|ms| ms.is_finite() && *ms > 0.0),
            keep_probability: within(self.keep_probability, 0.5, 0.999_999, 0.99),
            q_min,
            q_max: within(self.q_max, q_min, 10.0, q_min.max(0.1)),
            model: self.model,
            persistence: self.persistence,
            omega_below: within(self.omega_below, 0.0, 1.0, 0.0),
            errors_above: within(self.errors_above, 0.0, 1.0, 1.0),
            attribution_seconds: within(self.attribution_seconds, 0.0, 86_400.0, 0.0),
            equivalence_margin: within(self.equivalence_margin, 0.0, 1.0, 1.0),
            alpha: within(self.alpha, 1e-9, 0.5, 1e-9),
            psi_weight: within(self.psi_weight, 0.0, 1.0, 0.0),
            cvar_penalty: within(self.cvar_penalty, 0.0, 10.0, 10.0),
        }
    }
}

/// Utilisation of the cpu request above which more replicas are needed, where `target` is to be held.
#[must_use]
pub fn cpu_bound(target: f64) -> f64 {
    (target + 0.10).max(0.80)
}

fn within(value: f64, low: f64, high: f64, otherwise: f64) -> f64 {
    if value.is_finite() { value.clamp(low, high) } else { otherwise }
}

/// Which capacity model sizes the workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Model {
    /// Queue where service time is identified, utilisation where cpu is; the larger count of both.
    #[default]
    Auto,
    /// Total utilisation over the target utilisation.
    Utilisation,
    /// Erlang-C with Allen–Cunneen; utilisation until service time is identified.
    Queue,
    /// None: the reactive bounds alone.
    Rules,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_make_no_sense_become_the_strict_ones() {
        let wild = Settings {
            interval_seconds: f64::NAN,
            q_min: 0.5,
            q_max: 0.1,
            alpha: f64::NAN,
            equivalence_margin: f64::INFINITY,
            latency_target_ms: Some(f64::NAN),
            keep_probability: 7.0,
            ..Settings::default()
        };
        let b = wild.bounded();
        assert!((b.interval_seconds - 15.0).abs() < 1e-12);
        assert!(b.q_max >= b.q_min);
        assert!(b.alpha <= 1e-9);
        assert!((b.equivalence_margin - 1.0).abs() < 1e-12);
        assert_eq!(b.latency_target_ms, None);
        assert!(b.keep_probability < 1.0);
        assert_eq!(Settings::default().bounded(), Settings::default());
    }
}
