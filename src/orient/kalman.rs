//! The Kalman filter of one signal: a level and a slope, samples at irregular times.
//!
//! ```text
//!  x = [level, slope]   F = [[1,Δt],[0,1]]   H = [1,0]
//!  Q = σ²·[[Δt³/3, Δt²/2],[Δt²/2, Δt]]       (integrated white noise; one number, σ²)
//! ```
//!
//! A pure step: no time, no adaptation. [`super::adapt`] learns the noises around it.
//! Source: Durbin & Koopman, *Time Series Analysis by State Space Methods*, ch. 2–4.

use nalgebra::{Matrix2, Vector2};

/// How the level moves between samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Motion {
    /// Level and slope, the slope a random walk.
    #[default]
    Trend,
    /// A random walk of the level; the slope's variance is 0.
    Level,
}

/// A product takes a fifth of a division's time, and this is needed several times a sample.
const THIRD: f64 = 1.0 / 3.0;

impl Motion {
    /// Process covariance for unit σ² over `dt` seconds.
    #[must_use]
    pub fn covariance(self, dt: f64) -> Matrix2<f64> {
        match self {
            Self::Trend => {
                let (level, both) = (dt * dt * dt * THIRD, dt * dt * 0.5);
                Matrix2::new(level, both, both, dt)
            }
            Self::Level => Matrix2::new(dt, 0.0, 0.0, 0.0),
        }
    }
}

/// F·x over `dt` seconds.
fn moved(x: Vector2<f64>, dt: f64) -> Vector2<f64> {
    Vector2::new(x[0] + dt * x[1], x[1])
}

/// F·P·Fᵀ over `dt` seconds, without the products by the ones and zeros of F.
fn spread(p: &Matrix2<f64>, dt: f64) -> Matrix2<f64> {
    let (a, b) = (p[(0, 0)] + dt * p[(1, 0)], p[(0, 1)] + dt * p[(1, 1)]);
    Matrix2::new(a + b * dt, b, p[(1, 0)] + p[(1, 1)] * dt, p[(1, 1)])
}

/// Mean and covariance of level and slope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    /// Level (signal's unit) and slope (unit/s).
    pub x: Vector2<f64>,
    /// Their covariance; symmetric, positive definite (semidefinite for [`Motion::Level`]).
    pub p: Matrix2<f64>,
}

/// What one sample told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Innovation {
    /// Sample minus prediction.
    pub residual: f64,
    /// Its variance S.
    pub variance: f64,
    /// √S.
    pub sd: f64,
    /// 1/S.
    pub precision: f64,
    /// The gain on level and slope.
    pub gain: Vector2<f64>,
}

impl Innovation {
    /// Normalised innovation squared, y²/S; 1 on average where the filter is consistent.
    #[must_use]
    pub fn nis(&self) -> f64 {
        self.residual * self.residual * self.precision
    }

    /// 1/√S.
    #[must_use]
    pub fn per_sd(&self) -> f64 {
        self.precision * self.sd
    }

    /// Contribution to the Gaussian log-likelihood.
    #[must_use]
    pub fn log_likelihood(&self) -> f64 {
        -0.5 * (libm::log(2.0 * std::f64::consts::PI * self.variance) + self.nis())
    }
}

impl State {
    /// A state known to within the given variances.
    #[must_use]
    pub fn new(level: f64, level_var: f64, slope_var: f64) -> Self {
        Self { x: Vector2::new(level, 0.0), p: Matrix2::new(level_var, 0.0, 0.0, slope_var) }
    }

    /// The state `dt` seconds later, process noise σ² = `process`. A missing sample is this and nothing more.
    #[must_use]
    #[inline]
    pub fn predict(&self, dt: f64, motion: Motion, process: f64) -> Self {
        let p = spread(&self.p, dt) + motion.covariance(dt) * process;
        Self { x: moved(self.x, dt), p: symmetric(p) }
    }

    /// What a sample would tell this (predicted) state, at measurement noise `r`.
    #[must_use]
    #[inline]
    pub fn innovation(&self, sample: f64, r: f64) -> Innovation {
        let variance = self.p[(0, 0)] + r;
        let precision = 1.0 / variance;
        let gain = Vector2::new(self.p[(0, 0)], self.p[(0, 1)]) * precision;
        Innovation { residual: sample - self.x[0], variance, sd: variance.sqrt(), precision, gain }
    }

    /// The state after the sample, in Joseph form `(I−KH)P(I−KH)ᵀ + KRKᵀ`. `residual` may be the clipped one.
    #[must_use]
    #[inline]
    pub fn update(&self, innovation: &Innovation, residual: f64, r: f64) -> Self {
        let k = innovation.gain;
        // (I − KH)·P·(I − KH)ᵀ + K·R·Kᵀ; 1 − K₀ = R/S, which keeps its digits where K₀ rounds to 1.
        let (keep, p) = (r * innovation.precision, &self.p);
        let level = [keep * p[(0, 0)], keep * p[(0, 1)]];
        let slope = [p[(1, 0)] - k[1] * p[(0, 0)], p[(1, 1)] - k[1] * p[(0, 1)]];
        let kept = |row: [f64; 2]| (row[0] * keep, row[1] - row[0] * k[1]);
        let ((p00, p01), (p10, p11)) = (kept(level), kept(slope));
        let p = Matrix2::new(p00, p01, p10, p11) + k * k.transpose() * r;
        Self { x: self.x + k * residual, p: symmetric(p) }
    }
}

