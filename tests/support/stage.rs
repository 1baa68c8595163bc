//! A stage: the scripted API server and Prometheus, a signing key, and operators that come and go.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use matverse::ledger::keys::Signer;
use matverse::operator::config::Config;
use matverse::operator::health::Listeners;
use matverse::operator::run::{Ended, Identity, run};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::api_server::{ApiServer, Write};
use super::objects::{NS, deployment, replica_set, scaling};
use super::prometheus::Prometheus;
use super::record::{LEDGER, Record};

pub const ORIGIN: &str = "test/main";
const SYSTEM: &str = "matverse-system";

/// The stage.
pub struct Stage {
    pub server: ApiServer,
    pub prometheus: Prometheus,
    pub signer: Signer,
    folder: PathBuf,
}

/// An operator in a runtime of its own, so that it can die with everything it ever started.
pub struct Running {
    runtime: Option<Runtime>,
    stop: watch::Sender<bool>,
    ended: Option<JoinHandle<anyhow::Result<Ended>>>,
    probes: SocketAddr,
    metrics: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Running {
    /// It is asked to stop, and does.
    pub async fn stop(mut self) -> Ended {
        self.stop.send_replace(true);
        let ended = self.ended.take().unwrap();
        tokio::time::timeout(Duration::from_secs(25), ended).await.expect("a graceful stop").unwrap().unwrap()
    }

    async fn fetch(&self, at: SocketAddr, path: &str) -> Option<(u16, String)> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().unwrap();
        let answer = client.get(format!("http://{at}{path}")).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    /// What `/readyz` answers.
    pub async fn ready(&self) -> (u16, String) {
        self.fetch(self.probes, "/readyz").await.unwrap_or_default()
    }

    /// What `/metrics` answers.
    pub async fn metrics(&self) -> String {
        self.fetch(self.metrics, "/metrics").await.unwrap_or_default().1
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Stage {
    /// Both servers, and a key in its file.
    pub async fn set() -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("matverse-stage-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let signer = Signer::generate(ORIGIN).unwrap();
        let stage =
            Self { server: ApiServer::start().await, prometheus: Prometheus::start().await, signer, folder };
        stage.give_key();
        stage.prometheus.set("demo_cpu", 0.01);
        stage
    }

    fn key_file(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    /// The key lies in its file.
    pub fn give_key(&self) {
        std::fs::write(self.key_file(), self.signer.to_pkcs8_pem().unwrap().as_bytes()).unwrap();
    }

    /// The key is gone.
    pub fn take_key(&self) {
        std::fs::remove_file(self.key_file()).unwrap();
    }

    /// A Deployment with two revisions, the newer one current.
    pub fn workload(&self, name: &str, replicas: i64) {
        self.server.put("deployments", deployment(name, replicas));
        self.server.put("replicasets", replica_set(name, "5c4b", "v1", 1));
        self.server.put("replicasets", replica_set(name, "7d9f", "v2", 2));
    }

    /// A resource for it.
    pub fn scaling(&self, name: &str, more: &Value) {
        self.server.put("matversescalings", scaling(name, more));
    }

    /// Starts an operator that the server knows as `who`.
    pub fn start(&self, who: &str) -> Running {
        self.start_with(who, "")
    }

    /// The same, with more lines of configuration.
    pub fn start_with(&self, who: &str, more: &str) -> Running {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = Listeners::bind(any_port, any_port).unwrap();
        let (metrics, probes) = listeners.addresses().unwrap();
        let text = format!(
            "sources: {{default: {{url: '{}', timeoutSeconds: 1}}}}\n\
             profiles: {{plain: {{cpu: {{query: 'demo_cpu'}}}}, with-beta: {{cpu: {{query: 'demo_cpu'}}, beta: {{query: 'demo_beta'}}}}, gated: {{psi: {{query: 'demo_psi'}}}}}}\n\
             ledger: {{origin: {ORIGIN}, keyFile: '{}'}}\n{more}",
            self.prometheus.url(),
            self.key_file().display()
        );
        let config = Config::parse(&text).unwrap();
        let identity = Identity { namespace: SYSTEM.into(), pod: who.to_owned() };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (stop, stopped) = watch::channel(false);
        let (server, who) = (self.server.clone(), who.to_owned());
        let ended = runtime.spawn(async move {
            let ended = run(server.client(&who), config, identity, listeners, stopped).await;
            ended.inspect_err(|error| eprintln!("{who}: {error:#}"))
        });
        Running { runtime: Some(runtime), stop, ended: Some(ended), probes, metrics }
    }

    /// The lease's time is over: its holder has died.
    pub fn expire_lease(&self) {
        self.server.expire_lease(SYSTEM, matverse::operator::run::LEASE);
    }

    /// Who holds the lease.
    pub fn leader(&self) -> String {
        let lease = self.server.get("leases", SYSTEM, matverse::operator::run::LEASE).unwrap_or_default();
        lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    }

    pub fn replicas(&self, name: &str) -> i64 {
        self.server.get("deployments", NS, name).unwrap()["spec"]["replicas"].as_i64().unwrap()
    }

    /// Every count that a Deployment ever had.
    pub fn counts(&self, name: &str) -> Vec<i64> {
        let all = self.server.course("deployments", NS, name, "/spec/replicas");
        all.iter().map(|v| v.as_i64().unwrap()).collect()
    }

    /// A condition of a resource: status and reason.
    pub fn condition(&self, name: &str, kind: &str) -> (String, String) {
        let object = self.server.get("matversescalings", NS, name).unwrap_or_default();
        let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = all.iter().find(|c| c["type"] == kind).cloned().unwrap_or_default();
        let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"))
    }

    /// `status` of a resource.
    pub fn status(&self, name: &str) -> Value {
        self.server.get("matversescalings", NS, name).unwrap_or_default()["status"].clone()
    }

    /// Writes to a Deployment.
    pub fn acts(&self, name: &str) -> Vec<Write> {
        self.server.writes("deployments").into_iter().filter(|w| w.name == name).collect()
    }

    /// The ledger, verified.
    pub fn record(&self) -> Record {
        Record::read(&self.server, self.signer.verifier())
    }

    /// Writes to the ledger.
    pub fn appended(&self) -> usize {
        self.server.writes("configmaps").iter().filter(|w| w.namespace == LEDGER).count()
    }
}

/// Waits until `done`; a bound, so that a test that cannot succeed ends.
pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("did not happen: {what}");
}

/// Some turns of a resource with an interval of one second.
pub async fn turns(n: u64) {
    tokio::time::sleep(Duration::from_millis(1100 * n)).await;
}
