//! The league: a challenger goes through shadow, canary and promotion, or back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::five_minutes;
use crate::api::rules::{OBJECT_NAME, rules};

/// Champion against challenger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    (
        "self.champion.deployment != self.challenger.deployment",
        "champion and challenger must be two Deployments",
    ),
    (
        "!has(self.routeRef) || self.champion.service != self.challenger.service",
        "behind a route, champion and challenger need a Service each",
    ),
])))]
pub struct League {
    /// The one that serves.
    pub champion: Contestant,
    /// The one that wants to.
    pub challenger: Contestant,
    /// The rule of an `HTTPRoute` in front of both; without it, by replica share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route_ref: Option<RouteRef>,
    /// Seconds of mirrored traffic.
    #[serde(default = "five_minutes")]
    #[schemars(range(min = 0, max = 86400))]
    pub shadow_seconds: u32,
    /// Seconds of a small share of traffic.
    #[serde(default = "ten_minutes")]
    #[schemars(range(min = 0, max = 86400))]
    pub canary_seconds: u32,
    /// Seconds after promotion in which it may be brought back.
    #[serde(default = "five_minutes")]
    #[schemars(range(min = 0, max = 86400))]
    pub rollback_window_seconds: u32,
    /// The canary's share.
    #[serde(default = "five_percent")]
    #[schemars(range(min = 0.01, max = 0.20))]
    pub weight: f64,
    /// Samples the shadow stage needs.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_samples_shadow: u32,
    /// Samples the canary stage needs.
    #[serde(default = "five_hundred")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_samples_canary: u32,
    /// Largest share of errors.
    #[serde(default = "five_percent")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub error_max: f64,
    /// Largest p95 in milliseconds.
    #[serde(default = "hundred_ms")]
    #[schemars(range(min = 0.1, max = 3_600_000.0))]
    pub p95_ms: f64,
    /// Whether requests other than GET and HEAD may be mirrored.
    #[serde(default)]
    pub mirror_unsafe: bool,
}

/// One side of a league.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Contestant {
    /// Its Deployment.
    #[schemars(length(min = 1, max = 253), pattern(OBJECT_NAME))]
    pub deployment: String,
    /// Its Service.
    #[schemars(length(min = 1, max = 253), pattern(OBJECT_NAME))]
    pub service: String,
    /// The Service's port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
}

/// One rule of an `HTTPRoute`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253), pattern(OBJECT_NAME))]
    pub name: String,
    /// Index of the rule.
    #[serde(default)]
    #[schemars(range(min = 0, max = 15))]
    pub rule_index: u32,
}

fn ten_minutes() -> u32 {
    600
}
fn hundred() -> u32 {
    100
}
fn five_hundred() -> u32 {
    500
}
fn five_percent() -> f64 {
    0.05
}
fn hundred_ms() -> f64 {
    100.0
}
