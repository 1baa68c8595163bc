//! What labelled outcomes say of a workload's ethics: calibration, bias, fairness, consent, footprint, contractivity.
//!
//! Each figure is `None` while it is undecided: too few samples, nothing to compare, or a number that is not finite.
//! Undecided is never good; the gate holds on it.

use std::collections::BTreeMap;

/// Bins of the expected calibration error.
pub const BINS: usize = 10;
/// Samples of each group below which groups are not compared.
pub const GROUP_MIN: u32 = 10;
/// The one-sided 95 % quantile of the normal distribution.
const Z95: f64 = 1.644_853_626_951_472_2;

/// Expected calibration error: `Σ n_b/n · |share correct in b − mean confidence in b|` over ten bins of equal width,
/// `[0, .1) … [.9, 1]` (Naeini, Cooper & Hauskrecht 2015).
///
/// `labelled` holds confidence (0…1) and whether the answer was correct. Undecided below `n_min` samples, and where
/// a confidence is out of its range.
#[must_use]
pub fn calibration_error(labelled: &[(f64, bool)], n_min: usize) -> Option<f64> {
    if labelled.len() < n_min.max(1) || labelled.iter().any(|(c, _)| !(0.0..=1.0).contains(c)) {
        return None;
    }
    // Of each bin: confidence summed, and how many were correct. Both times n_b, so the counts cancel.
    let mut bins = [(0.0, 0.0); BINS];
    for (confidence, correct) in labelled {
        let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        bin.0 += confidence;
        bin.1 += f64::from(u8::from(*correct));
    }
    Some(bins.iter().map(|(sure, right)| (right - sure).abs()).sum::<f64>() / labelled.len() as f64)
}

/// Share of positive answers of each group, and of all; `None` with fewer than two groups, or where one has fewer
/// than [`GROUP_MIN`] samples: a figure over the other groups would say that all is well with this one too.
fn rates(answers: &[(&str, bool)]) -> Option<(Vec<f64>, f64)> {
    let mut groups: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for (group, positive) in answers {
        let counts = groups.entry(group).or_default();
        counts.0 += 1;
        counts.1 += u32::from(*positive);
    }
    if groups.len() < 2 || groups.values().any(|(n, _)| *n < GROUP_MIN) {
        return None;
    }
    let positive: u32 = groups.values().map(|(_, positive)| positive).sum();
    let shares = groups.values().map(|(n, positive)| f64::from(*positive) / f64::from(*n)).collect();
    Some((shares, f64::from(positive) / answers.len() as f64))
}

/// `ρ_bias`: the largest over groups of `max(r, 1/r)`, with r = the group's rate of positive answers over that of all;
/// 1 is no bias. Undecided where groups cannot be compared, and where a group has no positive answer, for then the
/// ratio has no bound.
#[must_use]
pub fn rho_bias(answers: &[(&str, bool)]) -> Option<f64> {
    let (shares, whole) = rates(answers)?;
    let worst = shares.iter().map(|share| share / whole).map(|r| r.max(1.0 / r)).reduce(f64::max)?;
    worst.is_finite().then_some(worst)
}

/// Fairness: 1 − the largest difference between two groups' rates of positive answers (demographic parity).
/// Undecided where groups cannot be compared.
#[must_use]
pub fn fairness(answers: &[(&str, bool)]) -> Option<f64> {
    let (shares, _) = rates(answers)?;
    let most = shares.iter().copied().reduce(f64::max)?;
    let least = shares.iter().copied().reduce(f64::min)?;
    Some(1.0 - (most - least))
}

/// Consent: 1 when everything that was said is a yes, 0 when one is a no; undecided when nothing was said.
#[must_use]
pub fn consent(said: impl IntoIterator<Item = bool>) -> Option<f64> {
    said.into_iter().reduce(|all, one| all && one).map(|all| f64::from(u8::from(all)))
}

/// Footprint: the sum of what was said, in kg; undecided when nothing was said or the sum is not finite.
#[must_use]
pub fn footprint(kg: impl IntoIterator<Item = f64>) -> Option<f64> {
    kg.into_iter().reduce(|sum, one| sum + one).filter(|sum| sum.is_finite())
}

/// ρ, contractivity: the upper end of the one-sided 95 % confidence interval of the mean ratio of successive risks,
/// `x̄ + t·s/√n` with Student's t of n − 1 degrees of freedom. Below 1 the risk shrinks from one sample to the next.
///
/// Risks (≥ 0, in order of time) are taken as they are, not normalised. The mean of ratios of mere noise is above
/// their trend, and successive ratios vary against each other, so the bound errs upwards. A risk that stays 0 says
/// nothing and is left out; one that rises from 0 has no ratio. Undecided then, and below `n_min` (at least 2) ratios.
#[must_use]
pub fn contractivity(risks: &[f64], n_min: usize) -> Option<f64> {
    if risks.iter().any(|risk| !(risk.is_finite() && *risk >= 0.0)) {
        return None;
    }
    let moved = risks.windows(2).filter(|pair| pair[0] > 0.0 || pair[1] > 0.0);
    let ratios: Vec<f64> = moved.map(|pair| pair[1] / pair[0]).collect();
    if ratios.len() < n_min.max(2) {
        return None;
    }
    let n = ratios.len() as f64;
    let mean = ratios.iter().sum::<f64>() / n;
    let variance = ratios.iter().map(|ratio| (ratio - mean) * (ratio - mean)).sum::<f64>() / (n - 1.0);
    let bound = mean + student95(n - 1.0) * libm::sqrt(variance / n);
    bound.is_finite().then_some(bound)
}

/// The 95 % quantile of Student's t with `freedom` degrees, by Fisher's expansion about the normal quantile
/// (Abramowitz & Stegun 26.7.5); within .1 % from 5 degrees on, and too small below 3.
fn student95(freedom: f64) -> f64 {
    let (z, z2) = (Z95, Z95 * Z95);
    z + z * (z2 + 1.0) / (4.0 * freedom)
        + z * (5.0 * z2 * z2 + 16.0 * z2 + 3.0) / (96.0 * freedom * freedom)
        + z * (3.0 * z2 * z2 * z2 + 19.0 * z2 * z2 + 17.0 * z2 - 15.0) / (384.0 * freedom * freedom * freedom)
}

#[cfg(test)]
#[path = "outcomes_tests.rs"]
mod tests;
