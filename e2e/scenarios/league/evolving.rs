//! Leagues that somebody else begins, or holds up: `matverse evolve`, and soft-steer.

use std::path::PathBuf;

use matverse::decide::evolve::{Candidate, Parameter, Space as Parameters, candidates};
use serde_json::Value;

use super::{Arena, CHALLENGER, CHAMPION, LOAD, METHODS};
use crate::cluster::{run, until};

/// Four notes at a good speed and four at a bad one.
fn space(speeds: &[&str]) -> Parameters {
    Parameters {
        parameters: vec![Parameter::set("SERVICE_MS", speeds), Parameter::set("NOTE", &["a", "b", "c", "d"])],
    }
}

fn speed(of: &Candidate) -> &str {
    of.parameters
        .iter()
        .find(|(name, _)| name.as_str() == "SERVICE_MS")
        .map_or("", |(_, value)| value.as_str())
}

/// A file of this run, gone with it.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("matverse-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.0).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn evolve(arena: &Arena, seed: u64, n: &str, space: &Parameters, further: &[&str]) -> Result<String, String> {
    let parameters = File::new("parameters.json", &serde_json::to_string(space).unwrap());
    let (gate, seed) = (format!("{}/{CHAMPION}", arena.space.name), seed.to_string());
    let mut all = vec!["evolve", &gate, "--n", n, "--seed", &seed, "--parameters", parameters.path()];
    all.extend(["--budget", "20m", "-o", "json"]);
    all.extend(further);
    run("matverse", &all, None)
}

/// Candidates from a seed go through the league one after the other: a slow one fails, a good one is promoted, and the
/// pointer names it.
pub fn evolved(arena: &Arena, league: &str) {
    let _traffic = arena.traffic(METHODS, LOAD);
    arena.gate("", league);
    until(60, "the gate is read", || (!arena.space.get("og/web")["status"].is_null()).then_some(()));
    let both = space(&["20", "120"]);
    let first_two = |seed: u64| candidates(&both, 2, seed).unwrap();
    let seed = (0..1000).find(|seed| first_two(*seed).iter().map(speed).eq(["120", "20"])).unwrap();
    let template = arena.template(CHALLENGER);
    let said = evolve(arena, seed, "8", &both, &["--dry-run"]).unwrap();
    let digests: std::collections::BTreeSet<&str> = said.lines().collect();
    assert_eq!(digests.len(), 8, "{said}");
    assert_eq!(arena.template(CHALLENGER), template, "a dry run writes nothing");

    let runs = File::new("runs.jsonl", "");
    let _ = evolve(arena, seed, "2", &both, &["--runs", runs.path()]);
    let found = runs.lines();
    let wanted = first_two(seed);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().zip(&wanted).all(|(run, candidate)| run["candidate"] == candidate.digest.as_str()));
    assert_eq!(found[0]["verdict"], "fail", "{found:?}");
    assert!(["LatencyWorse", "P95"].contains(&found[0]["reason"].as_str().unwrap()), "{found:?}");
    let mut last = found[1].clone();
    let (good, mut winner) = (space(&["20"]), wanted[1].clone());
    for again in 1..3 {
        // What noise can do to a good one: an end without a verdict.
        if last["reason"] != "Undecided" {
            break;
        }
        eprintln!("no verdict: {last}");
        let fresh = |seed: &u64| candidates(&good, 1, *seed).unwrap()[0].parameters != winner.parameters;
        let seed = (again * 100..again * 100 + 99).find(fresh).unwrap();
        winner = candidates(&good, 1, seed).unwrap().remove(0);
        let _ = evolve(arena, seed, "1", &good, &["--runs", runs.path()]);
        last = runs.lines().pop().unwrap();
    }
    assert_eq!((&last["verdict"], &last["reason"]), (&"promote".into(), &"WatchPassed".into()), "{last}");
    assert!(last["attestationLeaf"].as_str().is_some_and(|leaf| !leaf.is_empty()), "{last}");
    let pointer = arena.space.get("configmap/web-champion");
    assert_eq!(pointer["data"]["candidate"], winner.digest.as_str(), "{pointer}");
    assert_eq!(arena.template(CHAMPION), arena.template(CHALLENGER));
    let environment = arena.template(CHAMPION)["env"].clone();
    let has = |name: &str, value: &str| {
        environment.as_array().into_iter().flatten().any(|one| one["name"] == name && one["value"] == value)
    };
    assert!(winner.parameters.iter().all(|(name, value)| has(name, value)), "{environment}");
}

/// Effort that is not calm keeps a canary waiting, and keeps nobody from ending one.
pub fn steered(arena: &Arena, league: &str) {
    let _traffic = arena.traffic(METHODS, LOAD);
    arena.gate("  steer: {}\n  antifragile: {learn: true}", league);
    arena.until_stage(60, "Shadow");
    until(120, "the canary waits", || (arena.league()["reason"] == "NotCalm").then_some(()));
    // Not known yet, and then known to be restless: replicas that come and go by hand.
    for count in ["3", "2", "3"] {
        arena.space.kubectl(&["scale", "deployment", CHAMPION, "--replicas", count]);
        std::thread::sleep(std::time::Duration::from_secs(5));
    }
    crate::cluster::stays(45, "it goes on waiting", || arena.stage() == "Shadow");
    arena.until_stage(240, "Canary");
    let began = std::time::Instant::now();
    for count in ["2", "3", "2"] {
        arena.space.kubectl(&["scale", "deployment", CHAMPION, "--replicas", count]);
    }
    arena.ail(CHALLENGER, 0, 0.5);
    arena.until_stage(60, "RolledBack");
    eprintln!("steered: sent back {} s after the canary began, amid unrest", began.elapsed().as_secs());
    assert!(["ErrorsWorse", "ErrorMax"].contains(&arena.league()["reason"].as_str().unwrap_or_default()));
}
