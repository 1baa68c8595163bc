//! The cluster under test: identities, requests, and the policies as the chart renders them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::story;
use matverse::api::crd;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The kubeconfig's own user.
    Admin,
    /// The account under which the operator runs.
    Operator,
    /// The exporter's.
    Exporter,
    /// The operator's and the exporter's of the release whose ledger is a real one.
    Writer,
    Marker,
    /// A person with every right that RBAC can give.
    Stranger,
    /// Another one, whose name has a space in it.
    JaneDoe,
    /// May write resources of matverse.io, and patch nothing that they name.
    Author,
    /// May write them, and patch every target of the story.
    Owner,
    /// May write them, and patch the Deployment `web` alone.
    Partner,
    NamespaceController,
    GarbageCollector,
    RootCaPublisher,
    /// A controller manager that runs without an account for each controller.
    ControllerManager,
}

impl Who {
    /// Those that may do everything as far as RBAC goes.
    pub const MIGHTY: [Self; 10] = [
        Self::Operator,
        Self::Exporter,
        Self::Writer,
        Self::Marker,
        Self::Stranger,
        Self::JaneDoe,
        Self::NamespaceController,
        Self::GarbageCollector,
        Self::RootCaPublisher,
        Self::ControllerManager,
    ];

    /// The user name; `None` = the kubeconfig's own.
    pub fn user(self) -> Option<String> {
        let account = |namespace: &str, name: &str| format!("system:serviceaccount:{namespace}:{name}");
        Some(match self {
            Self::Admin => return None,
            Self::Operator => account(&story::system(), &story::fullname()),
            Self::Exporter => account(&story::system(), &format!("{}-exporter", story::fullname())),
            Self::Writer => account(&story::system(), &format!("{}-matverse-autonomy", story::living())),
            Self::Marker => {
                account(&story::system(), &format!("{}-matverse-autonomy-exporter", story::living()))
            }
            Self::Stranger => "stranger".into(),
            Self::JaneDoe => "Jane Doe".into(),
            Self::Author => "author".into(),
            Self::Owner => "owner".into(),
            Self::Partner => "partner".into(),
            Self::NamespaceController => account("kube-system", "namespace-controller"),
            Self::GarbageCollector => account("kube-system", "generic-garbage-collector"),
            Self::RootCaPublisher => account("kube-system", "root-ca-cert-publisher"),
            Self::ControllerManager => "system:kube-controller-manager".into(),
        })
    }
}

/// One request. `APPLY`, `MERGE` and `JSON` are the three sorts of PATCH.
#[derive(Clone, Debug)]
pub struct Try {
    pub verb: &'static str,
    pub path: String,
    pub body: Option<Value>,
}

/// What must come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    /// By the policy of this name, after the release's.
    By(&'static str),
}

/// A row of a table.
pub struct Case {
    pub what: &'static str,
    pub who: Who,
    pub attempt: Try,
    pub verdict: Verdict,
}

pub fn case(what: &'static str, who: Who, attempt: Try, verdict: Verdict) -> Case {
    Case { what, who, attempt, verdict }
}

/// A refusal: code and message.
#[derive(Debug)]
pub struct Refused {
    pub code: u16,
    pub message: String,
}

impl Refused {
    /// The policy that refused, without the release's name.
    fn policy(&self) -> Option<&str> {
        let (_, rest) = self.message.split_once("ValidatingAdmissionPolicy '")?;
        let (name, _) = rest.split_once('\'')?;
        name.strip_prefix(&format!("{}-", story::fullname()))
    }
}

pub struct Cluster {
    config: Config,
    client: Client,
    helm: PathBuf,
    /// Definitions that were not there before.
    installed: Vec<String>,
}

fn helm() -> Option<PathBuf> {
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join("helm")).find(|file| file.is_file())
    };
    std::env::var_os("HELM").map(PathBuf::from).or_else(on_path)
}

