//! The eleven fail-open cases of the field, as far as they reach this room: each must refuse.
//!
//! What a query answers is made into a reading before it comes here; here it is shown that no such reading,
//! and no absence of one, ever counts as a pass.

use super::gate::{EarlierLinf, GateAnswer, Pass, evaluate};
use super::situation::Action;
use super::testing::{Story, at, expect};
use super::{GateSituation, GateView};
use crate::observe::reading::{Reading, Readings, SignalName};
use crate::orient::{Baseline, Verdict};

fn gate(readings: Readings) -> GateAnswer {
    evaluate(&situation(readings, 200)).decision
}

fn situation(readings: Readings, samples: u32) -> GateSituation {
    let spec = serde_json::from_value(serde_json::json!({"targetRef": {"name": "web"}})).unwrap();
    GateSituation {
        now: at(0),
        spec,
        readings,
        samples,
        revision_started_at: Some(at(-600)),
        pole: None,
        earlier_linf: EarlierLinf::None,
        paused: false,
    }
}

fn fresh(value: f64) -> Reading {
    Reading::Fresh { value, sampled_at: at(-1) }
}

fn good() -> Readings {
    [(SignalName::PSI, fresh(0.95)), (SignalName::CVAR, fresh(0.02)), (SignalName::LATENCY, fresh(50.0))]
        .into()
}

#[test]
fn a_rule_with_no_condition_does_not_pass() {
    assert_eq!(gate(Readings::new()), GateAnswer::Unknown);
    assert_eq!(gate(good()), GateAnswer::Admit, "the control");
}

#[test]
fn nan_against_fails_if_above_does_not_pass() {
    for reading in [fresh(f64::NAN), Reading::NotFinite] {
        let mut readings = good();
        readings.insert(SignalName::CVAR, reading.clone());
        assert_eq!(gate(readings), GateAnswer::Unknown);
        let d = Story::new().needs_for_long(3).reading(SignalName::ERRORS, reading).decide();
        assert_eq!(d.action, Action::Noop);
    }
}

#[test]
fn all_and_any_over_an_empty_result_do_not_pass() {
    let mut readings = good();
    readings.insert(SignalName::PSI, Reading::Missing);
    assert_eq!(gate(readings), GateAnswer::Unknown);
    let empty = Story::new().needs_for_long(3).with(|s| s.observed.evidence.readings.clear());
    expect(&empty.decide(), Action::Noop, "NoForecast");
}

#[test]
fn an_analysis_ended_early_is_no_verdict() {
    let d = evaluate(&situation(good(), 19));
    assert_eq!(d.decision, GateAnswer::Unknown);
    let undecided = Story::bad_rollout().with(|s| s.picture.comparisons[0].verdict = Verdict::Undecided);
    assert_eq!(undecided.decide().action, Action::Noop);
}

#[test]
fn empty_or_infinite_is_not_zero() {
    for reading in [Reading::Missing, Reading::NotFinite, fresh(f64::INFINITY)] {
        let d = Story::new().needs_for_long(3).reading(SignalName::CPU, reading).decide();
        assert_eq!((d.action, d.want), (Action::Noop, 5), "no load is not little load");
    }
}

#[test]
fn a_group_with_no_data_does_not_score() {
    let mut readings = good();
    readings.insert(SignalName::LATENCY, Reading::Missing);
    let d = evaluate(&situation(readings, 200));
    assert_eq!((d.decision, d.gates[2].pass, d.theta), (GateAnswer::Unknown, Pass::Unknown, None));
}

#[test]
fn of_two_series_none_wins() {
    let mut readings = good();
    readings.insert(SignalName::PSI, Reading::Ambiguous { series: 2 });
    assert_eq!(gate(readings), GateAnswer::Unknown);
    let d = Story::new().needs(9).reading(SignalName::CPU, Reading::Ambiguous { series: 2 }).decide();
    expect(&d, Action::Noop, "Ambiguous:cpu");
}

#[test]
fn an_unknown_name_is_not_skipped_as_passed() {
    let d = Story::new().needs_for_long(3).reading(SignalName::new("cpuu"), Reading::Missing).decide();
    expect(&d, Action::Noop, "Missing:cpuu");
    let readings: Readings = [(SignalName::new("psy"), fresh(1.0))].into();
    assert_eq!(gate(readings), GateAnswer::Unknown);
}

#[test]
fn checks_that_fail_for_ever_say_so_every_turn() {
    let mut story = Story::new().needs_for_long(3);
    for _ in 0..50 {
        let d =
            story.clone().reading(SignalName::CPU, Reading::SourceDown { why: "timeout".into() }).decide();
        expect(&d, Action::Noop, "SourceDown:cpu");
        story = story.after(&d, 15);
    }
}

#[test]
fn failure_after_the_rollout_is_complete_still_counts() {
    let late = Story::bad_rollout()
        .rollout(1500.0)
        .with(|s| s.picture.comparisons[0].onset = Some(at(-300)))
        .compared(SignalName::LATENCY, Baseline::Before, Verdict::Worse);
    expect(&late.decide(), Action::Rollback, "Worse:latency");
}

#[test]
fn a_gate_that_cannot_answer_limits_like_one_that_says_no() {
    for gate in [GateView::Unknown, GateView::Block, GateView::Quarantine] {
        let d = Story::new().needs_for_long(3).with(|s| s.gate = gate).decide();
        assert_eq!(d.action, Action::Noop);
    }
    let admitted = Story::new().needs_for_long(3).with(|s| s.gate = GateView::Admit).decide();
    assert_eq!(admitted.action, Action::ScaleDown);
}
