//! Why the ledger did not do what was asked. Each of these means: no act.

use super::keys::KeyError;
use super::statement::EntryError;
use super::store::StoreError;
use super::tail::TailError;

/// Why the ledger did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The entry cannot be written.
    #[error("{0}")]
    Entry(#[from] EntryError),
    /// The decision is no act that could be recorded.
    #[error("not an act: {0}")]
    NotAnAct(&'static str),
    /// An earlier act on the same target has no outcome yet.
    #[error("the intent {index} on this target has no outcome yet")]
    OpenIntent {
        /// Index of that intent.
        index: u64,
    },
    /// There is no such intent without outcome.
    #[error("no open intent {0}")]
    UnknownIntent(u64),
    /// Somebody else leads: this process must not act any more.
    #[error("another leader has appended to the ledger")]
    SteppedDown,
    /// No settled answer; the entry counts as not recorded. Try again.
    #[error("the ledger's store does not answer: {0}")]
    Unreachable(String),
    /// The budget is used up for this act.
    #[error(
        "the ledger has used {percent} % of its budget; export it (matverse ledger export --mark), or raise ledger.budgetBytes"
    )]
    Full {
        /// Used, in percent.
        percent: u64,
    },
    /// Acts in one namespace have filled their share of the budget.
    #[error(
        "the ledger's budget runs short, and acts in namespace {namespace} have filled their share; only Rollback and ScaleUp go on there"
    )]
    Quota {
        /// The namespace.
        namespace: String,
    },
    /// The store refused the write.
    #[error("the ledger's store refuses: {0}")]
    Denied(String),
    /// What is stored does not verify. A person decides.
    #[error("the stored ledger does not verify: {0}")]
    Tampered(#[from] TailError),
    /// The key is not the one that signed the ledger, or none. A person decides.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// The newest entry is signed by a key that this process does not have. A person decides.
    #[error(
        "the ledger has turned to the key {newest}, which is not the configured one; mount that key, or, to turn to another, mount the one that it is to take over from as the retiring key"
    )]
    Turned {
        /// Id of that key, hex.
        newest: String,
    },
    /// There was a tail once, and there is none now. A person decides.
    #[error(
        "the ledger's tail is gone, its other objects are not; bring it back from a backup, or move those away to found a new ledger"
    )]
    TailVanished,
    /// A segment stands in the way, or one is missing. A person decides.
    #[error("the ledger is stopped: {0}")]
    Stopped(String),
    /// The ledger's task has ended.
    #[error("the ledger is closed")]
    Closed,
}

impl LedgerError {
    /// Bounded name for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Entry(e) => e.kind(),
            Self::NotAnAct(_) => "not_an_act",
            Self::OpenIntent { .. } => "open_intent",
            Self::UnknownIntent(_) => "unknown_intent",
            Self::SteppedDown => "stepped_down",
            Self::Unreachable(_) => "unreachable",
            Self::Denied(_) => "denied",
            Self::Full { .. } => "full",
            Self::Quota { .. } => "quota",
            Self::Tampered(e) => e.kind(),
            Self::Key(e) => e.kind(),
            Self::Turned { .. } => "turned",
            Self::TailVanished => "tail_vanished",
            Self::Stopped(_) => "stopped",
            Self::Closed => "closed",
        }
    }

    /// Whether this process can never append again (another leader, or a person has to decide).
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::SteppedDown
                | Self::Tampered(_)
                | Self::Key(_)
                | Self::Turned { .. }
                | Self::TailVanished
                | Self::Stopped(_)
                | Self::Closed
        )
    }
}

impl From<StoreError> for LedgerError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Denied(why) => Self::Denied(why),
            other => Self::Unreachable(other.to_string()),
        }
    }
}
