//! Events: what happened, in the words of `kubectl describe`, and only when it happens.
//!
//! ```text
//!  status + decision ─► Announced::scaling (pure: what is new?) ─► Events::publish ─► queue ─► API server
//! ```
//!
//! A steady state is silent: what has been announced of an object is remembered, and taken from its status after a
//! restart. A source or a ledger that is down is one event of the operator, not one of each workload. Publishing
//! happens behind a bounded queue, so that it neither delays nor fails a turn.

mod publish;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

pub use publish::{Events, deployment_ref};

use super::conditions::{Kind, Truth, find};
use crate::api::gate::{LeagueStatus, OmegaGateStatus};
use crate::api::scaling::MatVerseScalingStatus;
use crate::decide::Decision;
use crate::decide::situation::{Action, Plan};
use crate::ledger::Outcome;

/// A held act is said again after this, if it was not held in between.
const HELD_AGAIN: SignedDuration = SignedDuration::from_mins(10);

/// Reasons of events, one for each kind of happening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// More replicas.
    ScaledUp,
    /// Fewer replicas.
    ScaledDown,
    /// An earlier revision.
    RolledBack,
    /// A parameter was moved, or moved back.
    Retuned,
    /// A challenger became champion.
    Promoted,
    /// Something would be done, and is not.
    Held,
    /// A signal cannot be believed, or a source does not answer.
    MetricsUnavailable,
    /// All can be believed again.
    MetricsRecovered,
    /// The gate admits.
    GateAdmitted,
    /// The gate quarantines.
    GateQuarantined,
    /// The gate blocks.
    GateBlocked,
    /// Trouble after a rollout that the rollout is not to blame for.
    RollbackSuppressed,
    /// Something else scales the same target.
    ScalerConflict,
    /// Somebody took back acts of ours.
    Contested,
    /// A proposal waits for a person.
    Proposed,
    /// A proposal was not approved in time.
    ProposalExpired,
    /// The ledger accepts no intents.
    LedgerUnavailable,
    /// The target does not exist.
    TargetNotFound,
    /// The spec is not accepted.
    InvalidSpec,
    /// A league changed its stage.
    LeagueStage,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::ScaledUp,
        Self::ScaledDown,
        Self::RolledBack,
        Self::Retuned,
        Self::Promoted,
        Self::Held,
        Self::MetricsUnavailable,
        Self::MetricsRecovered,
        Self::GateAdmitted,
        Self::GateQuarantined,
        Self::GateBlocked,
        Self::RollbackSuppressed,
        Self::ScalerConflict,
        Self::Contested,
        Self::Proposed,
        Self::ProposalExpired,
        Self::LedgerUnavailable,
        Self::TargetNotFound,
        Self::InvalidSpec,
        Self::LeagueStage,
    ];

    /// The reason as events spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ScaledUp => "ScaledUp",
            Self::ScaledDown => "ScaledDown",
            Self::RolledBack => "RolledBack",
            Self::Retuned => "Retuned",
            Self::Promoted => "Promoted",
            Self::Held => "Held",
            Self::MetricsUnavailable => "MetricsUnavailable",
            Self::MetricsRecovered => "MetricsRecovered",
            Self::GateAdmitted => "GateAdmitted",
            Self::GateQuarantined => "GateQuarantined",
            Self::GateBlocked => "GateBlocked",
            Self::RollbackSuppressed => "RollbackSuppressed",
            Self::ScalerConflict => "ScalerConflict",
            Self::Contested => "Contested",
            Self::Proposed => "Proposed",
            Self::ProposalExpired => "ProposalExpired",
            Self::LedgerUnavailable => "LedgerUnavailable",
            Self::TargetNotFound => "TargetNotFound",
            Self::InvalidSpec => "InvalidSpec",
            Self::LeagueStage => "LeagueStage",
        }
    }

    /// Whether somebody may want to look.
    #[must_use]
    pub fn is_warning(self) -> bool {
        match self {
            Self::ScaledUp
            | Self::ScaledDown
            | Self::Retuned
            | Self::Promoted
            | Self::Held
            | Self::MetricsRecovered
            | Self::GateAdmitted
            | Self::Proposed
            | Self::LeagueStage => false,
            Self::RolledBack
            | Self::MetricsUnavailable
            | Self::GateQuarantined
            | Self::GateBlocked
            | Self::RollbackSuppressed
            | Self::ScalerConflict
            | Self::Contested
            | Self::ProposalExpired
            | Self::LedgerUnavailable
            | Self::TargetNotFound
            | Self::InvalidSpec => true,
        }
    }

    fn parse(reason: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == reason)
    }
}

