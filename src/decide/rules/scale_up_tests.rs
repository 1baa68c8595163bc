//! ScaleUp, both ways.

use crate::api::scaling::{Enforcement, Mode, PolicyType, ScalingPolicy, ScalingRules, SelectPolicy};
use crate::decide::situation::{Action, Load, Plan};
use crate::decide::testing::{Story, at, because, expect, notices};
use crate::decide::{Version, decide_by};
use crate::observe::reading::{Reading, SignalName};
use crate::orient::capacity::Capacity;
use crate::orient::surge::Surge;
use crate::orient::{Consistency, Verdict};

fn to(story: &Story) -> Option<(i32, i32)> {
    match story.decide().plan {
        Plan::Scale { from, to } => Some((from, to)),
        _ => None,
    }
}

/// A queue with sixty arrivals a second, so uncertain.
fn queue(sd: f64) -> Capacity {
    Capacity::Queue {
        mean: 60.0,
        sd,
        service: 0.1,
        variability: 1.0,
        slots: 1.0,
        base: 0.28,
        target: 1.0,
        bound: 1.0,
    }
}

#[test]
fn the_forecast_asks_for_more_before_the_target_is_missed() {
    let d = Story::new().needs(8).decide();
    expect(&d, Action::ScaleUp, "Forecast");
    assert_eq!(d.plan, Plan::Scale { from: 5, to: 8 });
    assert!(d.confidence.unwrap() >= 0.95 && d.act && !d.provisional);
    assert_eq!(d.want, 8);
    assert_eq!(because(&d, Action::ScaleUp), "5 → 8: needs 8 of 5 within 45 s");
    assert_eq!(Story::new().needs(5).decide().action, Action::Noop);
}

#[test]
fn n_is_clamped_first_and_a_clamped_step_needs_no_floor() {
    let story = Story::new().needs(40).with(|s| s.spec.max_replicas = 7);
    assert_eq!(to(&story), Some((5, 7)));
    let d = story.decide();
    assert!(d.confidence.unwrap() < 0.01, "seven of forty will not keep the target, and that is said");
    assert_eq!(d.want, 7);
    let d = story.replicas(7).decide();
    expect(&d, Action::Noop, "AtMax");
    assert!(
        because(&d, Action::ScaleUp).contains("needs 8 of 7")
            || because(&d, Action::ScaleUp).contains("maxReplicas")
    );
}

#[test]
fn min_equals_max_works() {
    let fixed =
        |n| Story::new().replicas(n).needs(9).with(|s| (s.spec.min_replicas, s.spec.max_replicas) = (5, 5));
    assert_eq!(fixed(5).decide().action, Action::Noop);
    assert_eq!(to(&fixed(3)), Some((3, 5)));
}

#[test]
fn below_min_needs_no_reading_and_no_policy() {
    let blind = Story::new().with(|s| {
        s.observed.evidence.readings.clear();
        s.spec.min_replicas = 9;
        s.spec.behavior.scale_up.select_policy = SelectPolicy::Disabled;
        s.memory.fruitless = 5;
    });
    let d = blind.decide();
    expect(&d, Action::ScaleUp, "BelowMin");
    assert_eq!((d.plan, d.confidence), (Plan::Scale { from: 5, to: 9 }, None));
}

#[test]
fn the_reactive_bounds_need_two_turns() {
    let hot = |turns| Story::new().fresh(SignalName::CPU, 1.4).memory(move |m| m.cpu_hot = turns);
    expect(&hot(0).decide(), Action::Noop, "Reactive");
    let d = hot(1).decide();
    expect(&d, Action::ScaleUp, "Reactive:cpu");
    assert_eq!(d.plan, Plan::Scale { from: 5, to: 10 }, "1.4 of the request on five is work for ten");
    assert_eq!(d.memory.cpu_hot, 0, "the next step needs its own two turns");
    let slow =
        |turns| Story::new().fresh(SignalName::LATENCY, 501.0).memory(move |m| m.latency_double = turns);
    expect(&slow(0).decide(), Action::Noop, "Reactive");
    let d = slow(1).decide();
    expect(&d, Action::ScaleUp, "Reactive:latency");
    assert_eq!(d.plan, Plan::Scale { from: 5, to: 6 });
    let exact = Story::new().fresh(SignalName::LATENCY, 500.0).memory(|m| m.latency_double = 9);
    assert_eq!(exact.decide().action, Action::Noop, "twice the target itself is not above it");
}

