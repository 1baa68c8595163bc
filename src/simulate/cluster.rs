//! Services that share a quota of pods.
//!
//! ```text
//!  desired ─► pods: pending ─► starting ─► serving ─► idle ─► gone
//!               ▲     (no place)  (35 s)               │ (30 s, keeps its place)
//!               └──────────── warm again (3 s) ◄───────┘
//! ```

use super::chance::Chance;
use super::meter::{Meter, Signals};
use super::score::{Score, Worth};
use super::service::{Model, Revision, Service};

/// How often pods without work are cleared away and pending ones tried again, s.
pub const HOUSEKEEPING: f64 = 5.0;

/// What is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The model of each service.
    pub model: Model,
    /// Requests of each minute, one list a service.
    pub trace: Vec<Vec<u32>>,
    /// Pods that fit at most.
    pub quota: i32,
    /// Replicas of each service at the start, ready.
    pub start: i32,
    /// Time between two looks, s; a divisor of 60 and a multiple of [`HOUSEKEEPING`].
    pub tick: f64,
    /// Window behind rates and percentiles, in ticks.
    pub window: usize,
    /// Seed of every draw.
    pub seed: u64,
}

/// What a scaler sees of one service at a tick.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Count asked for.
    pub desired: i32,
    /// Pods that serve.
    pub ready: i32,
    /// Pods that fail to start.
    pub crashing: i32,
    /// Signals over the window that ends now.
    pub signals: Signals,
    /// Number and start (s) of each rollout so far, the one that runs last.
    pub rollouts: Vec<(usize, f64)>,
}

#[derive(Clone, Debug)]
struct Unit {
    service: Service,
    meter: Meter,
    score: Score,
    /// Every revision there has been, by number.
    revisions: Vec<Revision>,
    rollouts: Vec<(usize, f64)>,
    node: f64,
    desired: i32,
    pending: i32,
    /// When each starting pod is ready.
    starting: Vec<f64>,
    /// Since when each idle pod is idle.
    idle: Vec<f64>,
}

impl Unit {
    fn revision(&self) -> Revision {
        let number = self.rollouts.last().map_or(0, |(number, _)| *number);
        self.revisions.get(number).copied().unwrap_or_default()
    }

    fn ready(&self) -> i32 {
        count(self.service.serving())
    }

    fn places(&self) -> i32 {
        self.ready() + count(self.starting.len()) + count(self.idle.len())
    }

    /// Runs to `until`, with pods becoming ready on the way.
    fn advance(&mut self, until: f64) {
        while let Some(i) = earliest(&self.starting).filter(|i| self.starting[*i] < until) {
            let at = self.starting[i];
            self.service.advance(at);
            if self.revision().crashes {
                self.starting[i] = at + HOUSEKEEPING;
                continue;
            }
            self.starting.swap_remove(i);
            self.service.add(self.revision(), self.node);
        }
        self.service.advance(until);
        for answer in self.service.answers() {
            self.score.take(&answer);
            self.meter.take(&answer);
        }
    }

    fn shrink(&mut self, by: i32, now: f64) {
        for _ in 0..by {
            if self.pending > 0 {
                self.pending -= 1;
            } else if self.starting.pop().is_none() {
                self.service.remove();
                self.idle.push(now);
            }
        }
    }
}

/// A number of pods.
fn count(pods: usize) -> i32 {
    i32::try_from(pods).unwrap_or(i32::MAX)
}

fn earliest(times: &[f64]) -> Option<usize> {
    (0..times.len()).min_by(|a, b| times[*a].total_cmp(&times[*b]))
}

/// The services in the middle of a run.
#[derive(Clone, Debug)]
pub struct Cluster {
    plan: Plan,
    units: Vec<Unit>,
    now: f64,
    pod_seconds: f64,
    actions: u32,
}

