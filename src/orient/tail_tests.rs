use super::super::sequential::tests::Dice;
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
        assert!(!window.push(f64::NAN) && !window.push(f64::INFINITY), "refused, and said so");
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

    /// Spread, ties, zeros of both signs, and what must be refused.
    #[test]
    fn the_window_equals_the_sorted_form_on_every_prefix(
        sample in prop::collection::vec(
            prop_oneof![
                4 => -1e6..1e6f64, 4 => (-3i8..3).prop_map(|v| 0.25 * f64::from(v)),
                1 => Just(-0.0), 1 => Just(f64::NAN), 1 => Just(f64::NEG_INFINITY),
            ], 1..400),
        capacity in 1usize..150, alpha in 0.0..0.999f64
    ) {
        let mut window = TailWindow::new(capacity);
        let mut taken = Vec::new();
        for loss in sample {
            prop_assert_eq!(window.push(loss), loss.is_finite());
            taken.extend(loss.is_finite().then_some(loss));
            let last = &taken[taken.len().saturating_sub(capacity)..];
            prop_assert_eq!(window.len(), last.len());
            let largest = last.iter().fold(1.0, |m: f64, l| m.max(l.abs()));
            for alpha in [alpha, 0.0, 0.9, 0.95] {
                match (window.expected_shortfall(alpha), expected_shortfall(last, alpha)) {
                    (Some(a), Some(b)) => prop_assert!((a - b).abs() <= 1e-12 * largest, "{a} for {b}"),
                    (a, b) => prop_assert_eq!(a, b),
                }
            }
        }
    }

    #[test]
    fn an_interval_holds_its_estimate_and_repeats_itself(
        sample in prop::collection::vec(0.0..1.0f64, 20..120), seed: u64
    ) {
        let (low, high) = interval(&sample, 0.95, 0.95, seed).unwrap();
        let max = sample.iter().copied().fold(0.0, f64::max);
        prop_assert!(low <= high && high <= max + 1e-12);
        prop_assert_eq!(interval(&sample, 0.95, 0.95, seed), Some((low, high)));
        let (inner, outer) = interval(&sample, 0.95, 0.5, seed).unwrap();
        prop_assert!(low <= inner && outer <= high);
    }
}

#[test]
fn many_losses_do_not_drift() {
    let mut dice = Dice(8);
    let mut window = TailWindow::new(600);
    let mut last = std::collections::VecDeque::new();
    for i in 0..200_000_u32 {
        // A giant now and then, whose rounding must leave with it.
        let loss = if i % 5000 == 0 { 1e12 } else { dice.uniform() };
        window.push(loss);
        last.push_back(loss);
        if last.len() > 600 {
            last.pop_front();
        }
        if i % 997 == 0 {
            let sorted = expected_shortfall(last.make_contiguous(), 0.95);
            let (a, b) = (window.expected_shortfall(0.95), sorted);
            assert!(a.zip(b).is_none_or(|(a, b)| (a - b).abs() <= 1e-12 * b), "{a:?} for {b:?} at {i}");
            assert_eq!(a.is_some(), b.is_some());
        }
    }
}

#[test]
fn the_tree_stays_shallow_on_sorted_losses() {
    fn depth(window: &TailWindow, at: usize) -> usize {
        window.nodes.get(at).map_or(0, |n| 1 + depth(window, n.left).max(depth(window, n.right)))
    }
    for falling in [false, true] {
        let mut window = TailWindow::new(4096);
        for i in 0..10_000 {
            window.push(if falling { -f64::from(i) } else { f64::from(i) });
        }
        assert!(depth(&window, window.root) < 50, "{}", depth(&window, window.root));
    }
}

/// Of 100 samples of an exponential, how often its true ES lies in the interval.
fn coverage(n: usize) -> f64 {
    let hits = (0..100).filter(|run| {
        let mut dice = Dice(run * 7919 + 3);
        let sample: Vec<f64> = (0..n).map(|_| -libm::log(1.0 - dice.uniform())).collect();
        let (low, high) = interval(&sample, 0.95, 0.95, *run).unwrap();
        (low..=high).contains(&3.995_732_3)
    });
    hits.count() as f64 / 100.0
}

#[test]
fn the_interval_covers_nearly_as_often_as_it_says_where_a_guarantee_is_due() {
    let (due, early) = (coverage(600), coverage(40));
    assert!(due > 0.87, "{due}");
    assert!(early < due, "and is short below it: an estimate, {early}");
}

#[test]
fn what_it_may_be_called() {
    assert_eq!(standing(19, 0.95), Standing::Unknown);
    assert_eq!(standing(20, 0.95), Standing::Estimate);
    assert_eq!(standing(599, 0.95), Standing::Estimate);
    assert_eq!(standing(600, 0.95), Standing::Guarantee);
    assert_eq!(standing(600, f64::NAN), Standing::Unknown);
    assert_eq!(interval(&[0.1; 19], 0.95, 0.95, 1), None);
    assert_eq!(interval(&[f64::NAN; 50], 0.95, 0.95, 1), None);
    assert_eq!(interval(&[0.1; 50], 0.95, 1.0, 1), None);
}
