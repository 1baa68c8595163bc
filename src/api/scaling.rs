//! `MatVerseScaling` (`mvs`): the autonomy of one Deployment.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::{LedgerStatus, SignalSpec, SignalStatus, TargetRef};

/// Desired autonomy of one Deployment.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "matverse.io",
    version = "v1alpha1",
    kind = "MatVerseScaling",
    plural = "matversescalings",
    shortname = "mvs",
    namespaced,
    status = "MatVerseScalingStatus",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MatVerseScalingSpec {
    /// The workload; cannot be changed.
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
    #[schemars(length(min = 1, max = 63))]
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
    #[schemars(length(min = 1, max = 63))]
    pub pool: Option<String>,
    /// Change freezes and scheduled minimums.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub windows: Vec<Window>,
}

/// How sure the operator must be; each mode names a confidence floor and a keep probability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Floor .85, keep probability .99.
    Conservative,
    /// Floor .70, keep probability .95.
    #[default]
    Balanced,
    /// Floor .50, keep probability .80.
    Aggressive,
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

/// Rates of change, as `autoscaling/v2` has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Behavior {
    /// Upwards: 2 pods or 100 % per 15 s, the larger, no stabilisation.
    pub scale_up: ScalingRules,
    /// Downwards: 1 pod or 10 % per 15 s, the larger, 300 s.
    pub scale_down: ScalingRules,
}

impl Default for Behavior {
    fn default() -> Self {
        let rules = |window, pods, percent| ScalingRules {
            stabilization_window_seconds: Some(window),
            select_policy: SelectPolicy::Max,
            policies: vec![
                ScalingPolicy { r#type: PolicyType::Pods, value: pods, period_seconds: 15 },
                ScalingPolicy { r#type: PolicyType::Percent, value: percent, period_seconds: 15 },
            ],
            tolerance: None,
        };
        Self { scale_up: rules(0, 2, 100), scale_down: rules(300, 1, 10) }
    }
}

/// The rules of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ScalingRules {
    /// Seconds of past recommendations that are taken into account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: Option<u32>,
    /// Which policy counts when several are given.
    pub select_policy: SelectPolicy,
    /// Limits of change; none = no limit.
    #[schemars(length(max = 8))]
    pub policies: Vec<ScalingPolicy>,
    /// HPA's tolerance; accepted so that a behavior can be pasted, as a quantity string.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub tolerance: Option<String>,
}

/// Which of several policies counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SelectPolicy {
    /// The one that allows the most change.
    #[default]
    Max,
    /// The one that allows the least change.
    Min,
    /// No change in this direction.
    Disabled,
}

/// One limit of change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScalingPolicy {
    /// Pods or percent of the present count.
    pub r#type: PolicyType,
    /// How many of them.
    #[schemars(range(min = 1, max = 10000))]
    pub value: i32,
    /// In how many seconds.
    #[schemars(range(min = 1, max = 1800))]
    pub period_seconds: u32,
}

/// Unit of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PolicyType {
    /// A number of pods.
    Pods,
    /// A percentage of the present count.
    Percent,
}

/// When and how a revision is reverted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rollback {
    /// Whether a revision is ever reverted.
    pub enabled: bool,
    /// By a patch of the Deployment, or by a proposal.
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
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// One tunable key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Parameter {
    /// Key in the ConfigMap's `data`; its value is a decimal number.
    #[schemars(length(min = 1, max = 253))]
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
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A change freeze or a scheduled minimum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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

/// What the operator saw and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MatVerseScalingStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions by type.
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
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
    pub current_metrics: CurrentMetrics,
    /// State of each named signal.
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub signals: Vec<SignalStatus>,
    /// The forecast behind the decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast: Option<ForecastStatus>,
    /// Until when ScaleDown, Retune rest (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cooldown_until: Option<String>,
    /// Rollbacks done and revisions known bad.
    pub rollback: RollbackStatus,
    /// A retune step that has not been judged yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retune: Option<RetuneStatus>,
    /// Place in the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerStatus>,
}

/// The last decision, as status shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastDecision {
    /// `ScaleUp`, `ScaleDown`, `Retune`, `Rollback` or `Noop`.
    pub action: String,
    /// When it was made (RFC 3339).
    pub timestamp: String,
    /// Calibrated probability, two decimals; absent where nothing could be judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Why, in one line.
    pub reasoning: String,
    /// A single token for the printer column.
    pub why: String,
    /// Identifies the decision in events, annotations and ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<String>,
    /// Whether it was carried out.
    pub executed: bool,
    /// What it waits on.
    #[serde(default)]
    #[schemars(length(max = 16))]
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

/// The forecast, as status shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForecastStatus {
    /// How far ahead, in seconds.
    pub horizon_seconds: f64,
    /// n*: replicas that keep the target with the probability asked for.
    pub replicas_needed: i32,
    /// Which model answered.
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
    pub last_time: Option<String>,
    /// How many in the last day.
    pub count_today: u32,
    /// Times of those, RFC 3339.
    #[schemars(length(max = 100))]
    pub times: Vec<String>,
    /// Template hashes known bad.
    #[schemars(length(max = 32))]
    pub bad_revisions: Vec<String>,
    /// Template hashes recorded good, newest first.
    #[schemars(length(max = 32))]
    pub good_revisions: Vec<String>,
}

/// A retune step under trial: enough to restore it after a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetuneStatus {
    /// ConfigMap that was changed.
    pub config_map: String,
    /// Key that was changed.
    pub key: String,
    /// Value before.
    pub before: String,
    /// Value under trial.
    pub trial: String,
    /// When the step was made (RFC 3339).
    pub since: String,
    /// The measure (β or Ω) before the step.
    pub baseline: f64,
    /// Which signal judges the step.
    pub signal: String,
}
