//! `matverse ledger`: make a key, verify a ledger.
//!
//! Exit codes of `verify`: 0 good, 1 tampered, 2 incomplete or stale, 3 usage or input that cannot be read.

use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PostParams};
use zeroize::Zeroizing;

use crate::ledger::configmaps::ConfigMaps;
use crate::ledger::keys::{Signer, VerifierKey};
use crate::ledger::store::Store;
use crate::ledger::verify::{Finding, Report, Request, Saved, Severity, Signatures, Verdict, read, verify};
use crate::operator::clock::Clock;

/// Usage or input that cannot be read.
const USAGE: u8 = 3;

/// Work with the ledger.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Make an Ed25519 key that signs a ledger.
    Keygen(Keygen),
    /// Verify a ledger, on the cluster or saved to files, without trusting the operator.
    Verify(Verify),
}

/// Arguments of `keygen`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("to").required(true))]
pub struct Keygen {
    /// Name of the key: the ledger's origin, as `<cluster>/<ledger>`.
    #[arg(long)]
    name: String,
    /// Write the private key (PKCS#8 PEM, mode 0600) to this file, which must not exist, and print the verifier key.
    #[arg(long, value_name = "FILE", group = "to")]
    out: Option<PathBuf>,
    /// Print a Secret manifest for `kubectl create -f -`, and the verifier key on standard error.
    #[arg(long, value_name = "NAMESPACE/NAME", group = "to")]
    secret: Option<String>,
    /// Create that Secret on the cluster; one that is there already stays as it is.
    #[arg(long, value_name = "NAMESPACE/NAME", group = "to")]
    create_secret: Option<String>,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("from").required(true))]
pub struct Verify {
    /// Saved ConfigMaps, JSON or YAML, single or lists; `-` is standard input.
    #[arg(value_name = "FILE", group = "from")]
    files: Vec<PathBuf>,
    /// Read the ledger from the cluster of the present kubeconfig.
    #[arg(long, group = "from")]
    cluster: bool,
    /// Namespace of the ledger.
    #[arg(long, default_value = "matverse-ledger", requires = "cluster")]
    namespace: String,
    /// Verifier key that counts; repeat it while keys overlap.
    #[arg(long = "key", value_name = "VKEY", required = true)]
    keys: Vec<String>,
    /// An older checkpoint (a signed note) that the ledger must continue.
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// Which signatures are checked.
    #[arg(long, value_enum, default_value_t = Which::All)]
    signatures: Which,
    /// Form of the report.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Which signatures are checked.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Which {
    /// The checkpoint's and every entry's.
    All,
    /// The checkpoint's; entries' only where the root does not match.
    Checkpoint,
}

/// Form of the report.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl LedgerCommand {
    /// Runs the verb; prints what goes wrong.
    pub async fn run(self) -> ExitCode {
        let done = match self {
            Self::Keygen(keygen) => keygen.run().await.map(|()| 0),
            Self::Verify(verify) => verify.run().await,
        };
        match done {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::from(USAGE)
            }
        }
    }
}

impl Keygen {
    async fn run(&self) -> Result<()> {
        let signer = Signer::generate(&self.name)?;
        if let Some(path) = &self.out {
            write_key(&signer, path)?;
            println!("{}", signer.verifier());
        }
        if let Some(secret) = &self.secret {
            print!("{}", *manifest(&signer, secret)?);
            eprintln!("{}", signer.verifier());
        }
        if let Some(secret) = &self.create_secret {
            create(&manifest(&signer, secret)?, signer.verifier()).await?;
        }
        Ok(())
    }
}

/// Writes a private key to a new file that only its owner can read.
fn write_key(signer: &Signer, path: &Path) -> Result<()> {
    let pem = signer.to_pkcs8_pem()?;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{}: a key is never replaced", path.display()))?;
    file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).with_context(|| path.display().to_string())
}

/// A Secret with the key; immutable, because a ledger's key is rotated by an entry and never replaced.
fn manifest(signer: &Signer, secret: &str) -> Result<Zeroizing<String>> {
    let (namespace, name) = secret.split_once('/').context("--secret: expected NAMESPACE/NAME")?;
    for part in [namespace, name] {
        let plain =
            part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.');
        ensure!(!part.is_empty() && part.len() <= 253 && plain, "--secret: {part:?} is no name of an object");
    }
    let pem = signer.to_pkcs8_pem()?;
    let pem = Zeroizing::new(pem.trim_end().replace('\n', "\n    "));
    let vkey = serde_json::to_string(&signer.verifier().to_string())?;
    Ok(Zeroizing::new(format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  namespace: {namespace}\n  name: {name}\ntype: Opaque\nimmutable: true\n\
         stringData:\n  vkey: {vkey}\n  key.pem: |\n    {}\n",
        *pem
    )))
}

