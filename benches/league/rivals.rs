//! Two other kinds of judges on the same runs: fixed thresholds at every interval, and a rank test at the end.
//! Neither has a shadow stage, and neither looks again after the promotion.

use matverse::simulate::chance::Chance;
use matverse::simulate::league::{Scraper, Story};

/// What a judge made of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Keep,
    Back,
    Undecided,
}

/// How a run ended: what was said, after how many seconds, and the share of all requests that the challenger answered.
pub struct Ended {
    pub said: Said,
    pub seconds: f64,
    pub reached: f64,
}

/// A check of every interval: share of errors and p95 against fixed bars; the fifth failed check ends it.
pub fn threshold(story: &Story, noise: &[(f64, f64)], p95_ms: f64, chance: &mut Chance) -> Ended {
    let (mut failed, mut scraper) = (0, Scraper::default());
    for (turn, (_, new)) in noise.iter().take(turns(story)).enumerate() {
        let seen = scraper.side((slice(story), &story.challenger, *new), &story.sight, chance);
        let bad = seen.errors.is_none_or(|share| share > story.spec.error_max)
            || seen.latency.is_none_or(|p95| p95 > p95_ms);
        failed += u32::from(bad);
        if failed == 5 {
            return back(story, turn + 1, noise.len());
        }
    }
    kept(story, noise.len())
}

/// Which effect a rank test must show beside its significance.
#[derive(Clone, Copy)]
pub enum Effect {
    /// The interval of the shift lies above a quarter of its estimate.
    Quarter,
    /// The shift is above a tenth of the champion's median.
    Tenth,
}

/// Mann–Whitney over both windows of the canary stage, 98 % confidence, on p95 and on the share of errors.
pub fn ranks(story: &Story, noise: &[(f64, f64)], effect: Effect, chance: &mut Chance) -> Ended {
    let (mut old, mut new) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    let (mut of_old, mut of_new) = (Scraper::default(), Scraper::default());
    let rest = story.requests - slice(story);
    for (a, b) in noise.iter().take(turns(story)) {
        let champion = of_old.side((rest, &story.champion, *a), &story.sight, chance);
        let challenger = of_new.side((slice(story), &story.challenger, *b), &story.sight, chance);
        old.0.extend(champion.latency);
        new.0.extend(challenger.latency);
        old.1.extend(champion.errors);
        new.1.extend(challenger.errors);
    }
    let slower = shift(&old.0, &new.0).is_some_and(|(estimate, low)| match effect {
        Effect::Quarter => low > 0.25 * estimate.abs(),
        Effect::Tenth => low > 0.0 && estimate > 0.1 * median(&old.0),
    });
    if slower || z(&old.1, &new.1) > Z {
        return back(story, turns(story), noise.len());
    }
    kept(story, noise.len())
}

/// Two-sided 98 %.
const Z: f64 = 2.326;

fn turns(story: &Story) -> usize {
    (story.spec.canary_seconds / story.interval_seconds) as usize
}

fn slice(story: &Story) -> f64 {
    (story.spec.weight * story.requests).round()
}

fn back(story: &Story, turns: usize, all: usize) -> Ended {
    let seconds = turns as f64 * f64::from(story.interval_seconds);
    Ended { said: Said::Back, seconds, reached: story.spec.weight * turns as f64 / all as f64 }
}

fn kept(story: &Story, all: usize) -> Ended {
    let canary = turns(story) as f64;
    let reached = (story.spec.weight * canary + (all as f64 - canary)) / all as f64;
    Ended { said: Said::Keep, seconds: canary * f64::from(story.interval_seconds), reached }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Hodges–Lehmann estimate of the shift and the lower end of its interval.
fn shift(old: &[f64], new: &[f64]) -> Option<(f64, f64)> {
    let mut all: Vec<f64> = new.iter().flat_map(|b| old.iter().map(move |a| b - a)).collect();
    all.sort_unstable_by(f64::total_cmp);
    let (n, m) = (old.len() as f64, new.len() as f64);
    let rank = 0.5 * n * m - Z * (n * m * (n + m + 1.0) / 12.0).sqrt();
    Some((*all.get(all.len() / 2)?, *all.get(rank.max(0.0) as usize)?))
}

/// Standardised rank sum of `new`, ties at their mean rank.
fn z(old: &[f64], new: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> =
        old.iter().map(|v| (*v, false)).chain(new.iter().map(|v| (*v, true))).collect();
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut sum, mut ties, mut at) = (0.0, 0.0, 0);
    while at < all.len() {
        let same = all[at..].iter().take_while(|v| v.0 <= all[at].0).count();
        let rank = at as f64 + 0.5 * (same as f64 + 1.0);
        sum += rank * all[at..at + same].iter().filter(|v| v.1).count() as f64;
        ties += (same as f64).powi(3) - same as f64;
        at += same;
    }
    let (n, m) = (old.len() as f64, new.len() as f64);
    let whole = n + m;
    let spread = (n * m / 12.0 * ((whole + 1.0) - ties / (whole * (whole - 1.0)))).sqrt();
    if spread > 0.0 { (sum - m * (whole + 1.0) / 2.0) / spread } else { 0.0 }
}
