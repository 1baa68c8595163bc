//! The OmegaGate: is the evidence good enough to admit what it speaks of?
//!
//! ```text
//!  readings ─► Σ-Guard ─► growth ─► psi, cvar, theta (all hard) ─► omega (soft) ─► Admit | Quarantine | Block | Unknown
//! ```
//!
//! The gates of Σ-Guard and growth are there only where they are asked for: by their block of the spec, or by a
//! signal of theirs.
//!
//! Aggregation is non-compensatory: one hard failure blocks, whatever the rest; one unknown never admits.

mod bounds;
mod earlier;
mod evidence;
mod growth;
mod guard;
mod rows;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use earlier::{EarlierLinf, Failing, earlier_linf, fault, remember};
pub use growth::{champion_linf, linf_of};
pub use guard::is_guard;
pub use rows::Needs;

use self::bounds::Bounds;
use self::evidence::{Found, NOT_NAMED, Silent};
use self::rows::judge;
use super::situation::GateView;
use super::view::short;
use crate::api::gate::{GateStatus, OmegaFormula, OmegaGateSpec, OnFail};
use crate::observe::reading::{Readings, SignalName};
use crate::orient::omega;

/// Whether some gate is made of a signal of that name.
#[must_use]
pub fn uses(signal: &str) -> bool {
    ["omega", "psi", "cvar", "latency"].contains(&signal)
        || is_guard(signal)
        || growth::signals().any(|name| name == signal)
        || signal.starts_with("agape.")
}

/// Everything a gate's decision may depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateSituation {
    /// The time of the evaluation.
    pub now: Timestamp,
    /// What the owner asks for.
    pub spec: OmegaGateSpec,
    /// The evidence; a signal that is not in the map is not named and its gate is off.
    pub readings: Readings,
    /// Samples of evidence since the revision's rollout.
    pub samples: u32,
    /// When the revision under the gate began to roll out; `None` where the evidence belongs to no rollout.
    pub revision_started_at: Option<Timestamp>,
    /// Proof of ledger so far: 1 when the ledger verifies up to now, 0 when not, `None` when not checked.
    /// Only the canon form of Ω uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pole: Option<f64>,
    /// The L∞ that this one must grow beyond: the champion's, or that of what was admitted before.
    #[serde(default)]
    pub earlier_linf: EarlierLinf,
    /// Whether the gate is paused.
    pub paused: bool,
}

/// A gate's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GateAnswer {
    /// All gates hold.
    Admit,
    /// Hard rules hold and Ω is below its threshold (or `onFail: Quarantine` softened a hard failure).
    Quarantine,
    /// A hard rule is violated.
    Block,
    /// The evidence is insufficient; never an admission.
    Unknown,
}

impl GateAnswer {
    /// The name as status, metrics and the ledger spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admit => "Admit",
            Self::Quarantine => "Quarantine",
            Self::Block => "Block",
            Self::Unknown => "Unknown",
        }
    }

    /// The limit that this answer puts on a resource that refers to the gate.
    #[must_use]
    pub fn view(self) -> GateView {
        match self {
            Self::Admit => GateView::Admit,
            Self::Quarantine => GateView::Quarantine,
            Self::Block => GateView::Block,
            Self::Unknown => GateView::Unknown,
        }
    }
}

/// Whether one gate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pass {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// Its signal is named and cannot be believed, or there is too little of it.
    Unknown,
    /// Its signals are not named; it does not count.
    Off,
}

impl Pass {
    /// The name as status spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "Yes",
            Self::No => "No",
            Self::Unknown => "Unknown",
            Self::Off => "Off",
        }
    }
}

/// One gate and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateResult {
    /// `ece`, `rhoBias`, `fairness`, `consent`, `ecoKg`, `rho`, `sr`, `g`, `oci`, `deltaLinf`, `caosPhi`, `agape`,
    /// `score`, `psi`, `cvar`, `theta` or `omega`.
    pub name: String,
    /// The value, where it may be believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The bound it is held to.
    pub threshold: f64,
    /// Distance to the bound in the direction of better; negative fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// Whether it holds.
    pub pass: Pass,
    /// Why, with the numbers.
    pub reason: String,
}

impl GateResult {
    /// The row of `status.gates` for it.
    #[must_use]
    pub fn status(&self) -> GateStatus {
        GateStatus {
            name: self.name.clone(),
            value: self.value,
            threshold: (self.pass != Pass::Off).then_some(self.threshold),
            margin: self.margin,
            pass: self.pass.as_str().to_owned(),
            reason: self.reason.clone(),
        }
    }
}

/// What a gate decided, and from what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateDecision {
    /// The answer.
    pub decision: GateAnswer,
    /// Ω, where it may be believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omega: Option<f64>,
    /// Ψ, where it may be believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub psi: Option<f64>,
    /// `CVaR`, where it may be believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cvar: Option<f64>,
    /// Θ̂, where it may be believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theta: Option<f64>,
    /// L∞, where it may be believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linf: Option<f64>,
    /// Samples of evidence since the rollout.
    pub samples: u32,
    /// Each gate, in order.
    pub gates: Vec<GateResult>,
    /// One line for people.
    pub reasoning: String,
}

impl GateDecision {
    /// Whether a hard gate fails, whatever the answer makes of it.
    #[must_use]
    pub fn fails_hard(&self) -> bool {
        self.gates.iter().any(|gate| gate.pass == Pass::No && gate.name != "omega")
    }
}