/// Something to announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// What kind.
    pub reason: Reason,
    /// What exactly, for people.
    pub note: String,
    /// The action it came from.
    pub action: Action,
}

impl Happening {
    pub(super) fn of(reason: Reason, note: impl Into<String>) -> Self {
        Self { reason, note: note.into(), action: Action::Noop }
    }

    /// Whether it belongs on the Deployment too.
    #[must_use]
    pub fn is_act(&self) -> bool {
        matches!(
            self.reason,
            Reason::ScaledUp | Reason::ScaledDown | Reason::RolledBack | Reason::Retuned | Reason::Promoted
        )
    }
}

/// What has been announced of one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Announced {
    troubles: BTreeSet<String>,
    held: Option<Held>,
    gate: Option<String>,
    /// The league's status that has been spoken of.
    pub(super) league: Option<LeagueStatus>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    what: String,
    last: Timestamp,
}

impl Announced {
    /// What must have been announced of a MatVerseScaling, judging by its status: so that a restart repeats nothing.
    #[must_use]
    pub fn from_scaling(status: &MatVerseScalingStatus) -> Self {
        Self { troubles: troubles(status).into_keys().collect(), ..Self::default() }
    }

    /// The same for an OmegaGate.
    #[must_use]
    pub fn from_gate(status: &OmegaGateStatus) -> Self {
        let gate = status.decision.clone().filter(|d| d != "Unknown");
        Self { gate, league: status.league.clone(), ..Self::default() }
    }

    /// What is new about a MatVerseScaling; from here on it counts as announced.
    pub fn scaling(
        &mut self,
        status: &MatVerseScalingStatus,
        turn: Option<(&Decision, Option<&Outcome>)>,
        now: Timestamp,
    ) -> Vec<Happening> {
        let mut news = Vec::new();
        if let Some((decision, outcome)) = turn {
            news.extend(act(decision, outcome));
            news.extend(self.held(decision, outcome, now));
        }
        let mut standing = troubles(status);
        if let Some((decision, _)) = turn {
            standing.extend(notices(decision));
        }
        let said = std::mem::take(&mut self.troubles);
        for key in &said {
            if standing.contains_key(key) {
                continue;
            }
            if unclear(status, key, turn.is_some()) {
                self.troubles.insert(key.clone());
            } else if key == Reason::MetricsUnavailable.as_str() {
                news.push(Happening::of(
                    Reason::MetricsRecovered,
                    "every named signal can be believed again",
                ));
            }
        }
        for (key, happening) in standing {
            if !said.contains(&key) {
                news.push(happening);
            }
            self.troubles.insert(key);
        }
        news
    }

    /// What is new about an OmegaGate. Insufficient evidence is no news, and hides none: a gate that comes back from
    /// it with the answer that it had before stays silent.
    pub fn gate(&mut self, status: &OmegaGateStatus) -> Option<Happening> {
        let decision = status.decision.as_deref()?;
        let reason = match decision {
            "Admit" => Reason::GateAdmitted,
            "Quarantine" => Reason::GateQuarantined,
            "Block" => Reason::GateBlocked,
            _ => return None,
        };
        if self.gate.as_deref() == Some(decision) {
            return None;
        }
        self.gate = Some(decision.to_owned());
        let failed: Vec<&str> =
            status.gates.iter().filter(|g| g.pass == "No").map(|g| g.reason.as_str()).collect();
        let note = if failed.is_empty() { "all gates hold".into() } else { failed.join("; ") };
        Some(Happening::of(reason, note))
    }

    /// An act that is decided and only shown, or that confidence does not carry: said once, not once a turn.
    fn held(&mut self, decision: &Decision, outcome: Option<&Outcome>, now: Timestamp) -> Option<Happening> {
        let low = decision.action == Action::Noop && decision.why == "LowConfidence";
        let shown = decision.plan != Plan::Nothing && !decision.act && outcome.is_none();
        if !low && !shown {
            return None;
        }
        let what = if low { &*decision.why } else { decision.action.as_str() };
        let news =
            self.held.as_ref().is_none_or(|h| h.what != what || now.duration_since(h.last) >= HELD_AGAIN);
        self.held = Some(Held { what: what.to_owned(), last: now });
        news.then(|| {
            let note = if low {
                format!("held for low confidence: {}", decision.reasoning)
            } else {
                format!("{} is shown and not done ({}): {}", what, decision.why, decision.reasoning)
            };
            Happening { reason: Reason::Held, note, action: decision.action }
        })
    }
}

