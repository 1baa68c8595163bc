//! What the server answers to well-meant and to ill-meant requests.

use std::sync::Arc;
use std::time::Duration;

use matverse::exporter::archive::Archive;
use matverse::exporter::intake::Rules;
use matverse::exporter::record::sha256;
use matverse::exporter::server::Bounds;
use matverse::exporter::window::Settings;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Stage, value};

fn rules() -> Rules {
    Rules { workload: Some("shop/cart".parse().unwrap()), ..Rules::default() }
}

/// What comes back to bytes written as they are, until the server closes.
async fn raw(stage: &Stage, parts: &[&[u8]], rest: Duration) -> String {
    let mut stream = TcpStream::connect(stage.server.address).await.unwrap();
    for part in parts {
        if stream.write_all(part).await.is_err() {
            break;
        }
        tokio::time::sleep(rest).await;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn evidence_becomes_metrics() {
    let stage = Stage::new().await;
    assert_eq!(stage.metric("symbios_psi_score").await, None, "absent, not a default");
    let event = json!({
        "model": "m", "input": {"city": "Rome"}, "output": "{\"city\": \"Rome\"}", "context": null,
        "expectedFormat": "json",
    });
    for n in 1..=20 {
        let (status, answer) = stage.post(event.to_string()).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(
            (&answer["psi"], &answer["approved"], &answer["samples"]),
            (&json!(1.0), &json!(true), &json!(n))
        );
        assert_eq!(answer["id"].as_str().unwrap().len(), 32);
        assert_eq!(answer["omega"].is_null(), n < 20, "{answer}");
    }
    let (status, answer) = stage.post(r#"{"psi": 0.0}"#).await;
    assert_eq!((status, &answer["approved"]), (200, &json!(false)));
    let page = stage.metrics().await;
    let psi = value(&page, "symbios_psi_score").unwrap();
    assert!((psi - 20.0 / 21.0).abs() < 1e-12);
    // k = 1.05: the one loss of 1 and a twentieth of the next, which is 0.
    assert!((value(&page, "symbios_cvar_score").unwrap() - 1.0 / 1.05).abs() < 1e-12);
    let omega = value(&page, "symbios_omega_score").unwrap();
    assert!((omega - (20.0 / 21.0 - 0.4 / 1.05)).abs() < 1e-12);
    assert_eq!(answer["omega"].as_f64(), Some(omega));
    assert_eq!(value(&page, "symbios_evidence_samples"), Some(21.0));
    stage.server.stop().await;
}

#[tokio::test]
async fn scores_of_old_evidence_are_absent_and_its_age_is_not() {
    let settings = Settings { max_age: Some(jiff::SignedDuration::from_secs(120)), ..Settings::default() };
    let stage = Stage::with(Rules { settings, ..rules() }, None, 1000).await;
    for _ in 0..20 {
        stage.post(r#"{"psi": 1}"#).await;
    }
    assert_eq!(stage.metric("symbios_omega_score").await, Some(1.0));
    stage.clock.advance(Duration::from_secs(121));
    assert_eq!(stage.metric("symbios_omega_score").await, None);
    assert_eq!(stage.metric("symbios_evidence_age_seconds").await, Some(121.0));
    stage.post(r#"{"psi": 1}"#).await;
    assert_eq!(stage.metric("symbios_omega_score").await, Some(1.0));
}

#[tokio::test]
async fn bad_input_is_answered_with_a_reason() {
    let stage = Stage::new().await;
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    for (body, status, field, reason) in [
        (&b"{"[..], 400, None, "EOF"),
        (b"", 400, None, "EOF"),
        (b"[]", 400, None, "object"),
        (b"{\"psi\": NaN}", 400, None, "expected value"),
        (b"{\"psi\": Infinity}", 400, None, "expected value"),
        (b"{\"psi\": -Infinity}", 400, None, "invalid number"),
        (b"{\"psi\": 1e999}", 400, None, "out of range"),
        (b"{\"psi\": 1, \"psi\": 0}", 400, None, "occurs twice"),
        (b"{\"psi\": \xff\xfe}", 400, None, "UTF-8"),
        (deep.as_bytes(), 400, None, "deeper"),
        (b"{\"psi\": 2}", 400, Some("psi"), "from 0 to 1"),
        (b"{\"psi\": 1, \"colour\": 1}", 400, Some("colour"), "no such field"),
        (b"{\"psi\": 1, \"workload\": \"x\"}", 400, Some("workload"), "namespace/name"),
        (b"{\"output\": \"x\"}", 400, Some("model"), "needed"),
        (b"{\"psi\": 1, \"timestamp\": \"2031-01-01T00:00:00Z\"}", 400, Some("timestamp"), "ahead"),
    ] {
        let shown = String::from_utf8_lossy(body).chars().take(60).collect::<String>();
        let (found, answer) = stage.post(body.to_vec()).await;
        assert_eq!(found, status, "{shown}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(reason), "{shown}: {answer}");
        assert_eq!(answer["field"].as_str(), field, "{shown}: {answer}");
    }
    let page = stage.metrics().await;
    assert_eq!(value(&page, "symbios_evidence_samples"), None, "nothing of it counts");
    assert!(page.contains("symbios_events_refused_total{reason=\"not_json\"} 10\n"), "{page}");
    assert!(page.contains("symbios_events_refused_total{reason=\"field\"} 5\n"), "{page}");
}

#[tokio::test]
async fn an_event_without_a_workload_is_refused() {
    let stage = Stage::with(Rules::default(), None, 1000).await;
    let (status, answer) = stage.post(r#"{"psi": 1}"#).await;
    assert_eq!((status, answer["field"].as_str()), (400, Some("workload")));
    assert_eq!(stage.post(r#"{"psi": 1, "workload": "shop/cart"}"#).await.0, 200);
    assert_eq!(stage.metric("symbios_psi_score").await, Some(1.0));
}

#[tokio::test]
async fn what_is_too_long_is_refused_with_and_without_a_stated_length() {
    let stage = Stage::new().await;
    let event = |length: usize| {
        let text = r#"{"psi": 1, "context": ""}"#;
        text.replace("\"\"", &format!("\"{}\"", "x".repeat(length - text.len())))
    };
    assert_eq!(stage.post(event(65_536)).await.0, 200);
    let (status, answer) = stage.post(event(65_537)).await;
    assert_eq!(status, 413);
    assert!(answer["error"].as_str().unwrap().contains("65536"));
    assert_eq!(stage.post(event(500_000)).await.0, 413, "an answer, not a reset");
    let chunks = futures::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![b' '; 4096])));
    assert_eq!(stage.post(reqwest::Body::wrap_stream(chunks)).await.0, 413);
    let huge = raw(
        &stage,
        &[b"POST /v1/evidence HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n"],
        Duration::ZERO,
    )
    .await;
    assert!(huge.starts_with("HTTP/1.1 413"), "{huge}");
    assert_eq!(stage.metric("symbios_evidence_samples").await, Some(1.0));
}

#[tokio::test]
async fn other_methods_types_and_paths_are_answered() {
    let stage = Stage::new().await;
    let get = stage.client.get(stage.url("/v1/evidence")).send().await.unwrap();
    assert_eq!((get.status().as_u16(), get.headers()["allow"].to_str().unwrap()), (405, "POST"));
    assert!(get.json::<Value>().await.unwrap()["error"].is_string());
    let post = stage.client.post(stage.url("/metrics")).send().await.unwrap();
    assert_eq!(post.status().as_u16(), 405);
    assert_eq!(stage.client.get(stage.url("/other")).send().await.unwrap().status().as_u16(), 404);
    for (header, text) in [("content-type", "text/plain"), ("x-none", "x")] {
        let request = stage.client.post(stage.url("/v1/evidence")).header(header, text).body("{\"psi\": 1}");
        assert_eq!(request.send().await.unwrap().status().as_u16(), 415, "{header}: {text}");
    }
    let request = stage.client.post(stage.url("/v1/evidence")).header("content-type", "application/json");
    let coded = request.header("content-encoding", "gzip").body("x").send().await.unwrap();
    assert_eq!(coded.status().as_u16(), 415);
    let request = stage.client.post(stage.url("/v1/evidence"));
    let charset = request.header("content-type", "application/JSON; charset=utf-8").body("{\"psi\": 1}");
    assert_eq!(charset.send().await.unwrap().status().as_u16(), 200);
    assert_eq!(stage.client.get(stage.url("/healthz")).send().await.unwrap().status().as_u16(), 200);
}

#[tokio::test]
async fn a_burst_above_the_rate_is_held_off_and_a_second_later_it_is_not() {
    let stage = Stage::with(rules(), None, 10).await;
    let mut taken = 0;
    for _ in 0..25 {
        let (status, answer) = stage.post(r#"{"psi": 1}"#).await;
        assert!(status == 200 || (status == 429 && answer["error"].as_str().unwrap().contains("--rate")));
        taken += usize::from(status == 200);
    }
    assert_eq!(taken, 10);
    let request = stage.client.post(stage.url("/v1/evidence")).header("content-type", "application/json");
    let held = request.body("{\"psi\": 1}").send().await.unwrap();
    assert_eq!((held.status().as_u16(), held.headers()["retry-after"].to_str().unwrap()), (429, "1"));
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(stage.post(r#"{"psi": 1}"#).await.0, 200);
    assert_eq!(stage.metric("symbios_evidence_samples").await, Some(11.0));
}

#[tokio::test]
async fn workloads_are_bounded() {
    let stage = Stage::with(Rules { max_workloads: 2, ..rules() }, None, 1000).await;
    for (name, wanted) in [("a", 200), ("b", 200), ("c", 507), ("a", 200)] {
        let (status, answer) = stage.post(format!(r#"{{"psi": 1, "workload": "x/{name}"}}"#)).await;
        assert_eq!(status, wanted, "{name}: {answer}");
    }
}

#[tokio::test]
async fn slow_and_silent_clients_are_let_go_and_others_are_served() {
    let bounds = Bounds { connections: 8, read: Duration::from_secs(1), life: Duration::from_secs(600) };
    let stage = Stage::bounded(rules(), None, 1000, bounds).await;
    let silent: Vec<TcpStream> = {
        let mut all = Vec::new();
        for _ in 0..7 {
            all.push(TcpStream::connect(stage.server.address).await.unwrap());
        }
        all
    };
    // More than there are places for: the last waits until a silent one is let go.
    for _ in 0..3 {
        assert_eq!(stage.post(r#"{"psi": 1}"#).await.0, 200);
    }
    for mut stream in silent {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
    }
    let idle = raw(&stage, &[b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"], Duration::ZERO).await;
    assert!(idle.ends_with("ok\n"), "closed while it waited for the next request: {idle}");
    let rest = Duration::from_millis(400);
    let head =
        raw(&stage, &[b"POST /v1/evid", b"ence HT", b"TP/1.1\r\n", b"Host: x\r\n", b"X: y\r\n"], rest).await;
    assert!(!head.starts_with("HTTP/1.1 200"), "{head}");
    let start: &[u8] =
        b"POST /v1/evidence HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n";
    let body = raw(&stage, &[start, b"{", b"\"", b"p", b"s", b"i", b"\"", b":"], rest).await;
    assert!(body.starts_with("HTTP/1.1 408"), "{body}");
    assert_eq!(stage.post(r#"{"psi": 1}"#).await.0, 200);
}

#[tokio::test]
async fn nonsense_on_the_wire_does_not_end_it() {
    let stage = Stage::new().await;
    let long = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 40_000], b"\r\n\r\n".to_vec()].concat();
    for bytes in [&b"\x16\x03\x01\x02\x00"[..], b"GET\r\n\r\n", &long, b"POST /v1/evidence HTTP/9.9\r\n\r\n"]
    {
        let answer = raw(&stage, &[bytes], Duration::ZERO).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(stage.post(r#"{"psi": 1}"#).await.0, 200);
}

#[tokio::test]
async fn every_event_is_in_the_file_of_records_with_the_digest_that_is_exposed() {
    let path = std::env::temp_dir().join(format!("matverse-records-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let stage = Stage::with(rules(), Some(Archive::open(&path).unwrap()), 1000).await;
    let mut ids = Vec::new();
    for psi in ["1", "0.5", "0"] {
        let (status, answer) = stage.post(format!("{{\"psi\": {psi}, \"model\": \"m\"}}")).await;
        assert_eq!(status, 200);
        ids.push(answer["id"].as_str().unwrap().to_owned());
    }
    stage.post("{\"psi\": 7}").await;
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.iter().map(|r| r["id"].as_str().unwrap()).collect::<Vec<_>>(), ids);
    for record in &records {
        let fields: Vec<&String> = record.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["context", "id", "input", "model", "omega_gate", "output", "timestamp"]);
    }
    assert_eq!(records[1]["omega_gate"]["approved"], json!(false));
    let head = format!("digest=\"{}\"", sha256(text.lines().last().unwrap()));
    assert!(stage.metrics().await.contains(&head));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_record_that_cannot_be_written_refuses_the_event() {
    let full = Archive::open(std::path::Path::new("/dev/full")).unwrap();
    let stage = Stage::with(rules(), Some(full), 1000).await;
    let (status, answer) = stage.post(r#"{"psi": 1}"#).await;
    assert_eq!(status, 503, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("/dev/full"));
    let page = stage.metrics().await;
    assert!(page.contains("symbios_events_refused_total{reason=\"not_recorded\"} 1\n"));
    assert_eq!(value(&page, "symbios_evidence_samples"), None);
}

#[tokio::test]
async fn many_at_once_are_all_counted() {
    let stage = Arc::new(Stage::new().await);
    let all = (0..40).map(|_| {
        let stage = Arc::clone(&stage);
        tokio::spawn(async move { stage.post(r#"{"psi": 0.5}"#).await.0 })
    });
    for status in futures::future::join_all(all).await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(stage.metric("symbios_evidence_samples").await, Some(40.0));
}

#[tokio::test]
async fn three_episodes_give_a_beta() {
    let stage = Stage::with(
        Rules { settings: Settings { window: 1000, ..Settings::default() }, ..rules() },
        None,
        100_000,
    )
    .await;
    for round in 0..3 {
        assert_eq!(stage.metric("symbios_beta").await, None, "{round} episodes");
        for _ in 0..5 {
            stage.post(r#"{"psi": 0.8}"#).await;
        }
        stage.clock.advance(Duration::from_secs(1));
        for (psi, intensity) in [(0.7, 0.45), (0.6, 0.9)] {
            for _ in 0..3 {
                stage.post(json!({"psi": psi, "stress": true, "intensity": intensity}).to_string()).await;
            }
        }
        assert_eq!(stage.metric("symbios_stress_active").await, Some(1.0));
        stage.clock.advance(Duration::from_secs(61));
        assert_eq!(stage.metric("symbios_stress_active").await, Some(0.0));
    }
    let page = stage.metrics().await;
    for (name, wanted) in
        [("beta", 0.65 / 0.8), ("beta_low", 0.65 / 0.8), ("beta_high", 0.65 / 0.8), ("convexity", 0.0)]
    {
        let found = value(&page, &format!("symbios_{name}")).unwrap();
        assert!((found - wanted).abs() < 1e-9, "{name}: {found}");
    }
    let episodes = stage.exporter.look(|intake, now| {
        intake.workloads().values().next().unwrap().window.figures(now).resilience.episodes
    });
    assert_eq!(episodes, 3);
}
