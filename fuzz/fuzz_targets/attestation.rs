//! The annotation of an act: what is read from it gives the same text again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use matverse::ledger::EntryRef;
use matverse::ledger::attestation::{attestation, parse};
use matverse::ledger::text::{base64, hex};

fuzz_target!(|text: &str| {
    let Some(read) = parse(text) else { return };
    let entry = EntryRef {
        origin: read.origin,
        index: read.index,
        leaf: hex(&read.leaf),
        size: read.size,
        root: base64(&read.root),
        signature: base64(&read.signature),
        epoch: 0,
    };
    assert_eq!(attestation(&entry), text);
});
