//! The watches: what the API server knows, kept in memory and read by every turn.
//!
//! One set of stores per watched scope: the whole cluster, or each namespace of `watchNamespaces`.

use std::fmt::Debug;
use std::hash::Hash;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
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

use super::groups::{Group, Groups};
use super::owners::Owners;
use super::slim::slim;
use crate::api::{MatVerseScaling, OmegaGate};
use crate::observe::facts;
use crate::observe::revision_set::RevisionSet;

/// A resource whose own text could not be read still has a name: it is refused, the watch goes on.
pub type Scaling = DeserializeGuard<MatVerseScaling>;
/// The same for a gate.
pub type Gate = DeserializeGuard<OmegaGate>;

/// Seconds after which the server ends a watch; a dead connection costs no more than this.
const WATCH_SECONDS: u32 = 30;
/// Objects that are listed at a time: a page is in memory as text, as what is read of it, and then in the store.
const PAGE: u32 = 100;

/// The stores of one scope.
#[derive(Clone)]
pub struct Scope {
    /// The namespace; `None` = all.
    pub namespace: Option<String>,
    /// The scaling resources.
    pub scalings: Store<Scaling>,
    /// The same by target, gate and pool.
    pub(super) claims: Groups<Scaling>,
    /// The gates.
    pub gates: Store<Gate>,
    /// The same by the Deployments of their leagues.
    pub(super) leagues: Groups<Gate>,
    /// Deployments.
    pub deployments: Store<Deployment>,
    /// Their revisions.
    pub replica_sets: Store<RevisionSet>,
    /// The same by their Deployment.
    pub(super) owned: Groups<RevisionSet>,
    /// Kubernetes' own scalers by target.
    pub(super) hpas: Groups<HorizontalPodAutoscaler>,
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
        let namespaced = namespace.as_deref();
        let (scalings, writer) = reflector::store();
        let claims = Groups::new(scalings.clone(), (), by_claim);
        let tell = changes.clone();
        let told = move |ns, name| drop(tell.send(Change::Scaling(ns, name)));
        watch(api(client, namespaced), &[], writer, tasks, claims.noting(), told);
        let (gates, writer) = reflector::store();
        let leagues = Groups::new(gates.clone(), (), by_league);
        let tell = changes.clone();
        let told = move |ns, name| drop(tell.send(Change::Gate(ns, name)));
        watch(api(client, namespaced), &[], writer, tasks, leagues.noting(), told);
        let (deployments, writer) = reflector::store();
        watch(api(client, namespaced), &facts::TEMPLATE_FIELDS, writer, tasks, |_| {}, |_, _| {});
        let (replica_sets, writer) = reflector::store();
        let owned = Groups::new(replica_sets.clone(), (), by_owner);
        watch(api(client, namespaced), &[], writer, tasks, owned.noting(), |_, _| {});
        let (store, writer) = reflector::store();
        let hpas = Groups::new(store, (), by_scale_target);
        watch(api(client, namespaced), &[], writer, tasks, hpas.noting(), |_, _| {});
        let (config_maps, writer) = reflector::store();
        watch(api(client, namespaced), &facts::DATA_FIELDS, writer, tasks, |_| {}, |_, _| {});
        let owners = Owners::start(client, namespaced, &config(), tasks);
        Self {
            namespace,
            scalings,
            claims,
            gates,
            leagues,
            deployments,
            replica_sets,
            owned,
            hpas,
            owners,
            config_maps,
        }
    }
}

fn by_claim(scaling: &Scaling) -> Vec<Group> {
    let (namespace, Ok(scaling)) = (scaling.namespace().unwrap_or_default(), &scaling.0) else {
        return Vec::new();
    };
    let spec = &scaling.spec;
    let gate = spec.gate_ref.as_ref().map(|gate| Group::Gate(namespace.clone(), gate.name.clone()));
    let pool = spec.pool.clone().map(Group::Pool);
    let target = Group::Target(namespace, spec.target_ref.name.clone());
    [Some(target), gate, pool].into_iter().flatten().collect()
}

fn by_league(gate: &Gate) -> Vec<Group> {
    let (namespace, Ok(gate)) = (gate.namespace().unwrap_or_default(), &gate.0) else { return Vec::new() };
    let Some(league) = &gate.spec.league else { return Vec::new() };
    let sides = [&league.champion.deployment, &league.challenger.deployment];
    sides.map(|deployment| Group::Target(namespace.clone(), deployment.clone())).into()
}

fn by_owner(set: &RevisionSet) -> Vec<Group> {
    set.owner_references().iter().map(|owner| Group::Owner(owner.uid.clone())).collect()
}

fn by_scale_target(hpa: &HorizontalPodAutoscaler) -> Vec<Group> {
    let target = hpa.spec.as_ref().map(|spec| &spec.scale_target_ref);
    let namespace = hpa.namespace().unwrap_or_default();
    target.map(|target| Group::Target(namespace, target.name.clone())).into_iter().collect()
}

fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE)
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

/// Keeps the store of a kind; of its field managers' fields those that are read. `note` hears of an event before the store
/// does, `tell` after it.
fn watch<K>(
    api: Api<K>,
    fields: &'static [&'static str],
    writer: Writer<K>,
    tasks: &mut JoinSet<()>,
    note: impl Fn(&watcher::Event<K>) + Send + 'static,
    tell: impl Fn(String, String) + Send + 'static,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Default + Eq + Hash + Clone + Send + Sync + Unpin,
{
    let events = watcher(api, config()).default_backoff().modify(|k| slim(k.meta_mut(), fields));
    tasks.spawn(drive(events.inspect_ok(note).reflect(writer), tell));
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target(name: &str) -> Group {
        Group::Target("shop".into(), name.into())
    }

    #[test]
    fn each_kind_knows_whom_it_belongs_to() {
        let scaling: Scaling = serde_json::from_value(json!({
            "apiVersion": "matverse.io/v1alpha1", "kind": "MatVerseScaling", "metadata": {"name": "a", "namespace": "shop"},
            "spec": {"targetRef": {"name": "web"}, "pool": "batch", "gateRef": {"name": "g"}},
        }))
        .unwrap();
        let gate = Group::Gate("shop".into(), "g".into());
        assert_eq!(by_claim(&scaling), [target("web"), gate, Group::Pool("batch".into())]);
        let unreadable: Scaling = serde_json::from_value(json!({
            "apiVersion": "matverse.io/v1alpha1", "kind": "MatVerseScaling", "metadata": {"name": "a"}, "spec": 7,
        }))
        .unwrap();
        assert_eq!(by_claim(&unreadable), []);
        let set: RevisionSet = serde_json::from_value(json!({
            "metadata": {"name": "web-1", "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u1", "controller": true}]},
            "spec": {"selector": {}, "template": {"metadata": {}}},
        }))
        .unwrap();
        assert_eq!((by_owner(&set), set.template.is_some()), (vec![Group::Owner("u1".into())], true));
        let hpa: HorizontalPodAutoscaler = serde_json::from_value(json!({
            "metadata": {"name": "h", "namespace": "shop"},
            "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web"}},
        }))
        .unwrap();
        assert_eq!(by_scale_target(&hpa), [target("web")]);
    }
}
