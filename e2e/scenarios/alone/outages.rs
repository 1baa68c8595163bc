//! What is lost and comes back: Prometheus, also in each stage of a league and the leader with it, and the gateway.

use super::process::{kill_leader, leader};
use crate::audit::verify;
use crate::cluster::{Load, Space, ours, present, stays, try_ours, until};
use crate::gateway::answering;
use crate::league::route::Route;
use crate::league::{Arena, CHALLENGER, METHODS, SHORT, reachable};
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

#[test]
fn an_outage_of_prometheus_holds_and_recovers() {
    if !present() {
        return;
    }
    let space = Space::new("e2e-outage");
    space.apply(&shop("web", "v1", 2, 30082));
    space.apply(&mvs("web", "web", "  minReplicas: 1\n  maxReplicas: 4\n  targets: {latencyTarget: 250}"));
    let _load = Load::start(30082, "0s:15,200s:15");
    until(90, "metrics arrive", || (space.condition("web", "MetricsAvailable").0 == "True").then_some(()));
    let before = space.replicas("web");
    let outage = Outage::begin();
    until(60, "MetricsAvailable=False", || {
        (space.condition("web", "MetricsAvailable").0 == "False").then_some(())
    });
    stays(10, "the count holds", || space.replicas("web") == before);
    drop(outage);
    until(90, "recovery", || (space.condition("web", "MetricsAvailable").0 == "True").then_some(()));
}

/// Prometheus gone in each stage holds the league, the leader's death in each stage loses nothing, and it goes on.
#[test]
fn outages_and_deaths_in_each_stage_hold_a_league_and_do_not_end_it() {
    if !reachable() {
        return;
    }
    let arena = Arena::with_challenger("e2e-league-outage", "v2", &[("NOTE", "next")]);
    let watched = arena.watch_route();
    let _traffic = arena.traffic(METHODS, "0s:60,900s:60");
    // An outage takes half a minute of evidence from the canary stage, and what is left of it must tell two equals to be equals.
    let stages = SHORT
        .replace("shadowSeconds: 12", "shadowSeconds: 30")
        .replace("rollbackWindowSeconds: 30", "rollbackWindowSeconds: 60");
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
        until(90, "the league waits", || (arena.league()["reason"] == "NoFreshEvidence").then_some(()));
        assert_eq!(arena.stage(), stage, "nothing passes and nothing ends without evidence");
        let first = kill_leader();
        until(90, "another leader", || leader().filter(|l| *l != first));
        drop(outage);
        assert_eq!(arena.league()["since"], since, "it is the same stage");
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
    arena.weigh(90, 10);
    ours("cluster", &["kill", "envoy"]);
    ours("cluster", &["kill", "contour"]);
    let sent = arena.traffic("GET:1", "0s:10,1s:10").wait();
    assert_eq!(sent.errors(), sent.total(), "nobody listens");
    ours("gateway", &["up"]);
    answering(&arena);
    assert_eq!(watched.states().last(), Some(&arena.route()));
    assert_eq!(arena.route().weight(CHALLENGER), 10);
}