/// A rollback so many seconds ago, and what a window of samples still shows of the revision that it took away.
fn after_a_rollback(seconds: i64) -> Story {
    Story::new().fresh(SignalName::LATENCY, 600.0).fresh(SignalName::CPU, 0.95).memory(move |m| {
        m.rollbacks = vec![at(-seconds)];
        (m.latency_double, m.cpu_hot) = (9, 9);
    })
}

#[test]
fn what_was_measured_of_a_reverted_revision_asks_for_no_replicas() {
    let early = after_a_rollback(30);
    assert_eq!(to(&early), None);
    let why = because(&early.decide(), Action::ScaleUp);
    assert!(why.contains("latency 600 > 500 ms; sampled before what was done last could show"), "{why}");
    assert!(to(&after_a_rollback(60)).is_some());
    assert_eq!(decide_by(Version::Five, &early.s).action, Action::ScaleUp);
}

#[test]
fn cpu_of_140_percent_counts_and_a_stale_one_does_not() {
    let hot = Story::new().fresh(SignalName::CPU, 1.4).memory(|m| m.cpu_hot = 9);
    assert_eq!(hot.decide().action, Action::ScaleUp);
    for reading in [Reading::Stale { age_seconds: Some(99.0) }, Reading::OutOfRange { value: 140.0 }] {
        let d = hot.clone().reading(SignalName::CPU, reading).decide();
        assert_eq!((d.action, d.memory.cpu_hot), (Action::Noop, 0), "and the row of turns is broken");
    }
}

#[test]
fn pods_under_way_count() {
    let starting = |ready| {
        Story::new().fresh(SignalName::CPU, 1.2).workload(move |w| w.ready = ready).memory(|m| m.cpu_hot = 9)
    };
    assert_eq!(to(&starting(5)), Some((5, 9)));
    assert_eq!(to(&starting(2)), None, "two pods' overload is work for four, and five were asked for");
    let slow = Story::new().fresh(SignalName::LATENCY, 600.0).memory(|m| m.latency_double = 9);
    assert_eq!(to(&slow.clone().workload(|w| w.ready = 4)), None);
    assert_eq!(to(&slow), Some((5, 6)));
}

