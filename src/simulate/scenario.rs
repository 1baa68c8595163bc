//! Stories for the cluster in memory: a load, what goes wrong and when, and who scales.

use super::baselines::{Aiad, FairShare, Hpa, Scaler, Thresholds};
use super::chance::{Chance, Delay};
use super::cluster::{Cluster, Plan, Seen};
use super::faults::{Fault, Scrape};
use super::ours::Ours;
use super::score::Worth;
use super::service::{Model, Revision};
use crate::api::scaling::MatVerseScalingSpec;
use crate::decide::{Version, situation};
use crate::orient::capacity::Capacity;

/// Something that happens to a service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// A new revision.
    RollOut(Revision),
    /// Its nodes become this many times slower.
    SlowNodes(f64),
    /// Its measurements become faulty, or sound again.
    Metrics(Option<Fault>),
}

/// A story.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// One line for people.
    pub about: &'static str,
    /// The cluster and its load.
    pub plan: Plan,
    /// Whether the services share the quota as a pool.
    pub pool: bool,
    /// Latency objective, ms.
    pub objective: f64,
    /// Ticks by which every sample is late.
    pub delay: usize,
    /// Version of the rules that the product decides by.
    pub version: Version,
    /// (second, service, what happens), in the order of time.
    pub events: Vec<(f64, usize, Event)>,
}

/// One tick of one service, as the table and the plot show it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Seconds since the start.
    pub at: f64,
    /// The service.
    pub service: usize,
    /// Requests a second.
    pub throughput: f64,
    /// p95, ms.
    pub p95: Option<f64>,
    /// Share of the time that a replica is busy.
    pub cpu: Option<f64>,
    /// Pods that serve.
    pub ready: i32,
    /// Count asked for before this tick's decision, and after it.
    pub desired: [i32; 2],
    /// What was done.
    pub action: &'static str,
    /// How sure the product is of it.
    pub confidence: Option<f64>,
    /// The model behind it, which states it before it is calibrated.
    #[serde(skip)]
    pub model: Option<Capacity>,
    /// Why, in a line.
    pub why: String,
}

/// Who scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The product.
    Ours,
    /// The quota divided equally.
    FairShare,
    /// Additive increase, additive decrease.
    Aiad,
    /// The HPA's rule, at this cpu in per cent.
    Hpa(u8),
    /// Threshold rules.
    Thresholds,
}

impl Policy {
    /// Every policy.
    pub const ALL: [Self; 5] = [Self::Ours, Self::FairShare, Self::Aiad, Self::Hpa(70), Self::Thresholds];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "matverse",
            Self::FairShare => "fairshare",
            Self::Aiad => "aiad",
            Self::Hpa(_) => "hpa",
            Self::Thresholds => "thresholds",
        }
    }
}

/// Names of the stories.
pub const NAMES: [&str; 7] = ["steady", "step", "rush", "bad-revision", "crash-loop", "slow-node", "blind"];

/// Stream of chance that says when the rushes come.
const RUSHES: u64 = 7;

/// The queueing model of the evaluation in Faro: an image classifier behind a router.
#[must_use]
pub fn faro_model() -> Model {
    Model {
        service: Delay { floor: 0.0793, median: 0.0686, sigma: 0.4225 },
        proxy: Delay { floor: 0.003_49, median: 0.000_988, sigma: 0.4808 },
        in_flight: 4,
        waiting: 50,
        cold_start: 35.0,
        hot_start: 3.0,
        idle: 30.0,
    }
}

impl Scenario {
    /// A trace over a shared quota, as in that evaluation.
    #[must_use]
    pub fn shared(name: &str, trace: Vec<Vec<u32>>, quota: i32, seed: u64) -> Self {
        let plan = Plan { model: faro_model(), trace, quota, start: 1, tick: 10.0, window: 3, seed };
        Self {
            name: name.to_owned(),
            about: "several services share a quota of pods",
            plan,
            pool: true,
            objective: 720.0,
            delay: 0,
            version: Version::NEWEST,
            events: Vec::new(),
        }
    }

    /// One of [`NAMES`].
    #[must_use]
    pub fn named(name: &str, seed: u64) -> Option<Self> {
        let minutes = |count: u32, minutes: usize| vec![count; minutes];
        let mut story = Self::shared(name, vec![minutes(700, 60)], 20, seed);
        (story.pool, story.plan.start) = (false, 4);
        let bad = |slower, failing, crashes| Event::RollOut(Revision { slower, failing, crashes });
        match name {
            "steady" => story.about = "a constant load: nothing should happen once it has settled",
            "step" => {
                story.about = "the load doubles at once, and halves again";
                story.plan.trace = vec![[minutes(500, 20), minutes(1000, 20), minutes(500, 20)].concat()];
            }
            "rush" => {
                story.about =
                    "every so often, when nobody can know, more than twice the load for two minutes";
                // Turns and windows as an operator has them unless told otherwise.
                (story.plan.tick, story.plan.window) = (15.0, 4);
                story.plan.trace = vec![rushes(&mut Chance::new(seed, RUSHES))];
            }
            "bad-revision" => {
                story.about = "a revision that is three times slower and fails one in five";
                story.events = vec![(1500.0, 0, bad(3.0, 0.2, false))];
            }
            "crash-loop" => {
                story.about = "a revision whose new pods crash";
                story.events = vec![(1500.0, 0, bad(1.0, 0.0, true))];
            }
            "slow-node" => {
                story.about = "the nodes become half as fast for ten minutes";
                story.events = vec![(1500.0, 0, Event::SlowNodes(2.0)), (2100.0, 0, Event::SlowNodes(1.0))];
            }
            "blind" => {
                story.about = "no metrics for ten minutes while the load doubles";
                story.plan.trace = vec![[minutes(500, 25), minutes(1000, 35)].concat()];
                let faults = [(1500.0, Some(Fault::Missing)), (2100.0, None)];
                story.events = faults.map(|(at, fault)| (at, 0, Event::Metrics(fault))).to_vec();
            }
            _ => return None,
        }
        Some(story)
    }

