//! Status: what a turn found and decided, in the form that people and tools read.
//!
//! ```text
//!  previous status + one turn ─► scaling_status (pure) ─► worth_writing? ─► write_status (one apply)
//! ```
//!
//! A steady state writes nothing but a heartbeat: texts, metrics, sample times, forecast and the ledger's head ride
//! along with a write and never cause one.

mod facts;
pub mod gate;

use std::fmt::Debug;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::conditions::{Kind, Truth, cut, is_ours, merge};
use super::memory::memory_to_status;
use crate::api::scaling::{
    CurrentMetrics, ForecastStatus, LastDecision, MatVerseScalingSpec, MatVerseScalingStatus, RetuneStatus,
    RollbackStatus,
};
use crate::api::shared::{LedgerStatus, SignalStatus};
use crate::decide::Decision;
use crate::decide::situation::{Memory, Plan, Standing};
use crate::ledger::{EntryRef, Outcome};
use crate::observe::Observed;
use crate::observe::reading::{Reading, SignalName};
use crate::orient::Picture;
use crate::orient::capacity::Capacity;

/// A status that has not changed is written again after this.
pub const HEARTBEAT: SignedDuration = SignedDuration::from_mins(5);
/// Bound of the write.
const CALL: Duration = Duration::from_secs(5);

/// What there is to report about a resource.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// `metadata.generation` of the resource that the turn was about.
    pub generation: Option<i64>,
    /// Its spec.
    pub spec: &'a MatVerseScalingSpec,
    /// What is wrong with the spec, one line each; then there is no turn.
    pub invalid: &'a [String],
    /// What the operator may do at all.
    pub standing: &'a Standing,
    /// Why the ledger is not available, where it is not.
    pub ledger_trouble: Option<&'a str>,
    /// The turn; `None` where none could be made.
    pub turn: Option<Turn<'a>>,
    /// The time of the report.
    pub now: Timestamp,
}

/// A turn that is complete.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// What was observed.
    pub observed: &'a Observed,
    /// What the estimators made of it.
    pub picture: &'a Picture,
    /// What was decided.
    pub decision: &'a Decision,
    /// What came of the act, where there was one.
    pub outcome: Option<&'a Outcome>,
    /// Place in the ledger, where something was recorded.
    pub entry: Option<&'a EntryRef>,
}

/// The memory that a complete turn leaves: the act's own only if it stands. An act of which nobody can say whether it
/// stands is remembered as if it did, because that is what holds us back.
#[must_use]
pub fn memory_after<'a>(decision: &'a Decision, outcome: Option<&Outcome>) -> &'a Memory {
    match (&decision.plan, outcome) {
        (Plan::Nothing, _) | (_, Some(Outcome::Applied { .. } | Outcome::Unknown { .. })) => &decision.memory,
        (_, None | Some(Outcome::Refused { .. } | Outcome::Abandoned { .. })) => {
            &decision.memory_if_not_applied
        }
    }
}

/// The status after a turn. Whatever could not be known this time is absent, except what must be remembered.
#[must_use]
pub fn scaling_status(previous: &MatVerseScalingStatus, report: &Report) -> MatVerseScalingStatus {
    let Report { generation, turn, now, .. } = *report;
    let mut status = MatVerseScalingStatus {
        observed_generation: generation,
        conditions: merge(&previous.conditions, &facts::of(report), generation, now),
        current_replicas: None,
        desired_replicas: None,
        last_decision: previous.last_decision.clone(),
        current_metrics: CurrentMetrics::default(),
        signals: Vec::new(),
        forecast: None,
        cooldown_until: previous.cooldown_until.clone(),
        rollback: previous.rollback.clone(),
        retune: previous.retune.clone(),
        retune_search: previous.retune_search.clone(),
        lessons: previous.lessons.clone(),
        ledger: previous.ledger.clone(),
        proposal: None,
    };
    let Some(Turn { observed, picture, decision, outcome, entry }) = turn else {
        return status;
    };
    // What stands, not what was asked for: the next turn sees what came of it.
    status.current_replicas = observed.workload.as_ref().map(|w| w.desired);
    status.desired_replicas = observed.workload.as_ref().map(|_| decision.want);
    status.last_decision = Some(last_decision(decision, outcome));
    status.current_metrics = current_metrics(observed, picture);
    status.signals = observed.evidence.readings.iter().take(64).map(signal).collect();
    status.forecast = forecast(observed, picture, decision);
    memory_to_status(memory_after(decision, outcome), now, &mut status);
    if let Some(entry) = entry {
        status.ledger = Some(LedgerStatus {
            origin: entry.origin.clone(),
            index: entry.index,
            size: entry.size,
            root: entry.root.clone(),
            decision: None,
        });
    }
    status
}

