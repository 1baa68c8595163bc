//! What a decision is made of, and what it is.
//!
//! A [`Situation`] is complete: it is recorded with every intent, so that the same decision can be made again
//! from the record alone.

mod gate;
mod shared;

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

pub use gate::{GateFault, GateView};

use super::regret::Regrets;
use super::steer::Unrest;
use super::text::Text;
pub use super::trial::ScaleUpTrial;
use crate::api::scaling::{MatVerseScalingSpec, Mode};
use crate::observe::Observed;
use crate::orient::Picture;

/// Which object a decision speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Namespace of the resource and of its target.
    pub namespace: String,
    /// Name of the resource.
    pub name: String,
    /// uid of the resource.
    pub uid: String,
    /// Name of the Deployment.
    pub target: String,
}

/// Everything a decision may depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Situation {
    /// The time of the turn.
    pub now: Timestamp,
    /// The object.
    #[serde(with = "shared")]
    pub object: Arc<ObjectRef>,
    /// What the owner asks for.
    pub spec: MatVerseScalingSpec,
    /// What was observed.
    pub observed: Observed,
    /// What the estimators make of it.
    pub picture: Picture,
    /// What is remembered from earlier turns.
    pub memory: Memory,
    /// What the gate that the resource refers to says.
    pub gate: GateView,
    /// What that gate holds against the revision, where it blocks and asks for a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate_fault: Option<GateFault>,
    /// What the operator may do at all.
    pub standing: Standing,
}

/// What the operator may do at all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// The ledger accepts intents.
    pub ledger_available: bool,
    /// An act of ours on this target has no outcome yet.
    pub unresolved_act: bool,
    /// The operator's configuration lets resources of this namespace act.
    pub namespace_may_act: bool,
    /// Another, older MatVerseScaling names the same target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_claim: Option<String>,
    /// A gate whose league runs on this Deployment: through its watch it alone rolls back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub league: Option<String>,
    /// The stores behind the workload facts may be behind a write of ours or too old.
    pub facts_behind: bool,
    /// The share of the replica pool that the resource names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolShare>,
    /// Why optional acts wait, where the gate that the resource refers to steers and there is no calm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unrest: Option<Unrest>,
}

/// A member's share of a replica pool's budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolShare {
    /// The pool.
    pub pool: String,
    /// Replicas this member may have.
    pub most: i32,
    /// The members' minimums exceed the budget: nobody shrinks for the pool's sake.
    pub short: bool,
}

/// What is remembered between turns. Rebuilt from status, the ledger and history after a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// Turns in a row in which Ω was below `omegaBelow`.
    pub omega_low: u32,
    /// Turns in a row in which latency was above `latencyTarget`.
    pub latency_high: u32,
    /// Turns in a row in which errors were above `errorsAbove`.
    pub errors_high: u32,
    /// Turns in a row in which cpu was above the reactive bound.
    pub cpu_hot: u32,
    /// Turns in a row in which latency was above twice its target.
    pub latency_double: u32,
    /// Recommendations n* inside the stabilisation window: decreasing maxima, oldest first.
    pub recommendations: Vec<(Timestamp, i32)>,
    /// Since when recommendations have been gathered without a gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recommending_since: Option<Timestamp>,
    /// Replica changes of ours inside the longest policy period: (time, delta).
    pub changes: Vec<(Timestamp, i32)>,
    /// Until when ScaleDown and Retune rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cooldown_until: Option<Timestamp>,
    /// Rollbacks of the last day, oldest first.
    pub rollbacks: Vec<Timestamp>,
    /// Template identities known bad.
    pub bad_templates: Vec<SmolStr>,
    /// Template identities recorded good, newest first.
    pub good_templates: Vec<SmolStr>,
    /// Acts of scaling up in a row that gained nothing.
    pub fruitless: u32,
    /// A ScaleUp whose gain has not been judged yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_up_trial: Option<ScaleUpTrial>,
    /// A retune step that has not been judged yet. (Boxed as it is rare, and a memory is copied each turn.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retune_trial: Option<Box<RetuneTrial>>,
    /// When the last retune step was concluded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_retune: Option<Timestamp>,
    /// The last thing we set or saw: a difference from it is somebody else's edit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<SeenTarget>,
    /// Times somebody else took back an act of ours.
    pub reverted: Vec<Timestamp>,
    /// Reasons of the notices of the last turn: an event is due only for one that is not among them.
    pub announced: Vec<String>,
    /// Time of the last turn; the same turn decided again counts nothing twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn_at: Option<Timestamp>,
    /// uid of the Deployment that all this is about; a recreated one starts afresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_uid: Option<SmolStr>,
    /// `pod-template-hash` that the streaks belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<SmolStr>,
    /// Since when the current revision has shown no trouble.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calm_since: Option<Timestamp>,
    /// The last act of ours on the target's spec, and what stood before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_act: Option<LastAct>,
    /// Until when a count that somebody lowered by hand is respected by the forecast.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_until: Option<Timestamp>,
    /// Wanted counts inside the upward stabilisation window: increasing minima, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub up_recommendations: Vec<(Timestamp, i32)>,
    /// Load when scaling was last found not to help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fruitless_load: Option<Load>,
    /// Retune steps that were taken back: chooses parameter and direction of the next.
    pub retune_steps: u32,
    /// The last retune step that was kept; undone first when trouble follows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_retune: Option<Box<RetuneTrial>>,
    /// What the trials of each parameter have measured; the search goes by it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retune_slopes: Vec<RetuneSlope>,
    /// Counts that were too few.
    #[serde(skip_serializing_if = "Regrets::is_empty")]
    pub regrets: Regrets,
}