/// Evaluates every gate that is asked for.
#[must_use]
pub fn evaluate(situation: &GateSituation) -> GateDecision {
    let bounds = Bounds::of(situation);
    let share = |name: &SignalName| situation.within(name, situation.spec.evidence.min_samples, (0.0, 1.0));
    let latency = situation.evidence(&SignalName::LATENCY);
    let (psi, cvar) = (share(&SignalName::PSI), share(&SignalName::CVAR));
    let theta =
        latency.clone().and_then(|ms| omega::theta(ms).ok_or(Silent::Unknown(format!("latency {ms} ms"))));
    let whole = situation.omega(&bounds, &psi, &cvar, &theta);

    let mut gates = guard::rows(situation, &bounds);
    let (grown, linf) = growth::rows(situation, &bounds, &guard::ethics(&gates));
    gates.extend(grown);
    gates.push(judge("psi", &psi, bounds.psi_min));
    gates.push(judge("cvar", &cvar, bounds.cvar_max));
    let mut row = judge("theta", &theta, bounds.theta_min);
    if let (Ok(ms), Pass::Yes | Pass::No) = (&latency, row.pass) {
        row.reason = format!("{} ms, limit {} ms", short(*ms), short(latency_limit(bounds.theta_min)));
    }
    gates.push(row);
    gates.push(judge("omega", &whole, bounds.omega_min));
    let (decision, reasoning) = aggregate(situation, &gates);
    GateDecision {
        decision,
        psi: psi.ok(),
        cvar: cvar.ok(),
        theta: theta.ok(),
        omega: whole.ok(),
        linf,
        samples: situation.samples,
        reasoning,
        gates,
    }
}

/// The latency at which Θ̂ = exp(−latency/1 s) meets its threshold, ms.
fn latency_limit(theta_min: f64) -> f64 {
    -1000.0 * libm::log(theta_min)
}

fn aggregate(situation: &GateSituation, gates: &[GateResult]) -> (GateAnswer, String) {
    let named = |pass: Pass| -> Vec<&str> {
        gates.iter().filter(|gate| gate.pass == pass).map(|gate| gate.name.as_str()).collect()
    };
    let samples = situation.samples;
    let since = if situation.revision_started_at.is_some() { " since the rollout" } else { "" };
    let line = |answer: GateAnswer, what: String| {
        (answer, format!("{}: {what} ({samples} samples{since})", answer.as_str()))
    };
    let (failed, unknown) = (named(Pass::No), named(Pass::Unknown));
    let hard: Vec<&str> = failed.iter().copied().filter(|name| *name != "omega").collect();
    if situation.paused {
        return line(GateAnswer::Unknown, "paused".into());
    }
    if !hard.is_empty() {
        let answer = match situation.spec.on_fail {
            OnFail::Quarantine => GateAnswer::Quarantine,
            OnFail::Block | OnFail::Rollback => GateAnswer::Block,
        };
        return line(answer, failed.join(", "));
    }
    if gates.iter().all(|gate| gate.pass == Pass::Off) {
        return line(GateAnswer::Unknown, "no signal is named".into());
    }
    if !unknown.is_empty() {
        return line(GateAnswer::Unknown, unknown.join(", "));
    }
    if failed.is_empty() {
        line(GateAnswer::Admit, "all gates hold".into())
    } else {
        line(GateAnswer::Quarantine, failed.join(", "))
    }
}

impl GateSituation {
    /// Ω: read where it is named, else computed where its parts are; the smaller where both disagree.
    fn omega(&self, bounds: &Bounds, psi: &Found<f64>, cvar: &Found<f64>, theta: &Found<f64>) -> Found<f64> {
        let computed = match self.spec.omega.formula {
            OmegaFormula::Exporter => self.exporter(bounds, psi, cvar),
            OmegaFormula::Canon => self.canon(bounds, psi, cvar, theta),
        };
        let read = match self.evidence(&SignalName::OMEGA) {
            Err(Silent::Off(_)) => return computed,
            other => other?,
        };
        let settled = omega::settle(Some(read), computed.ok());
        settled.map(|omega| omega.value).ok_or_else(|| Silent::Unknown("omega is no number".into()))
    }

    fn exporter(&self, bounds: &Bounds, psi: &Found<f64>, cvar: &Found<f64>) -> Found<f64> {
        if matches!(psi, Err(Silent::Off(_))) || matches!(cvar, Err(Silent::Off(_))) {
            return Err(NOT_NAMED);
        }
        let (psi, cvar) = (psi.clone()?, cvar.clone()?);
        omega::exporter(psi, cvar, self.spec.omega.psi_weight, bounds.cvar_penalty)
            .ok_or_else(|| Silent::Unknown("omega is no number".into()))
    }

    fn canon(&self, bounds: &Bounds, psi: &Found<f64>, cvar: &Found<f64>, theta: &Found<f64>) -> Found<f64> {
        if [psi, cvar, theta].iter().any(|part| matches!(part, Err(Silent::Off(_)))) {
            return Err(NOT_NAMED);
        }
        let (psi, cvar, theta) = (psi.clone()?, cvar.clone()?, theta.clone()?);
        let w = &self.spec.omega.weights;
        let weights = omega::CanonWeights { psi: w.psi, theta: w.theta, cvar: w.cvar, pole: w.pole };
        let with = |pole| {
            omega::canon(psi, theta, cvar, pole, &weights)
                .ok_or_else(|| Silent::Unknown("omega is no number".into()))
        };
        if let Some(pole) = self.pole.filter(|pole| pole.is_finite()) {
            return with(pole.clamp(0.0, 1.0));
        }
        // Unchecked is not a value. It does not matter where both extremes fall on the same side.
        let (least, most) = (with(0.0)?, with(1.0)?);
        let bound = bounds.omega_min;
        if least >= bound || most < bound {
            return Ok(least);
        }
        Err(Silent::Unknown(format!("the ledger was not checked: {} to {}", short(least), short(most))))
    }
}

#[cfg(test)]
mod fail_open_tests;
#[cfg(test)]
mod guard_growth_tests;
#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
