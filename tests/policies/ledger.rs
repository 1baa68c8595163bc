//! Rows about the ledger's namespace.

use serde_json::{Value, json};

use crate::cluster::Verdict::{Allowed, By};
use crate::cluster::Who::{
    Admin, ControllerManager, Exporter, GarbageCollector, NamespaceController, Operator, RootCaPublisher,
    Stranger,
};
use crate::cluster::{Case, Cluster, Try, Verdict, case};
use crate::story::{MARK, checkpoint, config_map, in_ledger, ledger, segment, shop, tail};

const WORM: Verdict = By("worm");
const FREE: &str = "seg-000000000000";
const EXPORTED: &str = "seg-000000000001";
const NEXT: &str = "seg-000000000002";

fn create(body: Value) -> Try {
    Try { verb: "POST", path: in_ledger(""), body: Some(body) }
}
fn write(verb: &'static str, name: &str, body: Value) -> Try {
    Try { verb, path: in_ledger(name), body: Some(body) }
}
/// A replacement of the object that its body names.
fn put(body: Value) -> Try {
    let name = body["metadata"]["name"].as_str().unwrap().to_owned();
    write("PUT", &name, body)
}
fn merge(name: &str, body: Value) -> Try {
    write("MERGE", name, body)
}
fn label(name: &str, key: &str, value: Value) -> Try {
    merge(name, json!({"metadata": {"labels": {key: value}}}))
}
fn annotate(name: &str, key: &str, value: Value) -> Try {
    merge(name, json!({"metadata": {"annotations": {key: value}}}))
}
fn annotation(name: &str) -> Try {
    annotate(name, "a", json!("b"))
}
fn delete(name: &str) -> Try {
    Try { verb: "DELETE", path: in_ledger(name), body: None }
}
/// Deletes the collection, or those of it that a selector of fields names.
fn sweep(selector: &str) -> Try {
    Try { verb: "DELETE", path: format!("{}?fieldSelector={selector}", in_ledger("")), body: None }
}

/// The tail that comes next in good order.
fn next() -> Value {
    tail(2, "cde", 3)
}
/// The same, with one thing about it changed.
fn with(change: impl FnOnce(&mut Value)) -> Try {
    let mut object = next();
    change(&mut object);
    put(object)
}
fn of_segment(name: &str, change: impl FnOnce(&mut Value)) -> Try {
    let mut object = segment(name);
    change(&mut object);
    create(object)
}
fn step(operation: &str, path: &str, value: Value) -> Value {
    json!({"op": operation, "path": path, "value": value})
}

