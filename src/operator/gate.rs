//! One evaluation of one OmegaGate: observe → decide → report. It writes to no workload.

pub mod evidence;
mod learning;
mod steer;

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use self::evidence::Gathered;
use super::conditions::cut;
use super::events::{Announced, Happening, deployment_ref};
use super::farewell;
use super::fleet;
use super::league;
use super::report::reference;
use super::status;
use super::status::gate::{Answer, GateReport, gate_status, gate_worth_writing};
use super::target;
use super::turn::TurnError;
use super::world::World;
use crate::api::OmegaGate;
use crate::api::gate::{AdmittedStatus, GateStatus, OmegaGateStatus};
use crate::decide::gate::{
    Failing, GateAnswer, GateDecision, GateResult, GateSituation, Pass, fault, is_guard, remember,
};
use crate::decide::learning::admit;
use crate::decide::situation::{GateFault, ObjectRef};
use crate::decide::steer::Effort;
use crate::ledger::EntryRef;
use crate::ledger::statement::{ETHICS_ATTEST, GATE_FAIL, GateChange, GateValue};
use crate::observe::reading::Readings;
use crate::observe::workload::Revision;

/// What one gate's loop remembers between evaluations.
#[derive(Default)]
pub struct Life {
    uid: Option<String>,
    target: target::Known,
    /// Replicas asked for of the target; `None` where it is not seen.
    replicas: Option<i32>,
    /// Whether its rollout is complete.
    settled: bool,
    gathered: Gathered,
    /// Revisions that were admitted; as status says, and then what came since.
    admitted: Option<Vec<AdmittedStatus>>,
    trouble: Trouble,
    status: Option<OmegaGateStatus>,
    version: Option<String>,
    written: Option<Timestamp>,
    announced: Option<Announced>,
    /// Decision that stands in the ledger.
    recorded: Option<String>,
    league: league::Life,
    effort: Effort,
    learning: learning::Memory,
}

/// Evaluates once; the rest until the next time, or `None` when the gate is gone.
pub async fn run(world: &World, namespace: &str, name: &str, life: &mut Life) -> Option<Duration> {
    let Some(found) = fleet::gate_of(world, namespace, name) else {
        forget(world, namespace, name);
        return None;
    };
    let Ok(gate) = &found.0 else {
        tracing::error!(%namespace, %name, "a gate cannot be read");
        world.telemetry.reconcile_error("unreadable");
        return Some(Duration::from_secs(60));
    };
    if life.uid != gate.uid() {
        *life = Life { uid: gate.uid(), ..Life::default() };
    }
    if gate.metadata.deletion_timestamp.is_some() {
        forget(world, namespace, name);
        return give_back(world, gate, life).await;
    }
    let now = world.clock.now();
    let mut invalid = crate::decide::refuse::refused_gate(&gate.spec);
    let plan = evidence::plan(&world.signals, gate);
    if let Err(errors) = &plan {
        invalid.extend(errors.iter().map(ToString::to_string));
    }
    life.admitted.get_or_insert_with(|| gate.status.clone().unwrap_or_default().admitted);
    (life.replicas, life.settled) = (None, false);
    let looked = match plan {
        Ok(plan) if invalid.is_empty() => match look(world, gate, &plan, now, life).await {
            Ok(looked) => Some(looked),
            Err(error) => {
                world.telemetry.reconcile_error(error.kind());
                tracing::warn!(%namespace, %name, %error, "the evaluation ended early");
                return Some(Duration::from_secs(gate.spec.interval_seconds.into()));
            }
        },
        _ => None,
    };
    let learned = life.learning.look(world, gate, now);
    let decision = looked.as_ref().map(|(situation, _)| admit(situation, learned.as_ref()));
    let answer = decision.as_ref().map_or(GateAnswer::Unknown, |d| d.decision);
    let charge = match (&looked, &decision) {
        (Some((situation, Some(revision))), Some(decision)) => life.judged(situation, decision, revision),
        _ => None,
    };
    world.gates.put(namespace, name, answer.view(), charge, now);
    steer::turn(world, gate, life.replicas, now, &mut life.effort);
    let revision = life.gathered.revision.as_deref();
    life.learning.settle(world, gate, decision.as_ref(), revision, life.settled, now).await;
    let league = if invalid.is_empty() { league_turn(world, gate, now, life).await } else { None };
    let rest = league.as_ref().and_then(|done| done.rest);
    let situation = looked.as_ref().map(|(situation, _)| situation);
    let found = Found { invalid: &invalid, situation, decision: decision.as_ref(), league };
    report(world, gate, &found, now, life).await;
    Some(rest.unwrap_or(Duration::from_secs(gate.spec.interval_seconds.into())))
}

