//! Rollback, both ways: every condition alone keeps it from firing.

use crate::api::scaling::Mode;
use crate::decide::situation::{Action, Plan, Proof};
use crate::decide::testing::{Story, at, because, expect, notices, revision};
use crate::observe::reading::{Reading, SignalName};
use crate::orient::{Baseline, OneSided, Verdict};

fn crashing() -> Story {
    Story::new().rollout(120.0).workload(|w| {
        w.rollout.crashes = 3;
        w.rollout.complete = false;
    })
}

fn before_window() -> Story {
    let mut story = Story::bad_rollout();
    story.s.picture.comparisons.clear();
    story.compared(SignalName::LATENCY, Baseline::Before, Verdict::Worse)
}

#[test]
fn a_proven_bad_revision_is_reverted_with_proof_and_exact_plan() {
    let d = Story::bad_rollout().decide();
    expect(&d, Action::Rollback, "Worse:latency");
    let plan = Plan::Rollback {
        replica_set: "web-5c4b".into(),
        to: "5c4b".into(),
        from: "7d9f".into(),
        bad_template: "t-new".into(),
        good_template: "t-old".into(),
    };
    assert_eq!(d.plan, plan);
    assert!(d.act);
    let proof =
        Proof::Sequential { signal: "latency".into(), e: 63.0, alpha: 0.05, looks: 9, onset: Some(at(-90)) };
    assert_eq!(d.proof, Some(proof));
    assert!(
        d.reasoning.to_string().contains("latency 410 against 182 beside old pods; e = 63 ≥ 20"),
        "{}",
        d.reasoning
    );
    assert!(d.reasoning.to_string().contains("Secrets are not read"));
    let confidence = d.confidence.unwrap();
    assert!(confidence > 0.9 && confidence < 1.0, "{confidence}");
    assert_eq!(d.memory.bad_templates, ["t-new"]);
    assert_eq!(d.memory.rollbacks, [at(0)]);
    assert!(d.memory_if_not_applied.bad_templates.is_empty());
}

#[test]
fn a_bad_revision_that_burns_cpu_is_reverted_not_scaled_out() {
    let burning = Story::bad_rollout().fresh(SignalName::CPU, 1.4).needs(9).memory(|m| m.cpu_hot = 5);
    expect(&burning.decide(), Action::Rollback, "Worse:latency");
}

#[test]
fn omega_065_rolls_back_in_each_mode_once_it_is_proven() {
    for mode in [Mode::Conservative, Mode::Balanced, Mode::Aggressive] {
        let story = Story::new()
            .rollout(120.0)
            .omega(0.65)
            .memory(|m| m.omega_low = 2)
            .compared(SignalName::OMEGA, Baseline::SideBySide, Verdict::Worse)
            .with(|s| s.spec.mode = mode);
        expect(&story.decide(), Action::Rollback, "Worse:omega");
        let unproven = story.with(|s| s.picture.comparisons[0].verdict = Verdict::Undecided);
        assert_eq!(unproven.decide().action, Action::Noop);
    }
}

#[test]
fn low_cpu_and_high_latency_after_a_deploy_is_a_rollback() {
    let story = Story::bad_rollout().fresh(SignalName::CPU, 0.1).fresh(SignalName::LATENCY, 900.0);
    expect(&story.memory(|m| m.latency_double = 9).decide(), Action::Rollback, "Worse:latency");
}

#[test]
fn trouble_must_last_for_persistence_turns() {
    let d = Story::bad_rollout().memory(|m| m.latency_high = 1).decide();
    expect(&d, Action::Noop, "Suspect:latency");
    assert_eq!(because(&d, Action::Rollback), "latency 410 > 250 ms for 2 of 3 turns");
    expect(&Story::bad_rollout().memory(|m| m.latency_high = 2).decide(), Action::Rollback, "Worse:latency");
}

#[test]
fn errors_are_a_trouble_of_their_own() {
    let errors = Story::new()
        .rollout(120.0)
        .fresh(SignalName::ERRORS, 0.2)
        .memory(|m| m.errors_high = 2)
        .compared(SignalName::ERRORS, Baseline::SideBySide, Verdict::Worse);
    expect(&errors.decide(), Action::Rollback, "Worse:errors");
    assert_eq!(
        errors.fresh(SignalName::ERRORS, 0.05).decide().action,
        Action::Noop,
        "the bound itself is allowed"
    );
}

