//! Deciding again: the same to the bit, another act named, another policy told apart.

use super::fixture::*;
use crate::decide::{POLICY_VERSION, decide};
use crate::ledger::log::Log;
use crate::ledger::memory::MemoryStore;
use crate::ledger::replay::{Again, Replayed, replay};
use crate::ledger::states::Outcome;

/// Records what the rules decide for a target below its minimum, changed by `change`; what replay says of it.
async fn replayed(change: impl FnOnce(&mut crate::decide::Decision)) -> Replayed {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, settings(), 0).await.unwrap();
    let mut situation = situation("web", 1, 10);
    situation.spec.min_replicas = 2;
    situation.spec.enforcement = crate::api::scaling::Enforcement::Act;
    let mut decision = decide(&situation);
    assert!(decision.act, "{}", decision.reasoning);
    change(&mut decision);
    let intended = ledger.intend(&situation, decision, at(10)).await.unwrap();
    ledger.conclude(intended.acted(Outcome::Refused { why: "test".into() }, at(11))).await.unwrap();
    let mut all = replay(0, &Log::open(&request(&store)).unwrap().lines).unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[tokio::test]
async fn what_was_decided_is_decided_again() {
    let one = replayed(|_| ()).await;
    assert_eq!((one.again, one.index), (Again::Same, 2), "then {}, now {}", one.then, one.now);
}

#[tokio::test]
async fn a_bit_of_difference_is_named() {
    let one = replayed(|decision| decision.confidence = Some(f64::from_bits(0.5_f64.to_bits() + 1))).await;
    assert_eq!(one.again, Again::Differs { fields: vec!["confidence"] });
    let one = replayed(|decision| decision.plan = scale(&situation("web", 1, 10), 7).plan).await;
    assert_eq!(one.again, Again::Differs { fields: vec!["plan"] });
}

#[tokio::test]
async fn another_version_of_the_policy_is_no_difference_of_this_one() {
    let version = POLICY_VERSION + 1;
    let one = replayed(|decision| decision.policy_version = version).await;
    assert_eq!(one.again, Again::OtherPolicy { version, fields: Vec::new() });
    let one = replayed(|decision| {
        decision.policy_version = version;
        decision.why = "OldRule".into();
    })
    .await;
    assert_eq!(one.again, Again::OtherPolicy { version, fields: vec!["why"] });
}

#[test]
fn a_line_that_is_no_entry_is_named() {
    assert_eq!(replay(7, &["nonsense".to_owned()]).unwrap_err().0, 7);
}
