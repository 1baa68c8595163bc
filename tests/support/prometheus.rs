//! A scripted Prometheus: metrics by name, each answered as one series whose inputs are as old as the script says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

#[derive(Clone, Debug, Default)]
struct Script {
    values: BTreeMap<String, String>,
    age: f64,
    down: bool,
    body: Option<String>,
    delay: Duration,
    asked: usize,
}

/// The server.
pub struct Prometheus {
    server: MockServer,
    script: Arc<Mutex<Script>>,
}

struct Answers(Arc<Mutex<Script>>);

impl Respond for Answers {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let script = {
            let mut script = self.0.lock().unwrap();
            script.asked += 1;
            script.clone()
        };
        if script.down {
            return ResponseTemplate::new(503);
        }
        if let Some(body) = script.body {
            return ResponseTemplate::new(200).set_body_string(body);
        }
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let url = reqwest::Url::parse(&format!("http://localhost/?{text}")).unwrap();
        let query =
            url.query_pairs().find(|(k, _)| k == "query").map(|(_, v)| v.into_owned()).unwrap_or_default();
        let range = request.url.path().ends_with("query_range");
        let (kind, result) = if range { ("matrix", Vec::new()) } else { ("vector", series(&script, &query)) };
        let body = json!({"status": "success", "data": {"resultType": kind, "result": result}});
        ResponseTemplate::new(200).set_body_json(body).set_delay(script.delay)
    }
}

fn series(script: &Script, query: &str) -> Vec<Value> {
    let now = jiff::Timestamp::now().as_millisecond() as f64 / 1000.0;
    let one = |part: &str, value: String| json!({"metric": {"matverse_part": part}, "value": [now, value]});
    let Some((_, value)) = script.values.iter().find(|(name, _)| query.contains(name.as_str())) else {
        return Vec::new();
    };
    if !query.contains("matverse_part") {
        return vec![json!({"metric": {}, "value": [now, "1"]})];
    }
    let mut all = vec![one("value", value.clone())];
    for i in (0..).take_while(|i| query.contains(&format!("\"age{i}\""))) {
        all.push(one(&format!("age{i}"), (now - script.age).to_string()));
    }
    all
}

impl Prometheus {
    pub async fn start() -> Self {
        let server = MockServer::start().await;
        let script = Arc::new(Mutex::new(Script::default()));
        Mock::given(any()).respond_with(Answers(Arc::clone(&script))).mount(&server).await;
        Self { server, script }
    }

    pub fn url(&self) -> String {
        self.server.uri()
    }

    /// A metric has this value from now on, as Prometheus spells it.
    pub fn set(&self, metric: &str, value: impl ToString) {
        self.script.lock().unwrap().values.insert(metric.to_owned(), value.to_string());
    }

    /// It answers 503, or well again.
    pub fn down(&self, down: bool) {
        self.script.lock().unwrap().down = down;
    }

    /// It takes its time over each answer.
    pub fn slow(&self, delay: Duration) {
        self.script.lock().unwrap().delay = delay;
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.script.lock().unwrap().asked
    }

    /// Every sample is so many seconds old.
    pub fn age(&self, seconds: f64) {
        self.script.lock().unwrap().age = seconds;
    }

    /// It answers this to everything.
    pub fn says(&self, body: Option<&str>) {
        self.script.lock().unwrap().body = body.map(str::to_owned);
    }
}
