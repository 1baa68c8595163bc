//! `MatVerseScaling` (`mvs`): the autonomy of one Deployment. Here is what a user writes;
//! `behavior` holds the HPA's rates of change, `status` what the operator answers.

pub mod behavior;
pub mod status;

use std::borrow::Cow;

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub use behavior::{Behavior, PolicyType, ScalingPolicy, ScalingRules, SelectPolicy};
pub use status::{
    CurrentMetrics, ForecastStatus, LastDecision, LessonsStatus, MatVerseScalingStatus, ProposalStatus,
    RetuneSearchStatus, RetuneStatus, RollbackStatus, TooFewStatus,
};

use super::rules::{CONFIG_NAME, OBJECT_NAME, not_yet, rules};
use super::shared::{SignalSpec, TargetRef};

/// Desired autonomy of one Deployment.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "matverse.io",
    version = "v1alpha1",
    kind = "MatVerseScaling",
    plural = "matversescalings",
    shortname = "mvs",
    namespaced,
    category = "matverse",
    status = "MatVerseScalingStatus",
    derive = "PartialEq",
    doc = "The autonomy of one Deployment: what it may do, within which bounds, from which signals.",
    printcolumn = r#"{"name":"Enforce","type":"string","jsonPath":".spec.enforcement"}"#,
    printcolumn = r#"{"name":"Now","type":"integer","jsonPath":".status.currentReplicas"}"#,
    printcolumn = r#"{"name":"Want","type":"integer","jsonPath":".status.desiredReplicas"}"#,
    printcolumn = r#"{"name":"Action","type":"string","jsonPath":".status.lastDecision.action"}"#,
    printcolumn = r#"{"name":"Acting","type":"string","jsonPath":".status.conditions[?(@.type==\"Acting\")].status"}"#,
    printcolumn = r#"{"name":"Why","type":"string","jsonPath":".status.lastDecision.why"}"#,
    printcolumn = r#"{"name":"Conf","type":"number","jsonPath":".status.lastDecision.confidence"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Target","type":"string","jsonPath":".spec.targetRef.name","priority":1}"#,
    printcolumn = r#"{"name":"Mode","type":"string","jsonPath":".spec.mode","priority":1}"#,
    printcolumn = r#"{"name":"Omega","type":"number","jsonPath":".status.currentMetrics.omegaScore","priority":1}"#,
    printcolumn = r#"{"name":"Psi","type":"number","jsonPath":".status.currentMetrics.psiIndex","priority":1}"#,
    printcolumn = r#"{"name":"CVaR","type":"number","jsonPath":".status.currentMetrics.cvar","priority":1}"#,
    printcolumn = r#"{"name":"CPU","type":"number","jsonPath":".status.currentMetrics.cpuUsage","priority":1}"#,
    printcolumn = r#"{"name":"P95","type":"number","jsonPath":".status.currentMetrics.latency","priority":1}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    ("self.minReplicas <= self.maxReplicas", "minReplicas must not exceed maxReplicas"),
    (
        "!has(self.windows) || self.windows.all(w, !has(w.minReplicas) || w.minReplicas <= self.maxReplicas)",
        "minReplicas of a window must not exceed maxReplicas",
    ),
])))]
pub struct MatVerseScalingSpec {
    /// The workload; cannot be changed.
    #[schemars(extend("x-kubernetes-validations" = rules(&[("self == oldSelf", IMMUTABLE_TARGET)])))]
    pub target_ref: TargetRef,
    /// Smallest count the operator sets.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10000))]
    pub min_replicas: i32,
    /// Largest count the operator sets; a workload found above it is not lowered for that alone.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_replicas: i32,
    /// How sure it must be before it acts.
    #[serde(default)]
    pub mode: Mode,
    /// What it may do: only show, propose, or act.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-validations" =
        not_yet("self != 'Propose'", "enforcement: Propose", "use Observe (shows, touches nothing) or Act")))]
    pub enforcement: Enforcement,
    /// How long a proposal waits for approval, in seconds.
    #[serde(default = "two_minutes")]
    #[schemars(range(min = 10, max = 86400))]
    pub proposal_timeout_seconds: u32,
    /// Stops every act.
    #[serde(default)]
    pub paused: bool,
    /// Length of one OODA turn, in seconds.
    #[serde(default = "fifteen")]
    #[schemars(range(min = 1, max = 600))]
    pub interval_seconds: u32,
    /// Signal profile of the operator's configuration.
    #[serde(default = "default_name")]
    #[schemars(length(min = 1, max = 63), pattern(CONFIG_NAME))]
    pub profile: String,
    /// Signals that override the profile's, one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub signals: Vec<SignalSpec>,
    /// Set points.
    #[serde(default)]
    pub targets: Targets,
    /// The forecast.
    #[serde(default)]
    pub predictor: Predictor,
    /// Rates of change, in the form of the HPA v2 `behavior`.
    #[serde(default)]
    pub behavior: Behavior,
    /// Rest after ScaleDown, Retune and Rollback, in seconds; it never delays a ScaleUp.
    #[serde(default = "sixty")]
    #[schemars(range(min = 0, max = 86400))]
    pub cooldown_seconds: u32,
    /// Turns for which trouble must last before it counts.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 100))]
    pub persistence: u32,
    /// When and how a revision is reverted.
    #[serde(default)]
    pub rollback: Rollback,
    /// Parameters it may tune; absent = never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retune: Option<Retune>,
    /// The OmegaGate whose decision limits the actions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate_ref: Option<GateRef>,
    /// Replica pool of the operator's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), pattern(CONFIG_NAME))]
    pub pool: Option<String>,
    /// Change freezes and scheduled minimums.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" =
        not_yet("self.size() == 0", "windows", "leave it out; `paused: true` stops every act")))]
    pub windows: Vec<Window>,
}

