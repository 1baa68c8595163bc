//! Rushes that nobody can foresee: who misses the latency objective least, and what does it cost?
//!
//! ```text
//! cargo bench --bench rushes -- [--seeds N] [-o json]
//! ```
//!
//! The story `rush` of the simulator at turns and windows of several lengths, each policy with the same seeds: means over them.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a benchmark fails by panicking")]

use matverse::simulate::scenario::{Policy, Row, Scenario};
use serde_json::json;

/// Length of a turn, s, and of the window of the rates, in turns.
const CLOCKS: [(f64, usize); 5] = [(5.0, 6), (10.0, 3), (15.0, 2), (15.0, 4), (30.0, 2)];

/// The HPA at the target that most name, and at one by which it costs about what the product does.
const POLICIES: [(&str, Policy); 5] = [
    ("matverse", Policy::Ours),
    ("hpa, 70 %", Policy::Hpa(70)),
    ("hpa, 50 %", Policy::Hpa(50)),
    ("aiad", Policy::Aiad),
    ("thresholds", Policy::Thresholds),
];

/// Violation, replica hours and changes of the count, and the runs' standard error of the first.
fn means(policy: Policy, (tick, window): (f64, usize), seeds: u64) -> [f64; 4] {
    let runs: Vec<[f64; 3]> = (1..=seeds)
        .map(|seed| {
            let mut story = Scenario::named("rush", seed).unwrap();
            (story.plan.tick, story.plan.window) = (tick, window);
            let mut changes = 0.0;
            let mut told =
                |rows: &[Row]| changes += f64::from(u8::from(rows[0].desired[0] != rows[0].desired[1]));
            let worth = story.run(policy, &story.spec().unwrap(), &mut told).unwrap();
            [worth.violation, worth.replica_hours, changes]
        })
        .collect();
    let n = seeds as f64;
    let mean = |i: usize| runs.iter().map(|run| run[i]).sum::<f64>() / n;
    let [violation, hours, changes] = [mean(0), mean(1), mean(2)];
    let squares: f64 = runs.iter().map(|run| (run[0] - violation).powi(2)).sum();
    [violation, hours, changes, (squares / (n - 1.0) / n).sqrt()]
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let after = |option: &str| words.iter().skip_while(|word| *word != option).nth(1).cloned();
    let seeds = after("--seeds").map_or(20, |n| n.parse().expect("a number"));
    let json = after("-o").as_deref() == Some("json");
    let mut rows = Vec::new();
    for clock in CLOCKS {
        for (name, policy) in POLICIES {
            let [violation, hours, changes, error] = means(policy, clock, seeds);
            rows.push(json!({
                "turnSeconds": clock.0, "windowTurns": clock.1, "policy": name, "violation": violation,
                "standardError": error, "replicaHours": hours, "changes": changes,
            }));
            if json {
                continue;
            }
            let (turn, window) = (clock.0, clock.0 * clock.1 as f64);
            println!(
                "turn {turn:2} s, window {window:2} s, {name:10} violation {violation:.4} ± {error:.4}, replica-hours \
                 {hours:4.1}, changes {changes:4.1}"
            );
        }
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&rows).unwrap());
    }
}
