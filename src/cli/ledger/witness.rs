//! `matverse ledger witness`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::source::{Source, replace};
use crate::cli::tell;
use crate::ledger::checkpoint::SignedCheckpoint;
use crate::ledger::keys::Signer;
use crate::ledger::merkle::root_of;
use crate::ledger::witness::cosign;
use crate::operator::clock::Clock;

/// Arguments of `witness`.
#[derive(Debug, Args)]
pub struct Witness {
    #[command(flatten)]
    source: Source,
    /// Name of the witness.
    #[arg(long)]
    name: String,
    /// Its private key (PKCS#8 PEM), from `keygen --witness`.
    #[arg(long, value_name = "FILE")]
    signing_key: PathBuf,
    /// The last checkpoint that it cosigned; written anew each time. The ledger must continue it.
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
}

impl Witness {
    /// Verifies the ledger, compares it with what was cosigned before, and prints the cosigned checkpoint.
    ///
    /// # Errors
    /// A key or state that cannot be read or written.
    pub async fn run(&self) -> Result<u8> {
        let signer = Signer::from_file(&self.name, &self.signing_key)?.into_witness()?;
        let log = match self.source.log(None).await? {
            Ok(log) => log,
            Err(code) => return Ok(code),
        };
        if self.state.exists() {
            let path = || self.state.display().to_string();
            let note = std::fs::read_to_string(&self.state).with_context(path)?;
            let old = SignedCheckpoint::open(&note, &self.source.keys()?).with_context(path)?;
            let old = old.checkpoint();
            let leaves = log.leaves();
            let begins = usize::try_from(old.size).ok().and_then(|size| leaves.get(..size)).map(root_of);
            if old.origin != log.checkpoint.checkpoint().origin || begins != Some(old.root) {
                eprintln!(
                    "error: the ledger ({} entries) does not continue the checkpoint of {} entries in {}; keep both",
                    log.lines.len(),
                    old.size,
                    path()
                );
                return Ok(1);
            }
        }
        let note = cosign(&log.checkpoint, &signer, Clock::system().now())?;
        // What is cosigned must be remembered first: otherwise a crash could let another history be cosigned.
        replace(&self.state, note.as_bytes())?;
        tell(&note)?;
        Ok(0)
    }
}
