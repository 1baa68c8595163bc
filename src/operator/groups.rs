//! Objects by what they belong to, so that a turn asks for the few it needs and its cost does not grow with the cluster.
//!
//! ```text
//!  watch ─┬─► note: object ─► groups   (first, so that the index never lacks what the store has)
//!         └─► the kind's store
//!  of(group) ─► references ─► the store's objects; the caller asks each whether it still belongs
//! ```

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use kube::Resource;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;

/// What objects may have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Group {
    /// The uid of the object that controls them.
    Owner(String),
    /// A Deployment that they name: namespace and name.
    Target(String, String),
    /// A gate that they name: namespace and name.
    Gate(String, String),
    /// A pool that they take part in.
    Pool(String),
}

/// The groups of an object.
type Grouping<K> = dyn Fn(&K) -> Vec<Group> + Send + Sync;

/// The store of a kind with its index. Cheap to clone.
pub(super) struct Groups<K: Resource>
where
    K: 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    store: Store<K>,
    index: Arc<RwLock<Index<ObjectRef<K>>>>,
    kind: K::DynamicType,
    of: Arc<Grouping<K>>,
}

impl<K> Clone for Groups<K>
where
    K: Resource + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            index: self.index.clone(),
            kind: self.kind.clone(),
            of: self.of.clone(),
        }
    }
}

impl<K> Groups<K>
where
    K: Resource + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    /// An index of `store`, which knows the groups of an object by `of`.
    pub(super) fn new(
        store: Store<K>,
        kind: K::DynamicType,
        of: impl Fn(&K) -> Vec<Group> + Send + Sync + 'static,
    ) -> Self {
        Self { store, index: Arc::default(), kind, of: Arc::new(of) }
    }

    /// Takes in what the watch says, before the store does.
    pub(super) fn note(&self, event: &Event<K>) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let key = |object: &K| ObjectRef::from_obj_with(object, self.kind.clone());
        match event {
            Event::Init => index.listed = Some(HashSet::new()),
            Event::InitApply(object) => {
                let key = key(object);
                if let Some(listed) = &mut index.listed {
                    listed.insert(key.clone());
                }
                index.put(&key, (self.of)(object));
            }
            Event::InitDone => index.listed(),
            Event::Apply(object) => index.put(&key(object), (self.of)(object)),
            Event::Delete(object) => index.remove(&key(object)),
        }
    }

    /// [`Self::note`], for a watch to call.
    pub(super) fn noting(&self) -> impl Fn(&Event<K>) + use<K> {
        let told = self.clone();
        move |event| told.note(event)
    }

    /// Waits until the kind is listed.
    pub(super) async fn wait_until_ready(&self) {
        drop(self.store.wait_until_ready().await);
    }

    /// The objects of a group. Some may have just left it.
    pub(super) fn of(&self, group: &Group) -> Vec<Arc<K>> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let members = index.members.get(group).into_iter().flatten();
        members.filter_map(|key| self.store.get(key)).collect()
    }
}

/// An object's groups: until the store has its new state, it is found under those of the old one too.
struct Place {
    now: Vec<Group>,
    before: Vec<Group>,
}

struct Index<R> {
    members: HashMap<Group, Vec<R>>,
    places: HashMap<R, Place>,
    /// What the list under way has named so far.
    listed: Option<HashSet<R>>,
}

impl<R> Default for Index<R> {
    fn default() -> Self {
        Self { members: HashMap::new(), places: HashMap::new(), listed: None }
    }
}

impl<R: Clone + Eq + Hash> Index<R> {
    fn put(&mut self, key: &R, groups: Vec<Group>) {
        let before = match self.places.get(key) {
            Some(known) if known.now == groups => return,
            Some(known) => known.now.clone(),
            None => Vec::new(),
        };
        for group in &groups {
            let members = self.members.entry(group.clone()).or_default();
            if !members.contains(key) {
                members.push(key.clone());
            }
        }
        let stays: HashSet<Group> = groups.iter().chain(&before).cloned().collect();
        if let Some(left) = self.places.insert(key.clone(), Place { now: groups, before }) {
            self.leave(key, left.before.into_iter().filter(|group| !stays.contains(group)));
        }
    }

