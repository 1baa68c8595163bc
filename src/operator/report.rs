//! Report: what a turn found and did, told to status, events and metrics. It takes only what is recorded.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde_json::json;

use super::events::{Announced, deployment_ref};
use super::status::{self, Report, Turn, WriteError};
use super::target;
use super::turn::Life;
use super::world::World;
use crate::api::MatVerseScaling;
use crate::api::scaling::MatVerseScalingStatus;
use crate::decide::Situation;
use crate::decide::situation::Standing;
use crate::ledger::Recorded;

/// What report remembers between turns.
#[derive(Default)]
pub struct Reported {
    /// The status as we wrote or found it last: the watch may lag behind our own write.
    status: Option<MatVerseScalingStatus>,
    /// resourceVersion of that object.
    version: Option<String>,
    written: Option<Timestamp>,
    announced: Option<Announced>,
}

/// Tells what a turn found and did, and keeps what it taught.
pub async fn report(
    world: &World,
    resource: &MatVerseScaling,
    situation: &Situation,
    recorded: &Recorded,
    life: &mut Life,
) {
    let decision = recorded.decision();
    life.memory = status::memory_after(decision, recorded.outcome()).clone();
    let trouble = world.ledger.get().err().or_else(|| target::restored(world, resource));
    let turn = Turn {
        observed: &situation.observed,
        picture: &situation.picture,
        decision,
        outcome: recorded.outcome(),
        entry: recorded.entry(),
    };
    let report = Report {
        generation: resource.metadata.generation,
        spec: &resource.spec,
        invalid: &[],
        standing: &situation.standing,
        ledger_trouble: trouble.as_deref(),
        turn: Some(turn),
        now: situation.now,
    };
    let interval = Duration::from_secs(resource.spec.interval_seconds.into());
    let (namespace, name) = (&situation.object.namespace, &situation.object.name);
    world.telemetry.saw(namespace, name, interval, &situation.observed, &situation.picture);
    for (source, fault) in world.signals.sources() {
        world.telemetry.source_up(&source, fault.is_none());
        world.events.source(&source, fault.as_deref());
    }
    world.events.ledger(trouble.as_deref());
    if let Ok(ledger) = world.ledger.get() {
        let head = ledger.head();
        world.telemetry.ledger(head.size, head.used);
    }
    tell(world, resource, &report, life).await;
}

/// A resource that cannot be evaluated as it is written.
pub async fn invalid(world: &World, resource: &MatVerseScaling, mistakes: &[String], life: &mut Life) {
    let report = Report {
        generation: resource.metadata.generation,
        spec: &resource.spec,
        invalid: mistakes,
        standing: &Standing::default(),
        ledger_trouble: None,
        turn: None,
        now: world.clock.now(),
    };
    tell(world, resource, &report, life).await;
}

async fn tell(world: &World, resource: &MatVerseScaling, report: &Report<'_>, life: &mut Life) {
    let found = resource.status.clone().unwrap_or_default();
    let known = &mut life.reported;
    let previous = known.status.clone().unwrap_or_else(|| found.clone());
    let announced = known.announced.get_or_insert_with(|| Announced::from_scaling(&found));
    let status = status::scaling_status(&previous, report);
    let turn = report.turn.map(|t| (t.decision, t.outcome));
    let news = announced.scaling(&status, turn, report.now);
    if !news.is_empty() {
        let workload = report.turn.and_then(|t| t.observed.workload.as_ref());
        let namespace = resource.namespace().unwrap_or_default();
        let deployment = workload.map(|w| deployment_ref(&namespace, &resource.spec.target_ref.name, &w.uid));
        world.events.publish(&reference(resource), deployment.as_ref(), news);
    }
    let written = known.written.or_else(|| status::last_written(&found));
    if !world.leadership.is_leader() || !status::worth_writing(&previous, &status, written, report.now) {
        return;
    }
    let mut object = resource.clone();
    if newer(known.version.as_deref(), object.metadata.resource_version.as_deref()) {
        object.metadata.resource_version.clone_from(&known.version);
    }
    match status::write_status(&world.client, &object, &status).await {
        Ok(after) => {
            known.version = after.metadata.resource_version;
            known.status = Some(status);
            known.written = Some(report.now);
        }
        // The watch brings the newer object; the next turn writes to that one.
        Err(WriteError::Stale) => {
            known.version = None;
        }
        Err(WriteError::Gone) => {}
        Err(error) => {
            world.telemetry.reconcile_error(error.kind());
            tracing::warn!(name = %resource.name_any(), %error, "status was not written");
        }
    }
}

fn newer(ours: Option<&str>, theirs: Option<&str>) -> bool {
    let number = |v: Option<&str>| v.and_then(|v| v.parse::<u64>().ok());
    number(ours) > number(theirs)
}

/// An object, as events refer to it.
pub(super) fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    object.object_ref(&())
}

/// A resource whose text does not fit its own kind: said in its status, without touching the rest of it.
pub async fn unreadable(world: &World, namespace: &str, name: &str, error: &str) {
    tracing::error!(%namespace, %name, %error, "a resource cannot be read");
    world.telemetry.reconcile_error("unreadable");
    let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(world.clock.now());
    let condition = json!({"type": "Ready", "status": "False", "reason": "InvalidSpec", "lastTransitionTime": now,
        "message": format!("this version cannot read the resource: {error}")});
    let api: Api<MatVerseScaling> = Api::namespaced(world.client.clone(), namespace);
    let body = json!({"status": {"conditions": [condition]}});
    let (how, patch) = (PatchParams::default(), Patch::Merge(&body));
    let call = api.patch_status(name, &how, &patch);
    if let Err(error) = tokio::time::timeout(Duration::from_secs(5), call).await {
        tracing::warn!(%namespace, %name, %error, "its status could not be written either");
    }
}