/// What grows: the tail, and what is said to be exported.
#[rustfmt::skip] // a row a line
pub fn growing() -> Vec<Case> {
    let grown = next()["data"].clone();
    let in_steps = json!([
        step("replace", "/data/entries", grown["entries"].clone()),
        step("replace", "/data/size", grown["size"].clone()),
        step("replace", "/data/checkpoint", grown["checkpoint"].clone()),
    ]);
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "stray", "uid": "00000000-0000-0000-0000-000000000000"}]);
    let size = |size: &str| put(config_map("exported", json!({"size": size})));
    vec![
        case("an entry is appended", Operator, put(next()), Allowed),
        case("an entry is appended by a merge patch", Operator, merge("tail", json!({"data": grown})), Allowed),
        case("an entry is appended by a JSON patch", Operator, write("JSON", "tail", in_steps.clone()), Allowed),
        case("an entry is appended by apply", Operator, write("APPLY", "tail", next()), Allowed),
        case("nothing is appended", Operator, put(tail(2, "cd", 3)), Allowed),
        case("a new leader's epoch is appended", Operator, put(tail(2, "cde", 4)), Allowed),
        case("all entries are sealed and one is appended", Operator, put(tail(4, "e", 3)), Allowed),
        case("one entry is sealed and one is appended", Operator, put(tail(3, "de", 3)), Allowed),
        case("one is sealed, and another is lost", Operator, put(tail(3, "e", 3)), WORM),
        case("one is sealed and stays", Operator, put(tail(3, "cd", 3)), WORM),
        case("one is sealed, the rest is rewritten", Operator, put(tail(3, "xe", 3)), WORM),
        case("more is sealed than there was", Operator, put(tail(9, "", 3)), Allowed),
        case("the newest entry is rewritten", Operator, put(tail(2, "cx", 3)), WORM),
        case("an entry is put before the others", Operator, put(tail(2, "xcd", 3)), WORM),
        case("the newest entry is taken away", Operator, put(tail(2, "c", 3)), WORM),
        case("all entries are taken away", Operator, put(tail(2, "", 3)), WORM),
        case("epochs go back", Operator, put(tail(2, "cde", 2)), WORM),
        case("the sealed number goes back", Operator, put(tail(1, "bcd", 3)), WORM),
        case("size says more than there is", Operator, with(|t| t["data"]["size"] = json!("9")), WORM),
        case("size and checkpoint say more than there is", Operator, with(|t| { t["data"]["size"] = json!("9"); t["data"]["checkpoint"] = json!(checkpoint("test/main", 9)); }), WORM),
        case("the last entry has no end", Operator, with(|t| t["data"]["entries"] = json!("c\nd\ne")), WORM),
        case("the checkpoint is of another size", Operator, with(|t| t["data"]["checkpoint"] = json!(checkpoint("test/main", 4))), WORM),
        case("the checkpoint is of another ledger", Operator, with(|t| t["data"]["checkpoint"] = json!(checkpoint("other/main", 5))), WORM),
        case("the checkpoint is none", Operator, with(|t| t["data"]["checkpoint"] = json!("x")), WORM),
        case("a key is added", Operator, with(|t| t["data"]["more"] = json!("x")), WORM),
        case("a key is missing", Operator, merge("tail", json!({"data": {"frontier": null}})), WORM),
        case("a number is not plain", Operator, with(|t| t["data"]["epoch"] = json!("0x4")), WORM),
        case("a number has a leading zero", Operator, with(|t| t["data"]["epoch"] = json!("04")), WORM),
        case("binary data is added", Operator, with(|t| t["binaryData"] = json!({"b": "AAAA"})), WORM),
        case("the tail is made immutable", Operator, with(|t| t["immutable"] = json!(true)), WORM),
        case("a label is added", Operator, label("tail", "a", json!("b")), WORM),
        case("a label is changed", Operator, label("tail", "app", json!("y")), WORM),
        case("a label is dropped, as from a restored copy", Operator, label("tail", "app", Value::Null), Allowed),
        case("an annotation is added", Operator, annotation("tail"), WORM),
        case("an owner is added", Operator, with(|t| t["metadata"]["ownerReferences"] = owner.clone()), WORM),
        case("a finalizer is added", Operator, with(|t| t["metadata"]["finalizers"] = json!(["a.b/c"])), WORM),
        case("another appends", Stranger, put(next()), WORM),
        case("another appends by a merge patch", Stranger, merge("tail", json!({"data": grown})), WORM),
        case("another appends by a JSON patch", Stranger, write("JSON", "tail", in_steps), WORM),
        case("another appends by apply", Stranger, write("APPLY", "tail", next()), WORM),
        case("another annotates the tail", Stranger, annotation("tail"), WORM),
        case("the admin appends", Admin, put(next()), WORM),
        case("the exporter appends", Exporter, put(next()), WORM),
        case("the garbage collector changes the tail", GarbageCollector, annotation("tail"), WORM),
        case("the tail is deleted by its writer", Operator, delete("tail"), WORM),
        case("the tail is deleted by the exporter", Exporter, delete("tail"), WORM),
        case("the tail is deleted by the admin", Admin, delete("tail"), WORM),
        case("the tail is deleted by another", Stranger, delete("tail"), WORM),
        case("the tail is collected as garbage", GarbageCollector, delete("tail"), WORM),
        case("the tail goes, and its namespace stays", NamespaceController, delete("tail"), WORM),
        case("the exported number grows", Exporter, size("2"), Allowed),
        case("the exported number stays", Exporter, size("1"), Allowed),
        case("the exported number goes back", Exporter, size("0"), WORM),
        case("the exported number is none", Exporter, size("many"), WORM),
        case("the exported number is negative", Exporter, size("-1"), WORM),
        case("there is more than the exported number", Exporter, merge("exported", json!({"data": {"more": "x"}})), WORM),
        case("the exported number has a label added", Exporter, label("exported", "a", json!("b")), WORM),
        case("the operator says what is exported", Operator, size("2"), WORM),
        case("another says what is exported", Stranger, size("2"), WORM),
        case("the exported number is deleted", Exporter, delete("exported"), WORM),
        case("the operator deletes the exported number", Operator, delete("exported"), WORM),
    ]
}

