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
use super::adapt::{Channel, Limits};
use super::capacity::Capacity;
use super::kalman::Motion;
use super::queue::Replica;
use super::ready::Counts;
use super::rhythm::Rhythm;
use super::service::Service;
use super::settings::{Model, Settings};

/// How long after a change of the ready count the mean may still speak of another count, s (two scrapes and a
/// rate window of the shortest kind); two turns where those are longer.
const SETTLE: f64 = 30.0;
/// Samples below which a filter's slope is a guess, and utilisation sizes nothing.
const ENOUGH: u32 = 6;
/// Samples below which arrivals size nothing.
const FEW: u32 = 2;
/// What the slow level may move in a turn, as a share of the scale.
const SLOW: f64 = 0.02;
/// Utility below which a model itself expects the target to be missed.
const EXPLAINED: f64 = 0.95;
/// Standard deviations beyond which there is no doubt: of a slope, and of a level that was left.
const BEYOND_DOUBT: f64 = 5.0;
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

/// Samples above all that was foreseen, beyond doubt.
#[derive(Clone, Copy, Debug, Default)]
struct Rush {
    /// What was beyond doubt before the first of them: a forecast's spread learns of a rush before its mean does.
    bound: f64,
    last: f64,
    /// How many in a row.
    samples: u32,
}

impl Rush {
    /// Takes in a sample, beside the mean and standard deviation that were foreseen.
    fn observe(&mut self, value: f64, foreseen: Option<(f64, f64)>) {
        let Some((mean, sd)) = foreseen else {
            *self = Self::default();
            return;
        };
        // Once the forecast has followed, there is nothing unforeseen in it.
        if self.samples == 0 || mean > self.bound {
            (self.bound, self.samples) = (mean + BEYOND_DOUBT * sd, 0);
        }
        self.samples = if value > self.bound { self.samples.saturating_add(1) } else { 0 };
        self.last = value;
    }

    /// The demand that it tells of: one sample may be a slip, a second or a witness shows that it is none.
    fn told(&self, witnessed: bool) -> f64 {
        if self.samples > u32::from(!witnessed) { self.last } else { 0.0 }
    }
}

/// A demand, seen three times: by its rhythm where it is a count, by a filter that believes in trends, and by a slow one that does not.
///
/// Samples of a `rate()` share most of their window with the sample before, so their noise looks like a movement,
/// and a count that follows it moves all the time. The rhythm takes one sample a window, so it speaks once its forecasts have
/// been scored, unless the trend contradicts it beyond doubt. Else the slow level does, until the trend has left it beyond
/// doubt: then it goes there and starts anew. A slope counts where it is beyond doubt. A rush that nothing foretold counts
/// as its last sample, before any forecast has followed it.
#[derive(Clone, Debug)]
struct Flow {
    /// Of arrivals alone: a total of utilisation is no count, and its spread was stated well without.
    rhythm: Option<Box<Rhythm>>,
    level: Channel,
    rush: Rush,
}

impl Default for Flow {
    fn default() -> Self {
        Self { rhythm: None, level: Channel::new(Motion::Level), rush: Rush::default() }
    }
}

impl Flow {
    /// Takes in a sample that the `seen` filter of trends has taken in before.
    fn observe(&mut self, value: f64, at: Timestamp, seen: &Channel, horizon: Option<f64>, limits: &Limits) {
        let q_max = limits.q_max.min(SLOW).max(limits.q_min);
        self.rush.observe(value, self.foreseen(at, horizon));
        self.level.observe(value, at, &Limits { q_max, ..*limits });
        let (Some((trend, sd)), Some((level, _))) = (seen.level(), self.level.level()) else {
            return;
        };
        if let Some(horizon) = horizon {
            let least = limits.q_min * trend;
            let noise = limits.r_floor.max(least * least);
            let rise = (trend, seen.slope());
            self.rhythm.get_or_insert_default().observe(value, at, rise, limits.interval, horizon, noise);
        }
        if seen.samples() >= ENOUGH && (trend - level).abs() > BEYOND_DOUBT * sd {
            self.level.settle(trend, sd * sd, seen.measurement_noise());
        }
    }

    /// Mean and standard deviation of the next sample: by the rhythm where it is asked for a horizon, else by the slow level.
    fn foreseen(&self, at: Timestamp, horizon: Option<f64>) -> Option<(f64, f64)> {
        if let Some(horizon) = horizon {
            return self.rhythm.as_ref()?.through(at, horizon);
        }
        let (mean, sd) = self.level.level().filter(|_| self.level.samples() >= ENOUGH)?;
        Some((mean, (sd * sd + self.level.measurement_noise()).sqrt()))
    }

