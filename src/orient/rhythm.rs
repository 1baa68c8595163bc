//! A demand's own rhythm: simple forecasts side by side, weighed by how well each has done of late.
//!
//! ```text
//!  one sample a window ─┬─► six levels, each half as quick as the one before ─┐
//!                       ├─► the filter's level and slope, where it rises ─────┼─► weighed by their errors at the
//!                       └─► the slowest + what it was off by 6 … 120 windows ─┘   horizon ─► mean, and its own errors
//!                           ago: a load that comes back every so often
//! ```
//!
//! What is asked of a forecast is the demand at the time when a replica asked for now would serve. So each is scored by
//! its error at just that lead, and weighs (σ²/σ²ₑ)^[`POWER`]: the likelihood of its errors against those of the best
//! (weights by predictive likelihood, Bates & Granger 1969 and after). No threshold decides whether there is a period, and which:
//! many loads follow a schedule (jobs of every five, ten, fifteen minutes, of every hour), and a dip that comes back is
//! neither a new level nor noise of the old one.
//!
//! The standard deviation is that of the mixture's own past errors at that lead, so it holds what no forecast saw.

use jiff::{SignedDuration, Timestamp};

use super::adapt::seconds;
use super::lanes;

/// Shortest time between two samples, s: those of a `rate()` over the usual window share nothing then.
const WINDOW: f64 = 30.0;
/// Gains of the levels.
const GAINS: [f64; LEVELS] = [1.0, 0.5, 0.25, 0.125, 0.0625, 0.031_25];
const LEVELS: usize = 6;
const SLOWEST: usize = LEVELS - 1;
/// Shortest and longest period, in windows: three minutes and an hour of the shortest window.
const SHORTEST: usize = 6;
const LONGEST: usize = 120;
const PERIODS: usize = LONGEST - SHORTEST + 1;
/// Windows that are looked ahead at most, and those that are mostly enough: each costs a sum over all periods.
const LEADS: usize = 16;
const NEAR: usize = 4;
/// What is kept: the longest period, as far back as it was scored.
const RING: usize = LONGEST + LEADS;
/// Share of a new error in the mean of them: a memory of a hundred windows.
const MEMORY: f64 = 0.01;
/// Half the number of independent errors whose likelihood the weights are.
const POWER: i32 = 10;
/// A forecast whose mean squared error is as many times that of the best one weighs less than a thousandth, and is left out.
const HOPELESS: f64 = 2.0;
/// Forecasts that must have been scored before one is given.
const ENOUGH: u32 = 6;
/// How far ahead is looked, in horizons: who gives a replica away has no other for the time in which it goes, and one in
/// which another comes.
const THERE_AND_BACK: f64 = 2.0;
/// Values beyond this are no measurement of anything, and their squares would overflow.
const ABSURD: f64 = 1e50;

/// Forecasts of one demand, and what their errors were.
#[derive(Clone, Debug)]
pub struct Rhythm {
    /// Time of the last sample that was taken, on the grid of windows.
    at: Option<Timestamp>,
    /// Length of a window, s.
    window: f64,
    /// Windows so far.
    count: usize,
    /// Lead at which forecasts are scored, in windows.
    lead: usize,
    levels: [f64; LEVELS],
    /// The levels as they stood at each of the last windows.
    past: [[f64; LEVELS]; LEADS + 1],
    /// What the trend foresaw one lead on, at each of them, and its mean squared error.
    rises: [f64; LEADS + 1],
    rise_error: f64,
    /// Least variance of a sample.
    noise: f64,
    /// By how much each window was off the slowest level; twice, so that a stretch of it is one slice.
    off: [f64; 2 * RING],
    /// Mean squared errors.
    level_errors: [f64; LEVELS],
    /// Of the longest period first: they lie as what was off so long ago does.
    period_errors: [f64; PERIODS],
    /// The trend at the last window, and what it gains a window.
    trend: (f64, f64),
    /// Means for 1, 2, … windows ahead, as many as `known`.
    ahead: [f64; LEADS],
    known: usize,
    /// What was said `lead` windows ahead at each of the last windows, the errors of that, and how many there were.
    said: [f64; LEADS + 1],
    error: f64,
    scored: u32,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self {
            at: None,
            window: WINDOW,
            count: 0,
            lead: 1,
            levels: [0.0; LEVELS],
            past: [[0.0; LEVELS]; LEADS + 1],
            rises: [f64::NAN; LEADS + 1],
            rise_error: 0.0,
            noise: 0.0,
            off: [0.0; 2 * RING],
            level_errors: [0.0; LEVELS],
            period_errors: [0.0; PERIODS],
            trend: (0.0, 0.0),
            ahead: [0.0; LEADS],
            known: LEADS,
            said: [f64::NAN; LEADS + 1],
            error: 0.0,
            scored: 0,
        }
    }
}

