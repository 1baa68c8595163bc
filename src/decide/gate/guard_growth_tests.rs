//! The gates of Σ-Guard and growth: off, unknown, yes and no of each, and that nothing makes up for a failure.

use serde_json::{Value, json};

use super::*;
use crate::api::gate::AdmittedStatus;
use crate::decide::testing::at;
use crate::observe::reading::Reading;

fn fresh(value: f64) -> Reading {
    Reading::Fresh { value, sampled_at: at(-5) }
}

/// 30 samples, all basic gates good, and whatever else a test names.
fn with(spec: &Value, more: &[(&str, f64)]) -> GateSituation {
    let mut whole = json!({"targetRef": {"name": "cart"}});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let mut readings: Readings =
        [(SignalName::PSI, fresh(0.95)), (SignalName::CVAR, fresh(0.02)), (SignalName::LATENCY, fresh(50.0))]
            .into();
    readings.extend(more.iter().map(|(name, value)| (SignalName::new(name), fresh(*value))));
    GateSituation {
        now: at(0),
        spec: serde_json::from_value(whole).unwrap(),
        readings,
        samples: 30,
        revision_started_at: Some(at(-600)),
        pole: None,
        earlier_linf: EarlierLinf::Of(0.55),
        paused: false,
    }
}

/// Values of every signal there is, with which every gate holds.
const GOOD: [(&str, f64); 43] = [
    ("ece", 0.01),
    ("rhoBias", 1.05),
    ("fairness", 0.8),
    ("consent", 1.0),
    ("ecoKg", 1.0),
    ("rho", 0.9),
    ("sr.calibration", 0.8),
    ("sr.ethics", 1.0),
    ("sr.metacognition", 0.7),
    ("sr.autocorrection", 0.6),
    ("g.1", 0.9),
    ("g.2", 0.9),
    ("g.3", 0.9),
    ("g.4", 0.9),
    ("g.5", 0.9),
    ("g.6", 0.9),
    ("g.7", 0.9),
    ("g.8", 0.9),
    ("oci.memory", 0.9),
    ("oci.flow", 0.8),
    ("oci.policy", 0.9),
    ("oci.feedback", 0.8),
    ("linf.rsi", 0.6),
    ("linf.synergy", 0.6),
    ("linf.novelty", 0.5),
    ("linf.stability", 0.7),
    ("linf.viability", 0.8),
    ("linf.cost", 0.2),
    ("caos.c", 0.6),
    ("caos.a", 0.6),
    ("caos.o", 0.6),
    ("caos.s", 0.6),
    ("agape.1", 0.8),
    ("agape.2", 0.7),
    ("agape.3", 0.9),
    ("agape.4", 0.6),
    ("score.u", 0.8),
    ("score.s", 0.9),
    ("score.c", 0.2),
    ("score.l", 0.7),
    // Of use to no gate.
    ("cpu", 0.4),
    ("beta", 1.1),
    ("throughput", 100.0),
];

fn all() -> Value {
    json!({"sigmaGuard": {}, "growth": {"agapeMin": 0.7}})
}

fn without(name: &str) -> GateSituation {
    let mut s = with(&all(), &GOOD);
    s.readings.remove(&SignalName::new(name)).unwrap();
    s
}

fn changed(name: &str, reading: Reading) -> GateSituation {
    let mut s = with(&all(), &GOOD);
    s.readings.insert(SignalName::new(name), reading);
    s
}

#[track_caller]
fn row(d: &GateDecision, name: &str) -> GateResult {
    d.gates.iter().find(|gate| gate.name == name).unwrap_or_else(|| panic!("{name}: {d:#?}")).clone()
}

fn names(d: &GateDecision) -> Vec<&str> {
    d.gates.iter().map(|gate| gate.name.as_str()).collect()
}

const ORDER: [&str; 17] = [
    "ece",
    "rhoBias",
    "fairness",
    "consent",
    "ecoKg",
    "rho",
    "sr",
    "g",
    "oci",
    "deltaLinf",
    "caosPhi",
    "agape",
    "score",
    "psi",
    "cvar",
    "theta",
    "omega",
];

