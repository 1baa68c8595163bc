//! What both kinds share: the target, signals, conditions, and the ledger's place in status.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::{CONFIG_NAME, OBJECT_NAME, SIGNAL_NAME, TOKEN_MAX, rules};

/// The Deployment a resource speaks of, in the resource's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetRef {
    /// Always `apps/v1`.
    #[serde(default = "apps_v1")]
    #[schemars(extend("enum" = ["apps/v1"]))]
    pub api_version: String,
    /// Always `Deployment`.
    #[serde(default = "deployment")]
    #[schemars(extend("enum" = ["Deployment"]))]
    pub kind: String,
    /// Name of the Deployment.
    #[schemars(length(min = 1, max = 253), pattern(OBJECT_NAME))]
    pub name: String,
}

fn apps_v1() -> String {
    "apps/v1".into()
}

fn deployment() -> String {
    "Deployment".into()
}

/// A signal named by a resource; it overrides the profile's signal of the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    ("!has(self.min) || !has(self.max) || self.min <= self.max", "min of a signal must not exceed its max"),
])))]
pub struct SignalSpec {
    /// Name of the signal: one of the documented names, or any other for the filter alone.
    #[schemars(length(min = 1, max = 63), pattern(SIGNAL_NAME))]
    pub name: String,
    /// Source of the operator's configuration; `default` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), pattern(CONFIG_NAME))]
    pub source: Option<String>,
    /// PromQL of one instant vector; `$namespace`, `$name`, `$podTemplateHash` are substituted.
    /// The profile's query when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub query: Option<String>,
    /// Oldest age, in seconds, at which a sample may support an action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub max_age_seconds: Option<u32>,
    /// Smallest value that makes sense; below it the reading is `OutOfRange`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Largest value that makes sense; above it the reading is `OutOfRange`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// A selector: while its series is fresh, an empty result of `query` reads 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub zero_when_fresh: Option<String>,
}

/// The state of one signal, as status shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignalStatus {
    /// Name of the signal.
    #[schemars(length(max = TOKEN_MAX))]
    pub name: String,
    /// `Fresh`, `Stale`, `Missing`, … (page *readings* of the reference).
    #[schemars(length(max = TOKEN_MAX))]
    pub state: String,
    /// The value, where the reading is fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Time of the sample behind the value (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = TOKEN_MAX))]
    pub sampled_at: Option<String>,
}

/// Where the last entry about this resource stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerStatus {
    /// Origin line of the ledger's checkpoints.
    #[schemars(length(max = TOKEN_MAX))]
    pub origin: String,
    /// Index of the last entry about this resource.
    pub index: u64,
    /// Tree size of the checkpoint that covers it.
    pub size: u64,
    /// Root of that checkpoint, base64.
    #[schemars(length(max = TOKEN_MAX))]
    pub root: String,
    /// What that entry says of a gate, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = TOKEN_MAX))]
    pub decision: Option<String>,
}
