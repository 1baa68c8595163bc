//! Verification without trusting whoever wrote the ledger: only the given keys count.
//!
//! ```text
//!  saved objects ─► forms ─► checkpoint (signature) ─► tree (root from leaves, contiguous) ─► entry signatures
//!                                                                                        └► meaning
//! ```
//!
//! Where something does not fit, the finding names what was changed: an entry by its index, else the checkpoint,
//! the key of the object, or the object.

mod meaning;
mod saved;
mod unique;
mod walk;

use jiff::Timestamp;
use serde::Serialize;

pub use saved::{Saved, read};

use super::checkpoint::SignedCheckpoint;
use super::keys::VerifierKey;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something is missing, or the ledger is older than it should be.
    Incomplete,
    /// Something was changed.
    Tampered,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where: `entry 12`, `checkpoint`, `tail/size`, `seg-…`, or a file.
    pub at: String,
    /// Index of the entry, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// What is wrong.
    pub message: String,
}

impl Finding {
    pub(crate) fn tampered(at: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Tampered, at: at.to_owned(), index: None, message: message.into() }
    }

    pub(crate) fn incomplete(at: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Incomplete, at: at.to_owned(), index: None, message: message.into() }
    }

    fn entry(index: u64, message: impl Into<String>) -> Self {
        Self { index: Some(index), ..Self::tampered(&format!("entry {index}"), message) }
    }
}

/// Which signatures are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signatures {
    /// That of the checkpoint, and that of every entry.
    #[default]
    All,
    /// That of the checkpoint; those of entries only where the root does not match.
    Checkpoint,
}

/// What is to be verified, and how.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The objects.
    pub objects: Vec<Saved>,
    /// The only keys that count.
    pub keys: Vec<VerifierKey>,
    /// A note that was a checkpoint of this ledger earlier.
    pub since: Option<String>,
    /// The present, where the objects are read live; saved ones are judged at their newest entry.
    pub now: Option<Timestamp>,
    /// Which signatures are checked.
    pub signatures: Signatures,
}

/// The result in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything holds.
    Good,
    /// Something was changed.
    Tampered,
    /// Nothing was changed as far as can be seen, and not all can be seen.
    Incomplete,
}

impl Verdict {
    /// Exit code of the command line.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Tampered => 1,
            Self::Incomplete => 2,
        }
    }
}

/// What verification found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The result in one word.
    pub verdict: Verdict,
    /// Origin of the ledger.
    pub origin: Option<String>,
    /// Size that the checkpoint states.
    pub size: Option<u64>,
    /// Root that the checkpoint states, base64.
    pub root: Option<String>,
    /// Entries seen.
    pub entries: u64,
    /// Segments seen.
    pub segments: u64,
    /// Entry signatures checked.
    pub signatures: u64,
    /// Intents seen.
    pub intents: u64,
    /// Outcomes seen.
    pub outcomes: u64,
    /// Intents without outcome.
    pub open: u64,
    /// Whether an older checkpoint was compared.
    pub since: &'static str,
    /// Whether the admission policies stand; `not checked` where nobody asked.
    pub policies: String,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether anything was changed.
    #[must_use]
    pub fn is_tampered(&self) -> bool {
        self.verdict == Verdict::Tampered
    }
}

/// A report, and what it speaks of.
pub struct Examined<'a> {
    /// What was found.
    pub report: Report,
    /// The checkpoint, where its signature holds.
    pub checkpoint: Option<SignedCheckpoint>,
    /// The entry lines, in order.
    pub lines: Vec<&'a str>,
}

/// Verifies a ledger.
#[must_use]
pub fn verify(request: &Request) -> Report {
    examine(request).report
}

/// Verifies a ledger and keeps what it read.
#[must_use]
pub fn examine(request: &Request) -> Examined<'_> {
    let mut walk = walk::Walk::new(request);
    walk.run();
    let walk::Walk { mut findings, checkpoint, entries, segments, signatures, since, .. } = walk;
    let lines = entries.iter().map(|entry| entry.line).collect();
    let stated = checkpoint.as_ref().map(SignedCheckpoint::checkpoint);
    let seen = entries.len() as u64;
    let intact = findings.iter().all(|finding| finding.severity != Severity::Tampered);
    let figures = if intact {
        let said: Vec<_> = entries.into_iter().filter_map(|entry| Some((entry.index, entry.said?))).collect();
        meaning::check(&said, stated.map(|c| c.origin.as_str()), request.now, &mut findings)
    } else {
        meaning::Figures::default()
    };
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.index.unwrap_or(u64::MAX)));
    let verdict = match findings.first().map(|finding| finding.severity) {
        None => Verdict::Good,
        Some(Severity::Tampered) => Verdict::Tampered,
        Some(Severity::Incomplete) => Verdict::Incomplete,
    };
    let report = Report {
        verdict,
        origin: stated.map(|c| c.origin.clone()),
        size: stated.map(|c| c.size),
        root: stated.map(|c| super::text::base64(&c.root)),
        entries: seen,
        segments,
        signatures,
        intents: figures.intents,
        outcomes: figures.outcomes,
        open: figures.open,
        since,
        policies: "not checked".to_owned(),
        findings,
    };
    Examined { report, checkpoint, lines }
}
