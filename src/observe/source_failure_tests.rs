//! A source that refuses, hangs, redirects, talks nonsense or too much; and one that answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wiremock::matchers::{body_string_contains, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

const GOOD: &str =
    r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"2"]}]}}"#;

fn config(url: &str) -> SourceConfig {
    serde_json::from_value(serde_json::json!({"url": url, "timeoutSeconds": 1})).unwrap()
}

fn source(url: &str) -> Prometheus {
    Prometheus::new(config(url)).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

async fn serving(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).and(path("/api/v1/query")).respond_with(answer).mount(&server).await;
    server
}

async fn fault(url: &str) -> Fault {
    source(url).instant("up", at(0)).await.unwrap_err()
}

/// A listener that reads a request, writes `answer` and then holds the connection; the number of connections.
async fn raw(answer: Vec<u8>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            seen.fetch_add(1, Ordering::SeqCst);
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(&answer).await;
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
            });
        }
    });
    (address, count)
}

#[tokio::test]
async fn a_source_answers_a_posted_query_at_its_evaluation_time() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/api/v1/query"))
        .and(body_string_contains("query=up"))
        .and(body_string_contains("time=1700000000"))
        .and(header("X-Scope-OrgID", "shop"))
        .respond_with(ResponseTemplate::new(200).set_body_string(GOOD))
        .expect(1)
        .mount(&server)
        .await;
    let mut config = config(&server.uri());
    config.headers.insert("X-Scope-OrgID".into(), "shop".into());
    let answer = Prometheus::new(config).unwrap().instant("up", at(0)).await.unwrap();
    assert_eq!(answer, Answer::Vector(vec![answer::Series { labels: BTreeMap::new(), value: 2.0 }]));
}

#[tokio::test]
async fn a_range_is_posted_with_its_ends_and_step() {
    let server = MockServer::start().await;
    let body = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1,"2"],[2,"NaN"]]}]}}"#;
    Mock::given(method("POST"))
        .and(path("/prometheus/api/v1/query_range"))
        .and(body_string_contains("start=1700000000"))
        .and(body_string_contains("end=1700000030"))
        .and(body_string_contains("step=15"))
        .respond_with(ResponseTemplate::new(200).set_body_string(body))
        .mount(&server)
        .await;
    let rows =
        source(&format!("{}/prometheus", server.uri())).range("up", at(0), at(30), 15.0).await.unwrap();
    assert_eq!(rows[0].0["a"], "b");
    assert_eq!(rows[0].1[0], (1.0, 2.0));
    assert!(rows[0].1[1].1.is_nan());
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    // Held, or another test might listen there; nobody listens on it.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap();
    let fault = fault(&format!("http://{address}")).await;
    assert_eq!(fault.token, "refused", "{fault}");
    assert!(fault.message.contains("refused"), "the line says why: {fault}");
}

#[tokio::test]
async fn one_that_hangs_before_or_within_its_answer_ends_at_its_timeout() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"status\":".to_vec();
    for answer in [Vec::new(), cut] {
        let (address, _) = raw(answer).await;
        let began = tokio::time::Instant::now();
        assert_eq!(fault(&format!("http://{address}")).await.token, "timeout");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn those_that_wait_for_a_hanging_source_wait_no_longer_than_its_timeout() {
    let (address, connections) = raw(Vec::new()).await;
    let source = source(&format!("http://{address}"));
    let began = tokio::time::Instant::now();
    let answers = futures::future::join_all((0..3 * AT_ONCE).map(|_| source.instant("up", at(0)))).await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let tokens: std::collections::BTreeSet<String> =
        answers.into_iter().map(|a| a.unwrap_err().token).collect();
    assert!(
        tokens.contains("timeout")
            && tokens.iter().all(|t| ["timeout", "busy", "circuit_open"].contains(&&**t))
    );
    // Each failure before the circuit opens may let one more in.
    let most = AT_ONCE + FAILURES as usize;
    assert!(connections.load(Ordering::SeqCst) <= most, "no more at once than allowed");
}

#[tokio::test]
async fn a_redirect_is_a_fault_and_is_not_followed() {
    let target = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_string(GOOD))
        .expect(0)
        .mount(&target)
        .await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).set_body_string(GOOD))
        .expect(0)
        .mount(&target)
        .await;
    for code in [301, 302, 307, 308] {
        let moved = ResponseTemplate::new(code).insert_header("location", target.uri());
        assert_eq!(fault(&serving(moved).await.uri()).await.token, "redirect");
    }
}

