//! The crash campaign: for every call k of intent → act → outcome → seal, the process dies (or its answer is lost) at
//! k, another leader takes over, and in the end every intent has one outcome, every effect one intent, none twice.

use std::collections::BTreeMap;

use super::fixture::*;
use crate::ledger::memory::{Fault, MemoryStore};
use crate::ledger::recovery::OpenIntent;
use crate::ledger::statement::Body;
use crate::ledger::store::{Object, Store, StoreError};
use crate::ledger::tail::{Segment, Tail, lines_of, segment_start};
use crate::ledger::verify::{Saved, Verdict, verify};
use crate::ledger::{Ledger, LedgerError, Outcome, state};

const TARGET: &str = "target";
const ACTS: usize = 4;
const TAIL_BYTES: usize = 9000;

/// The end of a life: the process died, or was told to step aside.
struct Dead;

impl From<LedgerError> for Dead {
    fn from(_: LedgerError) -> Self {
        Self
    }
}

async fn found_target(store: &MemoryStore) {
    let data = [("replicas", "3"), ("decision", ""), ("fence", ""), ("history", "")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    store.process().create(TARGET, &BTreeMap::from(data), false).await.unwrap();
}

fn replicas(target: &Object) -> i32 {
    target.data["replicas"].parse().unwrap()
}

fn history(target: &Object) -> Vec<&str> {
    target.data["history"].split_terminator(';').collect()
}

/// Writes a new fence and reads the target from the answer.
async fn fence(store: &MemoryStore, fences: &mut u32, epoch: u64) -> Result<Object, Dead> {
    for _ in 0..10 {
        let Ok(target) = store.get(TARGET).await else { continue };
        *fences += 1;
        let mut data = target.data.clone();
        data.insert("fence".into(), format!("{epoch}.{fences}"));
        if let Ok(target) = store.replace(TARGET, &target.resource_version, &data).await {
            return Ok(target);
        }
    }
    Err(Dead)
}

fn fate(target: &Object, id: &str, post: String) -> Outcome {
    if target.data["decision"] == id {
        Outcome::Applied { resource_version: target.resource_version.clone(), post }
    } else {
        Outcome::Abandoned { why: "not on the target".into() }
    }
}

async fn resolve(ledger: &Ledger, store: &MemoryStore, left: &OpenIntent, now: i64) -> Result<(), Dead> {
    let target = fence(store, &mut 0, ledger.head().epoch).await?;
    let post = left.act.post();
    let outcome = fate(&target, left.act.id(), post);
    ledger.conclude_recovered(left, outcome, at(now)).await?;
    Ok(())
}

/// One process: takes over, resolves, then acts until the target has seen all its acts.
async fn live(store: &MemoryStore, life: i64) -> Result<(), Dead> {
    let mut now = life * 1000;
    let (ledger, recovery) = open(store, small(TAIL_BYTES), now).await?;
    for left in &recovery.open {
        resolve(&ledger, store, left, now + 1).await?;
    }
    let mut fences = 1000;
    for _ in 0..3 * ACTS {
        now += 10;
        let Ok(target) = store.get(TARGET).await else { continue };
        if history(&target).len() >= ACTS {
            return Ok(());
        }
        let seen = situation("web", replicas(&target), now);
        let decision = scale(&seen, replicas(&target) + 1);
        let (id, post) = (decision.id(), state::after(&seen, &decision.plan).unwrap());
        let intended = ledger.intend(&seen, decision, at(now)).await?;
        let mut data = target.data.clone();
        data.insert("replicas".into(), (replicas(&target) + 1).to_string());
        data.insert("decision".into(), id.clone());
        data.insert("history".into(), format!("{}{id};", target.data["history"]));
        let outcome = match store.replace(TARGET, &target.resource_version, &data).await {
            Ok(target) => Outcome::Applied { resource_version: target.resource_version, post },
            Err(StoreError::Unreachable(_)) => {
                fate(&fence(store, &mut fences, intended.entry().epoch).await?, &id, post)
            }
            Err(error) => Outcome::Refused { why: error.to_string() },
        };
        let acted = intended.acted(outcome, at(now + 1));
        while let Err(error) = ledger.conclude(acted.clone()).await {
            if error.is_final() || store.crashed() {
                return Err(Dead);
            }
        }
    }
    if store.crashed() { Err(Dead) } else { Ok(()) }
}

/// Every intent one outcome, every effect one intent, none twice; the ledger verifies.
fn judge(store: &MemoryStore, context: &str) {
    let objects = store.objects();
    let target = objects.iter().find(|o| o.name == TARGET).unwrap();
    let mut request = request(store);
    request.objects = objects.iter().filter(|o| o.name != TARGET).cloned().map(Saved::from).collect();
    let report = verify(&request);
    assert_eq!(report.verdict, Verdict::Good, "{context}: {:?}", report.findings);
    assert_eq!(report.open, 0, "{context}");
    assert_eq!(report.intents, report.outcomes, "{context}");
    let mut results = BTreeMap::new();
    for object in objects.iter().filter(|o| o.data.contains_key("entries")) {
        let lines = match segment_start(&object.name) {
            Some(start) => Segment::parse(start, &object.data).unwrap().lines,
            None => Tail::parse(ORIGIN, &object.data, &keys()).unwrap().lines,
        };
        assert_eq!(lines_of(&object.data["entries"]).unwrap().len(), lines.len());
        for line in lines {
            let statement = crate::ledger::statement::Parts::of(&line).unwrap().read().unwrap();
            if let Body::Outcome(concluded) = statement.predicate.body {
                let again = results.insert(concluded.id.clone(), concluded.outcome.as_str());
                assert_eq!(again, None, "{context}: {} twice", concluded.id);
            }
        }
    }
    let effects = history(target);
    assert_eq!(effects.len(), ACTS, "{context}");
    for (at, id) in effects.iter().enumerate() {
        assert!(!effects[..at].contains(id), "{context}: {id} done twice");
        assert_eq!(results.get(*id), Some(&"applied"), "{context}: {id}");
    }
    let applied = results.values().filter(|result| **result == "applied").count();
    assert_eq!(applied, effects.len(), "{context}: an applied outcome without effect");
    assert_eq!(replicas(target), 3 + i32::try_from(ACTS).unwrap(), "{context}");
}

/// Lives one after the other until one comes to its end; each has its own fault.
async fn run(faults: &[(u64, Fault)], context: &str) -> u64 {
    let store = MemoryStore::default();
    found_target(&store).await;
    for life in 0..10 {
        let process = store.process();
        if let Some((call, fault)) = faults.get(life) {
            process.fault_at(*call, *fault);
        }
        if live(&process, i64::try_from(life).unwrap()).await.is_ok() {
            judge(&store, context);
            return process.calls();
        }
    }
    panic!("{context}: no life came to its end");
}

#[tokio::test]
async fn a_fault_at_every_call_leaves_one_outcome_for_each_intent() {
    let calls = run(&[], "no fault").await;
    assert!(calls > 15, "{calls}");
    for fault in [
        Fault::CrashBefore,
        Fault::CrashAfter,
        Fault::LoseAnswer,
        Fault::LoseRequest,
        Fault::Conflict,
        Fault::Deny,
    ] {
        for call in 0..=calls {
            run(&[(call, fault)], &format!("{fault:?} at {call}")).await;
        }
    }
}

#[tokio::test]
async fn a_second_crash_during_the_recovery_from_the_first_does_no_harm() {
    let calls = run(&[], "no fault").await;
    for first in 0..calls {
        for second in (first % 2..14).step_by(2) {
            let faults =
                [(first, Fault::CrashAfter), (second, Fault::CrashAfter), (second, Fault::CrashBefore)];
            run(&faults, &format!("crashes at {first}, {second}")).await;
        }
    }
}
