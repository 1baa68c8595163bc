//! The annotation that an act carries: where its intent stands, in one line. A hint; nothing is decided from it.

use super::keys::is_name;
use super::states::EntryRef;
use super::text;

/// Annotation with the id of the decision.
pub const DECISION: &str = "autonomy.matverse.io/decision";
/// Annotation with the place of its intent in the ledger.
pub const ATTESTATION: &str = "autonomy.matverse.io/attestation";
/// Annotation with the newest fence.
pub const FENCE: &str = "autonomy.matverse.io/fence";
/// Most bytes that our annotations take, keys included.
pub const MAX_ANNOTATIONS: usize = 512;

/// What an attestation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// Origin of the ledger.
    pub origin: String,
    /// Index of the intent.
    pub index: u64,
    /// Its leaf hash.
    pub leaf: [u8; 32],
    /// Size of the checkpoint that covers it.
    pub size: u64,
    /// Root of that checkpoint.
    pub root: [u8; 32],
    /// Signature of that checkpoint.
    pub signature: [u8; 64],
}

/// The text `v1 origin=… index=… leaf=… size=… root=… sig=…` of an entry; hashes and signature in base64.
#[must_use]
pub fn attestation(entry: &EntryRef) -> String {
    let leaf = text::base64(&text::unhex(&entry.leaf).unwrap_or_default());
    format!(
        "v1 origin={} index={} leaf={leaf} size={} root={} sig={}",
        entry.origin, entry.index, entry.size, entry.root, entry.signature
    )
}

/// Value of the fence annotation.
#[must_use]
pub fn fence(epoch: u64, counter: u64) -> String {
    format!("{epoch}.{counter}")
}

/// Reads an attestation; `None` for any other text.
#[must_use]
pub fn parse(value: &str) -> Option<Attestation> {
    let mut parts = value.split(' ');
    if parts.next() != Some("v1") {
        return None;
    }
    let mut field = |name: &str| parts.next()?.strip_prefix(name)?.strip_prefix('=');
    let attestation = Attestation {
        origin: field("origin").filter(|origin| is_name(origin))?.to_owned(),
        index: text::decimal(field("index")?)?,
        leaf: text::unbase64_hash(field("leaf")?)?,
        size: text::decimal(field("size")?)?,
        root: text::unbase64_hash(field("root")?)?,
        signature: text::unbase64(field("sig")?)?.try_into().ok()?,
    };
    parts.next().is_none().then_some(attestation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(origin: &str, number: u64) -> EntryRef {
        EntryRef {
            origin: origin.to_owned(),
            index: number,
            leaf: text::hex(&[7; 32]),
            size: number,
            root: text::base64(&[8; 32]),
            signature: text::base64(&[9; 64]),
            epoch: 3,
        }
    }

    #[test]
    fn it_survives_its_text() {
        let text = attestation(&entry("prod/main", 41));
        assert!(text.starts_with("v1 origin=prod/main index=41 leaf=BwcHBw"), "{text}");
        let read = parse(&text).unwrap();
        assert_eq!((read.origin.as_str(), read.index, read.size), ("prod/main", 41, 41));
        assert_eq!((read.leaf, read.root, read.signature), ([7; 32], [8; 32], [9; 64]));
        for bad in [
            text.replace("v1", "v2"),
            format!("{text} x"),
            text.replace("index=41", "index=041"),
            String::new(),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn all_our_annotations_stay_under_512_bytes() {
        let origin = "o".repeat(super::super::keys::MAX_NAME);
        let attestation = attestation(&entry(&origin, 999_999_999_999_999));
        let fence = fence(999_999_999, 999_999_999_999_999);
        let decision = "0".repeat(26);
        let total: usize = [(DECISION, &decision), (ATTESTATION, &attestation), (FENCE, &fence)]
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        assert!(total <= MAX_ANNOTATIONS, "{total}");
    }
}