/// What never changes, what is not the ledger's, and collections.
#[rustfmt::skip] // a row a line
pub fn sealed() -> Vec<Case> {
    let mark = |name: &str, value: &str| annotate(name, MARK, json!(value));
    let marking = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": FREE, "annotations": {MARK: "true"}}});
    let mut unnamed = segment("");
    unnamed["metadata"] = json!({"generateName": "seg-"});
    let mut founding = config_map("founded", json!({"key": "k"}));
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    let secrets = |namespace: &str| format!("/api/v1/namespaces/{namespace}/secrets");
    let ca = |who, verdict| case("the root certificate is published", who, merge("kube-root-ca.crt", json!({"data": {"ca.crt": "y"}})), verdict);
    vec![
        case("a segment is sealed", Operator, create(segment(NEXT)), Allowed),
        case("a segment is sealed by apply", Operator, write("APPLY", NEXT, segment(NEXT)), Allowed),
        case("a segment is not immutable", Operator, of_segment(NEXT, |s| s["immutable"] = json!(false)), WORM),
        case("a segment has a short name", Operator, create(segment("seg-2")), WORM),
        case("a segment has a long name", Operator, create(segment("seg-0000000000020")), WORM),
        case("a segment's name is left to the server", Operator, create(unnamed), WORM),
        case("a segment has a key too many", Operator, of_segment(NEXT, |s| s["data"]["more"] = json!("x")), WORM),
        case("a segment has a finalizer", Operator, of_segment(NEXT, |s| s["metadata"]["finalizers"] = json!(["a.b/c"])), WORM),
        case("a segment is made as exported", Operator, of_segment(NEXT, |s| s["metadata"]["annotations"] = json!({MARK: "true"})), WORM),
        case("a segment is sealed by another", Stranger, create(segment(NEXT)), WORM),
        case("a segment is sealed by the admin", Admin, create(segment(NEXT)), WORM),
        case("a segment is sealed by the exporter", Exporter, create(segment(NEXT)), WORM),
        case("a segment is marked", Exporter, mark(FREE, "true"), Allowed),
        case("a segment is marked by apply", Exporter, write("APPLY", FREE, marking), Allowed),
        case("a segment is marked by a JSON patch", Exporter, write("JSON", FREE, json!([step("add", "/metadata/annotations", json!({MARK: "true"}))])), Allowed),
        case("a segment is marked with another word", Exporter, mark(FREE, "yes"), WORM),
        case("a segment gets another label", Exporter, label(FREE, "a", json!("b")), WORM),
        case("a segment loses a label", Exporter, label(FREE, "app", Value::Null), WORM),
        case("a segment gets an annotation", Exporter, annotation(FREE), WORM),
        case("an exported segment gets another annotation", Exporter, annotation(EXPORTED), WORM),
        case("an exported segment is marked again", Exporter, mark(EXPORTED, "true"), Allowed),
        case("the mark is a label", Exporter, label(FREE, MARK, json!("true")), WORM),
        case("a segment gets a finalizer", Exporter, merge(FREE, json!({"metadata": {"finalizers": ["a.b/c"]}})), WORM),
        case("the mark is taken away", Exporter, annotate(EXPORTED, MARK, Value::Null), WORM),
        case("the mark is changed", Exporter, mark(EXPORTED, "false"), WORM),
        case("the operator marks", Operator, mark(FREE, "true"), WORM),
        case("the admin marks", Admin, mark(FREE, "true"), WORM),
        case("another marks", Stranger, mark(FREE, "true"), WORM),
        case("another takes the mark away", Stranger, annotate(EXPORTED, MARK, Value::Null), WORM),
        case("the operator changes a label of a segment", Operator, label(FREE, "a", json!("b")), WORM),
        case("an exported segment is deleted", Operator, delete(EXPORTED), Allowed),
        case("a segment is deleted before it is exported", Operator, delete(FREE), WORM),
        case("the exporter deletes what it exported", Exporter, delete(EXPORTED), WORM),
        case("the admin deletes a segment", Admin, delete(EXPORTED), WORM),
        case("a segment is collected as garbage", GarbageCollector, delete(EXPORTED), WORM),
        case("a segment goes, and its namespace stays", NamespaceController, delete(EXPORTED), WORM),
        case("the beginning is changed", Operator, label("founded", "a", json!("b")), WORM),
        case("the beginning is marked", Exporter, mark("founded", "true"), WORM),
        case("the beginning is deleted", Operator, delete("founded"), WORM),
        case("another founds", Stranger, create({ founding["immutable"] = json!(true); founding.clone() }), WORM),
        case("a beginning that can change", Operator, create({ founding["immutable"] = json!(false); founding }), WORM),
        case("something else is created", Operator, create(config_map("notes", json!({}))), WORM),
        case("something else is created by the admin", Admin, create(config_map("notes", json!({}))), WORM),
        case("something else is created by another", Stranger, create(config_map("tail2", json!({}))), WORM),
        case("something else is changed", Stranger, label("stray", "a", json!("b")), WORM),
        case("something else is deleted", Admin, delete("stray"), WORM),
        ca(RootCaPublisher, Allowed),
        ca(ControllerManager, Allowed),
        ca(Stranger, WORM),
        ca(Operator, WORM),
        case("the root certificate is deleted", Admin, delete("kube-root-ca.crt"), WORM),
        case("the collection is deleted by its writer", Operator, sweep(""), WORM),
        case("the collection is deleted by the admin", Admin, sweep(""), WORM),
        case("the collection is deleted by another", Stranger, sweep(""), WORM),
        case("the collection goes, and its namespace stays", NamespaceController, sweep(""), WORM),
        case("the exported part is deleted at once", Operator, sweep(&format!("metadata.name%3D{EXPORTED}")), Allowed),
        case("the exported part is deleted at once by another", Stranger, sweep(&format!("metadata.name%3D{EXPORTED}")), WORM),
        case("a Secret there is none of its business", Stranger, Try { verb: "POST", path: secrets(&ledger()), body: Some(secret) }, Allowed),
        case("a ConfigMap elsewhere is none of its business", Stranger, Try { verb: "POST", path: crate::story::knobs(""), body: Some(config_map("tail", json!({}))) }, Allowed),
        case("the namespace is deleted by mistake", Admin, namespace(&ledger()), By("namespace")),
        case("the namespace is deleted by another", Stranger, namespace(&ledger()), By("namespace")),
        case("another namespace is deleted", Admin, namespace(&shop()), Allowed),
    ]
}

