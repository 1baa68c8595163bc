//! What is remembered: edits, streaks, windows, trials, and that nothing grows without bound.

use super::*;
use crate::decide::situation::{PoolShare, ScaleUpTrial};
use crate::decide::testing::{Story, at, because, expect, notices, revision};
use crate::observe::reading::Reading;

fn ours(replicas: i32) -> SeenTarget {
    SeenTarget { replicas, template: "t-new".into(), ours: true }
}

/// We scaled from 5 to 8 a minute ago, and somebody has changed it since.
fn scaled_then(found: i32) -> Story {
    Story::new().replicas(found).memory(|m| {
        m.baseline = Some(ours(8));
        m.last_act = Some(LastAct { at: at(-60), replicas: 5, template: "t-new".into() });
    })
}

#[test]
fn the_first_turn_takes_what_it_finds_as_baseline() {
    let d = Story::new().decide();
    assert_eq!(d.memory.baseline, Some(SeenTarget { ours: false, ..ours(5) }));
    assert_eq!(d.memory.cooldown_until, None);
    assert!(d.notices.is_empty());
}

#[test]
fn a_count_changed_by_hand_is_respected() {
    let d = scaled_then(12).decide();
    assert_eq!(d.memory.baseline, Some(SeenTarget { ours: false, ..ours(12) }));
    assert_eq!(d.memory.cooldown_until, Some(at(60)));
    assert!(d.memory.reverted.is_empty(), "further in our direction is no revert");
    assert!(notices(&d, "Held") && d.notices[0].first);
    assert!(d.notices[0].message.contains("from 8 to 12"));
    let next = scaled_then(12).after(&d, 15).decide();
    assert!(next.notices.is_empty(), "an edit is said once");
}

#[test]
fn a_count_taken_back_twice_is_contested() {
    let d = scaled_then(5).decide();
    assert_eq!(d.memory.reverted, [at(0)]);
    assert_eq!(d.memory.edited_until, Some(at(60)));
    let again = scaled_then(6).memory(|m| m.reverted = vec![at(-900)]).decide();
    expect(&again, Action::Noop, "Contested");
    assert!(notices(&again, "Contested"));
}

#[test]
fn what_is_no_revert() {
    let none = |story: Story| assert!(story.decide().memory.reverted.is_empty());
    none(scaled_then(0));
    none(scaled_then(5).memory(|m| m.last_act.as_mut().unwrap().at = at(-3601)));
    none(scaled_then(5).memory(|m| m.last_act = None));
    none(scaled_then(5).memory(|m| m.baseline.as_mut().unwrap().ours = false));
    none(scaled_then(5).with(|s| s.standing.facts_behind = true));
    none(scaled_then(5).workload(|w| w.other_scalers = vec!["HorizontalPodAutoscaler/web".into()]));
}

#[test]
fn facts_behind_a_write_of_ours_are_no_edit() {
    let d = scaled_then(5).with(|s| s.standing.facts_behind = true).decide();
    assert_eq!(d.memory.baseline, Some(ours(8)));
    assert!(d.notices.is_empty());
}

#[test]
fn beside_an_hpa_or_only_watching_a_changed_count_is_no_news() {
    let quiet = |story: Story| {
        let d = story.decide();
        assert!(!notices(&d, "Held") && d.memory.cooldown_until.is_none(), "{d:#?}");
        assert_eq!(d.memory.baseline.as_ref().unwrap().replicas, 12);
    };
    quiet(scaled_then(12).workload(|w| w.other_scalers = vec!["HorizontalPodAutoscaler/web".into()]));
    quiet(scaled_then(12).with(|s| s.spec.enforcement = Enforcement::Observe));
}

