//! Deciding again: the same to the bit, another act named, another policy told apart.

use super::fixture::*;
use crate::decide::{POLICY_VERSION, Version, decide_by};
use crate::ledger::log::Log;
use crate::ledger::memory::MemoryStore;
use crate::ledger::replay::{Again, Replayed, replay};
use crate::ledger::states::Outcome;
use crate::observe::reading::{Reading, SignalName};
use crate::orient::capacity::Capacity;

/// Records what the rules decide for a target below its minimum, changed by `change`; what replay says of it.
async fn replayed(change: impl FnOnce(&mut crate::decide::Decision)) -> Replayed {
    let below = |s: &mut crate::decide::Situation| s.spec.min_replicas = 2;
    replayed_by(Version::NEWEST, below, change).await
}

/// The same of what the rules of a version decide on a situation changed by `set`.
async fn replayed_by(
    version: Version,
    set: impl FnOnce(&mut crate::decide::Situation),
    change: impl FnOnce(&mut crate::decide::Decision),
) -> Replayed {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, settings(), 0).await.unwrap();
    let mut situation = situation("web", 1, 10);
    set(&mut situation);
    situation.spec.enforcement = crate::api::scaling::Enforcement::Act;
    let mut decision = decide_by(version, &situation);
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
    assert_eq!(one.again, Again::Differs { fields: vec!["plan", "id"] }, "an id is made of the plan");
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

#[tokio::test]
async fn an_older_version_decides_again_what_it_decided_and_the_newest_says_what_it_would() {
    let needs_more = |s: &mut crate::decide::Situation| {
        let sampled_at = s.now;
        let cpu = Reading::Fresh { value: 0.6, sampled_at };
        s.observed.evidence.readings.insert(SignalName::CPU, cpu);
        s.picture.capacity = Some(Capacity::Utilisation { mean: 2.0, sd: 0.3, target: 0.7 });
    };
    let one = replayed_by(Version::One, needs_more, |_| ()).await;
    assert_eq!((one.again, one.policy_version), (Again::Same, 1), "then {}, now {}", one.then, one.now);
    assert_eq!(one.newest.unwrap().fields, ["confidence"]);
    // What does not rest on confidence is the same by both.
    let below = |s: &mut crate::decide::Situation| s.spec.min_replicas = 2;
    let one = replayed_by(Version::One, below, |_| ()).await;
    assert_eq!((one.again, one.newest), (Again::Same, None));
    // Its own version would not have decided so.
    let one = replayed_by(Version::One, needs_more, |decision| decision.why = "OldRule".into()).await;
    assert_eq!(one.again, Again::Differs { fields: vec!["why"] });
}

#[test]
fn a_line_that_is_no_entry_is_named() {
    assert_eq!(replay(7, &["nonsense".to_owned()]).unwrap_err().0, 7);
}
