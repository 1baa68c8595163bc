//! The rules, one file an action, in the order in which they are tried.
//!
//! ```text
//!  hold ─► rollback ─► scale_up ─► retune ─► scale_down ─► (Noop)
//! ```
//!
//! A rule looks at one [`View`](super::view::View) and either proposes an exact plan or says why not.

pub(super) mod hold;
pub(super) mod retune;
pub(super) mod rollback;
pub(super) mod scale_down;
pub(super) mod scale_up;

use std::borrow::Cow;

use super::situation::{Action, Holds, Notice, Plan, Proof, RuleVerdict};
use super::text::Text;
use super::view::View;

/// What came of trying one rule.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tried {
    pub(super) verdict: RuleVerdict,
    /// Token of what it waits on, where it waits.
    pub(super) token: Option<Cow<'static, str>>,
    /// What it waits on, for people.
    pub(super) waiting: Vec<String>,
    pub(super) notices: Vec<Notice>,
    /// Boxed: most rules propose nothing, and what they say is moved a few times.
    pub(super) proposal: Option<Box<Proposal>>,
}

/// A plan with its reasons; no choice is left in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Proposal {
    pub(super) action: Action,
    pub(super) plan: Plan,
    pub(super) why: Cow<'static, str>,
    pub(super) reasoning: Text,
    pub(super) proof: Option<Proof>,
    /// Already calibrated.
    pub(super) confidence: Option<f64>,
    /// Whether it may act below the mode's floor.
    pub(super) exempt: bool,
    /// Replicas wanted before rates of change limited the step.
    pub(super) want: Option<i32>,
    pub(super) provisional: bool,
}

impl Tried {
    pub(super) fn no(rule: Action, because: impl Into<Text>) -> Self {
        Self::verdict(rule, Holds::No, because.into())
    }

    pub(super) fn wait(
        rule: Action,
        token: impl Into<Cow<'static, str>>,
        because: impl Into<Text>,
        on: Vec<String>,
    ) -> Self {
        Self { token: Some(token.into()), waiting: on, ..Self::verdict(rule, Holds::Wait, because.into()) }
    }

    pub(super) fn yes(proposal: Proposal) -> Self {
        Self::under(proposal.action, proposal)
    }

    /// A proposal made under another rule's row: undoing our own retune where a rollback was asked for.
    pub(super) fn under(rule: Action, proposal: Proposal) -> Self {
        let because = proposal.reasoning.clone();
        Self { proposal: Some(Box::new(proposal)), ..Self::verdict(rule, Holds::Yes, because) }
    }

    pub(super) fn with(mut self, notice: Notice) -> Self {
        self.notices.push(notice);
        self
    }

    fn verdict(rule: Action, holds: Holds, because: Text) -> Self {
        Self {
            verdict: RuleVerdict { rule, holds, because },
            token: None,
            waiting: Vec::new(),
            notices: Vec::new(),
            proposal: None,
        }
    }
}

/// What is optional waits for calm, where the gate steers.
pub(super) fn unrest_waits(rule: Action, v: &View<'_>) -> Option<Tried> {
    let unrest = v.s.standing.unrest?;
    Some(Tried::wait(rule, unrest.token(), unrest.because(), vec!["calm".to_owned()]))
}

/// A notice that lasts as long as its cause.
pub(super) fn notice(reason: &str, message: impl Into<String>) -> Notice {
    Notice { reason: reason.to_owned(), message: message.into(), first: false }
}

/// A notice of something that happened in this very turn.
pub(super) fn happened(reason: &str, message: impl Into<String>) -> Notice {
    Notice { first: true, ..notice(reason, message) }
}
