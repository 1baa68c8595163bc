use super::*;
use crate::decide::situation::Decision;
use crate::decide::testing::{Story, at, because, expect};
use crate::decide::{Version, decide_by};
use jiff::SignedDuration;

/// Five replicas under a hundred requests a second, of which the forecast needs four.
fn spare() -> Story {
    Story::new().fresh(SignalName::THROUGHPUT, 100.0).needs_for_long(4)
}

/// The story goes on after a decision was carried out, at another need and load.
fn goes_on(story: &Story, decision: &Decision, minutes: i64, needs: i32, rate: f64) -> Story {
    let later = story.after(decision, 60 * minutes).needs(needs).fresh(SignalName::THROUGHPUT, rate);
    let now = later.s.now;
    later.memory(|m| {
        m.recommending_since = Some(now - SignedDuration::from_secs(600));
        m.recommendations = vec![(now - SignedDuration::from_secs(15), needs)];
    })
}

/// Lowered to four, taken back six minutes later at a load of `rate`, and again not needed for long.
fn taken_back(rate: f64) -> (Story, Decision) {
    let story = spare();
    let lower = story.decide();
    expect(&lower, Action::ScaleDown, "Surplus");
    let story = goes_on(&story, &lower, 6, 5, rate);
    let raise = story.decide();
    expect(&raise, Action::ScaleUp, "Forecast");
    (story, raise)
}

#[test]
fn what_had_to_be_taken_back_is_not_tried_again_at_that_load() {
    let (story, raise) = taken_back(100.0);
    let known = &raise.memory.regrets.too_few;
    assert_eq!(known.iter().map(|k| (k.replicas, k.load.throughput)).collect::<Vec<_>>(), [(4, Some(100.0))]);
    let later = goes_on(&story, &raise, 20, 4, 100.0);
    let held = later.decide();
    expect(&held, Action::Noop, "TooFewBefore");
    assert_eq!(
        because(&held, Action::ScaleDown),
        "needs 4 of 5, but 4 were too few for 100 requests a second"
    );
    // The rules of before would go down again.
    expect(&decide_by(Version::Three, &later.s), Action::ScaleDown, "Surplus");
}

#[test]
fn less_load_or_another_day_allows_it() {
    let (story, raise) = taken_back(100.0);
    let mean = |rate| {
        goes_on(&story, &raise, 20, 4, rate).memory(|m| {
            m.regrets.usual = Some((at(0), Load { throughput: Some(rate), work: None }));
        })
    };
    expect(&mean(91.0).decide(), Action::Noop, "TooFewBefore");
    expect(&mean(89.0).decide(), Action::ScaleDown, "Surplus");
    let next_day = goes_on(&story, &raise, 24 * 60, 4, 100.0);
    expect(&next_day.decide(), Action::ScaleDown, "Surplus");
}

#[test]
fn a_limit_that_the_owner_lowers_holds_all_the_same() {
    let (story, raise) = taken_back(100.0);
    let lowered = goes_on(&story, &raise, 20, 3, 100.0).with(|s| s.spec.max_replicas = 4);
    expect(&lowered.decide(), Action::ScaleDown, "AboveMax");
}

#[test]
fn a_load_that_has_grown_is_no_regret() {
    let (_, raise) = taken_back(111.0);
    assert!(raise.memory.regrets.too_few.is_empty() && raise.memory.regrets.lowered.is_none());
    let (_, raise) = taken_back(109.0);
    assert_eq!(raise.memory.regrets.too_few.len(), 1);
}

#[test]
fn noise_is_no_growth() {
    let story = spare();
    let lower = story.decide();
    let noisy = goes_on(&story, &lower, 6, 5, 100.0).estimate(SignalName::THROUGHPUT, 120.0, 0.0, 5.0);
    assert_eq!(noisy.decide().memory.regrets.too_few.len(), 1, "120 ± 5 may be 110");
}

#[test]
fn a_count_set_by_hand_or_a_new_revision_ends_it() {
    let (story, raise) = taken_back(100.0);
    let rolled =
        goes_on(&story, &raise, 20, 4, 100.0).workload(|w| w.current.pod_template_hash = "new".into());
    assert!(rolled.decide().memory.regrets.too_few.is_empty());
    let lower = spare().decide();
    let edited = goes_on(&spare(), &lower, 6, 7, 100.0).replicas(6);
    assert_eq!(edited.decide().memory.regrets.lowered, None);
}

#[test]
fn a_suspected_revision_or_a_pool_teaches_nothing_and_no_gain_is_withdrawn() {
    let mut m = spare().decide().memory.as_ref().clone();
    let lowered = m.regrets.lowered.expect("lowered");
    m.regrets.learn(lowered);
    m.regrets.withdraw(lowered.at);
    assert!(m.regrets.too_few.is_empty());
}

#[test]
fn the_list_says_each_thing_once_and_is_bounded() {
    let load = |rate: f64| Load { throughput: Some(rate), work: None };
    let tested = |replicas, rate| Tested { at: at(0), replicas, load: load(rate) };
    let mut regrets = Regrets::default();
    for (replicas, rate) in [(4, 100.0), (4, 120.0), (3, 90.0), (2, 200.0), (5, 95.0)] {
        regrets.learn(tested(replicas, rate));
    }
    // Five are too few for 95: so are four, and that four were for 100 says nothing more; three were for 90 already.
    let said: Vec<_> = regrets.too_few.iter().map(|k| (k.replicas, k.load.throughput)).collect();
    assert_eq!(said, [(3, Some(90.0)), (5, Some(95.0))]);
    for replicas in 6..60 {
        regrets.learn(tested(replicas, 100.0 * f64::from(replicas)));
    }
    assert_eq!((regrets.too_few.len(), regrets.too_few.last().map(|k| k.replicas)), (MOST, Some(59)));
    regrets.forget(at(0) + SignedDuration::from_hours(24));
    assert!(regrets.too_few.is_empty());
}

#[test]
fn a_retune_rests_the_longer_the_more_steps_were_in_vain() {
    let rests = |steps, parameters| Regrets { vain_steps: steps, ..Regrets::default() }.rest(parameters);
    assert_eq!([0, 2, 3, 4, 10].map(|steps| rests(steps, 1)), [1.0, 1.0, 2.0, 4.0, 256.0]);
    assert_eq!([4, 5].map(|steps| rests(steps, 2)), [1.0, 2.0]);
    assert!(rests(u32::MAX, 1).is_finite());
}
