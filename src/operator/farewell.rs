//! A deleted resource gives back what it borrowed, and only then goes.
//!
//! The finalizer stands only while something is borrowed, so no namespace hangs after an uninstall of the operator
//! unless a retune is under trial at that very moment.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::turn::{self, Life, TurnError};
use super::world::World;
use crate::api::MatVerseScaling;
use crate::api::scaling::MatVerseScalingStatus;
use crate::decide;
use crate::observe::SignalPlan;

/// The finalizer.
pub const FINALIZER: &str = "autonomy.matverse.io/restore";

/// Sets or removes the finalizer, so that it stands exactly while something is borrowed. The object's resourceVersion
/// after it, where it was written.
pub async fn keep<K>(world: &World, resource: &K, borrowed: bool) -> Result<Option<String>, TurnError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let stands = resource.finalizers().iter().any(|f| f == FINALIZER);
    if stands == borrowed {
        return Ok(None);
    }
    let mut all: Vec<String> = resource.finalizers().iter().filter(|f| *f != FINALIZER).cloned().collect();
    if borrowed {
        all.push(FINALIZER.into());
    }
    // With the resourceVersion: somebody else's finalizer must not be lost.
    let body = json!({"metadata": {"resourceVersion": resource.resource_version(), "finalizers": all}});
    let api: Api<K> = Api::namespaced(world.client.clone(), &resource.namespace().unwrap_or_default());
    let params = PatchParams { field_manager: Some(crate::act::MANAGER.into()), ..PatchParams::default() };
    let after =
        super::target::bounded(api.patch(&resource.name_any(), &params, &Patch::Merge(&body))).await?;
    Ok(after.resource_version())
}

/// The last turns of a resource that is being deleted.
pub async fn turn(world: &World, resource: &MatVerseScaling, life: &mut Life) -> Option<Duration> {
    if !resource.finalizers().iter().any(|f| f == FINALIZER) {
        return None;
    }
    match give_back(world, resource, life).await {
        Ok(true) => None,
        Ok(false) => Some(Duration::from_secs(2)),
        Err(error) => {
            world.telemetry.reconcile_error(error.kind());
            tracing::warn!(name = %resource.name_any(), %error, "what was borrowed cannot be given back yet");
            Some(Duration::from_secs(5))
        }
    }
}

/// A resource that this version cannot read and that is being deleted, reduced to what giving back needs: its target
/// and its memory. `None` where it owes nothing to anybody.
///
/// # Errors
/// The API server did not answer.
pub async fn salvage(world: &World, metadata: &ObjectMeta) -> Result<Option<MatVerseScaling>, TurnError> {
    let finalizers = metadata.finalizers.as_deref().unwrap_or_default();
    if metadata.deletion_timestamp.is_none() || !finalizers.iter().any(|f| f == FINALIZER) {
        return Ok(None);
    }
    let kind = ApiResource::erase::<MatVerseScaling>(&());
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), namespace, &kind);
    let name = metadata.name.as_deref().unwrap_or_default();
    let Some(raw) = super::target::bounded(api.get_opt(name)).await? else { return Ok(None) };
    // A target that cannot be read is one that is not there, and counts as restored.
    let target = raw.data.pointer("/spec/targetRef/name").and_then(Value::as_str).unwrap_or_default();
    let retune = raw.data.pointer("/status/retune").cloned().unwrap_or_default();
    let status = serde_json::from_value(json!({ "retune": retune })).unwrap_or_else(|error| {
        tracing::error!(%namespace, %name, %error, "what it borrowed cannot be read; nothing is given back");
        MatVerseScalingStatus::default()
    });
    let spec = serde_json::from_value(json!({"targetRef": {"name": target}}))
        .map_err(|error| TurnError::Invalid(vec![error.to_string()]))?;
    Ok(Some(MatVerseScaling { metadata: raw.metadata, spec, status: Some(status) }))
}

async fn give_back(world: &World, resource: &MatVerseScaling, life: &mut Life) -> Result<bool, TurnError> {
    // Nothing is asked of Prometheus here, so that neither its silence nor a mistake in the spec holds anything up.
    let situation = turn::situation(world, resource, &SignalPlan::default(), life).await?;
    if let Some(decision) = decide::release(&situation) {
        let recorded = turn::carry_out(world, resource, &situation, decision, life).await?;
        if !recorded.outcome().is_some_and(|o| matches!(o, crate::ledger::Outcome::Applied { .. })) {
            return Ok(false);
        }
    }
    keep(world, resource, false).await?;
    Ok(true)
}
