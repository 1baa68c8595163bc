//! Verifier keys have one spelling; private keys are read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use matverse::ledger::keys::{Signer, VerifierKey};

fuzz_target!(|text: &str| {
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(key.to_string(), text);
    }
    let _ = Signer::from_pkcs8_pem("prod/main", text);
});