#[tokio::test]
async fn an_html_page_an_empty_body_and_cut_json_are_malformed() {
    for text in ["<html>Sign in</html>", "", &GOOD[..40], r#"{"status":"error","error":"no"}"#] {
        let page = ResponseTemplate::new(200).set_body_string(text);
        let fault = fault(&serving(page).await.uri()).await;
        assert_eq!(fault.token, "malformed", "{text}");
        assert!(!fault.message.is_empty());
    }
}

#[tokio::test]
async fn five_mebibytes_are_not_taken_whether_announced_or_chunked() {
    let announced = ResponseTemplate::new(200).set_body_bytes(vec![b' '; 5 << 20]);
    assert_eq!(fault(&serving(announced).await.uri()).await.token, "oversized");
    let mut chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..80 {
        chunked.extend_from_slice(b"10000\r\n");
        chunked.extend(std::iter::repeat_n(b' ', 1 << 16));
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let (address, _) = raw(chunked).await;
    assert_eq!(fault(&format!("http://{address}")).await.token, "oversized");
}

#[tokio::test]
async fn errors_of_http_carry_their_code() {
    for (code, token) in
        [(500, "http_500"), (503, "http_503"), (404, "http_404"), (401, "http_401"), (204, "http_204")]
    {
        assert_eq!(fault(&serving(ResponseTemplate::new(code)).await.uri()).await.token, token);
    }
    let page = ResponseTemplate::new(400).set_body_string("<html>proxy</html>");
    assert_eq!(
        fault(&serving(page).await.uri()).await.token,
        "http_400",
        "only Prometheus's word blames the query"
    );
}

#[tokio::test]
async fn a_refused_query_is_its_own_fault_and_leaves_the_circuit_closed() {
    let body = r#"{"status":"error","errorType":"bad_data","error":"parse error at char 3"}"#;
    let server = serving(ResponseTemplate::new(400).set_body_string(body)).await;
    let source = source(&server.uri());
    for _ in 0..10 {
        let fault = source.instant("up", at(0)).await.unwrap_err();
        assert_eq!(fault.token, "query");
        assert!(fault.message.contains("parse error at char 3"), "{fault}");
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 10);
}

#[tokio::test]
async fn an_answer_that_is_too_large_does_not_close_the_source_to_others() {
    let server = serving(ResponseTemplate::new(200).set_body_bytes(vec![b' '; 2 << 20])).await;
    let source = source(&server.uri());
    for _ in 0..7 {
        assert_eq!(source.instant("up", at(0)).await.unwrap_err().token, "oversized");
    }
}

#[tokio::test]
async fn a_message_is_short_however_much_the_source_says() {
    let body = serde_json::json!({"status": "error", "errorType": "execution", "error": "x".repeat(100_000)});
    let server = serving(ResponseTemplate::new(422).set_body_string(body.to_string())).await;
    assert!(fault(&server.uri()).await.message.chars().count() <= MESSAGE);
}

#[tokio::test]
async fn five_failures_open_the_circuit_and_a_probe_closes_it() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(503))
        .up_to_n_times(6)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_string(GOOD))
        .mount(&server)
        .await;
    let source = source(&server.uri());
    let token = async |second| source.instant("up", at(second)).await.map_err(|f| f.token).err();
    for second in 0..5 {
        assert_eq!(token(second).await.as_deref(), Some("http_503"));
    }
    for second in [4, 5, 18] {
        assert_eq!(token(second).await.as_deref(), Some("circuit_open"));
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 5, "an open circuit asks nothing");
    assert_eq!(token(19).await.as_deref(), Some("http_503"), "the first probe fails");
    assert_eq!(token(20).await.as_deref(), Some("circuit_open"));
    assert_eq!(token(34).await, None, "the second succeeds");
    assert_eq!(token(34).await, None);
}

#[tokio::test]
async fn pages_that_are_no_answer_open_the_circuit_too() {
    let source = source(&serving(ResponseTemplate::new(200).set_body_string("<html>")).await.uri());
    for _ in 0..5 {
        assert_eq!(source.instant("up", at(0)).await.unwrap_err().token, "malformed");
    }
    assert_eq!(source.instant("up", at(1)).await.unwrap_err().token, "circuit_open");
}

