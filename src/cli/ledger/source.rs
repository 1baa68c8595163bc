//! Where a ledger is read from: the cluster, saved ConfigMaps, an export, or what is left of one beside the other.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::Timestamp;

use crate::ledger::configmaps::ConfigMaps;
use crate::ledger::keys::VerifierKey;
use crate::ledger::log::Log;
use crate::ledger::merkle::Frontier;
use crate::ledger::store::Store;
use crate::ledger::tail::{Segment, TAIL, segment_name, segment_start};
use crate::ledger::text::decimal;
use crate::ledger::tiles;
use crate::ledger::verify::{Finding, Request, Saved, Signatures, read};
use crate::operator::clock::Clock;

/// Which ledger.
#[derive(Debug, Args)]
pub struct Source {
    /// Saved ConfigMaps, JSON or YAML, single or lists, or the folder of an export; `-` is standard input.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Read the ledger from the cluster of the present kubeconfig.
    #[arg(long, conflicts_with = "files")]
    pub cluster: bool,
    /// Namespace of the ledger.
    #[arg(long, default_value = "matverse-ledger", requires = "cluster", conflicts_with = "files")]
    pub namespace: String,
    /// An export that holds the entries which are no longer where the ledger is read from.
    #[arg(long, value_name = "FOLDER")]
    pub archive: Option<PathBuf>,
    /// Verifier key that counts; repeat it while keys overlap.
    #[arg(long = "key", value_name = "VKEY", required = true)]
    pub keys: Vec<String>,
}

/// What was read.
pub struct Given {
    /// The objects of the ledger.
    pub objects: Vec<Saved>,
    /// Files that are not what was saved.
    pub damaged: Vec<Finding>,
    /// The present, where it was read live.
    pub now: Option<Timestamp>,
}

impl Source {
    /// The keys that count.
    ///
    /// # Errors
    /// The text that is none.
    pub fn keys(&self) -> Result<Vec<VerifierKey>> {
        parse_keys(&self.keys)
    }

    /// Reads it.
    ///
    /// # Errors
    /// No source, or one that cannot be read.
    pub async fn read(&self) -> Result<Given> {
        self.read_with(self.archive.as_deref()).await
    }

    async fn read_with(&self, archive: Option<&Path>) -> Result<Given> {
        let mut given = if self.cluster {
            let now = Some(Clock::system().now());
            Given { objects: self.read_cluster().await?, damaged: Vec::new(), now }
        } else {
            self.read_files()?
        };
        if let Some(folder) = archive {
            let (_, lines) = read_export(folder)?;
            given.objects.extend(before(&given.objects, lines)?);
        }
        Ok(given)
    }

    /// The whole ledger, older entries out of `archive` where the arguments name none; the verdict's exit code, its
    /// findings printed, where it does not verify.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn log(&self, archive: Option<&Path>) -> Result<Result<Log, u8>> {
        let given = self.read_with(self.archive.as_deref().or(archive)).await?;
        let request = Request {
            objects: given.objects,
            keys: self.keys()?,
            now: given.now,
            signatures: Signatures::Checkpoint,
            ..Request::default()
        };
        if let Some(damaged) = given.damaged.first() {
            eprintln!("error: {}: {}", damaged.at, damaged.message);
            return Ok(Err(1));
        }
        Ok(Log::open(&request).map_err(|report| {
            for finding in &report.findings {
                eprintln!("error: {}: {}", finding.at, finding.message);
            }
            report.verdict.exit_code().max(1)
        }))
    }

    async fn read_cluster(&self) -> Result<Vec<Saved>> {
        let client = crate::operator::client::connect().await.context("no cluster")?;
        let store = ConfigMaps::new(client, &self.namespace);
        let objects = store.list().await.with_context(|| format!("namespace {}", self.namespace))?;
        Ok(objects.into_iter().map(Saved::from).collect())
    }

    fn read_files(&self) -> Result<Given> {
        let (mut objects, mut damaged) = (Vec::new(), Vec::new());
        for path in &self.files {
            if path.is_dir() {
                match read_export(path) {
                    Ok((note, lines)) => objects.extend(tiles::objects(note, &lines)),
                    Err(error) => {
                        damaged.push(Finding::tampered(&path.display().to_string(), error.to_string()));
                    }
                }
                continue;
            }
            let mut bytes = Vec::new();
            if path.as_os_str() == "-" {
                std::io::stdin().read_to_end(&mut bytes).context("standard input")?;
            } else {
                bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
            }
            match read(&path.display().to_string(), &bytes) {
                Ok(saved) => objects.extend(saved),
                Err(finding) => damaged.push(finding),
            }
        }
        if objects.is_empty() && damaged.is_empty() {
            bail!("no ledger: name --cluster, saved ConfigMaps or an export");
        }
        Ok(Given { objects, damaged, now: None })
    }
}

/// The keys that `--key` names.
///
/// # Errors
/// The text that is none.
pub fn parse_keys(keys: &[String]) -> Result<Vec<VerifierKey>> {
    let key = |key: &String| VerifierKey::parse(key.trim()).with_context(|| format!("--key {key:?}"));
    keys.iter().map(key).collect()
}

/// Note and entries of an export.
///
/// # Errors
/// A file that is missing or not of the format.
pub fn read_export(folder: &Path) -> Result<(String, Vec<String>)> {
    tiles::read(|path| std::fs::read(folder.join(path)).ok()).with_context(|| folder.display().to_string())
}

/// The archived entries before the first that is still there, as the segment that held them.
fn before(objects: &[Saved], mut lines: Vec<String>) -> Result<Option<Saved>> {
    let start = |object: &Saved| match segment_start(&object.name) {
        None if object.name == TAIL => object.data.get("sealed").and_then(|sealed| decimal(sealed)),
        start => start,
    };
    let first =
        objects.iter().filter_map(start).min().context("no tail and no segment beside the archive")?;
    if first == 0 {
        return Ok(None);
    }
    lines.truncate(usize::try_from(first)?);
    let namespace = objects.first().and_then(|object| object.namespace.clone());
    let data = Segment { start: Frontier::default(), lines }.data();
    Ok(Some(Saved { name: segment_name(0), namespace, immutable: true, data }))
}

/// Replaces a file at once or not at all.
///
/// # Errors
/// What the system says.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let mut file = std::fs::File::create(&name)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&name, path)?;
        std::fs::File::open(folder)?.sync_all()
    };
    write().with_context(|| path.display().to_string())
}
