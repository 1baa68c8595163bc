//! The single door of the room: one turn's evidence in, one [`Picture`] out.
//!
//! ```text
//!  Observed ─┬─► a filter per signal ─► Estimate, surprise ─► joint surprise
//!            ├─► Ω, Ψ, CVaR, Θ̂
//!            ├─► total demand ─► Capacity
//!            └─► revision against baseline ─► Comparison
//! ```
//!
//! The estimator of a workload lives in memory alone. After a restart history is replayed through the same door,
//! turn by turn, and the same sequence gives the same bytes.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::adapt::{Channel, Limits, WARM};
use super::comparison::{Comparer, Judged, Load};
use super::consistency;
use super::demand::{self, Demand, Latency, Work};
use super::joint::{Joint, SIGNALS, place};
use super::kalman::Motion;
use super::settings::Settings;
use super::surge::{self, Carried, Surge};
use super::surprise::Surprise;
use super::{Consistency, Estimate, Estimates, OmegaEstimate, Picture, omega};
use crate::observe::Observed;
use crate::observe::reading::{Fresh, Known, Readings, Sample, SignalName};

/// What is kept of one signal.
#[derive(Clone, Debug)]
struct Watched {
    channel: Channel,
    surprise: Box<Surprise>,
}

impl Watched {
    fn estimate(&self, at: Timestamp, horizon: f64) -> Option<Estimate> {
        let estimate = self.channel.estimate(at, horizon)?;
        Some(Estimate { anomaly: self.surprise.anomaly(), ..estimate })
    }
}

impl Default for Watched {
    fn default() -> Self {
        Self { channel: Channel::new(Motion::Trend), surprise: Box::default() }
    }
}

/// What is kept of all signals: the documented ones at hand, any other by its name.
#[derive(Clone, Debug, Default)]
struct Watching {
    known: [Option<Box<Watched>>; Known::ALL.len()],
    own: BTreeMap<SignalName, Watched>,
}

impl Watching {
    fn of(&mut self, name: &SignalName) -> &mut Watched {
        match name.known() {
            Some(known) => self.known[known as usize].get_or_insert_default(),
            None => self.own.entry(name.clone()).or_default(),
        }
    }

    fn channel(&self, known: Known) -> Option<&Channel> {
        self.known[known as usize].as_ref().map(|watched| &watched.channel)
    }
}

/// The standardised innovations of this turn's new samples, in the places of the joint vector.
#[derive(Clone, Copy, Debug, Default)]
struct New {
    z: [Option<f64>; SIGNALS],
    /// Of those whose filter is past its first guesses.
    warm: [Option<f64>; SIGNALS],
}

impl New {
    fn contains(&self, known: Known) -> bool {
        place(known).is_some_and(|i| self.z[i].is_some())
    }
}

/// Estimators of one workload.
#[derive(Clone, Debug, Default)]
pub struct Estimator {
    watched: Watching,
    demand: Demand,
    joint: Joint,
    comparer: Comparer,
    carried: Carried,
}

impl Estimator {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one turn and gives the picture of it. Deterministic; turns come in the order of their times.
    /// Only fresh readings teach anything; a sample that was seen before teaches nothing again.
    pub fn orient(&mut self, observed: &Observed, settings: &Settings) -> Picture {
        let settings = &settings.bounded();
        let readings = &observed.evidence.readings;
        let workload = observed.workload.as_ref();
        let ready = workload.map_or(0, |w| w.ready);
        let fresh = Fresh::of(readings);
        let omega = omega_of(&fresh, settings);
        let omega_sample = omega.map(|(omega, at)| (omega.value, at));

        let new = self.filter(readings, &fresh, omega_sample, settings);
        let joint_anomaly = self.joint.observe(new.warm);

        if workload.is_some() {
            self.demand.count(ready, observed.at);
        }
        let horizon = demand::horizon(workload.and_then(|w| w.start_seconds), settings);
        self.demand.look(horizon);
        self.size(&fresh, &new, observed.evidence.fresh_pods, settings);

        let load = load_of(&fresh, ready);
        self.comparer.observe(
            workload,
            |judged| judged_of(judged, &fresh, || omega_sample),
            &observed.evidence.by_revision,
            |judged, hash| {
                let fresh = Fresh::of(observed.evidence.by_revision.get(hash)?);
                judged_of(judged, &fresh, || omega_of(&fresh, settings).map(|(o, at)| (o.value, at)))
            },
            load,
            settings,
        );

        let estimates = self.estimates(readings, &fresh, observed.at, horizon);
        let capacity =
            workload.and_then(|_| self.capacity(&fresh, observed.at, horizon, &estimates, settings));
        let surge = self.surge(&fresh, ready, &estimates, settings);
        Picture {
            consistency: self.consistency(settings),
            joint_anomaly,
            omega: omega.map(|(o, _)| o),
            psi: fresh[Known::Psi].value(),
            cvar: fresh[Known::Cvar].value(),
            theta: fresh[Known::Latency].value().and_then(omega::theta),
            capacity,
            surge,
            horizon_seconds: horizon,
            comparisons: self.comparer.comparisons(observed.at, &load, settings),
            signals: estimates,
        }
    }

