//! Decisions recorded by an earlier version of the rules come out again, bit for bit.

use serde_json::{Value, json};

use super::situation::Situation;
use super::{Version, decide, decide_by};

/// What the rules of version 1 decided when they were the newest, one situation with its decision a line.
const ONE: &str = include_str!("goldens/version-1.jsonl");

fn recorded() -> impl Iterator<Item = (Situation, Value)> {
    ONE.lines().map(|line| {
        let entry: Value = serde_json::from_str(line).unwrap();
        (serde_json::from_value(entry["situation"].clone()).unwrap(), entry["decision"].clone())
    })
}

#[test]
fn version_one_decides_as_it_did() {
    let mut actions = std::collections::BTreeSet::new();
    for (i, (situation, decision)) in recorded().enumerate() {
        let again = serde_json::to_value(decide_by(Version::One, &situation)).unwrap();
        assert_eq!(again, decision, "line {}", i + 1);
        actions.insert(decision["action"].as_str().unwrap().to_owned());
    }
    assert_eq!(actions.len(), 5, "{actions:?}");
}

#[test]
fn version_two_differs_in_confidence_and_what_follows_from_it_alone() {
    let mut otherwise = 0;
    for (situation, decision) in recorded() {
        let newest = serde_json::to_value(decide(&situation)).unwrap();
        assert_eq!(newest["policyVersion"], json!(Version::NEWEST.number()));
        otherwise += usize::from(newest["confidence"] != decision["confidence"]);
        if newest["action"] == decision["action"] {
            assert_eq!((&newest["plan"], &newest["memory"]), (&decision["plan"], &decision["memory"]));
        }
    }
    assert!(otherwise > 0, "a new version that changes nothing is none");
}
