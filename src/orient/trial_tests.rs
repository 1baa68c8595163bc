//! What the turns of a stage say: plain cases, error rates at the edge of the null, and what may not count.

use jiff::{SignedDuration, Timestamp};

use super::super::sequential::tests::Dice;
use super::*;

fn at(turn: usize) -> Timestamp {
    "2026-01-15T03:10:00Z".parse::<Timestamp>().unwrap()
        + SignedDuration::from_secs(15 * i64::try_from(turn).unwrap())
}

fn side(requests: f64, errors: f64, latency: f64) -> Side {
    Side { requests: Some(requests), errors: Some(errors), latency: Some(latency), ..Side::default() }
}

fn turns(n: usize, mut of: impl FnMut(usize) -> (Side, Side)) -> Vec<Turn> {
    (1..=n)
        .map(|i| (at(i), of(i)))
        .map(|(at, (champion, challenger))| Turn { at, champion, challenger })
        .collect()
}

fn wave(i: usize) -> f64 {
    60.0 + 4.0 * libm::sin(i as f64 * 2.399_963)
}

/// Failures of `n` requests, each with chance `p`.
fn failed(dice: &mut Dice, n: u32, p: f64) -> f64 {
    f64::from((0..n).map(|_| u32::from(dice.uniform() < p)).sum::<u32>()) / f64::from(n)
}

#[test]
fn the_same_is_not_worse_and_plain_trouble_is_worse_soon() {
    let same = turns(120, |i| (side(700.0, 0.0, wave(i)), side(37.0, 0.0, wave(i + 7))));
    let seen = weigh(&same, 0.1, 0.05);
    assert_eq!(
        (seen.errors.verdict, seen.latency.verdict),
        (Verdict::NotWorse, Verdict::NotWorse),
        "{seen:?}"
    );
    assert_eq!((seen.scrapes, seen.challenger.requests, seen.challenger.errors), (120, 4440.0, Some(0.0)));
    assert_eq!((seen.from, seen.to), (Some(at(1)), Some(at(120))));

    let slow = turns(12, |i| (side(700.0, 0.0, wave(i)), side(37.0, 0.0, 1.5 * wave(i + 7))));
    let seen = weigh(&slow, 0.1, 0.05);
    assert_eq!(seen.latency.verdict, Verdict::Worse, "{seen:?}");
    assert_ne!(seen.errors.verdict, Verdict::Worse);

    let failing = turns(8, |i| (side(700.0, 0.0, wave(i)), side(37.0, 0.05, wave(i + 7))));
    assert_eq!(weigh(&failing, 0.1, 0.05).errors.verdict, Verdict::Worse);
}

#[test]
fn both_false_alarms_together_stay_under_alpha() {
    let runs = 400_u64;
    let alarm = |share: f64| {
        (0..runs)
            .filter(|run| {
                let mut dice = Dice(run * 7919 + 17);
                let all = turns(120, |_| {
                    let noise = |dice: &mut Dice| 60.0 * libm::exp(0.05 * dice.normal());
                    let champion = side(700.0, failed(&mut dice, 700, share), noise(&mut dice));
                    // At the edge of the null of both signals.
                    let own = (1.1 * share).max(ERRORS.rare);
                    let challenger = side(37.0, failed(&mut dice, 37, own), 1.1 * noise(&mut dice));
                    (champion, challenger)
                });
                let seen = weigh(&all, 0.1, 0.05);
                seen.errors.verdict == Verdict::Worse || seen.latency.verdict == Verdict::Worse
            })
            .count() as f64
            / runs as f64
    };
    for share in [0.0, 0.01] {
        // Three standard errors of the runs above α.
        assert!(alarm(share) <= 0.083, "{share}: {}", alarm(share));
    }
}

