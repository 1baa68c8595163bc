//! After the promotion: the route returns, the champion rolls out and is watched, and goes back where it is bad.

use super::FEWEST_SCRAPES;
use super::draft::{self, Draft, Fault, Step, later, over};
use super::situation::{Contestant, Memory, Plan, Reason, Situation, Stage};
use super::stages::{left, of_stage, speaks};
use super::traffic;
use crate::decide::view::short;
use crate::orient::Verdict;

/// The champion has the challenger's template.
pub(super) fn after_promotion(draft: &mut Draft<'_>) -> Step {
    let s = draft.s;
    let champion = match standing(draft) {
        Ok(champion) => champion,
        Err(step) => return *step,
    };
    if let Some(why) = bad(s, champion) {
        draft.yes("Bad", &why);
        return revert(s, why);
    }
    draft.no("Bad", "nothing speaks against the promoted template");
    if let Some(back) = traffic::home(s, &s.memory) {
        return back;
    }
    if s.memory.stage == Stage::Promote {
        if !champion.settled {
            let text = format!("{} of {} pods have the new template", champion.updated, champion.desired);
            draft.wait("Rollout", &text);
            return Step::wait(s, Reason::RollingOut, text, "the champion's rollout");
        }
        let next = Memory {
            stage: Stage::Watch,
            since: Some(s.now),
            until: Some(later(s.now, s.spec.rollback_window_seconds)),
            ..s.memory.clone()
        };
        let text = format!("the rollout is complete; watched for {} s", s.spec.rollback_window_seconds);
        return Step::go(Plan::Nothing, next, Reason::WatchStarted, text);
    }
    watched(draft, champion)
}

/// The champion, while it has the promoted template.
fn standing<'a>(draft: &mut Draft<'a>) -> Result<&'a Contestant, Box<Step>> {
    let s = draft.s;
    let Some(champion) = &s.champion else {
        let text = "the champion is gone".to_owned();
        draft.yes("Champion", &text);
        return Err(Box::new(over(s, Reason::ChampionGone, Fault::Other, text)));
    };
    let now = Some(&champion.template);
    if now == s.memory.challenger_template.as_ref() {
        return Ok(champion);
    }
    let (reason, fault, text) = if now == s.memory.champion_template.as_ref() {
        (Reason::WatchFailed, Fault::Challenger, "the champion has its template of before again".to_owned())
    } else {
        let text = format!("somebody changed the champion's template to {}", champion.template);
        (Reason::ChampionChanged, Fault::Other, text)
    };
    draft.yes("Champion", &text);
    Err(Box::new(over(s, reason, fault, text)))
}

/// What speaks against the promoted template. A failing rollout needs no metrics.
fn bad(s: &Situation, champion: &Contestant) -> Option<String> {
    if champion.failing {
        return Some(format!(
            "the rollout of the promoted template fails: {} of {} ready",
            champion.ready, champion.desired
        ));
    }
    let evidence = of_stage(s)?;
    let seen = &evidence.champion;
    for (name, weighed) in [("errors", &evidence.errors), ("latency", &evidence.latency)] {
        if weighed.verdict == Verdict::Worse {
            let (e, looks) = (short(weighed.e_worse), weighed.looks);
            return Some(format!(
                "{name} are worse than before the promotion: e-value {e} after {looks} looks"
            ));
        }
    }
    let enough = f64::from(s.spec.min_samples_shadow);
    let most = s.spec.error_max;
    for (share, requests) in [(seen.errors, seen.requests), (seen.recent_errors, seen.recent_requests)] {
        if let Some(share) = share.filter(|share| requests >= enough && *share > most) {
            return Some(format!(
                "{} of {} requests failed, at most {} may",
                short(share),
                short(requests),
                short(most)
            ));
        }
    }
    let enough = evidence.scrapes >= FEWEST_SCRAPES;
    let slow = [seen.typical_latency, seen.least_recent_latency].into_iter().flatten();
    slow.filter(|p95| enough && *p95 > s.spec.p95_ms)
        .map(|p95| format!("p95 {} ms, at most {}", short(p95), short(s.spec.p95_ms)))
        .next()
}

/// The champion gets its template of before back; the route follows in the next step, if it is still out.
fn revert(s: &Situation, why: String) -> Step {
    let Some(previous) = s.memory.previous.clone() else {
        let text = format!("{why}; but what ran before is not known");
        return Step::wait(s, Reason::WatchFailed, text, "a person");
    };
    draft::revert(s, previous, Reason::WatchFailed, why)
}

/// The watch is over when its time is, with fresh evidence and enough of it.
fn watched(draft: &mut Draft<'_>, champion: &Contestant) -> Step {
    let s = draft.s;
    if let Some(step) = speaks(draft) {
        return step;
    }
    let until = s.memory.until.unwrap_or(s.now);
    let seen = &s.evidence.champion;
    if s.now < until {
        let text = left(s, until, "the watch");
        draft.wait("Time", &text);
        return Step::wait(s, Reason::Collecting, format!("watched after the promotion, {text} left"), text);
    }
    let least = s.spec.min_samples_shadow;
    let enough = seen.requests >= f64::from(least) && s.evidence.scrapes >= FEWEST_SCRAPES;
    if !enough {
        let text = format!("{} of {least} requests, {} scrapes", short(seen.requests), s.evidence.scrapes);
        draft.wait("Samples", &text);
        return Step::wait(
            s,
            Reason::TooFewSamples,
            format!("watched on: {text}"),
            format!("{least} requests"),
        );
    }
    let next = Memory {
        stage: Stage::Promoted,
        since: Some(s.now),
        until: None,
        last_good: Some(champion.revision()),
        ..s.memory.clone()
    };
    let text = format!("the watch is served out: {} requests", short(seen.requests));
    draft.yes("Watch", &text);
    Step::go(Plan::Nothing, next, Reason::WatchPassed, text)
}
