//! Sealing: segments, bursts, adoption, and open intents that end up in a segment.

use super::fixture::*;
use crate::ledger::memory::{Fault, MemoryStore};
use crate::ledger::statement::Note;
use crate::ledger::verify::Verdict;
use crate::ledger::{Act, LedgerError, Outcome};

fn note(message: &str) -> Note {
    Note { topic: "paused".into(), message: message.into(), ..Note::default() }
}

fn segments(store: &MemoryStore) -> Vec<String> {
    store.objects().into_iter().map(|o| o.name).filter(|name| name.starts_with("seg-")).collect()
}

#[tokio::test]
async fn a_full_tail_is_sealed_and_everything_verifies() {
    let store = MemoryStore::default();
    let (ledger, recovery) = open(&store, small(3000), 0).await.unwrap();
    assert_eq!((recovery.epoch, recovery.open.len()), (1, 0));
    for n in 0..20 {
        ledger.note(note(&format!("number {n}")), at(n)).await.unwrap();
    }
    let head = ledger.head();
    assert_eq!((head.size, head.epoch), (22, 1));
    assert!(segments(&store).len() >= 3, "{:?}", segments(&store));
    assert!(store.objects().iter().filter(|o| o.name != "tail").all(|o| o.immutable));
    let tail = store.objects().into_iter().find(|o| o.name == "tail").unwrap();
    assert!(tail.data["entries"].len() <= 3000);
    let report = audit(&store);
    assert_eq!((report.verdict, report.entries), (Verdict::Good, 22), "{:?}", report.findings);
    assert_eq!(report.root.as_deref(), Some(head.root.as_str()));
}

#[tokio::test]
async fn a_burst_of_acts_shares_its_writes() {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, settings(), 0).await.unwrap();
    let before = store.calls();
    let burst = (0..200).map(|n| {
        let ledger = ledger.clone();
        async move { act(&ledger, &format!("web{n}"), 3, 5, 10).await }
    });
    futures::future::join_all(burst).await;
    let writes = store.calls() - before;
    assert!(writes < 150, "400 entries in {writes} writes");
    let size = ledger.head().size;
    assert!(
        (402..450).contains(&size),
        "{size}: two entries an act, and a note where open intents are sealed"
    );
    let report = audit(&store);
    assert_eq!(report.verdict, Verdict::Good, "{:?}", report.findings);
    assert_eq!((report.intents, report.outcomes, report.open), (200, 200, 0));
}

#[tokio::test]
async fn an_existing_segment_that_the_tail_begins_with_is_adopted() {
    // First without a fault, to learn at which call the tail follows its segment.
    let learned = MemoryStore::default();
    let fill = async |store: &MemoryStore| {
        let Ok((ledger, _)) = open(store, small(3000), 0).await else { return };
        for n in 0..6 {
            ledger.note(note(&format!("number {n}")), at(n)).await.ok();
        }
    };
    fill(&learned).await;
    let sealed_at = learned.log().iter().position(|call| call.starts_with("create seg-")).unwrap();
    // The crash of a leader between the creation of a segment and its next tail.
    let store = MemoryStore::default();
    store.fault_at(sealed_at as u64 + 1, Fault::CrashBefore);
    fill(&store).await;
    assert_eq!(segments(&store), ["seg-000000000000"]);
    let sealed_twice = store.process();
    let (ledger, _) = open(&sealed_twice, small(3000), 100).await.unwrap();
    for n in 0..5 {
        ledger.note(note(&format!("after {n}")), at(101 + n)).await.unwrap();
    }
    assert!(sealed_twice.log().contains(&"get seg-000000000000".to_owned()), "{:?}", sealed_twice.log());
    assert_eq!(audit(&store).verdict, Verdict::Good, "{:?}", audit(&store).findings);
}

#[tokio::test]
async fn another_segment_under_our_name_stops_the_ledger() {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, small(3000), 0).await.unwrap();
    let strange = std::collections::BTreeMap::from([
        ("entries".to_owned(), "something\n".to_owned()),
        ("frontier".to_owned(), String::new()),
    ]);
    crate::ledger::store::Store::create(&store.process(), "seg-000000000000", &strange, true).await.unwrap();
    let mut stopped = None;
    for n in 0..10 {
        if let Err(error) = ledger.note(note("x"), at(n)).await {
            stopped = Some(error);
            break;
        }
    }
    assert_eq!(stopped.as_ref().map(LedgerError::kind), Some("stopped"));
    assert!(ledger.available().is_err());
    assert_eq!(ledger.note(note("x"), at(20)).await.unwrap_err().kind(), "stopped");
}

#[tokio::test]
async fn an_intent_that_was_sealed_before_its_outcome_is_recovered() {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, small(6000), 0).await.unwrap();
    let seen = situation("web", 3, 10);
    let intended = ledger.intend(&seen, scale(&seen, 5), at(10)).await.unwrap();
    for n in 0..40 {
        ledger.note(note(&format!("number {n}")), at(11 + n)).await.unwrap();
    }
    assert!(segments(&store).len() >= 2);
    assert_eq!(ledger.unresolved(&seen.object), Some(intended.entry().index));
    drop(ledger);
    let (ledger, recovery) = open(&store.process(), small(6000), 60).await.unwrap();
    assert_eq!(recovery.open.len(), 1);
    let left = &recovery.open[0];
    assert_eq!((left.entry.index, left.entry.epoch), (intended.entry().index, 1));
    assert_eq!(left.entry.leaf, intended.entry().leaf);
    assert!(matches!(&left.act, Act::Turn(intent) if intent.situation == seen));
    let again = situation("web", 3, 61);
    let blocked = ledger.intend(&again, scale(&again, 4), at(61)).await.unwrap_err();
    assert_eq!(blocked, LedgerError::OpenIntent { index: left.entry.index });
    let post = left.act.post();
    let outcome = Outcome::Applied { resource_version: "9".into(), post };
    ledger.conclude_recovered(left, outcome, at(62)).await.unwrap();
    assert_eq!(ledger.unresolved(&seen.object), None);
    act(&ledger, "web", 5, 6, 70).await;
    let report = audit(&store);
    assert_eq!(report.verdict, Verdict::Good, "{:?}", report.findings);
    let (_, recovery) = open(&store.process(), small(6000), 80).await.unwrap();
    assert!(recovery.open.is_empty());
}

#[tokio::test]
async fn a_missing_segment_with_an_open_intent_is_refused() {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, small(6000), 0).await.unwrap();
    let seen = situation("web", 3, 10);
    ledger.intend(&seen, scale(&seen, 5), at(10)).await.unwrap();
    for n in 0..10 {
        ledger.note(note(&format!("number {n}")), at(11 + n)).await.unwrap();
    }
    store.remove("seg-000000000000");
    let error = open(&store.process(), small(6000), 60).await.err().unwrap();
    assert_eq!(error.kind(), "stopped");
}
