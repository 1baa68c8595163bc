//! The eleven fail-open cases of the field, as far as they reach the league: each must refuse.

use super::testing::{Story, expect, good, holds};
use super::traffic::HOME;
use super::{Plan, Reason, Situation, Stage, decide, weigh};
use crate::decide::gate::GateAnswer;
use crate::decide::testing::at;
use crate::orient::Verdict;
use crate::orient::trial::{Evidence, Side, Turn};

fn promotes(s: &Situation) -> bool {
    matches!(decide(s).plan, Plan::Promote { .. })
}

/// The evidence of a canary stage of 60 turns, of which the challenger's side is made by `of`.
fn stage(of: impl Fn(usize) -> Side) -> Story {
    let fine = |n: usize, requests: f64| Side {
        requests: Some(requests),
        errors: Some(0.0),
        latency: Some(60.0 + (n % 5) as f64),
        ..Side::default()
    };
    Story::canary().with(|s| {
        s.linf_configured = false;
        s.memory.since = Some(at(-901));
        let turns: Vec<Turn> = (0..60)
            .map(|n| Turn { at: at(15 * n as i64 - 885), champion: fine(n, 700.0), challenger: of(n) })
            .collect();
        s.evidence = weigh(&s.memory, &turns);
    })
}

fn fine(n: usize) -> Side {
    Side {
        requests: Some(40.0),
        errors: Some(0.0),
        latency: Some(60.0 + ((n + 2) % 5) as f64),
        ..Side::default()
    }
}

#[test]
fn a_stage_with_no_evidence_at_all_does_not_pass() {
    assert!(promotes(&Story::canary().s), "the control");
    assert!(promotes(&stage(fine).s), "the control, from turns");
    for story in [Story::shadow(), Story::canary(), Story::watch()] {
        holds(&story.with(|s| s.evidence = Evidence::default()), Reason::NoFreshEvidence);
    }
}

#[test]
fn nan_passes_no_bar() {
    let nan = f64::NAN;
    let changes: [fn(&mut Evidence, f64); 6] = [
        |e, x| e.challenger.requests = x,
        |e, x| e.challenger.errors = Some(x),
        |e, x| e.challenger.typical_latency = Some(x),
        |e, x| e.challenger.least_recent_latency = Some(x),
        |e, x| e.delta_linf = Some(x),
        |e, x| e.champion.linf = Some(x),
    ];
    for change in changes {
        assert!(!promotes(&Story::canary().with(|s| change(&mut s.evidence, nan)).s));
    }
    for change in &changes[..2] {
        let d = Story::shadow().with(|s| change(&mut s.evidence, nan)).decide();
        assert_ne!(d.stage, Stage::Canary, "{}", d.reasoning);
    }
    let bar = Story::canary().with(|s| s.spec.error_max = nan);
    assert!(!promotes(&bar.s));
    assert!(!promotes(&Story::canary().with(|s| s.spec.p95_ms = nan).s));
    assert!(!promotes(&Story::canary().with(|s| s.delta_linf_min = nan).s));
}

#[test]
fn over_no_requests_nothing_is_proven() {
    let idle = stage(|n| Side { requests: Some(0.0), errors: Some(0.0), ..fine(n) });
    expect(&idle.decide(), Stage::Canary, Reason::Extended, &Plan::Nothing);
    assert_eq!(idle.s.evidence.errors.verdict, Verdict::Undecided);
    assert_eq!(weigh(&idle.s.memory, &[]), Evidence::default());
}

#[test]
fn a_stage_that_ends_early_is_no_pass() {
    let early = Story::canary().with(|s| {
        s.memory.since = Some(at(-599));
        s.memory.until = Some(at(1));
    });
    holds(&early, Reason::Collecting);
    let last = Story::canary().with(|s| {
        s.memory.extensions = 2;
        s.evidence.errors.verdict = Verdict::Undecided;
    });
    expect(&last.decide(), Stage::RolledBack, Reason::Undecided, &Plan::Route(HOME));
}

#[test]
fn empty_and_infinite_are_not_zero() {
    for errors in [None, Some(f64::NAN), Some(f64::INFINITY), Some(-0.1), Some(1.1)] {
        let story = stage(|n| Side { errors, ..fine(n) });
        assert!(!promotes(&story.s), "{errors:?}");
        assert_eq!(story.s.evidence.challenger.requests, 0.0);
    }
    for latency in [None, Some(f64::NAN), Some(f64::INFINITY), Some(-1.0)] {
        let story = stage(|n| Side { latency, ..fine(n) });
        assert!(!promotes(&story.s), "{latency:?}");
    }
}

#[test]
fn a_side_without_data_does_not_score() {
    let quiet = stage(|_| Side::default());
    expect(&quiet.decide(), Stage::Canary, Reason::Extended, &Plan::Nothing);
    let grown = Story::canary().with(|s| (s.evidence.delta_linf, s.evidence.challenger.linf) = (None, None));
    expect(&grown.decide(), Stage::Canary, Reason::Extended, &Plan::Nothing);
}

#[test]
fn of_two_answers_none_wins() {
    // Two series are no reading, so the turn has none; two turns of one time are one.
    let story = Story::canary();
    let turn = |latency| Turn { at: at(0), champion: fine(0), challenger: Side { latency, ..fine(0) } };
    let seen = weigh(&story.s.memory, &[turn(None), turn(Some(1.0))]);
    assert_eq!((seen.scrapes, seen.challenger.latency), (0, None));
}

#[test]
fn a_name_that_nothing_answers_to_is_not_skipped() {
    let story = stage(fine).with(|s| s.linf_configured = true);
    expect(&story.decide(), Stage::Canary, Reason::Extended, &Plan::Nothing);
    for gate in [GateAnswer::Unknown, GateAnswer::Quarantine, GateAnswer::Block] {
        assert!(!promotes(&Story::canary().with(|s| s.gate = gate).s), "{gate:?}");
    }
}

#[test]
fn checks_that_fail_for_ever_come_to_a_verdict_or_say_so() {
    let mut story = stage(|_| Side::default());
    let mut turns = 0;
    while story.s.memory.stage == Stage::Canary {
        let d = story.decide();
        story = story.after(&d).later(15);
        turns += 1;
        assert!(turns < 200, "no verdict");
    }
    assert_eq!(story.s.memory.reason, Some(Reason::TooFewSamples));
    for n in 1..200 {
        let gone = Story::canary().with(|s| s.now = at(60 + 15 * n));
        assert!(!holds(&gone, Reason::NoFreshEvidence).waiting_on.is_empty());
    }
}

#[test]
fn failure_after_the_promotion_still_counts() {
    for seconds in [60, 150, 299] {
        let story = Story::watch().with(|s| {
            s.memory.since = Some(at(-seconds));
            s.memory.until = Some(at(300 - seconds));
            s.evidence = good(seconds);
            s.evidence.errors.verdict = Verdict::Worse;
        });
        assert_eq!(story.decide().reason, Reason::WatchFailed);
    }
}

#[test]
fn a_check_that_cannot_be_made_is_not_passed() {
    for story in Story::every_stage() {
        holds(&story.clone().with(|s| s.ledger_trouble = Some("403".into())), Reason::LedgerUnavailable);
        holds(&story.with(|s| s.blocked = Some("an act without outcome".into())), Reason::Blocked);
    }
    let unreadable = Story::canary().with(|s| {
        s.route = None;
        s.route_trouble = Some("403".into());
    });
    holds(&unreadable, Reason::RouteUnreadable);
}
