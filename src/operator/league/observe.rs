//! What a league's turn sees: both Deployments, the route, and both sides' signals.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use kube::api::DynamicObject;

use crate::act::{CallError, league as act, promotion, route};
use crate::api::gate::League;
use crate::decide::gate::linf_of;
use crate::decide::league::{Contestant, Plan, Route, Situation, Split, Who};
use crate::ledger::state;
use crate::ledger::step::{Kind, Touched};
use crate::observe::facts;
use crate::observe::reading::{Readings, SignalName};
use crate::observe::workload::Workload;
use crate::operator::target::{self, Known};
use crate::operator::turn::TurnError;
use crate::operator::world::World;
use crate::orient::trial;

/// Restarts at which a contestant counts as failing (as page 5 has it of a rollout).
const CRASHES: i32 = 3;

/// One side's Deployment.
pub struct Side {
    /// As the API server has it.
    pub deployment: Deployment,
    /// The facts of it.
    pub workload: Workload,
}

/// Both sides and the route.
pub struct Seen {
    /// The one that serves.
    pub champion: Option<Side>,
    /// The one that wants to.
    pub challenger: Option<Side>,
    /// The route, where one is named; or why it cannot be used.
    pub route: Option<Result<(DynamicObject, Split), Trouble>>,
    /// Whether the facts may be behind a write of ours.
    pub behind: bool,
}

/// Why a route cannot be used.
pub struct Trouble {
    /// In one line.
    pub why: String,
    /// Whether it may pass without anybody touching the route: then nothing that is borrowed is given up.
    pub passes: bool,
}

/// Looks at what a league names.
///
/// # Errors
/// The API server did not answer.
pub async fn look(
    world: &World,
    namespace: &str,
    league: &League,
    known: &mut [Known; 2],
) -> Result<Seen, TurnError> {
    let [of_champion, of_challenger] = known;
    let (champion, old) = side(world, namespace, &league.champion.deployment, of_champion).await?;
    let (challenger, older) = side(world, namespace, &league.challenger.deployment, of_challenger).await?;
    Ok(Seen { champion, challenger, route: route_of(world, namespace, league).await?, behind: old || older })
}

async fn side(
    world: &World,
    namespace: &str,
    name: &str,
    known: &mut Known,
) -> Result<(Option<Side>, bool), TurnError> {
    let (deployment, behind) = target::deployment_of(world, namespace, name, false, known).await?;
    let (Some(deployment), Some(scope)) = (deployment, world.stores.of(namespace)) else {
        return Ok((None, behind));
    };
    let workload = target::facts_from(world, scope, &deployment, None, known).await?;
    Ok((Some(Side { deployment, workload }), behind))
}

async fn route_of(
    world: &World,
    namespace: &str,
    league: &League,
) -> Result<Option<Result<(DynamicObject, Split), Trouble>>, TurnError> {
    let (Some(rule), Some(named)) = (act::rule_of(league), &league.route_ref) else { return Ok(None) };
    let name = &named.name;
    let object = match crate::act::bounded(route::api(&world.client, namespace).get(name)).await {
        Ok(object) => object,
        Err(CallError::Gone) => {
            let why = format!("there is no HTTPRoute {name} (or no Gateway API v1)");
            return Ok(Some(Err(Trouble { why, passes: false })));
        }
        Err(CallError::Refused(why)) => {
            let why = format!("HTTPRoute {name} cannot be read: {why}");
            return Ok(Some(Err(Trouble { why, passes: true })));
        }
        Err(error) => return Err(TurnError::Api(format!("HTTPRoute {name}: {error}"))),
    };
    let split = act::rules_of(&object).and_then(|rules| route::seen(rules, &rule));
    Ok(Some(match split {
        Ok(route::Split { champion, challenger, mirror }) => {
            Ok((object, Split { champion, challenger, mirror }))
        }
        Err(why) => Err(Trouble { why: format!("HTTPRoute {name}: {why}"), passes: false }),
    }))
}

