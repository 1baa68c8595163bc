//! `cargo bench --bench nab -- [--data DIR] [-o json]`: the Numenta Anomaly Benchmark over the product's `anomaly`.
//!
//! One threshold over the whole corpus, as published; beside it what the same threshold reaches in each folder,
//! over the metrics of machines alone, in halves of the corpus with the threshold of the other half, and with
//! alarms de-duplicated.

#![allow(missing_docs, reason = "a program, not a library")]

#[path = "../common/mod.rs"]
mod common;
mod corpus;
mod detectors;
mod score;

use std::time::Instant;

use corpus::Series;
use detectors::{DETECTORS, Detector};
use score::{Outcome, PROFILES, Point, Profile};
use serde_json::{Value, json};

/// Samples for which an alarm silences the next ones, in the rows with de-duplication.
const QUIET: usize = 100;

type Scored<'a> = Vec<(&'a Series, Vec<f64>)>;

fn main() -> anyhow::Result<()> {
    let arguments = common::Arguments::read()?;
    let series = corpus::load(&arguments.data.join("nab"))?;
    anyhow::ensure!(!series.is_empty(), "no series below {}", arguments.data.display());
    let reports: Vec<Value> = DETECTORS.iter().map(|detector| report(detector, &series)).collect();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&reports)?);
    } else {
        reports.iter().for_each(print);
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn report(detector: &Detector, series: &[Series]) -> Value {
    let begin = Instant::now();
    let scored: Scored = series.iter().map(|s| (s, (detector.run)(s))).collect();
    let seconds = begin.elapsed().as_secs_f64();
    let samples: usize = series.iter().map(|s| s.values.len()).sum();
    let [standard, rest @ ..] = PROFILES;
    let outcome = best(&scored, standard, |_| true);
    let profiles: Vec<Value> =
        rest.iter().map(|p| json!({p.name: best(&scored, *p, |_| true).score})).collect();
    let mut folders: Vec<&str> = series.iter().map(Series::folder).collect();
    folders.dedup();
    let of_folder = |folder: &&str| {
        let (points, windows) = points(&scored, standard, |s| s.folder() == *folder);
        row(folder, score::at(&points, windows, standard, outcome.threshold), windows)
    };
    let files = scored.iter().map(|(one, _)| {
        let (points, windows) = points(&scored, standard, |s| s.name == one.name);
        row(&one.name, score::at(&points, windows, standard, outcome.threshold), windows)
    });
    let count = |keep: fn(&Series) -> bool| series.iter().filter(|s| keep(s)).map(|s| s.windows.len()).sum();
    json!({
        "detector": detector.name,
        "all": row("all", outcome, count(|_| true)),
        "ops": row("ops", best(&scored, standard, Series::is_ops), count(Series::is_ops)),
        "deduplicated": row("all", deduplicated(&scored, standard), count(|_| true)),
        "otherHalf": other_half(&scored, standard),
        "profiles": profiles,
        "folders": folders.iter().map(of_folder).collect::<Vec<_>>(),
        "files": files.collect::<Vec<_>>(),
        "samplesPerSecond": samples as f64 / seconds,
    })
}

fn row(name: &str, outcome: Outcome, windows: usize) -> Value {
    json!({
        "name": name, "score": outcome.score, "found": outcome.found, "windows": windows,
        "falseAlarms": outcome.false_alarms,
        "threshold": outcome.threshold.is_finite().then_some(outcome.threshold),
    })
}

fn points(scored: &Scored, profile: Profile, keep: impl Fn(&Series) -> bool) -> (Vec<Point>, usize) {
    let (mut all, mut windows) = (Vec::new(), 0);
    for (series, anomalies) in scored.iter().filter(|(s, _)| keep(s)) {
        all.extend(score::points(anomalies, &series.windows, profile, windows));
        windows += series.windows.len();
    }
    (all, windows)
}

fn best(scored: &Scored, profile: Profile, keep: impl Fn(&Series) -> bool) -> Outcome {
    let (points, windows) = points(scored, profile, keep);
    score::best(&points, windows, profile)
}

/// The best threshold where an alarm silences what follows; its effect depends on the threshold, so each of two
/// hundred is tried.
fn deduplicated(scored: &Scored, profile: Profile) -> Outcome {
    let (mut every, windows) = points(scored, profile, |_| true);
    every.sort_by(|a, b| b.anomaly.total_cmp(&a.anomaly));
    let mut best = score::best(&[], windows, profile);
    for k in 0..200 {
        // From the ten most anomalous samples to the upper tenth, in equal ratios.
        let rank = 10.0 * (every.len() as f64 / 100.0).powf(f64::from(k) / 199.0);
        let threshold = every[(rank as usize).min(every.len() - 1)].anomaly;
        let quiet = scored.iter().map(|(s, a)| (*s, score::deduplicated(a, threshold, QUIET))).collect();
        let (points, _) = points(&quiet, profile, |_| true);
        let outcome = score::at(&points, windows, profile, threshold);
        if outcome.score > best.score {
            best = outcome;
        }
    }
    best
}

/// Mean score of each half of the files at the threshold that was best for the other half.
fn other_half(scored: &Scored, profile: Profile) -> f64 {
    let half = |parity: usize| {
        let names: Vec<&str> = scored.iter().skip(parity).step_by(2).map(|(s, _)| s.name.as_str()).collect();
        points(scored, profile, |s| names.contains(&s.name.as_str()))
    };
    let ((a, in_a), (b, in_b)) = (half(0), half(1));
    let across = |from: &[Point], n: usize, to: &[Point], m: usize| {
        score::at(to, m, profile, score::best(from, n, profile).threshold).score
    };
    f64::midpoint(across(&a, in_a, &b, in_b), across(&b, in_b, &a, in_a))
}

fn print(report: &Value) {
    let line = |row: &Value| {
        println!(
            "  {:<58} {:>6.1}  {:>3}/{:<3} windows  {:>4} false alarms",
            row["name"].as_str().unwrap_or_default(),
            row["score"].as_f64().unwrap_or_default(),
            row["found"],
            row["windows"],
            row["falseAlarms"],
        );
    };
    println!("{}", report["detector"].as_str().unwrap_or_default());
    line(&report["all"]);
    line(&report["ops"]);
    println!("  with alarms de-duplicated:");
    line(&report["deduplicated"]);
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    println!(
        "  {:.1} with the threshold of the other half; {}",
        number(&report["otherHalf"]),
        report["profiles"]
    );
    println!("  {:.0} samples/s", number(&report["samplesPerSecond"]));
    println!("  by folder, at the common threshold {}:", report["all"]["threshold"]);
    report["folders"].as_array().into_iter().flatten().for_each(line);
    println!();
}
