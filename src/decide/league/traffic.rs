//! Who gets how much of the traffic: what our last write left, what is there now, and the way back.

use super::draft::{Draft, Fault, Step, over};
use super::situation::{Memory, Plan, Reason, Situation, Split, Stage, Who};
use super::stages;

/// All traffic to the champion, nothing mirrored.
pub(super) const HOME: Split = Split { champion: 100, challenger: 0, mirror: false };
/// The same, mirrored to the challenger.
pub(super) const MIRRORED: Split = Split { champion: 100, challenger: 0, mirror: true };

/// The challenger's weight in the canary stage, out of 100: `.05` → 5, at least 1 and at most 20.
#[must_use]
pub fn canary_weight(weight: f64) -> u32 {
    ((100.0 * weight).round() as u32).clamp(1, 20)
}

/// The split of the canary stage.
pub(super) fn canary_split(s: &Situation) -> Split {
    let challenger = canary_weight(s.spec.weight);
    Split { champion: 100 - challenger, challenger, mirror: false }
}

/// The challenger's replicas in the canary stage, by replica share.
pub(super) fn canary_replicas(s: &Situation) -> i32 {
    let champion = s.champion.as_ref().map_or(0, |c| c.desired);
    ((s.spec.weight * f64::from(champion)).round() as i32).clamp(1, champion.max(1))
}

pub(super) fn by_route(s: &Situation) -> bool {
    s.spec.route_ref.is_some()
}

/// What our last write left of the route; nobody's hands on it count as home.
fn expected(memory: &Memory) -> Split {
    memory.expected.unwrap_or(HOME)
}

fn observed(s: &Situation) -> Option<Split> {
    let route = s.route.as_ref().filter(|route| route.shape_ok)?;
    Some(Split { champion: route.champion, challenger: route.challenger, mirror: route.mirror })
}

/// The step that brings the traffic back to the champion; `None` where it is there, as far as our writes go.
pub(super) fn home(s: &Situation, memory: &Memory) -> Option<Step> {
    let mut next = memory.clone();
    let plan = if by_route(s) {
        if expected(memory) == HOME {
            return None;
        }
        next.expected = Some(HOME);
        Plan::Route(HOME)
    } else {
        memory.expected_replicas.filter(|replicas| *replicas > 0)?;
        next.expected_replicas = None;
        if s.challenger.is_some() {
            Plan::Share { deployment: Who::Challenger, replicas: 0 }
        } else {
            Plan::Nothing
        }
    };
    Some(Step::go(plan, next, Reason::Returned, "all traffic goes back to the champion".into()))
}

/// Whether what we borrowed is no longer what the resource names: a route that was left out of the spec, or one that
/// was added.
pub(super) fn setup_changed(s: &Situation) -> bool {
    if by_route(s) { s.memory.expected_replicas.is_some() } else { s.memory.expected.is_some() }
}

/// Forgets what can no longer be given back, and ends a league that was on trial by it.
pub(super) fn set_up_anew(s: &Situation) -> Step {
    let text = "the resource names another way of dividing the traffic than the league began with";
    let mut step = if matches!(s.memory.stage, Stage::Shadow | Stage::Canary) {
        over(s, Reason::SetupChanged, Fault::Other, text.into())
    } else {
        Step::go(Plan::Nothing, s.memory.clone(), Reason::SetupChanged, text.into())
    };
    step.plan = Plan::Nothing;
    (step.next.expected, step.next.expected_replicas) = (None, None);
    step
}

/// Holds a step against the traffic as it is. What is there already is not written again; what somebody else changed
/// is not overwritten.
pub(super) fn settle(draft: &mut Draft<'_>, step: Step) -> Step {
    if by_route(draft.s) { settle_route(draft, step) } else { settle_shares(draft, step) }
}

fn settle_route(draft: &mut Draft<'_>, step: Step) -> Step {
    let s = draft.s;
    // After a promotion only a write of the route depends on the route.
    let on_trial = matches!(s.memory.stage, Stage::Shadow | Stage::Canary);
    let needs = on_trial || matches!(step.plan, Plan::Route(_));
    let Some(seen) = observed(s) else {
        if !needs {
            return step;
        }
        let why = match (&s.route_trouble, &s.route) {
            (Some(why), _) => why.clone(),
            (None, Some(route)) => route.why_not.clone(),
            (None, None) => "there is no such route".into(),
        };
        draft.wait("Route", &why);
        return Step::wait(s, Reason::RouteUnreadable, format!("route: {why}"), "a route that can be read");
    };
    if step.plan == Plan::Route(seen) {
        return Step { plan: Plan::Nothing, ..step };
    }
    let ours = expected(&s.memory);
    if seen == ours {
        draft.yes("Route", &text(seen));
        return step;
    }
    let because = format!("{} instead of {}", text(seen), text(ours));
    if !needs {
        draft.no("Route", &because);
        return step;
    }
    draft.wait("Route", &because);
    stages::led_on(s, seen).unwrap_or_else(|| {
        let reasoning = format!("somebody changed the route: {because}; respected");
        Step::wait(s, Reason::RouteEdited, reasoning, format!("the route at {}", text(ours)))
    })
}

fn settle_shares(draft: &mut Draft<'_>, step: Step) -> Step {
    let s = draft.s;
    let Some(seen) = s.challenger.as_ref().map(|challenger| challenger.desired) else { return step };
    if step.plan == (Plan::Share { deployment: Who::Challenger, replicas: seen }) {
        return Step { plan: Plan::Nothing, ..step };
    }
    let Some(ours) = s.memory.expected_replicas.filter(|ours| *ours != seen) else { return step };
    let because = format!("{seen} replicas of the challenger instead of {ours}");
    if s.memory.stage == Stage::Canary || matches!(step.plan, Plan::Share { .. }) {
        draft.wait("Share", &because);
        let reasoning = format!("somebody changed the shares: {because}; respected");
        return Step::wait(s, Reason::SharesEdited, reasoning, format!("{ours} replicas of the challenger"));
    }
    draft.no("Share", &because);
    step
}

pub(super) fn text(split: Split) -> String {
    let mirror = if split.mirror { ", mirrored" } else { "" };
    format!("{}/{}{mirror}", split.champion, split.challenger)
}
