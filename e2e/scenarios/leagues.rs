//! Leagues on the real control plane, with real requests through a real gateway.
//!
//! Several run side by side, each in a namespace of its own: what one of them waits for, the others use.

use std::time::Duration;

use serde_json::{Value, json};

use crate::audit::{every_decision_is_made_again, worth};
use crate::cluster::{Load, Space, present, run, until};
use crate::league::evolving;
use crate::league::route::Route;
use crate::league::{Arena, CHALLENGER, CHAMPION, CONTESTANT, Outage, evidence, reachable};
use crate::process::{kill_leader, leader, verify};

/// Stages short enough for a test; samples few enough for its load. "As good" takes some 500 requests, more on a
/// machine that is busy: the canary stage has 400 of them, and 1,200 with its extensions.
const SHORT: &str = "    shadowSeconds: 12\n    canarySeconds: 80\n    rollbackWindowSeconds: 30\n    weight: 0.2\n    \
                     minSamplesShadow: 60\n    minSamplesCanary: 60\n    p95Ms: 150";
const METHODS: &str = "GET:3,POST:1";
const LOAD: &str = "0s:25,900s:25";

fn begin(name: &str, image: &str, environment: &[(&str, &str)]) -> Arena {
    let arena = Arena::new(name);
    arena.apply(CHAMPION, "v1", &[]);
    arena.apply(CHALLENGER, image, environment);
    arena.ready(CHAMPION);
    arena.ready(CHALLENGER);
    arena
}

/// The end of a league, with its token.
fn ended(arena: &Arena, seconds: u64, stage: &str) -> String {
    until(seconds, &format!("{}: the end {stage}", arena.space.name), || {
        let league = arena.league();
        (league["stage"] == stage).then(|| league["reason"].as_str().unwrap_or_default().to_owned())
    })
}

fn league_event(arena: &Arena, text: &str) -> bool {
    arena.space.events("LeagueStage").iter().any(|note| note.contains(text))
}

fn home(arena: &Arena) {
    until(30, "all requests go to the champion", || {
        let route = arena.route();
        (route.weight(CHAMPION) == 100 && !route.mirrors()).then_some(())
    });
}

/// A good challenger goes all the way, and every state of the route on the way is whole.
fn good() {
    let arena = begin("e2e-league-good", "v2", &[("NOTE", "next")]);
    let before = arena.template(CHAMPION);
    let watched = arena.watch_route();
    let traffic = arena.traffic(METHODS, LOAD);
    arena.gate("", SHORT);
    arena.until_stage(60, "Shadow");
    until(30, "reads are mirrored and writes are not", || {
        let counts = arena.counts(CHALLENGER);
        (counts.mirrored("GET") > 20).then(|| assert_eq!(counts.mirrored("POST"), 0))
    });
    assert_eq!(arena.route().weight(CHALLENGER), 0);
    arena.until_stage(120, "Canary");
    until(30, "the canary has its share", || (arena.route().weight(CHALLENGER) == 20).then_some(()));
    arena.until_promote(360);
    assert_eq!(ended(&arena, 180, "Promoted"), "WatchPassed");
    home(&arena);
    assert_eq!(arena.template(CHAMPION), arena.template(CHALLENGER));
    assert_eq!(arena.space.get("deployment/web")["spec"]["selector"]["matchLabels"]["app"], CHAMPION);
    let states = watched.states();
    assert!(states.len() >= 3 && states.iter().all(Route::whole), "{states:?}");
    let sent = traffic.finish();
    let share = sent.answers(CHALLENGER) as f64 / sent.total() as f64;
    eprintln!(
        "good: {} of {} answered by the challenger before its promotion",
        sent.answers(CHALLENGER),
        sent.total()
    );
    assert!(share < 0.2, "never more than its slice: {share}");
    assert_eq!(sent.errors(), 0, "nobody noticed");
    let deployment = arena.space.get("deployment/web");
    assert!(deployment["metadata"]["annotations"]["autonomy.matverse.io/attestation"].is_string());
    assert!(worth(&arena.space, CHAMPION).contains("VALID"), "{}", worth(&arena.space, CHAMPION));
    assert!(!arena.space.events("Promoted").is_empty());
    // Without a decision the operator's own identity changes no route.
    let operator = "--as=system:serviceaccount:matverse-system:matverse-autonomy";
    let weight = r#"[{"op": "replace", "path": "/spec/rules/0/backendRefs/1/weight", "value": 50}]"#;
    let refused =
        arena.space.try_kubectl(&["patch", "httproute", "web", "--type=json", "-p", weight, operator]);
    assert!(refused.as_ref().is_err_and(|why| why.contains("decision")), "{refused:?}");
    // The same template again is no new league.
    assert_eq!(
        arena.space.get("og/web")["metadata"]["finalizers"],
        Value::Null,
        "nothing is borrowed any more"
    );
    // A person takes it back, in their own name.
    run("matverse", &["rollback", "e2e-league-good/web", "--to", "LAST_GOOD"], None).unwrap();
    assert_eq!(ended(&arena, 60, "RolledBack"), "Requested");
    until(30, "the template of before", || (arena.template(CHAMPION) == before).then_some(()));
    until(30, "the request is taken off", || {
        let asked = &arena.space.get("og/web")["metadata"]["annotations"]["autonomy.matverse.io/request"];
        asked.is_null().then_some(())
    });
}

