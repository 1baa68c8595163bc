//! The bodies of our writes: pure functions from a plan to a patch.
//!
//! Deployments are changed by JSON Patch: a merge patch keeps removed containers, annotations and node
//! selectors of the newer template, so it cannot restore an older one.

use json_patch::Patch;
use k8s_openapi::api::apps::v1::ReplicaSet;
use serde_json::{Value, json};

use super::{ATTESTATION, DECISION};
use crate::decide::situation::Plan;

/// Label that the Deployment controller adds to each ReplicaSet's template.
pub(crate) const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// What every write carries beside its plan.
#[derive(Clone, Copy)]
pub(crate) struct Marks<'a> {
    /// Decision id.
    pub id: &'a str,
    /// Place of the intent in the ledger.
    pub attestation: &'a str,
}

impl Marks<'_> {
    /// The first operations of a JSON Patch: the version that was decided on, and the two annotations. `bare` is an
    /// object without annotations, where single keys cannot be added.
    pub(crate) fn operations(&self, version: &str, bare: bool) -> Vec<Value> {
        let mut all = vec![json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version})];
        if bare {
            let both = json!({DECISION: self.id, ATTESTATION: self.attestation});
            all.push(json!({"op": "add", "path": "/metadata/annotations", "value": both}));
        } else {
            all.push(annotate(DECISION, self.id));
            all.push(annotate(ATTESTATION, self.attestation));
        }
        all
    }
}

/// Sets one annotation.
pub(crate) fn annotate(key: &str, value: &str) -> Value {
    json!({"op": "add", "path": format!("/metadata/annotations/{}", token(key)), "value": value})
}

/// Operations as a patch.
pub(crate) fn patch_of(operations: Vec<Value>) -> Result<Patch, String> {
    serde_json::from_value(Value::Array(operations)).map_err(|e| e.to_string())
}

/// A ReplicaSet's pod template as the Deployment had it: without `pod-template-hash`.
pub(crate) fn template_of(replica_set: &ReplicaSet) -> Result<Value, String> {
    let template = replica_set
        .spec
        .as_ref()
        .and_then(|spec| spec.template.as_ref())
        .ok_or("the ReplicaSet has no template")?;
    let mut template = serde_json::to_value(template).map_err(|e| e.to_string())?;
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(POD_TEMPLATE_HASH);
    }
    Ok(template)
}

/// Escapes one token of a JSON pointer (RFC 6901).
fn token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The one write that carries an act: resourceVersion, decision id, attestation and the new spec.
///
/// A Deployment that a controller has seen has annotations (`deployment.kubernetes.io/revision`), so single
/// keys can be added; without any the patch fails and the act is refused, which is what an unseen target deserves.
pub(crate) fn deployment(
    plan: &Plan,
    version: &str,
    marks: &Marks<'_>,
    template: Option<&Value>,
) -> Result<Patch, String> {
    let mut operations = marks.operations(version, false);
    match plan {
        Plan::Scale { to, .. } => {
            operations.push(json!({"op": "replace", "path": "/spec/replicas", "value": to}));
        }
        Plan::Rollback { to, .. } => {
            let template = template.ok_or("a rollback needs the template it restores")?;
            operations.extend(restore(template, to, marks.id));
        }
        Plan::Nothing | Plan::Retune { .. } => return Err("the plan does not concern a Deployment".into()),
    }
    patch_of(operations)
}

/// A whole template that stood before, and the cause that `kubectl rollout history` shows.
pub(crate) fn restore(template: &Value, to: &str, id: &str) -> [Value; 2] {
    let cause = format!("rolled back to {to} by decision {id}");
    [
        json!({"op": "replace", "path": "/spec/template", "value": template}),
        annotate("kubernetes.io/change-cause", &cause),
    ]
}

/// A merge patch of one key of a ConfigMap.
pub(crate) fn config_map(key: &str, to: &str, version: &str, id: &str, attestation: &str) -> Value {
    json!({
        "metadata": {"resourceVersion": version, "annotations": {DECISION: id, ATTESTATION: attestation}},
        "data": {key: to},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollback() -> Plan {
        Plan::Rollback {
            replica_set: "web-5c4b".into(),
            to: "5c4b".into(),
            from: "7d9f".into(),
            bad_template: "b".into(),
            good_template: "g".into(),
        }
    }

    #[test]
    fn a_scale_carries_version_id_and_count_in_one_write() {
        let marks = Marks { id: "D1", attestation: "v1 x" };
        let patch = deployment(&Plan::Scale { from: 2, to: 5 }, "41", &marks, None).unwrap();
        let text = serde_json::to_value(&patch).unwrap();
        assert_eq!(text[0], json!({"op": "replace", "path": "/metadata/resourceVersion", "value": "41"}));
        assert_eq!(text[1]["path"], "/metadata/annotations/autonomy.matverse.io~1decision");
        assert_eq!(text[3], json!({"op": "replace", "path": "/spec/replicas", "value": 5}));
    }

    #[test]
    fn a_rollback_replaces_the_whole_template_and_drops_what_the_new_one_added() {
        let marks = Marks { id: "D1", attestation: "v1 x" };
        let template = json!({"spec": {"containers": []}});
        let patch = deployment(&rollback(), "41", &marks, Some(&template)).unwrap();
        let mut target = json!({"metadata": {"resourceVersion": "41", "annotations": {"a": "b"}},
            "spec": {"replicas": 3, "template": {"spec": {"nodeSelector": {"x": "y"}, "containers": [1]}}}});
        json_patch::patch(&mut target, &patch).unwrap();
        assert_eq!(target["spec"], json!({"replicas": 3, "template": {"spec": {"containers": []}}}));
        assert_eq!(target["metadata"]["annotations"]["a"], "b");
        assert_eq!(target["metadata"]["annotations"]["autonomy.matverse.io/decision"], "D1");
    }

    #[test]
    fn a_rollback_without_a_template_and_a_foreign_plan_are_refused() {
        let marks = Marks { id: "D1", attestation: "" };
        assert!(deployment(&rollback(), "1", &marks, None).is_err());
        assert!(deployment(&Plan::Nothing, "1", &marks, None).is_err());
    }

    #[test]
    fn the_template_of_a_replica_set_loses_its_hash_only() {
        let rs: ReplicaSet = serde_json::from_value(json!({"spec": {"selector": {}, "template": {
            "metadata": {"labels": {"app": "web", "pod-template-hash": "5c4b"}}, "spec": {"containers": []}}}}))
        .unwrap();
        let template = template_of(&rs).unwrap();
        assert_eq!(template["metadata"]["labels"], json!({"app": "web"}));
    }
}
