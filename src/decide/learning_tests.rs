//! What is learned, how it is forgotten, and that it never admits more.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::gate::OmegaFormula;
use crate::decide::testing::at;
use crate::observe::reading::{Reading, SignalName};

fn spec() -> OmegaGateSpec {
    serde_json::from_value(json!({"targetRef": {"name": "cart"}, "antifragile": {"learn": true}})).unwrap()
}

fn near(value: f64, wanted: f64) {
    assert!((value - wanted).abs() < 1e-12, "{value} is not {wanted}");
}

#[test]
fn a_rollback_hardens_both_thresholds_up_to_their_caps() {
    let once = Learned::after_rollback(None, Some(0.1), &spec(), at(0));
    near(once.omega_min, 0.87);
    near(once.cvar_penalty, 0.42);
    let many = (0..60).fold(None, |known: Option<Learned>, _| {
        Some(Learned::after_rollback(known.as_ref(), Some(0.1), &spec(), at(0)))
    });
    assert_eq!(many, Some(Learned { omega_min: 0.99, cvar_penalty: 1.0, since: at(0) }));
    let mut strict = spec();
    (strict.omega.cvar_penalty, strict.thresholds.omega_min) = (3.0, 0.995);
    let kept = Learned::after_rollback(None, Some(0.1), &strict, at(0));
    assert_eq!((kept.omega_min, kept.cvar_penalty), (0.995, 3.0), "what the owner asks for is never lowered");
}

#[test]
fn a_rollback_without_a_fall_of_omega_teaches_nothing_and_an_unknown_fall_does() {
    let base = Learned::base(&spec(), at(0));
    for drop in [0.0, -0.2] {
        assert_eq!(Learned::after_rollback(None, Some(drop), &spec(), at(0)), base);
    }
    for drop in [None, Some(f64::NAN)] {
        assert!(Learned::after_rollback(None, drop, &spec(), at(0)).omega_min > base.omega_min);
    }
}

#[test]
fn what_was_learned_halves_with_every_half_life() {
    let learned = Learned::after_rollback(None, Some(0.1), &spec(), at(0));
    for (days, share) in [(0, 1.0), (1, 0.5), (2, 0.25), (10, 1.0 / 1024.0)] {
        let left = learned.at(&spec(), at(days * 86_400));
        near(left.omega_min, 0.85 + 0.02 * share);
        near(left.cvar_penalty, 0.40 + 0.02 * share);
    }
    assert_eq!(
        learned.at(&spec(), at(-500)).omega_min,
        learned.omega_min,
        "time that goes back forgets nothing"
    );
    let mut still = spec();
    still.antifragile.half_life_seconds = 0;
    assert_eq!(learned.at(&still, at(0)).omega_min, learned.omega_min);
}

#[test]
fn nonsense_in_status_is_the_hardest_and_a_changed_spec_counts() {
    let status = |omega: Option<f64>, penalty: Option<f64>, since: Option<&str>| LearnedStatus {
        omega_min: omega,
        cvar_penalty: penalty,
        since: since.map(str::to_owned),
        ..LearnedStatus::default()
    };
    let read = |s: &LearnedStatus| Learned::from_status(s, &spec(), at(0));
    let then = at(-60).to_string();
    assert_eq!(read(&status(None, None, Some(&then))), None);
    let good = read(&status(Some(0.9), Some(0.5), Some(&then))).unwrap();
    assert_eq!(good, Learned { omega_min: 0.9, cvar_penalty: 0.5, since: at(-60) });
    let hardest = Learned::hardest(&spec(), at(0));
    for since in [None, Some("yesterday")] {
        assert_eq!(read(&status(Some(0.9), Some(0.5), since)), Some(hardest));
    }
    for nonsense in [f64::NAN, f64::INFINITY, -0.1, 7.0] {
        assert_eq!(read(&status(Some(nonsense), None, Some(&then))).unwrap().omega_min, 0.99, "{nonsense}");
    }
    assert_eq!(read(&status(None, Some(-1.0), Some(&then))).unwrap().cvar_penalty, 1.0);
    assert_eq!(read(&status(Some(0.1), None, Some(&then))).unwrap().omega_min, 0.85, "never below the spec");
    let future = at(60).to_string();
    assert_eq!(read(&status(Some(0.9), None, Some(&future))).unwrap().since, at(0));
}

