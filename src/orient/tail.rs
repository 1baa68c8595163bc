//! Tail risk: the mean of the worst 1 − α of the losses (expected shortfall, "CVaR").

use std::collections::VecDeque;

/// `ES_α` of `losses`, the exact Rockafellar–Uryasev value; `None` where it is unknown.
///
/// With ℓ₍₁₎ ≥ … ≥ ℓ₍ₙ₎, k = n(1−α) and m = ⌊k⌋ it is `(Σ_{i≤m} ℓ₍ᵢ₎ + (k−m)·ℓ₍ₘ₊₁₎)/k`. Below 1/(1−α) samples
/// (k < 1) the window carries no information on the tail, and a loss that is not finite makes it unknown too.
/// It is an estimate: a distribution-free guarantee at α = .95 needs 600 samples or more.
#[must_use]
pub fn expected_shortfall(losses: &[f64], alpha: f64) -> Option<f64> {
    let sorted = descending(losses)?;
    let k = tail_size(sorted.len(), alpha)?;
    let m = libm::floor(k) as usize;
    let whole: f64 = sorted.iter().take(m).sum();
    let part = sorted.get(m).map_or(0.0, |loss| (k - m as f64) * loss);
    Some((whole + part) / k).filter(|v| v.is_finite())
}

/// The published rule: the mean of the ⌊n(1−α)⌋ (at least one) worst losses. For comparison alone.
#[must_use]
pub fn compat(losses: &[f64], alpha: f64) -> Option<f64> {
    let sorted = descending(losses)?;
    // Deliberately without the rounding of `tail_size`: the published rule takes 4 of 25 at α = .8.
    let m = (libm::floor(sorted.len() as f64 * (1.0 - alpha)) as usize).max(1);
    let worst = sorted.get(..m)?;
    Some(worst.iter().sum::<f64>() / m as f64)
}

fn descending(losses: &[f64]) -> Option<Vec<f64>> {
    if losses.iter().any(|loss| !loss.is_finite()) {
        return None;
    }
    let mut sorted = losses.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    Some(sorted)
}

/// k = n(1−α), snapped to a whole number that only rounding separates it from; `None` below 1.
fn tail_size(n: usize, alpha: f64) -> Option<f64> {
    if !(0.0..1.0).contains(&alpha) {
        return None;
    }
    let k = n as f64 * (1.0 - alpha);
    let whole = libm::round(k);
    let k = if (k - whole).abs() < 1e-9 * whole.max(1.0) { whole } else { k };
    (k >= 1.0).then_some(k)
}

/// The last losses of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TailWindow {
    capacity: usize,
    losses: VecDeque<f64>,
}

