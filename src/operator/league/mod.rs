//! One turn of a league: look → weigh → decide → (remember, intend, act, conclude) → remember.
//!
//! ```text
//!  status.league.memory ─► Kept ─► Situation ─► league::decide ─► Plan? ─► status: pending ─► ledger ─► act ─► ledger
//!                                                                   └► no plan: what to remember, at once
//! ```
//!
//! A step is one write. What it leaves to be remembered stands in status before the step is tried, beside the id
//! that the object will bear: after a crash the object itself says whether the step was done.

mod kept;
mod news;
mod observe;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

pub use kept::{Kept, Pending};
pub use news::news;

use super::gate::evidence::plan_of;
use super::target::Known;
use super::turn::TurnError;
use super::world::World;
use crate::act::league as act;
use crate::api::OmegaGate;
use crate::api::gate::{League, LeagueStatus};
use crate::decide::gate::{EarlierLinf, GateAnswer, GateSituation, champion_linf, evaluate};
use crate::decide::league::{self, Decision, Plan, Situation};
use crate::decide::situation::ObjectRef;
use crate::ledger::step::{Basis, Touched};
use crate::ledger::{EntryRef, Outcome, Recorded};
use crate::observe::reading::Readings;
use crate::observe::{Observed, SignalPlan};
use crate::orient::trial::Turn;
use observe::{Meter, Seen};

/// What a person asks of the league; admission has checked who.
pub const REQUEST: &str = "autonomy.matverse.io/request";
/// Turns that are kept of a stage: a day of them at 15 s.
const TURNS: usize = 6000;
/// After a step that was done the next turn comes soon: a league's way is several steps.
const SOON: Duration = Duration::from_secs(1);

/// What one league's loop remembers between turns.
#[derive(Default)]
pub struct Life {
    kept: Option<Kept>,
    known: [Known; 2],
    meters: [Meter; 2],
    turns: Vec<Turn>,
    /// Times of the distinct samples of the challenger's own evidence.
    samples: BTreeSet<Timestamp>,
    /// Challenger's revision that the samples belong to.
    revision: Option<String>,
    warm: bool,
}

/// A turn that has been decided and not yet carried out.
pub struct Ready {
    situation: Situation,
    decision: Decision,
    touched: Option<Touched>,
}

/// A turn that is complete.
pub struct Done {
    /// What to show.
    pub status: LeagueStatus,
    /// What was decided.
    pub decision: Decision,
    /// What came of the step, where there was one.
    pub outcome: Option<Outcome>,
    /// Its place in the ledger.
    pub entry: Option<EntryRef>,
    /// uid of the champion.
    pub champion: Option<String>,
    /// When to look again, where that is soon.
    pub rest: Option<Duration>,
}

/// Looks at everything and decides. `None` where the gate has no league and owes nothing to one.
///
/// # Errors
/// The API server did not answer.
pub async fn decide(
    world: &World,
    gate: &OmegaGate,
    now: Timestamp,
    life: &mut Life,
) -> Result<Option<Ready>, TurnError> {
    let status = gate.status.as_ref().and_then(|s| s.league.as_ref());
    let kept = life.kept.get_or_insert_with(|| Kept::from_status(status)).clone();
    let deleted = gate.metadata.deletion_timestamp.is_some();
    let named = gate.spec.league.clone().filter(|_| !deleted);
    let (setup, gives_back) = match (kept.borrowed.clone(), named) {
        (Some(borrowed), named) if named.as_ref() != Some(&borrowed) => (borrowed, true),
        (_, Some(named)) => (named, false),
        _ => return Ok(None),
    };
    let namespace = gate.namespace().unwrap_or_default();
    let seen = observe::look(world, &namespace, &setup, &mut life.known).await?;
    let memory = settled(&kept, &seen);
    if life.kept.as_ref().is_none_or(|k| k.memory != memory || k.pending.is_some()) {
        life.kept = Some(Kept { memory: memory.clone(), pending: None, ..kept });
    }
    let mut situation = blank(world, gate, &setup, &seen, memory, now);
    if gives_back {
        if let Some(Err(observe::Trouble { why, passes: true })) = &seen.route {
            return Err(TurnError::Api(why.clone()));
        }
        let decision = league::end(&situation);
        let touched = seen.touched(world, &situation, &decision.plan);
        return Ok(Some(Ready { situation, decision, touched }));
    }
    weigh(world, gate, &seen, &mut situation, life).await?;
    let decision = league::decide(&situation);
    let touched = seen.touched(world, &situation, &decision.plan);
    Ok(Some(Ready { situation, decision, touched }))
}

