//! A step of a league as the ledger records it before it is tried.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::state;
use super::statement::{Body, Intent};
use crate::decide::league;
use crate::decide::situation::{Action, ObjectRef};

/// Attestation of a promotion: `pre` and `expected` are the champion's digests before and after it.
pub const PROMOTE_ATTEST: &str = "PROMOTE_ATTEST";
/// Attestation of a way back to the champion.
pub const ROLLBACK: &str = "ROLLBACK";

/// The one object that a step writes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Touched {
    /// `httproutes` or `deployments`.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Digest of its state before the step ([`state`](super::state)).
    pub pre: String,
    /// Digest after it, where it is carried out exactly.
    pub expected: String,
}

/// Kinds that a step writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Gateway API.
    HttpRoutes,
    /// `apps/v1`.
    Deployments,
}

impl Kind {
    /// Its resource in the API, and the group and version.
    fn resource(self) -> (&'static str, &'static str) {
        match self {
            Self::HttpRoutes => ("httproutes", "gateway.networking.k8s.io/v1"),
            Self::Deployments => ("deployments", "apps/v1"),
        }
    }
}

impl Touched {
    /// What the step changes, as `pre` and outcome are chained by: `deployments/ns/name`.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{}/{}/{}", self.kind.resource().0, self.namespace, self.name)
    }

    /// Where it lives in the API.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("kubernetes:{}/{}", self.kind.resource().1, self.subject())
    }
}

/// What a step was decided on, and what it writes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Basis {
    /// All that the decision saw.
    pub situation: league::Situation,
    /// The object.
    pub touched: Touched,
}

/// One write of a league about to be tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Id of the decision.
    pub id: String,
    /// [`PROMOTE_ATTEST`] or [`ROLLBACK`], where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attest: Option<String>,
    /// What exactly will be written.
    pub plan: league::Plan,
    /// The token for status and events.
    pub why: String,
    /// The line for people.
    pub reasoning: String,
    /// Version of the rules.
    pub policy_version: u32,
    /// What the step changes: `httproutes/ns/name` or `deployments/ns/name`.
    pub subject: String,
    /// Digest of that before the step.
    pub pre: String,
    /// The object itself.
    pub touched: Touched,
    /// `pre` is not what our last recorded act on it left (or none is known to the writer).
    pub external: bool,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// The step is not tried after this.
    pub not_after: Timestamp,
    /// All that the decision saw.
    pub situation: league::Situation,
}

impl Step {
    /// The record of a decision.
    ///
    /// # Errors
    /// Why it is no step that could be recorded.
    pub fn new(
        basis: &Basis,
        decision: &league::Decision,
        not_after: Timestamp,
    ) -> Result<Self, &'static str> {
        let attest = match &decision.plan {
            league::Plan::Nothing => return Err("no plan"),
            league::Plan::Promote { .. } => Some(PROMOTE_ATTEST),
            league::Plan::Revert(_) => Some(ROLLBACK),
            _ if decision.stage == league::Stage::RolledBack => Some(ROLLBACK),
            _ => None,
        };
        let Basis { situation, touched } = basis;
        Ok(Self {
            id: decision.id.clone(),
            attest: attest.map(str::to_owned),
            plan: decision.plan.clone(),
            why: decision.reason.as_str().to_owned(),
            reasoning: decision.reasoning.clone(),
            policy_version: decision.policy_version,
            subject: touched.subject(),
            pre: touched.pre.clone(),
            touched: touched.clone(),
            external: true,
            decided_at: situation.now,
            not_after,
            situation: situation.clone(),
        })
    }
}

/// What may stand in the ledger without an outcome.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Of a turn.
    Turn(Box<Intent>),
    /// Of a league.
    Step(Box<Step>),
}

impl Act {
    /// The act that a body records, if it records one.
    #[must_use]
    pub fn of(body: Body) -> Option<Self> {
        match body {
            Body::Intent(intent) => Some(Self::Turn(intent)),
            Body::Step(step) => Some(Self::Step(step)),
            _ => None,
        }
    }

    /// The body that records it.
    #[must_use]
    pub fn body(self) -> Body {
        match self {
            Self::Turn(intent) => Body::Intent(intent),
            Self::Step(step) => Body::Step(step),
        }
    }

    /// Id of the decision.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Turn(intent) => &intent.id,
            Self::Step(step) => &step.id,
        }
    }

    /// The object it speaks of; `target` is a Deployment that no other act may be open on.
    #[must_use]
    pub fn object(&self) -> &ObjectRef {
        match self {
            Self::Turn(intent) => intent.object(),
            Self::Step(step) => &step.situation.object,
        }
    }

    /// What it changes.
    #[must_use]
    pub fn subject(&self) -> &str {
        match self {
            Self::Turn(intent) => &intent.subject,
            Self::Step(step) => &step.subject,
        }
    }

    /// Digest of the state that it leaves where it is carried out exactly.
    #[must_use]
    pub fn post(&self) -> String {
        match self {
            Self::Turn(intent) => state::after(&intent.situation, &intent.plan).unwrap_or_default(),
            Self::Step(step) => step.touched.expected.clone(),
        }
    }

    /// Says whether `pre` is what our last act on the subject left: `left`.
    pub(super) fn follows(&mut self, left: Option<&String>) {
        let (pre, external) = match self {
            Self::Turn(intent) => (&intent.pre, &mut intent.external),
            Self::Step(step) => (&step.pre, &mut step.external),
        };
        *external = left != Some(pre);
    }

    /// What it counts as where room is short: a way back protects users as a rollback does.
    pub(super) fn action(&self) -> Action {
        match self {
            Self::Turn(intent) => intent.action,
            Self::Step(step) if step.attest.as_deref() == Some(ROLLBACK) => Action::Rollback,
            Self::Step(_) => Action::Retune,
        }
    }
}
