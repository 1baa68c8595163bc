//! Decide: one pure function from a [`Situation`] to a [`Decision`]. No meaningful choice is made after it.
//!
//! ```text
//!  Situation ─► memory::seen ─► hold? ─► rollback ─► scale_up ─► retune ─► scale_down ─► Decision
//!                   │            (row 0)   (row 1)     (row 2)    (row 3)     (row 4)       │
//!                   └──────────────────────── memory::decided ◄── the first that proposes ──┘
//! ```
//!
//! The first rule that holds wins; its confidence must reach the mode's floor unless it is exempt; everything
//! else is `Noop` with what it waits on. Deciding twice on one situation gives the same bytes, and deciding on
//! the situation that a plan produces gives `Noop`.

#![cfg_attr(
    test,
    allow(
        clippy::float_cmp,
        clippy::large_stack_arrays,
        clippy::cast_possible_wrap,
        reason = "a decision is the same to the last bit, and so are its tests"
    )
)]

mod behavior;
mod calibration;
mod compact;
mod confidence;
pub mod evolve;
pub mod explanation;
pub mod gate;
mod identity;
pub mod league;
pub mod learning;
mod memory;
pub mod policy;
pub mod pool;
pub mod refuse;
pub mod regret;
mod rules;
pub mod situation;
pub mod steer;
pub mod text;
mod trial;
pub mod tuner;
mod view;

/// Rows that a decision has at most: one a rule, one for what holds.
const RULES: usize = 5;

#[cfg(test)]
mod fail_open_tests;
#[cfg(test)]
pub(crate) mod property_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod version_tests;

pub use explanation::explain;
pub use gate::{GateDecision, GateSituation};
pub use policy::{POLICY_VERSION, Version, settings};
pub use refuse::{refused, refused_gate};
pub use situation::{Action, Decision, GateView, Memory, Plan, Situation};

use std::borrow::Cow;
use std::sync::Arc;

use crate::api::scaling::Enforcement;
use crate::observe::reading::Use;
use crate::observe::workload::Workload;
use rules::{Proposal, Tried, hold, retune, rollback, scale_down, scale_up};
use situation::{Holds, Notice, RuleVerdict};
use text::Text;
use view::{Turn, View, short};

/// Decides one turn.
#[must_use]
pub fn decide(s: &Situation) -> Decision {
    decide_by(Version::NEWEST, s)
}

/// Decides one turn by the rules of a version: what was recorded then comes out again, bit for bit.
#[must_use]
pub fn decide_by(version: Version, s: &Situation) -> Decision {
    let Some(w) = &s.observed.workload else {
        let memory = memory::without_target(s);
        let mut draft = Draft::new(version, s, Vec::new());
        if let Some(held) = hold::hold(s, None, &memory) {
            draft.hold(held);
        }
        return draft.finish(None, Arc::new(memory));
    };
    let turn = Turn::new(version, s, w);
    let (memory, mut said, need) = memory::seen(&turn);
    said.extend(memory::standing_notices(s, w));
    let mut draft = Draft::new(version, s, said);
    let v = turn.view(&memory).needing(need);
    draft.known(&v);
    if lets_go(s, w)
        && let Some(proposal) = retune::release(&v)
    {
        draft.give_back(proposal);
        return draft.finish(Some(&turn), memory);
    }
    if let Some(held) = hold::hold(s, Some(w), &memory) {
        draft.hold(held);
        return draft.finish(Some(&turn), memory);
    }
    draft.try_rules(&v);
    draft.finish(Some(&turn), memory)
}

/// Whether the owner has told us to keep our hands off, in a state where giving back can be recorded.
fn lets_go(s: &Situation, w: &Workload) -> bool {
    let hands_off = s.spec.paused || w.pause_requested || s.spec.enforcement != Enforcement::Act;
    hands_off && s.standing.ledger_available && !s.standing.unresolved_act
}

/// Gives back what is borrowed — an unsettled retune — for a resource that is deleted.
///
/// `None` where nothing is borrowed, or where it cannot be given back (the ConfigMap or the target is gone).
/// [`decide`] does the same for a resource that is paused or only to watch.
#[must_use]
pub fn release(s: &Situation) -> Option<Decision> {
    release_by(Version::NEWEST, s)
}

