//! Learning that cannot loosen: a rollback makes admission harder for a while.
//!
//! ```text
//!  rollback, drop d ─► omegaMin + step (≤ omegaCeil) · cvarPenalty × 1.05 (≤ cap) ─► halves back to the base
//! ```
//!
//! What is learned counts in [`admit`] alone, where the stricter of two evaluations stands: with what was learned, and
//! without. So whatever a status says, the tuned gate admits a subset of what the untuned one admits. Row 1 reads the
//! spec itself, else each rollback would breed the next. The weight of Ψ is never learned, and never above 1.

use jiff::Timestamp;

use super::gate::{GateAnswer, GateDecision, GateSituation, evaluate};
use super::view::seconds;
use crate::api::gate::{LearnedStatus, OmegaGateSpec};

/// Factor of `cvarPenalty` a rollback.
pub const PENALTY_FACTOR: f64 = 1.05;
/// Largest `cvarPenalty` that is learned: a unit of tail loss then costs as much as a unit of Ψ. A spec that asks for more
/// keeps it.
pub const PENALTY_CAP: f64 = 1.0;

/// What rollbacks have taught, as of a time. Both values are at least the spec's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learned {
    /// Smallest Ω that admits.
    pub omega_min: f64,
    /// Penalty of `CVaR`.
    pub cvar_penalty: f64,
    /// When these were so.
    pub since: Timestamp,
}

impl Learned {
    /// Nothing learned: the spec's own values.
    #[must_use]
    pub fn base(spec: &OmegaGateSpec, now: Timestamp) -> Self {
        Self { omega_min: spec.thresholds.omega_min, cvar_penalty: spec.omega.cvar_penalty, since: now }
    }

    /// The hardest values that can be learned.
    #[must_use]
    pub fn hardest(spec: &OmegaGateSpec, now: Timestamp) -> Self {
        let base = Self::base(spec, now);
        Self {
            omega_min: spec.antifragile.omega_ceil.max(base.omega_min),
            cvar_penalty: PENALTY_CAP.max(base.cvar_penalty),
            since: now,
        }
    }

    /// What a status says was learned. Status can be edited by whoever may write it: what makes no sense there is the
    /// hardest value; what lies outside of what the spec allows now is brought inside.
    #[must_use]
    pub fn from_status(status: &LearnedStatus, spec: &OmegaGateSpec, now: Timestamp) -> Option<Self> {
        if status.omega_min.is_none() && status.cvar_penalty.is_none() {
            return None;
        }
        let (base, hardest) = (Self::base(spec, now), Self::hardest(spec, now));
        let Some(since) = status.since.as_deref().and_then(|text| text.parse::<Timestamp>().ok()) else {
            return Some(hardest);
        };
        // Written so that NaN makes no sense.
        let sane = |value: Option<f64>, most: f64, base: f64, hardest: f64| match value {
            None => base,
            Some(value) if value >= 0.0 && value <= most => between(value, base, hardest),
            Some(_) => hardest,
        };
        Some(Self {
            omega_min: sane(status.omega_min, 1.0, base.omega_min, hardest.omega_min),
            cvar_penalty: sane(status.cvar_penalty, f64::MAX, base.cvar_penalty, hardest.cvar_penalty),
            since: since.min(now),
        })
    }

    /// What is left of it at `now`: the distance to the spec's values halves every `halfLifeSeconds`.
    #[must_use]
    pub fn at(&self, spec: &OmegaGateSpec, now: Timestamp) -> Self {
        let (base, hardest) = (Self::base(spec, now), Self::hardest(spec, now));
        let lives = seconds(now, self.since).max(0.0) / f64::from(spec.antifragile.half_life_seconds);
        let left = libm::exp2(-lives);
        // A half-life of 0 has no quotient; then nothing decays.
        let left = if left.is_finite() { left } else { 1.0 };
        let decayed =
            |value: f64, base: f64, hardest: f64| between(base + (value - base) * left, base, hardest);
        Self {
            omega_min: decayed(self.omega_min, base.omega_min, hardest.omega_min),
            cvar_penalty: decayed(self.cvar_penalty, base.cvar_penalty, hardest.cvar_penalty),
            since: now,
        }
    }

    /// What one more rollback teaches, where Ω had fallen by `drop`. A fall that is known not to be one teaches nothing:
    /// the rollback had another reason. One that is not known, or no number, does: harder is the safe side.
    #[must_use]
    pub fn after_rollback(
        known: Option<&Self>,
        drop: Option<f64>,
        spec: &OmegaGateSpec,
        now: Timestamp,
    ) -> Self {
        let present = known.map_or_else(|| Self::base(spec, now), |known| known.at(spec, now));
        if drop.is_some_and(|drop| drop <= 0.0) {
            return present;
        }
        let hardest = Self::hardest(spec, now);
        Self {
            omega_min: between(
                present.omega_min + spec.antifragile.step,
                present.omega_min,
                hardest.omega_min,
            ),
            cvar_penalty: between(
                present.cvar_penalty * PENALTY_FACTOR,
                present.cvar_penalty,
                hardest.cvar_penalty,
            ),
            since: now,
        }
    }
}

/// `clamp` without its panic.
fn between(value: f64, least: f64, most: f64) -> f64 {
    value.max(least).min(most)
}

/// The gate's decision with what was learned; where that would admit what the untuned gate does not, the untuned one's.
#[must_use]
pub fn admit(situation: &GateSituation, learned: Option<&Learned>) -> GateDecision {
    let untuned = evaluate(situation);
    let Some(learned) = learned.filter(|_| situation.spec.antifragile.learn) else { return untuned };
    let present = learned.at(&situation.spec, situation.now);
    let mut harder = situation.clone();
    harder.spec.thresholds.omega_min = present.omega_min;
    harder.spec.omega.cvar_penalty = present.cvar_penalty;
    harder.spec.omega.psi_weight = situation.spec.omega.psi_weight.min(1.0);
    let tuned = evaluate(&harder);
    let looser = tuned.decision == GateAnswer::Admit && untuned.decision != GateAnswer::Admit;
    if looser { untuned } else { tuned }
}

/// One rollback and what it gained.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RollbackRecord {
    /// When it was rolled back.
    pub timestamp: Timestamp,
    /// Last Ω of the revision that was rolled back, where it was known.
    pub omega_old: Option<f64>,
    /// First Ω once the rollback had settled, where it was known.
    pub omega_new: Option<f64>,
    /// Their difference, where both are known.
    pub delta: Option<f64>,
    /// `max(0, omega_new − omega_old)`, measured; `None` where it could not be.
    pub antifragile_gain: Option<f64>,
}

impl RollbackRecord {
    /// Measures a rollback.
    #[must_use]
    pub fn new(timestamp: Timestamp, omega_old: Option<f64>, omega_new: Option<f64>) -> Self {
        let finite = |value: Option<f64>| value.filter(|v| v.is_finite());
        let (omega_old, omega_new) = (finite(omega_old), finite(omega_new));
        let delta = omega_old.zip(omega_new).map(|(old, new)| new - old);
        Self { timestamp, omega_old, omega_new, delta, antifragile_gain: delta.map(|d| d.max(0.0)) }
    }
}

#[cfg(test)]
#[path = "learning_tests.rs"]
mod tests;
