//! Ω and its parts.

use super::OmegaEstimate;

/// Weights of the canon form; their sum is 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CanonWeights {
    /// Of Ψ.
    pub psi: f64,
    /// Of Θ̂.
    pub theta: f64,
    /// Of 1 − `CVaR`.
    pub cvar: f64,
    /// Of `PoLE`.
    pub pole: f64,
}

impl Default for CanonWeights {
    fn default() -> Self {
        Self { psi: 0.4, theta: 0.3, cvar: 0.2, pole: 0.1 }
    }
}

/// Difference between a read and a computed Ω above which they disagree.
const DISAGREEMENT: f64 = 0.05;

/// Exporter form `clip(w·Ψ − λ·CVaR, 0, 1)`, w ≤ 1; `None` where an input is not finite.
#[must_use]
pub fn exporter(psi: f64, cvar: f64, psi_weight: f64, cvar_penalty: f64) -> Option<f64> {
    unit(psi_weight.min(1.0) * psi - cvar_penalty * cvar)
}

/// Canon form `w_ψ·Ψ + w_θ·Θ̂ + w_c·(1 − CVaR) + w_p·PoLE`; `None` where an input is not finite.
///
/// `pole` is 1 when the ledger verifies up to this decision.
#[must_use]
pub fn canon(psi: f64, theta: f64, cvar: f64, pole: f64, weights: &CanonWeights) -> Option<f64> {
    unit(weights.psi * psi + weights.theta * theta + weights.cvar * (1.0 - cvar) + weights.pole * pole)
}

/// Θ̂ = exp(−latency/1 s), latency in ms; `None` where the latency is no latency.
#[must_use]
pub fn theta(latency_ms: f64) -> Option<f64> {
    (latency_ms.is_finite() && latency_ms >= 0.0).then(|| libm::exp(-latency_ms / 1000.0))
}

/// The Ω that counts: the read one, the computed one, or the smaller of both, saying whether they disagree.
#[must_use]
pub fn settle(read: Option<f64>, computed: Option<f64>) -> Option<OmegaEstimate> {
    match (read.and_then(unit), computed.and_then(unit)) {
        (None, None) => None,
        (Some(value), None) | (None, Some(value)) => Some(OmegaEstimate { value, disagrees: false }),
        (Some(read), Some(computed)) => Some(OmegaEstimate {
            value: read.min(computed),
            disagrees: (read - computed).abs() > DISAGREEMENT,
        }),
    }
}

fn unit(value: f64) -> Option<f64> {
    value.is_finite().then(|| value.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::super::tail::{compat, expected_shortfall, tests as tail};
    use super::*;

    #[test]
    fn goldens() {
        let psi = tail::PSI.iter().sum::<f64>() / 25.0;
        assert!((psi - 0.828).abs() < 1e-12);
        let exact = expected_shortfall(&tail::losses(), 0.95).unwrap();
        let published = compat(&tail::losses(), 0.95).unwrap();
        assert!((exporter(psi, exact, 1.0, 0.4).unwrap() - 0.564).abs() < 1e-12);
        assert!((exporter(psi, published, 1.0, 0.4).unwrap() - 0.548).abs() < 1e-12);
        let weights = CanonWeights::default();
        assert!((canon(0.9, 0.8, 0.04, 1.0, &weights).unwrap() - 0.892).abs() < 1e-12);
        assert!((canon(0.9, 0.8, 0.04, 0.0, &weights).unwrap() - 0.792).abs() < 1e-12);
        assert!((theta(357.0).unwrap() - 0.70).abs() < 5e-4);
        assert!((theta(200.0).unwrap() - 0.819).abs() < 5e-4);
    }

    #[test]
    fn clipped_and_never_nan() {
        assert_eq!(exporter(0.1, 1.0, 1.0, 0.4), Some(0.0));
        assert_eq!(exporter(1.0, 0.0, 5.0, 0.4), Some(1.0), "a weight above 1 counts as 1");
        assert_eq!(exporter(f64::NAN, 0.0, 1.0, 0.4), None);
        assert_eq!(canon(0.9, f64::INFINITY, 0.0, 1.0, &CanonWeights::default()), None);
        assert_eq!(theta(-1.0), None);
        assert_eq!(theta(f64::NAN), None);
    }

    #[test]
    fn the_smaller_counts_where_they_disagree() {
        assert_eq!(settle(None, None), None);
        assert_eq!(settle(None, Some(0.9)), Some(OmegaEstimate { value: 0.9, disagrees: false }));
        assert_eq!(settle(Some(0.8), None), Some(OmegaEstimate { value: 0.8, disagrees: false }));
        assert_eq!(settle(Some(0.9), Some(0.8)), Some(OmegaEstimate { value: 0.8, disagrees: true }));
        assert_eq!(settle(Some(0.7), Some(0.8)), Some(OmegaEstimate { value: 0.7, disagrees: true }));
        assert_eq!(settle(Some(0.80), Some(0.78)), Some(OmegaEstimate { value: 0.78, disagrees: false }));
        assert_eq!(settle(Some(f64::NAN), Some(0.5)), Some(OmegaEstimate { value: 0.5, disagrees: false }));
    }
}
