//! Champion against challenger on pairs that arrive together, valid at every look.
//!
//! ```text
//!  (aₜ, bₜ) ─► excess dₜ = b − a − margin ─► stake λ(|dₜ|) on the sign of dₜ ─► wealth ×(1 ± λ) ─► e ≥ 1/α: Worse
//!                     └────────── the same with the opposite sign, and the tail in bounds ──────► e ≥ 1/α: NotWorse
//! ```
//!
//! **Null** of "worse": given what came before, the two members of a pair (the baseline moved by the margin) could
//! as well have come the other way round, or the challenger is better. Then the sign of the excess is a fair coin
//! *given its size*, so a stake may depend on all sizes, the present one included, and never on a sign to come. Each
//! bet earns a nonnegative supermartingale, a mixture of bets and starting times does too, and by Ville's inequality
//! it ever reaches 1/α with probability at most α, at whatever look one stops. No distribution is assumed.
//!
//! A stake is odd in the pair and never falls as the challenger gets worse, so that a challenger *better* than the
//! margin (smaller in the stochastic order) earns no more than an equal one, whatever the noise. A likelihood
//! ratio that falls again for large differences has no such guarantee.
//!
//! **Stakes** are a mixture because nobody knows the noise: constant ones (any noise, ties), growing with the size
//! (normal noise: the likelihood ratio of a shift is tanh) but capped (outliers, two modes), and on pairs of which
//! one alone lies beyond the baseline's p95 or well beyond it (a regression of the tail).
//!
//! **Autocorrelation** breaks the coin: so the baseline's own persistence is measured on its signs about its median
//! (for a normal autoregression `ρ = sin(πr/2)`), and only every (1+ρ)/(1−ρ)-th pair is bet on. What that leaves is
//! in `docs/results/canary.md`.
//!
//! Sources: Shafer 2021 and Waudby-Smith & Ramdas 2024 (betting); Shin, Ramdas & Rinaldo 2023 (starting times).

use std::collections::VecDeque;

/// Sizes and values that are remembered.
const WINDOW: usize = 512;
/// Wealth is not counted beyond this.
const RICH: f64 = 1e290;
/// Largest size of a value: differences and margins of larger ones are not finite any more.
pub(super) const LARGEST: f64 = 1e300;
/// What is staked from the first pair on; the rest on every later starting time.
const AT_ONCE: f64 = 0.85;
/// Pairs before a 95 % point means anything.
const TAIL_AFTER: u32 = 20;
/// Pairs before the watch on the tail begins.
const WATCH_AFTER: u32 = 10;
/// Largest share of a challenger beyond the baseline's 95 % point that is still in bounds.
const TAIL_BOUND: f64 = 0.15;
/// Shares that are expected: an equal's, and with a margin that is wide beside the noise.
const TAIL_EXPECTED: [f64; 2] = [0.05, 0.005];
/// Most pairs that are passed over between two bets.
const SPARSEST: f64 = 40.0;

/// How much worse still counts as equal: the larger of a share of the baseline and an absolute amount.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Margin {
    /// Share of the baseline's value.
    pub relative: f64,
    /// In the unit of the values.
    pub absolute: f64,
}

impl Margin {
    fn of(self, baseline: f64) -> f64 {
        let relative = self.relative * baseline.abs();
        if relative.abs() > self.absolute { relative } else { self.absolute }
    }
}

/// By how much a value passes its baseline, the margin granted. What rounding alone can make of values that differ by
/// the margin exactly is nothing: of numbers with few digits many do.
fn excess(value: f64, baseline: f64, margin: Margin) -> f64 {
    let bar = baseline + margin.of(baseline);
    let excess = value - bar;
    if excess.abs() <= 4.0 * f64::EPSILON * (value.abs() + bar.abs()) { 0.0 } else { excess }
}

/// Values in order, the oldest forgotten.
#[derive(Clone, Debug, Default)]
struct Sorted {
    sorted: Vec<f64>,
    order: VecDeque<f64>,
}

impl Sorted {
    fn insert(&mut self, value: f64) {
        if self.order.len() == WINDOW
            && let Some(old) = self.order.pop_front()
        {
            let at = self.below(old);
            self.sorted.remove(at);
        }
        self.order.push_back(value);
        let at = self.below(value);
        self.sorted.insert(at, value);
    }

    fn below(&self, value: f64) -> usize {
        self.sorted.partition_point(|v| *v < value)
    }

    fn quantile(&self, p: f64) -> Option<f64> {
        let last = self.sorted.len().checked_sub(1)?;
        self.sorted.get((p * last as f64).round() as usize).copied()
    }
}

/// A bet on the sign of a pair's difference.
#[derive(Clone, Copy, Debug)]
enum Bet {
    /// The same stake whatever the size.
    Constant(f64),
    /// `cap · tanh(slope · z)`, z the size in robust deviations.
    Growing { cap: f64, slope: f64 },
    /// A stake on pairs of which one alone lies beyond the n-th point of the tail.
    Tail(usize),
}