/// Weight of the `nth` error in the mean of squares.
fn gain(nth: usize) -> f64 {
    MEMORY.max(1.0 / nth.max(1) as f64)
}

/// Moves a mean of squares by a new error.
fn learn(mean: &mut f64, error: f64, gain: f64) {
    *mean += gain * (error * error - *mean);
}

impl Rhythm {
    /// Takes in a sample, where a window has passed since the last that was taken.
    ///
    /// `trend` is the filter's level and slope (a second), this sample included; `interval` is the length of a turn and
    /// `horizon` how far ahead a forecast is for, both in s; `noise` is the least variance that a sample has.
    pub fn observe(
        &mut self,
        value: f64,
        at: Timestamp,
        trend: (f64, f64),
        interval: f64,
        horizon: f64,
        noise: f64,
    ) {
        let sane = |v: f64| v.abs() <= ABSURD;
        // Written so that NaN is absurd as well.
        if !(sane(value) && sane(trend.0) && sane(trend.1) && interval > 0.0 && noise >= 0.0) {
            return;
        }
        self.noise = noise.max(f64::MIN_POSITIVE);
        self.window = interval.max(WINDOW);
        let lead = self.windows(horizon);
        if lead != self.lead {
            self.lead = lead;
            (self.said, self.rises) = ([f64::NAN; LEADS + 1], [f64::NAN; LEADS + 1]);
        }
        // As far as is asked until the next sample is a window overdue.
        let leads = self.windows(THERE_AND_BACK * horizon) + 2;
        let Some(last) = self.at else {
            (self.at, self.levels) = (Some(at), [value; LEVELS]);
            self.push(value, trend, leads);
            return;
        };
        // A sample that comes half a turn early is the one of its window.
        let passed = libm::floor((seconds(last, at) + 0.5 * interval) / self.window);
        if passed < 1.0 {
            return;
        }
        if passed > RING as f64 {
            *self = Self::default();
            self.observe(value, at, trend, interval, horizon, noise);
            return;
        }
        let on_the_grid = SignedDuration::try_from_secs_f64(passed * self.window);
        self.at = on_the_grid.ok().and_then(|by| last.checked_add(by).ok()).or(Some(at));
        for _ in 1..passed as usize {
            self.skip(leads);
        }
        self.push(value, trend, leads);
    }

    /// Windows that a time ahead takes.
    fn windows(&self, ahead: f64) -> usize {
        (libm::ceil(ahead / self.window) as usize).clamp(1, LEADS)
    }

    fn push(&mut self, value: f64, trend: (f64, f64), leads: usize) {
        self.score(value);
        for (level, gain) in self.levels.iter_mut().zip(GAINS) {
            *level += gain.max(1.0 / (self.count + 1) as f64) * (value - *level);
        }
        self.pass(value, trend, leads);
    }

    /// A window without a sample: what was expected stands for it, and nothing is learned.
    fn skip(&mut self, leads: usize) {
        self.pass(self.ahead[0], (self.ahead[0], 0.0), leads);
    }

    fn pass(&mut self, value: f64, trend: (f64, f64), leads: usize) {
        self.past[self.count % (LEADS + 1)] = self.levels;
        let (off, place) = (value - self.levels[SLOWEST], self.count % RING);
        (self.off[place], self.off[place + RING]) = (off, off);
        self.count += 1;
        // What falls counts as what it is now: nobody knows where a fall ends.
        self.trend = (trend.0, trend.1.max(0.0) * self.window);
        if leads.max(self.lead) <= NEAR {
            let near = self.means::<NEAR>();
            self.ahead[..NEAR].copy_from_slice(&near);
            self.known = NEAR;
        } else {
            self.ahead = self.means();
            self.known = LEADS;
        }
        let place = (self.count - 1) % (LEADS + 1);
        self.said[place] = self.ahead[self.lead - 1];
        self.rises[place] = self.trend.0 + self.trend.1 * self.lead as f64;
    }

