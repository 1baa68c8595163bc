//! The stored forms: the ConfigMap `tail`, which grows, the segments `seg-<START>`, which never change, and
//! `founded`, which says that there was a tail before there was any segment.
//!
//! ```text
//!   seg-000000000000   seg-000000000031            tail
//!  ┌ frontier at 0  ┐ ┌ frontier at 31 ┐ ┌ sealed 58, frontier at 58, entries 58…, size, epoch, checkpoint ┐
//!  └ entries 0…30   ┘ └ entries 31…57  ┘ └──────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The frontier of each is the tree's right edge *before* its first entry. With it the root of the whole tree
//! follows from the tail alone, so every byte of the tail is covered by its checkpoint without reading a segment.

use std::collections::BTreeMap;

use super::checkpoint::{CheckpointError, SignedCheckpoint};
use super::keys::VerifierKey;
use super::merkle::{Frontier, leaf_hash};
use super::statement::{EntryError, Parts, Predicate};
use super::text;

/// Name of the mutable ConfigMap.
pub const TAIL: &str = "tail";
/// Prefix of the immutable ones.
pub const SEGMENT_PREFIX: &str = "seg-";
/// Name of the immutable one that stands since the ledger's first opening.
pub const FOUNDED: &str = "founded";
/// Its keys: the verifier key of the ledger, with the origin in it.
pub const FOUNDED_KEYS: [&str; 1] = ["key"];
/// Name of the one in which the exporter states how many entries lie elsewhere too.
pub const EXPORTED: &str = "exported";
/// Its keys.
pub const EXPORTED_KEYS: [&str; 1] = ["size"];
/// Keys of the tail.
pub const TAIL_KEYS: [&str; 6] = ["checkpoint", "entries", "epoch", "frontier", "sealed", "size"];
/// Keys of a segment.
pub const SEGMENT_KEYS: [&str; 2] = ["entries", "frontier"];

/// What is wrong with a stored tail or segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TailError {
    /// A key is missing, or is not one of the form's.
    #[error("{key}: {why}")]
    Key {
        /// The key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// An entry is not what it should be.
    #[error("entry {index}: {why}")]
    Entry {
        /// Index of the entry.
        index: u64,
        /// What is wrong with it.
        why: EntryError,
    },
    /// The checkpoint is not to be relied on.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// Entries and checkpoint do not belong together.
    #[error("the root over the entries is not that of the checkpoint")]
    Root,
}

impl TailError {
    /// Bounded name for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Key { .. } => "tail_key",
            Self::Entry { .. } => "tail_entry",
            Self::Checkpoint(e) => e.kind(),
            Self::Root => "tail_root",
        }
    }

    fn key(key: &str, why: &str) -> Self {
        Self::Key { key: key.to_owned(), why: why.to_owned() }
    }
}

/// Name of the segment whose first entry is `start`.
#[must_use]
pub fn segment_name(start: u64) -> String {
    format!("{SEGMENT_PREFIX}{start:012}")
}

/// The start in a segment's name; `None` for any name [`segment_name`] would not give.
#[must_use]
pub fn segment_start(name: &str) -> Option<u64> {
    let start: u64 = name.strip_prefix(SEGMENT_PREFIX)?.parse().ok()?;
    (segment_name(start) == name).then_some(start)
}

/// The lines of an `entries` value; `None` unless each ends in a newline and none is empty.
#[must_use]
pub fn lines_of(entries: &str) -> Option<Vec<&str>> {
    entries
        .split_inclusive('\n')
        .map(|line| line.strip_suffix('\n').filter(|line| !line.is_empty()))
        .collect()
}

/// An `entries` value.
#[must_use]
pub fn text_of(lines: &[String]) -> String {
    let mut entries = String::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
    for line in lines {
        entries.push_str(line);
        entries.push('\n');
    }
    entries
}

/// One value of a data map that has exactly the keys `keys`.
///
/// # Errors
/// [`TailError::Key`] naming the first key that is missing or too many.
pub fn exactly<'a, const N: usize>(
    data: &'a BTreeMap<String, String>,
    keys: [&str; N],
) -> Result<[&'a str; N], TailError> {
    if let Some(extra) = data.keys().find(|key| !keys.contains(&key.as_str())) {
        return Err(TailError::key(extra, "not a key of the ledger"));
    }
    let mut values = [""; N];
    for (value, key) in values.iter_mut().zip(keys) {
        *value = data.get(key).ok_or_else(|| TailError::key(key, "missing"))?;
    }
    Ok(values)
}

/// A sealed stretch of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The tree before its first entry.
    pub start: Frontier,
    /// Its entries.
    pub lines: Vec<String>,
}

