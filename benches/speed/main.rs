//! `make bench-speed`: the hot step of the filters, and a whole turn of orient and decide.
//!
//! Criterion gives medians and their intervals; the 99 % point of single turns is printed after them, because one
//! slow turn in a hundred is what an operator of a thousand workloads feels.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a benchmark measures time")]

#[path = "../common/turns.rs"]
mod turns;

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
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
    took.sort_unstable();
    println!("orient+decide: p50 {} ns, p99 {} ns of {} turns", took[10_000], took[19_800], took.len());
}

criterion_group!(benches, hot_step, whole_turn);
criterion_main!(benches);
