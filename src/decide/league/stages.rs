//! From rest through shadow and canary: who may begin, what a stage asks of the challenger, and what ends it.

use jiff::Timestamp;

use super::draft::{Draft, Fault, Step, later, over};
use super::situation::{Contestant, Memory, Plan, Reason, Situation, Split, Stage, Who};
use super::traffic::{self, MIRRORED, by_route, canary_replicas, canary_split};
use super::{EXTENSIONS, FEWEST_SCRAPES};
use crate::decide::gate::GateAnswer;
use crate::decide::identity;
use crate::decide::view::short;
use crate::orient::Verdict;
use crate::orient::trial::{Evidence, Seen, Weighed};

/// No league runs: brings back what is still out, else begins one if there is a new challenger.
pub(super) fn at_rest(draft: &mut Draft<'_>) -> Step {
    let s = draft.s;
    if let Some(back) = traffic::home(s, &s.memory) {
        return back;
    }
    match may_begin(s) {
        Ok((champion, challenger)) => {
            draft.yes("Start", &format!("a new template, {}", challenger.template));
            begin(s, champion, challenger)
        }
        Err(step) => {
            draft.no("Start", &step.reasoning);
            *step
        }
    }
}

/// The two sides, where a league of them may begin.
fn may_begin(s: &Situation) -> Result<(&Contestant, &Contestant), Box<Step>> {
    let wait = |reason, text: &str, on: &str| Err(Box::new(Step::wait(s, reason, text.to_owned(), on)));
    let Some(champion) = &s.champion else {
        return wait(Reason::ChampionGone, "there is no champion", "the champion's Deployment");
    };
    let Some(challenger) = &s.challenger else {
        return wait(Reason::NoChallenger, "there is no challenger", "");
    };
    if challenger.template == champion.template {
        return wait(Reason::NoChallenger, "the challenger has the champion's template", "");
    }
    if s.memory.failed.contains(&challenger.template) {
        let text = format!("template {} has failed before", challenger.template);
        return wait(Reason::NotTriedAgain, &text, "another template of the challenger");
    }
    if let Some(until) = s.memory.rest_until.filter(|until| *until > s.now) {
        return wait(Reason::Resting, "the last league ended a short while ago", &left(s, until, "rest"));
    }
    if champion.failing || !champion.settled || champion.ready < 1 {
        let text = format!("the champion is not well: {}", state(champion));
        return wait(Reason::ChampionTrouble, &text, "a champion that serves");
    }
    if challenger.failing {
        return wait(
            Reason::ChallengerFailing,
            "the challenger's pods fail",
            "pods of the challenger that run",
        );
    }
    // A mirror copies every request that it may, so the challenger must carry what the champion does.
    let needed = champion.ready.max(1);
    if by_route(s) && !(challenger.settled && challenger.ready >= needed) {
        let text = format!("the challenger is not ready to be mirrored to: {}", state(challenger));
        return wait(Reason::ChallengerNotReady, &text, &format!("{needed} ready pods of the challenger"));
    }
    if !by_route(s) && !s.calm {
        return wait(Reason::NotCalm, "effort is not calm enough for a new canary", "calm");
    }
    Ok((champion, challenger))
}

fn begin(s: &Situation, champion: &Contestant, challenger: &Contestant) -> Step {
    let parts = [s.object.uid.as_str(), "run", &champion.template, &challenger.template];
    let mut next = Memory {
        run: Some(identity::of(s.now, &parts)),
        champion_template: Some(champion.template.clone()),
        challenger_template: Some(challenger.template.clone()),
        previous: Some(champion.revision()),
        baseline: None,
        omega_before: None,
        rest_until: None,
        ..enter(s, Stage::Shadow, s.spec.shadow_seconds)
    };
    let what = format!("template {} against {}", challenger.template, champion.template);
    if by_route(s) {
        next.expected = Some(MIRRORED);
        let text = format!("a league begins, {what}: mirrored for {} s", s.spec.shadow_seconds);
        return Step::go(Plan::Route(MIRRORED), next, Reason::LeagueStarted, text);
    }
    let replicas = canary_replicas(s);
    next.stage = Stage::Canary;
    next.until = Some(later(s.now, s.spec.canary_seconds));
    next.expected_replicas = Some(replicas);
    let text = format!(
        "a league begins by replica share (no route: no shadow, no exact share), {what}: {replicas} replicas of the \
         challenger beside {} of the champion",
        champion.desired
    );
    let plan = Plan::Share { deployment: Who::Challenger, replicas };
    Step::go(plan, next, Reason::LeagueStarted, text)
}