/// Which signal each gate of the two groups is made of.
fn gate_of(signal: &str) -> Option<&'static str> {
    let prefix = signal.split('.').next().unwrap();
    ORDER.into_iter().take(13).find(|gate| match prefix {
        "linf" => *gate == "deltaLinf",
        "caos" => *gate == "caosPhi",
        other => *gate == other,
    })
}

#[test]
fn all_gates_in_their_order_with_the_published_values() {
    let d = evaluate(&with(&all(), &GOOD));
    assert_eq!(d.decision, GateAnswer::Admit, "{d:#?}");
    assert_eq!(names(&d), ORDER);
    assert!(d.gates.iter().all(|gate| gate.pass == Pass::Yes));
    for (name, value) in
        [("sr", 0.803_059), ("g", 0.9), ("oci", 0.847_058), ("caosPhi", 0.361_616), ("agape", 0.733_091)]
    {
        assert!((row(&d, name).value.unwrap() - value).abs() < 1e-6, "{name}: {:?}", row(&d, name));
    }
    assert!((d.linf.unwrap() - 0.611_714).abs() < 1e-6);
    assert!((row(&d, "deltaLinf").value.unwrap() - 0.061_714).abs() < 1e-6);
    assert_eq!(row(&d, "deltaLinf").reason, "0.062 needs ≥ 0.02; L∞ 0.612 against 0.55");
    assert_eq!(row(&d, "caosPhi").reason, "0.362 needs ≥ 0; as (1 + κCA)^OS 2.133");
    assert!((row(&d, "score").value.unwrap() - 0.80).abs() < 1e-12);
}

#[test]
fn a_gate_nobody_asks_for_is_not_there_and_one_whose_signal_is_named_is() {
    assert_eq!(names(&evaluate(&with(&json!({}), &[]))), ["psi", "cvar", "theta", "omega"]);
    let named = evaluate(&with(&json!({}), &[("ece", 0.5), ("score.u", 0.5)]));
    assert_eq!(names(&named), ["ece", "score", "psi", "cvar", "theta", "omega"]);
    assert_eq!(named.decision, GateAnswer::Block, "a named signal is never skipped");
    let given = evaluate(&with(&json!({"sigmaGuard": {}, "growth": {}}), &[]));
    assert_eq!(given.decision, GateAnswer::Admit);
    for name in ORDER.iter().take(13).filter(|name| **name != "agape") {
        assert_eq!(row(&given, name).pass, Pass::Off, "{name}");
    }
}

#[test]
fn each_part_that_is_not_named_beside_others_makes_its_gate_unknown() {
    for (signal, _) in GOOD.iter().filter(|(signal, _)| gate_of(signal).is_some()) {
        let gate = gate_of(signal).unwrap();
        let d = evaluate(&without(signal));
        let found = row(&d, gate);
        if signal.starts_with("agape") {
            assert!(found.value.is_some(), "Agápe is of the parts that are named");
        } else if is_guard(gate) {
            assert_eq!(found.pass, Pass::Off, "{signal}");
        } else {
            assert_eq!((d.decision, found.pass), (GateAnswer::Unknown, Pass::Unknown), "{signal}");
            assert_eq!(found.reason, format!("{signal} is not named"));
        }
    }
}

#[test]
fn each_signal_that_is_not_to_be_believed_admits_nothing() {
    let states = [
        Reading::Stale { age_seconds: Some(500.0) },
        Reading::Missing,
        Reading::NotFinite,
        Reading::Ambiguous { series: 2 },
        Reading::WrongType,
        Reading::OutOfRange { value: 65.0 },
        Reading::Idle,
        Reading::SourceDown { why: "timeout".into() },
        fresh(f64::NAN),
        fresh(-0.5),
        Reading::Fresh { value: 0.9, sampled_at: at(-601) },
    ];
    for (signal, _) in GOOD.iter().filter(|(signal, _)| gate_of(signal).is_some()) {
        for state in &states {
            let d = evaluate(&changed(signal, state.clone()));
            let found = row(&d, gate_of(signal).unwrap());
            assert_eq!((d.decision, found.pass), (GateAnswer::Unknown, Pass::Unknown), "{signal} {state:?}");
            assert_eq!(found.value, None);
        }
    }
}