#[test]
fn a_new_template_starts_all_evidence_afresh() {
    let deployed = Story::new()
        .needs_for_long(3)
        .fresh(SignalName::LATENCY, 300.0)
        .memory(|m| {
            m.baseline = Some(SeenTarget { template: "t-old".into(), ..ours(5) });
            m.revision = Some("5c4b".into());
            m.latency_high = 9;
            m.calm_since = Some(at(-9000));
            m.scale_up_trial = Some(scaled_up(-60, 5, [None; 4]));
        })
        .decide();
    assert_eq!(deployed.memory.latency_high, 1);
    assert_eq!((deployed.memory.calm_since, deployed.memory.scale_up_trial.clone()), (None, None));
    assert_eq!(deployed.memory.recommending_since, Some(at(0)));
    assert_eq!(deployed.memory.revision.as_deref(), Some("7d9f"));
    assert!(notices(&deployed, "Held"));
}

#[test]
fn rolling_forward_again_after_our_rollback_is_taken_back() {
    let forward = Story::new().rollout(60.0).memory(|m| {
        m.baseline = Some(SeenTarget { template: "t-old".into(), ..ours(5) });
        m.last_act = Some(LastAct { at: at(-300), replicas: 5, template: "t-new".into() });
        m.bad_templates = vec!["t-new".into()];
    });
    assert_eq!(forward.decide().memory.reverted, [at(0)]);
    let other = forward.workload(|w| w.current.template = "t-third".into());
    assert!(other.decide().memory.reverted.is_empty(), "a new revision is no revert");
}

#[test]
fn streaks_count_turns_and_break_on_what_cannot_be_believed() {
    let slow = Story::new().fresh(SignalName::LATENCY, 600.0).fresh(SignalName::CPU, 0.9).memory(|m| {
        (m.latency_high, m.latency_double, m.cpu_hot, m.errors_high) = (1, 0, 0, 7);
    });
    let m = slow.decide().memory_if_not_applied;
    assert_eq!((m.latency_high, m.latency_double, m.cpu_hot, m.errors_high), (2, 1, 1, 0));
    let blind = slow.reading(SignalName::LATENCY, Reading::Stale { age_seconds: None });
    assert_eq!(blind.decide().memory.latency_high, 0);
}

#[test]
fn the_same_turn_decided_again_counts_nothing_twice() {
    let slow = Story::new().fresh(SignalName::LATENCY, 300.0);
    let d = slow.decide();
    assert_eq!(d.memory.latency_high, 1);
    assert_eq!(slow.after(&d, 0).decide().memory.latency_high, 1);
    assert_eq!(slow.after(&d, 15).decide().memory.latency_high, 2);
}

#[test]
fn a_recreated_deployment_keeps_only_marks_and_budgets() {
    let before = |story: Story| {
        story.memory(|m| {
            m.target_uid = Some("d-0".into());
            m.latency_high = 9;
            m.recommending_since = Some(at(-900));
            m.rollbacks = vec![at(-900)];
            m.bad_templates = vec!["t-x".into()];
            m.good_templates = vec!["t-y".into()];
            m.baseline = Some(ours(9));
        })
    };
    for story in [before(Story::new()), before(Story::new()).with(|s| s.observed.workload = None)] {
        let m = story.decide().memory;
        assert_eq!((m.latency_high, m.recommending_since), (0, None));
        assert_eq!((m.rollbacks.len(), m.bad_templates.len(), m.good_templates.len()), (1, 1, 1));
        assert_ne!(m.baseline, Some(ours(9)));
    }
}

