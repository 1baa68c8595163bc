//! The objects that the rows are about, as they stand before the policies come.

use serde_json::{Value, json};

use crate::cluster::{Case, Cluster, Try, Verdict, Who, case};

/// The policies, as their files and objects name them.
pub const POLICIES: [&str; 5] = ["worm", "namespace", "acts", "deputy", "requests"];
/// The annotation by which a segment may go.
pub const MARK: &str = "autonomy.matverse.io/exported";
/// The annotation of a decision.
pub const DECISION: &str = "autonomy.matverse.io/decision";
/// The annotation of a request.
pub const REQUEST: &str = "autonomy.matverse.io/request";

pub fn release() -> String {
    format!("p{}", std::process::id())
}
pub fn fullname() -> String {
    format!("{}-matverse-autonomy", release())
}
/// Namespace of the release; it need not exist.
pub fn system() -> String {
    format!("{}-system", release())
}
pub fn ledger() -> String {
    format!("{}-ledger", release())
}
pub fn shop() -> String {
    format!("{}-shop", release())
}

/// A second release, whose ledger is a real one.
pub fn living() -> String {
    format!("{}w", release())
}
/// Namespace of that.
pub fn living_ledger() -> String {
    format!("{}-ledger", living())
}
/// Everything that is rendered: release, namespace of its ledger, policies.
pub fn installed() -> [(String, String, &'static [&'static str]); 2] {
    [(release(), ledger(), &POLICIES), (living(), living_ledger(), &["worm"])]
}

/// Path of a ConfigMap of the ledger; without a name that of all of them.
pub fn in_ledger(name: &str) -> String {
    format!("/api/v1/namespaces/{}/configmaps/{name}", ledger()).trim_end_matches('/').to_owned()
}
/// Path of a ConfigMap of the shop.
pub fn knobs(name: &str) -> String {
    format!("/api/v1/namespaces/{}/configmaps/{name}", shop()).trim_end_matches('/').to_owned()
}
/// Path of a Deployment of the shop.
pub fn deployment(name: &str) -> String {
    format!("/apis/apps/v1/namespaces/{}/deployments/{name}", shop()).trim_end_matches('/').to_owned()
}
/// Path of a resource of the shop.
pub fn resource(plural: &str, name: &str) -> String {
    format!("/apis/matverse.io/v1alpha1/namespaces/{}/{plural}/{name}", shop())
        .trim_end_matches('/')
        .to_owned()
}

/// Everything that is taken away again, but for policies and definitions.
pub fn places() -> Vec<String> {
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    vec![
        format!("{rbac}/clusterrolebindings/{}-mighty", release()),
        format!("/api/v1/namespaces/{}", ledger()),
        format!("/api/v1/namespaces/{}", living_ledger()),
        format!("/api/v1/namespaces/{}", shop()),
    ]
}

/// A definition in which the league is built: its rule against it is dropped, the field's schema is what ships.
pub fn built(mut definition: Value) -> Value {
    let rules = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/x-kubernetes-validations";
    if let Some(rules) = definition.pointer_mut(rules).and_then(Value::as_array_mut) {
        rules.retain(|rule| !rule["message"].as_str().unwrap_or_default().starts_with("league is not built"));
    }
    definition
}

pub fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": "x"}}, "data": data})
}

/// A tail of these entries, each a letter; the stored one is `tail(2, "cd", 3)`.
pub fn tail(sealed: u64, entries: &str, epoch: u64) -> Value {
    let lines: String = entries.chars().flat_map(|c| [c, '\n']).collect();
    let size = sealed + entries.len() as u64;
    let data = json!({"checkpoint": checkpoint("test/main", size), "entries": lines, "epoch": epoch.to_string(),
        "frontier": "", "sealed": sealed.to_string(), "size": size.to_string()});
    config_map("tail", data)
}

pub fn checkpoint(origin: &str, size: u64) -> String {
    format!("{origin}\n{size}\ncm9vdA==\n\n— {origin} c2ln\n")
}

pub fn segment(name: &str) -> Value {
    let mut map = config_map(name, json!({"entries": "a\nb\n", "frontier": ""}));
    map["immutable"] = json!(true);
    map
}

pub fn web(name: &str, replicas: u32) -> Value {
    let labels = json!({"app": name});
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "annotations": {DECISION: "d1"}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}})
}

