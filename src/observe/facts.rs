//! From the API server's objects to the facts of a workload. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, KeyToPath, Pod, PodSpec, PodTemplateSpec, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use kube::ResourceExt;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::revision_set::RevisionSet;
use super::workload::{Revision, Rollout, Tunable, Workload};
use crate::api::scaling::Retune;

/// The Deployment controller's label on pods and ReplicaSets.
const POD_TEMPLATE_HASH: &str = "pod-template-hash";
/// What `kubectl rollout restart` sets: a restart is not a revision.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
const REVISION: &str = "deployment.kubernetes.io/revision";
/// The Deployment controller notes here the earlier numbers of a ReplicaSet that is used again.
const REUSED: &str = "deployment.kubernetes.io/revision-history";
/// Pauses whatever manages a Deployment: `true`, or a time until which.
pub const PAUSED: &str = "autonomy.matverse.io/paused";
/// Moved by fencing writes.
const FENCE: &str = "autonomy.matverse.io/fence";

/// The objects behind the facts of one workload.
pub struct Sources<'a> {
    /// The Deployment.
    pub deployment: &'a Deployment,
    /// Its ReplicaSets.
    pub replica_sets: &'a [Arc<RevisionSet>],
    /// Its pods, where they were read.
    pub pods: Option<&'a [Pod]>,
    /// Other scalers that name it.
    pub other_scalers: Vec<String>,
    /// Latest change by others of a ConfigMap that its template names.
    pub config_changed_at: Option<Timestamp>,
    /// What may be tuned.
    pub retune: Option<&'a Retune>,
    /// The ConfigMap that holds it.
    pub tuned: Option<&'a ConfigMap>,
    /// The time of the turn.
    pub now: Timestamp,
}

/// The facts.
#[must_use]
pub fn workload(sources: &Sources<'_>) -> Workload {
    let deployment = sources.deployment;
    let spec = deployment.spec.as_ref();
    let status = deployment.status.as_ref();
    let desired = spec.and_then(|s| s.replicas).unwrap_or(1);
    let count = |n: Option<i32>| n.unwrap_or(0);
    let mut revisions = revisions(sources);
    let template = spec.map(|s| identity(&s.template)).unwrap_or_default();
    // A template that no ReplicaSet has yet is a revision that has not begun; the old one must not pass for it.
    let position = revisions.iter().position(|r| r.template == template);
    let current = match position {
        Some(position) => revisions.remove(position),
        None => unseen(deployment, &template, sources.now),
    };
    let rollout = rollout(sources, &current, desired);
    Workload {
        uid: deployment.uid().unwrap_or_default(),
        resource_version: deployment.resource_version().unwrap_or_default(),
        generation: deployment.metadata.generation.unwrap_or(0),
        desired,
        ready: count(status.and_then(|s| s.ready_replicas)),
        updated: count(status.and_then(|s| s.updated_replicas)),
        deployment_paused: spec.and_then(|s| s.paused).unwrap_or(false),
        pause_requested: deployment.annotations().get(PAUSED).is_some_and(|p| still_paused(p, sources.now)),
        fence: deployment.annotations().get(FENCE).cloned(),
        start_seconds: sources.pods.and_then(|pods| start_seconds(pods, deployment, sources.replica_sets)),
        current,
        previous: revisions,
        rollout,
        config_changed_at: sources.config_changed_at,
        other_scalers: sources.other_scalers.clone(),
        gitops: gitops(deployment),
        tunable: sources
            .retune
            .and_then(|r| tunable(r, sources.tuned, spec.and_then(|s| s.template.spec.as_ref()))),
    }
}

/// `true` pauses until it is removed, a time pauses until then, anything else pauses too: it was meant to.
fn still_paused(text: &str, now: Timestamp) -> bool {
    match text.parse::<Timestamp>() {
        Ok(until) => now < until,
        Err(_) => text != "false" && !text.is_empty(),
    }
}