#[test]
fn what_is_missing_says_nothing_and_does_not_count() {
    let mut all = turns(30, |i| (side(700.0, 0.0, wave(i)), side(37.0, 0.0, wave(i + 7))));
    let whole = weigh(&all, 0.1, 0.05);
    let holes = [
        Side::default(),
        Side {
            errors: Some(f64::NAN),
            latency: Some(f64::INFINITY),
            requests: Some(-1.0),
            slow: Some(7.0),
            linf: Some(2.0),
        },
        Side { errors: Some(0.5), ..Side::default() },
        Side { requests: Some(50.0), ..Side::default() },
    ];
    for (i, hole) in holes.into_iter().enumerate() {
        all.push(Turn { at: at(31 + i), champion: side(700.0, 0.0, 60.0), challenger: hole });
    }
    let seen = weigh(&all, 0.1, 0.05);
    assert_eq!((&seen.errors, &seen.latency, seen.scrapes), (&whole.errors, &whole.latency, 30));
    assert!((seen.challenger.requests - whole.challenger.requests).abs() < 1e-9);
    assert_eq!(seen.challenger.latency_at, Some(at(30)));
    assert_eq!((seen.challenger.errors_at, seen.challenger.requests_at), (Some(at(33)), Some(at(34))));
    assert_eq!(seen.champion.latency_at, Some(at(34)));
    assert_eq!(seen.challenger.linf, None);
    let twice: Vec<Turn> = all.iter().flat_map(|turn| [turn.clone(), turn.clone()]).collect();
    assert_eq!(weigh(&twice, 0.1, 0.05), seen, "a turn seen twice tells nothing new");
    assert_eq!(weigh(&[], 0.1, 0.05), Evidence::default());
}

#[test]
fn more_failures_never_look_better() {
    let mut dice = Dice(11);
    for _ in 0..200 {
        let mut better = turns(20, |i| {
            let share = failed(&mut dice, 37, 0.02);
            (side(700.0, failed(&mut dice, 700, 0.01), wave(i)), side(37.0, share, wave(i)))
        });
        let good = weigh(&better, 0.1, 0.05);
        let which = (20.0 * dice.uniform()) as usize;
        better[which].challenger.errors = better[which].challenger.errors.map(|share| (share + 0.2).min(1.0));
        let bad = weigh(&better, 0.1, 0.05);
        assert!(bad.errors.e_worse >= good.errors.e_worse - 1e-9);
        assert!(bad.errors.e_not_worse <= good.errors.e_not_worse + 1e-9);
        assert!(bad.challenger.errors >= good.challenger.errors);
    }
}

#[test]
fn after_a_promotion_the_champion_is_held_against_itself() {
    let canary = turns(60, |i| (side(700.0, 0.0, wave(i)), side(37.0, 0.0, wave(i + 7))));
    let before = weigh(&canary, 0.1, 0.05).champion;
    let watch = |factor: f64, errors: f64| {
        let late = turns(60, |i| {
            let bad = i > 30;
            let latency = if bad { factor * wave(i) } else { wave(i) };
            (side(737.0, if bad { errors } else { 0.0 }, latency), Side::default())
        });
        weigh_after(&late, &before, 0.1, 0.05)
    };
    let fine = watch(1.0, 0.0);
    assert_eq!((fine.errors.verdict, fine.latency.verdict), (Verdict::Undecided, Verdict::Undecided));
    assert_eq!((fine.scrapes, fine.challenger.requests), (60, 0.0));
    assert_eq!(watch(1.5, 0.0).latency.verdict, Verdict::Worse);
    assert_eq!(watch(1.0, 0.02).errors.verdict, Verdict::Worse);
    let nothing = weigh_after(&canary, &Seen::default(), 0.1, 0.05);
    assert_eq!((nothing.errors.looks, nothing.latency.looks), (0, 0), "no baseline, no comparison");
}

#[test]
fn the_chernoff_bound() {
    // No failure among n: (1 − p)ⁿ = δ.
    assert!((most(0.0, 1000.0, 0.0125) - (1.0 - 0.0125_f64.powf(0.001))).abs() < 1e-9);
    assert!(most(0.01, 1e6, 0.0125) < 0.0104 && most(0.01, 1e6, 0.0125) > 0.01);
    assert!((most(0.5, 0.0, 0.0125) - 1.0).abs() < 1e-9, "no request rules nothing out");
}

