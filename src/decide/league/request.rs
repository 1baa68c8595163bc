//! What a person asks of a league, beside the spec: `rollback last-good`, `promote RUN`. Each is answered once.

use serde::{Deserialize, Serialize};

use super::draft::{Draft, Fault, Step, over, revert};
use super::situation::{Plan, Reason, Situation, Stage};
use super::stages::{promoted, speaks, worse};
use crate::decide::gate::GateAnswer;

/// A request, and who made it: admission has checked the name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// What is asked.
    pub ask: Ask,
    /// The user.
    pub by: String,
    /// The request as it was written: one text is answered once.
    pub text: String,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ask {
    /// End the league, or take the last promotion back.
    Rollback,
    /// Promote the challenger of this run without waiting for time and samples. What speaks against it still does.
    Promote(String),
}

impl Request {
    /// Reads `rollback last-good by=USER` and `promote RUN by=USER`; `None` for what is no request to a league.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (ask, by) = text.rsplit_once(" by=")?;
        let ask = match ask.split_ascii_whitespace().collect::<Vec<_>>().as_slice() {
            ["rollback", "last-good"] => Ask::Rollback,
            ["promote", run] => Ask::Promote((*run).to_owned()),
            _ => return None,
        };
        Some(Self { ask, by: by.to_owned(), text: text.to_owned() })
    }
}

/// The step that answers a request; `None` where there is none to answer, or where it has to wait.
pub(super) fn answer(draft: &mut Draft<'_>) -> Option<Step> {
    let s = draft.s;
    let request = s.request.as_ref().filter(|request| s.memory.answered.as_ref() != Some(&request.text))?;
    let mut step = match &request.ask {
        Ask::Rollback => back(s, &request.by),
        Ask::Promote(run) => forward(draft, run, &request.by)?,
    };
    step.next.answered = Some(request.text.clone());
    draft.yes("Request", &step.reasoning);
    Some(step)
}

fn back(s: &Situation, by: &str) -> Step {
    if matches!(s.memory.stage, Stage::Shadow | Stage::Canary) {
        return over(s, Reason::Requested, Fault::Challenger, format!("{by} ended the league"));
    }
    let sides = s.champion.as_ref().zip(s.memory.challenger_template.as_ref());
    let promoted = sides.is_some_and(|(champion, template)| champion.template == *template);
    let Some(previous) = s.memory.previous.clone().filter(|_| promoted) else {
        let text = format!(
            "{by} asked for the last good template: the champion has no promoted one to go back from"
        );
        return Step::go(Plan::Nothing, s.memory.clone(), Reason::Requested, text);
    };
    let text = format!("{by} took the promotion back, to revision {}", previous.pod_template_hash);
    revert(s, previous, Reason::Requested, text)
}

/// A challenger that is not worse, and that the gate admits on fresh evidence, may be let in early.
fn forward(draft: &mut Draft<'_>, run: &str, by: &str) -> Option<Step> {
    let s = draft.s;
    let on_trial = matches!(s.memory.stage, Stage::Shadow | Stage::Canary);
    if !on_trial || s.memory.run.as_deref() != Some(run) {
        let text = format!("{by} asked to promote {run}, which is not the run that is on trial");
        return Some(Step::go(Plan::Nothing, s.memory.clone(), Reason::Requested, text));
    }
    if speaks(draft).is_some() || worse(draft).is_some() {
        return None;
    }
    if s.gate != GateAnswer::Admit {
        draft.wait("Request", &format!("the gate says {}", s.gate.as_str()));
        return None;
    }
    let (from_template, to_template) =
        s.memory.champion_template.clone().zip(s.memory.challenger_template.clone())?;
    let step = promoted(s, format!("{by} promoted run {run} before its time"));
    Some(Step { plan: Plan::Promote { from_template, to_template }, reason: Reason::Requested, ..step })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::league::testing::{Story, expect};
    use crate::decide::league::traffic::HOME;

    fn asked(story: Story, text: &str) -> Story {
        story.with(|s| s.request = Request::parse(&format!("{text} by=anna")))
    }

    #[test]
    fn a_rollback_ends_a_trial_takes_a_promotion_back_and_is_answered_once() {
        for story in [Story::shadow(), Story::canary()] {
            let story = asked(story, "rollback last-good");
            let d = story.decide();
            expect(&d, Stage::RolledBack, Reason::Requested, &Plan::Route(HOME));
            let after = story.after(&d).decide();
            assert_eq!(
                (after.plan, after.reason),
                (Plan::Nothing, Reason::NotTriedAgain),
                "{}",
                after.reasoning
            );
        }
        for story in [Story::promote(), Story::watch()] {
            let d = asked(story, "rollback last-good").decide();
            assert!(matches!(d.plan, Plan::Revert(_)), "{d:#?}");
            assert!(d.reasoning.contains("anna"));
        }
        let nothing = asked(Story::rest(), "rollback last-good").decide();
        assert_eq!((nothing.plan, nothing.reason), (Plan::Nothing, Reason::Requested));
    }

    #[test]
    fn a_promotion_on_request_needs_the_run_the_gate_and_no_word_against_it() {
        let run = |story: &Story| story.s.memory.run.clone().unwrap_or_else(|| "R1".into());
        let story = Story::canary().later(-300).with(|s| s.memory.run = Some("R1".into()));
        let text = format!("promote {}", run(&story));
        let d = asked(story.clone(), &text).decide();
        assert!(matches!(d.plan, Plan::Promote { .. }), "{d:#?}");
        let other = asked(story.clone(), "promote R9").decide();
        assert_eq!((other.plan, other.reason), (Plan::Nothing, Reason::Requested));
        for answer in [GateAnswer::Unknown, GateAnswer::Quarantine, GateAnswer::Block] {
            let d = asked(story.clone(), &text).with(|s| s.gate = answer).decide();
            assert!(!matches!(d.plan, Plan::Promote { .. }), "{answer:?}");
        }
        let worse =
            asked(story, &text).with(|s| s.evidence.errors.verdict = crate::orient::Verdict::Worse).decide();
        assert_eq!(worse.reason, Reason::ErrorsWorse);
    }

    #[test]
    fn what_is_no_request_to_a_league_is_none() {
        let asked = Request::parse("rollback last-good by=anna").unwrap();
        assert_eq!((asked.ask, asked.by.as_str()), (Ask::Rollback, "anna"));
        let asked = Request::parse("promote 01ABC by=system:serviceaccount:a:b").unwrap();
        assert_eq!(asked.ask, Ask::Promote("01ABC".into()));
        for text in [
            "pause by=anna",
            "rollback by=anna",
            "promote by=anna",
            "rollback last-good",
            "",
            "promote a b by=x",
        ] {
            assert_eq!(Request::parse(text), None, "{text}");
        }
    }
}
