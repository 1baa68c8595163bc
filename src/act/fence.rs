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

use super::{CallError, DECISION, FENCE, MANAGER, Now, bounded};
use crate::decide::situation::{Plan, Situation};
use crate::ledger::attestation;
use crate::ledger::statement::Intent;
use crate::ledger::{Outcome, state};

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

fn outcome(found: Found, situation: &Situation, plan: &Plan, lost: &str) -> Outcome {
    match found {
        Found::Landed { resource_version } => {
            Outcome::Applied { resource_version, post: state::after(situation, plan).unwrap_or_default() }
        }
        Found::NotThere => Outcome::Abandoned { why: format!("not done: {lost}") },
        Found::Gone => Outcome::Unknown { why: "the target is gone".into() },
        Found::Silent(why) => Outcome::Unknown { why },
    }
}

pub(super) async fn settle_deployment(
    api: &Api<Deployment>,
    situation: &Situation,
    id: &str,
    plan: &Plan,
    epoch: u64,
    now: Now<'_>,
    lost: &str,
) -> Outcome {
    let uid = situation.observed.workload.as_ref().map(|w| w.uid.as_str());
    let found = ask(api, &situation.object.target, uid, id, epoch, now).await;
    outcome(found, situation, plan, lost)
}

pub(super) async fn settle_config_map(
    api: &Api<ConfigMap>,
    situation: &Situation,
    id: &str,
    plan: &Plan,
    epoch: u64,
    now: Now<'_>,
    lost: &str,
) -> Outcome {
    let Plan::Retune { config_map, .. } = plan else {
        return Outcome::Refused { why: "the plan is no retune".into() };
    };
    outcome(ask(api, config_map, None, id, epoch, now).await, situation, plan, lost)
}

/// Settles an intent that was left without an outcome: a fence, then what the target says.
pub async fn settle(client: &Client, intent: &Intent, epoch: u64, now: Now<'_>) -> Outcome {
    let lost = "found without an outcome after a change of leader";
    let (situation, plan, id) = (&intent.situation, &intent.plan, intent.id.as_str());
    let namespace = &situation.object.namespace;
    match plan {
        Plan::Nothing => Outcome::Abandoned { why: "the plan was empty".into() },
        Plan::Scale { .. } | Plan::Rollback { .. } => {
            let api = Api::namespaced(client.clone(), namespace);
            settle_deployment(&api, situation, id, plan, epoch, now, lost).await
        }
        Plan::Retune { .. } => {
            let api = Api::namespaced(client.clone(), namespace);
            settle_config_map(&api, situation, id, plan, epoch, now, lost).await
        }
    }
}
