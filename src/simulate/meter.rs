//! Signals of one service, as a scraper with a `rate()` window would have them.

use std::collections::VecDeque;

use super::score::percentile;
use super::service::{Answer, Totals};

/// Signals over a window; `None` where there is nothing to measure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Signals {
    /// Requests a second that arrived.
    pub throughput: f64,
    /// p95 of the served requests, ms.
    pub p95: Option<f64>,
    /// p99 of the served requests, ms.
    pub p99: Option<f64>,
    /// Mean time of all answers, dropped ones included, ms.
    pub mean: Option<f64>,
    /// Share of answers that were dropped or failed.
    pub errors: Option<f64>,
    /// Share of time that a serving replica was busy.
    pub cpu: Option<f64>,
}

/// What one tick saw.
#[derive(Clone, Debug, Default)]
struct Slot {
    latencies: Vec<f32>,
    answered: u32,
    failed: u32,
    total: f64,
    arrived: u64,
    busy: f64,
    ready_seconds: f64,
    seconds: f64,
}

/// A window of ticks.
#[derive(Clone, Debug)]
pub struct Meter {
    slots: VecDeque<Slot>,
    open: Slot,
    window: usize,
    before: Totals,
    at: f64,
}

impl Meter {
    /// A meter over a window of `window` ticks.
    #[must_use]
    pub fn new(window: usize) -> Self {
        let slots = VecDeque::with_capacity(window + 1);
        Self { slots, open: Slot::default(), window: window.max(1), before: Totals::default(), at: 0.0 }
    }

    /// Takes in one answer of the tick under way.
    pub fn take(&mut self, answer: &Answer) {
        let latency = answer.left - answer.arrived;
        self.open.answered += 1;
        self.open.total += latency;
        if answer.served {
            self.open.latencies.push(latency as f32);
        } else {
            self.open.failed += 1;
        }
    }

    /// Ends the tick at `now`, with `ready` replicas, and reads the window.
    pub fn read(&mut self, now: f64, totals: Totals, ready: i32) -> Signals {
        let seconds = now - self.at;
        let slot = Slot {
            arrived: totals.arrived - self.before.arrived,
            busy: totals.busy - self.before.busy,
            ready_seconds: seconds * f64::from(ready),
            seconds,
            ..std::mem::take(&mut self.open)
        };
        (self.before, self.at) = (totals, now);
        self.slots.push_back(slot);
        while self.slots.len() > self.window {
            self.slots.pop_front();
        }
        self.signals()
    }

    fn signals(&self) -> Signals {
        let sum = |of: fn(&Slot) -> f64| self.slots.iter().map(of).sum::<f64>();
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        let answered = sum(|s| f64::from(s.answered));
        let mut latencies: Vec<f32> = self.slots.iter().flat_map(|s| s.latencies.iter().copied()).collect();
        let mut at = |p| percentile(&mut latencies, p).map(|s| 1000.0 * s);
        Signals {
            throughput: share(sum(|s| s.arrived as f64), sum(|s| s.seconds)).unwrap_or(0.0),
            p95: at(0.95),
            p99: at(0.99),
            mean: share(1000.0 * sum(|s| s.total), answered),
            errors: share(sum(|s| f64::from(s.failed)), answered),
            cpu: share(sum(|s| s.busy), sum(|s| s.ready_seconds)).map(|cpu| cpu.min(1.0)),
        }
    }
}
