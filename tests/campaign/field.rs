//! Where the campaign is fought: targets without pods, ledgers, workers, and what one case is.

use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use matverse::ledger::configmaps::ConfigMaps;
use matverse::ledger::store::Store;
use matverse::ledger::verify::{Request, Saved, Verdict, verify};
use serde_json::json;

use crate::history::{History, Report};
use crate::proxy::{Fault, Mutant, Proxy, Stage, signal};
use crate::worker::signer;

const TARGETS: usize = 3;
/// Decisions of a worker that a fault is for.
const DECISIONS: usize = 3;

/// One ledger, in a namespace of its own.
pub struct Ledger {
    namespace: String,
}

/// The field.
pub struct Field {
    client: Client,
    mutant: Mutant,
    namespace: String,
    history: History,
    watches: Mutex<Vec<tokio::task::JoinHandle<()>>>,
    ledgers: Mutex<Vec<String>>,
    workers: AtomicUsize,
    cases: AtomicUsize,
    fired: AtomicUsize,
}

impl Field {
    /// The targets, and a watch over them; `None`, with a line that says so, where no cluster is named.
    pub async fn enter(mutant: Mutant) -> Option<Self> {
        let Some(path) = std::env::var_os("MATVERSE_E2E_KUBECONFIG") else {
            println!("skipped: needs a cluster (MATVERSE_E2E_KUBECONFIG)");
            return None;
        };
        let file = Kubeconfig::read_from(path).unwrap();
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        let client = matverse::operator::client::with(config).unwrap();
        let name = format!("{mutant:?}").to_lowercase();
        let namespace = format!("campaign-{name}-{}", std::process::id());
        let field = Self {
            client,
            mutant,
            namespace,
            history: History::default(),
            watches: Mutex::default(),
            ledgers: Mutex::default(),
            workers: AtomicUsize::new(0),
            cases: AtomicUsize::new(0),
            fired: AtomicUsize::new(0),
        };
        field.make_namespace(&field.namespace).await;
        let api: Api<Deployment> = Api::namespaced(field.client.clone(), &field.namespace);
        for n in 0..TARGETS {
            let name = format!("t{n}");
            // Nothing has to run: the pods ask for a node that there is not.
            let deployment = serde_json::from_value(json!({
                "metadata": {"name": name, "annotations": {"about": "campaign"}},
                "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"nodeSelector": {"campaign": "nowhere"}, "containers": [{"name": "c", "image": "none"}]}
                }}
            }));
            api.create(&PostParams::default(), &deployment.unwrap()).await.unwrap();
        }
        let watch = field.history.of_targets(&field.client, &field.namespace);
        field.watches.lock().unwrap().push(watch);
        Some(field)
    }

    async fn make_namespace(&self, name: &str) {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        api.create(&PostParams::default(), &namespace).await.unwrap();
    }

    /// Room for another ledger, not founded yet.
    pub async fn found(&self) -> Ledger {
        let number = self.ledgers.lock().unwrap().len();
        let namespace = format!("{}-l{number}", self.namespace);
        self.make_namespace(&namespace).await;
        let watch = self.history.of_ledger(&self.client, &namespace);
        self.watches.lock().unwrap().push(watch);
        self.ledgers.lock().unwrap().push(namespace.clone());
        Ledger { namespace }
    }

    pub fn decisions(&self) -> usize {
        self.history.decisions()
    }

    fn targets(seed: usize, count: usize) -> String {
        (0..count).map(|n| format!("t{}", (seed + n) % TARGETS)).collect::<Vec<_>>().join(",")
    }

    /// Starts a leader that does not ask whether it may lead.
    fn spawn(&self, proxy: &Proxy, ledger: &Ledger, targets: &str) -> Worker {
        let name = format!("w{}", self.workers.fetch_add(1, Ordering::SeqCst));
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["lead", "--exact", "--ignored", "--nocapture"])
            .env("WORKER_NAME", name)
            .env("WORKER_URL", proxy.url())
            .env("WORKER_NAMESPACE", &self.namespace)
            .env("WORKER_LEDGER", &ledger.namespace)
            .env("WORKER_TARGETS", targets)
            .env("WORKER_MUTANT", format!("{:?}", self.mutant))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        proxy.aim(child.id());
        Worker(child)
    }

    async fn proxy(&self, plan: Option<(Fault, usize)>) -> Proxy {
        Proxy::start(self.client.clone(), self.mutant, plan).await
    }

    /// Leads without faults to the end; its writes.
    async fn lead(&self, ledger: &Ledger, targets: &str) -> usize {
        let proxy = self.proxy(None).await;
        self.spawn(&proxy, ledger, targets).end().await;
        proxy.writes()
    }

    /// A run of as many decisions as a case has, without a fault; its writes.
    pub async fn calm(&self, ledger: &Ledger, seed: usize) -> usize {
        self.lead(ledger, &Self::targets(seed, DECISIONS)).await
    }

    /// A leader meets a fault at its `kth` write; then another takes over and makes one decision.
    pub async fn case(&self, ledger: &Ledger, fault: Fault, kth: usize, seed: usize) {
        self.cases.fetch_add(1, Ordering::SeqCst);
        let proxy = self.proxy(Some((fault, kth))).await;
        let mut first = self.spawn(&proxy, ledger, &Self::targets(seed, DECISIONS));
        let mut stage = proxy.stage();
        let held = stage.wait_for(|stage| matches!(stage, Stage::Held(_)));
        let held = tokio::select! {
            held = held => held.ok().map(|stage| *stage),
            () = first.end() => None,
        };
        if let Some(Stage::Held(target)) = held {
            // The others leave the target alone that the held write is for, or nothing could arrive late.
            let next = target.unwrap_or(seed) + 1;
            let targets = Self::targets(next, 2);
            if fault == Fault::Rivals {
                let (one, two) = (self.proxy(None).await, self.proxy(None).await);
                let mut rivals = [
                    self.spawn(&one, ledger, &targets),
                    self.spawn(&two, ledger, &Self::targets(next + 1, 1)),
                ];
                tokio::time::sleep(Duration::from_millis(40 * (seed % 5) as u64)).await;
                proxy.release();
                for rival in &mut rivals {
                    rival.end().await;
                }
            } else {
                self.lead(ledger, &targets).await;
                proxy.release();
            }
            proxy.stage().wait_for(|stage| *stage == Stage::Over).await.ok();
            if fault == Fault::Pause {
                first.signal("-CONT");
            }
            first.end().await;
        }
        self.fired.fetch_add(usize::from(proxy.writes() >= kth), Ordering::SeqCst);
        self.lead(ledger, &Self::targets(seed, 1)).await;
    }

    /// Waits until the watch has seen everything, verifies each ledger, and compares.
    pub async fn judge(&self) -> Report {
        let targets: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        for object in targets.list(&ListParams::default()).await.unwrap() {
            self.see(&object.name_any(), object.resource_version()).await;
        }
        let ledgers = self.ledgers.lock().unwrap().clone();
        let mut violations = Vec::new();
        for namespace in &ledgers {
            let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
            for map in maps.list(&ListParams::default()).await.unwrap() {
                self.see(&format!("{namespace}/{}", map.name_any()), map.resource_version()).await;
            }
            let objects = ConfigMaps::new(self.client.clone(), namespace).list().await.unwrap();
            let report = verify(&Request {
                objects: objects.into_iter().map(Saved::from).collect(),
                keys: vec![signer().verifier().clone()],
                now: Some(jiff::Timestamp::now()),
                ..Request::default()
            });
            if report.verdict != Verdict::Good || report.open > 0 {
                violations.push(format!(
                    "{namespace}: {:?}, {} open, {:?}",
                    report.verdict, report.open, report.findings
                ));
            }
        }
        let mut report = self.history.judge();
        report.cases = self.cases.load(Ordering::SeqCst);
        report.fired = self.fired.load(Ordering::SeqCst);
        report.violations.extend(violations);
        report
    }

    async fn see(&self, name: &str, version: Option<String>) {
        let version = version.and_then(|version| version.parse().ok()).unwrap();
        for _ in 0..200 {
            if self.history.has_seen(name, version) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the watch did not see {name} at {version}");
    }

    /// Takes everything away.
    pub async fn leave(self) {
        self.watches.lock().unwrap().iter().for_each(tokio::task::JoinHandle::abort);
        let api: Api<Namespace> = Api::all(self.client.clone());
        let ledgers = self.ledgers.lock().unwrap().clone();
        for namespace in ledgers.iter().chain([&self.namespace]) {
            api.delete(namespace, &DeleteParams::default()).await.ok();
        }
    }
}

/// A leader's process.
struct Worker(Child);

impl Worker {
    fn signal(&self, name: &str) {
        signal(self.0.id(), name);
    }

    /// Waits for its end; one that does not come is brought about.
    async fn end(&mut self) {
        let since = Instant::now();
        while self.0.try_wait().unwrap().is_none() {
            if since.elapsed() > Duration::from_secs(90) {
                self.signal("-KILL");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
