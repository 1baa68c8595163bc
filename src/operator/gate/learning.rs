//! What a gate makes of rollbacks: it learns, waits until each has settled, and records what it gained.
//!
//! ```text
//!  a rollback is seen ─► thresholds harden ─► settled ─► Ω after − Ω before ─► ledger, status
//! ```
//!
//! A rollback is one that a resource which refers to the gate has done, or one of the league after its promotion: a
//! challenger that fails earlier has cost nobody anything. All of it is kept in status.

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::OmegaGate;
use crate::api::gate::{LearnedStatus, OmegaGateStatus};
use crate::decide::GateDecision;
use crate::decide::learning::{Learned, RollbackRecord};
use crate::decide::situation::ObjectRef;
use crate::ledger::statement::Note;
use crate::operator::groups::Group;
use crate::operator::world::World;

/// Revisions whose Ω is remembered.
const REVISIONS: usize = 4;

/// What one gate remembers of rollbacks.
#[derive(Default)]
pub(super) struct Memory {
    /// Read from status once.
    known: Option<Known>,
    /// Last Ω of each of the latest revisions, oldest first.
    course: Vec<Seen>,
    /// The league's stage at the last look.
    stage: Option<String>,
    /// Ω could never be measured: a further rollback came first.
    cut_short: Vec<RollbackRecord>,
}

struct Seen {
    revision: String,
    since: Timestamp,
    omega: f64,
}

#[derive(Clone, Debug, PartialEq)]
struct Known {
    learned: Option<Learned>,
    last_rollback: Option<Timestamp>,
    settling: bool,
    omega_before: Option<f64>,
    rollbacks: u32,
    gain: Option<f64>,
}

impl Known {
    fn recall(gate: &OmegaGate, now: Timestamp) -> Self {
        let status = gate.status.clone().unwrap_or_default();
        let learned = status.learned.unwrap_or_default();
        let time = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
        Self {
            learned: Learned::from_status(&learned, &gate.spec, now).filter(|_| gate.spec.antifragile.learn),
            last_rollback: time(&learned.last_rollback).filter(|at| *at <= now),
            settling: learned.settling,
            omega_before: learned.omega_before.filter(|omega| omega.is_finite()),
            rollbacks: status.rollbacks,
            gain: status.antifragile_gain,
        }
    }
}

impl Memory {
    /// Looks for a rollback since the last look; what was learned, where the gate learns.
    pub(super) fn look(&mut self, world: &World, gate: &OmegaGate, now: Timestamp) -> Option<Learned> {
        let mut times = by_scalings(world, gate);
        times.extend(self.by_league(gate));
        self.take(gate, &times, now)
    }

    fn take(&mut self, gate: &OmegaGate, times: &[Timestamp], now: Timestamp) -> Option<Learned> {
        let known = self.known.get_or_insert_with(|| Known::recall(gate, now));
        // What was done before there was a gate taught it nothing, and what is to come is no fact.
        let born = gate.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let after = known.last_rollback.or(born);
        let news =
            times.iter().copied().filter(|at| *at <= now && after.is_none_or(|after| *at > after)).max();
        if let Some(at) = news {
            if let Some(last) = known.last_rollback.filter(|_| known.settling) {
                self.cut_short.push(RollbackRecord::new(last, known.omega_before, None));
            }
            let bad = self.course.iter().rposition(|seen| seen.since < at);
            let before = bad.map(|i| self.course[i].omega);
            let good = bad.and_then(|i| i.checked_sub(1)).map(|i| self.course[i].omega);
            let drop = good.zip(before).map(|(good, bad)| good - bad);
            if gate.spec.antifragile.learn {
                known.learned = Some(Learned::after_rollback(known.learned.as_ref(), drop, &gate.spec, now));
            }
            known.last_rollback = Some(at);
            (known.settling, known.omega_before) = (true, before);
            known.rollbacks = known.rollbacks.saturating_add(1);
        }
        if !gate.spec.antifragile.learn {
            known.learned = None;
        }
        known.learned = known.learned.map(|learned| learned.at(&gate.spec, now));
        known.learned
    }

