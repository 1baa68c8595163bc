//! What holds for every league, not for the examples alone.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::testing::{CANARY, Story};
use super::traffic::{HOME, MIRRORED};
use super::{Decision, Plan, Reason, Situation, Stage, decide};
use crate::decide::gate::GateAnswer;
use crate::decide::testing::at;
use crate::orient::Verdict;

const GATES: [GateAnswer; 4] =
    [GateAnswer::Admit, GateAnswer::Quarantine, GateAnswer::Block, GateAnswer::Unknown];

fn verdict(kind: u8) -> Verdict {
    match kind {
        0 => Verdict::Worse,
        1 => Verdict::Undecided,
        _ => Verdict::NotWorse,
    }
}

prop_compose! {
    /// Situations in which every rule holds now and then.
    fn situations()(
        stage in 0..6_u8, since in 0..1500_i64, until in -600..900_i64, extensions in 0..3_u32, age in 0..90_i64,
        old_age in 0..80_i64, requests in 0.0..2000.0, errors in 0.0..0.07, p95 in 40.0..130.0, gain in -0.02..0.06,
        verdicts in (0..8_u8, 0..8_u8), gate in 0..8_usize, split in 0..8_u8,
        sides in prop::collection::vec(0..40_u8, 2), share in prop::bool::weighted(0.2), calm in prop::bool::weighted(0.9),
        paused in prop::bool::weighted(0.05), failed in prop::bool::weighted(0.2),
    ) -> Situation {
        let story = match stage {
            0 => Story::rest(),
            1 => Story::shadow(),
            2 | 3 if share => Story::shares(),
            2 | 3 => Story::canary(),
            4 => Story::promote(),
            _ => Story::watch(),
        };
        story.with(|s| {
            if s.memory.since.is_some() {
                s.memory.since = Some(at(-since));
                s.memory.until = Some(at(until));
                s.evidence.from = Some(at(1 - since));
            }
            s.memory.extensions = extensions;
            s.calm = calm;
            s.paused = paused.then(|| "a person".into());
            if failed {
                s.memory.failed.push("new".into());
            }
            s.gate = GATES.get(gate).copied().unwrap_or(GateAnswer::Admit);
            let e = &mut s.evidence;
            for (seen, age) in [(&mut e.challenger, age), (&mut e.champion, old_age)] {
                seen.requests_at = seen.requests_at.map(|_| at(-age));
                seen.errors_at = seen.errors_at.map(|_| at(-age));
                seen.latency_at = seen.latency_at.map(|_| at(-age));
            }
            (e.challenger.requests, e.champion.requests) = (requests, 10.0 * requests);
            e.challenger.errors = Some(errors);
            e.champion.recent_errors = Some(errors);
            e.challenger.typical_latency = Some(p95);
            e.champion.typical_latency = Some(p95);
            e.delta_linf = Some(gain);
            e.errors.verdict = verdict(verdicts.0);
            e.latency.verdict = verdict(verdicts.1);
            if let Some(route) = &mut s.route {
                match split {
                    0 => (route.champion, route.challenger, route.mirror) = (70, 30, false),
                    1 => (route.champion, route.challenger, route.mirror) = (100, 0, true),
                    2 => route.shape_ok = false,
                    3 if s.memory.stage != Stage::Shadow => {
                        (route.champion, route.challenger, route.mirror) = (95, 5, false);
                        s.memory.expected = Some(CANARY);
                    }
                    _ => {}
                }
            }
            for (side, kind) in [&mut s.champion, &mut s.challenger].into_iter().zip(sides) {
                if kind == 0 {
                    *side = None;
                }
                if let Some(side) = side {
                    match kind {
                        1 => side.template = "other".into(),
                        2 => side.failing = true,
                        3 => side.ready = 0,
                        4 => (side.desired, side.ready) = (0, 0),
                        5 => side.settled = false,
                        6 => side.desired = 9,
                        _ => {}
                    }
                }
            }
        }).s
    }
}

fn promotes(d: &Decision) -> bool {
    matches!(d.plan, Plan::Promote { .. })
}

/// One thing of the evidence, worse.
fn worsened(mut s: Situation, what: u8, by: f64) -> Situation {
    let e = &mut s.evidence;
    match what {
        0 => e.challenger.requests -= 1000.0 * by,
        1 => e.challenger.errors = e.challenger.errors.map(|share| share + 0.1 * by),
        2 => e.challenger.typical_latency = e.challenger.typical_latency.map(|p95| p95 * (1.0 + by)),
        3 => {
            e.challenger.least_recent_latency = e.challenger.least_recent_latency.map(|p95| p95 * (1.0 + by));
        }
        4 => e.delta_linf = e.delta_linf.map(|gain| gain - 0.1 * by),
        5 => e.errors.verdict = if by > 0.5 { Verdict::Worse } else { Verdict::Undecided },
        6 => e.latency.verdict = if by > 0.5 { Verdict::Worse } else { Verdict::Undecided },
        7 => e.challenger.errors_at = None,
        8 => e.champion.latency_at = None,
        9 => e.scrapes = 0,
        _ => s.gate = GateAnswer::Unknown,
    }
    s
}