impl Segment {
    /// Reads the data of `seg-<start>`.
    ///
    /// # Errors
    /// [`TailError::Key`].
    pub fn parse(start: u64, data: &BTreeMap<String, String>) -> Result<Self, TailError> {
        let [entries, frontier] = exactly(data, SEGMENT_KEYS)?;
        let start = Frontier::from_text(start, frontier)
            .ok_or_else(|| TailError::key("frontier", "not that of a tree of this size"))?;
        let lines = lines_of(entries)
            .filter(|lines| !lines.is_empty())
            .ok_or_else(|| TailError::key("entries", "not whole lines"))?;
        Ok(Self { start, lines: lines.into_iter().map(str::to_owned).collect() })
    }

    /// Its data.
    #[must_use]
    pub fn data(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("entries".to_owned(), text_of(&self.lines)),
            ("frontier".to_owned(), self.start.to_text()),
        ])
    }
}

/// The growing end of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The tree before the first entry of the tail; its size is the number of sealed entries.
    pub start: Frontier,
    /// The tree with every entry.
    pub end: Frontier,
    /// Entries that are not sealed.
    pub lines: Vec<String>,
    /// Newest leader epoch.
    pub epoch: u64,
    /// Signed state of the whole tree.
    pub checkpoint: SignedCheckpoint,
}

impl Tail {
    /// Reads and verifies the data of `tail`: form, checkpoint by one of `keys`, root over all entries, and each
    /// entry's own index.
    ///
    /// # Errors
    /// [`TailError`].
    pub fn parse(
        origin: &str,
        data: &BTreeMap<String, String>,
        keys: &[VerifierKey],
    ) -> Result<Self, TailError> {
        let [note, entries, epoch, frontier, sealed, size] = exactly(data, TAIL_KEYS)?;
        let number =
            |key: &str, value: &str| text::decimal(value).ok_or_else(|| TailError::key(key, "not a number"));
        let (epoch, sealed, size) =
            (number("epoch", epoch)?, number("sealed", sealed)?, number("size", size)?);
        let checkpoint = SignedCheckpoint::open(note, keys)?;
        if checkpoint.checkpoint().origin != origin {
            return Err(CheckpointError::Origin(checkpoint.checkpoint().origin.clone()).into());
        }
        let start = Frontier::from_text(sealed, frontier)
            .ok_or_else(|| TailError::key("frontier", "not that of a tree of this size"))?;
        let lines = lines_of(entries).ok_or_else(|| TailError::key("entries", "not whole lines"))?;
        let mut end = start.clone();
        for line in &lines {
            end.append(leaf_hash(line.as_bytes()));
        }
        if end.size() != size {
            return Err(TailError::key("size", "not the number of entries"));
        }
        if checkpoint.checkpoint().size != size || checkpoint.checkpoint().root != end.root() {
            return Err(TailError::Root);
        }
        let lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
        let tail = Self { start, end, lines, epoch, checkpoint };
        let mut newest = None;
        for (index, predicate) in tail.predicates() {
            let predicate = predicate.map_err(|why| TailError::Entry { index, why })?;
            if predicate.index != index {
                let why = EntryError::Malformed(format!("it says it is entry {}", predicate.index));
                return Err(TailError::Entry { index, why });
            }
            newest = Some(predicate.epoch);
        }
        if newest != Some(epoch) {
            return Err(TailError::key("epoch", "not that of the newest entry"));
        }
        Ok(tail)
    }

    /// Its data.
    #[must_use]
    pub fn data(&self) -> BTreeMap<String, String> {
        BTreeMap::from(
            [
                ("checkpoint", self.checkpoint.note().to_owned()),
                ("entries", text_of(&self.lines)),
                ("epoch", self.epoch.to_string()),
                ("frontier", self.start.to_text()),
                ("sealed", self.sealed().to_string()),
                ("size", self.size().to_string()),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        )
    }

    /// Number of entries of the ledger.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.end.size()
    }

    /// Number of entries that lie in segments.
    #[must_use]
    pub fn sealed(&self) -> u64 {
        self.start.size()
    }

    /// Bytes of its entries, newlines included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lines.iter().map(|line| line.len() + 1).sum()
    }

    /// What its entries say, with their indices.
    pub fn predicates(&self) -> impl Iterator<Item = (u64, Result<Predicate, EntryError>)> {
        (self.sealed()..).zip(&self.lines).map(|(index, line)| {
            (index, Parts::of(line).and_then(|parts| parts.read()).map(|statement| statement.predicate))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_names_have_one_spelling() {
        assert_eq!(segment_name(31), "seg-000000000031");
        assert_eq!(segment_start("seg-000000000031"), Some(31));
        for bad in ["seg-31", "seg-0000000000031", "seg-+00000000031", "tail", "sef-000000000031"] {
            assert_eq!(segment_start(bad), None, "{bad}");
        }
    }

    #[test]
    fn entries_are_whole_lines() {
        assert_eq!(lines_of("a\nb\n"), Some(vec!["a", "b"]));
        assert_eq!(lines_of(""), Some(vec![]));
        assert_eq!(lines_of("a\nb"), None);
        assert_eq!(lines_of("a\n\nb\n"), None);
        assert_eq!(text_of(&["a".into(), "b".into()]), "a\nb\n");
    }
}
