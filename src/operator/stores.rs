//! The watches: what the API server knows, kept in memory and read by every turn.
//!
//! One set of stores per watched scope: the whole cluster, or each namespace of `watchNamespaces`.

use std::fmt::Debug;
use std::hash::Hash;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use kube::core::{DeserializeGuard, NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::reflector::store::{Store, Writer};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::owners::Owners;
use crate::api::{MatVerseScaling, OmegaGate};

/// A resource whose own text could not be read still has a name: it is refused, the watch goes on.
pub type Scaling = DeserializeGuard<MatVerseScaling>;
/// The same for a gate.
pub type Gate = DeserializeGuard<OmegaGate>;

/// Seconds after which the server ends a watch; a dead connection costs no more than this.
const WATCH_SECONDS: u32 = 30;

/// The stores of one scope.
#[derive(Clone)]
pub struct Scope {
    /// The namespace; `None` = all.
    pub namespace: Option<String>,
    /// The scaling resources.
    pub scalings: Store<Scaling>,
    /// The gates.
    pub gates: Store<Gate>,
    /// Deployments.
    pub deployments: Store<Deployment>,
    /// Their revisions.
    pub replica_sets: Store<ReplicaSet>,
    /// Kubernetes' own scalers.
    pub hpas: Store<HorizontalPodAutoscaler>,
    /// Scalers and release tools of others.
    pub owners: Owners,
    /// When configuration changed; its content is read live, and only where it is tuned.
    pub config_maps: Store<PartialObjectMeta<ConfigMap>>,
}

/// All stores.
#[derive(Clone)]
pub struct Stores {
    scopes: Vec<Scope>,
}

/// Something the fleet must look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// A scaling resource came, changed or went: (namespace, name).
    Scaling(String, String),
    /// A gate came, changed or went.
    Gate(String, String),
}

impl Stores {
    /// Starts the watches; their tasks end with `tasks`.
    #[must_use]
    pub fn start(
        client: &Client,
        namespaces: &[String],
        changes: &mpsc::UnboundedSender<Change>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let wanted: Vec<Option<String>> =
            if namespaces.is_empty() { vec![None] } else { namespaces.iter().cloned().map(Some).collect() };
        let scopes = wanted.into_iter().map(|ns| Scope::start(client, ns, changes, tasks)).collect();
        Self { scopes }
    }

    /// The stores that hold objects of a namespace.
    #[must_use]
    pub fn of(&self, namespace: &str) -> Option<&Scope> {
        self.scopes.iter().find(|s| s.namespace.as_deref().is_none_or(|n| n == namespace))
    }

    /// All scopes.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// Waits until every store holds its first complete list.
    pub async fn ready(&self) {
        for scope in &self.scopes {
            let _ = tokio::join!(
                scope.scalings.wait_until_ready(),
                scope.gates.wait_until_ready(),
                scope.deployments.wait_until_ready(),
                scope.replica_sets.wait_until_ready(),
                scope.hpas.wait_until_ready(),
                scope.owners.ready(),
                scope.config_maps.wait_until_ready(),
            );
        }
    }
}

impl Scope {
    fn start(
        client: &Client,
        namespace: Option<String>,
        changes: &mpsc::UnboundedSender<Change>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let (scalings, writer) = reflector::store();
        let tell = changes.clone();
        watch(api::<Scaling>(client, namespace.as_deref()), writer, tasks, move |ns, name| {
            let _ = tell.send(Change::Scaling(ns, name));
        });
        let (gates, writer) = reflector::store();
        let tell = changes.clone();
        watch(api::<Gate>(client, namespace.as_deref()), writer, tasks, move |ns, name| {
            let _ = tell.send(Change::Gate(ns, name));
        });
        let (deployments, writer) = reflector::store();
        watch(api(client, namespace.as_deref()), writer, tasks, |_, _| {});
        let (replica_sets, writer) = reflector::store();
        watch(api(client, namespace.as_deref()), writer, tasks, |_, _| {});
        let (hpas, writer) = reflector::store();
        watch(api(client, namespace.as_deref()), writer, tasks, |_, _| {});
        let (config_maps, writer) = reflector::store();
        watch(api::<PartialObjectMeta<ConfigMap>>(client, namespace.as_deref()), writer, tasks, |_, _| {});
        let owners = Owners::start(client, namespace.as_deref(), &config(), tasks);
        Self { namespace, scalings, gates, deployments, replica_sets, hpas, owners, config_maps }
    }
}

fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn watch<K>(
    api: Api<K>,
    writer: Writer<K>,
    tasks: &mut JoinSet<()>,
    tell: impl Fn(String, String) + Send + 'static,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Default + Eq + Hash + Clone + Send + Sync + Unpin,
{
    tasks.spawn(drive(watcher(api, config()).default_backoff().reflect(writer), tell));
}

async fn drive<K: Resource + Debug>(
    stream: impl futures::Stream<Item = Result<watcher::Event<K>, watcher::Error>>,
    tell: impl Fn(String, String),
) {
    let mut stream = std::pin::pin!(stream);
    while let Some(event) = stream.next().await {
        match event {
            Ok(watcher::Event::Apply(k) | watcher::Event::Delete(k) | watcher::Event::InitApply(k)) => {
                tell(k.namespace().unwrap_or_default(), k.name_any());
            }
            Ok(watcher::Event::Init | watcher::Event::InitDone) => {}
            Err(error) => {
                tracing::warn!(%error, kind = std::any::type_name::<K>(), "a watch failed; it is tried again");
            }
        }
    }
}
