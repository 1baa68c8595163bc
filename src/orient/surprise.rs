//! How surprising a sample is: the tail probability of its innovation, under the distribution that the signal's own
//! past has shown.
//!
//! ```text
//!  sample ─┬─ alone ──────────┬─ minus long-run level ──► tail ─┬─► the smaller p, × 2
//!          └─ mean of last 16 ┴─ minus long-run level ──► tail ─┘        │
//!          anomaly = −log₁₀ p, less what the last samples have already said
//! ```
//!
//! The filter's own innovation says how far a sample is from what was forecast *a moment ago*, in units of a normal
//! distribution. Signals of services are neither normal nor forgetful: they spike as a habit, and a level that was
//! never seen before stays remarkable after the filter has followed it. So here
//!
//! - the innovation is against the **long-run level** (a level-only filter with a gain of 1/n, at least 1/2000);
//! - its distribution is **learned**, not assumed: beyond the largest tenth of what was seen (200 values at most) an
//!   exponential with their mean excess; the empirical rank below, and where that tenth does not differ;
//! - two innovations at once, sample and mean of 16, are corrected for by a factor of two (Bonferroni);
//! - surprises come in **clusters**: given one of 10⁻ᵐ, m > 2.5, among the last samples (a twentieth of the past, 20
//!   to 200), another one is 10^(m−2.5) times as likely, so one event is not told again at each of its samples.
//!
//! Nothing depends on the unit: x → ax + b (a of either sign) changes no surprise but for rounding. State is of fixed
//! size, some 3 KB a signal, and time plays no part.

use std::sync::LazyLock;

use super::lanes;
use super::special::MAX_SURPRISE;

/// Samples before a surprise is stated.
const WARM: u32 = 20;
/// Samples in the short mean.
const NEAR: usize = 16;
/// Largest order statistics kept of an innovation.
const TAIL: usize = 200;
/// Magnitudes kept of the rest of the past, spread over its younger half.
const BODY: usize = 64;
/// Share of the past that is its tail.
const SHARE: f64 = 0.1;
/// Smallest gain of the long-run level.
const GAIN: f64 = 0.0005;
/// Samples after which half of the past is forgotten.
const MEMORY: u32 = 16_384;
/// Surprise above which a cluster begins, −log₁₀ p.
const CLUSTER: f64 = 2.5;
/// Longest and shortest memory for a cluster, samples; between them a twentieth of the past.
const QUIET: (usize, usize) = (20, 200);
/// A mean excess below this share of the mean innovation is none: values are tied.
const TIED: f64 = 1e-6;

/// −log₁₀ of the share of the body at or above a magnitude, for each count of it, itself included.
static RANKS: LazyLock<[f64; BODY + 1]> =
    LazyLock::new(|| std::array::from_fn(|above| libm::log10((BODY as f64 + 1.0) / (above as f64 + 1.0))));

/// What one signal's past says of its next sample.
#[derive(Clone, Debug)]
pub struct Surprise {
    /// First sample: everything is relative to it, so that a large offset costs no digits.
    origin: f64,
    /// First distance from it that is not 0: the unit of everything.
    unit: f64,
    samples: f64,
    level: f64,
    near: [f64; NEAR],
    seen: usize,
    tails: [Tail; 2],
    recent: [f32; QUIET.1],
    /// The last sample, counted from 0, that began or kept up a cluster.
    loud: Option<usize>,
    raw: f64,
    anomaly: f64,
}

impl Default for Surprise {
    fn default() -> Self {
        Self {
            origin: 0.0,
            unit: 0.0,
            samples: 0.0,
            level: 0.0,
            near: [0.0; NEAR],
            seen: 0,
            tails: [const { Tail::new() }; 2],
            recent: [0.0; QUIET.1],
            loud: None,
            raw: 0.0,
            anomaly: 0.0,
        }
    }
}

impl Surprise {
    /// −log₁₀ of the tail probability of the last sample's innovation, given the surprises before it, 0…300.
    #[must_use]
    pub fn anomaly(&self) -> f64 {
        self.anomaly
    }

    /// The same without regard to the surprises before it.
    #[must_use]
    pub fn alone(&self) -> f64 {
        self.raw
    }

    /// Takes in one sample, in any unit; one that is not finite is not taken.
    pub fn observe(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        if self.samples < 1.0 {
            self.origin = value;
        }
        let distance = value - self.origin;
        if self.unit <= 0.0 {
            self.unit = distance.abs();
        }
        let x = if self.unit > 0.0 { distance / self.unit } else { 0.0 };
        // Only where unit or distance over- or underflows.
        let x = if x.is_finite() { x } else { 0.0 };

        self.samples = (self.samples + 1.0).min(f64::from(MEMORY));
        self.level += (x - self.level) * (1.0 / self.samples).max(GAIN);
        self.near[self.seen % NEAR] = x;
        // What is not filled yet is 0.
        let sum = lanes::sum(&self.near);
        let filled = self.seen + 1;
        let mean = if filled < NEAR { sum / filled as f64 } else { sum * (1.0 / NEAR as f64) };
        let [alone, together] = &mut self.tails;
        let surprise = alone.observe((x - self.level).abs()).max(together.observe((mean - self.level).abs()));
        self.raw = (surprise - std::f64::consts::LOG10_2).clamp(0.0, MAX_SURPRISE);
        // What is no surprise by itself is none after others either.
        let back = (self.seen / 20).clamp(QUIET.0, QUIET.1).min(self.seen);
        let clustered = self.raw > 0.0 && self.loud.is_some_and(|at| self.seen - at <= back);
        let cluster = if clustered { (self.loudest(back) - CLUSTER).max(0.0) } else { 0.0 };
        self.anomaly = (self.raw - cluster).max(0.0);
        let raw = self.raw as f32;
        self.recent[self.seen % QUIET.1] = raw;
        if f64::from(raw) > CLUSTER {
            self.loud = Some(self.seen);
        }
        self.seen += 1;
    }

