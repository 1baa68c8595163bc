//! The store over HTTP, against a scripted API server: what is sent, and how answers are understood.

use std::collections::BTreeMap;

use serde_json::json;
use wiremock::matchers::{body_partial_json, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::ledger::configmaps::ConfigMaps;
use crate::ledger::store::{Store, StoreError};

const MAPS: &str = "/api/v1/namespaces/matverse-ledger/configmaps";

fn store(server: &MockServer) -> ConfigMaps {
    let mut config = kube::Config::new(server.uri().parse().unwrap());
    config.default_retry = false;
    ConfigMaps::new(kube::Client::try_from(config).unwrap(), "matverse-ledger")
}

fn map(name: &str, version: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"size": "1"},
        "metadata": {"name": name, "uid": "u1", "resourceVersion": version}
    })
}

fn status(code: u16, reason: &str) -> ResponseTemplate {
    ResponseTemplate::new(code).set_body_json(json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason
    }))
}

#[tokio::test]
async fn writes_carry_resource_version_immutability_and_preconditions() {
    let server = MockServer::start().await;
    let data = BTreeMap::from([("size".to_owned(), "1".to_owned())]);
    Mock::given(method("PUT"))
        .and(path(format!("{MAPS}/tail")))
        .and(body_partial_json(
            json!({"metadata": {"name": "tail", "resourceVersion": "7"}, "data": {"size": "1"}}),
        ))
        .respond_with(ResponseTemplate::new(200).set_body_json(map("tail", "8")))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path(MAPS))
        .and(body_partial_json(json!({"metadata": {"name": "seg-000000000000"}, "immutable": true})))
        .respond_with(ResponseTemplate::new(201).set_body_json(map("seg-000000000000", "9")))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("DELETE"))
        .and(path(format!("{MAPS}/seg-000000000000")))
        .and(body_partial_json(json!({"preconditions": {"uid": "u1", "resourceVersion": "9"}})))
        .respond_with(ResponseTemplate::new(200).set_body_json(map("seg-000000000000", "9")))
        .expect(1)
        .mount(&server)
        .await;
    let store = store(&server);
    assert_eq!(store.replace("tail", "7", &data).await.unwrap().resource_version, "8");
    let segment = store.create("seg-000000000000", &data, true).await.unwrap();
    store.delete("seg-000000000000", &segment.uid, &segment.resource_version).await.unwrap();
}

#[tokio::test]
async fn what_was_not_done_is_told_apart_from_what_may_have_been() {
    let data = BTreeMap::new();
    for (code, reason, expected) in [
        (409, "Conflict", StoreError::Conflict),
        (409, "AlreadyExists", StoreError::AlreadyExists),
        (404, "NotFound", StoreError::NotFound),
        (403, "Forbidden", StoreError::Denied("Forbidden".into())),
        (422, "Invalid", StoreError::Denied("Invalid".into())),
        (429, "TooManyRequests", StoreError::Unreachable("TooManyRequests".into())),
        (500, "InternalError", StoreError::Unreachable("InternalError".into())),
        (504, "Timeout", StoreError::Unreachable("Timeout".into())),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("PUT")).respond_with(status(code, reason)).expect(1).mount(&server).await;
        let error = store(&server).replace("tail", "7", &data).await.unwrap_err();
        assert_eq!(error, expected, "{code}");
    }
    // Held, or another test might listen there; nobody listens on it.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = kube::Config::new(format!("http://{}", held.local_addr().unwrap()).parse().unwrap());
    let store = ConfigMaps::new(kube::Client::try_from(config).unwrap(), "matverse-ledger");
    assert_eq!(store.get("tail").await.unwrap_err().kind(), "unreachable");
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let server = MockServer::start().await;
    let page = |name: &str, token: &str| {
        ResponseTemplate::new(200).set_body_json(json!({
            "apiVersion": "v1", "kind": "ConfigMapList",
            "metadata": {"resourceVersion": "9", "continue": token}, "items": [map(name, "1")]
        }))
    };
    Mock::given(method("GET"))
        .and(path(MAPS))
        .and(query_param("continue", "next"))
        .respond_with(page("seg-000000000000", ""))
        .expect(1)
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .and(path(MAPS))
        .respond_with(page("tail", "next"))
        .expect(1)
        .mount(&server)
        .await;
    let names: Vec<String> = store(&server).list().await.unwrap().into_iter().map(|o| o.name).collect();
    assert_eq!(names, ["tail", "seg-000000000000"]);
}
