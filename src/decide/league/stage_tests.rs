//! From rest through shadow and canary: what begins a league, what each stage asks, and what ends it.

use super::testing::{CANARY, Story, contestant, expect, holds};
use super::traffic::{HOME, MIRRORED};
use super::{Contestant, EXTENSIONS, Plan, REST_SECONDS, Reason, Split, Stage, Who, canary_weight, release};
use crate::decide::gate::GateAnswer;
use crate::decide::testing::at;
use crate::orient::Verdict;
use crate::orient::trial::Evidence;

#[test]
fn a_new_template_begins_one_league() {
    let story = Story::rest();
    let d = story.decide();
    expect(&d, Stage::Shadow, Reason::LeagueStarted, &Plan::Route(MIRRORED));
    assert_eq!((d.next.since, d.next.until), (Some(at(0)), Some(at(300))));
    assert_eq!(d.next.previous, Some(contestant("old").revision()));
    assert_eq!(d.next.run.as_ref().map(String::len), Some(26));
    assert_eq!((d.id.len(), &d), (26, &story.decide()), "the same situation gives the same decision");
    holds(&story.clone().after(&d).later(15), Reason::NoFreshEvidence);
    let written = story.clone().split(MIRRORED).decide();
    expect(&written, Stage::Shadow, Reason::LeagueStarted, &Plan::Nothing);
    assert_eq!(written.next, d.next, "a write that is there already is only remembered");
}

#[test]
fn what_keeps_a_league_from_beginning() {
    holds(&Story::rest().with(|s| s.challenger = None), Reason::NoChallenger);
    holds(&Story::rest().with(|s| s.challenger = Some(contestant("old"))), Reason::NoChallenger);
    holds(&Story::rest().with(|s| s.champion = None), Reason::ChampionGone);
    holds(&Story::rest().with(|s| s.memory.failed = vec!["new".into()]), Reason::NotTriedAgain);
    holds(&Story::rest().with(|s| s.memory.rest_until = Some(at(1))), Reason::Resting);
    let sick = |change: fn(&mut Contestant)| Story::rest().with(|s| change(s.champion.as_mut().unwrap()));
    holds(&sick(|c| c.failing = true), Reason::ChampionTrouble);
    holds(&sick(|c| c.settled = false), Reason::ChampionTrouble);
    holds(&sick(|c| c.ready = 0), Reason::ChampionTrouble);
    let weak = |change: fn(&mut Contestant)| Story::rest().with(|s| change(s.challenger.as_mut().unwrap()));
    holds(&weak(|c| c.failing = true), Reason::ChallengerFailing);
    holds(&weak(|c| c.settled = false), Reason::ChallengerNotReady);
    holds(&weak(|c| c.ready = 3), Reason::ChallengerNotReady);
    holds(&Story::rest().split(CANARY), Reason::RouteEdited);
    holds(&Story::rest().with(|s| s.route = None), Reason::RouteUnreadable);
    let odd = Story::rest().with(|s| s.route.as_mut().unwrap().shape_ok = false);
    holds(&odd, Reason::RouteUnreadable);
}

#[test]
fn nothing_is_done_where_nothing_may_be() {
    for story in Story::every_stage().into_iter().chain([Story::rest(), Story::shares()]) {
        holds(&story.clone().with(|s| s.paused = Some("a person".into())), Reason::Paused);
        holds(&story.clone().with(|s| s.ledger_trouble = Some("full".into())), Reason::LedgerUnavailable);
        holds(&story.with(|s| s.blocked = Some("an act without outcome".into())), Reason::Blocked);
    }
}

#[test]
fn shadow_goes_on_to_canary() {
    let d = Story::shadow().decide();
    expect(&d, Stage::Canary, Reason::ShadowPassed, &Plan::Route(CANARY));
    assert_eq!((d.next.expected, d.next.until), (Some(CANARY), Some(at(600))));
    holds(&Story::shadow().after(&d), Reason::NoFreshEvidence);
    let early = Story::shadow().with(|s| {
        s.memory.since = Some(at(-299));
        s.evidence.from = Some(at(-284));
        s.memory.until = Some(at(1));
    });
    let d = holds(&early, Reason::Collecting);
    assert_eq!(d.waiting_on, ["1 s of Shadow"]);
    holds(&Story::shadow().with(|s| s.calm = false), Reason::NotCalm);
}

#[test]
fn weights_are_whole_and_sum_to_a_hundred() {
    for (weight, whole) in [(0.01, 1), (0.05, 5), (0.1, 10), (0.125, 13), (0.2, 20), (f64::NAN, 1)] {
        assert_eq!(canary_weight(weight), whole, "{weight}");
        let d = Story::shadow().with(|s| s.spec.weight = weight).decide();
        let Plan::Route(split) = d.plan else { panic!("{d:#?}") };
        assert_eq!((split.challenger, split.champion + split.challenger), (whole, 100));
    }
}