#[test]
fn the_comparison_must_be_of_the_troubled_signal_and_pass_its_own_alpha() {
    let of_errors = Story::bad_rollout().with(|s| s.picture.comparisons[0].signal = SignalName::ERRORS);
    expect(&of_errors.decide(), Action::Noop, "Suspect");
    let weak = Story::bad_rollout().with(|s| s.picture.comparisons[0].e_worse = 19.0);
    let d = weak.decide();
    expect(&d, Action::Noop, "Suspect");
    assert!(because(&d, Action::Rollback).contains("e = 19 of 20"), "{}", because(&d, Action::Rollback));
    let strict = Story::bad_rollout().with(|s| s.spec.rollback.alpha = 0.001);
    assert_eq!(strict.decide().action, Action::Noop);
}

#[test]
fn both_fell_equally_is_suppressed_and_degraded() {
    let d = Story::bad_rollout().with(|s| s.picture.comparisons[0].verdict = Verdict::NotWorse).decide();
    assert_eq!(d.action, Action::Noop);
    assert!(notices(&d, "RollbackSuppressed") && notices(&d, "Degraded"));
    assert!(because(&d, Action::Rollback).contains("both fell equally"));
}

#[test]
fn side_by_side_outranks_the_window_before() {
    let d = Story::bad_rollout()
        .with(|s| s.picture.comparisons[0].verdict = Verdict::NotWorse)
        .compared(SignalName::LATENCY, Baseline::Before, Verdict::Worse)
        .decide();
    assert_eq!(d.action, Action::Noop);
}

#[test]
fn against_the_window_before_onset_and_load_must_fit() {
    expect(&before_window().decide(), Action::Rollback, "Worse:latency");
    let no = |story: Story, text: &str| {
        let d = story.decide();
        assert_eq!(d.action, Action::Noop, "{d:#?}");
        assert!(because(&d, Action::Rollback).contains(text), "{}", because(&d, Action::Rollback));
    };
    let onset = |seconds| before_window().with(|s| s.picture.comparisons[0].onset = Some(at(seconds)));
    no(
        before_window().with(|s| s.picture.comparisons[0].load_explains = true),
        "load per replica explains it",
    );
    no(before_window().with(|s| s.picture.comparisons[0].onset = None), "not known");
    no(onset(-121), "before the rollout");
    no(onset(-30), "after the last pod was ready");
    expect(&onset(-36).decide(), Action::Rollback, "Worse:latency");
    let blind = before_window().reading(SignalName::THROUGHPUT, Reading::Missing);
    no(blind, "the load cannot be seen");
    let seen = before_window().fresh(SignalName::THROUGHPUT, 90.0);
    expect(&seen.decide(), Action::Rollback, "Worse:latency");
}

#[test]
fn trouble_without_a_rollout_to_blame_is_degraded() {
    let old = Story::new().fresh(SignalName::LATENCY, 410.0).memory(|m| m.latency_high = 9);
    let d = old.decide();
    assert_eq!(d.action, Action::Noop);
    assert!(notices(&d, "Degraded") && !notices(&d, "RollbackSuppressed"));
    assert!(because(&d, Action::Rollback).contains("no rollout in the last 1800 s"));
    let late = Story::bad_rollout().rollout(3000.0).with(|s| s.picture.comparisons[0].onset = Some(at(-60)));
    assert!(notices(&late.decide(), "Degraded"));
}

