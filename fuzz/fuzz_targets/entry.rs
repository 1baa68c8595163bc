//! An entry line: taken apart and put together it is the same line, and its statement is the same statement.
#![no_main]

use libfuzzer_sys::fuzz_target;
use matverse::ledger::keys::Signer;
use matverse::ledger::statement::{Parts, Statement};

fuzz_target!(|text: &str| {
    let keys = [Signer::from_seed("prod/main", &[1; 32]).unwrap().verifier().clone()];
    // A statement alone is the likelier find, so it is read both as a line and within one.
    let around = format!("{{\"statement\":{text},\"keyid\":\"31914e94\",\"sig\":\"{}\"}}", "A".repeat(88));
    for line in [text, &around] {
        let Ok(parts) = Parts::of(line) else { continue };
        let Parts { statement, key_id, signature } = parts;
        assert_eq!(
            format!("{{\"statement\":{statement},\"keyid\":\"{key_id}\",\"sig\":\"{signature}\"}}"),
            line
        );
        let _ = parts.verify(&keys);
        let _ = parts.envelope();
        if let Ok(read) = parts.read() {
            let written = serde_json::to_string(&read).unwrap();
            assert_eq!(serde_json::from_str::<Statement>(&written).unwrap(), read);
        }
    }
});
