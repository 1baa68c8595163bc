use super::super::sequential::tests::Dice;
use super::*;

const ALPHA: f64 = 0.05;
const SIGNALS: usize = 2;

/// Autoregressive noise of variance 1 about 0.
fn noise(dice: &mut Dice, n: usize, phi: f64, mut draw: impl FnMut(&mut Dice) -> f64) -> Vec<f64> {
    let (mut x, fresh) = (0.0, (1.0 - phi * phi).sqrt());
    let all: Vec<f64> = (0..n + 50)
        .map(|_| {
            x = phi * x + fresh * draw(dice);
            x
        })
        .collect();
    all[50..].to_vec()
}

/// Share of rollouts that change nothing and are accused at one of the looks, two signals looked at.
fn accused(window: usize, phi: f64, draw: fn(&mut Dice) -> f64) -> f64 {
    let runs = 500;
    let accused = (0..runs)
        .filter(|run| {
            let mut dice = Dice(run * 7919 + 3);
            (0..SIGNALS).any(|_| {
                let all = noise(&mut dice, window + LOOKS, phi, draw);
                let (before, since) = all.split_at(window);
                let past = Past::of(before.to_vec()).unwrap();
                (1..=LOOKS)
                    .any(|k| past.tail(looked_at(&since[..k]), 0.0) * (LOOKS * SIGNALS) as f64 <= ALPHA)
            })
        })
        .count();
    accused as f64 / runs as f64
}

#[test]
fn false_accusations_stay_under_alpha_at_all_looks_together() {
    let lognormal = |d: &mut Dice| libm::exp(0.8 * d.normal());
    let t3 = |d: &mut Dice| {
        let spread: f64 = (0..3).map(|_| d.normal().powi(2)).sum::<f64>() / 3.0;
        d.normal() / spread.sqrt()
    };
    let mut shares = Vec::new();
    for window in [15, 40, 200] {
        for phi in [0.0, 0.8, 0.95] {
            shares.push((format!("{window} φ {phi}"), accused(window, phi, Dice::normal)));
        }
        shares.push((format!("{window} log-normal"), accused(window, 0.0, lognormal)));
        shares.push((format!("{window} t3"), accused(window, 0.0, t3)));
    }
    // One standard error of a share of .05 among 500 is .01.
    assert!(shares.iter().all(|(_, share)| *share <= ALPHA + 0.01), "{shares:?}");
    assert!(shares.iter().any(|(_, share)| *share > 0.002), "a test that never fires proves nothing");
}

#[test]
fn a_plain_shift_shows_at_once_and_a_small_one_with_the_second_sample() {
    let mut dice = Dice(5);
    let past = Past::of(noise(&mut dice, 200, 0.3, Dice::normal)).unwrap();
    let bar = ALPHA / (LOOKS * SIGNALS) as f64;
    assert!(past.tail(&[6.0], 0.0) <= bar);
    assert!(past.tail(&[1.9], 0.0) > bar);
    assert!(past.tail(&[1.9, 2.1], 0.0) <= bar);
}

#[test]
fn a_shift_since_the_last_samples_shows_though_the_past_was_worse() {
    // An hour ago it was at 10, for long at 5 now; 8 is news.
    let mut dice = Dice(9);
    let mut values: Vec<f64> =
        noise(&mut dice, 60, 0.0, Dice::normal).iter().map(|v| 10.0 + 0.2 * v).collect();
    values.extend(noise(&mut dice, 140, 0.0, Dice::normal).iter().map(|v| 5.0 + 0.2 * v));
    let past = Past::of(values).unwrap();
    assert!(past.tail(&[5.1, 5.0], 0.0) > 0.3);
    assert!(past.tail(&[8.0, 8.0], 0.0) < 0.1 * past.tail(&[5.1, 5.0], 0.0));
}

#[test]
fn a_past_without_noise_is_not_taken_for_certainty() {
    let past = Past::of(vec![0.0; 100]).unwrap();
    assert!(past.tail(&[0.001], 0.0) < 1e-9);
    assert!(past.tail(&[0.001], 0.01) > 0.01, "one failed request in a thousand");
    assert!(past.tail(&[0.2], 0.01) < 1e-4);
}

#[test]
fn what_cannot_be_told_is_one() {
    assert!(Past::of(vec![1.0; 7]).is_none());
    let past = Past::of(vec![1.0; 8]).unwrap();
    assert!(past.tail(&[1e9], 0.0) > 0.99, "too few innovations");
    let past = Past::of((0..40).map(f64::from).collect()).unwrap();
    for since in [&[f64::NAN][..], &[f64::INFINITY], &[]] {
        assert!(past.tail(since, 0.0) > 0.99, "{since:?}");
    }
    assert!(past.tail(&[1e300], f64::NAN) > 0.99);
    let poisoned = Past::of(vec![f64::NAN; 40]).unwrap();
    assert!(poisoned.tail(&[5.0], 0.0) > 0.99);
}

#[test]
fn worse_is_never_less_surprising() {
    let mut dice = Dice(11);
    let past = Past::of(noise(&mut dice, 100, 0.5, Dice::normal)).unwrap();
    let tails: Vec<f64> = (-30..100).map(|i| past.tail(&[0.1 * f64::from(i)], 0.01)).collect();
    assert!(tails.windows(2).all(|w| w[1] <= w[0] + 1e-15), "{tails:?}");
}

#[test]
fn each_look_takes_its_samples() {
    let since = [1.0, 2.0, 3.0];
    let taken: Vec<&[f64]> = (0..=3).map(|k| looked_at(&since[..k])).collect();
    assert_eq!(taken, [&[][..], &[1.0], &[2.0], &[2.0, 3.0]]);
}