#[test]
fn a_failing_rollout_needs_no_metrics() {
    let blind = |story: Story| story.with(|s| s.observed.evidence.readings.clear());
    let d = blind(crashing()).decide();
    expect(&d, Action::Rollback, "Failing:crashes");
    assert_eq!(d.proof, Some(Proof::FailingRollout { crashes: 3, deadline_exceeded: false }));
    assert_eq!(d.confidence, None);
    assert_eq!(blind(crashing().workload(|w| w.rollout.crashes = 2)).decide().action, Action::Noop);
    let deadline = Story::new().rollout(900.0).workload(|w| {
        w.rollout.complete = false;
        w.rollout.deadline_exceeded = true;
    });
    expect(&blind(deadline.clone()).decide(), Action::Rollback, "Failing:deadline");
    let d = deadline.workload(|w| w.rollout.unschedulable = 2).decide();
    assert_eq!(d.action, Action::Noop, "no room for pods is not the revision's fault");
    assert!(notices(&d, "Unschedulable"));
}

#[test]
fn crashes_long_after_the_rollout_are_not_its_fault() {
    assert_eq!(crashing().rollout(1801.0).decide().action, Action::Noop);
}

#[test]
fn metrics_lost_after_a_deploy_hold_and_say_so() {
    let lost = Story::bad_rollout().reading(SignalName::LATENCY, Reading::Missing);
    expect(&lost.decide(), Action::Noop, "Missing:latency");
}

#[test]
fn each_obstacle_holds_and_has_its_reason() {
    let no = |story: Story, text: &str, reason: &str| {
        let d = story.decide();
        assert_eq!(d.action, Action::Noop, "{d:#?}");
        assert!(because(&d, Action::Rollback).contains(text), "{}", because(&d, Action::Rollback));
        assert!(notices(&d, reason), "{d:#?}");
    };
    no(Story::bad_rollout().with(|s| s.spec.rollback.enabled = false), "enabled is false", "Degraded");
    no(Story::bad_rollout().workload(|w| w.previous.clear()), "no earlier revision", "Degraded");
    no(
        Story::bad_rollout().memory(|m| m.bad_templates = vec!["t-new".into()]),
        "release a changed template",
        "Degraded",
    );
    no(
        Story::bad_rollout().memory(|m| m.bad_templates = vec!["t-old".into()]),
        "no earlier revision",
        "Degraded",
    );
    no(Story::bad_rollout().with(|s| s.spec.rollback.max_per_day = 0), "maxPerDay is 0", "Degraded");
    let used = Story::bad_rollout().memory(|m| m.rollbacks = vec![at(-9000), at(-8000)]);
    no(used, "2 rollbacks in the last day", "Degraded");
    let yesterday = Story::bad_rollout().memory(|m| m.rollbacks = vec![at(-86_401), at(-8000)]);
    assert_eq!(yesterday.decide().action, Action::Rollback);
    let canary = Story::bad_rollout().workload(|w| w.other_scalers = vec!["Canary/web".into()]);
    no(canary, "Canary/web owns the rollouts", "Degraded");
}

#[test]
fn a_config_change_after_the_rollout_and_before_the_onset_suspends_it() {
    let changed = |seconds| Story::bad_rollout().workload(move |w| w.config_changed_at = Some(at(seconds)));
    let d = changed(-100).decide();
    assert_eq!(d.action, Action::Noop);
    assert!(notices(&d, "RollbackSuppressed"));
    assert!(because(&d, Action::Rollback).contains("Secrets are not read"));
    assert_eq!(changed(-121).decide().action, Action::Rollback, "before the rollout");
    assert_eq!(changed(-50).decide().action, Action::Rollback, "after the trouble began");
    let crash = crashing().workload(|w| w.config_changed_at = Some(at(-100)));
    assert_eq!(
        crash.decide().action,
        Action::Noop,
        "with the onset unknown, the later change is the suspect"
    );
}

#[test]
fn facts_that_may_be_outdated_are_read_live_first() {
    let d = Story::bad_rollout().with(|s| s.standing.facts_behind = true).decide();
    expect(&d, Action::Noop, "FactsBehind");
    assert!(d.waiting_on.contains(&"a live read".to_owned()));
}

#[test]
fn no_second_rollback_before_a_full_fresh_window() {
    let again = |ago: i64| Story::bad_rollout().memory(move |m| m.rollbacks = vec![at(-ago)]);
    expect(&again(44).decide(), Action::Noop, "FreshWindow");
    assert_eq!(again(91).decide().action, Action::Rollback);
    let d = again(80).decide();
    assert!(because(&d, Action::Rollback).contains("it began before the last rollback"), "{d:#?}");
}

