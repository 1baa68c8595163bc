//! Two proportions: rates at the edge of the null, power, and the closed form of the likelihood ratio.

use super::super::sequential::tests::Dice;
use super::*;

const ERRORS: Bars = Bars { rare: 0.002, equal: 0.01, gain: f64::INFINITY };

/// Failures of `n` requests, each with chance `p`.
fn failed(dice: &mut Dice, n: u32, p: f64) -> f64 {
    f64::from((0..n).map(|_| u32::from(dice.uniform() < p)).sum::<u32>()) / f64::from(n)
}

#[test]
fn a_challenger_that_fails_more_by_the_margin_is_rarely_not_worse() {
    let runs = 400_u64;
    for share in [0.0, 0.02] {
        let passed = (0..runs)
            .filter(|run| {
                let mut dice = Dice(run * 31 + 5);
                let mut sums = Proportions::new(ERRORS);
                (0..120).any(|_| {
                    let old = Counts { requests: 700.0, bad: 700.0 * failed(&mut dice, 700, share) };
                    let new =
                        Counts { requests: 37.0, bad: 37.0 * failed(&mut dice, 37, share + ERRORS.equal) };
                    sums.push(old, new, 0.1);
                    sums.not_worse() >= 20.0
                })
            })
            .count() as f64
            / runs as f64;
        assert!(passed <= 0.083, "{share}: {passed}");
    }
}

#[test]
fn how_many_requests_it_takes() {
    let clean = |n: f64| fewness(Counts { requests: n, bad: 0.0 }, ERRORS.equal) * 0.5 >= 20.0;
    assert!(clean(500.0) && !clean(300.0), "nothing bad: 500 requests are enough, 300 are not");
    let until = |p: f64| {
        let mut dice = Dice(3);
        let mut sums = Proportions::new(ERRORS);
        (1..200)
            .find(|_| {
                let old = Counts { requests: 700.0, bad: 0.0 };
                sums.push(old, Counts { requests: 37.0, bad: 37.0 * failed(&mut dice, 37, p) }, 0.1);
                sums.worse() >= 40.0
            })
            .map(|turn| turn * 37)
    };
    assert!(until(0.02).is_some_and(|requests| requests < 700), "{:?}", until(0.02));
    assert_eq!(until(0.0), None);
}

#[test]
fn closeness_is_a_likelihood_ratio_of_the_null() {
    let counts = |requests, bad| Counts { requests, bad };
    assert!(closeness(counts(0.0, 0.0), counts(0.0, 0.0), 0.01) <= 1.0, "no request, no proof");
    assert!(closeness(counts(50_000.0, 1500.0), counts(20_000.0, 600.0), 0.01) > 20.0);
    assert!(closeness(counts(50_000.0, 1500.0), counts(20_000.0, 800.0), 0.01) < 1.0);
    assert!(closeness(counts(50_000.0, 1500.0), counts(20_000.0, 20_000.0), 0.01) < 1e-9);
    // Against a grid of the null.
    let (old, new) = (counts(200.0, 7.0), counts(90.0, 2.0));
    let log = |c: Counts, p: f64| c.bad * p.ln() + (c.requests - c.bad) * (1.0 - p).ln();
    let mut best = f64::NEG_INFINITY;
    for i in 1..990 {
        for j in (i + 10)..1000 {
            best = best.max(log(old, f64::from(i) / 1000.0) + log(new, f64::from(j) / 1000.0));
        }
    }
    let mixed: f64 = {
        let n = 200_000;
        let step = 1.0 / f64::from(n);
        let density = |p: f64| {
            libm::exp(log(old, p) + log(new, p) - best) / (core::f64::consts::PI * (p * (1.0 - p)).sqrt())
        };
        (0..n).map(|i| step * density((f64::from(i) + 0.5) * step)).sum()
    };
    let found = closeness(old, new, 0.01);
    assert!((found / mixed - 1.0).abs() < 0.01, "{found} {mixed}");
}

#[test]
fn one_burst_proves_nothing_where_the_gain_is_bounded() {
    let bars = Bars { gain: 2.0, ..ERRORS };
    let quiet = Counts { requests: 700.0, bad: 0.0 };
    let burst = |n: usize| {
        let mut sums = Proportions::new(bars);
        (0..n).for_each(|_| sums.push(quiet, Counts { requests: 40.0, bad: 40.0 }, 0.1));
        sums.worse()
    };
    assert!(burst(1) <= 2.0 && burst(5) <= 32.0 && burst(6) >= 40.0, "{} {}", burst(5), burst(6));
    let mut free = Proportions::new(ERRORS);
    free.push(quiet, Counts { requests: 40.0, bad: 40.0 }, 0.1);
    assert!(free.worse() > 1e6);
}

#[test]
fn bursts_that_both_sides_have_raise_rarely() {
    // Slow stretches of three turns, each side its own; in them a tenth of the requests is slow, else one in 200.
    let bars = Bars { rare: 0.01, equal: 0.025, gain: 2.0 };
    let raised = (0..400_u64)
        .filter(|run| {
            let mut dice = Dice(run * 7919 + 17);
            let mut sums = Proportions::new(bars);
            let mut left = [0_u32; 2];
            (0..120).any(|_| {
                let mut draw = |side: usize, n: u32| {
                    left[side] = if dice.uniform() < 0.02 { 3 } else { left[side].saturating_sub(1) };
                    let p = if left[side] > 0 { 0.1 } else { 0.005 };
                    Counts { requests: f64::from(n), bad: f64::from(n) * failed(&mut dice, n, p) }
                };
                let (old, new) = (draw(0, 700), draw(1, 37));
                sums.push(old, new, 0.1);
                sums.worse() >= 40.0
            })
        })
        .count();
    assert!(raised <= 20, "{raised} of 400");
}