/// A slow one does not reach users.
fn slow() {
    let arena = begin("e2e-league-slow", "v2", &[("FAULT_DELAY_MS", "80")]);
    let traffic = arena.traffic(METHODS, LOAD);
    arena.gate("", &SHORT.replace("shadowSeconds: 12", "shadowSeconds: 600"));
    arena.until_stage(60, "Shadow");
    let why = ended(&arena, 200, "RolledBack");
    assert!(["LatencyWorse", "P95"].contains(&why.as_str()), "{why}");
    home(&arena);
    assert_eq!(traffic.finish().answers(CHALLENGER), 0, "it never served anybody");
    assert!(!league_event(&arena, "Canary"));
    // It is not tried again until its template changes.
    std::thread::sleep(Duration::from_secs(10));
    assert_eq!(arena.stage(), "RolledBack");
}

/// Rare errors end it in the canary stage, before its timer.
fn rare_errors() {
    let arena = begin("e2e-league-errors", "v2", &[("NOTE", "next")]);
    let traffic = arena.traffic(METHODS, LOAD);
    arena.gate("", &SHORT.replace("canarySeconds: 80", "canarySeconds: 3600"));
    arena.until_stage(150, "Canary");
    arena.ail(CHALLENGER, 0, 0.3);
    let why = ended(&arena, 200, "RolledBack");
    assert!(["ErrorsWorse", "ErrorMax"].contains(&why.as_str()), "{why}");
    home(&arena);
    assert!(traffic.finish().errors() > 0, "users saw some of it");
    assert!(!arena.space.events("RolledBack").is_empty());
    assert_ne!(arena.template(CHAMPION), arena.template(CHALLENGER));
}

/// One that turns bad after its promotion is brought back.
fn bad_later() {
    let arena = begin("e2e-league-later", "v2", &[("NOTE", "next")]);
    let _traffic = arena.traffic(METHODS, LOAD);
    let before = arena.template(CHAMPION);
    arena.gate("", &SHORT.replace("rollbackWindowSeconds: 30", "rollbackWindowSeconds: 600"));
    arena.until_promote(360);
    until(90, "the champion has the template", || {
        (arena.template(CHAMPION) == arena.template(CHALLENGER)).then_some(())
    });
    arena.ready(CHAMPION);
    // Its work is done: a challenger that goes now changes nothing.
    arena.space.kubectl(&["delete", "deployment", CHALLENGER]);
    arena.ail(CHAMPION, 0, 0.5);
    assert_eq!(ended(&arena, 200, "RolledBack"), "WatchFailed");
    until(60, "the champion has its template back", || (arena.template(CHAMPION) == before).then_some(()));
    home(&arena);
}

