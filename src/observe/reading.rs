//! What a reading is: typed evidence, or a typed reason why there is none.
//!
//! This file is pure and is the only part of `observe` that `orient` and `decide` import.

mod fresh;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use fresh::{Fresh, Sample};

/// Name of a signal. The documented names are constants; any other is filtered and used by no rule.
///
/// Names order as their texts do. A documented one is kept as a number, because a turn looks for them often.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(from = "String")]
pub struct SignalName(Name);

/// Only [`SignalName::new`] makes one, so that no documented name is ever [`Name::Other`].
#[derive(Clone, PartialEq, Eq, Hash)]
enum Name {
    Known(Known),
    Other(Arc<str>),
}

/// The documented names, in the order of their texts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Known {
    Beta,
    Cpu,
    Cvar,
    Errors,
    Latency,
    Omega,
    Psi,
    Slow,
    Throughput,
}

impl Known {
    pub(crate) const ALL: [Self; 9] = [
        Self::Beta,
        Self::Cpu,
        Self::Cvar,
        Self::Errors,
        Self::Latency,
        Self::Omega,
        Self::Psi,
        Self::Slow,
        Self::Throughput,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Beta => "beta",
            Self::Cpu => "cpu",
            Self::Cvar => "cvar",
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::Omega => "omega",
            Self::Psi => "psi",
            Self::Slow => "slow",
            Self::Throughput => "throughput",
        }
    }
}

impl SignalName {
    /// Ω, 0…1.
    pub const OMEGA: Self = Self(Name::Known(Known::Omega));
    /// Ψ, 0…1.
    pub const PSI: Self = Self(Name::Known(Known::Psi));
    /// Tail risk, 0…1.
    pub const CVAR: Self = Self(Name::Known(Known::Cvar));
    /// Share of the cpu request, 0…10.
    pub const CPU: Self = Self(Name::Known(Known::Cpu));
    /// p95 in milliseconds.
    pub const LATENCY: Self = Self(Name::Known(Known::Latency));
    /// Requests a second of the whole workload.
    pub const THROUGHPUT: Self = Self(Name::Known(Known::Throughput));
    /// Share of failed requests.
    pub const ERRORS: Self = Self(Name::Known(Known::Errors));
    /// Share of requests slower than a bar that its query sets.
    pub const SLOW: Self = Self(Name::Known(Known::Slow));
    /// Antifragility, 0…2.
    pub const BETA: Self = Self(Name::Known(Known::Beta));

    /// A name as a resource or profile spells it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let known = Known::ALL.into_iter().find(|known| known.as_str() == name);
        Self(known.map_or_else(|| Name::Other(name.into()), Name::Known))
    }

    /// Which documented name it is.
    pub(crate) fn known(&self) -> Option<Known> {
        match self.0 {
            Name::Known(known) => Some(known),
            Name::Other(_) => None,
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Known(known) => known.as_str(),
            Name::Other(name) => name,
        }
    }
}

impl Ord for SignalName {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Name::Known(a), Name::Known(b)) => a.cmp(b),
            _ => self.as_str().cmp(other.as_str()),
        }
    }
}

impl PartialOrd for SignalName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<Known> for SignalName {
    fn from(known: Known) -> Self {
        Self(Name::Known(known))
    }
}

impl From<String> for SignalName {
    fn from(name: String) -> Self {
        Self::new(&name)
    }
}

impl Serialize for SignalName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl std::fmt::Display for SignalName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Debug for SignalName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SignalName").field(&self.as_str()).finish()
    }
}

