//! Leadership, keys, and answers that are lost.

use std::sync::Arc;

use super::fixture::*;
use crate::ledger::keys::Signer;
use crate::ledger::memory::{Fault, MemoryStore};
use crate::ledger::statement::Note;
use crate::ledger::verify::Verdict;
use crate::ledger::{Ledger, LedgerError, Outcome, Settings};

fn note() -> Note {
    Note { topic: "paused".into(), message: "by ana".into(), ..Note::default() }
}

#[tokio::test]
async fn an_older_leader_cannot_append_any_more() {
    let store = MemoryStore::default();
    let (older, first) = open(&store, settings(), 0).await.unwrap();
    let seen = situation("web", 3, 10);
    let intended = older.intend(&seen, scale(&seen, 5), at(10)).await.unwrap();
    let (newer, second) = open(&store.process(), settings(), 20).await.unwrap();
    assert_eq!((first.epoch, second.epoch), (1, 2));
    assert_eq!(second.open.len(), 1);
    let other = situation("api", 3, 21);
    let refused = older.intend(&other, scale(&other, 4), at(21)).await.unwrap_err();
    assert_eq!(refused, LedgerError::SteppedDown);
    assert!(older.available().is_err());
    let outcome = applied(&seen, intended.decision());
    assert_eq!(
        older.conclude(intended.acted(outcome.clone(), at(22))).await.unwrap_err(),
        LedgerError::SteppedDown
    );
    newer.conclude_recovered(&second.open[0], outcome.clone(), at(23)).await.unwrap();
    let twice = newer.conclude_recovered(&second.open[0], outcome, at(24)).await.unwrap();
    assert_eq!(twice.index, 4, "the same outcome is recorded once");
    let other = Outcome::Abandoned { why: "no".into() };
    let refused = newer.conclude_recovered(&second.open[0], other, at(25)).await.unwrap_err();
    assert_eq!(refused, LedgerError::UnknownIntent(2));
    let report = audit(&store);
    assert_eq!((report.verdict, report.open), (Verdict::Good, 0), "{:?}", report.findings);
}

#[tokio::test]
async fn many_leaders_at_once_leave_one() {
    let store = MemoryStore::default();
    let opened = futures::future::join_all((0..6).map(|n| {
        let store = store.process();
        async move { open(&store, settings(), n).await.unwrap() }
    }))
    .await;
    let mut standing = 0;
    for (ledger, _) in &opened {
        standing += usize::from(ledger.note(note(), at(10)).await.is_ok());
    }
    assert_eq!(standing, 1);
    assert_eq!(audit(&store).verdict, Verdict::Good);
}

#[tokio::test]
async fn another_key_a_changed_tail_or_a_vanished_one_opens_nothing() {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, small(2500), 0).await.unwrap();
    for n in 0..6 {
        ledger.note(note(), at(n)).await.unwrap();
    }
    let kind = |opened: Result<_, LedgerError>| opened.map(|_| ()).unwrap_err().kind();
    let other = Signer::from_seed(ORIGIN, &[2; 32]).unwrap();
    let opened = Ledger::open_with(Arc::new(store.clone()), other, ORIGIN, settings(), at(9)).await;
    assert_eq!(kind(opened), "checkpoint_other_key");
    let opened = Ledger::open(Arc::new(store.clone()), signer(), "prod/other", at(9)).await;
    assert_eq!(kind(opened), "checkpoint_origin");
    let opened = Ledger::open(Arc::new(store.clone()), signer(), "prod other", at(9)).await;
    assert_eq!(kind(opened), "key_name");
    for key in ["entries", "checkpoint", "size", "sealed", "epoch", "frontier"] {
        let original = store.objects().into_iter().find(|o| o.name == "tail").unwrap();
        store.tamper("tail", |tail| {
            let value = tail.data.get_mut(key).unwrap();
            let middle = value.len() / 2;
            let mut bytes = value.clone().into_bytes();
            bytes[middle] ^= 1;
            *value = String::from_utf8(bytes).unwrap();
        });
        let error = open(&store.process(), settings(), 9).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, LedgerError::Tampered(_)), "{key}: {error}");
        store.tamper("tail", |tail| tail.data = original.data);
    }
    store.remove("tail");
    assert_eq!(
        open(&store.process(), settings(), 9).await.map(|_| ()).unwrap_err(),
        LedgerError::TailVanished
    );
    assert_eq!(ledger.note(note(), at(10)).await.unwrap_err(), LedgerError::TailVanished);
}

#[tokio::test]
async fn a_tail_that_vanishes_before_the_first_segment_is_not_founded_anew() {
    let store = MemoryStore::default();
    open(&store, settings(), 0).await.unwrap();
    store.remove("tail");
    let error = open(&store.process(), settings(), 9).await.map(|_| ()).unwrap_err();
    assert_eq!(error, LedgerError::TailVanished);
    assert!(!store.objects().iter().any(|o| o.name == "tail"));
    // A process that died between the two writes of the founding leaves a ledger all the same.
    let store = MemoryStore::default();
    let dying = store.process();
    dying.fault_at(3, Fault::CrashBefore);
    assert!(open(&dying, settings(), 0).await.is_err());
    assert_eq!(store.objects().iter().map(|o| o.name.as_str()).collect::<Vec<_>>(), ["tail"]);
    open(&store.process(), settings(), 1).await.unwrap();
    assert!(store.objects().iter().any(|o| o.name == "founded" && o.immutable));
    assert_eq!(audit(&store).verdict, Verdict::Good);
}

