//! Status of a `MatVerseScaling`: what the operator saw, decided and did. Every string and list is
//! bounded; whoever writes one cuts it first ([`clip`](crate::api::rules::clip)).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::rules::{SENTENCE_MAX, TOKEN_MAX, conditions};
use crate::api::shared::{LedgerStatus, SignalStatus};

/// What the operator saw and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MatVerseScalingStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions by type.
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// Replicas the target asks for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_replicas: Option<i32>,
    /// Replicas the operator wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// The last decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<LastDecision>,
    /// The values the decision saw; an unbelievable one is absent.
    #[serde(skip_serializing_if = "CurrentMetrics::is_empty")]
    pub current_metrics: CurrentMetrics,
    /// State of each named signal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub signals: Vec<SignalStatus>,
    /// The forecast behind the decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast: Option<ForecastStatus>,
    /// Until when ScaleDown, Retune rest (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = TOKEN_MAX))]
    pub cooldown_until: Option<String>,
    /// Rollbacks done and revisions known bad.
    pub rollback: RollbackStatus,
    /// A retune step that has not been judged yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retune: Option<RetuneStatus>,
    /// What retune steps have measured of each parameter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["key"]))]
    pub retune_search: Vec<RetuneSearchStatus>,
    /// What the present revision has taught.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lessons: Option<LessonsStatus>,
    /// An act that waits for a person's approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposal: Option<ProposalStatus>,
    /// Place in the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerStatus>,
}

/// The last decision, as status shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastDecision {
    /// `ScaleUp`, `ScaleDown`, `Retune`, `Rollback` or `Noop`.
    #[schemars(length(max = TOKEN_MAX))]
    pub action: String,
    /// When it was made (RFC 3339).
    #[schemars(length(max = TOKEN_MAX))]
    pub timestamp: String,
    /// Calibrated probability, two decimals; absent where nothing could be judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Why, in one line.
    #[schemars(length(max = SENTENCE_MAX))]
    pub reasoning: String,
    /// A single token for the printer column.
    #[schemars(length(max = TOKEN_MAX))]
    pub why: String,
    /// Identifies the decision in events, annotations and ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = TOKEN_MAX))]
    pub decision_id: Option<String>,
    /// Whether it was carried out.
    pub executed: bool,
    /// What it waits on.
    #[serde(default)]
    #[schemars(length(max = 16), inner(length(max = SENTENCE_MAX)), extend("x-kubernetes-list-type" = "atomic"))]
    pub waiting_on: Vec<String>,
}

/// Values the decision saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CurrentMetrics {
    /// Ω.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub omega_score: Option<f64>,
    /// Ψ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi_index: Option<f64>,
    /// CVaR.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cvar: Option<f64>,
    /// β.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta_antifragile: Option<f64>,
    /// Share of the cpu request in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_usage: Option<f64>,
    /// p95 in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<f64>,
}

impl CurrentMetrics {
    /// Nothing could be believed. Left out then: a server-side apply that empties a map it filled before leaves
    /// `null` behind, which the schema refuses.
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The forecast, as status shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForecastStatus {
    /// How far ahead, in seconds.
    pub horizon_seconds: f64,
    /// n*: replicas that keep the target with the probability asked for.
    pub replicas_needed: i32,
    /// Which model answered.
    #[schemars(length(max = TOKEN_MAX))]
    pub model: String,
    /// Measured start time of a pod, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_seconds: Option<f64>,
}

/// Rollbacks done, as status remembers them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RollbackStatus {
    /// When the last one was done (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = TOKEN_MAX))]
    pub last_time: Option<String>,
    /// How many in the last day.
    pub count_today: u32,
    /// Times of those, RFC 3339.
    #[schemars(length(max = 100), inner(length(max = TOKEN_MAX)), extend("x-kubernetes-list-type" = "atomic"))]
    pub times: Vec<String>,
    /// Template hashes known bad.
    #[schemars(length(max = 32), inner(length(max = TOKEN_MAX)), extend("x-kubernetes-list-type" = "atomic"))]
    pub bad_revisions: Vec<String>,
    /// Template hashes recorded good, newest first.
    #[schemars(length(max = 32), inner(length(max = TOKEN_MAX)), extend("x-kubernetes-list-type" = "atomic"))]
    pub good_revisions: Vec<String>,
}

/// A retune step under trial: enough to restore it after a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetuneStatus {
    /// ConfigMap that was changed.
    #[schemars(length(max = TOKEN_MAX))]
    pub config_map: String,
    /// Key that was changed.
    #[schemars(length(max = TOKEN_MAX))]
    pub key: String,
    /// Value before.
    #[schemars(length(max = TOKEN_MAX))]
    pub before: String,
    /// Value under trial.
    #[schemars(length(max = TOKEN_MAX))]
    pub trial: String,
    /// When the step was made (RFC 3339).
    #[schemars(length(max = TOKEN_MAX))]
    pub since: String,
    /// The measure (β or Ω) before the step.
    pub baseline: f64,
    /// Which signal judges the step.
    #[schemars(length(max = TOKEN_MAX))]
    pub signal: String,
}

/// What retune steps have measured of one parameter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetuneSearchStatus {
    /// The key.
    #[schemars(length(max = TOKEN_MAX))]
    pub key: String,
    /// Last measured difference of β or Ω over the share of the parameter's range moved.
    pub slope: f64,
    /// Sum of the squares of all of them; the larger, the smaller the steps.
    pub squares: f64,
}

/// What one revision has taught; with the next one it is given up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LessonsStatus {
    /// Its pod-template-hash.
    #[schemars(length(max = TOKEN_MAX))]
    pub revision: String,
    /// Counts that were too few for a load within the last day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["replicas"]))]
    pub too_few: Vec<TooFewStatus>,
    /// Retune steps in a row that were taken back.
    #[serde(default)]
    pub vain_retune_steps: u32,
}

/// A count that was too few.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TooFewStatus {
    /// The count.
    pub replicas: i32,
    /// When it was raised (RFC 3339).
    #[schemars(length(max = TOKEN_MAX))]
    pub at: String,
    /// Requests a second at which it was too few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<f64>,
    /// Total utilisation at which it was, in replicas' worth, where requests are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<f64>,
}

/// An act that waits for approval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProposalStatus {
    /// What `approve` and `reject` name: the decision id.
    #[schemars(length(max = TOKEN_MAX))]
    pub id: String,
    /// The action proposed.
    #[schemars(length(max = TOKEN_MAX))]
    pub action: String,
    /// What it would change, in one line.
    #[schemars(length(max = SENTENCE_MAX))]
    pub summary: String,
    /// Since when it waits (RFC 3339).
    #[schemars(length(max = TOKEN_MAX))]
    pub since: String,
    /// When it lapses to Noop (RFC 3339).
    #[schemars(length(max = TOKEN_MAX))]
    pub expires_at: String,
}
