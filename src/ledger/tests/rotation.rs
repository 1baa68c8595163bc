//! One key takes over from another.

use std::sync::Arc;

use super::fixture::{ORIGIN, at, settings, signer};
use crate::ledger::keys::{KeyRing, Signer, VerifierKey};
use crate::ledger::log::Log;
use crate::ledger::memory::{Fault, MemoryStore};
use crate::ledger::statement::{Body, Note, Parts};
use crate::ledger::verify::{Request, Saved, Verdict, verify};
use crate::ledger::{Ledger, LedgerError, Settings};

fn newer() -> Signer {
    Signer::from_seed(ORIGIN, &[2; 32]).unwrap()
}

fn both() -> KeyRing {
    KeyRing { current: newer(), retiring: Some(signer()) }
}

async fn lead(store: &MemoryStore, keys: impl Into<KeyRing>, now: i64) -> Result<Ledger, LedgerError> {
    let store = Arc::new(store.clone());
    let (ledger, _) = Ledger::open_with(store, keys, ORIGIN, settings(), at(now)).await?;
    ledger.note(Note { topic: "paused".into(), ..Note::default() }, at(now)).await?;
    Ok(ledger)
}

fn verdict(store: &MemoryStore, keys: &[&Signer]) -> Verdict {
    let objects = store.objects().into_iter().map(Saved::from).collect();
    let keys: Vec<VerifierKey> = keys.iter().map(|signer| signer.verifier().clone()).collect();
    verify(&Request { objects, keys, ..Request::default() }).verdict
}

#[tokio::test]
async fn a_new_key_is_announced_by_the_old_one_and_then_signs_alone() {
    let store = MemoryStore::default();
    lead(&store, signer(), 0).await.unwrap();
    let refused = lead(&store, newer(), 1).await.err().unwrap();
    assert!(matches!(refused, LedgerError::Tampered(_)), "a key that nobody announced: {refused}");
    lead(&store, both(), 2).await.unwrap();
    assert_eq!(verdict(&store, &[&signer(), &newer()]), Verdict::Good);
    assert_eq!(verdict(&store, &[&signer()]), Verdict::Tampered, "only configured keys count");
    // Twice in the overlap: the announcement is made once.
    lead(&store, both(), 3).await.unwrap();
    let keys = |store: &MemoryStore| {
        let entries = store.objects().into_iter().filter_map(|object| object.data.get("entries").cloned());
        entries.map(|entries| entries.matches("\"kind\":\"key\"").count()).sum::<usize>()
    };
    assert_eq!(keys(&store), 1);
    let refused = lead(&store, signer(), 4).await.err().unwrap();
    assert!(matches!(refused, LedgerError::Turned { .. }), "a replica with the old key alone: {refused}");
    lead(&store, newer(), 5).await.unwrap();
    assert_eq!(verdict(&store, &[&signer(), &newer()]), Verdict::Good);
    assert!(lead(&store, signer(), 6).await.is_err());
    assert!(verdict(&store, &[&newer()]) == Verdict::Tampered, "the entries of before are not the new key's");
}

#[tokio::test]
async fn a_crash_in_the_middle_of_turning_leaves_the_one_or_the_other() {
    for call in 0..6 {
        for fault in [Fault::CrashBefore, Fault::CrashAfter, Fault::LoseAnswer] {
            let store = MemoryStore::default();
            lead(&store, signer(), 0).await.unwrap();
            let crashing = store.process();
            crashing.fault_at(call, fault);
            lead(&crashing, both(), 1).await.ok();
            lead(&store, both(), 2).await.unwrap();
            lead(&store, newer(), 3).await.unwrap();
            let objects = store.objects().into_iter().map(Saved::from).collect();
            let report = verify(&Request { objects, keys: both().verifiers(), ..Request::default() });
            assert_eq!(report.verdict, Verdict::Good, "call {call}, {fault:?}: {:?}", report.findings);
        }
    }
}

#[tokio::test]
async fn an_entry_of_the_retired_key_after_the_turn_is_named() {
    let store = MemoryStore::default();
    lead(&store, signer(), 0).await.unwrap();
    lead(&store, both(), 1).await.unwrap();
    // Whoever keeps the old key signs what would be the next entry, and a checkpoint over it.
    let forged = MemoryStore::default();
    lead(&forged, signer(), 0).await.unwrap();
    lead(&forged, both(), 1).await.unwrap();
    let object = forged.objects().into_iter().find(|object| object.name == "tail").unwrap();
    let keys = both().verifiers();
    let mut tail = crate::ledger::tail::Tail::parse(ORIGIN, &object.data, &keys).unwrap();
    let predicate = crate::ledger::statement::Predicate {
        index: tail.size(),
        epoch: tail.epoch,
        recorded_at: at(2),
        actor: "old".into(),
        body: crate::ledger::statement::Body::Note(Note::default()),
    };
    let entry = crate::ledger::statement::Entry::sign(ORIGIN, predicate, &signer()).unwrap();
    tail.end.append(crate::ledger::merkle::leaf_hash(entry.line().as_bytes()));
    tail.lines.push(entry.line().to_owned());
    tail.checkpoint = crate::ledger::checkpoint::Checkpoint {
        origin: ORIGIN.into(),
        size: tail.size(),
        root: tail.end.root(),
    }
    .sign(&signer());
    forged.tamper("tail", |object| object.data = tail.data());
    let objects = forged.objects().into_iter().map(Saved::from).collect();
    let report = verify(&Request { objects, keys, ..Request::default() });
    assert_eq!(report.verdict, Verdict::Tampered);
    assert_eq!(report.findings[0].index, Some(tail.size() - 1), "{:?}", report.findings);
}

#[tokio::test]
async fn a_successor_carries_the_last_checkpoint_of_the_one_that_it_takes_over_from() {
    let lost = MemoryStore::default();
    lead(&lost, signer(), 0).await.unwrap();
    let tail = lost.objects().into_iter().find(|object| object.name == "tail").unwrap();
    let note = tail.data["checkpoint"].clone();
    let store = MemoryStore::default();
    let settings = Settings { succeeds: Some(note.clone()), ..settings() };
    let newer = Signer::from_seed("prod/main-2", &[3; 32]).unwrap();
    let keys = [newer.verifier().clone()];
    let opened = Ledger::open_with(Arc::new(store.clone()), newer, "prod/main-2", settings, at(1)).await;
    assert!(opened.is_ok());
    let objects: Vec<Saved> = store.objects().into_iter().map(Saved::from).collect();
    let log = Log::open(&Request { objects, keys: keys.to_vec(), ..Request::default() }).unwrap();
    let first = Parts::of(&log.lines[0]).unwrap().read().unwrap().predicate.body;
    assert!(matches!(first, Body::Genesis { succeeds: Some(cited), .. } if cited == note));
}
