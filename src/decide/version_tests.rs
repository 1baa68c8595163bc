//! Decisions recorded by an earlier version of the rules come out again, bit for bit.

use serde_json::{Value, json};

use super::situation::Situation;
use super::{Decision, Version, decide, decide_by};

/// What the rules of a version decided when they were the newest, one situation with its decision a line.
const ONE: &str = include_str!("goldens/version-1.jsonl");
const TWO: &str = include_str!("goldens/version-2.jsonl");
const THREE: &str = include_str!("goldens/version-3.jsonl");
/// Beside the situations of the others 24 of one story: a slow dependency, its end, and twice the load.
const FOUR: &str = include_str!("goldens/version-4.jsonl");
/// The same situations and three of a workload that was rolled back a short while ago.
const FIVE: &str = include_str!("goldens/version-5.jsonl");

fn recorded(by: &'static str) -> impl Iterator<Item = (Situation, Value)> {
    by.lines().map(|line| {
        let entry: Value = serde_json::from_str(line).unwrap();
        (serde_json::from_value(entry["situation"].clone()).unwrap(), entry["decision"].clone())
    })
}

/// A decision with its id, as the goldens have it.
fn written(decision: &Decision) -> Value {
    let mut value = serde_json::to_value(decision).unwrap();
    value["id"] = json!(decision.id());
    value
}

#[test]
fn earlier_versions_decide_as_they_did() {
    for (version, by) in [
        (Version::One, ONE),
        (Version::Two, TWO),
        (Version::Three, THREE),
        (Version::Four, FOUR),
        (Version::Five, FIVE),
    ] {
        let mut actions = std::collections::BTreeSet::new();
        for (i, (situation, decision)) in recorded(by).enumerate() {
            let again = written(&decide_by(version, &situation));
            assert_eq!(again, decision, "{version:?}, line {}", i + 1);
            actions.insert(decision["action"].as_str().unwrap().to_owned());
        }
        assert_eq!(actions.len(), 5, "{actions:?}");
    }
}

#[test]
fn a_newer_version_differs_in_confidence_and_what_follows_from_it_alone() {
    for by in [ONE, TWO] {
        let mut otherwise = 0;
        for (situation, decision) in recorded(by) {
            let newest = written(&decide(&situation));
            assert_eq!(newest["policyVersion"], json!(Version::NEWEST.number()));
            otherwise += usize::from(newest["confidence"] != decision["confidence"]);
            if newest["action"] == decision["action"] {
                let known = |decision: &Value| {
                    let mut memory = decision["memory"].clone();
                    for newer in ["regrets", "scaleUpTrial"] {
                        memory.as_object_mut().map(|memory| memory.remove(newer));
                    }
                    memory
                };
                assert_eq!((&newest["plan"], known(&newest)), (&decision["plan"], known(&decision)));
            }
        }
        assert!(otherwise > 0, "a new version that changes nothing is none");
    }
}

#[test]
fn the_pool_is_named_from_version_4_on() {
    let share = crate::decide::situation::PoolShare { pool: "batch".into(), most: 3, short: false };
    let s = super::testing::Story::new().replicas(3).needs(6).with(|s| s.standing.pool = Some(share)).s;
    let of = |version| decide_by(version, &s).reasoning.to_string();
    assert!(of(Version::Four).contains("pool batch leaves 3"), "{}", of(Version::Four));
    assert!(of(Version::Three).contains("maxReplicas is"), "{}", of(Version::Three));
}