    /// A rollback of the league, where it was in its promotion at the last look.
    fn by_league(&mut self, gate: &OmegaGate) -> Option<Timestamp> {
        let league = gate.status.as_ref()?.league.as_ref()?;
        let before = self.stage.replace(league.stage.clone());
        let promoted = before.as_deref().is_some_and(|stage| ["Promote", "Promoted"].contains(&stage));
        league.since.parse().ok().filter(|_| promoted && league.stage == "RolledBack")
    }

    /// Takes the evaluation in; measures and records a rollback that has settled.
    pub(super) async fn settle(
        &mut self,
        world: &World,
        gate: &OmegaGate,
        decision: Option<&GateDecision>,
        revision: Option<&str>,
        complete: bool,
        now: Timestamp,
    ) {
        let omega = decision.and_then(|d| d.omega);
        let record = self.measure(gate, omega.zip(revision), complete, now);
        if !world.leadership.is_leader() {
            return;
        }
        let Ok(ledger) = world.ledger.get() else { return };
        let object = ObjectRef {
            namespace: gate.namespace().unwrap_or_default(),
            name: gate.name_any(),
            uid: gate.uid().unwrap_or_default(),
            target: gate.spec.target_ref.name.clone(),
        };
        let note = |record: &RollbackRecord| Note {
            topic: "rollback".into(),
            object: Some(object.clone()),
            message: serde_json::to_string(record).unwrap_or_default(),
            ..Note::default()
        };
        while let Some(cut) = self.cut_short.first() {
            if ledger.note(note(cut), now).await.is_err() {
                return;
            }
            self.cut_short.remove(0);
        }
        let (Some(record), Some(known)) = (record, &mut self.known) else { return };
        match ledger.note(note(&record), now).await {
            Ok(_) => {
                (known.settling, known.omega_before) = (false, None);
                known.gain = record.antifragile_gain;
            }
            Err(error) => tracing::warn!(name = %gate.name_any(), %error, "a rollback is not recorded yet"),
        }
    }

    /// The record of a rollback that has settled: rolled out, rested for `cooldownSeconds`, and Ω is known again.
    fn measure(
        &mut self,
        gate: &OmegaGate,
        seen: Option<(f64, &str)>,
        complete: bool,
        now: Timestamp,
    ) -> Option<RollbackRecord> {
        let (omega, revision) = seen?;
        match self.course.last_mut() {
            Some(last) if last.revision == revision => last.omega = omega,
            _ => self.course.push(Seen { revision: revision.to_owned(), since: now, omega }),
        }
        self.course.drain(..self.course.len().saturating_sub(REVISIONS));
        let known = self.known.as_ref().filter(|known| known.settling && complete)?;
        let at = known.last_rollback?;
        let rested = now.duration_since(at).as_secs() >= i64::from(gate.spec.cooldown_seconds);
        rested.then(|| RollbackRecord::new(at, known.omega_before, Some(omega)))
    }

    /// Puts what is known into a status.
    pub(super) fn fill(&self, status: &mut OmegaGateStatus) {
        let Some(known) = &self.known else { return };
        status.rollbacks = known.rollbacks;
        status.antifragile_gain = known.gain;
        let empty = known.learned.is_none() && known.last_rollback.is_none();
        status.learned = (!empty).then(|| LearnedStatus {
            omega_min: known.learned.map(|learned| learned.omega_min),
            cvar_penalty: known.learned.map(|learned| learned.cvar_penalty),
            since: known.learned.map(|learned| learned.since.to_string()),
            last_rollback: known.last_rollback.map(|at| at.to_string()),
            settling: known.settling,
            omega_before: known.omega_before,
        });
    }
}

