//! A [`Store`] in memory that behaves like an API server on a bad day, for tests and simulations.
//!
//! It enforces resourceVersion, names and immutability, and at a chosen call it crashes the caller, loses the
//! answer, or answers with a conflict.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::store::{Object, Store, StoreError, Stored};
use super::tail::segment_start;

/// What happens at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller dies before the call is carried out: this and every later call of this handle fail.
    CrashBefore,
    /// The caller dies after the call was carried out.
    CrashAfter,
    /// The call is carried out, and its answer is lost.
    LoseAnswer,
    /// The call is not carried out, and no answer comes.
    LoseRequest,
    /// A write is answered with a conflict and not carried out.
    Conflict,
    /// The call is refused.
    Deny,
    /// Every call of this handle is lost from here on until [`MemoryStore::heal`].
    Partition,
}

#[derive(Debug, Default)]
struct Shared {
    objects: BTreeMap<String, Object>,
    version: u64,
    exported: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Script {
    calls: u64,
    faults: BTreeMap<u64, Fault>,
    crashed: bool,
    parted: bool,
    log: Vec<String>,
}

/// A handle on the store. Clones share everything; [`Self::process`] shares the objects alone.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
    script: Arc<Mutex<Script>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryStore {
    /// Another client of the same objects, with no faults of its own.
    #[must_use]
    pub fn process(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), script: Arc::default() }
    }

    /// Plans a fault at the call with this number (from 0) of this handle.
    pub fn fault_at(&self, call: u64, fault: Fault) {
        lock(&self.script).faults.insert(call, fault);
    }

    /// Plans a fault at the next call.
    pub fn fault_next(&self, fault: Fault) {
        let mut script = lock(&self.script);
        let call = script.calls;
        script.faults.insert(call, fault);
    }

    /// Ends a partition.
    pub fn heal(&self) {
        lock(&self.script).parted = false;
    }

    /// Calls made so far by this handle.
    #[must_use]
    pub fn calls(&self) -> u64 {
        lock(&self.script).calls
    }

    /// The calls, as `verb name`.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        lock(&self.script).log.clone()
    }

    /// Whether a planned crash has happened.
    #[must_use]
    pub fn crashed(&self) -> bool {
        lock(&self.script).crashed
    }

    /// All objects, as an auditor would save them.
    #[must_use]
    pub fn objects(&self) -> Vec<Object> {
        lock(&self.shared).objects.values().cloned().collect()
    }

    /// Changes an object behind everybody's back.
    pub fn tamper(&self, name: &str, change: impl FnOnce(&mut Object)) {
        let mut shared = lock(&self.shared);
        shared.version += 1;
        let version = shared.version.to_string();
        if let Some(object) = shared.objects.get_mut(name) {
            change(object);
            object.resource_version = version;
        }
    }

    /// Marks a segment as exported.
    pub fn mark_exported(&self, name: &str) {
        lock(&self.shared).exported.insert(name.to_owned());
    }

    /// Removes an object behind everybody's back.
    pub fn remove(&self, name: &str) {
        lock(&self.shared).objects.remove(name);
    }

    fn call<T>(
        &self,
        verb: &str,
        name: &str,
        act: impl FnOnce(&mut Shared) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let lost = |why: &str| StoreError::Unreachable(why.to_owned());
        let mut script = lock(&self.script);
        if script.crashed {
            return Err(lost("crashed"));
        }
        let fault = script.faults.get(&script.calls).copied();
        script.calls += 1;
        script.log.push(format!("{verb} {name}"));
        if fault == Some(Fault::Partition) {
            script.parted = true;
        }
        if script.parted {
            return Err(lost("partition"));
        }
        script.crashed = matches!(fault, Some(Fault::CrashBefore | Fault::CrashAfter));
        drop(script);
        let mut shared = lock(&self.shared);
        match fault {
            Some(Fault::CrashBefore) => Err(lost("crashed")),
            Some(Fault::LoseRequest) => Err(lost("timeout")),
            Some(Fault::Conflict) if verb != "get" && verb != "list" => Err(StoreError::Conflict),
            Some(Fault::Deny) => Err(StoreError::Denied("forbidden".to_owned())),
            Some(Fault::CrashAfter | Fault::LoseAnswer) => {
                act(&mut shared)?;
                Err(lost("timeout"))
            }
            _ => act(&mut shared),
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, name: &str) -> Result<Object, StoreError> {
        self.call("get", name, |shared| shared.objects.get(name).cloned().ok_or(StoreError::NotFound))
    }

    async fn create(
        &self,
        name: &str,
        data: &BTreeMap<String, String>,
        immutable: bool,
    ) -> Result<Object, StoreError> {
        self.call("create", name, |shared| {
            if shared.objects.contains_key(name) {
                return Err(StoreError::AlreadyExists);
            }
            shared.version += 1;
            let object = Object {
                name: name.to_owned(),
                uid: format!("uid-{}", shared.version),
                resource_version: shared.version.to_string(),
                immutable,
                data: data.clone(),
            };
            shared.objects.insert(name.to_owned(), object.clone());
            Ok(object)
        })
    }

    async fn replace(
        &self,
        name: &str,
        resource_version: &str,
        data: &BTreeMap<String, String>,
    ) -> Result<Object, StoreError> {
        self.call("replace", name, |shared| {
            let version = shared.version + 1;
            let object = shared.objects.get_mut(name).ok_or(StoreError::NotFound)?;
            if object.resource_version != resource_version {
                return Err(StoreError::Conflict);
            }
            if object.immutable {
                return Err(StoreError::Denied("field is immutable when `immutable` is set".to_owned()));
            }
            object.data.clone_from(data);
            object.resource_version = version.to_string();
            let object = object.clone();
            shared.version = version;
            Ok(object)
        })
    }

    async fn delete(&self, name: &str, uid: &str, resource_version: &str) -> Result<(), StoreError> {
        self.call("delete", name, |shared| {
            let object = shared.objects.get(name).ok_or(StoreError::NotFound)?;
            if object.uid != uid || object.resource_version != resource_version {
                return Err(StoreError::Conflict);
            }
            shared.objects.remove(name);
            Ok(())
        })
    }

    async fn segments(&self) -> Result<Vec<Stored>, StoreError> {
        self.call("list", "segments", |shared| {
            let segments = shared.objects.values().filter(|object| segment_start(&object.name).is_some());
            let stored = |object: &Object| Stored {
                name: object.name.clone(),
                uid: object.uid.clone(),
                resource_version: object.resource_version.clone(),
                exported: shared.exported.contains(&object.name),
            };
            Ok(segments.map(stored).collect())
        })
    }

    async fn list(&self) -> Result<Vec<Object>, StoreError> {
        self.call("list", "", |shared| Ok(shared.objects.values().cloned().collect()))
    }
}
