//! One byte of a stored ledger is changed, each in turn: verification fails and names what was changed.

use std::sync::Mutex;

use super::fixture::*;
use crate::ledger::memory::MemoryStore;
use crate::ledger::statement::Note;
use crate::ledger::verify::{Request, Saved, Severity, Signatures, Verdict, verify};

/// Two segments and a tail; an act, its outcome, notes.
pub async fn ledger() -> MemoryStore {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, small(2600), 0).await.unwrap();
    for n in 0..2 {
        let note = Note { topic: "paused".into(), message: format!("by ana, {n}"), ..Note::default() };
        ledger.note(note, at(n)).await.unwrap();
    }
    act(&ledger, "web", 3, 5, 10).await;
    store
}

fn changed(text: &str, at: usize, mask: u8) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] ^= mask;
    String::from_utf8(bytes).ok()
}

/// What a finding must say for a change at byte `at` of this value.
fn expected(object: &Saved, key: &str, at: usize) -> Vec<String> {
    match key {
        "checkpoint" => vec!["checkpoint".into()],
        "entries" => {
            let first = match object.name.strip_prefix("seg-") {
                Some(start) => start.parse::<usize>().unwrap(),
                None => object.data["sealed"].parse().unwrap(),
            };
            let line = object.data["entries"][..at].matches('\n').count();
            vec![format!("entry {}", first + line)]
        }
        _ => vec![format!("{}/{key}", object.name)],
    }
}

fn check(original: &Request, which: usize, key: &str, at: usize, mask: u8) {
    let Some(value) = changed(&original.objects[which].data[key], at, mask) else { return };
    let mut request = original.clone();
    request.objects[which].data.insert(key.to_owned(), value.clone());
    let report = verify(&request);
    let name = &original.objects[which].name;
    let context = format!("{name}/{key} byte {at} mask {mask}: {:?}", report.findings);
    assert_eq!(report.verdict, Verdict::Tampered, "{context}");
    let named = &report.findings[0].at;
    assert!(expected(&original.objects[which], key, at).contains(named), "{context}");
}

#[tokio::test]
async fn every_byte_of_every_value_is_covered_and_named() {
    let store = ledger().await;
    let request = Request { signatures: Signatures::Checkpoint, ..request(&store) };
    let names: Vec<&str> = request.objects.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("seg-")).count(), 2, "{names:?}");
    let mut work = Vec::new();
    for (which, object) in request.objects.iter().enumerate() {
        for (key, value) in &object.data {
            let masks: &[u8] = if key == "entries" { &[1] } else { &[1, 2, 4, 8, 0x10, 0x20, 0x40] };
            for at in 0..value.len() {
                work.extend(masks.iter().map(|mask| (which, key.as_str(), at, *mask)));
            }
        }
    }
    assert!(work.len() > 6000);
    let work = Mutex::new(work);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                loop {
                    let Some((which, key, at, mask)) = work.lock().unwrap().pop() else { return };
                    check(&request, which, key, at, mask);
                }
            });
        }
    });
}

#[tokio::test]
async fn names_keys_and_whole_objects_are_covered() {
    let store = ledger().await;
    let good = request(&store);
    assert_eq!(verify(&good).verdict, Verdict::Good);
    for which in 0..good.objects.len() {
        let name = good.objects[which].name.clone();
        for at in 0..name.len() {
            let mut request = good.clone();
            request.objects[which].name = changed(&name, at, 1).unwrap();
            let report = verify(&request);
            assert_eq!(report.verdict, Verdict::Tampered, "{name} at {at}: {:?}", report.findings);
            assert!(
                report
                    .findings
                    .iter()
                    .any(|f| f.severity == Severity::Tampered
                        && f.at.starts_with(&request.objects[which].name)),
                "{name} at {at}: {:?}",
                report.findings
            );
        }
        for key in good.objects[which].data.keys() {
            let mut request = good.clone();
            let value = request.objects[which].data.remove(key).unwrap();
            assert_eq!(verify(&request).verdict, Verdict::Tampered, "{name} without {key}");
            request.objects[which].data.insert(changed(key, 0, 1).unwrap(), value);
            assert_eq!(verify(&request).verdict, Verdict::Tampered, "{name} with another {key}");
        }
        let mut request = good.clone();
        request.objects[which].immutable ^= true;
        assert_eq!(verify(&request).verdict, Verdict::Tampered, "{name} immutable");
        let mut request = good.clone();
        request.objects.push(request.objects[which].clone());
        assert_eq!(verify(&request).verdict, Verdict::Tampered, "{name} twice");
        let mut request = good.clone();
        request.objects.remove(which);
        assert_eq!(verify(&request).verdict, Verdict::Incomplete, "{name} missing");
    }
}

