//! The gate, each answer and each way not to admit.

use serde_json::json;

use super::*;
use crate::decide::testing::at;
use crate::observe::reading::Reading;

fn fresh(value: f64) -> Reading {
    Reading::Fresh { value, sampled_at: at(-5) }
}

/// 212 samples, Ψ .93, `CVaR` .05, latency 200 ms; Ω = .91 by the exporter form.
fn good() -> GateSituation {
    GateSituation {
        now: at(0),
        spec: serde_json::from_value(json!({"targetRef": {"name": "cart"}})).unwrap(),
        readings: [
            (SignalName::PSI, fresh(0.93)),
            (SignalName::CVAR, fresh(0.05)),
            (SignalName::LATENCY, fresh(200.0)),
        ]
        .into(),
        samples: 212,
        revision_started_at: Some(at(-600)),
        pole: None,
        earlier_linf: EarlierLinf::None,
        paused: false,
    }
}

fn with(name: SignalName, reading: Reading) -> GateSituation {
    let mut situation = good();
    situation.readings.insert(name, reading);
    situation
}

fn passes(d: &GateDecision) -> Vec<Pass> {
    d.gates.iter().map(|gate| gate.pass).collect()
}

#[test]
fn all_gates_hold() {
    let d = evaluate(&good());
    assert_eq!(d.decision, GateAnswer::Admit);
    assert_eq!(
        d.gates.iter().map(|gate| gate.name.as_str()).collect::<Vec<_>>(),
        ["psi", "cvar", "theta", "omega"]
    );
    assert_eq!(passes(&d), [Pass::Yes; 4]);
    assert!((d.omega.unwrap() - 0.91).abs() < 1e-12);
    assert!((d.theta.unwrap() - 0.818_730_753).abs() < 1e-9);
    assert_eq!(d.gates[2].reason, "200 ms, limit 357 ms");
    assert!((d.gates[1].margin.unwrap() - 0.05).abs() < 1e-12);
    assert_eq!(d.reasoning, "Admit: all gates hold (212 samples since the rollout)");
}

#[test]
fn the_first_pages_example_blocks() {
    let d = evaluate(&with(SignalName::CVAR, fresh(0.17)));
    assert_eq!(d.decision, GateAnswer::Block);
    assert_eq!(d.reasoning, "Block: cvar (212 samples since the rollout)");
    assert!((d.gates[1].margin.unwrap() + 0.07).abs() < 1e-12);
}

#[test]
fn one_hard_failure_blocks_whatever_the_rest() {
    let mut s = with(SignalName::LATENCY, fresh(400.0));
    s.readings.insert(SignalName::PSI, Reading::Missing);
    assert_eq!(evaluate(&s).decision, GateAnswer::Block);
    s.spec.on_fail = OnFail::Quarantine;
    assert_eq!(evaluate(&s).decision, GateAnswer::Quarantine);
    s.spec.on_fail = OnFail::Rollback;
    assert_eq!(evaluate(&s).decision, GateAnswer::Block);
}

#[test]
fn low_omega_alone_is_a_quarantine() {
    let d = evaluate(&with(SignalName::OMEGA, fresh(0.80)));
    assert_eq!(d.decision, GateAnswer::Quarantine);
    assert_eq!(d.reasoning, "Quarantine: omega (212 samples since the rollout)");
}

#[test]
fn the_bound_itself_passes() {
    let d = evaluate(&with(SignalName::PSI, fresh(0.85)));
    assert_eq!(d.gates[0].pass, Pass::Yes);
    let d = evaluate(&with(SignalName::CVAR, fresh(0.10)));
    assert_eq!(d.gates[1].pass, Pass::Yes);
}

#[test]
fn what_cannot_be_believed_is_unknown_and_never_an_admission() {
    let states = [
        Reading::Stale { age_seconds: None },
        Reading::Missing,
        Reading::NotFinite,
        Reading::Ambiguous { series: 2 },
        Reading::WrongType,
        Reading::OutOfRange { value: 65.0 },
        Reading::Idle,
        Reading::SourceDown { why: "timeout".into() },
        fresh(f64::NAN),
        Reading::Fresh { value: 0.99, sampled_at: at(-601) },
    ];
    for name in [SignalName::PSI, SignalName::CVAR, SignalName::LATENCY, SignalName::OMEGA] {
        for state in &states {
            let d = evaluate(&with(name.clone(), state.clone()));
            assert_eq!(d.decision, GateAnswer::Unknown, "{name} {state:?}: {d:#?}");
        }
    }
    assert_eq!(evaluate(&with(SignalName::LATENCY, fresh(-1.0))).decision, GateAnswer::Unknown);
}

