use std::collections::BTreeMap;

use super::super::sequential::tests::Dice;
use super::*;
use crate::observe::workload::{Revision, Rollout};
use crate::orient::Verdict;

const ROLLOUT: i64 = 10_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn revision(hash: &str, started: i64) -> Revision {
    Revision {
        replica_set: format!("web-{hash}"),
        pod_template_hash: hash.into(),
        template: hash.into(),
        number: 1,
        started_at: at(started),
        ready: 3,
    }
}

fn workload(current: Revision, previous: Vec<Revision>) -> Workload {
    Workload {
        uid: "u".into(),
        resource_version: "1".into(),
        generation: 1,
        desired: 3,
        ready: 3,
        updated: 3,
        deployment_paused: false,
        pause_requested: false,
        fence: None,
        current,
        previous,
        rollout: Rollout::default(),
        start_seconds: Some(10.0),
        config_changed_at: None,
        other_scalers: Vec::new(),
        gitops: None,
        tunable: None,
    }
}

fn before_rollout() -> Workload {
    workload(revision("old", 0), Vec::new())
}

fn after_rollout() -> Workload {
    workload(revision("new", ROLLOUT), vec![revision("old", 0)])
}

/// A workload under comparison, one sample every five seconds.
struct Scene {
    comparer: Comparer,
    settings: Settings,
    load: Load,
}

impl Scene {
    fn new() -> Self {
        let load = Load { throughput: Some(20.0), cpu: Some(0.5), named: true, arrivals: Some(60.0) };
        Self { comparer: Comparer::default(), settings: Settings::default(), load }
    }

    fn turn(&mut self, workload: &Workload, second: i64, judged: Judged, value: f64) {
        let sample = move |j: Judged| (j == judged).then_some((value, at(second)));
        self.comparer.observe(
            Some(workload),
            sample,
            &RevisionReadings::new(),
            |_, _| None,
            self.load,
            &self.settings,
        );
    }

    /// A turn with old and new pods side by side.
    fn pair(&mut self, second: i64, judged: Judged, old: f64, new: f64) {
        let by: RevisionReadings = ["old", "new"].map(|h| (h.to_owned(), BTreeMap::new())).into();
        self.comparer.observe(
            Some(&after_rollout()),
            |_| None,
            &by,
            |j, hash| (j == judged).then_some((if hash == "new" { new } else { old }, at(second))),
            self.load,
            &self.settings,
        );
    }

    fn calm(&mut self, judged: Judged, draw: &mut dyn FnMut() -> f64) {
        for i in 0..200 {
            let value = draw();
            self.turn(&before_rollout(), ROLLOUT - 1100 + 5 * i, judged, value);
        }
    }

    fn comparison(&self, second: i64) -> Comparison {
        self.comparer.comparisons(at(second), &self.load, &self.settings).remove(0)
    }
}

fn latency(dice: &mut Dice, median: f64) -> f64 {
    median * libm::exp(0.2 * dice.normal())
}

#[test]
fn twice_the_latency_is_worse_within_fifteen_samples() {
    let mut needed = Vec::new();
    for seed in 0..50 {
        let mut dice = Dice(seed);
        let mut scene = Scene::new();
        scene.calm(Judged::Latency, &mut || latency(&mut dice, 100.0));
        let mut samples = 0;
        loop {
            samples += 1;
            let second = ROLLOUT + 5 * samples;
            scene.turn(&after_rollout(), second, Judged::Latency, latency(&mut dice, 200.0));
            let comparison = scene.comparison(second);
            assert_eq!(comparison.baseline, Baseline::Before);
            if comparison.verdict == Verdict::Worse {
                assert!(comparison.onset.is_some_and(|o| o > at(ROLLOUT)), "{comparison:?}");
                assert!(!comparison.load_explains);
                assert!((85.0..115.0).contains(&comparison.baseline_level));
                assert!((140.0..280.0).contains(&comparison.current_level));
                break;
            }
        }
        needed.push(samples);
    }
    needed.sort_unstable();
    assert!(needed[25] <= 9 && needed[47] <= 15, "{needed:?}");
}

