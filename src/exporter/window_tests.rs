use proptest::prelude::*;

use super::super::event::read;
use super::*;
use crate::orient::tail::expected_shortfall;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_900_000_000 + second).unwrap()
}

fn event(text: &str) -> Event {
    read(text.as_bytes(), &[], at(1_000_000)).unwrap()
}

fn psi(psi: f64) -> Event {
    event(&format!("{{\"psi\": {psi}}}"))
}

fn window(settings: Settings) -> Window {
    Window::new(settings)
}

#[test]
fn the_golden_window() {
    let psis = [
        0.95, 0.9, 0.85, 0.8, 1.0, 0.7, 0.6, 0.92, 0.88, 0.3, 0.97, 0.93, 0.91, 0.86, 0.82, 0.78, 0.99, 0.65,
        0.94, 0.89, 0.5, 0.96, 0.9, 0.87, 0.83,
    ];
    let mut window = window(Settings::default());
    for (i, value) in psis.iter().enumerate() {
        let score = window.score();
        assert_eq!(score.samples, i);
        if i < 20 {
            assert_eq!((score.cvar, score.omega), (None, None), "{i} events carry no tail");
        }
        assert_eq!(score.psi.is_some(), i > 0);
        window.push(&psi(*value), at(0));
    }
    let score = window.score();
    assert!((score.psi.unwrap() - 0.828).abs() < 1e-12);
    assert!((score.cvar.unwrap() - 0.66).abs() < 1e-12);
    assert!((score.omega.unwrap() - 0.564).abs() < 1e-12);
    let (low, high) = window.cvar_interval().unwrap();
    assert!(low <= 0.66 && high >= 0.66 - 1e-12);
}

#[test]
fn an_event_that_is_not_approved_counts() {
    let mut window = window(Settings::default());
    for _ in 0..99 {
        window.push(&psi(1.0), at(0));
    }
    assert_eq!(window.score().cvar, Some(0.0));
    window.push(&psi(0.0), at(0));
    assert!((window.score().cvar.unwrap() - 0.2).abs() < 1e-12, "one of the five worst");
    assert!((window.score().psi.unwrap() - 0.99).abs() < 1e-12);
}

#[test]
fn nothing_is_absent_and_what_is_old_is_absent_too() {
    let settings = Settings { max_age: Some(SignedDuration::from_secs(120)), ..Settings::default() };
    let mut window = window(settings);
    assert_eq!(window.figures(at(0)), Figures::default());
    for _ in 0..30 {
        let said =
            r#"{"psi":1,"consent":true,"ecoKg":0.5,"risk":1,"outcome":{"confidence":1,"correct":true}}"#;
        window.push(&event(said), at(0));
    }
    let fresh = window.figures(at(120));
    assert_eq!((fresh.score.psi, fresh.age_seconds), (Some(1.0), Some(120.0)));
    assert_eq!((fresh.ece, fresh.consent, fresh.eco_kg), (Some(0.0), Some(1.0), Some(15.0)));
    assert_eq!((fresh.rho, fresh.labelled), (Some(1.0), 30));
    let old = window.figures(at(121));
    let score = Score { samples: 30, ..Score::default() };
    assert_eq!(old, Figures { score, age_seconds: Some(121.0), ..Figures::default() });
}

#[test]
fn groups_are_compared() {
    let mut window = window(Settings::default());
    for i in 0..20 {
        for (group, yes) in [("a", i < 10), ("b", i < 5)] {
            window.push(
                &event(&format!(r#"{{"psi":1,"outcome":{{"group":"{group}","positive":{yes}}}}}"#)),
                at(0),
            );
        }
    }
    let figures = window.figures(at(0));
    assert!((figures.rho_bias.unwrap() - 1.5).abs() < 1e-12);
    assert!((figures.fairness.unwrap() - 0.75).abs() < 1e-12);
    assert_eq!((figures.ece, figures.consent, figures.eco_kg, figures.rho), (None, None, None, None));
}

#[test]
fn one_no_takes_consent_away_until_it_leaves_the_window() {
    let mut window = window(Settings { window: 3, ..Settings::default() });
    window.push(&event(r#"{"psi":1,"consent":false}"#), at(0));
    for left in [2, 1] {
        window.push(&event(r#"{"psi":1,"consent":true}"#), at(0));
        assert_eq!(window.figures(at(0)).consent, Some(0.0), "{left} more");
    }
    window.push(&psi(1.0), at(0));
    assert_eq!(window.figures(at(0)).consent, Some(1.0));
}

#[test]
fn stress_makes_beta_from_the_calm_before_it() {
    let mut window = window(Settings { window: 1000, ..Settings::default() });
    let mut now = 0;
    for _ in 0..3 {
        for _ in 0..5 {
            window.push(&psi(0.8), at(now));
        }
        now += 1;
        assert!(!window.figures(at(now)).stress);
        for _ in 0..5 {
            window.push(&event(r#"{"psi":0.6,"stress":true,"intensity":0.5}"#), at(now));
        }
        assert!(window.figures(at(now)).stress);
        now += 100;
        window.turn(at(now));
    }
    let figures = window.figures(at(now));
    let beta = figures.resilience.beta.unwrap();
    assert!((beta.value - 0.75).abs() < 1e-12 && (beta.high - beta.low).abs() < 1e-12);
    assert_eq!((figures.stress, figures.resilience.convexity), (false, None));
    assert_eq!(figures.score.samples, 30, "stress counts in the window too");
}

#[test]
fn every_loss_is_in_one_bucket() {
    let mut window = window(Settings { window: 2, ..Settings::default() });
    for value in [1.0, 0.99, 0.5, 0.0, 0.3] {
        window.push(&psi(value), at(0));
    }
    assert_eq!(window.losses().counts, [1, 1, 0, 0, 0, 0, 0, 1, 0, 1, 1]);
    assert!((window.losses().sum - 2.21).abs() < 1e-12);
}

proptest! {
    #[test]
    fn the_window_is_its_last_events(
        psis in prop::collection::vec(0.0..=1.0_f64, 1..120),
        size in 1..60_usize,
        more in 0.0..=1.0_f64,
    ) {
        let mut window = window(Settings { window: size, ..Settings::default() });
        for value in &psis {
            window.push(&psi(*value), at(0));
        }
        let foretold = window.with(more);
        window.push(&psi(more), at(0));
        let score = window.score();
        prop_assert_eq!(foretold, score);
        let all: Vec<f64> = psis.iter().copied().chain([more]).collect();
        let last = &all[all.len().saturating_sub(size)..];
        let losses: Vec<f64> = last.iter().map(|value| 1.0 - value).collect();
        prop_assert_eq!(score.samples, last.len());
        prop_assert!((score.psi.unwrap() - last.iter().sum::<f64>() / last.len() as f64).abs() < 1e-12);
        match (score.cvar, expected_shortfall(&losses, 0.95)) {
            (Some(found), Some(wanted)) => prop_assert!((found - wanted).abs() < 1e-12),
            (found, wanted) => prop_assert_eq!(found, wanted),
        }
        prop_assert!(score.omega.is_none_or(|omega| (0.0..=1.0).contains(&omega)));
    }
}
