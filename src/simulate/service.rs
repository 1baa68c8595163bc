//! One service as an event-driven queue: arrivals, a proxy, a router, replicas.
//!
//! ```text
//!  arrivals ─► proxy ─► router (FIFO, drops when full) ─► replicas (round robin, a few in flight, one runs)
//!                ▲                                            │
//!                └──────────────── the answer ◄───────────────┘
//! ```
//!
//! The proxy is one server that each request passes twice, as in an HTTP router with one event loop.
//! Time is in seconds from the start of the run.

use std::collections::VecDeque;

use super::chance::{Chance, Delay};

const NEVER: f64 = f64::INFINITY;

/// What a service is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Time that one request keeps a replica busy.
    pub service: Delay,
    /// Time that the proxy takes, each way.
    pub proxy: Delay,
    /// Requests that a replica holds at most, the running one included.
    pub in_flight: usize,
    /// Requests that the router keeps waiting at most.
    pub waiting: usize,
    /// From the creation of a pod to serving, s.
    pub cold_start: f64,
    /// The same for a pod that served a moment ago, s.
    pub hot_start: f64,
    /// How long a removed pod keeps its place and stays warm, s.
    pub idle: f64,
}

/// How a revision differs from the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Revision {
    /// Factor on the service time.
    pub slower: f64,
    /// Share of requests that fail.
    pub failing: f64,
    /// Its pods crash instead of becoming ready.
    pub crashes: bool,
}

impl Default for Revision {
    fn default() -> Self {
        Self { slower: 1.0, failing: 0.0, crashes: false }
    }
}

/// One request that was answered or dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// When it arrived, s.
    pub arrived: f64,
    /// When it left, s.
    pub left: f64,
    /// Whether it was served (and not dropped or failed).
    pub served: bool,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    arrived: f64,
    served: bool,
    /// On its way out.
    leaving: bool,
}

/// Requests of one minute that are still to come.
#[derive(Clone, Copy, Debug)]
struct Batch {
    left: u32,
    next: f64,
    /// Mean time between two, s.
    gap: f64,
}

#[derive(Clone, Debug)]
struct Replica {
    held: VecDeque<Request>,
    done_at: f64,
    /// Takes no more requests and goes once it is empty.
    leaving: bool,
    revision: Revision,
    /// Factor of the node it runs on.
    node: f64,
}

/// Sums since the start, from which rates are made.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Requests that arrived.
    pub arrived: u64,
    /// Seconds that replicas were busy.
    pub busy: f64,
}

/// A service in the middle of a run.
#[derive(Clone, Debug)]
pub struct Service {
    model: Model,
    chance: Chance,
    now: f64,
    batches: Vec<Batch>,
    next_arrival: f64,
    proxy: VecDeque<Request>,
    proxy_done: f64,
    waiting: VecDeque<Request>,
    replicas: Vec<Replica>,
    turn: usize,
    answers: Vec<Answer>,
    totals: Totals,
}

impl Service {
    /// A service without replicas.
    #[must_use]
    pub fn new(model: Model, chance: Chance) -> Self {
        Self {
            model,
            chance,
            now: 0.0,
            batches: Vec::new(),
            next_arrival: NEVER,
            proxy: VecDeque::new(),
            proxy_done: NEVER,
            waiting: VecDeque::new(),
            replicas: Vec::new(),
            turn: 0,
            answers: Vec::new(),
            totals: Totals::default(),
        }
    }

    /// `count` requests begin to arrive, the first at once, with exponential gaps of `seconds / count` in the
    /// mean. A batch that takes longer runs on beside the next one, which makes the load burst.
    pub fn arrive(&mut self, count: u32, seconds: f64) {
        if count > 0 {
            self.batches.push(Batch { left: count, next: self.now, gap: seconds / f64::from(count) });
            self.next_arrival = self.now;
        }
    }

    /// Replicas that take requests.
    #[must_use]
    pub fn serving(&self) -> usize {
        self.replicas.iter().filter(|replica| !replica.leaving).count()
    }

