//! Cosignatures (C2SP tlog-cosignature): somebody else states that, so far, the ledger has only grown.
//!
//! ```text
//!  signed:     cosignature/v1
//!              time 1700000000
//!              the text of the checkpoint
//!  added:      — auditor.example/w1 base64(key id ‖ time, 64 bits ‖ signature)
//! ```
//!
//! A cosignature over a checkpoint says that no other history of this size was shown to the witness. Whoever holds
//! the ledger's key can sign two histories, but cannot have both of them cosigned.

use jiff::Timestamp;

use super::checkpoint::{CheckpointError, SignedCheckpoint, note_parts};
use super::keys::{Signer, VerifierKey};
use super::text;

fn message(seconds: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

/// The note of `checkpoint` with a cosignature of now added. That it continues what the witness saw before is for
/// the caller to have checked.
///
/// # Errors
/// [`CheckpointError::Malformed`] before 1970, or where the note has no room for another signature.
pub fn cosign(
    checkpoint: &SignedCheckpoint,
    witness: &Signer,
    now: Timestamp,
) -> Result<String, CheckpointError> {
    let seconds =
        u64::try_from(now.as_second()).map_err(|_| CheckpointError::Malformed("a time before 1970"))?;
    let (text, _) = note_parts(checkpoint.note())?;
    let signature = witness.sign(message(seconds, text).as_bytes());
    let blob = [&witness.verifier().id()[..], &seconds.to_be_bytes(), &signature].concat();
    let line = format!("— {} {}\n", witness.verifier().name(), text::base64(&blob));
    let note = format!("{}{line}", checkpoint.note());
    note_parts(&note)?;
    Ok(note)
}

/// When `witness` cosigned the note.
///
/// # Errors
/// [`CheckpointError::OtherKey`] where it did not, [`CheckpointError::Signature`] where that does not hold.
pub fn cosigned_at(note: &str, witness: &VerifierKey) -> Result<Timestamp, CheckpointError> {
    let (text, lines) = note_parts(note)?;
    let blob = lines
        .iter()
        .find(|line| line.name == witness.name() && line.id == witness.id())
        .map(|line| &line.signature)
        .ok_or_else(|| CheckpointError::OtherKey {
            wanted: format!("{}+{}", witness.name(), text::hex(&witness.id())),
            found: lines
                .iter()
                .map(|l| format!("{}+{}", l.name, text::hex(&l.id)))
                .collect::<Vec<_>>()
                .join(", "),
        })?;
    let wrong = || CheckpointError::Signature(witness.name().to_owned());
    let (seconds, signature) = blob.split_first_chunk::<8>().ok_or_else(wrong)?;
    let seconds = u64::from_be_bytes(*seconds);
    if !witness.verifies(message(seconds, text).as_bytes(), signature) {
        return Err(wrong());
    }
    i64::try_from(seconds).ok().and_then(|s| Timestamp::from_second(s).ok()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::checkpoint::Checkpoint;
    use crate::ledger::merkle::empty_root;

    fn signed() -> (SignedCheckpoint, Vec<VerifierKey>) {
        let signer = Signer::from_seed("prod/main", &[1; 32]).unwrap();
        let checkpoint = Checkpoint { origin: "prod/main".into(), size: 42, root: empty_root() };
        (checkpoint.sign(&signer), vec![signer.verifier().clone()])
    }

    #[test]
    fn a_cosigned_note_is_a_checkpoint_still_and_says_when() {
        let (checkpoint, keys) = signed();
        let witness = Signer::from_seed("auditor/w1", &[2; 32]).unwrap().into_witness().unwrap();
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let note = cosign(&checkpoint, &witness, now).unwrap();
        assert_eq!(SignedCheckpoint::open(&note, &keys).unwrap().checkpoint(), checkpoint.checkpoint());
        assert_eq!(cosigned_at(&note, witness.verifier()), Ok(now));
        let vkey = witness.verifier().to_string();
        assert_eq!(VerifierKey::parse_witness(&vkey).as_ref(), Ok(witness.verifier()));
        assert!(VerifierKey::parse(&vkey).is_err(), "a witness does not sign a ledger");
        let absent = cosigned_at(checkpoint.note(), witness.verifier());
        assert!(matches!(absent, Err(CheckpointError::OtherKey { .. })));
        let line = note.lines().last().unwrap();
        let other = note.replace(line, &line.replace('A', "B"));
        assert!(cosigned_at(&other, witness.verifier()).is_err());
    }

    #[test]
    fn the_example_of_the_format_has_the_time_that_it_states() {
        // No key is printed beside the example, so only its layout can be read.
        let blob = text::unbase64("jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==").unwrap();
        assert_eq!(blob.len(), 4 + 8 + 64);
        assert_eq!(u64::from_be_bytes(blob[4..12].try_into().unwrap()), 1_679_315_147);
    }
}
