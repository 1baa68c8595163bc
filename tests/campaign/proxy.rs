//! Between one worker and the API server: counts its writes, and at the planned one something happens.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::{Method, Request, Response, StatusCode};
use kube::Client;
use serde_json::Value;
use tokio::sync::{Notify, watch};

/// What happens at one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The worker is killed; the request never arrives.
    KillBefore,
    /// The request is carried out; the worker is killed before the answer.
    KillAfter,
    /// The worker is killed; the request arrives after another leader has taken over and acted.
    KillInFlight,
    /// The worker is stopped; the request arrives as before, and then the worker goes on.
    Pause,
    /// Two others lead while the request is under way.
    Rivals,
    /// The request is carried out, its answer is lost.
    LoseAnswer,
    /// The request is lost.
    LoseRequest,
}

impl Fault {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::KillBefore,
        Self::KillAfter,
        Self::KillInFlight,
        Self::Pause,
        Self::Rivals,
        Self::LoseAnswer,
        Self::LoseRequest,
    ];
}

/// A product with one safeguard taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The product as it is.
    None,
    /// The act carries no resourceVersion.
    NoVersion,
    /// A takeover reads the target where it should write to it.
    NoFence,
    /// The outcome is recorded before the act is tried.
    OutcomeFirst,
}

/// How far the planned fault has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its write has not come.
    Waiting,
    /// It has, and is held; the number of the target that it is for, where it is for one.
    Held(Option<usize>),
    /// The fault is over.
    Over,
}

struct Shared {
    upstream: Client,
    mutant: Mutant,
    plan: Option<(Fault, usize)>,
    writes: AtomicUsize,
    pid: Mutex<Option<u32>>,
    stage: watch::Sender<Stage>,
    go_on: Notify,
    /// A killed worker's other requests must not arrive either: its process is gone.
    dead: AtomicBool,
}

/// A proxy of its own for one worker.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Listens, with a fault planned at the given write.
    pub async fn start(upstream: Client, mutant: Mutant, plan: Option<(Fault, usize)>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream,
            mutant,
            plan,
            writes: AtomicUsize::new(0),
            pid: Mutex::new(None),
            stage: watch::channel(Stage::Waiting).0,
            go_on: Notify::new(),
            dead: AtomicBool::new(false),
        });
        let router = Router::new().fallback(handle).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { shared, address, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The process that the faults are for.
    pub fn aim(&self, pid: u32) {
        *self.shared.pid.lock().unwrap() = Some(pid);
    }

    pub fn writes(&self) -> usize {
        self.shared.writes.load(Ordering::SeqCst)
    }

    pub fn stage(&self) -> watch::Receiver<Stage> {
        self.shared.stage.subscribe()
    }

    /// The held request goes on its way.
    pub fn release(&self) {
        self.shared.go_on.notify_one();
    }
}

pub fn signal(pid: u32, name: &str) {
    std::process::Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
}

impl Shared {
    fn kill(&self, name: &str) {
        // The worker registers before it writes, so the process is known.
        let pid = self.pid.lock().unwrap().expect("a worker");
        self.dead.store(name == "-KILL", Ordering::SeqCst);
        signal(pid, name);
    }
}

/// `…/deployments/t2`
fn target_of(path: &str) -> Option<usize> {
    path.split_once("/deployments/t")?.1.parse().ok()
}

/// An answer that breaks off.
fn cut() -> Response<Body> {
    let broken = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut off")) });
    Response::new(Body::from_stream(broken))
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    if shared.dead.load(Ordering::SeqCst) {
        return cut();
    }
    let (method, body) = mutate(shared.mutant, &parts.method, parts.uri.path(), body);
    let mut forward = Request::builder().method(method).uri(parts.uri.clone());
    for name in ["content-type", "accept"] {
        if let Some(value) = parts.headers.get(name) {
            forward = forward.header(name, value);
        }
    }
    let forward = forward.body(kube::client::Body::from(body.to_vec())).unwrap();
    let planned = (parts.method != Method::GET)
        .then(|| shared.writes.fetch_add(1, Ordering::SeqCst) + 1)
        .and_then(|write| shared.plan.filter(|(_, kth)| *kth == write));
    let Some((fault, _)) = planned else { return send(&shared, forward).await };
    // The rest runs on even where the worker's end of the connection dies with it.
    let over = Arc::clone(&shared);
    let faulty = tokio::spawn(async move {
        match fault {
            Fault::KillBefore => over.kill("-KILL"),
            Fault::KillAfter => {
                send(&over, forward).await;
                over.kill("-KILL");
            }
            Fault::KillInFlight | Fault::Pause | Fault::Rivals => {
                match fault {
                    Fault::KillInFlight => over.kill("-KILL"),
                    Fault::Pause => over.kill("-STOP"),
                    _ => {}
                }
                over.stage.send_replace(Stage::Held(target_of(forward.uri().path())));
                over.go_on.notified().await;
                let answer = send(&over, forward).await;
                over.stage.send_replace(Stage::Over);
                return answer;
            }
            Fault::LoseAnswer => drop(send(&over, forward).await),
            Fault::LoseRequest => {}
        }
        over.stage.send_replace(Stage::Over);
        cut()
    });
    faulty.await.unwrap()
}

async fn send(shared: &Shared, request: Request<kube::client::Body>) -> Response<Body> {
    match shared.upstream.send(request).await {
        Ok(answer) => {
            let (parts, body) = answer.into_parts();
            let bytes = body.collect_bytes().await.unwrap_or_default();
            let mut answer = Response::new(Body::from(bytes));
            *answer.status_mut() = parts.status;
            if let Some(kind) = parts.headers.get("content-type") {
                answer.headers_mut().insert("content-type", kind.clone());
            }
            answer
        }
        Err(error) => {
            let mut answer = Response::new(Body::from(error.to_string()));
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            answer
        }
    }
}

/// Takes a safeguard out of a request.
fn mutate(mutant: Mutant, method: &Method, path: &str, body: Bytes) -> (Method, Bytes) {
    if *method != Method::PATCH || !path.contains("/deployments/") {
        return (method.clone(), body);
    }
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    match (mutant, value) {
        (Mutant::NoVersion, Value::Array(mut operations)) => {
            operations.retain(|operation| operation["path"] != "/metadata/resourceVersion");
            (Method::PATCH, serde_json::to_vec(&operations).unwrap().into())
        }
        (Mutant::NoFence, Value::Object(_)) => (Method::GET, Bytes::new()),
        _ => (method.clone(), body),
    }
}