#[test]
fn canary_goes_on_to_promotion_with_everything_that_is_asked() {
    let d = Story::canary().decide();
    let plan = Plan::Promote { from_template: "old".into(), to_template: "new".into() };
    expect(&d, Stage::Promote, Reason::Promoted, &plan);
    assert_eq!((d.next.omega_before, d.next.expected), (Some(0.9), Some(CANARY)));
    assert_eq!(d.next.baseline, Some(Story::canary().s.evidence));
    let back = Story::canary().after(&d).decide();
    expect(&back, Stage::Promote, Reason::Returned, &Plan::Route(HOME));
}

#[test]
fn worse_ends_a_stage_at_once() {
    for story in [Story::shadow(), Story::canary()] {
        let story = story.with(|s| {
            s.memory.since = Some(at(-60));
            s.memory.until = Some(at(9999));
            s.evidence.from = Some(at(-45));
        });
        let errors = story.clone().with(|s| s.evidence.errors.verdict = Verdict::Worse);
        expect(&errors.decide(), Stage::RolledBack, Reason::ErrorsWorse, &Plan::Route(HOME));
        let latency = story.with(|s| s.evidence.latency.verdict = Verdict::Worse);
        let d = latency.decide();
        expect(&d, Stage::RolledBack, Reason::LatencyWorse, &Plan::Route(HOME));
        assert_eq!(d.next.failed, ["new"]);
        holds(&latency.after(&d), Reason::NotTriedAgain);
    }
}

#[test]
fn a_bar_that_is_missed_ends_the_stage_when_its_time_is_over() {
    let missed = |change: fn(&mut Evidence)| Story::canary().with(|s| change(&mut s.evidence));
    for (story, reason) in [
        (missed(|e| e.challenger.errors = Some(0.051)), Reason::ErrorMax),
        (missed(|e| e.challenger.typical_latency = Some(100.1)), Reason::P95),
        (missed(|e| e.challenger.least_recent_latency = Some(100.1)), Reason::P95),
        (missed(|e| e.delta_linf = Some(0.019)), Reason::LinfTooSmall),
        (missed(|e| e.challenger.linf = Some(0.6)), Reason::LinfTooSmall),
    ] {
        let d = story.decide();
        expect(&d, Stage::RolledBack, reason, &Plan::Route(HOME));
        assert_eq!(d.next.failed, ["new"]);
        holds(&story.with(|s| s.memory.until = Some(at(1))), Reason::Collecting);
    }
    let both = missed(|e| {
        e.challenger.errors = Some(0.06);
        e.champion.errors = Some(0.06);
    });
    let d = both.decide();
    expect(&d, Stage::RolledBack, Reason::ChampionTrouble, &Plan::Route(HOME));
    assert!(d.next.failed.is_empty(), "what fails on both sides is not the challenger's fault");
    let off =
        missed(|e| (e.delta_linf, e.challenger.linf) = (None, None)).with(|s| s.linf_configured = false);
    assert_eq!(off.decide().reason, Reason::Promoted);
}

#[test]
fn what_is_not_shown_yet_extends_a_stage_twice_and_then_goes_back() {
    let short = |change: fn(&mut crate::decide::league::Situation)| Story::canary().with(change);
    for (mut story, reason) in [
        (short(|s| s.evidence.challenger.requests = 499.0), Reason::TooFewSamples),
        (short(|s| s.evidence.errors.verdict = Verdict::Undecided), Reason::Undecided),
        (short(|s| s.evidence.latency.verdict = Verdict::Undecided), Reason::Undecided),
        (short(|s| s.evidence.delta_linf = None), Reason::TooFewSamples),
        (short(|s| s.gate = GateAnswer::Unknown), Reason::GateNotAdmit),
        (short(|s| s.gate = GateAnswer::Quarantine), Reason::GateNotAdmit),
        (short(|s| s.gate = GateAnswer::Block), Reason::GateNotAdmit),
        (short(|s| s.evidence.challenger.latency_at = None), Reason::TooFewSamples),
    ] {
        for n in 1..=EXTENSIONS {
            let d = story.decide();
            expect(&d, Stage::Canary, Reason::Extended, &Plan::Nothing);
            assert_eq!(d.next.extensions, n);
            story = story.after(&d);
            holds(&story, Reason::Collecting);
            holds(&story.clone().later(599), Reason::Collecting);
            story = story.later(600);
        }
        let d = story.decide();
        expect(&d, Stage::RolledBack, reason, &Plan::Route(HOME));
        assert_eq!((d.next.failed.len(), d.next.extensions), (1, 0));
    }
    let extended = short(|s| {
        s.memory.extensions = 1;
        s.memory.until = Some(at(500));
    });
    assert_eq!(extended.decide().reason, Reason::Promoted, "an extension need not be waited for");
}

