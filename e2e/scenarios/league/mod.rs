//! What a league needs of the cluster: two contestants behind one route, faults on one side, requests counted where
//! they arrive.
//!
//! ```text
//!  load ─► gateway ─┬─ weight ─► web-<hash>-…        counted at the pods: /metrics
//!                   └─ weight ─► web-next-<hash>-…   (and what was a mirror's copy)
//! ```

pub mod evolving;
pub mod route;
pub mod traffic;

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cluster::{Space, ours, present, until};
use route::{Route, Watched};
use traffic::{Counts, Traffic};

/// Requests slower than 75 ms, a bucket a little above what is usual here.
const SLOW: &str = r#"1 - sum(rate(http_server_request_duration_seconds_bucket{namespace="$namespace",pod=~"$name-$podTemplateHash-[a-z0-9]{5}",le="0.075"}[15s])) / sum(rate(http_server_request_duration_seconds_count{namespace="$namespace",pod=~"$name-$podTemplateHash-[a-z0-9]{5}"}[15s]))"#;

/// A gate's evidence, with slow requests counted.
pub fn evidence() -> String {
    format!(
        "  evidence:\n    profile: demo\n    minSamples: 5\n    maxAgeSeconds: 15\n    \
         signals: [{{name: slow, query: '{SLOW}', maxAgeSeconds: 15}}]"
    )
}

/// Held while the gateway is asked for.
static BRINGING_UP: std::sync::Mutex<()> = std::sync::Mutex::new(());

pub const CHAMPION: &str = "web";
pub const CHALLENGER: &str = "web-next";

pub const CONTESTANT: &str = include_str!("../../manifests/contestant.yaml");
const ROUTE: &str = include_str!("../../manifests/route.yaml");

/// Stages short enough for a test; samples few enough for its load. "As good" takes some 500 requests, more on a
/// machine that is busy: the canary stage has 640 of them, and 1,920 with its extensions.
pub const SHORT: &str = "    shadowSeconds: 12\n    canarySeconds: 80\n    rollbackWindowSeconds: 30\n    weight: 0.2\n    \
                     minSamplesShadow: 60\n    minSamplesCanary: 60\n    p95Ms: 150";
pub const METHODS: &str = "GET:3,POST:1";
pub const LOAD: &str = "0s:40,900s:40";

/// Whether there is a cluster that has a gateway: kind's has none.
pub fn reachable() -> bool {
    let kind = std::env::var("CLUSTER").is_ok_and(|v| v == "kind");
    if kind {
        eprintln!("skipped: the gateway runs on the host's cluster");
    }
    !kind && present()
}

/// A namespace with its route, behind a gateway that is up.
pub struct Arena {
    pub space: Space,
    host: String,
    gateway: String,
}

impl Arena {
    /// A fresh one, without contestants.
    pub fn new(name: &str) -> Self {
        // The cluster's commands lock each other out; arenas may begin side by side.
        let said = {
            let _one = BRINGING_UP.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            ours("gateway", &["up"])
        };
        let gateway = said.lines().find_map(|line| line.strip_prefix("GATEWAY_URL=")).unwrap().to_owned();
        let space = Space::new(name);
        let host = format!("{name}.test");
        space.apply(&ROUTE.replace("web.test", &host));
        Self { space, host, gateway }
    }

    /// Champion and challenger with equal templates, both ready.
    pub fn with_equals(name: &str) -> Self {
        Self::with_challenger(name, "v1", &[])
    }

    /// A champion of the first image and a challenger of this one, both ready; see [`Arena::apply`].
    pub fn with_challenger(name: &str, image: &str, environment: &[(&str, &str)]) -> Self {
        let arena = Self::new(name);
        arena.apply(CHAMPION, "v1", &[]);
        arena.apply(CHALLENGER, image, environment);
        arena.ready(CHAMPION);
        arena.ready(CHALLENGER);
        arena
    }

    /// Creates or changes a contestant: its image and further environment, e.g. `FAULT_DELAY_MS`, `FAULT_ERRORS`,
    /// with `FAULT_AFTER_SECONDS` since its start or `FAULT_IN`, the one Deployment in which it shows.
    pub fn apply(&self, side: &str, image: &str, environment: &[(&str, &str)]) {
        let mut lines = String::from("        env:\n");
        for (name, value) in environment {
            writeln!(lines, "        - {{name: {name}, value: \"{value}\"}}").unwrap();
        }
        let manifest = CONTESTANT
            .replace("web", side)
            .replace("localhost/shop:v1", &format!("localhost/shop:{image}"))
            .replace("        env:\n", &lines);
        self.space.apply(&manifest);
    }

    /// Waits until a contestant has rolled out.
    pub fn ready(&self, side: &str) {
        let deployment = format!("deployment/{side}");
        self.space.kubectl(&["rollout", "status", &deployment, "--timeout=90s"]);
    }