const BETS: [Bet; 7] = [
    Bet::Constant(0.2),
    Bet::Constant(0.5),
    Bet::Constant(0.9),
    Bet::Growing { cap: 0.6, slope: 0.9 },
    Bet::Growing { cap: 0.9, slope: 0.75 },
    Bet::Tail(0),
    Bet::Tail(1),
];
/// Weights of bets; the sum is 1.
type Weights = [f64; BETS.len()];
const ALL: Weights = [0.0, 0.215, 0.215, 0.215, 0.215, 0.07, 0.07];
/// On the sign alone; a small stake is for noise that is wide beside the margin.
const SIGN: Weights = [0.34, 0.33, 0.33, 0.0, 0.0, 0.0, 0.0];
/// Stake on a pair of which one alone is in the tail.
const TAIL_STAKE: f64 = 0.9;
/// Points of the tail: the baseline's p95, and this many times its distance from the median farther out. Of a
/// regression of the top twentieth alone the baseline passes the first as often; it passes the second never.
const TAIL_POINTS: [f64; 2] = [0.5, 2.0];
/// The margin counts so often in the tail: the tails of two hosts differ more than their middles.
const TAIL_MARGIN: f64 = 2.0;
/// Of each point: +1 where the challenger alone lies beyond it, −1 where the baseline alone does.
type Beyond = [f64; TAIL_POINTS.len()];

impl Bet {
    /// Stake on +1. Each is odd in the pair and never falls as the challenger gets worse: see the null.
    fn stake(self, sign: f64, z: f64, beyond: Beyond) -> f64 {
        match self {
            Self::Constant(stake) => sign * stake,
            Self::Growing { cap, slope } => sign * cap * libm::tanh(slope * z),
            Self::Tail(point) => TAIL_STAKE * beyond.get(point).copied().unwrap_or(0.0),
        }
    }
}

/// One gambler on the sign of the excess.
#[derive(Clone, Debug)]
struct Gambler {
    weights: Weights,
    wealth: [f64; BETS.len()],
    sizes: Sorted,
    looks: u32,
    /// Weight of starting times that have not come yet.
    waiting: f64,
}

impl Gambler {
    fn new(weights: Weights) -> Self {
        Self { weights, wealth: [0.0; BETS.len()], sizes: Sorted::default(), looks: 0, waiting: 0.0 }
    }

    fn push(&mut self, excess: f64, beyond: Beyond) {
        self.looks = self.looks.saturating_add(1);
        let k = f64::from(self.looks);
        let start = if self.looks == 1 { AT_ONCE } else { (1.0 - AT_ONCE) / (k * (k - 1.0)) };
        self.waiting = if self.looks == 1 { 1.0 - AT_ONCE } else { (1.0 - AT_ONCE) / k };
        let size = excess.abs();
        self.sizes.insert(size);
        let largest = self.sizes.sorted.last().copied().unwrap_or(size);
        let typical = self.sizes.quantile(0.5).filter(|median| *median > 0.0).unwrap_or(largest) / 0.6745;
        let scale = if self.looks < 3 { typical.max(size) } else { typical };
        let z = if scale > 0.0 { size / scale } else { 0.0 };
        let sign = if size > 0.0 { excess.signum() } else { 0.0 };
        for (wealth, bet) in self.wealth.iter_mut().zip(BETS) {
            *wealth = ((*wealth + start) * (1.0 + bet.stake(sign, z, beyond))).min(RICH);
        }
    }

    fn value(&self) -> f64 {
        let all: f64 = self.wealth.iter().zip(self.weights).map(|(wealth, weight)| weight * wealth).sum();
        if self.looks == 0 { 1.0 } else { all + self.waiting }
    }
}

/// Persistence of the baseline: how often its side of its own median stays the same.
#[derive(Clone, Debug, Default)]
struct Persistence {
    side: f64,
    agreement: f64,
    pairs: f64,
    since_bet: f64,
}

impl Persistence {
    /// Takes in on which side of its median the baseline is; whether this pair is one to bet on.
    fn bets(&mut self, side: f64) -> bool {
        if side != 0.0 && self.side != 0.0 {
            self.agreement += side * self.side;
            self.pairs += 1.0;
        }
        if side != 0.0 {
            self.side = side;
        }
        self.since_bet += 1.0;
        if self.since_bet < self.every() {
            return false;
        }
        self.since_bet = 0.0;
        true
    }

