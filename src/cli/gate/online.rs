//! A check on a cluster: the gate, its target, and either the evidence itself or what the operator made of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use super::{Basis, Verdict};
use crate::api::OmegaGate;
use crate::api::gate::OmegaGateStatus;
use crate::decide::gate::{GateAnswer, evaluate};
use crate::decide::refused_gate;
use crate::observe::facts;
use crate::observe::revision_set::RevisionSet;
use crate::observe::sample::SKEW;
use crate::observe::signals::Signals;
use crate::observe::workload::Workload;
use crate::operator::gate::evidence::{self, Gathered};
use crate::operator::target::owned_by;

/// Longest wait for one answer of the API server.
const READ: Duration = Duration::from_secs(10);

/// What is asked.
pub struct Ask<'a> {
    /// Namespace of the gate.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// `pod-template-hash` that the answer must speak of.
    pub revision: Option<&'a str>,
    /// Where evidence is read; from status without it.
    pub signals: Option<&'a Signals>,
    /// The time of the check.
    pub now: Timestamp,
}

/// Why nothing could be asked.
#[derive(Debug)]
pub enum Failure {
    /// It may be otherwise in a moment.
    Passing(anyhow::Error),
    /// It will not.
    Final(anyhow::Error),
}

async fn read<T>(what: &str, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Failure> {
    let passing = |error: anyhow::Error| Failure::Passing(error.context(what.to_owned()));
    match tokio::time::timeout(READ, call).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(kube::Error::Api(status))) if [401, 403].contains(&status.code) => {
            Err(Failure::Final(anyhow!("{what}: {}", status.message)))
        }
        Ok(Err(kube::Error::SerdeError(error))) => {
            Err(Failure::Final(anyhow!("{what} cannot be read: {error}; compare it with `matverse crds`")))
        }
        Ok(Err(error)) => Err(passing(error.into())),
        Err(_) => Err(passing(anyhow!("no answer within {} s", READ.as_secs()))),
    }
}

/// Asks once.
///
/// # Errors
/// No such gate, a spec that is not accepted, or an API server that does not answer.
pub async fn ask(client: &Client, ask: &Ask<'_>, gathered: &mut Gathered) -> Result<Verdict, Failure> {
    let title = format!("{}/{}", ask.namespace, ask.name);
    let gates: Api<OmegaGate> = Api::namespaced(client.clone(), ask.namespace);
    let gate = read(&format!("OmegaGate {title}"), gates.get_opt(ask.name)).await?.ok_or_else(|| {
        let way = format!("`kubectl get omegagates -n {}` lists those there are", ask.namespace);
        Failure::Final(anyhow!("OmegaGate {title} does not exist; {way}"))
    })?;
    let basis = if ask.signals.is_some() { Basis::Evidence } else { Basis::Status };
    let target = format!("Deployment {}/{}", ask.namespace, gate.spec.target_ref.name);
    let unknown = |revision: Option<&str>, why: String| {
        Ok(Verdict::unknown(title.clone(), basis, revision.map(str::to_owned), &why))
    };
    let workload = match workload(client, ask, &gate.spec.target_ref.name, &target).await? {
        Found::Missing => return unknown(None, format!("{target} does not exist")),
        Found::Unseen => {
            return unknown(None, format!("the newest spec of {target} has not been taken up yet"));
        }
        Found::Here(workload) => workload,
    };
    let runs = workload.current.pod_template_hash.as_str();
    if let Some(asked) = ask.revision.filter(|asked| *asked != runs) {
        return unknown(Some(runs), format!("{target} runs {runs}, not {asked}"));
    }
    let Some(signals) = ask.signals else {
        return Ok(of_status(&title, &gate, runs, ask.now));
    };
    let invalid = refused_gate(&gate.spec);
    if !invalid.is_empty() {
        return Err(Failure::Final(anyhow!("OmegaGate {title}: {}", invalid.join("; "))));
    }
    let plan = evidence::plan(signals, &gate).map_err(|errors| {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::Final(anyhow!("OmegaGate {title}: {}", all.join("; ")))
    })?;
    let readings = gathered.look(signals, &plan, &gate, Some(&workload), ask.now).await;
    let status = gate.status.clone().unwrap_or_default();
    let situation = gathered.situation(&gate, readings, Some(&workload), &status.admitted, None, ask.now);
    Ok(Verdict::evaluated(title, basis, Some(runs.to_owned()), &evaluate(&situation)))
}

