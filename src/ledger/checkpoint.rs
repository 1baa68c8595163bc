//! Checkpoints: the state of the tree in one signed note (C2SP signed-note and tlog-checkpoint).
//!
//! ```text
//!  prod/main                                       origin
//!  42                                              size
//!  Xdnp…Yyg=                                       root, base64
//!                                                  (an empty line)
//!  — prod/main 2J3p…8Q==                           key name, base64(key id ‖ signature)
//! ```

use super::keys::{KeyRing, Signer, VerifierKey, is_name};
use super::merkle::Hash;
use super::text;

/// Most signature lines of a note.
const MAX_SIGNATURES: usize = 16;
/// Longest note, in bytes.
const MAX_NOTE: usize = 16 * 1024;
/// Most extension lines that are carried.
const MAX_EXTENSIONS: usize = 16;

/// Why a note is not a checkpoint to rely on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is not of the format.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// No signature line names one of the keys.
    #[error("not signed by {wanted}, but by {found}")]
    OtherKey {
        /// Names of the given keys.
        wanted: String,
        /// Names and ids on its signature lines.
        found: String,
    },
    /// A signature by one of the keys is wrong.
    #[error("the signature by {0} does not hold")]
    Signature(String),
    /// It speaks of another ledger.
    #[error("its origin is {0:?}")]
    Origin(String),
}

impl CheckpointError {
    /// Bounded name for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "checkpoint_malformed",
            Self::OtherKey { .. } => "checkpoint_other_key",
            Self::Signature(_) => "checkpoint_signature",
            Self::Origin(_) => "checkpoint_origin",
        }
    }
}

/// The state of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which ledger.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, text::base64(&self.root))
    }

    /// Signs it.
    #[must_use]
    pub fn sign(self, signer: &Signer) -> SignedCheckpoint {
        let text = self.text();
        let signature = signer.sign(text.as_bytes());
        let note = format!("{text}\n{}", signature_line(signer, &signature));
        SignedCheckpoint { checkpoint: self, note, signature }
    }

    /// Signs it with every key of a ring, the current one first.
    #[must_use]
    pub fn sign_all(self, keys: &KeyRing) -> SignedCheckpoint {
        let text = self.text();
        let mut signed = self.sign(&keys.current);
        if let Some(retiring) = &keys.retiring {
            signed.note += &signature_line(retiring, &retiring.sign(text.as_bytes()));
        }
        signed
    }

    /// Whether `signature` (64 bytes) is one of `key` over this checkpoint, as annotations carry it.
    #[must_use]
    pub fn is_signed_by(&self, key: &VerifierKey, signature: &[u8]) -> bool {
        key.verifies(self.text().as_bytes(), signature)
    }
}

/// A checkpoint whose signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: String,
    signature: [u8; 64],
}

impl SignedCheckpoint {
    /// Reads a note and demands a signature by one of `keys`; lines of other keys are ignored.
    ///
    /// # Errors
    /// [`CheckpointError`]; a wrong signature by one of the keys counts even if another holds.
    pub fn open(note: &str, keys: &[VerifierKey]) -> Result<Self, CheckpointError> {
        let parsed = Note::parse(note)?;
        let mut good = None;
        for line in &parsed.signatures {
            let Some(key) = keys.iter().find(|k| k.name() == line.name && k.id() == line.id) else {
                continue;
            };
            let wrong = || CheckpointError::Signature(key.name().to_owned());
            let signature: [u8; 64] = line.signature.as_slice().try_into().map_err(|_| wrong())?;
            if !key.verifies(parsed.text.as_bytes(), &signature) {
                return Err(wrong());
            }
            good = good.or(Some(signature));
        }
        let Some(signature) = good else {
            let name = |name: &str, id: [u8; 4]| format!("{name}+{}", text::hex(&id));
            return Err(CheckpointError::OtherKey {
                wanted: keys.iter().map(|k| name(k.name(), k.id())).collect::<Vec<_>>().join(", "),
                found: parsed.signatures.iter().map(|l| name(l.name, l.id)).collect::<Vec<_>>().join(", "),
            });
        };
        Ok(Self { checkpoint: parsed.checkpoint, note: note.to_owned(), signature })
    }

    /// The state of the tree.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note, byte for byte.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }

    /// The signature that holds: 64 bytes.
    #[must_use]
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }
}

fn signature_line(signer: &Signer, signature: &[u8; 64]) -> String {
    let blob = [&signer.verifier().id()[..], signature].concat();
    format!("— {} {}\n", signer.verifier().name(), text::base64(&blob))
}

/// The size that a note states, before anything of it is relied on.
#[must_use]
pub fn stated_size(note: &str) -> Option<u64> {
    note.split('\n').nth(1).and_then(text::decimal)
}

/// The text that is signed, and the signature lines.
pub(super) fn note_parts(note: &str) -> Result<(&str, Vec<Line<'_>>), CheckpointError> {
    Note::parse(note).map(|note| (note.text, note.signatures))
}

/// One signature line.
pub(super) struct Line<'a> {
    /// Name of the key.
    pub name: &'a str,
    /// Its id.
    pub id: [u8; 4],
    /// What follows the id.
    pub signature: Vec<u8>,
}

struct Note<'a> {
    text: &'a str,
    checkpoint: Checkpoint,
    signatures: Vec<Line<'a>>,
}

