//! The ledger as files (C2SP tlog-tiles): what an export is, and how one is read again.
//!
//! ```text
//!  checkpoint                        the signed note
//!  tile/entries/000  …/x001/234.p/7  256 entries each, every one behind its length (16 bits, big-endian);
//!                                    the last bundle holds fewer and says how many
//!  tile/0/000                        256 leaf hashes
//!  tile/1/000.p/3                    256 roots of full tiles of the level below
//! ```

use std::collections::BTreeMap;

use super::checkpoint::stated_size;
use super::merkle::{Hash, leaf_hash, root_of};
use super::statement::{Body, Parts};
use super::tail::{FOUNDED, FOUNDED_KEYS, TAIL};
use super::verify::Saved;

/// Entries of a bundle, hashes of a tile.
const WIDTH: usize = 256;

/// Why an export cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TilesError {
    /// A file that the checkpoint's size requires is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// A file is not of the format.
    #[error("{path}: {why}")]
    Malformed {
        /// Its path in the export.
        path: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// Path of tile or bundle `n`: three digits an element, all but the last behind an `x`; `width` where not full.
fn path(level: &str, n: usize, width: usize) -> String {
    let mut name = format!("{:03}", n % 1000);
    let mut rest = n / 1000;
    while rest > 0 {
        name = format!("x{:03}/{name}", rest % 1000);
        rest /= 1000;
    }
    let partial = if width == WIDTH { String::new() } else { format!(".p/{width}") };
    format!("tile/{level}/{name}{partial}")
}

/// The files of the tree over `lines`, by path, without the checkpoint. Full ones that a tree of the first `known`
/// entries had already are left out: they never change.
#[must_use]
pub fn files(lines: &[String], known: usize) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let is_new = |end: usize, width: usize| width < WIDTH || end > known;
    for (n, entries) in lines.chunks(WIDTH).enumerate() {
        if is_new(n * WIDTH + entries.len(), entries.len()) {
            let bundle = entries.iter().flat_map(|line| length(line).into_iter().chain(line.bytes()));
            files.insert(path("entries", n, entries.len()), bundle.collect());
        }
    }
    let mut hashes: Vec<Hash> = lines.iter().map(|line| leaf_hash(line.as_bytes())).collect();
    let mut covers = 1_usize;
    for level in 0.. {
        if hashes.is_empty() {
            break;
        }
        for (n, tile) in hashes.chunks(WIDTH).enumerate() {
            if is_new((n * WIDTH + tile.len()) * covers, tile.len()) {
                files.insert(path(&level.to_string(), n, tile.len()), tile.concat());
            }
        }
        hashes = hashes.chunks_exact(WIDTH).map(root_of).collect();
        covers = covers.saturating_mul(WIDTH);
    }
    files
}

/// Paths of the files of a tree of `size` entries that are not full.
#[must_use]
pub fn partial(size: usize) -> Vec<String> {
    let mut paths = Vec::new();
    let mut add = |level: &str, hashes: usize| {
        if !hashes.is_multiple_of(WIDTH) {
            paths.push(path(level, hashes / WIDTH, hashes % WIDTH));
        }
    };
    add("entries", size);
    let (mut level, mut hashes) = (0_u8, size);
    while hashes > 0 {
        add(&level.to_string(), hashes);
        level += 1;
        hashes /= WIDTH;
    }
    paths
}

/// An entry is at most 16 KiB long, so its length always fits.
fn length(line: &str) -> [u8; 2] {
    u16::try_from(line.len()).unwrap_or(u16::MAX).to_be_bytes()
}

/// Reads an export: the note, and the entry lines. Nothing is relied on yet.
///
/// # Errors
/// [`TilesError`].
pub fn read(mut file: impl FnMut(&str) -> Option<Vec<u8>>) -> Result<(String, Vec<String>), TilesError> {
    let mut take = |path: &str| file(path).ok_or_else(|| TilesError::Missing(path.to_owned()));
    let malformed = |path: &str, why| TilesError::Malformed { path: path.to_owned(), why };
    let note = String::from_utf8(take("checkpoint")?).map_err(|_| malformed("checkpoint", "not UTF-8"))?;
    let size = stated_size(&note).and_then(|size| usize::try_from(size).ok());
    let size = size.ok_or_else(|| malformed("checkpoint", "states no size"))?;
    let mut lines = Vec::new();
    while lines.len() < size {
        let width = WIDTH.min(size - lines.len());
        let path = path("entries", lines.len() / WIDTH, width);
        let bundle = take(&path)?;
        let entries = unbundle(&bundle).filter(|entries| entries.len() == width);
        lines.extend(entries.ok_or_else(|| malformed(&path, "not that many entries behind their lengths"))?);
    }
    Ok((note, lines))
}