#[tokio::test]
async fn a_lost_answer_is_looked_up() {
    for fault in [Fault::LoseAnswer, Fault::LoseRequest, Fault::Conflict] {
        let store = MemoryStore::default();
        let (ledger, _) = open(&store, settings(), 0).await.unwrap();
        store.fault_next(fault);
        act(&ledger, "web", 3, 5, 10).await;
        store.fault_next(fault);
        act(&ledger, "web", 5, 6, 20).await;
        assert_eq!(ledger.head().size, 6);
        let report = audit(&store);
        assert_eq!((report.verdict, report.intents), (Verdict::Good, 2), "{fault:?}: {:?}", report.findings);
    }
}

#[tokio::test]
async fn a_refused_write_records_nothing_and_heals() {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, settings(), 0).await.unwrap();
    let seen = situation("web", 3, 10);
    store.fault_next(Fault::Deny);
    let refused = ledger.intend(&seen, scale(&seen, 5), at(10)).await.unwrap_err();
    assert_eq!(refused.kind(), "denied");
    assert_eq!(ledger.head().size, 2);
    act(&ledger, "web", 3, 5, 11).await;
    assert_eq!(ledger.available(), Ok(()));
}

/// An intent whose recording was in doubt, so that its caller did not act, is concluded by the writer itself.
#[tokio::test]
async fn an_intent_in_doubt_that_stands_after_all_is_abandoned() {
    let store = MemoryStore::default();
    let quiet = Settings { probe: std::time::Duration::from_hours(1), ..settings() };
    let (ledger, _) = open(&store, quiet, 0).await.unwrap();
    let call = store.calls();
    store.fault_at(call, Fault::LoseAnswer);
    store.fault_at(call + 1, Fault::Partition);
    let seen = situation("web", 3, 10);
    let error = ledger.intend(&seen, scale(&seen, 5), at(10)).await.unwrap_err();
    assert_eq!(error.kind(), "unreachable");
    assert!(ledger.available().is_err());
    store.heal();
    act(&ledger, "web", 3, 5, 20).await;
    let report = audit(&store);
    assert_eq!(report.verdict, Verdict::Good, "{:?}", report.findings);
    assert_eq!((report.intents, report.outcomes, report.open), (2, 2, 0));
}

#[tokio::test]
async fn an_outcome_in_doubt_is_recorded_once_when_it_is_repeated() {
    let store = MemoryStore::default();
    let quiet = Settings { probe: std::time::Duration::from_hours(1), ..settings() };
    let (ledger, _) = open(&store, quiet, 0).await.unwrap();
    let seen = situation("web", 3, 10);
    let decision = scale(&seen, 5);
    let outcome = applied(&seen, &decision);
    let acted = ledger.intend(&seen, decision, at(10)).await.unwrap().acted(outcome, at(11));
    let call = store.calls();
    store.fault_at(call, Fault::LoseAnswer);
    store.fault_at(call + 1, Fault::Partition);
    assert_eq!(ledger.conclude(acted.clone()).await.unwrap_err().kind(), "unreachable");
    store.heal();
    let recorded = ledger.conclude(acted).await.unwrap();
    assert_eq!(recorded.entry().unwrap().index, 3);
    assert_eq!(ledger.head().size, 4);
    assert_eq!(audit(&store).verdict, Verdict::Good);
}

#[tokio::test]
async fn a_store_that_comes_back_is_noticed_without_an_append() {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, settings(), 0).await.unwrap();
    store.fault_next(Fault::Partition);
    let seen = situation("web", 3, 10);
    ledger.intend(&seen, scale(&seen, 5), at(10)).await.unwrap_err();
    assert!(ledger.available().is_err());
    store.heal();
    for _ in 0..400 {
        if ledger.available().is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(ledger.available(), Ok(()));
}

#[tokio::test]
async fn an_intent_whose_caller_went_away_is_abandoned() {
    let store = MemoryStore::default();
    let slow = Settings { linger: std::time::Duration::from_millis(20), ..settings() };
    let (ledger, _) = open(&store, slow, 0).await.unwrap();
    let seen = situation("web", 3, 10);
    {
        let mut intend = Box::pin(ledger.intend(&seen, scale(&seen, 5), at(10)));
        // Polled once, so that it is queued, and dropped.
        let _ = futures::poll!(&mut intend);
    }
    ledger.note(note(), at(11)).await.unwrap();
    act(&ledger, "web", 3, 5, 20).await;
    let report = audit(&store);
    assert_eq!((report.verdict, report.open), (Verdict::Good, 0), "{:?}", report.findings);
}

#[tokio::test]
async fn what_somebody_else_changed_in_between_is_marked() {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, settings(), 0).await.unwrap();
    act(&ledger, "web", 3, 5, 10).await;
    act(&ledger, "web", 5, 6, 20).await;
    act(&ledger, "web", 9, 8, 30).await;
    let tail = store.objects().into_iter().find(|o| o.name == "tail").unwrap();
    let marks: Vec<bool> = tail.data["entries"]
        .lines()
        .filter(|line| line.contains("\"kind\":\"intent\""))
        .map(|line| line.contains("\"external\":true"))
        .collect();
    assert_eq!(marks, [true, false, true]);
    assert_eq!(audit(&store).verdict, Verdict::Good);
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_break_the_order() {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, settings(), 1000).await.unwrap();
    ledger.note(note(), at(5)).await.unwrap();
    let (newer, _) = open(&store.process(), settings(), 3).await.unwrap();
    newer.note(note(), at(4)).await.unwrap();
    let report = audit(&store);
    assert_eq!(report.verdict, Verdict::Good, "{:?}", report.findings);
}
