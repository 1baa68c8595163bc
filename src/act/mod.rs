//! Act: carry out exactly what was intended, in one write, and say what came of it.
//!
//! ```text
//!  Intended ─► PATCH {resourceVersion, decision id, attestation, spec}
//!                ├ 200 ─────────────► applied
//!                ├ 409 ─ as decided? ► the same intent again (≤ 5 times, before its limit), else refused
//!                ├ 4xx ─────────────► refused
//!                └ lost / 5xx ──────► fence, then read from the fence's answer which it was
//! ```
//!
//! There is no choice left here: the plan names the exact state to produce.

mod fence;
pub mod league;
mod patch;
pub mod promotion;
pub mod route;

pub use fence::settle;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::decide::situation::{ObjectRef, Plan};
use crate::ledger::attestation::attestation;
pub use crate::ledger::attestation::{ATTESTATION, DECISION, FENCE};
use crate::ledger::{Acted, Intended, Outcome, state};

/// Name under which our writes stand in `managedFields`.
pub const MANAGER: &str = "matverse";

/// How often one intent is tried against a moving resourceVersion.
const TRIES: u32 = 5;
/// Longest wait for one answer of the API server.
pub const CALL: Duration = Duration::from_secs(5);

/// The clock of this room, handed in so that tests can script it.
pub type Now<'a> = &'a (dyn Fn() -> Timestamp + Send + Sync);

/// Why a call to the API server did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The write is certainly not done: the object moved on.
    #[error("the object changed meanwhile")]
    Conflict,
    /// The write is certainly not done.
    #[error("{0}")]
    Refused(String),
    /// The object does not exist.
    #[error("the object does not exist")]
    Gone,
    /// Nobody can say whether the write landed.
    #[error("{0}")]
    Lost(String),
}

/// Sorts the client's answer by the one question that counts: can the write have landed?
pub(crate) fn sort(error: &kube::Error) -> CallError {
    match error {
        kube::Error::Api(status) => match status.code {
            409 => CallError::Conflict,
            404 => CallError::Gone,
            // A time-out in front of the API server says nothing of what came of the request behind it, and what
            // was merely too much at once may be asked again: both belong to the fence.
            code @ (408 | 429) => CallError::Lost(format!("HTTP {code}: {}", status.message)),
            400..=499 => CallError::Refused(format!("HTTP {}: {}", status.code, status.message)),
            code => CallError::Lost(format!("HTTP {code}: {}", status.message)),
        },
        kube::Error::BuildRequest(why) => CallError::Refused(why.to_string()),
        other => CallError::Lost(other.to_string()),
    }
}

/// One bounded call.
pub(crate) async fn bounded<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(sort(&error)),
        Err(_) => Err(CallError::Lost(format!("no answer within {} s", CALL.as_secs()))),
    }
}

/// One write to one object, tried until somebody can say what came of it.
pub(crate) struct Write<'a, K> {
    /// The object's API.
    pub api: Api<K>,
    /// Its name.
    pub name: &'a str,
    /// Its uid, where it was known when it was decided.
    pub uid: Option<&'a str>,
    /// The resourceVersion that was decided on.
    pub version: String,
    /// Id of the decision, which the write leaves at the object.
    pub id: &'a str,
    /// Digest of the state that the write leaves.
    pub post: String,
    /// Epoch of the intent.
    pub epoch: u64,
    /// Not tried after this.
    pub not_after: Timestamp,
}

impl<K> Write<'_, K>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    /// Sends `body` of a resourceVersion; after a conflict again, while the object is still `as_decided`.
    pub(crate) async fn send(
        self,
        body: impl Fn(&str) -> Result<Patch<Value>, String>,
        as_decided: impl Fn(&K) -> bool,
        now: Now<'_>,
    ) -> Outcome {
        let mut version = self.version.clone();
        for _ in 0..TRIES {
            if now() > self.not_after {
                return refused("the intent expired before it could be carried out");
            }
            let body = match body(&version) {
                Ok(body) => body,
                Err(why) => return refused(&why),
            };
            let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
            match bounded(self.api.patch(self.name, &params, &body)).await {
                Ok(after) => {
                    let resource_version = after.resource_version().unwrap_or_default();
                    return Outcome::Applied { resource_version, post: self.post };
                }
                Err(CallError::Conflict) => match bounded(self.api.get(self.name)).await {
                    Ok(live) if as_decided(&live) => version = live.resource_version().unwrap_or_default(),
                    Ok(_) => return refused(&format!("{} changed after the decision", self.name)),
                    Err(CallError::Gone) => return refused(&format!("{} was deleted", self.name)),
                    Err(why) => return refused(&format!("{} cannot be read again: {why}", self.name)),
                },
                Err(CallError::Gone) => return refused(&format!("{} does not exist", self.name)),
                Err(CallError::Refused(why)) => return refused(&why),
                Err(CallError::Lost(why)) => return fence::settle_write(&self, now, &why).await,
            }
        }
        refused(&format!("{} kept changing through {TRIES} tries", self.name))
    }
}

