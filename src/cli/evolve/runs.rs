//! Records of what was tried: JSON lines, appended and never changed.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::league::Ended;
use crate::decide::evolve::Candidate;

/// What came of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The operator promoted it.
    Promote,
    /// It had reached its canary when the budget was used up.
    Canary,
    /// Anything else.
    Fail,
}

impl Verdict {
    /// The name as records spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Canary => "canary",
            Self::Fail => "fail",
        }
    }
}

/// One gate, as the status had it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateRow {
    /// Its name.
    pub name: String,
    /// `Yes`, `No`, `Unknown` or `Off`.
    pub pass: String,
    /// Its value, where it had one.
    pub value: Option<f64>,
}

/// The four scores, each where the gate named its signal and it was fresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Utility.
    pub u: Option<f64>,
    /// Stability.
    pub s: Option<f64>,
    /// Cost.
    pub c: Option<f64>,
    /// Learning.
    pub l: Option<f64>,
}

/// One candidate's run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Id of the league's run where one began, else made of time and digest.
    pub id: String,
    /// When it ended.
    pub time: Timestamp,
    /// `NAMESPACE/NAME` of the OmegaGate.
    pub gate: String,
    /// Seed of the sequence.
    pub seed: u64,
    /// Canonical digest of the parameters.
    pub candidate: String,
    /// The parameters.
    pub parameters: BTreeMap<String, String>,
    /// Identity of the template that the league tried.
    pub template: Option<String>,
    /// U, S, C and L.
    pub scores: Scores,
    /// L∞ of the challenger.
    pub linf: Option<f64>,
    /// Its gain over the champion's.
    pub delta_linf: Option<f64>,
    /// Every gate.
    pub gates: Vec<GateRow>,
    /// SR.
    pub sr: Option<f64>,
    /// φ of CAOS⁺.
    pub caos_phi: Option<f64>,
    /// What came of it.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// Leaf of the promotion in the ledger, base64.
    pub attestation_leaf: Option<String>,
}

impl Run {
    pub(super) fn new(gate: &str, seed: u64, candidate: &Candidate, ended: &Ended, time: Timestamp) -> Self {
        // Without a league of its own, the status speaks of another candidate.
        let nothing = Value::Null;
        let status = if ended.stage.is_empty() { &nothing } else { &ended.status };
        let league = |field: &str| status["league"][field].as_str().map(str::to_owned);
        let rows = status["gates"].as_array().map(Vec::as_slice).unwrap_or_default();
        let gates: Vec<GateRow> =
            rows.iter().filter_map(|g| serde_json::from_value(g.clone()).ok()).collect();
        let gate_value = |name: &str| gates.iter().find(|row| row.name == name).and_then(|row| row.value);
        let signals = status["signals"].as_array().map(Vec::as_slice).unwrap_or_default();
        let signal =
            |name: &str| signals.iter().find(|s| s["name"] == name).and_then(|s| s["value"].as_f64());
        let template = league("challengerTemplate");
        let admitted = status["admitted"].as_array().map(Vec::as_slice).unwrap_or_default();
        let linf = admitted.iter().find(|a| a["template"].as_str() == template.as_deref());
        Self {
            id: league("run").unwrap_or_else(|| {
                format!("{}-{}", time.as_second(), candidate.digest.chars().take(12).collect::<String>())
            }),
            time,
            gate: gate.to_owned(),
            seed,
            candidate: candidate.digest.clone(),
            parameters: candidate.parameters.clone(),
            scores: Scores {
                u: signal("score.u"),
                s: signal("score.s"),
                c: signal("score.c"),
                l: signal("score.l"),
            },
            linf: linf.filter(|_| template.is_some()).and_then(|a| a["linf"].as_f64()),
            delta_linf: gate_value("deltaLinf"),
            sr: gate_value("sr"),
            caos_phi: gate_value("caosPhi"),
            verdict: match ended.stage.as_str() {
                "Promoted" => Verdict::Promote,
                "Canary" => Verdict::Canary,
                _ => Verdict::Fail,
            },
            reason: ended.reason.clone(),
            attestation_leaf: ended.leaf.clone(),
            template,
            gates,
        }
    }
}

/// Appends a record, and waits until it is on the disk.
///
/// # Errors
/// The file cannot be written.
pub fn append(file: &Path, run: &Run) -> Result<()> {
    let line = serde_json::to_string(run)? + "\n";
    let write = || {
        let mut open = std::fs::OpenOptions::new().append(true).create(true).open(file)?;
        open.write_all(line.as_bytes())?;
        open.sync_all()
    };
    write().with_context(|| file.display().to_string())
}

/// The newest record with this id.
///
/// # Errors
/// The file cannot be read, or has no such record.
pub fn find(file: &Path, id: &str) -> Result<Run> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).context(name.clone())?;
    let mut runs = text.lines().filter_map(|line| serde_json::from_str::<Run>(line).ok());
    runs.rfind(|run| run.id == id).with_context(|| format!("{name} has no run {id}"))
}