/// One turn of the gate's league, where it has one. What fails here holds the league, not the gate.
async fn league_turn(
    world: &World,
    gate: &OmegaGate,
    now: Timestamp,
    life: &mut Life,
) -> Option<league::Done> {
    match league_step(world, gate, now, life).await {
        Ok(done) => done,
        Err(error) => {
            world.telemetry.reconcile_error(error.kind());
            tracing::warn!(name = %gate.name_any(), %error, "the league's turn ended early");
            None
        }
    }
}

async fn league_step(
    world: &World,
    gate: &OmegaGate,
    now: Timestamp,
    life: &mut Life,
) -> Result<Option<league::Done>, TurnError> {
    if let Err(error) = league::take_off(world, gate, &life.league).await {
        tracing::debug!(name = %gate.name_any(), %error, "an answered request is not taken off yet");
    }
    let Some(ready) = league::decide(world, gate, now, &mut life.league).await? else { return Ok(None) };
    if !ready.is_step(world) {
        return Ok(Some(ready.rest(&mut life.league)));
    }
    let pending = ready.pending(&mut life.league);
    if let Some(version) = farewell::keep(world, gate, true).await? {
        life.version = Some(version);
    }
    let stood = life.status.clone().or_else(|| gate.status.clone()).unwrap_or_default();
    let status = OmegaGateStatus { league: Some(pending), ..stood };
    save(world, gate, status, now, life).await?;
    ready.carry_out(world, &mut life.league).await.map(Some)
}

/// A deleted gate gives back what its league borrowed, and only then goes.
async fn give_back(world: &World, gate: &OmegaGate, life: &mut Life) -> Option<Duration> {
    if !gate.finalizers().iter().any(|f| f == farewell::FINALIZER) {
        return None;
    }
    let now = world.clock.now();
    let given = match league_step(world, gate, now, life).await {
        Ok(_) if league::borrows(&life.league) => Ok(false),
        Ok(_) => farewell::keep(world, gate, false).await.map(|_| true),
        Err(error) => Err(error),
    };
    match given {
        Ok(true) => None,
        Ok(false) => Some(Duration::from_secs(2)),
        Err(error) => {
            tracing::warn!(name = %gate.name_any(), %error, "what was borrowed cannot be given back yet");
            Some(Duration::from_secs(5))
        }
    }
}

fn forget(world: &World, namespace: &str, name: &str) {
    world.gates.remove(namespace, name);
    world.steer.remove(namespace, name);
    world.telemetry.forget_steering(namespace, name);
}

/// What an evaluation found.
struct Found<'a> {
    invalid: &'a [String],
    situation: Option<&'a GateSituation>,
    decision: Option<&'a GateDecision>,
    league: Option<league::Done>,
}

/// How long hard gates have failed on one revision.
#[derive(Default)]
struct Trouble {
    /// `pod-template-hash` of the revision.
    revision: String,
    /// Last evaluation in which they held.
    held: Option<Timestamp>,
    failing: Option<Failing>,
}

impl Trouble {
    /// Takes an answer in. What is unknown ends a run of failures and shows nothing else.
    fn turn(&mut self, revision: &str, answer: GateAnswer, now: Timestamp) -> Option<Failing> {
        if self.revision != revision {
            *self = Self { revision: revision.to_owned(), ..Self::default() };
        }
        self.failing = match answer {
            GateAnswer::Block => {
                let known = self.failing.unwrap_or(Failing { since: now, after: self.held, turns: 0 });
                Some(Failing { turns: known.turns.saturating_add(1), ..known })
            }
            GateAnswer::Admit | GateAnswer::Quarantine => {
                self.held = Some(now);
                None
            }
            GateAnswer::Unknown => None,
        };
        self.failing
    }
}