/// Symmetrised, and with the correlation held below 1, which rounding can reach when P₀/R spans 24 decades.
fn symmetric(p: Matrix2<f64>) -> Matrix2<f64> {
    const TINY: f64 = 1e-300;
    let level = p[(0, 0)].max(TINY);
    let slope = p[(1, 1)].max(0.0);
    let mut cross = 0.5 * (p[(0, 1)] + p[(1, 0)]);
    // Compared as squares, because the root is seldom needed: no variance is beyond 1e150, and a product that
    // underflows leaves nothing to correlate with.
    if cross * cross >= level * slope * (1.0 - 2e-12) {
        let bound = (level * slope).sqrt() * (1.0 - 1e-12);
        cross = cross.clamp(-bound, bound);
    }
    Matrix2::new(level, cross, cross, slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Annual flow of the Nile at Aswan, 1871–1970, 10⁸ m³ (Cobb 1978).
    const NILE: [f64; 100] = [
        1120., 1160., 963., 1210., 1160., 1160., 813., 1230., 1370., 1140., 995., 935., 1110., 994., 1020.,
        960., 1180., 799., 958., 1140., 1100., 1210., 1150., 1250., 1260., 1220., 1030., 1100., 774., 840.,
        874., 694., 940., 833., 701., 916., 692., 1020., 1050., 969., 831., 726., 456., 824., 702., 1120.,
        1100., 832., 764., 821., 768., 845., 864., 862., 698., 845., 744., 796., 1040., 759., 781., 865.,
        845., 944., 984., 897., 822., 1010., 771., 676., 649., 846., 812., 742., 801., 1040., 860., 874.,
        848., 890., 744., 749., 838., 1050., 918., 986., 797., 923., 975., 815., 1020., 906., 901., 1170.,
        912., 746., 919., 718., 714., 740.,
    ];

    #[test]
    fn the_nile() {
        let (q, r) = (1469.1, 15099.0);
        let mut predicted = State::new(0.0, 1e6, 0.0);
        let mut log_likelihood = 0.0;
        let mut filtered = predicted;
        for (year, flow) in NILE.into_iter().enumerate() {
            let y = predicted.innovation(flow, r);
            filtered = predicted.update(&y, y.residual, r);
            if year > 0 {
                log_likelihood += y.log_likelihood();
            }
            predicted = filtered.predict(1.0, Motion::Level, q);
        }
        assert!((filtered.x[0] - 798.370_292_6).abs() < 8e-7, "level {}", filtered.x[0]);
        assert!((filtered.p[(0, 0)] - 4_032.157_94).abs() < 5e-6, "P {}", filtered.p[(0, 0)]);
        assert!((log_likelihood + 632.537_695_047_6).abs() < 6e-7, "log-likelihood {log_likelihood}");
        assert!(filtered.x[1].abs() < 1e-12, "a level has no slope");
    }

    fn steady_gain(q: f64, r: f64) -> (f64, State) {
        let mut state = State::new(0.0, 1.0, 0.0);
        let mut gain = 0.0;
        for _ in 0..2000 {
            let predicted = state.predict(1.0, Motion::Level, q);
            let y = predicted.innovation(0.0, r);
            gain = y.gain[0];
            state = predicted.update(&y, y.residual, r);
        }
        (gain, state)
    }

    #[test]
    fn steady_gains_and_the_step_response_they_promise() {
        for (q, expected) in [(0.001, 0.0951), (0.01, 0.2702), (0.1, 0.6180)] {
            let (gain, mut state) = steady_gain(q, 0.1);
            assert!((gain - expected).abs() < 5e-5, "q={q}: {gain}");
            // a unit step: after n samples the level has covered 1 − (1 − K)ⁿ
            let mut remaining = 1.0;
            for n in 0..20 {
                let predicted = state.predict(1.0, Motion::Level, q);
                let y = predicted.innovation(1.0, 0.1);
                state = predicted.update(&y, y.residual, 0.1);
                remaining *= 1.0 - gain;
                assert!((state.x[0] - (1.0 - remaining)).abs() < 0.01 * (1.0 - remaining), "q={q} n={n}");
            }
        }
    }

    #[test]
    fn the_covariance_stays_positive_definite_at_the_extremes() {
        let r = 1e-12;
        let mut state = State::new(0.0, 1e12, 1e12);
        for step in 0..1_000_000_u32 {
            let dt = [1e-3, 1.0, 15.0, 3600.0][(step % 4) as usize];
            let predicted = state.predict(dt, Motion::Trend, if step % 7 == 0 { 1e6 } else { 1e-12 });
            let y = predicted.innovation(if step % 2 == 0 { 1e9 } else { -1e9 }, r);
            state = predicted.update(&y, y.residual, r);
            for p in [predicted.p, state.p] {
                assert!(p[(0, 1)].to_bits() == p[(1, 0)].to_bits(), "symmetric at {step}");
                assert!(p.cholesky().is_some(), "positive definite at {step}: {p}");
            }
            assert!(state.x.iter().all(|v| v.is_finite()));
        }
    }

    #[test]
    fn irregular_steps_compose() {
        let start = State { x: Vector2::new(3.0, -0.2), p: Matrix2::new(2.0, 0.1, 0.1, 0.3) };
        let once = start.predict(22.5, Motion::Trend, 0.04);
        let twice = start.predict(7.5, Motion::Trend, 0.04).predict(15.0, Motion::Trend, 0.04);
        assert!((once.x - twice.x).norm() < 1e-12);
        assert!((once.p - twice.p).norm() < 1e-9 * once.p.norm());
    }

    #[test]
    fn a_missing_sample_only_widens() {
        let mut state = State::new(1.0, 0.01, 0.0001);
        for _ in 0..50 {
            let next = state.predict(15.0, Motion::Trend, 1e-6);
            assert!(next.p[(0, 0)] > state.p[(0, 0)] && next.p[(1, 1)] > state.p[(1, 1)]);
            state = next;
        }
    }
}
