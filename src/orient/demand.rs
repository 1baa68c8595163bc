//! Demand as a total, so that a change of replicas does not look like a change of demand.
//!
//! ```text
//!  mean cpu × the pods behind it ─► filter ─► total utilisation ─┐
//!  throughput ──────────────────► filter ─► arrivals a second ──┼─► Capacity
//!  throughput, p95, ready ──────► service time (when it shows) ─┘
//! ```
//!
//! While the count of ready replicas changes, nobody knows how many of them the mean speaks of (a new pod is
//! ready before its first rate is). For [`SETTLE`] seconds the count is taken from the pods that have a fresh
//! series, else as the middle between old and new, and the sample is weighted down by that doubt.

use jiff::Timestamp;

use super::Estimate;
use super::adapt::{Channel, Limits, seconds};
use super::capacity::Capacity;
use super::kalman::Motion;
use super::service::Service;
use super::settings::{Model, Settings};

/// How long after a change of the ready count the mean may still speak of another count, s (two scrapes and a
/// rate window of the shortest kind); two turns where those are longer.
const SETTLE: f64 = 30.0;
/// Samples below which a filter sizes nothing: its first slope is a guess.
const ENOUGH: u32 = 6;
/// Shortest window that a `rate()` is taken over, s, for the Poisson variance of counts.
const RATE_WINDOW: f64 = 30.0;
/// Start time of a pod until it has been measured, s: an assumption, long for most images, because a longer
/// horizon errs towards more replicas.
pub const ASSUMED_START: f64 = 30.0;
/// Largest count that any model is asked about.
const MOST: i32 = 10_000;

/// Variance of a mean rate of `rate` events a second over one `rate()` window.
#[must_use]
pub fn poisson_variance(rate: f64, interval: f64) -> f64 {
    rate.max(0.0) / RATE_WINDOW.max(2.0 * interval)
}

/// Ready replicas over the last moments.
#[derive(Clone, Copy, Debug)]
struct Count {
    ready: i32,
    low: i32,
    high: i32,
    changed: Option<Timestamp>,
}

/// Filters of total demand.
#[derive(Clone, Debug)]
pub struct Demand {
    total: Channel,
    service: Service,
    count: Option<Count>,
}

impl Default for Demand {
    fn default() -> Self {
        Self { total: Channel::new(Motion::Trend), service: Service::default(), count: None }
    }
}

/// What sizing needs to know of the latency.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// The fresh reading, ms.
    pub reading: f64,
    /// The filtered level, ms.
    pub level: f64,
}

impl Demand {
    /// The filter of total utilisation.
    #[must_use]
    pub fn total(&self) -> &Channel {
        &self.total
    }

    /// Takes in the ready count as it stands at `at`.
    pub fn count(&mut self, ready: i32, at: Timestamp, interval: f64) {
        let settle = SETTLE.max(2.0 * interval);
        let Some(count) = &mut self.count else {
            self.count = Some(Count { ready, low: ready, high: ready, changed: None });
            return;
        };
        if count.changed.is_some_and(|changed| seconds(changed, at) > settle) {
            (count.low, count.high, count.changed) = (count.ready, count.ready, None);
        }
        if ready != count.ready {
            count.low = count.low.min(ready);
            count.high = count.high.max(ready);
            count.ready = ready;
            count.changed = Some(at);
        }
    }

    /// Takes in mean utilisation; `fresh_pods` is the number of pods with a series behind it, where known.
    pub fn utilisation(
        &mut self,
        mean: f64,
        sampled_at: Timestamp,
        fresh_pods: Option<u32>,
        limits: &Limits,
    ) {
        let Some(count) = self.count.filter(|c| c.high > 0) else { return };
        let (low, high) = (f64::from(count.low.max(0)), f64::from(count.high));
        let (pods, doubt) = match fresh_pods {
            // Outside a change the ready count holds: pods that are not scraped still carry load.
            Some(pods) => (f64::from(pods).clamp(low, high), 0.0),
            None => (0.5 * (low + high), 0.5 * (high - low) * mean),
        };
        if pods <= 0.0 {
            return;
        }
        self.total.observe(mean * pods, sampled_at, &Limits { r_extra: doubt * doubt, ..*limits });
    }