impl Life {
    /// Remembers an answer; what it holds against the revision, where it asks for a rollback.
    fn judged(
        &mut self,
        situation: &GateSituation,
        decision: &GateDecision,
        revision: &Revision,
    ) -> Option<GateFault> {
        // `onFail: Quarantine` softens the answer, not the failure.
        let answer = match decision.decision {
            GateAnswer::Quarantine if decision.fails_hard() => GateAnswer::Block,
            answer => answer,
        };
        let admitted = self.admitted.get_or_insert_default();
        remember(admitted, &revision.template, answer, decision.linf);
        let failing = self.trouble.turn(&revision.pod_template_hash, answer, situation.now)?;
        fault(situation, decision, revision, &failing, self.gathered.first?, admitted)
    }
}

/// What is evaluated, and the revision that it speaks of.
async fn look(
    world: &World,
    gate: &OmegaGate,
    plan: &crate::observe::SignalPlan,
    now: Timestamp,
    life: &mut Life,
) -> Result<(GateSituation, Option<Revision>), TurnError> {
    let namespace = gate.namespace().unwrap_or_default();
    let name = &gate.spec.target_ref.name;
    let workload = target::facts_of(world, &namespace, name, None, false, &mut life.target).await?.0;
    let workload = workload.as_ref();
    life.replicas = workload.map(|w| w.desired);
    life.settled = workload.is_some_and(|w| w.rollout.complete);
    let readings = life.gathered.look(&world.signals, plan, gate, workload, now).await;
    let pole = Some(if world.ledger.get().is_ok() { 1.0 } else { 0.0 });
    let admitted = life.admitted.as_deref().unwrap_or_default();
    let situation = life.gathered.situation(gate, readings, workload, admitted, pole, now);
    Ok((situation, workload.map(|w| w.current.clone())))
}

/// Puts a decision that differs from the recorded one into the ledger; what could not be recorded is offered again
/// at the next evaluation. A gate that never knew anything has nothing to record.
async fn record(
    world: &World,
    gate: &OmegaGate,
    change: GateChange,
    stood: &OmegaGateStatus,
    now: Timestamp,
    recorded: &mut Option<String>,
) -> Option<EntryRef> {
    // What the ledger says, which is not what status says where an answer could not be recorded.
    let known = recorded.get_or_insert_with(|| {
        let last = stood.ledger.as_ref().and_then(|entry| entry.decision.clone());
        last.unwrap_or_else(|| GateAnswer::Unknown.as_str().to_owned())
    });
    let answer = change.decision.clone();
    if *known == answer || !world.leadership.is_leader() {
        return None;
    }
    let ledger = world.ledger.get().ok()?;
    match ledger.gate(change, now).await {
        Ok(entry) => {
            *known = answer;
            Some(entry)
        }
        Err(error) => {
            tracing::warn!(name = %gate.name_any(), %error, "a gate's decision is not recorded yet");
            None
        }
    }
}

/// What there is to record: the decision, or that there can be none.
fn change(gate: &OmegaGate, found: &Found<'_>) -> GateChange {
    let value = |g: &GateResult| GateValue {
        name: g.name.clone(),
        value: g.value,
        threshold: g.threshold,
        pass: g.pass == Pass::Yes,
    };
    let answer = found.decision.map_or(GateAnswer::Unknown, |d| d.decision);
    let gates = || found.decision.iter().flat_map(|d| &d.gates).filter(|g| g.pass != Pass::Off);
    let mut attest = Vec::new();
    if gates().any(|g| is_guard(&g.name)) {
        attest.push(ETHICS_ATTEST.to_owned());
    }
    if answer != GateAnswer::Admit {
        attest.push(GATE_FAIL.to_owned());
    }
    let mut reason = found.decision.map_or_else(|| found.invalid.join("; "), |d| d.reasoning.clone());
    cut(&mut reason, 1024);
    GateChange {
        object: ObjectRef {
            namespace: gate.namespace().unwrap_or_default(),
            name: gate.name_any(),
            uid: gate.uid().unwrap_or_default(),
            target: gate.spec.target_ref.name.clone(),
        },
        decision: answer.as_str().to_owned(),
        reason,
        values: gates().map(value).collect(),
        attest,
    }
}