/// What trials have measured of one parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetuneSlope {
    /// The key.
    pub key: String,
    /// Last measured difference of the judged signal over the share of the parameter's range moved.
    pub slope: f64,
    /// Sum of the squares of all of them.
    pub squares: f64,
}

/// Our last act on the target's spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastAct {
    /// When it was decided.
    pub at: Timestamp,
    /// `spec.replicas` before it.
    pub replicas: i32,
    /// Template identity before it.
    pub template: SmolStr,
}

/// How much work comes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Load {
    /// Requests a second, where fresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<f64>,
    /// Total utilisation of the cpu request in replicas' worth, where fresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work: Option<f64>,
}

/// A retune step under trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetuneTrial {
    /// The ConfigMap.
    pub config_map: String,
    /// The key.
    pub key: String,
    /// Value before.
    pub before: String,
    /// Value under trial.
    pub trial: String,
    /// When the step was made.
    pub since: Timestamp,
    /// The judged signal before the step.
    pub baseline: f64,
    /// `beta` or `omega`.
    pub signal: String,
    /// Whether a ScaleUp since then makes the comparison void.
    #[serde(default)]
    pub void: bool,
}

/// The target as we last left or found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenTarget {
    /// `spec.replicas`.
    pub replicas: i32,
    /// Template identity.
    pub template: SmolStr,
    /// Whether we set it (a later difference is then a revert of ours).
    pub ours: bool,
}

/// The five actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Action {
    /// Nothing.
    #[default]
    Noop,
    /// More replicas.
    ScaleUp,
    /// Fewer replicas.
    ScaleDown,
    /// One bounded step of one parameter, or its restoration.
    Retune,
    /// An earlier revision.
    Rollback,
}

impl Action {
    /// The name as manifests, metrics and the ledger spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Noop => "Noop",
            Self::ScaleUp => "ScaleUp",
            Self::ScaleDown => "ScaleDown",
            Self::Retune => "Retune",
            Self::Rollback => "Rollback",
        }
    }

    /// The name as it stands before the reason of its rule.
    pub(super) fn lead(self) -> &'static str {
        match self {
            Self::Noop => "Noop: ",
            Self::ScaleUp => "ScaleUp: ",
            Self::ScaleDown => "ScaleDown: ",
            Self::Retune => "Retune: ",
            Self::Rollback => "Rollback: ",
        }
    }
}

