//! One signal's filter, with noises learned from its own innovations.
//!
//! ```text
//!  sample ─► predict ─► innovation ─► clip at 10σ ─► update ─► learn R, σ² ─► NIS monitor
//!                                         └─ flagged: nothing is learned
//! ```
//!
//! - **R and σ²** by the gradient of the likelihood of the innovations in (ln R, ln σ²), scaled by its information
//!   (recursive maximum likelihood; Ljung & Söderström 1983, ch. 3), with the forgetting factor λ.
//!   The textbook pair `R ← λR + (1−λ)(ε² + HP⁺Hᵀ)`, `Q ← λQ + (1−λ)K y yᵀ Kᵀ` matches the *size* of the innovations
//!   alone, and for a level R = (1−K)·C₀, Q = K²·C₀ solve it at **every** gain K: a jump of R is booked on Q for
//!   good. The likelihood sees their autocorrelation too. The rule for R is its first term.
//! - **Bounds**: √(σ²τ³/3), what one turn τ adds to the level, stays within [qMin,qMax] × the signal's scale.
//! - **λ = .98** for every signal: a memory of 50 samples. While n < 50 the gain is 1/(n+2), as for a mean.
//! - **Flagged samples** (beyond 10σ) move the state by 10σ at most and teach nothing. Two in a row on one side
//!   are no outliers but a new level: its variance is opened. A quarter of the last samples flagged means the
//!   noise itself grew, and then it is learned after all.

use jiff::Timestamp;
use nalgebra::Matrix2;

use super::Estimate;
use super::consistency::Monitor;
use super::kalman::{Innovation, Motion, State};

/// Forgetting factor of R, σ² and scale; one for all signals.
pub const LAMBDA: f64 = 0.98;
/// Huber bound on an innovation, in its standard deviations.
pub const CLIP: f64 = 10.0;
/// Samples below which a surprise is not stated: R is still a guess.
pub const WARM: u32 = 5;
/// Longest gap that is extrapolated over, s; beyond it nothing is known of the slope.
const LONGEST_GAP: f64 = 3600.0;
/// Values beyond this are no measurement of anything, and their squares would overflow.
const ABSURD: f64 = 1e50;

/// What a channel is told with each sample.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Length of one turn, s.
    pub interval: f64,
    /// Smallest process noise a turn, as a share of the scale.
    pub q_min: f64,
    /// Largest process noise a turn, as a share of the scale.
    pub q_max: f64,
    /// Smallest measurement variance (Poisson for counts), in the signal's unit squared.
    pub r_floor: f64,
    /// Variance of this sample alone, on top of R (a doubtful one); it is then weighted down.
    pub r_extra: f64,
}

/// A filter over one signal and what it has learned.
#[derive(Clone, Debug)]
pub struct Channel {
    motion: Motion,
    state: State,
    at: Option<Timestamp>,
    r: f64,
    /// σ².
    process: f64,
    sensitivity: Sensitivity,
    scale: f64,
    samples: u32,
    /// Flagged samples in a row; the sign is their side.
    streak: i32,
    flagged_share: f64,
    last: Last,
    monitor: Monitor,
}

/// The last innovation, for the picture.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    nis: f64,
    standardised: f64,
}

/// Derivatives of the filter with respect to ln R and ln σ², side by side, and the information gathered on both.
#[derive(Clone, Copy, Debug, Default)]
struct Sensitivity {
    level: Both,
    slope: Both,
    /// Of the covariance: of the level, of level and slope, of the slope.
    p: [Both; 3],
    /// On ln R, on both, on ln σ².
    information: [f64; 3],
}

/// One number for ln R and one for ln σ²: what is done to both alike is one instruction.
type Both = [f64; 2];

impl Sensitivity {
    /// Keeps the first steps, which know nothing yet, small.
    const PRIOR: f64 = 0.02;
    /// Largest step of a logarithm at one sample.
    const STEP: f64 = 0.3;

    /// Forgets the derivatives (they belong to a state that was replaced), not the information.
    fn reset(&mut self) {
        *self = Self { information: self.information, ..Self::default() };
    }

