//! `matverse ledger verify target`.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use kube::api::Api;

use super::source::Source;
use crate::cli::tell_line;
use crate::ledger::attestation::{ATTESTATION, DECISION};
use crate::ledger::target::{Target, standing};
use crate::observe::facts::identity;

/// Arguments of `verify target`.
#[derive(Debug, Args)]
pub struct VerifyTarget {
    /// The Deployment, read from the cluster of the present kubeconfig.
    #[arg(value_name = "NAMESPACE/NAME", conflicts_with = "deployment")]
    name: Option<String>,
    /// The Deployment as `kubectl get deployment -o json` or `-o yaml` wrote it.
    #[arg(long, value_name = "FILE", required_unless_present = "name")]
    deployment: Option<PathBuf>,
    /// The ledger: saved ConfigMaps or the folder of an export, instead of the cluster; repeat it.
    #[arg(long = "ledger", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Namespace of the ledger on the cluster.
    #[arg(long, default_value = "matverse-ledger")]
    namespace: String,
    /// An export that holds the entries which are no longer there.
    #[arg(long, value_name = "FOLDER")]
    archive: Option<PathBuf>,
    /// Verifier key that counts; repeat it while keys overlap.
    #[arg(long = "key", value_name = "VKEY", required = true)]
    keys: Vec<String>,
    /// The answer as JSON.
    #[arg(long)]
    json: bool,
}

impl VerifyTarget {
    /// Judges the annotations of a Deployment; 0 valid, 1 forged, 2 stale or external.
    ///
    /// # Errors
    /// No such Deployment, or input that cannot be read.
    pub async fn run(&self) -> Result<u8> {
        let source = Source {
            cluster: self.files.is_empty(),
            files: self.files.clone(),
            namespace: self.namespace.clone(),
            archive: self.archive.clone(),
            keys: self.keys.clone(),
        };
        let target = target(&self.read().await?)?;
        let log = match source.log(None).await? {
            Ok(log) => log,
            Err(code) => return Ok(code),
        };
        let standing = standing(&target, &log, &source.keys()?);
        if self.json {
            tell_line(serde_json::to_string(&standing)?)?;
        } else {
            tell_line(format_args!("deployment {}/{}: {standing}", target.namespace, target.name))?;
        }
        Ok(standing.exit_code())
    }

    async fn read(&self) -> Result<Deployment> {
        if let Some(path) = &self.deployment {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            return serde_saphyr::from_str(&text).with_context(|| path.display().to_string());
        }
        let name = self.name.as_deref().unwrap_or_default();
        let (namespace, name) = name.split_once('/').context("expected NAMESPACE/NAME")?;
        let client = crate::operator::client::connect().await.context("no cluster")?;
        let api: Api<Deployment> = Api::namespaced(client, namespace);
        api.get(name).await.with_context(|| format!("Deployment {namespace}/{name}"))
    }
}

fn target(deployment: &Deployment) -> Result<Target> {
    let spec = deployment.spec.as_ref();
    ensure!(spec.is_some() && deployment.uid().is_some(), "not a Deployment as the API server stores it");
    let annotation = |key: &str| deployment.annotations().get(key).cloned();
    Ok(Target {
        namespace: deployment.namespace().unwrap_or_default(),
        name: deployment.name_any(),
        uid: deployment.uid().unwrap_or_default(),
        replicas: spec.and_then(|spec| spec.replicas).unwrap_or(1),
        template: spec.map(|spec| identity(&spec.template)).unwrap_or_default(),
        decision: annotation(DECISION),
        attestation: annotation(ATTESTATION),
    })
}
