//! The exporter as it runs: a real server on a loopback port, real HTTP, real files, and the two verbs as processes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "exporter/intake.rs"]
mod intake;
#[path = "exporter/process.rs"]
mod process;

use std::sync::Arc;

use matverse::exporter::Exporter;
use matverse::exporter::archive::Archive;
use matverse::exporter::intake::Rules;
use matverse::exporter::server::{Bounds, Server};
use matverse::operator::clock::{Clock, Script};
use serde_json::Value;

/// A server of one workload, whose time stands still.
struct Stage {
    server: Server,
    exporter: Arc<Exporter>,
    clock: Script,
    client: reqwest::Client,
}

impl Stage {
    async fn new() -> Self {
        Self::with(Rules { workload: Some("shop/cart".parse().unwrap()), ..Rules::default() }, None, 1000)
            .await
    }

    async fn with(rules: Rules, archive: Option<Archive>, rate: u32) -> Self {
        Self::bounded(rules, archive, rate, Bounds::default()).await
    }

    async fn bounded(rules: Rules, archive: Option<Archive>, rate: u32, bounds: Bounds) -> Self {
        let (clock, script) = Clock::scripted("2030-01-01T00:00:00Z".parse().unwrap());
        let exporter = Arc::new(Exporter::new(rules, archive, rate, clock));
        let address = "127.0.0.1:0".parse().unwrap();
        let server = Server::start(address, Arc::clone(&exporter), bounds).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { server, exporter, clock: script, client }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address)
    }

    /// Status and body of a POST of evidence.
    async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.client.post(self.url("/v1/evidence")).header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn metrics(&self) -> String {
        self.client.get(self.url("/metrics")).send().await.unwrap().text().await.unwrap()
    }

    /// The value of a metric of shop/cart.
    async fn metric(&self, name: &str) -> Option<f64> {
        value(&self.metrics().await, name)
    }
}

/// The value of a metric of shop/cart in a page.
fn value(page: &str, name: &str) -> Option<f64> {
    let start = format!("{name}{{namespace=\"shop\",name=\"cart\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&start)).map(|value| value.parse().unwrap())
}