/// A hand on the route is respected and said; put back, the league goes on.
fn edited() {
    let arena = begin("e2e-league-edited", "v2", &[("NOTE", "next")]);
    let _traffic = arena.traffic(METHODS, LOAD);
    arena.gate("", &SHORT.replace("canarySeconds: 80", "canarySeconds: 3600"));
    arena.until_stage(150, "Canary");
    let weigh = |champion: u32, challenger: u32| {
        arena.patch_route(&json!([
            {"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": champion},
            {"op": "replace", "path": "/spec/rules/0/backendRefs/1/weight", "value": challenger},
        ]));
    };
    weigh(50, 50);
    until(60, "the edit is said", || (arena.league()["reason"] == "RouteEdited").then_some(()));
    std::thread::sleep(Duration::from_secs(10));
    assert_eq!(arena.route().weight(CHALLENGER), 50, "a person's weights stay");
    weigh(80, 20);
    until(60, "it goes on", || (arena.league()["reason"] != "RouteEdited").then_some(()));
    assert_eq!(arena.stage(), "Canary");
    // Deleted in the middle of it: what was borrowed goes back, then the gate goes.
    arena.space.kubectl(&["delete", "og", CHAMPION, "--timeout=60s"]);
    home(&arena);
}

/// The challenger vanishes in the middle of a stage.
fn deleted() {
    let arena = begin("e2e-league-deleted", "v2", &[("NOTE", "next")]);
    let _traffic = arena.traffic(METHODS, LOAD);
    arena.gate("", &SHORT.replace("shadowSeconds: 12", "shadowSeconds: 3600"));
    arena.until_stage(60, "Shadow");
    arena.space.kubectl(&["delete", "deployment", CHALLENGER]);
    assert_eq!(ended(&arena, 60, "RolledBack"), "ChallengerGone");
    home(&arena);
}

/// The same in the canary stage.
fn deleted_later() {
    let arena = begin("e2e-league-gone", "v2", &[("NOTE", "next")]);
    let traffic = arena.traffic(METHODS, LOAD);
    arena.gate("", &SHORT.replace("canarySeconds: 80", "canarySeconds: 3600"));
    arena.until_stage(150, "Canary");
    arena.space.kubectl(&["delete", "deployment", CHALLENGER]);
    assert_eq!(ended(&arena, 60, "RolledBack"), "ChallengerGone");
    home(&arena);
    drop(traffic);
}

/// Without a route: by replicas behind one Service, and none of the challenger's left afterwards.
fn by_share() {
    let space = Space::new("e2e-league-share");
    for (side, note) in [(CHAMPION, "one"), (CHALLENGER, "next")] {
        let note = format!("        env:\n        - {{name: NOTE, value: {note}}}\n");
        space.apply(&CONTESTANT.replace("web", side).replace("        env:\n", &note));
    }
    space.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: both}\nspec:\n  type: NodePort\n  selector: {tier: shop}\n  \
         ports: [{port: 80, targetPort: 8080, nodePort: 30089}]\n",
    );
    for side in [CHAMPION, CHALLENGER] {
        space.kubectl(&["rollout", "status", &format!("deployment/{side}"), "--timeout=90s"]);
    }
    let _load = Load::start(30089, LOAD);
    space.apply(&format!(
        "apiVersion: matverse.io/v1alpha1\nkind: OmegaGate\nmetadata: {{name: {CHAMPION}}}\nspec:\n  \
         targetRef: {{name: {CHAMPION}}}\n  intervalSeconds: 2\n{}\n  \
         league:\n    champion: {{deployment: {CHAMPION}, service: both, port: 80}}\n    \
         challenger: {{deployment: {CHALLENGER}, service: both, port: 80}}\n{SHORT}\n",
        evidence()
    ));
    let stage = || space.get("og/web")["status"]["league"]["stage"].as_str().unwrap_or_default().to_owned();
    until(60, "the canary stage", || (stage() == "Canary").then_some(()));
    assert_eq!(space.replicas(CHALLENGER), 1);
    // One pod against two is a noisy comparison: it may end without a verdict.
    let end = until(420, "an end", || {
        Some(stage()).filter(|now| ["Promoted", "RolledBack"].contains(&now.as_str()))
    });
    until(30, "the challenger has no replicas", || (space.replicas(CHALLENGER) == 0).then_some(()));
    let image = |side: &str| {
        let template = space.get(&format!("deployment/{side}"))["spec"]["template"].clone();
        (template["spec"]["containers"][0]["env"].clone(), template["metadata"]["labels"]["app"].clone())
    };
    let (champion, challenger) = (image(CHAMPION), image(CHALLENGER));
    assert_eq!(champion.0 == challenger.0, end == "Promoted", "{}", space.get("og/web")["status"]["league"]);
    assert_eq!((champion.1, challenger.1), (json!(CHAMPION), json!(CHALLENGER)));
}

