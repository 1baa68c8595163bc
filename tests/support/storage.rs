//! What the scripted API server stores, and the rules by which it changes.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Value, json};

/// Where an object lies; an empty namespace is all of them, an empty name the collection.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub plural: String,
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(plural: &str, namespace: &str, name: &str) -> Self {
        Self { plural: plural.into(), namespace: namespace.into(), name: name.into() }
    }

    /// Whether an object lies in this collection.
    fn holds(&self, other: &Self) -> bool {
        self.plural == other.plural && (self.namespace.is_empty() || self.namespace == other.namespace)
    }
}

/// A path of the API.
pub struct Path {
    pub key: Key,
    pub subresource: String,
}

impl Path {
    pub fn parse(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let rest = match parts.as_slice() {
            ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            _ => ("", rest),
        };
        let at = |i: usize| rest.get(i).copied().unwrap_or_default();
        let key = Key::new(rest.first()?, namespace, at(1));
        Some(Self { key, subresource: at(2).to_owned() })
    }
}

/// Why a request changed nothing.
#[derive(Debug)]
pub struct Refused {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
}

fn refused(code: u16, reason: &'static str, message: &str) -> Refused {
    Refused { code, reason, message: message.to_owned() }
}

/// One event: version, key, kind, object.
type Logged = (u64, Key, &'static str, Value);

/// All objects and everything that ever happened to them.
#[derive(Default)]
pub struct Storage {
    all: BTreeMap<Key, Value>,
    version: u64,
    log: Vec<Logged>,
}

impl Storage {
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn get(&self, key: &Key) -> Option<Value> {
        self.all.get(key).cloned()
    }

    pub fn list(&self, plural: &str, namespace: &str) -> Vec<Value> {
        let wanted = Key::new(plural, namespace, "");
        self.all.iter().filter(|(key, _)| wanted.holds(key)).map(|(_, v)| v.clone()).collect()
    }

    /// The first event of a collection after a version.
    pub fn after(&self, since: u64, wanted: &Key) -> Option<(u64, &'static str, Value)> {
        let from = self.log.partition_point(|(version, ..)| *version <= since);
        let found = self.log[from..].iter().find(|(_, key, ..)| wanted.holds(key))?;
        Some((found.0, found.2, found.3.clone()))
    }

    pub fn course(&self, key: &Key, pointer: &str) -> Vec<Value> {
        let values = self.log.iter().filter(|(_, k, ..)| k == key);
        let mut all: Vec<Value> = values.filter_map(|(.., o)| o.pointer(pointer).cloned()).collect();
        all.dedup();
        all
    }

    /// The one way an object changes: version, uid, generation, event.
    fn store(&mut self, key: &Key, mut after: Value) -> Value {
        let before = self.all.get(key).cloned();
        if let Some(before) = &before {
            after["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
            if *before == after {
                return after; // Nothing changed: no new version, no event.
            }
        }
        self.version += 1;
        let stood = before.as_ref().map_or(Value::Null, |b| b["metadata"].clone());
        let meta = &mut after["metadata"];
        meta["resourceVersion"] = json!(self.version.to_string());
        meta["namespace"] = json!(key.namespace);
        for (field, fresh) in [
            ("uid", json!(format!("uid-{}", self.version))),
            ("creationTimestamp", json!(jiff::Timestamp::now().to_string())),
        ] {
            if !stood[field].is_null() {
                meta[field] = stood[field].clone();
            } else if meta[field].is_null() {
                meta[field] = fresh;
            }
        }
        let moved = before.as_ref().is_none_or(|b| b["spec"] != after["spec"]);
        let generation = stood["generation"].as_i64().unwrap_or(0) + i64::from(moved);
        after["metadata"]["generation"] = json!(generation);
        let going = !after["metadata"]["deletionTimestamp"].is_null();
        let held = after["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
        if going && !held {
            self.all.remove(key);
            self.log.push((self.version, key.clone(), "DELETED", after.clone()));
            return after;
        }
        self.all.insert(key.clone(), after.clone());
        let kind = if before.is_none() { "ADDED" } else { "MODIFIED" };
        self.log.push((self.version, key.clone(), kind, after.clone()));
        if key.plural == "deployments" && moved {
            self.roll_out(key, after.clone());
        }
        after
    }

    /// The Deployment controller, in an ideal world: everything asked for is ready at once.
    fn roll_out(&mut self, key: &Key, mut deployment: Value) {
        let replicas = deployment["spec"]["replicas"].clone();
        for count in ["replicas", "readyReplicas", "updatedReplicas", "availableReplicas"] {
            deployment["status"][count] = replicas.clone();
        }
        deployment["status"]["observedGeneration"] = deployment["metadata"]["generation"].clone();
        self.store(key, deployment);
    }

    pub fn put(&mut self, plural: &str, object: Value) {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let meta = &object["metadata"];
        let key = Key::new(plural, &text(&meta["namespace"]), &text(&meta["name"]));
        self.store(&key, object);
    }

    pub fn edit(&mut self, key: &Key, change: impl FnOnce(&mut Value)) {
        if let Some(mut object) = self.get(key) {
            change(&mut object);
            self.store(key, object);
        }
    }

    pub fn delete(&mut self, key: &Key) {
        self.edit(key, |o| o["metadata"]["deletionTimestamp"] = json!(jiff::Timestamp::now().to_string()));
    }

    /// A client's write.
    pub fn commit(
        &mut self,
        method: &Method,
        path: &Path,
        kind: &str,
        body: &[u8],
    ) -> Result<Value, Refused> {
        let given: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let mut key = path.key.clone();
        if key.name.is_empty() {
            let name =
                given["metadata"]["name"].as_str().ok_or_else(|| refused(422, "Invalid", "no name"))?;
            key.name = name.to_owned();
        }
        let before = self.all.get(&key).cloned();
        if *method == Method::POST {
            if before.is_some() {
                return Err(refused(409, "AlreadyExists", "it exists"));
            }
            return Ok(self.store(&key, given));
        }
        let before = before.ok_or_else(|| refused(404, "NotFound", "it does not exist"))?;
        let after = match *method {
            Method::PUT => given,
            Method::PATCH => patched(&before, kind, body, &given, &path.subresource)?,
            Method::DELETE => {
                conflict(&before, &given["preconditions"])?;
                self.delete(&key);
                return Ok(before);
            }
            _ => return Err(refused(405, "MethodNotAllowed", "no")),
        };
        conflict(&before, &after["metadata"])?;
        let frozen = before["immutable"] == json!(true);
        if frozen && (after["data"] != before["data"] || after["immutable"] != json!(true)) {
            return Err(refused(422, "Invalid", "field is immutable when `immutable` is set"));
        }
        let after = if path.subresource == "status" {
            let mut whole = before;
            whole["status"] = after["status"].clone();
            whole
        } else if before["kind"] == "MatVerseScaling" || before["kind"] == "OmegaGate" {
            let mut whole = after;
            whole["status"] = before["status"].clone();
            if whole["status"].is_null() {
                whole.as_object_mut().map(|o| o.remove("status"));
            }
            whole
        } else {
            after
        };
        Ok(self.store(&key, after))
    }
}

/// Preconditions: the resourceVersion and the uid that a write names must be those that stand.
fn conflict(before: &Value, asked: &Value) -> Result<(), Refused> {
    for field in ["resourceVersion", "uid"] {
        if !asked[field].is_null() && asked[field] != before["metadata"][field] {
            return Err(refused(409, "Conflict", "the object has been modified"));
        }
    }
    Ok(())
}

fn patched(
    before: &Value,
    kind: &str,
    body: &[u8],
    given: &Value,
    subresource: &str,
) -> Result<Value, Refused> {
    let mut whole = before.clone();
    if kind.contains("json-patch") {
        let patch: json_patch::Patch =
            serde_json::from_slice(body).map_err(|e| refused(400, "BadRequest", &e.to_string()))?;
        json_patch::patch(&mut whole, &patch).map_err(|e| refused(422, "Invalid", &e.to_string()))?;
    } else if kind.contains("apply-patch") && subresource == "status" {
        // Its one manager owns all of status: what is no longer stated goes.
        whole["metadata"]["resourceVersion"] = given["metadata"]["resourceVersion"].clone();
        whole["metadata"]["uid"] = given["metadata"]["uid"].clone();
        whole["status"] = given["status"].clone();
    } else if kind.contains("merge-patch") {
        json_patch::merge(&mut whole, given);
    } else {
        return Err(refused(415, "UnsupportedMediaType", kind));
    }
    Ok(whole)
}
