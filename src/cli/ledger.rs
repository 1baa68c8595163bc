//! `matverse ledger`: make keys.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};

use crate::ledger::keys::Signer;

/// Verbs of the ledger.
#[derive(Subcommand, Debug)]
pub enum LedgerCommand {
    /// Makes an Ed25519 key and prints its public half
    Keygen(Keygen),
}

/// Arguments of `keygen`.
#[derive(Args, Debug)]
pub struct Keygen {
    /// Name of the key: the ledger's origin, such as prod/main
    #[arg(long)]
    name: String,
    /// File to write (PKCS#8 PEM, mode 0600); an existing file is never replaced
    #[arg(long, conflicts_with_all = ["secret", "create_secret"])]
    out: Option<PathBuf>,
    /// Prints a Secret NAMESPACE/NAME for `kubectl create -f -`
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with = "create_secret")]
    secret: Option<String>,
    /// Creates the Secret NAMESPACE/NAME; an existing one is left as it is
    #[arg(long, value_name = "NAMESPACE/NAME")]
    create_secret: Option<String>,
}

impl LedgerCommand {
    /// Runs the verb. Exit 3 on a failure.
    pub async fn run(self) -> ExitCode {
        let done = match self {
            Self::Keygen(arguments) => keygen(arguments).await,
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("matverse: {error:#}");
                ExitCode::from(3)
            }
        }
    }
}

async fn keygen(arguments: Keygen) -> anyhow::Result<()> {
    let signer = Signer::generate(&arguments.name)?;
    let public = signer.verifier().to_string();
    let pem = signer.to_pkcs8_pem()?;
    match (&arguments.out, &arguments.secret, &arguments.create_secret) {
        (Some(path), None, None) => {
            write(path, pem.as_bytes())?;
            println!("{public}");
        }
        (None, Some(name), None) => {
            let secret = manifest(name, &pem, &public)?;
            print!("{}", serde_saphyr::to_string(&secret)?);
            eprintln!("{public}");
        }
        (None, None, Some(name)) => create(&manifest(name, &pem, &public)?, name, &public).await?,
        _ => bail!("say where the key goes: --out FILE, --secret NAMESPACE/NAME or --create-secret NAMESPACE/NAME"),
    }
    Ok(())
}

fn write(path: &Path, pem: &[u8]) -> anyhow::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{}: an existing key is never replaced", path.display()))?;
    file.write_all(pem)?;
    file.sync_all()?;
    Ok(())
}

fn manifest(name: &str, pem: &str, public: &str) -> anyhow::Result<Secret> {
    let Some((namespace, name)) = name.split_once('/') else { bail!("{name}: NAMESPACE/NAME is needed") };
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let data = BTreeMap::from([("key.pem".to_owned(), bytes(pem)), ("key.pub".to_owned(), bytes(public))]);
    Ok(Secret {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..Secret::default()
    })
}

async fn create(secret: &Secret, name: &str, public: &str) -> anyhow::Result<()> {
    let client = crate::operator::client::connect().await.context("no API server")?;
    let namespace = secret.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(client, namespace);
    match api.create(&PostParams::default(), secret).await {
        Ok(_) => println!("Secret {name} made; public key {public}"),
        Err(kube::Error::Api(answer)) if answer.is_already_exists() => {
            println!("Secret {name} is there already and stays as it is");
        }
        Err(error) => return Err(error).with_context(|| format!("Secret {name}")),
    }
    Ok(())
}
