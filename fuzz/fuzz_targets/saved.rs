//! A saved file, and all of verification on what is read from it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use matverse::ledger::keys::Signer;
use matverse::ledger::verify::{Request, Signatures, Verdict, read, verify};

fuzz_target!(|bytes: &[u8]| {
    let keys = vec![Signer::from_seed("prod/main", &[1; 32]).unwrap().verifier().clone()];
    let Ok(objects) = read("saved", bytes) else { return };
    let since = objects.iter().find_map(|object| object.data.get("checkpoint").cloned());
    let request = Request { objects, keys, since, ..Request::default() };
    let all = verify(&request);
    let quick = verify(&Request { signatures: Signatures::Checkpoint, ..request });
    // Nobody without the key can make a root that matches over other entries.
    assert_eq!(all.verdict == Verdict::Good, quick.verdict == Verdict::Good);
});