    /// Mean and standard deviation of a sample one horizon ahead, beside the `trend` filter's view of it; never less than
    /// what is now.
    fn through(
        &self,
        at: Timestamp,
        horizon: f64,
        enough: u32,
        trend: &Estimate,
        witnessed: bool,
    ) -> Option<(f64, f64)> {
        if self.level.samples() < enough {
            return None;
        }
        if let Some((mean, sd)) = self.rhythm.as_ref().and_then(|rhythm| rhythm.through(at, horizon))
            && (trend.level - mean).abs() <= BEYOND_DOUBT * sd.max(trend.level_sd)
        {
            return Some((mean.max(self.rush.told(witnessed)), sd));
        }
        let level = self.level.estimate(at, horizon)?;
        let proven = trend.samples >= ENOUGH && trend.slope > BEYOND_DOUBT * trend.slope_sd;
        if proven && trend.forecast > level.level {
            return Some((trend.forecast.max(0.0), trend.forecast_sd));
        }
        Some((level.level.max(0.0), level.forecast_sd))
    }
}

/// Filters of total demand. Arrivals are a signal, so the filter of their trend is the signal's own.
#[derive(Clone, Debug)]
pub struct Demand {
    total: Channel,
    utilisation: Flow,
    arrivals: Flow,
    service: Service,
    counts: Counts,
    /// How far ahead a forecast is for, s.
    horizon: f64,
    /// Share of the last ten turns or so in which the latency target was missed.
    late: f64,
}

/// What sizing needs to know of the latency.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// The fresh reading, ms.
    pub reading: f64,
    /// The filtered level, ms.
    pub level: f64,
    /// When the reading was sampled.
    pub at: Timestamp,
}

/// What one turn says of the service time, as far as it is fresh.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// When it was sampled.
    pub at: Timestamp,
    /// Arrivals a second of the whole workload.
    pub rate: f64,
    /// Share of them that failed.
    pub failed: Option<f64>,
    /// p95, ms.
    pub p95_ms: Option<f64>,
    /// Mean utilisation of the pods.
    pub cpu: Option<f64>,
}

/// How long after a change of the ready count a sample may still speak of both, s.
fn settle(interval: f64) -> f64 {
    SETTLE.max(2.0 * interval)
}

impl Default for Demand {
    fn default() -> Self {
        Self {
            total: Channel::new(Motion::Trend),
            utilisation: Flow::default(),
            arrivals: Flow::default(),
            service: Service::default(),
            counts: Counts::default(),
            horizon: 0.0,
            late: 0.0,
        }
    }
}

impl Demand {
    /// The filter of total utilisation.
    #[must_use]
    pub fn total(&self) -> &Channel {
        &self.total
    }

    /// Says how far ahead, in s, the forecasts of the samples that follow are for.
    pub fn look(&mut self, horizon: f64) {
        self.horizon = horizon;
    }

    /// Takes in the ready count as it stands at `at`.
    pub fn count(&mut self, ready: i32, at: Timestamp) {
        self.counts.note(ready, at);
    }

    /// Takes in mean utilisation; `fresh_pods` is the number of pods with a series behind it, where known.
    pub fn utilisation(
        &mut self,
        mean: f64,
        sampled_at: Timestamp,
        fresh_pods: Option<u32>,
        limits: &Limits,
    ) {
        let counted = self.counts.over(sampled_at, settle(limits.interval));
        let Some((low, high)) = counted.filter(|(_, high)| *high > 0) else { return };
        let (low, high) = (f64::from(low.max(0)), f64::from(high));
        let (pods, doubt) = match fresh_pods {
            // Outside a change the ready count holds: pods that are not scraped still carry load.
            Some(pods) => (f64::from(pods).clamp(low, high), 0.0),
            None => (0.5 * (low + high), 0.5 * (high - low) * mean),
        };
        if pods <= 0.0 {
            return;
        }
        let limits = Limits { r_extra: doubt * doubt, ..*limits };
        let total = mean * pods;
        self.total.observe(total, sampled_at, &limits);
        self.utilisation.observe(total, sampled_at, &self.total, None, &limits);
    }

    /// Takes in arrivals a second, which the signal's own filter has `seen`.
    pub fn arrive(&mut self, rate: f64, sampled_at: Timestamp, seen: &Channel, limits: &Limits) {
        self.arrivals.observe(rate, sampled_at, seen, Some(self.horizon), limits);
    }

