//! The walk over the saved objects: forms, checkpoint, tree and signatures, from the first entry to the last.

use std::collections::BTreeMap;

use super::meaning::{Said, said};
use super::{Finding, Request, Saved, Severity, Signatures};
use crate::ledger::checkpoint::SignedCheckpoint;
use crate::ledger::merkle::{Frontier, Hash, leaf_hash};
use crate::ledger::statement::Parts;
use crate::ledger::tail::{
    EXPORTED, EXPORTED_KEYS, FOUNDED, FOUNDED_KEYS, SEGMENT_KEYS, TAIL, TAIL_KEYS, segment_start,
};
use crate::ledger::text;

/// The one ConfigMap that every namespace has.
const ROOT_CA: &str = "kube-root-ca.crt";

/// One entry, where it stands.
pub struct Seen<'a> {
    /// Its index.
    pub index: u64,
    /// Its line.
    pub line: &'a str,
    /// What it says, where it can be read.
    pub said: Option<Said>,
}

/// A stretch of entries: a segment, or the tail.
struct Stretch<'a> {
    name: &'a str,
    /// Where it says that it begins: its name, or `sealed`.
    start: u64,
    start_key: &'static str,
    frontier: &'a str,
    lines: Vec<&'a str>,
}

/// The state of a verification.
pub struct Walk<'a> {
    request: &'a Request,
    /// What is wrong so far.
    pub findings: Vec<Finding>,
    /// The checkpoint, where its signature holds.
    pub checkpoint: Option<SignedCheckpoint>,
    /// The entries.
    pub entries: Vec<Seen<'a>>,
    /// Segments seen.
    pub segments: u64,
    /// Entry signatures checked.
    pub signatures: u64,
    /// Whether an older checkpoint was compared.
    pub since: &'static str,
}

impl<'a> Walk<'a> {
    /// A walk that has not begun.
    pub fn new(request: &'a Request) -> Self {
        Self {
            request,
            findings: Vec::new(),
            checkpoint: None,
            entries: Vec::new(),
            segments: 0,
            signatures: 0,
            since: "not given",
        }
    }

    fn tampered(&mut self, at: &str, message: impl Into<String>) {
        self.findings.push(Finding::tampered(at, message));
    }

