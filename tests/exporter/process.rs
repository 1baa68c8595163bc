//! The two verbs as processes: `--once`, a file that is followed, and a stress run against a real exporter.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::value;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("matverse-exporter-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn matverse(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_matverse"));
    command.args(arguments);
    command
}

fn output(arguments: &[&str]) -> Output {
    matverse(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An exporter that runs until it is dropped.
struct Running {
    child: Child,
    url: String,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let all = [&["exporter", "--port", "0"], arguments].concat();
        let mut child = matverse(&all).env_remove("RUST_LOG").stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let line: Value = serde_json::from_str(&line).ok()?;
                Some(format!("http://{}", line["address"].as_str()?))
            })
            .expect("the exporter says where it listens");
        // Somebody must read what it writes.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url }
    }

    async fn metrics(&self) -> String {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(format!("{}/metrics", self.url)).send().await.unwrap().text().await.unwrap()
    }

    async fn until(&self, name: &str, wanted: f64) {
        let mut found = None;
        for _ in 0..200 {
            found = value(&self.metrics().await, name);
            if found == Some(wanted) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{name} is {found:?}, never {wanted}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn once_prints_one_sample_and_says_by_its_exit_whether_omega_is_known() {
    let folder = Folder::new("once");
    let whole = folder.file("whole.jsonl", &"{\"psi\": 0.9}\n".repeat(25));
    let from = ["exporter", "--once", "--workload", "shop/cart", "--from"];
    let done = output(&[&from[..], &[&whole]].concat());
    let page = text(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{page}");
    assert_eq!(value(&page, "symbios_evidence_samples"), Some(25.0));
    assert!((value(&page, "symbios_omega_score").unwrap() - 0.86).abs() < 1e-9);
    assert!(page.ends_with("# EOF\n"));

    let json = output(&[&from[..], &[&whole, "-o", "json"]].concat());
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(report["workloads"][0]["samples"], 25);
    assert_eq!(report["workloads"][0]["beta"], Value::Null);
    assert!((report["workloads"][0]["cvarInterval"][1].as_f64().unwrap() - 0.1).abs() < 1e-9);

    let few = folder.file("few.jsonl", "{\"psi\": 0.9}\nnonsense\n{\"psi\": 0.7}");
    let done = output(&[&from[..], &[&few]].concat());
    assert_eq!(done.status.code(), Some(2), "Ω is unknown");
    assert_eq!(value(&text(&done.stdout), "symbios_psi_score"), Some(0.8));
    assert!(text(&done.stderr).contains("event 2 is not taken"), "{}", text(&done.stderr));

    let none = output(&["exporter", "--once"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(!text(&none.stdout).contains("symbios_psi_score"));
    assert_eq!(output(&["exporter", "--once", "--from", "/nowhere/at/all"]).status.code(), Some(3));
    assert_eq!(output(&["exporter", "--alpha", "1"]).status.code(), Some(64));
    assert_eq!(output(&["exporter", "--workload", "cart"]).status.code(), Some(64));
}

#[test]
fn once_reads_standard_input() {
    let mut child = matverse(&["exporter", "--once", "--workload", "shop/cart", "--from", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"{\"psi\": 1}\n{\"psi\": 0.5}").unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(value(&text(&done.stdout), "symbios_psi_score"), Some(0.75));
}

#[test]
fn forbidden_words_come_from_a_file() {
    let folder = Folder::new("words");
    let words = folder.file("words", "Zebra\n");
    let event = r#"{"model": "m", "input": {}, "output": "a zebra, and malware"}"#;
    let events = folder.file("events.jsonl", event);
    let psi = |more: &[&str]| {
        let all = [&["exporter", "--once", "--workload", "shop/cart", "--from", &events], more].concat();
        value(&text(&output(&all).stdout), "symbios_psi_score").unwrap()
    };
    assert!((psi(&[]) - 2.3 / 4.0).abs() < 1e-12, "malware is listed");
    assert!((psi(&["--policy-words", &words]) - 2.3 / 4.0).abs() < 1e-12, "and so is the zebra");
    let other = folder.file("other", "giraffe\n");
    assert!((psi(&["--policy-words", &other]) - 3.3 / 4.0).abs() < 1e-12);
}

#[tokio::test]
async fn a_file_is_followed_as_it_grows_rotates_and_has_bad_lines() {
    let folder = Folder::new("follows");
    let path = folder.0.join("events.jsonl");
    let from = path.to_str().unwrap();
    let running = Running::start(&["--workload", "shop/cart", "--from", from]);
    let write = |text: &str| {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    write("{\"psi\": 1}\n{\"psi\": 1}\nnonsense\n{\"psi\"");
    running.until("symbios_evidence_samples", 2.0).await;
    write(": 1}\n");
    running.until("symbios_evidence_samples", 3.0).await;
    std::fs::rename(&path, folder.0.join("events.1")).unwrap();
    write("{\"psi\": 0.6}\n");
    running.until("symbios_evidence_samples", 4.0).await;
    let page = running.metrics().await;
    assert!((value(&page, "symbios_psi_score").unwrap() - 0.9).abs() < 1e-12);
    assert!(page.contains("symbios_events_refused_total{reason=\"not_json\"} 1\n"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stress_lowers_psi_and_omega_and_opens_an_episode() {
    let folder = Folder::new("stress");
    let records = folder.0.join("records.jsonl");
    let running = Running::start(&["--workload", "shop/cart", "--records", records.to_str().unwrap()]);
    let stress = |arguments: &[&str]| {
        let all = [&["stress", "--url", &running.url, "-o", "json"], arguments].concat();
        let done = output(&all);
        assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
        serde_json::from_slice::<Value>(&done.stdout).unwrap()
    };
    let calm = stress(&["--intensity", "0.4", "--events", "30"]);
    assert_eq!((&calm["taken"], &calm["approved"], &calm["malformed"]), (&30.into(), &30.into(), &0.into()));
    assert_eq!(calm["omega"][1].as_f64(), Some(1.0));

    let malformed = stress(&["--intensity", "0.5", "--events", "10"]);
    assert_eq!((&malformed["malformed"], &malformed["hostile"]), (&5.into(), &0.into()));
    let hostile = stress(&["--intensity", "0.9", "--events", "10"]);
    assert_eq!((&hostile["malformed"], &hostile["hostile"]), (&9.into(), &9.into()));
    assert!(hostile["psi"].as_f64() < malformed["psi"].as_f64());
    assert!(hostile["omega"][1].as_f64() < malformed["omega"][1].as_f64());
    assert_eq!(hostile["approved"], 1);

    let page = running.metrics().await;
    assert_eq!(value(&page, "symbios_stress_active"), Some(1.0));
    assert_eq!(value(&page, "symbios_evidence_samples"), Some(50.0));
    assert!(value(&page, "symbios_omega_score").unwrap() < 0.85);
    assert_eq!(std::fs::read_to_string(records).unwrap().lines().count(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn stress_says_what_went_wrong_by_its_exit() {
    let refused = Running::start(&[]);
    let done = output(&["stress", "--events", "2", "--url", &refused.url]);
    assert_eq!(done.status.code(), Some(1), "no workload");
    let said = text(&done.stdout);
    assert!(said.contains("REFUSED     2") && said.contains("--workload"), "{said}");
    let done = output(&["stress", "--events", "2", "--url", &refused.url, "--workload", "shop/cart"]);
    assert_eq!(done.status.code(), Some(0));
    let nobody = output(&["stress", "--url", "http://127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(3));
    assert_eq!(output(&["stress", "--intensity", "2"]).status.code(), Some(64));
}
