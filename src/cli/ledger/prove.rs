//! `matverse ledger prove`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::source::Source;
use crate::cli::tell;

/// Arguments of `prove`.
#[derive(Debug, Args)]
pub struct Prove {
    #[command(flatten)]
    source: Source,
    /// Index of the entry.
    #[arg(long)]
    index: u64,
    /// Write the proof to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Prove {
    /// Verifies the ledger and writes the proof.
    ///
    /// # Errors
    /// No such entry, or input and output that fail.
    pub async fn run(&self) -> Result<u8> {
        let log = match self.source.log(None).await? {
            Ok(log) => log,
            Err(code) => return Ok(code),
        };
        let Some(proof) = log.prove(self.index) else {
            bail!("no entry {}: the ledger has {}", self.index, log.lines.len());
        };
        match &self.out {
            Some(path) => {
                std::fs::write(path, proof.to_text()).with_context(|| path.display().to_string())?;
            }
            None => tell(&proof.to_text())?,
        }
        Ok(0)
    }
}
