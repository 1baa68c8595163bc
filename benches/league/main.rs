//! `cargo bench --bench league -- [--data DIR] [-o json]`: what the league promotes, ends and brings back, beside two
//! other kinds of judges on the same noise of real machines.

#[path = "../common/mod.rs"]
mod common;
#[path = "../canary/noise.rs"]
#[allow(dead_code, reason = "shared with the bench of the comparison, which draws pairs in other ways too")]
mod noise;
mod rivals;

use jiff::Timestamp;
use matverse::api::gate::League;
use matverse::decide::league::Reason;
use matverse::simulate::chance::Chance;
use matverse::simulate::league::{Behaviour, End, Sight, Story, run};
use noise::{Dice, Host};
use rivals::{Effect, Ended, Said};
use serde_json::json;

/// Runs of each case on each file.
const RUNS: u64 = 63;
/// Turns of a run, 15 s each: an hour.
const TURNS: usize = 240;
/// Bar above which a request is counted as slow, ms.
const BAR: f64 = 75.0;
/// Median of both sides, ms.
const MEDIAN: f64 = 60.0;

/// What is compared.
struct Case {
    name: &'static str,
    /// Whether the challenger should be kept.
    good: bool,
    /// Whether the challenger's noise comes from another file.
    another_file: bool,
    /// The challenger's template before and after promotion; the number is the champion's 95 % point, ms.
    challenger: fn(f64) -> (Behaviour, Behaviour),
}

fn both(behaviour: Behaviour) -> (Behaviour, Behaviour) {
    (behaviour, behaviour)
}

fn cases() -> Vec<Case> {
    let fine = Behaviour::FINE;
    let case = |name, good, challenger| Case { name, good, another_file: false, challenger };
    vec![
        case("same release", true, |_| both(Behaviour::FINE)),
        Case {
            another_file: true,
            ..case("same release, noise of another file", true, |_| both(Behaviour::FINE))
        },
        case("x1.25", false, |_| both(Behaviour { factor: 1.25, ..Behaviour::FINE })),
        case("x1.5", false, |_| both(Behaviour { factor: 1.5, ..Behaviour::FINE })),
        case("top 5 % x1.5", false, |tail| both(Behaviour { tail: (tail, 1.5), ..Behaviour::FINE })),
        case("top 5 % x3", false, |tail| both(Behaviour { tail: (tail, 3.0), ..Behaviour::FINE })),
        case("errors 0 to 2 %", false, |_| both(Behaviour { errors: 0.02, ..Behaviour::FINE })),
        case("x1.5 after promotion", false, |_| {
            (Behaviour::FINE, Behaviour { factor: 1.5, ..Behaviour::FINE })
        }),
        case("errors 2 % after promotion", false, |_| {
            (Behaviour::FINE, Behaviour { errors: 0.02, ..Behaviour::FINE })
        }),
    ]
    .into_iter()
    .inspect(|case| debug_assert!(case.good == ((case.challenger)(0.0) == both(fine))))
    .collect()
}

const JUDGES: [&str; 6] = [
    "league",
    "league, p95 alone",
    "threshold 100 ms",
    "threshold 72 ms",
    "Mann-Whitney, 1/4 of shift",
    "Mann-Whitney, 10 %",
];

fn judged(judge: usize, story: &Story, noise: &[(f64, f64)], seed: u64) -> Ended {
    let chance = &mut Chance::new(seed, 7);
    match judge {
        2 => rivals::threshold(story, noise, 100.0, chance),
        3 => rivals::threshold(story, noise, 1.2 * MEDIAN, chance),
        4 => rivals::ranks(story, noise, Effect::Quarter, chance),
        5 => rivals::ranks(story, noise, Effect::Tenth, chance),
        _ => {
            let slow_ms = (judge == 0).then_some(BAR);
            let sight = Sight { slow_ms, ..story.sight };
            let story = &Story { sight, ..story.clone() };
            let seen = run(story, true, noise, Timestamp::UNIX_EPOCH, chance);
            let said = match seen.end {
                End::Promoted => Said::Keep,
                End::Open
                | End::RolledBack(Reason::Undecided | Reason::TooFewSamples | Reason::GateNotAdmit) => {
                    Said::Undecided
                }
                End::RolledBack(_) | End::Reverted => Said::Back,
            };
            Ended { said, seconds: seen.seconds, reached: seen.reached }
        }
    }
}

