//! ScaleDown, both ways: every single doubt keeps the count.

use crate::api::scaling::{Mode, PolicyType, ScalingPolicy, ScalingRules, SelectPolicy};
use crate::decide::GateView;
use crate::decide::situation::{Action, Plan, RetuneTrial};
use crate::decide::steer::Unrest;
use crate::decide::testing::{Story, at, because, expect, notices};
use crate::observe::reading::{Reading, SignalName};
use crate::orient::Consistency;
use crate::orient::capacity::Capacity;

/// Five run, three have been enough for ten minutes, nothing else is the matter.
fn surplus() -> Story {
    Story::new().needs_for_long(3)
}

fn unlimited(story: Story) -> Story {
    story.with(|s| {
        s.spec.behavior.scale_down =
            ScalingRules { stabilization_window_seconds: Some(300), ..ScalingRules::default() }
    })
}

#[test]
fn surplus_for_the_whole_window_is_taken_down_by_the_policy() {
    let d = surplus().decide();
    expect(&d, Action::ScaleDown, "Surplus");
    assert_eq!(d.plan, Plan::Scale { from: 5, to: 4 });
    assert_eq!((d.want, d.act), (3, true));
    assert!(d.confidence.unwrap() > 0.95);
    assert_eq!(d.memory.cooldown_until, Some(at(60)));
    assert_eq!(unlimited(surplus()).decide().plan, Plan::Scale { from: 5, to: 3 });
}

#[test]
fn the_maximum_of_the_window_counts() {
    let peak =
        |n| unlimited(surplus().memory(move |m| m.recommendations = vec![(at(-200), n), (at(-15), 3)]));
    assert_eq!(peak(4).decide().plan, Plan::Scale { from: 5, to: 4 });
    expect(&peak(5).decide(), Action::Noop, "Stabilising");
    let old = unlimited(surplus().memory(|m| m.recommendations = vec![(at(-301), 9), (at(-15), 3)]));
    assert_eq!(old.decide().plan, Plan::Scale { from: 5, to: 3 });
}

#[test]
fn the_window_must_be_full() {
    let d = surplus().memory(|m| m.recommending_since = Some(at(-299))).decide();
    expect(&d, Action::Noop, "Stabilising");
    assert_eq!(d.waiting_on, ["1 s of stabilisation"]);
    expect(
        &surplus().memory(|m| *m = crate::decide::Memory::default()).decide(),
        Action::Noop,
        "Stabilising",
    );
    let gap = surplus().memory(|m| m.recommendations = vec![(at(-61), 3)]);
    expect(&gap.decide(), Action::Noop, "Stabilising");
}

#[test]
fn every_named_signal_must_support_it() {
    let blind = [
        Reading::Stale { age_seconds: Some(74.0) },
        Reading::Missing,
        Reading::NotFinite,
        Reading::Ambiguous { series: 2 },
        Reading::WrongType,
        Reading::OutOfRange { value: 65.0 },
        Reading::Idle,
        Reading::SourceDown { why: "timeout".into() },
    ];
    for name in [SignalName::LATENCY, SignalName::ERRORS, SignalName::new("queue-depth")] {
        for reading in &blind {
            let d = surplus().reading(name.clone(), reading.clone()).decide();
            expect(&d, Action::Noop, &format!("{}:{name}", reading.state()));
        }
    }
    let d = surplus().reading(SignalName::LATENCY, Reading::SourceDown { why: "http_503".into() }).decide();
    assert_eq!(because(&d, Action::ScaleDown), "latency is SourceDown: http_503");
}

#[test]
fn idle_latency_and_errors_support_it_while_nothing_comes_in() {
    let idle = surplus()
        .fresh(SignalName::THROUGHPUT, 0.0)
        .reading(SignalName::LATENCY, Reading::Idle)
        .reading(SignalName::ERRORS, Reading::Idle);
    expect(&idle.decide(), Action::ScaleDown, "Surplus");
    let busy = idle.fresh(SignalName::THROUGHPUT, 3.0);
    assert_eq!(busy.decide().action, Action::Noop);
}

#[test]
fn without_a_forecast_nothing_goes_down() {
    let d = Story::new().memory(|m| m.recommending_since = Some(at(-600))).decide();
    expect(&d, Action::Noop, "NoForecast");
    assert_eq!((d.want, d.confidence), (5, None));
    assert_eq!(surplus().reading(SignalName::CPU, Reading::Missing).decide().action, Action::Noop);
}