/// The act of a turn, where one was tried.
fn act(decision: &Decision, outcome: Option<&Outcome>) -> Option<Happening> {
    let action = decision.action;
    let why = match outcome? {
        Outcome::Applied { .. } => {
            let (reason, what) = match (&decision.plan, action) {
                (Plan::Nothing, _) | (_, Action::Noop) => return None,
                (Plan::Scale { from, to }, _) if to >= from => {
                    (Reason::ScaledUp, format!("{from} → {to} replicas"))
                }
                (Plan::Scale { from, to }, _) => (Reason::ScaledDown, format!("{from} → {to} replicas")),
                (Plan::Rollback { from, to, .. }, _) => {
                    (Reason::RolledBack, format!("from revision {from} to {to}"))
                }
                (Plan::Retune { config_map, key, from, to, restore, .. }, _) => {
                    let verb = if *restore { "restored" } else { "moved" };
                    (Reason::Retuned, format!("{key} of ConfigMap {config_map} {verb} from {from} to {to}"))
                }
            };
            let note = format!("{what}: {} (decision {})", decision.reasoning, decision.id());
            return Some(Happening { reason, note, action });
        }
        Outcome::Refused { why } | Outcome::Abandoned { why } | Outcome::Unknown { why } => why,
    };
    let came = outcome?.as_str();
    let note = format!("{} {came}: {why} (decision {})", action.as_str(), decision.id());
    Some(Happening { reason: Reason::Held, note, action })
}

/// Troubles that stand in a status, by the key under which each is announced once.
fn troubles(status: &MatVerseScalingStatus) -> BTreeMap<String, Happening> {
    let mut troubles = BTreeMap::new();
    let mut add = |key: String, reason, note: &str| drop(troubles.insert(key, Happening::of(reason, note)));
    for condition in &status.conditions {
        let (holds, note) = (condition.status == Truth::True.as_str(), condition.message.as_str());
        let fails = condition.status == Truth::False.as_str();
        let named = |reason: Reason| reason.as_str().to_owned();
        match condition.type_.as_str() {
            // Another attempt that is no better is worth another word.
            "Ready" if fails && condition.reason == "InvalidSpec" => {
                let generation = condition.observed_generation.unwrap_or_default();
                add(format!("InvalidSpec@{generation}"), Reason::InvalidSpec, note);
            }
            "TargetAvailable" if fails => add(named(Reason::TargetNotFound), Reason::TargetNotFound, note),
            // A source that is down is announced once, by the operator.
            "MetricsAvailable" if fails && condition.reason != "SourceDown" => {
                add(named(Reason::MetricsUnavailable), Reason::MetricsUnavailable, note);
            }
            "ScalerConflict" if holds => add(named(Reason::ScalerConflict), Reason::ScalerConflict, note),
            "Contested" if holds => add(named(Reason::Contested), Reason::Contested, note),
            "Degraded" if holds => add("Degraded".into(), Reason::Held, &format!("degraded: {note}")),
            _ => {}
        }
    }
    troubles
}

/// Notices that are no conditions.
fn notices(decision: &Decision) -> impl Iterator<Item = (String, Happening)> {
    decision
        .notices
        .iter()
        .filter(|n| ![Kind::Degraded.as_str(), Kind::Contested.as_str()].contains(&n.reason.as_str()))
        .map(|n| {
            let happening = match Reason::parse(&n.reason) {
                Some(reason) => Happening::of(reason, n.message.as_str()),
                None => Happening::of(Reason::Held, format!("{}: {}", n.reason, n.message)),
            };
            (n.reason.clone(), happening)
        })
}

/// Whether a trouble that is not standing may still be there, for all that is known.
fn unclear(status: &MatVerseScalingStatus, key: &str, turned: bool) -> bool {
    let kind = match key {
        "MetricsUnavailable" => Kind::MetricsAvailable,
        "TargetNotFound" => Kind::TargetAvailable,
        "Contested" => Kind::Contested,
        "Degraded" => Kind::Degraded,
        "ScalerConflict" => Kind::ScalerConflict,
        _ if key.starts_with("InvalidSpec@") => return false,
        _ => return !turned,
    };
    find(&status.conditions, kind).is_none_or(|c| {
        c.status == Truth::Unknown.as_str()
            || (kind == Kind::MetricsAvailable && c.status != Truth::True.as_str())
    })
}

#[cfg(test)]
mod tests;
