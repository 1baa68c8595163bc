//! What the gate that a resource refers to says to a decision.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The gate's limit on a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GateView {
    /// No gate is referred to.
    #[default]
    None,
    /// All gates hold.
    Admit,
    /// Hard rules hold, Ω is low: no ScaleDown, no Retune.
    Quarantine,
    /// A hard rule is violated: only Rollback and ScaleUp.
    Block,
    /// Insufficient evidence, or the gate does not exist: as if readings were missing for Retune and ScaleDown.
    Unknown,
}

/// What a gate with `onFail: Rollback` holds against the revision that it blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateFault {
    /// The Deployment that it judged.
    pub target: String,
    /// `pod-template-hash` of the revision that it judged.
    pub revision: String,
    /// The hard gates that fail.
    pub gates: Vec<String>,
    /// The same with the numbers.
    pub text: String,
    /// Evaluations in a row in which one failed.
    pub turns: u32,
    /// Samples of evidence since the rollout.
    pub samples: u32,
    /// First evidence of the trouble.
    pub onset: Timestamp,
    /// The last time before it that spoke for the revision, or the rollout's start: the trouble began after this.
    pub after: Timestamp,
    /// Template identity of what was admitted before and still held when this revision took over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stood: Option<String>,
}