/// One signal at one turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "state")]
pub enum Reading {
    /// Exactly one finite number, in range, young enough.
    Fresh {
        /// The number, in the signal's unit.
        value: f64,
        /// Time of the oldest necessary sample behind it.
        sampled_at: Timestamp,
    },
    /// The youngest sample behind it is too old (or its age could not be proven: `None`).
    Stale {
        /// Age in seconds.
        age_seconds: Option<f64>,
    },
    /// The result was empty.
    Missing,
    /// NaN or an infinity.
    NotFinite,
    /// More than one series.
    Ambiguous {
        /// How many.
        series: usize,
    },
    /// A scalar, a string or a range vector.
    WrongType,
    /// Outside the declared range (or sampled in the future).
    OutOfRange {
        /// The number found.
        value: f64,
    },
    /// No latency or errors to speak of, because throughput is fresh and 0.
    Idle,
    /// The source did not answer as it should.
    SourceDown {
        /// One short token: `timeout`, `refused`, `http_503`, `malformed`, `oversized`, `circuit_open`, ….
        why: String,
    },
}

/// What a reading is asked to support.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Scaling down.
    ScaleDown,
    /// Anything else.
    Other,
}

impl Reading {
    /// The one rule of what a reading may support.
    #[must_use]
    pub fn supports(&self, what: Use) -> bool {
        match self {
            Self::Fresh { .. } => true,
            Self::Idle => what == Use::ScaleDown,
            Self::Stale { .. }
            | Self::Missing
            | Self::NotFinite
            | Self::Ambiguous { .. }
            | Self::WrongType
            | Self::OutOfRange { .. }
            | Self::SourceDown { .. } => false,
        }
    }

    /// The value and the time of its sample, where it is fresh.
    #[must_use]
    pub fn fresh(&self) -> Option<(f64, Timestamp)> {
        match *self {
            Self::Fresh { value, sampled_at } => Some((value, sampled_at)),
            _ => None,
        }
    }

    /// The one way from a reading to a number: it is fresh and finite.
    #[must_use]
    pub fn believed(&self) -> Option<(f64, Timestamp)> {
        self.fresh().filter(|(value, _)| value.is_finite())
    }

    /// The state's name, as status, metrics and the ledger show it.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self {
            Self::Fresh { .. } => "Fresh",
            Self::Stale { .. } => "Stale",
            Self::Missing => "Missing",
            Self::NotFinite => "NotFinite",
            Self::Ambiguous { .. } => "Ambiguous",
            Self::WrongType => "WrongType",
            Self::OutOfRange { .. } => "OutOfRange",
            Self::Idle => "Idle",
            Self::SourceDown { .. } => "SourceDown",
        }
    }
}

/// All named signals of one turn. A signal that is not in the map is *absent*: nobody named it.
pub type Readings = BTreeMap<SignalName, Reading>;

/// The readings of each running revision (key: pod-template-hash).
pub type RevisionReadings = BTreeMap<String, Readings>;

/// What was read of the signals in one turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// The workload's signals.
    pub readings: Readings,
    /// The same signals side by side, where their query names `$podTemplateHash`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_revision: RevisionReadings,
    /// Pods with a fresh series behind the load signals; `None` where it cannot be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_pods: Option<u32>,
    /// Signals whose value has been bit-identical while their neighbours moved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frozen: Vec<SignalName>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_orders_and_reads_as_its_text() {
        let mut texts: Vec<&str> = Known::ALL.into_iter().map(Known::as_str).collect();
        texts.extend(["", "cp", "cpu2", "errors ", "latency-p99", "Omega", "zz"]);
        for a in &texts {
            let name = SignalName::new(a);
            assert_eq!((name.as_str(), name.to_string().as_str()), (*a, *a));
            let json = serde_json::to_string(&name).unwrap();
            assert_eq!(json, format!("{a:?}"));
            assert_eq!(serde_json::from_str::<SignalName>(&json).unwrap(), name);
            for b in &texts {
                assert_eq!(name.cmp(&SignalName::new(b)), a.cmp(b), "{a} {b}");
                assert_eq!(name == SignalName::new(b), a == b);
            }
        }
        assert_eq!(SignalName::new("cpu"), SignalName::CPU);
        assert_eq!(format!("{:?}", SignalName::CPU), "SignalName(\"cpu\")");
    }
}