fn last_decision(decision: &Decision, outcome: Option<&Outcome>) -> LastDecision {
    let cut_to = |text: &str, bytes| {
        let mut text = text.to_owned();
        cut(&mut text, bytes);
        text
    };
    LastDecision {
        action: decision.action.as_str().into(),
        timestamp: decision.at.to_string(),
        confidence: decision.confidence.filter(|c| c.is_finite()).map(|c| (c * 100.0).round() / 100.0),
        reasoning: cut_to(&decision.reasoning.to_string(), 1024),
        why: cut_to(&decision.why, 128),
        decision_id: Some(decision.id()),
        executed: matches!(outcome, Some(Outcome::Applied { .. })),
        waiting_on: decision.waiting_on.iter().take(16).map(|w| cut_to(w, 256)).collect(),
    }
}

fn current_metrics(observed: &Observed, picture: &Picture) -> CurrentMetrics {
    let finite = |value: Option<f64>| value.filter(|v| v.is_finite());
    let fresh = |name: &SignalName| {
        finite(observed.evidence.readings.get(name).and_then(Reading::fresh).map(|(value, _)| value))
    };
    CurrentMetrics {
        omega_score: finite(picture.omega.map(|o| o.value)),
        psi_index: finite(picture.psi),
        cvar: finite(picture.cvar),
        beta_antifragile: fresh(&SignalName::BETA),
        cpu_usage: fresh(&SignalName::CPU),
        latency: fresh(&SignalName::LATENCY),
    }
}

/// One signal, as the status of both kinds shows it.
#[must_use]
pub fn signal((name, reading): (&SignalName, &Reading)) -> SignalStatus {
    let fresh = reading.fresh();
    SignalStatus {
        name: name.to_string(),
        state: reading.state().into(),
        value: fresh.map(|(value, _)| value).filter(|v| v.is_finite()),
        sampled_at: fresh.map(|(_, at)| at.to_string()),
    }
}

/// n* of this very turn; a recommendation of an earlier one is not shown.
fn forecast(observed: &Observed, picture: &Picture, decision: &Decision) -> Option<ForecastStatus> {
    let model = match picture.capacity? {
        Capacity::Utilisation { .. } => "Utilisation",
        Capacity::Queue { .. } => "Queue",
    };
    let (at, needed) = *decision.memory.recommendations.last()?;
    (at == decision.at && picture.horizon_seconds.is_finite()).then(|| ForecastStatus {
        horizon_seconds: picture.horizon_seconds,
        replicas_needed: needed,
        model: model.into(),
        start_seconds: observed.workload.as_ref().and_then(|w| w.start_seconds).filter(|s| s.is_finite()),
    })
}

/// When `status` was last written, as far as it tells itself.
#[must_use]
pub fn last_written(status: &MatVerseScalingStatus) -> Option<Timestamp> {
    status.last_decision.as_ref()?.timestamp.parse().ok()
}

/// Whether `new` differs from `old` in what is worth a write, or the heartbeat is due.
#[must_use]
pub fn worth_writing(
    old: &MatVerseScalingStatus,
    new: &MatVerseScalingStatus,
    last_write: Option<Timestamp>,
    now: Timestamp,
) -> bool {
    due(last_write, now) || gist(old) != gist(new)
}

/// Whether the heartbeat is due; who does not know when the last write was, writes.
fn due(last_write: Option<Timestamp>, now: Timestamp) -> bool {
    last_write.is_none_or(|at| now.duration_since(at).abs() >= HEARTBEAT)
}

/// What causes a write.
#[derive(PartialEq)]
struct Gist<'a> {
    generation: Option<i64>,
    conditions: Vec<ConditionGist<'a>>,
    replicas: (Option<i32>, Option<i32>),
    decision: Option<(&'a str, &'a str, bool, Vec<String>)>,
    signals: Vec<(&'a str, &'a str)>,
    cooldown_until: Option<&'a str>,
    rollback: &'a RollbackStatus,
    retune: Option<&'a RetuneStatus>,
}

/// Type, status, reason and generation; never the message.
type ConditionGist<'a> = (&'a str, &'a str, &'a str, Option<i64>);