/// Identity of a template: SHA-256 (first 16 hex digits) of its canonical JSON without `pod-template-hash` and
/// without the mark of a restart.
#[must_use]
pub fn identity(template: &PodTemplateSpec) -> String {
    let mut value = serde_json::to_value(template).unwrap_or_default();
    if let Some(labels) = value.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(POD_TEMPLATE_HASH);
    }
    if let Some(metadata) = value.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(RESTARTED_AT);
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
        metadata.remove("creationTimestamp");
    }
    let canonical = serde_json_canonicalizer::to_vec(&value).unwrap_or_default();
    let mut text = String::new();
    for byte in &Sha256::digest(&canonical)[..8] {
        use std::fmt::Write;
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The revisions, newest first by number.
fn revisions(sources: &Sources<'_>) -> Vec<Revision> {
    let mut all: Vec<Revision> = sources
        .replica_sets
        .iter()
        .filter_map(|rs| {
            Some(Revision {
                replica_set: rs.name_any(),
                pod_template_hash: rs.labels().get(POD_TEMPLATE_HASH)?.clone(),
                template: rs.template.clone()?,
                number: rs.annotations().get(REVISION)?.parse().ok()?,
                started_at: rs.metadata.creation_timestamp.as_ref()?.0,
                ready: rs.ready,
            })
        })
        .collect();
    all.sort_by_key(|r| std::cmp::Reverse(r.number));
    // A ReplicaSet that is used again, as in a rollback, began before: its creation is not this rollout's start.
    let again = |r: &Revision| {
        let set = sources.replica_sets.iter().find(|rs| rs.name_any() == r.replica_set);
        set.is_some_and(|rs| rs.annotations().contains_key(REUSED))
    };
    if let Some(newest) = all.first_mut()
        && again(newest)
        && let Some(since) = template_written(sources.deployment)
    {
        newest.started_at = newest.started_at.max(since);
    }
    all
}

/// Fields of a Deployment, as field managers name them, that [`workload`] asks after.
pub const TEMPLATE_FIELDS: [&str; 1] = ["/f:spec/f:template"];

/// When the template was last written: by `managedFields`, and not later than the rollout's own last progress.
///
/// An entry's time moves with anything its manager writes, so our own, which also hold the count, are left out.
fn template_written(deployment: &Deployment) -> Option<Timestamp> {
    let conditions = deployment.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let progress = conditions.iter().find(|c| c.type_ == "Progressing");
    let progress = progress.and_then(|c| c.last_update_time.as_ref()).map(|t| t.0);
    let written = deployment
        .managed_fields()
        .iter()
        .filter(|f| f.manager.as_deref() != Some(crate::observe::MANAGER))
        .filter(|f| f.subresource.as_deref().unwrap_or_default().is_empty())
        .filter(|f| writes(f, &TEMPLATE_FIELDS))
        .filter_map(|f| f.time.as_ref().map(|t| t.0))
        .max();
    match (written, progress) {
        (Some(written), Some(progress)) => Some(written.min(progress)),
        (one, other) => one.or(other),
    }
}

/// When the rollout of the present template was complete, as the Deployment's controller says. Scaling leaves it.
///
/// While one of its passes only scales, the controller can take note of a new template and still show the
/// condition of the old: therefore every pod must be of the present one.
fn completed_at(deployment: &Deployment) -> Option<Timestamp> {
    let status = deployment.status.as_ref()?;
    let updated = status.updated_replicas.filter(|n| *n > 0)?;
    let done = status.conditions.iter().flatten().find(|c| {
        c.type_ == "Progressing"
            && c.status == "True"
            && c.reason.as_deref() == Some("NewReplicaSetAvailable")
    })?;
    let now =
        status.observed_generation == deployment.metadata.generation && status.replicas == Some(updated);
    done.last_update_time.as_ref().filter(|_| now).map(|t| t.0)
}

/// A Deployment whose controller has not made a ReplicaSet yet.
fn unseen(deployment: &Deployment, template: &str, now: Timestamp) -> Revision {
    Revision {
        replica_set: String::new(),
        pod_template_hash: String::new(),
        template: template.to_owned(),
        number: 0,
        started_at: deployment.metadata.creation_timestamp.as_ref().map_or(now, |t| t.0),
        ready: 0,
    }
}

fn rollout(sources: &Sources<'_>, current: &Revision, desired: i32) -> Rollout {
    let status = sources.deployment.status.as_ref();
    let seen = status.and_then(|s| s.observed_generation) == sources.deployment.metadata.generation;
    let count = |n: Option<i32>| n.unwrap_or(0);
    let complete = seen
        && status.is_some_and(|s| {
            count(s.updated_replicas) == desired
                && count(s.ready_replicas) == desired
                && count(s.replicas) == desired
        });
    let conditions = status.and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let deadline_exceeded = seen
        && conditions
            .iter()
            .any(|c| c.type_ == "Progressing" && c.reason.as_deref() == Some("ProgressDeadlineExceeded"));
    let refused = conditions.iter().any(|c| c.type_ == "ReplicaFailure" && c.status == "True");
    let mine = sources
        .pods
        .unwrap_or_default()
        .iter()
        .filter(|p| p.labels().get(POD_TEMPLATE_HASH) == Some(&current.pod_template_hash));
    let (mut crashes, mut unschedulable, mut ready) = (0, i32::from(refused), None);
    for pod in mine {
        crashes = crashes.max(crashes_of(pod));
        unschedulable += i32::from(cannot_be_scheduled(pod));
        ready = ready.max(ready_at(pod));
    }
    // Pods are not read every turn, and one that scaling adds is not the rollout's last.
    let last_ready_at = completed_at(sources.deployment).or(ready);
    Rollout { complete, last_ready_at, deadline_exceeded, crashes, unschedulable }
}

/// Restarts of a pod that crashes of itself; one that the node or the API ended (evicted, shut down, preempted: the
/// pod as a whole then has a reason) did nothing wrong.
fn crashes_of(pod: &Pod) -> i32 {
    let Some(status) = &pod.status else { return 0 };
    let disrupted = condition(pod, "DisruptionTarget").is_some_and(|c| c.status == "True");
    if status.reason.is_some() || disrupted || pod.metadata.deletion_timestamp.is_some() {
        return 0;
    }
    let all =
        status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten());
    all.filter(|c| {
        let waiting = c.state.as_ref().and_then(|s| s.waiting.as_ref()).and_then(|w| w.reason.as_deref());
        let ended = |s: Option<&k8s_openapi::api::core::v1::ContainerState>| {
            s.and_then(|s| s.terminated.as_ref()).is_some_and(|t| t.exit_code != 0)
        };
        // A container that has recovered is ready, whatever its past.
        !c.ready
            && (waiting == Some("CrashLoopBackOff")
                || ended(c.state.as_ref())
                || ended(c.last_state.as_ref()))
    })
    .map(|c| c.restart_count)
    .max()
    .unwrap_or(0)
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a k8s_openapi::api::core::v1::PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}