/// The memory that stands: a step that was about to be tried is done where the object bears its id.
fn settled(kept: &Kept, seen: &Seen) -> league::Memory {
    match &kept.pending {
        Some(pending) if seen.bears(pending.kind, &pending.name, &pending.id) => pending.next.clone(),
        _ => kept.memory.clone(),
    }
}

/// The situation without evidence.
fn blank(
    world: &World,
    gate: &OmegaGate,
    setup: &League,
    seen: &Seen,
    memory: league::Memory,
    now: Timestamp,
) -> Situation {
    let object = ObjectRef {
        namespace: gate.namespace().unwrap_or_default(),
        name: gate.name_any(),
        uid: gate.uid().unwrap_or_default(),
        target: setup.champion.deployment.clone(),
    };
    let (champion, challenger) = seen.contestants();
    let (route, route_trouble) = seen.route();
    let request = gate.annotations().get(REQUEST).and_then(|text| league::Request::parse(text));
    // Asked again after it was taken off, the same words are a new request.
    let answered = memory.answered.clone().filter(|_| request.is_some());
    let ledger = world.ledger.get();
    let blocked = if !world.config.may_act(&object.namespace) {
        Some("the operator's configuration lets nothing act in this namespace".to_owned())
    } else if ledger.as_ref().is_ok_and(|l| l.unresolved(&object).is_some()) {
        Some("an earlier act has no outcome yet".to_owned())
    } else if seen.behind {
        Some("the facts may be behind a write of ours".to_owned())
    } else {
        None
    };
    Situation {
        now,
        interval_seconds: gate.spec.interval_seconds,
        max_age_seconds: gate.spec.evidence.max_age_seconds,
        paused: paused(gate, seen),
        ledger_trouble: ledger.err(),
        blocked,
        champion,
        challenger,
        route,
        route_trouble,
        memory: league::Memory { answered, ..memory },
        evidence: crate::orient::trial::Evidence::default(),
        gate: GateAnswer::Unknown,
        linf_configured: gate.spec.evidence.signals.iter().any(|s| s.name.starts_with("linf.")),
        delta_linf_min: gate.spec.growth.as_ref().map_or(0.02, |growth| growth.delta_linf_min),
        omega: gate.status.as_ref().and_then(|status| status.omega),
        calm: world.steer.of(gate, now).is_none(),
        request,
        spec: setup.clone(),
        object,
    }
}

/// Who has paused it: the resource, or whoever paused one of the Deployments.
fn paused(gate: &OmegaGate, seen: &Seen) -> Option<String> {
    if gate.spec.paused {
        return Some("spec.paused of the gate".into());
    }
    let paused = |side: &&observe::Side| side.workload.pause_requested || side.workload.deployment_paused;
    let side = [&seen.champion, &seen.challenger].into_iter().flatten().find(paused)?;
    Some(format!("Deployment {} is paused", side.deployment.name_any()))
}