    /// Carries the derivatives through one predict and update, and gives the step of (ln R, ln σ²).
    /// `residual` is the clipped one; R is its own derivative, and so is the `process` covariance of these `dt` seconds.
    fn step(
        &mut self,
        innovation: &Innovation,
        residual: f64,
        dt: f64,
        r: f64,
        process: &Matrix2<f64>,
        rate: f64,
    ) -> Both {
        let Innovation { variance, precision: per, gain: k, .. } = *innovation;
        let per_root = innovation.per_sd();
        let surplus = 0.5 * (residual * residual * per - 1.0);
        let measurement = [r, 0.0];
        let process = [process[(0, 0)], process[(0, 1)], process[(1, 1)]].map(|q| [0.0, q]);
        let (mut score, mut relative, mut scaled) = (Both::default(), Both::default(), Both::default());
        for i in 0..2 {
            // F·x and F·P·Fᵀ + Q, then x + K·y and (I−KH)·P·(I−KH)ᵀ + K·R·Kᵀ, each differentiated.
            let (level, slope) = (self.level[i] + dt * self.slope[i], self.slope[i]);
            let [p00, p01, p11] = self.p.map(|p| p[i]);
            let both = p01 + dt * p11;
            let p00 = p00 + dt * (p01 + both) + process[0][i];
            let (p01, p11) = (both + process[1][i], p11 + process[2][i]);
            let d_variance = p00 + measurement[i];
            relative[i] = d_variance * per;
            scaled[i] = level * per_root;
            score[i] = relative[i] * surplus + residual * level * per;
            let (dk0, dk1) = (p00 * per - k[0] * relative[i], p01 * per - k[1] * relative[i]);
            self.level[i] = level + dk0 * residual - k[0] * level;
            self.slope[i] = slope + dk1 * residual - k[1] * level;
            self.p[0][i] = p00 - 2.0 * dk0 * k[0] * variance - k[0] * k[0] * d_variance;
            self.p[1][i] = p01 - (dk0 * k[1] + k[0] * dk1) * variance - k[0] * k[1] * d_variance;
            self.p[2][i] = p11 - 2.0 * dk1 * k[1] * variance - k[1] * k[1] * d_variance;
        }
        for (information, (i, j)) in self.information.iter_mut().zip([(0, 0), (0, 1), (1, 1)]) {
            let seen = relative[i] * relative[j] * 0.5 + scaled[i] * scaled[j];
            *information += (seen - *information) * rate;
        }
        let [rr, rq, qq] = self.information;
        let (rr, qq) = (rr + Self::PRIOR, qq + Self::PRIOR);
        // By Cramer's rule; positive definite, so its determinant is not 0.
        let per_determinant = rate / (rr * qq - rq * rq);
        let step = [
            (qq * score[0] - rq * score[1]) * per_determinant,
            (rr * score[1] - rq * score[0]) * per_determinant,
        ];
        // A sum is finite only where all that is in it is.
        let all = [self.level, self.slope, self.p[0], self.p[1], self.p[2], step];
        let all = all.into_iter().fold(Both::default(), |sum, both| [sum[0] + both[0], sum[1] + both[1]]);
        if !(all[0] + all[1] + rr + rq + qq).is_finite() {
            *self = Self::default();
            return Both::default();
        }
        step.map(|v| v.clamp(-Self::STEP, Self::STEP))
    }
}

impl Channel {
    /// A channel without a sample.
    #[must_use]
    pub fn new(motion: Motion) -> Self {
        Self {
            motion,
            state: State::new(0.0, 1.0, 1.0),
            at: None,
            r: 1.0,
            process: 1.0,
            sensitivity: Sensitivity::default(),
            scale: 0.0,
            samples: 0,
            streak: 0,
            flagged_share: 0.0,
            last: Last::default(),
            monitor: Monitor::default(),
        }
    }

