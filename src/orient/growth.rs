//! Growth and ethics quantities that a gate may be held to: CAOS⁺, SR, OCI, G, L∞, Agápe, the score, α.
//!
//! Every part is a share in [0,1]. A part that is no such share, NaN among them, gives `None`: no quantity is made of
//! what cannot be believed. Harmonic means are used because they do not compensate: one part near 0 pulls the whole
//! to 0, whatever the others are.

/// Gain κ of CAOS⁺ where nobody says.
pub const KAPPA: f64 = 20.0;
/// Slope γ of CAOS⁺ where nobody says.
pub const GAMMA: f64 = 0.5;
/// Cost factor of L∞ where nobody says.
pub const COST_FACTOR: f64 = 0.1;
/// Score from which a challenger passes.
pub const SCORE_PASS: f64 = 0.7;
/// Score from which it may go on as a canary.
pub const SCORE_CANARY: f64 = 0.6;

/// Parts of CAOS⁺, each 0…1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Caos {
    /// Consistency.
    pub c: f64,
    /// Autonomous improvement.
    pub a: f64,
    /// Openness.
    pub o: f64,
    /// Stability.
    pub s: f64,
}

/// CAOS⁺ φ = tanh(γ·O·S·ln(1 + κ·C·A)), in [0,1), rising in every part.
#[must_use]
pub fn caos_phi(parts: Caos, kappa: f64, gamma: f64) -> Option<f64> {
    let Caos { c, a, o, s } = shares(parts, kappa)?;
    let gamma = positive(gamma)?;
    // tanh is 1 in binary long before it is 1, and the range is open there.
    let phi = libm::tanh(gamma * o * s * libm::log1p(kappa * c * a));
    phi.is_finite().then(|| phi.clamp(0.0, 1.0 - f64::EPSILON))
}

/// CAOS⁺ (1 + κ·C·A)^(O·S), at least 1, for display only: a bound of 1 on it would hold nothing.
#[must_use]
pub fn caos_exponential(parts: Caos, kappa: f64) -> Option<f64> {
    let Caos { c, a, o, s } = shares(parts, kappa)?;
    finite(libm::pow(1.0 + kappa * c * a, o * s))
}

fn shares(parts: Caos, kappa: f64) -> Option<Caos> {
    let Caos { c, a, o, s } = parts;
    positive(kappa)?;
    Some(Caos { c: share(c)?, a: share(a)?, o: share(o)?, s: share(s)? })
}

/// Weighted harmonic mean Σw / Σ(w/x) of (weight, part); 0 where a part with weight is 0.
#[must_use]
pub fn harmonic(parts: &[(f64, f64)]) -> Option<f64> {
    let (mut weights, mut inverse) = (0.0, 0.0);
    for &(weight, part) in parts {
        let (weight, part) = (positive(weight)?, share(part)?);
        if weight > 0.0 {
            weights += weight;
            // 1/0 is infinite, and Σw over that is 0.
            inverse += weight / part;
        }
    }
    (weights > 0.0).then(|| weights / inverse).filter(|mean| mean.is_finite())
}

/// The same with equal weights: OCI of memory, flow, policy, feedback; G of eight modules; Agápe.
#[must_use]
pub fn even(parts: &[f64]) -> Option<f64> {
    let weighted: Vec<(f64, f64)> = parts.iter().map(|part| (1.0, *part)).collect();
    harmonic(&weighted)
}

/// SR, the weighted harmonic mean of calibration .2, ethics .4, metacognition .3, autocorrection .1; 0 where ethics
/// vetoes.
#[must_use]
pub fn sr(parts: [f64; 4], ethics: bool) -> Option<f64> {
    let [calibration, ethical, metacognition, autocorrection] = parts;
    let mean = harmonic(&[(0.2, calibration), (0.4, ethical), (0.3, metacognition), (0.1, autocorrection)])?;
    Some(if ethics { mean } else { 0.0 })
}

/// Parts of L∞, each 0…1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linf {
    /// Self-improvement.
    pub rsi: f64,
    /// Synergy.
    pub synergy: f64,
    /// Novelty.
    pub novelty: f64,
    /// Stability.
    pub stability: f64,
    /// Viability.
    pub viability: f64,
    /// Cost; the only part of which less is better.
    pub cost: f64,
}

/// L∞ = weighted harmonic mean · e^(−factor·cost) · 1\[ethics\], 0…1.
///
/// Weights: rsi .2, synergy .2, novelty .2, stability .2, viability .15, 1 − cost .05.
#[must_use]
pub fn linf(parts: &Linf, cost_factor: f64, ethics: bool) -> Option<f64> {
    let Linf { rsi, synergy, novelty, stability, viability, cost } = *parts;
    let thrift = 1.0 - share(cost)?;
    let mean = harmonic(&[
        (0.2, rsi),
        (0.2, synergy),
        (0.2, novelty),
        (0.2, stability),
        (0.15, viability),
        (0.05, thrift),
    ])?;
    let whole = mean * libm::exp(-positive(cost_factor)? * cost);
    Some(if ethics { whole } else { 0.0 })
}

/// Weights of the score; their sum is 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreWeights {
    /// Of U.
    pub u: f64,
    /// Of S.
    pub s: f64,
    /// Of 1 − C.
    pub c: f64,
    /// Of L.
    pub l: f64,
}

impl Default for ScoreWeights {
    fn default() -> Self {
        Self { u: 0.3, s: 0.2, c: 0.3, l: 0.2 }
    }
}

/// Score `w_u·U + w_s·S + w_c·(1 − C) + w_l·L` of utility, stability, cost and learning, 0…1.
#[must_use]
pub fn score([u, s, c, l]: [f64; 4], weights: &ScoreWeights) -> Option<f64> {
    let (u, s, c, l) = (share(u)?, share(s)?, share(c)?, share(l)?);
    let whole = weights.u * u + weights.s * s + weights.c * (1.0 - c) + weights.l * l;
    finite(whole).map(|score| score.clamp(0.0, 1.0))
}

/// Step α = α₀·φ·SR.
#[must_use]
pub fn alpha(alpha_0: f64, phi: f64, sr: f64) -> Option<f64> {
    finite(positive(alpha_0)? * share(phi)? * share(sr)?)
}

/// A share in [0,1]; nothing else is one.
fn share(value: f64) -> Option<f64> {
    (0.0..=1.0).contains(&value).then_some(value)
}

fn positive(value: f64) -> Option<f64> {
    finite(value).filter(|value| *value >= 0.0)
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

#[cfg(test)]
#[path = "growth_tests.rs"]
mod tests;
