//! What the owner's spec means in numbers: floors, keep probabilities, bounds of the rules.
//!
//! Every constant of the rules is here, so that a change of policy is a change of this file and of
//! [`POLICY_VERSION`], which stands in every record.

use crate::api::scaling::{CapacityModel, MatVerseScalingSpec, Mode};
use crate::orient::settings::cpu_bound as cpu_bound_of;
use crate::orient::{Model, Settings};

/// Version of the rules and of the calibration table behind a decision.
pub const POLICY_VERSION: u32 = Version::NEWEST.number();

/// The versions that this build decides by: the newest, and those whose records it can still decide again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Confidence as the models state it.
    One,
    /// Confidence corrected by the tables of [`calibration`](super::calibration).
    Two,
    /// The same with tables for arrivals that are forecast by their [rhythm](crate::orient::rhythm).
    Three,
    /// The same with [regrets](super::regret), and gains of a ScaleUp told from noise by filtered levels.
    Four,
    /// The same with every ScaleUp counted that has shown no gain, also where no load is read.
    Five,
    /// The same; what was measured of a reverted revision asks for no replicas, and where a trouble can be seen no longer
    /// the verdict on two ScaleUps is waited for all the same.
    Six,
}

impl Version {
    /// What decides now.
    pub const NEWEST: Self = Self::Six;

    /// The number that stands in a record.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
            Self::Four => 4,
            Self::Five => 5,
            Self::Six => 6,
        }
    }

    /// Whether what came with version 4 holds.
    pub(super) const fn since_four(self) -> bool {
        self.number() >= Self::Four.number()
    }

    /// Whether what came with version 5 holds.
    pub(super) const fn since_five(self) -> bool {
        self.number() >= Self::Five.number()
    }

    /// Whether what came with version 6 holds.
    pub(super) const fn since_six(self) -> bool {
        self.number() >= Self::Six.number()
    }

    /// The version of a record; `None` for one that this build does not know.
    #[must_use]
    pub fn of(number: u32) -> Option<Self> {
        [Self::One, Self::Two, Self::Three, Self::Four, Self::Five, Self::Six]
            .into_iter()
            .find(|version| version.number() == number)
    }
}

/// Turns for which a reactive bound must be passed.
pub const REACTIVE_TURNS: u32 = 2;
/// Latency above this multiple of its target is urgent.
pub const LATENCY_URGENT: f64 = 2.0;
/// Window, in seconds, that the rates and percentiles of a sample are usually taken over.
pub const RATE_WINDOW: f64 = 30.0;
/// Share by which a load may differ and still be the same one.
pub const SAME_LOAD: f64 = 0.1;
/// Standard deviations by which a measurement must have moved to be no noise.
pub const NO_NOISE: f64 = 3.0;
/// Acts of scaling up without gain after which more of the same waits.
pub const FRUITLESS_LIMIT: u32 = 2;
/// Restarts of a pod that make a rollout a failing one.
pub const CRASHES: i32 = 3;
/// Trend of β, per minute, below which a parameter may be tuned.
pub const BETA_TREND: f64 = -0.1;
/// Two-sided 95 % of the normal distribution, for the interval of that trend.
pub const INTERVAL_Z: f64 = 1.959_963_984_540_054;
/// Resources are idle below this share of the cpu target.
pub const IDLE_SHARE: f64 = 0.5;
/// Times an act of ours must be taken back within a day before we stop.
pub const CONTESTED_AFTER: usize = 2;
/// An act taken back later than this, in seconds, was not contested.
pub const REVERT_WINDOW: f64 = 3600.0;
/// One day, in seconds.
pub const DAY: f64 = 86_400.0;
/// Settling time, in seconds, of a trial whose parameters are no longer configured.
pub const SETTLE: f64 = 120.0;
/// A trial that cannot be judged is restored after this many settling times.
pub const TRIAL_DEADLINE: f64 = 3.0;

/// Confidence below which an action becomes a Noop.
#[must_use]
pub fn floor(mode: Mode) -> f64 {
    match mode {
        Mode::Conservative => 0.85,
        Mode::Balanced => 0.70,
        Mode::Aggressive => 0.50,
    }
}

/// P(target kept through the horizon) asked for: the spec's, else the mode's.
#[must_use]
pub fn keep_probability(spec: &MatVerseScalingSpec) -> f64 {
    spec.predictor.keep_probability.filter(|keep| keep.is_finite()).unwrap_or(match spec.mode {
        Mode::Conservative => 0.99,
        Mode::Balanced => 0.95,
        Mode::Aggressive => 0.80,
    })
}

