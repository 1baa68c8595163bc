//! The product as a scaler: one pilot a service and the pool's division, fed with what a scraper would have.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::baselines::Scaler;
use super::cluster::Seen;
use super::meter::Signals;
use super::pilot::Pilot;
use crate::api::scaling::MatVerseScalingSpec;
use crate::decide::Version;
use crate::decide::pool::Division;
use crate::decide::situation::{Decision, Plan, Situation};
use crate::observe::Observed;
use crate::observe::reading::{Evidence, Reading, Readings, SignalName};
use crate::observe::workload::{Revision, Rollout, Workload};
use crate::orient::capacity::Capacity;

/// All services under the product's own decisions.
#[derive(Debug)]
pub struct Ours {
    pilots: Vec<Pilot>,
    facts: Vec<Facts>,
    budget: Option<i32>,
    decisions: Vec<Option<Decision>>,
    /// The model behind each of them.
    models: Vec<Option<Capacity>>,
}

/// What is known of a service's pods beside their number.
#[derive(Clone, Debug, Default)]
struct Facts {
    asked: Option<(f64, i32)>,
    start: Option<f64>,
    desired: i32,
}

impl Facts {
    /// How long pods take to start shows in how long a higher count takes to be ready.
    fn learn(&mut self, now: f64, seen: &Seen) {
        if seen.desired > self.desired && self.desired > 0 {
            self.asked = Some((now, seen.desired));
        } else if seen.desired < self.desired {
            self.asked = None;
        }
        self.desired = seen.desired;
        if let Some((since, _)) = self.asked.filter(|(_, count)| seen.ready >= *count) {
            self.start = Some(now - since);
            self.asked = None;
        }
    }
}

impl Ours {
    /// A pilot for each of `services` services with the same spec, deciding by the rules of a version; a pool's budget
    /// where they share one.
    ///
    /// # Errors
    /// Why the operator would not evaluate the spec.
    pub fn new(
        services: usize,
        spec: &MatVerseScalingSpec,
        budget: Option<i32>,
        version: Version,
    ) -> Result<Self, Vec<String>> {
        let pilots: Result<Vec<Pilot>, _> =
            (0..services).map(|i| Pilot::new("simulated", &format!("service-{i}"), spec.clone())).collect();
        let pilots = pilots?.into_iter().map(|pilot| pilot.by(version)).collect();
        let (facts, decisions, models) =
            (vec![Facts::default(); services], vec![None; services], vec![None; services]);
        Ok(Self { pilots, facts, budget, decisions, models })
    }

    /// Decides on the readings of each service at `now` seconds.
    pub fn decide(&mut self, now: f64, seen: &[Seen], readings: Vec<Readings>) -> Vec<i32> {
        let at = time(now);
        let mut situations: Vec<Situation> = Vec::with_capacity(seen.len());
        for (i, (one, readings)) in seen.iter().zip(readings).enumerate() {
            self.facts[i].learn(now, one);
            let workload = Some(workload(i, one, self.facts[i].start));
            let evidence = Evidence { readings, ..Evidence::default() };
            situations.push(self.pilots[i].orient(Observed { at, evidence, workload }));
        }
        let mut counts: Vec<i32> = seen.iter().map(|one| one.desired).collect();
        let Some(budget) = self.budget else {
            for (i, situation) in situations.iter().enumerate() {
                self.one(i, situation, &mut counts);
            }
            return counts;
        };
        let division = Division::new("pool", budget, 0, &situations.iter().collect::<Vec<_>>());
        let mut shares: Vec<_> = (0..seen.len()).map(|i| division.share(i)).collect();
        let shrinks: Vec<bool> =
            shares.iter().zip(&counts).map(|(share, count)| share.most < *count).collect();
        for first in [true, false] {
            if !first {
                shares = division.grant(&counts);
            }
            for i in (0..seen.len()).filter(|i| shrinks[*i] == first) {
                situations[i].standing.pool = Some(shares[i].clone());
                self.one(i, &situations[i], &mut counts);
            }
        }
        counts
    }