/// [`release`] by the rules of a version.
#[must_use]
pub fn release_by(version: Version, s: &Situation) -> Option<Decision> {
    let w = s.observed.workload.as_ref()?;
    let turn = Turn::new(version, s, w);
    let (memory, said, need) = memory::seen(&turn);
    let v = turn.view(&memory).needing(need);
    let proposal = retune::release(&v)?;
    let mut draft = Draft::new(version, s, said);
    draft.known(&v);
    draft.give_back(proposal);
    Some(draft.finish(Some(&turn), memory))
}

/// A decision in the making.
struct Draft<'a> {
    version: Version,
    s: &'a Situation,
    notices: Vec<Notice>,
    rules: Vec<RuleVerdict>,
    waiting: Vec<String>,
    token: Option<Cow<'static, str>>,
    proposal: Option<Box<Proposal>>,
    /// What a person reads first where nothing is done.
    reasoning: Option<Text>,
    confidence: Option<f64>,
    want: i32,
    may_act: bool,
}

impl<'a> Draft<'a> {
    fn new(version: Version, s: &'a Situation, notices: Vec<Notice>) -> Self {
        Self {
            version,
            s,
            notices,
            rules: Vec::with_capacity(RULES),
            waiting: Vec::new(),
            token: None,
            proposal: None,
            reasoning: None,
            confidence: None,
            want: 0,
            may_act: s.spec.enforcement == Enforcement::Act && s.standing.namespace_may_act,
        }
    }

    /// What is known whatever is decided: the count that is wanted and how sure the present one is.
    fn known(&mut self, v: &View<'_>) {
        self.want = v.need().filter(|_| v.consistent()).map_or(v.w.desired, |need| need.want);
        self.confidence = v.sure(Action::Noop, v.w.desired, false);
    }

    fn hold(&mut self, held: hold::Hold) {
        self.notices.extend(held.notice);
        let because = Text::from(held.because);
        self.rules.push(RuleVerdict { rule: Action::Noop, holds: Holds::Yes, because: because.clone() });
        self.waiting.push(held.waiting);
        self.token = Some(held.token.into());
        self.reasoning = Some(because);
        if let Some(w) = &self.s.observed.workload {
            self.want = w.desired;
        }
        self.confidence = None;
    }

    fn try_rules(&mut self, v: &View<'_>) {
        if let Some(gate) = &self.s.standing.league {
            let because =
                format!("the league of OmegaGate {gate} runs on this Deployment and alone rolls back");
            let waiting = vec!["the league's end".to_owned()];
            self.rule(Tried::wait(Action::Rollback, "League", because, waiting));
            self.rule(scale_up::try_rule(v, None));
            self.check_floor();
            return;
        }
        let finding = rollback::try_rule(v);
        self.rule(finding.tried);
        let suspected = finding.suspected;
        if self.proposal.is_none() {
            self.rule(scale_up::try_rule(v, suspected.as_deref()));
        }
        if self.proposal.is_none()
            && let Some(tried) = retune::try_rule(v, suspected.is_some())
        {
            self.rule(tried);
        }
        if self.proposal.is_none() {
            self.rule(scale_down::try_rule(v));
        }
        self.check_floor();
        if self.proposal.is_none() && self.token.is_none() {
            self.token = Some(quiet(v));
        }
    }

    fn rule(&mut self, tried: Tried) {
        self.rules.push(tried.verdict);
        self.notices.extend(tried.notices);
        for on in tried.waiting {
            if !self.waiting.contains(&on) {
                self.waiting.push(on);
            }
        }
        self.token = self.token.take().or(tried.token);
        self.proposal = tried.proposal;
    }

    /// The one act that needs no leave: what was borrowed goes back to its owner.
    fn give_back(&mut self, proposal: Proposal) {
        self.rule(Tried::yes(proposal));
        self.may_act = true;
    }