/// Creates the Secret; never replaces one.
async fn create(manifest: &str, verifier: &VerifierKey) -> Result<()> {
    let secret: Secret = serde_saphyr::from_str(manifest)?;
    let (namespace, name) = (
        secret.metadata.namespace.clone().unwrap_or_default(),
        secret.metadata.name.clone().unwrap_or_default(),
    );
    let client = crate::operator::client::connect().await.context("no API server")?;
    let api: Api<Secret> = Api::namespaced(client, &namespace);
    match api.create(&PostParams::default(), &secret).await {
        Ok(_) => println!("Secret {namespace}/{name} made; verifier key {verifier}"),
        Err(kube::Error::Api(answer)) if answer.is_already_exists() => {
            println!("Secret {namespace}/{name} is there already and stays as it is");
        }
        Err(error) => return Err(error).with_context(|| format!("Secret {namespace}/{name}")),
    }
    Ok(())
}

impl Verify {
    async fn run(&self) -> Result<u8> {
        let keys = self
            .keys
            .iter()
            .map(|key| VerifierKey::parse(key.trim()).with_context(|| format!("--key {key:?}")))
            .collect::<Result<Vec<_>>>()?;
        let since = match &self.since {
            Some(path) => {
                Some(std::fs::read_to_string(path).with_context(|| format!("--since {}", path.display()))?)
            }
            None => None,
        };
        let signatures = match self.signatures {
            Which::All => Signatures::All,
            Which::Checkpoint => Signatures::Checkpoint,
        };
        let (objects, damaged, now) = if self.cluster {
            (self.read_cluster().await?, Vec::new(), Some(Clock::system().now()))
        } else {
            let (objects, damaged) = self.read_files()?;
            (objects, damaged, None)
        };
        let mut report = verify(&Request { objects, keys, since, now, signatures });
        if !damaged.is_empty() {
            // What a damaged file held counts as missing besides; the damage is what matters.
            report.verdict = Verdict::Tampered;
            report.findings.splice(0..0, damaged);
        }
        match self.output {
            Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
            Output::Text => print!("{}", text(&report)),
        }
        Ok(report.verdict.exit_code())
    }

    async fn read_cluster(&self) -> Result<Vec<Saved>> {
        let client = crate::operator::client::connect().await.context("no cluster")?;
        let store = ConfigMaps::new(client, &self.namespace);
        let objects = store.list().await.with_context(|| format!("namespace {}", self.namespace))?;
        Ok(objects.into_iter().map(Saved::from).collect())
    }

    fn read_files(&self) -> Result<(Vec<Saved>, Vec<Finding>)> {
        let (mut objects, mut damaged) = (Vec::new(), Vec::new());
        for path in &self.files {
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
            bail!("no ConfigMaps in {} files", self.files.len());
        }
        Ok((objects, damaged))
    }
}