#[test]
fn without_fresh_evidence_nothing_passes_and_nothing_ends() {
    for story in [Story::shadow(), Story::canary()] {
        let gone = story.clone().with(|s| {
            s.now = at(61);
            s.evidence.latency.verdict = Verdict::Worse;
        });
        let d = holds(&gone, Reason::NoFreshEvidence);
        assert_eq!(d.waiting_on, ["fresh requests, errors, latency of the champion"]);
        holds(&gone.with(|s| s.now = at(86_400)), Reason::NoFreshEvidence);
        holds(&story.clone().with(|s| s.evidence = Evidence::default()), Reason::NoFreshEvidence);
        let stale = story.clone().with(|s| s.memory.since = Some(at(-15)));
        assert!(stale.s.evidence.from < stale.s.memory.since);
        holds(&stale, Reason::NoFreshEvidence);
        let back = story.later(7200).decide();
        assert!(matches!(back.reason, Reason::ShadowPassed | Reason::Promoted), "it goes on: {back:#?}");
    }
}

#[test]
fn the_challenger_may_go_at_any_time() {
    for story in [Story::shadow(), Story::canary()] {
        let changed =
            |change: fn(&mut Contestant)| story.clone().with(|s| change(s.challenger.as_mut().unwrap()));
        let gone = story.clone().with(|s| s.challenger = None);
        for (case, reason, blamed) in [
            (gone, Reason::ChallengerGone, false),
            (changed(|c| c.template = "newer".into()), Reason::ChallengerChanged, false),
            (changed(|c| c.failing = true), Reason::ChallengerFailing, true),
            (changed(|c| c.desired = 0), Reason::ChallengerNotReady, false),
            (changed(|c| c.ready = 0), Reason::ChallengerNotReady, false),
        ] {
            let d = case.decide();
            expect(&d, Stage::RolledBack, reason, &Plan::Route(HOME));
            assert_eq!(!d.next.failed.is_empty(), blamed, "{reason:?}");
            let rests = d.next.rest_until == Some(at(i64::from(REST_SECONDS)));
            assert_eq!(rests, !blamed && reason != Reason::ChallengerChanged, "{reason:?}");
        }
        let newer = changed(|c| c.template = "newer".into());
        let next = newer.clone().after(&newer.decide()).decide();
        expect(&next, Stage::Shadow, Reason::LeagueStarted, &Plan::Route(MIRRORED));
    }
}

#[test]
fn trouble_of_the_champion_ends_it_without_blame() {
    for story in [Story::shadow(), Story::canary()] {
        let changed =
            |change: fn(&mut Contestant)| story.clone().with(|s| change(s.champion.as_mut().unwrap()));
        for (case, reason) in [
            (story.clone().with(|s| s.champion = None), Reason::ChampionGone),
            (changed(|c| c.template = "other".into()), Reason::ChampionChanged),
            (changed(|c| c.failing = true), Reason::ChampionTrouble),
            (changed(|c| c.ready = 0), Reason::ChampionTrouble),
        ] {
            let d = case.decide();
            expect(&d, Stage::RolledBack, reason, &Plan::Route(HOME));
            assert!(d.next.failed.is_empty());
        }
    }
}

#[test]
fn a_route_that_somebody_edits_is_respected_and_said() {
    let edits = [
        Split { champion: 50, challenger: 50, mirror: false },
        Split { champion: 0, challenger: 100, mirror: false },
        Split { champion: 95, challenger: 5, mirror: true },
    ];
    for (story, name) in [(Story::shadow(), "100/0, mirrored"), (Story::canary(), "95/5")] {
        for edit in edits {
            let edited = story.clone().split(edit);
            let d = holds(&edited, Reason::RouteEdited);
            assert_eq!(d.waiting_on, [format!("the route at {name}")]);
            let worse = edited.with(|s| s.evidence.errors.verdict = Verdict::Worse);
            holds(&worse, Reason::RouteEdited);
        }
        assert_ne!(story.decide().plan, Plan::Nothing, "as it was left, it goes on");
        let home = story.clone().split(HOME);
        holds(&home, Reason::RouteEdited);
        let worse = home.with(|s| s.evidence.errors.verdict = Verdict::Worse).decide();
        expect(&worse, Stage::RolledBack, Reason::ErrorsWorse, &Plan::Nothing);
        let unreadable = story.with(|s| {
            s.route = None;
            s.route_trouble = Some("gone".into());
        });
        holds(&unreadable, Reason::RouteUnreadable);
    }
    let led_on = Story::shadow().split(CANARY).with(|s| s.evidence.errors.verdict = Verdict::Worse).decide();
    expect(&led_on, Stage::Canary, Reason::ShadowPassed, &Plan::Nothing);
}