/// The target.
enum Found {
    Missing,
    /// Its controller has not seen its newest spec: what runs is not what was asked for.
    Unseen,
    Here(Box<Workload>),
}

async fn workload(client: &Client, ask: &Ask<'_>, name: &str, target: &str) -> Result<Found, Failure> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), ask.namespace);
    let Some(deployment) = read(target, deployments.get_opt(name)).await? else {
        return Ok(Found::Missing);
    };
    let seen = deployment.status.as_ref().and_then(|status| status.observed_generation);
    if seen.unwrap_or(0) < deployment.metadata.generation.unwrap_or(0) {
        return Ok(Found::Unseen);
    }
    let sets: Api<RevisionSet> = Api::namespaced(client.clone(), ask.namespace);
    let pods = ListParams::default().labels(&facts::pod_selector(&deployment));
    let uid = deployment.uid().unwrap_or_default();
    let mut replica_sets = read(&format!("ReplicaSets of {target}"), sets.list(&pods)).await?.items;
    replica_sets.retain(|set| owned_by(set, &uid));
    let replica_sets: Vec<_> = replica_sets.into_iter().map(Arc::new).collect();
    let workload = facts::workload(&facts::Sources {
        deployment: &deployment,
        replica_sets: &replica_sets,
        pods: None,
        other_scalers: Vec::new(),
        config_changed_at: None,
        retune: None,
        tuned: None,
        now: ask.now,
    });
    Ok(Found::Here(Box::new(workload)))
}

/// What the operator answered last, where that is about this spec, this revision, and from evidence that is young.
fn of_status(title: &str, gate: &OmegaGate, runs: &str, now: Timestamp) -> Verdict {
    let unknown =
        |why: String| Verdict::unknown(title.to_owned(), Basis::Status, Some(runs.to_owned()), &why);
    let Some(status) = &gate.status else {
        return unknown("it was never evaluated; does the operator run?".into());
    };
    if status.observed_generation.is_none() || status.observed_generation != gate.metadata.generation {
        return unknown("the operator has not evaluated its newest spec yet".into());
    }
    if status.revision.as_deref() != Some(runs) {
        let about = status.revision.as_deref().unwrap_or("no revision");
        return unknown(format!("the operator's last answer speaks of {about}, {runs} runs"));
    }
    let verdict = Verdict {
        gate: title.to_owned(),
        basis: Basis::Status,
        revision: Some(runs.to_owned()),
        decision: answer(status),
        samples: status.samples.unwrap_or(0),
        gates: status.gates.clone(),
        reasoning: reasoning(status),
    };
    let limit = f64::from(gate.spec.evidence.max_age_seconds);
    match age(status, now) {
        _ if verdict.decision == GateAnswer::Unknown => verdict,
        Some(age) if (-SKEW..=limit).contains(&age) => verdict,
        age => {
            let age = age.map_or("of no known age".to_owned(), |age| format!("{age:.0} s old"));
            unknown(format!(
                "the newest evidence in status is {age}, the limit is {limit} s; read it now with --config, or wait \
                 for the operator's next write with --wait"
            ))
        }
    }
}

/// Only the words that are answers are one.
fn answer(status: &OmegaGateStatus) -> GateAnswer {
    [GateAnswer::Admit, GateAnswer::Quarantine, GateAnswer::Block]
        .into_iter()
        .find(|answer| status.decision.as_deref() == Some(answer.as_str()))
        .unwrap_or(GateAnswer::Unknown)
}

fn reasoning(status: &OmegaGateStatus) -> String {
    let passed = status.conditions.iter().find(|condition| condition.type_ == "GatePassed");
    let message = passed.map(|condition| condition.message.clone()).filter(|text| !text.is_empty());
    message.unwrap_or_else(|| answer(status).as_str().to_owned())
}

/// Age of the newest sample in status, in seconds.
fn age(status: &OmegaGateStatus, now: Timestamp) -> Option<f64> {
    let times = status.signals.iter().filter_map(|signal| signal.sampled_at.as_deref()?.parse().ok());
    times.max().map(|newest: Timestamp| now.duration_since(newest).as_secs_f64())
}
