//! The lines of the streaming door, as they stand in the stream.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::observe::reading::SignalName;

/// One line in: a turn of one workload, or the end of a tick. What a line leaves out is unchanged.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Time of the turn.
    pub time: Timestamp,
    /// `namespace/name`; left out at the end of a tick.
    #[serde(default)]
    pub workload: Option<String>,
    /// Every workload of this tick has been told: the members of pools are answered now.
    #[serde(default)]
    pub end_of_tick: bool,
    /// The `spec` of a `MatVerseScaling`: on a workload's first line and whenever it changes.
    #[serde(default)]
    pub spec: Option<Value>,
    /// Samples by signal; `null` is a missing one.
    #[serde(default)]
    pub readings: BTreeMap<SignalName, Option<Sample>>,
    /// `spec.replicas` and ready replicas.
    #[serde(default)]
    pub replicas: Option<Replicas>,
    /// Samples of each running revision.
    #[serde(default)]
    pub by_revision: BTreeMap<String, BTreeMap<SignalName, Option<Sample>>>,
    /// The revision that runs.
    #[serde(default)]
    pub revision: Option<RevisionLine>,
    /// When somebody else last changed a `ConfigMap` that the template references.
    #[serde(default)]
    pub config_changed_at: Option<Timestamp>,
    /// Values of the keys under `spec.retune`, as text; without them nothing is tuned.
    #[serde(default)]
    pub parameters: Option<BTreeMap<String, String>>,
}

/// One sample; without its time its age is not proven.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// The number, in the signal's unit.
    pub value: f64,
    /// When it was taken.
    #[serde(default)]
    pub sampled_at: Option<Timestamp>,
}

/// Counts of a Deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Replicas {
    /// `spec.replicas`.
    pub desired: i32,
    /// Ready ones; as many as desired where left out and never said.
    #[serde(default)]
    pub ready: Option<i32>,
}

/// The revision that runs, and those before it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionLine {
    /// Hash of the current one.
    pub current: String,
    /// When its rollout began.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// Hashes of earlier ones, newest first.
    #[serde(default)]
    pub previous: Vec<String>,
    /// Whether pods of the current one fail by themselves.
    #[serde(default)]
    pub new_pods_failing: bool,
}

/// One line out: what is decided for one workload.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer<'a> {
    /// Time of the turn.
    pub time: Timestamp,
    /// `namespace/name`.
    pub workload: &'a str,
    /// `ScaleUp`, `ScaleDown`, `Retune`, `Rollback` or `Noop`.
    pub action: &'static str,
    /// Calibrated probability of the action's event; `null` where it cannot be stated.
    pub confidence: Option<f64>,
    /// Replicas that result; `null` where nobody has said how many there are.
    pub desired: Option<i32>,
    /// The revision that a Rollback restores.
    pub target: Option<&'a str>,
    /// The step of a Retune: key and value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retune: Option<Step<'a>>,
    /// A single token, a colon and one line for people.
    pub reason: String,
    /// −log₁₀ of the tail probability of each signal's innovation, and of all together, 0…300.
    pub anomaly: BTreeMap<&'a str, f64>,
    /// What has to come before anything else happens.
    pub waiting_on: &'a [String],
    /// Demand through the horizon.
    pub forecast: Forecast,
}

/// One step of one parameter.
#[derive(Debug, Serialize)]
pub struct Step<'a> {
    /// The key.
    pub key: &'a str,
    /// Its new value.
    pub value: &'a str,
}

/// Demand through the horizon, as far as a model answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// How far ahead, s.
    pub horizon_seconds: f64,
    /// Replicas that keep the target with the probability asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas_needed: Option<i32>,
    /// `Utilisation` or `Queue`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<&'static str>,
    /// Mean of the forecast demand: replicas' worth of cpu, or arrivals a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// Its standard deviation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sd: Option<f64>,
    /// Measured start time of a pod, s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_seconds: Option<f64>,
}

/// The answer to a line that is refused. The stream goes on.
#[derive(Debug, Serialize)]
pub struct Refused {
    /// Why, and the way out.
    pub error: String,
    /// Number of the line, from 1.
    pub line: u64,
}
