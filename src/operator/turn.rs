//! One turn of the loop for one resource: observe → orient → decide → intend → act → conclude → report.
//!
//! Each step is a call that takes the value before it and gives the next; what is remembered between turns lives
//! in [`Life`] and, as far as it must survive a restart, in status and ledger.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use super::clock::Monotonic;
use super::farewell;
use super::fleet;
use super::report;
use super::target;
use super::telemetry::Phase;
use super::world::{World, patience};
use crate::act;
use crate::api::MatVerseScaling;
use crate::decide::situation::{Action, GateFault, GateView, Memory, ObjectRef, Plan, Situation, Standing};
use crate::decide::steer::Unrest;
use crate::decide::{self, Decision};
use crate::ledger::{LedgerError, Outcome, Recorded};
use crate::observe::signals::Defaults;
use crate::observe::{Observed, SignalPlan};
use crate::orient::Estimator;

/// What one resource's loop remembers between turns.
#[derive(Default)]
pub struct Life {
    /// uid of the resource this life belongs to: a recreated one starts afresh.
    uid: Option<String>,
    /// Start of the turn.
    began: Monotonic,
    estimator: Estimator,
    warm: bool,
    pub(super) memory: Memory,
    pub(super) target: target::Known,
    /// Last change of mind that was recorded while not acting, and when.
    noted: Option<(Action, i32, Timestamp)>,
    pub(super) reported: report::Reported,
}

/// Why a turn ended early. Nothing was done that is not recorded.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The resource cannot be evaluated as it is written.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
    /// The ledger did not take an entry.
    #[error("ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// The API server did not answer.
    #[error("API server: {0}")]
    Api(String),
}

impl TurnError {
    /// A bounded name for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid_spec",
            Self::Ledger(_) => "ledger",
            Self::Api(_) => "api",
        }
    }
}

/// Runs one turn; the rest until the next one, or `None` when the resource is gone.
pub async fn run(world: &World, namespace: &str, name: &str, life: &mut Life) -> Option<Duration> {
    let Some(found) = fleet::scaling(world, namespace, name) else {
        world.telemetry.forget(namespace, name);
        return None;
    };
    let salvaged;
    let resource = match &found.0 {
        Ok(resource) => resource,
        Err(invalid) => match farewell::salvage(world, &invalid.metadata).await {
            Ok(Some(resource)) => {
                salvaged = resource;
                &salvaged
            }
            Ok(None) => {
                report::unreadable(world, namespace, name, &invalid.error).await;
                return Some(Duration::from_secs(60));
            }
            Err(error) => {
                tracing::warn!(%namespace, %name, %error, "what it borrowed cannot be read yet");
                return Some(Duration::from_secs(5));
            }
        },
    };
    if life.uid != resource.uid() {
        *life = Life::default();
        life.uid = resource.uid();
        life.memory = recall(world, resource);
    }
    life.began = world.clock.monotonic();
    if resource.metadata.deletion_timestamp.is_some() {
        return farewell::turn(world, resource, life).await;
    }
    let rest = Duration::from_secs(resource.spec.interval_seconds.into());
    match once(world, resource, life).await {
        Ok(()) => {}
        Err(TurnError::Invalid(all)) => report::invalid(world, resource, &all, life).await,
        Err(error) => {
            world.telemetry.reconcile_error(error.kind());
            tracing::warn!(%namespace, %name, %error, "the turn ended early");
        }
    }
    let took = world.clock.monotonic().since(life.began);
    world.telemetry.turn(took);
    Some(rest.saturating_sub(took).max(Duration::from_millis(50)))
}

/// What status remembers from before a restart; what makes no sense there holds us back, and is said.
fn recall(world: &World, resource: &MatVerseScaling) -> Memory {
    let Some(status) = &resource.status else { return Memory::default() };
    let cooldown = resource.spec.cooldown_seconds;
    let remembered = super::memory::memory_from_status(status, cooldown, world.clock.now());
    for doubt in &remembered.doubts {
        tracing::warn!(name = %resource.name_any(), %doubt, "status was not believed");
    }
    remembered.memory
}

async fn once(world: &World, resource: &MatVerseScaling, life: &mut Life) -> Result<(), TurnError> {
    resolve_open(world, &object_ref(resource));
    let plan = signal_plan(world, resource)?;
    let mut situation = situation(world, resource, &plan, life).await?;
    let mut decision = timed_decide(world, &situation);
    if decision.act && matches!(decision.action, Action::ScaleDown | Action::Rollback) {
        // A store may lag; what takes something away is decided on what the API server says now.
        let (live, _) =
            target::read(world, resource, life.memory.retune_trial.as_deref(), true, &mut life.target)
                .await?;
        if live != situation.observed.workload {
            situation.observed.workload = live;
            decision = timed_decide(world, &situation);
        }
    }
    let recorded = carry_out(world, resource, &situation, decision, life).await?;
    world.telemetry.timed(Phase::Report, report::report(world, resource, &situation, &recorded, life)).await;
    let borrowed = life.memory.retune_trial.is_some();
    farewell::keep(world, resource, borrowed).await?;
    Ok(())
}

