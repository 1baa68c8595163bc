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

#[test]
fn members_of_a_pool_are_answered_together_and_within_the_budget() {
    let pools = BTreeMap::from([("batch".to_owned(), 8)]);
    let mut door = Door::new(Given { pools, ..Given::default() });
    let mut counts = BTreeMap::from([("a/one", 2_i64), ("a/two", 3_i64)]);
    for tick in 0..12_i64 {
        for (name, cpu) in [("a/one", 0.9), ("a/two", 0.9)] {
            let mut line = first(name, 4, cpu);
            line["spec"]["pool"] = json!("batch");
            line["time"] = json!(time(15 * tick));
            line["readings"] = json!({"cpu": sample(cpu, 15 * tick)});
            let count = counts[name];
            line["replicas"] = json!({"desired": count, "ready": count});
            assert!(say(&mut door, &line).is_empty(), "held");
        }
        let answers = say(&mut door, &json!({"time": time(15 * tick), "endOfTick": true}));
        assert_eq!(answers.len(), 2);
        for (count, answer) in counts.values_mut().zip(&answers) {
            *count = answer["desired"].as_i64().unwrap();
        }
        assert!(counts.values().sum::<i64>() <= 8, "{answers:?}");
    }
    assert_eq!(counts.values().sum::<i64>(), 8, "what both need is more than there is");
    let mut out = Vec::new();
    door.end(&mut out);
    assert!(out.is_empty(), "nothing is held twice");
}
