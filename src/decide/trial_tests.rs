//! Gains of ScaleUps: what is counted, what waits for a verdict, and what ends the wait.

use super::*;
use crate::decide::situation::{Action, Decision, Plan};
use crate::decide::testing::{Story, at, because, expect};
use crate::decide::{Version, decide_by};
use crate::observe::reading::Reading;

fn requests(throughput: f64) -> Load {
    Load { throughput: Some(throughput), work: None }
}

/// A ScaleUp to five whose pods have been ready for some seconds, at 400 ms, under 100 requests a second, after one that
/// gained nothing.
fn tried(ready: i64) -> Story {
    Story::new()
        .needs(8)
        .fresh(SignalName::LATENCY, 400.0)
        .fresh(SignalName::THROUGHPUT, 100.0)
        .with(|s| s.picture.horizon_seconds = 60.0)
        .memory(|m| {
            m.fruitless = 1;
            m.scale_up_trial = Some(ScaleUpTrial {
                at: at(-ready - 60),
                ready_at: Some(at(-ready)),
                to: 5,
                before: [Some(100.0), Some(400.0), None, None],
                earlier: 0,
                goal: Some(8),
                load: Some(requests(100.0)),
            });
        })
}

/// The same while its pods start, of a ScaleUp that asked for so many.
fn starting(goal: i32) -> Story {
    tried(45).workload(|w| w.ready = 4).memory(move |m| {
        let trial = m.scale_up_trial.as_mut().unwrap();
        (trial.ready_at, trial.goal) = (None, Some(goal));
    })
}

fn trial(d: &Decision) -> &ScaleUpTrial {
    d.memory.scale_up_trial.as_ref().unwrap()
}

#[test]
fn the_load_is_compared_like_with_like() {
    let load = |throughput, work| Load { throughput, work };
    assert!(differs(load(Some(100.0), None), load(Some(111.0), None), 0.1));
    assert!(!differs(load(Some(100.0), None), load(Some(109.0), None), 0.1));
    assert!(differs(load(None, Some(2.0)), load(Some(100.0), Some(1.0)), 0.1));
    assert!(!differs(load(Some(100.0), None), load(None, Some(9.0)), 0.1), "unseen is unchanged");
}

#[test]
fn a_third_waits_for_the_verdict_on_two() {
    let d = tried(45).decide();
    expect(&d, Action::Noop, "GainUnknown");
    assert!(because(&d, Action::ScaleUp).ends_with("2 ScaleUps under the same load have shown no gain yet"));
    assert_eq!(d.waiting_on, ["their gain, for 15 s"]);
    let d = starting(7).decide();
    expect(&d, Action::Noop, "GainUnknown");
    assert_eq!(d.waiting_on, ["5 pods to be ready"]);
    let verdict = tried(60).decide();
    expect(&verdict, Action::Noop, "Fruitless");
    assert_eq!(verdict.memory.fruitless, 2);
    let unseen = tried(45).reading(SignalName::THROUGHPUT, Reading::Missing);
    expect(&unseen.decide(), Action::Noop, "GainUnknown");
    // A trouble that can be seen no longer may be there all the same.
    let hidden = tried(45).reading(SignalName::LATENCY, Reading::Missing);
    expect(&hidden.decide(), Action::Noop, "GainUnknown");
    expect(&decide_by(Version::Five, &hidden.s), Action::ScaleUp, "Forecast");
}

#[test]
fn nothing_waits_that_has_another_reason() {
    for (why, story) in [
        ("the first", tried(45).memory(|m| m.fruitless = 0)),
        ("a further step of the same", tried(29)),
        ("the same, pods under way", starting(8)),
        ("more load", tried(45).fresh(SignalName::THROUGHPUT, 112.0)),
        ("cpu above its bound", tried(45).fresh(SignalName::CPU, 0.81)),
        ("what is foreseen", tried(45).fresh(SignalName::LATENCY, 200.0)),
    ] {
        assert_eq!(story.decide().action, Action::ScaleUp, "{why}");
    }
    let below = tried(45).with(|s| s.spec.min_replicas = 6).decide();
    assert_eq!(below.plan, Plan::Scale { from: 5, to: 8 });
}

