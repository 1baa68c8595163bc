//! One evaluation of one OmegaGate: observe → decide → report. It writes to no workload.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

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
use crate::api::gate::{GateStatus, OmegaGateStatus};
use crate::decide::gate::{GateAnswer, GateDecision, GateResult, GateSituation, Pass, evaluate};
use crate::decide::situation::ObjectRef;
use crate::ledger::EntryRef;
use crate::ledger::statement::{GateChange, GateValue};
use crate::observe::reading::Readings;
use crate::observe::signals::Defaults;

/// What one gate's loop remembers between evaluations.
#[derive(Default)]
pub struct Life {
    uid: Option<String>,
    target: target::Known,
    /// Revision that the samples belong to.
    revision: Option<String>,
    /// Times of the distinct samples since that revision's rollout.
    samples: BTreeSet<Timestamp>,
    warm: bool,
    status: Option<OmegaGateStatus>,
    version: Option<String>,
    written: Option<Timestamp>,
    announced: Option<Announced>,
    /// Decision that stands in the ledger.
    recorded: Option<String>,
    league: league::Life,
}

/// Evaluates once; the rest until the next time, or `None` when the gate is gone.
pub async fn run(world: &World, namespace: &str, name: &str, life: &mut Life) -> Option<Duration> {
    let Some(found) = fleet::gate_of(world, namespace, name) else {
        world.gates.remove(namespace, name);
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
        world.gates.remove(namespace, name);
        return give_back(world, gate, life).await;
    }
    let now = world.clock.now();
    let mut invalid = crate::decide::refuse::refused_gate(&gate.spec);
    let evidence = &gate.spec.evidence;
    let defaults =
        Defaults { source: Some(&evidence.source), max_age_seconds: Some(evidence.max_age_seconds) };
    let target = &gate.spec.target_ref.name;
    let plan = world.signals.plan(&evidence.profile, &evidence.signals, defaults, namespace, target);
    if let Err(errors) = &plan {
        invalid.extend(errors.iter().map(ToString::to_string));
    }
    let situation = match plan {
        Ok(plan) if invalid.is_empty() => match situation(world, gate, &plan, now, life).await {
            Ok(situation) => Some(situation),
            Err(error) => {
                world.telemetry.reconcile_error(error.kind());
                tracing::warn!(%namespace, %name, %error, "the evaluation ended early");
                return Some(Duration::from_secs(gate.spec.interval_seconds.into()));
            }
        },
        _ => None,
    };
    let decision = situation.as_ref().map(evaluate);
    let answer = decision.as_ref().map_or(GateAnswer::Unknown, |d| d.decision);
    world.gates.put(namespace, name, answer.view(), now);
    let league = if invalid.is_empty() { league_turn(world, gate, now, life).await } else { None };
    let rest = league.as_ref().and_then(|done| done.rest);
    let found =
        Found { invalid: &invalid, situation: situation.as_ref(), decision: decision.as_ref(), league };
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

/// What an evaluation found.
struct Found<'a> {
    invalid: &'a [String],
    situation: Option<&'a GateSituation>,
    decision: Option<&'a GateDecision>,
    league: Option<league::Done>,
}

async fn situation(
    world: &World,
    gate: &OmegaGate,
    plan: &crate::observe::SignalPlan,
    now: Timestamp,
    life: &mut Life,
) -> Result<GateSituation, super::turn::TurnError> {
    let namespace = gate.namespace().unwrap_or_default();
    let name = &gate.spec.target_ref.name;
    let workload = target::facts_of(world, &namespace, name, None, false, &mut life.target).await?.0;
    let evidence = world.signals.read(plan, &namespace, name, workload.as_ref(), now).await;
    let revision = workload.as_ref().map(|w| w.current.pod_template_hash.clone());
    let started = workload.as_ref().map(|w| w.current.started_at);
    if life.revision != revision {
        life.samples.clear();
        life.warm = false;
        life.revision = revision;
    }
    if !life.warm {
        let observed =
            crate::observe::Observed { at: now, evidence: evidence.clone(), workload: workload.clone() };
        for past in world.signals.history(plan, &namespace, name, &observed, gate.spec.interval_seconds).await
        {
            count(&past.evidence.readings, started, &mut life.samples);
        }
        life.warm = true;
    }
    count(&evidence.readings, started, &mut life.samples);
    while life.samples.len() > gate.spec.evidence.window_size as usize {
        life.samples.pop_first();
    }
    Ok(GateSituation {
        now,
        spec: gate.spec.clone(),
        readings: evidence.readings,
        samples: u32::try_from(life.samples.len()).unwrap_or(u32::MAX),
        revision_started_at: started,
        pole: Some(if world.ledger.get().is_ok() { 1.0 } else { 0.0 }),
        paused: gate.spec.paused,
    })
}

/// A sample counts once, by its own time, and only after the revision's rollout began.
fn count(readings: &Readings, started: Option<Timestamp>, samples: &mut BTreeSet<Timestamp>) {
    let times =
        readings.values().filter_map(super::super::observe::reading::Reading::fresh).map(|(_, at)| at);
    samples.extend(times.filter(|at| started.is_none_or(|s| *at >= s)).max());
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
    let mut reason = found.decision.map_or_else(|| found.invalid.join("; "), |d| d.reasoning.clone());
    cut(&mut reason, 1024);
    GateChange {
        object: ObjectRef {
            namespace: gate.namespace().unwrap_or_default(),
            name: gate.name_any(),
            uid: gate.uid().unwrap_or_default(),
            target: gate.spec.target_ref.name.clone(),
        },
        decision: found.decision.map_or(GateAnswer::Unknown, |d| d.decision).as_str().to_owned(),
        reason,
        values: found
            .decision
            .map_or_else(Vec::new, |d| d.gates.iter().filter(|g| g.pass != Pass::Off).map(value).collect()),
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
    let status = gate_status(
        &previous,
        &GateReport {
            generation: gate.metadata.generation,
            invalid: found.invalid,
            target_found: found.situation.map(|_| life.revision.is_some()),
            ledger_available: trouble.is_none(),
            ledger_trouble: trouble.as_deref(),
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
            tracing::debug!(name = %gate.name_any(), %error, "the gate's finalizer was not written")
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
