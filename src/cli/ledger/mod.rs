//! `matverse ledger`: one file a verb.
//!
//! Exit codes of `verify`: 0 good, 1 tampered, 2 incomplete or stale, 3 usage or input that cannot be read. The
//! other verbs refuse a ledger that does not verify with the same codes.

mod export;
mod keygen;
mod prove;
pub(super) mod source;
mod target;
mod verify;
mod witness;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::Subcommand;

/// Usage or input that cannot be read.
const USAGE: u8 = 3;

/// Work with the ledger.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Make an Ed25519 key that signs a ledger, or one that cosigns as a witness.
    Keygen(keygen::Keygen),
    /// Verify a ledger or a proof, without trusting the operator.
    Verify(verify::Verify),
    /// Write the proof that an entry is in the ledger, which verifies offline.
    Prove(prove::Prove),
    /// Write the ledger as files: tiles, JSON lines and the checkpoint; what was exported before is continued.
    Export(export::Export),
    /// Cosign the checkpoint, if the ledger continues what was cosigned before.
    Witness(witness::Witness),
}

impl LedgerCommand {
    /// Runs the verb; prints what goes wrong.
    pub async fn run(self) -> ExitCode {
        match self.code().await {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::from(USAGE)
            }
        }
    }

    async fn code(&self) -> anyhow::Result<u8> {
        match self {
            Self::Keygen(keygen) => keygen.run().await.map(|()| 0),
            Self::Verify(verify) => verify.run().await,
            Self::Prove(prove) => prove.run().await,
            Self::Export(export) => export.run().await,
            Self::Witness(witness) => witness.run().await,
        }
    }
}
