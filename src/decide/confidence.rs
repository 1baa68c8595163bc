//! Confidence: the probability of the event that an action stands for, as the models state it. What has been found of
//! such statements corrects it afterwards, in [`calibration`](super::calibration).
//!
//! | action | event |
//! |---|---|
//! | ScaleUp, ScaleDown, Noop | the target is kept through the horizon with the count that results |
//! | Rollback | the restored revision is better than the present one by more than the margin |
//! | Retune | β (or Ω) is really low or falling, and the step is not harmful |
//!
//! No probability is a literal: each is read off a distribution of the picture, so a noisier sensor alone
//! lowers it. `None` where no model says anything.

use crate::observe::reading::SignalName;
use crate::orient::{Comparison, Estimate};

/// Distribution function of the standard normal; 0 for NaN, which no rule takes for certainty.
pub(super) fn normal_cdf(z: f64) -> f64 {
    if z.is_nan() { 0.0 } else { 0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2) }
}

/// What lies in [0, 1]; `None` for everything else, NaN too.
fn probability(p: f64) -> Option<f64> {
    (0.0..=1.0).contains(&p).then_some(p)
}

/// P(the restored revision is better by more than the margin), for a proven comparison.
///
/// Two statements bound it and the smaller counts:
/// - `1 − 1/e`: by Ville's inequality a revision that is not worse reaches an e-value this large, at any look,
///   with probability at most `1/e`; so this is the level at which "not worse" is rejected. (`e/(1+e)` would
///   need the e-value to be a Bayes factor and even prior odds; it is neither.)
/// - where the signal is filtered, P(present level beyond the baseline's by more than the margin) under the
///   filter's own normal error, taken for both levels: `Φ(excess / (√2·sd))`.
pub(super) fn rollback(comparison: &Comparison, estimate: Option<&Estimate>, margin: f64) -> Option<f64> {
    // `max` turns NaN into 1, which rejects nothing.
    better(1.0 - 1.0 / comparison.e_worse.max(1.0), comparison, estimate, margin)
}

/// The same for one-sided evidence of tail probability `p`: `1 − p` stands for `1 − 1/e`.
pub(super) fn one_sided(
    p: f64,
    comparison: &Comparison,
    estimate: Option<&Estimate>,
    margin: f64,
) -> Option<f64> {
    // `min` turns NaN into 1, which rejects nothing.
    better(1.0 - p.min(1.0), comparison, estimate, margin)
}

fn better(rejected: f64, comparison: &Comparison, estimate: Option<&Estimate>, margin: f64) -> Option<f64> {
    let effect = estimate.map(|estimate| {
        let (base, now) = (comparison.baseline_level, comparison.current_level);
        let excess = if comparison.signal == SignalName::OMEGA {
            base * (1.0 - margin) - now
        } else {
            now - base * (1.0 + margin)
        };
        normal_cdf(excess / (std::f64::consts::SQRT_2 * estimate.level_sd))
    });
    probability(effect.map_or(rejected, |effect| effect.min(rejected)))
}

/// P(the signal is really low or falling, and one step is not harmful).
///
/// `real` is the probability of the first part. A step moves a parameter by the share `step` of its range; if
/// the whole range moves the signal by its whole `span`, the step costs at most `step·span`, and it is harmless
/// while that stays inside the margin: `Φ((margin·level − step·span) / (√2·sd))`. The two are joined by
/// Fréchet's lower bound `a + b − 1`, which needs no independence.
pub(super) fn retune(real: f64, estimate: &Estimate, margin: f64, step: f64, span: f64) -> Option<f64> {
    let room = margin * estimate.level - step * span;
    let harmless = normal_cdf(room / (std::f64::consts::SQRT_2 * estimate.level_sd));
    probability((real + harmless - 1.0).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::testing::Story;
    use crate::orient::{Baseline, Verdict};

    fn comparison(e: f64) -> Comparison {
        let story = Story::new().compared(SignalName::LATENCY, Baseline::SideBySide, Verdict::Worse);
        Comparison { e_worse: e, ..story.s.picture.comparisons[0].clone() }
    }

    fn sd(level_sd: f64) -> Estimate {
        Estimate { level: 1.0, level_sd, ..Estimate::default() }
    }

    #[test]
    fn changing_only_the_noise_changes_a_rollbacks_confidence() {
        let c = comparison(1e6);
        let calm = rollback(&c, Some(&sd(20.0)), 0.1).unwrap();
        let noisy = rollback(&c, Some(&sd(200.0)), 0.1).unwrap();
        assert!(calm > 0.999 && noisy < 0.8, "{calm} {noisy}");
        assert_eq!(rollback(&c, None, 0.1), Some(1.0 - 1e-6));
        assert_eq!(rollback(&comparison(20.0), Some(&sd(1e-9)), 0.1), Some(0.95));
        assert_eq!(rollback(&comparison(f64::NAN), None, 0.1), Some(0.0));
    }

    #[test]
    fn for_omega_lower_is_worse() {
        let mut c = comparison(1e6);
        (c.signal, c.baseline_level, c.current_level) = (SignalName::OMEGA, 0.95, 0.65);
        assert!(rollback(&c, Some(&sd(0.05)), 0.1).unwrap() > 0.99);
        (c.baseline_level, c.current_level) = (0.65, 0.95);
        assert!(rollback(&c, Some(&sd(0.05)), 0.1).unwrap() < 0.01);
    }

    #[test]
    fn a_retune_is_as_sure_as_its_weaker_half() {
        assert!(retune(0.99, &sd(0.01), 0.1, 0.02, 1.0).unwrap() > 0.98);
        assert!(retune(0.99, &sd(0.2), 0.1, 0.02, 1.0).unwrap() < 0.7);
        assert_eq!(retune(0.2, &sd(0.2), 0.1, 0.02, 1.0), Some(0.0));
        assert_eq!(retune(f64::NAN, &sd(0.1), 0.1, 0.02, 1.0), Some(0.0));
    }
}
