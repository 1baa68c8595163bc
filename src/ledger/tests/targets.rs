//! What annotations are worth: valid, stale after an undo, forged in every way, external.

use super::fixture::*;
use crate::decide::situation::Plan;
use crate::ledger::attestation::attestation;
use crate::ledger::keys::Signer;
use crate::ledger::log::Log;
use crate::ledger::memory::MemoryStore;
use crate::ledger::target::{Standing, Target, standing};
use crate::ledger::{Ledger, Outcome};

/// Scales, and returns the target as the act leaves it.
async fn act(ledger: &Ledger, from: i32, to: i32, now: i64, done: bool) -> Target {
    let situation = situation("web", from, now);
    let decision = scale(&situation, to);
    let outcome = if done { applied(&situation, &decision) } else { Outcome::Refused { why: "late".into() } };
    assert!(matches!(decision.plan, Plan::Scale { .. }));
    let id = decision.id();
    let intended = ledger.intend(&situation, decision, at(now)).await.unwrap();
    let claim = attestation(intended.entry());
    ledger.conclude(intended.acted(outcome, at(now))).await.unwrap();
    let workload = situation.observed.workload.unwrap();
    Target {
        namespace: "shop".into(),
        name: "web".into(),
        uid: workload.uid,
        replicas: to,
        template: workload.current.template,
        decision: Some(id),
        attestation: Some(claim),
    }
}

fn judge(store: &MemoryStore, target: &Target) -> Standing {
    standing(target, &Log::open(&request(store)).unwrap(), &keys())
}

#[tokio::test]
async fn the_last_act_is_valid_until_somebody_else_changes_the_target() {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, small(6000), 0).await.unwrap();
    let first = act(&ledger, 3, 5, 10, true).await;
    assert_eq!(judge(&store, &first), Standing::Valid { index: 2 });
    let second = act(&ledger, 5, 4, 20, true).await;
    assert!(matches!(judge(&store, &second), Standing::Valid { .. }));
    assert!(
        matches!(judge(&store, &first), Standing::Stale { .. }),
        "an undo brought the old annotation back"
    );
    let refused = act(&ledger, 4, 6, 30, false).await;
    assert!(matches!(judge(&store, &refused), Standing::Stale { .. }), "an act that was not applied");
    for change in [
        |t: &mut Target| t.replicas = 9,
        |t: &mut Target| t.template = "another".into(),
        |t: &mut Target| t.uid = "made anew".into(),
        |t: &mut Target| (t.decision, t.attestation) = (None, None),
    ] {
        let mut target = second.clone();
        change(&mut target);
        assert!(matches!(judge(&store, &target), Standing::External { .. }), "{target:?}");
    }
    let never = Target { name: "other".into(), decision: None, attestation: None, ..second };
    assert!(matches!(judge(&store, &never), Standing::External { .. }));
}

#[tokio::test]
async fn whatever_was_never_recorded_is_forged() {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, settings(), 0).await.unwrap();
    let first = act(&ledger, 3, 5, 10, true).await;
    let second = act(&ledger, 5, 4, 20, true).await;
    let claim = second.attestation.clone().unwrap();
    let with = |attestation: Option<String>| Target { attestation, ..second.clone() };
    // Every byte of the claim that is changed makes it unreadable, unsigned, or of another entry.
    for at in 0..claim.len() {
        let mut bytes = claim.clone().into_bytes();
        bytes[at] ^= 1;
        let changed = String::from_utf8(bytes).unwrap();
        let judged = judge(&store, &with(Some(changed.clone())));
        assert!(matches!(judged, Standing::Forged { .. }), "{changed}: {judged}");
    }
    let cases = [
        with(None),
        with(first.attestation.clone()),
        Target { name: "other".into(), ..second.clone() },
        Target { decision: Some("another".into()), ..second.clone() },
    ];
    for target in cases {
        assert!(matches!(judge(&store, &target), Standing::Forged { .. }), "{target:?}");
    }
    // A key that does not count, and a ledger that is older than the claim.
    let log = Log::open(&request(&store)).unwrap();
    let other = Signer::from_seed(ORIGIN, &[9; 32]).unwrap().verifier().clone();
    assert!(matches!(standing(&second, &log, &[other]), Standing::Forged { .. }));
    let older = MemoryStore::default();
    let (ledger, _) = open(&older, settings(), 0).await.unwrap();
    act(&ledger, 3, 5, 10, true).await;
    assert!(matches!(judge(&older, &second), Standing::Forged { .. }));
}
