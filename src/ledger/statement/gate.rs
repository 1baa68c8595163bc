//! A gate's entry: its new decision and the values behind it.

use serde::{Deserialize, Serialize};

use crate::decide::situation::ObjectRef;

/// A gate's new decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateChange {
    /// The gate; `target` is the Deployment it judges.
    pub object: ObjectRef,
    /// `Admit`, `Quarantine`, `Block` or `Unknown`.
    pub decision: String,
    /// Why, in one line.
    pub reason: String,
    /// Each value that was compared.
    pub values: Vec<GateValue>,
    /// What the entry attests beside: [`ETHICS_ATTEST`], [`GATE_FAIL`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attest: Vec<String>,
}

/// The gate judged by a rule of the Σ-Guard; its value stands among the values.
pub const ETHICS_ATTEST: &str = "ETHICS_ATTEST";
/// The gate does not admit.
pub const GATE_FAIL: &str = "GATE_FAIL";

/// One compared value of a gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateValue {
    /// Name of the gate.
    pub name: String,
    /// The value; `None` where it was not fresh.
    pub value: Option<f64>,
    /// The threshold.
    pub threshold: f64,
    /// Whether it passes.
    pub pass: bool,
}