#[test]
fn a_template_is_good_once_it_served_without_trouble() {
    let calm = |since: i64| Story::new().memory(move |m| m.calm_since = Some(at(-since)));
    assert!(calm(1799).decide().memory.good_templates.is_empty());
    assert_eq!(calm(1800).decide().memory.good_templates, ["t-new"]);
    let not = |story: Story| assert!(story.decide().memory.good_templates.is_empty());
    not(calm(9000).fresh(SignalName::LATENCY, 300.0));
    not(calm(9000).reading(SignalName::LATENCY, Reading::Missing));
    not(calm(9000).workload(|w| w.rollout.complete = false));
    not(calm(9000).workload(|w| w.rollout.crashes = 1));
    not(calm(9000).workload(|w| w.rollout.last_ready_at = Some(at(-60))));
    not(calm(9000).memory(|m| m.bad_templates = vec!["t-new".into()]));
    not(calm(9000).with(|s| s.observed.evidence.readings.clear()));
    not(calm(9000).omega(0.69));
    assert_eq!(calm(9000).omega(0.71).decide().memory.good_templates, ["t-new"]);
    assert_eq!(calm(9000).fresh(SignalName::LATENCY, 300.0).decide().memory.calm_since, None);
}

/// A ScaleUp some seconds from now, whose pods start.
fn scaled_up(seconds: i64, to: i32, before: [Option<f64>; 4]) -> ScaleUpTrial {
    ScaleUpTrial { at: at(seconds), ready_at: None, to, before, earlier: 0, goal: None, load: None }
}

/// Scaled to 5 a while ago, ready for one horizon, throughput 100 and latency 400 before.
fn tried_more() -> Story {
    Story::new().fresh(SignalName::THROUGHPUT, 100.0).fresh(SignalName::LATENCY, 400.0).memory(|m| {
        let before = [Some(100.0), Some(400.0), Some(0.0), Some(0.5)];
        m.scale_up_trial = Some(ScaleUpTrial { ready_at: Some(at(-45)), ..scaled_up(-90, 5, before) });
        m.fruitless = 1;
    })
}

#[test]
fn a_scale_up_without_gain_is_fruitless() {
    let d = tried_more().decide();
    assert_eq!((d.memory.fruitless, d.memory.scale_up_trial.clone()), (2, None));
    assert_eq!(d.memory.fruitless_load.unwrap().throughput, Some(100.0));
}

#[test]
fn any_gain_clears_it() {
    for story in [
        tried_more().fresh(SignalName::THROUGHPUT, 111.0),
        tried_more().fresh(SignalName::LATENCY, 359.0),
        tried_more().fresh(SignalName::LATENCY, 250.0),
        tried_more()
            .memory(|m| m.scale_up_trial.as_mut().unwrap().before[2] = Some(0.3))
            .fresh(SignalName::ERRORS, 0.2),
    ] {
        assert_eq!(story.decide().memory.fruitless, 0);
    }
}

#[test]
fn gain_is_judged_one_horizon_after_the_pods_are_ready() {
    let d = tried_more().memory(|m| m.scale_up_trial.as_mut().unwrap().ready_at = Some(at(-44))).decide();
    assert_eq!(d.memory.fruitless, 1);
    let starting = tried_more().memory(|m| m.scale_up_trial.as_mut().unwrap().ready_at = None);
    assert_eq!(starting.decide().memory.scale_up_trial.as_ref().unwrap().ready_at, Some(at(0)));
    let never = tried_more().workload(|w| w.ready = 4).memory(|m| {
        let trial = m.scale_up_trial.as_mut().unwrap();
        (trial.ready_at, trial.at) = (None, at(-1801));
    });
    assert_eq!(never.decide().memory.scale_up_trial, None);
}

#[test]
fn what_cannot_be_compared_is_not_judged() {
    let blind = |ready: i64| {
        let mut story =
            tried_more().memory(move |m| m.scale_up_trial.as_mut().unwrap().ready_at = Some(at(-ready)));
        story.s.observed.evidence.readings.clear();
        story.decide().memory
    };
    let (soon, late) = (blind(100), blind(136));
    assert!(soon.scale_up_trial.is_some() && late.scale_up_trial.is_none());
    assert_eq!((soon.fruitless, late.fruitless), (1, 1));
}