#[test]
fn the_situations_reach_every_way_on_and_out() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    let mut promotions = 0;
    for _ in 0..20_000 {
        let d = decide(&situations().new_tree(&mut runner).unwrap().current());
        promotions += u32::from(promotes(&d));
        seen.insert(d.reason);
    }
    assert!(promotions >= 10, "{promotions}");
    for reason in [
        Reason::LeagueStarted,
        Reason::ShadowPassed,
        Reason::Promoted,
        Reason::WatchStarted,
        Reason::WatchPassed,
        Reason::WatchFailed,
        Reason::ErrorsWorse,
        Reason::LatencyWorse,
        Reason::ErrorMax,
        Reason::P95,
        Reason::LinfTooSmall,
        Reason::GateNotAdmit,
        Reason::TooFewSamples,
        Reason::Undecided,
        Reason::Extended,
        Reason::Collecting,
        Reason::NoFreshEvidence,
        Reason::RouteEdited,
        Reason::RouteUnreadable,
        Reason::Returned,
        Reason::ChallengerGone,
        Reason::ChampionChanged,
        Reason::NotTriedAgain,
        Reason::Paused,
        Reason::SharesEdited,
    ] {
        assert!(seen.contains(&reason), "{reason:?} in {seen:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_promotion_has_everything_that_is_asked(s in situations()) {
        let d = decide(&s);
        if promotes(&d) {
            let e = &s.evidence;
            prop_assert_eq!(s.memory.stage, Stage::Canary);
            prop_assert_eq!(s.gate, GateAnswer::Admit);
            prop_assert_eq!((e.errors.verdict, e.latency.verdict), (Verdict::NotWorse, Verdict::NotWorse));
            prop_assert!(e.challenger.requests >= 500.0 && e.challenger.errors.unwrap() <= 0.05);
            prop_assert!(e.challenger.typical_latency.unwrap() <= 100.0 && e.delta_linf.unwrap() >= 0.02);
            for at in [e.challenger.errors_at, e.challenger.latency_at, e.champion.errors_at, e.champion.latency_at] {
                prop_assert!(s.now.duration_since(at.unwrap()).as_secs() <= 60);
            }
            prop_assert!(s.now.duration_since(s.memory.since.unwrap()).as_secs() >= 600);
            prop_assert!(s.paused.is_none());
        }
    }

    #[test]
    fn worse_evidence_never_promotes_what_better_did_not(s in situations(), what in 0..11_u8, by in 0.0..1.0) {
        if promotes(&decide(&worsened(s.clone(), what, by))) {
            prop_assert!(promotes(&decide(&s)));
        }
    }

    #[test]
    fn what_a_decision_leaves_is_a_fixed_point(s in situations()) {
        let first = decide(&s);
        prop_assert_eq!(&first, &decide(&s));
        let mut story = Story { s }.after(&first);
        // A return of the traffic may follow a promotion or a revert, then the rollout's end its memory.
        for _ in 0..3 {
            let d = story.decide();
            if d.plan == Plan::Nothing && d.next == story.s.memory {
                return Ok(());
            }
            let follows = matches!(d.reason, Reason::Returned | Reason::LeagueStarted | Reason::WatchStarted)
                || d.plan == Plan::Nothing;
            prop_assert!(follows, "{:#?}\n{:#?}", first, d);
            story = story.after(&d);
        }
        prop_assert!(false, "no fixed point: {:#?}", story.s.memory);
    }

    #[test]
    fn a_split_is_one_of_three_and_sums_to_a_hundred(s in situations(), weight in 0.01..0.2) {
        let mut s = s;
        s.spec.weight = weight;
        if let Plan::Route(split) = decide(&s).plan {
            prop_assert_eq!(split.champion + split.challenger, 100);
            prop_assert!(split == HOME || split == MIRRORED || (split.challenger <= 20 && !split.mirror));
        }
    }

    #[test]
    fn a_route_that_is_not_as_it_was_left_is_not_written(s in situations()) {
        let d = decide(&s);
        if let (Plan::Route(_), Some(route)) = (&d.plan, &s.route) {
            let seen = (route.champion, route.challenger, route.mirror);
            let ours = s.memory.expected.unwrap_or(HOME);
            prop_assert_eq!(seen, (ours.champion, ours.challenger, ours.mirror));
            prop_assert!(route.shape_ok);
        }
    }

    #[test]
    fn without_the_champions_evidence_a_trial_neither_passes_nor_fails(s in situations()) {
        let mut s = s;
        for at in [&mut s.evidence.champion.requests_at, &mut s.evidence.champion.errors_at] {
            *at = None;
        }
        let d = decide(&s);
        prop_assert!(!promotes(&d));
        let by_evidence = [
            Reason::ErrorsWorse, Reason::LatencyWorse, Reason::ErrorMax, Reason::P95, Reason::LinfTooSmall,
            Reason::GateNotAdmit, Reason::TooFewSamples, Reason::Undecided, Reason::Extended,
        ];
        if matches!(s.memory.stage, Stage::Shadow | Stage::Canary) {
            prop_assert!(!by_evidence.contains(&d.reason), "{:?}", d.reason);
        }
        prop_assert!(d.reason != Reason::WatchPassed);
        if d.reason == Reason::ShadowPassed {
            prop_assert_eq!(s.route.map(|r| r.challenger), Some(CANARY.challenger), "only remembered");
        }
    }
}