    /// Goes to a level that is known otherwise, with its variance and the noise of a sample; what was learned of the
    /// old one is given up, the samples still count.
    pub fn settle(&mut self, level: f64, variance: f64, noise: f64) {
        self.state = State::new(level, variance, 0.0);
        self.r = noise;
        self.scale = level.abs();
        self.sensitivity.reset();
    }

    /// Samples seen.
    #[must_use]
    pub fn samples(&self) -> u32 {
        self.samples
    }

    /// Time of the last sample.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        self.at
    }

    /// Learned measurement variance R.
    #[must_use]
    pub fn measurement_noise(&self) -> f64 {
        self.r
    }

    /// Learned process intensity σ².
    #[must_use]
    pub fn process_noise(&self) -> f64 {
        self.process
    }

    /// The monitor of its innovations.
    #[must_use]
    pub fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// Takes a sample in. Gives its standardised innovation, or `None` where it is not a new one (the same
    /// sample read again, an earlier one) or no measurement (not finite, beyond 1e50).
    pub fn observe(&mut self, value: f64, at: Timestamp, limits: &Limits) -> Option<f64> {
        if !value.is_finite() || value.abs() > ABSURD {
            return None;
        }
        let Some(before) = self.at else {
            self.start(value, at, limits);
            return Some(0.0);
        };
        let gap = seconds(before, at);
        if gap <= 0.0 {
            return None;
        }
        if gap > LONGEST_GAP {
            let samples = self.samples;
            self.start(value, at, limits);
            self.samples = samples.saturating_add(1);
            return Some(0.0);
        }
        self.step(value, gap.max(1e-3), limits);
        self.at = Some(at);
        Some(self.last.standardised)
    }

    fn start(&mut self, value: f64, at: Timestamp, limits: &Limits) {
        self.scale = value.abs();
        let rough = 0.05 * self.scale;
        self.r = (rough * rough).max(self.r_floor(limits));
        let (low, high) = self.process_bounds(limits);
        self.process = (low * high).sqrt();
        // A slope of a twentieth of the scale per turn is as much as one expects before the second sample.
        let slope = (rough / limits.interval).max(1e-9);
        self.state = State::new(value, self.r, slope * slope);
        if self.motion == Motion::Level {
            self.state.p[(1, 1)] = 0.0;
        }
        self.sensitivity.reset();
        self.streak = 0;
        self.last = Last::default();
        self.samples = 1;
        self.at = Some(at);
    }

    fn r_floor(&self, limits: &Limits) -> f64 {
        let relative = 1e-3 * self.scale;
        (relative * relative).max(limits.r_floor).max(1e-20)
    }

    /// Bounds of σ².
    fn process_bounds(&self, limits: &Limits) -> (f64, f64) {
        let tau = limits.interval;
        let per_unit = 1.0 / self.motion.covariance(tau)[(0, 0)];
        let at = |q: f64| {
            let sd = q.max(1e-6) * self.scale.max(1e-9);
            sd * sd * per_unit
        };
        (at(limits.q_min), at(limits.q_max))
    }

    fn step(&mut self, value: f64, dt: f64, limits: &Limits) {
        let gain = gain(self.samples);
        self.scale += gain * (value.abs() - self.scale);
        let r_floor = self.r_floor(limits);
        let r = self.r.max(r_floor) + limits.r_extra;
        let mut predicted = self.state.predict(dt, self.motion, self.process);
        let mut innovation = predicted.innovation(value, r);

        let flagged = innovation.residual.abs() > CLIP * innovation.sd;
        self.flagged_share += 0.1 * (f64::from(u8::from(flagged)) - self.flagged_share);
        let side = if innovation.residual > 0.0 { 1 } else { -1 };
        self.streak = match flagged {
            true if self.streak.signum() == side => self.streak.saturating_add(side),
            true => side,
            false => 0,
        };
        self.note(&innovation, dt);

        if self.streak.abs() >= 2 {
            // A new level, not an outlier: let the filter go there. The slope keeps its own variance, so that
            // the jump is not read as a trend.
            predicted.p[(0, 0)] += innovation.residual * innovation.residual;
            innovation = predicted.innovation(value, r);
            self.sensitivity.reset();
            self.streak = 0;
        }
        let residual = innovation.residual.clamp(-CLIP * innovation.sd, CLIP * innovation.sd);
        self.state = predicted.update(&innovation, residual, r);
        self.samples = self.samples.saturating_add(1);

        if !flagged || self.flagged_share > 0.25 {
            self.learn(&innovation, residual, dt, gain, r_floor, limits);
        } else {
            self.sensitivity.reset();
        }
    }

    /// The innovation as the picture and the monitor see it: before it is clipped or its variance opened.
    fn note(&mut self, innovation: &Innovation, dt: f64) {
        let nis = innovation.nis();
        self.last = Last { nis, standardised: innovation.residual * innovation.per_sd() };
        if self.samples >= WARM {
            self.monitor.push(nis, dt);
        }
    }

    fn learn(
        &mut self,
        innovation: &Innovation,
        residual: f64,
        dt: f64,
        rate: f64,
        floor: f64,
        limits: &Limits,
    ) {
        let process = self.motion.covariance(dt) * self.process;
        let step = self.sensitivity.step(innovation, residual, dt, self.r, &process, rate);
        let ceiling = (10.0 * self.scale).max(1e-9);
        self.r = (self.r * growth(step[0])).clamp(floor, (ceiling * ceiling).max(floor));
        let (low, high) = self.process_bounds(limits);
        self.process = (self.process * growth(step[1])).clamp(low, high);
    }

    /// Level at the last sample and its standard deviation, in the signal's unit.
    #[must_use]
    pub fn level(&self) -> Option<(f64, f64)> {
        self.at.map(|_| (self.state.x[0], self.state.p[(0, 0)].sqrt()))
    }

    /// Slope, in the signal's unit a second; 0 before the first sample.
    #[must_use]
    pub fn slope(&self) -> f64 {
        self.state.x[1]
    }

    /// State at `at` (predicted, with the variance that this costs) and a sample's forecast `horizon` s later. Its
    /// `anomaly` is 0: that takes the signal's own distribution, see [`super::surprise`].
    #[must_use]
    pub fn estimate(&self, at: Timestamp, horizon: f64) -> Option<Estimate> {
        let gap = seconds(self.at?, at).clamp(0.0, LONGEST_GAP);
        let now = if gap > 0.0 { self.state.predict(gap, self.motion, self.process) } else { self.state };
        let ahead = now.predict(horizon.clamp(0.0, LONGEST_GAP), self.motion, self.process);
        Some(Estimate {
            level: now.x[0],
            slope: now.x[1],
            level_sd: now.p[(0, 0)].sqrt(),
            slope_sd: now.p[(1, 1)].sqrt(),
            forecast: ahead.x[0],
            forecast_sd: (ahead.p[(0, 0)] + self.r).sqrt(),
            nis: self.last.nis,
            anomaly: 0.0,
            samples: self.samples,
        })
    }
}

/// Weight of the next sample in what is learned: 1/(n+2), as for a mean, until that is less than 1 − λ.
fn gain(samples: u32) -> f64 {
    // All else in a step waits for it, so a division that is known to lose is not made.
    if samples >= 48 { 1.0 - LAMBDA } else { 1.0 / (f64::from(samples) + 2.0) }
}

/// eˣ for a step's |x| ≤ .3, to 4·10⁻⁶ (Padé of order 2 over 2): positive, and growth(−x) = 1/growth(x), so that steps back
/// and forth leave no drift. The step itself is a guess far coarser than that.
fn growth(x: f64) -> f64 {
    let (even, odd) = (12.0 + x * x, 6.0 * x);
    (even + odd) / (even - odd)
}

/// Seconds from `from` to `to`, with fraction; negative where `to` is earlier.
#[must_use]
pub fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    let whole = to.as_second() - from.as_second();
    let nanoseconds = to.subsec_nanosecond() - from.subsec_nanosecond();
    whole as f64 + f64::from(nanoseconds) * 1e-9
}

#[cfg(test)]
#[path = "adapt_tests.rs"]
mod tests;