#[test]
fn rates_of_change_limit_the_step() {
    let far = Story::new().replicas(2).needs(9);
    assert_eq!(to(&far), Some((2, 4)), "two pods or 100 %, the larger");
    let d = far.clone().memory(|m| m.changes = vec![(at(-10), 2)]).decide();
    assert_eq!(d.plan, Plan::Nothing);
    expect(&d, Action::Noop, "RateLimited");
    assert_eq!(d.want, 9);
    let slow = far.clone().with(|s| {
        s.spec.behavior.scale_up.policies =
            vec![ScalingPolicy { r#type: PolicyType::Pods, value: 1, period_seconds: 60 }];
    });
    assert_eq!(to(&slow), Some((2, 3)));
    let off = far.clone().with(|s| s.spec.behavior.scale_up.select_policy = SelectPolicy::Disabled);
    let d = off.decide();
    assert!(because(&d, Action::ScaleUp).contains("disabled"));
    let free = far.with(|s| s.spec.behavior.scale_up = ScalingRules::default());
    assert_eq!(to(&free), Some((2, 9)));
}

#[test]
fn a_tolerance_ignores_small_differences() {
    let tolerant =
        |n| Story::new().needs(n).with(|s| s.spec.behavior.scale_up.tolerance = Some("0.3".into()));
    assert_eq!(to(&tolerant(6)), None);
    assert_eq!(to(&tolerant(7)), Some((5, 7)));
}

#[test]
fn upward_stabilisation_takes_the_smallest_of_a_full_window() {
    let calm = |since, seen: &'static [(i64, i32)]| {
        Story::new()
            .needs(9)
            .with(|s| s.spec.behavior.scale_up.stabilization_window_seconds = Some(60))
            .memory(move |m| {
                m.recommending_since = Some(at(since));
                m.recommendations = vec![(at(-15), 9)];
                m.up_recommendations = seen.iter().map(|(t, n)| (at(*t), *n)).collect();
            })
    };
    assert_eq!(to(&calm(-600, &[(-30, 7), (-15, 9)])), Some((5, 7)));
    assert_eq!(to(&calm(-600, &[(-30, 5), (-15, 9)])), None);
    assert_eq!(to(&calm(-30, &[(-15, 9)])), None, "half a window after a restart is none");
    let hot = calm(-30, &[]).fresh(SignalName::CPU, 1.4).memory(|m| m.cpu_hot = 9);
    assert_eq!(to(&hot), Some((5, 10)), "the reactive bounds have their own two turns");
}

#[test]
fn a_filter_too_sure_of_itself_leaves_the_reactive_bounds() {
    let wild = |story: Story| story.with(|s| s.picture.consistency = Consistency::Overconfident);
    let d = wild(Story::new().needs(9)).decide();
    expect(&d, Action::Noop, "Inconsistent");
    assert_eq!((d.want, d.confidence), (5, None));
    let hot = Story::new().needs(9).fresh(SignalName::CPU, 0.9).memory(|m| m.cpu_hot = 3);
    expect(&wild(hot).decide(), Action::ScaleUp, "Reactive:cpu");
}

#[test]
fn the_forecast_needs_its_own_reading_only() {
    let d = Story::new().needs(8).reading(SignalName::LATENCY, Reading::Missing).decide();
    assert_eq!(d.action, Action::ScaleUp, "latency is not what the model reads");
    let d = Story::new().needs(8).reading(SignalName::CPU, Reading::Missing).decide();
    expect(&d, Action::Noop, "Missing:cpu");
    let queued = |story: Story| story.with(|s| s.picture.capacity = Some(queue(1.0)));
    let d = queued(Story::new().fresh(SignalName::THROUGHPUT, 60.0)).decide();
    expect(&d, Action::ScaleUp, "Forecast");
    assert_eq!(
        queued(Story::new().reading(SignalName::THROUGHPUT, Reading::NotFinite)).decide().action,
        Action::Noop
    );
    assert_eq!(queued(Story::new()).decide().action, Action::Noop, "absent is not fresh");
    let rules = Story::new()
        .needs(8)
        .with(|s| s.spec.predictor.capacity_model = crate::api::scaling::CapacityModel::Rules);
    assert_eq!(rules.decide().action, Action::Noop);
}

#[test]
fn beside_another_scaler_replicas_are_untouched_and_observe_still_shows() {
    let hpa = |story: Story| story.workload(|w| w.other_scalers = vec!["HorizontalPodAutoscaler/web".into()]);
    for story in [Story::new().needs(9), Story::new().with(|s| s.spec.min_replicas = 9)] {
        let d = hpa(story).decide();
        expect(&d, Action::Noop, "ScalerConflict");
        assert!(notices(&d, "ScalerConflict"));
    }
    let d = hpa(Story::new().needs(9).with(|s| s.spec.enforcement = Enforcement::Observe)).decide();
    expect(&d, Action::ScaleUp, "Observe");
    assert!(!d.act);
    assert_eq!(d.memory, d.memory_if_not_applied, "what is only shown is not remembered as done");
}

#[test]
fn while_a_rollout_is_suspected_it_is_provisional() {
    let d = Story::bad_rollout()
        .needs(8)
        .with(|s| s.picture.comparisons[0].verdict = Verdict::Undecided)
        .decide();
    expect(&d, Action::ScaleUp, "Provisional:Forecast");
    assert!(d.provisional && d.reasoning.to_string().contains("provisional"));
}

#[test]
fn confidence_below_the_floor_is_a_noop_unless_the_target_is_missed_already() {
    let unsure = Story::new().with(|s| {
        s.spec.predictor.keep_probability = Some(0.5);
        s.spec.mode = Mode::Conservative;
        s.picture.capacity = Some(queue(10.0));
    });
    let unsure = unsure.fresh(SignalName::THROUGHPUT, 40.0);
    let d = unsure.decide();
    expect(&d, Action::Noop, "LowConfidence");
    assert!(d.reasoning.to_string().contains("< 0.85"), "{}", d.reasoning);
    assert_eq!(
        unsure.clone().fresh(SignalName::CPU, 0.75).decide().action,
        Action::ScaleUp,
        "cpu is above its target"
    );
    assert_eq!(unsure.clone().fresh(SignalName::LATENCY, 260.0).decide().action, Action::ScaleUp);
    let bold = unsure.with(|s| s.spec.mode = Mode::Aggressive);
    assert_eq!(bold.decide().action, Action::ScaleUp);
}

#[test]
fn only_the_noise_changes_the_confidence() {
    let noisy = |sd| {
        let story = Story::new()
            .with(|s| s.picture.capacity = Some(Capacity::Utilisation { mean: 3.0, sd, target: 0.7 }));
        story.decide().confidence.unwrap()
    };
    // At all three the present count is what is needed, so that one table speaks.
    assert!(noisy(0.1) > noisy(0.2) && noisy(0.2) > noisy(0.3));
}

#[test]
fn scaling_that_does_not_help_holds_until_the_load_changes() {
    let fruitless =
        Story::new().needs(8).fresh(SignalName::LATENCY, 410.0).fresh(SignalName::THROUGHPUT, 100.0).memory(
            |m| {
                m.fruitless = 2;
                m.fruitless_load = Some(Load { throughput: Some(105.0), work: None });
            },
        );
    let d = fruitless.decide();
    expect(&d, Action::Noop, "Fruitless");
    assert!(notices(&d, "Degraded"));
    expect(&fruitless.clone().fresh(SignalName::THROUGHPUT, 120.0).decide(), Action::ScaleUp, "Forecast");
    expect(
        &fruitless.clone().reading(SignalName::THROUGHPUT, Reading::Missing).decide(),
        Action::Noop,
        "Fruitless",
    );
    expect(&fruitless.clone().fresh(SignalName::CPU, 0.81).decide(), Action::ScaleUp, "Forecast");
    assert_eq!(fruitless.memory(|m| m.fruitless = 1).decide().action, Action::ScaleUp);
}

#[test]
fn a_count_that_a_person_lowered_is_respected_by_the_forecast_only() {
    let lowered = Story::new().needs(8).memory(|m| m.edited_until = Some(at(30)));
    expect(&lowered.decide(), Action::Noop, "HumanEdit");
    assert_eq!(lowered.clone().memory(|m| m.edited_until = Some(at(0))).decide().action, Action::ScaleUp);
    let hot = lowered.fresh(SignalName::CPU, 0.9).memory(|m| m.cpu_hot = 4);
    assert_eq!(hot.decide().action, Action::ScaleUp);
}

#[test]
fn found_above_max_it_is_not_touched() {
    let above = Story::new().replicas(15).needs(20).fresh(SignalName::CPU, 1.2).memory(|m| m.cpu_hot = 9);
    let d = above.decide();
    assert_eq!(d.plan, Plan::Nothing, "{d:#?}");
}

#[test]
fn a_blocking_gate_and_a_cooldown_do_not_delay_it() {
    for gate in [
        crate::decide::GateView::Block,
        crate::decide::GateView::Unknown,
        crate::decide::GateView::Quarantine,
    ] {
        let d = Story::new()
            .needs(8)
            .with(|s| s.gate = gate)
            .memory(|m| m.cooldown_until = Some(at(99)))
            .decide();
        expect(&d, Action::ScaleUp, "Forecast");
    }
}

/// 30 requests a second over five replicas that have carried 4 each, and no model.
fn surging(turns: u32) -> Story {
    let story = Story::new().fresh(SignalName::THROUGHPUT, 30.0);
    story.with(|s| s.picture.surge = Some(Surge { rate: 30.0, sd: 0.5, carried: 4.0, turns }))
}

#[test]
fn a_load_beyond_what_was_carried_well_asks_for_more_where_no_model_answers() {
    let d = surging(2).decide();
    expect(&d, Action::ScaleUp, "Reactive:load");
    assert_eq!(to(&surging(2)), Some((5, 8)));
    assert!(because(&d, Action::ScaleUp).contains("6 requests a second a replica, 4 were carried well"));
    assert!(d.confidence.unwrap() >= 0.95 && d.confidence.unwrap() < 1.0, "{:?}", d.confidence);
    assert_eq!(surging(1).decide().action, Action::Noop, "two turns");
    assert_eq!(surging(2).needs(5).decide().action, Action::Noop, "a model knows better");
    assert_eq!(surging(2).workload(|w| w.ready = 4).decide().action, Action::Noop, "pods are under way");
    assert_eq!(surging(2).reading(SignalName::THROUGHPUT, Reading::Missing).decide().action, Action::Noop);
    let noisy = surging(2).with(|s| s.picture.surge.as_mut().unwrap().sd = 4.0);
    assert!(to(&noisy).unwrap().1 > 8, "more doubt, more replicas");
}