/// A resource of matverse.io; `more` goes over its spec.
pub fn written(kind: &str, name: &str, target: &str, more: Value) -> Value {
    let mut spec = json!({"targetRef": {"name": target}});
    json_patch::merge(&mut spec, &more);
    json!({"apiVersion": "matverse.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

pub fn asking(mut object: Value, request: &str) -> Value {
    object["metadata"]["annotations"] = json!({REQUEST: request});
    object
}

/// One write that each policy refuses, to know from when it stands.
pub fn probes() -> Vec<Case> {
    let post = |path: String, body: Value| Try { verb: "POST", path, body: Some(body) };
    let merge = |path: String, body: Value| Try { verb: "MERGE", path, body: Some(body) };
    let away = Try { verb: "DELETE", path: format!("/api/v1/namespaces/{}", ledger()), body: None };
    let scaling = |name: &str| written("MatVerseScaling", name, "web", json!({}));
    let more = json!({"spec": {"replicas": 5}});
    let create = resource("matversescalings", "");
    let probe = config_map("policy-probe", json!({}));
    let asked = asking(scaling("b"), "pause by=nobody");
    vec![
        case("worm", Who::Operator, post(in_ledger(""), probe), Verdict::By("worm")),
        case("namespace", Who::Admin, away, Verdict::By("namespace")),
        case("acts", Who::Operator, merge(deployment("web"), more), Verdict::By("acts")),
        case("deputy", Who::Author, post(create.clone(), scaling("a")), Verdict::By("deputy")),
        case("requests", Who::Stranger, post(create, asked), Verdict::By("requests")),
    ]
}

/// Makes all of it.
pub async fn tell(cluster: &Cluster) {
    let make = async |path: &str, object: Value| {
        cluster.admin("POST", path, Some(&object)).await.unwrap_or_else(|e| panic!("{path}: {e:?}"));
    };
    for namespace in [ledger(), living_ledger(), shop()] {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        make("/api/v1/namespaces", object).await;
    }
    rights(cluster).await;

    let all = in_ledger("");
    make(&all, tail(2, "cd", 3)).await;
    make(&all, segment("seg-000000000000")).await;
    let mut exported = segment("seg-000000000001");
    exported["metadata"]["annotations"] = json!({MARK: "true"});
    make(&all, exported).await;
    let mut founded = config_map("founded", json!({"key": "k"}));
    founded["immutable"] = json!(true);
    make(&all, founded).await;
    make(&all, config_map("exported", json!({"size": "1"}))).await;
    // From before the policies, and it holds the namespace when that goes.
    let mut stray = config_map("stray", json!({}));
    stray["metadata"]["finalizers"] = json!(["matverse.io/test"]);
    make(&all, stray).await;
    // Where no controller manager runs, nobody has published it.
    let ca = config_map("kube-root-ca.crt", json!({"ca.crt": "x"}));
    let _ = cluster.admin("POST", &all, Some(&ca)).await;

    make(&deployment(""), web("web", 2)).await;
    let mut bare = web("bare", 2);
    bare["metadata"] = json!({"name": "bare"});
    make(&deployment(""), bare).await;
    let mut tuned = config_map("knobs", json!({"workers": "4"}));
    tuned["metadata"]["annotations"] = json!({DECISION: "d1"});
    make(&knobs(""), tuned).await;
    make(&resource("matversescalings", ""), written("MatVerseScaling", "web", "web", json!({}))).await;
    make(&resource("omegagates", ""), written("OmegaGate", "web", "web", json!({}))).await;
    let asked = asking(written("MatVerseScaling", "asked", "bare", json!({})), "pause by=owner");
    make(&resource("matversescalings", ""), asked).await;
}

async fn rights(cluster: &Cluster) {
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let user =
        |who: Who| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": who.user()});
    let subjects: Vec<Value> = Who::MIGHTY.map(user).into();
    let mighty = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": format!("{}-mighty", release())}, "subjects": subjects,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}});
    cluster.admin("POST", &format!("{rbac}/clusterrolebindings"), Some(&mighty)).await.unwrap();

    let write = json!({"apiGroups": ["matverse.io"], "resources": ["matversescalings", "omegagates"],
        "verbs": ["get", "create", "update", "patch", "delete"]});
    let patch = |group: &str, resource: &str, names: &[&str]| json!({"apiGroups": [group], "resources": [resource], "resourceNames": names, "verbs": ["patch"]});
    let roles = [
        (Who::Author, vec![]),
        (Who::Partner, vec![patch("apps", "deployments", &["web"])]),
        (
            Who::Owner,
            vec![
                patch("apps", "deployments", &["web", "web-next", "bare"]),
                patch("", "configmaps", &["knobs"]),
                patch("gateway.networking.k8s.io", "httproutes", &["web"]),
            ],
        ),
    ];
    for (who, more) in roles {
        let name = who.user().unwrap();
        let rules: Vec<Value> = std::iter::once(write.clone()).chain(more).collect();
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules});
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name}, "subjects": [user(who)],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}});
        for (plural, object) in [("roles", role), ("rolebindings", binding)] {
            let path = format!("{rbac}/namespaces/{}/{plural}", shop());
            cluster.admin("POST", &path, Some(&object)).await.unwrap();
        }
    }
}
