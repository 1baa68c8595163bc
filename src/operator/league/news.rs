//! What of a league is worth an event.

use crate::api::gate::LeagueStatus;
use crate::decide::league::{Decision, Plan, Stage};
use crate::ledger::Outcome;
use crate::operator::events::{Happening, Reason};

/// What is new, judging by the status of before.
#[must_use]
pub fn news(
    before: Option<&LeagueStatus>,
    after: &LeagueStatus,
    decision: &Decision,
    outcome: Option<&Outcome>,
) -> Vec<Happening> {
    let mut all = Vec::new();
    let id = &decision.id;
    match (&decision.plan, outcome) {
        (Plan::Promote { .. }, Some(Outcome::Applied { .. })) => {
            let note = format!("{} (decision {id})", decision.reasoning);
            all.push(Happening::of(Reason::Promoted, note));
        }
        (_, Some(Outcome::Applied { .. })) if decision.stage == Stage::RolledBack => {
            let note = format!("{} (decision {id})", decision.reasoning);
            all.push(Happening::of(Reason::RolledBack, note));
        }
        (_, Some(Outcome::Refused { why } | Outcome::Abandoned { why } | Outcome::Unknown { why })) => {
            let came = outcome.map_or("", Outcome::as_str);
            all.push(Happening::of(
                Reason::Held,
                format!("a step of the league was {came}: {why} (decision {id})"),
            ));
        }
        _ => {}
    }
    let stood = before.map_or("Idle", |status| status.stage.as_str());
    let moved = stood != after.stage;
    let other = before.map_or("", |status| status.reason.as_str()) != after.reason;
    if moved && !stood.is_empty() {
        all.push(Happening::of(Reason::LeagueStage, format!("{stood} → {}: {}", after.stage, after.message)));
    } else if other && holds(&after.reason) {
        all.push(Happening::of(
            Reason::Held,
            format!("the league waits in {}: {}", after.stage, after.message),
        ));
    }
    all
}

/// Reasons to wait that a person can do something about.
fn holds(reason: &str) -> bool {
    ["RouteEdited", "RouteUnreadable", "SharesEdited", "NoFreshEvidence", "Blocked", "NotTriedAgain"]
        .contains(&reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(stage: &str, reason: &str) -> LeagueStatus {
        LeagueStatus { stage: stage.into(), reason: reason.into(), ..LeagueStatus::default() }
    }

    fn decision(plan: Plan, stage: Stage) -> Decision {
        let object = crate::decide::situation::ObjectRef {
            namespace: "shop".into(),
            name: "web".into(),
            uid: "u".into(),
            target: "web".into(),
        };
        Decision {
            id: "D1".into(),
            at: jiff::Timestamp::UNIX_EPOCH,
            object,
            plan,
            next: crate::decide::league::Memory::default(),
            stage,
            reason: crate::decide::league::Reason::Steady,
            reasoning: "because".into(),
            rules: Vec::new(),
            waiting_on: Vec::new(),
            policy_version: 1,
        }
    }

    #[test]
    fn a_stage_is_said_once_and_a_hold_once() {
        let idle = decision(Plan::Nothing, Stage::Shadow);
        let (a, b) = (status("Shadow", "Collecting"), status("Canary", "ShadowPassed"));
        let said = |before: Option<&LeagueStatus>, after: &LeagueStatus| news(before, after, &idle, None);
        assert_eq!(said(None, &a)[0].reason, Reason::LeagueStage);
        assert_eq!(said(Some(&a), &b)[0].note, "Shadow → Canary: ");
        assert!(said(Some(&b), &b).is_empty());
        let held = status("Canary", "RouteEdited");
        assert_eq!(said(Some(&b), &held)[0].reason, Reason::Held);
        assert!(said(Some(&held), &held).is_empty());
        assert!(said(None, &status("Idle", "NoChallenger")).is_empty());
    }

    #[test]
    fn what_was_done_is_an_act_of_its_own() {
        let applied = Outcome::Applied { resource_version: "1".into(), post: String::new() };
        let to = Plan::Promote { from_template: "a".into(), to_template: "b".into() };
        let canary = status("Canary", "Collecting");
        let promoted = news(
            Some(&canary),
            &status("Promote", "Promoted"),
            &decision(to, Stage::Promote),
            Some(&applied),
        );
        assert_eq!(
            promoted.iter().map(|n| n.reason).collect::<Vec<_>>(),
            [Reason::Promoted, Reason::LeagueStage]
        );
        assert!(promoted[0].is_act());
        let back = decision(Plan::Revert(crate::decide::league::Revision::default()), Stage::RolledBack);
        let back = news(Some(&canary), &status("RolledBack", "WatchFailed"), &back, Some(&applied));
        assert_eq!(back[0].reason, Reason::RolledBack);
    }
}