    fn is_tampered(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Tampered)
    }

    /// Walks.
    pub fn run(&mut self) {
        let mut objects: BTreeMap<&str, &'a Saved> = BTreeMap::new();
        let mut namespace = None;
        for object in self.request.objects.iter().filter(|object| object.name != ROOT_CA) {
            let known = [TAIL, FOUNDED, EXPORTED].contains(&object.name.as_str());
            if !known && segment_start(&object.name).is_none() {
                self.tampered(&object.name, "not an object of the ledger");
            } else if objects.insert(&object.name, object).is_some() {
                self.tampered(&object.name, "there are two of it");
            }
            if *namespace.get_or_insert(&object.namespace) != &object.namespace {
                self.tampered(&object.name, "in another namespace than the rest");
            }
        }
        let mut stretches: Vec<Stretch<'a>> = Vec::new();
        for (name, object) in &objects {
            if let Some(start) = segment_start(name) {
                self.segments += 1;
                stretches.extend(self.segment(start, object));
            }
        }
        match objects.get(FOUNDED) {
            Some(object) => self.founded(object),
            None => self.findings.push(Finding::incomplete(FOUNDED, "missing")),
        }
        let exported = objects.get(EXPORTED).and_then(|object| self.exported(object));
        let mut tail = None;
        match objects.get(TAIL) {
            Some(object) => {
                self.open_checkpoint(object);
                stretches.extend(self.tail(object));
                tail = Some(*object);
            }
            None => self.findings.push(Finding::incomplete(TAIL, "missing")),
        }
        let size = self.checkpoint.as_ref().map(|signed| signed.checkpoint().size);
        if let (Some(exported), Some(size)) = (exported, size)
            && exported > size
        {
            let message = format!("the ledger has {size} entries, and {exported} were exported");
            self.findings.push(Finding::incomplete(EXPORTED, message));
        }
        for stretch in &mut stretches {
            self.true_start(stretch);
        }
        stretches.sort_by_key(|stretch| stretch.start);
        self.tree(&stretches, tail);
    }

    fn keys<const N: usize>(&mut self, object: &Saved, keys: [&str; N]) {
        for key in object.data.keys().filter(|key| !keys.contains(&key.as_str())) {
            self.tampered(&format!("{}/{key}", object.name), "not a key of the ledger");
        }
        for key in keys.iter().filter(|key| !object.data.contains_key(**key)) {
            self.tampered(&format!("{}/{key}", object.name), "missing");
        }
    }

    /// Its key must be one of those that count; nothing else rests on it.
    fn founded(&mut self, object: &'a Saved) {
        self.keys(object, FOUNDED_KEYS);
        let Some(key) = object.data.get(FOUNDED_KEYS[0]) else { return };
        if !self.request.keys.iter().any(|known| known.to_string() == *key) {
            self.tampered("founded/key", "not a key of this ledger");
        }
        if !object.immutable {
            self.tampered(FOUNDED, "not immutable");
        }
    }

    /// How many entries the exporter says to have.
    fn exported(&mut self, object: &'a Saved) -> Option<u64> {
        self.keys(object, EXPORTED_KEYS);
        let size = object.data.get(EXPORTED_KEYS[0])?;
        if text::decimal(size).is_none() {
            self.tampered("exported/size", "not a number");
        }
        text::decimal(size)
    }

    fn segment(&mut self, start: u64, object: &'a Saved) -> Option<Stretch<'a>> {
        self.keys(object, SEGMENT_KEYS);
        if !object.immutable {
            self.tampered(&object.name, "not immutable");
        }
        let (entries, frontier) = (object.data.get("entries")?, object.data.get("frontier")?);
        let lines = self.lines(&object.name, start, entries);
        if lines.is_empty() {
            self.tampered(&format!("{}/entries", object.name), "empty");
        }
        Some(Stretch { name: &object.name, start, start_key: "", frontier, lines })
    }

    fn tail(&mut self, object: &'a Saved) -> Option<Stretch<'a>> {
        self.keys(object, TAIL_KEYS);
        if object.immutable {
            self.tampered(TAIL, "immutable");
        }
        let (entries, frontier) = (object.data.get("entries")?, object.data.get("frontier")?);
        let Some(start) = text::decimal(object.data.get("sealed")?) else {
            self.tampered("tail/sealed", "not a number");
            return None;
        };
        let lines = self.lines(TAIL, start, entries);
        Some(Stretch { name: TAIL, start, start_key: "/sealed", frontier, lines })
    }

    /// The lines of an `entries` value; one that is empty or not ended is named and kept.
    fn lines(&mut self, name: &str, start: u64, entries: &'a str) -> Vec<&'a str> {
        let mut lines = Vec::new();
        for (index, line) in (start..).zip(entries.split_inclusive('\n')) {
            let whole = line.strip_suffix('\n');
            if whole.is_none_or(str::is_empty) {
                self.findings.push(Finding::entry(index, format!("not a whole line of {name}")));
            }
            lines.push(whole.unwrap_or(line));
        }
        lines
    }

    fn open_checkpoint(&mut self, tail: &Saved) {
        let Some(note) = tail.data.get("checkpoint") else { return };
        match SignedCheckpoint::open(note, &self.request.keys) {
            Ok(checkpoint) => self.checkpoint = Some(checkpoint),
            Err(error) => self.tampered("checkpoint", error.to_string()),
        }
    }

    /// Where the first signed entry states another index, the name (or `sealed`) was changed, not the entries.
    fn true_start(&mut self, stretch: &mut Stretch<'a>) {
        let Some(first) = stretch.lines.first() else { return };
        let Ok(parts) = Parts::of(first) else { return };
        let Ok(said) = said(&parts) else { return };
        if said.index != stretch.start && parts.verify(&self.request.keys).is_ok() {
            let at = format!("{}{}", stretch.name, stretch.start_key);
            self.tampered(&at, format!("says {}, but its first entry is {}", stretch.start, said.index));
            stretch.start = said.index;
        }
    }

    /// Root from leaves, contiguous from the genesis, each frontier as it must be.
    fn tree(&mut self, stretches: &[Stretch<'a>], tail: Option<&Saved>) {
        let since = self.since_checkpoint();
        let mut since_root = None;
        let mut tree = Frontier::default();
        let mut doubtful = Vec::new();
        for stretch in stretches {
            let frontier = Frontier::from_text(stretch.start, stretch.frontier);
            let key = format!("{}/frontier", stretch.name);
            if stretch.start < tree.size() {
                let message = format!("it begins at {}, within what lies before it", stretch.start);
                self.tampered(stretch.name, message);
                continue;
            }
            if stretch.start > tree.size() {
                let missing = format!("entries {} to {} are missing", tree.size(), stretch.start - 1);
                self.findings.push(Finding::incomplete(stretch.name, missing));
                let Some(frontier) = frontier else {
                    self.tampered(&key, "not that of a tree of this size");
                    return;
                };
                tree = frontier;
            } else if frontier.as_ref() != Some(&tree) {
                doubtful.push(key);
            }
            if since.as_ref().is_some_and(|since| since.0 == tree.size()) {
                since_root = Some(tree.root());
            }
            for line in &stretch.lines {
                let index = tree.size();
                tree.append(leaf_hash(line.as_bytes()));
                self.entries.push(Seen { index, line, said: None });
                if since.as_ref().is_some_and(|since| since.0 == tree.size()) {
                    since_root = Some(tree.root());
                }
            }
        }
        let matches = self.checkpoint.as_ref().is_some_and(|signed| {
            let stated = signed.checkpoint();
            stated.size == tree.size() && stated.root == tree.root()
        });
        // Without the tail nobody says where the ledger ends; with it, what the checkpoint counts must be there.
        if let Some(stated) = self.checkpoint.as_ref().map(|signed| signed.checkpoint().size)
            && stretches.iter().any(|stretch| stretch.name == TAIL)
            && stated > tree.size()
        {
            let message = format!("missing: the checkpoint counts {stated} entries");
            self.findings.push(Finding::entry(tree.size(), message));
        }
        self.entries_themselves(!matches || !doubtful.is_empty());
        self.numbers(tail);
        // A frontier differs too where an entry before it was changed; then that entry is to blame.
        if !self.findings.iter().any(|f| f.index.is_some() && f.severity == Severity::Tampered) {
            for key in doubtful {
                self.tampered(&key, "not the frontier of the entries before it");
            }
        }
        if tail.is_some() && self.checkpoint.is_some() && !matches && !self.is_tampered() {
            self.tampered(
                "checkpoint",
                "its root is not that of the entries, none of which is to blame alone",
            );
        }
        if let Some(since) = since {
            self.compare(since, since_root, tree.size());
        }
    }

    /// Each entry by itself: form, own index, and signature where that is asked for or `suspicious`.
    fn entries_themselves(&mut self, suspicious: bool) {
        let signatures = suspicious || self.request.signatures == Signatures::All;
        let mut found = Vec::new();
        // How far the indices are off after a line was lost or split: named once, not for every line after it.
        let mut shift = 0_i128;
        for entry in &mut self.entries {
            let parts = match Parts::of(entry.line) {
                Ok(parts) => parts,
                Err(error) => {
                    found.push(Finding::entry(entry.index, error.to_string()));
                    continue;
                }
            };
            if signatures {
                self.signatures += 1;
                if let Err(error) = parts.verify(&self.request.keys) {
                    found.push(Finding::entry(entry.index, error.to_string()));
                    continue;
                }
            }
            match said(&parts) {
                Ok(said) => {
                    let off = i128::from(said.index) - i128::from(entry.index);
                    if off != shift {
                        let message = format!("the entry here says it is {}", said.index);
                        found.push(Finding::entry(entry.index, message));
                        shift = off;
                    }
                    entry.said = Some(said);
                }
                Err(error) => found.push(Finding::entry(entry.index, error)),
            }
        }
        self.findings.extend(found);
    }

    /// `size` and `epoch` of the tail, which the checkpoint and the newest entry state as well.
    fn numbers(&mut self, tail: Option<&Saved>) {
        let Some(tail) = tail else { return };
        let stated = self.checkpoint.as_ref().map(|signed| signed.checkpoint().size.to_string());
        let size = tail.data.get("size");
        if stated.is_some() && size.is_some() && size != stated.as_ref() {
            self.tampered("tail/size", "not the size of the checkpoint");
        } else if stated.is_none() && size.is_some_and(|size| text::decimal(size).is_none()) {
            self.tampered("tail/size", "not a number");
        }
        let newest = self.entries.last().and_then(|entry| entry.said.as_ref());
        let epoch = newest.map(|said| said.epoch.to_string());
        let stored = tail.data.get("epoch");
        if epoch.is_some() && stored.is_some() && stored != epoch.as_ref() {
            self.tampered("tail/epoch", "not the epoch of the newest entry");
        }
    }

    fn since_checkpoint(&mut self) -> Option<(u64, Hash)> {
        let note = self.request.since.as_ref()?;
        match SignedCheckpoint::open(note, &self.request.keys) {
            Ok(old) => {
                let other = self
                    .checkpoint
                    .as_ref()
                    .is_some_and(|new| new.checkpoint().origin != old.checkpoint().origin);
                if other {
                    self.tampered("checkpoint", "of another origin than the older one");
                    return None;
                }
                Some((old.checkpoint().size, old.checkpoint().root))
            }
            Err(error) => {
                self.tampered("older checkpoint", error.to_string());
                None
            }
        }
    }

    fn compare(&mut self, since: (u64, Hash), root: Option<Hash>, size: u64) {
        self.since = "compared";
        match root {
            Some(root) if root == since.1 => {}
            Some(_) => self.tampered("older checkpoint", "the ledger does not continue it"),
            None if since.0 > size => {
                self.since = "newer than the ledger";
                let message = format!("the ledger has {size} entries, an older checkpoint {}", since.0);
                self.findings.push(Finding::incomplete("older checkpoint", message));
            }
            None => {
                self.since = "not comparable";
                let message = "the entries that it covers are not all here";
                self.findings.push(Finding::incomplete("older checkpoint", message));
            }
        }
    }
}