    /// The last decision on a service.
    #[must_use]
    pub fn decision(&self, service: usize) -> Option<&Decision> {
        self.decisions.get(service)?.as_ref()
    }

    /// The model behind the last decision on a service.
    #[must_use]
    pub fn model(&self, service: usize) -> Option<Capacity> {
        *self.models.get(service)?
    }

    /// (service, number of the revision to restore) of every rollback decided at the last tick.
    #[must_use]
    pub fn rollbacks(&self) -> Vec<(usize, usize)> {
        let target = |decision: &Option<Decision>| match decision.as_ref().filter(|d| d.act)?.plan {
            Plan::Rollback { ref to, .. } => to.parse().ok(),
            _ => None,
        };
        self.decisions.iter().enumerate().filter_map(|(i, decision)| Some((i, target(decision)?))).collect()
    }

    fn one(&mut self, i: usize, situation: &Situation, counts: &mut [i32]) {
        self.models[i] = situation.picture.capacity;
        let decision = self.pilots[i].decide(situation);
        if let Plan::Scale { to, .. } = decision.plan
            && decision.act
        {
            counts[i] = to;
        }
        self.decisions[i] = Some(decision);
    }
}

impl Scaler for Ours {
    fn scale(&mut self, now: f64, seen: &[Seen]) -> Vec<i32> {
        let readings = seen.iter().map(|one| readings(now, &one.signals)).collect();
        self.decide(now, seen, readings)
    }
}

/// The time of a second of the run.
fn time(now: f64) -> Timestamp {
    let start = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365 * 50);
    start + SignedDuration::from_millis((1000.0 * now) as i64)
}

/// What is read of signals sampled at a second of the run: those without a value are `Idle` where nothing is asked, else missing.
#[must_use]
pub fn readings(at: f64, signals: &Signals) -> Readings {
    let at = time(at);
    let reading = |value: Option<f64>| match value {
        Some(value) => Reading::Fresh { value, sampled_at: at },
        None if signals.throughput == 0.0 => Reading::Idle,
        None => Reading::Missing,
    };
    BTreeMap::from([
        (SignalName::THROUGHPUT, reading(Some(signals.throughput))),
        (SignalName::LATENCY, reading(signals.p95)),
        (SignalName::CPU, reading(signals.cpu)),
        (SignalName::ERRORS, reading(signals.errors)),
    ])
}

fn workload(i: usize, seen: &Seen, start_seconds: Option<f64>) -> Workload {
    let revision = |(number, started): (usize, f64), ready: i32| Revision {
        replica_set: format!("service-{i}-{number}"),
        pod_template_hash: format!("{number}"),
        template: format!("service-{i}-{number}"),
        number: i64::try_from(number).unwrap_or(i64::MAX),
        started_at: time(started),
        ready,
    };
    let complete = seen.ready >= seen.desired && seen.crashing == 0;
    let current = seen.rollouts.last().copied().unwrap_or_default();
    let previous = seen.rollouts.iter().rev().filter(|(number, _)| *number != current.0);
    Workload {
        uid: format!("service-{i}"),
        resource_version: String::new(),
        generation: 0,
        desired: seen.desired,
        ready: seen.ready,
        updated: seen.desired,
        deployment_paused: false,
        pause_requested: false,
        fence: None,
        current: revision(current, seen.ready),
        previous: previous.map(|known| revision(*known, 0)).collect(),
        rollout: Rollout {
            complete,
            last_ready_at: complete.then(|| time(current.1)),
            crashes: 3 * i32::from(seen.crashing > 0),
            ..Rollout::default()
        },
        start_seconds,
        config_changed_at: None,
        other_scalers: Vec::new(),
        gitops: None,
        tunable: None,
    }
}
