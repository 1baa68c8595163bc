use super::super::queue::Replica;
use super::*;

const INTERVAL: f64 = 5.0;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn limits() -> Limits {
    Limits { interval: INTERVAL, q_min: 0.001, q_max: 0.1, r_floor: 0.0, r_extra: 0.0 }
}

fn settings() -> Settings {
    Settings { interval_seconds: INTERVAL, ..Settings::default() }
}

/// Feeds `turns` of a constant total, spread over what is ready.
fn steady(demand: &mut Demand, from: i64, turns: i64, total: f64, ready: i32) {
    for i in from..from + turns {
        demand.count(ready, at(5 * i));
        demand.utilisation(total / f64::from(ready), at(5 * i), None, &limits());
    }
}

fn mean(capacity: Option<Capacity>) -> f64 {
    match capacity.expect("a model") {
        Capacity::Utilisation { mean, .. } | Capacity::Queue { mean, .. } => mean,
    }
}

#[test]
fn a_change_of_replicas_is_no_change_of_demand() {
    let mut demand = Demand::default();
    steady(&mut demand, 0, 60, 2.8, 4);
    let before = demand.capacity(at(300), 35.0, true, None, None, &settings()).unwrap();
    assert_eq!(before.needed(0.95, 100), 5);
    // Eight ready at once; the mean speaks of the first four for three turns more.
    for i in 60..90 {
        demand.count(8, at(5 * i));
        let mean = if i < 63 { 0.7 } else { 0.35 };
        demand.utilisation(mean, at(5 * i), None, &limits());
        let capacity = demand.capacity(at(5 * i), 35.0, true, None, None, &settings()).unwrap();
        assert!(
            capacity.needed(0.95, 100) <= 8,
            "turn {i}: {capacity:?} needs {}",
            capacity.needed(0.95, 100)
        );
    }
    assert!((mean(demand.capacity(at(450), 35.0, true, None, None, &settings())) - 2.8).abs() < 0.3);
}

#[test]
fn pods_with_a_series_say_how_many_the_mean_speaks_of() {
    let mut demand = Demand::default();
    steady(&mut demand, 0, 60, 2.8, 4);
    for i in 60..66 {
        demand.count(8, at(5 * i));
        demand.utilisation(0.7, at(5 * i), Some(4), &limits());
    }
    assert!((mean(demand.capacity(at(330), 35.0, true, None, None, &settings())) - 2.8).abs() < 0.05);
    // Outside a change, pods that are not scraped still carry load.
    let mut unscraped = Demand::default();
    for i in 0..20 {
        unscraped.count(4, at(5 * i));
        unscraped.utilisation(0.7, at(5 * i), Some(2), &limits());
    }
    assert!((mean(unscraped.capacity(at(100), 35.0, true, None, None, &settings())) - 2.8).abs() < 0.05);
}

#[test]
fn a_ramp_is_met_before_it_arrives() {
    let mut demand = Demand::default();
    for i in 0..60 {
        demand.count(3, at(5 * i));
        demand.utilisation(0.2 + 0.005 * i as f64, at(5 * i), None, &limits());
    }
    // Now 1.485 replicas' worth, in 60 s 1.665; falling demand counts as what it is now.
    let now = demand.capacity(at(295), 60.0, true, None, None, &settings());
    assert!((1.6..1.8).contains(&mean(now)), "{now:?}");
    for i in 60..90 {
        demand.count(3, at(5 * i));
        demand.utilisation(0.5 - 0.005 * (i - 60) as f64, at(5 * i), None, &limits());
    }
    let falling = mean(demand.capacity(at(445), 60.0, true, None, None, &settings()));
    assert!(falling > 1.0, "not the 0.9 of a minute later: {falling}");
}