/// The exact state that an act produces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "do")]
pub enum Plan {
    /// Nothing to do.
    #[default]
    Nothing,
    /// Set `spec.replicas`.
    Scale {
        /// Count decided on.
        from: i32,
        /// Count to set.
        to: i32,
    },
    /// Restore the template of a ReplicaSet.
    Rollback {
        /// Name of the ReplicaSet whose template is restored.
        replica_set: String,
        /// Its `pod-template-hash`.
        to: String,
        /// `pod-template-hash` of the reverted revision.
        from: String,
        /// Template identity of the reverted revision, to be marked bad.
        bad_template: String,
        /// Template identity that is restored.
        good_template: String,
    },
    /// Set one key of a ConfigMap.
    Retune {
        /// The ConfigMap.
        config_map: String,
        /// Its resourceVersion as decided on.
        resource_version: String,
        /// The key.
        key: String,
        /// Value decided on.
        from: String,
        /// Value to set.
        to: String,
        /// Whether this restores the value before a trial.
        restore: bool,
    },
}

/// One rule and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleVerdict {
    /// The action the rule stands for.
    pub rule: Action,
    /// Whether it holds.
    pub holds: Holds,
    /// Why, with the numbers.
    pub because: Text,
}

/// Whether a rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holds {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// It would, but for something that passes with time or evidence.
    Wait,
}

/// Why a rollback is certain enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum Proof {
    /// The sequential comparison of one signal.
    Sequential {
        /// The signal.
        signal: String,
        /// e-value of "worse by more than the margin".
        e: f64,
        /// Any-time false alarm probability.
        alpha: f64,
        /// Looks until the verdict.
        looks: u32,
        /// First bad sample.
        onset: Option<Timestamp>,
    },
    /// The first samples since the rollout, by their size against the window before it.
    OneSided {
        /// The signal.
        signal: String,
        /// Probability of such a deviation at any look and on any signal, were all as before.
        p: f64,
        /// False alarm probability that it had to stay below.
        alpha: f64,
        /// Samples behind it.
        samples: u32,
        /// First bad sample.
        onset: Timestamp,
    },
    /// A gate that asks for a rollback blocks the revision, and let the one before it pass.
    Gate {
        /// The hard gates that fail.
        gates: Vec<String>,
        /// Samples of evidence since the rollout.
        samples: u32,
        /// Evaluations in a row in which one failed.
        turns: u32,
        /// First evidence of the trouble.
        onset: Timestamp,
    },
    /// The rollout itself fails.
    FailingRollout {
        /// Restarts of the worst pod.
        crashes: i32,
        /// Whether the progress deadline passed.
        deadline_exceeded: bool,
    },
}

/// A fact worth a condition or an event that is not an act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// Typed reason, as events and conditions spell it (`Degraded`, `RollbackSuppressed`, `Contested`, …).
    pub reason: String,
    /// What happened, with the numbers and the way out.
    pub message: String,
    /// Whether this is the first turn of it: a condition lasts, an event is due only now.
    #[serde(default)]
    pub first: bool,
}

/// What was decided, why, and what is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// When.
    pub at: Timestamp,
    /// The object.
    #[serde(with = "shared")]
    pub object: Arc<ObjectRef>,
    /// The action.
    pub action: Action,
    /// Calibrated probability of the action's event; `None` where it cannot be stated.
    pub confidence: Option<f64>,
    /// Proof of a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// The exact state to produce; `Nothing` for a Noop.
    pub plan: Plan,
    /// Whether the plan may be carried out (`enforcement: Act`, not paused, …); otherwise it is only shown.
    pub act: bool,
    /// A ScaleUp while a recent rollout is suspected but not proven: the proof may still undo its cause.
    #[serde(default)]
    pub provisional: bool,
    /// Replicas wanted (clamped), shown in status; the present count where nothing is known.
    pub want: i32,
    /// A single token for status and events (`Forecast`, `Stale:latency`, `Paused`, `LowConfidence`, …).
    pub why: Cow<'static, str>,
    /// One line for people.
    pub reasoning: Text,
    /// Every rule tried, in order.
    pub rules: Vec<RuleVerdict>,
    /// What it waits on.
    pub waiting_on: Vec<String>,
    /// Conditions and events that are not acts.
    pub notices: Vec<Notice>,
    /// What to remember if the decision stands (and, for an act, was applied). The same as
    /// `memory_if_not_applied` where nothing may be carried out.
    #[serde(with = "shared")]
    pub memory: Arc<Memory>,
    /// What to remember if the act was not applied.
    #[serde(with = "shared")]
    pub memory_if_not_applied: Arc<Memory>,
    /// Mode the decision was made in.
    pub mode: Mode,
    /// Version of the rules and of the calibration table.
    pub policy_version: u32,
}
