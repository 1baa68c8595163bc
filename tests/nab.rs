//! The scorer of the anomaly benchmark against cases computed by hand.

#![allow(clippy::unwrap_used, missing_docs, dead_code, reason = "a test fails by panicking")]

#[path = "../benches/nab/score.rs"]
mod score;

use score::{PROFILES, Point, at, best, deduplicated, points, probation};

/// A series of 100 samples with one window of 10, samples 50…59.
const WINDOW: [(usize, usize); 1] = [(50, 59)];

fn alarms(n: usize, where_: &[usize]) -> Vec<f64> {
    (0..n).map(|i| f64::from(u8::from(where_.contains(&i)))).collect()
}

fn standard(where_: &[usize]) -> f64 {
    at(&points(&alarms(100, where_), &WINDOW, PROFILES[0], 0), 1, PROFILES[0], 1.0).score
}

/// `2/(1+e^{5x}) − 1`, by tanh.
fn sigmoid(x: f64) -> f64 {
    -(2.5 * x).tanh()
}

fn close(got: f64, want: f64) {
    assert!((got - want).abs() < 1e-9, "{got} for {want}");
}

#[test]
fn perfect_is_100_and_silence_is_0() {
    for profile in PROFILES {
        let perfect = points(&alarms(100, &[50]), &WINDOW, profile, 0);
        close(best(&perfect, 1, profile).score, 100.0);
        close(best(&points(&[0.0; 100], &WINDOW, profile, 0), 1, profile).score, 0.0);
        close(at(&perfect, 1, profile, 2.0).score, 0.0);
    }
}

#[test]
fn the_earlier_in_the_window_the_better_and_only_the_best_counts() {
    // Sample 54 is 6 of 10 before the end of the window: x = −.6.
    let later = sigmoid(-0.6) / sigmoid(-1.0);
    close(standard(&[54]), 100.0 * (later + 1.0) / 2.0);
    close(standard(&[54, 55, 59]), standard(&[54]));
    close(standard(&[59]), 100.0 * (sigmoid(-0.1) / sigmoid(-1.0) + 1.0) / 2.0);
}

#[test]
fn a_false_alarm_costs_less_just_after_a_window() {
    close(standard(&[50, 30]), 100.0 - 100.0 * 0.11 / 2.0);
    // Sample 62 is three past the end, of width − 1 = 9.
    close(standard(&[50, 62]), 100.0 + 100.0 * 0.11 * sigmoid(3.0 / 9.0) / 2.0);
    close(standard(&[50, 99]), 100.0 - 100.0 * 0.11 / 2.0);
    assert!(standard(&[50, 60]) > standard(&[50, 70]));
}

#[test]
fn profiles_weigh_false_alarms_and_misses() {
    let scores: Vec<f64> = PROFILES
        .iter()
        .map(|p| at(&points(&alarms(100, &[50, 30, 31]), &WINDOW, *p, 0), 1, *p, 1.0).score)
        .collect();
    close(scores[0], 100.0 - 100.0 * 0.22 / 2.0);
    close(scores[1], 100.0 - 100.0 * 0.44 / 2.0);
    close(scores[2], 100.0 - 100.0 * 0.22 / 3.0);
}

#[test]
fn the_start_of_a_series_is_not_scored() {
    assert_eq!(
        (probation(100), probation(1127), probation(4032), probation(5000), probation(15_902)),
        (15, 169, 604, 750, 750)
    );
    close(standard(&[50, 0, 14]), 100.0);
    assert!(standard(&[50, 15]) < 100.0);
}

#[test]
fn one_threshold_serves_the_whole_corpus() {
    // Two series: the second one's window shows only at a threshold that costs the first one twenty false alarms.
    let mut first = alarms(100, &[50]);
    first[16..36].fill(0.5);
    let mut second = vec![0.0; 100];
    second[50] = 0.4;
    let profile = PROFILES[0];
    let mut all = points(&first, &WINDOW, profile, 0);
    all.extend(points(&second, &WINDOW, profile, 1));
    let outcome = best(&all, 2, profile);
    close(outcome.threshold, 1.0);
    close(outcome.score, 50.0);
    assert_eq!((outcome.found, outcome.false_alarms), (1, 0));
    // Two windows are worth 2 units each: 10 false alarms (1.1) are worth it, 20 (2.2) are not.
    first[16..26].fill(0.0);
    let mut all = points(&first, &WINDOW, profile, 0);
    all.extend(points(&second, &WINDOW, profile, 1));
    let outcome = best(&all, 2, profile);
    close(outcome.score, 100.0 - 100.0 * 1.1 / 4.0);
    assert_eq!((outcome.found, outcome.false_alarms), (2, 10));
}

#[test]
fn the_sweep_agrees_with_every_single_threshold() {
    let anomalies: Vec<f64> = (0..100_u32).map(|i| f64::from(i * 37 % 11)).collect();
    let scored = points(&anomalies, &[(30, 40), (70, 75)], PROFILES[0], 0);
    let singly = (0..12).map(|t| at(&scored, 2, PROFILES[0], f64::from(t)).score).fold(f64::MIN, f64::max);
    close(best(&scored, 2, PROFILES[0]).score, singly.max(0.0));
}

#[test]
fn an_alarm_silences_what_follows() {
    let quiet = deduplicated(&[0.0, 2.0, 3.0, 1.0, 2.0, 2.0], 2.0, 2);
    assert_eq!(quiet, [0.0, 2.0, 0.0, 0.0, 2.0, 0.0]);
    let scored = points(&[1.0; 20], &[(10, 12)], PROFILES[0], 7);
    assert_eq!(scored.iter().filter(|p: &&Point| p.window == Some(7)).count(), 3);
}
