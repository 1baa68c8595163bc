//! Sums and extremes of a few hundred values, taken side by side: one after the other, each would wait for the one before.
//!
//! The order of additions is fixed, so a sum is the same to the last bit on every machine.

const LANES: usize = 8;

/// Folds `values` in lanes by `step`, then the lanes and what is left by `join`.
fn fold<T: Copy, A: Copy>(values: &[T], start: A, step: impl Fn(A, T) -> A, join: impl Fn(A, A) -> A) -> A {
    let mut lanes = [start; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = step(*lane, *value);
        }
    }
    let rest = rest.iter().fold(start, |folded, value| step(folded, *value));
    for half in [LANES / 2, LANES / 4, LANES / 8] {
        for i in 0..half {
            lanes[i] = join(lanes[i], lanes[i + half]);
        }
    }
    join(lanes[0], rest)
}

/// The sum.
pub(super) fn sum(values: &[f64]) -> f64 {
    fold(values, 0.0, |sum, value| sum + value, |a, b| a + b)
}

/// Sum of what `values` are above a threshold.
pub(super) fn excess(values: &[f32], threshold: f64) -> f64 {
    fold(values, 0.0, |sum, value| sum + (f64::from(value) - threshold), |a, b| a + b)
}

/// The largest of values that are not negative; 0 where there are none.
pub(super) fn largest(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    fold(values, 0.0, larger, larger)
}

/// The smallest; infinite where there are none. NaN is passed over.
pub(super) fn smallest(values: &[f64]) -> f64 {
    let smaller = |a: f64, b: f64| if b < a { b } else { a };
    fold(values, f64::INFINITY, smaller, smaller)
}

/// The largest and the second largest of values that are not negative; 0 where there are none.
pub(super) fn two_largest(values: &[f64]) -> (f64, f64) {
    fold(values, (0.0, 0.0), with, both)
}

/// The two largest of two such pairs.
pub(super) fn both(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    with(with(a, b.0), b.1)
}

/// The two largest with one more.
pub(super) fn with((first, second): (f64, f64), value: f64) -> (f64, f64) {
    if value > first { (value, first) } else { (first, if value > second { value } else { second }) }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "extremes are exact")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn as_one_after_the_other(values in prop::collection::vec(0.0..1e6f64, 0..300)) {
            let single: Vec<f32> = values.iter().map(|v| *v as f32).collect();
            let plain: f64 = values.iter().sum();
            prop_assert!((sum(&values) - plain).abs() <= 1e-12 * plain);
            let plain: f64 = single.iter().map(|v| f64::from(*v) - 7.0).sum();
            prop_assert!((excess(&single, 7.0) - plain).abs() <= 1e-9 * (1.0 + plain.abs()));
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let nth = |back: usize| sorted.len().checked_sub(back).map_or(0.0, |i| sorted[i]);
            prop_assert_eq!(two_largest(&values), (nth(1), nth(2)));
            prop_assert_eq!(smallest(&values), sorted.first().copied().unwrap_or(f64::INFINITY));
            prop_assert_eq!(largest(&single), single.iter().copied().fold(0.0, f32::max));
        }
    }

    #[test]
    fn nan_is_passed_over_where_it_says_so() {
        assert_eq!(smallest(&[f64::NAN, 3.0, f64::NAN, 2.0]), 2.0);
    }
}
