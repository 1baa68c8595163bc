//! A note, as it comes; and a text that the real key signs: it opens only if it states what a checkpoint states.
#![no_main]

use libfuzzer_sys::fuzz_target;
use matverse::ledger::checkpoint::SignedCheckpoint;
use matverse::ledger::keys::Signer;
use matverse::ledger::text::base64;
use matverse::ledger::witness::cosigned_at;

fuzz_target!(|text: &str| {
    let signer = Signer::from_seed("prod/main", &[1; 32]).unwrap();
    let keys = [signer.verifier().clone()];
    if let Ok(opened) = SignedCheckpoint::open(text, &keys) {
        assert_eq!(opened.note(), text);
    }
    let witness = Signer::from_seed("prod/main", &[1; 32]).unwrap().into_witness().unwrap();
    let _ = cosigned_at(text, witness.verifier());
    let blob = [&signer.verifier().id()[..], &signer.sign(text.as_bytes())].concat();
    let note = format!("{text}\n— prod/main {}\n", base64(&blob));
    if let Ok(opened) = SignedCheckpoint::open(&note, &keys) {
        let stated = opened.checkpoint();
        let begins = format!("{}\n{}\n{}\n", stated.origin, stated.size, base64(&stated.root));
        assert!(text.starts_with(&begins) && text.ends_with('\n'), "{text:?}");
        assert_eq!(opened.note(), note);
    }
});
