//! What every turn of the operator shares.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use jiff::Timestamp;
use kube::{Client, ResourceExt};
use tokio::sync::{Notify, Semaphore};

use super::clock::Clock;
use super::config::Config;
use super::events::Events;
use super::leader::Leadership;
use super::pools::Pools;
use super::stores::Stores;
use super::telemetry::Telemetry;
use crate::api::OmegaGate;
use crate::decide::situation::{GateFault, GateView};
use crate::decide::steer::Unrest;
use crate::ledger::Ledger;
use crate::observe::Signals;

/// Shared by all turns.
pub struct World {
    /// The API server.
    pub client: Client,
    /// The operator's configuration.
    pub config: Config,
    /// The one clock.
    pub clock: Clock,
    /// The watches.
    pub stores: Stores,
    /// The sources.
    pub signals: Signals,
    /// Metrics.
    pub telemetry: Arc<Telemetry>,
    /// Events.
    pub events: Arc<Events>,
    /// Who writes, as ledger entries name it.
    pub actor: String,
    /// Whether this process leads.
    pub leadership: Leadership,
    /// The ledger, where it can be written.
    pub ledger: LedgerDoor,
    /// What the gates answered last.
    pub gates: GateBoard,
    /// How calm what each gate steers is.
    pub steer: SteerBoard,
    /// What the members of replica pools were seen with.
    pub pools: Pools,
    /// Turns under way at once.
    pub turns: Semaphore,
}

/// The ledger as turns see it: open, or closed with a reason.
pub struct LedgerDoor {
    state: RwLock<Result<Arc<Ledger>, String>>,
    shut: Notify,
}

impl Default for LedgerDoor {
    fn default() -> Self {
        Self { state: RwLock::new(Err("not opened yet".into())), shut: Notify::new() }
    }
}

impl LedgerDoor {
    /// The ledger, or why no act can be recorded.
    pub fn get(&self) -> Result<Arc<Ledger>, String> {
        let state = self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let ledger = state.clone()?;
        ledger.available()?;
        Ok(ledger)
    }

    /// Whether it must be opened (again): it is closed, or its writer has stepped down for good.
    pub fn is_closed(&self) -> bool {
        let state = self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.as_ref().map_or(true, |ledger| ledger.is_lost())
    }

    /// A turn closes the door: it is opened anew at once.
    pub fn close(&self, why: &str) {
        self.set(Err(why.to_owned()));
        self.shut.notify_one();
    }

    /// Until a turn has closed the door.
    pub async fn shut(&self) {
        self.shut.notified().await;
    }

    /// What the keeper found: open, or why not.
    pub fn set(&self, state: Result<Arc<Ledger>, String>) {
        *self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner) = state;
    }
}

/// The last answer of each gate, with its time: an old answer is no answer.
#[derive(Default)]
pub struct GateBoard {
    answers: RwLock<HashMap<(String, String), Said>>,
}

/// One answer.
struct Said {
    view: GateView,
    fault: Option<GateFault>,
    at: Timestamp,
}

impl GateBoard {
    /// Puts up an answer, with what a gate that asks for a rollback holds against the revision.
    pub fn put(&self, namespace: &str, name: &str, view: GateView, fault: Option<GateFault>, at: Timestamp) {
        let mut answers = self.answers.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        answers.insert((namespace.to_owned(), name.to_owned()), Said { view, fault, at });
    }

    /// Takes an answer down: the gate is gone.
    pub fn remove(&self, namespace: &str, name: &str) {
        let mut answers = self.answers.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        answers.remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// The answer, where it is younger than `seconds`; otherwise `Unknown`.
    pub fn get(
        &self,
        namespace: &str,
        name: &str,
        now: Timestamp,
        seconds: i64,
    ) -> (GateView, Option<GateFault>) {
        let answers = self.answers.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        match answers.get(&(namespace.to_owned(), name.to_owned())) {
            Some(said) if now.duration_since(said.at).as_secs() <= seconds => (said.view, said.fault.clone()),
            _ => (GateView::Unknown, None),
        }
    }
}

/// Why optional acts wait, and when that was said.
type SteerState = (Option<Unrest>, Timestamp);

/// The last state of each gate that steers, and the steps of parameters that it has not counted yet.
#[derive(Default)]
pub struct SteerBoard {
    states: RwLock<HashMap<(String, String), SteerState>>,
    steps: RwLock<HashMap<(String, String), f64>>,
}

impl SteerBoard {
    /// Puts up why optional acts wait, `None` for calm.
    pub fn put(&self, namespace: &str, name: &str, unrest: Option<Unrest>, at: Timestamp) {
        let mut states = self.states.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        states.insert((namespace.to_owned(), name.to_owned()), (unrest, at));
    }

