//! Validity and power of the pairs' e-process, by seeded simulation.

use super::super::Verdict;
use super::super::sequential::tests::Dice;
use super::*;

/// Share of `runs` in which `Worse` stood at any of `looks` looks, and the mean look at which it first did.
fn alarms(
    runs: u64,
    looks: u32,
    margin: f64,
    mut draw: impl FnMut(&mut Dice, u64) -> (f64, f64),
) -> (f64, f64) {
    let (mut alarms, mut total) = (0_u32, 0_u32);
    for run in 0..runs {
        let mut dice = Dice(run * 7919 + 17);
        let mut paired = Paired::new(Margin { relative: margin, absolute: 0.0 }, 1.0);
        for _ in 0..looks {
            let (a, b) = draw(&mut dice, run);
            paired.push(a, b);
            if paired.worse.value() >= 20.0 {
                alarms += 1;
                total += paired.looks();
                break;
            }
        }
    }
    (f64::from(alarms) / runs as f64, f64::from(total) / f64::from(alarms.max(1)))
}

#[test]
fn any_time_false_alarms_stay_under_alpha() {
    let cauchy = |d: &mut Dice| libm::tan(3.1 * (d.uniform() - 0.5));
    let sparse = |d: &mut Dice| if d.uniform() < 0.9 { 0.0 } else { libm::floor(10.0 * d.uniform()) };
    let pareto = |d: &mut Dice| libm::pow(d.uniform().max(1e-12), -1.0);
    let cases: [(&str, f64); 5] = [
        ("normal", alarms(1000, 300, 0.0, |d, _| (d.normal(), d.normal())).0),
        ("cauchy", alarms(1000, 300, 0.0, |d, _| (cauchy(d), cauchy(d))).0),
        ("pareto", alarms(1000, 300, 0.0, |d, _| (pareto(d), pareto(d))).0),
        ("sparse", alarms(1000, 300, 0.0, |d, _| (sparse(d), sparse(d))).0),
        ("zeros", alarms(50, 300, 0.0, |_, _| (0.0, 0.0)).0),
    ];
    for (name, share) in cases {
        // Three standard errors of a thousand runs.
        assert!(share <= 0.05 + 0.02, "{name}: {share}");
    }
    assert!(cases[0].1 > 0.005, "a test that never fires proves nothing");
}

#[test]
fn a_regression_of_the_middle_and_one_of_the_tail_are_caught() {
    let noisy = |d: &mut Dice| 100.0 * libm::exp(0.05 * d.normal());
    let (caught, mean) = alarms(200, 400, 0.0, |d, _| (noisy(d), 1.05 * noisy(d)));
    assert!(caught >= 0.99 && mean < 25.0, "{caught} in {mean}");
    let (caught, mean) = alarms(200, 400, 0.1, |d, _| (noisy(d), 1.25 * noisy(d)));
    assert!(caught >= 0.99 && mean < 15.0, "{caught} in {mean}");
    let (caught, _) = alarms(100, 3000, 0.1, |d, _| {
        let b = noisy(d);
        (noisy(d), if b > 108.6 { 1.5 * b } else { b })
    });
    assert!(caught >= 0.95, "the top twentieth half as much again: {caught}");
}

/// .275 − .25 − .1 × .25 is no zero in binary, and neither are 123 of 590 such pairs.
#[test]
fn a_difference_of_exactly_the_margin_counts_as_equal() {
    for thousandths in 200..800 {
        let a = f64::from(thousandths) / 1000.0;
        let b = f64::from(thousandths * 11) / 10_000.0;
        for scale in [1e-9, 1.0, 1e9] {
            let mut paired = Paired::new(Margin { relative: 0.1, absolute: 0.0 }, 1.0);
            (0..100).for_each(|_| paired.push(a * scale, b * scale));
            let (worse, not_worse) = paired.typical();
            assert!(
                (worse - 1.0).abs() + (not_worse - 1.0).abs() < 1e-9,
                "{a} and {b}: {worse}, {not_worse}"
            );
        }
    }
}

#[test]
fn what_persistence_leaves_of_the_guarantee() {
    // Without passing any pair over, .8 alone raises more than half.
    for (phi, most) in [(0.3, 0.17), (0.8, 0.42)] {
        let mut state = (0_u64, 0.0, 0.0);
        let share = alarms(400, 300, 0.0, |d, run| {
            if state.0 != run + 1 {
                state = (run + 1, d.normal(), d.normal());
            }
            let spread = libm::sqrt(1.0 - phi * phi);
            state.1 = phi * state.1 + spread * d.normal();
            state.2 = phi * state.2 + spread * d.normal();
            (state.1, state.2)
        });
        assert!(share.0 <= most, "{phi}: {}", share.0);
    }
}

#[test]
fn a_pair_that_is_no_number_says_nothing() {
    let mut paired = Paired::new(Margin::default(), 1.0);
    paired.push(f64::NAN, 1.0);
    paired.push(1.0, f64::INFINITY);
    assert_eq!((paired.looks(), Verdict::of(paired.values(), 0.05)), (0, Verdict::Undecided));
    assert!((paired.values().0 - 1.0).abs() < 1e-12);
}
