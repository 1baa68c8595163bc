//! `make bench-speed`: the hot step of the filters, a turn's orient and decide, and the pilot's whole turn, which also puts
//! the situation together and remembers.
//!
//! Criterion gives medians and their intervals; the 99 % point of single turns is printed after them, because one
//! slow turn in a hundred is what an operator of a thousand workloads feels. The median of several runs of the same
//! turn leaves out what happened to one of them, the quickest what others on the machine did to it.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a benchmark measures time")]

#[path = "../common/turns.rs"]
mod turns;

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use matverse::decide;
use matverse::orient::Estimator;
use turns::{HotStep, pilot};

fn hot_step(c: &mut Criterion) {
    let mut step = HotStep::warm();
    c.bench_function("predict+update, six signals and their joint innovation", |b| {
        b.iter(|| black_box(step.next()));
    });
}

fn whole_turn(c: &mut Criterion) {
    let (mut pilot, mut feed) = pilot();
    c.bench_function("orient+decide, one workload", |b| {
        b.iter_batched(
            || feed.next(),
            |observed| black_box(pilot.turn(observed)),
            criterion::BatchSize::SmallInput,
        );
    });
    for (what, runs) in ["orient", "decide", "orient+decide", "pilot's turn"].into_iter().zip(runs()) {
        let single = |point: usize| {
            let mut all: Vec<u128> = runs.iter().cloned().map(|run| points(run)[point]).collect();
            all.sort_unstable();
            format!("{} to {}, median {}", all[0], all[RUNS - 1], all[RUNS / 2])
        };
        let [[quick50, quick99], [usual50, usual99]] = [0, RUNS / 2].map(|place| points(each(&runs, place)));
        println!(
            "{what}, ns, {RUNS} runs of the same {TURNS} turns\n  a run: p50 {}; p99 {}\n  each turn by the median of its \
             runs: p50 {usual50}, p99 {usual99}\n  each turn by its quickest: p50 {quick50}, p99 {quick99}",
            single(0),
            single(1)
        );
    }
}

const TURNS: usize = 20_000;
/// Turns before those, in which the estimator that is timed learns what the pilot beside it knows already.
const WARM: usize = 300;
const RUNS: usize = 25;

/// p50 and p99.
fn points(mut all: Vec<u128>) -> [u128; 2] {
    all.sort_unstable();
    [all[all.len() / 2], all[all.len() * 99 / 100]]
}

/// What each turn took in the run of that place, from the quickest on.
fn each(runs: &[Vec<u128>], place: usize) -> Vec<u128> {
    let one = |turn: usize| {
        let mut times: Vec<u128> = runs.iter().map(|run| run[turn]).collect();
        *times.select_nth_unstable(place).1
    };
    (0..TURNS).map(one).collect()
}

/// What each of the same turns took in each run, ns: orient and decide alone, beside a pilot that goes the same way, both,
/// and the pilot's whole turn.
fn runs() -> [Vec<Vec<u128>>; 4] {
    let mut runs: [Vec<Vec<u128>>; 4] = Default::default();
    for _ in 0..RUNS {
        let (mut pilot, mut feed) = pilot();
        let (mut estimator, settings) = (Estimator::new(), decide::settings(pilot.spec()));
        let mut apart = [const { Vec::new() }; 3];
        for turn in 0..WARM + TURNS {
            let observed = feed.next();
            let began = Instant::now();
            black_box(estimator.orient(black_box(&observed), &settings));
            let oriented = began.elapsed().as_nanos();
            let situation = pilot.orient(observed);
            let began = Instant::now();
            black_box(decide::decide(black_box(&situation)));
            let decided = began.elapsed().as_nanos();
            pilot.decide(&situation);
            if turn < WARM {
                continue;
            }
            for (all, one) in apart.iter_mut().zip([oriented, decided, oriented + decided]) {
                all.push(one);
            }
        }
        let (mut pilot, mut feed) = turns::pilot();
        let whole = (0..TURNS).map(|_| {
            let observed = feed.next();
            let began = Instant::now();
            black_box(pilot.turn(observed));
            began.elapsed().as_nanos()
        });
        for (all, run) in runs.iter_mut().zip(apart.into_iter().chain([whole.collect()])) {
            all.push(run);
        }
    }
    runs
}

criterion_group!(benches, hot_step, whole_turn);
criterion_main!(benches);
