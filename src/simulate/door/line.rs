//! The lines of the streaming door, as they stand in the stream.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use jiff::Timestamp;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
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
    pub end_of_tick: Option<bool>,
    /// The `spec` of a `MatVerseScaling`: on a workload's first line and whenever it changes.
    #[serde(default)]
    pub spec: Option<Value>,
    /// Samples by signal; `null` is a missing one.
    #[serde(default)]
    pub readings: Samples,
    /// `spec.replicas` and ready replicas.
    #[serde(default)]
    pub replicas: Option<Replicas>,
    /// Samples of each running revision.
    #[serde(default)]
    pub by_revision: Named<String, Samples>,
    /// The revision that runs.
    #[serde(default)]
    pub revision: Option<RevisionLine>,
    /// When somebody else last changed a `ConfigMap` that the template references.
    #[serde(default)]
    pub config_changed_at: Option<Timestamp>,
    /// Values of the keys under `spec.retune`, as text; without them nothing is tuned.
    #[serde(default)]
    pub parameters: Option<BTreeMap<String, Option<String>>>,
}

/// Samples by signal; `null` is a missing one.
pub type Samples = Named<SignalName, Option<Sample>>;

/// Values by name, each name once; `null` is none at all. Of two values under one name nobody knows which is meant, so
/// the line is refused.
#[derive(Clone, Debug)]
pub struct Named<K, V>(BTreeMap<K, V>);

impl<K, V> Default for Named<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K, V> Deref for Named<K, V> {
    type Target = BTreeMap<K, V>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<'de, K, V> Deserialize<'de> for Named<K, V>
where
    K: Deserialize<'de> + Ord + fmt::Display,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Once(PhantomData))
    }
}

struct Once<K, V>(PhantomData<(K, V)>);

impl<'de, K, V> Visitor<'de> for Once<K, V>
where
    K: Deserialize<'de> + Ord + fmt::Display,
    V: Deserialize<'de>,
{
    type Value = Named<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Named::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = BTreeMap::new();
        while let Some(name) = map.next_key::<K>()? {
            match found.entry(name) {
                Entry::Vacant(place) => place.insert(map.next_value()?),
                Entry::Occupied(place) => {
                    return Err(A::Error::custom(format_args!("{} stands twice", place.key())));
                }
            };
        }
        Ok(Named(found))
    }
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

/// Counts of a Deployment; what is left out is unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Replicas {
    /// `spec.replicas`.
    #[serde(default)]
    pub desired: Option<i32>,
    /// Ready ones; as many as desired where never said.
    #[serde(default)]
    pub ready: Option<i32>,
}

/// The revision that runs, and those before it; what is left out is unchanged.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionLine {
    /// Hash of the current one.
    #[serde(default)]
    pub current: Option<String>,
    /// When its rollout began.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// Hashes of earlier ones, newest first.
    #[serde(default)]
    pub previous: Option<Vec<String>>,
    /// Whether pods of the current one fail by themselves; `false` where never said of it.
    #[serde(default)]
    pub new_pods_failing: Option<bool>,
}

/// A line, read.
///
/// # Errors
/// What is wrong, and at which of its bytes.
pub fn read(bytes: &[u8]) -> Result<Line, String> {
    // A line of the stream is one line: the stream's own number stands beside the error.
    serde_json::from_slice(bytes).map_err(|e| e.to_string().replace(" at line 1 column ", " at column "))
}

/// Takes every `null` out of an object, as an API server does where a field is not nullable: it is as left out.
pub(super) fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
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
