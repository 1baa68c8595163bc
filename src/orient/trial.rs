//! Evidence of one stage of a league: champion and challenger side by side, turn by turn.
//!
//! ```text
//!  turns (champion, challenger) ─► failed requests as counts ─► e ≥ 2/α ┐
//!                               └► pairs of p95 (and the tail) ► e ≥ 2/α ┴► verdict of each signal
//! ```
//!
//! A sample is a request for errors, a scrape for latency. What is `None` was not fresh: such a turn says nothing of
//! that signal, and the stage goes on.
//!
//! **Errors.** "Worse" is: more often than the champion by more than the margin, *and* more often than one in 500. Its
//! null is the union of "not more often than the champion" (conditional on the failures of both, [`Coins`], exposed to
//! as many requests as each side had) and "at most one in 500", so its e-value is the smaller of the two. "Not worse"
//! is: by less than one in 100 more often. Its e-value is the mean of two: "fewer than one in 100 at all", which
//! decides soon where nothing fails, and a likelihood ratio over both shares ([`closeness`]).
//!
//! **Latency.** Pairs of p95 that arrived in one turn, typically and in the tail: [`Paired`].
//!
//! **α.** `Worse` of either signal ends a league, so each has α/2. A promotion needs both to be not worse; if one is
//! worse, that one must be mistaken, so each has the whole α (an intersection–union test).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Verdict;
use super::counts::Coins;
use super::paired::{Margin, Paired};
use super::sequential::Sequential;
use super::special::upper_quantile;

/// A challenger that fails at most this often is not worse in its errors, whatever the champion does.
const RARE: f64 = 0.002;
/// A share of errors that is higher by this counts as equal for a promotion.
const EQUAL_ERRORS: f64 = 0.01;
/// A p95 that is higher by this, ms, counts as equal.
const EQUAL_MS: f64 = 1.0;
/// Turns that count as recent.
const RECENT: usize = 3;
/// ln of an e-value is not counted beyond this.
const RICH: f64 = 600.0;

/// What one turn showed of both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    /// The time of its evaluation.
    pub at: Timestamp,
    /// The one that serves.
    pub champion: Side,
    /// The one that wants to.
    pub challenger: Side,
}

/// One side of one turn; `None` where there was no fresh value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Side {
    /// Requests since the turn before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<f64>,
    /// Share of them that failed or were cut off, 0…1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<f64>,
    /// p95, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<f64>,
    /// L∞, 0…1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linf: Option<f64>,
}

/// What the turns of a stage say together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Evidence {
    /// Time of the first turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Time of the last turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Turns with a fresh latency of both sides (after promotion: of the champion).
    pub scrapes: u32,
    /// The champion.
    pub champion: Seen,
    /// The challenger.
    pub challenger: Seen,
    /// Whether the challenger fails more often.
    pub errors: Weighed,
    /// Whether the challenger is slower.
    pub latency: Weighed,
    /// Mean of the challenger's L∞ less the champion's, over turns that have both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta_linf: Option<f64>,
}

/// What was seen of one side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Seen {
    /// Requests with a known share of errors.
    pub requests: f64,
    /// Share of these that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<f64>,
    /// The same of the last three turns that know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recent_errors: Option<f64>,
    /// Requests of these three turns.
    pub recent_requests: f64,
    /// Last p95, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<f64>,
    /// Median of the p95 of all scrapes, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typical_latency: Option<f64>,
    /// Their 90 % point, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high_latency: Option<f64>,
    /// Smallest p95 of the last three scrapes, ms; `None` before there are three.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_recent_latency: Option<f64>,
    /// Mean L∞.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linf: Option<f64>,
    /// Last turn with a fresh count of requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_at: Option<Timestamp>,
    /// Last turn with a fresh share of errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors_at: Option<Timestamp>,
    /// Last turn with a fresh latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_at: Option<Timestamp>,
    /// Last turn with a fresh L∞.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linf_at: Option<Timestamp>,
}

