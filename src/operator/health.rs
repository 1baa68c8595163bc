//! `/metrics`, and the two questions that Kubernetes asks: may it be sent work (`/readyz`), must it be restarted
//! (`/healthz`).
//!
//! Alive means that the main loop turned lately. Ready means that the stores behind the decisions are filled and, on
//! the leader, that the ledger's key is the right one; a standby replica is ready without it, or a rollout of the
//! operator would wait for a lease that the old replica rightly holds.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::clock::{Clock, Monotonic};
use super::telemetry::{self, Telemetry};

/// How long open connections may finish after a stop.
const GRACE: Duration = Duration::from_secs(5);

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// The address cannot be listened on.
    #[error("cannot listen on {bind} for {what}: {source}")]
    Bind {
        /// `metrics` or `health`.
        what: &'static str,
        /// As configured.
        bind: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
}

impl HealthError {
    /// A bounded name for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "bind",
        }
    }
}

/// How the ledger stands, for readiness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LedgerKey {
    /// Not looked at yet.
    #[default]
    Unknown,
    /// The key is there and is the ledger's.
    Right,
    /// It is missing or another; why.
    Wrong(String),
}

/// What the process knows of its own health. Share it in an `Arc`.
#[derive(Debug)]
pub struct Health {
    clock: Clock,
    /// Age of the last heartbeat above which the process counts as stuck.
    bound: Duration,
    state: Mutex<HealthState>,
}

#[derive(Debug)]
struct HealthState {
    beat: Monotonic,
    /// Names of the stores that are not filled yet.
    unsynced: Vec<&'static str>,
    synced_once: bool,
    key: LedgerKey,
    standby: bool,
    stopping: bool,
}

impl Health {
    /// A process that has just begun: alive, and not ready.
    #[must_use]
    pub fn new(clock: Clock, bound: Duration) -> Self {
        let state = HealthState {
            beat: clock.monotonic(),
            unsynced: Vec::new(),
            synced_once: false,
            key: LedgerKey::Unknown,
            standby: true,
            stopping: false,
        };
        Self { clock, bound, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, HealthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The main loop turned.
    pub fn beat(&self) {
        let now = self.clock.monotonic();
        self.state().beat = now;
    }

    /// Which stores are not filled yet; none = all are.
    pub fn stores(&self, unsynced: Vec<&'static str>) {
        let mut state = self.state();
        state.unsynced = unsynced;
        state.synced_once = true;
    }

    /// How the ledger's key stands.
    pub fn ledger_key(&self, key: LedgerKey) {
        self.state().key = key;
    }

    /// Whether another replica leads.
    pub fn standby(&self, standby: bool) {
        self.state().standby = standby;
    }

    /// The process is about to end: not ready from here on.
    pub fn stopping(&self) {
        self.state().stopping = true;
    }

    /// Alive, or why not.
    ///
    /// # Errors
    /// One line for people.
    pub fn live(&self) -> Result<(), String> {
        let age = self.clock.monotonic().since(self.state().beat);
        if age > self.bound {
            return Err(format!("the main loop has not turned for {} s", age.as_secs()));
        }
        Ok(())
    }

    /// Ready, or why not.
    ///
    /// # Errors
    /// One line for people.
    pub fn ready(&self) -> Result<(), String> {
        let state = self.state();
        if state.stopping {
            return Err("stopping".into());
        }
        if !state.synced_once {
            return Err("watches have not started".into());
        }
        if !state.unsynced.is_empty() {
            return Err(format!("waiting for watches of {}", state.unsynced.join(", ")));
        }
        match &state.key {
            _ if state.standby => Ok(()),
            LedgerKey::Right => Ok(()),
            LedgerKey::Unknown => Err("the ledger has not been opened yet".into()),
            LedgerKey::Wrong(why) => Err(format!("the ledger is not open: {why}")),
        }
    }
}

/// The two addresses, taken before anything else is started.
#[derive(Debug)]
pub struct Listeners {
    metrics: TcpListener,
    health: TcpListener,
}

impl Listeners {
    /// Takes both addresses.
    ///
    /// # Errors
    /// An address that cannot be listened on.
    pub fn bind(metrics: SocketAddr, health: SocketAddr) -> Result<Self, HealthError> {
        Ok(Self { metrics: listen("metrics", metrics)?, health: listen("health", health)? })
    }

    /// Where `/metrics` is, and where the probes are: the ports are real, also where 0 was asked for.
    ///
    /// # Errors
    /// What the system says.
    pub fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.metrics.local_addr()?, self.health.local_addr()?))
    }
}

/// The two servers.
#[derive(Debug)]
pub struct Servers {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Servers {
    /// Serves on both addresses.
    ///
    /// # Errors
    /// A listener that the system does not hand over.
    pub fn start(
        listeners: Listeners,
        telemetry: Arc<Telemetry>,
        state: Arc<Health>,
    ) -> std::io::Result<Self> {
        let metrics_routes = Router::new().route("/metrics", get(render)).with_state(telemetry);
        let health_routes = Router::new()
            .route("/healthz", get(|State(h): State<Arc<Health>>| async move { answer(h.live()) }))
            .route("/readyz", get(|State(h): State<Arc<Health>>| async move { answer(h.ready()) }))
            .with_state(state);
        let (stop, stopped) = watch::channel(false);
        let tasks = vec![
            serve("metrics", listeners.metrics, metrics_routes, stopped.clone())?,
            serve("health", listeners.health, health_routes, stopped)?,
        ];
        Ok(Self { stop, tasks })
    }

