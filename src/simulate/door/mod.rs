//! The streaming door: one line of JSON in, one answer out, through the operator's own `orient` and `decide`.
//!
//! ```text
//!  line ─► Facts, Readings ─► Pilot::orient ─┬─► Pilot::decide ─► answer, at once
//!                                            └─► held, where a pool is named ─► endOfTick ─► divide ─► decide
//! ```
//!
//! Whoever holds the other end carries decisions out, or does not: the next line shows it.

pub mod facts;
pub mod line;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use self::facts::Facts;
use self::line::{Answer, Forecast, Line, Refused, Sample, Samples, Step, without_nulls};
use super::pilot::Pilot;
use crate::api::scaling::{Enforcement, MatVerseScalingSpec};
use crate::decide::policy;
use crate::decide::pool::{self, Budget, Division};
use crate::decide::situation::{Decision, Plan, Situation};
use crate::observe::Observed;
use crate::observe::reading::{Evidence, Reading, Readings, SignalName};
use crate::observe::sample::{Limits, idle, seconds};

/// What the operator's configuration gives to a stream.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Profiles: limits of each of their signals.
    pub profiles: BTreeMap<String, BTreeMap<SignalName, Limits>>,
    /// Pools by name.
    pub pools: BTreeMap<String, Budget>,
}

/// What stands in `anomaly` for all signals together.
const JOINT: &str = "joint";
const JOINT_TAKEN: &str = "joint stands for all signals together; give the signal another name";

/// All workloads of a stream.
#[derive(Debug, Default)]
pub struct Door {
    given: Given,
    members: BTreeMap<String, Member>,
    held: Vec<(String, Situation)>,
    lines: u64,
}

/// One workload of the stream.
#[derive(Debug)]
struct Member {
    pilot: Pilot,
    facts: Facts,
    /// Signals that spec, profile or an earlier line named.
    named: BTreeMap<SignalName, Limits>,
    at: Timestamp,
    /// Whether its answer waits for the end of the tick.
    held: bool,
    /// The count that it was last answered with in its pool.
    granted: i32,
}

impl Door {
    /// A door that has seen no line.
    #[must_use]
    pub fn new(given: Given) -> Self {
        Self { given, ..Self::default() }
    }

    /// Takes a line in and writes the answers that are due, one line each, to `out`.
    pub fn line(&mut self, text: impl AsRef<[u8]>, out: &mut Vec<u8>) {
        self.lines += 1;
        let text = text.as_ref();
        if text.trim_ascii().is_empty() {
            return;
        }
        let answered = line::read(text).and_then(|line| self.turn(&line, out));
        if let Err(error) = answered {
            write(out, &Refused { error, line: self.lines });
        }
    }

