//! Retune, both ways, through a whole trial: step, settle, judge, keep or restore.

use serde_json::json;

use super::*;
use crate::api::scaling::Enforcement;
use crate::decide::GateView;
use crate::decide::situation::{Action, Decision, Holds, Plan, RetuneSlope};
use crate::decide::steer::Unrest;
use crate::decide::testing::{Story, at, because, expect, notices};
use crate::observe::reading::Reading;
use crate::observe::workload::Tunable;
use crate::orient::{Baseline, Consistency, Verdict};

/// β falls by .3 a minute, surely; one knob from 0 to 1 at .5.
fn falling() -> Story {
    let retune = json!({"configMapRef": {"name": "knobs"}, "settleSeconds": 120,
        "parameters": [{"key": "a", "min": 0.0, "max": 1.0}, {"key": "b", "min": 0.0, "max": 200.0}]});
    Story::new()
        .with(|s| s.spec.retune = Some(serde_json::from_value(retune).unwrap()))
        .workload(|w| {
            w.tunable = Some(Tunable {
                name: "knobs".into(),
                resource_version: "77".into(),
                refused: None,
                values: [("a".into(), "0.5".into()), ("b".into(), "100".into())].into(),
            });
        })
        .fresh(SignalName::BETA, 1.1)
        .estimate(SignalName::BETA, 1.1, -0.005, 0.02)
}

fn idle_and_low() -> Story {
    let mut story =
        falling().fresh(SignalName::CPU, 0.2).omega(0.88).estimate(SignalName::OMEGA, 0.88, 0.0, 0.01);
    story.s.picture.signals.retain(|name| *name != SignalName::BETA);
    story
}

fn set(d: &Decision) -> Option<(&str, &str, &str, bool)> {
    match &d.plan {
        Plan::Retune { key, from, to, restore, .. } => Some((key, from, to, *restore)),
        _ => None,
    }
}

/// A step of `a` from .5 to .52, made so long ago, when β was 1.1.
fn on_trial(ago: i64) -> Story {
    let trial = RetuneTrial {
        config_map: "knobs".into(),
        key: "a".into(),
        before: "0.5".into(),
        trial: "0.52".into(),
        since: at(-ago),
        baseline: 1.1,
        signal: "beta".into(),
        void: false,
    };
    falling()
        .workload(|w| {
            w.tunable.as_mut().unwrap().values.insert("a".into(), "0.52".into());
        })
        .memory(|m| m.retune_trial = Some(trial.into()))
}

#[test]
fn a_falling_beta_asks_for_one_bounded_step() {
    let d = falling().decide();
    expect(&d, Action::Retune, "Trend:beta");
    assert_eq!(set(&d), Some(("a", "0.5", "0.52", false)));
    assert!(d.confidence.unwrap() > 0.9);
    let trial = d.memory.retune_trial.as_ref().unwrap();
    assert_eq!((trial.before.as_str(), trial.baseline, trial.signal.as_str()), ("0.5", 1.1, "beta"));
    assert_eq!(d.memory_if_not_applied.retune_trial, None);
    assert_eq!(d.memory.cooldown_until, Some(at(60)));
    let Plan::Retune { resource_version, config_map, .. } = &d.plan else { panic!() };
    assert_eq!((resource_version.as_str(), config_map.as_str()), ("77", "knobs"));
}

#[test]
fn the_trend_must_be_steep_and_its_interval_exclude_zero() {
    let beta = |slope, sd| falling().estimate(SignalName::BETA, 1.1, slope, sd);
    assert_eq!(beta(-0.0016, 0.02).decide().action, Action::Noop, "-0.096 a minute");
    assert_eq!(beta(-0.0018, 0.02).decide().action, Action::Retune, "-0.108 a minute, ± 0.039");
    assert_eq!(beta(-0.005, 0.2).decide().action, Action::Noop, "-0.3 a minute, ± 0.39");
}

#[test]
fn low_omega_with_idle_resources_asks_too() {
    let d = idle_and_low().decide();
    expect(&d, Action::Retune, "Low:omega");
    assert_eq!(d.memory.retune_trial.as_ref().unwrap().signal, "omega");
    assert_eq!(idle_and_low().fresh(SignalName::CPU, 0.41).decide().action, Action::Noop, "not idle");
    assert_eq!(idle_and_low().omega(0.96).decide().action, Action::Noop, "not low");
    let noisy = idle_and_low().estimate(SignalName::OMEGA, 0.88, 0.0, 0.2);
    expect(&noisy.decide(), Action::Noop, "LowConfidence");
}