#[test]
fn evidence_from_before_the_rollout_does_not_count() {
    let old = Reading::Fresh { value: 0.93, sampled_at: at(-630) };
    let d = evaluate(&with(SignalName::PSI, old.clone()));
    assert_eq!(d.gates[0].reason, "psi was sampled 30 s before the rollout");
    let mut s = with(SignalName::PSI, old);
    s.revision_started_at = None;
    assert_eq!(evaluate(&s).reasoning, "Admit: all gates hold (212 samples)");
}

#[test]
fn too_few_samples_decide_nothing_not_even_a_block() {
    let mut s = with(SignalName::CVAR, fresh(0.9));
    s.samples = 19;
    let d = evaluate(&s);
    assert_eq!((d.decision, passes(&d)), (GateAnswer::Unknown, vec![Pass::Unknown; 4]));
    assert_eq!(d.gates[1].reason, "19 of 20 samples");
    s.samples = 20;
    assert_eq!(evaluate(&s).decision, GateAnswer::Block);
}

#[test]
fn a_gate_whose_signal_nobody_named_is_off_and_all_off_is_unknown() {
    let mut s = good();
    s.readings.remove(&SignalName::LATENCY);
    let d = evaluate(&s);
    assert_eq!((d.decision, d.gates[2].pass), (GateAnswer::Admit, Pass::Off));
    assert_eq!(d.gates[2].status().threshold, None);
    s.readings.remove(&SignalName::CVAR);
    let d = evaluate(&s);
    assert_eq!(passes(&d), [Pass::Yes, Pass::Off, Pass::Off, Pass::Off]);
    s.readings.clear();
    let d = evaluate(&s);
    assert_eq!((d.decision, passes(&d)), (GateAnswer::Unknown, vec![Pass::Off; 4]));
    assert!(d.reasoning.contains("no signal is named"));
}

#[test]
fn paused_admits_nothing() {
    let d = evaluate(&GateSituation { paused: true, ..good() });
    assert_eq!(d.decision, GateAnswer::Unknown);
    assert_eq!(passes(&d), [Pass::Yes; 4], "and still shows");
}

#[test]
fn where_read_and_computed_disagree_the_smaller_counts() {
    let omega = |read| evaluate(&with(SignalName::OMEGA, fresh(read))).omega.unwrap();
    assert!((omega(0.99) - 0.91).abs() < 1e-12);
    assert_eq!(omega(0.70), 0.70);
}

#[test]
fn the_canon_form_needs_the_ledger_only_where_it_matters() {
    let canon = |pole, psi| {
        let mut s = with(SignalName::PSI, fresh(psi));
        s.spec.omega.formula = OmegaFormula::Canon;
        s.pole = pole;
        evaluate(&s)
    };
    // .4·.95 + .3·.8187 + .2·.95 = .8156; with PoLE .9156.
    assert!((canon(Some(1.0), 0.95).omega.unwrap() - 0.915_619).abs() < 1e-6);
    assert_eq!(canon(Some(1.0), 0.95).decision, GateAnswer::Admit);
    assert_eq!(canon(Some(0.0), 0.95).decision, GateAnswer::Quarantine);
    let unchecked = canon(None, 0.95);
    assert_eq!(unchecked.decision, GateAnswer::Unknown);
    assert!(unchecked.gates[3].reason.contains("the ledger was not checked"));
    let mut easy = with(SignalName::PSI, fresh(0.95));
    easy.spec.omega.formula = OmegaFormula::Canon;
    easy.spec.thresholds.omega_min = 0.8;
    assert_eq!(evaluate(&easy).decision, GateAnswer::Admit);
    easy.spec.thresholds.omega_min = 0.95;
    assert_eq!(evaluate(&easy).decision, GateAnswer::Quarantine);
    easy.readings.remove(&SignalName::LATENCY);
    assert_eq!(evaluate(&easy).gates[3].pass, Pass::Off);
}

#[test]
fn the_answer_becomes_a_limit_and_a_status_row() {
    let views = [GateAnswer::Admit, GateAnswer::Quarantine, GateAnswer::Block, GateAnswer::Unknown]
        .map(GateAnswer::view);
    assert_eq!(views, [GateView::Admit, GateView::Quarantine, GateView::Block, GateView::Unknown]);
    let row = evaluate(&with(SignalName::CVAR, fresh(0.17))).gates[1].status();
    assert_eq!((row.name.as_str(), row.pass.as_str(), row.threshold), ("cvar", "No", Some(0.1)));
    assert_eq!(Pass::Unknown.as_str(), "Unknown");
    assert_eq!(Pass::Off.as_str(), "Off");
}

#[test]
fn the_same_situation_gives_the_same_bytes() {
    let s = with(SignalName::OMEGA, fresh(0.7));
    let text = serde_json::to_string(&s).unwrap();
    let again: GateSituation = serde_json::from_str(&text).unwrap();
    let bytes = |s: &GateSituation| serde_json::to_string(&evaluate(s)).unwrap();
    assert_eq!(bytes(&s), bytes(&again));
}