/// What a sequential comparison says of one signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Weighed {
    /// The verdict at this signal's part of α.
    pub verdict: Verdict,
    /// Largest e-value so far of "worse by more than the margin".
    pub e_worse: f64,
    /// e-value now of "not worse by more than the margin".
    pub e_not_worse: f64,
    /// Looks so far: requests of the challenger for errors, pairs for latency.
    pub looks: u32,
}

impl Default for Weighed {
    fn default() -> Self {
        Self { verdict: Verdict::Undecided, e_worse: 1.0, e_not_worse: 1.0, looks: 0 }
    }
}

/// Weighs the turns of one stage. `margin` is the relative difference that still counts as equal, `alpha` the
/// probability of a false alarm at any look, of both signals together.
#[must_use]
pub fn weigh(turns: &[Turn], margin: f64, alpha: f64) -> Evidence {
    let mut found = Evidence::default();
    let (mut champion, mut challenger) = (Tally::default(), Tally::default());
    let mut failures = Failures::default();
    let mut pairs = Paired::new(Margin { relative: margin, absolute: EQUAL_MS }, 1.0);
    let (mut errors, mut latency) = (Course::default(), Course::default());
    let mut gains = Mean::default();
    for turn in in_order(turns) {
        found.from = found.from.or(Some(turn.at));
        found.to = Some(turn.at);
        let old = champion.take(turn.at, &turn.champion);
        let new = challenger.take(turn.at, &turn.challenger);
        if let (Some(old), Some(new)) = (old.counts, new.counts) {
            failures.push(old, new, margin);
            errors.look(failures.worse(), new.requests);
        }
        if let (Some(old), Some(new)) = (old.latency, new.latency) {
            found.scrapes = found.scrapes.saturating_add(1);
            pairs.push(old, new);
            latency.look(pairs.values().0, 1.0);
        }
        if let (Some(old), Some(new)) = (old.linf, new.linf) {
            gains.push(new - old);
        }
    }
    found.champion = champion.seen();
    found.challenger = challenger.seen();
    found.errors = errors.weighed(failures.not_worse(), 2.0 / alpha, 1.0 / alpha);
    found.latency = latency.weighed(pairs.values().1, 2.0 / alpha, 1.0 / alpha);
    found.delta_linf = gains.value();
    found
}

/// Weighs the champion's turns after a promotion against what was seen of it before. The verdicts are of the promoted
/// template: `Worse` or `Undecided`; `champion` is what was seen of it. There are no pairs any more, so a p95 must
/// beat the 90 % point of before and the margin, as in [`super::comparison`]; and the share of errors is held against
/// the largest that the requests of before leave possible (Chernoff, α/4).
#[must_use]
pub fn weigh_after(turns: &[Turn], before: &Seen, margin: f64, alpha: f64) -> Evidence {
    let mut found = Evidence::default();
    let mut champion = Tally::default();
    let bar = before.typical_latency.zip(before.high_latency).map(|(typical, high)| {
        let equal = typical + (margin * typical).max(EQUAL_MS);
        (high.max(equal), equal)
    });
    let usual = before.errors.map(|share| (1.0 + margin) * most(share, before.requests, alpha / 4.0));
    let mut failed = Coins::new(odds(usual.unwrap_or(1.0).max(RARE)));
    let mut slow = Sequential::default();
    let (mut errors, mut latency) = (Course::default(), Course::default());
    for turn in in_order(turns) {
        found.from = found.from.or(Some(turn.at));
        found.to = Some(turn.at);
        let new = champion.take(turn.at, &turn.champion);
        if let Some(new) = new.counts
            && usual.is_some()
        {
            failed.push(new.requests - new.failed, new.failed);
            errors.look(failed.value(), new.requests);
        }
        if let Some(new) = new.latency {
            found.scrapes = found.scrapes.saturating_add(1);
            if let Some((threshold, equal)) = bar {
                slow.push(new - threshold, equal - new);
                latency.look(slow.values().0, 1.0);
            }
        }
    }
    found.champion = champion.seen();
    found.errors = errors.weighed(1.0, 4.0 / alpha, 1.0 / alpha);
    found.latency = latency.weighed(1.0, 2.0 / alpha, 1.0 / alpha);
    found
}

