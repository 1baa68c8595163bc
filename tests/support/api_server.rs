//! A scripted API server over real HTTP: objects with resourceVersion, generation and immutability, watches,
//! and faults at the n-th request of a kind.
//!
//! It keeps a history of every write, so that a test can assert what was written and that nothing else was.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::broadcast;

/// What goes wrong at one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The write is committed; the answer is this error.
    Lie(u16),
    /// The write is not committed; the answer is this error.
    Reject(u16),
    /// The write is committed; no answer comes.
    LoseAnswer,
    /// Somebody else's status write gets in before this one.
    StatusMoves,
    /// Somebody else scales the target by hand before this write.
    HandScales,
}

/// A fault that waits for its request.
#[derive(Clone, Debug)]
pub struct Planned {
    pub method: Method,
    pub plural: &'static str,
    /// How many such requests pass before it fires.
    pub after: usize,
    pub fault: Fault,
}

/// One write that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub method: Method,
    pub plural: String,
    pub name: String,
    pub subresource: String,
}

type Key = (String, String, String);

#[derive(Default)]
struct Objects {
    all: BTreeMap<Key, Value>,
    version: u64,
    faults: Vec<Planned>,
    fired: Vec<Fault>,
    history: Vec<Write>,
}

/// The server; clones are the same server.
#[derive(Clone)]
pub struct ApiServer {
    objects: Arc<Mutex<Objects>>,
    changes: broadcast::Sender<(String, Value)>,
    address: std::net::SocketAddr,
}

struct Path {
    plural: String,
    namespace: String,
    name: Option<String>,
    subresource: String,
}

fn parse(uri: &Uri) -> Option<Path> {
    let parts: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    let rest = match parts.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => ((*namespace).to_owned(), rest),
        _ => (String::new(), rest),
    };
    Some(Path {
        plural: (*rest.first()?).to_owned(),
        namespace,
        name: rest.get(1).map(|n| (*n).to_owned()),
        subresource: rest.get(2).copied().unwrap_or_default().to_owned(),
    })
}

fn failure(code: u16, reason: &str, message: &str) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message});
    (StatusCode::from_u16(code).unwrap(), axum::Json(body)).into_response()
}

fn ok(value: &Value) -> Response {
    axum::Json(value.clone()).into_response()
}