/// Times of the rollbacks that the resources which refer to the gate remember.
fn by_scalings(world: &World, gate: &OmegaGate) -> Vec<Timestamp> {
    let (namespace, name) = (gate.namespace().unwrap_or_default(), gate.name_any());
    let Some(scope) = world.stores.of(&namespace) else { return Vec::new() };
    let all = scope.claims.of(&Group::Gate(namespace.clone(), name.clone()));
    let ours = all
        .iter()
        .filter_map(|found| found.0.as_ref().ok())
        .filter(|scaling| scaling.spec.gate_ref.as_ref().is_some_and(|gate| gate.name == name));
    let times = ours.filter_map(|scaling| scaling.status.as_ref()?.rollback.last_time.clone());
    times.filter_map(|time| time.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_900_000_000 + second).unwrap()
    }

    fn gate(learn: bool) -> OmegaGate {
        serde_json::from_value(json!({
            "apiVersion": "matverse.io/v1alpha1", "kind": "OmegaGate",
            "metadata": {"name": "g", "creationTimestamp": at(0).to_string()},
            "spec": {"targetRef": {"name": "a"}, "antifragile": {"learn": learn}},
        }))
        .unwrap()
    }

    fn near(value: Option<f64>, wanted: f64) {
        assert!((value.unwrap() - wanted).abs() < 1e-4, "{value:?} is not {wanted}");
    }

    #[test]
    fn a_rollback_is_learned_from_once_and_measured_once_it_settled() {
        let (gate, mut memory) = (gate(true), Memory::default());
        assert_eq!(memory.take(&gate, &[at(-50)], at(10)), None, "older than the gate");
        memory.measure(&gate, Some((0.95, "good")), true, at(20));
        memory.measure(&gate, Some((0.60, "bad")), true, at(100));
        near(memory.take(&gate, &[at(120)], at(125)).map(|l| l.omega_min), 0.87);
        let again = memory.take(&gate, &[at(120)], at(130)).unwrap();
        near(Some(again.omega_min), 0.87);
        let mut status = OmegaGateStatus::default();
        memory.fill(&mut status);
        assert_eq!((status.rollbacks, status.antifragile_gain), (1, None));
        assert_eq!(status.learned.as_ref().unwrap().omega_before, Some(0.60));
        assert_eq!(memory.measure(&gate, Some((0.90, "good")), true, at(200)), None, "not rested");
        assert_eq!(memory.measure(&gate, Some((0.90, "good")), false, at(500)), None, "not rolled out");
        let record = memory.measure(&gate, Some((0.92, "good")), true, at(500)).unwrap();
        near(record.antifragile_gain, 0.32);
        near(record.delta, 0.32);
        // A restart goes on from status.
        let mut after = gate.clone();
        after.status = Some(status);
        let mut restarted = Memory::default();
        near(restarted.take(&after, &[at(120)], at(500)).map(|l| l.omega_min), 0.87);
        near(restarted.measure(&after, Some((0.92, "good")), true, at(500)).unwrap().antifragile_gain, 0.32);
    }

    #[test]
    fn a_second_rollback_cuts_the_measure_of_the_first_short() {
        let (gate, mut memory) = (gate(true), Memory::default());
        memory.take(&gate, &[at(100)], at(101));
        memory.take(&gate, &[at(100), at(200)], at(201));
        assert_eq!(memory.cut_short.len(), 1);
        assert_eq!((memory.cut_short[0].timestamp, memory.cut_short[0].antifragile_gain), (at(100), None));
        near(memory.known.as_ref().unwrap().learned.map(|l| l.omega_min), 0.89);
        assert_eq!(memory.known.as_ref().unwrap().rollbacks, 2);
    }

    #[test]
    fn a_gate_that_does_not_learn_measures_all_the_same_and_a_time_to_come_is_no_rollback() {
        let (gate, mut memory) = (gate(false), Memory::default());
        assert_eq!(memory.take(&gate, &[at(900)], at(10)), None);
        assert_eq!(memory.known.as_ref().unwrap().rollbacks, 0);
        assert_eq!(memory.take(&gate, &[at(100)], at(101)), None);
        assert!(memory.measure(&gate, Some((0.9, "r")), true, at(500)).is_some());
    }

    #[test]
    fn of_the_league_only_a_rollback_after_promotion_counts() {
        let with = |stage: &str| {
            let mut gate = gate(true);
            let league = json!({"stage": stage, "since": at(50).to_string(), "samples": 0});
            gate.status = Some(serde_json::from_value(json!({"league": league})).unwrap());
            gate
        };
        let mut memory = Memory::default();
        assert_eq!(memory.by_league(&with("Canary")), None);
        assert_eq!(memory.by_league(&with("RolledBack")), None);
        assert_eq!(memory.by_league(&with("Promote")), None);
        assert_eq!(memory.by_league(&with("RolledBack")), Some(at(50)));
        assert_eq!(memory.by_league(&with("RolledBack")), None);
    }
}