    /// Takes in arrivals a second and p95 (ms) of one turn, for the service time.
    pub fn service(&mut self, rate: f64, p95_ms: f64) {
        // A p95 over a changing count belongs to no count.
        if let Some(Count { ready, changed: None, .. }) = self.count {
            self.service.observe(rate, p95_ms, ready);
        }
    }

    /// Demand through the horizon, from the model that applies; `None` where none does.
    ///
    /// `cpu_fresh` and `throughput` (its estimate at `at`) say what may be believed this turn.
    #[must_use]
    pub fn capacity(
        &self,
        at: Timestamp,
        horizon: f64,
        cpu_fresh: bool,
        throughput: Option<&Estimate>,
        latency: Option<Latency>,
        settings: &Settings,
    ) -> Option<Capacity> {
        let utilisation = || {
            let total = self.total.estimate(at, horizon).filter(|e| cpu_fresh && e.samples >= ENOUGH)?;
            let (mean, sd) = through(&total);
            Some(Capacity::Utilisation { mean, sd, target: settings.cpu_target })
        };
        let queue = || {
            let target = settings.latency_target_ms? / 1000.0;
            let rate = throughput.filter(|e| e.samples >= ENOUGH)?;
            let replica = self.service.identified()?;
            // Where the service alone is slower than the target, no count helps, and this model cannot size.
            if replica.p95(1.0, 0.0) > target {
                return None;
            }
            let (mean, sd) = through(rate);
            let sd = sd.max(libm::sqrt(poisson_variance(mean, settings.interval_seconds)));
            Some(Capacity::Queue {
                mean,
                sd,
                service: replica.service,
                variability: replica.variability,
                slots: replica.slots,
                target,
            })
        };
        let missed = |capacity: Capacity| self.unless_missed(capacity, latency, settings);
        let need = |c: &Capacity| c.needed(settings.keep_probability, MOST);
        match settings.model {
            Model::Rules => None,
            Model::Utilisation => utilisation().map(missed),
            Model::Queue => queue().or_else(utilisation).map(missed),
            // Both set points size the workload: the count must hold the latency *and* leave the cpu under the
            // bound at which the reactive rule would raise it again.
            Model::Auto => match (queue().map(missed), utilisation().map(missed)) {
                (Some(q), Some(u)) => Some(if need(&u) > need(&q) { u } else { q }),
                (q, u) => q.or(u),
            },
        }
    }

    /// A workload whose latency target is missed is not served by the replicas it has, whatever cpu or
    /// throughput say: those level off when it is saturated. The demand that is not seen is taken as a tenth
    /// of what they carry, growing to a half at twice the target.
    fn unless_missed(&self, capacity: Capacity, latency: Option<Latency>, settings: &Settings) -> Capacity {
        let (Some(target), Some(latency), Some(count)) = (settings.latency_target_ms, latency, self.count)
        else {
            return capacity;
        };
        if latency.reading <= target || latency.level <= target {
            return capacity;
        }
        let excess = (latency.level / target - 1.0).clamp(0.0, 1.0);
        capacity.at_least_beyond(count.ready.max(1), 0.1 + 0.4 * excess)
    }
}

/// Demand through the horizon: the larger of now and then, with the wider of both doubts.
fn through(estimate: &Estimate) -> (f64, f64) {
    (estimate.level.max(estimate.forecast).max(0.0), estimate.forecast_sd)
}

/// How far ahead to look, s: what the owner says, else the measured start time of a pod plus one turn.
#[must_use]
pub fn horizon(start_seconds: Option<f64>, settings: &Settings) -> f64 {
    if settings.horizon_seconds > 0.0 {
        return settings.horizon_seconds;
    }
    let start = start_seconds.filter(|s| s.is_finite() && *s >= 0.0).unwrap_or(ASSUMED_START);
    start.min(3600.0) + settings.interval_seconds
}

#[cfg(test)]
#[path = "demand_tests.rs"]
mod tests;
