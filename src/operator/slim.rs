//! What no turn reads of an object's metadata is not kept in memory: copies of the whole object that others left there.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value};

/// kubectl's copy of what was applied.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Of a field manager's fields only those at `paths` stay (JSON pointers without escapes), and nothing below them.
pub(super) fn slim(meta: &mut ObjectMeta, paths: &[&str]) {
    if let Some(annotations) = &mut meta.annotations {
        annotations.remove(APPLIED);
    }
    for manager in meta.managed_fields.iter_mut().flatten() {
        if let Some(fields) = &mut manager.fields_v1 {
            let mut kept = Map::new();
            for path in paths.iter().filter(|path| fields.0.pointer(path).is_some()) {
                note(&mut kept, path);
            }
            fields.0 = Value::Object(kept);
        }
    }
}

/// Makes the objects along a path.
fn note(mut at: &mut Map<String, Value>, path: &str) {
    for key in path.split('/').skip(1) {
        match at.entry(key).or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(next) => at = next,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_wrote_what_is_asked_for_stays_and_copies_go() {
        let mut meta: ObjectMeta = serde_json::from_value(json!({
            "name": "web",
            "annotations": {APPLIED: "{…}", "team": "shop"},
            "managedFields": [
                {"manager": "kubectl", "fieldsV1": {"f:spec": {"f:template": {"f:spec": {}}, "f:replicas": {}}, "f:metadata": {}}},
                {"manager": "controller", "subresource": "status", "fieldsV1": {"f:status": {}}},
                {"manager": "old"},
            ],
        }))
        .expect("metadata");
        slim(&mut meta, &["/f:spec/f:template", "/f:data"]);
        let left = serde_json::to_value(&meta).expect("metadata");
        let expected = json!({
            "name": "web",
            "annotations": {"team": "shop"},
            "managedFields": [
                {"manager": "kubectl", "fieldsV1": {"f:spec": {"f:template": {}}}},
                {"manager": "controller", "subresource": "status", "fieldsV1": {}},
                {"manager": "old"},
            ],
        });
        assert_eq!(left, expected);
    }
}
