//! The data of a tail and of a segment. The checkpoint is made to fit, so that what follows it is reached too.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use matverse::ledger::checkpoint::Checkpoint;
use matverse::ledger::keys::Signer;
use matverse::ledger::merkle::{Frontier, leaf_hash};
use matverse::ledger::tail::{Segment, Tail, lines_of, segment_name, segment_start};
use matverse::ledger::text::decimal;

fuzz_target!(|text: &str| {
    let signer = Signer::from_seed("prod/main", &[1; 32]).unwrap();
    let keys = [signer.verifier().clone()];
    let mut parts = text.splitn(5, '\u{1}');
    let mut part = || parts.next().unwrap_or("").to_owned();
    let [sealed, size, epoch, frontier, entries] = [part(), part(), part(), part(), part()];
    if let Some(start) = segment_start(&sealed) {
        assert_eq!(segment_name(start), sealed);
    }
    let start = decimal(&sealed).unwrap_or(0);
    let segment = [("entries", &entries), ("frontier", &frontier)];
    let segment = segment.map(|(key, value)| (key.to_owned(), value.clone())).into();
    if let Ok(read) = Segment::parse(start, &segment) {
        assert_eq!(read.data(), segment);
    }
    let mut tree = Frontier::from_text(start, &frontier).unwrap_or_default();
    if u64::MAX - tree.size() > 1 << 20 {
        for line in lines_of(&entries).unwrap_or_default() {
            tree.append(leaf_hash(line.as_bytes()));
        }
    }
    let stated = Checkpoint { origin: "prod/main".to_owned(), size: tree.size(), root: tree.root() };
    let checkpoint = stated.sign(&signer).note().to_owned();
    let data: BTreeMap<String, String> = [
        ("checkpoint", checkpoint),
        ("entries", entries),
        ("epoch", epoch),
        ("frontier", frontier),
        ("sealed", sealed),
        ("size", size),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    if let Ok(tail) = Tail::parse("prod/main", &data, &keys) {
        assert_eq!(tail.data(), data);
    }
});
