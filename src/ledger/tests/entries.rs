//! What an entry says, and that it says it exactly.

use base64::Engine;
use proptest::prelude::*;

use super::fixture::*;
use crate::ledger::statement::{Body, Entry, EntryError, Intent, MAX_ENTRY, Note, Parts, Predicate};
use crate::ledger::{LedgerError, text};
use crate::observe::reading::{Reading, SignalName};

fn predicate(body: Body) -> Predicate {
    Predicate { index: 7, epoch: 2, recorded_at: at(0), actor: "matverse-0".into(), body }
}

fn intent_entry() -> Entry {
    let situation = situation("web", 3, 10);
    let decision = scale(&situation, 5);
    let intent = Intent::new(&situation, &decision, true, at(40)).unwrap();
    Entry::sign(ORIGIN, predicate(Body::Intent(Box::new(intent))), &signer()).unwrap()
}

#[test]
fn an_intent_carries_the_whole_situation_bit_for_bit() {
    let entry = intent_entry();
    let parts = Parts::of(entry.line()).unwrap();
    parts.verify(&keys()).unwrap();
    let statement = parts.read().unwrap();
    let Body::Intent(intent) = statement.predicate.body else { panic!("an intent") };
    assert_eq!(intent.situation, situation("web", 3, 10));
    assert_eq!(intent.subject, "deployments/shop/web");
    assert_eq!(statement.subject[0].digest.sha256, intent.pre);
    assert_eq!(statement.subject[0].annotations.as_ref().unwrap().uid, "uid-web");
    let cpu = intent.situation.observed.evidence.readings[&SignalName::CPU].fresh().unwrap().0;
    assert_eq!(cpu.to_bits(), (0.1_f64 + 0.2).to_bits());
}

#[test]
fn the_dsse_envelope_is_rebuilt_and_its_signature_holds() {
    let entry = intent_entry();
    let parts = Parts::of(entry.line()).unwrap();
    let envelope: serde_json::Value = serde_json::from_str(&parts.envelope()).unwrap();
    assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
    let payload =
        base64::engine::general_purpose::STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    assert_eq!(payload, parts.statement.as_bytes());
    let mut message = format!("DSSEv1 28 application/vnd.in-toto+json {} ", payload.len()).into_bytes();
    message.extend_from_slice(&payload);
    let signature = text::unbase64(envelope["signatures"][0]["sig"].as_str().unwrap()).unwrap();
    assert!(keys()[0].verifies(&message, &signature));
    let statement: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://matverse.io/attestation/decision/v1");
    assert_eq!(statement["predicate"]["kind"], "intent");
}

#[test]
fn every_byte_of_a_line_is_covered() {
    let note = Note { topic: "paused".into(), message: "by ana".into(), ..Note::default() };
    let entry = Entry::sign(ORIGIN, predicate(Body::Note(note)), &signer()).unwrap();
    for at in 0..entry.line().len() {
        let mut bytes = entry.line().as_bytes().to_vec();
        bytes[at] ^= 1;
        let changed = String::from_utf8(bytes).unwrap();
        let stands = Parts::of(&changed).is_ok_and(|parts| parts.verify(&keys()).is_ok());
        assert!(!stands, "{changed}");
    }
}

#[test]
fn too_much_or_inexact_is_an_error_and_never_an_entry() {
    let note = Note { topic: "x".into(), message: "y".repeat(MAX_ENTRY), ..Note::default() };
    let error = Entry::sign(ORIGIN, predicate(Body::Note(note)), &signer()).unwrap_err();
    assert!(matches!(error, EntryError::TooLarge { bytes } if bytes > MAX_ENTRY));
    let mut odd = situation("web", 3, 10);
    let nan = Reading::Fresh { value: f64::NAN, sampled_at: at(0) };
    odd.observed.evidence.readings.insert(SignalName::CPU, nan);
    let intent = Intent::new(&odd, &scale(&odd, 5), true, at(40)).unwrap();
    let error = Entry::sign(ORIGIN, predicate(Body::Intent(Box::new(intent))), &signer()).unwrap_err();
    assert_eq!(error.kind(), "entry_inexact");
}

