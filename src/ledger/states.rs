//! The type states of one act: `Intended → Acted → Recorded`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::decide::{Decision, Situation};

/// Where an entry stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryRef {
    /// Origin line of the checkpoint.
    pub origin: String,
    /// Index of the entry.
    pub index: u64,
    /// Leaf hash of the entry, hex.
    pub leaf: String,
    /// Tree size of the checkpoint that covers it.
    pub size: u64,
    /// Root of that checkpoint, base64.
    pub root: String,
    /// Signature of that checkpoint, base64.
    pub signature: String,
    /// Leader epoch under which it was appended.
    pub epoch: u64,
}

/// A decision whose intent stands in the ledger. Only the ledger makes one. `S` and `D` are what a loop decides on
/// and what it decides: of a turn, or of a league's step.
#[derive(Clone, Debug)]
pub struct Intended<S = Situation, D = Decision> {
    pub(in crate::ledger) situation: Box<S>,
    pub(in crate::ledger) decision: D,
    pub(in crate::ledger) entry: EntryRef,
    pub(in crate::ledger) not_after: Timestamp,
}

impl<S, D> Intended<S, D> {
    /// What the decision was made of: the state that the act must still find.
    #[must_use]
    pub fn situation(&self) -> &S {
        &self.situation
    }

    /// The decision to carry out.
    #[must_use]
    pub fn decision(&self) -> &D {
        &self.decision
    }

    /// Its place in the ledger.
    #[must_use]
    pub fn entry(&self) -> &EntryRef {
        &self.entry
    }

    /// After this moment the act must not be tried (again).
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The act was tried; this is what came of it.
    #[must_use]
    pub fn acted(self, outcome: Outcome, at: Timestamp) -> Acted<S, D> {
        Acted { intended: self, outcome, at }
    }
}

/// What came of an act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "result")]
pub enum Outcome {
    /// The write stands.
    Applied {
        /// resourceVersion after it.
        resource_version: String,
        /// SHA-256 (hex) of the target's canonical state after it.
        post: String,
    },
    /// It was not done and never will be: the target had moved on.
    Refused {
        /// Why.
        why: String,
    },
    /// It was not done: found undone after a crash or a lost response.
    Abandoned {
        /// Why.
        why: String,
    },
    /// Nobody can say; hold.
    Unknown {
        /// Why.
        why: String,
    },
}

impl Outcome {
    /// The name as metrics and the ledger spell it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Applied { .. } => "applied",
            Self::Refused { .. } => "refused",
            Self::Abandoned { .. } => "abandoned",
            Self::Unknown { .. } => "unknown",
        }
    }
}

/// An act that was tried.
#[derive(Clone, Debug)]
pub struct Acted<S = Situation, D = Decision> {
    pub(in crate::ledger) intended: Intended<S, D>,
    pub(in crate::ledger) outcome: Outcome,
    pub(in crate::ledger) at: Timestamp,
}

impl<S, D> Acted<S, D> {
    /// The decision that was tried.
    #[must_use]
    pub fn decision(&self) -> &D {
        &self.intended.decision
    }

    /// What came of it.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }
}

/// A turn that is complete: nothing to do, or done and recorded.
#[derive(Clone, Debug)]
pub struct Recorded<D = Decision> {
    pub(in crate::ledger) decision: D,
    pub(in crate::ledger) outcome: Option<Outcome>,
    pub(in crate::ledger) entry: Option<EntryRef>,
}

impl<D> Recorded<D> {
    /// A turn that changes nothing and so writes nothing to the ledger.
    #[must_use]
    pub fn unchanged(decision: D) -> Self {
        Self { decision, outcome: None, entry: None }
    }

    /// The decision of the turn.
    #[must_use]
    pub fn decision(&self) -> &D {
        &self.decision
    }

    /// What came of the act, where there was one.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Place of the outcome in the ledger.
    #[must_use]
    pub fn entry(&self) -> Option<&EntryRef> {
        self.entry.as_ref()
    }
}