impl Seen {
    /// Both sides as a decision needs them. A template's identity leaves out what either selects its pods by.
    #[must_use]
    pub fn contestants(&self) -> (Option<Contestant>, Option<Contestant>) {
        let keys: BTreeSet<String> = [&self.champion, &self.challenger]
            .into_iter()
            .flatten()
            .flat_map(|side| promotion::selector_keys(&side.deployment))
            .collect();
        let of = |side: &Option<Side>| side.as_ref().map(|side| contestant(side, &keys));
        (of(&self.champion), of(&self.challenger))
    }

    /// The route's rule as a decision needs it.
    #[must_use]
    pub fn route(&self) -> (Option<Route>, Option<String>) {
        match &self.route {
            None => (None, None),
            Some(Err(trouble)) => (None, Some(trouble.why.clone())),
            Some(Ok((object, split))) => {
                let route = Route {
                    uid: object.uid().unwrap_or_default(),
                    resource_version: object.resource_version().unwrap_or_default(),
                    champion: split.champion,
                    challenger: split.challenger,
                    mirror: split.mirror,
                    shape_ok: true,
                    why_not: String::new(),
                };
                (Some(route), None)
            }
        }
    }

    /// What a plan writes to, and its digests before and after. `None` where that does not exist.
    #[must_use]
    pub fn touched(&self, world: &World, situation: &Situation, plan: &Plan) -> Option<Touched> {
        let namespace = &situation.object.namespace;
        match plan {
            Plan::Nothing => None,
            Plan::Route(split) => {
                let (object, now) = self.route.as_ref()?.as_ref().ok()?;
                let named = situation.spec.route_ref.as_ref()?;
                let uid = object.uid()?;
                let digest =
                    |s: &Split| state::route(&uid, named.rule_index, s.champion, s.challenger, s.mirror);
                Some(Touched {
                    kind: Kind::HttpRoutes,
                    namespace: namespace.clone(),
                    name: named.name.clone(),
                    pre: digest(now),
                    expected: digest(split),
                    uid: uid.clone(),
                })
            }
            Plan::Share { deployment, replicas } => {
                let side = match deployment {
                    Who::Champion => self.champion.as_ref()?,
                    Who::Challenger => self.challenger.as_ref()?,
                };
                Some(on(side, *replicas, &side.workload.current.template))
            }
            Plan::Promote { .. } => {
                let (champion, challenger) = (self.champion.as_ref()?, self.challenger.as_ref()?);
                let template = promotion::promoted(&champion.deployment, &challenger.deployment).ok()?;
                Some(on(champion, champion.workload.desired, &facts::identity(&template)))
            }
            Plan::Revert(to) => {
                let champion = self.champion.as_ref()?;
                let sets = &world.stores.of(namespace)?.replica_sets;
                let key = kube::runtime::reflector::ObjectRef::new(&to.replica_set).within(namespace);
                let set = sets.get(&key)?;
                Some(on(champion, champion.workload.desired, set.template.as_ref()?))
            }
        }
    }

    /// The id of the last decision that was carried out on what a plan writes to.
    #[must_use]
    pub fn bears(&self, kind: Kind, name: &str, id: &str) -> bool {
        let is = |value: Option<&String>| value.is_some_and(|found| found == id);
        match kind {
            Kind::HttpRoutes => {
                let route = self.route.as_ref().and_then(|r| r.as_ref().ok());
                route.is_some_and(|(object, _)| is(object.annotations().get(crate::act::DECISION)))
            }
            Kind::Deployments => [&self.champion, &self.challenger]
                .into_iter()
                .flatten()
                .filter(|side| side.deployment.name_any() == name)
                .any(|side| is(side.deployment.annotations().get(crate::act::DECISION))),
        }
    }
}

fn on(side: &Side, replicas: i32, template: &str) -> Touched {
    let workload = &side.workload;
    Touched {
        kind: Kind::Deployments,
        namespace: side.deployment.namespace().unwrap_or_default(),
        name: side.deployment.name_any(),
        uid: workload.uid.clone(),
        pre: state::deployment(&workload.uid, workload.desired, &workload.current.template),
        expected: state::deployment(&workload.uid, replicas, template),
    }
}

