//! `matverse ledger keygen`.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PostParams};
use zeroize::Zeroizing;

use crate::cli::{hand_over, tell_line};
use crate::ledger::keys::{Signer, VerifierKey};

/// Arguments of `keygen`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("to").required(true))]
pub struct Keygen {
    /// Name of the key: the ledger's origin, as `<cluster>/<ledger>`, or that of the witness.
    #[arg(long)]
    name: String,
    /// The key is for a witness, who cosigns checkpoints.
    #[arg(long, conflicts_with_all = ["secret", "create_secret"])]
    witness: bool,
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

impl Keygen {
    /// Makes the key.
    ///
    /// # Errors
    /// A name that cannot be one, a file or Secret that cannot be written.
    pub async fn run(&self) -> Result<()> {
        let mut signer = Signer::generate(&self.name)?;
        if self.witness {
            signer = signer.into_witness()?;
        }
        if let Some(path) = &self.out {
            write_key(&signer, path)?;
            tell_line(signer.verifier())?;
        }
        if let Some(secret) = &self.secret {
            // A key that nobody took is no key: here a reader that has gone is an error.
            hand_over(&manifest(&signer, secret)?).context("the Secret")?;
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
pub(super) fn manifest(signer: &Signer, secret: &str) -> Result<Zeroizing<String>> {
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
        Ok(_) => tell_line(format_args!("Secret {namespace}/{name} made; verifier key {verifier}"))?,
        Err(kube::Error::Api(answer)) if answer.is_already_exists() => {
            tell_line(format_args!("Secret {namespace}/{name} is there already and stays as it is"))?;
        }
        Err(error) => return Err(error).with_context(|| format!("Secret {namespace}/{name}")),
    }
    Ok(())
}