/// Ω below which nothing is scaled down: at least .85, in conservative mode more than .90.
#[must_use]
pub fn omega_allows_less(mode: Mode, omega: f64) -> bool {
    match mode {
        Mode::Conservative => omega > 0.90,
        Mode::Balanced | Mode::Aggressive => omega >= 0.85,
    }
}

/// Utilisation of the cpu request above which more replicas are needed, forecast or not.
#[must_use]
pub fn cpu_bound(spec: &MatVerseScalingSpec) -> f64 {
    cpu_bound_of(spec.targets.cpu_target)
}

/// The settings of the estimators that a spec asks for.
#[must_use]
pub fn settings(spec: &MatVerseScalingSpec) -> Settings {
    Settings {
        interval_seconds: f64::from(spec.interval_seconds),
        horizon_seconds: f64::from(spec.predictor.horizon_seconds),
        cpu_target: spec.targets.cpu_target,
        latency_target_ms: spec.targets.latency_target,
        keep_probability: keep_probability(spec),
        q_min: spec.predictor.q_min,
        q_max: spec.predictor.q_max,
        model: match spec.predictor.capacity_model {
            CapacityModel::Auto => Model::Auto,
            CapacityModel::Utilisation => Model::Utilisation,
            CapacityModel::Queue => Model::Queue,
            CapacityModel::Rules => Model::Rules,
        },
        persistence: spec.persistence,
        omega_below: spec.rollback.omega_below,
        errors_above: spec.rollback.errors_above,
        attribution_seconds: f64::from(spec.rollback.attribution_seconds),
        equivalence_margin: spec.rollback.equivalence_margin,
        alpha: spec.rollback.alpha,
        ..Settings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::testing;

    #[test]
    fn the_mode_names_floor_and_keep_probability() {
        let mut spec = testing::spec();
        for (mode, low, keep) in
            [(Mode::Conservative, 0.85, 0.99), (Mode::Balanced, 0.70, 0.95), (Mode::Aggressive, 0.50, 0.80)]
        {
            spec.mode = mode;
            assert_eq!((floor(mode), keep_probability(&spec)), (low, keep));
            assert_eq!(settings(&spec).keep_probability, keep);
        }
        spec.predictor.keep_probability = Some(0.6);
        assert_eq!(keep_probability(&spec), 0.6);
    }

    #[test]
    fn omega_that_allows_a_scale_down_is_stricter_in_conservative_mode() {
        assert!(omega_allows_less(Mode::Balanced, 0.85));
        assert!(!omega_allows_less(Mode::Balanced, 0.849));
        assert!(!omega_allows_less(Mode::Conservative, 0.90));
        assert!(omega_allows_less(Mode::Conservative, 0.901));
        assert!(!omega_allows_less(Mode::Aggressive, f64::NAN));
    }

    #[test]
    fn the_reactive_bound_follows_the_cpu_target() {
        let mut spec = testing::spec();
        assert_eq!(cpu_bound(&spec), 0.80);
        spec.targets.cpu_target = 0.9;
        assert_eq!(cpu_bound(&spec), 1.0);
    }

    #[test]
    fn every_setting_comes_from_the_spec() {
        let mut spec = testing::spec();
        spec.interval_seconds = 7;
        spec.predictor.horizon_seconds = 33;
        spec.predictor.q_min = 0.002;
        spec.predictor.q_max = 0.2;
        spec.targets.cpu_target = 0.6;
        spec.targets.latency_target = Some(250.0);
        spec.persistence = 5;
        spec.rollback.omega_below = 0.6;
        spec.rollback.errors_above = 0.1;
        spec.rollback.attribution_seconds = 900;
        spec.rollback.equivalence_margin = 0.2;
        spec.rollback.alpha = 0.01;
        for (asked, model) in [
            (CapacityModel::Auto, Model::Auto),
            (CapacityModel::Utilisation, Model::Utilisation),
            (CapacityModel::Queue, Model::Queue),
            (CapacityModel::Rules, Model::Rules),
        ] {
            spec.predictor.capacity_model = asked;
            let want = Settings {
                interval_seconds: 7.0,
                horizon_seconds: 33.0,
                cpu_target: 0.6,
                latency_target_ms: Some(250.0),
                keep_probability: 0.95,
                q_min: 0.002,
                q_max: 0.2,
                model,
                persistence: 5,
                omega_below: 0.6,
                errors_above: 0.1,
                attribution_seconds: 900.0,
                equivalence_margin: 0.2,
                alpha: 0.01,
                psi_weight: 1.0,
                cvar_penalty: 0.4,
            };
            assert_eq!(settings(&spec), want);
        }
    }
}
