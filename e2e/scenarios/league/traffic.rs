//! Requests through the gateway, and what of them arrived where.

use serde_json::Value;

use crate::cluster::{Background, Space, run};

/// A bounded stream of requests to one host, ended with the scenario.
pub struct Traffic(Background);

/// What the sender saw.
#[derive(Debug)]
pub struct Sent(Value);

impl Traffic {
    /// `methods` as `GET:3,POST:1`, sent in turn; `profile` as `0s:20,60s:20`, evenly spaced.
    pub fn start(gateway: &str, host: &str, methods: &str, profile: &str) -> Self {
        let url = format!("{gateway}/");
        let arguments =
            ["-url", &url, "-host", host, "-methods", methods, "-profile", profile, "-arrivals", "even"];
        Self(Background::start("load", &arguments))
    }

    /// Waits for the profile's end.
    pub fn wait(mut self) -> Sent {
        self.0.wait();
        Sent::of(&self.0.output())
    }

    /// Ends it now; requests under way are still answered.
    pub fn finish(mut self) -> Sent {
        self.0.end();
        Sent::of(&self.0.output())
    }
}

impl Sent {
    fn of(output: &str) -> Self {
        let last = output.lines().last().expect("the load's summary");
        let summary: Value = serde_json::from_str(last).unwrap();
        assert_eq!(summary["summary"], true, "the load ended early: {last}");
        Self(summary)
    }

    /// Requests sent.
    pub fn total(&self) -> u64 {
        self.0["sent"].as_u64().unwrap()
    }

    /// Requests that were not answered with success.
    pub fn errors(&self) -> u64 {
        self.0["errors"].as_u64().unwrap()
    }

    /// Answers that a Deployment gave, of one method.
    pub fn by(&self, deployment: &str, method: &str) -> u64 {
        self.0["served"][deployment][method].as_u64().unwrap_or(0)
    }

    /// Answers that a Deployment gave.
    pub fn answers(&self, deployment: &str) -> u64 {
        let methods = self.0["served"][deployment].as_object();
        methods.into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
    }
}

/// What the pods of one Deployment say of themselves, read once.
#[derive(Debug)]
pub struct Counts {
    /// Pods that answered.
    pub pods: usize,
    samples: Vec<(String, f64)>,
}

impl Counts {
    /// Asks each running pod of a Deployment, through the API server: no scrape lies between. Counts of pods that
    /// are gone are gone.
    pub fn read(space: &Space, deployment: &str) -> Self {
        let list = space.kubectl(&["get", "pods", "-l", &format!("app={deployment}"), "-o", "name"]);
        let mut counts = Self { pods: 0, samples: Vec::new() };
        for pod in list.lines().filter_map(|line| line.strip_prefix("pod/")) {
            let path = format!("/api/v1/namespaces/{}/pods/{pod}:8080/proxy/metrics", space.name);
            // A pod that starts or ends does not answer.
            let Ok(text) = run("kubectl", &["get", "--raw", &path], None) else { continue };
            counts.pods += 1;
            counts.samples.extend(
                text.lines()
                    .filter_map(|line| line.rsplit_once(' '))
                    .filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?))),
            );
        }
        counts
    }

    fn sum(&self, name: &str, labels: &[&str]) -> u64 {
        let start = format!("{name}{{");
        let matching = self.samples.iter().filter(|(series, _)| {
            series.starts_with(&start) && labels.iter().all(|label| series.contains(label))
        });
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        matching.map(|(_, value)| *value as u64).sum()
    }

    /// Requests served, copies included; an empty method means any.
    pub fn served(&self, method: &str) -> u64 {
        let method =
            if method.is_empty() { String::new() } else { format!("http_request_method=\"{method}\"") };
        self.sum("http_server_request_duration_seconds_count", &[&method])
    }

    /// Requests answered with a server's error.
    pub fn failed(&self) -> u64 {
        self.sum("http_server_request_duration_seconds_count", &["http_response_status_code=\"5"])
    }

    /// Requests that were a mirror's copies.
    pub fn mirrored(&self, method: &str) -> u64 {
        self.sum("shop_mirrored_requests_total", &[&format!("http_request_method=\"{method}\"")])
    }

    /// A gauge without labels, one value for each pod.
    pub fn gauges(&self, name: &str) -> Vec<f64> {
        self.samples.iter().filter(|(series, _)| series == name).map(|(_, value)| *value).collect()
    }
}
