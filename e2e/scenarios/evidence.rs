//! What is believed and what is not, with a real Prometheus.

use crate::cluster::{Space, present, stays, until};
use crate::workload::{mvs, shop};

fn state(space: &Space, mvs: &str, signal: &str) -> String {
    let object = space.get(&format!("mvs/{mvs}"));
    let all = object["status"]["signals"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|s| s["name"] == signal);
    found.and_then(|s| s["state"].as_str()).unwrap_or_default().to_owned()
}

#[test]
fn each_state_of_a_reading_is_told_apart() {
    if !present() {
        return;
    }
    let space = Space::new("e2e-readings");
    space.apply(&shop("web", "v1", 2, 0));
    let ask = |name: &str, query: &str| {
        space.apply(&mvs(name, "web", &format!("  signals:\n  - name: probe\n    query: '{query}'")));
    };
    // All on one target: only the first acts, all are evaluated.
    ask("fresh", "count(kube_pod_info{namespace=\"$namespace\"})");
    ask("missing", "sum(no_such_metric_at_all)");
    ask("ambiguous", "kube_pod_info");
    ask("nan", "sum(kube_pod_info) * NaN");
    ask("range", "count(kube_pod_info) * 1e9");
    space.apply(&mvs(
        "bounded",
        "web",
        "  signals:\n  - {name: probe, query: 'count(kube_pod_info) * 1e9', max: 10}",
    ));
    for (name, expected) in [
        ("fresh", "Fresh"),
        ("missing", "Missing"),
        ("ambiguous", "Ambiguous"),
        ("nan", "NotFinite"),
        ("range", "Fresh"),
        ("bounded", "OutOfRange"),
    ] {
        until(40, &format!("{name} reads {expected}"), || {
            (state(&space, name, "probe") == expected).then_some(())
        });
    }
    // What is no query is refused with the way out, not evaluated.
    ask("nonsense", "sum(rate(");
    ask("scalar", "scalar(sum(kube_pod_info))");
    until(30, "no PromQL", || (space.condition("nonsense", "Ready").0 == "False").then_some(()));
    until(30, "a scalar", || {
        (space.condition("scalar", "Ready").0 == "False" || state(&space, "scalar", "probe") == "WrongType")
            .then_some(())
    });
    stays(3, "nothing moves", || space.replicas("web") == 2);
}
