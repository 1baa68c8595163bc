//! After the promotion: the rollout, the watch, and the way back.

use super::testing::{CANARY, Story, contestant, expect, holds};
use super::traffic::HOME;
use super::{Contestant, Plan, Reason, Situation, Stage};
use crate::decide::testing::at;
use crate::orient::Verdict;
use crate::orient::trial::Evidence;

fn revert() -> Plan {
    Plan::Revert(contestant("old").revision())
}

#[test]
fn the_route_returns_then_the_rollout_then_the_watch() {
    let rolling = Story::promote().with(|s| s.champion.as_mut().unwrap().settled = false);
    let out = rolling.clone().split(CANARY).with(|s| s.memory.expected = Some(CANARY));
    let d = out.decide();
    expect(&d, Stage::Promote, Reason::Returned, &Plan::Route(HOME));
    holds(&out.after(&d), Reason::RollingOut);
    let d = Story::promote().decide();
    expect(&d, Stage::Watch, Reason::WatchStarted, &Plan::Nothing);
    assert_eq!((d.next.since, d.next.until), (Some(at(0)), Some(at(300))));
    holds(&Story::promote().after(&d), Reason::NoFreshEvidence);
    let d = Story::watch().decide();
    expect(&d, Stage::Promoted, Reason::WatchPassed, &Plan::Nothing);
    assert_eq!(d.next.last_good, Some(contestant("new").revision()));
    holds(&Story::watch().after(&d), Reason::NoChallenger);
}

#[test]
fn a_watch_passes_only_with_time_and_fresh_evidence_of_enough_requests() {
    holds(&Story::watch().with(|s| s.memory.until = Some(at(1))), Reason::Collecting);
    holds(&Story::watch().with(|s| s.now = at(61)), Reason::NoFreshEvidence);
    holds(&Story::watch().with(|s| s.evidence = Evidence::default()), Reason::NoFreshEvidence);
    holds(&Story::watch().with(|s| s.evidence.champion.requests = 99.0), Reason::TooFewSamples);
    holds(&Story::watch().with(|s| s.evidence.champion.requests = f64::NAN), Reason::TooFewSamples);
    holds(&Story::watch().with(|s| s.evidence.scrapes = 2), Reason::TooFewSamples);
}

#[test]
fn what_is_bad_after_the_promotion_goes_back_in_one_act() {
    let bad: [fn(&mut Situation); 8] = [
        |s| s.champion.as_mut().unwrap().failing = true,
        |s| s.evidence.errors.verdict = Verdict::Worse,
        |s| s.evidence.latency.verdict = Verdict::Worse,
        |s| s.evidence.champion.errors = Some(0.051),
        |s| s.evidence.champion.recent_errors = Some(0.051),
        |s| s.evidence.champion.typical_latency = Some(101.0),
        |s| s.evidence.champion.least_recent_latency = Some(101.0),
        |s| {
            s.champion.as_mut().unwrap().failing = true;
            s.evidence = Evidence::default();
        },
    ];
    for change in bad {
        for story in [Story::promote(), Story::watch()] {
            let story = story.with(|s| s.memory.until = Some(at(200))).with(change);
            let d = story.decide();
            expect(&d, Stage::RolledBack, Reason::WatchFailed, &revert());
            assert_eq!(d.next.failed, ["new"]);
            holds(&story.after(&d), Reason::NotTriedAgain);
        }
    }
    let few = Story::watch().with(|s| {
        s.evidence.champion.recent_errors = Some(0.5);
        s.evidence.champion.recent_requests = 99.0;
    });
    assert_eq!(few.decide().reason, Reason::WatchPassed, "half of a few requests say little");
}

#[test]
fn a_revert_does_not_wait_for_the_route() {
    let story = Story::watch().with(|s| {
        s.evidence.errors.verdict = Verdict::Worse;
        s.route = None;
    });
    expect(&story.decide(), Stage::RolledBack, Reason::WatchFailed, &revert());
    let out = Story::promote().split(CANARY).with(|s| {
        s.memory.expected = Some(CANARY);
        s.champion.as_mut().unwrap().failing = true;
    });
    let d = out.decide();
    expect(&d, Stage::RolledBack, Reason::WatchFailed, &revert());
    let next = out.after(&d).decide();
    expect(&next, Stage::RolledBack, Reason::Returned, &Plan::Route(HOME));
    let unknown = Story::watch().with(|s| {
        s.evidence.errors.verdict = Verdict::Worse;
        s.memory.previous = None;
    });
    holds(&unknown, Reason::WatchFailed);
}

#[test]
fn somebody_elses_template_ends_the_watch() {
    for story in [Story::promote(), Story::watch()] {
        let other = story.clone().with(|s| s.champion = Some(contestant("other"))).decide();
        expect(&other, Stage::RolledBack, Reason::ChampionChanged, &Plan::Nothing);
        assert!(other.next.failed.is_empty());
        let old = story.clone().with(|s| s.champion = Some(contestant("old")));
        let d = old.decide();
        expect(&d, Stage::RolledBack, Reason::WatchFailed, &Plan::Nothing);
        assert_eq!(d.next.failed, ["new"], "whoever brought it back, it is not tried again");
        let gone = story.with(|s| s.champion = None).decide();
        expect(&gone, Stage::RolledBack, Reason::ChampionGone, &Plan::Nothing);
    }
}

#[test]
fn a_promotion_that_was_carried_out_and_forgotten_is_remembered() {
    let story =
        Story::canary().with(|s| s.champion = Some(Contestant { settled: false, ..contestant("new") }));
    let d = story.decide();
    expect(&d, Stage::Promote, Reason::Promoted, &Plan::Nothing);
    assert!(d.next.previous.is_some() && d.next.baseline.is_some());
    let back = story.after(&d).decide();
    expect(&back, Stage::Promote, Reason::Returned, &Plan::Route(HOME));
}

#[test]
fn a_route_edited_after_the_promotion_is_left_alone() {
    let odd = crate::decide::league::Split { champion: 70, challenger: 30, mirror: false };
    assert_eq!(Story::watch().split(odd).decide().reason, Reason::WatchPassed);
    let out = Story::promote().split(odd).with(|s| s.memory.expected = Some(CANARY));
    holds(&out, Reason::RouteEdited);
}