    /// Pairs between two bets: a chain of correlation ρ tells as much as one in (1+ρ)/(1−ρ) of its samples.
    fn every(&self) -> f64 {
        if self.pairs < 10.0 {
            return 1.0;
        }
        // One standard error is chance.
        let r = self.agreement / self.pairs - 1.0 / self.pairs.sqrt();
        let rho = libm::sin(std::f64::consts::FRAC_PI_2 * r.clamp(0.0, 1.0));
        libm::floor((1.0 + rho) / (1.0 - rho).max(1e-6)).clamp(1.0, SPARSEST)
    }
}

/// Two opposite gamblers over the same pairs, and a watch on the tail.
#[derive(Clone, Debug)]
pub struct Paired {
    margin: Margin,
    spread: f64,
    sign: f64,
    worse: Gambler,
    not_worse: Gambler,
    /// ln of the e-values against "more than 15 % lie beyond the baseline's 95 % point", one for each expected share.
    tail: [f64; TAIL_EXPECTED.len()],
    baseline: Sorted,
    persistence: Persistence,
    looks: u32,
}

impl Paired {
    /// No pairs yet. `sign` is +1 where more is worse, −1 where less is.
    #[must_use]
    pub fn new(margin: Margin, sign: f64) -> Self {
        Self::betting(ALL, margin, sign)
    }

    /// The same of values whose noise is not of one size, as the p95 of few requests beside that of many. Such a pair
    /// cannot come the other way round; what is left is the sign about the median, so only that is bet on. `spread`
    /// is how many times wider the challenger's noise is, and its tail may be so much longer.
    #[must_use]
    pub fn unlike(margin: Margin, sign: f64, spread: f64) -> Self {
        Self { spread, ..Self::betting(SIGN, margin, sign) }
    }

    fn betting(weights: Weights, margin: Margin, sign: f64) -> Self {
        Self {
            margin,
            spread: 1.0,
            sign,
            worse: Gambler::new(weights),
            not_worse: Gambler::new(weights),
            tail: [0.0; TAIL_EXPECTED.len()],
            baseline: Sorted::default(),
            persistence: Persistence::default(),
            looks: 0,
        }
    }

    /// Takes in a pair that arrived together. A pair that is not finite, or too large to be subtracted, says nothing.
    pub fn push(&mut self, baseline: f64, challenger: f64) {
        if !(baseline.abs() <= LARGEST && challenger.abs() <= LARGEST) {
            return;
        }
        self.looks = self.looks.saturating_add(1);
        let (a, b) = (self.sign * baseline, self.sign * challenger);
        if self.looks > WATCH_AFTER
            && let Some((middle, high)) = self.baseline.quantile(0.5).zip(self.baseline.quantile(0.95))
        {
            let point = middle + self.spread * (high - middle);
            let beyond = excess(b, point, self.margin) > 0.0;
            for (tail, expected) in self.tail.iter_mut().zip(TAIL_EXPECTED) {
                let ratio =
                    if beyond { expected / TAIL_BOUND } else { (1.0 - expected) / (1.0 - TAIL_BOUND) };
                *tail = (*tail + libm::log(ratio)).min(600.0);
            }
        }
        let beyond = self.beyond(a, b);
        let side = self.baseline.quantile(0.5).map_or(0.0, |m| f64::from(i8::from(a > m) - i8::from(a < m)));
        self.baseline.insert(a);
        if self.persistence.bets(side) {
            let excess = excess(b, a, self.margin);
            self.worse.push(excess, beyond);
            self.not_worse.push(-excess, beyond.map(|side| -side));
        }
    }

    /// Which of a pair lies beyond the points of the tail, the margin granted. The points are of earlier pairs.
    fn beyond(&self, a: f64, b: f64) -> Beyond {
        let points = self.baseline.quantile(0.5).zip(self.baseline.quantile(0.95));
        let Some((middle, high)) = points.filter(|_| self.looks > TAIL_AFTER) else {
            return Beyond::default();
        };
        TAIL_POINTS.map(|farther| {
            let point = high + farther * (high - middle);
            let passes = f64::from(u8::from(b > point + TAIL_MARGIN * self.margin.of(point)));
            passes - f64::from(u8::from(a > point))
        })
    }

    /// e-values of "worse by more than the margin" and of "not worse by more than it, neither typically nor in the
    /// tail": of the latter the smaller of both, since both must hold.
    #[must_use]
    pub fn values(&self) -> (f64, f64) {
        let tail = self.tail.map(libm::exp).iter().sum::<f64>() / TAIL_EXPECTED.len() as f64;
        (self.worse.value(), self.not_worse.value().min(tail))
    }

    /// The same without the tail: whether the challenger is typically worse, or typically not.
    #[must_use]
    pub fn typical(&self) -> (f64, f64) {
        (self.worse.value(), self.not_worse.value())
    }

    /// Pairs taken in.
    #[must_use]
    pub fn looks(&self) -> u32 {
        self.looks
    }
}

#[cfg(test)]
#[path = "paired_tests.rs"]
mod tests;
