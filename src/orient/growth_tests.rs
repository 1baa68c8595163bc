//! Goldens, monotonicity, and that nothing overflows or is made of what is no share.

use proptest::prelude::*;

use super::*;

fn near(found: Option<f64>, wanted: f64) {
    let found = found.unwrap();
    assert!((found - wanted).abs() < 5e-7, "{found} is not {wanted}");
}

fn caos(c: f64, a: f64, o: f64, s: f64) -> Caos {
    Caos { c, a, o, s }
}

const SAMPLE: Linf = Linf { rsi: 0.6, synergy: 0.6, novelty: 0.5, stability: 0.7, viability: 0.8, cost: 0.2 };

#[test]
fn caos_goldens() {
    let even = caos(0.6, 0.6, 0.6, 0.6);
    near(caos_phi(even, KAPPA, GAMMA), 0.361_616);
    near(caos_phi(even, 2.0, GAMMA), 0.097_309);
    near(caos_phi(caos(1.0, 1.0, 1.0, 1.0), KAPPA, GAMMA), 0.909_091);
    near(caos_phi(caos(0.88, 0.4, 0.35, 0.82), KAPPA, GAMMA), 0.290_503);
    near(caos_exponential(even, 2.0), 1.215_599);
    near(caos_exponential(even, 20.0), 2.132_912);
}

#[test]
fn harmonic_goldens() {
    near(sr([0.8, 1.0, 0.7, 0.6], true), 0.803_059);
    assert_eq!(sr([0.8, 1.0, 0.7, 0.6], false), Some(0.0), "ethics vetoes");
    assert_eq!(sr([0.8, 0.0, 0.7, 0.6], true), Some(0.0));
    near(even(&[0.8, 0.7, 0.9, 0.6]), 0.733_091);
    near(even(&[0.9; 8]), 0.9);
    assert_eq!(even(&[]), None, "the mean of nothing is no number");
}

#[test]
fn linf_goldens() {
    near(linf(&SAMPLE, 0.0, true), 0.624_071);
    near(linf(&SAMPLE, COST_FACTOR, true), 0.611_714);
    assert_eq!(linf(&SAMPLE, COST_FACTOR, false), Some(0.0));
    assert_eq!(linf(&Linf { novelty: 0.0, ..SAMPLE }, COST_FACTOR, true), Some(0.0), "a zero part is 0");
    assert_eq!(linf(&Linf { cost: 1.0, ..SAMPLE }, COST_FACTOR, true), Some(0.0));
}

#[test]
fn the_score_counts_cost_against() {
    near(score([0.8, 0.9, 0.2, 0.7], &ScoreWeights::default()), 0.24 + 0.18 + 0.24 + 0.14);
    near(score([1.0, 1.0, 0.0, 1.0], &ScoreWeights::default()), 1.0);
    near(score([1.0, 1.0, 1.0, 1.0], &ScoreWeights::default()), 0.7);
    let ScoreWeights { u, s, c, l } = ScoreWeights::default();
    assert!((u + s + c + l - 1.0).abs() < 1e-12);
}

#[test]
fn alpha_is_damped_by_both() {
    near(alpha(0.1, 0.361_616, 0.803_059), 0.029_039_9);
    assert_eq!(alpha(0.1, 0.0, 1.0), Some(0.0));
    assert_eq!(alpha(-0.1, 0.5, 0.5), None);
}

/// Each quantity with one part replaced.
fn all_with(bad: f64) -> Vec<Option<f64>> {
    let mut found = Vec::new();
    for i in 0..4 {
        let mut four = [0.5; 4];
        four[i] = bad;
        let [c, a, o, s] = four;
        found.push(caos_phi(caos(c, a, o, s), KAPPA, GAMMA));
        found.push(caos_exponential(caos(c, a, o, s), KAPPA));
        found.push(sr(four, true));
        found.push(score(four, &ScoreWeights::default()));
        found.push(even(&four));
    }
    for change in [
        |l: &mut Linf, bad| l.rsi = bad,
        |l: &mut Linf, bad| l.synergy = bad,
        |l: &mut Linf, bad| l.novelty = bad,
        |l: &mut Linf, bad| l.stability = bad,
        |l: &mut Linf, bad| l.viability = bad,
        |l: &mut Linf, bad| l.cost = bad,
    ] {
        let mut parts = SAMPLE;
        change(&mut parts, bad);
        found.push(linf(&parts, COST_FACTOR, true));
    }
    found.push(alpha(0.1, bad, 0.5));
    found.push(alpha(0.1, 0.5, bad));
    found
}

