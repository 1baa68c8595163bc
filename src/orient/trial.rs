//! Evidence of one stage of a league: champion and challenger side by side, turn by turn.
//!
//! ```text
//!  turns (champion, challenger) ─► failed requests as counts ─► e ≥ 2/α ┐
//!                               └► pairs of p95 (and the tail) ► e ≥ 2/α ┴► verdict of each signal
//! ```
//!
//! A sample is a request for shares, a scrape for the p95. What is `None` was not fresh: such a turn says nothing of
//! that signal, and the stage goes on.
//!
//! **Errors.** Counts of failed requests of both sides: [`Proportions`].
//!
//! **Latency.** Pairs of p95 that arrived in one turn, typically and in the tail: [`Paired`]. The p95 of few requests
//! scatters more than that of many: where the challenger has less than half of the champion's traffic, only the sign of
//! a difference is bet on, and its tail may be longer by what the traffic explains. Where slow requests are counted,
//! these are compared as errors are, whatever the traffic: "worse" is the mean of both e-values, and "not worse" asks
//! the counts about the tail instead of the pairs; about all of it, where the bar lies near the champion's p95.
//!
//! **α.** `Worse` of either signal ends a league, so each has α/2. A promotion needs both to be not worse; if one is
//! worse, that one must be mistaken, so each has the whole α (an intersection–union test).

use std::ops::RangeInclusive;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Verdict;
use super::counts::Coins;
use super::paired::{Margin, Paired};
use super::proportions::{Bars, Counts, Proportions, odds};
use super::sequential::Sequential;
use super::special::upper_quantile;

/// Errors: one in 500 is rare, one in 100 more is equal.
const ERRORS: Bars = Bars { rare: 0.002, equal: 0.01, gain: f64::INFINITY };
/// Slow requests come in bursts, so one turn proves no more than a coin does.
const SLOW: Bars = Bars { rare: 0.01, equal: 0.025, gain: 2.0 };
/// Part of the challenger's requests that must be known as slow or not for the counts to speak of the tail.
const MOST: f64 = 0.5;
/// A bar that the champion passes this often lies near its p95: what moves the p95 then moves the counts as well.
const NEAR: RangeInclusive<f64> = 0.02..=0.2;
/// Noise that is wider by this at most counts as of one size.
const ALIKE: f64 = 1.5;
/// A p95 that is higher by this, ms, counts as equal.
const EQUAL_MS: f64 = 1.0;
/// Turns that count as recent.
const RECENT: usize = 3;

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
    /// Share of them that were slower than a bar, 0…1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<f64>,
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
    /// Share of slow requests, of those of which it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<f64>,
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
    let (mut failures, mut slow) = (Proportions::new(ERRORS), Proportions::new(SLOW));
    let equal = Margin { relative: margin, absolute: EQUAL_MS };
    let spread = spread(turns);
    let mut pairs =
        if spread <= ALIKE { Paired::new(equal, 1.0) } else { Paired::unlike(equal, 1.0, spread) };
    let (mut errors, mut latency) = (Course::default(), Course::default());
    let mut gains = Mean::default();
    let counted = turns.iter().any(|turn| turn.champion.slow.is_some() && turn.challenger.slow.is_some());
    for turn in in_order(turns) {
        found.from = found.from.or(Some(turn.at));
        found.to = Some(turn.at);
        let old = champion.take(turn.at, &turn.champion);
        let new = challenger.take(turn.at, &turn.challenger);
        if let (Some(old), Some(new)) = (old.counts, new.counts) {
            failures.push(old, new, margin);
            errors.look(failures.worse(), new.requests);
        }
        if let (Some(old), Some(new)) = (old.slow, new.slow) {
            slow.push(old, new, margin);
        }
        let pair = old.latency.zip(new.latency);
        if let Some((old, new)) = pair {
            found.scrapes = found.scrapes.saturating_add(1);
            pairs.push(old, new);
        }
        let worse = pairs.typical().0;
        latency.look(
            if counted { 0.5 * (worse + slow.worse()) } else { worse },
            f64::from(u8::from(pair.is_some())),
        );
        if let (Some(old), Some(new)) = (old.linf, new.linf) {
            gains.push(new - old);
        }
    }
    found.champion = champion.seen();
    found.challenger = challenger.seen();
    found.errors = errors.weighed(failures.not_worse(), 2.0 / alpha, 1.0 / alpha);
    let covers = slow.requests() > 0.0 && slow.requests() >= MOST * found.challenger.requests;
    let near = found.champion.slow.is_some_and(|share| NEAR.contains(&share));
    let not_worse = match (covers, near) {
        (true, true) => slow.not_worse(),
        (true, false) => pairs.typical().1.min(slow.not_worse()),
        (false, _) => pairs.values().1,
    };
    found.latency = latency.weighed(not_worse, 2.0 / alpha, 1.0 / alpha);
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
    let mut failed = Coins::new(odds(usual.unwrap_or(1.0).max(ERRORS.rare)));
    let mut slow = Sequential::default();
    let (mut errors, mut latency) = (Course::default(), Course::default());
    for turn in in_order(turns) {
        found.from = found.from.or(Some(turn.at));
        found.to = Some(turn.at);
        let new = champion.take(turn.at, &turn.champion);
        if let Some(new) = new.counts
            && usual.is_some()
        {
            failed.push(new.requests - new.bad, new.bad);
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

/// How many times wider the error of the challenger's quantiles is, at least 1: the root of the ratio of the traffic.
fn spread(turns: &[Turn]) -> f64 {
    let sum = |of: fn(&Turn) -> Option<f64>| turns.iter().filter_map(of).filter(|n| *n > 0.0).sum::<f64>();
    let (old, new) = (sum(|turn| turn.champion.requests), sum(|turn| turn.challenger.requests));
    if new > 0.0 { (old / new).sqrt().max(1.0) } else { 1.0 }
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

/// What of one turn of one side may be believed.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    counts: Option<Counts>,
    slow: Option<Counts>,
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
    slow: Vec<Counts>,
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
        let count = |share: Option<f64>| {
            requests.zip(share).map(|(requests, share)| Counts { requests, bad: share * requests })
        };
        let (counts, slow) = (count(share), count(good(side.slow, 1.0)));
        self.counts.extend(counts);
        self.slow.extend(slow);
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
        Taken { counts, slow, latency, linf }
    }

    fn seen(self) -> Seen {
        let share = |counts: &[Counts]| {
            let requests: f64 = counts.iter().map(|c| c.requests).sum();
            let bad: f64 = counts.iter().map(|c| c.bad).sum();
            (requests, (requests > 0.0).then(|| bad / requests))
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
            slow: share(&self.slow).1,
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
