//! Saved ConfigMaps: what `kubectl get configmaps -o json|yaml` wrote, one object, a list, or several documents.
//!
//! A file that cannot be read as such is a finding, not a usage error: the ledger in it is not what was saved. Where
//! the damage lies inside an entry, its index is found from the entries around it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Finding;
use super::unique::Texts;
use crate::ledger::store::Object;

/// One ConfigMap, as saved or as read from the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Its name.
    pub name: String,
    /// Its namespace, where it was saved.
    pub namespace: Option<String>,
    /// Whether it is immutable.
    pub immutable: bool,
    /// Its data.
    pub data: BTreeMap<String, String>,
}

impl From<Object> for Saved {
    fn from(object: Object) -> Self {
        Self { name: object.name, namespace: None, immutable: object.immutable, data: object.data }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    api_version: Option<String>,
    kind: Option<String>,
    items: Option<Vec<Document>>,
    metadata: Option<Metadata>,
    data: Option<Texts>,
    binary_data: Option<IgnoredAny>,
    immutable: Option<bool>,
}

#[derive(Deserialize)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
}

/// Reads one file. `source` names it in findings.
///
/// # Errors
/// A [`Finding`] for what is not a list of ConfigMaps.
pub fn read(source: &str, bytes: &[u8]) -> Result<Vec<Saved>, Finding> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let lossy = String::from_utf8_lossy(bytes);
            // Bytes that are not UTF-8 become longer; what lies before them keeps its place.
            return Err(damage(source, &lossy, error.valid_up_to(), "not UTF-8"));
        }
    };
    let documents = if text.trim_start().starts_with('{') { json(source, text) } else { yaml(source, text) }?;
    let mut saved = Vec::new();
    for document in documents {
        take(source, document, &mut saved)?;
    }
    Ok(saved)
}

fn json(source: &str, text: &str) -> Result<Vec<Document>, Finding> {
    serde_json::Deserializer::from_str(text).into_iter::<Document>().collect::<Result<_, _>>().map_err(
        |error| {
            let start: usize =
                text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
            damage(source, text, start + error.column(), &error.to_string())
        },
    )
}

fn yaml(source: &str, text: &str) -> Result<Vec<Document>, Finding> {
    // A full ledger has more text and more documents than the reader's defaults allow. The file itself is the bound:
    // only an alias could make more of it, and what is saved has none.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_total_scalar_bytes: text.len(),
            max_documents: text.len(),
        },
    };
    serde_saphyr::from_multiple_with_options::<Document>(text, options).map_err(|error| {
        let line = error.location().map_or(1, |at| usize::try_from(at.line()).unwrap_or(usize::MAX));
        let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let message = error.to_string();
        damage(source, text, start, message.lines().next().unwrap_or("not YAML"))
    })
}

fn take(source: &str, document: Document, saved: &mut Vec<Saved>) -> Result<(), Finding> {
    let wrong = |message: String| Finding::tampered(source, message);
    if document.api_version.as_deref() != Some("v1") {
        return Err(wrong("an object whose apiVersion is not v1".to_owned()));
    }
    match document.kind.as_deref() {
        Some("List" | "ConfigMapList") => {
            let items = document.items.ok_or_else(|| wrong("a list without items".to_owned()))?;
            items.into_iter().try_for_each(|item| take(source, item, saved))
        }
        Some("ConfigMap") => {
            let metadata =
                document.metadata.ok_or_else(|| wrong("a ConfigMap without metadata".to_owned()))?;
            let name = metadata.name.ok_or_else(|| wrong("a ConfigMap without a name".to_owned()))?;
            if document.binary_data.is_some() {
                return Err(wrong(format!("{name} has binary data")));
            }
            saved.push(Saved {
                name,
                namespace: metadata.namespace,
                immutable: document.immutable.unwrap_or(false),
                data: document.data.unwrap_or_default().0,
            });
            Ok(())
        }
        other => Err(wrong(format!("an object of kind {other:?}, not a ConfigMap"))),
    }
}

/// A file that does not parse, with the index of the entry at `offset`, if it lies within one.
fn damage(source: &str, text: &str, offset: usize, why: &str) -> Finding {
    let finding = Finding::tampered(source, format!("cannot be read: {why}"));
    match entry_at(text, offset) {
        Some(index) => Finding { index: Some(index), ..finding },
        None => finding,
    }
}

/// Index of the entry that covers a byte of a saved file, from the indices that entries state themselves.
fn entry_at(text: &str, offset: usize) -> Option<u64> {
    // Entries end in a newline, which JSON (and quoted YAML) spells as two characters.
    let mut pieces = Vec::new();
    let mut start = 0;
    for end in text.match_indices('\n').map(|(at, end)| at + end.len()).chain(Some(text.len())) {
        for piece in text[start..end].split_inclusive("\\n") {
            pieces.push((start, piece));
            start += piece.len();
        }
    }
    let at = pieces.iter().rposition(|(begin, _)| *begin <= offset.saturating_sub(1))?;
    let is_entry = |at: usize| pieces[at].1.contains("statement") || pieces[at].1.contains("keyid");
    // The parser may notice only at the beginning of the next piece.
    let at = [at, at.saturating_sub(1)].into_iter().find(|at| is_entry(*at))?;
    stated(pieces[at].1)
        .or_else(|| pieces.get(at + 1).and_then(|next| stated(next.1)?.checked_sub(1)))
        .or_else(|| {
            // By its place in the object, whose start follows the entries in `sealed` or the name.
            let place = (0..at).rev().take_while(|before| is_entry(*before)).count() as u64;
            let rest = &text[pieces[at].0 + pieces[at].1.len()..];
            let starts =
                ["sealed", "seg-"].into_iter().filter_map(|mark| rest.find(mark).map(|at| at + mark.len()));
            let digits = rest[starts.min()?..].trim_start_matches(['"', ':', ' ', '\'']);
            let end = digits.find(|c: char| !c.is_ascii_digit())?;
            Some(digits[..end].parse::<u64>().ok()? + place)
        })
}

/// The index that an entry states: the number after `"index":`, however its quotes are spelled.
fn stated(piece: &str) -> Option<u64> {
    piece.match_indices("index").find_map(|(at, word)| {
        let digits = piece[at + word.len()..].trim_start_matches(['\\', '"', ':']);
        let end = digits.find(|c: char| !c.is_ascii_digit())?;
        digits[..end].parse().ok()
    })
}
