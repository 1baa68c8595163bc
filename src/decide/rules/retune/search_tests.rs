use super::*;
use crate::decide::situation::{Action, Plan};
use crate::decide::testing::Story;
use crate::observe::reading::SignalName;
use crate::observe::workload::Tunable;

fn parameter(min: f64, max: f64, max_delta: f64) -> Parameter {
    Parameter { key: "k".into(), min, max, max_delta }
}

fn up(value: &str, of: &Parameter) -> Option<String> {
    stepped(value, of, of.max_delta, true)
}

#[test]
fn steps_stay_in_range_within_the_bound_and_free_of_binary_dust() {
    let unit = parameter(0.0, 1.0, 0.02);
    assert_eq!(up("0.1", &unit).as_deref(), Some("0.12"));
    assert_eq!(up("0.995", &unit).as_deref(), Some("1"));
    assert_eq!(up("1.0", &unit), None);
    let whole = parameter(1.0, 200.0, 0.02);
    assert_eq!(up("10", &whole).as_deref(), Some("13"), "whole steps of at most 3.98");
    assert_eq!(stepped("10", &whole, 0.002, true).as_deref(), Some("11"), "and of at least one");
    assert_eq!(up("10.5", &whole).as_deref(), Some("14.48"));
    assert_eq!(up("1e-9", &parameter(0.0, 1e-6, 0.02)).as_deref(), Some("0.000000021"));
    let odd = parameter(0.05, 0.73, 0.013);
    for start in ["0.05", "0.3", "0.7299"] {
        for up in [true, false] {
            let Some(text) = stepped(start, &odd, 0.013, up) else { continue };
            let (from, to): (f64, f64) = (start.parse().unwrap(), text.parse().unwrap());
            assert!(
                (to - from).abs() <= 0.013 * 0.68 + 1e-9 && (0.05..=0.73).contains(&to),
                "{start} {text}"
            );
        }
    }
}

#[test]
fn adagrad_starts_at_the_bound_and_shrinks() {
    let of = parameter(0.0, 1.0, 0.02);
    let mut memory = Memory::default();
    let mut steps = Vec::new();
    for _ in 0..4 {
        steps.push(share(&of, memory.retune_slopes.first()));
        learn(&mut memory, "k", -0.7);
    }
    // The second still is the bound: one slope is all there is of Σ.
    let want = [0.02, 0.02, 0.02 / 2_f64.sqrt(), 0.02 / 3_f64.sqrt()];
    assert!(steps.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-9), "{steps:?}");
    learn(&mut memory, "k", 1e-6);
    assert!((share(&of, memory.retune_slopes.first()) - 0.002).abs() < 1e-12, "never below a tenth");
    learn(&mut memory, "k", f64::INFINITY);
    let known = &memory.retune_slopes[0];
    assert!(known.squares.is_finite() && share(&of, Some(known)) <= 0.02, "{known:?}");
    let nonsense = RetuneSlope { key: "k".into(), slope: f64::NAN, squares: f64::NAN };
    assert!((share(&of, Some(&nonsense)) - 0.002).abs() < 1e-12);
}

#[test]
fn slopes_are_bounded_in_number() {
    let mut memory = Memory::default();
    for i in 0..100 {
        learn(&mut memory, &format!("k{i}"), 1.0);
    }
    assert_eq!(memory.retune_slopes.len(), MAX_SLOPES);
    assert_eq!(memory.retune_slopes.last().unwrap().key, "k99");
}

/// Lives through `turns` turns of two knobs from 0 to 1, first at .5 each; β is what `response` makes of them, known to
/// within `sd`. Gives the values at every turn.
fn live(turns: usize, sd: f64, mut response: impl FnMut(f64, f64) -> f64) -> Vec<(f64, f64)> {
    let retune = serde_json::json!({"configMapRef": {"name": "knobs"}, "settleSeconds": 120,
        "parameters": [{"key": "a", "min": 0.0, "max": 1.0}, {"key": "b", "min": 0.0, "max": 1.0}]});
    let mut story =
        Story::new().with(|s| s.spec.retune = Some(serde_json::from_value(retune).unwrap())).workload(|w| {
            w.tunable = Some(Tunable {
                name: "knobs".into(),
                resource_version: "77".into(),
                refused: None,
                values: [("a".into(), "0.5".into()), ("b".into(), "0.5".into())].into(),
            });
        });
    let mut path = Vec::new();
    for _ in 0..turns {
        let values = &story.s.observed.workload.as_ref().unwrap().tunable.as_ref().unwrap().values;
        let (a, b): (f64, f64) = (values["a"].parse().unwrap(), values["b"].parse().unwrap());
        path.push((a, b));
        let beta = response(a, b);
        story = story.fresh(SignalName::BETA, beta).estimate(SignalName::BETA, beta, -0.005, sd);
        let d = story.decide();
        assert!(matches!(d.action, Action::Noop | Action::Retune), "{d:#?}");
        if let Plan::Retune { from, to, .. } = &d.plan {
            let moved = to.parse::<f64>().unwrap() - from.parse::<f64>().unwrap();
            assert!(moved.abs() <= 0.02 + 1e-12, "{from} {to}");
        }
        story = story.after(&d, 130);
    }
    path
}

#[test]
fn a_concave_response_is_climbed() {
    // Best at a = .6, b = .42.
    let path = live(150, 0.0002, |a, b| 1.1 - 5.0 * ((a - 0.6).powi(2) + (b - 0.42).powi(2)));
    let (a, b) = path[path.len() - 1];
    assert!((a - 0.6).abs() <= 0.02 && (b - 0.42).abs() <= 0.02, "{path:?}");
    let wandered = |from: usize| {
        path[from..].iter().map(|(a, b)| (a - 0.6).abs().max((b - 0.42).abs())).fold(0.0, f64::max)
    };
    assert!(wandered(100) <= 0.04, "and it stays there: {path:?}");
}

#[test]
fn a_flat_response_moves_nothing_far() {
    let mut state = 7_u64;
    let mut noise = move || {
        // The sum of twelve uniforms less six: nearly normal.
        (0..12)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 11) as f64 / (1_u64 << 53) as f64
            })
            .sum::<f64>()
            - 6.0
    };
    let path = live(600, 0.01, |_, _| 1.1 + 0.01 * noise());
    let far = path.iter().map(|(a, b)| (a - 0.5).abs().max((b - 0.5).abs())).fold(0.0, f64::max);
    assert!(far <= 0.08, "{far}");
}
