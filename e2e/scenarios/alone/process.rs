//! The operator's process: leadership, sudden death, the ledger after all that, silence when nothing happens.

use std::time::Duration;

use crate::audit::verify;
use crate::cluster::{Load, Space, ours, present, run, until};
use crate::workload::{mvs, shop};

const SYSTEM: &str = "matverse-system";

/// The identity that holds the lease.
pub fn leader() -> Option<String> {
    let lease = run(
        "kubectl",
        &["-n", SYSTEM, "get", "lease", "matverse", "-o", "jsonpath={.spec.holderIdentity}"],
        None,
    );
    lease.ok().filter(|l| !l.is_empty())
}

/// Ends the leading pod without warning; the identity it had.
pub fn kill_leader() -> String {
    let first = until(60, "a leader", leader);
    let pod = first.split('_').next().unwrap();
    run("kubectl", &["-n", SYSTEM, "delete", "pod", pod, "--grace-period=0", "--force"], None).unwrap();
    first
}

#[test]
fn the_leader_dies_in_the_middle_and_no_act_is_lost_or_doubled() {
    if !present() {
        return;
    }
    let space = Space::new("e2e-leader");
    for i in 0..6 {
        space.apply(&shop(&format!("web{i}"), "v1", 1, 0));
    }
    until(60, "a leader", leader);
    for i in 0..6 {
        space.apply(&mvs(&format!("web{i}"), &format!("web{i}"), "  minReplicas: 2"));
    }
    std::thread::sleep(Duration::from_millis(700));
    let first = kill_leader();
    until(60, "another leader", || leader().filter(|l| *l != first));
    for i in 0..6 {
        until(60, "each is at its minimum", || (space.replicas(&format!("web{i}")) == 2).then_some(()));
    }
    // Deployments' generations count writes of the spec: 1 at creation, 1 for the one act.
    for i in 0..6 {
        let generation = space.get(&format!("deployment/web{i}"))["metadata"]["generation"].as_i64();
        assert_eq!(generation, Some(2), "web{i} was written more than once");
    }
    until(30, "the ledger verifies", || verify().ok());
}

#[test]
fn the_api_server_restarts_and_the_loop_goes_on() {
    if !present() {
        return;
    }
    let space = Space::new("e2e-restart");
    space.apply(&shop("web", "v1", 1, 30085));
    space.apply(&mvs("web", "web", "  minReplicas: 1\n  maxReplicas: 3\n  targets: {latencyTarget: 250}"));
    let _load = Load::start(30085, "0s:10,200s:10");
    until(60, "it evaluates", || (space.condition("web", "Ready").0 == "True").then_some(()));
    ours("cluster", &["restart", "kube-apiserver"]);
    until(60, "the API server answers", || run("kubectl", &["get", "--raw", "/readyz"], None).ok());
    space.kubectl(&["patch", "mvs", "web", "--type=merge", "-p", r#"{"spec":{"minReplicas":2}}"#]);
    until(90, "the loop goes on", || (space.replicas("web") == 2).then_some(()));
    until(30, "the ledger verifies", || verify().ok());
}

#[test]
fn a_steady_state_writes_nothing() {
    if !present() {
        return;
    }
    let space = Space::new("e2e-steady");
    space.apply(&shop("web", "v1", 1, 30086));
    space.apply(&mvs("web", "web", "  minReplicas: 1\n  maxReplicas: 2\n  targets: {latencyTarget: 1000}"));
    let _load = Load::start(30086, "0s:10,200s:10");
    until(90, "metrics arrive", || (space.condition("web", "MetricsAvailable").0 == "True").then_some(()));
    // The model of the demand and its check are known within the first minute.
    std::thread::sleep(Duration::from_secs(75));
    let version = || space.get("mvs/web")["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let events = || space.get("events.events.k8s.io")["items"].as_array().map(Vec::len);
    let told = events();
    // What is learned late (which model sizes, say) may still be told once.
    let silent = (0..2).any(|_| {
        let before = version();
        std::thread::sleep(Duration::from_secs(30));
        version() == before
    });
    assert!(silent, "status is written although nothing changes");
    assert_eq!(events(), told, "an event was written although nothing changed");
}

#[test]
fn the_operator_is_never_refused_by_its_own_rights() {
    if !present() {
        return;
    }
    let log = format!("{}/audit.log", std::env::var("MATVERSE_E2E_LOG").unwrap());
    let text = std::fs::read_to_string(log).unwrap();
    let identity = "system:serviceaccount:matverse-system:";
    // Not an administrator who tries what that identity may do: that is the administrator's own request.
    let its = |e: &serde_json::Value| e["user"]["username"].as_str().is_some_and(|u| u.starts_with(identity));
    let ours: Vec<serde_json::Value> = text
        .lines()
        .filter(|l| l.contains(identity))
        .filter_map(|l| serde_json::from_str(l).ok())
        .filter(its)
        .collect();
    assert!(ours.len() > 20, "the audit log shows the operator at work");
    // By the authorizer, that is: a namespace that is being deleted answers 403 as well.
    let decided = |e: &serde_json::Value, how| e["annotations"]["authorization.k8s.io/decision"] == how;
    // A server that has just restarted refuses everybody until it has read its roles: what it grants later is a right.
    let granted = |after: usize, e: &serde_json::Value| {
        ours[after..].iter().any(|later| decided(later, "allow") && right(later) == right(e))
    };
    let refused: Vec<_> = (ours.iter().enumerate())
        .filter(|(i, e)| decided(e, "forbid") && !granted(*i, e))
        .map(|(_, e)| (&e["verb"], &e["requestURI"]))
        .collect();
    assert!(refused.is_empty(), "403: {refused:?}");
    assert!(!ours.iter().any(|e| e["user"]["groups"].to_string().contains("system:masters")));
}

/// What a request needs to be granted. Roles of one namespace are only in the operator's own namespaces.
fn right(request: &serde_json::Value) -> [&str; 5] {
    let object = &request["objectRef"];
    let of = |key: &str| object[key].as_str().unwrap_or_default();
    let verb = request["verb"].as_str().unwrap_or_default();
    let namespace = Some(of("namespace")).filter(|name| name.starts_with("matverse-")).unwrap_or_default();
    if of("resource").is_empty() {
        return [verb, request["requestURI"].as_str().unwrap_or_default(), "", "", ""];
    }
    [verb, of("apiGroup"), of("resource"), of("subresource"), namespace]
}