/// Memory at the beginning of a stage.
fn enter(s: &Situation, stage: Stage, seconds: u32) -> Memory {
    Memory {
        stage,
        since: Some(s.now),
        until: Some(later(s.now, seconds)),
        extensions: 0,
        ..s.memory.clone()
    }
}

/// A write of ours that was carried out and not remembered leads from shadow to canary, whatever the evidence says
/// by now; so does a person who does exactly the same.
pub(super) fn led_on(s: &Situation, seen: Split) -> Option<Step> {
    let on = s.memory.stage == Stage::Shadow && seen == canary_split(s);
    on.then(|| to_canary(s, format!("the route is at {} already", traffic::text(seen))))
        .map(|step| Step { plan: Plan::Nothing, ..step })
}

/// The shadow stage: mirrored traffic.
pub(super) fn shadow(draft: &mut Draft<'_>) -> Step {
    if let Some(step) = sides(draft).or_else(|| speaks(draft)).or_else(|| worse(draft)) {
        return step;
    }
    let s = draft.s;
    let found = exam(draft, s.spec.min_samples_shadow, |_| Ok(()));
    if let Some(step) = timed(draft, s.spec.shadow_seconds, found) {
        return step;
    }
    if !s.calm {
        draft.wait("Calm", "effort is not calm enough for a new canary");
        let text = "the shadow stage is passed; effort is not calm enough for a new canary";
        return Step::wait(s, Reason::NotCalm, text.into(), "calm");
    }
    to_canary(s, format!("the shadow stage is passed: {}", numbers(s)))
}

fn to_canary(s: &Situation, why: String) -> Step {
    let split = canary_split(s);
    let next = Memory { expected: Some(split), ..enter(s, Stage::Canary, s.spec.canary_seconds) };
    Step::go(Plan::Route(split), next, Reason::ShadowPassed, why)
}

/// The canary stage: a small share of the traffic.
pub(super) fn canary(draft: &mut Draft<'_>) -> Step {
    let s = draft.s;
    let known = |of: &Option<String>| of.clone();
    if let (Some(champion), Some(to)) = (&s.champion, known(&s.memory.challenger_template))
        && champion.template == to
        && s.memory.champion_template.as_ref() != Some(&to)
    {
        return promoted(s, "the champion has the challenger's template already".into());
    }
    if let Some(step) = sides(draft).or_else(|| speaks(draft)).or_else(|| worse(draft)) {
        return step;
    }
    let found = exam(draft, s.spec.min_samples_canary, growth_and_verdict);
    if let Some(step) = timed(draft, s.spec.canary_seconds, found) {
        return step;
    }
    let (Some(from_template), Some(to_template)) =
        (known(&s.memory.champion_template), known(&s.memory.challenger_template))
    else {
        return Step::wait(
            s,
            Reason::Undecided,
            "the league's templates are not known".into(),
            "a new league",
        );
    };
    let step = promoted(s, format!("the canary stage is passed: {}", numbers(s)));
    Step { plan: Plan::Promote { from_template, to_template }, ..step }
}

pub(super) fn promoted(s: &Situation, why: String) -> Step {
    let next = Memory {
        until: None,
        baseline: Some(s.evidence.clone()),
        omega_before: s.omega,
        ..enter(s, Stage::Promote, 0)
    };
    Step::go(Plan::Nothing, next, Reason::Promoted, why)
}

