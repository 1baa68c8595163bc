//! β, antifragility: performance under stress over performance at calm.
//!
//! ```text
//!  episodes, each with the calm before it ─► ratio of the means ─► β
//!                                        └► resampled as pairs ──► interval
//! ```

use super::tail::{STRIDE, mixed};

/// Episodes below which β is unknown.
pub const EPISODES_MIN: usize = 3;
/// Resamples behind the interval.
const RESAMPLES: usize = 1000;
/// Lower bounds of the bands, from the best.
const BOUNDS: [(f64, Band); 5] = [
    (1.2, Band::Antifragile),
    (1.05, Band::Gaining),
    (1.0, Band::Robust),
    (0.95, Band::Yielding),
    (0.8, Band::Fragile),
];

/// Mean performance (≥ 0, higher is better) during one stress episode, and at the calm that it is paired with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Episode {
    /// Under stress.
    pub stress: f64,
    /// At calm.
    pub calm: f64,
}

/// β with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beta {
    /// Mean performance under stress over mean performance at calm.
    pub value: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Episodes behind it.
    pub episodes: usize,
}

/// What a β amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Band {
    /// Below .8.
    Breaking,
    /// From .8.
    Fragile,
    /// From .95.
    Yielding,
    /// From 1.
    Robust,
    /// From 1.05.
    Gaining,
    /// From 1.2.
    Antifragile,
}

impl Band {
    /// The name, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Breaking => "breaking",
            Self::Fragile => "fragile",
            Self::Yielding => "yielding",
            Self::Robust => "robust",
            Self::Gaining => "gaining",
            Self::Antifragile => "antifragile",
        }
    }
}

/// The band of a β; `None` where it is no number.
#[must_use]
pub fn band(beta: f64) -> Option<Band> {
    if beta.is_nan() {
        return None;
    }
    Some(BOUNDS.iter().find(|(bound, _)| beta >= *bound).map_or(Band::Breaking, |(_, band)| *band))
}

/// β of `episodes` with the 95 % percentile-bootstrap interval that resamples whole pairs, so that a day that was bad
/// for both stays one day; the same for the same seed.
///
/// `None` below [`EPISODES_MIN`] episodes, where a mean is negative or not finite, and where performance at calm is 0
/// in a resample, for then the ratio has no bound. With few episodes the interval tends to be short (Efron &
/// Tibshirani 1993, ch. 13).
#[must_use]
pub fn beta(episodes: &[Episode], seed: u64) -> Option<Beta> {
    let n = episodes.len();
    let sound = |mean: f64| mean.is_finite() && mean >= 0.0;
    if n < EPISODES_MIN || episodes.iter().any(|e| !(sound(e.stress) && sound(e.calm))) {
        return None;
    }
    let value = ratio(episodes.iter())?;
    let mut chance = seed;
    let mut values = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let drawn = (0..n).map(|_| {
            chance = chance.wrapping_add(STRIDE);
            // The high half of a 64×64 product maps onto 0…n−1 evenly.
            &episodes[((u128::from(mixed(chance)) * n as u128) >> 64) as usize]
        });
        values.push(ratio(drawn)?);
    }
    values.sort_unstable_by(f64::total_cmp);
    let at = |p: f64| values[((p * RESAMPLES as f64) as usize).min(RESAMPLES - 1)];
    Some(Beta { value, low: at(0.025), high: at(0.975), episodes: n })
}

/// The ratio of the means, which is that of the sums.
fn ratio<'a>(episodes: impl Iterator<Item = &'a Episode>) -> Option<f64> {
    let (stress, calm) = episodes.fold((0.0, 0.0), |sum, e| (sum.0 + e.stress, sum.1 + e.calm));
    let ratio = stress / calm;
    ratio.is_finite().then_some(ratio)
}

