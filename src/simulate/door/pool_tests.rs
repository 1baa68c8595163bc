//! Pools of a stream, by its lines.

use super::*;

/// A door with the pool `batch`, which resources of namespace `a` may join.
fn pool(max_replicas: i32) -> Door {
    let batch = Budget { max_replicas, namespaces: vec!["a".to_owned()] };
    Door::new(Given { pools: BTreeMap::from([("batch".to_owned(), batch)]), ..Given::default() })
}

/// A line of a member of `batch`, at its first tick with its spec.
fn member(workload: &str, tick: i64, replicas: i64, cpu: f64, model: &str) -> Value {
    let mut line = json!({"time": time(15 * tick), "workload": workload,
        "replicas": {"desired": replicas, "ready": replicas}, "readings": {"cpu": sample(cpu, 15 * tick)}});
    if tick == 0 {
        line["spec"] = json!({"minReplicas": 1, "maxReplicas": 20, "intervalSeconds": 15, "pool": "batch",
            "targets": {"cpuTarget": 0.6}, "predictor": {"capacityModel": model}});
    }
    line
}

fn end(door: &mut Door, tick: i64) -> Vec<Value> {
    say(door, &json!({"time": time(15 * tick), "endOfTick": true}))
}

/// What `workload` is left with by the answers.
fn desired(answers: &[Value], workload: &str) -> i64 {
    answers.iter().find(|answer| answer["workload"] == workload).unwrap()["desired"].as_i64().unwrap()
}

#[test]
fn members_of_a_pool_are_answered_together_and_within_the_budget() {
    let mut door = pool(8);
    let mut counts = BTreeMap::from([("a/one", 2_i64), ("a/two", 3_i64)]);
    for tick in 0..12_i64 {
        for (name, count) in &counts {
            assert!(say(&mut door, &member(name, tick, *count, 0.9, "Auto")).is_empty(), "held");
        }
        let answers = end(&mut door, tick);
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

#[test]
fn a_member_without_a_line_in_the_tick_keeps_its_count() {
    let mut door = pool(6);
    for tick in 0..30 {
        let absent = tick > 10;
        say(&mut door, &member("a/one", tick, 2, if absent { 0.95 } else { 0.5 }, "Auto"));
        if !absent {
            say(&mut door, &member("a/two", tick, 4, 0.6, "Auto"));
        }
        let answers = end(&mut door, tick);
        assert!(desired(&answers, "a/one") <= 2, "4 of 6 are held: {answers:?}");
    }
}

#[test]
fn what_an_absent_member_was_granted_is_held_too() {
    let mut door = pool(8);
    let mut granted = 0;
    for tick in 0..8 {
        say(&mut door, &member("a/one", tick, 2, 0.5, "Auto"));
        say(&mut door, &member("a/two", tick, 2, 0.95, "Auto"));
        granted = desired(&end(&mut door, tick), "a/two");
    }
    assert!(granted > 2);
    for tick in 8..20 {
        say(&mut door, &member("a/one", tick, 2, 1.5, "Auto"));
        let answers = end(&mut door, tick);
        assert!(desired(&answers, "a/one") + granted <= 8, "{granted} may be there by now: {answers:?}");
    }
}

#[test]
fn who_leaves_the_pool_frees_what_it_held() {
    let mut door = pool(6);
    say(&mut door, &member("a/one", 0, 2, 0.95, "Auto"));
    say(&mut door, &member("a/two", 0, 4, 0.6, "Auto"));
    end(&mut door, 0);
    let mut left = member("a/two", 0, 4, 0.6, "Auto");
    left["spec"].as_object_mut().unwrap().remove("pool");
    assert_eq!(say(&mut door, &left).len(), 1, "answered at once");
    let mut most = 0;
    for tick in 1..12 {
        say(&mut door, &member("a/one", tick, 2, 0.95, "Auto"));
        most = most.max(desired(&end(&mut door, tick), "a/one"));
    }
    assert!(most > 2);
}

#[test]
fn who_asks_gets_what_is_free_whatever_the_order() {
    for (model, idle) in [("Rules", "a/a"), ("Rules", "a/z"), ("Auto", "a/a"), ("Auto", "a/z")] {
        let mut seen = Vec::new();
        for idle_first in [true, false] {
            let mut door = pool(6);
            let mut most = 0;
            for tick in 0..10 {
                let mut lines = [member(idle, tick, 2, 0.3, model), member("a/m", tick, 2, 0.95, "Rules")];
                if !idle_first {
                    lines.reverse();
                }
                for line in lines {
                    say(&mut door, &line);
                }
                let answers = end(&mut door, tick);
                most = most.max(desired(&answers, "a/m"));
                assert_eq!(desired(&answers, idle).max(2), 2, "it needs no more");
            }
            seen.push(most);
        }
        assert_eq!(seen, [4, 4], "{model} {idle}");
    }
}

#[test]
fn the_pool_that_binds_is_named() {
    for model in ["Rules", "Auto"] {
        let mut door = pool(3);
        let mut last = Vec::new();
        for tick in 0..6 {
            say(&mut door, &member("a/one", tick, 3, 0.95, model));
            last = end(&mut door, tick);
        }
        let reason = last[0]["reason"].as_str().unwrap();
        assert!(reason.starts_with("PoolShare: ") && reason.contains("pool batch leaves 3"), "{reason}");
        assert!(!reason.contains("maxReplicas"), "{reason}");
        assert_eq!(last[0]["waitingOn"], json!(["pool batch leaves 3"]));
    }
}

#[test]
fn a_second_line_of_a_member_in_one_tick_is_refused() {
    let mut door = pool(6);
    for tick in 0..12 {
        say(&mut door, &member("a/one", tick, 3, 0.95, "Auto"));
        if tick == 11 {
            let again = say(&mut door, &member("a/one", tick, 5, 0.95, "Auto"));
            assert!(again[0]["error"].as_str().unwrap().contains("endOfTick"), "{again:?}");
        }
        let answers = end(&mut door, tick);
        assert_eq!(answers.len(), 1);
        assert!(desired(&answers, "a/one") <= 6, "{answers:?}");
    }
}

#[test]
fn a_namespace_that_the_pool_does_not_name_may_not_join() {
    let mut door = pool(6);
    let refused = say(&mut door, &member("b/one", 0, 2, 0.9, "Auto"));
    assert!(refused[0]["error"].as_str().unwrap().contains("namespace b may not take part"), "{refused:?}");
    assert!(end(&mut door, 0).is_empty());
    say(&mut door, &member("a/one", 0, 2, 0.9, "Auto"));
    assert_eq!(end(&mut door, 0).len(), 1);
}

#[test]
fn counts_of_any_size_do_not_free_replicas() {
    let mut door = pool(6);
    for tick in 0..4 {
        for name in ["a/one", "a/two", "a/three"] {
            let mut line = member(name, tick, i64::from(i32::MAX), 0.5, "Auto");
            if name == "a/three" {
                line["replicas"] = json!({"desired": 1, "ready": 1});
                line["readings"]["cpu"]["value"] = json!(0.95);
            }
            say(&mut door, &line);
        }
        assert_eq!(desired(&end(&mut door, tick), "a/three"), 1);
    }
}