    /// Stops listening, and lets open answers finish for a few seconds.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for mut task in self.tasks {
            if tokio::time::timeout(GRACE, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

fn listen(what: &'static str, bind: SocketAddr) -> Result<TcpListener, HealthError> {
    let listener = TcpListener::bind(bind).and_then(|l| l.set_nonblocking(true).map(|()| l));
    listener.map_err(|source| HealthError::Bind { what, bind, source })
}

fn serve(
    what: &'static str,
    listener: TcpListener,
    routes: Router,
    mut stopped: watch::Receiver<bool>,
) -> std::io::Result<JoinHandle<()>> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    Ok(tokio::spawn(async move {
        // An error means that the sender is gone, which is a stop as well.
        let stop = async move { drop(stopped.wait_for(|s| *s).await) };
        if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stop).await {
            tracing::error!(%error, server = what, "server ended");
        }
    }))
}

async fn render(State(telemetry): State<Arc<Telemetry>>) -> Response {
    match telemetry.render() {
        Ok(text) => ([(CONTENT_TYPE, telemetry::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn answer(state: Result<(), String>) -> (StatusCode, String) {
    match state {
        Ok(()) => (StatusCode::OK, "ok\n".into()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::clock::Script;

    fn health() -> (Arc<Health>, Clock, Script) {
        let (clock, script) = Clock::scripted("2030-01-01T00:00:00Z".parse().unwrap());
        (Arc::new(Health::new(clock.clone(), Duration::from_mins(1))), clock, script)
    }

    #[test]
    fn alive_while_the_loop_turns() {
        let (health, _, script) = health();
        script.advance(Duration::from_mins(1));
        assert_eq!(health.live(), Ok(()));
        script.advance(Duration::from_secs(1));
        assert_eq!(health.live(), Err("the main loop has not turned for 61 s".into()));
        health.beat();
        assert_eq!(health.live(), Ok(()));
    }

    #[test]
    fn ready_when_the_stores_are_filled_and_the_leader_can_sign() {
        let (health, _, _) = health();
        assert!(health.ready().is_err(), "nothing is known yet");
        health.stores(vec!["Deployment", "ReplicaSet"]);
        assert_eq!(health.ready(), Err("waiting for watches of Deployment, ReplicaSet".into()));
        health.stores(Vec::new());
        assert_eq!(health.ready(), Ok(()), "a standby signs nothing");
        health.standby(false);
        assert!(health.ready().is_err(), "a leader that has not opened the ledger");
        health.ledger_key(LedgerKey::Wrong("key file missing".into()));
        assert_eq!(health.ready(), Err("the ledger is not open: key file missing".into()));
        health.standby(true);
        assert_eq!(health.ready(), Ok(()));
        health.standby(false);
        health.ledger_key(LedgerKey::Right);
        assert_eq!(health.ready(), Ok(()));
        health.stopping();
        assert!(health.ready().is_err());
    }

    fn any_port() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    async fn fetch(at: SocketAddr, path: &str) -> (u16, String, String) {
        let answer = reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .get(format!("http://{at}{path}"))
            .send()
            .await
            .unwrap();
        let kind = answer.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned());
        (answer.status().as_u16(), kind.unwrap_or_default(), answer.text().await.unwrap())
    }

    #[tokio::test]
    async fn the_three_paths_answer_on_their_own_addresses_until_stopped() {
        let (health, clock, script) = health();
        let telemetry = Arc::new(Telemetry::new(clock));
        telemetry.leader(true);
        let listeners = Listeners::bind(any_port(), any_port()).unwrap();
        let (metrics, probes) = listeners.addresses().unwrap();
        let servers = Servers::start(listeners, Arc::clone(&telemetry), Arc::clone(&health)).unwrap();

        let (code, kind, text) = fetch(metrics, "/metrics").await;
        assert_eq!((code, kind.as_str()), (200, telemetry::CONTENT_TYPE));
        assert!(text.contains("matverse_leader 1\n"));
        assert_eq!(fetch(metrics, "/healthz").await.0, 404, "probes are not on the metrics address");
        assert_eq!(fetch(probes, "/metrics").await.0, 404, "nor metrics on the probes'");

        assert_eq!(fetch(probes, "/healthz").await.0, 200);
        let (code, _, why) = fetch(probes, "/readyz").await;
        assert_eq!((code, why.as_str()), (503, "watches have not started\n"));
        health.stores(Vec::new());
        assert_eq!(fetch(probes, "/readyz").await.0, 200);
        script.advance(Duration::from_secs(61));
        assert_eq!(fetch(probes, "/healthz").await.0, 503);

        servers.stop().await;
        assert!(tokio::net::TcpStream::connect(metrics).await.is_err());
        assert!(tokio::net::TcpStream::connect(probes).await.is_err());
    }

    #[test]
    fn a_taken_address_is_said() {
        let taken = TcpListener::bind(any_port()).unwrap();
        let bind = taken.local_addr().unwrap();
        let error = Listeners::bind(any_port(), bind).unwrap_err();
        assert_eq!(error.kind(), "bind");
        assert!(error.to_string().starts_with(&format!("cannot listen on {bind} for health:")), "{error}");
    }
}
