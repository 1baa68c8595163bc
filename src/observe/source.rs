//! One Prometheus: every question bounded in time, size and number, every failure typed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_http_query::Client;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::answer::{self, Answer, Range};

/// Largest body taken.
const LARGEST: usize = 1 << 20;
/// Largest body of a range query: 200 turns of a few series.
const LARGEST_RANGE: usize = 8 << 20;
/// Longest time to connect.
const CONNECT: Duration = Duration::from_secs(2);
/// Failures in a row that open the circuit.
const FAILURES: u32 = 5;
/// Rest of an open circuit before one question probes it, in seconds.
const PROBE_SECONDS: i64 = 15;
/// Questions to one source at once.
const AT_ONCE: usize = 16;
/// Longest message of a fault, in characters.
const MESSAGE: usize = 200;

/// A source of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceConfig {
    /// Base URL.
    pub url: String,
    /// PEM file of the authority that signs its certificate.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// File with a bearer token; read again for each question, so a rotated one counts at once.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// File with `user:password`.
    #[serde(default)]
    pub basic_auth_file: Option<PathBuf>,
    /// PEM file with a client certificate and its key.
    #[serde(default)]
    pub client_cert_file: Option<PathBuf>,
    /// Further headers (`X-Scope-OrgID`, …).
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Added to every selector.
    #[serde(default)]
    pub matchers: BTreeMap<String, String>,
    /// Label that holds the namespace.
    #[serde(default = "namespace")]
    pub namespace_label: String,
    /// Longest wait for an answer, in seconds.
    #[serde(default = "five")]
    pub timeout_seconds: u32,
}

fn namespace() -> String {
    "namespace".into()
}

fn five() -> u32 {
    5
}

/// Why a source did not answer as it should: a short token, and a line for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{token}: {message}")]
pub struct Fault {
    /// `timeout`, `refused`, `http_503`, `redirect`, `malformed`, `oversized`, `circuit_open`, `query`, ….
    pub token: String,
    /// What happened.
    pub message: String,
}

impl Fault {
    fn new(token: impl Into<String>, message: impl Into<String>) -> Self {
        // A source may say anything, of any length.
        let message: String = message.into().chars().take(MESSAGE).collect();
        Self { token: token.into(), message }
    }
}

/// Who can be asked.
#[async_trait::async_trait]
pub trait Source: Send + Sync {
    /// An instant query at one evaluation time.
    async fn instant(&self, query: &str, at: Timestamp) -> Result<Answer, Fault>;
    /// A range query.
    async fn range(
        &self,
        query: &str,
        start: Timestamp,
        end: Timestamp,
        step: f64,
    ) -> Result<Vec<Range>, Fault>;
}

/// A Prometheus over HTTP.
pub struct Prometheus {
    client: Client,
    config: SourceConfig,
    permits: Semaphore,
    circuit: Mutex<Circuit>,
}

#[derive(Default)]
struct Circuit {
    failures: u32,
    probe_at: Option<Timestamp>,
}

