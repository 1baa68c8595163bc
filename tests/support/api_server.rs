//! A scripted API server over real HTTP: objects with resourceVersion, generation, finalizers and immutability,
//! lists and resumable watches, server-side apply of status, and faults at the n-th request of a kind.
//!
//! ```text
//!  request ─► silenced? ─► fault? ─► storage (commit, log) ─► answer │ lie │ broken answer │ silence
//!  watch   ─► the log after the asked resourceVersion ─► what comes
//! ```
//!
//! It keeps a history of every write request, so that a test can assert what was written and that nothing else was.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::storage::{Key, Path, Refused, Storage};

/// What goes wrong at one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The write is committed; the answer is this error.
    Lie(u16),
    /// The write is not committed; the answer is this error.
    Reject(u16),
    /// The write is committed; the connection breaks in the middle of the answer.
    BreakAnswer,
    /// The write is committed; no answer comes.
    LoseAnswer,
    /// The write is neither committed nor answered.
    LoseRequest,
    /// Somebody else's status write gets in before this one.
    StatusMoves,
    /// Somebody else scales the target by hand before this write.
    HandScales,
    /// Somebody else deletes the object before this write.
    Deleted,
    /// The object is deleted and made anew, with another uid, before this write.
    Replaced,
}

/// A fault that waits for its request.
#[derive(Clone, Debug)]
pub struct Planned {
    method: Method,
    plural: &'static str,
    namespace: Option<&'static str>,
    /// How many such requests pass before it fires.
    after: usize,
    times: usize,
    fault: Fault,
}

impl Planned {
    /// At the next request of this sort.
    pub fn at(method: Method, plural: &'static str, fault: Fault) -> Self {
        Self { method, plural, namespace: None, after: 0, times: 1, fault }
    }

    /// Only in one namespace.
    pub fn within(self, namespace: &'static str) -> Self {
        Self { namespace: Some(namespace), ..self }
    }

    /// So many requests pass first.
    pub fn after(self, after: usize) -> Self {
        Self { after, ..self }
    }

    /// So many requests in a row.
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }
}

/// One request that wants to write, and what was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    pub who: String,
    pub method: Method,
    pub plural: String,
    pub namespace: String,
    pub name: String,
    pub subresource: String,
    pub body: Value,
    /// Whether it was committed, whatever was answered.
    pub committed: bool,
}

/// When a client dies.
#[derive(Clone, Debug)]
struct Crash {
    who: String,
    left: usize,
    commits: bool,
}

#[derive(Default)]
struct Script {
    faults: Vec<Planned>,
    fired: Vec<Fault>,
    history: Vec<Write>,
    crash: Option<Crash>,
    silenced: Vec<String>,
    /// Collections that were listed or watched, and whether for metadata alone.
    collections: Vec<(Key, bool)>,
    /// The admission policies are not installed.
    without_policies: bool,
    /// Kinds of the dry runs, in order.
    rehearsed: Vec<String>,
}

/// The server; clones are the same server.
#[derive(Clone)]
pub struct ApiServer {
    storage: Arc<Mutex<Storage>>,
    script: Arc<Mutex<Script>>,
    news: watch::Sender<u64>,
    address: std::net::SocketAddr,
}

fn answer(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

fn failure(code: u16, reason: &str, message: &str) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": message});
    (StatusCode::from_u16(code).unwrap(), answer(&body)).into_response()
}