/// Candidates of `matverse evolve`.
fn evolved() {
    let arena = begin("e2e-league-evolve", "v1", &[]);
    evolving::evolved(&arena, SHORT);
}

/// Soft-steer.
fn steered() {
    let arena = begin("e2e-league-steer", "v2", &[("NOTE", "next")]);
    let canary = SHORT.replace("canarySeconds: 80", "canarySeconds: 3600");
    evolving::steered(&arena, &canary);
}

fn side_by_side(all: &[(&str, fn())]) {
    let failed: Vec<&str> = std::thread::scope(|scope| {
        let running: Vec<_> = all.iter().map(|(name, run)| (*name, scope.spawn(run))).collect();
        running.into_iter().filter_map(|(name, run)| run.join().err().map(|_| name)).collect()
    });
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn good_ones_are_promoted_and_bad_ones_never_reach_more_than_their_slice() {
    if !reachable() {
        return;
    }
    // What is decided by a comparison of equals comes second, on a machine that is less busy.
    side_by_side(&[
        ("slow", slow as fn()),
        ("rare errors", rare_errors),
        ("edited", edited),
        ("deleted", deleted),
        ("deleted later", deleted_later),
        ("steered", steered),
    ]);
    side_by_side(&[
        ("good", good as fn()),
        ("bad later", bad_later),
        ("by share", by_share),
        ("evolved", evolved),
    ]);
    until(30, "the ledger verifies", || verify().ok());
    every_decision_is_made_again();
}

/// Prometheus gone in each stage holds the league, the leader's death in each stage loses nothing, and it goes on.
#[test]
fn outages_and_deaths_in_each_stage_hold_a_league_and_do_not_end_it() {
    if !reachable() {
        return;
    }
    let arena = begin("e2e-league-outage", "v2", &[("NOTE", "next")]);
    let watched = arena.watch_route();
    let _traffic = arena.traffic(METHODS, LOAD);
    // An outage takes a minute of evidence from the canary stage, and what is left of it must tell two equals to be equals.
    let stages = SHORT
        .replace("shadowSeconds: 12", "shadowSeconds: 30")
        .replace("canarySeconds: 80", "canarySeconds: 120")
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
    home(&arena);
    until(30, "the ledger verifies", || verify().ok());
}

/// A gate that blocks and asks for a rollback, and no rollout to blame: nothing is rolled back.
#[test]
fn a_blocking_gate_without_a_rollout_to_blame_rolls_nothing_back() {
    if !present() {
        return;
    }
    let space = Space::new("e2e-gate-block");
    space.apply(&crate::workload::shop("web", "v1", 2, 30087));
    space.apply(&crate::workload::mvs(
        "web",
        "web",
        "  minReplicas: 2\n  gateRef: {name: web}\n  rollback: {attributionSeconds: 60}",
    ));
    let _load = Load::start(30087, "0s:10,300s:10");
    // Θ̂ of a 20 ms service is .98: no service reaches .999.
    space.apply(
        "apiVersion: matverse.io/v1alpha1\nkind: OmegaGate\nmetadata: {name: web}\nspec:\n  targetRef: {name: web}\n  \
         intervalSeconds: 2\n  evidence: {profile: demo, minSamples: 5}\n  thresholds: {thetaMin: 0.999}\n  onFail: Rollback\n",
    );
    until(120, "the gate blocks", || (space.get("og/web")["status"]["decision"] == "Block").then_some(()));
    let generation = || space.get("deployment/web")["metadata"]["generation"].clone();
    let before = generation();
    std::thread::sleep(Duration::from_secs(45));
    assert_eq!(generation(), before, "there is nothing to go back to");
    assert!(space.events("RolledBack").is_empty());
}
