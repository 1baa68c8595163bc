//! A file of C2SP tlog-proof that carries its entry: read and written it is the same, and its verification ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use matverse::ledger::keys::Signer;
use matverse::ledger::proof::Proof;

fuzz_target!(|text: &str| {
    let keys = [Signer::from_seed("prod/main", &[1; 32]).unwrap().verifier().clone()];
    let Ok(proof) = Proof::parse(text) else { return };
    assert_eq!(proof.to_text(), text);
    let _ = proof.verify(&keys);
});
