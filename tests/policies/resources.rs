//! Rows about the resources of matverse.io: for whom the operator acts, and who asks it for something.

use serde_json::{Value, json};

use crate::cluster::Verdict::{Allowed, By};
use crate::cluster::Who::{Admin, Author, JaneDoe, Operator, Owner, Partner, Stranger};
use crate::cluster::{Case, Try, Verdict, case};
use crate::story::{REQUEST, asking, deployment, resource, written};

const DEPUTY: Verdict = By("deputy");
const REQUESTS: Verdict = By("requests");

fn create(object: Value) -> Try {
    let plural = if object["kind"] == "OmegaGate" { "omegagates" } else { "matversescalings" };
    Try { verb: "POST", path: resource(plural, ""), body: Some(object) }
}
fn merge(name: &str, body: Value) -> Try {
    Try { verb: "MERGE", path: resource("matversescalings", name), body: Some(body) }
}
fn scaling(target: &str, more: Value) -> Value {
    written("MatVerseScaling", "new", target, more)
}
fn gate(target: &str, more: Value) -> Value {
    written("OmegaGate", "new", target, more)
}

/// Who makes the operator act on what.
#[rustfmt::skip] // a row a line
pub fn deputy() -> Vec<Case> {
    let plain = || scaling("web", json!({}));
    let tunes = |name: &str| {
        let parameter = json!({"key": "workers", "min": 1, "max": 8, "maxDelta": 0.02});
        json!({"retune": {"configMapRef": {"name": name}, "parameters": [parameter]}})
    };
    let league = |champion: &str, challenger: &str, route: Option<&str>| {
        let side = |name: &str| json!({"deployment": name, "service": name, "port": 80});
        let mut league = json!({"champion": side(champion), "challenger": side(challenger)});
        if let Some(route) = route {
            league["routeRef"] = json!({"name": route});
        }
        gate("web", json!({"league": league}))
    };
    let apply = || Try { verb: "APPLY", path: resource("matversescalings", "new"), body: Some(plain()) };
    let more = || json!({"spec": {"maxReplicas": 20}});
    let labelled = || json!({"metadata": {"labels": {"a": "b"}}});
    let finalizer = json!({"metadata": {"finalizers": ["autonomy.matverse.io/restore"]}});
    let status = Try {
        verb: "MERGE",
        path: resource("matversescalings", "web/status"),
        body: Some(json!({"status": {"currentReplicas": 2}})),
    };
    let remove = Try { verb: "DELETE", path: resource("matversescalings", "web"), body: None };
    vec![
        case("for a target of one's own", Owner, create(plain()), Allowed),
        case("for a target of one's own, applied", Owner, apply(), Allowed),
        case("by the admin", Admin, create(plain()), Allowed),
        case("for somebody else's target", Author, create(plain()), DEPUTY),
        case("for somebody else's target, applied", Author, apply(), DEPUTY),
        case("for another target than one's own", Partner, create(scaling("bare", json!({}))), DEPUTY),
        case("for a target that does not exist yet", Owner, create(scaling("web-next", json!({}))), Allowed),
        case("for a target without rights and without being", Owner, create(scaling("nobody", json!({}))), DEPUTY),
        case("with a ConfigMap of one's own", Owner, create(scaling("web", tunes("knobs"))), Allowed),
        case("with somebody else's ConfigMap", Partner, create(scaling("web", tunes("knobs"))), DEPUTY),
        case("with another ConfigMap than one's own", Owner, create(scaling("web", tunes("passwords"))), DEPUTY),
        case("a ConfigMap is added later", Partner, merge("web", json!({"spec": tunes("knobs")})), DEPUTY),
        case("the spec is changed by its owner", Owner, merge("web", more()), Allowed),
        case("the spec is changed by another", Author, merge("web", more()), DEPUTY),
        case("the spec is changed by its partner", Partner, merge("web", more()), Allowed),
        case("the spec is written as it is", Author, merge("web", json!({"spec": {"maxReplicas": 10}})), Allowed),
        case("a label is added by another", Author, merge("web", labelled()), Allowed),
        case("the operator sets its finalizer", Operator, merge("web", finalizer), Allowed),
        case("the operator answers", Operator, status, Allowed),
        case("it is deleted by another", Author, remove, Allowed),
        case("a gate on a target of one's own", Owner, create(gate("web", json!({}))), Allowed),
        case("a gate on somebody else's target", Author, create(gate("web", json!({}))), DEPUTY),
        case("a league of one's own", Owner, create(league("web", "web-next", Some("web"))), Allowed),
        case("a league without a route", Owner, create(league("web", "web-next", None)), Allowed),
        case("a league with somebody else's challenger", Owner, create(league("web", "other", None)), DEPUTY),
        case("a league with somebody else's route", Owner, create(league("web", "web-next", Some("other"))), DEPUTY),
    ]
}