impl ApiServer {
    /// Listens on a free port of loopback.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            objects: Arc::default(),
            changes: broadcast::channel(1024).0,
            address: listener.local_addr().unwrap(),
        };
        let router = Router::new().fallback(handle).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        server
    }

    /// A client of it, with the operator's own bounds.
    pub fn client(&self) -> kube::Client {
        let uri = format!("http://{}", self.address).parse().unwrap();
        matverse::operator::client::with(kube::Config::new(uri)).unwrap()
    }

    /// Puts an object there, as if it had always been.
    pub fn put(&self, plural: &str, mut object: Value) {
        let mut objects = self.objects.lock().unwrap();
        objects.version += 1;
        let version = objects.version;
        let meta = &mut object["metadata"];
        meta["resourceVersion"] = json!(version.to_string());
        if meta["uid"].is_null() {
            meta["uid"] = json!(format!("uid-{version}"));
        }
        if meta["generation"].is_null() {
            meta["generation"] = json!(1);
        }
        if meta["creationTimestamp"].is_null() {
            meta["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let key = (plural.to_owned(), text(&meta["namespace"]), text(&meta["name"]));
        objects.all.insert(key, object.clone());
        drop(objects);
        let _ = self.changes.send((plural.to_owned(), json!({"type": "ADDED", "object": object})));
    }

    /// An object as it stands.
    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        self.objects.lock().unwrap().all.get(&key).cloned()
    }

    /// Removes an object.
    pub fn remove(&self, plural: &str, namespace: &str, name: &str) {
        let key = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        if let Some(object) = self.objects.lock().unwrap().all.remove(&key) {
            let _ = self.changes.send((plural.to_owned(), json!({"type": "DELETED", "object": object})));
        }
    }

    /// Plans a fault.
    pub fn plan(&self, planned: Planned) {
        self.objects.lock().unwrap().faults.push(planned);
    }

    /// Faults that fired; a plan whose fault did not fire proves nothing.
    pub fn fired(&self) -> Vec<Fault> {
        self.objects.lock().unwrap().fired.clone()
    }

    /// Committed writes of a kind, in order.
    pub fn writes(&self, plural: &str) -> Vec<Write> {
        self.objects.lock().unwrap().history.iter().filter(|w| w.plural == plural).cloned().collect()
    }

    /// All objects of a kind in a namespace.
    pub fn list(&self, plural: &str, namespace: &str) -> Vec<Value> {
        let objects = self.objects.lock().unwrap();
        let found = objects.all.iter().filter(|((p, n, _), _)| p == plural && n == namespace);
        found.map(|(_, v)| v.clone()).collect()
    }

    fn fault(&self, method: &Method, path: &Path) -> Option<Fault> {
        let mut objects = self.objects.lock().unwrap();
        for i in 0..objects.faults.len() {
            if objects.faults[i].method == *method && objects.faults[i].plural == path.plural {
                if objects.faults[i].after == 0 {
                    let fault = objects.faults.remove(i).fault;
                    objects.fired.push(fault);
                    return Some(fault);
                }
                objects.faults[i].after -= 1;
            }
        }
        None
    }

    /// Somebody else writes first.
    fn interfere(&self, path: &Path, fault: Fault) {
        let key = (path.plural.clone(), path.namespace.clone(), path.name.clone().unwrap_or_default());
        let mut objects = self.objects.lock().unwrap();
        objects.version += 1;
        let version = objects.version;
        let Some(object) = objects.all.get_mut(&key) else { return };
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        if fault == Fault::HandScales {
            object["spec"]["replicas"] = json!(7);
            let generation = object["metadata"]["generation"].as_i64().unwrap_or(1);
            object["metadata"]["generation"] = json!(generation + 1);
        }
    }

    fn commit(&self, method: &Method, path: &Path, patch_type: &str, body: &[u8]) -> Result<Value, Response> {
        let mut objects = self.objects.lock().unwrap();
        let body_json: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let name = path
            .name
            .clone()
            .or_else(|| body_json["metadata"]["name"].as_str().map(str::to_owned))
            .ok_or_else(|| failure(422, "Invalid", "no name"))?;
        let key = (path.plural.clone(), path.namespace.clone(), name.clone());
        let before = objects.all.get(&key).cloned();
        let mut after = match (method, &before) {
            (&Method::POST, Some(_)) => return Err(failure(409, "AlreadyExists", "it exists")),
            (&Method::POST, None) => body_json,
            (_, None) => return Err(failure(404, "NotFound", "it does not exist")),
            (&Method::PUT, Some(_)) => body_json,
            (&Method::PATCH, Some(before)) => {
                let mut patched = before.clone();
                if patch_type.contains("json-patch") {
                    let patch: json_patch::Patch = serde_json::from_slice(body).map_err(|e| failure(400, "BadRequest", &e.to_string()))?;
                    json_patch::patch(&mut patched, &patch).map_err(|e| failure(422, "Invalid", &e.to_string()))?;
                } else {
                    json_patch::merge(&mut patched, &body_json);
                }
                patched
            }
            (&Method::DELETE, Some(before)) => {
                let wanted = &body_json["preconditions"];
                for field in ["resourceVersion", "uid"] {
                    if !wanted[field].is_null() && wanted[field] != before["metadata"][field] {
                        return Err(failure(409, "Conflict", "precondition"));
                    }
                }
                objects.all.remove(&key);
                objects.history.push(Write { method: method.clone(), plural: path.plural.clone(), name, subresource: String::new() });
                return Ok(before.clone());
            }
            _ => return Err(failure(405, "MethodNotAllowed", "no")),
        };
        if let Some(before) = &before {
            let asked = &after["metadata"]["resourceVersion"];
            if !asked.is_null() && *asked != before["metadata"]["resourceVersion"] {
                return Err(failure(409, "Conflict", "the object has been modified"));
            }
            if before["immutable"] == json!(true) && (after["data"] != before["data"] || after["immutable"] != json!(true)) {
                return Err(failure(422, "Invalid", "field is immutable when `immutable` is set"));
            }
            if path.subresource == "status" {
                let status = after["status"].clone();
                after = before.clone();
                after["status"] = status;
            }
        }
        objects.version += 1;
        let version = objects.version;
        let stood = before.as_ref().map_or(Value::Null, |b| b["metadata"].clone());
        let meta = &mut after["metadata"];
        meta["resourceVersion"] = json!(version.to_string());
        meta["uid"] = if stood["uid"].is_null() { json!(format!("uid-{version}")) } else { stood["uid"].clone() };
        let generation = stood["generation"].as_i64().unwrap_or(0);
        let moved = before.as_ref().is_none_or(|b| b["spec"] != after["spec"]);
        after["metadata"]["generation"] = json!(generation + i64::from(moved));
        if after["metadata"]["namespace"].is_null() {
            after["metadata"]["namespace"] = json!(path.namespace);
        }
        objects.all.insert(key, after.clone());
        objects.history.push(Write {
            method: method.clone(),
            plural: path.plural.clone(),
            name,
            subresource: path.subresource.clone(),
        });
        drop(objects);
        let kind = if before.is_none() { "ADDED" } else { "MODIFIED" };
        let _ = self.changes.send((path.plural.clone(), json!({"type": kind, "object": after})));
        Ok(after)
    }
}

