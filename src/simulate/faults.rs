//! What may be wrong with the measurements themselves: missing, not a number, stale, frozen, late.

use std::collections::VecDeque;

use super::cluster::Seen;
use super::meter::Signals;
use super::ours;
use crate::observe::reading::{Reading, Readings, SignalName};

/// A fault of every signal of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No series.
    Missing,
    /// NaN.
    NotFinite,
    /// The last sample is ten minutes old.
    Stale,
    /// The value of the moment at which it froze, with new timestamps.
    Frozen,
}

/// The way from a service's meter to its readings.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// Ticks by which every sample is late.
    pub delay: usize,
    /// The fault that there is now.
    pub fault: Option<Fault>,
    past: VecDeque<(f64, Signals)>,
    frozen: Option<Signals>,
}

impl Scrape {
    /// A scrape whose samples are `delay` ticks late.
    #[must_use]
    pub fn late(delay: usize) -> Self {
        Self { delay, ..Self::default() }
    }

    /// The readings of a tick.
    pub fn read(&mut self, now: f64, seen: &Seen) -> Readings {
        self.past.push_back((now, seen.signals));
        while self.past.len() - 1 > self.delay {
            self.past.pop_front();
        }
        let (at, mut signals) = self.past.front().copied().unwrap_or((now, seen.signals));
        let all = |reading: Reading| -> Readings {
            [SignalName::THROUGHPUT, SignalName::LATENCY, SignalName::CPU, SignalName::ERRORS]
                .into_iter()
                .map(|name| (name, reading.clone()))
                .collect()
        };
        if self.fault != Some(Fault::Frozen) {
            self.frozen = None;
        }
        match self.fault {
            Some(Fault::Missing) => return all(Reading::Missing),
            Some(Fault::NotFinite) => return all(Reading::NotFinite),
            Some(Fault::Stale) => return all(Reading::Stale { age_seconds: Some(600.0) }),
            Some(Fault::Frozen) => signals = *self.frozen.get_or_insert(signals),
            None => {}
        }
        ours::readings(at, &signals)
    }
}
