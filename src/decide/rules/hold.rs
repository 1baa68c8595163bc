//! Row 0: what forbids every act, a rollback included.

use super::notice;
use crate::decide::policy;
use crate::decide::refuse::refused;
use crate::decide::situation::{Memory, Notice, Situation};
use crate::observe::workload::Workload;

/// Why nothing may be done at all.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hold {
    pub(crate) token: &'static str,
    pub(crate) because: String,
    pub(crate) waiting: String,
    pub(crate) notice: Option<Notice>,
}

/// The first reason to hold, if there is one.
pub(crate) fn hold(s: &Situation, w: Option<&Workload>, m: &Memory) -> Option<Hold> {
    let hold = |token, because: String, waiting: &str, says: Option<&str>| {
        let notice = says.map(|reason| notice(reason, format!("{because}; waiting for {waiting}")));
        Some(Hold { token, because, waiting: waiting.to_owned(), notice })
    };
    let refusals = refused(&s.spec);
    if !refusals.is_empty() {
        return hold("InvalidSpec", refusals.join("; "), "a valid spec", Some("InvalidSpec"));
    }
    let target = &s.object.target;
    let Some(w) = w else {
        let because = format!("Deployment {target} does not exist");
        return hold("TargetNotFound", because, "the Deployment", Some("TargetNotFound"));
    };
    if s.spec.paused {
        return hold("Paused", "the resource is paused".into(), "spec.paused: false", None);
    }
    if w.pause_requested {
        return hold(
            "Paused",
            "an annotation on the Deployment asks for a pause".into(),
            "its removal",
            None,
        );
    }
    if w.deployment_paused {
        let because = "the Deployment is paused; somebody is at work on it".into();
        return hold("DeploymentPaused", because, "its spec.paused: false", None);
    }
    if w.desired <= 0 {
        return hold("ScaledToZero", "somebody set replicas to 0".into(), "somebody to raise them", None);
    }
    if let Some(older) = &s.standing.older_claim {
        let because = format!("{older} is older and names the same Deployment");
        return hold("ScalerConflict", because, "one of the two to go", Some("ScalerConflict"));
    }
    if !s.standing.ledger_available {
        let because = "the ledger takes no intent, and no act goes unrecorded".into();
        return hold("LedgerUnavailable", because, "the ledger", Some("LedgerUnavailable"));
    }
    if s.standing.unresolved_act {
        let because = "an earlier act of ours has no outcome yet".into();
        return hold("UnresolvedAct", because, "its outcome", None);
    }
    if m.reverted.len() >= policy::CONTESTED_AFTER {
        let owner = w.gitops.as_deref().unwrap_or("somebody");
        let because = format!("{owner} took back {} acts of ours within a day", m.reverted.len());
        let waiting = "the day to pass; let one side own the field";
        return hold("Contested", because, waiting, Some("Contested"));
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::decide::situation::{Action, Plan, SeenTarget};
    use crate::decide::testing::{Story, at, expect, notices};
    use crate::observe::reading::SignalName;

    /// Everything asks for a rollback and for replicas; only the hold is in the way.
    fn burning() -> Story {
        Story::bad_rollout().fresh(SignalName::CPU, 1.4).needs(9)
    }

    #[test]
    fn without_a_reason_to_hold_it_acts() {
        assert_eq!(burning().decide().action, Action::Rollback);
    }

    #[test]
    fn each_reason_holds() {
        let cases: [(&str, Story); 10] = [
            ("Paused", burning().with(|s| s.spec.paused = true)),
            ("Paused", burning().workload(|w| w.pause_requested = true)),
            ("DeploymentPaused", burning().workload(|w| w.deployment_paused = true)),
            ("TargetNotFound", burning().with(|s| s.observed.workload = None)),
            ("ScaledToZero", burning().replicas(0)),
            ("LedgerUnavailable", burning().with(|s| s.standing.ledger_available = false)),
            ("UnresolvedAct", burning().with(|s| s.standing.unresolved_act = true)),
            ("ScalerConflict", burning().with(|s| s.standing.older_claim = Some("auth-old".into()))),
            ("InvalidSpec", burning().with(|s| s.spec.min_replicas = 0)),
            ("Contested", burning().memory(|m| m.reverted = vec![at(-900), at(-300)])),
        ];
        for (why, story) in cases {
            let d = story.decide();
            expect(&d, Action::Noop, why);
            assert!(!d.act && d.plan == Plan::Nothing, "{d:#?}");
            assert!(!d.waiting_on.is_empty());
        }
    }

    #[test]
    fn a_target_that_is_gone_wants_nothing_and_says_so() {
        let d = burning().with(|s| s.observed.workload = None).decide();
        assert_eq!((d.want, d.confidence), (0, None));
        assert!(notices(&d, "TargetNotFound"));
    }

    #[test]
    fn contested_ends_a_day_later() {
        let old = at(-86_401);
        assert_eq!(burning().memory(|m| m.reverted = vec![old, at(-300)]).decide().action, Action::Rollback);
    }

    #[test]
    fn zero_set_by_a_person_is_left_until_a_person_raises_it() {
        let ours = SeenTarget { replicas: 5, template: "t-new".into(), ours: true };
        let zero = burning().replicas(0).memory(|m| m.baseline = Some(ours));
        let d = zero.decide();
        expect(&d, Action::Noop, "ScaledToZero");
        assert!(d.memory.reverted.is_empty(), "switching off is no contest");
        let raised = Story::new().replicas(2).needs(4).memory(|m| *m = (*d.memory).clone());
        let raised = raised.with(|s| s.now = at(15)).fresh(SignalName::CPU, 0.7);
        expect(&raised.decide(), Action::ScaleUp, "Forecast");
    }
}
