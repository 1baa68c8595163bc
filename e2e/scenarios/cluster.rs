//! What the scenarios say to the cluster: the commands a person would type, and waiting.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Folder of `e2e/`, where the cluster's commands lie.
fn e2e() -> String {
    format!("{}/e2e", env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program; its output, or its failure with what it said.
pub fn run(program: &str, arguments: &[&str], input: Option<&str>) -> Result<String, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{program}: {e}"))?;
    if let Some(text) = input {
        child.stdin.take().unwrap().write_all(text.as_bytes()).map_err(|e| e.to_string())?;
    }
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(out)
    } else {
        Err(format!("{program} {}: {}{out}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)))
    }
}

/// One of the cluster's own commands: `cluster`, `prometheus`, `gateway`, `install`.
pub fn try_ours(command: &str, arguments: &[&str]) -> Result<String, String> {
    run(&format!("{}/{command}", e2e()), arguments, None)
}

/// The same; a failure ends the scenario.
pub fn ours(command: &str, arguments: &[&str]) -> String {
    try_ours(command, arguments).unwrap()
}

/// A scenario's own namespace, removed when the scenario ends.
pub struct Space {
    pub name: String,
}

impl Space {
    /// A fresh namespace.
    pub fn new(name: &str) -> Self {
        let space = Self { name: name.into() };
        let _ = run("kubectl", &["delete", "namespace", name, "--ignore-not-found", "--timeout=90s"], None);
        run("kubectl", &["create", "namespace", name], None).unwrap();
        space
    }

    /// kubectl in this namespace.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        run("kubectl", &[&["-n", &self.name], arguments].concat(), None)
    }

    /// kubectl in this namespace; a failure ends the scenario.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments).unwrap()
    }

    /// Applies a manifest.
    pub fn try_apply(&self, manifest: &str) -> Result<String, String> {
        run("kubectl", &["-n", &self.name, "apply", "-f", "-"], Some(manifest))
    }

    /// Applies a manifest; a refusal ends the scenario.
    pub fn apply(&self, manifest: &str) {
        self.try_apply(manifest).unwrap();
    }

    /// An object as JSON; `Null` when it does not exist.
    pub fn get(&self, what: &str) -> Value {
        let text = self.kubectl(&["get", what, "-o", "json", "--ignore-not-found"]);
        if text.trim().is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    /// `spec.replicas` of a Deployment.
    pub fn replicas(&self, deployment: &str) -> i64 {
        self.get(&format!("deployment/{deployment}"))["spec"]["replicas"].as_i64().unwrap()
    }

    /// Status of a condition of a `MatVerseScaling`: `True`, `False`, or empty; with its reason.
    pub fn condition(&self, mvs: &str, kind: &str) -> (String, String) {
        let object = self.get(&format!("mvs/{mvs}"));
        let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = all.iter().find(|c| c["type"] == kind);
        let text = |key: &str| found.and_then(|c| c[key].as_str()).unwrap_or_default().to_owned();
        (text("status"), text("reason"))
    }

    /// Messages of all events of a reason in this namespace.
    pub fn events(&self, reason: &str) -> Vec<String> {
        let list = self.get("events.events.k8s.io");
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .filter(|e| e["reason"] == reason)
            .map(|e| e["note"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for what in ["mvs", "og", "deployments", "pods", "events"] {
                eprintln!(
                    "--- {what}\n{}",
                    self.try_kubectl(&["get", what, "-o", "wide"]).unwrap_or_default()
                );
            }
            let said = "jsonpath={range .items[*]}{.metadata.name} {.status.lastDecision}{\"\\n\"}{end}";
            eprintln!("--- decisions\n{}", self.try_kubectl(&["get", "mvs", "-o", said]).unwrap_or_default());
            eprintln!("--- operator\n{}", operator_logs(15));
        }
        let _ = run("kubectl", &["delete", "namespace", &self.name, "--wait=false"], None);
    }
}

/// The last lines of every replica's log.
pub fn operator_logs(lines: u32) -> String {
    let tail = format!("--tail={lines}");
    let selector = "app.kubernetes.io/name=matverse-autonomy";
    run("kubectl", &["-n", "matverse-system", "logs", "-l", selector, &tail, "--prefix"], None)
        .unwrap_or_else(|e| e)
}

/// Waits until `done` answers; fails after `seconds` with what was waited for.
pub fn until<T>(seconds: u64, what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(Instant::now() < limit, "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Watches that something stays true for a while.
pub fn stays(seconds: u64, what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < limit {
        assert!(holds(), "did not stay: {what}");
        std::thread::sleep(Duration::from_millis(700));
    }
}

/// A bounded load on a `NodePort` of loopback, ended with the scenario.
pub struct Load(Child);

impl Load {
    /// `profile` as the load generator takes it, e.g. `0s:20,60s:120`.
    pub fn start(port: u16, profile: &str) -> Self {
        let url = format!("http://127.0.0.1:{port}/");
        let child = Command::new("load")
            .args(["-url", &url, "-profile", profile])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the load generator");
        Self(child)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program that runs beside the scenario and ends with it; what it prints goes to a file, so that it never waits for
/// a reader.
pub struct Background {
    child: Child,
    file: PathBuf,
}

impl Background {
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let file = std::env::temp_dir().join(format!("matverse-e2e-{}-{number}", std::process::id()));
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(File::create(&file).unwrap())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("a program of the cluster's PATH");
        Self { child, file }
    }

    /// What it has printed until now.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap()
    }

    /// Waits for its end.
    pub fn wait(&mut self) {
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits.
    pub fn end(&mut self) {
        let _ = run("kill", &[&self.child.id().to_string()], None);
        self.wait();
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Whether a cluster is there; without one a scenario says so and passes.
pub fn present() -> bool {
    let there = std::env::var("MATVERSE_E2E").is_ok_and(|v| v == "1");
    if !there {
        eprintln!("skipped: needs the test cluster (make e2e)");
    }
    there
}
