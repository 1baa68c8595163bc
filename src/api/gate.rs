//! `OmegaGate` (`og`): what "good" means for a workload. Here is what a user writes; `league` holds
//! the way of a challenger, `status` what the operator answers.

pub mod league;
pub mod status;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use league::{Contestant, League, RouteRef};
pub use status::{AdmittedStatus, GateStatus, LeagueStatus, LearnedStatus, OmegaGateStatus};

use super::rules::{CONFIG_NAME, rules};
use super::scaling::IMMUTABLE_TARGET;
use super::shared::{SignalSpec, TargetRef};

/// Desired gate of one workload.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "matverse.io",
    version = "v1alpha1",
    kind = "OmegaGate",
    plural = "omegagates",
    shortname = "og",
    namespaced,
    category = "matverse",
    status = "OmegaGateStatus",
    derive = "PartialEq",
    doc = "What \"good\" means for one Deployment: evidence, thresholds, and what a failed gate asks for.",
    printcolumn = r#"{"name":"Target","type":"string","jsonPath":".spec.targetRef.name"}"#,
    printcolumn = r#"{"name":"Decision","type":"string","jsonPath":".status.decision"}"#,
    printcolumn = r#"{"name":"Omega","type":"number","jsonPath":".status.omega"}"#,
    printcolumn = r#"{"name":"Psi","type":"number","jsonPath":".status.psi"}"#,
    printcolumn = r#"{"name":"CVaR","type":"number","jsonPath":".status.cvar"}"#,
    printcolumn = r#"{"name":"Samples","type":"integer","jsonPath":".status.samples"}"#,
    printcolumn = r#"{"name":"Stage","type":"string","jsonPath":".status.league.stage"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    (
        "!self.antifragile.learn || self.thresholds.omegaMin <= self.antifragile.omegaCeil",
        "omegaCeil must not be below omegaMin, or learning would loosen the gate",
    ),
    (
        "!has(self.league) || self.league.champion.deployment == self.targetRef.name",
        "the champion must be the Deployment that targetRef names",
    ),
    (
        "!has(self.sigmaGuard) || self.sigmaGuard.minSamples <= self.evidence.windowSize",
        "sigmaGuard.minSamples must not exceed evidence.windowSize",
    ),
])))]
pub struct OmegaGateSpec {
    /// The workload; cannot be changed.
    #[schemars(extend("x-kubernetes-validations" = rules(&[("self == oldSelf", IMMUTABLE_TARGET)])))]
    pub target_ref: TargetRef,
    /// Where the evidence comes from.
    #[serde(default)]
    pub evidence: Evidence,
    /// How Ω is computed.
    #[serde(default)]
    pub omega: Omega,
    /// The thresholds of the four basic gates.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// Bounds of the ethics gates; each counts only where its signal is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigma_guard: Option<SigmaGuard>,
    /// Bounds of the growth gates; each counts only where its signals are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<Growth>,
    /// Length of one evaluation, in seconds.
    #[serde(default = "fifteen")]
    #[schemars(range(min = 1, max = 600))]
    pub interval_seconds: u32,
    /// Champion against challenger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub league: Option<League>,
    /// Soft steering towards calm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steer: Option<Steer>,
    /// Learning that only hardens admission.
    #[serde(default)]
    pub antifragile: Antifragile,
    /// What a failed gate asks for.
    #[serde(default)]
    pub on_fail: OnFail,
    /// Rest between acts of the gate, in seconds.
    #[serde(default = "five_minutes")]
    #[schemars(range(min = 0, max = 86400))]
    pub cooldown_seconds: u32,
    /// Stops the evaluation's consequences.
    #[serde(default)]
    pub paused: bool,
}

/// Where the evidence of a gate comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    ("self.minSamples <= self.windowSize", "minSamples must not exceed windowSize"),
])))]
pub struct Evidence {
    /// Source of the operator's configuration.
    #[schemars(length(min = 1, max = 63), pattern(CONFIG_NAME))]
    pub source: String,
    /// Signal profile of the operator's configuration.
    #[schemars(length(min = 1, max = 63), pattern(CONFIG_NAME))]
    pub profile: String,
    /// Signals that override the profile's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub signals: Vec<SignalSpec>,
    /// Samples in the window.
    #[schemars(range(min = 1, max = 10000))]
    pub window_size: u32,
    /// Samples below which nothing is decided.
    #[schemars(range(min = 1, max = 10000))]
    pub min_samples: u32,
    /// Oldest age of a sample, in seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub max_age_seconds: u32,
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            source: "default".into(),
            profile: "omega".into(),
            signals: Vec::new(),
            window_size: 200,
            min_samples: 20,
            max_age_seconds: 120,
        }
    }
}

/// How Ω is computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Omega {
    /// Which of the two forms.
    pub formula: OmegaFormula,
    /// Weight of Ψ in the exporter form, at most 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub psi_weight: f64,
    /// Penalty of CVaR in the exporter form.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub cvar_penalty: f64,
    /// Level of the tail.
    #[schemars(range(min = 0.5, max = 0.999))]
    pub cvar_alpha: f64,
    /// Weights of the canon form; their sum is 1.
    pub weights: OmegaWeights,
}

