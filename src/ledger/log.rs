//! A whole ledger in one piece: every entry from the genesis on, under a checkpoint that holds.

use super::checkpoint::SignedCheckpoint;
use super::merkle::{Hash, leaf_hash};
use super::proof::{self, Proof};
use super::verify::{Report, Request, examine};

/// Every entry of a ledger, none of them changed, and the checkpoint over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The entry lines, from the genesis on.
    pub lines: Vec<String>,
    /// The checkpoint over all of them.
    pub checkpoint: SignedCheckpoint,
}

impl Log {
    /// Takes the entries out of saved objects.
    ///
    /// # Errors
    /// What verification found, where anything was changed or is missing. An intent that has waited too long for
    /// its outcome is no reason: the entries are all there.
    pub fn open(request: &Request) -> Result<Self, Box<Report>> {
        let examined = examine(request);
        let whole = examined.report.size == Some(examined.report.entries);
        match examined.checkpoint {
            Some(checkpoint) if whole && !examined.report.is_tampered() => {
                let lines = examined.lines.into_iter().map(str::to_owned).collect();
                Ok(Self { lines, checkpoint })
            }
            _ => Err(Box::new(examined.report)),
        }
    }

    /// Hashes of its leaves.
    #[must_use]
    pub fn leaves(&self) -> Vec<Hash> {
        self.lines.iter().map(|line| leaf_hash(line.as_bytes())).collect()
    }

    /// The proof that entry `index` is in it; `None` where it has none.
    #[must_use]
    pub fn prove(&self, index: u64) -> Option<Proof> {
        let path = proof::inclusion(&self.leaves(), index)?;
        let entry = self.lines.get(usize::try_from(index).ok()?)?.clone();
        Some(Proof { entry, index, path, note: self.checkpoint.note().to_owned() })
    }
}
