//! The door by its lines.

use serde_json::{Value, json};

use super::*;

fn time(second: i64) -> String {
    Timestamp::from_second(1_900_000_000 + second).unwrap().to_string()
}

fn sample(value: f64, second: i64) -> Value {
    json!({"value": value, "sampledAt": time(second)})
}

fn say(door: &mut Door, line: &Value) -> Vec<Value> {
    said(door, &line.to_string())
}

fn said(door: &mut Door, text: &str) -> Vec<Value> {
    let mut out = Vec::new();
    door.line(text, &mut out);
    String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn spec() -> Value {
    json!({"minReplicas": 2, "maxReplicas": 10, "intervalSeconds": 15, "enforcement": "Act",
        "targets": {"cpuTarget": 0.6, "latencyTarget": 250}, "signals": [{"name": "cpu"}, {"name": "odd"}]})
}

/// A first line of `workload` with `replicas` ready and `cpu`.
fn first(workload: &str, replicas: i32, cpu: f64) -> Value {
    json!({"time": time(0), "workload": workload, "spec": spec(),
        "replicas": {"desired": replicas, "ready": replicas},
        "revision": {"current": "abc", "startedAt": time(-86_400), "previous": ["def"]},
        "readings": {"cpu": sample(cpu, 0), "odd": sample(-4e9, 0)}})
}

fn next(workload: &str, second: i64, cpu: f64) -> Value {
    json!({"time": time(second), "workload": workload, "readings": {"cpu": sample(cpu, second), "odd": sample(-4e9, second)}})
}

#[test]
fn a_line_is_answered_whole() {
    let mut door = Door::default();
    let answers = say(&mut door, &first("shop/web", 3, 0.3));
    let [answer] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(answer["workload"], "shop/web");
    assert_eq!(answer["time"], time(0));
    assert_eq!((&answer["action"], &answer["desired"]), (&json!("Noop"), &json!(3)));
    assert!(answer["confidence"].is_null() && answer["target"].is_null());
    assert!(answer["reason"].as_str().is_some_and(|reason| reason.contains(": ")));
    assert_eq!(answer["anomaly"], json!({"cpu": 0.0, "odd": 0.0, "joint": 0.0}));
    assert!(answer["waitingOn"].is_array() && answer["forecast"]["horizonSeconds"].is_number());
}

#[test]
fn what_cannot_be_read_is_answered_with_its_line_and_the_stream_goes_on() {
    let mut door = Door::default();
    for (n, (line, part)) in [
        ("{", "EOF"),
        ("[]", ""),
        (r#"{"time":"yesterday","workload":"a/b"}"#, "year"),
        (r#"{"time":"2026-01-01T00:00:00Z"}"#, "neither a workload"),
        (
            r#"{"time":"2026-01-01T00:00:00Z","workload":"shop/new","readings":{}}"#,
            "shop/new: its first line",
        ),
        (r#"{"time":"2026-01-01T00:00:00Z","workload":"shop","spec":{}}"#, "namespace/name"),
        (r#"{"time":"2026-01-01T00:00:00Z","workload":"a/b","spec":{"minReplica":1}}"#, "minReplica"),
        (
            r#"{"time":"2026-01-01T00:00:00Z","workload":"a/b","spec":{"minReplicas":5,"maxReplicas":2}}"#,
            "minReplicas",
        ),
        (r#"{"time":"2026-01-01T00:00:00Z","workload":"a/b","spec":{"pool":"p"}}"#, "spec.pool"),
    ]
    .into_iter()
    .enumerate()
    {
        let answers = said(&mut door, line);
        assert_eq!(answers.len(), 1, "{line}");
        assert_eq!(answers[0]["line"], n + 1);
        let error = answers[0]["error"].as_str().unwrap();
        assert!(error.contains(part), "{error} for {line}");
    }
    assert_eq!(say(&mut door, &first("shop/web", 3, 0.3))[0]["action"], "Noop");
    let back = say(&mut door, &next("shop/web", -60, 0.3));
    assert!(back[0]["error"].as_str().unwrap().contains("earlier"), "{back:?}");
}

#[test]
fn an_act_counts_once_the_next_line_shows_it() {
    for applied in [true, false] {
        let mut door = Door::default();
        say(&mut door, &first("shop/web", 3, 0.95));
        let up = say(&mut door, &next("shop/web", 15, 0.95));
        assert_eq!((&up[0]["action"], &up[0]["desired"]), (&json!("ScaleUp"), &json!(5)), "{up:?}");
        let mut line = next("shop/web", 30, 0.95);
        if applied {
            line["replicas"] = json!({"desired": 5, "ready": 3});
        }
        let then = say(&mut door, &line);
        let expected = if applied { "Noop" } else { "ScaleUp" };
        assert_eq!(then[0]["action"], expected, "{then:?}");
    }
}

#[test]
fn start_times_are_measured_from_the_counts() {
    let mut door = Door::default();
    say(&mut door, &first("shop/web", 3, 0.3));
    for (second, ready) in [(15, 3), (30, 4), (45, 5)] {
        let mut line = next("shop/web", second, 0.3);
        line["replicas"] = json!({"desired": 5, "ready": ready});
        let answer = say(&mut door, &line);
        let start = &answer[0]["forecast"]["startSeconds"];
        assert_eq!(start.as_f64(), (ready == 5).then_some(30.0));
    }
}

#[test]
fn without_counts_or_readings_nothing_is_done() {
    let mut door = Door::default();
    let mut line = first("shop/web", 3, 0.99);
    line["replicas"].take();
    for second in [0, 15, 30, 45] {
        line["time"] = json!(time(second));
        line["readings"]["cpu"] = sample(0.99, second);
        let answer = say(&mut door, &line);
        assert_eq!((&answer[0]["action"], &answer[0]["desired"]), (&json!("Noop"), &Value::Null));
    }
    let mut door = Door::default();
    say(&mut door, &first("shop/web", 3, 0.99));
    for second in [15, 30, 45, 1000] {
        let answer = say(&mut door, &json!({"time": time(second), "workload": "shop/web"}));
        assert_eq!(answer[0]["action"], "Noop");
        assert_eq!(answer[0]["anomaly"]["cpu"], 0.0, "no sample surprises nobody");
    }
    let old = json!({"time": time(2000), "workload": "shop/web", "readings": {"cpu": {"value": 0.99}}});
    for _ in 0..3 {
        assert_eq!(say(&mut door, &old)[0]["action"], "Noop", "a sample without its time proves nothing");
    }
}

#[test]
fn pods_that_fail_after_a_rollout_are_reverted_to_the_revision_before() {
    let mut door = Door::default();
    say(&mut door, &first("shop/web", 3, 0.3));
    let mut line = next("shop/web", 15, 0.3);
    line["revision"] =
        json!({"current": "new", "startedAt": time(10), "previous": ["abc", "def"], "newPodsFailing": true});
    let answer = say(&mut door, &line);
    assert_eq!(
        (&answer[0]["action"], &answer[0]["target"]),
        (&json!("Rollback"), &json!("abc")),
        "{answer:?}"
    );
    let mut line = next("shop/web", 30, 0.3);
    line["revision"] = json!({"current": "abc", "startedAt": time(20), "previous": ["new", "def"]});
    let answer = say(&mut door, &line);
    assert_eq!(answer[0]["action"], "Noop", "{answer:?}");
}

/// What a refused line says.
fn refused(door: &mut Door, line: &Value) -> String {
    let answers = say(door, line);
    answers[0]["error"].as_str().unwrap_or_else(|| panic!("{line} was taken: {answers:?}")).to_owned()
}

#[test]
fn what_is_left_out_of_replicas_and_revision_is_unchanged() {
    let mut door = Door::default();
    say(&mut door, &first("shop/web", 3, 0.3));
    let mut line = next("shop/web", 15, 0.3);
    line["replicas"] = json!({"ready": 2});
    assert_eq!(say(&mut door, &line)[0]["desired"], 3);
    for nothing in [json!({}), json!(null), json!({"desired": null})] {
        let mut line = next("shop/web", 15, 0.3);
        line["replicas"] = nothing.clone();
        line["revision"] = if nothing.is_null() { nothing } else { json!({}) };
        assert_eq!(say(&mut door, &line)[0]["desired"], 3);
    }
    let facts = &door.members["shop/web"].facts;
    let spec = door.members["shop/web"].pilot.spec();
    let workload = facts.workload("shop/web", spec, &serde_json::from_value(line).unwrap()).unwrap();
    assert_eq!((workload.ready, workload.current.template.as_str()), (2, "abc"));
    assert_eq!(workload.previous.len(), 1);
}

#[test]
fn pods_that_fail_go_on_failing_until_the_line_says_otherwise() {
    let failing = |door: &Door| {
        let member = &door.members["shop/web"];
        let line = serde_json::from_value(next("shop/web", 99, 0.3)).unwrap();
        member.facts.workload("shop/web", member.pilot.spec(), &line).unwrap().rollout.crashes > 0
    };
    let mut door = Door::default();
    say(&mut door, &first("shop/web", 3, 0.3));
    for (said, fails) in [
        (json!({"newPodsFailing": true}), true),
        (json!({"current": "abc"}), true),
        (json!({"startedAt": time(-80_000)}), true),
        (json!({"newPodsFailing": null}), true),
        (json!({"newPodsFailing": false}), false),
        (json!({"newPodsFailing": true}), true),
        (json!({"current": "new"}), false),
        (json!({"current": "newer", "newPodsFailing": true}), true),
    ] {
        let mut line = next("shop/web", 15, 0.3);
        line["revision"] = said.clone();
        say(&mut door, &line);
        assert_eq!(failing(&door), fails, "after {said}");
    }
}

#[test]
fn no_previous_revision_is_not_the_same_as_none_said() {
    let previous = |said: Value| {
        let mut door = Door::default();
        say(&mut door, &first("shop/web", 3, 0.3));
        let mut line = next("shop/web", 15, 0.3);
        line["revision"] = said;
        say(&mut door, &line);
        let member = &door.members["shop/web"];
        let line = serde_json::from_value(line).unwrap();
        let workload = member.facts.workload("shop/web", member.pilot.spec(), &line).unwrap();
        workload.previous.into_iter().map(|revision| revision.template).collect::<Vec<_>>()
    };
    assert!(previous(json!({"current": "abc", "previous": []})).is_empty());
    assert!(previous(json!({"current": "new", "previous": []})).is_empty(), "nothing to go back to");
    assert_eq!(previous(json!({"current": "new"})), ["abc", "def"]);
    assert_eq!(previous(json!({"current": "new", "previous": null})), ["abc", "def"]);
    assert_eq!(previous(json!({"previous": ["ghi"]})), ["ghi"]);
}

#[test]
fn a_line_that_is_refused_changes_nothing() {
    let mut door = Door::default();
    say(&mut door, &first("shop/web", 3, 0.95));
    let spec = json!({"minReplicas": 1, "maxReplicas": 4, "targets": {"cpuTarget": 0.6}});
    for (key, value, part) in [
        ("time", json!(time(-60)), "earlier"),
        ("replicas", json!({"desired": -3}), "-3 is no count"),
        ("replicas", json!({"desired": 2, "ready": -1}), "-1 is no count"),
        ("readings", json!({"joint": sample(1.0, 15)}), "joint"),
    ] {
        let mut line = next("shop/web", 15, 0.95);
        line["spec"] = spec.clone();
        line["replicas"] = json!({"desired": 1, "ready": 1});
        line[key] = value;
        assert!(refused(&mut door, &line).contains(part));
    }
    let mut line = next("shop/web", 15, 0.95);
    line["spec"] = json!({"minReplicas": 9, "maxReplicas": 2});
    line["replicas"] = json!({"desired": 1, "ready": 1});
    refused(&mut door, &line);
    let up = say(&mut door, &next("shop/web", 15, 0.95));
    assert_eq!((&up[0]["action"], &up[0]["desired"]), (&json!("ScaleUp"), &json!(5)), "{up:?}");
}

#[test]
fn a_first_line_with_a_part_of_the_counts_introduces_nobody() {
    let mut door = Door::default();
    for (key, value, part) in [
        ("replicas", json!({"ready": 4}), "replicas.desired has not been said"),
        ("revision", json!({"newPodsFailing": true}), "revision.current has not been said"),
        ("replicas", json!({"desired": -1}), "no count"),
    ] {
        let mut line = first("shop/web", 3, 0.3);
        line[key] = value;
        assert!(refused(&mut door, &line).contains(part));
    }
    assert!(refused(&mut door, &next("shop/web", 15, 0.3)).contains("its first line"));
    let mut line = first("shop/web", 3, 0.3);
    line["replicas"] = json!({});
    assert!(say(&mut door, &line)[0]["desired"].is_null());
}

#[test]
fn lines_that_may_mean_two_things_are_refused() {
    let mut door = Door::default();
    say(&mut door, &first("shop/web", 3, 0.3));
    let at = time(15);
    for (line, part) in [
        (format!(r#"{{"time":"{at}","workload":"shop/web","endOfTick":true}}"#), "endOfTick"),
        (
            format!(
                r#"{{"time":"{at}","workload":"shop/web","readings":{{"cpu":null,"odd":null,"cpu":null}}}}"#
            ),
            "cpu stands twice",
        ),
        (
            format!(r#"{{"time":"{at}","workload":"shop/web","byRevision":{{"abc":{{}},"abc":{{}}}}}}"#),
            "abc stands twice",
        ),
        (
            format!(r#"{{"time":"{at}","workload":"shop/web","spec":{{"signals":[{{"name":"joint"}}]}}}}"#),
            "joint stands for all",
        ),
    ] {
        let answers = said(&mut door, &line);
        assert!(answers[0]["error"].as_str().unwrap().contains(part), "{answers:?}");
    }
}

#[test]
fn null_is_as_left_out() {
    let mut door = Door::default();
    say(&mut door, &first("shop/web", 3, 0.3));
    let line = json!({"time": time(15), "workload": "shop/web", "endOfTick": null, "spec": null, "readings": null,
        "byRevision": null, "revision": null, "replicas": null, "configChangedAt": null, "parameters": null});
    let answer = say(&mut door, &line);
    assert_eq!((&answer[0]["action"], &answer[0]["desired"]), (&json!("Noop"), &json!(3)), "{answer:?}");
    let mut line = next("shop/web", 30, 0.3);
    line["byRevision"] = json!({"def": null});
    assert_eq!(say(&mut door, &line)[0]["action"], "Noop");
    let mut line = first("shop/other", 3, 0.3);
    line["spec"] = json!({"minReplicas": null, "mode": null, "targets": null, "behavior": {"scaleUp": null},
        "signals": [{"name": "cpu", "min": null}], "targetRef": null});
    line["parameters"] = json!({"k": null});
    assert_eq!(say(&mut door, &line)[0]["action"], "Noop");
}

#[test]
fn a_line_that_cannot_be_read_says_where() {
    let mut door = Door::default();
    let wrong =
        said(&mut door, r#"{"time":"2026-01-01T00:00:00Z","workload":"a/b","replicas":{"ready":"x"}}"#);
    let error = wrong[0]["error"].as_str().unwrap();
    assert!(error.contains("at column") && !error.contains("line"), "{error}");
    let mut out = Vec::new();
    door.line(b"{\"time\":\"2026-01-01T00:00:00Z\",\"workload\":\"a/\xff\"}", &mut out);
    assert!(String::from_utf8(out).unwrap().contains("unicode"));
}

#[path = "pool_tests.rs"]
mod pools;