impl Default for Omega {
    fn default() -> Self {
        Self {
            formula: OmegaFormula::Exporter,
            psi_weight: 1.0,
            cvar_penalty: 0.4,
            cvar_alpha: 0.95,
            weights: OmegaWeights::default(),
        }
    }
}

/// The two forms of Ω.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OmegaFormula {
    /// `clip(w·Ψ − λ·CVaR, 0, 1)`.
    #[default]
    Exporter,
    /// `w_ψ·Ψ + w_θ·Θ̂ + w_c·(1 − CVaR) + w_p·PoLE`.
    Canon,
}

/// Weights of the canon form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    (
        // .4 + .3 + .2 + .1 is not 1 in binary.
        "self.psi + self.theta + self.cvar + self.pole - 1.0 <= 0.000001 && \
         self.psi + self.theta + self.cvar + self.pole - 1.0 >= -0.000001",
        "the weights psi, theta, cvar and pole must sum to 1",
    ),
])))]
pub struct OmegaWeights {
    /// Of Ψ.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub psi: f64,
    /// Of Θ̂.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub theta: f64,
    /// Of 1 − CVaR.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub cvar: f64,
    /// Of PoLE.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub pole: f64,
}

impl Default for OmegaWeights {
    fn default() -> Self {
        Self { psi: 0.4, theta: 0.3, cvar: 0.2, pole: 0.1 }
    }
}

/// Thresholds of the basic gates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Thresholds {
    /// Smallest Ω.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub omega_min: f64,
    /// Smallest Ψ.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub psi_min: f64,
    /// Largest CVaR.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub cvar_max: f64,
    /// Smallest Θ̂.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub theta_min: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { omega_min: 0.85, psi_min: 0.85, cvar_max: 0.10, theta_min: 0.70 }
    }
}

/// Bounds of the ethics gates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SigmaGuard {
    /// Largest expected calibration error.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ece_max: f64,
    /// Largest bias ratio.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub rho_bias_max: f64,
    /// Smallest fairness.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub fairness_min: f64,
    /// Largest contractivity; it must be below 1 whatever stands here.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub rho_max: f64,
    /// Whether consent must be 1.
    pub require_consent: bool,
    /// Largest footprint in kg.
    #[schemars(range(min = 0.0, max = 1e9))]
    pub eco_max_kg: f64,
    /// Samples below which nothing is decided, at most `evidence.windowSize`; 0 = the evidence's own.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub min_samples: u32,
}

impl Default for SigmaGuard {
    fn default() -> Self {
        Self {
            ece_max: 0.01,
            rho_bias_max: 1.05,
            fairness_min: 0.80,
            rho_max: 1.0,
            require_consent: true,
            eco_max_kg: 1.0,
            min_samples: 0,
        }
    }
}

/// Bounds of the growth gates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Growth {
    /// Smallest gain of L∞.
    #[schemars(range(min = -1.0, max = 1.0))]
    pub delta_linf_min: f64,
    /// Smallest SR.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sr_min: f64,
    /// Smallest G.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub g_min: f64,
    /// Smallest OCI.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub oci_min: f64,
    /// Smallest CAOS⁺ φ.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub caos_phi_min: f64,
    /// Smallest Agápe; without it that gate is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub agape_min: Option<f64>,
}

impl Default for Growth {
    fn default() -> Self {
        Self {
            delta_linf_min: 0.02,
            sr_min: 0.80,
            g_min: 0.85,
            oci_min: 0.80,
            caos_phi_min: 0.0,
            agape_min: None,
        }
    }
}

/// Soft steering.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Steer {
    /// Stable share of effort to keep.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub phi_target: f64,
    /// Half-width of its band.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub band: f64,
    /// Largest slope a minute.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_slew_per_minute: f64,
}

impl Default for Steer {
    fn default() -> Self {
        Self { phi_target: 0.75, band: 0.02, max_slew_per_minute: 0.04 }
    }
}

/// Learning that only hardens admission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Antifragile {
    /// Whether it learns.
    pub learn: bool,
    /// Largest learned Ω threshold.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub omega_ceil: f64,
    /// Step of the Ω threshold.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub step: f64,
    /// Half-life of what was learned, in seconds.
    #[schemars(range(min = 60, max = 31_536_000))]
    pub half_life_seconds: u32,
}

impl Default for Antifragile {
    fn default() -> Self {
        Self { learn: false, omega_ceil: 0.99, step: 0.02, half_life_seconds: 86_400 }
    }
}

/// What a failed gate asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnFail {
    /// Blocks what refers to it.
    #[default]
    Block,
    /// Treats a hard failure as a quarantine.
    Quarantine,
    /// Blocks, and asks what refers to it for a rollback.
    Rollback,
}

fn fifteen() -> u32 {
    15
}
fn five_minutes() -> u32 {
    300
}