/// Second-order sensitivity `f(s+h) − 2f(s) + f(s−h)` of performance f at three equally spaced levels of stress:
/// above 0 the response is convex, more variation of stress is good for it. `None` where a value is not finite.
#[must_use]
pub fn convexity(below: f64, at: f64, above: f64) -> Option<f64> {
    let second = above - 2.0 * at + below;
    second.is_finite().then_some(second)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn episodes(pairs: &[(f64, f64)]) -> Vec<Episode> {
        pairs.iter().map(|(stress, calm)| Episode { stress: *stress, calm: *calm }).collect()
    }

    #[test]
    fn beta_is_the_ratio_of_the_means() {
        let found = beta(&episodes(&[(0.6, 0.8), (0.9, 0.9), (0.3, 0.8)]), 1).unwrap();
        assert!((found.value - 1.8 / 2.5).abs() < 1e-12);
        assert!(found.low <= found.value && found.value <= found.high && found.low < found.high);
        assert!(found.low >= 0.374 && found.high <= 1.001, "no resample leaves the range of the pairs");
        assert_eq!(found.episodes, 3);
    }

    #[test]
    fn equal_pairs_have_no_width() {
        let found = beta(&episodes(&[(0.6, 0.5); 5]), 9).unwrap();
        for value in [found.value, found.low, found.high] {
            assert!((value - 1.2).abs() < 1e-12);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let pairs = episodes(&[(0.6, 0.8), (0.9, 0.7), (0.3, 0.8), (0.5, 0.5)]);
        assert_eq!(beta(&pairs, 4), beta(&pairs, 4));
    }

    #[test]
    fn too_few_or_senseless_episodes_have_none() {
        assert_eq!(beta(&episodes(&[(0.6, 0.8); 2]), 1), None);
        assert_eq!(beta(&episodes(&[(0.6, 0.0); 3]), 1), None);
        assert_eq!(
            beta(&episodes(&[(0.6, 0.8), (0.6, 0.0), (0.6, 0.8)]), 1),
            None,
            "a resample has no bound"
        );
        for odd in [f64::NAN, f64::INFINITY, -0.1] {
            assert_eq!(beta(&episodes(&[(0.6, 0.8), (0.6, 0.8), (odd, 0.8)]), 1), None);
            assert_eq!(beta(&episodes(&[(0.6, 0.8), (0.6, 0.8), (0.6, odd)]), 1), None);
        }
    }

    #[test]
    fn bands() {
        for (value, wanted) in [
            (1.2, "antifragile"),
            (1.19, "gaining"),
            (1.05, "gaining"),
            (1.0, "robust"),
            (0.999, "yielding"),
            (0.95, "yielding"),
            (0.8, "fragile"),
            (0.79, "breaking"),
            (f64::INFINITY, "antifragile"),
        ] {
            assert_eq!(band(value).unwrap().as_str(), wanted, "{value}");
        }
        assert_eq!(band(f64::NAN), None);
    }

    #[test]
    fn curvature_of_a_line_a_parabola_and_nothing() {
        assert_eq!(convexity(1.0, 0.75, 0.5), Some(0.0));
        assert_eq!(convexity(1.0, 0.0, 1.0), Some(2.0));
        assert!(convexity(1.0, 0.9, 0.2).unwrap() < 0.0, "falling faster and faster");
        assert_eq!(convexity(f64::NAN, 0.0, 0.0), None);
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_range_of_single_ratios(
            pairs in prop::collection::vec((0.0..1.0_f64, 0.01..1.0_f64), 3..20),
            seed in any::<u64>(),
        ) {
            let found = beta(&episodes(&pairs), seed).unwrap();
            let single = pairs.iter().map(|(stress, calm)| stress / calm);
            let (least, most) = single.fold((f64::MAX, 0.0_f64), |(l, m), r| (l.min(r), m.max(r)));
            for value in [found.value, found.low, found.high] {
                prop_assert!(value >= least - 1e-9 && value <= most + 1e-9);
            }
            prop_assert!(found.low <= found.high);
        }
    }
}
