//! `cargo bench --bench canary -- [--data DIR] [-o json]`: what the comparison behind `matverse judge` raises on
//! pairs of the same software, and how soon it sees a worse one.

#[path = "../common/mod.rs"]
mod common;
mod noise;

use matverse::orient::Verdict;
use matverse::orient::judge::{Question, verdict};
use noise::{Dice, Host, Split};
use serde_json::json;

/// Runs on each host.
const RUNS: u64 = 700;
/// Runs on each law.
const LAW_RUNS: u64 = 10_000;

struct Row {
    what: String,
    runs: u64,
    /// Share of runs in which `Worse` stood at any look.
    worse: f64,
    /// Mean look at which it did, a run without it counted whole.
    mean: f64,
    /// Largest look at which it did.
    last: u32,
    /// Share of the worst host.
    of_worst: f64,
    of_best: f64,
}

fn at(pairs: &[(f64, f64)], margin: f64) -> Option<u32> {
    match verdict(pairs, &Question { margin, alpha: 0.05, sign: 1.0, counts: false }) {
        (Verdict::Worse, at, _) => at,
        _ => None,
    }
}

fn row(what: String, shares: &[(u64, Vec<Option<u32>>)], looks: usize) -> Row {
    let runs: u64 = shares.iter().map(|(runs, _)| runs).sum();
    let all = || shares.iter().flat_map(|(_, seen)| seen);
    let share = |seen: &[Option<u32>]| seen.iter().flatten().count() as f64 / seen.len() as f64;
    let each: Vec<f64> = shares.iter().map(|(_, seen)| share(seen)).collect();
    Row {
        what,
        runs,
        worse: all().flatten().count() as f64 / runs as f64,
        mean: all().map(|seen| seen.map_or(looks as f64, f64::from)).sum::<f64>() / runs as f64,
        last: all().flatten().copied().max().unwrap_or(0),
        of_worst: each.iter().copied().fold(0.0, f64::max),
        of_best: each.iter().copied().fold(1.0, f64::min),
    }
}

fn on_hosts(
    hosts: &[Host],
    what: &str,
    split: Split,
    looks: usize,
    margin: f64,
    runs: u64,
    change: impl Fn(&Host, f64) -> f64,
) -> Row {
    let seen: Vec<(u64, Vec<Option<u32>>)> = hosts
        .iter()
        .enumerate()
        .map(|(i, host)| {
            let one = |run: u64| {
                let mut dice = Dice::new(run * 1000 + i as u64);
                let mut pairs = noise::pairs(host, split, looks, &mut dice);
                for (_, b) in &mut pairs {
                    *b = change(host, *b);
                }
                at(&pairs, margin)
            };
            (runs, (0..runs).map(one).collect())
        })
        .collect();
    row(what.to_owned(), &seen, looks)
}

fn on_law(what: &str, looks: usize, margin: f64, mut draw: impl FnMut(&mut Dice) -> Vec<(f64, f64)>) -> Row {
    let one = |run| at(&draw(&mut Dice::new(run)), margin);
    row(what.to_owned(), &[(LAW_RUNS, (0..LAW_RUNS).map(one).collect())], looks)
}

fn rows(hosts: &[Host]) -> Vec<Row> {
    use Split::{Apart, Later, Neighbours, Random};
    let same = |_: &Host, b: f64| b;
    let times = |factor: f64| move |_: &Host, b: f64| factor * b;
    let tail = |host: &Host, b: f64| if b >= host.tail { 1.5 * b } else { b };
    let independent = |n: usize, draw: fn(&mut Dice) -> f64| {
        move |dice: &mut Dice| (0..n).map(|_| (draw(dice), draw(dice))).collect::<Vec<_>>()
    };
    let mut rows = vec![
        on_hosts(hosts, "same, random pairs, margin 0", Random, 500, 0.0, RUNS, same),
        on_hosts(hosts, "same, neighbours, margin 0", Neighbours, 500, 0.0, RUNS, same),
        on_hosts(hosts, "same, 500 samples later, margin 0", Later, 500, 0.0, RUNS, same),
        on_hosts(hosts, "same, 500 samples later, margin .10", Later, 500, 0.1, RUNS, same),
        on_hosts(hosts, "two stretches of one file, margin .10, 40 samples", Apart, 40, 0.1, RUNS, same),
        on_hosts(hosts, "two stretches of one file, margin .10, 500 samples", Apart, 500, 0.1, RUNS, same),
        on_hosts(hosts, "two stretches of one file, x1.25, margin .10", Apart, 40, 0.1, RUNS, times(1.25)),
        on_hosts(hosts, "x1.05, random, margin 0", Random, 500, 0.0, RUNS, times(1.05)),
        on_hosts(hosts, "x1.10, random, margin 0", Random, 500, 0.0, RUNS, times(1.10)),
        on_hosts(hosts, "x1.05, neighbours, margin 0", Neighbours, 500, 0.0, RUNS, times(1.05)),
        on_hosts(hosts, "x1.25, random, margin .10", Random, 40, 0.1, RUNS, times(1.25)),
        on_hosts(hosts, "top 5 % x1.5, random, margin .10", Random, 900, 0.1, 100, tail),
    ];
    for phi in [0.0, 0.3, 0.5, 0.8, 0.95] {
        let name = format!("autoregressive {phi}, margin 0");
        rows.push(on_law(&name, 300, 0.0, |dice| noise::autoregressive(phi, 300, dice)));
    }
    for phi in [0.3, 0.8] {
        let name = format!("100 ms ± 5 %, autoregressive {phi}, margin .10");
        let latency = |z: f64| 100.0 * (0.05 * z).exp();
        rows.push(on_law(&name, 300, 0.1, |dice| {
            let pairs = noise::autoregressive(phi, 300, dice);
            pairs.into_iter().map(|(a, b)| (latency(a), latency(b))).collect()
        }));
    }
    rows.push(on_law("Cauchy, margin 0", 500, 0.0, independent(500, |d| (3.1 * (d.uniform() - 0.5)).tan())));
    rows.push(on_law("Pareto 1, margin 0", 500, 0.0, independent(500, |d| 1.0 / d.uniform().max(1e-12))));
    let sparse = |d: &mut Dice| if d.uniform() < 0.9 { 0.0 } else { (10.0 * d.uniform()).floor() };
    rows.push(on_law("nine of ten 0, margin 0", 500, 0.0, independent(500, sparse)));
    rows.push(on_law("all 0, margin 0", 500, 0.0, independent(500, |_| 0.0)));
    rows
}

fn main() -> anyhow::Result<()> {
    let arguments = common::Arguments::read()?;
    let hosts = noise::hosts(&arguments.data.join("canary_noise"))?;
    let rows = rows(&hosts);
    if arguments.json {
        let all: Vec<_> = rows
            .iter()
            .map(|r| {
                json!({"case": r.what, "runs": r.runs, "worse": r.worse, "meanSamples": r.mean,
                    "lastSample": r.last, "worstHost": r.of_worst, "bestHost": r.of_best})
            })
            .collect();
        println!(
            "{}",
            json!({"bench": "canary", "hosts": hosts.iter().map(|h| &h.name).collect::<Vec<_>>(), "rows": all})
        );
        return Ok(());
    }
    println!("| pairs | runs | `Worse` at any look | fewest – most of a host | mean samples | latest |");
    println!("|---|---|---|---|---|---|");
    for r in rows {
        println!(
            "| {} | {} | {:.4} | {:.3} – {:.3} | {:.1} | {} |",
            r.what, r.runs, r.worse, r.of_best, r.of_worst, r.mean, r.last
        );
    }
    Ok(())
}
