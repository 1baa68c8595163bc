//! What the turns of a stage say: plain cases, error rates at the edge of the null, and what may not count.

use jiff::{SignedDuration, Timestamp};

use super::super::sequential::tests::Dice;
use super::*;

fn at(turn: usize) -> Timestamp {
    "2026-01-15T03:10:00Z".parse::<Timestamp>().unwrap()
        + SignedDuration::from_secs(15 * i64::try_from(turn).unwrap())
}

fn side(requests: f64, errors: f64, latency: f64) -> Side {
    Side { requests: Some(requests), errors: Some(errors), latency: Some(latency), linf: None }
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
                    let own = (1.1 * share).max(RARE);
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
fn a_challenger_that_fails_more_by_the_margin_is_rarely_not_worse() {
    let runs = 400_u64;
    for share in [0.0, 0.02] {
        let passed = (0..runs)
            .filter(|run| {
                let mut dice = Dice(run * 31 + 5);
                let mut sums = Failures::default();
                (0..120).any(|_| {
                    let old = Counts { requests: 700.0, failed: 700.0 * failed(&mut dice, 700, share) };
                    let new =
                        Counts { requests: 37.0, failed: 37.0 * failed(&mut dice, 37, share + EQUAL_ERRORS) };
                    sums.push(old, new, 0.1);
                    sums.not_worse() >= 20.0
                })
            })
            .count() as f64
            / runs as f64;
        assert!(passed <= 0.083, "{share}: {passed}");
    }
}

#[test]
fn how_many_requests_it_takes() {
    let clean = |n: f64| fewness(Counts { requests: n, failed: 0.0 }) * 0.5 >= 20.0;
    assert!(clean(500.0) && !clean(300.0), "nothing failed: 500 requests are enough, 300 are not");
    let until = |p: f64| {
        let mut dice = Dice(3);
        let mut sums = Failures::default();
        (1..200)
            .find(|_| {
                let old = Counts { requests: 700.0, failed: 0.0 };
                sums.push(old, Counts { requests: 37.0, failed: 37.0 * failed(&mut dice, 37, p) }, 0.1);
                sums.worse() >= 40.0
            })
            .map(|turn| turn * 37)
    };
    assert!(until(0.02).is_some_and(|requests| requests < 700), "{:?}", until(0.02));
    assert_eq!(until(0.0), None);
}

#[test]
fn closeness_is_a_likelihood_ratio_of_the_null() {
    let counts = |requests, failed| Counts { requests, failed };
    assert!(closeness(counts(0.0, 0.0), counts(0.0, 0.0)) <= 1.0, "no request, no proof");
    assert!(closeness(counts(50_000.0, 1500.0), counts(20_000.0, 600.0)) > 20.0);
    assert!(closeness(counts(50_000.0, 1500.0), counts(20_000.0, 800.0)) < 1.0);
    assert!(closeness(counts(50_000.0, 1500.0), counts(20_000.0, 20_000.0)) < 1e-9);
    // Against a grid of the null.
    let (old, new) = (counts(200.0, 7.0), counts(90.0, 2.0));
    let log = |c: Counts, p: f64| c.failed * p.ln() + (c.requests - c.failed) * (1.0 - p).ln();
    let mut best = f64::NEG_INFINITY;
    for i in 1..990 {
        for j in (i + 10)..1000 {
            best = best.max(log(old, f64::from(i) / 1000.0) + log(new, f64::from(j) / 1000.0));
        }
    }
    let mixed: f64 = {
        let n = 200_000;
        let step = 1.0 / f64::from(n);
        let density = |p: f64| {
            libm::exp(log(old, p) + log(new, p) - best) / (core::f64::consts::PI * (p * (1.0 - p)).sqrt())
        };
        (0..n).map(|i| step * density((f64::from(i) + 0.5) * step)).sum()
    };
    let found = closeness(old, new);
    assert!((found / mixed - 1.0).abs() < 0.01, "{found} {mixed}");
}

#[test]
fn what_is_missing_says_nothing_and_does_not_count() {
    let mut all = turns(30, |i| (side(700.0, 0.0, wave(i)), side(37.0, 0.0, wave(i + 7))));
    let whole = weigh(&all, 0.1, 0.05);
    let holes = [
        Side::default(),
        Side { errors: Some(f64::NAN), latency: Some(f64::INFINITY), requests: Some(-1.0), linf: Some(2.0) },
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