    /// Takes in what one turn says of the service time.
    pub fn service(&mut self, work: &Work, settings: &Settings) {
        if let (Some(p95), Some(target)) = (work.p95_ms, settings.latency_target_ms) {
            self.late += 0.1 * (f64::from(u8::from(p95 > target)) - self.late);
        }
        // A p95 over a changing count belongs to no count.
        let Some(ready) = self.counts.settled(work.at, settle(settings.interval_seconds)) else { return };
        if let Some(p95) = work.p95_ms {
            self.service.observe(work.rate, p95, ready);
        }
        if let Some(cpu) = work.cpu {
            let served = work.rate * (1.0 - work.failed.unwrap_or(0.0).clamp(0.0, 1.0));
            self.service.busy(served, work.p95_ms, ready, cpu);
        }
    }

    /// Demand through the horizon, from the model that applies; `None` where none does.
    ///
    /// `cpu_fresh` says whether utilisation may be believed this turn; `arrivals` is the state of throughput's own filter,
    /// where that may.
    #[must_use]
    pub fn capacity(
        &self,
        at: Timestamp,
        horizon: f64,
        cpu_fresh: bool,
        arrivals: Option<&Estimate>,
        latency: Option<Latency>,
        settings: &Settings,
    ) -> Option<Capacity> {
        let need = |c: &Capacity| c.needed(settings.keep_probability, MOST);
        let held_at = |target: f64| {
            let total = self.total.estimate(at, horizon).filter(|_| cpu_fresh)?;
            let (mean, sd) = self.utilisation.through(at, horizon, ENOUGH, &total, false)?;
            Some(Capacity::Utilisation { mean, sd, target })
        };
        let utilisation = || held_at(settings.cpu_target);
        let law = self.service.by_law();
        // Arrivals that nobody foresaw are no slip where the pods are as much busier.
        let witnessed = cpu_fresh && self.utilisation.rush.samples > 0;
        let rate = || self.arrivals.through(at, horizon, FEW, arrivals?, witnessed);
        let queue = || {
            let target = settings.latency_target_ms? / 1000.0;
            let (mean, sd) = rate()?;
            let sd = sd.max(libm::sqrt(poisson_variance(mean, settings.interval_seconds)));
            let of = |replica: Option<Replica>, bound: f64| {
                // Where the service alone is slower than the target, no count helps: this cannot size.
                let Replica { service, variability, slots, base } = replica.filter(|r| r.base <= target)?;
                Some(Capacity::Queue { mean, sd, service, variability, slots, base, target, bound })
            };
            // Two ways to know a replica; where both speak, the one that asks for more.
            // By the law, utilisation is the cpu's, so the count must also leave it under the bound at which the
            // reactive rule would raise it again.
            let bound = settings.cpu_bound().min(1.0);
            match (of(law, bound), of(self.service.identified(), 1.0)) {
                (Some(a), Some(b)) => Some(if need(&b) > need(&a) { b } else { a }),
                (a, b) => a.or(b),
            }
        };
        let missed = |capacity: Capacity| self.unless_missed(capacity, latency, settings);
        match settings.model {
            Model::Rules => None,
            Model::Utilisation => utilisation().map(missed),
            Model::Queue => queue().or_else(utilisation).map(missed),
            Model::Auto => match (queue().map(missed), law) {
                (Some(q), Some(_)) => Some(q),
                // A queue known by its latency alone says nothing of the cpu.
                (Some(q), None) => match held_at(settings.cpu_bound()) {
                    Some(u) if need(&u) > need(&q) => Some(u),
                    _ => Some(q),
                },
                (None, _) => utilisation().map(missed),
            },
        }
    }

    /// A workload whose latency target is missed is not served by the replicas it has, whatever cpu or
    /// throughput say: those level off when it is saturated. The demand that is not seen is taken as a tenth
    /// of what they carry, growing to a half at twice the target.
    fn unless_missed(&self, capacity: Capacity, latency: Option<Latency>, settings: &Settings) -> Capacity {
        let (Some(target), Some(latency)) = (settings.latency_target_ms, latency) else { return capacity };
        if latency.reading <= target || latency.level <= target {
            return capacity;
        }
        // A sample older than the pods that were added since says nothing of them.
        let settled = self.counts.settled(latency.at, settle(settings.interval_seconds));
        let Some(ready) = settled.filter(|ready| Some(*ready) == self.counts.latest()) else {
            return capacity;
        };
        // A queue that explains the latency has counted it; and one burst is in the window for some turns.
        if let Capacity::Queue { .. } = capacity
            && (self.late < 0.5 || capacity.utility(ready) < EXPLAINED)
        {
            return capacity;
        }
        let excess = (latency.level / target - 1.0).clamp(0.0, 1.0);
        capacity.at_least_beyond(ready.max(1), 0.1 + 0.4 * excess)
    }
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
