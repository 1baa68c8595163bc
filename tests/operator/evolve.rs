//! The league from the command line: what it writes, in which order, and what it leaves alone.

use std::path::PathBuf;
use std::time::Duration;

use axum::http::Method;
use matverse::cli::evolve::{Evolve, Output, runs};
use matverse::cli::request::{Promote, Rollback};
use matverse::decide::evolve::{Space, candidates};
use matverse::operator::clock::Clock;
use matverse::operator::league::REQUEST;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::api_server::{ApiServer, Fault, Planned};
use crate::support::objects::{NS, deployment, gate};

const REST: Duration = Duration::from_millis(10);

struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn file(name: &str) -> File {
    File(std::env::temp_dir().join(format!("matverse-runs-{}-{name}", std::process::id())))
}

fn evolve(runs: &File, n: u64, budget: Duration) -> Evolve {
    Evolve {
        gate: format!("{NS}/web"),
        n,
        budget,
        seed: 7,
        parameters: None,
        container: None,
        dry_run: false,
        runs: runs.0.clone(),
        output: Output::Json,
    }
}

async fn set() -> ApiServer {
    let server = ApiServer::start().await;
    server.put("deployments", deployment("web", 2));
    server.put("deployments", deployment("next", 1));
    let side = |name: &str| json!({"deployment": name, "service": name, "port": 80});
    let league = json!({"league": {"champion": side("web"), "challenger": side("next")}});
    server.put("omegagates", gate("web", &league));
    server
}

/// The operator's part: a new template of the challenger goes through a league; the second is promoted.
fn operator(server: &ApiServer) -> JoinHandle<()> {
    let server = server.clone();
    tokio::spawn(async move {
        let env = || {
            server.get("deployments", NS, "next").unwrap()["spec"]["template"]["spec"]["containers"][0]["env"]
                .clone()
        };
        let status = |stage: &str, n: usize, reason: &str| {
            server.edit("omegagates", NS, "web", |g| {
                g["status"] = json!({"gates": [{"name": "sr", "value": 0.81, "pass": "Yes", "reason": ""},
                        {"name": "deltaLinf", "value": 0.03, "pass": "Yes", "reason": ""}],
                    "signals": [{"name": "score.u", "state": "Fresh", "value": 0.9}],
                    "league": {"stage": stage, "since": "", "samples": 0, "run": format!("run-{n}"),
                        "challengerTemplate": format!("t-{n}"), "reason": reason}});
            });
        };
        let (mut last, mut n) = (env(), 0);
        loop {
            tokio::time::sleep(3 * REST).await;
            if env() == last {
                continue;
            }
            (last, n) = (env(), n + 1);
            status("Shadow", n, "");
            tokio::time::sleep(3 * REST).await;
            if n == 2 {
                let leaf = json!("v1 origin=t/m index=4 leaf=bGVhZg== size=5 root=cg== sig=cw==");
                server.edit("deployments", NS, "web", |d| {
                    d["metadata"]["annotations"]["autonomy.matverse.io/attestation"] = leaf
                });
                status("Promoted", n, "WatchPassed");
            } else {
                status("RolledBack", n, "ErrorsWorse");
            }
        }
    })
}