#[test]
fn a_second_scale_up_keeps_the_first_ones_measure_of_before() {
    let trial = scaled_up(-15, 7, [Some(1.0), None, None, None]);
    let d = Story::new().needs(9).memory(|m| m.scale_up_trial = Some(trial)).decide();
    let kept = d.memory.scale_up_trial.as_ref().unwrap();
    assert_eq!((kept.to, kept.at, kept.before[0]), (9, at(0), Some(1.0)));
}

#[test]
fn a_scale_up_is_not_taken_back_within_the_window() {
    let hot = Story::new().needs_for_long(3).fresh(SignalName::CPU, 0.9).memory(|m| m.cpu_hot = 3);
    let d = hot.decide();
    expect(&d, Action::ScaleUp, "Reactive:cpu");
    let calm = hot.after(&d, 200).replicas(7).fresh(SignalName::CPU, 0.4);
    let calm = calm.memory(|m| m.recommendations.push((at(190), 3)));
    let next = calm.decide();
    expect(&next, Action::Noop, "Stabilising");
    assert!(because(&next, Action::ScaleDown).contains("7 within the stabilisation window"), "{next:#?}");
}

#[test]
fn notices_last_and_events_are_due_once() {
    let hpa = Story::new().workload(|w| w.other_scalers = vec!["HorizontalPodAutoscaler/web".into()]);
    let d = hpa.decide();
    assert!(d.notices[0].first);
    let next = hpa.after(&d, 15).decide();
    assert!(notices(&next, "ScalerConflict") && !next.notices[0].first);
    let gone = hpa.after(&next, 15).workload(|w| w.other_scalers.clear()).decide();
    assert!(gone.notices.is_empty() && gone.memory.announced.is_empty());
}

#[test]
fn what_the_facts_say_is_noticed() {
    let d = Story::new()
        .workload(|w| w.rollout.unschedulable = 3)
        .omega(0.9)
        .with(|s| s.picture.omega.as_mut().unwrap().disagrees = true)
        .decide();
    assert!(notices(&d, "Unschedulable") && notices(&d, "OmegaDisagrees"));
}

#[test]
fn nothing_grows_without_bound() {
    let mut story = Story::new();
    for i in 0..400_i64 {
        let n = if i % 7 == 0 { 9 } else { 5 };
        story = story.needs(n).fresh(SignalName::CPU, 0.3 + 0.001 * i as f64);
        let d = story.decide();
        let m = &d.memory;
        assert!(m.recommendations.len() <= 16 && m.changes.len() <= 16 && m.announced.len() <= 8);
        assert!(m.rollbacks.len() <= 2 && m.reverted.len() <= 4);
        assert!(m.bad_templates.len() <= 8 && m.good_templates.len() <= 8);
        story = story.after(&d, 15).workload(|w| {
            w.ready = w.desired;
            w.current = revision(&format!("h{}", i / 20), &format!("t{}", i / 20), 9, at(i * 15 - 3000));
        });
        story = story.fresh(SignalName::LATENCY, 180.0).fresh(SignalName::ERRORS, 0.0);
    }
}

#[test]
fn cooldown_follows_what_it_should_and_is_never_shortened() {
    let d = Story::bad_rollout().memory(|m| m.cooldown_until = Some(at(500))).decide();
    assert_eq!(d.memory.cooldown_until, Some(at(500)));
    assert_eq!(Story::bad_rollout().decide().memory.cooldown_until, Some(at(60)));
    assert_eq!(Story::new().needs(8).decide().memory.cooldown_until, None);
    let none = Story::bad_rollout().with(|s| s.spec.cooldown_seconds = 0);
    assert_eq!(none.decide().memory.cooldown_until, None);
}

#[test]
fn a_pool_that_cannot_hold_its_minimums_is_said() {
    let share = |short| PoolShare { pool: "batch".into(), most: 5, short };
    for (short, said) in [(true, 1), (false, 0)] {
        let d = Story::new().needs(5).with(|s| s.standing.pool = Some(share(short))).decide();
        assert_eq!(d.notices.iter().filter(|n| n.message.contains("pool batch")).count(), said);
    }
}