impl Prometheus {
    /// A source as configured; the error is one line for people.
    pub fn new(config: SourceConfig) -> Result<Self, String> {
        let timeout = Duration::from_secs(u64::from(config.timeout_seconds));
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT.min(timeout))
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        if let Some(file) = &config.ca_file {
            let trusted =
                reqwest::Certificate::from_pem_bundle(&read(file)?).map_err(|e| format!("caFile: {e}"))?;
            builder = builder.tls_certs_only(trusted);
        } else if config.url.starts_with("http://") {
            // Nothing to verify; and a minimal image has no system certificates to load.
            builder = builder.tls_certs_only(std::iter::empty());
        }
        if let Some(file) = &config.client_cert_file {
            let identity =
                reqwest::Identity::from_pem(&read(file)?).map_err(|e| format!("clientCertFile: {e}"))?;
            builder = builder.identity(identity);
        }
        let http = builder
            .build()
            .map_err(|e| format!("no client (are there system certificates? else name a caFile): {e}"))?;
        let client = Client::from(http, &config.url).map_err(|e| format!("url: {e}"))?;
        Ok(Self { client, config, permits: Semaphore::new(AT_ONCE), circuit: Mutex::default() })
    }

    fn headers(&self) -> Result<HeaderMap, Fault> {
        let mut headers = HeaderMap::new();
        let bad = |what: &str| Fault::new("configuration", format!("{what} cannot stand in a header"));
        for (name, value) in &self.config.headers {
            let name = HeaderName::try_from(name.as_str()).map_err(|_| bad(name))?;
            headers.insert(name, HeaderValue::try_from(value.as_str()).map_err(|_| bad("a value"))?);
        }
        let secret = match (&self.config.token_file, &self.config.basic_auth_file) {
            (Some(file), _) => Some(format!("Bearer {}", text(file)?)),
            (None, Some(file)) => {
                use base64::Engine;
                Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text(file)?)))
            }
            (None, None) => None,
        };
        if let Some(secret) = secret {
            let mut value = HeaderValue::try_from(secret).map_err(|_| bad("the token"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }

    async fn ask<T>(
        &self,
        at: Timestamp,
        query: Question<'_>,
        parse: impl Fn(&[u8]) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        // The permit first: who waited through an outage must see the circuit as it is now.
        let patience = Duration::from_secs(u64::from(self.config.timeout_seconds));
        let _permit = match tokio::time::timeout(patience, self.permits.acquire()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(error)) => return Err(Fault::new("closed", error.to_string())),
            Err(_) => return Err(Fault::new("busy", "too many questions wait for this source")),
        };
        self.closed(at)?;
        let answer = match self.ask_once(query).await {
            Ok(body) => parse(&body),
            Err(fault) => Err(fault),
        };
        let mut circuit = self.circuit.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &answer {
            // A refused query and a huge answer are the query's fault, not the source's.
            Ok(_) => *circuit = Circuit::default(),
            Err(fault)
                if matches!(
                    fault.token.as_str(),
                    "query" | "oversized" | "configuration" | "credentials"
                ) =>
            {
                *circuit = Circuit::default();
            }
            Err(_) => {
                circuit.failures += 1;
                if circuit.failures >= FAILURES {
                    circuit.probe_at = at.checked_add(jiff::SignedDuration::from_secs(PROBE_SECONDS)).ok();
                }
            }
        }
        answer
    }

    fn closed(&self, at: Timestamp) -> Result<(), Fault> {
        let mut circuit = self.circuit.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match circuit.probe_at {
            // A probe further away than it can be was set by a clock that has since been put back.
            Some(probe) if at < probe && probe.duration_since(at).as_secs() <= PROBE_SECONDS => Err(
                Fault::new("circuit_open", format!("{FAILURES} failures in a row; asked again at {probe}")),
            ),
            Some(_) => {
                circuit.probe_at = at.checked_add(jiff::SignedDuration::from_secs(PROBE_SECONDS)).ok();
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn ask_once(&self, question: Question<'_>) -> Result<Vec<u8>, Fault> {
        let headers = self.headers()?;
        let (mut response, largest) = match question {
            Question::Instant { query, at } => {
                let mut builder = self.client.query(query).query("time", at.as_millisecond() as f64 / 1000.0);
                for (name, value) in &headers {
                    builder = builder.header(name.clone(), value.clone());
                }
                (builder.post_raw().await.map_err(|e| sort(&e))?, LARGEST)
            }
            Question::Range { query, start, end, step } => {
                let mut builder = self.client.query_range(query, start, end, step);
                for (name, value) in &headers {
                    builder = builder.header(name.clone(), value.clone());
                }
                (builder.post_raw().await.map_err(|e| sort(&e))?, LARGEST_RANGE)
            }
        };
        let status = response.status();
        if status.is_redirection() {
            return Err(Fault::new("redirect", format!("HTTP {status}: redirects are not followed")));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| transport(&e))? {
            if body.len() + chunk.len() > largest {
                return Err(Fault::new("oversized", format!("the answer is larger than {largest} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        match status.as_u16() {
            200 => Ok(body),
            // Only Prometheus's own word speaks against the query; a proxy's page says nothing of it.
            code => Err(match answer::refusal(&body) {
                Some(why) if matches!(code, 400 | 422) => Fault::new("query", why),
                _ => Fault::new(format!("http_{code}"), format!("HTTP {status}")),
            }),
        }
    }
}

#[derive(Clone, Copy)]
enum Question<'a> {
    Instant { query: &'a str, at: Timestamp },
    Range { query: &'a str, start: i64, end: i64, step: f64 },
}

#[async_trait::async_trait]
impl Source for Prometheus {
    async fn instant(&self, query: &str, at: Timestamp) -> Result<Answer, Fault> {
        let parse = |body: &[u8]| answer::parse(body).map_err(|e| Fault::new("malformed", e));
        self.ask(at, Question::Instant { query, at }, parse).await
    }

    async fn range(
        &self,
        query: &str,
        start: Timestamp,
        end: Timestamp,
        step: f64,
    ) -> Result<Vec<Range>, Fault> {
        let question = Question::Range { query, start: start.as_second(), end: end.as_second(), step };
        let parse = |body: &[u8]| answer::parse_range(body).map_err(|e| Fault::new("malformed", e));
        self.ask(end, question, parse).await
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))
}

fn text(file: &Path) -> Result<String, Fault> {
    let bytes = read(file).map_err(|e| Fault::new("credentials", e))?;
    let text = String::from_utf8(bytes).map_err(|_| Fault::new("credentials", "the file is no text"))?;
    match text.trim_end() {
        "" => Err(Fault::new("credentials", format!("{}: the file is empty", file.display()))),
        text => Ok(text.to_owned()),
    }
}

/// The transport's error lies somewhere below the client's own.
fn sort(error: &prometheus_http_query::Error) -> Fault {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = cause {
        if let Some(found) = e.downcast_ref::<reqwest::Error>() {
            return transport(found);
        }
        cause = e.source();
    }
    Fault::new("unreachable", error.to_string())
}

fn transport(error: &reqwest::Error) -> Fault {
    let token = if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "refused"
    } else {
        "broken"
    };
    // The cause lies at the bottom: connection refused, a certificate that is not trusted.
    let mut cause: &dyn std::error::Error = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    Fault::new(token, format!("{cause}: {error}"))
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "source_failure_tests.rs"]
mod failures;
