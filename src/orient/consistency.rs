//! Whether a filter's innovations are as large as the filter says.
//!
//! The mean of N normalised innovations squared of a consistent filter is a χ² of N degrees over N: inside its 95 % band 19 times
//! in 20. *Above* for ten minutes the filter is too sure of itself and its forecasts must not size anything;
//! below (a constant signal under the noise floor) it is merely modest.

use super::{Consistency, lanes};

/// Innovations in the mean.
const WINDOW: usize = 40;
/// Below this many the band says nothing.
const ENOUGH: usize = 20;
/// For how long the mean must stay above, s.
const PATIENCE: f64 = 600.0;
/// One innovation counts for at most this much (3.2σ): a single outlier is the anomaly's business, not proof
/// that the variance is wrong. A consistent filter's mean is lowered by under 2 % for it.
const CAP: f64 = 10.0;

/// Sliding mean of the normalised innovations squared of one filter.
#[derive(Clone, Debug)]
pub struct Monitor {
    window: [f64; WINDOW],
    /// Of the window; added up anew each time round, so that rounding does not gather.
    sum: f64,
    /// For the present count.
    band: (f64, f64),
    next: usize,
    count: usize,
    seconds_above: f64,
}

impl Default for Monitor {
    fn default() -> Self {
        Self {
            window: [0.0; WINDOW],
            sum: 0.0,
            band: (0.0, f64::INFINITY),
            next: 0,
            count: 0,
            seconds_above: 0.0,
        }
    }
}

impl Monitor {
    /// Takes in one normalised innovation squared, `dt` seconds after the one before.
    pub fn push(&mut self, nis: f64, dt: f64) {
        let nis = if nis.is_finite() { nis.min(CAP) } else { CAP };
        self.sum += nis - self.window[self.next];
        self.window[self.next] = nis;
        self.next = (self.next + 1) % WINDOW;
        if self.next == 0 {
            self.sum = lanes::sum(&self.window);
        }
        if self.count < WINDOW {
            self.count += 1;
            self.band = band(self.count);
        }
        let above = self.count >= ENOUGH && self.sum > self.band.1 * self.count as f64;
        self.seconds_above = if above { self.seconds_above + dt.max(0.0) } else { 0.0 };
    }

    /// Mean of the window; 0 when empty.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }

    /// What the window says.
    #[must_use]
    pub fn verdict(&self) -> Consistency {
        if self.count < ENOUGH {
            Consistency::Unknown
        } else if self.seconds_above >= PATIENCE {
            Consistency::Overconfident
        } else if self.mean() < self.band.0 {
            Consistency::Underconfident
        } else {
            Consistency::Consistent
        }
    }
}

/// Central 95 % band of a χ² of N degrees over N, by Wilson & Hilferty (1931); within .2 % for N ≥ 20.
fn band(count: usize) -> (f64, f64) {
    let n = count as f64;
    let spread = 1.959_964 * libm::sqrt(2.0 / (9.0 * n));
    let centre = 1.0 - 2.0 / (9.0 * n);
    let cube = |v: f64| v * v * v;
    (cube(centre - spread), cube(centre + spread))
}

/// The verdict on several filters: one that is too sure of itself spoils the whole.
#[must_use]
pub fn together<'a>(monitors: impl Iterator<Item = &'a Monitor>) -> Consistency {
    let rank = |c: Consistency| match c {
        Consistency::Unknown => 0,
        Consistency::Underconfident => 1,
        Consistency::Consistent => 2,
        Consistency::Overconfident => 3,
    };
    monitors.map(Monitor::verdict).max_by_key(|c| rank(*c)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_band_is_the_table() {
        // χ²₂₀: 9.591, 34.170; χ²₄₀: 24.433, 59.342
        let (low, high) = band(20);
        assert!((low * 20.0 - 9.591).abs() < 0.03 && (high * 20.0 - 34.170).abs() < 0.03);
        let (low, high) = band(40);
        assert!((low * 40.0 - 24.433).abs() < 0.03 && (high * 40.0 - 59.342).abs() < 0.03);
    }

    #[test]
    fn ten_minutes_above_and_not_before() {
        let mut monitor = Monitor::default();
        assert_eq!(monitor.verdict(), Consistency::Unknown);
        for _ in 0..40 {
            monitor.push(1.0, 15.0);
        }
        assert_eq!(monitor.verdict(), Consistency::Consistent);
        let mut turns = 0;
        while monitor.verdict() != Consistency::Overconfident {
            monitor.push(4.0, 15.0);
            turns += 1;
            assert!(turns < 100);
        }
        assert!(turns >= 40, "ten minutes are forty turns, and the mean must first rise: {turns}");
        for _ in 0..40 {
            monitor.push(1.0, 15.0);
        }
        assert_eq!(monitor.verdict(), Consistency::Consistent, "it clears");
    }

    #[test]
    fn one_outlier_is_no_verdict_and_a_constant_is_modest() {
        let mut monitor = Monitor::default();
        for i in 0..200 {
            monitor.push(if i % 40 == 0 { 1e300 } else { 0.9 }, 15.0);
        }
        assert_eq!(monitor.verdict(), Consistency::Consistent);
        for _ in 0..40 {
            monitor.push(0.0, 15.0);
        }
        assert_eq!(monitor.verdict(), Consistency::Underconfident);
        assert_eq!(together([&Monitor::default(), &monitor].into_iter()), Consistency::Underconfident);
        assert_eq!(together(std::iter::empty()), Consistency::Unknown);
    }
}
