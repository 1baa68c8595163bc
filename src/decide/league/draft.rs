//! A league's decision in the making.

use jiff::{SignedDuration, Timestamp};

use super::situation::{Decision, Memory, Plan, Reason, Revision, Rule, Situation, Stage};
use super::{FAILED, REST_SECONDS};
use crate::decide::identity;
use crate::decide::policy::POLICY_VERSION;
use crate::decide::situation::Holds;

/// What a stage asks for.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) plan: Plan,
    pub(super) next: Memory,
    pub(super) reason: Reason,
    pub(super) reasoning: String,
    pub(super) waiting: Vec<String>,
}

impl Step {
    /// Nothing, until what it waits on has come.
    pub(super) fn wait(s: &Situation, reason: Reason, reasoning: String, on: impl Into<String>) -> Self {
        let on: String = on.into();
        let waiting = if on.is_empty() { Vec::new() } else { vec![on] };
        Self { plan: Plan::Nothing, next: s.memory.clone(), reason, reasoning, waiting }
    }

    /// Something new to remember, with or without a write.
    pub(super) fn go(plan: Plan, mut next: Memory, reason: Reason, reasoning: String) -> Self {
        next.reason = Some(reason);
        Self { plan, next, reason, reasoning, waiting: Vec::new() }
    }
}

/// Whose fault an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The challenger's: this template is not tried again.
    Challenger,
    /// Somebody else's: it may be tried again after a rest.
    Other,
}

/// The league is over in favour of the champion; the traffic goes back in the same or the next step.
pub(super) fn over(s: &Situation, reason: Reason, fault: Fault, reasoning: String) -> Step {
    let mut next = ended(s);
    match (fault, next.challenger_template.clone()) {
        (Fault::Challenger, Some(template)) => blame(&mut next, template),
        _ => next.rest_until = Some(later(s.now, REST_SECONDS)),
    }
    match super::traffic::home(s, &next) {
        Some(back) => Step::go(back.plan, back.next, reason, reasoning),
        None => Step::go(Plan::Nothing, next, reason, reasoning),
    }
}

/// The champion gets a template of its own back; the challenger's is not tried again.
pub(super) fn revert(s: &Situation, to: Revision, reason: Reason, reasoning: String) -> Step {
    let mut next = ended(s);
    if let Some(template) = next.challenger_template.clone() {
        blame(&mut next, template);
    }
    Step::go(Plan::Revert(to), next, reason, reasoning)
}

/// Memory at the end of a league that the champion won.
fn ended(s: &Situation) -> Memory {
    Memory { stage: Stage::RolledBack, since: Some(s.now), until: None, extensions: 0, ..s.memory.clone() }
}

/// Remembers a template as one that is not tried again.
fn blame(memory: &mut Memory, template: String) {
    memory.failed.retain(|known| *known != template);
    memory.failed.push(template);
    let surplus = memory.failed.len().saturating_sub(FAILED);
    memory.failed.drain(..surplus);
}

/// `at` some seconds later; `at` itself where that leaves the calendar.
pub(super) fn later(at: Timestamp, seconds: u32) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(i64::from(seconds))).unwrap_or(at)
}

/// The situation, with the rules that were tried.
pub(super) struct Draft<'a> {
    pub(super) s: &'a Situation,
    rules: Vec<Rule>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(s: &'a Situation) -> Self {
        Self { s, rules: Vec::new() }
    }

    pub(super) fn yes(&mut self, rule: &str, because: &str) {
        self.rule(rule, Holds::Yes, because);
    }

    pub(super) fn no(&mut self, rule: &str, because: &str) {
        self.rule(rule, Holds::No, because);
    }

    pub(super) fn wait(&mut self, rule: &str, because: &str) {
        self.rule(rule, Holds::Wait, because);
    }

    pub(super) fn rule(&mut self, rule: &str, holds: Holds, because: &str) {
        self.rules.push(Rule { rule: rule.to_owned(), holds, because: because.to_owned() });
    }

    pub(super) fn finish(self, step: Step) -> Decision {
        let s = self.s;
        let plan = format!("{:?}", step.plan);
        let reason = step.reason.as_str();
        Decision {
            id: identity::of(s.now, &[&s.object.uid, "league", &s.now.to_string(), reason, &plan]),
            at: s.now,
            object: s.object.clone(),
            stage: step.next.stage,
            plan: step.plan,
            next: step.next,
            reason: step.reason,
            reasoning: step.reasoning,
            rules: self.rules,
            waiting_on: step.waiting,
            policy_version: POLICY_VERSION,
        }
    }
}