/// Who asks, and who says that they do.
#[rustfmt::skip] // a row a line
pub fn requests() -> Vec<Case> {
    let ask = |name: &str, request: &str| merge(name, json!({"metadata": {"annotations": {REQUEST: request}}}));
    let gate_asks = |request: &str| Try {
        verb: "MERGE",
        path: resource("omegagates", "web"),
        body: Some(json!({"metadata": {"annotations": {REQUEST: request}}})),
    };
    let on_target = |rest: &str, request: &str| Try {
        verb: "MERGE",
        path: format!("{}{rest}", deployment("web")),
        body: Some(json!({"metadata": {"annotations": {REQUEST: request}}})),
    };
    let put_in_steps = Try {
        verb: "JSON",
        path: resource("matversescalings", "asked"),
        body: Some(json!([{"op": "replace", "path": "/metadata/annotations/autonomy.matverse.io~1request", "value": "resume by=owner"}])),
    };
    let withdrawn = || merge("asked", json!({"metadata": {"annotations": {REQUEST: null}}}));
    let long = format!("allow {} by=stranger", "x".repeat(512));
    let new = |request: &str| create(asking(scaling("web", json!({})), request));
    vec![
        case("in one's own name", Stranger, ask("web", "pause by=stranger"), Allowed),
        case("with an argument", Stranger, ask("web", "approve d7 by=stranger"), Allowed),
        case("with two", Stranger, ask("web", "pause for=2h reason=deploy by=stranger"), Allowed),
        case("in a name with a space", JaneDoe, ask("web", "allow 7d9f by=Jane Doe"), Allowed),
        case("on a gate", Stranger, gate_asks("pause by=stranger"), Allowed),
        case("with a new resource", Owner, new("pause by=owner"), Allowed),
        case("a promotion", Stranger, gate_asks("promote 01ARYZ6S41 by=stranger"), Allowed),
        case("the last good champion", Stranger, gate_asks("rollback last-good by=stranger"), Allowed),
        case("a promotion in another's name", Stranger, gate_asks("promote 01ARYZ6S41 by=owner"), REQUESTS),
        case("a promotion of no run", Stranger, gate_asks("promote by=stranger"), REQUESTS),
        case("a promotion of two runs", Stranger, gate_asks("promote a b by=stranger"), REQUESTS),
        case("a rollback to anywhere", Stranger, gate_asks("rollback 7d9f by=stranger"), REQUESTS),
        case("a promotion where there is no league", Stranger, ask("web", "promote 01ARYZ6S41 by=stranger"), REQUESTS),
        case("in another's name", Stranger, ask("web", "pause by=owner"), REQUESTS),
        case("in another's name, on a gate", Stranger, gate_asks("pause by=owner"), REQUESTS),
        case("in another's name, with a new resource", Owner, new("pause by=stranger"), REQUESTS),
        case("in two names", Stranger, ask("web", "pause by=owner by=stranger"), REQUESTS),
        case("in a part of one's name", JaneDoe, ask("web", "pause by=Jane"), REQUESTS),
        case("in more than one's name", Stranger, ask("web", "pause by=stranger "), REQUESTS),
        case("in no name", Stranger, ask("web", "pause"), REQUESTS),
        case("in an empty name", Stranger, ask("web", "pause by="), REQUESTS),
        case("for nothing", Stranger, ask("web", "by=stranger"), REQUESTS),
        case("for nothing at all", Stranger, ask("web", ""), REQUESTS),
        case("for something unknown", Stranger, ask("web", "destroy by=stranger"), REQUESTS),
        case("at too great a length", Stranger, ask("web", &long), REQUESTS),
        case("the operator asks for another", Operator, ask("web", "approve d7 by=owner"), REQUESTS),
        case("another's request is changed in their name", Stranger, ask("asked", "resume by=owner"), REQUESTS),
        case("another's request is changed in steps", Stranger, put_in_steps, REQUESTS),
        case("another's request is replaced by one's own", Stranger, ask("asked", "resume by=stranger"), Allowed),
        case("another's request is left as it is", Stranger, merge("asked", json!({"metadata": {"labels": {"a": "b"}}})), Allowed),
        case("the operator has dealt with it", Operator, withdrawn(), Allowed),
        case("it is withdrawn", Owner, withdrawn(), Allowed),
        case("on a Deployment", Stranger, on_target("", "pause by=stranger"), REQUESTS),
        case("on a Deployment's status", Stranger, on_target("/status", "pause by=stranger"), REQUESTS),
    ]
}