#[test]
fn linf_is_gained_on_turns_that_have_both() {
    let mut all = turns(3, |_| (Side::default(), Side::default()));
    all[0].champion.linf = Some(0.5);
    all[0].challenger.linf = Some(0.6);
    all[1].challenger.linf = Some(0.9);
    all[2].champion.linf = Some(0.5);
    all[2].challenger.linf = Some(0.54);
    let seen = weigh(&all, 0.1, 0.05);
    assert!(seen.delta_linf.is_some_and(|gain| (gain - 0.07).abs() < 1e-12));
    assert_eq!((seen.champion.linf, seen.challenger.linf_at), (Some(0.5), Some(at(3))));
}

/// Slow shares beside p95 that scatter: 1.5 % of both are slow, or `own` of the challenger.
fn counted(n: usize, own: f64, seed: u64) -> Vec<Turn> {
    let mut dice = Dice(seed);
    turns(n, |_| {
        let few = 60.0 * libm::exp(0.2 * dice.normal());
        let champion = Side { slow: Some(failed(&mut dice, 700, 0.015)), ..side(700.0, 0.0, wave(n)) };
        let challenger = Side { slow: Some(failed(&mut dice, 37, own)), ..side(37.0, 0.0, few) };
        (champion, challenger)
    })
}

#[test]
fn slow_requests_that_are_counted_speak_of_the_tail() {
    let verdict = |turns: &[Turn]| weigh(turns, 0.1, 0.05).latency.verdict;
    let without = |turns: &[Turn]| {
        let blind = turns.iter().cloned().map(|mut turn| {
            (turn.champion.slow, turn.challenger.slow) = (None, None);
            turn
        });
        verdict(&blind.collect::<Vec<_>>())
    };
    let share = |of: &dyn Fn(u64) -> bool| (0..50).filter(|seed| of(*seed)).count();
    // A p95 of 37 requests scatters by a fifth: pairs alone cannot show that an equal is as good in the tail.
    let passes = share(&|seed| verdict(&counted(40, 0.015, seed)) == Verdict::NotWorse);
    let blind = share(&|seed| without(&counted(40, 0.015, seed)) == Verdict::NotWorse);
    assert!(passes > blind + 10, "{passes} of 50 beside {blind}");
    let wrong = share(&|seed| verdict(&counted(120, 0.015, seed)) == Verdict::Worse);
    assert!(wrong <= 3, "{wrong}");
    // Six times as many slow ones, at the same p95.
    let caught = share(&|seed| verdict(&counted(60, 0.09, seed)) == Verdict::Worse);
    assert!(caught >= 45, "{caught}");
    let mut all = counted(120, 0.04, 3);
    assert_ne!(verdict(&all), Verdict::NotWorse);
    // A bar that nearly every request passes says nothing of the tail: the pairs must say so as well.
    let mut low = counted(120, 0.015, 3);
    for turn in &mut low {
        (turn.champion.slow, turn.challenger.slow) = (Some(0.9), Some(0.9));
        turn.challenger.latency = turn.champion.latency.map(|p95| 1.3 * p95);
    }
    assert_ne!(verdict(&low), Verdict::NotWorse);
    // Counts of a few turns do not speak for the rest of the stage.
    all = counted(60, 0.0, 3);
    all[10..].iter_mut().for_each(|turn| turn.challenger.slow = None);
    assert_eq!(verdict(&all) == Verdict::NotWorse, without(&all) == Verdict::NotWorse);
    let seen = weigh(&counted(60, 0.04, 3), 0.1, 0.05);
    assert!(seen.challenger.slow.is_some_and(|slow| (0.02..0.06).contains(&slow)), "{:?}", seen.challenger);
}