/// How sure the operator must be; each mode names a confidence floor and a keep probability.
///
/// Written in lower case; `Balanced` is read as `balanced`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Floor .85, keep probability .99.
    #[serde(alias = "Conservative")]
    Conservative,
    /// Floor .70, keep probability .95.
    #[default]
    #[serde(alias = "Balanced")]
    Balanced,
    /// Floor .50, keep probability .80.
    #[serde(alias = "Aggressive")]
    Aggressive,
}

impl JsonSchema for Mode {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Mode".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "enum": ["conservative", "balanced", "aggressive", "Conservative", "Balanced", "Aggressive"],
        })
    }
}

/// What the operator may do with a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Enforcement {
    /// Decides, shows, touches nothing.
    #[default]
    Observe,
    /// Waits for approval.
    Propose,
    /// Acts.
    Act,
}

/// Set points of a workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Targets {
    /// Ω to hold, 0…1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub omega_score: f64,
    /// Ψ to hold, 0…1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub psi_index: f64,
    /// β to hold, 0…2.
    #[schemars(range(min = 0.0, max = 2.0))]
    pub beta_antifragile: f64,
    /// Mean utilisation of the cpu request, as a share.
    #[schemars(range(min = 0.01, max = 1.0))]
    pub cpu_target: f64,
    /// p95 latency in milliseconds; off unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.1, max = 3_600_000.0))]
    pub latency_target: Option<f64>,
}

impl Default for Targets {
    fn default() -> Self {
        Self {
            omega_score: 0.95,
            psi_index: 0.97,
            beta_antifragile: 1.2,
            cpu_target: 0.7,
            latency_target: None,
        }
    }
}

/// Settings of the forecast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    ("self.qMin <= self.qMax", "qMin must not exceed qMax"),
])))]
pub struct Predictor {
    /// How far ahead, in seconds; 0 = measured pod start time plus one interval.
    #[schemars(range(min = 0, max = 3600))]
    pub horizon_seconds: u32,
    /// P(target kept through the horizon) asked for; by mode when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.5, max = 0.9999))]
    pub keep_probability: Option<f64>,
    /// Smallest process noise, relative to the signal's scale.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub q_min: f64,
    /// Largest process noise, relative to the signal's scale.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub q_max: f64,
    /// Which capacity model answers.
    pub capacity_model: CapacityModel,
}

impl Default for Predictor {
    fn default() -> Self {
        Self {
            horizon_seconds: 0,
            keep_probability: None,
            q_min: 0.001,
            q_max: 0.1,
            capacity_model: CapacityModel::Auto,
        }
    }
}