#[test]
fn one_failure_of_any_blocks_whatever_the_rest() {
    for (signal, bad) in [
        ("ece", 0.0101),
        ("rhoBias", 1.06),
        ("fairness", 0.79),
        ("consent", 0.999),
        ("ecoKg", 1.01),
        ("rho", 1.0),
        ("sr.ethics", 0.0),
        ("g.3", 0.1),
        ("oci.flow", 0.1),
        ("linf.novelty", 0.0),
        ("agape.2", 0.1),
        ("score.u", 0.0),
    ] {
        let d = evaluate(&changed(signal, fresh(bad)));
        assert_eq!(d.decision, GateAnswer::Block, "{signal}: {d:#?}");
        assert_eq!(row(&d, gate_of(signal).unwrap()).pass, Pass::No, "{signal}");
    }
    let mut strict = with(&all(), &GOOD);
    strict.spec.growth.as_mut().unwrap().caos_phi_min = 0.37;
    assert_eq!(evaluate(&strict).decision, GateAnswer::Block);
    strict.spec.on_fail = OnFail::Quarantine;
    let soft = evaluate(&strict);
    assert_eq!((soft.decision, soft.fails_hard()), (GateAnswer::Quarantine, true));
    assert!(!evaluate(&with(&json!({}), &[("omega", 0.5)])).fails_hard(), "Ω is soft");
}

#[test]
fn contractivity_is_below_one_whatever_the_owner_allows_and_warns_before() {
    let rho = |max: f64, value: f64| {
        let mut s = changed("rho", fresh(value));
        s.spec.sigma_guard.as_mut().unwrap().rho_max = max;
        row(&evaluate(&s), "rho")
    };
    assert_eq!(rho(10.0, 1.0).pass, Pass::No);
    assert_eq!(rho(10.0, 1.0).reason, "1 needs < 1");
    assert_eq!(rho(1.0, 0.949).reason, "0.949 needs < 1");
    assert_eq!(rho(1.0, 0.95).reason, "0.95 needs < 1; close to 1, where risk grows");
    assert_eq!((rho(0.5, 0.6).pass, rho(0.5, 0.4).pass), (Pass::No, Pass::Yes));
}

#[test]
fn a_score_between_the_marks_does_not_pass_and_says_what_it_is_enough_for() {
    let score = |u: f64| row(&evaluate(&changed("score.u", fresh(u))), "score");
    assert_eq!((score(0.47).pass, score(0.46).pass), (Pass::Yes, Pass::No));
    assert_eq!(score(0.3).reason, "0.65 needs ≥ 0.7; enough for a canary, not to pass");
    assert_eq!(score(0.1).reason, "0.59 needs ≥ 0.7");
}

#[test]
fn consent_is_off_only_where_the_owner_says_so() {
    let mut s = changed("consent", fresh(0.0));
    s.spec.sigma_guard.as_mut().unwrap().require_consent = false;
    let d = evaluate(&s);
    assert_eq!((row(&d, "consent").pass, d.decision), (Pass::Off, GateAnswer::Admit));
}

#[test]
fn the_guard_may_ask_for_more_samples_than_the_evidence() {
    let mut s = with(&all(), &GOOD);
    s.spec.sigma_guard.as_mut().unwrap().min_samples = 31;
    let d = evaluate(&s);
    assert_eq!((row(&d, "ece").reason.as_str(), row(&d, "psi").pass), ("30 of 31 samples", Pass::Yes));
    assert_eq!(d.decision, GateAnswer::Unknown);
    s.samples = 31;
    assert_eq!(evaluate(&s).decision, GateAnswer::Admit);
}

