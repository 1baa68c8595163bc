//! The record of an event: one line that anyone can hash to the same digest.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::event::{Event, Workload};
use super::score::APPROVED;
use super::window::Score;

/// Characters of an id: half a digest, far more than any file has lines.
const ID: usize = 32;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// From the digest of the record without its id, so that the same record has the same id.
    pub id: String,
    /// SHA-256 of [`Record::line`], in hex.
    pub digest: String,
    /// The canonical JSON (RFC 8785), without a newline.
    pub line: String,
}

impl Record {
    /// The record of `event` of `workload`, which came at `at` and after which the window stands as in `score`.
    ///
    /// # Errors
    /// In words, where it has no canonical form; what [`super::event::read`] gives always has one.
    pub fn of(event: &Event, workload: &Workload, at: Timestamp, score: &Score) -> Result<Self, String> {
        let Value::Object(mut fields) = json!({
            "timestamp": at.to_string(),
            "model": event.model,
            "input": event.input,
            "output": event.output,
            "context": event.context,
            "omega_gate": gate(event, workload, score),
        }) else {
            return Err("a record is an object".to_owned());
        };
        let id: String = sha256(&canonical(&fields)?).chars().take(ID).collect();
        fields.insert("id".to_owned(), Value::String(id.clone()));
        let line = canonical(&fields)?;
        Ok(Self { id, digest: sha256(&line), line })
    }
}

/// What the exporter made of the event, and what else the event said.
fn gate(event: &Event, workload: &Workload, score: &Score) -> Value {
    let mut gate = json!({
        "workload": workload.to_string(),
        "psi": event.psi,
        "subscores": event.subscores,
        "approved": event.psi >= APPROVED,
        "omega": score.omega,
        "cvar": score.cvar,
        "samples": score.samples,
    });
    let mut say = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            gate[name] = value;
        }
    };
    let mut outcome = Map::new();
    if let Some((confidence, correct)) = event.calibrated {
        outcome
            .extend([("confidence".to_owned(), json!(confidence)), ("correct".to_owned(), json!(correct))]);
    }
    if let Some((group, positive)) = &event.grouped {
        outcome.extend([("group".to_owned(), json!(group)), ("positive".to_owned(), json!(positive))]);
    }
    say("outcome", (!outcome.is_empty()).then_some(Value::Object(outcome)));
    say("consent", event.consent.map(Value::from));
    say("ecoKg", event.eco_kg.map(Value::from));
    say("risk", event.risk.map(Value::from));
    say("stress", event.stress.map(|_| Value::Bool(true)));
    say("intensity", event.stress.and_then(|s| s.level).map(|level| json!(f64::from(level) / 100.0)));
    gate
}

fn canonical(fields: &Map<String, Value>) -> Result<String, String> {
    serde_json_canonicalizer::to_string(fields).map_err(|e| e.to_string())
}

/// SHA-256 of a text, in lower-case hex.
#[must_use]
pub fn sha256(text: &str) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        hex += &format!("{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::super::event::read;
    use super::*;

    fn record(event: &str) -> Record {
        let at: Timestamp = "2030-01-01T00:00:00.5Z".parse().unwrap();
        let event = read(event.as_bytes(), &[], at).unwrap();
        let score = Score { psi: Some(0.9), cvar: None, omega: None, samples: 3 };
        Record::of(&event, &"shop/cart".parse().unwrap(), at, &score).unwrap()
    }

    const EVENT: &str =
        r#"{"psi": 0.9, "model": "m", "input": {"b": 1e2, "a": "é"}, "stress": true, "intensity": 0.5}"#;

    #[test]
    fn the_line_is_canonical_and_has_all_fields() {
        let record = record(EVENT);
        assert_eq!(
            record.line,
            format!(
                "{{\"context\":null,\"id\":\"{}\",\"input\":{{\"a\":\"é\",\"b\":100}},\"model\":\"m\",\
                 \"omega_gate\":{{\"approved\":true,\"cvar\":null,\"intensity\":0.5,\"omega\":null,\"psi\":0.9,\
                 \"samples\":3,\"stress\":true,\"subscores\":{{}},\"workload\":\"shop/cart\"}},\"output\":null,\
                 \"timestamp\":\"2030-01-01T00:00:00.5Z\"}}",
                record.id
            )
        );
        assert_eq!(record.id.len(), 32);
    }

    #[test]
    fn digest_and_id_can_be_checked_from_the_line_alone() {
        let record = record(EVENT);
        assert_eq!(sha256(&record.line), record.digest);
        let mut read: Map<String, Value> = serde_json::from_str(&record.line).unwrap();
        read.remove("id");
        assert!(sha256(&canonical(&read).unwrap()).starts_with(&record.id));
    }

    #[test]
    fn the_same_event_gives_the_same_record_and_another_does_not() {
        assert_eq!(record(EVENT), record(EVENT));
        let spaced = EVENT.replace(": ", " :   ");
        assert_eq!(record(&spaced), record(EVENT), "spaces mean nothing");
        assert_ne!(record(&EVENT.replace("0.9", "0.8")).id, record(EVENT).id);
    }

    #[test]
    fn the_digest_is_sha_256() {
        assert_eq!(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn what_was_said_of_the_outcome_is_kept() {
        let line = record(
            r#"{"psi":1,"outcome":{"confidence":0.75,"correct":false,"group":"a","positive":true},"consent":false,"ecoKg":1,"risk":0}"#,
        )
        .line;
        let wanted = r#""consent":false,"cvar":null,"ecoKg":1,"omega":null,"outcome":{"confidence":0.75,"correct":false,"group":"a","positive":true},"#;
        assert!(line.contains(wanted), "{line}");
    }
}