/// Share of harmless rollouts that are ever called worse, over 200 looks each.
fn false_alarms(runs: u64, mut noise: impl FnMut(&mut Dice, f64) -> f64) -> f64 {
    let mut alarms = 0;
    for seed in 0..runs {
        let mut dice = Dice(seed * 13 + 7);
        let mut state = dice.normal();
        let mut scene = Scene::new();
        let mut draw = |dice: &mut Dice| {
            state = noise(dice, state);
            100.0 * libm::exp(0.2 * state)
        };
        scene.calm(Judged::Latency, &mut || draw(&mut dice));
        for i in 1..=200 {
            let value = draw(&mut dice);
            scene.turn(&after_rollout(), ROLLOUT + 5 * i, Judged::Latency, value);
            if scene.comparison(ROLLOUT + 5 * i).verdict == Verdict::Worse {
                alarms += 1;
                break;
            }
        }
    }
    f64::from(alarms) / runs as f64
}

#[test]
fn harmless_rollouts_are_left_alone() {
    let white = false_alarms(300, |dice, _| dice.normal());
    assert!(white <= 0.01, "white noise: {white}");
}

#[test]
fn noise_that_remembers_is_left_alone_too() {
    // φ = .8, unit variance: overlapping rate() windows of a minute read every fifteen seconds look like this
    let remembering = false_alarms(300, |dice, x| 0.8 * x + 0.6 * dice.normal());
    assert!(remembering <= 0.05, "autoregressive noise: {remembering}");
}

#[test]
fn a_baseline_of_zero_errors_has_a_margin_too() {
    let mut scene = Scene::new();
    scene.calm(Judged::Errors, &mut || 0.0);
    for i in 1..=20 {
        scene.turn(&after_rollout(), ROLLOUT + 5 * i, Judged::Errors, if i % 2 == 0 { 0.0 } else { 0.004 });
    }
    assert_eq!(scene.comparison(ROLLOUT + 100).verdict, Verdict::NotWorse, "four in a thousand is nothing");
    let mut scene = Scene::new();
    scene.calm(Judged::Errors, &mut || 0.0);
    for i in 1..=12 {
        scene.turn(&after_rollout(), ROLLOUT + 5 * i, Judged::Errors, 0.3);
    }
    let comparison = scene.comparison(ROLLOUT + 60);
    assert_eq!(comparison.verdict, Verdict::Worse);
    assert_eq!(comparison.onset, Some(at(ROLLOUT + 5)));
    assert!(comparison.e_worse >= 20.0 && comparison.e_not_worse < 1.0);
}

#[test]
fn less_omega_is_worse() {
    let mut dice = Dice(5);
    let mut scene = Scene::new();
    scene.calm(Judged::Omega, &mut || 0.93 + 0.01 * dice.normal());
    for i in 1..=12 {
        scene.turn(&after_rollout(), ROLLOUT + 5 * i, Judged::Omega, 0.6);
    }
    assert_eq!(scene.comparison(ROLLOUT + 60).verdict, Verdict::Worse);
    let mut scene = Scene::new();
    scene.calm(Judged::Omega, &mut || 0.80);
    for i in 1..=12 {
        scene.turn(&after_rollout(), ROLLOUT + 5 * i, Judged::Omega, 0.95);
    }
    assert_eq!(scene.comparison(ROLLOUT + 60).verdict, Verdict::NotWorse, "more is better");
}

#[test]
fn side_by_side_compares_with_the_old_pods_and_not_with_the_past() {
    // The load doubled for both: the past says worse, the old pods beside the new say not.
    let mut scene = Scene::new();
    let mut worse = Scene::new();
    for i in 1..=15 {
        scene.pair(ROLLOUT + 5 * i, Judged::Latency, 400.0, 405.0);
        worse.pair(ROLLOUT + 5 * i, Judged::Latency, 100.0, 200.0);
    }
    let (equal, worse) = (scene.comparison(ROLLOUT + 75), worse.comparison(ROLLOUT + 75));
    assert_eq!((equal.baseline, equal.verdict), (Baseline::SideBySide, Verdict::NotWorse));
    assert_eq!((worse.baseline, worse.verdict), (Baseline::SideBySide, Verdict::Worse));
    assert!((worse.baseline_level - 100.0).abs() < 1e-9 && (worse.current_level - 200.0).abs() < 1e-9);
    assert_eq!(worse.looks, 15);
    assert!(!worse.load_explains);
}

