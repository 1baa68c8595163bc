//! The order of the rules, what may be carried out, and stories of several turns.

use super::*;
use crate::api::scaling::Mode;
use crate::decide::testing::{Story, at, expect};
use crate::observe::reading::{Reading, SignalName};
use crate::orient::{Baseline, Verdict};

#[test]
fn a_fresh_resource_without_metrics_does_nothing() {
    let fresh = Story::new().with(|s| {
        s.memory = Memory::default();
        s.picture = crate::orient::Picture::default();
        for reading in s.observed.evidence.readings.values_mut() {
            *reading = Reading::Missing;
        }
    });
    for mode in [Mode::Conservative, Mode::Balanced, Mode::Aggressive] {
        let d = fresh.clone().with(|s| s.spec.mode = mode).decide();
        expect(&d, Action::Noop, "Missing:cpu");
        assert_eq!((d.confidence, d.proof, d.want), (None, None, 5));
    }
}

#[test]
fn the_rules_are_tried_in_order_and_stop_at_the_first_that_holds() {
    let rows = |story: Story| story.decide().rules.iter().map(|row| row.rule).collect::<Vec<_>>();
    assert_eq!(rows(Story::new().needs(5)), [Action::Rollback, Action::ScaleUp, Action::ScaleDown]);
    assert_eq!(rows(Story::new().needs(8)), [Action::Rollback, Action::ScaleUp]);
    assert_eq!(rows(Story::bad_rollout().needs(8)), [Action::Rollback]);
    assert_eq!(rows(Story::new().with(|s| s.spec.paused = true)), [Action::Noop]);
}

#[test]
fn only_act_in_a_namespace_that_may_carries_out() {
    let d = Story::new().needs(8).decide();
    assert!(d.act && d.memory != d.memory_if_not_applied);
    for (why, story) in [
        ("Observe", Story::new().needs(8).with(|s| s.spec.enforcement = Enforcement::Observe)),
        ("NamespaceMayNotAct", Story::new().needs(8).with(|s| s.standing.namespace_may_act = false)),
    ] {
        let d = story.decide();
        expect(&d, Action::ScaleUp, why);
        assert!(!d.act && d.memory == d.memory_if_not_applied);
        assert_eq!(d.plan, Plan::Scale { from: 5, to: 8 });
    }
    let d = Story::new().needs(8).with(|s| s.spec.enforcement = Enforcement::Propose).decide();
    expect(&d, Action::Noop, "InvalidSpec");
}

#[test]
fn a_steady_state_says_so_with_its_confidence() {
    let d = Story::new().needs(5).decide();
    expect(&d, Action::Noop, "Steady");
    assert!(d.confidence.unwrap() > 0.95 && d.waiting_on.is_empty() && d.notices.is_empty());
    assert_eq!(d.reasoning, "ScaleUp: needs 5 of 5; cpu 0.41 < 0.8");
    assert_eq!((d.policy_version, d.at), (POLICY_VERSION, at(0)));
}

#[test]
fn an_early_bad_revision_is_suspected_then_reverted_then_left_in_peace() {
    let mut story = Story::new().rollout(60.0).fresh(SignalName::LATENCY, 410.0).compared(
        SignalName::LATENCY,
        Baseline::SideBySide,
        Verdict::Worse,
    );
    let mut actions = Vec::new();
    for _ in 0..6 {
        let d = story.decide();
        actions.push(d.action);
        story = story
            .after(&d, 15)
            .fresh(SignalName::LATENCY, 410.0)
            .fresh(SignalName::CPU, 0.4)
            .fresh(SignalName::ERRORS, 0.0);
    }
    assert_eq!(
        actions,
        [Action::Noop, Action::Noop, Action::Rollback, Action::Noop, Action::Noop, Action::Noop]
    );
    let last = story.decide();
    assert!(last.notices.iter().any(|notice| notice.reason == "Degraded"), "{last:#?}");
    assert_eq!(last.memory.rollbacks.len(), 1);
}

#[test]
fn an_outage_of_metrics_holds_still_and_recovers() {
    let mut story = Story::new().needs_for_long(3);
    for turn in 0..8 {
        let d =
            story.clone().reading(SignalName::CPU, Reading::SourceDown { why: "refused".into() }).decide();
        expect(&d, Action::Noop, "SourceDown:cpu");
        assert_eq!(d.want, 5, "turn {turn}");
        story = story.after(&d, 15);
    }
    story =
        story.fresh(SignalName::CPU, 0.41).fresh(SignalName::LATENCY, 180.0).fresh(SignalName::ERRORS, 0.0);
    expect(&story.decide(), Action::Noop, "Stabilising");
    assert_eq!(story.needs(9).decide().action, Action::ScaleUp);
}

#[test]
fn coming_down_takes_one_policy_step_a_cooldown() {
    let mut story = Story::new().replicas(8).needs_for_long(3);
    let mut counts = Vec::new();
    for _ in 0..12 {
        let d = story.decide();
        story = story.after(&d, 15).workload(|w| w.ready = w.desired);
        for (name, value) in [(SignalName::CPU, 0.3), (SignalName::LATENCY, 100.0), (SignalName::ERRORS, 0.0)]
        {
            story = story.fresh(name, value);
        }
        counts.push(story.s.observed.workload.as_ref().unwrap().desired);
    }
    assert_eq!(counts, [7, 7, 7, 7, 6, 6, 6, 6, 5, 5, 5, 5]);
}

#[test]
fn the_workload_of_a_situation() {
    assert_eq!(workload(&Story::new().s).unwrap().uid, "d-1");
    assert_eq!(workload(&Story::new().with(|s| s.observed.workload = None).s), None);
}