impl<'a> Note<'a> {
    fn parse(note: &'a str) -> Result<Self, CheckpointError> {
        use CheckpointError::Malformed;
        if note.len() > MAX_NOTE {
            return Err(Malformed("longer than 16 KiB"));
        }
        if note.chars().any(|c| c.is_control() && c != '\n') {
            return Err(Malformed("a control character"));
        }
        // The last empty line parts text and signatures, because text may hold empty lines in general notes.
        let split = note.rfind("\n\n").ok_or(Malformed("no empty line before the signatures"))?;
        let (text, lines) = (&note[..=split], &note[split + 2..]);
        let checkpoint = parse_text(text)?;
        let lines = lines.strip_suffix('\n').ok_or(Malformed("no newline at the end"))?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == MAX_SIGNATURES {
                return Err(Malformed("more than 16 signatures"));
            }
            signatures.push(parse_line(line)?);
        }
        Ok(Self { text, checkpoint, signatures })
    }
}

fn parse_text(text: &str) -> Result<Checkpoint, CheckpointError> {
    use CheckpointError::Malformed;
    let mut lines = text.strip_suffix('\n').ok_or(Malformed("no newline after the text"))?.split('\n');
    let origin = lines.next().filter(|o| is_name(o)).ok_or(Malformed("origin"))?;
    let size = lines.next().and_then(text::decimal).ok_or(Malformed("size"))?;
    let root = lines.next().and_then(text::unbase64_hash).ok_or(Malformed("root"))?;
    let extensions: Vec<&str> = lines.collect();
    if extensions.len() > MAX_EXTENSIONS || extensions.iter().any(|line| line.is_empty()) {
        return Err(Malformed("extension lines"));
    }
    Ok(Checkpoint { origin: origin.to_owned(), size, root })
}

fn parse_line(line: &str) -> Result<Line<'_>, CheckpointError> {
    use CheckpointError::Malformed;
    let rest = line.strip_prefix("— ").ok_or(Malformed("a signature line does not begin with a dash"))?;
    let (name, blob) = rest.split_once(' ').ok_or(Malformed("a signature line without a key name"))?;
    if !is_name(name) {
        return Err(Malformed("key name"));
    }
    let blob = text::unbase64(blob).ok_or(Malformed("a signature is not base64"))?;
    let Some((id, signature)) = blob.split_first_chunk::<4>().filter(|(_, rest)| !rest.is_empty()) else {
        return Err(Malformed("a signature is too short"));
    };
    Ok(Line { name, id: *id, signature: signature.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::merkle;

    fn signer() -> Signer {
        Signer::from_seed("prod/main", &[1; 32]).unwrap()
    }

    fn signed() -> SignedCheckpoint {
        Checkpoint { origin: "prod/main".into(), size: 42, root: merkle::empty_root() }.sign(&signer())
    }

    #[test]
    fn a_note_is_laid_out_as_the_format_says() {
        let note = signed().note().to_owned();
        let lines: Vec<&str> = note.split('\n').collect();
        assert_eq!(&lines[..4], ["prod/main", "42", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", ""]);
        assert!(lines[4].starts_with("— prod/main "), "{note}");
        assert_eq!(&lines[5..], [""]);
    }

    #[test]
    fn it_opens_with_its_key_alone() {
        let signed = signed();
        let key = signer().verifier().clone();
        assert_eq!(SignedCheckpoint::open(signed.note(), &[key]).as_ref(), Ok(&signed));
        let other = Signer::from_seed("prod/main", &[2; 32]).unwrap();
        let error = SignedCheckpoint::open(signed.note(), &[other.verifier().clone()]).unwrap_err();
        assert_eq!(error.kind(), "checkpoint_other_key");
        assert!(signed.checkpoint().is_signed_by(signer().verifier(), signed.signature()));
        assert!(!signed.checkpoint().is_signed_by(other.verifier(), signed.signature()));
    }

    #[test]
    fn every_byte_counts() {
        let signed = signed();
        let keys = [signer().verifier().clone()];
        for at in 0..signed.note().len() {
            for flip in [1_u8, 2, 0x10, 0x20] {
                let mut bytes = signed.note().as_bytes().to_vec();
                bytes[at] ^= flip;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                assert!(SignedCheckpoint::open(&changed, &keys).is_err(), "{changed}");
            }
        }
    }

    #[test]
    fn signatures_of_strangers_are_ignored_up_to_sixteen_lines() {
        let keys = [signer().verifier().clone()];
        let stranger = Signer::from_seed("witness", &[9; 32]).unwrap();
        let line =
            Checkpoint { origin: "prod/main".into(), size: 42, root: merkle::empty_root() }.sign(&stranger);
        let line = line.note().rsplit_once("\n\n").unwrap().1.to_owned();
        let with = |n: usize| format!("{}{}", signed().note(), line.repeat(n));
        assert!(SignedCheckpoint::open(&with(15), &keys).is_ok());
        assert!(SignedCheckpoint::open(&with(16), &keys).is_err());
    }

    #[test]
    fn malformed_notes_are_refused() {
        let good = signed().note().to_owned();
        let keys = [signer().verifier().clone()];
        for bad in [
            good.replace("\n42\n", "\n042\n"),
            good.replace("\n42\n", "\n+42\n"),
            good.replace('\n', "\r\n"),
            good.trim_end().to_owned(),
            format!("{good}\n"),
            good.replace("\n\n", "\n"),
            good.replacen("prod/main", "prod main", 1),
            good.replace("— ", "- "),
            String::new(),
        ] {
            let error = SignedCheckpoint::open(&bad, &keys).unwrap_err();
            assert_eq!(error.kind(), "checkpoint_malformed", "{bad:?}");
        }
    }

    #[test]
    fn the_example_note_of_the_format_verifies() {
        let key =
            VerifierKey::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let line = parse_line(
            "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=",
        )
        .unwrap();
        assert_eq!((line.name, line.id), (key.name(), key.id()));
        assert!(key.verifies(text.as_bytes(), &line.signature));
    }
}
