//! The crash campaign: real leaders, each a process of its own, against a real API server, with a proxy between that
//! kills, pauses and cuts off at every single write. Afterwards the history of the objects and the ledger must agree.
//!
//! ```text
//!  worker (ledger + act) ─► proxy (faults) ─► API server ─► watch ─► history ─► oracle
//! ```
//!
//! One pass is every fault at every write; `make campaign` makes as many as give `DECISIONS`, from `SEED` on. Without a cluster (`MATVERSE_E2E_KUBECONFIG`) it says so and
//! passes. The same campaign must fail on three mutants, or it would prove nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(
    clippy::pedantic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the campaign's own clocks, processes and deletes"
)]

#[path = "campaign/field.rs"]
mod field;
#[path = "campaign/history.rs"]
mod history;
#[path = "campaign/proxy.rs"]
mod proxy;
#[path = "campaign/worker.rs"]
mod worker;

use field::{Field, Ledger};
use proxy::{Fault, Mutant};

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_intent_has_one_outcome_and_every_effect_one_intent() {
    let Some(field) = Field::enter(Mutant::None).await else { return };
    let (wanted, mut seed) = (number("DECISIONS", 1), number("SEED", 1));
    // Where no ledger is yet: its very first writes.
    for fault in Fault::ALL {
        for kth in 1..=3 {
            let ledger = field.found().await;
            field.case(&ledger, fault, kth, seed).await;
        }
    }
    let ledger = field.found().await;
    let mut passes = 0;
    while passes == 0 || field.decisions() < wanted {
        passes += 1;
        // A calm run tells how many writes there are; three decisions seal the small tail at least once.
        let writes = field.calm(&ledger, seed).await;
        for fault in Fault::ALL {
            for kth in 1..=writes {
                field.case(&ledger, fault, kth, seed).await;
                seed += 1;
            }
        }
    }
    let report = field.judge().await;
    println!("{passes} passes over every write and fault, {report}");
    assert!(report.violations.is_empty(), "{report}");
    assert!(report.decisions >= wanted && report.fired * 10 > report.cases * 7, "{report}");
    field.leave().await;
}

/// A mutant must be caught by the faults that it was made for.
async fn is_caught(mutant: Mutant, faults: &[Fault]) {
    let Some(field) = Field::enter(mutant).await else { return };
    let ledger: Ledger = field.found().await;
    let writes = field.calm(&ledger, 1).await;
    for fault in faults {
        for kth in 1..=writes {
            field.case(&ledger, *fault, kth, kth).await;
        }
    }
    let report = field.judge().await;
    println!("{mutant:?}:\n{report}");
    assert!(!report.violations.is_empty(), "{mutant:?} was not caught");
    field.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_act_without_resource_version_is_caught() {
    is_caught(Mutant::NoVersion, &[Fault::KillInFlight, Fault::Pause]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_takeover_without_fencing_write_is_caught() {
    is_caught(Mutant::NoFence, &[Fault::KillInFlight, Fault::Pause]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_recorded_before_the_act_is_caught() {
    is_caught(Mutant::OutcomeFirst, &[Fault::KillBefore, Fault::KillAfter]).await;
}

/// Not a test: a leader, as a process of its own.
#[test]
#[ignore = "started by the campaign"]
fn lead() {
    worker::main();
}