/// Whether both sides are still those that the league began with, and able to go on.
fn sides(draft: &mut Draft<'_>) -> Option<Step> {
    let s = draft.s;
    let end = |draft: &mut Draft<'_>, rule: &str, reason, fault, text: String| {
        draft.yes(rule, &text);
        Some(over(s, reason, fault, text))
    };
    let Some(champion) = &s.champion else {
        return end(draft, "Champion", Reason::ChampionGone, Fault::Other, "the champion is gone".into());
    };
    if Some(&champion.template) != s.memory.champion_template.as_ref() {
        let text = format!("somebody changed the champion's template to {}", champion.template);
        return end(draft, "Champion", Reason::ChampionChanged, Fault::Other, text);
    }
    if champion.failing || champion.ready < 1 {
        let text = format!("the champion itself is in trouble: {}", state(champion));
        return end(draft, "Champion", Reason::ChampionTrouble, Fault::Other, text);
    }
    let Some(challenger) = &s.challenger else {
        return end(
            draft,
            "Challenger",
            Reason::ChallengerGone,
            Fault::Other,
            "the challenger is gone".into(),
        );
    };
    if Some(&challenger.template) != s.memory.challenger_template.as_ref() {
        let text = format!("the challenger has another template, {}", challenger.template);
        let mut step = over(s, Reason::ChallengerChanged, Fault::Other, text.clone());
        // The new template has had no league, so there is nothing to rest from.
        step.next.rest_until = None;
        draft.yes("Challenger", &text);
        return Some(step);
    }
    if challenger.failing {
        let text = format!("the challenger's pods fail: {}", state(challenger));
        return end(draft, "Challenger", Reason::ChallengerFailing, Fault::Challenger, text);
    }
    if challenger.desired < 1 {
        // By replica share a new league would scale it up again, against whoever scaled it down.
        let fault = if by_route(s) { Fault::Other } else { Fault::Challenger };
        return end(
            draft,
            "Challenger",
            Reason::ChallengerNotReady,
            fault,
            "the challenger was scaled to 0".into(),
        );
    }
    if challenger.ready < 1 {
        let text = format!("the challenger has no ready pod: {}", state(challenger));
        if by_route(s) {
            return end(draft, "Challenger", Reason::ChallengerNotReady, Fault::Other, text);
        }
        // Behind one Service a pod that is not ready gets no traffic, and does no harm.
        draft.wait("Challenger", &text);
        return Some(Step::wait(s, Reason::ChallengerNotReady, text, "a ready pod of the challenger"));
    }
    None
}

/// Whether there is fresh evidence at all: of the champion, which always has traffic.
pub(super) fn speaks(draft: &mut Draft<'_>) -> Option<Step> {
    let s = draft.s;
    let silent = silent(s, of_stage(s).map(|evidence| &evidence.champion));
    if silent.is_empty() {
        return None;
    }
    let text = format!("no fresh {} of the champion", silent.join(", "));
    draft.wait("Fresh", &text);
    Some(Step::wait(s, Reason::NoFreshEvidence, format!("holds: {text}"), text.replacen("no ", "", 1)))
}

/// The evidence, if it is of this stage: what came before it counts for nothing.
pub(super) fn of_stage(s: &Situation) -> Option<&Evidence> {
    let (from, since) = s.evidence.from.zip(s.memory.since)?;
    (from > since).then_some(&s.evidence)
}

/// Signals of one side that are not fresh.
fn silent(s: &Situation, seen: Option<&Seen>) -> Vec<&'static str> {
    let fresh = |at: Option<Timestamp>| {
        at.is_some_and(|at| {
            let age = s.now.duration_since(at).as_secs_f64();
            // A clock may be a little ahead, as with every reading.
            (-5.0..=f64::from(s.max_age_seconds)).contains(&age)
        })
    };
    [
        ("requests", seen.and_then(|seen| seen.requests_at)),
        ("errors", seen.and_then(|seen| seen.errors_at)),
        ("latency", seen.and_then(|seen| seen.latency_at)),
    ]
    .into_iter()
    .filter_map(|(name, at)| (!fresh(at)).then_some(name))
    .collect()
}

