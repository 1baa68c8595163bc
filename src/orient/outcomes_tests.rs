use proptest::prelude::*;

use super::*;

fn near(found: Option<f64>, wanted: f64) {
    let found = found.unwrap();
    assert!((found - wanted).abs() < 1e-12, "{found} instead of {wanted}");
}

/// `positive` of `n` answers of a group.
fn answers(group: &str, positive: usize, n: usize) -> Vec<(&str, bool)> {
    (0..n).map(|i| (group, i < positive)).collect()
}

#[test]
fn calibration_of_one_bin_is_the_gap_between_confidence_and_success() {
    let sure: Vec<(f64, bool)> = (0..100).map(|i| (0.75, i < 60)).collect();
    near(calibration_error(&sure, 20), 0.15);
    let perfect: Vec<(f64, bool)> = (0..100).map(|i| (0.75, i < 75)).collect();
    near(calibration_error(&perfect, 20), 0.0);
}

#[test]
fn calibration_weighs_bins_by_their_samples() {
    // 30 of confidence .9 of which 21 are right (gap .2), 10 of confidence .15 of which 4 are (gap .25).
    let mut both: Vec<(f64, bool)> = (0..30).map(|i| (0.9, i < 21)).collect();
    both.extend((0..10).map(|i| (0.15, i < 4)));
    near(calibration_error(&both, 20), 0.75 * 0.2 + 0.25 * 0.25);
}

#[test]
fn calibration_errors_of_one_bin_do_not_cancel_those_of_another() {
    let mut both: Vec<(f64, bool)> = (0..50).map(|_| (0.95, false)).collect();
    both.extend((0..50).map(|_| (0.05, true)));
    near(calibration_error(&both, 20), 0.95);
}

#[test]
fn the_edges_of_the_range_have_their_bins() {
    near(calibration_error(&[(1.0, true), (0.0, false)], 2), 0.0);
    near(calibration_error(&[(1.0, false), (0.0, true)], 2), 1.0);
}

#[test]
fn calibration_is_undecided_on_too_little_or_nonsense() {
    assert_eq!(calibration_error(&[(0.5, true); 19], 20), None);
    assert_eq!(calibration_error(&[], 0), None);
    for odd in [f64::NAN, f64::INFINITY, -0.1, 1.1] {
        assert_eq!(calibration_error(&[(odd, true), (0.5, true)], 1), None, "{odd}");
    }
}

#[test]
fn bias_and_fairness_of_two_groups() {
    // Rates .5 and .25, of all .375: r = 4/3 and 2/3.
    let both = [answers("a", 10, 20), answers("b", 5, 20)].concat();
    near(rho_bias(&both), 1.5);
    near(fairness(&both), 0.75);
    let even = [answers("a", 10, 20), answers("b", 15, 30)].concat();
    near(rho_bias(&even), 1.0);
    near(fairness(&even), 1.0);
}

#[test]
fn groups_that_cannot_be_compared_leave_both_undecided() {
    let few = [answers("a", 10, 20), answers("b", 15, 30), answers("c", 4, 9)].concat();
    let one = answers("a", 10, 40);
    for undecided in [few, one, Vec::new()] {
        assert_eq!((rho_bias(&undecided), fairness(&undecided)), (None, None));
    }
    let none_of_b = [answers("a", 10, 20), answers("b", 0, 20)].concat();
    assert_eq!(rho_bias(&none_of_b), None, "no bound");
    near(fairness(&none_of_b), 0.5);
    let none = [answers("a", 0, 20), answers("b", 0, 20)].concat();
    assert_eq!(rho_bias(&none), None);
    near(fairness(&none), 1.0);
}

#[test]
fn one_no_is_no_consent_and_silence_is_none() {
    assert_eq!(consent([true, true]), Some(1.0));
    assert_eq!(consent([true, false, true]), Some(0.0));
    assert_eq!(consent([]), None);
}

#[test]
fn a_footprint_is_a_finite_sum() {
    near(footprint([0.25, 0.5, 0.0]), 0.75);
    assert_eq!(footprint([]), None);
    assert_eq!(footprint([f64::MAX, f64::MAX]), None);
    assert_eq!(footprint([f64::NAN]), None);
}