fn cannot_be_scheduled(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && condition(pod, "PodScheduled")
            .is_some_and(|c| c.status == "False" && c.reason.as_deref() == Some("Unschedulable"))
}

fn ready_at(pod: &Pod) -> Option<Timestamp> {
    condition(pod, "Ready").filter(|c| c.status == "True")?.last_transition_time.as_ref().map(|t| t.0)
}

/// Median time from creation to ready, of the Deployment's pods that have not crashed.
///
/// Readiness that was lost and came back also moves the time of the condition: what took longer than a rollout may
/// is no start.
fn start_seconds(pods: &[Pod], deployment: &Deployment, replica_sets: &[Arc<RevisionSet>]) -> Option<f64> {
    let longest = deployment.spec.as_ref().and_then(|s| s.progress_deadline_seconds).unwrap_or(600);
    let ours = |p: &&Pod| {
        let hash = p.labels().get(POD_TEMPLATE_HASH);
        hash.is_some() && replica_sets.iter().any(|rs| rs.labels().get(POD_TEMPLATE_HASH) == hash)
    };
    let mut all: Vec<f64> = pods
        .iter()
        .filter(ours)
        .filter(|p| crashes_of(p) == 0)
        .filter_map(|p| {
            Some(ready_at(p)?.duration_since(p.metadata.creation_timestamp.as_ref()?.0).as_secs_f64())
        })
        .filter(|s| (0.0..=f64::from(longest)).contains(s))
        .collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}