#[test]
fn what_differs_from_old_pods_beside_it_did_not_begin_before_the_rollout() {
    let mut scene = Scene::new();
    scene.calm(Judged::Latency, &mut || 100.0);
    for i in -5..=15 {
        let (second, workload) = (ROLLOUT + 5 * i, if i < 0 { before_rollout() } else { after_rollout() });
        scene.turn(&workload, second, Judged::Latency, 300.0);
        if i > 0 {
            scene.pair(second, Judged::Latency, 300.0, 600.0);
        }
    }
    let beside = scene.comparison(ROLLOUT + 75);
    assert_eq!((beside.verdict, beside.onset), (Verdict::Worse, Some(at(ROLLOUT + 5))));
    // Without the old pods it is the trouble of before.
    let alone = scene.comparison(ROLLOUT + 300);
    assert_eq!((alone.baseline, alone.onset), (Baseline::Before, Some(at(ROLLOUT - 25))));
}

#[test]
fn a_pair_needs_a_new_sample_of_both() {
    let mut scene = Scene::new();
    for _ in 0..20 {
        scene.pair(ROLLOUT + 5, Judged::Latency, 100.0, 200.0);
    }
    assert_eq!(scene.comparison(ROLLOUT + 5).looks, 1);
    let mut early = Scene::new();
    early.pair(ROLLOUT - 5, Judged::Latency, 100.0, 200.0);
    assert!(early.comparer.comparisons(at(ROLLOUT), &early.load, &early.settings).is_empty());
}

#[test]
fn the_window_before_speaks_when_the_old_pods_are_gone() {
    let mut dice = Dice(8);
    let mut scene = Scene::new();
    scene.calm(Judged::Latency, &mut || latency(&mut dice, 100.0));
    scene.pair(ROLLOUT + 5, Judged::Latency, 100.0, 200.0);
    assert_eq!(scene.comparison(ROLLOUT + 10).baseline, Baseline::SideBySide);
    assert_eq!(scene.comparison(ROLLOUT + 200).baseline, Baseline::Before);
}

#[test]
fn load_explains_an_excess_only_where_it_rose() {
    let mut dice = Dice(6);
    let mut scene = Scene::new();
    scene.calm(Judged::Latency, &mut || latency(&mut dice, 100.0));
    scene.turn(&after_rollout(), ROLLOUT + 5, Judged::Latency, 300.0);
    let with = |load: Load| {
        scene.comparer.comparisons(at(ROLLOUT + 5), &load, &scene.settings).remove(0).load_explains
    };
    let load = |throughput, cpu, named| Load { throughput, cpu, named, arrivals: None };
    assert!(!with(load(Some(22.0), Some(0.9), true)), "throughput says it best");
    assert!(with(load(Some(30.0), Some(0.5), true)));
    assert!(with(load(None, Some(0.9), true)), "cpu stands in");
    assert!(!with(load(None, Some(0.5), true)));
    assert!(with(load(None, None, true)), "named and not there: it might");
    assert!(!with(load(None, None, false)), "nobody measures load");
}

