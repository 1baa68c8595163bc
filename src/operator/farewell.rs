//! A deleted resource gives back what it borrowed, and only then goes.
//!
//! The finalizer stands only while something is borrowed, so no namespace hangs after an uninstall of the operator
//! unless a retune is under trial at that very moment.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::turn::{self, Life, TurnError};
use super::world::World;
use crate::api::MatVerseScaling;
use crate::decide;
use crate::observe::SignalPlan;

/// The finalizer.
pub const FINALIZER: &str = "autonomy.matverse.io/restore";

/// Sets or removes the finalizer, so that it stands exactly while something is borrowed.
pub async fn keep(world: &World, resource: &MatVerseScaling, borrowed: bool) -> Result<(), TurnError> {
    let stands = resource.finalizers().iter().any(|f| f == FINALIZER);
    if stands == borrowed {
        return Ok(());
    }
    let mut all: Vec<String> = resource.finalizers().iter().filter(|f| *f != FINALIZER).cloned().collect();
    if borrowed {
        all.push(FINALIZER.into());
    }
    // With the resourceVersion: somebody else's finalizer must not be lost.
    let body = json!({"metadata": {"resourceVersion": resource.resource_version(), "finalizers": all}});
    let api: Api<MatVerseScaling> =
        Api::namespaced(world.client.clone(), &resource.namespace().unwrap_or_default());
    let params = PatchParams { field_manager: Some(crate::act::MANAGER.into()), ..PatchParams::default() };
    super::target::bounded(api.patch(&resource.name_any(), &params, &Patch::Merge(&body))).await?;
    Ok(())
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
