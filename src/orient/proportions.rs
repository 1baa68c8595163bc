//! Proportions of two sides with unequal traffic, side by side: of failed requests, or of slow ones.
//!
//! ```text
//!  (requests, bad of them) of both ─► e: "more often than the champion, and more often than is rare"
//!                                 └─► e: "not more often by `equal`"
//! ```
//!
//! **Worse.** Its null is the union of "not more often than the champion" (conditional on the bad requests of both,
//! [`Coins`], exposed to as many requests as each side had) and "at most `rare`", so its e-value is the smaller of the
//! two. Bad requests that come in bursts are no coins; where they may, the wealth of a bet grows at most `gain`-fold
//! a look, so that one burst proves nothing. Less wealth than a fair bet gives stays a supermartingale.
//!
//! **Not worse.** The mean of two e-values: "fewer than `equal` at all", which decides soon where nothing is bad, and
//! a likelihood ratio over both shares ([`closeness`]).

use super::counts::Coins;

/// ln of an e-value is not counted beyond this.
const RICH: f64 = 600.0;

/// What counts as rare, as equal, and how much one look may prove.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bars {
    /// A challenger that is bad at most this often is not worse, whatever the champion does.
    pub rare: f64,
    /// A share that is higher by this counts as equal for a promotion.
    pub equal: f64,
    /// Largest factor by which one look may raise the wealth of a bet.
    pub gain: f64,
}

/// Requests of one turn, and how many of them were bad.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// All of them.
    pub requests: f64,
    /// The bad ones.
    pub bad: f64,
}

/// Odds of a share.
pub(super) fn odds(share: f64) -> f64 {
    share / (1.0 - share.min(1.0 - 1e-9))
}

/// The e-processes over bad requests of both sides.
#[derive(Clone, Debug)]
pub struct Proportions {
    bars: Bars,
    /// Against "not more often than the champion".
    more: Coins,
    /// Against "at most `rare`".
    often: Coins,
    old: Counts,
    new: Counts,
}

impl Proportions {
    /// No requests yet.
    #[must_use]
    pub fn new(bars: Bars) -> Self {
        let (old, new) = (Counts::default(), Counts::default());
        let coins = |ratio| Coins::new(ratio).gaining(bars.gain);
        Self { bars, more: coins(1.0), often: coins(odds(bars.rare)), old, new }
    }

    /// Takes in a turn. `margin` is the relative difference that still counts as equal.
    pub fn push(&mut self, old: Counts, new: Counts, margin: f64) {
        if new.requests > 0.0 {
            self.often.push(new.requests - new.bad, new.bad);
            if old.requests > 0.0 {
                self.more.push_at((1.0 + margin) * new.requests / old.requests, old.bad, new.bad);
            }
        }
        for (sum, counts) in [(&mut self.old, old), (&mut self.new, new)] {
            sum.requests += counts.requests;
            sum.bad += counts.bad;
        }
    }

    /// Requests of the challenger that were counted.
    #[must_use]
    pub fn requests(&self) -> f64 {
        self.new.requests
    }

    /// e-value of "more often, by more than the margin".
    #[must_use]
    pub fn worse(&self) -> f64 {
        self.more.value().min(self.often.value())
    }

    /// e-value of "not more often by `equal`".
    #[must_use]
    pub fn not_worse(&self) -> f64 {
        let equal = self.bars.equal;
        0.5 * (fewness(self.new, equal) + closeness(self.old, self.new, equal))
    }
}

/// e-value against "at least `equal` is bad": the likelihood ratio of two smaller shares.
fn fewness(new: Counts, equal: f64) -> f64 {
    let ratio = |p: f64| {
        let own = new.bad * libm::log(p / equal);
        let rest = (new.requests - new.bad) * libm::log((1.0 - p) / (1.0 - equal));
        libm::exp((own + rest).min(RICH))
    };
    0.5 * (ratio(0.05 * equal) + ratio(0.3 * equal))
}

/// e-value against "the challenger's share is p + d, d at least `equal`": the likelihood of one share for both (mixed
/// over it with Jeffreys' prior, in closed form) over the largest that the null can give.
///
/// Source: Wasserman, Ramdas & Balakrishnan 2020, "Universal inference".
fn closeness(old: Counts, new: Counts, equal: f64) -> f64 {
    let (bad, fine) = (old.bad + new.bad, old.requests + new.requests - old.bad - new.bad);
    let beta = |a: f64, b: f64| libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b);
    let one = beta(bad + 0.5, fine + 0.5) - beta(0.5, 0.5);
    let log = |count: f64, p: f64| if count > 0.0 { count * libm::log(p) } else { 0.0 };
    let of = |counts: Counts, p: f64| log(counts.bad, p) + log(counts.requests - counts.bad, 1.0 - p);
    // Inside the null both likelihoods are concave in the champion's share; the challenger's may lie higher still.
    let best_new = |p: f64| {
        let own = if new.requests > 0.0 { new.bad / new.requests } else { 0.0 };
        of(new, own.max(p + equal))
    };
    let (mut low, mut high) = (0.0, 1.0 - equal);
    for _ in 0..60 {
        let third = (high - low) / 3.0;
        let (a, b) = (low + third, high - third);
        if of(old, a) + best_new(a) < of(old, b) + best_new(b) { low = a } else { high = b }
    }
    let middle = 0.5 * (low + high);
    let edges = [0.0, middle, 1.0 - equal].map(|p| of(old, p) + best_new(p));
    let null = edges.into_iter().fold(f64::NEG_INFINITY, f64::max);
    libm::exp((one - null).min(RICH))
}

#[cfg(test)]
#[path = "proportions_tests.rs"]
mod tests;