#[tokio::test]
async fn lines_lost_doubled_swapped_and_foreign_are_found() {
    let store = ledger().await;
    let good = request(&store);
    let tail = good.objects.iter().position(|o| o.name == "seg-000000000000").unwrap();
    let lines: Vec<String> = good.objects[tail].data["entries"].lines().map(str::to_owned).collect();
    assert!(lines.len() >= 3);
    let mut lost = lines.clone();
    lost.remove(1);
    let mut doubled = lines.clone();
    doubled.insert(1, lines[1].clone());
    let mut swapped = lines.clone();
    swapped.swap(1, 2);
    for (what, changed) in [("lost", lost), ("doubled", doubled), ("swapped", swapped)] {
        let mut request = good.clone();
        request.objects[tail].data.insert("entries".into(), changed.join("\n") + "\n");
        let report = verify(&request);
        assert_eq!(report.verdict, Verdict::Tampered, "{what}");
        assert!(
            report.findings.iter().any(|f| matches!(f.index, Some(1 | 2))),
            "{what}: {:?}",
            report.findings
        );
    }
    let mut request = good.clone();
    let windows = request.objects[tail].data["entries"].replace('\n', "\r\n");
    request.objects[tail].data.insert("entries".into(), windows);
    assert_eq!(verify(&request).verdict, Verdict::Tampered);
}

#[tokio::test]
async fn only_the_given_keys_count() {
    let store = ledger().await;
    let other = crate::ledger::keys::Signer::from_seed(ORIGIN, &[9; 32]).unwrap();
    let report = verify(&Request { keys: vec![other.verifier().clone()], ..request(&store) });
    assert_eq!(
        (report.verdict, report.findings.iter().any(|f| f.at == "checkpoint")),
        (Verdict::Tampered, true)
    );
    let both = vec![other.verifier().clone(), signer().verifier().clone()];
    assert_eq!(verify(&Request { keys: both, ..request(&store) }).verdict, Verdict::Good);
}

#[tokio::test]
async fn an_older_checkpoint_must_be_continued() {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, small(2600), 0).await.unwrap();
    act(&ledger, "web", 3, 5, 10).await;
    let note = |store: &MemoryStore| {
        store.objects().into_iter().find(|o| o.name == "tail").unwrap().data["checkpoint"].clone()
    };
    let (old, old_objects) = (note(&store), request(&store));
    act(&ledger, "web", 5, 6, 20).await;
    let since = |checkpoint: String| verify(&Request { since: Some(checkpoint), ..request(&store) });
    let report = since(old.clone());
    assert_eq!((report.verdict, report.since), (Verdict::Good, "compared"), "{:?}", report.findings);
    let report = verify(&Request { since: Some(note(&store)), ..old_objects });
    assert_eq!((report.verdict, report.since), (Verdict::Incomplete, "newer than the ledger"));
    // The same key signs another history of the same size.
    let fork = MemoryStore::default();
    let (ledger, _) = open(&fork, small(2600), 0).await.unwrap();
    act(&ledger, "api", 3, 5, 10).await;
    let report = since(note(&fork));
    assert_eq!(report.verdict, Verdict::Tampered);
    assert_eq!(report.findings[0].at, "older checkpoint");
}

#[tokio::test]
async fn an_intent_without_outcome_is_open_until_its_limit() {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, settings(), 0).await.unwrap();
    let seen = situation("web", 3, 10);
    ledger.intend(&seen, scale(&seen, 5), at(10)).await.unwrap();
    let judged = |now| verify(&Request { now: Some(at(now)), ..request(&store) });
    let report = judged(60);
    assert_eq!((report.verdict, report.open), (Verdict::Good, 1), "{:?}", report.findings);
    let report = judged(1000);
    assert_eq!((report.verdict, report.findings[0].index), (Verdict::Incomplete, Some(2)));
}