fn namespace(name: &str) -> Try {
    Try { verb: "DELETE", path: format!("/api/v1/namespaces/{name}"), body: None }
}

/// The admin means it: says so on the namespace, and deletes it.
pub async fn give_up_the_namespace(cluster: &Cluster) {
    let path = format!("/api/v1/namespaces/{}", ledger());
    let allowed = json!({"metadata": {"annotations": {"autonomy.matverse.io/allow-deletion": "true"}}});
    cluster.admin("MERGE", &path, Some(&allowed)).await.unwrap();
    cluster.admin("DELETE", &path, None).await.unwrap();
    // The policies look at the API server's copy of the namespace.
    for _ in 0..100 {
        if cluster.attempt(NamespaceController, &delete("stray")).await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the namespace controller may not delete what it must after 10 s");
}

/// What the namespace controller, and nobody else, may do once the namespace is being deleted. A controller that runs
/// has deleted all but `stray` by now.
#[rustfmt::skip] // a row a line
pub fn swept() -> Vec<Case> {
    vec![
        case("the rest of the namespace goes", NamespaceController, delete("stray"), Allowed),
        case("the rest of the namespace goes at once", NamespaceController, sweep(""), Allowed),
        case("without accounts of their own", ControllerManager, delete("stray"), Allowed),
        case("the admin helps", Admin, delete("stray"), WORM),
        case("another helps", Stranger, delete("stray"), WORM),
        case("the operator helps", Operator, sweep(""), WORM),
        case("the controller changes something", NamespaceController, annotation("stray"), WORM),
    ]
}