fn condition_gist(condition: &Condition) -> ConditionGist<'_> {
    // A modest filter is as good as a consistent one, and a signal may go to and fro between the two.
    let modest =
        condition.type_ == Kind::ModelConsistent.as_str() && condition.status == Truth::True.as_str();
    let reason = if modest { "" } else { &condition.reason };
    (&condition.type_, &condition.status, reason, condition.observed_generation)
}

/// Every field is named, so that a new one must be placed.
fn gist(status: &MatVerseScalingStatus) -> Gist<'_> {
    let MatVerseScalingStatus {
        observed_generation,
        conditions,
        current_replicas,
        desired_replicas,
        last_decision,
        current_metrics: _,
        signals,
        forecast: _,
        cooldown_until,
        rollback,
        retune,
        // It moves when a step ends, and so does `retune`.
        retune_search: _,
        // They move when the count or a step does.
        lessons: _,
        ledger: _,
        proposal: _,
    } = status;
    Gist {
        generation: *observed_generation,
        conditions: conditions.iter().filter(|c| is_ours(c)).map(condition_gist).collect(),
        replicas: (*current_replicas, *desired_replicas),
        decision: last_decision.as_ref().map(|d| {
            let waits = d.waiting_on.iter().map(|w| without_numbers(w)).collect();
            (d.action.as_str(), d.why.as_str(), d.executed, waits)
        }),
        signals: signals.iter().map(|s| (s.name.as_str(), s.state.as_str())).collect(),
        cooldown_until: cooldown_until.as_deref(),
        rollback,
        retune: retune.as_ref(),
    }
}

/// A text whose numbers tick has not changed.
fn without_numbers(text: &str) -> String {
    let mut gist = String::new();
    let mut number = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let point = c == '.' && number && rest.peek().is_some_and(char::is_ascii_digit);
        if c.is_ascii_digit() && !number {
            gist.push('#');
        } else if !c.is_ascii_digit() && !point {
            gist.push(c);
        }
        number = c.is_ascii_digit() || point;
    }
    gist
}

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The object changed since it was read: read it again, and think again.
    #[error("the object has changed since it was read")]
    Stale,
    /// The object is gone.
    #[error("the object is gone")]
    Gone,
    /// No answer in time: the write may or may not stand.
    #[error("no answer from the API server within {CALL:?}")]
    Timeout,
    /// The object has no name, namespace or uid, so it did not come from the API server.
    #[error("the object has no {0}")]
    Incomplete(&'static str),
    /// Anything else.
    #[error("status was not written: {0}")]
    Api(#[source] Box<kube::Error>),
}

impl WriteError {
    /// A bounded name for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Gone => "gone",
            Self::Timeout => "timeout",
            Self::Incomplete(_) => "incomplete",
            Self::Api(_) => "api",
        }
    }
}

/// Writes the status of `object`, and answers the object as it stands then.
///
/// By server-side apply: what this operator no longer states goes, what others state stays (a merge patch keeps what
/// is no longer stated, and a PUT drops fields of a newer version). The uid keeps the write from an object of the
/// same name that came after; the resourceVersion keeps a replica that was paused, and whose memory is old, from
/// overwriting a newer one's. After [`WriteError::Stale`] read the object and make sure to lead before trying again.
///
/// # Errors
/// See [`WriteError`].
pub async fn write_status<K>(
    client: &Client,
    object: &K,
    status: &(impl Serialize + Sync),
) -> Result<K, WriteError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let name = object.meta().name.as_deref().ok_or(WriteError::Incomplete("name"))?;
    let namespace = object.meta().namespace.as_deref().ok_or(WriteError::Incomplete("namespace"))?;
    let uid = object.uid().ok_or(WriteError::Incomplete("uid"))?;
    let version = object.resource_version().ok_or(WriteError::Incomplete("resourceVersion"))?;
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": version},
        "status": status,
    });
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let how = PatchParams::apply(super::FIELD_MANAGER).force();
    let patch = Patch::Apply(&patch);
    match tokio::time::timeout(CALL, api.patch_status(name, &how, &patch)).await {
        Ok(Ok(written)) => Ok(written),
        Ok(Err(kube::Error::Api(answer))) if answer.code == 409 => Err(WriteError::Stale),
        Ok(Err(kube::Error::Api(answer))) if answer.code == 404 => Err(WriteError::Gone),
        Ok(Err(error)) => Err(WriteError::Api(Box::new(error))),
        Err(_) => Err(WriteError::Timeout),
    }
}

#[cfg(test)]
mod tests;