#[test]
fn without_the_spec_it_is_not_even_tried() {
    let d = falling().with(|s| s.spec.retune = None).decide();
    assert!(d.rules.iter().all(|row| row.rule != Action::Retune));
}

#[test]
fn each_doubt_forbids_a_step() {
    let cases: Vec<(&str, Story)> = vec![
        ("NoForecast", falling().workload(|w| w.tunable = None)),
        ("NoForecast", falling().workload(|w| w.tunable.as_mut().unwrap().name = "others".into())),
        (
            "NoForecast",
            falling().workload(|w| w.tunable.as_mut().unwrap().refused = Some("immutable".into())),
        ),
        ("Gate:Quarantine", falling().with(|s| s.gate = GateView::Quarantine)),
        ("Gate:Block", falling().with(|s| s.gate = GateView::Block)),
        ("Steer:Unknown", falling().with(|s| s.standing.unrest = Some(Unrest::Unknown))),
        (
            "Steer:Steep",
            falling().with(|s| s.standing.unrest = Some(Unrest::Steep { slope: -0.1, most: 0.04 })),
        ),
        ("Gate:Unknown", falling().with(|s| s.gate = GateView::Unknown)),
        ("Missing:errors", falling().reading(SignalName::ERRORS, Reading::Missing)),
        (
            "Idle:latency",
            falling().fresh(SignalName::THROUGHPUT, 0.0).reading(SignalName::LATENCY, Reading::Idle),
        ),
        ("Frozen:beta", falling().with(|s| s.observed.evidence.frozen = vec![SignalName::BETA])),
        ("Inconsistent", falling().with(|s| s.picture.consistency = Consistency::Overconfident)),
        ("Alarm", falling().fresh(SignalName::LATENCY, 260.0)),
        ("Reactive", falling().fresh(SignalName::CPU, 0.9)),
        ("Rollout", falling().workload(|w| w.rollout.complete = false)),
        ("Scaling", falling().workload(|w| w.ready = 4)),
        ("Settling", falling().memory(|m| m.last_retune = Some(at(-119)))),
        ("Cooldown", falling().memory(|m| m.cooldown_until = Some(at(5)))),
        ("FactsBehind", falling().with(|s| s.standing.facts_behind = true)),
    ];
    for (why, story) in cases {
        let d = story.decide();
        expect(&d, Action::Noop, why);
        let row = d.rules.iter().find(|row| row.rule == Action::Retune).unwrap();
        assert_ne!(row.holds, Holds::Yes);
    }
    assert!(
        because(
            &falling().workload(|w| w.tunable.as_mut().unwrap().refused = Some("immutable".into())).decide(),
            Action::Retune
        )
        .contains("immutable")
    );
    let settled = falling().memory(|m| m.last_retune = Some(at(-120)));
    assert_eq!(settled.decide().action, Action::Retune);
}

#[test]
fn parameters_and_directions_take_turns() {
    let turn = |n| {
        let d = falling().memory(move |m| m.retune_steps = n).decide();
        let (key, _, to, _) = set(&d).unwrap();
        format!("{key}={to}")
    };
    assert_eq!([0, 1, 2, 3, 4].map(turn), ["a=0.52", "a=0.48", "b=104", "b=96", "a=0.52"]);
}

#[test]
fn values_that_cannot_be_stepped_are_passed_over() {
    let a = |value: &'static str| {
        let d = falling().workload(move |w| {
            w.tunable.as_mut().unwrap().values.insert("a".into(), value.into());
        });
        set(&d.decide()).map(|(key, _, to, _)| format!("{key}={to}"))
    };
    assert_eq!(a("1").as_deref(), Some("a=0.98"), "at the end there is only the other way");
    for odd in ["high", "NaN", "1.5", "-1", ""] {
        assert_eq!(a(odd).as_deref(), Some("b=104"), "{odd:?}");
    }
    let none = falling().workload(|w| w.tunable.as_mut().unwrap().values.clear()).decide();
    assert!(because(&none, Action::Retune).contains("no declared key"));
}

#[test]
fn a_trial_settles_first() {
    let d = on_trial(119).decide();
    expect(&d, Action::Noop, "Retuning");
    assert_eq!(d.waiting_on[0], "1 s of settling");
}