/// The signals of a resource, where it can be evaluated as it is written.
fn signal_plan(world: &World, resource: &MatVerseScaling) -> Result<SignalPlan, TurnError> {
    let mut invalid = decide::refused(&resource.spec);
    let namespace = resource.namespace().unwrap_or_default();
    invalid.extend(decide::pool::refused(&world.config.pools, resource.spec.pool.as_deref(), &namespace));
    let planned = world.signals.plan(
        &resource.spec.profile,
        &resource.spec.signals,
        Defaults::default(),
        &resource.namespace().unwrap_or_default(),
        &resource.spec.target_ref.name,
    );
    match planned {
        Ok(plan) if invalid.is_empty() => Ok(plan),
        Ok(_) => Err(TurnError::Invalid(invalid)),
        Err(errors) => {
            invalid.extend(errors.iter().map(ToString::to_string));
            Err(TurnError::Invalid(invalid))
        }
    }
}

/// Observe and orient, and everything else a decision may depend on.
pub(super) async fn situation(
    world: &World,
    resource: &MatVerseScaling,
    plan: &SignalPlan,
    life: &mut Life,
) -> Result<Situation, TurnError> {
    let (observed, behind) =
        world.telemetry.timed(Phase::Observe, observe(world, resource, plan, life)).await?;
    let settings = decide::settings(&resource.spec);
    if !life.warm {
        warm_up(world, resource, plan, &observed, &settings, life).await;
    }
    let began = world.clock.monotonic();
    let picture = life.estimator.orient(&observed, &settings);
    world.telemetry.phase(Phase::Orient, world.clock.monotonic().since(began));
    let object = object_ref(resource);
    let (gate, gate_fault) = gate_view(world, resource, observed.at);
    let mut situation = Situation {
        now: observed.at,
        spec: resource.spec.clone(),
        picture,
        memory: life.memory.clone(),
        gate,
        gate_fault,
        standing: Standing {
            unrest: unrest(world, resource, observed.at),
            ..standing(world, resource, &object, behind)
        },
        observed,
        object: object.into(),
    };
    situation.standing.pool = world.pools.share(world, &situation);
    // What is recorded must fit an entry, and what is decided on must be what is recorded.
    Ok(situation.compacted())
}

fn timed_decide(world: &World, situation: &Situation) -> Decision {
    let began = world.clock.monotonic();
    let decision = decide::decide(situation);
    world.telemetry.phase(Phase::Decide, world.clock.monotonic().since(began));
    world.telemetry.decided(decision.action, decision.mode);
    decision
}

fn object_ref(resource: &MatVerseScaling) -> ObjectRef {
    ObjectRef {
        namespace: resource.namespace().unwrap_or_default(),
        name: resource.name_any(),
        uid: resource.uid().unwrap_or_default(),
        target: resource.spec.target_ref.name.clone(),
    }
}

/// An act of ours without an outcome comes before anything new.
///
/// Turns of one resource follow each other, so an intent that is open now was left by a turn that was cut short.
/// Opening the ledger anew is the one way to settle it: a new epoch, a fence, then what the target says.
fn resolve_open(world: &World, object: &ObjectRef) {
    if world.ledger.get().is_ok_and(|ledger| ledger.unresolved(object).is_some()) {
        world.ledger.close("an act without an outcome is being settled");
    }
}

/// Reads signals and workload at one evaluation time; whether the facts may be behind a write of ours.
async fn observe(
    world: &World,
    resource: &MatVerseScaling,
    plan: &SignalPlan,
    life: &mut Life,
) -> Result<(Observed, bool), TurnError> {
    let now = world.clock.now();
    // Whole seconds, so that workloads of one second ask the same questions once.
    let at = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let (workload, behind) =
        target::read(world, resource, life.memory.retune_trial.as_deref(), false, &mut life.target).await?;
    let namespace = resource.namespace().unwrap_or_default();
    let name = &resource.spec.target_ref.name;
    let evidence = world.signals.read(plan, &namespace, name, workload.as_ref(), at).await;
    Ok((Observed { at, evidence, workload }, behind))
}

/// Replays recent history through the estimator, so that the first turn decides as if it were not the first.
async fn warm_up(
    world: &World,
    resource: &MatVerseScaling,
    plan: &SignalPlan,
    observed: &Observed,
    settings: &crate::orient::Settings,
    life: &mut Life,
) {
    let namespace = resource.namespace().unwrap_or_default();
    let name = &resource.spec.target_ref.name;
    let interval = resource.spec.interval_seconds;
    let past = world.signals.history(plan, &namespace, name, observed, interval).await;
    tracing::info!(%namespace, name = %resource.name_any(), turns = past.len(), "warm start");
    for earlier in past {
        life.estimator.orient(&earlier, settings);
    }
    life.warm = true;
}

fn standing(world: &World, resource: &MatVerseScaling, object: &ObjectRef, behind: bool) -> Standing {
    let ledger = world.ledger.get();
    Standing {
        ledger_available: ledger.is_ok() && target::restored(world, resource).is_none(),
        unresolved_act: ledger.is_ok_and(|l| l.unresolved(object).is_some()),
        namespace_may_act: world.config.may_act(&object.namespace),
        older_claim: target::older_claim(world, resource),
        league: target::league_on(world, &object.namespace, &object.target),
        facts_behind: behind,
        pool: None,
        unrest: None,
    }
}

