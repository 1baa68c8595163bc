//! What the ledger on the scripted server says, read as anybody could read it.

use std::collections::BTreeMap;

use matverse::ledger::keys::VerifierKey;
use matverse::ledger::verify::{Request, Saved, Signatures, Verdict, verify};
use serde_json::Value;

use super::api_server::ApiServer;

pub const LEDGER: &str = "matverse-ledger";

/// The ledger, verified.
pub struct Record {
    /// Predicates of all entries, in order.
    pub entries: Vec<Value>,
}

impl Record {
    /// Reads and verifies; a ledger that does not verify ends the test.
    pub fn read(server: &ApiServer, key: &VerifierKey) -> Self {
        let objects = server.list("configmaps", LEDGER);
        let saved: Vec<Saved> = objects
            .iter()
            .map(|o| Saved {
                name: o["metadata"]["name"].as_str().unwrap().to_owned(),
                namespace: Some(LEDGER.to_owned()),
                immutable: o["immutable"] == Value::Bool(true),
                data: serde_json::from_value::<BTreeMap<String, String>>(o["data"].clone()).unwrap(),
            })
            .collect();
        let mut lines: Vec<(u64, Value)> = Vec::new();
        for object in &saved {
            for line in object.data.get("entries").into_iter().flat_map(|entries| entries.lines()) {
                let entry: Value = serde_json::from_str(line).unwrap();
                let predicate = entry["statement"]["predicate"].clone();
                lines.push((predicate["index"].as_u64().unwrap(), predicate));
            }
        }
        lines.sort_by_key(|(index, _)| *index);
        // Founding takes two writes, and a test may look between them.
        if saved.iter().any(|object| object.name == "founded") {
            let report = verify(&Request {
                objects: saved,
                keys: vec![key.clone()],
                since: None,
                now: None,
                signatures: Signatures::All,
            });
            assert_eq!(report.verdict, Verdict::Good, "{:#?}", report.findings);
        }
        Self { entries: lines.into_iter().map(|(_, p)| p).collect() }
    }

    /// Entries of one kind.
    pub fn of(&self, kind: &str) -> Vec<&Value> {
        self.entries.iter().filter(|e| e["kind"] == kind).collect()
    }

    /// Results of the outcomes, in order.
    pub fn results(&self) -> Vec<String> {
        self.of("outcome")
            .iter()
            .map(|o| o["outcome"]["result"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Every intent has exactly one outcome, and no outcome is without its intent.
    pub fn assert_paired(&self) {
        let intents: Vec<u64> = self.of("intent").iter().map(|i| i["index"].as_u64().unwrap()).collect();
        let mut outcomes: Vec<u64> =
            self.of("outcome").iter().map(|o| o["intent"].as_u64().unwrap()).collect();
        outcomes.sort_unstable();
        assert_eq!(intents, outcomes, "intents and outcomes: {:#?}", self.entries);
    }
}
