//! What the verbs that read and write streams do with pipes: nothing is lost on the way in, and a reader that goes
//! away is no error.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn matverse(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_matverse"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A folder of its own, by the name of the test.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("matverse-streams-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

const FIRST: &str = r#"{"time":"2026-01-01T00:00:00Z","workload":"a/b","spec":{"targetRef":{"apiVersion":"apps/v1","name":"b"}},"replicas":{"desired":2}}"#;
const NEXT: &str = r#"{"time":"2026-01-01T00:00:15Z","workload":"a/b"}"#;

#[test]
fn a_named_pipe_is_answered_line_by_line() {
    let folder = folder("pipe");
    let pipe = folder.join("in");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut child = matverse(&["replay", pipe.to_str().unwrap()]).spawn().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = OpenOptions::new().write(true).open(&pipe).unwrap();
    for line in [FIRST, NEXT] {
        writeln!(lines, "{line}").unwrap();
        let answer = answers.next().unwrap().unwrap();
        assert!(answer.contains(r#""action":"Noop""#), "{answer}");
    }
    drop(lines);
    assert!(answers.next().is_none());
    assert!(child.wait().unwrap().success());
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn standard_input_by_its_path_is_read_from_the_first_line() {
    let mut child = matverse(&["replay", "/dev/stdin"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{FIRST}\n{NEXT}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count(), 2);
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is() {
    let folder = folder("out");
    let (old, new, trace) = (folder.join("old"), folder.join("new"), folder.join("trace.csv"));
    std::fs::write(&old, "1\n2\n").unwrap();
    std::fs::write(&new, "1\n2\n").unwrap();
    std::fs::write(&trace, "minute,a\n0,60\n1,60\n").unwrap();
    let gate = folder.join("gate");
    let nothing = r#"{"time":"2026-01-01T00:00:00Z","spec":{"targetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"b"}},"readings":{}}"#;
    std::fs::write(&gate, nothing).unwrap();
    let [old, new, trace, gate] = [&old, &new, &trace, &gate].map(|path| path.to_str().unwrap());
    let judge = ["judge", "--baseline", old, "--challenger", new];
    for (arguments, code) in [
        (&["simulate", trace][..], 0),
        (&["simulate", trace, "-o", "json"], 0),
        (&["crds"], 0),
        // The verdict stands, whoever reads it.
        (&judge, 2),
        (&["gate", "check", "--from", gate], 2),
    ] {
        let mut child = matverse(arguments).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(code), ""), "{arguments:?}");
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = matverse(arguments).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.starts_with("matverse") && !said.contains("panicked"), "{said}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn options_that_would_be_passed_over_are_refused() {
    let folder = folder("refused");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let trace = file("trace.csv", "minute,a,b\n0,60,60\n");
    let (spec, empty, ledger) = (
        file("spec.yaml", "targetRef: {name: web}\nminReplicas: 0\n"),
        file("empty", ""),
        file("l.yaml", ""),
    );
    let to = folder.join("to");
    let export = ["ledger", "export", &ledger, "--key", "k", "--to", to.to_str().unwrap()];
    for (arguments, code, says) in [
        (&["replay", &empty, "--key", "k"][..], 3, "no ledger"),
        (&["replay", "-", "--diff"], 3, "no ledger"),
        (&[&export[..], &["--mark"]].concat(), 64, "--mark"),
        (&[&export[..], &["--namespace", "other"]].concat(), 64, "--namespace"),
        (&["simulate", "steady", "--quota", "4"], 3, "--quota is for a trace"),
        (&["simulate", &trace, "--quota", "1"], 3, "2 services"),
        (&["simulate", "steady", "--policy", "hpa", "--spec", &spec], 3, "--spec is for matverse"),
        (&["simulate", "steady", "--spec", &spec], 3, "spec.yaml: spec.minReplicas"),
    ] {
        let output = matverse(arguments).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}