    /// Answers what is still held: a tick or the stream has ended.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        let mut pools: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (i, (_, situation)) in held.iter().enumerate() {
            pools.entry(situation.spec.pool.clone().unwrap_or_default()).or_default().push(i);
        }
        let mut decisions: Vec<Option<(Situation, Decision)>> = held.iter().map(|_| None).collect();
        for (name, members) in pools {
            let budget = self.given.pools.get(&name).map_or(0, |pool| pool.max_replicas);
            self.share(&name, budget, &members, &held, &mut decisions);
        }
        for ((workload, _), decided) in held.iter().zip(decisions) {
            if let Some(member) = self.members.get_mut(workload) {
                member.held = false;
            }
            if let Some((situation, decision)) = decided {
                answer(out, workload, &situation, &decision);
            }
        }
    }

    /// Decides for the members of one pool: those that shrink first, so that the others know what is free.
    fn share(
        &mut self,
        name: &str,
        budget: i32,
        members: &[usize],
        held: &[(String, Situation)],
        decisions: &mut [Option<(Situation, Decision)>],
    ) {
        let situations: Vec<&Situation> = members.iter().map(|i| &held[*i].1).collect();
        let mut counts: Vec<i32> = situations.iter().map(|s| pool::present(s)).collect();
        let absent = self.members.values().filter(|member| !member.held && member.in_pool(name));
        let kept = absent.map(Member::holds).fold(0, i32::saturating_add);
        let division = Division::new(name, budget, kept, &situations);
        let mut shares: Vec<_> = (0..members.len()).map(|k| division.share(k)).collect();
        for shrinks in [true, false] {
            if !shrinks {
                shares = division.grant(&counts);
            }
            for (k, i) in members.iter().enumerate() {
                let (workload, situation) = &held[*i];
                if decisions[*i].is_some() || shrinks != (shares[k].most < counts[k]) {
                    continue;
                }
                let Some(member) = self.members.get_mut(workload) else { continue };
                let mut situation = situation.clone();
                situation.standing.pool = Some(shares[k].clone());
                let decision = member.pilot.decide(&situation);
                if let Plan::Scale { to, .. } = decision.plan {
                    counts[k] = to;
                }
                member.granted = counts[k];
                decisions[*i] = Some((situation, decision));
            }
        }
    }

    fn turn(&mut self, line: &Line, out: &mut Vec<u8>) -> Result<(), String> {
        if line.end_of_tick == Some(true) {
            if line.workload.is_some() {
                return Err("endOfTick is a line of its own, without a workload".into());
            }
            self.end(out);
            return Ok(());
        }
        let Some(workload) = line.workload.clone() else {
            return Err("neither a workload (\"namespace/name\") nor endOfTick".into());
        };
        self.check(&workload, line).map_err(|why| format!("{workload}: {why}"))?;
        self.introduce(&workload, line).map_err(|why| format!("{workload}: {why}"))?;
        let Some(member) = self.members.get_mut(&workload) else { return Ok(()) };
        member.at = line.time;
        let situation = member.orient(&workload, line);
        if situation.spec.pool.is_some() {
            member.held = true;
            self.held.push((workload, situation));
        } else {
            let decision = member.pilot.decide(&situation);
            answer(out, &workload, &situation, &decision);
        }
        Ok(())
    }

    /// Why a line cannot be taken in, whatever its spec says. A line that is refused changes nothing.
    fn check(&self, workload: &str, line: &Line) -> Result<(), String> {
        if line.readings.keys().any(is_joint) {
            return Err(JOINT_TAKEN.into());
        }
        let Some(member) = self.members.get(workload) else {
            return if line.spec.is_some() {
                Facts::default().check(line)
            } else {
                Err("its first line must bring its spec".into())
            };
        };
        if line.time < member.at {
            return Err(format!("{} is earlier than the line before, {}", line.time, member.at));
        }
        if member.held {
            return Err("its line of this tick has come already; endOfTick begins the next".into());
        }
        member.facts.check(line)
    }

    /// A first spec, or a new one.
    fn introduce(&mut self, workload: &str, line: &Line) -> Result<(), String> {
        let Some(spec) = &line.spec else { return Ok(()) };
        let Some((namespace, name)) =
            workload.split_once('/').filter(|(a, b)| !a.is_empty() && !b.is_empty())
        else {
            return Err("a workload is \"namespace/name\"".into());
        };
        let mut spec = spec.clone();
        without_nulls(&mut spec);
        if let Some(fields) = spec.as_object_mut() {
            fields.entry("targetRef").or_insert_with(|| serde_json::json!({ "name": name }));
        }
        let mut spec: MatVerseScalingSpec = serde_json::from_value(spec).map_err(|e| format!("spec: {e}"))?;
        if spec.enforcement == Enforcement::Observe {
            // Whoever drives the door decides what is carried out; it is answered as one who may act.
            spec.enforcement = Enforcement::Act;
        }
        if let Some(why) = pool::refused(&self.given.pools, spec.pool.as_deref(), namespace) {
            return Err(why);
        }
        let mut named = self.given.profiles.get(&spec.profile).cloned().unwrap_or_default();
        for signal in &spec.signals {
            let limits = Limits::of(&signal.name, signal.max_age_seconds, signal.min, signal.max);
            named.insert(SignalName::new(&signal.name), limits);
        }
        if named.keys().any(is_joint) {
            return Err(JOINT_TAKEN.into());
        }
        let refused = |why: Vec<String>| why.join("; ");
        if let Some(member) = self.members.get_mut(workload) {
            member.pilot.respec(spec).map_err(refused)?;
            member.named = named;
        } else {
            let pilot = Pilot::new(namespace, name, spec).map_err(refused)?;
            let facts = Facts::default();
            let member = Member { pilot, facts, named, at: line.time, held: false, granted: 0 };
            self.members.insert(workload.to_owned(), member);
        }
        Ok(())
    }
}

impl Member {
    fn in_pool(&self, name: &str) -> bool {
        self.pilot.spec().pool.as_deref() == Some(name)
    }

    /// What it may have of its pool while it says nothing new: an answer may have been carried out, or not.
    fn holds(&self) -> i32 {
        self.facts.desired().unwrap_or(self.pilot.spec().min_replicas).max(self.granted)
    }

