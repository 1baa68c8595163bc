//! Status of an `OmegaGate`: what it saw and answered. Every string and list is bounded; whoever
//! writes one cuts it first ([`clip`](crate::api::rules::clip)).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::rules::{SENTENCE_MAX, TOKEN_MAX, conditions};
use crate::api::shared::{LedgerStatus, SignalStatus};

/// What the gate saw and answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OmegaGateStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions by type.
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// `Admit`, `Quarantine`, `Block` or `Unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = TOKEN_MAX))]
    pub decision: Option<String>,
    /// `pod-template-hash` of the revision that the answer speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = TOKEN_MAX))]
    pub revision: Option<String>,
    /// Ω.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub omega: Option<f64>,
    /// Ψ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<f64>,
    /// CVaR.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cvar: Option<f64>,
    /// Θ̂.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theta: Option<f64>,
    /// Samples of evidence since the last rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<u32>,
    /// Each gate with its verdict.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub gates: Vec<GateStatus>,
    /// State of each named signal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub signals: Vec<SignalStatus>,
    /// Revisions that were admitted, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub admitted: Vec<AdmittedStatus>,
    /// The league's stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub league: Option<LeagueStatus>,
    /// What was learned from rollbacks; it only hardens admission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learned: Option<LearnedStatus>,
    /// SHA-256 of the newest evidence record, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = TOKEN_MAX))]
    pub evidence_head: Option<String>,
    /// Rollbacks of what the gate judges: by the league, and by resources that refer to the gate.
    pub rollbacks: u32,
    /// Ω after the last rollback settled, less Ω before it; never negative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub antifragile_gain: Option<f64>,
    /// Place in the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerStatus>,
}

/// One gate's verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateStatus {
    /// Its name.
    #[schemars(length(max = TOKEN_MAX))]
    pub name: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Its threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Distance to the threshold; negative fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// `Yes`, `No`, `Unknown` or `Off`.
    #[schemars(length(max = TOKEN_MAX))]
    pub pass: String,
    /// Why.
    #[schemars(length(max = SENTENCE_MAX))]
    pub reason: String,
}

/// A revision that was admitted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdmittedStatus {
    /// Identity of its template.
    #[schemars(length(max = TOKEN_MAX))]
    pub template: String,
    /// L∞ when it was last admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linf: Option<f64>,
    /// Whether its hard gates held when they were last decided.
    #[serde(default)]
    pub stands: bool,
}

/// A league as it stands, or as it ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LeagueStatus {
    /// `Idle`, `Shadow`, `Canary`, `Promote` (also while it is watched), `Promoted` or `RolledBack`.
    #[schemars(length(max = TOKEN_MAX))]
    pub stage: String,
    /// When the stage began (RFC 3339).
    #[schemars(length(max = TOKEN_MAX))]
    pub since: String,
    /// Requests that the challenger served in the stage (mirrored ones while it shadows).
    pub samples: u64,
    /// Id of the league.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = TOKEN_MAX))]
    pub run: Option<String>,
    /// Why it stands where it stands, in one token.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = TOKEN_MAX))]
    pub reason: String,
    /// The same in a sentence with the numbers.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = SENTENCE_MAX))]
    pub message: String,
    /// Identity of the champion's template when the league began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = TOKEN_MAX))]
    pub champion_template: Option<String>,
    /// Identity of the challenger's template.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = TOKEN_MAX))]
    pub challenger_template: Option<String>,
    /// The challenger's share of requests, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Whether the challenger gets copies of requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirrored: Option<bool>,
    /// Identity of the last template that served its watch out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = TOKEN_MAX))]
    pub last_good: Option<String>,
    /// The operator's own memory of the league, as JSON; what makes no sense there ends the league.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = MEMORY_MAX))]
    pub memory: String,
}

/// Longest memory of a league, in characters: a few templates' hashes and two stages' evidence.
const MEMORY_MAX: u32 = 8192;

/// Values that rollbacks taught the gate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LearnedStatus {
    /// Smallest Ω that admits, at least the one of the spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub omega_min: Option<f64>,
    /// Penalty of CVaR, at least the one of the spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cvar_penalty: Option<f64>,
    /// When these last changed (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = TOKEN_MAX))]
    pub since: Option<String>,
    /// The last rollback that was learned from (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = TOKEN_MAX))]
    pub last_rollback: Option<String>,
    /// Whether that rollback's gain is still to be measured.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub settling: bool,
    /// Last Ω before it, where it was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub omega_before: Option<f64>,
}
