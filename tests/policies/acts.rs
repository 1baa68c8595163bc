//! Rows about what the operator's own identity may do to a target.

use serde_json::{Value, json};

use crate::cluster::Verdict::{Allowed, By};
use crate::cluster::Who::{Admin, Operator, Stranger};
use crate::cluster::{Case, Try, Verdict, case};
use crate::story::{DECISION, config_map, deployment, knobs, web};

const ACTS: Verdict = By("acts");

fn write(verb: &'static str, path: String, body: Value) -> Try {
    Try { verb, path, body: Some(body) }
}
fn merge(path: String, body: Value) -> Try {
    write("MERGE", path, body)
}
fn decided(id: &str, more: Value) -> Value {
    let mut body = json!({"metadata": {"annotations": {DECISION: id}}});
    json_patch::merge(&mut body, &more);
    body
}
fn fence() -> Value {
    json!({"metadata": {"annotations": {"autonomy.matverse.io/fence": "1.2"}}})
}
fn add(path: &str, value: Value) -> Value {
    json!({"op": "add", "path": path, "value": value})
}

#[rustfmt::skip] // a row a line
pub fn table() -> Vec<Case> {
    let (one, bare) = (|| deployment("web"), || deployment("bare"));
    let sub = |name: &str| format!("{}/{name}", deployment("web"));
    let replicas = |n: u32| json!({"spec": {"replicas": n}});
    let id = add("/metadata/annotations/autonomy.matverse.io~1decision", json!("d2"));
    let scale = json!({"op": "replace", "path": "/spec/replicas", "value": 5});
    let mut back = web("web", 2)["spec"]["template"].clone();
    back["spec"]["containers"][0]["image"] = json!("web:0");
    let template = json!({"op": "replace", "path": "/spec/template", "value": back});
    let mut whole = web("web", 5);
    let mut fresh = whole.clone();
    fresh["metadata"]["annotations"][DECISION] = json!("d2");
    whole["metadata"]["annotations"]["more"] = json!("x");
    let workers = |n: &str| json!({"data": {"workers": n}});
    let remove = |path: String| Try { verb: "DELETE", path, body: None };
    vec![
        case("a scale with its decision", Operator, write("JSON", one(), json!([id, scale])), Allowed),
        case("a scale with its decision, merged", Operator, merge(one(), decided("d2", replicas(5))), Allowed),
        case("a scale with its decision, applied", Operator, write("APPLY", one(), fresh.clone()), Allowed),
        case("a scale with its decision, put", Operator, write("PUT", one(), fresh), Allowed),
        case("a first act on a target", Operator, merge(bare(), decided("d1", replicas(5))), Allowed),
        case("a rollback with its decision", Operator, write("JSON", one(), json!([id, template])), Allowed),
        case("a fence", Operator, merge(one(), fence()), Allowed),
        case("a decision that changes nothing", Operator, merge(one(), decided("d1", replicas(2))), Allowed),
        case("a scale without a decision", Operator, write("JSON", one(), json!([scale])), ACTS),
        case("a scale without a decision, merged", Operator, merge(one(), replicas(5)), ACTS),
        case("a scale without a decision, applied", Operator, write("APPLY", one(), web("web", 5)), ACTS),
        case("a scale without a decision, put", Operator, write("PUT", one(), whole), ACTS),
        case("a scale with the last act's decision", Operator, merge(one(), decided("d1", replicas(5))), ACTS),
        case("a scale with an empty decision", Operator, merge(one(), decided("", replicas(5))), ACTS),
        case("a scale that takes the decision away", Operator, merge(one(), json!({"metadata": {"annotations": {DECISION: null}}, "spec": {"replicas": 5}})), ACTS),
        case("a first act without a decision", Operator, merge(bare(), replicas(5)), ACTS),
        case("a rollback without a decision", Operator, write("JSON", one(), json!([template])), ACTS),
        case("a pause of rollouts without a decision", Operator, merge(one(), json!({"spec": {"paused": true}})), ACTS),
        case("a fence that scales", Operator, merge(one(), { let mut f = fence(); f["spec"] = json!({"replicas": 5}); f }), ACTS),
        case("the scale subresource", Operator, merge(sub("scale"), replicas(5)), ACTS),
        case("the scale subresource, by a JSON patch", Operator, write("JSON", sub("scale"), json!([scale])), ACTS),
        case("the scale subresource, with a decision", Operator, merge(sub("scale"), decided("d2", replicas(5))), ACTS),
        case("the status subresource", Operator, merge(sub("status"), json!({"status": {"replicas": 5}})), ACTS),
        case("a Deployment is created", Operator, write("POST", deployment(""), web("new", 1)), ACTS),
        case("a Deployment is deleted", Operator, remove(one()), ACTS),
        case("all Deployments are deleted", Operator, remove(deployment("")), ACTS),
        case("a person scales", Stranger, merge(one(), replicas(5)), Allowed),
        case("a person uses the scale subresource", Stranger, merge(sub("scale"), replicas(5)), Allowed),
        case("the admin rolls out", Admin, write("JSON", one(), json!([template])), Allowed),
        case("a person deletes a Deployment", Stranger, remove(one()), Allowed),
        case("a step with its decision", Operator, merge(knobs("knobs"), decided("d2", workers("5"))), Allowed),
        case("a step is given back with a decision of its own", Operator, merge(knobs("knobs"), decided("d3", workers("3"))), Allowed),
        case("a fence on a ConfigMap", Operator, merge(knobs("knobs"), fence()), Allowed),
        case("a step without a decision", Operator, merge(knobs("knobs"), workers("5")), ACTS),
        case("a step with the last act's decision", Operator, merge(knobs("knobs"), decided("d1", workers("5"))), ACTS),
        case("a step in binary data", Operator, merge(knobs("knobs"), json!({"binaryData": {"b": "AAAA"}})), ACTS),
        case("a key is taken away", Operator, write("JSON", knobs("knobs"), json!([{"op": "remove", "path": "/data/workers"}])), ACTS),
        case("a ConfigMap is frozen", Operator, merge(knobs("knobs"), json!({"immutable": true})), ACTS),
        case("a ConfigMap is created", Operator, write("POST", knobs(""), config_map("new", json!({}))), ACTS),
        case("a ConfigMap is deleted", Operator, remove(knobs("knobs")), ACTS),
        case("a person tunes", Stranger, merge(knobs("knobs"), workers("5")), Allowed),
    ]
}