#[test]
fn ethics_that_fail_veto_sr_and_growth_and_ethics_that_are_unknown_leave_them_unknown() {
    let d = evaluate(&changed("ece", fresh(0.5)));
    assert_eq!((row(&d, "sr").value, d.linf), (Some(0.0), Some(0.0)));
    let d = evaluate(&changed("ece", Reading::Missing));
    assert_eq!((row(&d, "sr").pass, row(&d, "deltaLinf").pass, d.linf), (Pass::Unknown, Pass::Unknown, None));
    assert_eq!(row(&d, "sr").reason, "ethics are not known: ece is Missing");
}

#[test]
fn growth_needs_something_to_grow_beyond() {
    let against = |earlier| {
        let mut s = with(&all(), &GOOD);
        s.earlier_linf = earlier;
        let d = evaluate(&s);
        (row(&d, "deltaLinf").pass, d.decision)
    };
    assert_eq!(against(EarlierLinf::None), (Pass::Off, GateAnswer::Admit));
    assert_eq!(against(EarlierLinf::Of(0.59)), (Pass::Yes, GateAnswer::Admit));
    assert_eq!(against(EarlierLinf::Of(0.60)), (Pass::No, GateAnswer::Block));
    for doubtful in [EarlierLinf::Unknown, EarlierLinf::Of(f64::NAN), EarlierLinf::Of(-3.0)] {
        assert_eq!(against(doubtful), (Pass::Unknown, GateAnswer::Unknown), "{doubtful:?}");
    }
    assert_eq!(row(&evaluate(&without("linf.cost")), "deltaLinf").pass, Pass::Unknown);
}

#[test]
fn agape_counts_only_where_it_is_named_and_bounded() {
    let mut s = with(&all(), &GOOD);
    s.spec.growth.as_mut().unwrap().agape_min = None;
    assert_eq!(row(&evaluate(&s), "agape").reason, "growth.agapeMin is not given");
    let none = evaluate(&with(&json!({"growth": {"agapeMin": 0.9}}), &[]));
    assert_eq!((row(&none, "agape").pass, none.decision), (Pass::Off, GateAnswer::Admit));
}