#[test]
fn a_better_step_is_kept() {
    let d = on_trial(120).estimate(SignalName::BETA, 1.2, 0.0, 0.02).decide();
    assert_eq!(d.action, Action::Noop);
    assert_eq!(d.memory.retune_trial, None);
    assert_eq!(d.memory.kept_retune.as_ref().unwrap().trial, "0.52");
    assert_eq!(
        (d.memory.last_retune, d.memory.retune_steps),
        (Some(at(0)), 0),
        "and the same direction is next"
    );
    assert!(notices(&d, "Retuned"));
}

#[test]
fn anything_else_is_restored_even_with_an_empty_memory_but_the_trial() {
    for level in [1.1, 1.11, 0.9] {
        let d = on_trial(120).estimate(SignalName::BETA, level, 0.0, 0.02).decide();
        expect(&d, Action::Retune, "Restore");
        assert_eq!(set(&d), Some(("a", "0.52", "0.5", true)));
        assert_eq!((d.memory.retune_trial.clone(), d.memory.retune_steps), (None, 1));
        assert_eq!(d.confidence, None);
        assert!(d.memory_if_not_applied.retune_trial.is_some(), "an act that failed is tried again");
    }
}

#[test]
fn a_restore_waits_for_no_gate_or_cooldown_but_for_live_facts() {
    let due = on_trial(120).with(|s| s.gate = GateView::Block).memory(|m| m.cooldown_until = Some(at(99)));
    expect(&due.decide(), Action::Retune, "Restore");
    expect(&due.with(|s| s.standing.facts_behind = true).decide(), Action::Noop, "FactsBehind");
}

#[test]
fn a_trial_that_cannot_be_judged_is_restored_at_its_deadline() {
    let blind = |ago| on_trial(ago).reading(SignalName::BETA, Reading::Missing);
    expect(&blind(360).decide(), Action::Noop, "Retuning");
    expect(&blind(361).decide(), Action::Retune, "Restore");
}

#[test]
fn a_scale_up_voids_the_trial() {
    let scaled = on_trial(60).needs(8);
    let d = scaled.decide();
    expect(&d, Action::ScaleUp, "Forecast");
    assert!(d.memory.retune_trial.as_ref().unwrap().void);
    expect(&scaled.after(&d, 15).decide(), Action::Noop, "Retuning");
    assert_eq!(scaled.after(&d, 361).decide().action, Action::Retune, "but not for ever");
    let next = scaled.after(&d, 15).workload(|w| w.ready = 8);
    let d = next.decide();
    expect(&d, Action::Retune, "Restore");
    assert!(d.reasoning.to_string().contains("compares nothing"));
}

#[test]
fn trouble_after_our_own_retune_undoes_the_retune_first() {
    let trouble = |story: Story| {
        let story = story.rollout(400.0).fresh(SignalName::LATENCY, 410.0).memory(|m| m.latency_high = 5);
        story.compared(SignalName::LATENCY, Baseline::SideBySide, Verdict::Worse)
    };
    let d = trouble(on_trial(100)).decide();
    expect(&d, Action::Retune, "Restore");
    assert!(d.reasoning.to_string().contains("undone first"));
    assert_eq!(d.memory.latency_high, 0, "what follows is judged without the step");
    // A step that was kept is still the latest change.
    let kept = on_trial(100).memory(|m| m.kept_retune = m.retune_trial.take());
    let d = trouble(kept.clone()).decide();
    expect(&d, Action::Retune, "Restore");
    // The rollout came after the step: then the rollout is the latest change.
    let later = trouble(on_trial(500)).memory(|m| m.retune_trial.as_mut().unwrap().void = false);
    assert_eq!(later.decide().action, Action::Rollback);
    // Right after the undo, a rollback waits for a full window without the step.
    let undone = trouble(falling()).memory(|m| m.last_retune = Some(at(-30)));
    expect(&undone.decide(), Action::Noop, "FreshWindow");
    assert_eq!(undone.memory(|m| m.last_retune = Some(at(-46))).decide().action, Action::Rollback);
}

#[test]
fn a_value_that_somebody_else_set_is_theirs() {
    let theirs = |value: &'static str| {
        on_trial(60).workload(move |w| {
            w.tunable.as_mut().unwrap().values.insert("a".into(), value.into());
        })
    };
    let d = theirs("0.7").decide();
    assert_eq!((d.action, d.memory.retune_trial.clone(), d.memory.reverted.len()), (Action::Noop, None, 0));
    assert!(notices(&d, "Held"));
    assert_eq!(theirs("0.5").decide().memory.reverted, [at(0)], "set back is taken back");
}