    /// The largest surprise of the last `back` samples.
    fn loudest(&self, back: usize) -> f64 {
        let end = self.seen % QUIET.1;
        // The ring in two pieces: what wraps around comes from its end.
        let (before, wrapped) = (end.min(back), back - end.min(back));
        let pieces = [&self.recent[end - before..end], &self.recent[QUIET.1 - wrapped..]];
        f64::from(pieces.into_iter().fold(0.0, |loudest: f32, piece| loudest.max(lanes::largest(piece))))
    }
}

/// The smallest single that is no less than `value`.
fn rounded_up(value: f64) -> f32 {
    let near = value as f32;
    if f64::from(near) < value { near.next_up() } else { near }
}

/// The upper tail of a stream of magnitudes: its largest values, and how many there were in all.
#[derive(Clone, Debug)]
struct Tail {
    /// Descending.
    top: [f32; TAIL + 1],
    kept: usize,
    /// Whether smaller values have been dropped.
    cut: bool,
    body: [f32; BODY],
    count: u32,
    mean: f64,
}

impl Tail {
    const fn new() -> Self {
        Self { top: [0.0; TAIL + 1], kept: 0, cut: false, body: [0.0; BODY], count: 0, mean: 0.0 }
    }

    /// −log₁₀ P(a magnitude ≥ this one) by what came before; then it belongs to what came before.
    fn observe(&mut self, magnitude: f64) -> f64 {
        let surprise = if self.count < WARM { 0.0 } else { self.surprise(magnitude) };
        self.learn(magnitude);
        surprise
    }

    fn surprise(&self, magnitude: f64) -> f64 {
        let top = &self.top[..self.kept];
        // Nine in ten are below all of the tail.
        if self.cut && top.last().is_none_or(|least| f64::from(*least) >= magnitude) {
            let bar = rounded_up(magnitude);
            // As narrow as what is compared, so that four are counted at a time.
            let above: u32 = self.body.iter().map(|b| u32::from(*b >= bar)).sum();
            return RANKS[above as usize];
        }
        let above = top.partition_point(|t| f64::from(*t) >= magnitude);
        let count = f64::from(self.count);
        let k = ((count * SHARE) as usize).clamp(5, TAIL).min(self.kept.saturating_sub(1));
        if above < k {
            let threshold = f64::from(self.top[k]);
            let excess = lanes::excess(&self.top[..k], threshold) / k as f64;
            if excess > TIED * self.mean {
                let beyond = (magnitude - threshold) / excess;
                return libm::log10(count / k as f64) + beyond.max(0.0) * std::f64::consts::LOG10_E;
            }
        }
        libm::log10((count + 1.0) / (above as f64 + 1.0))
    }

    fn learn(&mut self, magnitude: f64) {
        self.count += 1;
        self.mean += (magnitude - self.mean) / f64::from(self.count);
        let magnitude = magnitude.min(f64::from(f32::MAX)) as f32;
        let seen = self.count as usize;
        // One in 2ˢ of them is kept.
        let s = (seen / (2 * BODY)).max(1).ilog2();
        if seen.trailing_zeros() >= s {
            self.body[(seen >> s) % BODY] = magnitude;
        }
        let top = &self.top[..self.kept];
        // One more of the smallest would be dropped again: what a signal that stands still has is nothing else.
        let full = self.kept > TAIL;
        let belongs = |least: &f32| if full { *least < magnitude } else { *least <= magnitude };
        if !self.cut || top.last().is_some_and(belongs) {
            // After its equals: a signal that stands still moves none of them.
            let place = top.partition_point(|t| *t >= magnitude);
            if place <= TAIL {
                let last = self.kept.min(TAIL);
                self.top.copy_within(place..last, place + 1);
                self.top[place] = magnitude;
            }
            self.cut |= self.kept > TAIL;
            self.kept = (self.kept + 1).min(TAIL + 1);
        }
        if self.count >= MEMORY {
            // Every second order statistic of half as many samples: the same distribution.
            self.count /= 2;
            self.kept = self.kept.div_ceil(2);
            for i in 0..self.kept {
                self.top[i] = self.top[2 * i];
            }
        }
    }
}

#[cfg(test)]
#[path = "surprise_tests.rs"]
mod tests;