fn lines(runs: &File) -> Vec<runs::Run> {
    let text = std::fs::read_to_string(&runs.0).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn each_candidate_goes_through_the_league_and_only_a_promoted_one_moves_the_pointer() {
    let (server, runs) = (set().await, file("league"));
    let league = operator(&server);
    let old =
        json!({"metadata": {"name": "web-champion", "namespace": NS}, "data": {"candidate": "an older one"}});
    server.put("configmaps", old);
    server.plan(Planned::at(Method::PUT, "configmaps", Fault::StatusMoves));
    let verb = evolve(&runs, 3, Duration::from_secs(60));
    assert!(verb.with(&server.client("anna"), &Clock::system(), REST).await.unwrap());
    league.abort();
    let wanted = candidates(&Space::default(), 3, 7).unwrap();
    let found = lines(&runs);
    let digests = |all: Vec<String>| all;
    assert_eq!(
        digests(found.iter().map(|run| run.candidate.clone()).collect()),
        digests(wanted.iter().map(|candidate| candidate.digest.clone()).collect())
    );
    let verdicts: Vec<_> = found.iter().map(|run| (run.verdict.as_str(), run.reason.as_str())).collect();
    assert_eq!(verdicts, [("fail", "ErrorsWorse"), ("promote", "WatchPassed"), ("fail", "ErrorsWorse")]);
    let second = &found[1];
    assert_eq!((second.id.as_str(), second.attestation_leaf.as_deref()), ("run-2", Some("bGVhZg==")));
    assert_eq!(
        (second.sr, second.delta_linf, second.scores.u, second.linf),
        (Some(0.81), Some(0.03), Some(0.9), None)
    );
    assert_eq!(second.parameters, wanted[1].parameters);
    let pointer = server.get("configmaps", NS, "web-champion").unwrap()["data"].clone();
    assert_eq!(
        (&pointer["candidate"], &pointer["run"], &pointer["template"]),
        (&json!(wanted[1].digest), &json!("run-2"), &json!("t-2"))
    );
    let moves: Vec<bool> = server.writes("configmaps").iter().map(|write| write.committed).collect();
    assert_eq!(moves, [false, true], "the move that met another's write was made anew");
    assert_eq!(server.fired(), [Fault::StatusMoves]);
    assert_eq!(server.rehearsed("deployments"), 3, "all of them before the first is set");
    let sets = server.writes("deployments");
    assert_eq!(sets.iter().map(|write| write.name.as_str()).collect::<Vec<_>>(), ["next"; 3]);
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let (server, runs) = (set().await, file("dry"));
    let verb = Evolve { dry_run: true, ..evolve(&runs, 8, Duration::from_secs(60)) };
    assert!(verb.with(&server.client("anna"), &Clock::system(), REST).await.unwrap());
    assert_eq!((server.history(), server.rehearsed("deployments")), (Vec::new(), 8));
    assert!(!runs.0.exists());
}

#[tokio::test]
async fn what_the_budget_does_not_reach_is_recorded_and_nothing_is_promoted() {
    let (server, runs) = (set().await, file("budget"));
    let verb = evolve(&runs, 3, Duration::from_millis(300));
    assert!(!verb.with(&server.client("anna"), &Clock::system(), REST).await.unwrap());
    let found = lines(&runs);
    let reasons: Vec<&str> = found.iter().map(|run| run.reason.as_str()).collect();
    let not_tried = "not tried: the budget is used up";
    assert_eq!(reasons, ["the budget was used up before an end", not_tried, not_tried]);
    assert!(found.iter().all(|run| run.verdict == runs::Verdict::Fail && run.gates.is_empty()));
    assert_eq!(server.history().len(), 1);
    assert_eq!(server.get("configmaps", NS, "web-champion"), None);
}

#[tokio::test]
async fn a_league_under_way_and_a_gate_without_one_are_left_alone() {
    let (server, runs) = (set().await, file("busy"));
    let why = async || {
        let verb = evolve(&runs, 1, Duration::from_secs(1));
        verb.with(&server.client("anna"), &Clock::system(), REST).await.unwrap_err().to_string()
    };
    server.edit("omegagates", NS, "web", |g| g["status"]["league"]["stage"] = json!("Canary"));
    assert!(why().await.contains("under way"));
    server.edit("omegagates", NS, "web", |g| g["spec"]["league"] = Value::Null);
    assert!(why().await.contains("no spec.league"));
    assert_eq!(server.history(), Vec::new());
}

#[tokio::test]
async fn a_request_names_who_asks() {
    let (server, runs) = (set().await, file("asks"));
    let asked = || server.get("omegagates", NS, "web").unwrap()["metadata"]["annotations"][REQUEST].clone();
    let client = server.client("anna");
    let promote = Promote { run: "run-2".into(), gate: None, runs: runs.0.clone() };
    assert!(promote.ask(&client).await.is_err(), "nobody knows this run");
    let promote = Promote { gate: Some(format!("{NS}/web")), ..promote };
    assert_eq!(promote.ask(&client).await.unwrap(), "promote run-2 by=anna");
    assert_eq!(asked(), "promote run-2 by=anna");
    let rollback = Rollback { gate: format!("{NS}/web"), to: "last-good".into() };
    rollback.ask(&client).await.unwrap();
    assert_eq!(asked(), "rollback last-good by=anna");
}
