//! The target's facts for one turn: from the watches, or live where those may be behind or something is at stake.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, ListParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

use super::groups::Group;
use super::turn::TurnError;
use super::world::World;
use crate::api::scaling::{ConfigMapRef, Parameter, Retune};
use crate::api::{MatVerseScaling, OmegaGate};
use crate::decide::situation::RetuneTrial;
use crate::ledger::attestation;
use crate::observe::facts;
use crate::observe::revision_set::RevisionSet;
use crate::observe::workload::Workload;

/// Longest wait for one read.
const READ: Duration = Duration::from_secs(5);

/// What is kept of a target between turns.
#[derive(Default)]
pub struct Known {
    /// resourceVersion of our last write to it: older facts are behind that.
    pub written: Option<u64>,
    /// Measured start time of its pods, in seconds.
    start_seconds: Option<f64>,
}

fn version<K: Resource>(object: &K) -> Option<u64> {
    object.meta().resource_version.as_deref()?.parse().ok()
}

pub(super) async fn bounded<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, TurnError> {
    match tokio::time::timeout(READ, call).await {
        Ok(answer) => answer.map_err(|e| TurnError::Api(e.to_string())),
        Err(_) => Err(TurnError::Api(format!("no answer within {} s", READ.as_secs()))),
    }
}

/// Reads the workload; `None` when the Deployment does not exist. The flag says whether the facts may be behind.
pub async fn read(
    world: &World,
    resource: &MatVerseScaling,
    trial: Option<&RetuneTrial>,
    live: bool,
    known: &mut Known,
) -> Result<(Option<Workload>, bool), TurnError> {
    let namespace = resource.namespace().unwrap_or_default();
    let retune = tuned(resource.spec.retune.as_ref(), trial);
    facts_of(world, &namespace, &resource.spec.target_ref.name, retune.as_deref(), live, known).await
}

/// What is to be read of a ConfigMap: what may be tuned, or what is under trial and no longer configured, which
/// must be seen to be given back.
fn tuned<'a>(configured: Option<&'a Retune>, trial: Option<&RetuneTrial>) -> Option<Cow<'a, Retune>> {
    let Some(trial) = trial else { return configured.map(Cow::Borrowed) };
    let names = |retune: &&Retune| {
        retune.config_map_ref.name == trial.config_map && retune.parameters.iter().any(|p| p.key == trial.key)
    };
    Some(configured.filter(names).map_or_else(
        || {
            let parameter =
                Parameter { key: trial.key.clone(), min: f64::MIN, max: f64::MAX, max_delta: 0.0 };
            Cow::Owned(Retune {
                config_map_ref: ConfigMapRef { name: trial.config_map.clone() },
                parameters: vec![parameter],
                settle_seconds: 0,
            })
        },
        Cow::Borrowed,
    ))
}

/// The same for any Deployment.
pub async fn facts_of(
    world: &World,
    namespace: &str,
    name: &str,
    retune: Option<&Retune>,
    live: bool,
    known: &mut Known,
) -> Result<(Option<Workload>, bool), TurnError> {
    let (deployment, behind) = deployment_of(world, namespace, name, live, known).await?;
    let (Some(deployment), Some(scope)) = (deployment, world.stores.of(namespace)) else {
        return Ok((None, behind));
    };
    let workload = facts_from(world, scope, &deployment, retune, known).await?;
    Ok((Some(workload), behind && !live))
}

/// The Deployment itself: from the watch, or live where that may be behind our own last write.
pub async fn deployment_of(
    world: &World,
    namespace: &str,
    name: &str,
    live: bool,
    known: &mut Known,
) -> Result<(Option<Deployment>, bool), TurnError> {
    let Some(scope) = world.stores.of(namespace) else { return Ok((None, true)) };
    let stored = scope.deployments.get(&ObjectRef::new(name).within(namespace));
    let behind =
        known.written.is_some_and(|w| stored.as_ref().and_then(|d| version(&**d)).is_some_and(|v| v < w));
    let deployment = if live || behind {
        let api: Api<Deployment> = Api::namespaced(world.client.clone(), namespace);
        bounded(api.get_opt(name)).await?
    } else {
        stored.map(|d| (*d).clone())
    };
    if deployment.is_none() {
        *known = Known::default();
        return Ok((None, false));
    }
    Ok((deployment, behind))
}

