//! The Σ-Guard: calibration, bias, fairness, consent, footprint, contractivity.

use super::bounds::Bounds;
use super::evidence::{Found, Silent};
use super::rows::judge;
use super::{GateResult, GateSituation, Pass};
use crate::observe::reading::SignalName;

/// Its gates in order, each named as its signal, with where such a value can lie.
const GATES: [(&str, (f64, f64)); 6] = [
    ("ece", (0.0, 1.0)),
    ("rhoBias", (1.0, f64::MAX)),
    ("fairness", (0.0, 1.0)),
    ("consent", (0.0, 1.0)),
    ("ecoKg", (0.0, f64::MAX)),
    ("rho", (0.0, f64::MAX)),
];

/// From this ratio of successive risks on it is said that little is left.
const RHO_WARNS: f64 = 0.95;

/// Whether a row is one of the guard's.
#[must_use]
pub fn is_guard(gate: &str) -> bool {
    GATES.iter().any(|(name, _)| *name == gate)
}

/// The rows that are asked for: all where `sigmaGuard` is given, else those whose signal is named.
pub(super) fn rows(s: &GateSituation, bounds: &Bounds) -> Vec<GateResult> {
    let guard = &bounds.guard;
    let own = s.spec.evidence.min_samples;
    let least = if guard.min_samples == 0 { own } else { guard.min_samples };
    let asked = |name: &str| s.spec.sigma_guard.is_some() || s.named(name);
    let row = |(name, range): (&str, (f64, f64))| {
        let value = s.within(&SignalName::new(name), least, range);
        match name {
            "ece" => judge(name, &value, guard.ece_max),
            "rhoBias" => judge(name, &value, guard.rho_bias_max),
            "fairness" => judge(name, &value, guard.fairness_min),
            "consent" => consent(&value, guard.require_consent),
            "ecoKg" => judge(name, &value, guard.eco_max_kg),
            _ => rho(&value, guard.rho_max),
        }
    };
    GATES.into_iter().filter(|(name, _)| asked(name)).map(row).collect()
}

/// Consent is whole or none: a share of it is not.
fn consent(value: &Found<f64>, required: bool) -> GateResult {
    if required {
        return judge("consent", value, 1.0);
    }
    judge("consent", &Err(Silent::Off("requireConsent is false")), 1.0)
}

/// The ratio of successive risks: below 1 whatever the owner allows, because from there on risk grows.
fn rho(value: &Found<f64>, max: f64) -> GateResult {
    let row = judge("rho", value, max.min(1.0));
    match row.value {
        Some(rho) if rho >= RHO_WARNS && row.pass == Pass::Yes => row.saying("close to 1, where risk grows"),
        _ => row,
    }
}

/// Whether ethics hold, as SR and L∞ ask: no row of the guard fails. Unknown where a row is.
pub(super) fn ethics(rows: &[GateResult]) -> Found<bool> {
    if let Some(row) = rows.iter().find(|row| row.pass == Pass::Unknown) {
        return Err(Silent::Unknown(format!("ethics are not known: {}", row.reason)));
    }
    Ok(!rows.iter().any(|row| row.pass == Pass::No))
}