async fn report(world: &World, gate: &OmegaGate, found: &Found<'_>, now: Timestamp, life: &mut Life) {
    let stood = gate.status.clone().unwrap_or_default();
    let owed = gate.spec.league.is_some() || league::borrows(&life.league);
    let previous = life.status.clone().unwrap_or_else(|| stood.clone());
    let announced = life.announced.get_or_insert_with(|| Announced::from_gate(&stood));
    let none = Readings::new();
    let trouble = world.ledger.get().err();
    let gates: Vec<GateStatus> =
        found.decision.map(|d| d.gates.iter().map(GateResult::status).collect()).unwrap_or_default();
    let answer = found.decision.map(|d| Answer {
        decision: d.decision.as_str(),
        omega: d.omega,
        psi: d.psi,
        cvar: d.cvar,
        theta: d.theta,
        samples: d.samples,
        gates: &gates,
        reasoning: &d.reasoning,
    });
    let entry = record(world, gate, change(gate, found), &stood, now, &mut life.recorded).await;
    let mut status = gate_status(
        &previous,
        &GateReport {
            generation: gate.metadata.generation,
            invalid: found.invalid,
            target_found: found.situation.map(|_| life.gathered.revision.is_some()),
            ledger_available: trouble.is_none(),
            ledger_trouble: trouble.as_deref(),
            revision: life.gathered.revision.as_deref().filter(|_| found.situation.is_some()),
            admitted: life.admitted.as_deref().unwrap_or_default(),
            readings: found.situation.map_or(&none, |s| &s.readings),
            answer,
            entry: entry.as_ref().or(found.league.as_ref().and_then(|done| done.entry.as_ref())),
            league: match &found.league {
                Some(done) => Some(&done.status),
                None => previous.league.as_ref().filter(|_| owed),
            },
            now,
        },
    );
    life.learning.fill(&mut status);
    let mut news: Vec<Happening> = announced.gate(&status).into_iter().collect();
    if let Some(done) = &found.league {
        let before = announced.league.replace(done.status.clone());
        news.extend(league::news(before.as_ref(), &done.status, &done.decision, done.outcome.as_ref()));
    }
    if !news.is_empty() {
        let uid = found.league.as_ref().and_then(|done| done.champion.clone());
        let namespace = gate.namespace().unwrap_or_default();
        let on = uid.map(|uid| deployment_ref(&namespace, &gate.spec.target_ref.name, &uid));
        world.events.publish(&reference(gate), on.as_ref(), news);
    }
    if !world.leadership.is_leader() {
        return;
    }
    match farewell::keep(world, gate, league::borrows(&life.league)).await {
        Ok(version) => life.version = version.or(life.version.take()),
        Err(error) => {
            tracing::debug!(name = %gate.name_any(), %error, "the gate's finalizer was not written");
        }
    }
    if !gate_worth_writing(&previous, &status, life.written, now) {
        return;
    }
    if let Err(error) = save(world, gate, status, now, life).await {
        tracing::debug!(name = %gate.name_any(), %error, "the gate's status was not written");
    }
}

/// Writes the status.
async fn save(
    world: &World,
    gate: &OmegaGate,
    status: OmegaGateStatus,
    now: Timestamp,
    life: &mut Life,
) -> Result<(), TurnError> {
    let mut object = gate.clone();
    if life.version.is_some() {
        object.metadata.resource_version.clone_from(&life.version);
    }
    match status::write_status(&world.client, &object, &status).await {
        Ok(after) => {
            life.version = after.metadata.resource_version;
            life.status = Some(status);
            life.written = Some(now);
            Ok(())
        }
        Err(error) => {
            life.version = None;
            Err(TurnError::Api(error.to_string()))
        }
    }
}