#[test]
fn each_doubt_keeps_the_count() {
    let cases: Vec<(&str, Story)> = vec![
        ("Gate:Quarantine", surplus().with(|s| s.gate = GateView::Quarantine)),
        ("Gate:Block", surplus().with(|s| s.gate = GateView::Block)),
        ("Steer:Unknown", surplus().with(|s| s.standing.unrest = Some(Unrest::Unknown))),
        ("Steer:Low", surplus().with(|s| s.standing.unrest = Some(Unrest::Low { phi: 0.6, floor: 0.73 }))),
        ("Gate:Unknown", surplus().with(|s| s.gate = GateView::Unknown)),
        ("Inconsistent", surplus().with(|s| s.picture.consistency = Consistency::Overconfident)),
        ("Omega", surplus().omega(0.84)),
        ("Omega", surplus().fresh(SignalName::PSI, 0.9).fresh(SignalName::CVAR, 0.1)),
        ("Omega", surplus().omega(0.90).with(|s| s.spec.mode = Mode::Conservative).needs(2)),
        ("Trouble:latency", surplus().fresh(SignalName::LATENCY, 251.0)),
        ("Trouble:errors", surplus().fresh(SignalName::ERRORS, 0.06)),
        ("Reactive", surplus().fresh(SignalName::CPU, 0.81).workload(|w| w.ready = 3)),
        ("Frozen:cpu", surplus().with(|s| s.observed.evidence.frozen = vec![SignalName::CPU])),
        ("PodSeries", surplus().with(|s| s.observed.evidence.fresh_pods = Some(4))),
        ("Rollout", surplus().workload(|w| w.rollout.complete = false)),
        ("Cooldown", surplus().memory(|m| m.cooldown_until = Some(at(1)))),
        ("FactsBehind", surplus().with(|s| s.standing.facts_behind = true)),
        ("RateLimited", surplus().memory(|m| m.changes = vec![(at(-5), -1)])),
    ];
    for (why, story) in cases {
        let d = story.decide();
        expect(&d, Action::Noop, why);
        assert!(!d.waiting_on.is_empty());
    }
}

#[test]
fn each_doubt_passes() {
    for story in [
        surplus().with(|s| s.gate = GateView::Admit),
        surplus().omega(0.85),
        surplus().omega(0.91).with(|s| s.spec.mode = Mode::Conservative),
        surplus().with(|s| s.observed.evidence.fresh_pods = Some(5)),
        surplus().with(|s| s.picture.consistency = Consistency::Underconfident),
        surplus().memory(|m| m.cooldown_until = Some(at(0))),
        surplus().workload(|w| (w.rollout.complete, w.rollout.unschedulable) = (false, 1)),
    ] {
        expect(&story.decide(), Action::ScaleDown, "Surplus");
    }
}

#[test]
fn a_settling_retune_keeps_the_count() {
    let trial = RetuneTrial {
        config_map: "knobs".into(),
        key: "t".into(),
        before: "1".into(),
        trial: "2".into(),
        since: at(-10),
        baseline: 1.0,
        signal: "beta".into(),
        void: false,
    };
    expect(&surplus().memory(|m| m.retune_trial = Some(trial.into())).decide(), Action::Noop, "Retuning");
}

#[test]
fn a_frozen_signal_is_said() {
    let d = surplus().with(|s| s.observed.evidence.frozen = vec![SignalName::CPU]).decide();
    assert!(notices(&d, "FrozenSignal"));
}

#[test]
fn never_below_min_and_disabled_is_disabled() {
    let floor = |n| unlimited(surplus().with(move |s| s.spec.min_replicas = n));
    assert_eq!(floor(4).decide().plan, Plan::Scale { from: 5, to: 4 });
    assert_eq!(floor(5).decide().action, Action::Noop);
    let off = surplus().with(|s| s.spec.behavior.scale_down.select_policy = SelectPolicy::Disabled);
    assert_eq!(because(&off.decide(), Action::ScaleDown), "behavior.scaleDown is disabled");
    let tolerant = |n| {
        unlimited(Story::new().needs_for_long(n))
            .with(|s| s.spec.behavior.scale_down.tolerance = Some("0.3".into()))
    };
    assert_eq!(tolerant(4).decide().action, Action::Noop);
    assert_eq!(tolerant(3).decide().plan, Plan::Scale { from: 5, to: 3 });
}

#[test]
fn it_is_the_only_way_down_to_max_and_the_first_step_leads_inside() {
    let above = |n| Story::new().replicas(15).needs_for_long(n);
    let d = above(8).decide();
    expect(&d, Action::ScaleDown, "AboveMax");
    assert_eq!(d.plan, Plan::Scale { from: 15, to: 10 });
    let d = above(12).decide();
    assert_eq!(d.action, Action::Noop);
    assert!(because(&d, Action::ScaleDown).contains("not lowered for that alone"), "{d:#?}");
    assert_eq!(Story::new().replicas(15).decide().plan, Plan::Nothing);
    let steep = above(3).with(|s| {
        s.spec.behavior.scale_down.policies =
            vec![ScalingPolicy { r#type: PolicyType::Percent, value: 100, period_seconds: 15 }];
    });
    assert_eq!(steep.decide().plan, Plan::Scale { from: 15, to: 3 });
}

#[test]
fn confidence_below_the_floor_keeps_the_count() {
    let unsure = unlimited(surplus()).with(|s| {
        s.spec.predictor.keep_probability = Some(0.5);
        s.spec.mode = Mode::Conservative;
        s.picture.capacity = Some(Capacity::Utilisation { mean: 2.0, sd: 0.5, target: 0.7 });
    });
    let d = unsure.decide();
    expect(&d, Action::Noop, "LowConfidence");
    assert_eq!(unsure.with(|s| s.spec.mode = Mode::Aggressive).decide().action, Action::ScaleDown);
}

#[test]
fn after_a_rollback_old_demand_counts_for_nothing() {
    let d = surplus().memory(|m| m.rollbacks = vec![at(-1)]).decide();
    assert_eq!(d.action, Action::Noop);
    let fresh = surplus().memory(|m| m.rollbacks = vec![at(-3)]);
    assert_eq!(fresh.decide().action, Action::ScaleDown, "the sample is younger than that rollback");
}