/// The means that the turns of `busy` are sized for, after ten minutes of some 50 a second; `works` whether cpu shows it.
fn sized_in_a_rush(busy: &[f64], works: bool) -> Vec<f64> {
    let (mut demand, mut arrivals) = (Demand::default(), Channel::new(Motion::Trend));
    let truth = Replica::lognormal(0.05, 1.0, 4.0);
    let settings = Settings { latency_target_ms: Some(300.0), ..settings() };
    demand.look(35.0);
    let calm: Vec<f64> = (0..120).map(|i| 50.0 + f64::from((i * 7) % 11 - 5)).collect();
    let mut sized = Vec::new();
    for (i, rate) in (0..).zip(calm.iter().chain(busy).copied()) {
        demand.count(4, at(5 * i));
        let worked = if works || i < 120 { rate } else { 55.0 };
        let cpu = worked * 0.05 / 16.0;
        demand.utilisation(cpu, at(5 * i), None, &limits());
        let p95_ms = Some(1000.0 * truth.p95(4.0, worked));
        demand.service(&Work { at: at(5 * i), rate, failed: None, p95_ms, cpu: Some(cpu) }, &settings);
        arrivals.observe(rate, at(5 * i), &limits());
        demand.arrive(rate, at(5 * i), &arrivals, &limits());
        let seen = arrivals.estimate(at(5 * i), 35.0).unwrap();
        sized.push(demand.capacity(at(5 * i), 35.0, true, Some(&seen), None, &settings));
    }
    sized.split_off(120).into_iter().map(mean).collect()
}

#[test]
fn a_rush_that_nothing_foretold_is_believed_at_its_second_sample_or_where_cpu_shows_it() {
    let near = |mean: f64, rate: f64| (mean - rate).abs() < 1e-9;
    let seen = sized_in_a_rush(&[85.0, 90.0, 50.0], true);
    assert!(near(seen[0], 85.0) && near(seen[1], 90.0), "at once: {seen:?}");
    assert!(seen[2] < 70.0, "what is over is over: {seen:?}");
    let alone = sized_in_a_rush(&[85.0, 90.0, 50.0], false);
    assert!(alone[0] < 70.0 && near(alone[1], 90.0), "one sample alone may be a slip: {alone:?}");
    let slips = sized_in_a_rush(&[85.0, 50.0, 85.0, 50.0], false);
    assert!(slips.iter().all(|mean| *mean < 70.0), "{slips:?}");
    let lasting = sized_in_a_rush(&[85.0; 120], true);
    assert!(lasting.iter().all(|mean| *mean > 84.0), "a rush that lasts becomes the level: {lasting:?}");
}

#[test]
fn nothing_is_sized_on_too_little_or_on_what_is_not_fresh() {
    let mut demand = Demand::default();
    demand.utilisation(0.7, at(0), None, &limits());
    assert_eq!(demand.total().samples(), 0, "a count that is not known");
    steady(&mut demand, 0, 5, 2.0, 4);
    assert_eq!(demand.capacity(at(25), 35.0, true, None, None, &settings()), None);
    steady(&mut demand, 5, 5, 2.0, 4);
    assert!(demand.capacity(at(50), 35.0, true, None, None, &settings()).is_some());
    assert_eq!(demand.capacity(at(50), 35.0, false, None, None, &settings()), None);
    let rules = Settings { model: Model::Rules, ..settings() };
    assert_eq!(demand.capacity(at(50), 35.0, true, None, None, &rules), None);
    let mut none_ready = Demand::default();
    steady(&mut none_ready, 0, 1, 0.0, 1);
    none_ready.count(0, at(100));
    none_ready.count(0, at(200));
    none_ready.utilisation(0.0, at(200), None, &limits());
    assert_eq!(none_ready.total().samples(), 1);
}

#[test]
fn a_missed_latency_target_needs_more_than_there_is() {
    let mut demand = Demand::default();
    steady(&mut demand, 0, 60, 1.2, 4);
    let settings = Settings { latency_target_ms: Some(200.0), ..settings() };
    let needed = |reading, level| {
        let capacity = demand.capacity(
            at(300),
            35.0,
            true,
            None,
            Some(Latency { reading, level, at: at(300) }),
            &settings,
        );
        capacity.unwrap().needed(0.95, 100)
    };
    assert!(needed(100.0, 100.0) <= 4);
    assert!(needed(210.0, 205.0) > 4);
    assert!(needed(900.0, 900.0) > needed(210.0, 205.0));
    assert!(needed(900.0, 190.0) <= 4, "one slow sample is not a level");
    assert!(needed(190.0, 900.0) <= 4, "nor is the past the present");
}

