//! What is lost and comes back: Prometheus in each stage of a league, the leader with it, and the gateway.

use super::process::{kill_leader, leader};
use crate::audit::verify;
use crate::cluster::{Load, Space, ours, try_ours, until};
use crate::gateway::answering;
use crate::league::route::Route;
use crate::league::{Arena, METHODS, SHORT, reachable};
use crate::workload::{mvs, shop};

/// Prometheus is gone until this is dropped.
struct Outage;

impl Outage {
    fn begin() -> Self {
        ours("prometheus", &["down"]);
        Self
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        if let Err(said) = try_ours("prometheus", &["up"]) {
            eprintln!("Prometheus is still gone: {said}"); // a second panic would end every scenario
        }
    }
}

/// A Deployment under load, scaled by what Prometheus says of it.
struct Scaled {
    space: Space,
    _load: Load,
}

impl Scaled {
    fn new() -> Self {
        let space = Space::new("e2e-outage");
        space.apply(&shop("web", "v1", 2, 30082));
        let spec = "  minReplicas: 1\n  maxReplicas: 4\n  targets: {latencyTarget: 250}";
        space.apply(&mvs("web", "web", spec));
        Self { space, _load: Load::start(30082, "0s:15,1100s:15") }
    }

    fn until_metrics(&self, status: &str) {
        until(90, &format!("MetricsAvailable={status}"), || {
            (self.space.condition("web", "MetricsAvailable").0 == status).then_some(())
        });
    }

    fn replicas(&self) -> i64 {
        self.space.replicas("web")
    }
}

/// Prometheus gone in each stage holds the league and the count, the leader's death beside it loses nothing, and both go on.
#[test]
fn outages_and_deaths_hold_a_league_and_a_count_and_end_neither() {
    if !reachable() {
        return;
    }
    let scaled = Scaled::new();
    let arena = Arena::with_challenger("e2e-league-outage", "v2", &[("NOTE", "next")]);
    let watched = arena.watch_route();
    let _traffic = arena.traffic(METHODS, "0s:60,900s:60");
    // An outage takes half a minute of evidence from the canary stage, and what is left of it must tell two equals to be equals.
    let stages = SHORT
        .replace("shadowSeconds: 12", "shadowSeconds: 30")
        .replace("rollbackWindowSeconds: 30", "rollbackWindowSeconds: 60");
    scaled.until_metrics("True");
    arena.gate("", &stages);
    for (stage, next) in [("Shadow", "Canary"), ("Canary", "Promote"), ("Promote", "Promoted")] {
        arena.until_stage(420, stage);
        // The rollout needs no metrics; the watch after it does.
        until(90, "the stage is under way", || (arena.league()["reason"] != "RollingOut").then_some(()));
        if stage == "Promote" {
            until(90, "the watch", || (arena.league()["reason"] == "Collecting").then_some(()));
        }
        let since = arena.league()["since"].clone();
        let outage = Outage::begin();
        let count = scaled.replicas();
        until(90, "the league waits", || (arena.league()["reason"] == "NoFreshEvidence").then_some(()));
        assert_eq!(arena.stage(), stage, "nothing passes and nothing ends without evidence");
        scaled.until_metrics("False");
        let first = kill_leader();
        until(90, "another leader", || leader().filter(|l| *l != first));
        assert_eq!(scaled.replicas(), count, "the count holds");
        drop(outage);
        assert_eq!(arena.league()["since"], since, "it is the same stage");
        scaled.until_metrics("True");
        until(420, &format!("{stage} is left"), || {
            let now = arena.stage();
            (now != stage || now == next).then(|| assert_eq!(now, next, "{}", arena.league()))
        });
    }
    assert!(watched.states().iter().all(Route::whole), "{:?}", watched.states());
    arena.until_home();
    until(30, "the ledger verifies", || verify().ok());
}

#[test]
fn a_route_survives_the_gateways_death() {
    if !reachable() {
        return;
    }
    let arena = Arena::with_equals("e2e-death");
    let watched = arena.watch_route();
    answering(&arena);
    ours("cluster", &["kill", "envoy"]);
    ours("cluster", &["kill", "contour"]);
    let sent = arena.traffic("GET:1", "0s:10,1s:10").wait();
    assert_eq!(sent.errors(), sent.total(), "nobody listens");
    ours("gateway", &["up"]);
    answering(&arena);
    assert_eq!(watched.states(), [arena.route()]);
}
