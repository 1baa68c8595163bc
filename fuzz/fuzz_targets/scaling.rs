//! The spec of a MatVerseScaling as a user writes it: refused by name, or served, and then within its own bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use matverse::api::scaling::MatVerseScalingSpec;
use matverse::decide::refused;
use matverse::simulate::door::{Door, Given};
use serde_json::{Value, json};

fuzz_target!(|text: &str| {
    let Ok(spec) = serde_json::from_str::<Value>(text) else { return };
    let Ok(read) = serde_json::from_value::<MatVerseScalingSpec>(spec.clone()) else { return };
    let served = refused(&read).is_empty();
    let mut door = Door::new(Given::default());
    for turn in 0..12 {
        let time = format!("2025-01-01T00:{:02}:{:02}Z", turn / 4, turn % 4 * 15);
        let value = [0.1, 0.9, 1e300, 0.0, -1.0, 0.5][turn % 6];
        let mut line = json!({
            "time": time, "workload": "shop/web", "replicas": {"desired": 3, "ready": 3},
            "readings": {
                "cpu": {"value": value, "sampledAt": time},
                "latency": {"value": value * 1000.0, "sampledAt": time},
                "throughput": {"value": 40.0, "sampledAt": time},
                "errors": null
            },
            "revision": {"current": "abc", "startedAt": "2024-12-31T00:00:00Z", "previous": ["def"]}
        });
        if turn == 0 {
            line["spec"] = spec.clone();
        }
        let mut out = Vec::new();
        door.line(&line.to_string(), &mut out);
        door.end(&mut out);
        let answer: Value = serde_json::from_slice(&out).unwrap();
        if let (true, Some("ScaleUp" | "ScaleDown")) = (served, answer["action"].as_str()) {
            let desired = answer["desired"].as_i64().unwrap();
            let (min, max) = (i64::from(read.min_replicas), i64::from(read.max_replicas));
            assert!((min..=max).contains(&desired), "{answer}");
        }
    }
});
