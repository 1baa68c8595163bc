use proptest::prelude::*;

use super::*;

const TURN: f64 = 10.0;
const HORIZON: f64 = 45.0;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

/// Feeds a sample every ten seconds.
fn feed(rhythm: &mut Rhythm, seconds: std::ops::Range<i64>, of: impl Fn(i64) -> f64) {
    for second in seconds.step_by(10) {
        let value = of(second);
        rhythm.observe(value, at(second), (value, 0.0), TURN, HORIZON, 0.0);
    }
}

/// A number in −1…1 that looks like chance.
fn chance(n: i64) -> f64 {
    let mut mixed = (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for (shift, factor) in [(30, 0xBF58_476D_1CE4_E5B9), (27, 0x94D0_49BB_1331_11EB_u64)] {
        mixed = (mixed ^ (mixed >> shift)).wrapping_mul(factor);
    }
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

#[test]
fn a_constant_is_forecast_without_doubt() {
    let mut rhythm = Rhythm::default();
    feed(&mut rhythm, 0..600, |_| 7.0);
    let (mean, sd) = rhythm.through(at(600), HORIZON).unwrap();
    assert!((mean - 7.0).abs() < 1e-12 && sd < 1e-100, "{mean} {sd}");
}

#[test]
fn nothing_is_said_before_forecasts_were_scored() {
    let mut rhythm = Rhythm::default();
    assert_eq!(rhythm.through(at(0), HORIZON), None);
    // Six forecasts two windows ahead: the samples 0 … 7.
    feed(&mut rhythm, 0..210, |_| 7.0);
    assert_eq!(rhythm.through(at(210), HORIZON), None);
    feed(&mut rhythm, 210..220, |_| 7.0);
    assert!(rhythm.through(at(210), HORIZON).is_some());
}

/// 100 with noise of ±2; 20 for three minutes of every quarter of an hour.
fn dips(second: i64) -> f64 {
    let base = if second.rem_euclid(900) < 180 { 20.0 } else { 100.0 };
    base + 2.0 * chance(second / 30)
}

#[test]
fn what_comes_back_is_known_before_it_does() {
    let mut rhythm = Rhythm::default();
    feed(&mut rhythm, 0..7200, dips);
    let (mut worst, mut low) = (0.0_f64, 0);
    for second in (7200..9000).step_by(10) {
        feed(&mut rhythm, second..second + 10, dips);
        let (mean, sd) = rhythm.through(at(second), HORIZON).unwrap();
        // The most of the windows that two horizons reach into.
        let reach = if second % 30 == 0 { 3 } else { 4 };
        let most = (1..=reach).map(|k| dips(second - second % 30 + 30 * k)).fold(0.0, f64::max);
        worst = worst.max((mean - most).abs());
        low += i32::from(mean < 50.0);
        assert!(sd < 16.0, "{second}: a dip that is known is no noise: {sd}");
    }
    assert!(worst < 15.0, "{worst}");
    assert!(low >= 6, "the bottom of each dip is seen: {low}");
}

#[test]
fn noise_has_no_period_and_its_spread_is_what_is_said() {
    let mut rhythm = Rhythm::default();
    let noisy = |second: i64| 100.0 + 20.0 * chance(second / 30);
    feed(&mut rhythm, 0..14_400, noisy);
    let (mean, sd) = rhythm.through(at(14_400), HORIZON).unwrap();
    // ±20 uniform has a standard deviation of 11.5.
    assert!((mean - 100.0).abs() < 8.0, "{mean}");
    assert!((10.0..16.0).contains(&sd), "{sd}");
}

#[test]
fn a_ramp_is_seen_ahead_by_the_trend_and_a_fall_is_not() {
    let along = |slope: f64| {
        let mut rhythm = Rhythm::default();
        for second in (0..600).step_by(10) {
            let value = 100.0 + slope * second as f64;
            rhythm.observe(value, at(second), (value, slope), TURN, HORIZON, 0.01);
        }
        rhythm.through(at(590), HORIZON).unwrap().0
    };
    // The last window began at 570 s, and 110 s later is four windows on.
    assert!((along(0.1) - (100.0 + 0.1 * 690.0)).abs() < 0.5, "{}", along(0.1));
    assert!((along(-0.1) - (100.0 - 0.1 * 570.0)).abs() < 0.5, "{}", along(-0.1));
}

#[test]
fn a_jump_that_stays_is_gone_along_with() {
    let mut rhythm = Rhythm::default();
    let jump = |second: i64| if second < 3600 { 10.0 } else { 100.0 } + chance(second / 30);
    feed(&mut rhythm, 0..3900, jump);
    let (mean, _) = rhythm.through(at(3900), HORIZON).unwrap();
    assert!((mean - 100.0).abs() < 10.0, "five minutes later: {mean}");
}

#[test]
#[allow(clippy::float_cmp, reason = "the same sums, to the last bit")]
fn what_is_asked_later_than_a_sample_should_have_come_reaches_further() {
    // Horizons of a window: four leads are worked out with each sample.
    let mut rhythm = Rhythm::default();
    for second in (0..7200).step_by(10) {
        let value = dips(second);
        rhythm.observe(value, at(second), (value, 0.0), TURN, 30.0, 0.0);
    }
    assert_eq!(rhythm.known, NEAR);
    let all = rhythm.means::<LEADS>();
    assert_eq!(rhythm.means::<NEAR>(), all[..NEAR]);
    assert_eq!(rhythm.ahead[..NEAR], all[..NEAR]);
    // The dip of 7200 s ends at 7380 s, seven windows after the last began.
    let largest = |reach: usize| all[..reach].iter().copied().fold(0.0, f64::max);
    for (second, reach) in [(7170, 2), (7200, 3), (7230, 4), (7260, 5), (7320, 7), (7350, 8), (9000, LEADS)] {
        assert_eq!(rhythm.through(at(second), 30.0).unwrap().0, largest(reach), "{second}");
    }
    assert!(largest(5) < 50.0 && largest(8) > 80.0, "{all:?}");
    // A horizon that has grown since the last window.
    rhythm.observe(20.0, at(7200), (20.0, 0.0), TURN, 300.0, 0.0);
    assert_eq!(rhythm.known, LEADS);
    rhythm.observe(20.0, at(7210), (20.0, 0.0), TURN, 30.0, 0.0);
    rhythm.observe(20.0, at(7230), (20.0, 0.0), TURN, 30.0, 0.0);
    rhythm.observe(20.0, at(7240), (20.0, 0.0), TURN, 300.0, 0.0);
    assert_eq!(rhythm.known, NEAR);
    let all = rhythm.means::<LEADS>();
    let largest = all.iter().copied().fold(0.0, f64::max);
    assert_eq!(rhythm.through(at(7240), 300.0).unwrap().0, largest);
}

#[test]
fn a_gap_keeps_the_phase_and_teaches_nothing() {
    let mut whole = Rhythm::default();
    feed(&mut whole, 0..7200, dips);
    let mut gap = whole.clone();
    feed(&mut gap, 7500..8100, dips);
    feed(&mut whole, 7200..8100, dips);
    let (a, b) = (gap.through(at(8090), HORIZON).unwrap(), whole.through(at(8090), HORIZON).unwrap());
    assert!((a.0 - b.0).abs() < 10.0, "{a:?} {b:?}");
    let mut long = whole.clone();
    feed(&mut long, 40_000..40_010, dips);
    assert_eq!(long.through(at(40_010), HORIZON), None, "after hours it begins anew");
}

proptest! {
    #[test]
    fn never_more_than_was_seen_of_a_load_and_always_a_number(
        values in prop::collection::vec(prop_oneof![0.0..1e3f64, Just(0.0), Just(1e50), Just(f64::NAN), Just(f64::INFINITY)], 1..400),
        gaps in prop::collection::vec(1i64..200, 400),
        horizon in prop_oneof![0.0..4000.0f64, Just(f64::NAN)],
    ) {
        let mut rhythm = Rhythm::default();
        let mut second = 0;
        for (value, gap) in values.iter().zip(&gaps) {
            second += gap;
            rhythm.observe(*value, at(second), (*value, 1.0), TURN, horizon, 0.0);
            if let Some((mean, sd)) = rhythm.through(at(second), horizon) {
                prop_assert!(mean.is_finite() && sd.is_finite() && sd >= 0.0, "{mean} {sd}");
            }
        }
    }

    #[test]
    fn of_any_scale(scale in 1e-6..1e6f64) {
        let (mut one, mut other) = (Rhythm::default(), Rhythm::default());
        feed(&mut one, 0..6000, dips);
        feed(&mut other, 0..6000, |second| scale * dips(second));
        let (a, b) = (one.through(at(6000), HORIZON).unwrap(), other.through(at(6000), HORIZON).unwrap());
        prop_assert!((b.0 / a.0 / scale - 1.0).abs() < 1e-9 && (b.1 / a.1 / scale - 1.0).abs() < 1e-6, "{a:?} {b:?}");
    }
}
