//! Leagues on the real control plane, with real requests through a real gateway.
//!
//! What noise can do to an equal challenger, on a busy machine most of all, is an end without a verdict; what waits for a
//! promotion waits with that in mind.

use std::time::Duration;

use serde_json::{Value, json};

use crate::audit::worth;
use crate::cluster::{Load, Space, present, run, until};
use crate::league::evolving;
use crate::league::route::Route;
use crate::league::{Arena, CHALLENGER, CHAMPION, CONTESTANT, LOAD, METHODS, SHORT, evidence, reachable};

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

#[test]
fn a_good_challenger_is_promoted_and_a_person_may_take_it_back() {
    if !reachable() {
        return;
    }
    let arena = Arena::with_challenger("e2e-league-good", "v2", &[("NOTE", "next")]);
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
    arena.until_home();
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

#[test]
fn a_slow_challenger_serves_nobody() {
    if !reachable() {
        return;
    }
    let arena = Arena::with_challenger("e2e-league-slow", "v2", &[("FAULT_DELAY_MS", "80")]);
    let traffic = arena.traffic(METHODS, LOAD);
    arena.gate("", &SHORT.replace("shadowSeconds: 12", "shadowSeconds: 600"));
    arena.until_stage(60, "Shadow");
    let why = ended(&arena, 200, "RolledBack");
    assert!(["LatencyWorse", "P95"].contains(&why.as_str()), "{why}");
    arena.until_home();
    assert_eq!(traffic.finish().answers(CHALLENGER), 0, "it never served anybody");
    assert!(!league_event(&arena, "Canary"));
    // It is not tried again until its template changes.
    std::thread::sleep(Duration::from_secs(10));
    assert_eq!(arena.stage(), "RolledBack");
}

#[test]
fn rare_errors_end_a_canary_before_its_timer() {
    if !reachable() {
        return;
    }
    let arena = Arena::with_challenger("e2e-league-errors", "v2", &[("NOTE", "next")]);
    let traffic = arena.traffic(METHODS, LOAD);
    arena.gate("", &SHORT.replace("canarySeconds: 80", "canarySeconds: 3600"));
    arena.until_stage(150, "Canary");
    arena.ail(CHALLENGER, 0, 0.3);
    let why = ended(&arena, 200, "RolledBack");
    assert!(["ErrorsWorse", "ErrorMax"].contains(&why.as_str()), "{why}");
    arena.until_home();
    assert!(traffic.finish().errors() > 0, "users saw some of it");
    assert!(!arena.space.events("RolledBack").is_empty());
    assert_ne!(arena.template(CHAMPION), arena.template(CHALLENGER));
}

#[test]
fn what_turns_bad_after_its_promotion_is_brought_back() {
    if !reachable() {
        return;
    }
    let arena = Arena::with_challenger("e2e-league-later", "v2", &[("NOTE", "next")]);
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
    arena.until_home();
}

#[test]
fn a_hand_on_the_route_is_respected_and_said() {
    if !reachable() {
        return;
    }
    let arena = Arena::with_challenger("e2e-league-edited", "v2", &[("NOTE", "next")]);
    let _traffic = arena.traffic(METHODS, LOAD);
    arena.gate("", &SHORT.replace("canarySeconds: 80", "canarySeconds: 3600"));
    arena.until_stage(150, "Canary");
    arena.weigh(50, 50);
    until(60, "the edit is said", || (arena.league()["reason"] == "RouteEdited").then_some(()));
    std::thread::sleep(Duration::from_secs(10));
    assert_eq!(arena.route().weight(CHALLENGER), 50, "a person's weights stay");
    arena.weigh(80, 20);
    until(60, "it goes on", || (arena.league()["reason"] != "RouteEdited").then_some(()));
    assert_eq!(arena.stage(), "Canary");
    // Deleted in the middle of it: what was borrowed goes back, then the gate goes.
    arena.space.kubectl(&["delete", "og", CHAMPION, "--timeout=60s"]);
    arena.until_home();
}

#[test]
fn a_challenger_that_vanishes_ends_its_shadow_stage() {
    if !reachable() {
        return;
    }
    let arena = Arena::with_challenger("e2e-league-deleted", "v2", &[("NOTE", "next")]);
    let _traffic = arena.traffic(METHODS, LOAD);
    arena.gate("", &SHORT.replace("shadowSeconds: 12", "shadowSeconds: 3600"));
    arena.until_stage(60, "Shadow");
    arena.space.kubectl(&["delete", "deployment", CHALLENGER]);
    assert_eq!(ended(&arena, 60, "RolledBack"), "ChallengerGone");
    arena.until_home();
}

#[test]
fn a_challenger_that_vanishes_ends_its_canary_stage() {
    if !reachable() {
        return;
    }
    let arena = Arena::with_challenger("e2e-league-gone", "v2", &[("NOTE", "next")]);
    let traffic = arena.traffic(METHODS, LOAD);
    arena.gate("", &SHORT.replace("canarySeconds: 80", "canarySeconds: 3600"));
    arena.until_stage(150, "Canary");
    arena.space.kubectl(&["delete", "deployment", CHALLENGER]);
    assert_eq!(ended(&arena, 60, "RolledBack"), "ChallengerGone");
    arena.until_home();
    drop(traffic);
}

/// Without a route: by replicas behind one Service, and none of the challenger's left afterwards.
#[test]
fn without_a_route_the_share_is_one_of_replicas() {
    if !reachable() {
        return;
    }
    let space = Space::new("e2e-league-share");
    for (side, note) in [(CHAMPION, "one"), (CHALLENGER, "next")] {
        let note = format!("        env:\n        - {{name: NOTE, value: {note}}}\n");
        space.apply(&CONTESTANT.replace("web", side).replace("        env:\n", &note));
    }
    space.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: both}\nspec:\n  type: NodePort\n  selector: {tier: shop}\n  \
         ports: [{port: 80, targetPort: 8080, nodePort: 30085}]\n",
    );
    for side in [CHAMPION, CHALLENGER] {
        space.kubectl(&["rollout", "status", &format!("deployment/{side}"), "--timeout=90s"]);
    }
    let _load = Load::start(30085, LOAD);
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

#[test]
fn candidates_go_through_one_after_the_other() {
    if !reachable() {
        return;
    }
    let arena = Arena::with_equals("e2e-league-evolve");
    evolving::evolved(&arena, SHORT);
}

#[test]
fn effort_that_is_not_calm_keeps_a_canary_waiting() {
    if !reachable() {
        return;
    }
    let arena = Arena::with_challenger("e2e-league-steer", "v2", &[("NOTE", "next")]);
    let canary = SHORT.replace("canarySeconds: 80", "canarySeconds: 3600");
    evolving::steered(&arena, &canary);
}

/// A gate that blocks and asks for a rollback, and no rollout to blame: nothing is rolled back.
#[test]
fn a_blocking_gate_without_a_rollout_to_blame_rolls_nothing_back() {
    if !present() {
        return;
    }
    let space = Space::new("e2e-gate-block");
    space.apply(&crate::workload::shop("web", "v1", 2, 30086));
    space.apply(&crate::workload::mvs(
        "web",
        "web",
        "  minReplicas: 2\n  gateRef: {name: web}\n  rollback: {attributionSeconds: 60}",
    ));
    let _load = Load::start(30086, "0s:10,300s:10");
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