/// The turns in the order of time, each time once: a turn that is seen twice tells nothing new.
fn in_order(turns: &[Turn]) -> impl Iterator<Item = &Turn> {
    let mut last = None;
    turns.iter().filter(move |turn| {
        let new = last.is_none_or(|last| turn.at > last);
        if new {
            last = Some(turn.at);
        }
        new
    })
}

fn odds(share: f64) -> f64 {
    share / (1.0 - share.min(1.0 - 1e-9))
}

/// Requests of one turn, and how many of them failed.
#[derive(Clone, Copy, Debug)]
struct Counts {
    requests: f64,
    failed: f64,
}

/// What of one turn of one side may be believed.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    counts: Option<Counts>,
    latency: Option<f64>,
    linf: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn push(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    fn value(self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}

/// What adds up of one side.
#[derive(Clone, Debug, Default)]
struct Tally {
    counts: Vec<Counts>,
    latencies: Vec<f64>,
    linf: Mean,
    seen: Seen,
}

impl Tally {
    /// Takes in a turn. What is not finite or out of range was no reading.
    fn take(&mut self, at: Timestamp, side: &Side) -> Taken {
        let good = |value: Option<f64>, most: f64| value.filter(|v| *v >= 0.0 && *v <= most);
        let requests = good(side.requests, f64::MAX);
        let share = good(side.errors, 1.0);
        let latency = good(side.latency, f64::MAX);
        let linf = good(side.linf, 1.0);
        // No requests have no share of errors, and need none.
        let counts = match (requests, share) {
            (Some(requests), Some(share)) => Some(Counts { requests, failed: share * requests }),
            _ => None,
        };
        self.counts.extend(counts);
        self.latencies.extend(latency);
        if let Some(linf) = linf {
            self.linf.push(linf);
        }
        let seen = &mut self.seen;
        for (time, known) in [
            (&mut seen.requests_at, requests.is_some()),
            (&mut seen.errors_at, share.is_some()),
            (&mut seen.latency_at, latency.is_some()),
            (&mut seen.linf_at, linf.is_some()),
        ] {
            if known {
                *time = Some(at);
            }
        }
        Taken { counts, latency, linf }
    }

    fn seen(self) -> Seen {
        let share = |counts: &[Counts]| {
            let requests: f64 = counts.iter().map(|c| c.requests).sum();
            let failed: f64 = counts.iter().map(|c| c.failed).sum();
            (requests, (requests > 0.0).then(|| failed / requests))
        };
        let (requests, errors) = share(&self.counts);
        let (recent_requests, recent_errors) = share(last(&self.counts));
        let recent = last(&self.latencies);
        let least = recent.iter().copied().reduce(f64::min).filter(|_| recent.len() == RECENT);
        let latency = self.latencies.last().copied();
        let mut sorted = self.latencies;
        sorted.sort_unstable_by(f64::total_cmp);
        Seen {
            requests,
            errors,
            recent_errors,
            recent_requests,
            latency,
            typical_latency: sorted.get(sorted.len() / 2).copied(),
            high_latency: upper_quantile(&sorted, 0.9),
            least_recent_latency: least,
            linf: self.linf.value(),
            ..self.seen
        }
    }
}

fn last<T>(all: &[T]) -> &[T] {
    all.get(all.len().saturating_sub(RECENT)..).unwrap_or(all)
}

/// The course of "worse" on one signal. Once shown it stays shown (Ville); "not worse" must hold when it is asked for.
#[derive(Clone, Copy, Debug)]
struct Course {
    worse: f64,
    looks: f64,
}

impl Default for Course {
    fn default() -> Self {
        Self { worse: 1.0, looks: 0.0 }
    }
}

impl Course {
    fn look(&mut self, worse: f64, samples: f64) {
        self.worse = self.worse.max(worse);
        self.looks += samples;
    }

    fn weighed(self, e_not_worse: f64, worse_from: f64, not_worse_from: f64) -> Weighed {
        let verdict = if self.worse >= worse_from {
            Verdict::Worse
        } else if e_not_worse >= not_worse_from {
            Verdict::NotWorse
        } else {
            Verdict::Undecided
        };
        Weighed { verdict, e_worse: self.worse, e_not_worse, looks: self.looks as u32 }
    }
}

/// The e-processes over failed requests of both sides.
#[derive(Clone, Debug)]
struct Failures {
    /// Against "not more often than the champion".
    more: Coins,
    /// Against "at most one in 500".
    often: Coins,
    old: Counts,
    new: Counts,
}

impl Default for Failures {
    fn default() -> Self {
        let none = Counts { requests: 0.0, failed: 0.0 };
        Self { more: Coins::new(1.0), often: Coins::new(odds(RARE)), old: none, new: none }
    }
}

impl Failures {
    fn push(&mut self, old: Counts, new: Counts, margin: f64) {
        if new.requests > 0.0 {
            self.often.push(new.requests - new.failed, new.failed);
            if old.requests > 0.0 {
                self.more.push_at((1.0 + margin) * new.requests / old.requests, old.failed, new.failed);
            }
        }
        for (sum, counts) in [(&mut self.old, old), (&mut self.new, new)] {
            sum.requests += counts.requests;
            sum.failed += counts.failed;
        }
    }

    fn worse(&self) -> f64 {
        self.more.value().min(self.often.value())
    }

    fn not_worse(&self) -> f64 {
        0.5 * (fewness(self.new) + closeness(self.old, self.new))
    }
}

/// e-value against "at least one in 100 fails": the likelihood ratio of two smaller shares.
fn fewness(new: Counts) -> f64 {
    let ratio = |p: f64| {
        let own = new.failed * libm::log(p / EQUAL_ERRORS);
        let rest = (new.requests - new.failed) * libm::log((1.0 - p) / (1.0 - EQUAL_ERRORS));
        libm::exp((own + rest).min(RICH))
    };
    0.5 * (ratio(0.05 * EQUAL_ERRORS) + ratio(0.3 * EQUAL_ERRORS))
}

/// e-value against "the challenger's share of errors p + d, d one in 100 or more": the likelihood of one share for both
/// (mixed over it with Jeffreys' prior, in closed form) over the largest that the null can give.
///
/// Source: Wasserman, Ramdas & Balakrishnan 2020, "Universal inference".
fn closeness(old: Counts, new: Counts) -> f64 {
    let (failed, fine) = (old.failed + new.failed, old.requests + new.requests - old.failed - new.failed);
    let beta = |a: f64, b: f64| libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b);
    let one = beta(failed + 0.5, fine + 0.5) - beta(0.5, 0.5);
    let log = |count: f64, p: f64| if count > 0.0 { count * libm::log(p) } else { 0.0 };
    let of = |counts: Counts, p: f64| log(counts.failed, p) + log(counts.requests - counts.failed, 1.0 - p);
    // Inside the null both likelihoods are concave in the champion's share; the challenger's may lie higher still.
    let best_new = |p: f64| {
        let own = if new.requests > 0.0 { new.failed / new.requests } else { 0.0 };
        of(new, own.max(p + EQUAL_ERRORS))
    };
    let (mut low, mut high) = (0.0, 1.0 - EQUAL_ERRORS);
    for _ in 0..60 {
        let third = (high - low) / 3.0;
        let (a, b) = (low + third, high - third);
        if of(old, a) + best_new(a) < of(old, b) + best_new(b) { low = a } else { high = b }
    }
    let middle = 0.5 * (low + high);
    let edges = [0.0, middle, 1.0 - EQUAL_ERRORS].map(|p| of(old, p) + best_new(p));
    let null = edges.into_iter().fold(f64::NEG_INFINITY, f64::max);
    libm::exp((one - null).min(RICH))
}

/// The largest share that `requests` with this share of failures leave possible with probability `delta`: where
/// `requests · KL(share ‖ p) = ln(1/delta)` (Chernoff).
fn most(share: f64, requests: f64, delta: f64) -> f64 {
    let enough = libm::log(1.0 / delta);
    let part = |p: f64, q: f64| if p > 0.0 { p * libm::log(p / q) } else { 0.0 };
    let possible = |p: f64| requests * (part(share, p) + part(1.0 - share, 1.0 - p)) <= enough;
    let (mut low, mut high) = (share, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if possible(middle) { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
#[path = "trial_tests.rs"]
mod tests;