impl ApiServer {
    /// Listens on a free port of loopback.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            storage: Arc::default(),
            script: Arc::default(),
            news: watch::channel(0).0,
            address: listener.local_addr().unwrap(),
        };
        let router = Router::new().fallback(handle).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    /// A client of it, with the operator's own bounds, known by name.
    pub fn client(&self, who: &str) -> kube::Client {
        let mut config = kube::Config::new(format!("http://{}", self.address).parse().unwrap());
        config.headers.push(("x-who".parse().unwrap(), who.parse().unwrap()));
        matverse::operator::client::with(config).unwrap()
    }

    fn storage(&self) -> MutexGuard<'_, Storage> {
        self.storage.lock().unwrap()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    fn tell(&self) {
        let version = self.storage().version();
        self.news.send_replace(version);
    }

    /// Puts an object there, as if somebody had created it.
    pub fn put(&self, plural: &str, object: Value) {
        self.storage().put(plural, object);
        self.tell();
    }

    /// Somebody changes an object.
    pub fn edit(&self, plural: &str, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) {
        self.storage().edit(&Key::new(plural, namespace, name), change);
        self.tell();
    }

    /// Somebody deletes an object; with finalizers it only begins to go.
    pub fn delete(&self, plural: &str, namespace: &str, name: &str) {
        self.storage().delete(&Key::new(plural, namespace, name));
        self.tell();
    }

    /// An object as it stands.
    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        self.storage().get(&Key::new(plural, namespace, name))
    }

    /// All objects of a kind in a namespace.
    pub fn list(&self, plural: &str, namespace: &str) -> Vec<Value> {
        self.storage().list(plural, namespace)
    }

    /// Every value that `pointer` had in the course of an object's life, without repetitions in a row.
    pub fn course(&self, plural: &str, namespace: &str, name: &str, pointer: &str) -> Vec<Value> {
        self.storage().course(&Key::new(plural, namespace, name), pointer)
    }

    /// Plans a fault.
    pub fn plan(&self, planned: Planned) {
        self.script().faults.push(planned);
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.script().faults.clear();
    }

    /// Faults that fired; a plan whose fault did not fire proves nothing.
    pub fn fired(&self) -> Vec<Fault> {
        self.script().fired.clone()
    }

    /// The client dies at its k-th write from now, leases apart: just after the commit, or just before.
    pub fn crash(&self, who: &str, kth: usize, commits: bool) {
        self.script().crash = Some(Crash { who: who.to_owned(), left: kth, commits });
    }

    /// Whether a client has died.
    pub fn is_silenced(&self, who: &str) -> bool {
        self.script().silenced.iter().any(|s| s == who)
    }

    /// Write requests of a kind, in order.
    pub fn writes(&self, plural: &str) -> Vec<Write> {
        self.script().history.iter().filter(|w| w.plural == plural).cloned().collect()
    }

    /// Collections of a kind that were listed or watched, and whether for metadata alone.
    pub fn collections(&self, plural: &str) -> Vec<(Key, bool)> {
        self.script().collections.iter().filter(|(key, _)| key.plural == plural).cloned().collect()
    }

    /// All write requests but those for leases, in order.
    pub fn history(&self) -> Vec<Write> {
        self.script().history.iter().filter(|w| w.plural != "leases").cloned().collect()
    }

    /// Dry runs of a kind.
    pub fn rehearsed(&self, plural: &str) -> usize {
        self.script().rehearsed.iter().filter(|kind| *kind == plural).count()
    }

    /// Whether the admission policies are installed; they are, unless a test says otherwise.
    pub fn policies(&self, installed: bool) {
        self.script().without_policies = !installed;
    }

    /// Nobody holds the lease any more, as after its time.
    pub fn expire_lease(&self, namespace: &str, name: &str) {
        self.edit("leases", namespace, name, |lease| lease["spec"]["holderIdentity"] = json!(""));
    }

    fn fault(&self, method: &Method, path: &Path) -> Option<Fault> {
        let mut script = self.script();
        for i in 0..script.faults.len() {
            let planned = &mut script.faults[i];
            let here = planned.namespace.is_none_or(|n| n == path.key.namespace);
            if planned.method != *method || planned.plural != path.key.plural || !here {
                continue;
            }
            if planned.after > 0 {
                planned.after -= 1;
                continue;
            }
            planned.times -= 1;
            let (fault, over) = (planned.fault, planned.times == 0);
            if over {
                script.faults.remove(i);
            }
            script.fired.push(fault);
            return Some(fault);
        }
        None
    }

    /// Whether this write is the last thing that its client does: before it is committed, or after.
    fn dies(&self, who: &str, path: &Path) -> Option<bool> {
        let mut script = self.script();
        let crash = script.crash.as_mut().filter(|c| c.who == who && path.key.plural != "leases")?;
        crash.left -= 1;
        if crash.left > 0 {
            return None;
        }
        let commits = crash.commits;
        script.crash = None;
        script.silenced.push(who.to_owned());
        Some(commits)
    }

    /// Somebody else writes first.
    fn interfere(&self, path: &Path, fault: Fault) {
        let mut storage = self.storage();
        match fault {
            Fault::StatusMoves => {
                storage.edit(&path.key, |o| {
                    let moved = o["status"]["moved"].as_i64().unwrap_or(0);
                    o["status"]["moved"] = json!(moved + 1);
                });
            }
            Fault::HandScales => storage.edit(&path.key, |o| o["spec"]["replicas"] = json!(7)),
            Fault::Deleted => storage.delete(&path.key),
            Fault::Replaced => {
                let Some(mut object) = storage.get(&path.key) else { return };
                storage.delete(&path.key);
                object["metadata"]["uid"] = json!("another");
                object["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "1"});
                storage.put(&path.key.plural, object);
            }
            _ => return,
        }
        drop(storage);
        self.tell();
    }
}