#[test]
fn by_replica_share_there_is_no_shadow() {
    let story = Story::rest().with(|s| {
        s.spec.route_ref = None;
        s.route = None;
        s.challenger.as_mut().unwrap().desired = 0;
        s.challenger.as_mut().unwrap().ready = 0;
        s.champion.as_mut().unwrap().desired = 50;
    });
    let share = |replicas| Plan::Share { deployment: Who::Challenger, replicas };
    let d = story.decide();
    expect(&d, Stage::Canary, Reason::LeagueStarted, &share(3));
    assert!(d.reasoning.contains("no shadow"), "{}", d.reasoning);
    holds(&story.clone().after(&d), Reason::ChallengerNotReady);
    let few = story.clone().with(|s| s.champion.as_mut().unwrap().desired = 2);
    expect(&few.decide(), Stage::Canary, Reason::LeagueStarted, &share(1));
    holds(&story.with(|s| s.calm = false), Reason::NotCalm);

    let d = Story::shares().decide();
    assert_eq!((d.stage, d.reason), (Stage::Promote, Reason::Promoted));
    let back = Story::shares().after(&d).decide();
    expect(&back, Stage::Promote, Reason::Returned, &share(0));
    let worse = Story::shares().with(|s| s.evidence.errors.verdict = Verdict::Worse);
    expect(&worse.decide(), Stage::RolledBack, Reason::ErrorsWorse, &share(0));
    let edited = Story::shares().with(|s| s.challenger.as_mut().unwrap().desired = 3);
    holds(&edited, Reason::SharesEdited);
    let to_none = Story::shares().with(|s| s.challenger.as_mut().unwrap().desired = 0).decide();
    expect(&to_none, Stage::RolledBack, Reason::ChallengerNotReady, &Plan::Nothing);
    assert_eq!(to_none.next.failed, ["new"], "or the next league would scale it up again");
}

#[test]
fn another_way_of_dividing_the_traffic_ends_a_trial() {
    let without = Story::canary().with(|s| s.spec.route_ref = None).decide();
    expect(&without, Stage::RolledBack, Reason::SetupChanged, &Plan::Nothing);
    assert_eq!((without.next.expected, without.next.expected_replicas), (None, None));
    let with =
        Story::shares().with(|s| s.spec.route_ref.clone_from(&Story::canary().s.spec.route_ref)).split(HOME);
    expect(&with.decide(), Stage::RolledBack, Reason::SetupChanged, &Plan::Nothing);
    let watch = Story::watch().with(|s| s.spec.route_ref = None).decide();
    expect(&watch, Stage::Watch, Reason::SetupChanged, &Plan::Nothing);
}

#[test]
fn a_deleted_resource_gives_back_what_it_borrowed() {
    let d = release(&Story::canary().s).unwrap();
    assert_eq!((&d.plan, d.next.expected), (&Plan::Route(HOME), Some(HOME)));
    assert!(release(&Story::canary().after(&d).s).is_none());
    assert!(release(&Story::rest().s).is_none());
    let edited = Story::canary().split(Split { champion: 50, challenger: 50, mirror: false });
    assert!(release(&edited.s).is_none(), "what somebody else set is theirs");
    let shares = release(&Story::shares().s).unwrap();
    assert_eq!(shares.plan, Plan::Share { deployment: Who::Challenger, replicas: 0 });
}

#[test]
fn only_so_many_failures_are_remembered() {
    let mut story = Story::canary().with(|s| {
        s.memory.failed = (0..8).map(|n| format!("t{n}")).collect();
        s.evidence.errors.verdict = Verdict::Worse;
    });
    let d = story.decide();
    assert_eq!(
        (d.next.failed.len(), d.next.failed.first(), d.next.failed.last()),
        (8, Some(&"t1".into()), Some(&"new".into()))
    );
    story = story.with(|s| s.memory.failed = vec!["new".into(), "t".into()]);
    assert_eq!(story.decide().next.failed, ["t", "new"]);
}

#[test]
fn every_reason_has_its_own_name() {
    let d = Story::canary().decide();
    assert_eq!(serde_json::to_value(d.reason).unwrap(), d.reason.as_str());
    let text = serde_json::to_string(&d).unwrap();
    assert_eq!(serde_json::from_str::<super::Decision>(&text).unwrap(), d);
    let s = Story::canary().s;
    let text = serde_json::to_string(&s).unwrap();
    assert_eq!(serde_json::from_str::<super::Situation>(&text).unwrap(), s);
    assert_eq!(Stage::Watch.as_str(), "Promote");
}