    /// The gate over both, with further lines of `spec` and of `spec.league`.
    pub fn gate(&self, spec: &str, league: &str) {
        self.space.apply(&format!(
            "apiVersion: matverse.io/v1alpha1\nkind: OmegaGate\nmetadata: {{name: {CHAMPION}}}\nspec:\n  \
             targetRef: {{name: {CHAMPION}}}\n  intervalSeconds: 2\n{}\n{spec}\n  league:\n    \
             champion: {{deployment: {CHAMPION}, service: {CHAMPION}, port: 80}}\n    \
             challenger: {{deployment: {CHALLENGER}, service: {CHALLENGER}, port: 80}}\n    \
             routeRef: {{name: {CHAMPION}}}\n{league}\n",
            evidence()
        ));
    }

    /// `status.league` of the gate; `Null` before the first turn.
    pub fn league(&self) -> Value {
        self.space.get(&format!("og/{CHAMPION}"))["status"]["league"].clone()
    }

    /// The stage that the gate's status shows; empty before the first turn.
    pub fn stage(&self) -> String {
        self.league()["stage"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits for a stage.
    pub fn until_stage(&self, seconds: u64, stage: &str) {
        until(seconds, &format!("the stage {stage}"), || (self.stage() == stage).then_some(()));
    }

    /// Waits for a promotion. What noise can do to a good one, on a busy machine most of all, is an end without a
    /// verdict: then it comes again as another template, twice at most.
    pub fn until_promote(&self, seconds: u64) {
        for again in ["once more", "and again", ""] {
            let undecided = until(seconds, "a promotion, or no verdict", || {
                let league = self.league();
                let none = league["stage"] == "RolledBack" && league["reason"] == "Undecided";
                (none || league["stage"] == "Promote").then_some(none)
            });
            if !undecided {
                return;
            }
            eprintln!("{}: no verdict: {}", self.space.name, self.league()["message"]);
            assert!(!again.is_empty(), "three leagues without a verdict");
            self.apply(CHALLENGER, "v2", &[("NOTE", again)]);
            self.ready(CHALLENGER);
        }
    }

    /// The template's image and environment of a contestant: what promotion changes.
    pub fn template(&self, side: &str) -> Value {
        let container =
            self.space.get(&format!("deployment/{side}"))["spec"]["template"]["spec"]["containers"][0]
                .clone();
        json!({"image": container["image"], "env": container["env"]})
    }

    /// Makes one side slow and failing while it runs, and waits until each of its pods says so. The kubelet brings
    /// the change within about ten seconds.
    pub fn ail(&self, side: &str, delay_ms: u32, errors: f64) {
        let data = json!({"data": {
            format!("{side}.delay_ms"): delay_ms.to_string(),
            format!("{side}.errors"): errors.to_string(),
        }});
        self.space.kubectl(&["patch", "configmap", "faults", "--type=merge", "-p", &data.to_string()]);
        until(90, "the fault is in force", || {
            let pods = self.counts(side);
            let all = |name: &str, value: f64| pods.gauges(name).iter().all(|v| (v - value).abs() < 1e-9);
            (pods.pods > 0
                && all("shop_fault_delay_seconds", f64::from(delay_ms) / 1000.0)
                && all("shop_fault_errors", errors))
            .then_some(())
        });
    }

    /// What the pods of one side have served, asked of the pods themselves.
    pub fn counts(&self, side: &str) -> Counts {
        Counts::read(&self.space, side)
    }

    /// Requests through the gateway; see [`Traffic::start`].
    pub fn traffic(&self, methods: &str, profile: &str) -> Traffic {
        Traffic::start(&self.gateway, &self.host, methods, profile)
    }

    /// The route as it stands.
    pub fn route(&self) -> Route {
        Route::of(&self.space.get("httproute/web"))
    }

    /// Every state of the route from now on.
    pub fn watch_route(&self) -> Watched {
        Watched::start(&self.space.name, "web")
    }

    /// Waits until the route is as it was before the league.
    pub fn until_home(&self) {
        until(30, "all requests go to the champion", || {
            let route = self.route();
            (route.weight(CHAMPION) == 100 && !route.mirrors()).then_some(())
        });
    }

    /// Sets the weights of the first rule, in one write.
    pub fn weigh(&self, champion: u32, challenger: u32) {
        self.patch_route(&json!([
            {"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": champion},
            {"op": "replace", "path": "/spec/rules/0/backendRefs/1/weight", "value": challenger},
        ]));
    }

    /// A hand on the route: a JSON patch.
    pub fn patch_route(&self, patch: &Value) {
        self.space.kubectl(&["patch", "httproute", "web", "--type=json", "-p", &patch.to_string()]);
    }
}
