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
mod patch;

pub use fence::settle;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};

use crate::decide::situation::{ObjectRef, Plan, Situation};
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
        Plan::Nothing => Outcome::Refused { why: "the plan is empty".into() },
        Plan::Scale { .. } | Plan::Rollback { .. } => {
            let api: Api<Deployment> = Api::namespaced(client.clone(), &decision.object.namespace);
            let template = match restored_template(client, &decision.object, &decision.plan).await {
                Ok(template) => template,
                Err(why) => return Outcome::Refused { why },
            };
            let write = patch::Write { id: &decision.id, attestation: &attestation, template };
            deployment(&api, intended, &write, now).await
        }
        Plan::Retune { .. } => {
            let api: Api<ConfigMap> = Api::namespaced(client.clone(), &decision.object.namespace);
            config_map(&api, intended, &attestation, now).await
        }
    }
}

/// The template a rollback restores, read live from the ReplicaSet that the plan names.
async fn restored_template(
    client: &Client,
    object: &ObjectRef,
    plan: &Plan,
) -> Result<Option<serde_json::Value>, String> {
    let Plan::Rollback { replica_set, to, .. } = plan else { return Ok(None) };
    let api: Api<ReplicaSet> = Api::namespaced(client.clone(), &object.namespace);
    let found = bounded(api.get(replica_set)).await.map_err(|e| format!("ReplicaSet {replica_set}: {e}"))?;
    let hash = found.labels().get(patch::POD_TEMPLATE_HASH);
    if hash != Some(to) {
        return Err(format!("ReplicaSet {replica_set} is not revision {to}"));
    }
    patch::template_of(&found).map(Some)
}

async fn deployment(
    api: &Api<Deployment>,
    intended: &Intended,
    write: &patch::Write<'_>,
    now: Now<'_>,
) -> Outcome {
    let Some(workload) = intended.situation().observed.workload.as_ref() else {
        return Outcome::Refused { why: "the target was absent when it was decided".into() };
    };
    let decision = intended.decision();
    let name = &decision.object.target;
    let mut version = workload.resource_version.clone();
    for _ in 0..TRIES {
        if now() > intended.not_after() {
            return Outcome::Refused { why: "the intent expired before it could be carried out".into() };
        }
        let body = match patch::deployment(&decision.plan, &version, write) {
            Ok(body) => body,
            Err(why) => return Outcome::Refused { why },
        };
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        match bounded(api.patch(name, &params, &Patch::<()>::Json(body))).await {
            Ok(after) => return applied(&after, intended.situation(), &decision.plan),
            Err(CallError::Conflict) => match bounded(api.get(name)).await {
                Ok(live) if as_decided(&live, intended.situation()) => {
                    version = live.resource_version().unwrap_or_default();
                }
                Ok(_) => return Outcome::Refused { why: "the target changed after the decision".into() },
                Err(CallError::Gone) => {
                    return Outcome::Refused { why: "the target was deleted".into() };
                }
                Err(why) => {
                    return Outcome::Refused { why: format!("the target cannot be read again: {why}") };
                }
            },
            Err(CallError::Gone) => return Outcome::Refused { why: "the target was deleted".into() },
            Err(CallError::Refused(why)) => return Outcome::Refused { why },
            Err(CallError::Lost(why)) => {
                return fence::settle_deployment(
                    api,
                    intended.situation(),
                    &decision.id,
                    &decision.plan,
                    intended.entry().epoch,
                    now,
                    &why,
                )
                .await;
            }
        }
    }
    Outcome::Refused { why: format!("the target kept changing through {TRIES} tries") }
}

/// Whether the target still is what was decided on: status moves the resourceVersion all through a
/// rollout, but only a change of the spec moves the generation, and only a fencing write the fence.
fn as_decided(live: &Deployment, situation: &Situation) -> bool {
    let Some(workload) = &situation.observed.workload else { return false };
    live.uid().as_deref() == Some(workload.uid.as_str())
        && live.metadata.generation == Some(workload.generation)
        && live.metadata.deletion_timestamp.is_none()
        && live.annotations().get(FENCE) == workload.fence.as_ref()
}

fn applied(after: &Deployment, situation: &Situation, plan: &Plan) -> Outcome {
    Outcome::Applied {
        resource_version: after.resource_version().unwrap_or_default(),
        post: state::after(situation, plan).unwrap_or_default(),
    }
}

async fn config_map(api: &Api<ConfigMap>, intended: &Intended, attestation: &str, now: Now<'_>) -> Outcome {
    let decision = intended.decision();
    let Plan::Retune { config_map: name, resource_version, key, from, to, .. } = &decision.plan else {
        return Outcome::Refused { why: "the plan is no retune".into() };
    };
    let mut version = resource_version.clone();
    for _ in 0..TRIES {
        if now() > intended.not_after() {
            return Outcome::Refused { why: "the intent expired before it could be carried out".into() };
        }
        let body = patch::config_map(key, to, &version, &decision.id, attestation);
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        match bounded(api.patch(name, &params, &Patch::Merge(&body))).await {
            Ok(after) => {
                return Outcome::Applied {
                    resource_version: after.resource_version().unwrap_or_default(),
                    post: state::after(intended.situation(), &decision.plan).unwrap_or_default(),
                };
            }
            Err(CallError::Conflict) => match bounded(api.get(name)).await {
                Ok(live) if live.data.as_ref().and_then(|d| d.get(key)) == Some(from) => {
                    version = live.resource_version().unwrap_or_default();
                }
                Ok(_) => {
                    return Outcome::Refused { why: format!("{key} was changed after the decision") };
                }
                Err(why) => return Outcome::Refused { why: format!("ConfigMap {name}: {why}") },
            },
            Err(CallError::Gone) => {
                return Outcome::Refused { why: format!("ConfigMap {name} does not exist") };
            }
            Err(CallError::Refused(why)) => return Outcome::Refused { why },
            Err(CallError::Lost(why)) => {
                return fence::settle_config_map(
                    api,
                    intended.situation(),
                    &decision.id,
                    &decision.plan,
                    intended.entry().epoch,
                    now,
                    &why,
                )
                .await;
            }
        }
    }
    Outcome::Refused { why: format!("ConfigMap {name} kept changing through {TRIES} tries") }
}