/// Worse ends it at once, whatever the time.
pub(super) fn worse(draft: &mut Draft<'_>) -> Option<Step> {
    let evidence = of_stage(draft.s)?;
    let signals = [
        ("errors", &evidence.errors, Reason::ErrorsWorse),
        ("latency", &evidence.latency, Reason::LatencyWorse),
    ];
    for (name, weighed, reason) in signals {
        if weighed.verdict == Verdict::Worse {
            let text =
                format!("{name} of the challenger are worse: {}; {}", proof(weighed), numbers(draft.s));
            draft.yes("Worse", &text);
            return Some(over(draft.s, reason, Fault::Challenger, text));
        }
    }
    let text = format!(
        "e-values of errors {}, of latency {}",
        short(evidence.errors.e_worse),
        short(evidence.latency.e_worse)
    );
    draft.no("Worse", &text);
    None
}

fn proof(weighed: &Weighed) -> String {
    format!("e-value {} after {} looks", short(weighed.e_worse), weighed.looks)
}

/// What an exam of a stage can come to, apart from a pass.
pub(super) enum Trouble {
    /// Not shown yet: more time may help.
    Short(Reason, String),
    /// Shown to be below the bar.
    Fails(Reason, Fault, String),
}

/// Samples, errors and what else the stage asks for.
fn exam(
    draft: &mut Draft<'_>,
    least: u32,
    more: impl Fn(&mut Draft<'_>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let s = draft.s;
    let challenger = &s.evidence.challenger;
    let quiet = silent(s, of_stage(s).map(|evidence| &evidence.challenger));
    if !quiet.is_empty() {
        let text = format!("no fresh {} of the challenger", quiet.join(", "));
        draft.wait("Samples", &text);
        return Err(Trouble::Short(Reason::TooFewSamples, text));
    }
    let text = format!("{} of {least} requests", short(challenger.requests));
    // Comparisons are asked so that NaN does not pass.
    let enough = challenger.requests >= f64::from(least);
    if !enough {
        draft.wait("Samples", &text);
        return Err(Trouble::Short(Reason::TooFewSamples, text));
    }
    draft.yes("Samples", &text);
    let share = challenger.errors.unwrap_or(f64::NAN);
    let text = format!("{} of requests failed, at most {} may", short(share), short(s.spec.error_max));
    let few = share <= s.spec.error_max;
    if !few {
        draft.no("Errors", &text);
        if s.evidence.champion.errors.is_some_and(|own| own > s.spec.error_max) {
            let text = format!("{text}; the champion's own are too many as well");
            return Err(Trouble::Fails(Reason::ChampionTrouble, Fault::Other, text));
        }
        return Err(Trouble::Fails(Reason::ErrorMax, Fault::Challenger, text));
    }
    draft.yes("Errors", &text);
    more(draft)
}

/// What the canary stage asks for beside.
fn growth_and_verdict(draft: &mut Draft<'_>) -> Result<(), Trouble> {
    let s = draft.s;
    let evidence = &s.evidence;
    let challenger = &evidence.challenger;
    let bar = s.spec.p95_ms;
    let (typical, least) = (challenger.typical_latency, challenger.least_recent_latency);
    let text = format!("p95 {} ms, at most {}", short(typical.unwrap_or(f64::NAN)), short(bar));
    let (Some(typical), Some(least), true) = (typical, least, evidence.scrapes >= FEWEST_SCRAPES) else {
        draft.wait("Latency", &text);
        return Err(Trouble::Short(
            Reason::TooFewSamples,
            format!("{} scrapes of both sides", evidence.scrapes),
        ));
    };
    if !(typical <= bar && least <= bar) {
        draft.no("Latency", &text);
        return Err(Trouble::Fails(Reason::P95, Fault::Challenger, text));
    }
    draft.yes("Latency", &text);
    if s.linf_configured {
        growth(draft)?;
    }
    for (name, weighed) in [("errors", &evidence.errors), ("latency", &evidence.latency)] {
        if weighed.verdict != Verdict::NotWorse {
            let text = format!("{name} are not shown to be as good: e-value {}", short(weighed.e_not_worse));
            draft.wait("Verdict", &text);
            return Err(Trouble::Short(Reason::Undecided, text));
        }
    }
    draft.yes("Verdict", "neither errors nor latency are worse");
    let text = format!("the gate says {}", s.gate.as_str());
    if s.gate != GateAnswer::Admit {
        draft.wait("Gate", &text);
        return Err(Trouble::Short(Reason::GateNotAdmit, text));
    }
    draft.yes("Gate", &text);
    Ok(())
}

/// L∞ must have grown, by enough and above the champion's.
fn growth(draft: &mut Draft<'_>) -> Result<(), Trouble> {
    let s = draft.s;
    let (old, new) = (&s.evidence.champion, &s.evidence.challenger);
    let (Some(gain), Some(own), Some(other)) = (s.evidence.delta_linf, new.linf, old.linf) else {
        draft.wait("Linf", "no fresh L∞ of both");
        return Err(Trouble::Short(Reason::TooFewSamples, "no fresh L∞ of both".into()));
    };
    let text = format!(
        "L∞ {} against {}, a gain of {}; {} is asked for",
        short(own),
        short(other),
        short(gain),
        short(s.delta_linf_min)
    );
    if !(gain >= s.delta_linf_min && own > other) {
        draft.no("Linf", &text);
        return Err(Trouble::Fails(Reason::LinfTooSmall, Fault::Challenger, text));
    }
    draft.yes("Linf", &text);
    Ok(())
}

/// `None` when the stage is passed; else what the time says of its exam.
fn timed(draft: &mut Draft<'_>, seconds: u32, found: Result<(), Trouble>) -> Option<Step> {
    let s = draft.s;
    let whole = later(s.memory.since.unwrap_or(s.now), seconds);
    let until = s.memory.until.unwrap_or(whole).max(whole);
    let collecting = |draft: &mut Draft<'_>, end: Timestamp| {
        let text = left(s, end, s.memory.stage.as_str());
        draft.wait("Time", &text);
        let reasoning = format!("{} stage, {text} left: {}", s.memory.stage.as_str(), numbers(s));
        Some(Step::wait(s, Reason::Collecting, reasoning, text))
    };
    if s.now < whole {
        return collecting(draft, whole);
    }
    match found {
        Ok(()) => None,
        Err(_) if s.now < until => collecting(draft, until),
        Err(Trouble::Fails(reason, fault, text)) => Some(over(s, reason, fault, text)),
        Err(Trouble::Short(reason, text)) if s.memory.extensions < EXTENSIONS => {
            let mut next = s.memory.clone();
            next.extensions += 1;
            next.until = Some(later(s.now, seconds.max(s.interval_seconds).max(1)));
            let reasoning = format!("extended, {} of {EXTENSIONS} ({reason:?}): {text}", next.extensions);
            Some(Step::go(Plan::Nothing, next, Reason::Extended, reasoning))
        }
        Err(Trouble::Short(reason, text)) => {
            let text = format!("{text}, also after {EXTENSIONS} extensions");
            Some(over(s, reason, Fault::Challenger, text))
        }
    }
}

/// What has been seen of both sides, for people.
pub(super) fn numbers(s: &Situation) -> String {
    let of = |seen: &Seen| {
        let known = |value: Option<f64>| value.map_or("unknown".to_owned(), short);
        let slow = seen.slow.map_or(String::new(), |share| format!(", {} slow", short(share)));
        format!(
            "{} requests, {} failed{slow}, p95 {} ms",
            short(seen.requests),
            known(seen.errors),
            known(seen.typical_latency)
        )
    };
    format!("challenger {}; champion {}", of(&s.evidence.challenger), of(&s.evidence.champion))
}

fn state(of: &Contestant) -> String {
    let failing = if of.failing { ", failing" } else { "" };
    let settled = if of.settled { "" } else { ", rolling out" };
    format!("{} of {} ready{settled}{failing}", of.ready, of.desired)
}

pub(super) fn left(s: &Situation, until: Timestamp, of: &str) -> String {
    format!("{} s of {of}", short(until.duration_since(s.now).as_secs_f64().max(0.0)))
}
