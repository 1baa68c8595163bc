//! The acts: ahead of load, back from a bad revision, one bounded step, and what deletion gives back.

mod retune;

use crate::cluster::{Load, Space, present, stays, until};
use crate::workload::{mvs, shop};

fn image(space: &Space, name: &str) -> String {
    let object = space.get(&format!("deployment/{name}"));
    object["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
}

#[test]
fn load_scales_up_and_its_end_scales_down() {
    if !present() {
        return;
    }
    let space = Space::new("e2e-load");
    space.apply(&shop("web", "v1", 1, 30083));
    space.apply(&mvs(
        "web",
        "web",
        "  minReplicas: 1\n  maxReplicas: 5\n  targets: {latencyTarget: 250}\n  cooldownSeconds: 5\n  \
         behavior:\n    scaleDown: {stabilizationWindowSeconds: 10, policies: [{type: Percent, value: 100, periodSeconds: 5}]}",
    ));
    let up = Load::start(30083, "0s:10,40s:90,90s:90");
    until(90, "scaled up", || (space.replicas("web") >= 3).then_some(()));
    let deployment = space.get("deployment/web");
    let annotations = &deployment["metadata"]["annotations"];
    assert_eq!(annotations["autonomy.matverse.io/decision"].as_str().unwrap().len(), 26);
    assert!(annotations["autonomy.matverse.io/attestation"].as_str().unwrap().starts_with("v1 origin="));
    assert!(!space.events("ScaledUp").is_empty());
    drop(up);
    let _down = Load::start(30083, "0s:5,200s:5");
    until(150, "scaled down", || (space.replicas("web") <= 2).then_some(()));
    assert!(!space.events("ScaledDown").is_empty());
}

#[test]
fn a_crashing_release_is_reverted_without_metrics() {
    if !present() {
        return;
    }
    let space = Space::new("e2e-crash");
    space.apply(&shop("web", "v1", 2, 0));
    space.apply(&mvs("web", "web", ""));
    until(40, "it evaluates", || (space.condition("web", "Ready").0 == "True").then_some(()));
    space.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    space.kubectl(&["set", "image", "deployment/web", "shop=localhost/shop:crash"]);
    until(150, "rolled back", || (image(&space, "web") == "localhost/shop:v1").then_some(()));
    until(20, "the event", || (!space.events("RolledBack").is_empty()).then_some(()));
    // The same template again is not undone a second time by itself; it is said.
    space.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    space.kubectl(&["set", "image", "deployment/web", "shop=localhost/shop:crash"]);
    until(60, "Degraded", || (space.condition("web", "Degraded").0 == "True").then_some(()));
    stays(10, "not undone twice", || image(&space, "web") == "localhost/shop:crash");
}

#[test]
fn a_release_that_cannot_be_scheduled_is_not_blamed() {
    if !present() {
        return;
    }
    let space = Space::new("e2e-room");
    space.apply(&shop("web", "v1", 1, 0));
    space.apply(&mvs("web", "web", ""));
    space.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    until(40, "it evaluates", || (space.condition("web", "Ready").0 == "True").then_some(()));
    space.kubectl(&["set", "resources", "deployment/web", "--requests=cpu=1000"]);
    until(60, "Unschedulable", || (space.condition("web", "Unschedulable").0 == "True").then_some(()));
    // Past the progress deadline of 60 s as well.
    stays(70, "the template stays", || {
        let object = space.get("deployment/web");
        object["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "1k"
    });
}

#[test]
fn a_bad_release_is_reverted_by_what_is_measured() {
    if !present() {
        return;
    }
    let space = Space::new("e2e-bad");
    space.apply(&shop("web", "v1", 2, 30084));
    space.apply(&mvs("web", "web", "  minReplicas: 2\n  maxReplicas: 4\n  targets: {latencyTarget: 250}"));
    let _load = Load::start(30084, "0s:20,400s:20");
    until(90, "metrics arrive", || (space.condition("web", "MetricsAvailable").0 == "True").then_some(()));
    std::thread::sleep(std::time::Duration::from_secs(30));
    space.kubectl(&["set", "image", "deployment/web", "shop=localhost/shop:v3-bad"]);
    until(180, "rolled back", || (image(&space, "web") == "localhost/shop:v1").then_some(()));
    let said = until(20, "the event", || space.events("RolledBack").into_iter().next());
    assert!(said.contains("e = "), "the event gives its proof: {said}");
}
