//! The objects of a story: a Deployment with two revisions, a ConfigMap, a resource.

use serde_json::{Value, json};

pub const NS: &str = "shop";

fn labels(hash: Option<&str>) -> Value {
    hash.map_or_else(|| json!({"app": "web"}), |h| json!({"app": "web", "pod-template-hash": h}))
}

fn template(image: &str, hash: Option<&str>) -> Value {
    json!({"metadata": {"labels": labels(hash)}, "spec": {
        "containers": [{"name": "web", "image": image, "volumeMounts": [{"name": "knobs", "mountPath": "/knobs"}]}],
        "volumes": [{"name": "knobs", "configMap": {"name": "knobs"}}]}})
}

/// A Deployment at image `v2`.
pub fn deployment(name: &str, replicas: i64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": NS, "uid": format!("uid-of-{name}"),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {"deployment.kubernetes.io/revision": "2"}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels(None)}, "template": template("v2", None)}})
}

/// One of its ReplicaSets.
pub fn replica_set(owner: &str, hash: &str, image: &str, revision: i64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": format!("{owner}-{hash}"), "namespace": NS, "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": labels(Some(hash)), "annotations": {"deployment.kubernetes.io/revision": revision.to_string()},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": owner,
                "uid": format!("uid-of-{owner}"), "controller": true}]},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels(Some(hash))}, "template": template(image, Some(hash))}})
}

/// The ConfigMap that may be tuned.
pub fn knobs(value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "knobs", "namespace": NS},
        "data": {"workers": value, "other": "kept"}})
}

/// A resource for a Deployment of the same name; `more` is merged into its spec.
pub fn scaling(name: &str, more: &Value) -> Value {
    let mut spec = json!({"targetRef": {"name": name}, "enforcement": "Act", "intervalSeconds": 1,
        "minReplicas": 2, "maxReplicas": 4, "profile": "plain"});
    json_patch::merge(&mut spec, more);
    json!({"apiVersion": "matverse.io/v1alpha1", "kind": "MatVerseScaling",
        "metadata": {"name": name, "namespace": NS}, "spec": spec})
}

/// A gate on a Deployment of the same name; `more` is merged into its spec.
pub fn gate(name: &str, more: &Value) -> Value {
    let mut spec = json!({"targetRef": {"name": name}, "intervalSeconds": 1,
        "evidence": {"profile": "gated", "minSamples": 1, "maxAgeSeconds": 20}});
    json_patch::merge(&mut spec, more);
    json!({"apiVersion": "matverse.io/v1alpha1", "kind": "OmegaGate",
        "metadata": {"name": name, "namespace": NS}, "spec": spec})
}