    fn orient(&mut self, workload: &str, line: &Line) -> Situation {
        self.facts.learn(line);
        for name in
            line.readings.keys().filter(|name| !self.named.contains_key(*name)).cloned().collect::<Vec<_>>()
        {
            let limits = Limits::of(name.as_str(), None, None, None);
            self.named.insert(name, limits);
        }
        let by_revision = line
            .by_revision
            .iter()
            .map(|(hash, all)| (hash.clone(), self.believed(all, line.time)))
            .collect();
        let readings = self.read(&line.readings, line.time);
        let evidence = Evidence { readings, by_revision, ..Evidence::default() };
        let facts = self.facts.workload(workload, self.pilot.spec(), line);
        self.pilot.orient(Observed { at: line.time, evidence, workload: facts })
    }

    /// Every named signal: what the line says of it, else missing.
    fn read(&self, samples: &Samples, at: Timestamp) -> Readings {
        let mut readings: Readings = self
            .named
            .iter()
            .map(|(name, limits)| (name.clone(), judged(samples.get(name).copied().flatten(), limits, at)))
            .collect();
        let silent: BTreeSet<SignalName> = readings
            .iter()
            .filter(|(_, reading)| **reading == Reading::Missing)
            .map(|(name, _)| name.clone())
            .collect();
        idle(&mut readings, &silent);
        readings
    }

    /// The samples of one revision, and no others.
    fn believed(&self, samples: &Samples, at: Timestamp) -> Readings {
        samples
            .iter()
            .map(|(name, sample)| {
                let limits = self
                    .named
                    .get(name)
                    .copied()
                    .unwrap_or_else(|| Limits::of(name.as_str(), None, None, None));
                (name.clone(), judged(*sample, &limits, at))
            })
            .collect()
    }
}

fn is_joint(name: &SignalName) -> bool {
    name.as_str() == JOINT
}

fn judged(sample: Option<Sample>, limits: &Limits, at: Timestamp) -> Reading {
    match sample {
        Some(Sample { value, sampled_at }) => limits.judge(value, sampled_at.map(seconds), at),
        None => Reading::Missing,
    }
}

fn answer(out: &mut Vec<u8>, workload: &str, situation: &Situation, decision: &Decision) {
    let w = situation.observed.workload.as_ref();
    let present = w.map(|w| w.desired);
    let (desired, target, retune) = match &decision.plan {
        Plan::Nothing => (present, None, None),
        Plan::Scale { to, .. } => (Some(*to), None, None),
        Plan::Rollback { to, .. } => (present, Some(to.as_str()), None),
        Plan::Retune { key, to, .. } => (present, None, Some(Step { key, value: to })),
    };
    let picture = &situation.picture;
    // A signal without a new sample surprises nobody.
    let mut anomaly: BTreeMap<&str, f64> = situation
        .observed
        .evidence
        .readings
        .iter()
        .map(|(name, reading)| {
            let known = picture.signals.get(name).filter(|_| reading.fresh().is_some());
            (name.as_str(), known.map_or(0.0, |estimate| estimate.anomaly))
        })
        .collect();
    anomaly.insert(JOINT, picture.joint_anomaly.unwrap_or(0.0));
    let keep = policy::keep_probability(&situation.spec);
    let most = situation.spec.max_replicas.max(present.unwrap_or(1));
    let demand = picture.capacity.as_ref().map(crate::orient::capacity::Capacity::demand);
    write(
        out,
        &Answer {
            time: decision.at,
            workload,
            action: decision.action.as_str(),
            confidence: decision.confidence,
            desired,
            target,
            retune,
            reason: format!("{}: {}", decision.why, decision.reasoning),
            anomaly,
            waiting_on: &decision.waiting_on,
            forecast: Forecast {
                horizon_seconds: picture.horizon_seconds,
                replicas_needed: picture.capacity.as_ref().map(|c| c.needed(keep, most)),
                model: picture.capacity.as_ref().map(crate::orient::capacity::Capacity::model),
                mean: demand.map(|(mean, _)| mean),
                sd: demand.map(|(_, sd)| sd),
                start_seconds: w.and_then(|w| w.start_seconds),
            },
        },
    );
}

fn write(out: &mut Vec<u8>, line: &impl Serialize) {
    let before = out.len();
    if serde_json::to_writer(&mut *out, line).is_err() {
        // Nothing here fails to serialise; a half-written line would break the stream.
        out.truncate(before);
        return;
    }
    out.push(b'\n');
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
