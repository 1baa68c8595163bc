//! After a lost answer: a write that makes late arrivals impossible, and whose answer says what happened.
//!
//! A request without an answer may still land after a GET. The fence always writes a new value, so it moves the
//! resourceVersion; whatever carries the old one is refused from then on, and the object in the fence's own
//! answer either bears the decision's id or never will.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{CallError, DECISION, FENCE, MANAGER, Now, Write, bounded, route};
use crate::decide::situation::Plan;
use crate::ledger::step::Kind;
use crate::ledger::{Act, Outcome, attestation};

/// Fencing writes of this process: with the epoch it makes each value new.
static COUNTER: AtomicU64 = AtomicU64::new(0);
/// How long the question "did it land?" is asked before it stays open.
const PATIENCE: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// What was found at the target.
enum Found {
    Landed { resource_version: String },
    NotThere,
    Gone,
    Silent(String),
}

/// Whether the object that was decided on is no more: deleted, or another one stands under its name.
async fn is_gone<K>(api: &Api<K>, name: &str, uid: Option<&str>) -> bool
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    match bounded(api.get(name)).await {
        Ok(live) => uid.is_some() && live.uid().as_deref() != uid,
        Err(why) => matches!(why, CallError::Gone),
    }
}

async fn ask<K>(api: &Api<K>, name: &str, uid: Option<&str>, id: &str, epoch: u64, now: Now<'_>) -> Found
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let until = now().checked_add(PATIENCE).unwrap_or(Timestamp::MAX);
    loop {
        let value = attestation::fence(epoch, COUNTER.fetch_add(1, Ordering::Relaxed));
        // The uid keeps the fence off an object of the same name that came after.
        let mut body = json!({"metadata": {"annotations": {FENCE: value}}});
        if let Some(uid) = uid {
            body["metadata"]["uid"] = json!(uid);
        }
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        let why = match bounded(api.patch(name, &params, &Patch::Merge(&body))).await {
            Ok(object) if object.annotations().get(DECISION).map(String::as_str) == Some(id) => {
                return Found::Landed { resource_version: object.resource_version().unwrap_or_default() };
            }
            Ok(_) => return Found::NotThere,
            Err(CallError::Gone) => return Found::Gone,
            Err(CallError::Conflict | CallError::Refused(_)) if is_gone(api, name, uid).await => {
                return Found::Gone;
            }
            Err(CallError::Refused(why)) => return Found::Silent(why),
            Err(why) => why.to_string(),
        };
        if now() >= until {
            return Found::Silent(why);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn outcome(found: Found, post: &str, lost: &str) -> Outcome {
    match found {
        Found::Landed { resource_version } => Outcome::Applied { resource_version, post: post.to_owned() },
        Found::NotThere => Outcome::Abandoned { why: format!("not done: {lost}") },
        Found::Gone => Outcome::Unknown { why: "the target is gone".into() },
        Found::Silent(why) => Outcome::Unknown { why },
    }
}

/// Settles a write whose answer was lost.
pub(super) async fn settle_write<K>(write: &Write<'_, K>, now: Now<'_>, lost: &str) -> Outcome
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let found = ask(&write.api, write.name, write.uid, write.id, write.epoch, now).await;
    outcome(found, &write.post, lost)
}

/// Settles an act that was left without an outcome: a fence, then what the target says.
pub async fn settle(client: &Client, act: &Act, epoch: u64, now: Now<'_>) -> Outcome {
    let lost = "found without an outcome after a change of leader";
    let found = match act {
        Act::Turn(intent) => {
            let (situation, namespace) = (&intent.situation, &intent.object().namespace);
            match &intent.plan {
                Plan::Nothing => return Outcome::Abandoned { why: "the plan was empty".into() },
                Plan::Scale { .. } | Plan::Rollback { .. } => {
                    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
                    let uid = situation.observed.workload.as_ref().map(|w| w.uid.as_str());
                    ask(&api, &situation.object.target, uid, &intent.id, epoch, now).await
                }
                Plan::Retune { config_map, .. } => {
                    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
                    ask(&api, config_map, None, &intent.id, epoch, now).await
                }
            }
        }
        Act::Step(step) => {
            let on = &step.touched;
            match on.kind {
                Kind::Deployments => {
                    let api: Api<Deployment> = Api::namespaced(client.clone(), &on.namespace);
                    ask(&api, &on.name, Some(&on.uid), &step.id, epoch, now).await
                }
                Kind::HttpRoutes => {
                    let api = route::api(client, &on.namespace);
                    ask(&api, &on.name, Some(&on.uid), &step.id, epoch, now).await
                }
            }
        }
    };
    outcome(found, &act.post(), lost)
}
