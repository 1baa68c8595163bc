//! A load beyond everything that was carried well, for workloads that no capacity model can size.
//!
//! Throughput alone does not say how much a replica can carry; the past says how much it *has* carried while
//! latency and errors were as usual. A load a fifth above that which comes with trouble, or twice that in any case,
//! is more than is known to be good. Nothing is assumed where neither latency nor errors are fresh.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::adapt::seconds;
use super::lanes;
use super::settings::Settings;

/// Loads remembered.
const KEPT: usize = 200;
/// Loads below which nothing is known of what is carried well.
const ENOUGH: usize = 10;
/// Multiple of the carried load that is beyond it.
const BEYOND: f64 = 1.2;
/// Multiple that is too much to wait for trouble.
const DOUBLE: f64 = 2.0;
/// Forgetting of what is usual.
const GAIN: f64 = 0.05;
/// Errors this much above the usual share are trouble.
const ERRORS: f64 = 0.01;

/// A load beyond what was carried well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Surge {
    /// Requests a second of the whole workload.
    pub rate: f64,
    /// Standard deviation of a sample of it, one horizon ahead.
    pub sd: f64,
    /// Requests a second that one replica has carried well.
    pub carried: f64,
    /// Turns in a row.
    pub turns: u32,
}

/// One turn's evidence.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Requests a second and the time of the sample.
    pub rate: (f64, Timestamp),
    /// Standard deviation of a sample one horizon ahead.
    pub sd: f64,
    /// Ready replicas.
    pub ready: i32,
    /// ms, where fresh.
    pub latency: Option<f64>,
    /// Share of requests, where fresh.
    pub errors: Option<f64>,
}

/// What is remembered of loads and of what is usual under them.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    loads: VecDeque<f64>,
    /// The largest of them and the second largest.
    largest: (f64, f64),
    latency: Option<f64>,
    errors: Option<f64>,
    at: Option<Timestamp>,
    turns: u32,
}

impl Carried {
    /// Takes in a turn; gives the surge, where the load is one. The same sample seen again changes nothing.
    pub fn observe(&mut self, turn: &Turn, settings: &Settings) -> Option<Surge> {
        let new = self.at.is_none_or(|at| seconds(at, turn.rate.1) > 0.0);
        let load = turn.rate.0 / f64::from(turn.ready);
        if turn.ready < 1 || !load.is_finite() || (turn.latency.is_none() && turn.errors.is_none()) {
            self.turns = 0;
            return None;
        }
        self.at = self.at.max(Some(turn.rate.1));
        let carried = self.carried();
        let troubled = self.troubled(turn, settings);
        let surges = carried.is_some_and(|c| load > DOUBLE * c || (troubled && load > BEYOND * c));
        if new {
            self.turns = if surges { self.turns.saturating_add(1) } else { 0 };
            if !troubled {
                self.learn(load, turn);
            }
        }
        let carried = carried.filter(|c| surges && *c > 0.0)?;
        (self.turns > 0).then_some(Surge { rate: turn.rate.0, sd: turn.sd, carried, turns: self.turns })
    }

    /// The second largest load that was carried well: one sample proves little.
    fn carried(&self) -> Option<f64> {
        if self.loads.len() < ENOUGH {
            return None;
        }
        Some(self.largest.1)
    }

    fn troubled(&self, turn: &Turn, settings: &Settings) -> bool {
        let slow = |ms: f64| {
            settings.latency_target_ms.is_some_and(|target| ms > target)
                || self.latency.is_some_and(|usual| ms > usual * (1.0 + settings.equivalence_margin))
        };
        let failing = |share: f64| {
            share > settings.errors_above || self.errors.is_some_and(|usual| share > usual + ERRORS)
        };
        turn.latency.is_some_and(slow) || turn.errors.is_some_and(failing)
    }

    fn learn(&mut self, load: f64, turn: &Turn) {
        let oldest = if self.loads.len() == KEPT { self.loads.pop_front() } else { None };
        self.loads.push_back(load);
        if oldest.is_some_and(|oldest| oldest >= self.largest.1) {
            let (older, newer) = self.loads.as_slices();
            self.largest = lanes::both(lanes::two_largest(older), lanes::two_largest(newer));
        } else {
            self.largest = lanes::with(self.largest, load);
        }
        let usual = |known: Option<f64>, value: Option<f64>| match (known, value) {
            (Some(known), Some(value)) => Some(known + GAIN * (value - known)),
            (known, value) => known.or(value),
        };
        self.latency = usual(self.latency, turn.latency);
        self.errors = usual(self.errors, turn.errors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(second: i64, rate: f64, latency: Option<f64>) -> Turn {
        let at = Timestamp::from_second(1_700_000_000 + second).unwrap();
        Turn { rate: (rate, at), sd: 1.0, ready: 4, latency, errors: None }
    }

    /// An hour at 36 to 44 requests a second over four replicas, latency 95 to 105 ms.
    fn usual() -> Carried {
        let mut carried = Carried::default();
        for i in 0..60_i32 {
            let swing = f64::from(i % 5 - 2);
            let t = turn(60 * i64::from(i) - 3600, 40.0 + 2.0 * swing, Some(100.0 + 2.5 * swing));
            assert_eq!(carried.observe(&t, &Settings::default()), None);
        }
        carried
    }

    #[test]
    fn more_than_was_carried_well_and_trouble_with_it() {
        let mut carried = usual();
        let first = carried.observe(&turn(60, 60.0, Some(150.0)), &Settings::default()).unwrap();
        assert_eq!((first.rate, first.carried, first.turns), (60.0, 11.0, 1));
        let again = carried.observe(&turn(60, 60.0, Some(150.0)), &Settings::default()).unwrap();
        assert_eq!(again.turns, 1, "the same sample is no new turn");
        let second = carried.observe(&turn(120, 60.0, Some(150.0)), &Settings::default()).unwrap();
        assert_eq!((second.carried, second.turns), (11.0, 2), "trouble teaches nothing");
        assert_eq!(carried.observe(&turn(180, 40.0, Some(150.0)), &Settings::default()), None);
    }

    #[test]
    fn a_little_more_without_trouble_is_learned_and_double_is_too_much() {
        let calm = Some(100.0);
        assert_eq!(usual().observe(&turn(60, 60.0, calm), &Settings::default()), None);
        assert_eq!(usual().observe(&turn(60, 48.0, Some(150.0)), &Settings::default()), None, "no surge");
        let mut carried = usual();
        assert!(carried.observe(&turn(60, 100.0, calm), &Settings::default()).is_some());
        assert!(carried.observe(&turn(120, 100.0, calm), &Settings::default()).is_some());
        assert_eq!(
            carried.observe(&turn(180, 100.0, calm), &Settings::default()),
            None,
            "it is carried well"
        );
    }

    #[test]
    fn a_missed_target_is_trouble_and_the_unknown_is_no_surge() {
        let strict = Settings { latency_target_ms: Some(99.0), ..Settings::default() };
        assert!(usual().observe(&turn(60, 60.0, Some(100.0)), &strict).is_some());
        assert_eq!(usual().observe(&turn(60, 200.0, None), &strict), None);
        assert_eq!(usual().observe(&Turn { ready: 0, ..turn(60, 200.0, Some(500.0)) }, &strict), None);
        assert_eq!(usual().observe(&turn(60, f64::NAN, Some(500.0)), &strict), None);
        assert_eq!(Carried::default().observe(&turn(60, 200.0, Some(500.0)), &strict), None);
    }
}