    /// The errors of what was forecast of this window, one lead ago.
    fn score(&mut self, value: f64) {
        let Some(made) = self.count.checked_sub(self.lead) else { return };
        let place = made % (LEADS + 1);
        let levels = self.past[place];
        let all = gain(made + 1);
        for (error, level) in self.level_errors.iter_mut().zip(levels) {
            learn(error, value - level, all);
        }
        let last = LONGEST.min(made);
        let first = SHORTEST.max(self.lead);
        if first <= last {
            let ago = &self.off[self.count % RING + RING - last..=self.count % RING + RING - first];
            let errors = self.period_errors[LONGEST - last..=LONGEST - first].iter_mut().zip(ago);
            let slowest = levels[SLOWEST];
            // The longest period has the fewest errors: once it is past the mean's memory, all are, and none needs a division.
            if gain(made - last + 1) <= MEMORY {
                errors.for_each(|(error, off)| learn(error, value - (slowest + off), MEMORY));
            } else {
                for (period, (error, off)) in (first..=last).rev().zip(errors) {
                    learn(error, value - (slowest + off), gain(made - period + 1));
                }
            }
        }
        if self.rises[place].is_finite() {
            learn(&mut self.rise_error, value - self.rises[place], all);
        }
        if self.said[place].is_finite() {
            self.scored = self.scored.saturating_add(1);
            learn(&mut self.error, value - self.said[place], gain(self.scored as usize));
        }
    }

    /// Means of the mixture for the first leads.
    fn means<const N: usize>(&self) -> [f64; N] {
        let (now, rise) = self.trend;
        // A period counts once it has come back: it was scored for as long as it is.
        let first = SHORTEST.max(self.lead);
        let last = LONGEST.min(self.count.saturating_sub(self.lead + 1) / 2).max(first - 1);
        let periods = &self.period_errors[LONGEST - last..LONGEST + 1 - first];
        let level = lanes::smallest(&self.level_errors).min(self.rise_error);
        let best = level.min(lanes::smallest(periods)).max(self.noise);
        let counts = |error: f64| error < HOPELESS * best;
        let weight = |error: f64| (best / error.max(self.noise)).powi(POWER);
        let (mut sum, mut level, mut slope, mut off) = (0.0, 0.0, 0.0, [0.0; N]);
        for (error, at) in self.level_errors.into_iter().zip(self.levels).filter(|(error, _)| counts(*error))
        {
            let w = weight(error);
            sum += w;
            level += w * at;
        }
        if counts(self.rise_error) {
            let w = weight(self.rise_error);
            sum += w;
            level += w * now;
            slope = w * rise;
        }
        for (shorter, error) in periods.iter().enumerate().filter(|(_, error)| counts(**error)) {
            let (period, w) = (last - shorter, weight(*error));
            sum += w;
            level += w * self.levels[SLOWEST];
            // The window that is one lead on came a period ago.
            let came = &self.off[self.count % RING + RING - period..];
            match came.first_chunk::<N>() {
                Some(came) if period >= N => {
                    off.iter_mut().zip(came).for_each(|(off, came)| *off += w * came);
                }
                // The last time that has been, where a lead is longer than the period.
                _ => {
                    let came = came[..period].iter().cycle();
                    off.iter_mut().zip(came).for_each(|(off, came)| *off += w * came);
                }
            }
        }
        std::array::from_fn(|i| (level + slope * (i + 1) as f64 + off[i]) / sum)
    }

    /// Mean and standard deviation of a sample: the largest mean from now until a replica given away now could be
    /// replaced (two `horizon`s, in s). `None` before enough forecasts were scored.
    #[must_use]
    pub fn through(&self, at: Timestamp, horizon: f64) -> Option<(f64, f64)> {
        let since = seconds(self.at?, at).max(0.0);
        let reach = self.windows(THERE_AND_BACK * horizon + since);
        let largest = |means: &[f64]| means[..reach].iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mean = if reach <= self.known { largest(&self.ahead) } else { largest(&self.means::<LEADS>()) };
        let known = self.scored >= ENOUGH && mean.is_finite() && self.error.is_finite();
        known.then(|| (mean, self.error.max(self.noise).sqrt()))
    }
}

#[cfg(test)]
#[path = "rhythm_tests.rs"]
mod tests;
