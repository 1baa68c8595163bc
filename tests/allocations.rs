//! The hot step allocates nothing; a whole turn allocates a bounded number of times, however long it has run.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../benches/common/turns.rs"]
mod turns;

use allocation_counter::measure;
use matverse::decide;
use matverse::orient::Estimator;
use turns::{HotStep, pilot};

#[test]
fn predict_and_update_allocate_nothing() {
    let mut step = HotStep::warm();
    let seen = measure(|| {
        for _ in 0..1000 {
            std::hint::black_box(step.next());
        }
    });
    assert_eq!(seen.count_total, 0, "{} allocations in 1000 steps", seen.count_total);
}

/// Allocations of a quiet turn, the situation put together and remembered included: a new one has to be asked for here.
const MOST: u64 = 15;

#[test]
fn a_turn_keeps_nothing_and_allocates_no_more_with_time() {
    let (mut pilot, mut feed) = pilot();
    let mut turns = |n: u64| {
        let fed: Vec<_> = (0..n).map(|_| feed.next()).collect();
        measure(|| {
            for observed in fed {
                let decision = std::hint::black_box(pilot.turn(observed));
                assert!(!decision.act, "no quiet turn: {}", decision.reasoning);
            }
        })
    };
    let (early, late) = (turns(500), turns(500));
    let each = late.count_total / 500;
    assert!(each <= MOST, "{each} allocations a turn");
    assert!(
        late.count_total <= early.count_total * 11 / 10,
        "{} then {}",
        early.count_total,
        late.count_total
    );
}

/// Bytes that are learned of a workload of four signals once every window is full: an operator of thousands holds this for
/// each.
const LEARNED: i64 = 37 * 1024;

#[test]
fn what_is_learned_of_a_workload_has_a_bound() {
    let (pilot, mut feed) = pilot();
    let settings = decide::settings(pilot.spec());
    let fed: Vec<_> = (0..2000).map(|_| feed.next()).collect();
    let mut estimator = Estimator::new();
    let seen = measure(|| {
        for observed in &fed {
            std::hint::black_box(estimator.orient(observed, &settings));
        }
    });
    assert!(seen.bytes_current <= LEARNED, "{} bytes", seen.bytes_current);
}
