//! What a reading is: typed evidence, or a typed reason why there is none.
//!
//! This file is pure and is the only part of `observe` that `orient` and `decide` import.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Name of a signal. The documented names are constants; any other is filtered and used by no rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignalName(Cow<'static, str>);

impl SignalName {
    /// Ω, 0…1.
    pub const OMEGA: Self = Self(Cow::Borrowed("omega"));
    /// Ψ, 0…1.
    pub const PSI: Self = Self(Cow::Borrowed("psi"));
    /// Tail risk, 0…1.
    pub const CVAR: Self = Self(Cow::Borrowed("cvar"));
    /// Share of the cpu request, 0…10.
    pub const CPU: Self = Self(Cow::Borrowed("cpu"));
    /// p95 in milliseconds.
    pub const LATENCY: Self = Self(Cow::Borrowed("latency"));
    /// Requests a second of the whole workload.
    pub const THROUGHPUT: Self = Self(Cow::Borrowed("throughput"));
    /// Share of failed requests.
    pub const ERRORS: Self = Self(Cow::Borrowed("errors"));
    /// Share of requests slower than a bar that its query sets.
    pub const SLOW: Self = Self(Cow::Borrowed("slow"));
    /// Antifragility, 0…2.
    pub const BETA: Self = Self(Cow::Borrowed("beta"));

    /// A name as a resource or profile spells it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(Cow::Owned(name.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for SignalName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
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

    /// The value, where it may be believed.
    #[must_use]
    pub fn fresh(&self) -> Option<(f64, Timestamp)> {
        match *self {
            Self::Fresh { value, sampled_at } => Some((value, sampled_at)),
            _ => None,
        }
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