/// Reads both sides' signals and puts what they say of the current stage into the situation.
async fn weigh(
    world: &World,
    gate: &OmegaGate,
    seen: &Seen,
    situation: &mut Situation,
    life: &mut Life,
) -> Result<(), TurnError> {
    let at = Timestamp::from_second(situation.now.as_second()).unwrap_or(situation.now);
    let setup = situation.spec.clone();
    let names = [&setup.champion.deployment, &setup.challenger.deployment];
    let sides = [&seen.champion, &seen.challenger];
    let mut plans = Vec::new();
    for name in names {
        let planned = plan_of(&world.signals, gate, name);
        plans.push(planned.map_err(|all| TurnError::Invalid(all.iter().map(ToString::to_string).collect()))?);
    }
    let namespace = situation.object.namespace.clone();
    let read = |i: usize| {
        let workload = sides[i].as_ref().map(|side| &side.workload);
        world.signals.read(&plans[i], &namespace, names[i], workload, at)
    };
    let (champion, challenger) = futures::join!(read(0), read(1));
    if !life.warm {
        // A source that is down now has a history later; until it speaks there is nothing to weigh.
        if newest(&champion.readings).is_none() {
            return Ok(());
        }
        let past = [
            history(world, gate, &plans[0], names[0], &champion, at).await,
            history(world, gate, &plans[1], names[1], &challenger, at).await,
        ];
        rebuild(&past, life);
        life.warm = true;
    }
    let turn = Turn {
        at,
        champion: life.meters[0].side(&champion.readings),
        challenger: life.meters[1].side(&challenger.readings),
    };
    if life.turns.last().is_none_or(|last| last.at < at) {
        life.turns.push(turn);
    }
    if life.turns.len() > TURNS {
        life.turns.remove(0);
    }
    situation.evidence = league::weigh(&situation.memory, &life.turns);
    situation.linf_configured |=
        challenger.readings.keys().any(|signal| signal.as_str().starts_with("linf."));
    let earlier = champion_linf(&champion.readings);
    situation.gate = gate_of(world, gate, seen, challenger.readings, earlier, situation.now, life);
    Ok(())
}

async fn history(
    world: &World,
    gate: &OmegaGate,
    plan: &SignalPlan,
    name: &str,
    evidence: &crate::observe::reading::Evidence,
    at: Timestamp,
) -> BTreeMap<Timestamp, Readings> {
    let observed = Observed { at, evidence: evidence.clone(), workload: None };
    let namespace = gate.namespace().unwrap_or_default();
    let past = world.signals.history(plan, &namespace, name, &observed, gate.spec.interval_seconds).await;
    past.into_iter().map(|earlier| (earlier.at, earlier.evidence.readings)).collect()
}

/// The turns of before a restart, from both sides' history.
fn rebuild(past: &[BTreeMap<Timestamp, Readings>; 2], life: &mut Life) {
    let times: BTreeSet<Timestamp> = past.iter().flat_map(BTreeMap::keys).copied().collect();
    let none = Readings::new();
    for at in times {
        let [champion, challenger] = [0, 1].map(|i| {
            let readings = past[i].get(&at).unwrap_or(&none);
            life.meters[i].side(readings)
        });
        life.turns.push(Turn { at, champion, challenger });
        let theirs = past[1].get(&at).unwrap_or(&none);
        life.samples.extend(newest(theirs));
    }
}

fn newest(readings: &Readings) -> Option<Timestamp> {
    readings.values().filter_map(crate::observe::reading::Reading::fresh).map(|(_, at)| at).max()
}

/// What the gate says of the challenger, by the challenger's own evidence since its rollout.
fn gate_of(
    world: &World,
    gate: &OmegaGate,
    seen: &Seen,
    readings: Readings,
    earlier_linf: EarlierLinf,
    now: Timestamp,
    life: &mut Life,
) -> GateAnswer {
    let Some(side) = &seen.challenger else { return GateAnswer::Unknown };
    let started = side.workload.current.started_at;
    let revision = Some(side.workload.current.pod_template_hash.clone());
    if life.revision != revision {
        life.samples.retain(|at| *at >= started);
        life.revision = revision;
    }
    life.samples.extend(newest(&readings).filter(|at| *at >= started));
    while life.samples.len() > gate.spec.evidence.window_size as usize {
        life.samples.pop_first();
    }
    // Latency and errors that only the comparison needs are no part of the gate.
    let situation = GateSituation {
        now,
        spec: gate.spec.clone(),
        readings,
        samples: u32::try_from(life.samples.len()).unwrap_or(u32::MAX),
        revision_started_at: Some(started),
        pole: Some(if world.ledger.get().is_ok() { 1.0 } else { 0.0 }),
        earlier_linf,
        paused: gate.spec.paused,
    };
    evaluate(&situation).decision
}

impl Ready {
    /// Whether there is a step to carry out, and by this process.
    #[must_use]
    pub fn is_step(&self, world: &World) -> bool {
        self.decision.plan != Plan::Nothing && self.touched.is_some() && world.leadership.is_leader()
    }