    /// Feeds the filters.
    fn filter(
        &mut self,
        readings: &Readings,
        fresh: &Fresh<'_>,
        omega: Option<Sample>,
        settings: &Settings,
    ) -> New {
        let throughput = fresh[Known::Throughput].value();
        let mut new = New::default();
        let computed = omega.filter(|_| !fresh[Known::Omega].named);
        let samples = readings
            .iter()
            .filter_map(|(name, reading)| Some((name, reading.fresh()?)))
            .chain(computed.map(|sample| (&SignalName::OMEGA, sample)));
        for (name, (value, at)) in samples {
            let known = name.known();
            let limits = limits(known, value, throughput, settings);
            let Watched { channel, surprise } = self.watched.of(name);
            let Some(z) = channel.observe(value, at, &limits) else { continue };
            surprise.observe(value);
            if let Some(i) = known.and_then(place) {
                new.z[i] = Some(z);
                new.warm[i] = (channel.samples() > WARM).then_some(z);
            }
        }
        new
    }

    /// Feeds the filters of demand. A sample that its signal's own filter has seen before is not new here.
    fn size(&mut self, fresh: &Fresh<'_>, new: &New, fresh_pods: Option<u32>, settings: &Settings) {
        let sample = |known: Known| fresh[known].sample.filter(|_| new.contains(known));
        let cpu = sample(Known::Cpu);
        if let Some((cpu, at)) = cpu {
            let limits = limits(Some(Known::Cpu), cpu, None, settings);
            self.demand.utilisation(cpu, at, fresh_pods, &limits);
        }
        if let Some((rate, at)) = sample(Known::Throughput) {
            let limits = limits(Some(Known::Throughput), rate, None, settings);
            if let Some(channel) = self.watched.channel(Known::Throughput) {
                self.demand.arrive(rate, at, channel, &limits);
            }
            let work = Work {
                at,
                rate,
                failed: fresh[Known::Errors].value(),
                p95_ms: sample(Known::Latency).map(|(p95, _)| p95),
                cpu: cpu.map(|(cpu, _)| cpu),
            };
            self.demand.service(&work, settings);
        }
    }

    fn surge(
        &mut self,
        fresh: &Fresh<'_>,
        ready: i32,
        estimates: &Estimates,
        settings: &Settings,
    ) -> Option<Surge> {
        let rate = fresh[Known::Throughput].sample?;
        let chance = libm::sqrt(demand::poisson_variance(rate.0, settings.interval_seconds));
        let sd = estimates.get(&SignalName::THROUGHPUT)?.forecast_sd.max(chance);
        let (latency, errors) = (fresh[Known::Latency].value(), fresh[Known::Errors].value());
        self.carried.observe(&surge::Turn { rate, sd, ready, latency, errors }, settings)
    }

    /// Of each signal that is named and has had a sample, and Ω where it is computed.
    fn estimates(&self, readings: &Readings, fresh: &Fresh<'_>, at: Timestamp, horizon: f64) -> Estimates {
        let mut estimates = Estimates::with_capacity(readings.len() + 1);
        let computed = fresh[Known::Psi].named && fresh[Known::Cvar].named;
        for known in Known::ALL {
            let asked = fresh[known].named || (computed && known == Known::Omega);
            if let Some(watched) = self.watched.known[known as usize].as_ref().filter(|_| asked)
                && let Some(estimate) = watched.estimate(at, horizon)
            {
                estimates.insert(known.into(), estimate);
            }
        }
        for (name, watched) in self.watched.own.iter().filter(|(name, _)| fresh.named(name)) {
            if let Some(estimate) = watched.estimate(at, horizon) {
                estimates.insert(name.clone(), estimate);
            }
        }
        estimates
    }