async fn handle(State(server): State<ApiServer>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let Some(path) = parse(&uri) else { return failure(404, "NotFound", "no such path") };
    let query = uri.query().unwrap_or_default();
    if method == Method::GET {
        return match (&path.name, query.contains("watch=")) {
            (Some(name), _) => match server.get(&path.plural, &path.namespace, name) {
                Some(object) => ok(&object),
                None => failure(404, "NotFound", "it does not exist"),
            },
            (None, true) => watch(&server, &path),
            (None, false) => list(&server, &path),
        };
    }
    let fault = server.fault(&method, &path);
    if let Some(fault @ (Fault::StatusMoves | Fault::HandScales)) = fault {
        server.interfere(&path, fault);
    }
    if let Some(Fault::Reject(code)) = fault {
        return failure(code, "Scripted", "rejected by the script");
    }
    let patch_type = headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let answer = server.commit(&method, &path, patch_type, &body);
    match fault {
        Some(Fault::Lie(code)) => failure(code, "Scripted", "committed, but the answer is a lie"),
        Some(Fault::LoseAnswer) => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            failure(504, "Timeout", "late")
        }
        _ => match answer {
            Ok(object) => ok(&object),
            Err(response) => response,
        },
    }
}

fn list(server: &ApiServer, path: &Path) -> Response {
    let objects = server.objects.lock().unwrap();
    let found = objects.all.iter().filter(|((p, n, _), _)| *p == path.plural && (path.namespace.is_empty() || *n == path.namespace));
    let items: Vec<Value> = found.map(|(_, v)| v.clone()).collect();
    ok(&json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": objects.version.to_string()}, "items": items}))
}

fn watch(server: &ApiServer, path: &Path) -> Response {
    let (plural, namespace) = (path.plural.clone(), path.namespace.clone());
    let changes = server.changes.subscribe();
    let stream = futures::stream::unfold(changes, move |mut changes| {
        let (plural, namespace) = (plural.clone(), namespace.clone());
        async move {
            loop {
                let (kind, event) = changes.recv().await.ok()?;
                let here = namespace.is_empty() || event["object"]["metadata"]["namespace"] == json!(namespace);
                if kind == plural && here {
                    return Some((Ok::<_, std::io::Error>(format!("{event}\n")), changes));
                }
            }
        }
    });
    Body::from_stream(stream).into_response()
}