/// Whether pods must be read: something is under way.
#[must_use]
pub fn pods_matter(deployment: &Deployment) -> bool {
    let status = deployment.status.as_ref();
    let desired = deployment.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    let count = |n: Option<i32>| n.unwrap_or(0);
    status.is_none_or(|s| {
        s.observed_generation != deployment.metadata.generation
            || count(s.updated_replicas) != desired
            || count(s.ready_replicas) != desired
            || count(s.replicas) != desired
    })
}

/// Label selector of the Deployment's pods.
#[must_use]
pub fn pod_selector(deployment: &Deployment) -> String {
    let Some(selector) = deployment.spec.as_ref().map(|s| &s.selector) else { return String::new() };
    let labels = selector.match_labels.iter().flatten().map(|(k, v)| format!("{k}={v}"));
    let expressions = selector.match_expressions.iter().flatten().map(|e| {
        let values = e.values.as_deref().unwrap_or_default().join(",");
        match e.operator.as_str() {
            "In" => format!("{} in ({values})", e.key),
            "NotIn" => format!("{} notin ({values})", e.key),
            "DoesNotExist" => format!("!{}", e.key),
            _ => e.key.clone(),
        }
    });
    labels.chain(expressions).collect::<Vec<_>>().join(",")
}

/// Whether a label, annotation or field manager says that GitOps owns the Deployment.
fn gitops(deployment: &Deployment) -> Option<String> {
    let meta = &deployment.metadata;
    let has = |key: &str| deployment.annotations().contains_key(key) || deployment.labels().contains_key(key);
    let managed = |name: &str| {
        meta.managed_fields
            .iter()
            .flatten()
            .any(|f| f.manager.as_deref().is_some_and(|m| m.starts_with(name)))
    };
    if has("argocd.argoproj.io/tracking-id") || has("argocd.argoproj.io/instance") || managed("argocd") {
        return Some("Argo CD".into());
    }
    let flux = ["kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name"];
    if flux.iter().any(|k| has(k)) || managed("kustomize-controller") || managed("helm-controller") {
        return Some("Flux".into());
    }
    None
}

fn containers(pod: &PodSpec) -> impl Iterator<Item = &Container> {
    pod.containers.iter().chain(pod.init_containers.iter().flatten())
}

/// Names of the ConfigMaps that a Deployment's template refers to.
#[must_use]
pub fn referenced_config_maps(deployment: &Deployment) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let Some(pod) = deployment.spec.as_ref().and_then(|s| s.template.spec.as_ref()) else { return names };
    for volume in pod.volumes.iter().flatten() {
        names.extend(volume.config_map.as_ref().map(|c| c.name.clone()));
        for source in volume.projected.iter().flat_map(|p| p.sources.iter().flatten()) {
            names.extend(source.config_map.as_ref().map(|c| c.name.clone()));
        }
    }
    for container in containers(pod) {
        names.extend(from_environment(container));
    }
    names
}

fn from_environment(container: &Container) -> BTreeSet<String> {
    let whole =
        container.env_from.iter().flatten().filter_map(|e| e.config_map_ref.as_ref()).map(|c| c.name.clone());
    let single = container
        .env
        .iter()
        .flatten()
        .filter_map(|e| e.value_from.as_ref()?.config_map_key_ref.as_ref())
        .map(|c| c.name.clone());
    whole.chain(single).collect()
}

/// Fields of a ConfigMap that [`changed_by_others`] asks after.
pub const DATA_FIELDS: [&str; 2] = ["/f:data", "/f:binaryData"];

/// Whether a field manager has written one of `fields`.
fn writes(manager: &ManagedFieldsEntry, fields: &[&str]) -> bool {
    manager.fields_v1.as_ref().is_some_and(|v| fields.iter().any(|path| v.0.pointer(path).is_some()))
}