#[test]
fn a_new_rollout_resets_and_a_reverted_revision_sets_no_baseline() {
    let mut dice = Dice(2);
    let mut scene = Scene::new();
    scene.calm(Judged::Latency, &mut || latency(&mut dice, 100.0));
    for i in 1..=20 {
        scene.turn(&after_rollout(), ROLLOUT + 5 * i, Judged::Latency, 500.0);
    }
    assert_eq!(scene.comparison(ROLLOUT + 100).verdict, Verdict::Worse);
    let back = workload(revision("old", ROLLOUT + 101), vec![revision("new", ROLLOUT)]);
    scene.turn(&back, ROLLOUT + 105, Judged::Latency, 100.0);
    let reset = scene.comparison(ROLLOUT + 105);
    assert_eq!((reset.looks, reset.verdict), (1, Verdict::Undecided));
    assert!((reset.baseline_level - 500.0).abs() < 1e-9, "the window since the rollout before, alone");
    assert_eq!(reset.onset, None);
    // The next rollout, a minute later: the window begins at the rollback.
    for i in 2..=20 {
        scene.turn(&back, ROLLOUT + 100 + 5 * i, Judged::Latency, 100.0);
    }
    let next = workload(revision("third", ROLLOUT + 205), vec![revision("old", ROLLOUT + 101)]);
    scene.turn(&next, ROLLOUT + 210, Judged::Latency, 100.0);
    assert!((scene.comparison(ROLLOUT + 210).baseline_level - 100.0).abs() < 1e-9);
}

#[test]
fn too_small_a_window_is_no_baseline() {
    let mut scene = Scene::new();
    for i in 0..9 {
        scene.turn(&before_rollout(), ROLLOUT - 100 + 5 * i, Judged::Latency, 100.0);
    }
    scene.turn(&after_rollout(), ROLLOUT + 5, Judged::Latency, 900.0);
    assert!(scene.comparer.comparisons(at(ROLLOUT + 5), &scene.load, &scene.settings).is_empty());
    assert!(Comparer::default().comparisons(at(0), &Load::default(), &Settings::default()).is_empty());
}

#[test]
fn a_rollout_that_is_noticed_late_loses_no_sample() {
    let (mut live, mut late) = (Scene::new(), Scene::new());
    for scene in [&mut live, &mut late] {
        let mut dice = Dice(11);
        scene.calm(Judged::Latency, &mut || latency(&mut dice, 100.0));
    }
    for i in 1..=15 {
        live.turn(&after_rollout(), ROLLOUT + 5 * i, Judged::Latency, 250.0);
        let seen = if i < 10 { before_rollout() } else { after_rollout() };
        late.turn(&seen, ROLLOUT + 5 * i, Judged::Latency, 250.0);
    }
    assert_eq!(live.comparison(ROLLOUT + 75), late.comparison(ROLLOUT + 75));
}

#[test]
fn onset_is_the_first_of_the_present_run() {
    let settings = Settings { latency_target_ms: Some(150.0), ..Settings::default() };
    let mut scene = Scene { settings, ..Scene::new() };
    let mut dice = Dice(3);
    scene.calm(Judged::Latency, &mut || 100.0 + dice.normal());
    // trouble that began before the rollout is seen to have begun before it
    for (second, value) in [(-15, 300.0), (-10, 300.0), (-5, 300.0), (5, 300.0)] {
        let workload = if second < 0 { before_rollout() } else { after_rollout() };
        scene.turn(&workload, ROLLOUT + second, Judged::Latency, value);
    }
    assert_eq!(scene.comparison(ROLLOUT + 5).onset, Some(at(ROLLOUT - 15)));
    // a single slow sample just before it is noise
    let mut scene = Scene::new();
    scene.calm(Judged::Latency, &mut || 100.0);
    for (second, value) in [(-5, 300.0), (5, 300.0), (10, 300.0)] {
        let workload = if second < 0 { before_rollout() } else { after_rollout() };
        scene.turn(&workload, ROLLOUT + second, Judged::Latency, value);
    }
    assert_eq!(scene.comparison(ROLLOUT + 10).onset, Some(at(ROLLOUT + 5)));
    // two of them, and a new revision whose first sample is of the very second at which it began
    let mut scene = Scene::new();
    scene.calm(Judged::Latency, &mut || 100.0);
    for (second, value) in [(-10, 300.0), (-5, 300.0), (0, 300.0), (5, 300.0)] {
        let workload = if second < 0 { before_rollout() } else { after_rollout() };
        scene.turn(&workload, ROLLOUT + second, Judged::Latency, value);
    }
    assert_eq!(scene.comparison(ROLLOUT + 5).onset, Some(at(ROLLOUT)));
    // an established run outlives one good sample, not two
    let mut run = Run::default();
    for (second, bad, onset) in [
        (0, true, Some(0)),
        (1, false, None),
        (2, true, Some(2)),
        (3, true, Some(2)),
        (4, true, Some(2)),
        (5, false, Some(2)),
        (6, true, Some(2)),
        (7, false, Some(2)),
        (8, false, None),
    ] {
        run.push(at(second), bad);
        assert_eq!(run.onset, onset.map(at), "at {second}");
    }
}