    fn capacity(
        &self,
        fresh: &Fresh<'_>,
        at: Timestamp,
        horizon: f64,
        estimates: &Estimates,
        settings: &Settings,
    ) -> Option<super::capacity::Capacity> {
        let of = |known: Known| fresh[known].sample.zip(estimates.get(&known.into()));
        let latency = of(Known::Latency).map(|((reading, at), estimate)| Latency {
            reading,
            level: estimate.level,
            at,
        });
        let arrivals = of(Known::Throughput).map(|(_, estimate)| estimate);
        self.demand.capacity(at, horizon, fresh[Known::Cpu].sample.is_some(), arrivals, latency, settings)
    }

    /// Consistency of the filters that decisions rest on: total demand, throughput where it sizes, β's trend;
    /// of the others where none of these has had a sample. A signal that no rule uses spoils nothing.
    fn consistency(&self, settings: &Settings) -> Consistency {
        let of = |known: Known| self.watched.channel(known);
        let throughput = of(Known::Throughput).filter(|_| settings.latency_target_ms.is_some());
        let resting = [Some(self.demand.total()), throughput, of(Known::Beta)];
        let mut resting = resting.into_iter().flatten().filter(|c| c.at().is_some()).peekable();
        if resting.peek().is_some() {
            return consistency::together(resting.map(Channel::monitor));
        }
        let placed = Known::ALL.into_iter().filter(|known| place(*known).is_some());
        consistency::together(placed.filter_map(of).map(Channel::monitor))
    }
}

/// Ω and the time of the oldest sample behind it. Where Ω is named but not fresh it is unknown: a computed value
/// does not stand in for one that the owner asked to be read.
fn omega_of(fresh: &Fresh<'_>, settings: &Settings) -> Option<(OmegaEstimate, Timestamp)> {
    let read = fresh[Known::Omega].sample;
    if read.is_none() && (fresh[Known::Omega].named || !fresh[Known::Psi].named || !fresh[Known::Cvar].named)
    {
        return None;
    }
    let parts = fresh[Known::Psi].sample.zip(fresh[Known::Cvar].sample);
    let computed = parts.and_then(|((psi, psi_at), (cvar, cvar_at))| {
        let value = omega::exporter(psi, cvar, settings.psi_weight, settings.cvar_penalty)?;
        Some((value, psi_at.min(cvar_at)))
    });
    let at = match (read, computed) {
        (Some((_, a)), Some((_, b))) => a.min(b),
        (Some((_, at)), None) | (None, Some((_, at))) => at,
        (None, None) => return None,
    };
    omega::settle(read.map(|r| r.0), computed.map(|c| c.0)).map(|o| (o, at))
}

fn judged_of(judged: Judged, fresh: &Fresh<'_>, omega: impl FnOnce() -> Option<Sample>) -> Option<Sample> {
    match judged {
        Judged::Latency => fresh[Known::Latency].sample,
        Judged::Errors => fresh[Known::Errors].sample,
        Judged::Omega => omega(),
    }
}

fn load_of(fresh: &Fresh<'_>, ready: i32) -> Load {
    let arrivals = fresh[Known::Throughput].value();
    Load {
        throughput: arrivals.filter(|_| ready > 0).map(|v| v / f64::from(ready)),
        cpu: fresh[Known::Cpu].value(),
        named: fresh[Known::Throughput].named || fresh[Known::Cpu].named,
        arrivals,
    }
}

/// Bounds of a signal's noises. Counts have at least Poisson variance: a rate λ over a window w has λ/w, a share p
/// of λw requests p(1−p)/(λw), with p no smaller than one in all.
fn limits(known: Option<Known>, value: f64, throughput: Option<f64>, settings: &Settings) -> Limits {
    let interval = settings.interval_seconds;
    let r_floor = if known == Some(Known::Throughput) {
        demand::poisson_variance(value, interval)
    } else if let (Some(Known::Errors), Some(rate)) = (known, throughput) {
        // λw = λ²/(λ/w)
        let variance = demand::poisson_variance(rate, interval);
        let requests = if variance > 0.0 { (rate * rate / variance).max(1.0) } else { 1.0 };
        let p = value.clamp(0.0, 1.0).max(1.0 / requests).min(0.5);
        p * (1.0 - p) / requests
    } else {
        0.0
    };
    Limits { interval, q_min: settings.q_min, q_max: settings.q_max, r_floor, r_extra: 0.0 }
}

#[cfg(test)]
#[path = "estimator_tests.rs"]
mod tests;