    /// Takes a state down: the gate is gone, or steers no more.
    pub fn remove(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        self.states.write().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&key);
        self.steps.write().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&key);
    }

    /// Why optional acts wait for a gate; `None` for calm, and where it does not steer.
    pub fn of(&self, gate: &OmegaGate, now: Timestamp) -> Option<Unrest> {
        gate.spec.steer.as_ref()?;
        self.get(&gate.namespace().unwrap_or_default(), &gate.name_any(), now, patience(gate))
    }

    /// Why optional acts wait, `None` for calm. A state that is not younger than `seconds` says nothing, and they wait.
    pub fn get(&self, namespace: &str, name: &str, now: Timestamp, seconds: i64) -> Option<Unrest> {
        let states = self.states.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        match states.get(&(namespace.to_owned(), name.to_owned())) {
            Some((unrest, at)) if now.duration_since(*at).as_secs() <= seconds => *unrest,
            _ => Some(Unrest::Unknown),
        }
    }

    /// A parameter was moved by this share of its range.
    pub fn retuned(&self, namespace: &str, name: &str, share: f64) {
        let mut steps = self.steps.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        *steps.entry((namespace.to_owned(), name.to_owned())).or_default() += share;
    }

    /// The steps since this was last asked.
    pub fn take_retuned(&self, namespace: &str, name: &str) -> f64 {
        let mut steps = self.steps.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        steps.remove(&(namespace.to_owned(), name.to_owned())).unwrap_or(0.0)
    }
}

/// Seconds for which the last word of a gate counts: three evaluations and a little.
pub fn patience(gate: &OmegaGate) -> i64 {
    i64::from(gate.spec.interval_seconds) * 3 + 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_or_absent_state_is_no_calm_and_a_step_is_counted_once() {
        let board = SteerBoard::default();
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let later: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        assert_eq!(board.get("a", "g", at, 50), Some(Unrest::Unknown));
        board.put("a", "g", None, at);
        assert_eq!(board.get("a", "g", at, 50), None);
        assert_eq!(board.get("a", "g", later, 50), Some(Unrest::Unknown));
        board.retuned("a", "g", 0.01);
        board.retuned("a", "g", 0.02);
        assert!((board.take_retuned("a", "g") - 0.03).abs() < 1e-12);
        assert!(board.take_retuned("a", "g").abs() < 1e-12);
        board.remove("a", "g");
        assert_eq!(board.get("a", "g", at, 50), Some(Unrest::Unknown));
    }

    #[tokio::test]
    async fn the_keeper_hears_of_a_closed_door_even_when_it_was_not_listening() {
        let door = LedgerDoor::default();
        door.close("an act is open");
        let heard = tokio::time::timeout(std::time::Duration::from_secs(5), door.shut()).await;
        assert!(heard.is_ok());
        assert_eq!(door.get().err().as_deref(), Some("an act is open"));
    }

    #[test]
    fn an_old_or_absent_answer_of_a_gate_is_unknown() {
        let board = GateBoard::default();
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let later: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        assert_eq!(board.get("a", "g", at, 45), (GateView::Unknown, None));
        board.put("a", "g", GateView::Admit, None, at);
        assert_eq!(board.get("a", "g", at, 45), (GateView::Admit, None));
        assert_eq!(board.get("a", "g", later, 45), (GateView::Unknown, None));
        board.remove("a", "g");
        assert_eq!(board.get("a", "g", at, 45), (GateView::Unknown, None));
    }
}
