//! Every bound of an evaluation, in one place: what the owner asks for, where nobody says the default.

use super::GateSituation;
use crate::api::gate::{Growth, SigmaGuard};
use crate::orient::growth;

/// The bounds that one evaluation is held to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bounds {
    pub(super) psi_min: f64,
    pub(super) cvar_max: f64,
    pub(super) theta_min: f64,
    pub(super) omega_min: f64,
    /// Penalty of `CVaR` in the exporter form of Ω.
    pub(super) cvar_penalty: f64,
    pub(super) guard: SigmaGuard,
    pub(super) growth: Growth,
    pub(super) score_min: f64,
}

impl Bounds {
    pub(super) fn of(s: &GateSituation) -> Self {
        let basic = &s.spec.thresholds;
        Self {
            psi_min: basic.psi_min,
            cvar_max: basic.cvar_max,
            theta_min: basic.theta_min,
            omega_min: basic.omega_min,
            cvar_penalty: s.spec.omega.cvar_penalty,
            guard: s.spec.sigma_guard.clone().unwrap_or_default(),
            growth: s.spec.growth.clone().unwrap_or_default(),
            score_min: growth::SCORE_PASS,
        }
    }
}