/// Two stretches at random, of one file or of two, each file rescaled to the same median.
fn stretch(hosts: &[Host], i: usize, another: bool, dice: &mut Dice) -> Vec<(f64, f64)> {
    let j = if another { (i + 1 + dice.below(hosts.len() - 1)) % hosts.len() } else { i };
    let mut column = |of: usize| {
        let values = &hosts[of].values;
        let scale = MEDIAN / median(values);
        let from = dice.below(values.len() - TURNS);
        values[from..from + TURNS].iter().map(|v| scale * v).collect::<Vec<f64>>()
    };
    let (old, new) = (column(i), column(j));
    old.into_iter().zip(new).collect()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[derive(Default)]
struct Row {
    runs: u64,
    kept: u64,
    back: u64,
    undecided: u64,
    /// Seconds until it was ended, of those that were.
    seconds: f64,
    reached: f64,
}

impl Row {
    fn add(&mut self, ended: &Ended) {
        self.runs += 1;
        match ended.said {
            Said::Keep => self.kept += 1,
            Said::Back => self.back += 1,
            Said::Undecided => self.undecided += 1,
        }
        if ended.said != Said::Keep {
            self.seconds += ended.seconds;
        }
        self.reached += ended.reached;
    }

    fn mean_seconds(&self) -> Option<f64> {
        let ended = self.back + self.undecided;
        (ended > 0).then(|| self.seconds / ended as f64)
    }
}

/// Wilson's 95 % interval of a share.
fn wilson(count: u64, of: u64) -> (f64, f64) {
    let (n, p, z) = (of as f64, count as f64 / of as f64, 1.96);
    let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

fn main() -> anyhow::Result<()> {
    let arguments = common::Arguments::read()?;
    let hosts = noise::hosts(&arguments.data.join("canary_noise"))?;
    let spec: League = serde_json::from_value(json!({
        "champion": {"deployment": "web", "service": "web", "port": 80},
        "challenger": {"deployment": "next", "service": "next", "port": 80},
        "routeRef": {"name": "web"},
    }))?;
    let mut rows = Vec::new();
    for case in cases() {
        let mut of: Vec<Row> = JUDGES.iter().map(|_| Row::default()).collect();
        for (i, host) in hosts.iter().enumerate() {
            let (challenger, promoted) = (case.challenger)(host.tail * MEDIAN / median(&host.values));
            let story = Story {
                spec: spec.clone(),
                interval_seconds: 15,
                requests: 750.0,
                sight: Sight { scatter: true, slow_ms: None },
                champion: Behaviour::FINE,
                challenger,
                promoted,
            };
            for round in 0..RUNS {
                let seed = round * 1000 + i as u64;
                let noise = stretch(&hosts, i, case.another_file, &mut Dice::new(seed));
                for (judge, row) in of.iter_mut().enumerate() {
                    row.add(&judged(judge, &story, &noise, seed));
                }
            }
        }
        rows.extend(JUDGES.into_iter().zip(of).map(|(judge, row)| (case.name, case.good, judge, row)));
    }
    if arguments.json {
        let all: Vec<_> = rows
            .iter()
            .map(|(case, good, judge, r)| {
                json!({"case": case, "good": good, "judge": judge, "runs": r.runs, "kept": r.kept, "back": r.back,
                    "undecided": r.undecided, "meanSecondsToEnd": r.mean_seconds(),
                    "reached": r.reached / r.runs as f64})
            })
            .collect();
        println!("{}", json!({"bench": "league", "rows": all}));
        return Ok(());
    }
    println!(
        "| challenger | judge | runs | wrong | 95 % | undecided | mean s to its end | share of requests |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (case, good, judge, r) in &rows {
        // Wrong is a good one sent back, or a bad one kept. Undecided goes back too, and is counted apart.
        let wrong = if *good { r.back } else { r.kept };
        let (low, high) = wilson(wrong, r.runs);
        let seconds = r.mean_seconds().map_or("–".to_owned(), |s| format!("{s:.0}"));
        let (share, undecided) = (wrong as f64 / r.runs as f64, r.undecided as f64 / r.runs as f64);
        let reached = if *good { "–".to_owned() } else { format!("{:.4}", r.reached / r.runs as f64) };
        println!(
            "| {case} | {judge} | {} | {share:.4} | {low:.3}–{high:.3} | {undecided:.4} | {seconds} | {reached} |",
            r.runs
        );
    }
    Ok(())
}
