//! What the tuner gains over fixed parameters, in the mean true gain of the challengers that are promoted.
//!
//! ```text
//! cargo bench --bench tuner -- [--seeds N] [--leagues N]
//! ```
//!
//! Every rule judges the same challengers of the same seeds. *strict* keeps the fixed weights and raises the mark, with
//! hindsight, until it promotes as many as the tuner: what is left over it is not mere strictness.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a benchmark fails by panicking"
)]

#[path = "common/seeds.rs"]
mod seeds;

use matverse::decide::tuner::WARM_UP;
use matverse::simulate::tuner::{Outcome, Tally, World, run};
use seeds::option;

/// Mean over the seeds and half of its 95 % interval.
fn mean(values: &[f64]) -> (f64, f64) {
    let (mean, error) = seeds::mean(values);
    (mean, 1.96 * error)
}

fn line(name: &str, outcomes: &[Outcome], leagues: usize, of: fn(&Outcome) -> Tally) {
    let tallies: Vec<Tally> = outcomes.iter().map(of).collect();
    let each = |f: &dyn Fn(&Tally) -> Option<f64>| mean(&tallies.iter().filter_map(f).collect::<Vec<_>>());
    let (gain, half) = each(&Tally::mean);
    let (share, _) = each(&|t| Some(f64::from(t.promoted) / f64::from(t.judged)));
    let (whole, whole_half) = each(&|t| Some(t.gain / (leagues - WARM_UP) as f64));
    println!("| {name} | {gain:.5} ± {half:.5} | {:.1} % | {whole:.5} ± {whole_half:.5} |", 100.0 * share);
}

fn main() {
    let (seeds, leagues) = (option("--seeds", 200), option("--leagues", 200));
    println!("{seeds} seeds, {leagues} leagues each, the first {WARM_UP} not counted");
    for world in [World::Even, World::Uneven, World::OneTells] {
        let outcomes: Vec<Outcome> =
            (0..seeds as u64).map(|seed| run(world, seed, leagues, WARM_UP)).collect();
        println!(
            "\n{world:?}\n\n| rule | mean true gain of the promoted | promoted | true gain a league |\n|---|---|---|---|"
        );
        line("fixed", &outcomes, leagues, |o| o.fixed);
        line("tuned", &outcomes, leagues, |o| o.tuned);
        line("strict", &outcomes, leagues, |o| o.strict);
        for (name, other) in [("fixed", (|o| o.fixed) as fn(&Outcome) -> Tally), ("strict", |o| o.strict)] {
            let gained = |o: &Outcome| Some(o.tuned.mean()? - other(o).mean()?);
            let gains: Vec<f64> = outcomes.iter().filter_map(gained).collect();
            let (gain, half) = mean(&gains);
            println!("tuned − {name}: {gain:+.5} ± {half:.5} over {} seeds", gains.len());
        }
        let mark: Vec<f64> = outcomes.iter().map(|o| o.last.pass).collect();
        println!("pass mark at the end: {:.3} ± {:.3}", mean(&mark).0, mean(&mark).1);
    }
}
