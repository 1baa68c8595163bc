//! Effort, its decay, calm and unrest, and that safety acts are never asked.

use proptest::prelude::*;

use super::*;
use crate::decide::decide;
use crate::decide::property_tests::situation;
use crate::decide::situation::{Action, Plan};
use crate::decide::testing::at;

fn sample(second: i64, traffic: f64, replicas: i32, retuned: f64) -> Sample {
    Sample { at: at(second), traffic, replicas, retuned }
}

/// Ten quiet replicas for the seconds given, one sample every 15 s.
fn quiet(effort: &mut Effort, from: i64, to: i64) -> Steering {
    (from..=to).step_by(15).fold(Steering::UNKNOWN, |_, s| effort.take(sample(s, 0.0, 10, 0.0), &spec()))
}

fn spec() -> Steer {
    Steer::default()
}

fn near(value: f64, wanted: f64) {
    assert!((value - wanted).abs() < 1e-9, "{value} is not {wanted}");
}

#[test]
fn nothing_is_known_before_a_minute_and_nothing_of_its_course_before_half_a_minute_more() {
    let mut effort = Effort::default();
    assert_eq!(quiet(&mut effort, 0, 45), Steering::UNKNOWN);
    let known = quiet(&mut effort, 60, 60);
    assert_eq!((known.phi, known.unrest), (Some(1.0), Some(Unrest::Unknown)));
    let calm = quiet(&mut effort, 75, 90);
    assert_eq!((calm.slopes[0], calm.slopes[1], calm.unrest), (Some(0.0), None, None));
    assert_eq!(quiet(&mut effort, 105, 360).slopes, [Some(0.0); 3]);
}

#[test]
fn each_loop_costs_what_it_explores_changes_and_retunes() {
    let mut effort = Effort::default();
    quiet(&mut effort, 0, 90);
    // A canary of 20 % since 15 s of the minute; one of ten replicas; a step of .02 of a range.
    let now = effort.take(sample(105, 0.20, 11, 0.02), &spec());
    let [league, scaling, retune] = now.loops.unwrap();
    near(league, 0.95);
    near(scaling, 0.90);
    near(retune, 0.98);
    near(now.phi.unwrap(), 0.83);
    assert_eq!(now.unrest, None, "within the band, and not steep for 30 s yet");
    let whole = [120, 135, 150].map(|s| effort.take(sample(s, 0.20, 11, 0.0), &spec()))[2];
    near(whole.loops.unwrap()[0], 0.80);
    let pressure = pressure(&[0.5, 0.75, 1.0], 0.75);
    assert_eq!(pressure, [0.25, 0.0, 0.0]);
}

#[test]
fn below_the_band_optional_acts_wait_at_once_and_it_is_an_alert_after_a_minute() {
    let mut effort = Effort::default();
    quiet(&mut effort, 0, 90);
    let mut seen = Vec::new();
    for (i, second) in (105..=210).step_by(15).enumerate() {
        // Two more replicas every turn.
        let now = effort.take(sample(second, 0.0, 12 + 2 * i as i32, 0.0), &spec());
        seen.push((now.phi.unwrap(), now.unrest.map(|u| u.token()), now.alert_low));
    }
    near(seen[0].0, 0.8);
    assert_eq!(seen[0].1, None);
    assert_eq!((seen[1].1, seen[1].2), (Some("Steer:Low"), false));
    assert!(seen[1..5].iter().all(|(_, why, alert)| *why == Some("Steer:Low") && !alert), "{seen:?}");
    assert!(seen[5].2, "75 s below the band: {seen:?}");
}

#[test]
fn effort_decays_when_it_leaves_the_window_and_rest_is_no_alarm() {
    let mut effort = Effort::default();
    quiet(&mut effort, 0, 90);
    let mut course = Vec::new();
    for second in (105..=270).step_by(15) {
        course.push(effort.take(sample(second, 0.0, 20, 0.0), &spec()));
    }
    let phis: Vec<f64> = course.iter().map(|s| s.phi.unwrap()).collect();
    near(phis[0], 0.0);
    assert!(phis.windows(2).all(|pair| pair[1] >= pair[0]), "{phis:?}");
    assert_eq!(phis[3], 1.0 - 10.0 / (10.0 * 0.25 + 20.0 * 0.75));
    assert!(phis[4..].iter().all(|phi| *phi == 1.0), "a minute later it is over: {phis:?}");
    let last = course.last().unwrap();
    assert_eq!((last.unrest, last.alert_low, last.alert_steep), (None, false, false));
}