    /// Below the mode's floor the action becomes a Noop; where nothing can be stated, nothing is certain enough.
    fn check_floor(&mut self) {
        let Some(proposal) = &self.proposal else { return };
        let floor = policy::floor(self.s.spec.mode);
        if proposal.exempt || proposal.confidence.is_some_and(|confidence| confidence >= floor) {
            return;
        }
        let stated = proposal.confidence.map_or("unknown".to_owned(), short);
        let action = proposal.action.as_str();
        let text = format!("{action} not sure enough: {stated} < {}: {}", short(floor), proposal.reasoning);
        let text = Text::from(text);
        if let Some(row) = self.rules.last_mut() {
            row.holds = Holds::Wait;
            row.because.clone_from(&text);
        }
        self.waiting.push(format!("confidence {} in {action}", short(floor)));
        self.token = Some("LowConfidence".into());
        self.reasoning = Some(text);
        self.proposal = None;
    }

    /// The decision, and what is remembered with and without its act. `memory` is what the turn's observation made of it.
    fn finish(mut self, turn: Option<&Turn<'_>>, mut memory: Arc<Memory>) -> Decision {
        for notice in &mut self.notices {
            notice.first |= !memory.announced.contains(&notice.reason);
        }
        let mut announced: Vec<String> = self.notices.iter().map(|notice| notice.reason.clone()).collect();
        announced.sort_unstable();
        announced.dedup();
        if announced != memory.announced {
            Arc::make_mut(&mut memory).announced = announced;
        }
        let kept = memory;
        let s = self.s;
        let applied = match (turn, &self.proposal) {
            (Some(turn), Some(proposal)) if self.may_act => {
                Arc::new(memory::decided(&turn.view(&kept), proposal))
            }
            _ => Arc::clone(&kept),
        };
        let desired = turn.map_or(0, |turn| turn.w.desired);
        let reasoning = self.reasoning.unwrap_or_else(|| {
            let first = self.rules.iter().find(|row| row.holds == Holds::Wait).or(self.rules.get(1));
            first.map_or_else(Text::default, |row| row.because.after(row.rule.lead()))
        });
        let quiet = || Proposal {
            action: Action::Noop,
            plan: Plan::Nothing,
            why: self.token.unwrap_or_default(),
            reasoning,
            proof: None,
            confidence: self.confidence,
            exempt: true,
            want: None,
            provisional: false,
        };
        let chosen = self.proposal.map_or_else(quiet, |proposal| *proposal);
        let acting = chosen.action != Action::Noop;
        let why = if acting && !self.may_act {
            let watching = s.spec.enforcement != Enforcement::Act;
            Cow::Borrowed(if watching { "Observe" } else { "NamespaceMayNotAct" })
        } else {
            chosen.why
        };
        Decision {
            at: s.now,
            object: Arc::clone(&s.object),
            action: chosen.action,
            confidence: chosen.confidence,
            proof: chosen.proof,
            act: acting && self.may_act,
            provisional: chosen.provisional,
            want: chosen.want.unwrap_or(if turn.is_some() { self.want } else { desired }),
            plan: chosen.plan,
            why,
            reasoning: chosen.reasoning,
            rules: self.rules,
            waiting_on: if acting { Vec::new() } else { self.waiting },
            notices: self.notices,
            memory: applied,
            memory_if_not_applied: kept,
            mode: s.spec.mode,
            policy_version: self.version.number(),
        }
    }
}

/// Why nothing is asked for, in one token.
fn quiet(v: &View<'_>) -> Cow<'static, str> {
    if let Some(token) = v.unbelievable(Use::ScaleDown).into_iter().next() {
        return token.into();
    }
    let owned = scale_up::owner_of_replicas(v).is_some();
    match v.need() {
        _ if owned => "ScalerConflict",
        None => "NoForecast",
        Some(_) if !v.consistent() => "Inconsistent",
        Some(need) if need.raw > v.spec().max_replicas && v.w.desired >= v.spec().max_replicas => "AtMax",
        Some(_) => "Steady",
    }
    .into()
}

/// The workload a situation speaks of, where it exists.
#[must_use]
pub fn workload(s: &Situation) -> Option<&Workload> {
    s.observed.workload.as_ref()
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