#[test]
fn the_queue_answers_once_service_time_shows_and_the_larger_count_wins() {
    let truth = Replica::lognormal(0.05, 1.0, 4.0);
    let (mut demand, mut arrivals) = (Demand::default(), Channel::new(Motion::Trend));
    for i in 0..200 {
        let phase = (i % 40) as f64 / 40.0;
        let rate = 310.0 * (0.2 + 0.8 * (1.0 - (2.0 * phase - 1.0).abs()));
        demand.count(4, at(5 * i));
        demand.utilisation(0.1, at(5 * i), None, &limits());
        let p95_ms = Some(1000.0 * truth.p95(4.0, rate));
        let work = Work { at: at(5 * i), rate, failed: None, p95_ms, cpu: None };
        demand.service(&work, &settings());
        arrivals.observe(200.0, at(5 * i), &limits());
        demand.arrive(200.0, at(5 * i), &arrivals, &limits());
    }
    let seen = arrivals.estimate(at(1000), 35.0).unwrap();
    let with = |model, cpu_target, target| {
        let settings = Settings { latency_target_ms: target, model, cpu_target, ..settings() };
        demand.capacity(at(1000), 35.0, true, Some(&seen), None, &settings).unwrap()
    };
    let queue = with(Model::Auto, 0.7, Some(300.0));
    assert_eq!(queue.model(), "Queue");
    assert!((mean(Some(queue)) - 200.0).abs() < 1.0);
    let Capacity::Queue { sd, .. } = queue else { unreachable!() };
    assert!(sd >= (199.0_f64 / 30.0).sqrt() - 1e-9, "Poisson at least: {sd}");
    assert!((3..=4).contains(&queue.needed(0.95, 100)));
    // The cpu target is for where latency sizes nothing; the bound above it counts always.
    assert_eq!(with(Model::Auto, 0.02, Some(300.0)).model(), "Queue");
    let mut hot = demand.clone();
    for i in 200..300 {
        hot.count(4, at(5 * i));
        hot.utilisation(1.9, at(5 * i), None, &limits());
        arrivals.observe(200.0, at(5 * i), &limits());
        hot.arrive(200.0, at(5 * i), &arrivals, &limits());
    }
    let auto = Settings { latency_target_ms: Some(300.0), ..settings() };
    let seen = arrivals.estimate(at(1500), 35.0).unwrap();
    let sized = hot.capacity(at(1500), 35.0, true, Some(&seen), None, &auto).unwrap();
    assert_eq!((sized.model(), sized.needed(0.5, 100)), ("Utilisation", 10), "7.6 of .8 each");
    assert_eq!(with(Model::Queue, 0.02, Some(300.0)).model(), "Queue");
    assert_eq!(with(Model::Utilisation, 0.7, Some(300.0)).model(), "Utilisation");
    assert_eq!(with(Model::Queue, 0.7, None).model(), "Utilisation", "no target, no queue");
    assert_eq!(with(Model::Auto, 0.7, Some(100.0)).model(), "Utilisation", "the service alone takes .14 s");
}

#[test]
fn the_horizon_is_measured_or_said_or_assumed() {
    let s = settings();
    assert!((horizon(Some(12.0), &s) - 17.0).abs() < 1e-12);
    assert!((horizon(None, &s) - 35.0).abs() < 1e-12);
    assert!((horizon(Some(f64::NAN), &s) - 35.0).abs() < 1e-12);
    assert!((horizon(Some(1e9), &s) - 3605.0).abs() < 1e-12);
    assert!((horizon(Some(12.0), &Settings { horizon_seconds: 120.0, ..s }) - 120.0).abs() < 1e-12);
}
