//! Giving back what a league borrowed: the route's weights and mirror, or the challenger's replicas.

use super::{Decision, Memory, Plan, Reason, Situation, Split, Stage, Who};
use crate::decide::identity;
use crate::decide::policy::POLICY_VERSION;

/// The route as its owner has it outside of a league.
pub const AT_REST: Split = Split { champion: 100, challenger: 0, mirror: false };

/// Whether a stage that status names is one in which a league runs.
#[must_use]
pub fn runs(stage: &str) -> bool {
    [Stage::Shadow, Stage::Canary, Stage::Promote, Stage::Watch].iter().any(|s| s.as_str() == stage)
}

/// Whether a league holds something that is not its own.
#[must_use]
pub fn borrows(memory: &Memory) -> bool {
    memory.expected.is_some_and(|split| split != AT_REST) || memory.expected_replicas.is_some_and(|n| n > 0)
}

/// Gives back what is borrowed, for a resource that is deleted or that names another setup. `None` where nothing is,
/// or where it is not as the league left it: that is somebody's own doing, and stays.
#[must_use]
pub fn release(s: &Situation) -> Option<Decision> {
    let memory = &s.memory;
    let borrowed = memory.expected.filter(|split| *split != AT_REST);
    let by_route = s.route.as_ref().filter(|route| route.shape_ok).zip(borrowed).filter(|(route, split)| {
        (route.champion, route.challenger, route.mirror) == (split.champion, split.challenger, split.mirror)
    });
    let replicas = memory.expected_replicas.filter(|n| *n > 0);
    let by_share =
        s.challenger.as_ref().zip(replicas).filter(|(challenger, replicas)| challenger.desired == *replicas);
    let plan = if by_route.is_some() {
        Plan::Route(AT_REST)
    } else if by_share.is_some() {
        Plan::Share { deployment: Who::Challenger, replicas: 0 }
    } else {
        return None;
    };
    let next = Memory {
        stage: if memory.stage.running() { Stage::RolledBack } else { memory.stage },
        since: Some(s.now),
        until: None,
        reason: Some(Reason::Returned),
        expected: None,
        expected_replicas: None,
        ..memory.clone()
    };
    Some(Decision {
        id: identity::of(s.now, &[&s.object.uid, "release", &s.now.to_string(), &format!("{plan:?}")]),
        at: s.now,
        object: s.object.clone(),
        plan,
        stage: next.stage,
        next,
        reason: Reason::Returned,
        reasoning: "what the league borrowed goes back to its owner".into(),
        rules: Vec::new(),
        waiting_on: Vec::new(),
        policy_version: POLICY_VERSION,
    })
}