#[test]
fn one_before_the_verdict_is_counted_and_judged_with_the_first() {
    let d = tried(45).memory(|m| m.fruitless = 0).decide();
    let both = trial(&d);
    assert_eq!((both.at, both.ready_at, both.to, both.earlier), (at(0), None, 8, 1));
    assert_eq!((both.before[1], both.load), (Some(400.0), Some(requests(100.0))));
    let judged = tried(60).memory(|m| {
        m.fruitless = 0;
        m.scale_up_trial.as_mut().unwrap().earlier = 1;
    });
    assert_eq!(judged.decide().memory.fruitless, 2);
    let step = tried(29).memory(|m| m.fruitless = 0).decide();
    assert_eq!((trial(&step).earlier, trial(&step).goal), (0, Some(8)), "a limit had cut the first short");
    let more = starting(7).memory(|m| m.fruitless = 0).decide();
    assert_eq!((trial(&more).earlier, trial(&more).goal), (1, Some(8)), "more than it had asked for");
}

#[test]
fn what_version_4_remembered_it_still_remembers() {
    let s = tried(45).memory(|m| m.fruitless = 0).s;
    let d = super::super::decide_by(policy::Version::Four, &s);
    assert_eq!((trial(&d).earlier, trial(&d).load), (0, None));
}

#[test]
fn latency_alone_is_judged_too() {
    let alone = || {
        tried(60)
            .reading(SignalName::THROUGHPUT, Reading::Missing)
            .reading(SignalName::CPU, Reading::Missing)
            .memory(|m| m.latency_double = 2)
    };
    let slow = |latency| alone().fresh(SignalName::LATENCY, latency);
    let d = slow(600.0).decide();
    assert_eq!((d.memory.fruitless, d.memory.fruitless_load), (2, Some(Load::default())));
    expect(&d, Action::Noop, "Fruitless");
    assert_eq!(slow(350.0).decide().memory.fruitless, 0);
}

#[test]
fn without_a_load_it_ends_with_the_trouble() {
    let held = |latency: f64, calm: i64| {
        Story::new().fresh(SignalName::LATENCY, latency).memory(move |m| {
            (m.fruitless, m.fruitless_load) = (2, Some(Load::default()));
            m.calm_since = Some(at(-calm));
        })
    };
    let without_cpu = |story: Story| story.reading(SignalName::CPU, Reading::Missing).decide().memory;
    assert_eq!(without_cpu(held(180.0, 300)).fruitless, 0);
    assert_eq!(without_cpu(held(180.0, 299)).fruitless, 2);
    assert_eq!(without_cpu(held(400.0, 300)).fruitless, 2);
    let blind = held(180.0, 300).reading(SignalName::LATENCY, Reading::Missing);
    assert_eq!(without_cpu(blind).fruitless, 2, "unseen is not over");
    let seen = held(400.0, 0).fresh(SignalName::THROUGHPUT, 50.0).decide().memory;
    assert_eq!(
        (seen.fruitless, seen.fruitless_load),
        (2, Some(requests(50.0))),
        "the first load seen is the one to change"
    );
}

#[test]
fn cpu_says_nothing_of_the_load_before_it_speaks_of_the_new_pods() {
    let cpu = |before: i32| {
        Story::new().memory(move |m| {
            (m.fruitless, m.fruitless_load) = (2, Some(Load { throughput: None, work: Some(1.2) }));
            let template = "t-new".into();
            m.last_act = Some(crate::decide::situation::LastAct { at: at(-60), replicas: before, template });
        })
    };
    // .41 of five are 2.05; of the three before they were 1.2.
    assert_eq!(cpu(3).decide().memory.fruitless, 2);
    assert_eq!(cpu(5).decide().memory.fruitless, 0);
}