#[test]
fn what_was_admitted_before_is_what_is_grown_beyond() {
    let mut seen = Vec::new();
    let admit = |seen: &mut Vec<_>, template: &str, linf| remember(seen, template, GateAnswer::Admit, linf);
    assert_eq!(earlier_linf(&seen, "a"), EarlierLinf::None);
    admit(&mut seen, "a", Some(0.5));
    admit(&mut seen, "a", Some(0.52));
    assert_eq!(earlier_linf(&seen, "a"), EarlierLinf::None, "nothing grows beyond itself");
    assert_eq!(earlier_linf(&seen, "b"), EarlierLinf::Of(0.52), "as it was admitted last");
    remember(&mut seen, "b", GateAnswer::Block, Some(0.9));
    assert_eq!(earlier_linf(&seen, "c"), EarlierLinf::Of(0.52), "what was not admitted does not count");
    admit(&mut seen, "b", Some(0.6));
    admit(&mut seen, "c", None);
    assert_eq!(
        (earlier_linf(&seen, "c"), earlier_linf(&seen, "d")),
        (EarlierLinf::Of(0.6), EarlierLinf::Of(0.6))
    );
    // Back to b: c is forgotten, and b is held to what it was held to before.
    remember(&mut seen, "b", GateAnswer::Unknown, None);
    assert_eq!(seen.iter().map(|entry| entry.template.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(earlier_linf(&seen, "b"), EarlierLinf::Of(0.52));
    for template in ["c", "d", "e", "f"] {
        admit(&mut seen, template, Some(0.7));
    }
    assert_eq!(seen.len(), 4, "bounded");
    seen.last_mut().unwrap().linf = Some(7.0);
    assert_eq!(earlier_linf(&seen, "g"), EarlierLinf::Unknown, "nonsense in status holds");
}

#[test]
fn a_revision_stands_while_its_hard_gates_hold() {
    let mut seen = Vec::new();
    let mut stands = |answer| {
        remember(&mut seen, "a", answer, None);
        seen.first().map(|entry| entry.stands)
    };
    assert_eq!(stands(GateAnswer::Block), None, "never admitted");
    assert_eq!(stands(GateAnswer::Admit), Some(true));
    assert_eq!(stands(GateAnswer::Unknown), Some(true));
    assert_eq!(stands(GateAnswer::Block), Some(false));
    assert_eq!(stands(GateAnswer::Unknown), Some(false));
    assert_eq!(stands(GateAnswer::Quarantine), Some(true));
}

#[test]
fn a_fault_is_charged_only_by_a_gate_that_blocks_and_asks() {
    let revision = crate::decide::testing::revision("7d9f", "t-new", 7, at(-600));
    let failing = Failing { since: at(-60), after: None, turns: 4 };
    let stood = AdmittedStatus { template: "t-old".into(), linf: None, stands: true };
    let charge = |s: &GateSituation, failing: &Failing, admitted: &[AdmittedStatus]| {
        fault(s, &evaluate(s), &revision, failing, at(-590), admitted)
    };
    let mut s = changed("cvar", fresh(0.17));
    s.readings.insert(SignalName::new("ece"), fresh(0.2));
    assert_eq!(charge(&s, &failing, &[]), None, "onFail: Block");
    s.spec.on_fail = OnFail::Rollback;
    let found = charge(&s, &failing, std::slice::from_ref(&stood)).unwrap();
    assert_eq!(found.gates, ["ece", "sr", "deltaLinf", "cvar"]);
    assert!(found.text.starts_with("ece 0.2 needs ≤ 0.01, sr 0 needs ≥ 0.8"), "{}", found.text);
    assert_eq!((found.onset, found.after), (at(-590), at(-600)), "never admitted: since the rollout");
    assert_eq!((found.stood.as_deref(), found.turns, found.samples), (Some("t-old"), 4, 30));
    let held = Failing { after: Some(at(-75)), ..failing };
    let late = charge(&s, &held, std::slice::from_ref(&stood)).unwrap();
    assert_eq!((late.onset, late.after), (at(-60), at(-75)));
    let restarted = [stood.clone(), AdmittedStatus { template: "t-new".into(), ..stood.clone() }];
    let after_restart = charge(&s, &failing, &restarted).unwrap();
    assert_eq!((after_restart.onset, after_restart.after), (at(-60), at(-60)), "it was admitted once");
    let fallen = [AdmittedStatus { stands: false, ..stood }];
    assert_eq!(charge(&s, &failing, &fallen).unwrap().stood, None);
    s.readings.insert(SignalName::new("ece"), fresh(0.0));
    s.readings.insert(SignalName::CVAR, fresh(0.02));
    assert_eq!(charge(&s, &failing, &[]), None, "it does not block");
}

#[test]
fn an_old_situation_without_the_new_field_is_read() {
    let mut value = serde_json::to_value(with(&json!({}), &[])).unwrap();
    value.as_object_mut().unwrap().remove("earlierLinf");
    let again: GateSituation = serde_json::from_value(value).unwrap();
    assert_eq!(again.earlier_linf, EarlierLinf::None);
    let exact = with(&all(), &GOOD);
    let text = serde_json::to_string(&exact).unwrap();
    assert_eq!(serde_json::from_str::<GateSituation>(&text).unwrap(), exact);
}

#[test]
fn a_champion_s_growth_is_of_fresh_parts_or_not_believed() {
    let s = with(&json!({}), &GOOD);
    let (linf, at_) = linf_of(&s.readings).unwrap();
    assert!((linf - 0.611_714).abs() < 1e-6);
    assert_eq!(at_, at(-5));
    assert_eq!(champion_linf(&s.readings), EarlierLinf::Of(linf));
    for doubtful in [Reading::Missing, fresh(f64::NAN), fresh(1.5)] {
        let mut readings = s.readings.clone();
        readings.insert(SignalName::new("linf.cost"), doubtful);
        assert_eq!((linf_of(&readings), champion_linf(&readings)), (None, EarlierLinf::Unknown));
    }
    assert_eq!(champion_linf(&with(&json!({}), &[]).readings), EarlierLinf::None);
}