impl TailWindow {
    /// An empty window of at most `capacity` (≥ 1) losses.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), losses: VecDeque::new() }
    }

    /// Takes one loss in; the oldest leaves when the window is full. One that is not finite is not taken.
    pub fn push(&mut self, loss: f64) {
        if !loss.is_finite() {
            return;
        }
        if self.losses.len() == self.capacity.max(1) {
            self.losses.pop_front();
        }
        self.losses.push_back(loss);
    }

    /// Losses in the window.
    #[must_use]
    pub fn len(&self) -> usize {
        self.losses.len()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.losses.is_empty()
    }

    /// `ES_α` of the window; `None` where it is unknown.
    #[must_use]
    pub fn expected_shortfall(&self, alpha: f64) -> Option<f64> {
        let (a, b) = self.losses.as_slices();
        expected_shortfall(&[a, b].concat(), alpha)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in crate::orient) const PSI: [f64; 25] = [
        0.95, 0.9, 0.85, 0.8, 1.0, 0.7, 0.6, 0.92, 0.88, 0.3, 0.97, 0.93, 0.91, 0.86, 0.82, 0.78, 0.99, 0.65,
        0.94, 0.89, 0.5, 0.96, 0.9, 0.87, 0.83,
    ];

    pub(in crate::orient) fn losses() -> Vec<f64> {
        PSI.iter().map(|psi| 1.0 - psi).collect()
    }

    #[test]
    fn goldens() {
        for (alpha, exact, published) in [(0.95, 0.66, 0.70), (0.90, 0.56, 0.60), (0.80, 0.45, 0.4875)] {
            assert!((expected_shortfall(&losses(), alpha).unwrap() - exact).abs() < 1e-12, "α={alpha}");
            assert!((compat(&losses(), alpha).unwrap() - published).abs() < 1e-12, "compat α={alpha}");
        }
    }

    /// Quantile grids whose points are cell means of the inverse distribution, midpoint rule, plus the
    /// analytic tail beyond the grid where it is heavy: ES is then the integral of the quantile function.
    #[test]
    fn closed_forms() {
        // Midpoints of the upper 5 % only would be a test of quadrature; the whole sample goes in.
        let n = 400_000;
        let grid = |quantile: &dyn Fn(f64) -> f64| -> f64 {
            let sample: Vec<f64> = (0..n).map(|i| quantile((f64::from(i) + 0.5) / f64::from(n))).collect();
            expected_shortfall(&sample, 0.95).unwrap()
        };
        let normal = |p: f64| {
            let (mut low, mut high) = (-9.0, 9.0);
            for _ in 0..60 {
                let mid = 0.5 * (low + high);
                if super::super::special::normal_cdf(mid) < p { low = mid } else { high = mid }
            }
            low
        };
        let close = |got: f64, want: f64, tolerance: f64| {
            assert!((got - want).abs() < tolerance, "{got} for {want}");
        };
        close(grid(&|p| p), 0.975, 1e-9);
        close(grid(&|p| -libm::log(1.0 - p)), 3.995_732_3, 5e-5);
        close(grid(&normal), 2.062_712_8, 5e-5);
        close(grid(&|p| libm::pow(1.0 - p, -1.0 / 3.0)), 4.071_626_4, 2e-3);
        close(grid(&|p| libm::exp(normal(p))), 8.557_226_9, 2e-3);
    }

    #[test]
    fn too_few_samples_or_a_bad_one_are_unknown() {
        assert_eq!(expected_shortfall(&[0.1; 19], 0.95), None);
        assert!(expected_shortfall(&[0.1; 20], 0.95).is_some());
        assert!(expected_shortfall(&[0.1; 10], 0.90).is_some());
        assert_eq!(expected_shortfall(&[], 0.0), None);
        assert_eq!(expected_shortfall(&[f64::NAN; 40], 0.95), None);
        assert_eq!(expected_shortfall(&[0.1; 40], 1.0), None);
        assert_eq!(expected_shortfall(&[0.1; 40], f64::NAN), None);
    }

    #[test]
    fn the_window_forgets_and_refuses() {
        let mut window = TailWindow::new(20);
        assert!(window.is_empty());
        for _ in 0..20 {
            window.push(0.9);
        }
        for _ in 0..20 {
            window.push(0.1);
            window.push(f64::NAN);
        }
        assert_eq!(window.len(), 20);
        assert!((window.expected_shortfall(0.95).unwrap() - 0.1).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn between_mean_and_maximum_and_monotone_in_alpha(
            sample in prop::collection::vec(-1e6..1e6f64, 20..200)
        ) {
            let max = sample.iter().copied().fold(f64::MIN, f64::max);
            let mean = sample.iter().sum::<f64>() / sample.len() as f64;
            let mut before = mean;
            for alpha in [0.0, 0.3, 0.5, 0.8, 0.9, 0.95] {
                let es = expected_shortfall(&sample, alpha).unwrap();
                prop_assert!(es >= before - 1e-6 && es <= max + 1e-6);
                before = es;
            }
        }

        #[test]
        fn the_window_equals_the_sorted_form_on_every_prefix(sample in prop::collection::vec(0.0..1.0f64, 1..120)) {
            let mut window = TailWindow::new(50);
            for (i, loss) in sample.iter().enumerate() {
                window.push(*loss);
                let from = (i + 1).saturating_sub(50);
                prop_assert_eq!(window.expected_shortfall(0.9), expected_shortfall(&sample[from..=i], 0.9));
            }
        }
    }
}