/// When `data` (or `binaryData`) of an object was last written by anybody but `ours`.
#[must_use]
pub fn changed_by_others(meta: &ObjectMeta, ours: &str) -> Option<Timestamp> {
    meta.managed_fields
        .iter()
        .flatten()
        .filter(|f| f.manager.as_deref() != Some(ours))
        .filter(|f| writes(f, &DATA_FIELDS))
        .filter_map(|f| f.time.as_ref().map(|t| t.0))
        .max()
}

/// The tunable ConfigMap, with the reason why it cannot be tuned.
fn tunable(retune: &Retune, found: Option<&ConfigMap>, pod: Option<&PodSpec>) -> Option<Tunable> {
    let map = found?;
    let name = retune.config_map_ref.name.clone();
    let data = map.data.clone().unwrap_or_default();
    let values: BTreeMap<String, String> =
        retune.parameters.iter().filter_map(|p| Some((p.key.clone(), data.get(&p.key)?.clone()))).collect();
    let refused = refusal(retune, map, pod, &values);
    Some(Tunable { name, resource_version: map.resource_version().unwrap_or_default(), refused, values })
}

fn refusal(
    retune: &Retune,
    map: &ConfigMap,
    pod: Option<&PodSpec>,
    values: &BTreeMap<String, String>,
) -> Option<String> {
    let name = &retune.config_map_ref.name;
    if map.immutable == Some(true) {
        return Some("immutable".into());
    }
    for parameter in &retune.parameters {
        match values.get(&parameter.key) {
            None => return Some(format!("key {} is not there", parameter.key)),
            Some(text) if !text.trim().parse::<f64>().is_ok_and(f64::is_finite) => {
                return Some(format!("key {} is no number", parameter.key));
            }
            Some(_) => {}
        }
    }
    let Some(pod) = pod else { return Some("not mounted by the workload".into()) };
    if containers(pod).any(|c| from_environment(c).contains(name)) {
        return Some("used as environment: it changes only at the next restart".into());
    }
    let all_of = |items: Option<&[KeyToPath]>| {
        items.is_none_or(|items| retune.parameters.iter().all(|p| items.iter().any(|i| i.key == p.key)))
    };
    let volumes: BTreeMap<&str, bool> = pod
        .volumes
        .iter()
        .flatten()
        .filter_map(|v| Some((v.name.as_str(), all_of(items(v, name)?))))
        .collect();
    let mounts = |c: &Container| -> Vec<(bool, bool)> {
        let of_the_map = |m: &VolumeMount| {
            let whole = *volumes.get(m.name.as_str())?;
            Some((whole, m.sub_path.is_some() || m.sub_path_expr.is_some()))
        };
        c.volume_mounts.iter().flatten().filter_map(of_the_map).collect()
    };
    if containers(pod).flat_map(mounts).any(|(_, part)| part) {
        return Some("mounted by subPath: it changes only at the next restart".into());
    }
    let lasting =
        pod.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let seen: Vec<(bool, bool)> = pod.containers.iter().chain(lasting).flat_map(mounts).collect();
    if seen.is_empty() {
        return Some("not mounted by the workload".into());
    }
    (!seen.iter().any(|(whole, _)| *whole)).then(|| "mounted without its tunable keys".into())
}

/// The items of a ConfigMap that a volume shows: `None` where it shows nothing of it, `Some(None)` where all.
#[allow(clippy::option_option, reason = "no volume of it, all of it, or some of it")]
fn items<'a>(volume: &'a Volume, name: &str) -> Option<Option<&'a [KeyToPath]>> {
    if let Some(source) = volume.config_map.as_ref().filter(|c| c.name == name) {
        return Some(source.items.as_deref());
    }
    let mut sources = volume.projected.iter().flat_map(|p| p.sources.iter().flatten());
    sources.find_map(|s| s.config_map.as_ref().filter(|c| c.name == name)).map(|c| c.items.as_deref())
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