#[test]
fn a_geometric_series_has_its_own_ratio_and_no_width() {
    let falling: Vec<f64> = (0..30).map(|i| 8.0 * libm::pow(0.5, f64::from(i))).collect();
    near(contractivity(&falling, 20), 0.5);
    let scaled: Vec<f64> = falling.iter().map(|risk| 1e9 * risk).collect();
    near(contractivity(&scaled, 20), 0.5);
}

#[test]
fn the_bound_is_students() {
    // Ratios in turn 2/3 and 2/3 ± .1: mean m, and the interval of 20 of them.
    let ratios: Vec<f64> = (0..20).map(|i| if i % 2 == 0 { 0.6 } else { 0.8 }).collect();
    let mut risks = vec![1.0];
    for ratio in &ratios {
        risks.push(risks.last().unwrap() * ratio);
    }
    // t(.95; 19) = 1.729133; s² = 20·.01/19.
    let wanted = 0.7 + 1.729_133 * libm::sqrt(0.2 / 19.0 / 20.0);
    assert!((contractivity(&risks, 20).unwrap() - wanted).abs() < 1e-6);
    for (freedom, wanted) in [(5.0, 2.015_048), (10.0, 1.812_461), (100.0, 1.660_234)] {
        assert!((student95(freedom) - wanted).abs() < 1e-3 * wanted, "{freedom}");
    }
}

#[test]
fn a_risk_that_does_not_fall_is_not_contractive() {
    assert!(contractivity(&[1.0; 40], 20).unwrap() >= 1.0);
    let noise: Vec<f64> = (0..200).map(|i| if i % 3 == 0 { 1.5 } else { 0.5 }).collect();
    assert!(contractivity(&noise, 20).unwrap() > 1.0);
}

#[test]
fn contractivity_without_a_ratio_is_undecided() {
    assert_eq!(contractivity(&[1.0; 20], 20), None, "19 ratios");
    assert_eq!(contractivity(&[0.0; 40], 20), None, "nothing moved");
    let mut risen = vec![0.5; 30];
    risen.extend([0.0, 0.5]);
    assert_eq!(contractivity(&risen, 20), None, "from nothing to something");
    let mut gone = vec![1.0; 30];
    gone.extend([0.0; 30]);
    assert!(contractivity(&gone, 20).is_some(), "falling to 0 and staying there is fine");
    for odd in [f64::NAN, f64::INFINITY, -1.0] {
        let mut risks = vec![1.0; 30];
        risks[7] = odd;
        assert_eq!(contractivity(&risks, 20), None, "{odd}");
    }
}

proptest! {
    #[test]
    fn figures_stay_in_their_ranges(
        labelled in prop::collection::vec((0.0..=1.0_f64, any::<bool>()), 1..300),
        grouped in prop::collection::vec((0..3_usize, any::<bool>()), 0..300),
        risks in prop::collection::vec(0.0..10.0_f64, 0..60),
    ) {
        let error = calibration_error(&labelled, 1).unwrap();
        prop_assert!((0.0..=1.0).contains(&error));
        let answers: Vec<(&str, bool)> = grouped.iter().map(|(g, p)| (["a", "b", "c"][*g], *p)).collect();
        if let Some(bias) = rho_bias(&answers) {
            prop_assert!(bias >= 1.0 && bias.is_finite());
        }
        if let Some(fair) = fairness(&answers) {
            prop_assert!((0.0..=1.0).contains(&fair));
        }
        if let Some(bound) = contractivity(&risks, 2) {
            prop_assert!(bound >= 0.0 && bound.is_finite());
        }
    }

    #[test]
    fn the_order_of_samples_does_not_matter(grouped in prop::collection::vec((0..2_usize, any::<bool>()), 40..120)) {
        let answers: Vec<(&str, bool)> = grouped.iter().map(|(g, p)| (["a", "b"][*g], *p)).collect();
        let turned: Vec<(&str, bool)> = answers.iter().rev().copied().collect();
        prop_assert_eq!(rho_bias(&answers), rho_bias(&turned));
        prop_assert_eq!(fairness(&answers), fairness(&turned));
    }
}