    /// The status to write before the step is tried: with what to remember once it stands.
    #[must_use]
    pub fn pending(&self, life: &mut Life) -> LeagueStatus {
        let kept = life.kept.get_or_insert_default();
        kept.pending = self.touched.as_ref().map(|touched| Pending {
            id: self.decision.id.clone(),
            kind: touched.kind,
            name: touched.name.clone(),
            next: self.decision.next.clone(),
        });
        // Its setup counts as borrowed from before the write: a crash in between must not forget it.
        if league::borrows(&self.decision.next) {
            kept.borrowed = Some(self.situation.spec.clone());
        }
        kept.status(&self.situation, &self.decision)
    }

    /// A turn without a step, or with one that could not be prepared.
    #[must_use]
    pub fn rest(self, life: &mut Life) -> Done {
        let kept = life.kept.get_or_insert_default();
        if self.decision.plan == Plan::Nothing {
            kept.take(&self.situation, &self.decision);
        }
        let status = kept.status(&self.situation, &self.decision);
        let champion = self.situation.champion.map(|champion| champion.uid);
        Done { status, decision: self.decision, outcome: None, entry: None, champion, rest: None }
    }

    /// intend → act → conclude, then what to remember.
    ///
    /// # Errors
    /// The ledger did not take an entry.
    pub async fn carry_out(self, world: &World, life: &mut Life) -> Result<Done, TurnError> {
        let Self { situation, decision, touched } = self;
        let (Some(touched), Ok(ledger)) = (touched, world.ledger.get()) else {
            return Ok(Self { situation, decision, touched: None }.rest(life));
        };
        let now = || world.clock.now();
        let basis = Basis { situation: situation.clone(), touched };
        let intended = ledger.intend_step(basis, decision.clone(), now()).await?;
        let acted = act::act(&world.client, intended, &now).await;
        let recorded: Recorded<Decision> = super::turn::conclude(&ledger, acted).await?;
        let kept = life.kept.get_or_insert_default();
        let applied = matches!(recorded.outcome(), Some(Outcome::Applied { .. }));
        if applied {
            kept.take(&situation, &decision);
            life.turns.retain(|turn| kept.memory.since.is_none_or(|since| turn.at > since));
        } else if !matches!(recorded.outcome(), Some(Outcome::Unknown { .. })) {
            kept.pending = None;
        }
        if let Some(Outcome::Applied { resource_version, .. }) = recorded.outcome() {
            let side = match &decision.plan {
                Plan::Promote { .. }
                | Plan::Revert(_)
                | Plan::Share { deployment: league::Who::Champion, .. } => Some(0),
                Plan::Share { deployment: league::Who::Challenger, .. } => Some(1),
                Plan::Nothing | Plan::Route(_) => None,
            };
            if let Some(side) = side {
                life.known[side].written = resource_version.parse().ok();
            }
        }
        Ok(Done {
            status: kept.status(&situation, &decision),
            outcome: recorded.outcome().cloned(),
            entry: recorded.entry().cloned(),
            champion: situation.champion.map(|champion| champion.uid),
            rest: applied.then_some(SOON),
            decision,
        })
    }
}

/// Takes an answered request off the gate: who asked stands in the ledger, with the step.
///
/// # Errors
/// The API server did not answer; it is tried again at the next turn.
pub async fn take_off(world: &World, gate: &OmegaGate, life: &Life) -> Result<(), TurnError> {
    let answered = life.kept.as_ref().and_then(|kept| kept.memory.answered.as_ref());
    if answered.is_none() || gate.annotations().get(REQUEST) != answered {
        return Ok(());
    }
    let api: Api<OmegaGate> = Api::namespaced(world.client.clone(), &gate.namespace().unwrap_or_default());
    // With the resourceVersion: a request that came meanwhile is another one.
    let version = gate.resource_version();
    let body = json!({"metadata": {"resourceVersion": version, "annotations": {REQUEST: null}}});
    let params = PatchParams { field_manager: Some(crate::act::MANAGER.into()), ..PatchParams::default() };
    super::target::bounded(api.patch(&gate.name_any(), &params, &Patch::Merge(&body))).await?;
    Ok(())
}

/// Whether the gate's league has borrowed something: then its finalizer stands.
#[must_use]
pub fn borrows(life: &Life) -> bool {
    life.kept.as_ref().is_some_and(|kept| kept.borrowed.is_some())
}