/// How replicas are sized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CapacityModel {
    /// Queue when throughput is fresh and service time identified, else utilisation, else rules.
    #[default]
    Auto,
    /// Total utilisation over the target utilisation.
    Utilisation,
    /// Erlang-C with Allen–Cunneen.
    Queue,
    /// The reactive bounds alone.
    Rules,
}

/// When and how a revision is reverted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rollback {
    /// Whether a revision is ever reverted.
    pub enabled: bool,
    /// By a patch of the Deployment, or by a proposal.
    #[schemars(extend("x-kubernetes-validations" =
        not_yet("self != 'Propose'", "rollback.via: Propose", "use Patch, or enabled: false")))]
    pub via: RollbackVia,
    /// Ω below this is trouble.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub omega_below: f64,
    /// A share of failed requests above this is trouble.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub errors_above: f64,
    /// How long after a rollout trouble may be blamed on it, in seconds.
    #[schemars(range(min = 10, max = 86400))]
    pub attribution_seconds: u32,
    /// Rollbacks a day at most.
    #[schemars(range(min = 0, max = 100))]
    pub max_per_day: u32,
    /// Relative difference that still counts as equal.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub equivalence_margin: f64,
    /// Any-time false alarm probability of the comparison.
    #[schemars(range(min = 0.000_001, max = 0.5))]
    pub alpha: f64,
}

impl Default for Rollback {
    fn default() -> Self {
        Self {
            enabled: true,
            via: RollbackVia::Patch,
            omega_below: 0.70,
            errors_above: 0.05,
            attribution_seconds: 1800,
            max_per_day: 2,
            equivalence_margin: 0.10,
            alpha: 0.05,
        }
    }
}

/// How a rollback is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RollbackVia {
    /// At once, by a patch of the Deployment.
    #[default]
    Patch,
    /// By a proposal that a person approves.
    Propose,
}

/// Parameters the operator may tune, in one ConfigMap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retune {
    /// The ConfigMap, in the resource's namespace.
    pub config_map_ref: ConfigMapRef,
    /// Its keys with their ranges.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["key"]))]
    pub parameters: Vec<Parameter>,
    /// How long a change settles before it is judged, in seconds.
    #[serde(default = "two_minutes")]
    #[schemars(range(min = 1, max = 86400))]
    pub settle_seconds: u32,
}

/// A ConfigMap by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigMapRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253), pattern(OBJECT_NAME))]
    pub name: String,
}

/// One tunable key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    ("self.min < self.max", "min of a parameter must be below its max"),
])))]
pub struct Parameter {
    /// Key in the ConfigMap's `data`; its value is a decimal number.
    #[schemars(length(min = 1, max = 253), pattern("^[-._a-zA-Z0-9]+$"))]
    pub key: String,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Largest step, as a share of the range, at most .02.
    #[serde(default = "two_percent")]
    #[schemars(range(min = 0.0001, max = 0.02))]
    pub max_delta: f64,
}

/// An OmegaGate by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GateRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253), pattern(OBJECT_NAME))]
    pub name: String,
}

/// A change freeze or a scheduled minimum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    ("(has(self.freeze) && self.freeze) || has(self.minReplicas)", "a window must freeze or name minReplicas"),
])))]
pub struct Window {
    /// Cron expression of its starts.
    #[schemars(length(min = 9, max = 128))]
    pub schedule: String,
    /// IANA time zone of the schedule; UTC when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub time_zone: Option<String>,
    /// How long it lasts, in seconds.
    #[schemars(range(min = 60, max = 604_800))]
    pub duration_seconds: u32,
    /// Whether it freezes every act but a rollback.
    #[serde(default)]
    pub freeze: bool,
    /// A minimum that holds while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub min_replicas: Option<i32>,
}

/// Said when somebody points a resource at another workload.
pub(super) const IMMUTABLE_TARGET: &str =
    "targetRef cannot be changed; delete this resource and create one for the other workload";

fn one() -> i32 {
    1
}
fn ten() -> i32 {
    10
}
fn two_minutes() -> u32 {
    120
}
fn fifteen() -> u32 {
    15
}
fn sixty() -> u32 {
    60
}
fn three() -> u32 {
    3
}
fn default_name() -> String {
    "default".into()
}
fn two_percent() -> f64 {
    0.02
}
