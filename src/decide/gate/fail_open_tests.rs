//! The eleven fail-open cases of the field, replayed against every gate there is: each must refuse.

use serde_json::json;

use super::*;
use crate::decide::testing::at;
use crate::observe::reading::Reading;

/// One signal of each gate.
const ONE_OF_EACH: [&str; 16] = [
    "ece",
    "rhoBias",
    "fairness",
    "consent",
    "ecoKg",
    "rho",
    "sr.ethics",
    "g.1",
    "oci.flow",
    "linf.rsi",
    "caos.c",
    "agape.1",
    "score.u",
    "psi",
    "cvar",
    "latency",
];

fn fresh(value: f64) -> Reading {
    Reading::Fresh { value, sampled_at: at(-1) }
}

/// Every gate named and good, with 200 samples.
fn good() -> GateSituation {
    let mut readings: Readings = growth::signals().map(|name| (SignalName::new(name), fresh(1.0))).collect();
    for (name, value) in [
        ("ece", 0.0),
        ("rhoBias", 1.0),
        ("fairness", 1.0),
        ("consent", 1.0),
        ("ecoKg", 0.0),
        ("rho", 0.1),
        ("agape.1", 1.0),
        ("score.c", 0.0),
        ("linf.cost", 0.0),
        ("psi", 0.99),
        ("cvar", 0.01),
        ("latency", 20.0),
    ] {
        readings.insert(SignalName::new(name), fresh(value));
    }
    let spec = json!({"targetRef": {"name": "web"}, "sigmaGuard": {}, "growth": {"agapeMin": 0.5}});
    GateSituation {
        now: at(0),
        spec: serde_json::from_value(spec).unwrap(),
        readings,
        samples: 200,
        revision_started_at: Some(at(-600)),
        pole: None,
        earlier_linf: EarlierLinf::Of(0.5),
        paused: false,
    }
}

/// Every gate in turn with its signal replaced must make the whole unknown.
#[track_caller]
fn unknown(reading: &Reading) {
    for name in ONE_OF_EACH {
        let mut s = good();
        s.readings.insert(SignalName::new(name), reading.clone());
        assert_eq!(evaluate(&s).decision, GateAnswer::Unknown, "{name} {reading:?}");
    }
}

#[test]
fn the_control_admits() {
    let d = evaluate(&good());
    assert_eq!((d.decision, d.gates.len()), (GateAnswer::Admit, 17), "{d:#?}");
    assert!(d.gates.iter().all(|gate| gate.pass == Pass::Yes));
}

#[test]
fn a_rule_with_no_condition() {
    let mut s = good();
    s.readings.clear();
    let d = evaluate(&s);
    assert_eq!(d.decision, GateAnswer::Unknown);
    assert!(d.gates.iter().all(|gate| gate.pass == Pass::Off), "blocks alone are no condition");
}

#[test]
fn nan_against_fails_if_above() {
    unknown(&fresh(f64::NAN));
    unknown(&Reading::NotFinite);
    let mut s = good();
    s.spec.sigma_guard.as_mut().unwrap().ece_max = f64::NAN;
    assert_eq!(evaluate(&s).decision, GateAnswer::Block, "nor does a bound that is NaN");
}

#[test]
fn all_or_any_over_an_empty_result() {
    unknown(&Reading::Missing);
    let mut s = good();
    s.readings.retain(|name, _| !name.as_str().starts_with("g.") || name.as_str() == "g.1");
    assert_eq!(evaluate(&s).decision, GateAnswer::Unknown, "the mean of one module is not G");
}

#[test]
fn an_analysis_ended_early() {
    for samples in [0, 19] {
        let d = evaluate(&GateSituation { samples, ..good() });
        assert_eq!(d.decision, GateAnswer::Unknown);
        assert!(d.gates.iter().all(|gate| gate.pass == Pass::Unknown), "{samples}");
    }
}

#[test]
fn empty_nan_or_infinite_read_as_0() {
    for reading in [Reading::Missing, Reading::NotFinite, fresh(f64::INFINITY), fresh(f64::NEG_INFINITY)] {
        unknown(&reading);
    }
}

#[test]
fn a_group_with_no_data_scoring_100() {
    unknown(&Reading::Missing);
    unknown(&Reading::Idle);
    let d = evaluate(&GateSituation { earlier_linf: EarlierLinf::Unknown, ..good() });
    assert_eq!(d.decision, GateAnswer::Unknown);
}

#[test]
fn two_series_and_the_last_one_wins() {
    unknown(&Reading::Ambiguous { series: 2 });
}

#[test]
fn an_unknown_name_skipped_as_passed() {
    let mut s = good();
    let ece = s.readings.remove(&SignalName::new("ece")).unwrap();
    s.readings.insert(SignalName::new("eceMisspelt"), ece);
    let d = evaluate(&s);
    let row = d.gates.iter().find(|gate| gate.name == "ece").unwrap();
    assert_eq!(row.pass, Pass::Off, "shown as off, not as passed");
    s.readings.retain(|name, _| name.as_str() == "eceMisspelt");
    assert_eq!(evaluate(&s).decision, GateAnswer::Unknown);
    assert!(!uses("eceMisspelt") && ONE_OF_EACH.into_iter().all(uses), "and `gate check --from` refuses it");
}

#[test]
fn checks_that_fail_for_ever_without_a_verdict() {
    let mut s = good();
    s.readings.insert(SignalName::CVAR, Reading::SourceDown { why: "timeout".into() });
    for turn in 0..50 {
        s.now = at(turn * 15);
        let d = evaluate(&s);
        assert_eq!(d.decision, GateAnswer::Unknown);
        assert!(d.reasoning.starts_with("Unknown: cvar"), "said each time: {}", d.reasoning);
    }
}

#[test]
fn failure_after_promotion() {
    let mut s = good();
    s.revision_started_at = Some(at(-86_400));
    s.readings.insert(SignalName::new("consent"), fresh(0.0));
    assert_eq!(evaluate(&s).decision, GateAnswer::Block, "a day later it is still judged");
    let mut seen = vec![crate::api::gate::AdmittedStatus { template: "t".into(), linf: None, stands: true }];
    remember(&mut seen, "t", GateAnswer::Block, None);
    assert!(!seen[0].stands);
}

#[test]
fn a_policy_check_that_ignores_its_own_failure() {
    for on_fail in [OnFail::Block, OnFail::Quarantine, OnFail::Rollback] {
        for (name, bad) in [("consent", 0.0), ("rho", 1.0), ("sr.ethics", 0.0), ("cvar", 0.5)] {
            let mut s = good();
            s.spec.on_fail = on_fail;
            s.readings.insert(SignalName::new(name), fresh(bad));
            assert_ne!(evaluate(&s).decision, GateAnswer::Admit, "{on_fail:?} {name}");
        }
    }
}