fn contestant(side: &Side, keys: &BTreeSet<String>) -> Contestant {
    let workload = &side.workload;
    let template = side.deployment.spec.as_ref().map(|spec| promotion::without_labels(&spec.template, keys));
    Contestant {
        uid: workload.uid.clone(),
        resource_version: workload.resource_version.clone(),
        generation: workload.generation,
        template: template.as_ref().map(facts::identity).unwrap_or_default(),
        pod_template_hash: workload.current.pod_template_hash.clone(),
        replica_set: workload.current.replica_set.clone(),
        desired: workload.desired,
        ready: workload.ready,
        updated: workload.updated,
        settled: workload.rollout.complete,
        failing: workload.rollout.crashes >= CRASHES || workload.rollout.deadline_exceeded,
        started_at: workload.current.started_at,
    }
}

/// Turns readings of one side into samples; each scrape counts once.
#[derive(Default)]
pub struct Meter {
    last: BTreeMap<SignalName, Timestamp>,
}

impl Meter {
    /// What is new since the turn before.
    pub fn side(&mut self, readings: &Readings) -> trial::Side {
        let requests = self.sample(readings, &SignalName::THROUGHPUT).and_then(|(rate, since)| {
            // The first scrape has no time before it that it could count for.
            since.map(|seconds| rate * seconds)
        });
        trial::Side {
            requests,
            errors: self.sample(readings, &SignalName::ERRORS).map(|(value, _)| value),
            latency: self.sample(readings, &SignalName::LATENCY).map(|(value, _)| value),
            slow: self.sample(readings, &SignalName::SLOW).map(|(value, _)| value),
            linf: self.linf(readings),
        }
    }

    /// L∞, once for each time at which all its parts were new.
    fn linf(&mut self, readings: &Readings) -> Option<f64> {
        let (value, at) = linf_of(readings)?;
        let whole = SignalName::new("linf");
        if self.last.get(&whole).is_some_and(|before| at <= *before) {
            return None;
        }
        self.last.insert(whole, at);
        Some(value)
    }

    /// A fresh value that was not there before, and the seconds since the scrape before it.
    fn sample(&mut self, readings: &Readings, signal: &SignalName) -> Option<(f64, Option<f64>)> {
        let (value, at) = readings.get(signal)?.fresh()?;
        let before = self.last.get(signal).copied();
        if before.is_some_and(|before| at <= before) {
            return None;
        }
        self.last.insert(signal.clone(), at);
        Some((value, before.map(|before| at.duration_since(before).as_secs_f64())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::reading::Reading;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn each_scrape_counts_once_and_for_its_own_time() {
        let readings = |second, rate: f64| {
            let fresh = |value| Reading::Fresh { value, sampled_at: at(second) };
            Readings::from([
                (SignalName::THROUGHPUT, fresh(rate)),
                (SignalName::ERRORS, fresh(0.1)),
                (SignalName::LATENCY, Reading::Missing),
            ])
        };
        let mut meter = Meter::default();
        let first = meter.side(&readings(0, 10.0));
        assert_eq!((first.requests, first.errors, first.latency), (None, Some(0.1), None));
        let next = meter.side(&readings(15, 10.0));
        assert_eq!((next.requests, next.errors), (Some(150.0), Some(0.1)));
        let again = meter.side(&readings(15, 10.0));
        assert_eq!(again, trial::Side::default(), "the same scrape tells nothing new");
        assert_eq!(meter.side(&readings(45, 2.0)).requests, Some(60.0));
    }

    #[test]
    fn growth_counts_once_for_each_time_that_all_its_parts_are_new() {
        let readings = |second, cost_second| {
            let part = |name: &str, at_: i64| {
                (SignalName::new(name), Reading::Fresh { value: 0.6, sampled_at: at(at_) })
            };
            let names = ["linf.rsi", "linf.synergy", "linf.novelty", "linf.stability", "linf.viability"];
            let mut all: Readings = names.into_iter().map(|name| part(name, second)).collect();
            all.extend([part("linf.cost", cost_second)]);
            all
        };
        let mut meter = Meter::default();
        assert!(meter.side(&readings(0, 0)).linf.is_some());
        assert_eq!(meter.side(&readings(15, 0)).linf, None, "one part is as old as before");
        assert!(meter.side(&readings(15, 15)).linf.is_some());
    }
}