#[test]
fn a_config_map_that_is_gone_or_refused_keeps_the_trial_in_mind() {
    let d = on_trial(500).workload(|w| w.tunable = None).decide();
    expect(&d, Action::Noop, "Retuning");
    assert!(d.memory.retune_trial.is_some());
    let d =
        on_trial(120).workload(|w| w.tunable.as_mut().unwrap().refused = Some("immutable".into())).decide();
    expect(&d, Action::Noop, "RetuneRefused");
    assert!(because(&d, Action::Retune).contains("immutable"));
    let said = d.notices.iter().find(|notice| notice.reason == "Degraded").unwrap();
    assert!(said.message.contains("ConfigMap knobs: immutable; it must be mutable"), "{said:?}");
}

#[test]
fn retune_taken_out_of_the_spec_gives_back_what_it_borrowed() {
    expect(&on_trial(10).with(|s| s.spec.retune = None).decide(), Action::Retune, "Restore");
}

#[test]
fn release_gives_back_whatever_the_rules_say() {
    let paused = on_trial(10).with(|s| {
        s.spec.paused = true;
        s.spec.enforcement = Enforcement::Observe;
    });
    let d = crate::decide::release(&paused.s).unwrap();
    expect(&d, Action::Retune, "Restore");
    assert!(d.act && d.memory.retune_trial.is_none());
    assert_eq!(set(&d), Some(("a", "0.52", "0.5", true)));
    assert_eq!(crate::decide::release(&falling().s), None);
    assert_eq!(crate::decide::release(&on_trial(10).workload(|w| w.tunable = None).s), None);
    assert_eq!(crate::decide::release(&on_trial(10).with(|s| s.observed.workload = None).s), None);
}

#[test]
fn hands_off_gives_back_once_and_then_holds() {
    let paused = on_trial(10).with(|s| s.spec.paused = true);
    let watching = on_trial(10).with(|s| s.spec.enforcement = Enforcement::Observe);
    let asked = on_trial(10).workload(|w| w.pause_requested = true);
    for (story, then) in [(paused, "Paused"), (watching, "Observe"), (asked, "Paused")] {
        let d = story.decide();
        expect(&d, Action::Retune, "Restore");
        assert!(d.act, "{d:#?}");
        assert_eq!(set(&d), Some(("a", "0.52", "0.5", true)));
        let after = story.after(&d, 15).decide();
        assert!(!after.act && after.why == then || after.action == Action::Noop, "{after:#?}");
    }
    // What cannot be recorded is not done, not even this.
    let closed = on_trial(10).with(|s| (s.spec.paused, s.standing.ledger_available) = (true, false)).decide();
    expect(&closed, Action::Noop, "Paused");
    let open = on_trial(10).with(|s| (s.spec.paused, s.standing.unresolved_act) = (true, true)).decide();
    expect(&open, Action::Noop, "Paused");
}

#[test]
fn a_judged_step_teaches_its_slope_and_a_void_one_nothing() {
    // β from 1.1 to 1.2 over two hundredths of the range.
    let kept = on_trial(120).estimate(SignalName::BETA, 1.2, 0.0, 0.02).decide();
    let slope = &kept.memory.retune_slopes[0];
    assert_eq!((slope.key.as_str(), slope.squares), ("a", slope.slope * slope.slope));
    assert!((slope.slope - 5.0).abs() < 1e-9, "{slope:?}");
    let worse = on_trial(120).estimate(SignalName::BETA, 0.9, 0.0, 0.02).decide();
    assert!((worse.memory.retune_slopes[0].slope + 10.0).abs() < 1e-9);
    assert!(worse.memory_if_not_applied.retune_slopes.is_empty(), "learned once the restore is done");
    let void = on_trial(120).memory(|m| m.retune_trial.as_mut().unwrap().void = true).decide();
    expect(&void, Action::Retune, "Restore");
    assert!(void.memory.retune_slopes.is_empty());
    let early = crate::decide::release(&on_trial(10).s).unwrap();
    assert!(early.memory.retune_slopes.is_empty());
}

#[test]
fn a_measured_slope_chooses_way_and_length() {
    let with = |slope: f64, squares: f64| {
        let d = falling().memory(move |m| {
            m.retune_slopes = vec![RetuneSlope { key: "a".into(), slope, squares }];
        });
        set(&d.decide()).map(|(key, _, to, _)| format!("{key}={to}")).unwrap()
    };
    assert_eq!(with(-2.0, 4.0), "a=0.48");
    assert_eq!(with(2.0, 16.0), "a=0.51", "half the bound");
    assert_eq!(with(-1e-9, 16.0), "a=0.498", "never below a tenth of it");
}