    fn remove(&mut self, key: &R) {
        if let Some(place) = self.places.remove(key) {
            self.leave(key, place.now.into_iter().chain(place.before));
        }
    }

    fn leave(&mut self, key: &R, groups: impl IntoIterator<Item = Group>) {
        for group in groups {
            if let Some(members) = self.members.get_mut(&group) {
                members.retain(|member| member != key);
                if members.is_empty() {
                    self.members.remove(&group);
                }
            }
        }
    }

    /// The list is complete: what it did not name is gone.
    fn listed(&mut self) {
        let Some(listed) = self.listed.take() else { return };
        let gone: Vec<R> = self.places.keys().filter(|key| !listed.contains(key)).cloned().collect();
        for key in gone {
            self.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt;
    use kube::runtime::reflector;
    use serde_json::json;

    use super::*;

    /// Belongs to the pools that its labels name.
    fn map(name: &str, pools: &[&str]) -> ConfigMap {
        let labels: serde_json::Map<_, _> =
            pools.iter().map(|pool| ((*pool).to_owned(), json!("yes"))).collect();
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "shop", "labels": labels}}))
            .unwrap()
    }

    fn pools(map: &ConfigMap) -> Vec<Group> {
        map.labels().keys().cloned().map(Group::Pool).collect()
    }

    /// An index, and both told of an event.
    fn both() -> (Groups<ConfigMap>, impl FnMut(Event<ConfigMap>)) {
        let (store, mut writer) = reflector::store();
        let groups = Groups::new(store, (), pools);
        let told = groups.clone();
        (groups, move |event| {
            told.note(&event);
            writer.apply_watcher_event(&event);
        })
    }

    fn names(groups: &Groups<ConfigMap>, pool: &str) -> Vec<String> {
        groups.of(&Group::Pool(pool.into())).iter().map(|map| map.name_any()).collect()
    }

    #[test]
    fn objects_are_found_by_their_groups_as_they_come_change_and_go() {
        let (groups, mut tell) = both();
        tell(Event::Init);
        tell(Event::InitApply(map("a", &["x"])));
        tell(Event::InitApply(map("b", &["x", "y"])));
        assert!(names(&groups, "x").is_empty(), "the store shows a list when it is complete");
        tell(Event::InitDone);
        assert_eq!(
            (names(&groups, "x"), names(&groups, "y")),
            (vec!["a".into(), "b".into()], vec!["b".into()])
        );
        tell(Event::Apply(map("c", &["y"])));
        tell(Event::Delete(map("b", &["x", "y"])));
        assert_eq!((names(&groups, "x"), names(&groups, "y")), (vec!["a".to_owned()], vec!["c".to_owned()]));
    }

    #[test]
    fn who_changes_its_group_is_in_both_until_its_next_change() {
        let (groups, mut tell) = both();
        tell(Event::Apply(map("a", &["x"])));
        let known = groups.clone();
        // The index hears of it first: whoever asks between the two must still find the old state.
        known.note(&Event::Apply(map("a", &["y"])));
        assert_eq!((names(&groups, "x"), names(&groups, "y")), (vec!["a".to_owned()], vec!["a".to_owned()]));
        tell(Event::Apply(map("a", &["y"])));
        tell(Event::Apply(map("a", &["z"])));
        assert_eq!(
            (names(&groups, "x").len(), names(&groups, "y").len(), names(&groups, "z").len()),
            (0, 1, 1)
        );
        tell(Event::Delete(map("a", &["z"])));
        let index = groups.index.read().unwrap();
        assert!(index.members.is_empty() && index.places.is_empty(), "nothing is left behind");
    }

    #[test]
    fn what_a_new_list_does_not_name_is_gone() {
        let (groups, mut tell) = both();
        tell(Event::Apply(map("a", &["x"])));
        tell(Event::Apply(map("b", &["x"])));
        tell(Event::Init);
        tell(Event::InitApply(map("b", &["x"])));
        assert_eq!(names(&groups, "x").len(), 2, "until the list is complete the old one stands");
        tell(Event::InitDone);
        assert_eq!(names(&groups, "x"), ["b"]);
        assert_eq!(groups.index.read().unwrap().places.len(), 1);
    }
}
