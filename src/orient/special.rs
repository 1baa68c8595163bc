//! Tail probabilities that neither saturate nor differ between machines.
//!
//! Everything goes through the pure-Rust `libm`: the platform's `exp` and `ln` may differ in the last bit, and
//! then a recorded decision would not replay. Tails are computed as logarithms, because an anomaly of 40 σ is
//! an ordinary sight and its probability underflows.

use std::f64::consts::{LN_10, PI, SQRT_2};

/// Largest surprise that is told apart, −log₁₀ p.
pub const MAX_SURPRISE: f64 = 300.0;

/// Distribution function of the standard normal. NaN gives 0, which no rule takes for certainty.
#[must_use]
pub fn normal_cdf(z: f64) -> f64 {
    if z.is_nan() { 0.0 } else { 0.5 * libm::erfc(-z / SQRT_2) }
}

/// [`quantile`] of the probabilities that the modes ask for, which every turn of every workload needs.
const USUAL: [(f64, f64); 3] =
    [(0.80, 0.841_621_233_572_914_4), (0.95, 1.644_853_626_951_472_4), (0.99, 2.326_347_874_040_841)];

/// The z that a standard normal does not pass with probability `p`; infinite at 0 and 1, NaN for NaN.
#[must_use]
pub fn normal_quantile(p: f64) -> f64 {
    let usual = USUAL.iter().find(|(known, _)| known.to_bits() == p.to_bits());
    usual.map_or_else(|| quantile(p), |(_, z)| *z)
}

/// Abramowitz & Stegun 26.2.23 (error < 4.5e-4), then two steps of Halley on [`normal_cdf`].
fn quantile(p: f64) -> f64 {
    let lower = p.min(1.0 - p);
    if lower.is_nan() {
        return f64::NAN;
    }
    if lower <= 0.0 {
        return if p >= 1.0 { f64::INFINITY } else { f64::NEG_INFINITY };
    }
    let t = libm::sqrt(-2.0 * libm::log(lower));
    let rise = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let fall = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    // Of the lower tail, whose digits 1 − p would lose.
    let mut z = rise / fall - t;
    for _ in 0..2 {
        let density = libm::exp(-0.5 * z * z) / libm::sqrt(2.0 * PI);
        let newton = (normal_cdf(z) - lower) / density;
        z -= newton / (1.0 + 0.5 * z * newton);
    }
    if p < 0.5 { z } else { -z }
}

/// Scaled complementary error function `exp(x²)·erfc(x)` for x ≥ 0.
///
/// Below 10 from its definition; above by Laplace's continued fraction, whose 20th convergent is exact to
/// double precision there.
#[must_use]
pub fn erfcx(x: f64) -> f64 {
    if x < 10.0 {
        return libm::exp(x * x) * libm::erfc(x);
    }
    let mut tail = 0.0;
    for k in (1..=20).rev() {
        tail = 0.5 * f64::from(k) / (x + tail);
    }
    1.0 / (libm::sqrt(PI) * (x + tail))
}

/// −log₁₀ P(|Z| ≥ √nis) for a standard normal Z, 0…300.
#[must_use]
pub fn surprise_normal(nis: f64) -> f64 {
    surprise_chi_squared(nis, 1)
}

/// −log₁₀ P(χ²ₖ ≥ x), 0…300. NaN gives 0.
///
/// The closed forms of the regularised upper incomplete gamma function Q(k/2, x/2) with the factor e^{−x/2}
/// taken out: even k `Σ_{j<k/2} hʲ/j!`, odd k `erfcx(√h) + Σ_{j≤(k−1)/2} h^{j−½}/Γ(j+½)`, h = x/2.
#[must_use]
pub fn surprise_chi_squared(x: f64, k: u32) -> f64 {
    if x.is_nan() || x <= 0.0 || k == 0 {
        return 0.0;
    }
    // Past this every probability is below 1e-300, whatever k ≤ 64 is.
    let h = (0.5 * x).min(5000.0);
    let sum = if k.is_multiple_of(2) {
        let mut term = 1.0;
        let mut sum = 1.0;
        for j in 1..k / 2 {
            term *= h / f64::from(j);
            sum += term;
        }
        sum
    } else {
        let root = libm::sqrt(h);
        let mut term = root / (0.5 * libm::sqrt(PI)); // h^½ / Γ(3/2)
        let mut sum = erfcx(root);
        for j in 1..=(k - 1) / 2 {
            sum += term;
            term *= h / (f64::from(j) + 0.5);
        }
        sum
    };
    ((h - libm::log(sum)) / LN_10).clamp(0.0, MAX_SURPRISE)
}

