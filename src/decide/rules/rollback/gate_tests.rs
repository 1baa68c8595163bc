//! A gate that asks for a rollback: every condition of the attribution alone keeps it from being followed.

use crate::decide::situation::{Action, GateFault, GateView, Proof};
use crate::decide::testing::{Story, at, because, expect, notices};
use crate::decide::{Situation, decide};
use crate::observe::reading::{Reading, SignalName};
use crate::orient::{Baseline, Verdict};

/// A rollout of 120 s ago, ready after 40 s; healthy but for the gate, which let the revision before pass.
fn blocked() -> Story {
    Story::new().rollout(120.0).with(|s| {
        s.gate = GateView::Block;
        s.gate_fault = Some(GateFault {
            target: "web".into(),
            revision: "7d9f".into(),
            gates: vec!["cvar".into()],
            text: "cvar 0.17 needs ≤ 0.1".into(),
            turns: 3,
            samples: 20,
            onset: at(-110),
            after: at(-120),
            stood: Some("t-old".into()),
        });
    })
}

fn fault(s: &mut Situation) -> &mut GateFault {
    s.gate_fault.as_mut().unwrap()
}

#[test]
fn a_gate_that_blocks_what_the_rollout_brought_has_it_reverted() {
    let d = blocked().decide();
    expect(&d, Action::Rollback, "Gate:cvar");
    assert!(d.act);
    let proof = Proof::Gate { gates: vec!["cvar".into()], samples: 20, turns: 3, onset: at(-110) };
    assert_eq!(d.proof, Some(proof));
    assert_eq!(d.confidence, None, "the gate states no probability");
    assert!(
        d.reasoning.to_string().contains("the gate blocks: cvar 0.17 needs ≤ 0.1 (20 samples"),
        "{}",
        d.reasoning
    );
    assert_eq!(d.memory.bad_templates, ["t-new"]);
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Situation), says: &str) {
    let d = blocked().with(change).decide();
    assert_eq!(d.action, Action::Noop, "{says}: {d:#?}");
    let text = because(&d, Action::Rollback);
    assert!(text.contains(says), "{says}: {text}");
    assert!(notices(&d, "Degraded"), "{says}: {d:#?}");
}

#[test]
fn without_a_rollout_to_blame_nothing_is_rolled_back_and_that_is_said() {
    let d = Story::new().with(|s| {
        *s = {
            let mut with = blocked().s;
            with.observed = s.observed.clone();
            with
        }
    });
    expect(&d.decide(), Action::Noop, "NoForecast");
    assert!(because(&d.decide(), Action::Rollback).contains("no rollout to blame"));
    assert!(notices(&d.decide(), "Degraded") && notices(&d.decide(), "RollbackSuppressed"));
    refused(
        |s| s.observed.workload.as_mut().unwrap().previous.clear(),
        "no rollout to blame: there is no earlier",
    );
    refused(|s| fault(s).onset = at(-130), "it began before the rollout");
    refused(|s| s.spec.rollback.attribution_seconds = 5, "no rollout to blame in the 5 s before it began");
    refused(|s| fault(s).stood = None, "it did not let 5c4b pass");
    refused(|s| fault(s).stood = Some("t-older".into()), "it did not let 5c4b pass");
    refused(|s| fault(s).after = at(-30), "it began more than 50 s after the last pod was ready");
}

#[test]
fn every_obstacle_of_a_rollback_stands_in_its_way_too() {
    refused(|s| s.spec.rollback.enabled = false, "rollback.enabled is false");
    refused(|s| s.memory.rollbacks = vec![at(-9000), at(-8000)], "maxPerDay is 2");
    refused(|s| s.memory.bad_templates = vec!["t-new".into()], "reverted before");
    refused(|s| s.observed.workload.as_mut().unwrap().config_changed_at = Some(at(-115)), "suspended");
    refused(|s| s.memory.bad_templates = vec!["t-old".into()], "no earlier revision that is not known bad");
}

#[test]
fn what_is_open_waits() {
    let waits = |change: fn(&mut Situation), says: &str| {
        let d = blocked().with(change).decide();
        expect(&d, Action::Noop, "Suspect");
        assert!(because(&d, Action::Rollback).contains(says), "{}", because(&d, Action::Rollback));
    };
    waits(|s| fault(s).turns = 2, "for 2 of 3 evaluations");
    waits(
        |s| {
            s.observed.evidence.readings.insert(SignalName::THROUGHPUT, Reading::Missing);
        },
        "the load cannot be seen",
    );
}

#[test]
fn a_charge_that_is_not_about_what_runs_is_none() {
    for change in [
        |s: &mut Situation| fault(s).revision = "5c4b".into(),
        |s: &mut Situation| fault(s).target = "other".into(),
        |s: &mut Situation| s.gate = GateView::Unknown,
        |s: &mut Situation| s.gate = GateView::Admit,
        |s: &mut Situation| s.gate_fault = None,
    ] {
        let d = blocked().with(change).decide();
        assert_eq!(d.action, Action::Noop);
        assert_eq!(because(&d, Action::Rollback), "no trouble since the rollout of 120 s ago");
    }
}

#[test]
fn a_comparison_that_has_seen_both_sides_outranks_the_gate() {
    let theta = |baseline, verdict| {
        blocked().with(|s| fault(s).gates = vec!["theta".into()]).compared(
            SignalName::LATENCY,
            baseline,
            verdict,
        )
    };
    let d = theta(Baseline::SideBySide, Verdict::NotWorse).decide();
    assert_eq!(d.action, Action::Noop);
    assert!(notices(&d, "RollbackSuppressed"), "both fell equally");
    let loaded =
        theta(Baseline::Before, Verdict::Undecided).with(|s| s.picture.comparisons[0].load_explains = true);
    assert_eq!(loaded.decide().action, Action::Noop);
    assert_eq!(theta(Baseline::Before, Verdict::Undecided).decide().action, Action::Rollback);
    // Consent is not in any comparison.
    let consent = theta(Baseline::SideBySide, Verdict::NotWorse)
        .with(|s| fault(s).gates = vec!["consent".into(), "theta".into()]);
    expect(&consent.decide(), Action::Rollback, "Gate:consent");
}

#[test]
fn what_is_proven_otherwise_needs_no_gate_and_our_own_retune_goes_first() {
    let both = Story::bad_rollout().with(|s| {
        let other = blocked().s;
        (s.gate, s.gate_fault) = (other.gate, other.gate_fault);
        fault(s).stood = None;
    });
    expect(&both.decide(), Action::Rollback, "Worse:latency");
}

#[test]
fn a_situation_from_before_there_were_faults_is_read_and_decided_the_same() {
    let s = Story::bad_rollout().s;
    let text = serde_json::to_string(&s).unwrap();
    assert!(!text.contains("gateFault"), "and recorded in the same bytes");
    assert_eq!(decide(&serde_json::from_str(&text).unwrap()), decide(&s));
    let with = blocked().s;
    let again: Situation = serde_json::from_str(&serde_json::to_string(&with).unwrap()).unwrap();
    assert_eq!(again, with);
}

#[test]
fn after_the_rollback_there_is_nothing_left_to_do() {
    let story = blocked();
    let d = story.decide();
    let next = story.after(&d, 15);
    assert_eq!(next.decide().action, Action::Noop, "the charge is about another revision");
}
