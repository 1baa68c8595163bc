//! `matverse ledger export`.
//!
//! Order of the writes: tiles and entries first, the checkpoint that needs them last, then what only the older
//! checkpoint needed is removed. A crash leaves an export that verifies, the old one or the new one.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::source::{Source, read_export, replace};
use crate::cli::tell_line;
use crate::ledger::configmaps::ConfigMaps;
use crate::ledger::log::Log;
use crate::ledger::statement::Parts;
use crate::ledger::tiles;

/// Every entry as its DSSE envelope, one a line.
const ENVELOPES: &str = "entries.jsonl";

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    source: Source,
    /// The folder; one that holds an export already is continued, and serves as the archive.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// Mark the exported segments on the cluster, so that the operator may remove them.
    #[arg(long, requires = "cluster", conflicts_with = "files")]
    mark: bool,
}

impl Export {
    /// Verifies the ledger, checks that it continues what was exported, and writes the rest.
    ///
    /// # Errors
    /// A folder that holds another ledger, or input and output that fail.
    pub async fn run(&self) -> Result<u8> {
        let known = self.known()?;
        let log = match self.source.log(known.as_ref().map(|_| self.to.as_path())).await? {
            Ok(log) => log,
            Err(code) => return Ok(code),
        };
        let known = known.unwrap_or_default();
        if !log.lines.starts_with(&known) {
            tell_line(format_args!(
                "{}: the ledger does not continue what was exported there",
                self.to.display()
            ))?;
            return Ok(1);
        }
        self.write(&log, known.len())?;
        tell_line(format_args!(
            "{} entries in {}, {} of them new",
            log.lines.len(),
            self.to.display(),
            log.lines.len() - known.len()
        ))?;
        if self.mark {
            let marked = self.mark(log.lines.len() as u64).await?;
            tell_line(format_args!("{marked} segments marked as exported"))?;
        }
        Ok(0)
    }

    /// What the folder holds already.
    fn known(&self) -> Result<Option<Vec<String>>> {
        if !self.to.join("checkpoint").exists() {
            let used = fs::read_dir(&self.to).is_ok_and(|mut entries| entries.next().is_some());
            ensure!(!used, "{}: not empty, and no export", self.to.display());
            return Ok(None);
        }
        Ok(Some(read_export(&self.to)?.1))
    }

    fn write(&self, log: &Log, known: usize) -> Result<()> {
        let files = tiles::files(&log.lines, known);
        for (path, bytes) in &files {
            replace(&self.to.join(path), bytes)?;
        }
        let mut envelopes = String::new();
        for line in &log.lines {
            envelopes += &Parts::of(line)?.envelope();
            envelopes.push('\n');
        }
        replace(&self.to.join(ENVELOPES), envelopes.as_bytes())?;
        replace(&self.to.join("checkpoint"), log.checkpoint.note().as_bytes())?;
        for path in tiles::partial(known) {
            if !files.contains_key(&path) {
                fs::remove_file(self.to.join(&path)).ok();
                // The folder of partial ones is empty then, most often.
                self.to.join(&path).parent().map(fs::remove_dir);
            }
        }
        Ok(())
    }

    async fn mark(&self, size: u64) -> Result<usize> {
        let client = crate::operator::client::connect().await.context("no cluster")?;
        let store = ConfigMaps::new(client, &self.source.namespace);
        store.mark_exported(size).await.with_context(|| format!("namespace {}", self.source.namespace))
    }
}