fn refused(why: &str) -> Outcome {
    Outcome::Refused { why: why.to_owned() }
}

/// Carries out an intent. Never fails: whatever happens is an [`Outcome`].
pub async fn act(client: &Client, intended: Intended, now: Now<'_>) -> Acted {
    let outcome = carry_out(client, &intended, now).await;
    let at = now();
    intended.acted(outcome, at)
}

async fn carry_out(client: &Client, intended: &Intended, now: Now<'_>) -> Outcome {
    let decision = intended.decision();
    let attestation = attestation(intended.entry());
    match &decision.plan {
        Plan::Nothing => refused("the plan is empty"),
        Plan::Scale { .. } | Plan::Rollback { .. } => {
            let template = match restored_template(client, &decision.object, &decision.plan).await {
                Ok(template) => template,
                Err(why) => return refused(&why),
            };
            let marks = patch::Marks { id: &decision.id(), attestation: &attestation };
            deployment(client, intended, &marks, template.as_ref(), now).await
        }
        Plan::Retune { .. } => config_map(client, intended, &attestation, now).await,
    }
}

/// The template a rollback restores, read live from the ReplicaSet that the plan names.
async fn restored_template(
    client: &Client,
    object: &ObjectRef,
    plan: &Plan,
) -> Result<Option<Value>, String> {
    let Plan::Rollback { replica_set, to, .. } = plan else { return Ok(None) };
    template_of_revision(client, &object.namespace, replica_set, to).await.map(Some)
}

/// The template of a revision, read live from its ReplicaSet.
pub(crate) async fn template_of_revision(
    client: &Client,
    namespace: &str,
    replica_set: &str,
    pod_template_hash: &str,
) -> Result<Value, String> {
    let api: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace);
    let found = bounded(api.get(replica_set)).await.map_err(|e| format!("ReplicaSet {replica_set}: {e}"))?;
    if found.labels().get(patch::POD_TEMPLATE_HASH).map(String::as_str) != Some(pod_template_hash) {
        return Err(format!("ReplicaSet {replica_set} is not revision {pod_template_hash}"));
    }
    patch::template_of(&found)
}

async fn deployment(
    client: &Client,
    intended: &Intended,
    marks: &patch::Marks<'_>,
    template: Option<&Value>,
    now: Now<'_>,
) -> Outcome {
    let Some(workload) = intended.situation().observed.workload.as_ref() else {
        return refused("the target was absent when it was decided");
    };
    let (decision, id) = (intended.decision(), marks.id);
    let write = Write::<Deployment> {
        api: Api::namespaced(client.clone(), &decision.object.namespace),
        name: &decision.object.target,
        uid: Some(&workload.uid),
        version: workload.resource_version.clone(),
        id,
        post: state::after(intended.situation(), &decision.plan).unwrap_or_default(),
        epoch: intended.entry().epoch,
        not_after: intended.not_after(),
    };
    let body = |version: &str| patch::deployment(&decision.plan, version, marks, template).map(Patch::Json);
    let as_decided = |live: &Deployment| {
        stands(live, &workload.uid, workload.generation)
            && live.annotations().get(FENCE) == workload.fence.as_ref()
    };
    write.send(body, as_decided, now).await
}

/// Whether a Deployment still is what was decided on: status moves the resourceVersion all through a rollout, but
/// only a change of the spec moves the generation.
pub(crate) fn stands<K: Resource>(live: &K, uid: &str, generation: i64) -> bool {
    live.uid().as_deref() == Some(uid)
        && live.meta().generation == Some(generation)
        && live.meta().deletion_timestamp.is_none()
}

async fn config_map(client: &Client, intended: &Intended, attestation: &str, now: Now<'_>) -> Outcome {
    let decision = intended.decision();
    let Plan::Retune { config_map: name, resource_version, key, from, to, .. } = &decision.plan else {
        return refused("the plan is no retune");
    };
    let id = decision.id();
    let write = Write::<ConfigMap> {
        api: Api::namespaced(client.clone(), &decision.object.namespace),
        name,
        uid: None,
        version: resource_version.clone(),
        id: &id,
        post: state::after(intended.situation(), &decision.plan).unwrap_or_default(),
        epoch: intended.entry().epoch,
        not_after: intended.not_after(),
    };
    let body = |version: &str| Ok(Patch::Merge(patch::config_map(key, to, version, &id, attestation)));
    let as_decided = |live: &ConfigMap| live.data.as_ref().and_then(|d| d.get(key)) == Some(from);
    write.send(body, as_decided, now).await
}