fn gate_view(world: &World, resource: &MatVerseScaling, now: Timestamp) -> (GateView, Option<GateFault>) {
    let Some(gate) = &resource.spec.gate_ref else { return (GateView::None, None) };
    let namespace = resource.namespace().unwrap_or_default();
    match fleet::gate_of(world, &namespace, &gate.name).as_deref() {
        Some(kube::core::DeserializeGuard(Ok(found))) => {
            world.gates.get(&namespace, &gate.name, now, patience(found))
        }
        Some(kube::core::DeserializeGuard(Err(_))) | None => (GateView::Unknown, None),
    }
}

/// Why optional acts wait, where the resource refers to a gate that steers.
fn unrest(world: &World, resource: &MatVerseScaling, now: Timestamp) -> Option<Unrest> {
    let name = &resource.spec.gate_ref.as_ref()?.name;
    let namespace = resource.namespace().unwrap_or_default();
    let gate = fleet::gate_of(world, &namespace, name)?;
    world.steer.of(gate.0.as_ref().ok()?, now)
}

/// Tells the gate of a step of a parameter. A step whose range is not declared any more counts as the whole of it.
fn tell_step(world: &World, resource: &MatVerseScaling, plan: &Plan) {
    let (Some(gate), Plan::Retune { key, from, to, .. }) = (&resource.spec.gate_ref, plan) else { return };
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let parameters = resource.spec.retune.as_ref().map(|retune| retune.parameters.as_slice());
    let parameter = parameters.unwrap_or_default().iter().find(|parameter| parameter.key == *key);
    let share = parameter
        .zip(number(from).zip(number(to)))
        .map(|(parameter, (from, to))| (to - from).abs() / (parameter.max - parameter.min));
    world.steer.retuned(&resource.namespace().unwrap_or_default(), &gate.name, share.unwrap_or(1.0));
}

/// intend → act → conclude; or nothing, where the decision is only shown.
pub(super) async fn carry_out(
    world: &World,
    resource: &MatVerseScaling,
    situation: &Situation,
    decision: Decision,
    life: &mut Life,
) -> Result<Recorded, TurnError> {
    let Some(ledger) = world.ledger.get().ok().filter(|_| world.leadership.is_leader()) else {
        return Ok(Recorded::unchanged(decision));
    };
    let now = || world.clock.now();
    if !decision.act || decision.plan == Plan::Nothing {
        if changed_its_mind(situation, &decision, life) {
            return Ok(world.telemetry.timed(Phase::Ledger, ledger.note_decision(decision, now())).await?);
        }
        return Ok(Recorded::unchanged(decision));
    }
    if matches!(decision.plan, Plan::Retune { restore: false, .. }) {
        farewell::keep(world, resource, true).await?;
    }
    let (action, plan) = (decision.action, decision.plan.clone());
    let intended = world.telemetry.timed(Phase::Ledger, ledger.intend(situation, decision, now())).await?;
    let acted = world.telemetry.timed(Phase::Act, act::act(&world.client, intended, &now)).await;
    let delay = world.clock.monotonic().since(life.began);
    world.telemetry.executed(action, acted.outcome().as_str(), delay);
    let recorded = world.telemetry.timed(Phase::Ledger, conclude(&ledger, acted)).await?;
    if let Some(Outcome::Applied { .. }) = recorded.outcome() {
        tell_step(world, resource, &plan);
    }
    if let Some(Outcome::Applied { resource_version, .. }) = recorded.outcome()
        && action != Action::Retune
    {
        life.target.written = resource_version.parse().ok();
    }
    Ok(recorded)
}

/// The outcome of an act must stand in the ledger: it is offered again until it does, within the turn's bound.
pub(super) async fn conclude<S: Clone, D: Clone>(
    ledger: &crate::ledger::Ledger,
    acted: crate::ledger::Acted<S, D>,
) -> Result<Recorded<D>, LedgerError> {
    for wait in [1, 2, 5, 10, 20] {
        match ledger.conclude(acted.clone()).await {
            Err(error) if !error.is_final() => {
                tracing::warn!(%error, "an outcome is not recorded yet");
                tokio::time::sleep(Duration::from_secs(wait)).await;
            }
            answer => return answer,
        }
    }
    ledger.conclude(acted).await
}

/// A change of what would be done is recorded, at most once per resource and cooldown.
fn changed_its_mind(situation: &Situation, decision: &Decision, life: &mut Life) -> bool {
    let would = (decision.action, decision.want);
    let rest = i64::from(situation.spec.cooldown_seconds.max(situation.spec.interval_seconds));
    let due = match life.noted {
        None => decision.action != Action::Noop,
        Some((action, want, at)) => {
            (action, want) != would && situation.now.duration_since(at).as_secs() >= rest
        }
    };
    if due {
        life.noted = Some((would.0, would.1, situation.now));
    }
    due
}