/// The value below which a share `p` of `sorted` (ascending) lies, the conservative way: the ⌈p(n+1)⌉-th
/// smallest, so that a fresh sample of the same kind exceeds it with probability at most 1 − p (+ 1/(n+1)).
#[must_use]
pub fn upper_quantile(sorted: &[f64], p: f64) -> Option<f64> {
    let rank = libm::ceil(p * (sorted.len() as f64 + 1.0)) as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantile_inverts_the_distribution() {
        for p in [1e-12, 1e-6, 0.01, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999_999] {
            let z = normal_quantile(p);
            assert!((normal_cdf(z) / p - 1.0).abs() < 1e-9, "{p}: {z}");
        }
        assert!((normal_quantile(0.95) - 1.644_853_626_951).abs() < 1e-9);
        assert!(normal_quantile(f64::NAN).is_nan() && normal_quantile(1.0) > 1e300);
    }

    #[test]
    fn the_usual_quantiles_are_worked_out_beforehand_to_the_last_bit() {
        for (p, z) in USUAL {
            assert_eq!(z.to_bits(), quantile(p).to_bits(), "{p}: {:?}", quantile(p));
        }
    }

    #[test]
    fn normal_tails() {
        assert!((normal_cdf(0.0) - 0.5).abs() < 1e-15);
        assert!((normal_cdf(1.959_963_984_540_054) - 0.975).abs() < 1e-12);
        assert!(normal_cdf(f64::NAN).abs() < 1e-300);
        // and back
        for (p, z) in [(0.5, 0.0), (0.95, 1.644_853_626_951_472_2), (0.025, -1.959_963_984_540_054)] {
            assert!((normal_quantile(p) - z).abs() < 1e-14, "{p}: {}", normal_quantile(p));
        }
        for i in 1..2000 {
            let p = f64::from(i) / 2000.0;
            assert!((normal_cdf(normal_quantile(p)) - p).abs() < 1e-14);
        }
        assert!((normal_quantile(1e-12) + 7.034_483_825_301_131).abs() < 1e-9);
        assert!(normal_quantile(1.0) > 1e300 && normal_quantile(0.0) < -1e300);
        assert!(normal_quantile(f64::NAN).is_nan());
        // p = .05 and .01, two-sided
        assert!((surprise_normal(3.841_458_820_694_124) - 1.301_029_995_663_981).abs() < 1e-9);
        assert!((surprise_normal(6.634_896_601_021_213) - 2.0).abs() < 1e-9);
        // 30 σ: two-sided p = 9.813e-198
        assert!((surprise_normal(900.0) - 197.008_2).abs() < 1e-3);
        assert!((surprise_normal(1e9) - 300.0).abs() < 1e-12);
        assert!(surprise_normal(f64::NAN).abs() < 1e-12);
    }

    #[test]
    fn scaled_erfc_is_continuous_where_the_forms_meet() {
        let (below, above) = (erfcx(10.0 - 1e-9), erfcx(10.0 + 1e-9));
        assert!((below / above - 1.0).abs() < 1e-8, "{below} {above}");
        assert!((erfcx(10.0) - 0.056_140_992_743_822_58).abs() < 1e-12);
    }

    #[test]
    fn chi_squared_critical_values() {
        // 95 % points of the table, k = 1…6
        for (k, x) in (1..).zip([3.841_459, 5.991_465, 7.814_728, 9.487_729, 11.070_498, 12.591_587]) {
            assert!((surprise_chi_squared(x, k) - 1.301_03).abs() < 1e-5, "k={k}");
        }
        assert!(surprise_chi_squared(0.0, 3).abs() < 1e-12);
        assert!((surprise_chi_squared(1e300, 6) - 300.0).abs() < 1e-12);
    }

    #[test]
    fn surprise_grows_with_the_statistic_and_falls_with_the_degrees_of_freedom() {
        for k in 1..10 {
            let mut before = -1.0;
            for i in 0..400 {
                let s = surprise_chi_squared(f64::from(i) * 0.5, k);
                assert!(s >= before && s >= surprise_chi_squared(f64::from(i) * 0.5, k + 1) - 1e-12);
                before = s;
            }
        }
    }

    #[test]
    fn quantiles_are_conservative() {
        let sorted: Vec<f64> = (1..=99).map(f64::from).collect();
        assert_eq!(upper_quantile(&sorted, 0.9), Some(90.0));
        assert_eq!(upper_quantile(&[1.0, 2.0, 3.0], 0.95), Some(3.0));
        assert_eq!(upper_quantile(&[], 0.5), None);
    }
}