#[tokio::test]
async fn a_clock_that_is_put_back_does_not_keep_the_circuit_open() {
    let server = serving(ResponseTemplate::new(500)).await;
    let source = source(&server.uri());
    for _ in 0..5 {
        let _ = source.instant("up", at(7200)).await;
    }
    assert_eq!(source.instant("up", at(7201)).await.unwrap_err().token, "circuit_open");
    assert_eq!(
        source.instant("up", at(0)).await.unwrap_err().token,
        "http_500",
        "asked, not held back for two hours"
    );
}

/// A file of its own in the directory for temporary ones, removed at the end.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("matverse-source-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_rotated_token_is_read_again_and_stands_in_no_error() {
    let server = MockServer::start().await;
    for (token, code) in
        [("Bearer first-secret", 200), ("Bearer second-secret", 200), ("Bearer third-secret", 403)]
    {
        let answer = ResponseTemplate::new(code).set_body_string(GOOD);
        Mock::given(header("authorization", token)).respond_with(answer).expect(1).mount(&server).await;
    }
    let file = File::new("token", "first-secret\n");
    let source =
        Prometheus::new(SourceConfig { token_file: Some(file.0.clone()), ..config(&server.uri()) }).unwrap();
    source.instant("up", at(0)).await.unwrap();
    std::fs::write(&file.0, "second-secret").unwrap();
    source.instant("up", at(0)).await.unwrap();
    std::fs::write(&file.0, "third-secret").unwrap();
    let refused = source.instant("up", at(0)).await.unwrap_err();
    assert_eq!(refused.token, "http_403");
    std::fs::write(&file.0, "bad\nsecret").unwrap();
    let bad = source.instant("up", at(0)).await.unwrap_err();
    assert_eq!(bad.token, "configuration");
    std::fs::write(&file.0, "\n").unwrap();
    let empty = source.instant("up", at(0)).await.unwrap_err();
    assert_eq!(empty.token, "credentials", "an empty token is not sent");
    std::fs::remove_file(&file.0).unwrap();
    let gone = source.instant("up", at(0)).await.unwrap_err();
    assert_eq!(gone.token, "credentials");
    for fault in [refused, bad, empty, gone] {
        assert!(!format!("{fault} {fault:?}").contains("secret"), "{fault}");
    }
}

#[tokio::test]
async fn a_password_file_becomes_basic_authentication() {
    let server = MockServer::start().await;
    Mock::given(header("authorization", "Basic bWU6cGFzcw=="))
        .respond_with(ResponseTemplate::new(200).set_body_string(GOOD))
        .mount(&server)
        .await;
    let file = File::new("basic", "me:pass\n");
    let source =
        Prometheus::new(SourceConfig { basic_auth_file: Some(file.0.clone()), ..config(&server.uri()) })
            .unwrap();
    source.instant("up", at(0)).await.unwrap();
}

#[tokio::test]
async fn trouble_with_our_own_credentials_does_not_open_the_circuit() {
    let server = serving(ResponseTemplate::new(200).set_body_string(GOOD)).await;
    let file = File::new("late", "");
    let source =
        Prometheus::new(SourceConfig { token_file: Some(file.0.clone()), ..config(&server.uri()) }).unwrap();
    for _ in 0..6 {
        assert_eq!(source.instant("up", at(0)).await.unwrap_err().token, "credentials");
    }
    std::fs::write(&file.0, "now").unwrap();
    source.instant("up", at(0)).await.unwrap();
}

/// An environment can only be set for another process, so this test runs one other test in its own.
#[test]
fn the_proxy_of_the_environment_is_ignored() {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args([
        "--exact",
        "observe::source::failures::a_source_answers_a_posted_query_at_its_evaluation_time",
    ]);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, "http://127.0.0.1:9");
    }
    for name in ["NO_PROXY", "no_proxy"] {
        child.env_remove(name);
    }
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn a_certificate_that_cannot_be_read_stops_the_start() {
    let nowhere =
        SourceConfig { ca_file: Some("/nonexistent/ca.pem".into()), ..config("https://prometheus:9090") };
    assert!(Prometheus::new(nowhere).err().unwrap().contains("/nonexistent/ca.pem"));
    let file = File::new("ca", "no certificate");
    let client = SourceConfig { client_cert_file: Some(file.0.clone()), ..config("http://prometheus:9090") };
    assert!(Prometheus::new(client).err().unwrap().starts_with("clientCertFile"));
}