#[test]
fn the_gain_is_measured_or_absent() {
    let gain = |old, new| RollbackRecord::new(at(0), old, new).antifragile_gain;
    near(gain(Some(0.6), Some(0.9)).unwrap(), 0.3);
    assert_eq!(gain(Some(0.9), Some(0.6)), Some(0.0));
    assert_eq!(
        (gain(None, Some(0.9)), gain(Some(0.6), None), gain(Some(f64::NAN), Some(0.9))),
        (None, None, None)
    );
}

fn reading(value: f64, kind: u8) -> Reading {
    match kind {
        0 => Reading::Missing,
        1 => Reading::Stale { age_seconds: None },
        2 => Reading::OutOfRange { value },
        _ => Reading::Fresh { value, sampled_at: at(-5) },
    }
}

prop_compose! {
    /// Values beyond their ranges included: the invariant must not rest on somebody else's check.
    fn situations()(
        psi in -0.5..1.5, cvar in -0.5..1.0, latency in -10.0..600.0, omega in -0.5..1.5,
        kinds in prop::collection::vec(0_u8..20, 4), named in prop::collection::vec(prop::bool::weighted(0.8), 4),
        canon in prop::bool::ANY, pole in prop::option::of(0.0..1.0), omega_min in 0.0..1.0, psi_min in 0.0..1.0,
        penalty in 0.0..2.0, weight in 0.0..1.0, ceil in 0.0..1.0, samples in 15_u32..60, paused in prop::bool::weighted(0.05),
    ) -> GateSituation {
        let mut spec = spec();
        spec.omega.formula = if canon { OmegaFormula::Canon } else { OmegaFormula::Exporter };
        (spec.omega.cvar_penalty, spec.omega.psi_weight) = (penalty, weight);
        (spec.thresholds.omega_min, spec.thresholds.psi_min) = (omega_min, psi_min);
        spec.thresholds.cvar_max = 0.5;
        spec.antifragile.omega_ceil = ceil;
        let values = [(SignalName::PSI, psi), (SignalName::CVAR, cvar), (SignalName::LATENCY, latency), (SignalName::OMEGA, omega)];
        let readings = values.into_iter().zip(kinds).zip(named).filter(|(_, named)| *named)
            .map(|(((name, value), kind), _)| (name, reading(value, kind))).collect();
        let situation = json!({"now": at(0), "spec": spec, "readings": {}, "samples": samples, "paused": paused});
        let situation: GateSituation = serde_json::from_value(situation).unwrap();
        GateSituation { readings, pole, ..situation }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn the_tuned_gate_admits_a_subset_of_what_the_untuned_admits(
        situation in situations(), rollbacks in 0..40_usize, age in 0..400_000_i64,
        status in prop::option::of((prop::num::f64::ANY, prop::num::f64::ANY)),
    ) {
        let then = at(-age);
        let spec = &situation.spec;
        let learned = match status {
            Some((omega, penalty)) => Learned::from_status(&LearnedStatus {
                omega_min: Some(omega), cvar_penalty: Some(penalty), since: Some(then.to_string()),
                ..LearnedStatus::default()
            }, spec, at(0)),
            None => (0..rollbacks).fold(None, |known: Option<Learned>, _| {
                Some(Learned::after_rollback(known.as_ref(), None, spec, then))
            }),
        };
        let untuned = evaluate(&situation).decision;
        let tuned = admit(&situation, learned.as_ref()).decision;
        prop_assert!(tuned != GateAnswer::Admit || untuned == GateAnswer::Admit, "{tuned:?} of {untuned:?}");
        if let Some(learned) = learned {
            prop_assert!(learned.omega_min >= spec.thresholds.omega_min);
            prop_assert!(learned.cvar_penalty >= spec.omega.cvar_penalty);
            let left = learned.at(spec, at(0));
            prop_assert!(left.omega_min >= spec.thresholds.omega_min && left.omega_min <= learned.omega_min);
        }
    }
}
