//! What a real API server makes of the definitions: what it accepts, fills in, shows and refuses.

use std::sync::Arc;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::refusals::{self, Refusal, gate, scaling};
use crate::samples;
use matverse::api::crd;

const GROUP: &str = "/apis/matverse.io/v1alpha1";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// A namespace of its own on the cluster under test, with the definitions installed.
struct Server {
    client: Client,
    namespace: String,
    /// Definitions that were not there before; they are taken away again, so that a chart can own them.
    installed: Vec<String>,
}

/// What the server refused: its code and its message.
#[derive(Debug)]
struct Refused {
    code: u16,
    message: String,
}

impl Server {
    /// `None`, with a line that says so, where no cluster is named.
    async fn connect() -> Option<Self> {
        let Some(path) = std::env::var_os("MATVERSE_E2E_KUBECONFIG") else {
            println!("skipped: needs a cluster (MATVERSE_E2E_KUBECONFIG)");
            return None;
        };
        let file = Kubeconfig::read_from(path).unwrap();
        let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        config.default_retry = false;
        let client = Client::try_from(config).unwrap();
        let namespace = format!("matverse-api-{}", std::process::id());
        let mut server = Self { client, namespace, installed: Vec::new() };
        for definition in crd::all() {
            let name = definition.metadata.name.clone().unwrap();
            if server.send("GET", &format!("{DEFINITIONS}/{name}"), None).await.is_err() {
                server.installed.push(name.clone());
            }
            let path = format!("{DEFINITIONS}/{name}?fieldManager=matverse-test&force=true");
            server.send("APPLY", &path, Some(&serde_json::to_value(&definition).unwrap())).await.unwrap();
            server.established(&name).await;
        }
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": server.namespace}});
        server.send("POST", "/api/v1/namespaces", Some(&namespace)).await.unwrap();
        Some(server)
    }