/// The report for people.
fn text(report: &Report) -> String {
    let verdict = match report.verdict {
        Verdict::Good => "good",
        Verdict::Tampered => "TAMPERED",
        Verdict::Incomplete => "incomplete",
    };
    let mut text = format!("ledger {}: {verdict}\n", report.origin.as_deref().unwrap_or("(unknown)"));
    for finding in &report.findings {
        let severity = match finding.severity {
            Severity::Tampered => "tampered  ",
            Severity::Incomplete => "incomplete",
        };
        let index = match finding.index {
            Some(index) if !finding.at.starts_with("entry") => format!(" (entry {index})"),
            _ => String::new(),
        };
        text += &format!("  {severity} {}{index}: {}\n", finding.at, finding.message);
    }
    if let (Some(size), Some(root)) = (report.size, &report.root) {
        text += &format!("  checkpoint  {size} entries, root {root}\n");
    }
    text + &format!(
        "  seen        {} entries in {} segments and the tail: {} intents, {} outcomes, {} open\n  \
         signatures  {} of entries checked\n  older       {}\n  policies    {}\n",
        report.entries,
        report.segments,
        report.intents,
        report.outcomes,
        report.open,
        report.signatures,
        report.since,
        report.policies
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use clap::Parser;

    use super::*;
    use crate::ledger::memory::MemoryStore;
    use crate::ledger::statement::Note;
    use crate::ledger::{Ledger, Settings};

    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        command: LedgerCommand,
    }

    fn parse(args: &[&str]) -> LedgerCommand {
        Cli::try_parse_from([&["ledger"], args].concat()).unwrap_or_else(|e| panic!("{e}")).command
    }

    async fn exit(args: &[&str]) -> u8 {
        match parse(args) {
            LedgerCommand::Verify(verify) => verify.run().await.unwrap_or(USAGE),
            LedgerCommand::Keygen(keygen) => keygen.run().await.map_or(USAGE, |()| 0),
        }
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("matverse-cli-ledger-{}-{name}", std::process::id()));
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[tokio::test]
    async fn a_key_is_written_once_for_its_owner_alone() {
        let folder = folder("keygen");
        let path = folder.join("key.pem");
        let args = ["keygen", "--name", "prod/main", "--out", path.to_str().unwrap()];
        assert_eq!(exit(&args).await, 0);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let first = std::fs::read(&path).unwrap();
        Signer::from_file("prod/main", &path).unwrap();
        assert_eq!(exit(&args).await, USAGE, "it is never replaced");
        assert_eq!(std::fs::read(&path).unwrap(), first);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_secret_manifest_holds_the_key_and_its_public_half() {
        #[derive(serde::Deserialize)]
        struct Secret {
            kind: String,
            immutable: bool,
            #[serde(rename = "stringData")]
            data: std::collections::BTreeMap<String, String>,
        }
        let signer = Signer::from_seed("prod/main", &[1; 32]).unwrap();
        let secret: Secret = serde_saphyr::from_str(&manifest(&signer, "matverse/key").unwrap()).unwrap();
        assert_eq!((secret.kind.as_str(), secret.immutable), ("Secret", true));
        let again = Signer::from_pkcs8_pem("prod/main", &secret.data["key.pem"]).unwrap();
        assert_eq!(again.verifier().to_string(), secret.data["vkey"]);
        for bad in ["key", "a/b: c", "/key", "a/", "a/b\n"] {
            assert!(manifest(&signer, bad).is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn exit_codes_tell_good_tampered_incomplete_and_usage_apart() {
        let folder = folder("verify");
        let store = MemoryStore::default();
        let signer = Signer::from_seed("prod/main", &[1; 32]).unwrap();
        let vkey = signer.verifier().to_string();
        let settings = Settings { tail_bytes: 1500, ..Settings::immediate() };
        let now = jiff::Timestamp::from_second(1_700_000_000).unwrap();
        let (ledger, _) =
            Ledger::open_with(Arc::new(store.clone()), signer, "prod/main", settings, now).await.unwrap();
        for n in 0..3 {
            let note = Note { topic: "paused".into(), message: format!("number {n}"), ..Note::default() };
            ledger.note(note, now).await.unwrap();
        }
        let mut files = Vec::new();
        for object in store.objects() {
            let path = folder.join(format!("{}.json", object.name));
            let mut map = serde_json::json!({
                "apiVersion": "v1", "kind": "ConfigMap", "data": object.data, "metadata": {"name": object.name}
            });
            if object.immutable {
                map["immutable"] = true.into();
            }
            std::fs::write(&path, map.to_string()).unwrap();
            files.push(path.to_str().unwrap().to_owned());
        }
        let all: Vec<&str> = files.iter().map(String::as_str).collect();
        let verify = |files: &[&str], more: &[&str]| {
            let args: Vec<String> =
                [&["verify", "--key", &vkey], more, files].concat().iter().map(ToString::to_string).collect();
            async move { exit(&args.iter().map(String::as_str).collect::<Vec<_>>()).await }
        };
        assert_eq!(verify(&all, &[]).await, 0);
        assert_eq!(verify(&all, &["-o", "json", "--signatures", "checkpoint"]).await, 0);
        let checkpoint = folder.join("checkpoint");
        let tail = store.objects().into_iter().find(|o| o.name == "tail").unwrap();
        std::fs::write(&checkpoint, &tail.data["checkpoint"]).unwrap();
        assert_eq!(verify(&all, &["--since", checkpoint.to_str().unwrap()]).await, 0);
        for missing in 0..all.len() {
            let rest: Vec<&str> =
                all.iter().enumerate().filter(|(i, _)| *i != missing).map(|(_, f)| *f).collect();
            assert_eq!(verify(&rest, &[]).await, 2, "{} is missing", all[missing]);
        }
        assert_eq!(verify(&["/nonexistent"], &[]).await, USAGE);
        assert_eq!(verify(&all, &["--key", "nonsense"]).await, USAGE);
        let first = files.iter().find(|file| file.contains("seg-")).unwrap();
        let text = std::fs::read_to_string(first).unwrap();
        std::fs::write(first, text.replacen("genesis", "genesit", 1)).unwrap();
        assert_eq!(verify(&all, &[]).await, 1);
        std::fs::write(first, &text[1..]).unwrap();
        assert_eq!(verify(&all, &[]).await, 1, "a file that cannot be read is not what was saved");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_source_is_required() {
        assert!(Cli::try_parse_from(["ledger", "verify", "--key", "k"]).is_err());
        assert!(Cli::try_parse_from(["ledger", "verify", "a.json"]).is_err());
        assert!(Cli::try_parse_from(["ledger", "verify", "--key", "k", "--cluster", "a.json"]).is_err());
        assert!(Cli::try_parse_from(["ledger", "keygen", "--name", "a"]).is_err());
    }
}