#[test]
fn what_is_no_share_gives_no_quantity() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.1, -f64::MIN_POSITIVE, 1.000_001] {
        assert!(all_with(bad).iter().all(Option::is_none), "{bad}: {:?}", all_with(bad));
    }
    assert!(all_with(0.3).iter().all(Option::is_some), "the control");
    for bad in [f64::NAN, -1.0, f64::INFINITY] {
        assert_eq!(caos_phi(caos(0.5, 0.5, 0.5, 0.5), bad, GAMMA), None);
        assert_eq!(caos_phi(caos(0.5, 0.5, 0.5, 0.5), KAPPA, bad), None);
        assert_eq!(linf(&SAMPLE, bad, true), None);
        assert_eq!(harmonic(&[(bad, 0.5)]), None);
    }
}

#[test]
fn the_largest_parameters_do_not_overflow() {
    let ones = caos(1.0, 1.0, 1.0, 1.0);
    let phi = caos_phi(ones, f64::MAX, f64::MAX.sqrt()).unwrap();
    assert!((0.0..1.0).contains(&phi), "{phi}");
    assert!(caos_exponential(ones, f64::MAX).unwrap().is_finite());
    assert_eq!(even(&[f64::MIN_POSITIVE, 1.0]).map(|mean| mean > 0.0), Some(true));
    assert_eq!(even(&[5e-324, 1.0]), Some(0.0), "1/5e-324 is infinite, so the mean is 0 and no NaN");
}

proptest! {
    #[test]
    fn phi_lies_in_its_range_and_rises_in_every_part(
        parts in prop::array::uniform4(0.0..=1.0_f64), i in 0..4_usize, up in 0.0..=1.0_f64,
        kappa in 0.0..=1e6_f64,
    ) {
        let phi = |[c, a, o, s]: [f64; 4]| caos_phi(caos(c, a, o, s), kappa, GAMMA).unwrap();
        let mut more = parts;
        more[i] = up.max(parts[i]);
        prop_assert!((0.0..1.0).contains(&phi(parts)));
        prop_assert!(phi(more) >= phi(parts) - 1e-15);
    }

    #[test]
    fn harmonic_means_lie_between_least_and_most_and_rise(
        parts in prop::collection::vec(0.0..=1.0_f64, 1..9), i in 0..9_usize, up in 0.0..=1.0_f64,
    ) {
        let mean = even(&parts).unwrap();
        let least = parts.iter().copied().fold(1.0, f64::min);
        let most = parts.iter().copied().fold(0.0, f64::max);
        prop_assert!(mean >= least - 1e-12 && mean <= most + 1e-12, "{} of {:?}", mean, parts);
        let mut more = parts.clone();
        let i = i % parts.len();
        more[i] = up.max(parts[i]);
        prop_assert!(even(&more).unwrap() >= mean - 1e-12);
    }

    #[test]
    fn linf_rises_with_each_part_and_falls_with_cost(
        parts in prop::array::uniform6(0.0..=1.0_f64), i in 0..6_usize, up in 0.0..=1.0_f64,
    ) {
        let of = |[rsi, synergy, novelty, stability, viability, cost]: [f64; 6]| {
            linf(&Linf { rsi, synergy, novelty, stability, viability, cost }, COST_FACTOR, true).unwrap()
        };
        let mut better = parts;
        better[i] = if i == 5 { up.min(parts[5]) } else { up.max(parts[i]) };
        prop_assert!((0.0..=1.0).contains(&of(parts)));
        prop_assert!(of(better) >= of(parts) - 1e-12);
    }
}
