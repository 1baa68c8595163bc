use proptest::prelude::*;

use super::super::consistency::Monitor;
use super::super::sequential::tests::Dice;
use super::super::special::surprise_normal;
use super::*;
use crate::orient::Consistency;

const LIMITS: Limits = Limits { interval: 1.0, q_min: 0.0, q_max: 10.0, r_floor: 0.0, r_extra: 0.0 };

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_microsecond(1_700_000_000_000_000 + (seconds * 1e6) as i64).unwrap()
}

/// A random walk of variance `q` a step seen through noise of variance `r`, around `around`.
struct World {
    dice: Dice,
    level: f64,
    around: f64,
}

impl World {
    fn new(seed: u64, around: f64) -> Self {
        Self { dice: Dice(seed), level: 0.0, around }
    }

    fn next(&mut self, q: f64, r: f64) -> (f64, f64) {
        self.level += q.sqrt() * self.dice.normal();
        (self.around + self.level, self.around + self.level + r.sqrt() * self.dice.normal())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Noises learned `3/(1−λ)` steps after R and Q change, median over twenty worlds.
fn tracked(before: (f64, f64), after: (f64, f64)) -> (f64, f64) {
    let steps = (3.0 / (1.0 - LAMBDA)).ceil() as u32;
    let runs: Vec<(f64, f64)> = (0..21)
        .map(|seed| {
            let mut world = World::new(seed * 31 + 1, 100.0);
            let mut channel = Channel::new(Motion::Level);
            for i in 0..600 + steps {
                let (q, r) = if i < 600 { before } else { after };
                channel.observe(world.next(q, r).1, at(f64::from(i)), &LIMITS);
            }
            (channel.process_noise(), channel.measurement_noise())
        })
        .collect();
    (median(runs.iter().map(|r| r.0).collect()), median(runs.iter().map(|r| r.1).collect()))
}

#[test]
fn tenfold_measurement_noise_is_tracked() {
    let (_, r) = tracked((1.0, 1.0), (1.0, 10.0));
    assert!((r / 10.0 - 1.0).abs() < 0.3, "R {r} for 10");
}

#[test]
fn tenfold_process_noise_is_tracked() {
    let (q, _) = tracked((1.0, 1.0), (10.0, 1.0));
    assert!((q / 10.0 - 1.0).abs() < 0.3, "Q {q} for 10");
}

/// Error of the filter against the truth over the error of the filter that knows the noises.
fn against_the_oracle(q: f64, r: f64) -> f64 {
    let (mut ours, mut oracle) = (0.0, 0.0);
    for seed in 0..8 {
        let mut world = World::new(seed * 97 + 5, 50.0);
        let mut channel = Channel::new(Motion::Level);
        let mut known: Option<State> = None;
        for i in 0..3000_u32 {
            let (truth, sample) = world.next(q, r);
            channel.observe(sample, at(f64::from(i)), &LIMITS);
            let predicted = known.map_or(State::new(sample, r, 0.0), |k| k.predict(1.0, Motion::Level, q));
            let y = predicted.innovation(sample, r);
            let state = predicted.update(&y, y.residual, r);
            known = Some(state);
            if i >= 500 {
                let got = channel.estimate(at(f64::from(i)), 0.0).unwrap().level;
                ours += (got - truth) * (got - truth);
                oracle += (state.x[0] - truth) * (state.x[0] - truth);
            }
        }
    }
    (ours / oracle).sqrt()
}

#[test]
fn the_steady_error_is_near_the_oracles() {
    for (q, r) in [(1.0, 1.0), (0.1, 1.0), (0.01, 1.0), (4.0, 1.0)] {
        let ratio = against_the_oracle(q, r);
        assert!(ratio < 1.05, "q={q} r={r}: {ratio}");
    }
}

#[test]
fn a_ramp_at_irregular_times_is_forecast() {
    let limits = Limits { interval: 15.0, q_min: 0.001, q_max: 0.1, ..LIMITS };
    let mut channel = Channel::new(Motion::Trend);
    let mut dice = Dice(3);
    let mut t = 0.0;
    for _ in 0..60 {
        t += 10.0 + 10.0 * dice.uniform();
        channel.observe(20.0 + 0.1 * t + 0.3 * dice.normal(), at(t), &limits);
    }
    let e = channel.estimate(at(t), 60.0).unwrap();
    let truth = 20.0 + 0.1 * (t + 60.0);
    assert!((e.forecast - truth).abs() < 0.03 * truth, "{} for {truth}", e.forecast);
    assert!((e.slope - 0.1).abs() < 0.03, "slope {}", e.slope);
    assert!((e.forecast - truth).abs() < 3.0 * e.forecast_sd);
    assert_eq!(e.samples, 60);
}

#[test]
fn a_sample_read_again_is_not_a_new_one() {
    let mut channel = Channel::new(Motion::Trend);
    assert!(channel.observe(5.0, at(0.0), &LIMITS).is_some());
    assert!(channel.observe(6.0, at(1.0), &LIMITS).is_some());
    let before = channel.estimate(at(1.0), 0.0);
    assert!(channel.observe(9.0, at(1.0), &LIMITS).is_none());
    assert!(channel.observe(9.0, at(0.5), &LIMITS).is_none());
    assert_eq!(channel.estimate(at(1.0), 0.0), before);
}

#[test]
fn a_missing_sample_widens_and_says_so() {
    let limits = Limits { interval: 15.0, q_min: 0.001, q_max: 0.1, ..LIMITS };
    let mut channel = Channel::new(Motion::Trend);
    for i in 0..40 {
        channel.observe(10.0 + f64::from(i % 3), at(15.0 * f64::from(i)), &limits);
    }
    let sd = |later: f64| channel.estimate(at(15.0 * 39.0 + later), 45.0).unwrap();
    assert!(sd(60.0).level_sd > sd(0.0).level_sd);
    assert!(sd(600.0).forecast_sd > sd(60.0).forecast_sd);
    assert_eq!(sd(600.0).samples, 40);
}

#[test]
fn an_outlier_is_clipped_and_teaches_nothing() {
    let mut channel = Channel::new(Motion::Level);
    let mut world = World::new(9, 100.0);
    for i in 0..300 {
        channel.observe(world.next(0.01, 1.0).1, at(f64::from(i)), &LIMITS);
    }
    let (before, r) = (channel.estimate(at(300.0), 0.0).unwrap(), channel.measurement_noise());
    channel.observe(1e6, at(300.0), &LIMITS);
    let after = channel.estimate(at(300.0), 0.0).unwrap();
    assert!((channel.measurement_noise() - r).abs() < 1e-12, "R is untouched");
    assert!(after.level - before.level < 10.0 * (before.forecast_sd + 1.0));
    assert!((surprise_normal(after.nis) - 300.0).abs() < 1e-9);
}

#[test]
fn a_new_level_is_taken_at_its_second_sample_without_a_trend() {
    let limits = Limits { interval: 15.0, q_min: 0.001, q_max: 0.1, ..LIMITS };
    let mut channel = Channel::new(Motion::Trend);
    let mut dice = Dice(4);
    for i in 0..100 {
        channel.observe(10.0 + 0.05 * dice.normal(), at(15.0 * f64::from(i)), &limits);
    }
    for i in 100..103 {
        channel.observe(80.0 + 0.05 * dice.normal(), at(15.0 * f64::from(i)), &limits);
    }
    let e = channel.estimate(at(15.0 * 102.0), 45.0).unwrap();
    assert!((e.level - 80.0).abs() < 2.0, "level {}", e.level);
    assert!((e.forecast - 80.0).abs() < 16.0, "forecast {}", e.forecast);
}

#[test]
fn noise_that_grows_a_hundredfold_is_learned_after_all() {
    let mut channel = Channel::new(Motion::Level);
    let mut world = World::new(12, 1000.0);
    for i in 0..300 {
        channel.observe(world.next(0.0, 0.04).1, at(f64::from(i)), &LIMITS);
    }
    for i in 300..600 {
        channel.observe(world.next(0.0, 400.0).1, at(f64::from(i)), &LIMITS);
    }
    assert!((100.0..1600.0).contains(&channel.measurement_noise()), "{}", channel.measurement_noise());
}

#[test]
fn a_consistent_filter_is_called_so() {
    let mut channel = Channel::new(Motion::Level);
    let mut world = World::new(21, 100.0);
    let mut overconfident = 0;
    for i in 0..4000 {
        channel.observe(
            world.next(0.2, 1.0).1,
            at(15.0 * f64::from(i)),
            &Limits { interval: 15.0, ..LIMITS },
        );
        overconfident += u32::from(channel.monitor().verdict() == Consistency::Overconfident);
    }
    assert!(overconfident < 80, "{overconfident} of 4000 turns");
    assert!(channel.monitor().mean() > 0.3);
    assert_eq!(Monitor::default().verdict(), Consistency::Unknown);
}

#[test]
fn bounds_hold_the_process_noise_and_floors_the_measurement_noise() {
    let limits = Limits { interval: 15.0, q_min: 0.001, q_max: 0.1, r_floor: 4.0, r_extra: 0.0 };
    let mut channel = Channel::new(Motion::Trend);
    for i in 0..200 {
        channel.observe(100.0, at(15.0 * f64::from(i)), &limits);
    }
    let added = (channel.process_noise() * 15.0_f64.powi(3) / 3.0).sqrt();
    assert!((0.0999..10.001).contains(&added), "{added} of 100 a turn");
    assert!(channel.measurement_noise() >= 4.0);
    assert_eq!(channel.monitor().verdict(), Consistency::Underconfident, "a constant is only reported");
}

#[test]
fn a_gap_of_hours_starts_anew() {
    let mut channel = Channel::new(Motion::Trend);
    for i in 0..50 {
        channel.observe(f64::from(i), at(f64::from(i)), &LIMITS);
    }
    channel.observe(7.0, at(90_000.0), &LIMITS);
    let e = channel.estimate(at(90_000.0), 0.0).unwrap();
    assert!((e.level - 7.0).abs() < 1e-12 && e.slope.abs() < 1e-12);
    assert_eq!(e.samples, 51);
}

proptest! {
    #[test]
    fn no_finite_input_gives_anything_but_finite(
        samples in prop::collection::vec((prop::num::f64::ANY, 0.0..5000.0f64), 1..200),
        q_min in 0.0..1.0f64, q_max in 0.0..10.0f64, interval in 0.1..3600.0f64, floor in 0.0..1e30f64
    ) {
        let limits = Limits { interval, q_min, q_max: q_max.max(q_min), r_floor: floor, r_extra: floor };
        for motion in [Motion::Trend, Motion::Level] {
            let mut channel = Channel::new(motion);
            let mut t = 0.0;
            for (value, gap) in &samples {
                t += gap;
                let z = channel.observe(*value, at(t), &limits);
                prop_assert!(z.is_none_or(f64::is_finite));
                if let Some(e) = channel.estimate(at(t + gap), 60.0) {
                    for v in [e.level, e.slope, e.level_sd, e.slope_sd, e.forecast, e.forecast_sd, e.nis, e.anomaly] {
                        prop_assert!(v.is_finite(), "{e:?}");
                    }
                }
            }
        }
    }
}
