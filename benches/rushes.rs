//! Rushes that nobody can foresee: who misses the latency objective least, and what does it cost?
//!
//! ```text
//! cargo bench --bench rushes -- [--seeds N] [-o json]
//! ```
//!
//! The story `rush` of the simulator at turns and windows of several lengths, each policy with the same seeds: means over them.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a benchmark fails by panicking")]

#[path = "common/seeds.rs"]
mod seeds;

use matverse::simulate::scenario::{Policy, Scenario};
use seeds::{mean, option};
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

/// Violations, replica hours and changes of the count, of each run.
fn runs(policy: Policy, (tick, window): (f64, usize), seeds: u64) -> [Vec<f64>; 3] {
    let mut all: [Vec<f64>; 3] = Default::default();
    for seed in 1..=seeds {
        let mut story = Scenario::named("rush", seed).unwrap();
        (story.plan.tick, story.plan.window) = (tick, window);
        let hours = story.plan.trace[0].len() as f64 / 60.0;
        let worth = story.run(policy, &story.spec().unwrap(), &mut |_| {}).unwrap();
        let figures = [worth.violation, worth.replica_hours, worth.actions_an_hour * hours];
        all.iter_mut().zip(figures).for_each(|(all, figure)| all.push(figure));
    }
    all
}

fn main() {
    let json = option("-o", String::new()) == "json";
    let mut rows = Vec::new();
    for clock in CLOCKS {
        for (name, policy) in POLICIES {
            let [(violation, error), (hours, _), (changes, _)] =
                runs(policy, clock, option("--seeds", 20)).map(|figures| mean(&figures));
            rows.push(json!({
                "turnSeconds": clock.0, "windowTurns": clock.1, "policy": name, "violation": violation,
                "standardError": error, "replicaHours": hours, "changes": changes,
            }));
            if !json {
                let (turn, window) = (clock.0, clock.0 * clock.1 as f64);
                println!(
                    "turn {turn:2} s, window {window:2} s, {name:10} violation {violation:.4} ± {error:.4}, \
                     replica-hours {hours:4.1}, changes {changes:4.1}"
                );
            }
        }
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&rows).unwrap());
    }
}