/// 100 samples `apart` seconds, the last 20 s before the rollout, then `since`; and the same under another load.
fn seldom(apart: i64, since: &[f64], judged: Judged, base: f64, load: Load) -> Comparison {
    let mut dice = Dice(4);
    let mut scene = Scene::new();
    for i in 0..100 {
        let value = base * libm::exp(0.05 * dice.normal());
        scene.turn(
            &workload(revision("old", -200_000), Vec::new()),
            ROLLOUT - 20 - apart * (99 - i),
            judged,
            value,
        );
    }
    let current = workload(revision("new", ROLLOUT), vec![revision("old", -200_000)]);
    scene.load = load;
    let mut now = ROLLOUT - 20;
    for value in since {
        now += apart;
        scene.turn(&current, now, judged, *value);
    }
    scene.comparison(now)
}

const USUAL: Load = Load { throughput: Some(20.0), cpu: Some(0.5), named: true, arrivals: Some(60.0) };

#[test]
fn samples_minutes_apart_are_judged_by_their_size() {
    let said = |since: &[f64]| seldom(300, since, Judged::Latency, 100.0, USUAL).one_sided;
    let plain = said(&[140.0]).unwrap();
    assert!(plain.p < 0.05 && plain.samples == 1, "{plain:?}");
    assert_eq!((plain.onset, plain.after), (at(ROLLOUT + 280), at(ROLLOUT)));
    let second = said(&[104.0, 150.0]).unwrap();
    assert_eq!((second.onset, second.after, second.samples), (at(ROLLOUT + 580), at(ROLLOUT + 280), 2));
    assert!(said(&[108.0, 140.0, 140.0]).unwrap().p < plain.p);
    assert_eq!(said(&[108.0, 109.0]), None, "within the margin");
    assert_eq!(said(&[140.0, 98.0]), None, "it is over");
    let lasting = said(&[140.0, 140.0, 140.0, 140.0]).unwrap();
    assert_eq!(lasting.samples, 3, "later samples say only that it lasts");
    assert_eq!(said(&[100.0, 101.0, 99.0, 200.0]), None, "too late to be looked at");
    assert_eq!(seldom(60, &[200.0, 200.0], Judged::Latency, 100.0, USUAL).one_sided, None, "not seldom");
}

#[test]
fn a_share_of_few_requests_needs_more() {
    let errors = |arrivals| {
        let load = Load { arrivals: Some(arrivals), ..USUAL };
        seldom(300, &[0.04], Judged::Errors, 0.001, load).one_sided.unwrap().p
    };
    assert!(errors(5.0) < 0.01, "60 of 1500 requests: {}", errors(5.0));
    assert!(errors(0.1) > 0.05, "one of 30 requests: {}", errors(0.1));
}

#[test]
fn a_load_that_was_carried_well_before_explains_nothing() {
    let mut scene = Scene::new();
    let old = workload(revision("old", -200_000), Vec::new());
    for i in 0..60 {
        // High load in two of sixty samples, with the latency of all the others.
        scene.load.throughput = Some(if i >= 58 { 40.0 } else { 20.0 });
        scene.turn(&old, ROLLOUT - 300 * (60 - i), Judged::Latency, 100.0 + f64::from(i as i32 % 7));
    }
    scene.turn(&after_rollout(), ROLLOUT + 280, Judged::Latency, 160.0);
    assert!(!scene.comparison(ROLLOUT + 280).load_explains);
    scene.load.throughput = Some(60.0);
    assert!(scene.comparison(ROLLOUT + 280).load_explains, "more than was ever carried");
}
