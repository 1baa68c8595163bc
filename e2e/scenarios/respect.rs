//! What the operator leaves alone, and how it says so.

use crate::cluster::{Space, present, run, stays, until};
use crate::workload::{mvs, shop};

fn why(space: &Space, name: &str) -> String {
    let object = space.get(&format!("mvs/{name}"));
    object["status"]["lastDecision"]["why"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_target_that_is_missing_deleted_and_recreated() {
    if !present() {
        return;
    }
    let space = Space::new("e2e-target");
    space.apply(&mvs("web", "web", "  minReplicas: 2\n  maxReplicas: 4"));
    until(30, "TargetAvailable=False", || {
        (space.condition("web", "TargetAvailable").0 == "False").then_some(())
    });
    assert_eq!(space.events("TargetNotFound").len(), 1);
    space.apply(&shop("web", "v1", 1, 0));
    until(40, "the minimum is restored", || (space.replicas("web") == 2).then_some(()));
    space.kubectl(&["delete", "deployment", "web"]);
    until(30, "gone again", || (space.condition("web", "TargetAvailable").0 == "False").then_some(()));
    space.apply(&shop("web", "v1", 1, 0));
    until(40, "the minimum is restored again", || (space.replicas("web") == 2).then_some(()));
}

#[test]
fn zero_paused_and_min_equal_to_max() {
    if !present() {
        return;
    }
    let space = Space::new("e2e-hold");
    space.apply(&shop("zero", "v1", 0, 0));
    space.apply(&mvs("zero", "zero", "  minReplicas: 2"));
    space.apply(&shop("paused", "v1", 1, 0));
    space.apply(&mvs("paused", "paused", "  minReplicas: 2\n  paused: true"));
    space.apply(&shop("fixed", "v1", 1, 0));
    space.apply(&mvs("fixed", "fixed", "  minReplicas: 3\n  maxReplicas: 3"));
    until(40, "min = max is reached", || (space.replicas("fixed") == 3).then_some(()));
    until(20, "paused says so", || (why(&space, "paused") == "Paused").then_some(()));
    stays(6, "zero and paused are left alone", || {
        space.replicas("zero") == 0 && space.replicas("paused") == 1
    });
    assert_eq!(space.condition("paused", "Acting").0, "False");
    // The annotation on the Deployment does the same.
    space.kubectl(&["annotate", "deployment", "fixed", "autonomy.matverse.io/paused=true"]);
    until(20, "the annotation pauses", || (why(&space, "fixed") == "Paused").then_some(()));
}

#[test]
fn another_scaler_and_an_older_claim() {
    if !present() {
        return;
    }
    let space = Space::new("e2e-conflict");
    space.apply(&shop("web", "v1", 1, 0));
    space.kubectl(&["autoscale", "deployment", "web", "--min=1", "--max=3", "--cpu-percent=80"]);
    space.apply(&mvs("web", "web", "  minReplicas: 2"));
    until(30, "ScalerConflict", || (space.condition("web", "ScalerConflict").0 == "True").then_some(()));
    stays(5, "replicas are the HPA's", || space.replicas("web") == 1);
    space.kubectl(&["delete", "hpa", "web"]);
    until(40, "the HPA is gone", || (space.replicas("web") == 2).then_some(()));
    std::thread::sleep(std::time::Duration::from_millis(1100));
    space.apply(&mvs("later", "web", "  minReplicas: 4"));
    until(30, "the newer is not ready", || (space.condition("later", "Ready").0 == "False").then_some(()));
    stays(5, "the older rules", || space.replicas("web") == 2);
}

/// A definition of somebody else's kind, installed for the time of a scenario.
struct Definition(String);

impl Definition {
    fn new(group: &str, version: &str, plural: &str, kind: &str) -> Self {
        let name = format!("{plural}.{group}");
        let manifest = format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: {name}}}\nspec:\n  \
             group: {group}\n  scope: Namespaced\n  names: {{plural: {plural}, kind: {kind}}}\n  versions:\n  \
             - {{name: {version}, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, \
             x-kubernetes-preserve-unknown-fields: true}}}}}}\n"
        );
        run("kubectl", &["apply", "-f", "-"], Some(&manifest)).unwrap();
        let crd = format!("crd/{name}");
        run("kubectl", &["wait", "--for=condition=Established", &crd, "--timeout=30s"], None).unwrap();
        Self(name)
    }
}

impl Drop for Definition {
    fn drop(&mut self) {
        let _ = run("kubectl", &["delete", "crd", &self.0, "--wait=false"], None);
    }
}

#[test]
fn the_owners_that_others_bring_are_seen_although_their_kinds_come_later() {
    if !present() {
        return;
    }
    let _kinds = [
        Definition::new("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject"),
        Definition::new("flagger.app", "v1beta1", "canaries", "Canary"),
    ];
    let space = Space::new("e2e-owners");
    space.apply(
        "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: queue}\nspec: {scaleTargetRef: {name: web}}\n---\n\
         apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata: {name: shop}\nspec: {targetRef: {kind: Deployment, name: api}}\n",
    );
    for name in ["web", "api"] {
        space.apply(&shop(name, "v1", 2, 0));
        space.apply(&mvs(name, name, "  minReplicas: 1\n  maxReplicas: 3"));
    }
    // The watch of a kind that was absent asks again within half a minute.
    for name in ["web", "api"] {
        until(60, "ScalerConflict", || (space.condition(name, "ScalerConflict").0 == "True").then_some(()));
    }
    space.kubectl(&["patch", "mvs", "web", "--type=merge", "-p", r#"{"spec":{"minReplicas":3}}"#]);
    stays(5, "replicas are KEDA's", || space.replicas("web") == 2);
    space.kubectl(&["delete", "scaledobject", "queue"]);
    until(40, "KEDA's object is gone", || (space.replicas("web") == 3).then_some(()));
}

#[test]
fn a_person_who_scales_by_hand() {
    if !present() {
        return;
    }
    let space = Space::new("e2e-hand");
    space.apply(&shop("web", "v1", 2, 0));
    space.apply(&mvs("web", "web", "  minReplicas: 1\n  maxReplicas: 6"));
    until(40, "it evaluates", || (space.condition("web", "Ready").0 == "True").then_some(()));
    space.kubectl(&["scale", "deployment", "web", "--replicas=4"]);
    stays(8, "the new count is respected", || space.replicas("web") == 4);
    space.kubectl(&["scale", "deployment", "web", "--replicas=0"]);
    stays(8, "zero is respected", || space.replicas("web") == 0);
    assert_eq!(space.events("Contested"), Vec::<String>::new());
}

#[test]
fn a_resource_that_only_observes_touches_nothing() {
    if !present() {
        return;
    }
    let space = Space::new("e2e-observe");
    space.apply(&shop("web", "v1", 1, 0));
    let manifest = mvs("web", "web", "  minReplicas: 3").replace("enforcement: Act", "enforcement: Observe");
    space.apply(&manifest);
    let wanted =
        until(30, "what it would do is shown", || space.get("mvs/web")["status"]["desiredReplicas"].as_i64());
    assert_eq!(wanted, 3);
    stays(6, "nothing is touched", || space.replicas("web") == 1);
    assert_eq!(space.condition("web", "Acting").0, "False");
    let table = space.kubectl(&["get", "mvs", "web"]);
    for column in ["ENFORCE", "NOW", "WANT", "ACTION", "ACTING", "WHY", "CONF", "READY", "AGE"] {
        assert!(table.contains(column), "{column} is missing in\n{table}");
    }
}