async fn handle(
    State(server): State<ApiServer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(path) = Path::parse(uri.path()) else { return failure(404, "NotFound", "no such path") };
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let who = header("x-who");
    if server.is_silenced(&who) {
        return std::future::pending().await;
    }
    let query = uri.query().unwrap_or_default();
    let partial = header("accept").contains("as=PartialObjectMetadata");
    if method == Method::GET && path.key.name.is_empty() {
        server.script().collections.push((path.key.clone(), partial));
    }
    if method == Method::GET && query.contains("watch=") {
        return follow(&server, &path, query, partial);
    }
    if query.contains("dryRun=All") {
        return rehearse(&server, &method, &path, &body);
    }
    if path.key.plural == "selfsubjectreviews" {
        return answer(&json!({"metadata": {}, "status": {"userInfo": {"username": who}}}));
    }
    let fault = server.fault(&method, &path);
    match fault {
        Some(Fault::Reject(code)) => {
            note(&server, &who, &method, &path, &body, false);
            return failure(code, "Scripted", "rejected by the script");
        }
        Some(Fault::LoseRequest) => {
            note(&server, &who, &method, &path, &body, false);
            return std::future::pending().await;
        }
        Some(fault) => server.interfere(&path, fault),
        None => {}
    }
    if method == Method::GET {
        return read(&server, &path, partial);
    }
    let death = server.dies(&who, &path);
    if death == Some(false) {
        note(&server, &who, &method, &path, &body, false);
        return std::future::pending().await;
    }
    let committed = server.storage().commit(&method, &path, &header("content-type"), &body);
    server.tell();
    note(&server, &who, &method, &path, &body, committed.is_ok());
    if death == Some(true) {
        return std::future::pending().await;
    }
    match fault {
        Some(Fault::Lie(code)) => failure(code, "Scripted", "committed, but the answer is a lie"),
        Some(Fault::LoseAnswer) => std::future::pending().await,
        Some(Fault::BreakAnswer) => {
            let broken =
                futures::stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("cut"))]);
            Body::from_stream(broken).into_response()
        }
        _ => match committed {
            Ok(object) => answer(&object),
            Err(Refused { code, reason, message }) => failure(code, reason, &message),
        },
    }
}

/// A dry run: what the policies would say, and nothing is kept.
fn rehearse(server: &ApiServer, method: &Method, path: &Path, body: &[u8]) -> Response {
    server.script().rehearsed.push(path.key.plural.clone());
    if path.key.plural == "deployments" {
        return read(server, path, false);
    }
    if path.key.plural != "configmaps" || server.script().without_policies {
        return answer(&serde_json::from_slice(body).unwrap_or(Value::Null));
    }
    let name = if *method == Method::PATCH { "matverse-autonomy-acts" } else { "matverse-autonomy-worm" };
    let message = format!(
        "configmaps is forbidden: ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request"
    );
    failure(403, "Forbidden", &message)
}

fn note(server: &ApiServer, who: &str, method: &Method, path: &Path, body: &[u8], committed: bool) {
    if *method == Method::GET {
        return;
    }
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let given = body["metadata"]["name"].as_str().unwrap_or_default();
    let name = if path.key.name.is_empty() { given } else { &path.key.name }.to_owned();
    server.script().history.push(Write {
        who: who.to_owned(),
        method: method.clone(),
        plural: path.key.plural.clone(),
        namespace: path.key.namespace.clone(),
        name,
        subresource: path.subresource.clone(),
        body,
        committed,
    });
}

/// An object as it is answered: whole, or its metadata alone.
fn shown(object: &Value, partial: bool) -> Value {
    if !partial {
        return object.clone();
    }
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"]})
}

fn read(server: &ApiServer, path: &Path, partial: bool) -> Response {
    let storage = server.storage();
    if !path.key.name.is_empty() {
        return match storage.get(&path.key) {
            Some(object) => answer(&shown(&object, partial)),
            None => failure(404, "NotFound", "it does not exist"),
        };
    }
    let found = storage.list(&path.key.plural, &path.key.namespace);
    let items: Vec<Value> = found.iter().map(|o| shown(o, partial)).collect();
    let version = storage.version().to_string();
    answer(
        &json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items}),
    )
}

fn number(query: &str, name: &str) -> Option<u64> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

/// A watch: everything after the asked version, then what comes, until its time is over.
fn follow(server: &ApiServer, path: &Path, query: &str, partial: bool) -> Response {
    let since = number(query, "resourceVersion").unwrap_or(0);
    let lasts = Duration::from_secs(number(query, "timeoutSeconds").unwrap_or(300));
    let end = tokio::time::Instant::now() + lasts;
    let start = (server.clone(), path.key.clone(), server.news.subscribe(), since);
    let stream = futures::stream::unfold(start, move |(server, key, mut news, since)| async move {
        loop {
            let next = server.storage().after(since, &key);
            if let Some((version, kind, object)) = next {
                let event = json!({"type": kind, "object": shown(&object, partial)});
                return Some((Ok::<_, std::io::Error>(format!("{event}\n")), (server, key, news, version)));
            }
            tokio::time::timeout_at(end, news.changed()).await.ok()?.ok()?;
        }
    });
    Body::from_stream(stream).into_response()
}