impl Cluster {
    /// `None`, with a line that says so, where there is no cluster or no helm.
    pub async fn connect() -> Option<Self> {
        let Some(path) = std::env::var_os("MATVERSE_E2E_KUBECONFIG") else {
            println!("skipped: needs a cluster (MATVERSE_E2E_KUBECONFIG)");
            return None;
        };
        let Some(helm) = helm() else {
            println!("skipped: needs helm (HELM or PATH)");
            return None;
        };
        let file = Kubeconfig::read_from(path).unwrap();
        let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        config.default_retry = false;
        let client = Client::try_from(config.clone()).unwrap();
        let mut cluster = Self { config, client, helm, installed: Vec::new() };
        for definition in crd::all() {
            let name = definition.metadata.name.clone().unwrap();
            let path = format!("{DEFINITIONS}/{name}");
            cluster.until_gone(&path).await;
            if cluster.admin("GET", &path, None).await.is_err() {
                cluster.installed.push(name);
            }
            let path = format!("{path}?fieldManager=matverse-test&force=true");
            let body = story::built(serde_json::to_value(&definition).unwrap());
            cluster.admin("APPLY", &path, Some(&body)).await.unwrap();
        }
        for plural in ["matversescalings", "omegagates"] {
            let path = format!("/apis/matverse.io/v1alpha1/{plural}");
            cluster.eventually("the definitions are served", || cluster.admin("GET", &path, None)).await;
        }
        Some(cluster)
    }

    /// A client that is somebody, for code that makes its own requests.
    pub fn client_of(&self, who: Who) -> Client {
        let mut config = self.config.clone();
        config.auth_info.impersonate = who.user();
        Client::try_from(config).unwrap()
    }

