//! The record, looked at by somebody who trusts nobody: annotations, and who may mark what is exported.

use crate::cluster::{Space, ours, present, run, until};
use crate::workload::{mvs, shop};

pub fn key() -> String {
    ours("public-key", &[]).trim().to_owned()
}

pub fn ledger(arguments: &[&str]) -> Result<String, String> {
    let key = key();
    run("matverse", &[&["ledger"], arguments, &["--key", &key]].concat(), None)
}

/// Whether the ledger holds, by the public key alone.
pub fn verify() -> Result<String, String> {
    ledger(&["verify", "--cluster"])
}

/// What the annotations of the target are worth.
pub fn worth(space: &Space, target: &str) -> String {
    let name = format!("{}/{target}", space.name);
    ledger(&["verify", "target", &name]).unwrap_or_else(|refused| refused)
}

fn annotations(space: &Space, target: &str) -> Vec<String> {
    let found = space.get(&format!("deployment/{target}"))["metadata"]["annotations"].clone();
    ["decision", "attestation"]
        .iter()
        .map(|key| format!("autonomy.matverse.io/{key}"))
        .map(|key| format!("{key}={}", found[&key].as_str().unwrap()))
        .collect()
}

fn annotate(space: &Space, target: &str, annotations: &[String]) {
    let target = format!("deployment/{target}");
    let annotations: Vec<&str> = annotations.iter().map(String::as_str).collect();
    space.kubectl(&[&["annotate", "--overwrite", &target], annotations.as_slice()].concat());
}

#[test]
fn annotations_are_worth_what_the_ledger_says() {
    if !present() {
        return;
    }
    let space = Space::new("e2e-worth");
    space.apply(&shop("web", "v1", 1, 0));
    assert!(worth(&space, "web").contains("EXTERNAL"));
    space.apply(&mvs("web", "web", "  minReplicas: 2\n  maxReplicas: 2"));
    until(60, "two replicas", || (space.replicas("web") == 2).then_some(()));
    let said =
        until(20, "a recorded outcome", || Some(worth(&space, "web")).filter(|said| said.contains("VALID")));
    assert!(said.starts_with("deployment e2e-worth/web: VALID"), "{said}");
    // Another revision, and another act on it.
    space.kubectl(&["set", "env", "deployment/web", "EDITION=second"]);
    space.kubectl(&["rollout", "status", "deployment/web", "--timeout=90s"]);
    space.kubectl(&[
        "patch",
        "mvs",
        "web",
        "--type=merge",
        "-p",
        r#"{"spec":{"minReplicas":3,"maxReplicas":3}}"#,
    ]);
    until(60, "three replicas", || (space.replicas("web") == 3).then_some(()));
    until(20, "valid again", || worth(&space, "web").contains("VALID").then_some(()));
    // The operator must not take back what follows.
    space.kubectl(&["patch", "mvs", "web", "--type=merge", "-p", r#"{"spec":{"paused":true}}"#]);
    let second = annotations(&space, "web");
    space.kubectl(&["rollout", "undo", "deployment/web"]);
    let said = until(20, "the old annotations are back", || {
        Some(worth(&space, "web")).filter(|said| !said.contains("VALID") && !said.contains("EXTERNAL"))
    });
    assert!(said.contains("STALE"), "{said}");
    let forged = second[1].replace("index=", "index=1");
    annotate(&space, "web", &[second[0].clone(), forged]);
    assert!(worth(&space, "web").contains("FORGED"), "{}", worth(&space, "web"));
    annotate(&space, "web", &second);
    assert!(worth(&space, "web").contains("EXTERNAL"), "the template is not what that act left");
}

#[test]
fn the_exporter_marks_what_it_has_and_the_policies_stand() {
    if !present() {
        return;
    }
    let system = ["-n", "matverse-system"];
    let kubectl = |arguments: &[&str]| run("kubectl", &[&system, arguments].concat(), None).unwrap();
    let cron = kubectl(&["get", "cronjob", "-o", "name"]).trim().to_owned();
    run("kubectl", &[&system[..], &["delete", "job", "e2e-export", "--ignore-not-found"]].concat(), None)
        .unwrap();
    kubectl(&["create", "job", "e2e-export", &format!("--from={cron}")]);
    kubectl(&["wait", "--for=condition=complete", "job/e2e-export", "--timeout=90s"]);
    let get =
        |arguments: &[&str]| run("kubectl", &[&["-n", "matverse-ledger"], arguments].concat(), None).unwrap();
    let exported: u64 =
        get(&["get", "configmap", "exported", "-o", "jsonpath={.data.size}"]).parse().unwrap();
    let size: u64 = get(&["get", "configmap", "tail", "-o", "jsonpath={.data.size}"]).parse().unwrap();
    assert!(exported > 0 && exported <= size, "{exported} of {size}");
    let report = verify().unwrap();
    assert!(report.contains("refused a write, as it must"), "{report}");
    // Nobody else may, not even an administrator.
    let forged = run(
        "kubectl",
        &[
            "-n",
            "matverse-ledger",
            "patch",
            "configmap",
            "exported",
            "--type=merge",
            "-p",
            r#"{"data":{"size":"0"}}"#,
        ],
        None,
    );
    assert!(forged.unwrap_err().contains("ValidatingAdmissionPolicy"));
}
