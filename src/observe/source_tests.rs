//! A source that lies, hangs or is not there.

use wiremock::matchers::{body_string_contains, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

const EMPTY: &str = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_900_000_000 + second).unwrap()
}

fn config(url: &str) -> SourceConfig {
    SourceConfig {
        url: url.to_owned(),
        ca_file: None,
        token_file: None,
        basic_auth_file: None,
        client_cert_file: None,
        headers: BTreeMap::new(),
        matchers: BTreeMap::new(),
        namespace_label: "namespace".into(),
        timeout_seconds: 1,
    }
}

async fn answering(template: ResponseTemplate) -> (MockServer, Prometheus) {
    let server = MockServer::start().await;
    Mock::given(method("POST")).and(path("/api/v1/query")).respond_with(template).mount(&server).await;
    let source = Prometheus::new(config(&server.uri())).unwrap();
    (server, source)
}

async fn fault(template: ResponseTemplate) -> Fault {
    let (_server, source) = answering(template).await;
    source.instant("up", at(0)).await.unwrap_err()
}

/// Prometheus's own word against a query.
const REFUSED: &str = r#"{"status":"error","errorType":"bad_data","error":"unknown function"}"#;

#[tokio::test]
async fn a_question_is_a_post_with_the_evaluation_time() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/api/v1/query"))
        .and(body_string_contains("query=up"))
        .and(body_string_contains("time=1900000000"))
        .respond_with(ResponseTemplate::new(200).set_body_string(EMPTY))
        .expect(1)
        .mount(&server)
        .await;
    let source = Prometheus::new(config(&server.uri())).unwrap();
    assert_eq!(source.instant("up", at(0)).await.unwrap(), Answer::Vector(Vec::new()));
}

#[tokio::test]
async fn each_failure_has_a_token() {
    let text = |body: &str| ResponseTemplate::new(200).set_body_string(body);
    assert_eq!(fault(text("<html>")).await.token, "malformed");
    assert_eq!(fault(text(&"x".repeat(5 << 20))).await.token, "oversized");
    assert_eq!(fault(text(EMPTY).set_delay(Duration::from_secs(5))).await.token, "timeout");
    assert_eq!(fault(ResponseTemplate::new(503)).await.token, "http_503");
    let moved = ResponseTemplate::new(302).insert_header("location", "http://127.0.0.1:1/");
    assert_eq!(fault(moved).await.token, "redirect");
    let refused = fault(ResponseTemplate::new(400).set_body_string(REFUSED)).await;
    assert_eq!((refused.token.as_str(), refused.message.as_str()), ("query", "bad_data: unknown function"));
    let nobody = Prometheus::new(config("http://127.0.0.1:1")).unwrap();
    assert_eq!(nobody.instant("up", at(0)).await.unwrap_err().token, "refused");
}

#[tokio::test]
async fn five_failures_open_the_circuit_and_a_probe_closes_it() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(500))
        .up_to_n_times(5)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_string(EMPTY))
        .mount(&server)
        .await;
    let source = Prometheus::new(config(&server.uri())).unwrap();
    for _ in 0..FAILURES {
        assert_eq!(source.instant("up", at(0)).await.unwrap_err().token, "http_500");
    }
    assert_eq!(source.instant("up", at(1)).await.unwrap_err().token, "circuit_open");
    assert!(source.instant("up", at(PROBE_SECONDS)).await.is_ok());
    assert!(source.instant("up", at(PROBE_SECONDS + 1)).await.is_ok());
}

#[tokio::test]
async fn a_refused_query_does_not_open_the_circuit() {
    let (_server, source) = answering(ResponseTemplate::new(400).set_body_string(REFUSED)).await;
    for _ in 0..20 {
        assert_ne!(source.instant("up", at(0)).await.unwrap_err().token, "circuit_open");
    }
}

#[tokio::test]
async fn a_token_is_read_anew_and_never_told() {
    let file = std::env::temp_dir().join(format!("matverse-token-{}", std::process::id()));
    std::fs::write(&file, "first\n").unwrap();
    let server = MockServer::start().await;
    for (token, times) in [("first", 1), ("second", 1)] {
        Mock::given(header("authorization", format!("Bearer {token}").as_str()))
            .respond_with(ResponseTemplate::new(200).set_body_string(EMPTY))
            .expect(times)
            .mount(&server)
            .await;
    }
    let source =
        Prometheus::new(SourceConfig { token_file: Some(file.clone()), ..config(&server.uri()) }).unwrap();
    source.instant("up", at(0)).await.unwrap();
    std::fs::write(&file, "second\n").unwrap();
    source.instant("up", at(1)).await.unwrap();
    std::fs::write(&file, "bad\u{1}token").unwrap();
    let fault = source.instant("up", at(2)).await.unwrap_err();
    assert!(!fault.to_string().contains("token\u{1}") && !fault.to_string().contains("bad"), "{fault}");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(source.instant("up", at(3)).await.unwrap_err().token, "credentials");
}

#[test]
fn files_that_cannot_be_read_stop_the_start() {
    let missing =
        SourceConfig { ca_file: Some("/does/not/exist.pem".into()), ..config("https://127.0.0.1:1") };
    assert!(Prometheus::new(missing).is_err_and(|e| e.contains("/does/not/exist.pem")));
}