    /// What the product is told of each service.
    ///
    /// # Errors
    /// Why the spec is none.
    pub fn spec(&self) -> Result<MatVerseScalingSpec, serde_json::Error> {
        serde_json::from_value(serde_json::json!({
            "targetRef": { "name": "service" },
            "enforcement": "Act",
            "minReplicas": 1,
            "maxReplicas": self.plan.quota,
            "intervalSeconds": self.plan.tick as u32,
            "targets": { "latencyTarget": self.objective },
        }))
    }

    /// Runs it under the product with a spec of its own, or under another policy; every tick is told to `told`.
    ///
    /// # Errors
    /// Why the operator would not evaluate the spec.
    pub fn run(
        &self,
        policy: Policy,
        spec: &MatVerseScalingSpec,
        told: &mut dyn FnMut(&[Row]),
    ) -> Result<Worth, Vec<String>> {
        let mut plan = self.plan.clone();
        let services = plan.trace.len();
        let quota = plan.quota;
        let mut ours = Ours::new(services, spec, self.pool.then_some(quota), self.version)?;
        let mut other: Box<dyn Scaler> = match policy {
            Policy::Aiad => Box::new(Aiad::new(self.objective, quota, plan.tick)),
            Policy::Hpa(cpu) => Box::new(Hpa::new(f64::from(cpu) / 100.0, quota)),
            Policy::Thresholds => Box::new(Thresholds { objective: self.objective, quota }),
            Policy::FairShare | Policy::Ours => Box::new(FairShare { quota }),
        };
        if policy == Policy::FairShare {
            plan.start = quota / i32::try_from(services.max(1)).unwrap_or(1);
        }
        let mut cluster = Cluster::new(plan);
        let mut scrapes = vec![Scrape::late(self.delay); services];
        let mut events = self.events.iter().peekable();
        while cluster.now() < cluster.end() - 1e-9 {
            while let Some((_, service, event)) = events.next_if(|(at, _, _)| *at <= cluster.now()) {
                happen(&mut cluster, &mut scrapes, *service, *event);
            }
            let seen = cluster.tick();
            let now = cluster.now();
            let readings = scrapes.iter_mut().zip(&seen).map(|(scrape, one)| scrape.read(now, one)).collect();
            let counts = if policy == Policy::Ours {
                let counts = ours.decide(now, &seen, readings);
                for (service, number) in ours.rollbacks() {
                    cluster.run_revision(service, number);
                }
                counts
            } else {
                other.scale(now, &seen)
            };
            told(&rows(now, &seen, &counts, (policy == Policy::Ours).then_some(&ours)));
            cluster.scale(&counts);
        }
        Ok(cluster.worth(self.objective / 1000.0))
    }
}

/// Requests a minute of three hours or a little more, in which a rush of two minutes comes after 15 to 54 calm ones.
fn rushes(chance: &mut Chance) -> Vec<u32> {
    let mut trace = Vec::new();
    while trace.len() < 180 {
        trace.resize(trace.len() + 15 + chance.below(40), 500);
        trace.resize(trace.len() + 2, 1200);
    }
    trace
}

fn happen(cluster: &mut Cluster, scrapes: &mut [Scrape], service: usize, event: Event) {
    match event {
        Event::RollOut(revision) => cluster.roll_out(service, revision),
        Event::SlowNodes(slower) => cluster.slow_nodes(service, slower),
        Event::Metrics(fault) => {
            if let Some(scrape) = scrapes.get_mut(service) {
                scrape.fault = fault;
            }
        }
    }
}

fn rows(at: f64, seen: &[Seen], counts: &[i32], ours: Option<&Ours>) -> Vec<Row> {
    let row = |(service, (one, count)): (usize, (&Seen, &i32))| {
        let decision = ours.and_then(|ours| ours.decision(service));
        let action = match (decision, count.cmp(&one.desired)) {
            (Some(decision), _) => decision.action,
            (None, std::cmp::Ordering::Greater) => situation::Action::ScaleUp,
            (None, std::cmp::Ordering::Less) => situation::Action::ScaleDown,
            (None, std::cmp::Ordering::Equal) => situation::Action::Noop,
        };
        Row {
            at,
            service,
            throughput: one.signals.throughput,
            p95: one.signals.p95,
            cpu: one.signals.cpu,
            ready: one.ready,
            desired: [one.desired, *count],
            action: action.as_str(),
            confidence: decision.and_then(|d| d.confidence),
            model: ours.and_then(|ours| ours.model(service)),
            why: decision.map_or_else(String::new, |d| format!("{}: {}", d.why, d.reasoning)),
        }
    };
    seen.iter().zip(counts).enumerate().map(row).collect()
}