    async fn established(&self, name: &str) {
        for _ in 0..100 {
            let found = self.send("GET", &format!("{DEFINITIONS}/{name}"), None).await.unwrap();
            let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let is = |kind: &str, status: &str| {
                conditions.iter().any(|c| c["type"] == kind && c["status"] == status)
            };
            let refused = is("NonStructuralSchema", "True") || is("NamesAccepted", "False");
            assert!(!refused, "{name}: {conditions:?}");
            if is("Established", "True") && self.send("GET", &self.path("", ""), None).await.is_ok() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("{name} is not established after 10 s");
    }

    async fn leave(self) {
        self.send("DELETE", &format!("/api/v1/namespaces/{}", self.namespace), None).await.unwrap();
        for plural in ["matversescalings", "omegagates"] {
            self.send("DELETE", &self.path(plural, ""), None).await.unwrap();
        }
        for name in &self.installed {
            self.send("DELETE", &format!("{DEFINITIONS}/{name}"), None).await.unwrap();
        }
    }

    fn path(&self, plural: &str, rest: &str) -> String {
        if plural.is_empty() {
            return GROUP.to_owned();
        }
        format!("{GROUP}/namespaces/{}/{plural}{rest}", self.namespace)
    }

    async fn send(&self, verb: &str, path: &str, body: Option<&Value>) -> Result<Value, Refused> {
        self.send_accepting(verb, path, body, "application/json").await
    }

    async fn send_accepting(
        &self,
        verb: &str,
        path: &str,
        body: Option<&Value>,
        accept: &str,
    ) -> Result<Value, Refused> {
        let (method, kind) = match verb {
            "APPLY" => ("PATCH", "application/apply-patch+yaml"),
            "MERGE" => ("PATCH", "application/merge-patch+json"),
            other => (other, "application/json"),
        };
        let body = body.map(|b| serde_json::to_vec(b).unwrap()).unwrap_or_default();
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .header("accept", accept)
            .body(body)
            .unwrap();
        match self.client.request::<Value>(request).await {
            Ok(value) => Ok(value),
            Err(kube::Error::Api(status)) => Err(Refused { code: status.code, message: status.message }),
            Err(other) => panic!("{verb} {path}: {other}"),
        }
    }

    /// Asks to create `object` without keeping it.
    async fn try_create(&self, object: &Value) -> Result<Value, Refused> {
        let path = self.path(plural(object), "?dryRun=All&fieldValidation=Strict");
        self.send("POST", &path, Some(&self.placed(object))).await
    }

    async fn create(&self, object: &Value) -> Value {
        let path = self.path(plural(object), "?fieldValidation=Strict");
        self.send("POST", &path, Some(&self.placed(object))).await.unwrap()
    }

    fn placed(&self, object: &Value) -> Value {
        let mut object = object.clone();
        object["metadata"]["namespace"] = json!(self.namespace);
        object
    }
}

fn plural(object: &Value) -> &'static str {
    if object["kind"] == "OmegaGate" { "omegagates" } else { "matversescalings" }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_api_server_accepts_fills_in_shows_and_refuses_as_documented() {
    let Some(server) = Server::connect().await else { return };
    let server = Arc::new(server);
    // In a task of its own, so that the cluster is left as it was found when a check fails.
    let verdict = tokio::spawn(checks(server.clone())).await;
    Arc::into_inner(server).unwrap().leave().await;
    if let Err(failed) = verdict {
        std::panic::resume_unwind(failed.into_panic());
    }
}

async fn checks(server: Arc<Server>) {
    accepts_every_sample(&server).await;
    writes_defaults_out(&server).await;
    let mut wrong = refuses(&server, &refusals::of_scaling()).await;
    wrong.extend(refuses(&server, &refusals::of_gate()).await);
    wrong.extend(accepts(&server).await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    keeps_the_target(&server).await;
    serves_status_apart(&server).await;
    prints_columns(&server).await;
    answers_to_short_names(&server).await;
}

async fn accepts_every_sample(server: &Server) {
    for (file, sample) in samples::all() {
        server.try_create(&sample).await.unwrap_or_else(|e| panic!("{file}: {}", e.message));
    }
}

async fn writes_defaults_out(server: &Server) {
    let kept = server.try_create(&scaling(json!({}))).await.unwrap();
    let spec: matverse::api::MatVerseScalingSpec = serde_json::from_value(kept["spec"].clone()).unwrap();
    let ours: matverse::api::MatVerseScalingSpec =
        serde_json::from_value(json!({"targetRef": {"name": "cart"}})).unwrap();
    assert_eq!(spec, ours, "the server's defaults and the types' are the same");
    assert_eq!(kept["spec"]["enforcement"], "Observe");
    assert_eq!(kept["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"], 300);
    assert_eq!(kept["spec"]["targets"]["latencyTarget"], Value::Null);

    let partial =
        json!({"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}, "targets": {"cpuTarget": 0.5}});
    let kept = server.try_create(&scaling(partial)).await.unwrap();
    assert_eq!(kept["spec"]["behavior"]["scaleDown"]["policies"][0]["value"], 1);
    assert_eq!(kept["spec"]["behavior"]["scaleUp"]["policies"][0]["value"], 2);
    assert_eq!(kept["spec"]["targets"]["omegaScore"], 0.95);

    let kept = server.try_create(&gate(json!({}))).await.unwrap();
    let spec: matverse::api::OmegaGateSpec = serde_json::from_value(kept["spec"].clone()).unwrap();
    let ours: matverse::api::OmegaGateSpec =
        serde_json::from_value(json!({"targetRef": {"name": "cart"}})).unwrap();
    assert_eq!(spec, ours);
    assert_eq!(kept["spec"]["omega"]["weights"]["psi"], 0.4);
}

/// What may stand though it looks like something that may not.
async fn accepts(server: &Server) -> Vec<String> {
    let allowed = [
        scaling(json!({"minReplicas": 7, "maxReplicas": 7})),
        scaling(json!({"mode": "Balanced"})),
        scaling(json!({"mode": "aggressive", "windows": []})),
        scaling(json!({"gateRef": null, "pool": null})),
        scaling(json!({"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a.b-c"}})),
        scaling(
            json!({"signals": [{"name": "errors", "query": "a/b", "min": 0, "max": 0, "zeroWhenFresh": "b"}]}),
        ),
        gate(json!({"omega": {"weights": {"psi": 1, "theta": 0, "cvar": 0, "pole": 0}}})),
        gate(json!({"omega": {"weights": {"psi": 0.1, "theta": 0.2, "cvar": 0.3, "pole": 0.4}}})),
        gate(json!({"onFail": "Quarantine", "evidence": {"minSamples": 200}})),
    ];
    let mut wrong = Vec::new();
    for object in &allowed {
        if let Err(refused) = server.try_create(object).await {
            wrong.push(format!("refused, though it may stand: {}\n  {}", object["spec"], refused.message));
        }
    }
    wrong
}

/// Asks for each; gives a line for each that was taken, or refused with other words or another code.
async fn refuses(server: &Server, cases: &[Refusal]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (object, words) in cases {
        match server.try_create(object).await {
            Ok(_) => wrong.push(format!("accepted, though it may not stand: {}", object["spec"])),
            Err(Refused { code, message }) => {
                if !message.contains(words) || ![400, 422].contains(&code) {
                    wrong.push(format!("{}: wanted {words:?}, got {code} {message}", object["spec"]));
                }
            }
        }
    }
    wrong
}

async fn keeps_the_target(server: &Server) {
    for object in [scaling(json!({})), gate(json!({}))] {
        server.create(&object).await;
        let path = server.path(plural(&object), "/cart");
        let other = json!({"spec": {"targetRef": {"name": "checkout"}}});
        let refused = server.send("MERGE", &path, Some(&other)).await.unwrap_err();
        assert_eq!(refused.code, 422);
        assert!(refused.message.contains("targetRef cannot be changed"), "{}", refused.message);
        let paused = server.send("MERGE", &path, Some(&json!({"spec": {"paused": true}}))).await.unwrap();
        assert_eq!(paused["spec"]["paused"], true);
        assert_eq!(paused["spec"]["targetRef"]["name"], "cart");
    }
}

fn answered() -> Value {
    let condition = |kind: &str, status: &str| {
        json!({"type": kind, "status": status, "reason": "Observe", "message": "", "observedGeneration": 1,
               "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    json!({
        "currentReplicas": 9, "desiredReplicas": 6,
        "conditions": [condition("Ready", "True"), condition("Acting", "False")],
        "currentMetrics": {"omegaScore": 0.91, "cvar": 0.05, "cpuUsage": 0.42, "latency": 180.5},
        "lastDecision": {"action": "ScaleDown", "timestamp": "2026-01-01T00:00:00Z", "confidence": 0.97,
                         "reasoning": "n* is 6", "why": "Observe", "executed": false},
    })
}

async fn serves_status_apart(server: &Server) {
    let path = server.path("matversescalings", "/cart");
    let both = json!({"spec": {"maxReplicas": 12}, "status": answered()});
    let after = server.send("MERGE", &path, Some(&both)).await.unwrap();
    assert_eq!(after["status"], Value::Null, "a write of the object leaves its status");
    let generation = after["metadata"]["generation"].clone();

    let both = json!({"spec": {"maxReplicas": 13}, "status": answered()});
    let after = server.send("MERGE", &format!("{path}/status"), Some(&both)).await.unwrap();
    assert_eq!(after["spec"]["maxReplicas"], 12, "a write of the status leaves the spec");
    assert_eq!(after["metadata"]["generation"], generation);
    let read: matverse::api::MatVerseScaling = serde_json::from_value(after).unwrap();
    assert_eq!(read.status.unwrap().desired_replicas, Some(6));

    let status_path = format!("{path}/status");
    let status_path = status_path.as_str();
    let refused = |status: Value| async move {
        let body = json!({"status": status});
        server.send("MERGE", status_path, Some(&body)).await.unwrap_err().message
    };
    let mut twice = answered();
    twice["conditions"][1]["type"] = json!("Ready");
    assert!(refused(twice).await.contains("Duplicate value"));
    let mut long = answered();
    long["lastDecision"]["reasoning"] = json!("x".repeat(1025));
    assert!(refused(long).await.contains("status.lastDecision.reasoning: Too long"));
    let mut odd = answered();
    odd["conditions"][0]["status"] = json!("Maybe");
    assert!(refused(odd).await.contains("Unsupported value"));
}

/// Column names that are always shown, those of `-o wide`, and the first row.
async fn table(server: &Server, plural: &str) -> (Vec<String>, Vec<String>, Vec<Value>) {
    let table = server.send_accepting("GET", &server.path(plural, ""), None, TABLE).await.unwrap();
    assert_eq!(table["kind"], "Table");
    let columns = |wide: bool| {
        let all = table["columnDefinitions"].as_array().unwrap().iter();
        all.filter(|c| (c["priority"] != 0) == wide).map(|c| c["name"].as_str().unwrap().to_owned()).collect()
    };
    (columns(false), columns(true), table["rows"][0]["cells"].as_array().unwrap().clone())
}

async fn prints_columns(server: &Server) {
    let (shown, wide, cells) = table(server, "matversescalings").await;
    assert_eq!(shown, ["Name", "Enforce", "Now", "Want", "Action", "Acting", "Why", "Conf", "Ready", "Age"]);
    assert_eq!(wide, ["Target", "Mode", "Omega", "Psi", "CVaR", "CPU", "P95"]);
    let first: Vec<Value> = cells[..9].to_vec();
    let wanted = json!(["cart", "Observe", 9, 6, "ScaleDown", "False", "Observe", 0.97, "True"]);
    assert_eq!(Value::Array(first), wanted);
    assert_eq!(cells[10], "cart");
    assert_eq!(cells[11], "balanced");
    assert_eq!(cells[12], 0.91);
    assert_eq!(cells[13], Value::Null, "an unbelievable value shows nothing");
    assert_eq!(cells[16], 180.5);

    let status = json!({"status": {"decision": "Block", "omega": 0.86, "psi": 0.93, "cvar": 0.17, "samples": 212,
        "gates": [{"name": "cvar", "pass": "No", "reason": "0.17 > 0.10", "value": 0.17, "threshold": 0.1, "margin": -0.07}]}});
    server.send("MERGE", &server.path("omegagates", "/cart/status"), Some(&status)).await.unwrap();
    let (shown, wide, cells) = table(server, "omegagates").await;
    assert_eq!(shown, ["Name", "Target", "Decision", "Omega", "Psi", "CVaR", "Samples", "Stage", "Age"]);
    assert!(wide.is_empty());
    assert_eq!(Value::Array(cells[..7].to_vec()), json!(["cart", "cart", "Block", 0.86, 0.93, 0.17, 212]));
}

async fn answers_to_short_names(server: &Server) {
    let found = server.send("GET", GROUP, None).await.unwrap();
    let resources = found["resources"].as_array().unwrap();
    for (plural, short) in [("matversescalings", "mvs"), ("omegagates", "og")] {
        let resource = resources.iter().find(|r| r["name"] == plural).unwrap();
        assert_eq!(resource["shortNames"], json!([short]));
        assert_eq!(resource["categories"], json!(["matverse"]));
        assert_eq!(resource["namespaced"], true);
        assert!(resources.iter().any(|r| r["name"] == format!("{plural}/status")));
        assert!(!resources.iter().any(|r| r["name"] == format!("{plural}/scale")));
    }
}
