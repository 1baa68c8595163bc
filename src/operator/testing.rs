//! An API server in memory, over real HTTP on loopback, for the tests of this room.
//!
//! It stores whatever JSON it is given by path, enforces `resourceVersion` and `uid` preconditions, records every
//! request, and misbehaves where a test tells it to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};

/// One request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) who: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

/// How a request goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// No answer, nothing done.
    Hang,
    /// Done, and no answer.
    CommitThenHang,
    /// Refused with this code.
    Reject(u16),
    /// Done, and answered a little later.
    CommitThenDelay(std::time::Duration),
}

struct Plan {
    who: Option<&'static str>,
    method: Option<Method>,
    fault: Fault,
    times: usize,
}

#[derive(Default)]
struct World {
    objects: BTreeMap<String, Value>,
    version: u64,
    requests: Vec<Request>,
    plans: Vec<Plan>,
}

/// A running server. It ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct ApiServer {
    world: Arc<Mutex<World>>,
    uri: Uri,
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let router = Router::new().fallback(handle).with_state(Arc::clone(&world));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { world, uri }
    }

    /// A client that the server knows by name.
    pub(crate) fn client(&self, who: &str) -> kube::Client {
        let mut config = kube::Config::new(self.uri.clone());
        config.default_retry = false;
        config.headers.push(("x-who".parse().unwrap(), who.parse().unwrap()));
        kube::Client::try_from(config).unwrap()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// The next `times` requests of `who` (anybody: `None`) by `method` (any: `None`) go wrong.
    pub(crate) fn fault(
        &self,
        who: Option<&'static str>,
        method: Option<Method>,
        fault: Fault,
        times: usize,
    ) {
        self.world().plans.push(Plan { who, method, fault, times });
    }

    pub(crate) fn heal(&self) {
        self.world().plans.clear();
    }

    pub(crate) fn object(&self, path: &str) -> Option<Value> {
        self.world().objects.get(path).cloned()
    }

    pub(crate) fn objects(&self, under: &str) -> Vec<Value> {
        self.world().objects.iter().filter(|(p, _)| p.starts_with(under)).map(|(_, o)| o.clone()).collect()
    }

    pub(crate) fn put(&self, path: &str, object: Value) -> Value {
        self.world().commit(path, object)
    }

    pub(crate) fn delete(&self, path: &str) {
        self.world().objects.remove(path);
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.world().requests.clone()
    }
}

impl World {
    fn commit(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        let old = self.objects.get(path).cloned();
        let uid = old.as_ref().and_then(|o| o.pointer("/metadata/uid").cloned());
        object["metadata"]["uid"] = uid.unwrap_or_else(|| json!(format!("uid-{}", self.version)));
        object["metadata"]["resourceVersion"] =
            old.as_ref().map_or(Value::Null, |o| o["metadata"]["resourceVersion"].clone());
        // As the real one: a write that changes nothing does not move the version.
        if old.as_ref() != Some(&object) {
            object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        }
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    fn answer(&mut self, request: &Request) -> (u16, Value) {
        let path = request.path.as_str();
        let stored = self.objects.get(path.trim_end_matches("/status")).cloned();
        let precondition = |field: &str| {
            let asked = request.body.pointer(field).filter(|v| !v.is_null());
            asked.is_none() || asked == stored.as_ref().and_then(|o| o.pointer(field))
        };
        let fresh = precondition("/metadata/resourceVersion") && precondition("/metadata/uid");
        match (request.method.as_str(), stored.clone()) {
            ("GET", Some(object)) => (200, object),
            ("POST", _) => {
                let name = request.body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                let path = format!("{path}/{name}");
                if self.objects.contains_key(&path) {
                    return failure(409, "AlreadyExists");
                }
                (201, self.commit(&path, request.body.clone()))
            }
            (_, None) => failure(404, "NotFound"),
            (_, Some(_)) if !fresh => failure(409, "Conflict"),
            ("PUT", Some(_)) => (200, self.commit(path, request.body.clone())),
            ("PATCH", Some(mut object)) => {
                // Enough of merge and apply for one writer: apply replaces `status`, merge merges.
                if request.content_type.contains("apply-patch") {
                    object["status"] = request.body["status"].clone();
                } else {
                    json_patch::merge(&mut object, &request.body);
                }
                (200, self.commit(path.trim_end_matches("/status"), object))
            }
            _ => failure(405, "MethodNotAllowed"),
        }
    }

    fn plan(&mut self, request: &Request) -> Option<Fault> {
        let plan = self.plans.iter_mut().find(|p| {
            p.times > 0
                && p.who.is_none_or(|w| w == request.who)
                && p.method.as_ref().is_none_or(|m| *m == request.method)
        })?;
        plan.times -= 1;
        Some(plan.fault)
    }
}

fn failure(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("scripted: {reason}"), "reason": reason, "code": code});
    (code, status)
}

async fn handle(
    State(world): State<Arc<Mutex<World>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let request = Request {
        who: text("x-who"),
        method,
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        content_type: text("content-type"),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    let mut delay = std::time::Duration::ZERO;
    let answer = {
        let mut world = world.lock().unwrap();
        world.requests.push(request.clone());
        match world.plan(&request) {
            Some(Fault::Hang) => None,
            Some(Fault::CommitThenHang) => {
                world.answer(&request);
                None
            }
            Some(Fault::CommitThenDelay(by)) => {
                delay = by;
                Some(world.answer(&request))
            }
            Some(Fault::Reject(code)) => Some(failure(code, "Scripted")),
            None => Some(world.answer(&request)),
        }
    };
    tokio::time::sleep(delay).await;
    let Some((code, body)) = answer else {
        return std::future::pending().await;
    };
    let code = StatusCode::from_u16(code).unwrap();
    (code, [("content-type", "application/json")], body.to_string()).into_response()
}