/// Eight signals with estimates, three comparisons, two revisions side by side, a full stabilisation window.
#[test]
fn a_rich_situation_fits_into_an_entry() {
    let mut rich = situation("checkout-service-frontend", 17, 10);
    let value = |n: usize| 1_234.567_890_123_456_7 / (n as f64 + 1.0);
    for n in 0..8 {
        let name =
            SignalName::new(["cpu", "omega", "psi", "cvar", "latency", "throughput", "errors", "beta"][n]);
        let fresh = Reading::Fresh { value: value(n), sampled_at: at(5) };
        rich.observed.evidence.readings.insert(name.clone(), fresh.clone());
        for revision in ["6d4cf56db6", "79f8b6d5f7"] {
            let side = rich.observed.evidence.by_revision.entry(revision.into()).or_default();
            if (4..7).contains(&n) {
                side.insert(name.clone(), fresh.clone());
            }
        }
        let estimate = crate::orient::Estimate {
            level: value(n),
            slope: value(n + 1),
            level_sd: value(n + 2),
            slope_sd: value(n + 3),
            forecast: value(n + 4),
            forecast_sd: value(n + 5),
            nis: value(n + 6),
            anomaly: value(n + 7),
            samples: 100_000,
        };
        rich.picture.signals.insert(name.clone(), estimate);
        if n >= 5 {
            rich.picture.comparisons.push(crate::orient::Comparison {
                signal: name,
                baseline: crate::orient::Baseline::SideBySide,
                verdict: crate::orient::Verdict::Undecided,
                e_worse: value(n),
                e_not_worse: value(n),
                looks: 1000,
                baseline_level: value(n),
                current_level: value(n),
                onset: Some(at(3)),
                load_explains: false,
                one_sided: None,
            });
        }
    }
    for n in 0..20 {
        rich.memory.recommendations.push((at(n), 17));
    }
    let workload = rich.observed.workload.as_mut().unwrap();
    workload.previous = vec![workload.current.clone(); 3];
    let mut decision = scale(&rich, 20);
    let verdict = decision.rules[0].clone();
    let because = "utilisation 0.8123 of 0.70 at the horizon of 45 s, n* = 20, P(kept) = .97".into();
    decision.rules = vec![crate::decide::situation::RuleVerdict { because, ..verdict }; 5];
    let intent = Intent::new(&rich, &decision, true, at(40)).unwrap();
    let entry = Entry::sign(ORIGIN, predicate(Body::Intent(Box::new(intent))), &signer()).unwrap();
    assert!(entry.line().len() < MAX_ENTRY * 2 / 3, "{}", entry.line().len());
    assert!(intent_entry().line().len() < 5000);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_acted_on() {
    let store = crate::ledger::memory::MemoryStore::default();
    let (ledger, _) = open(&store, settings(), 0).await.unwrap();
    let mut large = situation("web", 3, 10);
    large.memory.announced = vec!["x".repeat(MAX_ENTRY)];
    let error = ledger.intend(&large, scale(&large, 5), at(10)).await.unwrap_err();
    assert_eq!(error.kind(), "entry_too_large");
    let plain = situation("web", 3, 10);
    let mut shown = scale(&plain, 5);
    shown.act = false;
    let error = ledger.intend(&plain, shown, at(10)).await.unwrap_err();
    assert!(matches!(error, LedgerError::NotAnAct(_)));
    let other = scale(&situation("api", 3, 10), 5);
    assert_eq!(ledger.intend(&plain, other, at(10)).await.unwrap_err().kind(), "not_an_act");
    let mut absent = situation("web", 3, 10);
    let decision = scale(&absent, 5);
    absent.observed.workload = None;
    assert_eq!(ledger.intend(&absent, decision, at(10)).await.unwrap_err().kind(), "not_an_act");
    assert_eq!(ledger.head().size, 2, "genesis and epoch alone");
    assert_eq!(ledger.available(), Ok(()));
}

proptest! {
    #[test]
    fn any_finite_number_survives(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        let mut situation = situation("web", 3, 10);
        let reading = Reading::Fresh { value, sampled_at: at(0) };
        situation.observed.evidence.readings.insert(SignalName::CPU, reading);
        let intent = Intent::new(&situation, &scale(&situation, 5), true, at(40)).unwrap();
        let entry = Entry::sign(ORIGIN, predicate(Body::Intent(Box::new(intent))), &signer()).unwrap();
        let statement = Parts::of(entry.line()).unwrap().read().unwrap();
        let Body::Intent(again) = statement.predicate.body else { panic!("an intent") };
        let (read, _) = again.situation.observed.evidence.readings[&SignalName::CPU].fresh().unwrap();
        prop_assert_eq!(read.to_bits(), bits);
    }

    #[test]
    fn no_text_makes_the_parsers_panic(line in ".{0,300}") {
        let _ = Parts::of(&line).map(|parts| (parts.verify(&keys()).is_ok(), parts.read().is_ok()));
        let _ = crate::ledger::checkpoint::SignedCheckpoint::open(&line, &keys());
        let _ = crate::ledger::attestation::parse(&line);
        let _ = crate::ledger::verify::read("x", line.as_bytes());
    }
}
