use super::super::sequential::tests::Dice;
use super::*;
use proptest::prelude::*;

/// The detector after `values`, with what it said of each.
fn said(values: &[f64]) -> (Surprise, Vec<f64>) {
    let mut surprise = Surprise::default();
    let mut told = |value: &f64| {
        surprise.observe(*value);
        surprise.anomaly()
    };
    let anomalies = values.iter().map(&mut told).collect();
    (surprise, anomalies)
}

fn noise(seed: u64, n: usize) -> Vec<f64> {
    let mut dice = Dice(seed);
    (0..n).map(|_| dice.normal()).collect()
}

/// Under a null each tail is what it says, on distributions with light and heavy tails, and ties.
#[test]
fn a_tail_is_calibrated() {
    type Draw = fn(&mut Dice) -> f64;
    let draws: [(&str, Draw); 4] = [
        ("normal", |d| d.normal().abs()),
        ("exponential", |d| -libm::log(d.uniform().max(1e-300))),
        ("uniform", Dice::uniform),
        ("log-normal", |d| libm::exp(0.5 * d.normal())),
    ];
    for (name, draw) in draws {
        let (mut dice, mut tail) = (Dice(7), Tail::new());
        let (n, mut beyond) = (200_000, [0_u32; 3]);
        for i in 0..n + 500 {
            let surprise = tail.observe(draw(&mut dice));
            for (power, count) in (1..).zip(&mut beyond) {
                *count += u32::from(i >= 500 && surprise >= f64::from(power));
            }
        }
        let share = beyond.map(|count| f64::from(count) / f64::from(n));
        assert!((0.08..0.11).contains(&share[0]), "{name}: {share:?}");
        assert!((0.006..0.015).contains(&share[1]), "{name}: {share:?}");
        // A bounded distribution has a lighter tail than the exponential: there p is an upper bound.
        assert!((0.0..0.003).contains(&share[2]), "{name}: {share:?}");
    }
}

/// Of all together the correction for looking twice makes p an upper bound, not a lower one.
#[test]
fn together_they_alarm_no_more_often_than_they_say() {
    let (_, anomalies) = said(&noise(3, 100_000));
    for (power, factor) in [(1.0, 1.1), (2.0, 1.3), (3.0, 2.0)] {
        let share = anomalies.iter().skip(500).filter(|a| **a >= power).count() as f64 / 1e5;
        assert!(share <= factor * libm::pow(10.0, -power), "{power}: {share}");
        assert!(share >= 0.2 * libm::pow(10.0, -power), "{power}: {share}");
    }
}

#[test]
fn a_spike_and_a_shift_are_surprises() {
    let mut values = noise(5, 3000);
    values[2000] = 12.0;
    values[2500..].iter_mut().for_each(|v| *v += 3.0);
    let (_, anomalies) = said(&values);
    assert!(anomalies[2000] > 3.0, "{}", anomalies[2000]);
    let shift = anomalies[2500..2520].iter().copied().fold(0.0, f64::max);
    assert!(shift > 3.0, "{shift}");
}

#[test]
fn one_event_is_told_once() {
    let mut values = noise(8, 3000);
    values[2000..2040].iter_mut().for_each(|v| *v += 40.0);
    let (_, anomalies) = said(&values);
    assert!(anomalies[2000] > 10.0);
    let again = anomalies[2001..2040].iter().filter(|a| **a > 3.0).count();
    assert!(again <= 2, "{again}");
    // A far larger one is an event of its own.
    values[2030] = 4000.0;
    assert!(said(&values).1[2030] > 10.0);
}

#[test]
fn the_unit_does_not_matter() {
    let mut values = noise(11, 2500);
    values[1500] = 9.0;
    values[2000..2100].iter_mut().for_each(|v| *v *= 6.0);
    let (_, reference) = said(&values);
    for (a, b) in [(-1.0, 0.0), (1e-6, 0.0), (1e9, 3.0), (0.01, 1e6), (-250.0, 7e4), (1e30, 0.0)] {
        let scaled: Vec<f64> = values.iter().map(|v| a * v + b).collect();
        for (i, (got, want)) in said(&scaled).1.iter().zip(&reference).enumerate() {
            assert!((got - want).abs() < 1e-3 * (1.0 + want), "{a} {b} at {i}: {got} for {want}");
        }
    }
}

#[test]
fn what_never_moved_says_little_when_it_moves() {
    let mut values = vec![5.0; 1000];
    values.push(5.1);
    let (surprise, anomalies) = said(&values);
    assert!(anomalies[..1000].iter().all(|a| *a < 1e-12));
    // Nothing is known of the size of its moves: one in a thousand and one, times two.
    let expected = libm::log10(1001.0) + libm::log10(0.5);
    assert!((surprise.anomaly() - expected).abs() < 1e-3, "{}", surprise.anomaly());
}

#[test]
fn the_past_is_forgotten_by_halves() {
    let mut tail = Tail::new();
    let mut dice = Dice(2);
    for _ in 0..MEMORY as usize {
        tail.observe(10.0 * dice.uniform());
    }
    assert_eq!((tail.count, tail.kept), (MEMORY / 2, 101));
    assert!(tail.top[..tail.kept].is_sorted_by(|a, b| a >= b));
    let before = tail.surprise(9.95);
    assert!((before + libm::log10(0.005)).abs() < 0.2, "{before}");
}

proptest! {
    #[test]
    fn nothing_breaks_it(values in prop::collection::vec(prop::num::f64::ANY, 1..400)) {
        let mut surprise = Surprise::default();
        for value in &values {
            surprise.observe(*value);
            for said in [surprise.anomaly(), surprise.alone()] {
                prop_assert!((0.0..=300.0).contains(&said), "{}", said);
            }
        }
    }

    #[test]
    fn the_tail_keeps_the_largest(values in prop::collection::vec(0.0..100.0f64, 1..600)) {
        let mut tail = Tail::new();
        for v in &values {
            tail.observe(*v);
        }
        let mut sorted: Vec<f32> = values.iter().map(|v| *v as f32).collect();
        sorted.sort_unstable_by(|a, b| b.total_cmp(a));
        sorted.truncate(TAIL + 1);
        prop_assert_eq!(&tail.top[..tail.kept], &sorted[..]);
    }
}