/// The facts of a Deployment that was read.
pub async fn facts_from(
    world: &World,
    scope: &super::stores::Scope,
    deployment: &Deployment,
    retune: Option<&Retune>,
    known: &mut Known,
) -> Result<Workload, TurnError> {
    let (namespace, name) = (&deployment.namespace().unwrap_or_default(), &deployment.name_any());
    let uid = deployment.uid().unwrap_or_default();
    let mut replica_sets = scope.owned.of(&Group::Owner(uid.clone()));
    replica_sets.retain(|rs| rs.metadata.namespace.as_ref() == Some(namespace) && owned_by(rs, &uid));
    let pods = if facts::pods_matter(deployment) || known.start_seconds.is_none() {
        let api: Api<Pod> = Api::namespaced(world.client.clone(), namespace);
        let selector = facts::pod_selector(deployment);
        Some(bounded(api.list(&ListParams::default().labels(&selector))).await?.items)
    } else {
        None
    };
    let tuned = match retune {
        Some(retune) => {
            let api: Api<ConfigMap> = Api::namespaced(world.client.clone(), namespace);
            bounded(api.get_opt(&retune.config_map_ref.name)).await?
        }
        None => None,
    };
    let scalers = other_scalers(scope, namespace, name);
    let configured = config_changed_at(scope, namespace, deployment);
    let mut workload = facts::workload(&facts::Sources {
        deployment,
        replica_sets: &replica_sets,
        pods: pods.as_deref(),
        other_scalers: scalers,
        config_changed_at: configured,
        retune,
        tuned: tuned.as_ref(),
        now: world.clock.now(),
    });
    known.start_seconds = workload.start_seconds.or(known.start_seconds);
    workload.start_seconds = known.start_seconds;
    Ok(workload)
}

/// Whether the Deployment of that uid controls a ReplicaSet.
#[must_use]
pub fn owned_by(replica_set: &RevisionSet, uid: &str) -> bool {
    replica_set.owner_references().iter().any(|o| o.uid == uid && o.controller == Some(true))
}

fn other_scalers(scope: &super::stores::Scope, namespace: &str, name: &str) -> Vec<String> {
    let hpas = scope
        .hpas
        .of(&Group::Target(namespace.to_owned(), name.to_owned()))
        .iter()
        .filter(|h| {
            h.spec
                .as_ref()
                .is_some_and(|s| s.scale_target_ref.kind == "Deployment" && s.scale_target_ref.name == name)
        })
        .map(|h| format!("HorizontalPodAutoscaler/{}", h.name_any()))
        .collect::<Vec<_>>();
    [hpas, scope.owners.of(namespace, name)].concat()
}

/// Latest change, by somebody else, of a ConfigMap that the template names.
fn config_changed_at(
    scope: &super::stores::Scope,
    namespace: &str,
    deployment: &Deployment,
) -> Option<Timestamp> {
    facts::referenced_config_maps(deployment)
        .iter()
        .filter_map(|name| scope.config_maps.get(&ObjectRef::new(name).within(namespace)))
        .filter_map(|c| facts::changed_by_others(&c.metadata, crate::act::MANAGER))
        .max()
}

/// What the trouble with a ledger says that is older than what objects remember of it.
pub const RESTORED: &str = "an older one was restored in its place";

/// Why the ledger is not the one that the target's last act was recorded in, where it shows.
pub fn restored(world: &World, resource: &MatVerseScaling) -> Option<String> {
    let namespace = resource.namespace()?;
    let name = &resource.spec.target_ref.name;
    let deployment =
        world.stores.of(&namespace)?.deployments.get(&ObjectRef::new(name).within(&namespace))?;
    let claim = attestation::parse(deployment.annotations().get(attestation::ATTESTATION)?)?;
    let ledger = world.ledger.get().ok()?;
    ledger.is_behind(&claim).then(|| {
        format!(
            "Deployment {namespace}/{name} bears a signed checkpoint of {} entries that this ledger does not \
             continue: {RESTORED}. Bring the newer one back, or declare a succession (docs/explanation/ledger.md)",
            claim.size
        )
    })
}

/// A gate whose league runs on a Deployment, by its status: that survives a restart.
pub fn league_on(world: &World, namespace: &str, deployment: &str) -> Option<String> {
    let scope = world.stores.of(namespace)?;
    let running = |gate: &&OmegaGate| {
        let names = gate.spec.league.as_ref().is_some_and(|league| {
            [&league.champion.deployment, &league.challenger.deployment].contains(&&deployment.to_owned())
        });
        let stage = gate.status.as_ref().and_then(|s| s.league.as_ref()).map(|l| l.stage.as_str());
        names && gate.metadata.deletion_timestamp.is_none() && stage.is_some_and(crate::decide::league::runs)
    };
    let gates = scope.leagues.of(&Group::Target(namespace.to_owned(), deployment.to_owned()));
    let here = gates.iter().filter_map(|g| g.0.as_ref().ok());
    here.filter(running).map(ResourceExt::name_any).min()
}

/// Another, older `MatVerseScaling` that names the same target, as `name`.
pub fn older_claim(world: &World, resource: &MatVerseScaling) -> Option<String> {
    let namespace = resource.namespace()?;
    let age = |m: &MatVerseScaling| (m.metadata.creation_timestamp.clone().map(|t| t.0), m.name_any());
    let mine = age(resource);
    world
        .stores
        .of(&namespace)?
        .claims
        .of(&Group::Target(namespace.clone(), resource.spec.target_ref.name.clone()))
        .iter()
        .filter_map(|s| s.0.as_ref().ok())
        .filter(|m| m.metadata.uid != resource.metadata.uid)
        .filter(|m| {
            m.spec.target_ref.name == resource.spec.target_ref.name && m.metadata.deletion_timestamp.is_none()
        })
        .map(age)
        .filter(|other| *other < mine)
        .min()
        .map(|(_, name)| name)
}