    /// Sums since the start.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// What was answered since the last call.
    pub fn answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.answers)
    }

    /// A pod of a revision begins to serve on a node of the given slowness.
    pub fn add(&mut self, revision: Revision, node: f64) {
        let held = VecDeque::with_capacity(self.model.in_flight);
        self.replicas.push(Replica { held, done_at: NEVER, leaving: false, revision, node });
        self.turn = self.chance.below(self.replicas.len());
        self.route();
    }

    /// The youngest serving replica finishes what it holds and goes.
    pub fn remove(&mut self) {
        if let Some(replica) = self.replicas.iter_mut().rev().find(|replica| !replica.leaving) {
            replica.leaving = true;
        }
        self.replicas.retain(|replica| !(replica.leaving && replica.held.is_empty()));
    }

    /// Every serving replica is replaced by a pod of the revision at once (a rollout without surge, done).
    pub fn replace(&mut self, revision: Revision) {
        for replica in &mut self.replicas {
            replica.revision = revision;
        }
    }

    /// The node of each serving replica becomes this many times slower.
    pub fn slow_nodes(&mut self, node: f64) {
        for replica in &mut self.replicas {
            replica.node = node;
        }
    }

    /// Runs until `until`, which the next call starts from.
    pub fn advance(&mut self, until: f64) {
        loop {
            let (mut at, mut at_replica) = (NEVER, None);
            for (i, replica) in self.replicas.iter().enumerate() {
                if replica.done_at < at {
                    (at, at_replica) = (replica.done_at, Some(i));
                }
            }
            let next = at.min(self.proxy_done).min(self.next_arrival);
            if next >= until {
                break;
            }
            self.pass(next);
            if self.next_arrival <= next {
                self.arrival();
            } else if self.proxy_done <= next {
                self.proxy_passed();
            } else if let Some(i) = at_replica {
                self.served(i);
            }
        }
        self.pass(until);
    }

    fn pass(&mut self, to: f64) {
        let busy = self.replicas.iter().filter(|replica| replica.done_at < NEVER).count();
        self.totals.busy += (to - self.now) * busy as f64;
        self.now = to;
    }

    fn arrival(&mut self) {
        self.totals.arrived += 1;
        if let Some(batch) = self.batches.iter_mut().find(|batch| batch.next <= self.now) {
            batch.left -= 1;
            batch.next = self.now + self.chance.exponential(batch.gap);
        }
        self.batches.retain(|batch| batch.left > 0);
        self.next_arrival = self.batches.iter().map(|batch| batch.next).fold(NEVER, f64::min);
        self.enter_proxy(Request { arrived: self.now, served: true, leaving: false });
    }

    fn enter_proxy(&mut self, request: Request) {
        self.proxy.push_back(request);
        if self.proxy.len() == 1 {
            self.proxy_done = self.now + self.chance.delay(&self.model.proxy);
        }
    }

    fn proxy_passed(&mut self) {
        let Some(request) = self.proxy.pop_front() else { return };
        self.proxy_done = NEVER;
        if !self.proxy.is_empty() {
            self.proxy_done = self.now + self.chance.delay(&self.model.proxy);
        }
        if request.leaving {
            self.answers.push(Answer { arrived: request.arrived, left: self.now, served: request.served });
        } else if self.waiting.len() > self.model.waiting {
            self.enter_proxy(Request { served: false, leaving: true, ..request });
        } else {
            self.waiting.push_back(request);
            self.route();
        }
    }

    /// Hands waiting requests to replicas with room, in turn.
    fn route(&mut self) {
        while !self.waiting.is_empty() {
            let (count, most) = (self.replicas.len(), self.model.in_flight);
            let room = |replica: &Replica| !replica.leaving && replica.held.len() < most;
            let free = (0..count).map(|k| (self.turn + k) % count).find(|i| room(&self.replicas[*i]));
            let (Some(i), Some(request)) = (free, self.waiting.front().copied()) else { return };
            self.turn = (i + 1) % count;
            self.waiting.pop_front();
            self.replicas[i].held.push_back(request);
            if self.replicas[i].held.len() == 1 {
                self.start(i);
            }
        }
    }

    fn start(&mut self, i: usize) {
        let draw = self.chance.delay(&self.model.service);
        let replica = &mut self.replicas[i];
        replica.done_at = self.now + draw * replica.revision.slower * replica.node;
    }

    fn served(&mut self, i: usize) {
        let replica = &mut self.replicas[i];
        let failing = replica.revision.failing;
        replica.done_at = NEVER;
        let Some(request) = replica.held.pop_front() else { return };
        let gone = replica.leaving && replica.held.is_empty();
        if gone {
            self.replicas.remove(i);
            self.turn = self.turn.min(self.replicas.len().saturating_sub(1));
        } else if !self.replicas[i].held.is_empty() {
            self.start(i);
        }
        let failed = failing > 0.0 && self.chance.uniform() < failing;
        self.enter_proxy(Request { served: !failed, leaving: true, ..request });
        self.route();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        Model {
            service: Delay { floor: 0.1, median: 1e-9, sigma: 0.0 },
            proxy: Delay { floor: 0.001, median: 1e-9, sigma: 0.0 },
            in_flight: 4,
            waiting: 50,
            cold_start: 35.0,
            hot_start: 3.0,
            idle: 30.0,
        }
    }

    fn run(rate: f64, replicas: usize, seconds: f64) -> (Vec<Answer>, Totals) {
        let mut service = Service::new(model(), Chance::new(1, 1));
        for _ in 0..replicas {
            service.add(Revision::default(), 1.0);
        }
        service.arrive((2.0 * rate * seconds) as u32, 2.0 * seconds);
        service.advance(seconds);
        (service.answers(), service.totals())
    }

    #[test]
    fn a_light_load_takes_the_service_and_the_way() {
        let (answers, totals) = run(0.5, 2, 4000.0);
        let fast = answers.iter().filter(|a| (a.left - a.arrived - 0.102).abs() < 0.004).count();
        assert!(fast as f64 > 0.9 * answers.len() as f64);
        assert!(answers.iter().all(|a| a.served && a.left - a.arrived > 0.1019));
        assert!((totals.busy / 4000.0 - 0.05).abs() < 0.01, "utilisation law: {}", totals.busy / 4000.0);
    }

    #[test]
    fn one_replica_is_an_m_d_1_queue() {
        // Mean wait of M/D/1 at ρ = .5: ρS/(2(1−ρ)) = .05 s. (Four in flight of one replica is one queue.)
        let (answers, _) = run(5.0, 1, 40_000.0);
        let mean = answers.iter().map(|a| a.left - a.arrived).sum::<f64>() / answers.len() as f64;
        assert!((mean - 0.152).abs() < 0.003, "{mean}");
    }

    #[test]
    fn overload_is_dropped_and_nothing_is_lost() {
        let (answers, totals) = run(30.0, 1, 1000.0);
        let served = answers.iter().filter(|a| a.served).count() as f64;
        assert!((served - 10_000.0).abs() < 100.0, "{served}");
        assert!(totals.arrived as usize - answers.len() < 60);
        assert!((totals.busy / 1000.0 - 1.0).abs() < 0.01);
    }

    #[test]
    fn a_removed_replica_finishes_its_work() {
        let mut service = Service::new(model(), Chance::new(1, 1));
        service.add(Revision::default(), 1.0);
        service.add(Revision::default(), 1.0);
        service.arrive(750, 50.0);
        service.advance(50.0);
        service.remove();
        assert_eq!(service.serving(), 1);
        service.advance(180.0);
        let answers = service.answers();
        assert_eq!(answers.len() as u64, service.totals().arrived);
        assert_eq!(service.replicas.len(), 1);
    }

    #[test]
    fn a_bad_revision_is_slow_and_fails() {
        let mut service = Service::new(model(), Chance::new(1, 1));
        service.add(Revision { slower: 3.0, failing: 0.5, crashes: false }, 1.0);
        service.arrive(2000, 4000.0);
        service.advance(5000.0);
        let answers = service.answers();
        let failed = answers.iter().filter(|a| !a.served).count() as f64 / answers.len() as f64;
        assert!((failed - 0.5).abs() < 0.05, "{failed}");
        assert!(answers.iter().all(|a| a.left - a.arrived > 0.3));
    }
}
