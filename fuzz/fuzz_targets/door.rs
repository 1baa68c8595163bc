//! The streaming door: whatever a line is, it is answered or refused, in JSON, and the stream goes on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use matverse::decide::pool::Budget;
use matverse::simulate::door::{Door, Given};
use serde_json::Value;

fuzz_target!(|text: &str| {
    let budget = Budget { max_replicas: 10, namespaces: vec!["*".to_owned()] };
    let mut door = Door::new(Given { pools: [("small".to_owned(), budget)].into(), ..Given::default() });
    let mut out = Vec::new();
    for line in text.split('\n').take(64) {
        door.line(line, &mut out);
    }
    door.end(&mut out);
    for line in out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        serde_json::from_slice::<Value>(line).unwrap();
    }
});