fn unbundle(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(String::from_utf8(entry.to_vec()).ok()?);
        bytes = rest;
    }
    Some(entries)
}

/// The objects of a ledger that was never sealed, with these entries: what verification reads.
#[must_use]
pub fn objects(note: String, lines: &[String]) -> Vec<Saved> {
    let predicate = |line: &String| Some(Parts::of(line).ok()?.read().ok()?.predicate);
    let epoch = lines.last().and_then(predicate).map(|newest| newest.epoch.to_string());
    let key = match lines.first().and_then(predicate).map(|first| first.body) {
        Some(Body::Genesis { key, .. }) => key,
        _ => String::new(),
    };
    let tail = [
        ("checkpoint", note),
        ("entries", lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()),
        ("epoch", epoch.unwrap_or_default()),
        ("frontier", String::new()),
        ("sealed", "0".to_owned()),
        ("size", lines.len().to_string()),
    ];
    let data = tail.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let founded = BTreeMap::from([(FOUNDED_KEYS[0].to_owned(), key)]);
    vec![
        Saved { name: TAIL.to_owned(), namespace: None, immutable: false, data },
        Saved { name: FOUNDED.to_owned(), namespace: None, immutable: true, data: founded },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("entry {i}")).collect()
    }

    #[test]
    fn paths_are_those_of_the_format() {
        assert_eq!(path("0", 1_234_067, WIDTH), "tile/0/x001/x234/067");
        assert_eq!(path("entries", 7, 3), "tile/entries/007.p/3");
    }

    #[test]
    fn a_tree_of_70_000_has_the_tiles_that_the_format_names() {
        let files = files(&lines(70_000), 0);
        let count = |prefix: &str| files.keys().filter(|path| path.starts_with(prefix)).count();
        assert_eq!((count("tile/0/"), count("tile/1/"), count("tile/2/")), (274, 2, 1));
        assert_eq!(files["tile/0/273.p/112"].len(), 112 * 32);
        assert_eq!(files["tile/1/001.p/17"].len(), 17 * 32);
        assert_eq!(files["tile/2/000.p/1"].len(), 32);
        let small = super::files(&lines(256), 0);
        assert_eq!(small.keys().collect::<Vec<_>>(), ["tile/0/000", "tile/1/000.p/1", "tile/entries/000"]);
    }

    #[test]
    fn what_was_exported_before_is_not_written_again() {
        let later = files(&lines(600), 300);
        assert!(!later.contains_key("tile/0/000") && !later.contains_key("tile/entries/000"));
        assert_eq!(partial(300), ["tile/entries/001.p/44", "tile/0/001.p/44", "tile/1/000.p/1"]);
        assert_eq!(partial(256), ["tile/1/000.p/1"]);
        assert!(later.contains_key("tile/0/001") && later.contains_key("tile/entries/002.p/88"));
    }

    #[test]
    fn an_export_is_read_again_and_a_short_one_is_not() {
        let lines = lines(300);
        let mut files = files(&lines, 0);
        files.insert("checkpoint".into(), b"o\n300\nroot\n\nsignatures\n".to_vec());
        let (note, again) = read(|path| files.get(path).cloned()).unwrap();
        assert_eq!((note.as_str(), &again), ("o\n300\nroot\n\nsignatures\n", &lines));
        let bundle = files.get_mut("tile/entries/001.p/44").unwrap();
        bundle.pop();
        assert!(matches!(read(|path| files.get(path).cloned()), Err(TilesError::Malformed { .. })));
        files.remove("tile/entries/001.p/44");
        let missing = TilesError::Missing("tile/entries/001.p/44".into());
        assert_eq!(read(|path| files.get(path).cloned()), Err(missing));
    }
}