#[test]
fn what_a_rollback_restored_is_not_reverted_in_turn() {
    let d = Story::bad_rollout()
        .memory(|m| {
            m.rollbacks = vec![at(-120)];
            m.good_templates = vec!["t-new".into()];
        })
        .decide();
    assert_eq!(d.action, Action::Noop);
    assert!(because(&d, Action::Rollback).contains("was restored 120 s ago"));
}

#[test]
fn the_target_is_the_newest_good_one_else_the_newest_not_bad() {
    let three = Story::bad_rollout().workload(|w| {
        w.previous = vec![
            revision("aa", "t-a", 6, at(-9000)),
            revision("bb", "t-b", 5, at(-9500)),
            revision("cc", "t-c", 4, at(-9900)),
        ];
    });
    let to = |story: &Story| match story.decide().plan {
        Plan::Rollback { to, .. } => to,
        other => panic!("{other:?}"),
    };
    assert_eq!(to(&three), "aa");
    assert_eq!(to(&three.clone().memory(|m| m.bad_templates = vec!["t-a".into()])), "bb");
    assert_eq!(to(&three.clone().memory(|m| m.good_templates = vec!["t-c".into(), "t-b".into()])), "bb");
    let both = three.memory(|m| {
        m.good_templates = vec!["t-b".into()];
        m.bad_templates = vec!["t-b".into()];
    });
    assert_eq!(to(&both), "aa");
}

#[test]
fn a_restart_is_no_revision() {
    let restarted = Story::bad_rollout().workload(|w| {
        let mut same = w.current.clone();
        same.pod_template_hash = "0ld".into();
        same.started_at = at(-90_000);
        w.previous.insert(0, same);
    });
    let d = restarted.decide();
    assert_eq!(d.action, Action::Noop, "the template is a day old");
    let soon = restarted.workload(|w| w.previous[0].started_at = at(-600));
    let d = soon.decide();
    assert!(matches!(d.plan, Plan::Rollback { ref to, .. } if to == "5c4b"), "{d:#?}");
}

#[test]
fn a_revision_asked_for_itself_counts_by_its_own_value() {
    let mut canary = Story::bad_rollout().fresh(SignalName::LATENCY, 200.0);
    let own = Reading::Fresh { value: 410.0, sampled_at: at(-2) };
    canary.s.observed.evidence.by_revision.insert("7d9f".into(), [(SignalName::LATENCY, own)].into());
    expect(&canary.decide(), Action::Rollback, "Worse:latency");
    let old = canary.with(|s| {
        let readings = s.observed.evidence.by_revision.remove("7d9f").unwrap();
        s.observed.evidence.by_revision.insert("5c4b".into(), readings);
    });
    assert_eq!(old.decide().action, Action::Noop, "old pods' trouble is not the new revision's");
}

#[test]
fn a_crash_onset_outside_attribution_by_the_comparison_is_elsewhere() {
    let d = Story::bad_rollout()
        .rollout(2500.0)
        .with(|s| s.picture.comparisons[0].onset = Some(at(-100)))
        .decide();
    assert!(because(&d, Action::Rollback).contains("no rollout in the 1800 s before it began"), "{d:#?}");
    let within =
        Story::bad_rollout().rollout(2500.0).with(|s| s.picture.comparisons[0].onset = Some(at(-2400)));
    assert_eq!(within.decide().action, Action::Rollback, "it began in time and was proven late");
}

#[test]
fn rolling_back_is_allowed_beside_an_hpa_and_through_a_cooldown_and_a_blocking_gate() {
    let story = Story::bad_rollout()
        .workload(|w| w.other_scalers = vec!["HorizontalPodAutoscaler/web".into()])
        .memory(|m| m.cooldown_until = Some(at(500)))
        .with(|s| s.gate = crate::decide::GateView::Block);
    let d = story.decide();
    expect(&d, Action::Rollback, "Worse:latency");
    assert!(notices(&d, "ScalerConflict"));
}

