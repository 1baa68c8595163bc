//! `make bench-speed`: the hot step of the filters, a turn's orient and decide, and the pilot's whole turn, which also puts
//! the situation together and remembers.
//!
//! Criterion gives medians and their intervals; the 99 % point of single turns is printed after them, because one
//! slow turn in a hundred is what an operator of a thousand workloads feels.

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
    let mut took: Vec<u128> = (0..20_000)
        .map(|_| {
            let observed = feed.next();
            let began = Instant::now();
            black_box(pilot.turn(observed));
            began.elapsed().as_nanos()
        })
        .collect();
    // The two functions alone, beside a pilot that goes the same way.
    let (mut estimator, settings) = (Estimator::new(), decide::settings(pilot.spec()));
    let mut apart: [Vec<u128>; 3] = Default::default();
    for _ in 0..20_000 {
        let observed = feed.next();
        let began = Instant::now();
        black_box(estimator.orient(black_box(&observed), &settings));
        let oriented = began.elapsed().as_nanos();
        let situation = pilot.orient(observed);
        let began = Instant::now();
        black_box(decide::decide(black_box(&situation)));
        let decided = began.elapsed().as_nanos();
        pilot.decide(&situation);
        for (all, one) in apart.iter_mut().zip([oriented, decided, oriented + decided]) {
            all.push(one);
        }
    }
    for (what, all) in
        ["orient", "decide", "orient+decide"].into_iter().zip(&mut apart).chain([("pilot's turn", &mut took)])
    {
        all.sort_unstable();
        println!("{what}: p50 {} ns, p99 {} ns of {} turns", all[10_000], all[19_800], all.len());
    }
}

criterion_group!(benches, hot_step, whole_turn);
criterion_main!(benches);
