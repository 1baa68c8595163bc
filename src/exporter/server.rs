//! The server: `POST /v1/evidence`, `GET /metrics`, `GET /healthz`.
//!
//! Whoever talks to it can neither fill its memory nor hold it for long: bodies, headers, connections and times are
//! bounded, and a connection beyond the bound waits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use futures::StreamExt;
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::Exporter;
use super::event::{Kind, LONGEST, Refusal};
use super::metrics;

/// Bytes of request line and headers.
const HEADERS: usize = 16 * 1024;
/// Bytes beyond the longest event that are read and thrown away, so that a sender gets to see the answer.
const DRAINED: usize = 1024 * 1024;
/// How long open answers may take after a stop or the end of a connection's life.
const GRACE: Duration = Duration::from_secs(5);
/// Rest after a connection could not be accepted, such as for want of file descriptors.
const REST: Duration = Duration::from_millis(100);

/// Bounds of what one sender may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once.
    pub connections: usize,
    /// Time for the headers, and then for the body.
    pub read: Duration,
    /// Time after which a connection takes no further request.
    pub life: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections: 64, read: Duration::from_secs(10), life: Duration::from_secs(60) }
    }
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    /// Where it listens (the port is real, also where 0 was asked for).
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens on `bind`.
    ///
    /// # Errors
    /// An address that cannot be listened on.
    pub async fn start(bind: SocketAddr, exporter: Arc<Exporter>, bounds: Bounds) -> std::io::Result<Self> {
        let listener = TcpListener::bind(bind).await?;
        let address = listener.local_addr()?;
        let routes = routes(exporter, bounds);
        let (stop, stopped) = watch::channel(false);
        Ok(Self { address, stop, task: tokio::spawn(accept(listener, routes, bounds, stopped)) })
    }

    /// Stops listening, and lets open answers finish for a few seconds.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(2 * GRACE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

async fn accept(listener: TcpListener, routes: Router, bounds: Bounds, stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let mut end = stopped.clone();
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            _ = end.wait_for(|s| *s) => break,
            next = next => next,
        };
        match (place, stream) {
            (Ok(place), Ok((stream, _))) => {
                connections.spawn(serve(stream, place, routes.clone(), bounds, stopped.clone()));
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(REST).await;
            }
            (Err(_), _) => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    routes: Router,
    bounds: Bounds,
    mut stopped: watch::Receiver<bool>,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.read)
        .max_buf_size(HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = tokio::time::sleep(bounds.life) => {}
        _ = stopped.wait_for(|s| *s) => {}
    }
    connection.as_mut().graceful_shutdown();
    drop(tokio::time::timeout(GRACE, connection).await);
}

#[derive(Clone)]
struct Desk {
    exporter: Arc<Exporter>,
    bounds: Bounds,
}

fn routes(exporter: Arc<Exporter>, bounds: Bounds) -> Router {
    Router::new()
        .route("/v1/evidence", only("POST", post(evidence)))
        .route("/metrics", only("GET, HEAD", get(scrape)))
        .route("/healthz", only("GET, HEAD", get(async || "ok\n")))
        .fallback(async || {
            let reason = "there are POST /v1/evidence, GET /metrics and GET /healthz";
            refusal(StatusCode::NOT_FOUND, None, reason)
        })
        .with_state(Desk { exporter, bounds })
}

fn only(allowed: &'static str, route: MethodRouter<Desk>) -> MethodRouter<Desk> {
    route.fallback(async move || {
        let mut answer =
            refusal(StatusCode::METHOD_NOT_ALLOWED, None, &format!("{allowed} is what this path takes"));
        answer.headers_mut().insert(ALLOW, http::HeaderValue::from_static(allowed));
        answer
    })
}

async fn scrape(State(desk): State<Desk>) -> Response {
    let exporter = desk.exporter;
    let text = tokio::task::spawn_blocking(move || exporter.look(metrics::render)).await;
    match text {
        Ok(Ok(text)) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        _ => refusal(StatusCode::INTERNAL_SERVER_ERROR, None, "the metrics could not be encoded"),
    }
}

async fn evidence(State(desk): State<Desk>, request: Request) -> Response {
    let Desk { exporter, bounds } = desk;
    if let Err(why) = exporter.admit() {
        return refused(&why);
    }
    if let Err(reason) = plain_json(request.headers()) {
        return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, None, reason);
    }
    let bytes = match tokio::time::timeout(bounds.read, body(request)).await {
        Ok(Ok(Some(bytes))) => bytes,
        Ok(Ok(None)) => {
            let why = Refusal::new(Kind::TooLarge, format!("an event is at most {LONGEST} bytes"));
            return refused(&exporter.refuse(why));
        }
        Ok(Err(_)) => return refusal(StatusCode::BAD_REQUEST, None, "the body ended early"),
        Err(_) => return refusal(StatusCode::REQUEST_TIMEOUT, None, "the body took too long"),
    };
    match tokio::task::spawn_blocking(move || exporter.take(&bytes, None)).await {
        Ok(Ok(taken)) => answer(StatusCode::OK, &json!(taken)),
        Ok(Err(why)) => refused(&why),
        Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, None, "the event could not be taken"),
    }
}

fn plain_json(headers: &HeaderMap) -> Result<(), &'static str> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err("send it as Content-Type: application/json");
    }
    let coded = headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    if coded { Err("send it without a Content-Encoding") } else { Ok(()) }
}

/// The body, or `None` when it is too long. What is too long is read on for a while: a sender who is still writing
/// when the connection closes would see a reset instead of the answer.
async fn body(request: Request<Body>) -> Result<Option<Bytes>, axum::Error> {
    let said = request.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    let waits = request.headers().contains_key(EXPECT);
    if said.is_some_and(|said| said > LONGEST && (waits || said > LONGEST + DRAINED)) {
        return Ok(None);
    }
    let mut stream = request.into_body().into_data_stream();
    let (mut all, mut read) = (Vec::new(), 0);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        read += chunk.len();
        if read > LONGEST + DRAINED {
            break;
        }
        if read <= LONGEST {
            all.extend_from_slice(&chunk);
        }
    }
    Ok((read <= LONGEST).then(|| all.into()))
}

fn refused(why: &Refusal) -> Response {
    let status = match why.kind {
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::NotJson | Kind::Field | Kind::NoWorkload => StatusCode::BAD_REQUEST,
        Kind::TooManyWorkloads => StatusCode::INSUFFICIENT_STORAGE,
        Kind::NotRecorded => StatusCode::SERVICE_UNAVAILABLE,
        Kind::TooFast => StatusCode::TOO_MANY_REQUESTS,
    };
    let mut response = refusal(status, why.field.as_deref(), &why.reason);
    if matches!(why.kind, Kind::TooFast | Kind::NotRecorded) {
        response.headers_mut().insert(RETRY_AFTER, http::HeaderValue::from_static("1"));
    }
    response
}

fn refusal(status: StatusCode, field: Option<&str>, reason: &str) -> Response {
    let mut body = json!({"error": reason});
    if let Some(field) = field {
        body["field"] = field.into();
    }
    answer(status, &body)
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}