/// Five minutes between samples, half a turn after a rollout: latency 143 against 95, and no target.
fn few_samples() -> Story {
    Story::new()
        .with(|s| {
            s.spec.interval_seconds = 300;
            s.spec.targets.latency_target = None;
            s.picture.horizon_seconds = 330.0;
        })
        .rollout(150.0)
        .fresh(SignalName::LATENCY, 143.0)
        .compared(SignalName::LATENCY, Baseline::Before, Verdict::Undecided)
        .with(|s| {
            let c = &mut s.picture.comparisons[0];
            (c.baseline_level, c.current_level) = (95.0, 143.0);
            c.one_sided = Some(OneSided { p: 0.012, samples: 1, onset: at(-2), after: at(-150) });
        })
}

#[test]
fn one_plain_deviation_in_five_minutes_is_enough_where_samples_are_few() {
    let d = few_samples().decide();
    expect(&d, Action::Rollback, "Worse:latency");
    let proof =
        Proof::OneSided { signal: "latency".into(), p: 0.012, alpha: 0.05, samples: 1, onset: at(-2) };
    assert_eq!(d.proof, Some(proof));
    assert!(
        d.reasoning
            .to_string()
            .contains("latency 143 against 95 before the rollout; p = 0.012 over 1 samples ≤ 0.05")
    );
    assert_eq!(d.confidence, Some(1.0 - 0.012));
    let noisy = few_samples().estimate(SignalName::LATENCY, 143.0, 0.0, 40.0).decide();
    assert!(noisy.confidence.unwrap() < 0.9, "the noise counts: {:?}", noisy.confidence);
}

#[test]
fn a_deviation_needs_all_of_it() {
    let no = |change: fn(&mut crate::decide::Situation), text: &str| {
        let d = few_samples().with(change).decide();
        assert_eq!(d.action, Action::Noop, "{text}: {d:#?}");
        assert!(because(&d, Action::Rollback).contains(text), "{text}: {}", because(&d, Action::Rollback));
    };
    let sided = |s: &mut crate::decide::Situation| s.picture.comparisons[0].one_sided.clone().unwrap();
    assert!(few_samples().with(|s| assert!((sided(s).p - 0.012).abs() < 1e-12)).decide().act);
    no(|s| s.picture.comparisons[0].one_sided.as_mut().unwrap().p = 0.051, "no trouble since the rollout");
    no(|s| s.picture.comparisons[0].one_sided.as_mut().unwrap().p = f64::NAN, "no trouble since");
    no(|s| s.picture.comparisons[0].baseline = Baseline::SideBySide, "no trouble since the rollout");
    no(|s| s.picture.comparisons[0].load_explains = true, "the load per replica explains it");
    no(|s| s.spec.rollback.alpha = 0.01, "no trouble since the rollout");
    no(|s| s.spec.rollback.enabled = false, "rollback.enabled is false");
    no(|s| s.spec.rollback.attribution_seconds = 100, "no rollout in the last 100 s");
    no(|s| s.observed.workload.as_mut().unwrap().config_changed_at = Some(at(-60)), "suspended");
    no(|s| s.memory.bad_templates = vec!["t-new".into()], "reverted before");
    let unseen = few_samples().reading(SignalName::LATENCY, Reading::Missing).decide();
    assert_eq!(unseen.action, Action::Noop);
    let blind = few_samples().reading(SignalName::THROUGHPUT, Reading::Missing).decide();
    expect(&blind, Action::Noop, "Suspect");
}

#[test]
fn a_deviation_that_may_have_begun_within_the_horizon_counts_and_a_later_one_does_not() {
    // The pods were ready 40 s after the rollout began; the horizon is 330 s.
    let since = |ago: i64, after: i64| {
        few_samples().rollout(1500.0).with(move |s| {
            let said = s.picture.comparisons[0].one_sided.as_mut().unwrap();
            (said.onset, said.after) = (at(-ago), at(-after));
        })
    };
    assert_eq!(since(900, 1200).decide().action, Action::Rollback);
    let late = since(600, 900).decide();
    assert_eq!(late.action, Action::Noop);
    assert!(because(&late, Action::Rollback).contains("more than 560 s after the last pod was ready"));
    assert_eq!(since(1500, 1800).decide().action, Action::Noop, "it began before the rollout");
}