#[test]
fn a_single_step_is_not_steep_but_half_a_minute_of_moving_is() {
    let mut effort = Effort::default();
    quiet(&mut effort, 0, 90);
    let one: Vec<_> = [105, 120, 135]
        .map(|s| effort.take(sample(s, 0.0, 10, if s == 105 { 0.06 } else { 0.0 }), &spec()))
        .into();
    near(one[0].slopes[0].unwrap(), -0.12);
    assert!(one.iter().all(|s| s.unrest.is_none()), "{one:?}");
    let mut effort = Effort::default();
    quiet(&mut effort, 0, 90);
    let moving: Vec<_> = [105, 120, 135].map(|s| effort.take(sample(s, 0.0, 10, 0.03), &spec())).into();
    assert_eq!(moving[1].unrest, None);
    let Some(Unrest::Steep { slope, most }) = moving[2].unrest else { panic!("{moving:?}") };
    near(slope, -0.12);
    near(most, 0.04);
    assert!(moving[2].alert_steep && !moving[2].alert_low);
}

#[test]
fn what_is_no_share_counts_as_the_whole_and_time_that_goes_back_knows_nothing() {
    for traffic in [f64::NAN, f64::INFINITY, -0.5, 7.0] {
        let mut effort = Effort::default();
        quiet(&mut effort, 0, 90);
        let worst = (105..=165)
            .step_by(15)
            .fold(Steering::UNKNOWN, |_, s| effort.take(sample(s, traffic, 10, 0.0), &spec()));
        assert_eq!((worst.phi, worst.unrest.unwrap().token()), (Some(0.0), "Steer:Low"));
    }
    let mut effort = Effort::default();
    quiet(&mut effort, 0, 90);
    assert_eq!(effort.take(sample(30, 0.0, 10, 0.0), &spec()), Steering::UNKNOWN);
    let (mut zero, none) = (Effort::default(), sample(0, 0.0, 0, 0.0));
    zero.take(none, &spec());
    let from_zero = zero.take(Sample { at: at(60), replicas: 3, ..none }, &spec());
    assert_eq!(from_zero.phi, Some(0.0), "from nothing every replica is a change");
}

#[test]
fn the_same_evaluation_counts_once_and_memory_is_bounded() {
    let mut effort = Effort::default();
    quiet(&mut effort, 0, 90);
    let once = effort.take(sample(105, 0.0, 10, 0.1), &spec());
    assert_eq!(effort.take(sample(105, 0.0, 10, 0.1), &spec()), once);
    for second in 106..3000 {
        effort.take(sample(second, 0.0, 10, 0.0), &spec());
    }
    assert!(effort.samples.len() <= 62 && effort.course.len() <= 302);
}

fn unrest() -> impl Strategy<Value = Unrest> {
    prop_oneof![
        Just(Unrest::Unknown),
        (0.0..0.73).prop_map(|phi| Unrest::Low { phi, floor: 0.73 }),
        (0.05..2.0).prop_map(|slope| Unrest::Steep { slope, most: 0.04 }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn safety_acts_never_wait(situation in situation(), unrest in unrest()) {
        let calm = decide(&situation);
        let mut restless = situation.clone();
        restless.standing.unrest = Some(unrest);
        let held = decide(&restless);
        let restores = matches!(calm.plan, Plan::Retune { restore: true, .. });
        match calm.action {
            Action::ScaleUp | Action::Rollback => prop_assert_eq!(&held, &calm),
            Action::Retune if restores => prop_assert_eq!(&held, &calm),
            Action::Retune | Action::ScaleDown => prop_assert_eq!(held.action, Action::Noop),
            Action::Noop => prop_assert_eq!(held.action, Action::Noop),
        }
    }

    #[test]
    fn phi_and_its_parts_are_shares(
        turns in prop::collection::vec((1..90_i64, -0.2..1.2, 0..40_i32, -0.01..0.2), 1..80),
    ) {
        let (mut effort, mut second) = (Effort::default(), 0);
        for (rest, traffic, replicas, retuned) in turns {
            second += rest;
            let now = effort.take(sample(second, traffic, replicas, retuned), &spec());
            let parts = now.loops.unwrap_or([1.0; 3]);
            for value in [now.phi.unwrap_or(1.0), parts[0], parts[1], parts[2]] {
                prop_assert!((0.0..=1.0).contains(&value));
            }
            prop_assert!(parts.iter().all(|part| now.phi.is_none_or(|phi| phi <= *part + 1e-12)));
            prop_assert_eq!(now.phi.is_none() || now.slopes[0].is_none(), now.unrest == Some(Unrest::Unknown) || (now.slopes[0].is_none() && now.unrest.is_some()));
        }
    }
}