impl Cluster {
    /// Everything as it stands at the start.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let unit = |i: usize| {
            let mut service = Service::new(plan.model.clone(), Chance::new(plan.seed, i as u64));
            for _ in 0..plan.start {
                service.add(Revision::default(), 1.0);
            }
            Unit {
                service,
                meter: Meter::new(plan.window),
                score: Score::default(),
                revisions: vec![Revision::default()],
                rollouts: vec![(0, -86_400.0)],
                node: 1.0,
                desired: plan.start,
                pending: 0,
                starting: Vec::new(),
                idle: Vec::new(),
            }
        };
        let units = (0..plan.trace.len()).map(unit).collect();
        Self { plan, units, now: 0.0, pod_seconds: 0.0, actions: 0 }
    }

    /// Seconds since the start.
    #[must_use]
    pub fn now(&self) -> f64 {
        self.now
    }

    /// Length of the run, s.
    #[must_use]
    pub fn end(&self) -> f64 {
        60.0 * self.plan.trace.first().map_or(0, Vec::len) as f64
    }

    /// Runs to the next tick and says what is seen there.
    pub fn tick(&mut self) -> Vec<Seen> {
        let next = self.now + self.plan.tick;
        while self.now < next - 1e-9 {
            if self.now % 60.0 < 1e-9 {
                let minute = (self.now / 60.0).round() as usize;
                for (unit, trace) in self.units.iter_mut().zip(&self.plan.trace) {
                    unit.service.arrive(trace.get(minute).copied().unwrap_or(0), 60.0);
                }
            }
            self.now += HOUSEKEEPING;
            for unit in &mut self.units {
                self.pod_seconds += HOUSEKEEPING * f64::from(unit.ready() + count(unit.starting.len()));
                unit.advance(self.now);
                unit.idle.retain(|since| self.now - since < self.plan.model.idle);
            }
            self.place();
        }
        let now = self.now;
        self.units.iter_mut().map(|unit| Self::look(unit, now)).collect()
    }

    fn look(unit: &mut Unit, now: f64) -> Seen {
        let ready = unit.ready();
        Seen {
            desired: unit.desired,
            ready,
            crashing: if unit.revision().crashes { count(unit.starting.len()) } else { 0 },
            signals: unit.meter.read(now, unit.service.totals(), ready),
            rollouts: unit.rollouts.clone(),
        }
    }

    /// Sets the counts asked for; a change is an act.
    pub fn scale(&mut self, desired: &[i32]) {
        for (unit, want) in self.units.iter_mut().zip(desired) {
            let by = want.max(&0) - unit.desired;
            self.actions += u32::from(by != 0);
            unit.desired += by;
            if by < 0 {
                unit.shrink(-by, self.now);
            } else {
                unit.pending += by;
            }
        }
        self.place();
    }

    /// Gives pending pods a place: a warm one of their own, else a free one.
    fn place(&mut self) {
        let mut free = self.plan.quota - self.units.iter().map(Unit::places).sum::<i32>();
        for unit in &mut self.units {
            while unit.pending > 0 {
                let start = if unit.idle.pop().is_some() {
                    self.plan.model.hot_start
                } else if free > 0 {
                    free -= 1;
                    self.plan.model.cold_start
                } else {
                    break;
                };
                unit.pending -= 1;
                unit.starting.push(self.now + start);
            }
        }
    }

    /// A service gets a new revision: its pods are replaced at once, later ones start with it.
    pub fn roll_out(&mut self, service: usize, revision: Revision) {
        if let Some(unit) = self.units.get_mut(service) {
            unit.revisions.push(revision);
            self.run_revision(service, self.units[service].revisions.len() - 1);
        }
    }

    /// A service runs a revision that it has had, by number.
    pub fn run_revision(&mut self, service: usize, number: usize) {
        let now = self.now;
        let Some(unit) = self.units.get_mut(service).filter(|unit| number < unit.revisions.len()) else {
            return;
        };
        unit.rollouts.push((number, now));
        unit.service.replace(unit.revision());
        self.actions += 1;
    }

    /// The nodes under a service become this many times slower.
    pub fn slow_nodes(&mut self, service: usize, slower: f64) {
        if let Some(unit) = self.units.get_mut(service) {
            unit.node = slower;
            unit.service.slow_nodes(slower);
        }
    }

    /// What the run so far was worth at an objective in seconds.
    #[must_use]
    pub fn worth(&mut self, objective: f64) -> Worth {
        let minutes = (self.now / 60.0).round().max(1.0) as usize;
        let (mut violation, mut utility) = (0.0, 0.0);
        for unit in &mut self.units {
            for (over, worth) in unit.score.by_minute(minutes, objective) {
                violation += over;
                utility += worth;
            }
        }
        let services = self.units.len() as f64;
        Worth {
            violation: violation / (minutes as f64 * services),
            lost_utility: services - utility / minutes as f64,
            replica_hours: self.pod_seconds / 3600.0,
            actions_an_hour: 3600.0 * f64::from(self.actions) / self.now.max(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::chance::Delay;

    fn plan(services: usize, count: u32, quota: i32) -> Plan {
        let model = Model {
            service: Delay { floor: 0.0793, median: 0.0686, sigma: 0.4225 },
            proxy: Delay { floor: 0.00349, median: 0.000_988, sigma: 0.4808 },
            in_flight: 4,
            waiting: 50,
            cold_start: 35.0,
            hot_start: 3.0,
            idle: 30.0,
        };
        let trace = vec![vec![count; 30]; services];
        Plan { model, trace, quota, start: 1, tick: 10.0, window: 3, seed: 3 }
    }

    fn ready(cluster: &mut Cluster) -> Vec<i32> {
        cluster.tick().iter().map(|seen| seen.ready).collect()
    }

    #[test]
    fn a_pod_starts_cold_and_a_warm_one_comes_back_at_once() {
        let mut cluster = Cluster::new(plan(1, 60, 5));
        ready(&mut cluster);
        cluster.scale(&[3]);
        let counts: Vec<i32> = (0..4).flat_map(|_| ready(&mut cluster)).collect();
        assert_eq!(counts, [1, 1, 1, 3]);
        cluster.scale(&[1]);
        assert_eq!(ready(&mut cluster), [1]);
        cluster.scale(&[2]);
        assert_eq!(ready(&mut cluster), [2], "warm");
    }

    #[test]
    fn nobody_starts_above_the_quota_and_a_place_is_free_once_its_pod_is_gone() {
        let mut cluster = Cluster::new(plan(2, 60, 4));
        cluster.tick();
        cluster.scale(&[3, 3]);
        for _ in 0..6 {
            cluster.tick();
        }
        assert_eq!(ready(&mut cluster), [3, 1]);
        cluster.scale(&[1, 3]);
        let counts: Vec<Vec<i32>> = (0..8).map(|_| ready(&mut cluster)).collect();
        assert_eq!(counts[5], [1, 1], "30 s idle, then 35 s cold");
        assert_eq!(counts[6], [1, 3]);
    }

    #[test]
    fn the_same_seed_is_the_same_run_and_more_replicas_are_worth_more() {
        let run = |replicas: i32| {
            let mut cluster = Cluster::new(plan(2, 700, 20));
            while cluster.now() < cluster.end() {
                cluster.tick();
                cluster.scale(&[replicas, replicas]);
            }
            cluster.worth(0.72)
        };
        assert_eq!(run(2), run(2));
        let (few, more) = (run(2), run(4));
        assert!(few.violation > 0.2 && more.violation < 0.1, "{few:?} {more:?}");
        assert!(few.lost_utility > more.lost_utility && few.replica_hours < more.replica_hours);
        assert!((more.actions_an_hour - 4.0).abs() < 1e-9);
    }

    #[test]
    fn signals_say_what_happens() {
        let mut cluster = Cluster::new(plan(1, 1200, 20));
        let seen = (0..12).map(|_| cluster.tick()).last().expect("ticks");
        let signals = seen[0].signals;
        assert!(signals.cpu.is_some_and(|cpu| cpu > 0.99), "{signals:?}");
        assert!((signals.throughput - 20.0).abs() < 4.0 && signals.p95 > Some(5000.0));
        assert!(signals.errors.is_some_and(|errors| (errors - 0.68).abs() < 0.1), "{signals:?}");
    }

    #[test]
    fn pods_of_a_crashing_revision_never_serve() {
        let mut cluster = Cluster::new(plan(1, 60, 5));
        cluster.roll_out(0, Revision { crashes: true, ..Revision::default() });
        cluster.scale(&[3]);
        let last = (0..12).map(|_| cluster.tick()).last().expect("ticks");
        assert_eq!((last[0].ready, last[0].crashing), (1, 2));
    }
}
