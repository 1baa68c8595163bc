//! The budget: what is refused when, and what goes once it lies elsewhere.

use super::fixture::*;
use crate::ledger::memory::MemoryStore;
use crate::ledger::settings::Settings;
use crate::ledger::store::Store;
use crate::ledger::verify::Verdict;
use crate::ledger::{Ledger, LedgerError};

/// Room for about ten segments.
fn tight() -> Settings {
    Settings { budget_bytes: 60_000, ..small(6000) }
}

async fn try_to(ledger: &Ledger, target: &str, from: i32, to: i32, now: i64) -> Result<(), LedgerError> {
    let situation = situation(target, from, now);
    let decision = scale(&situation, to);
    let outcome = applied(&situation, &decision);
    let intended = ledger.intend(&situation, decision, at(now)).await?;
    ledger.conclude(intended.acted(outcome, at(now))).await?;
    Ok(())
}

/// Acts until one is refused; why, and how many were done.
async fn fill(ledger: &Ledger, from: i32, to: i32) -> (LedgerError, i64) {
    for n in 0..200 {
        if let Err(error) = try_to(ledger, &format!("web{n}"), from, to, n).await {
            return (error, n);
        }
    }
    panic!("200 acts fit");
}

#[tokio::test]
async fn a_ledger_that_runs_full_refuses_what_can_wait_then_everything_and_stays_true() {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, tight(), 0).await.unwrap();
    let (refused, done) = fill(&ledger, 5, 3).await;
    assert_eq!(refused, LedgerError::Quota { namespace: "shop".into() }, "after {done} acts");
    assert!(ledger.available().is_ok(), "other namespaces go on");
    let (refused, more) = fill(&ledger, 3, 5).await;
    assert!(matches!(refused, LedgerError::Full { .. }) && more > 0, "{refused}: {done}, {more}");
    assert!(ledger.head().used >= 100);
    let report = audit(&store);
    assert_eq!((report.verdict, report.open), (Verdict::Good, 0), "{:?}", report.findings);
    // Another leader counts what is there.
    let (next, _) = open(&store, tight(), 500).await.unwrap();
    assert!(matches!(try_to(&next, "web", 3, 5, 501).await, Err(LedgerError::Full { .. })));
}

#[tokio::test]
async fn exported_segments_go_the_oldest_first_and_only_those() {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, tight(), 0).await.unwrap();
    let mut acts = 0;
    while ledger.head().used < 70 {
        try_to(&ledger, &format!("web{acts}"), 3, 5, acts).await.unwrap();
        acts += 1;
    }
    let names = |segments: Vec<crate::ledger::store::Stored>| -> Vec<String> {
        segments.into_iter().map(|segment| segment.name).collect()
    };
    let before = names(store.segments().await.unwrap());
    for name in &before[1..4] {
        store.mark_exported(name);
    }
    let sealed = ledger.head().sealed;
    while ledger.head().sealed == sealed {
        try_to(&ledger, &format!("web{acts}"), 3, 5, acts).await.unwrap();
        acts += 1;
    }
    let after = names(store.segments().await.unwrap());
    let gone: Vec<&String> = before.iter().filter(|name| !after.contains(name)).collect();
    assert!(!gone.is_empty() && gone.iter().all(|name| before[1..4].contains(name)), "{gone:?}");
    assert!(ledger.head().used < 70);
    // What is left is true, and says what is missing.
    assert_eq!(audit(&store).verdict, Verdict::Incomplete);
}