    /// Until an object that is being deleted is.
    async fn until_gone(&self, path: &str) {
        for _ in 0..300 {
            match self.admin("GET", path, None).await {
                Ok(found) if !found["metadata"]["deletionTimestamp"].is_null() => {}
                _ => return,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{path} is not gone after 30 s");
    }

    /// Until it succeeds.
    async fn eventually<F>(&self, what: &str, mut attempt: impl FnMut() -> F)
    where
        F: Future<Output = Result<Value, Refused>>,
    {
        let mut last = None;
        for _ in 0..300 {
            match attempt().await {
                Ok(_) => return,
                Err(refused) => last = Some(refused),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("did not happen: {what}: {last:?}");
    }

    /// The policies of the chart, and the moment from which each refuses.
    pub async fn install(&self) {
        let all =
            story::installed().map(|(release, ledger, policies)| self.render(&release, &ledger, policies));
        for object in all.into_iter().flatten() {
            let plural = match object["kind"].as_str().unwrap() {
                "ValidatingAdmissionPolicy" => "validatingadmissionpolicies",
                "ValidatingAdmissionPolicyBinding" => "validatingadmissionpolicybindings",
                other => panic!("{other} is no policy"),
            };
            self.admin("POST", &format!("{ADMISSION}/{plural}"), Some(&object)).await.unwrap();
        }
        for probe in story::probes() {
            let Verdict::By(policy) = probe.verdict else { panic!("a probe is refused") };
            let mut last = None;
            for _ in 0..300 {
                last = self.attempt(probe.who, &probe.attempt).await.err();
                if last.as_ref().and_then(Refused::policy) == Some(policy) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let found = last.as_ref().and_then(Refused::policy);
            assert_eq!(found, Some(policy), "{policy} does not stand after 30 s: {last:?}");
        }
    }

    fn render(&self, release: &str, ledger: &str, policies: &[&str]) -> Vec<Value> {
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/matverse-autonomy");
        let mut helm = Command::new(&self.helm);
        helm.args(["template", release]).arg(&chart).args(["--namespace", &story::system()]);
        helm.args(["--set", &format!("ledger.namespace={ledger}")]);
        for policy in policies {
            helm.args(["--show-only", &format!("templates/policies-{policy}.yaml")]);
        }
        let output = helm.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let objects: Vec<Value> =
            serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap();
        let objects: Vec<Value> = objects.into_iter().filter(|object| !object.is_null()).collect();
        assert_eq!(objects.len(), 2 * policies.len(), "a binding for each policy");
        objects
    }

    /// Tries every row; a line for each that came out otherwise.
    pub async fn try_all(&self, table: &[Case]) -> Vec<String> {
        let mut wrong = Vec::new();
        for Case { what, who, attempt, verdict } in table {
            let answer = self.attempt(*who, attempt).await;
            let right = match (&answer, verdict) {
                (Ok(_), Verdict::Allowed) => true,
                (Err(refused), Verdict::By(policy)) => {
                    // An expression that cannot be evaluated refuses as well, and says nothing of use.
                    refused.policy() == Some(policy) && !refused.message.contains("resulted in error")
                }
                _ => false,
            };
            if !right {
                let got = answer.map_or_else(|r| format!("{} {}", r.code, r.message), |_| "allowed".into());
                wrong.push(format!("{what} ({who:?}, {}): wanted {verdict:?}, got {got}", attempt.verb));
            }
        }
        wrong
    }

    /// Tries a request as somebody, without keeping what it does.
    pub async fn attempt(&self, who: Who, attempt: &Try) -> Result<Value, Refused> {
        let mark = if attempt.path.contains('?') { '&' } else { '?' };
        let mut path = format!("{}{mark}dryRun=All", attempt.path);
        if attempt.verb == "APPLY" {
            path.push_str("&fieldManager=matverse-test&force=true");
        }
        self.send(who, attempt.verb, &path, attempt.body.as_ref()).await
    }

    /// A request of the admin, in earnest.
    pub async fn admin(&self, verb: &str, path: &str, body: Option<&Value>) -> Result<Value, Refused> {
        self.send(Who::Admin, verb, path, body).await
    }

    /// A request of anybody, in earnest.
    pub async fn send(
        &self,
        who: Who,
        verb: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Refused> {
        let (method, kind) = match verb {
            "APPLY" => ("PATCH", "application/apply-patch+yaml"),
            "MERGE" => ("PATCH", "application/merge-patch+json"),
            "JSON" => ("PATCH", "application/json-patch+json"),
            other => (other, "application/json"),
        };
        let body = body.map(|b| serde_json::to_vec(b).unwrap()).unwrap_or_default();
        let mut request = http::Request::builder().method(method).uri(path).header("content-type", kind);
        if let Some(user) = who.user() {
            request = request.header("impersonate-user", user);
        }
        match self.client.request::<Value>(request.body(body).unwrap()).await {
            Ok(value) => Ok(value),
            Err(kube::Error::Api(status)) => Err(Refused { code: status.code, message: status.message }),
            Err(other) => panic!("{verb} {path}: {other}"),
        }
    }

    /// Takes everything away that was brought.
    pub async fn leave(&self) {
        for plural in ["validatingadmissionpolicybindings", "validatingadmissionpolicies"] {
            for (release, _, policies) in story::installed() {
                for policy in policies {
                    let path = format!("{ADMISSION}/{plural}/{release}-matverse-autonomy-{policy}");
                    let _ = self.admin("DELETE", &path, None).await;
                }
            }
        }
        let free = json!({"metadata": {"finalizers": null}});
        let stray = story::in_ledger("stray");
        if self.admin("GET", &stray, None).await.is_ok() {
            self.eventually("the stray is let go", || self.admin("MERGE", &stray, Some(&free))).await;
        }
        for path in story::places() {
            let _ = self.admin("DELETE", &path, None).await;
        }
        for name in &self.installed {
            let _ = self.admin("DELETE", &format!("{DEFINITIONS}/{name}"), None).await;
        }
    }
}
