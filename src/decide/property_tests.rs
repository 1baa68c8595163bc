//! What holds for every situation, not for the examples alone.

use proptest::prelude::*;

use super::situation::{Action, Plan, Proof, RetuneTrial, ScaleUpTrial, SeenTarget, Situation};
use super::testing::{Story, at, revision};
use super::{Decision, GateView, decide, policy};
use crate::api::scaling::{Enforcement, Mode};
use crate::observe::reading::{Reading, SignalName};
use crate::observe::workload::Tunable;
use crate::orient::capacity::Capacity;
use crate::orient::{Baseline, Consistency, Verdict};

const NAMES: [SignalName; 8] = [
    SignalName::OMEGA,
    SignalName::PSI,
    SignalName::CVAR,
    SignalName::CPU,
    SignalName::LATENCY,
    SignalName::THROUGHPUT,
    SignalName::ERRORS,
    SignalName::BETA,
];

fn reading(value: f64, kind: u8) -> Reading {
    match kind {
        0 => Reading::Missing,
        1 => Reading::Stale { age_seconds: Some(99.0) },
        2 => Reading::NotFinite,
        3 => Reading::Ambiguous { series: 2 },
        4 => Reading::WrongType,
        5 => Reading::OutOfRange { value },
        6 => Reading::Idle,
        7 => Reading::SourceDown { why: "timeout".into() },
        _ => Reading::Fresh { value, sampled_at: at(-2) },
    }
}

prop_compose! {
    /// Readings, mostly fresh, in ranges in which every bound is passed now and then.
    fn readings()(
        omega in 0.4..1.0, psi in 0.5..1.0, cvar in 0.0..0.3, cpu in 0.0..2.0, latency in 1.0..900.0,
        throughput in 0.0..200.0, errors in 0.0..0.2, beta in 0.5..1.5,
        kinds in prop::collection::vec(0_u8..60, 8), named in prop::collection::vec(prop::bool::weighted(0.7), 8),
    ) -> Vec<(SignalName, Reading)> {
        let values = [omega, psi, cvar, cpu, latency, throughput, errors, beta];
        (0..8).filter(|i| named[*i]).map(|i| (NAMES[i].clone(), reading(values[i], kinds[i]))).collect()
    }
}

prop_compose! {
    fn target()(
        min in 1..6_i32, more in 0..10_i32, desired in 0..18_i32, starting in 0..3_i32, started in 10..4000_i64,
        complete in prop::bool::weighted(0.8), crashes in 0..5_i32, deadline in prop::bool::weighted(0.1),
        unschedulable in 0..2_i32, mode in 0..3_u8, hpa in prop::bool::weighted(0.1), behind in prop::bool::weighted(0.1),
        gate in 0..5_u8, previous in 0..3_usize, observe in prop::bool::weighted(0.1), limits in prop::bool::ANY,
    ) -> Story {
        Story::new().rollout(started as f64).with(|s| {
            (s.spec.min_replicas, s.spec.max_replicas) = (min, min + more);
            s.spec.mode = [Mode::Conservative, Mode::Balanced, Mode::Aggressive][usize::from(mode)];
            s.gate = [GateView::None, GateView::Admit, GateView::Quarantine, GateView::Block, GateView::Unknown]
                [usize::from(gate)];
            s.standing.facts_behind = behind;
            if observe {
                s.spec.enforcement = Enforcement::Observe;
            }
            if !limits {
                s.spec.behavior.scale_up.policies.clear();
                s.spec.behavior.scale_down.policies.clear();
            }
        }).workload(|w| {
            (w.desired, w.ready) = (desired, (desired - starting).max(0));
            (w.rollout.complete, w.rollout.crashes) = (complete, (crashes - 1).max(0));
            (w.rollout.deadline_exceeded, w.rollout.unschedulable) = (deadline, unschedulable);
            w.previous = (0..previous).map(|i| revision(&format!("p{i}"), &format!("t-{i}"), 1, at(-9000))).collect();
            if hpa {
                w.other_scalers = vec!["HorizontalPodAutoscaler/web".into()];
            }
            w.tunable = Some(Tunable {
                name: "knobs".into(),
                resource_version: "1".into(),
                refused: None,
                values: [("a".into(), "0.5".into())].into(),
            });
        })
    }
}

prop_compose! {
    fn picture()(
        story in target(), readings in readings(), demand in prop::option::weighted(0.8, 0.1..14.0), sd in 0.01..2.0,
        consistency in 0..4_u8, slope in -0.01..0.005, verdict in 0..3_u8, compared in prop::bool::ANY,
        beside in prop::bool::ANY, onset in -200..0_i64, frozen in prop::bool::weighted(0.05),
        pods in prop::option::weighted(0.2, 0..18_u32),
    ) -> Story {
        let target = story.s.spec.targets.cpu_target;
        let mut story = story.with(|s| {
            s.observed.evidence.readings = readings.into_iter().collect();
            s.picture.capacity = demand.map(|mean| Capacity::Utilisation { mean: mean * target, sd, target });
            s.picture.consistency = [Consistency::Unknown, Consistency::Consistent, Consistency::Consistent,
                Consistency::Overconfident][usize::from(consistency)];
            s.observed.evidence.fresh_pods = pods;
            if frozen {
                s.observed.evidence.frozen = vec![SignalName::CPU];
            }
        });
        for name in [SignalName::OMEGA, SignalName::LATENCY, SignalName::ERRORS, SignalName::BETA] {
            if let Some((value, _)) = story.s.observed.evidence.readings.get(&name).and_then(Reading::fresh) {
                story = story.estimate(name.clone(), value, slope, 0.02);
                if name == SignalName::OMEGA {
                    story = story.omega(value);
                }
            }
        }
        if compared {
            let baseline = if beside { Baseline::SideBySide } else { Baseline::Before };
            let verdict = [Verdict::Worse, Verdict::NotWorse, Verdict::Undecided][usize::from(verdict)];
            for name in [SignalName::LATENCY, SignalName::OMEGA, SignalName::ERRORS] {
                story = story.compared(name, baseline, verdict);
            }
            for comparison in &mut story.s.picture.comparisons {
                comparison.onset = Some(at(onset));
            }
        }
        story
    }
}

prop_compose! {
    pub(crate) fn situation()(
        story in picture(), streaks in prop::collection::vec(0..6_u32, 5), since in prop::option::weighted(0.8, 0..700_i64),
        window in prop::collection::vec(1..14_i32, 0..4), changes in prop::collection::vec((0..30_i64, -3..4_i32), 0..3),
        cooldown in prop::option::weighted(0.2, 1..100_i64), rollbacks in 0..3_usize, ago in 0..4000_i64,
        bad in prop::bool::weighted(0.1), fruitless in 0..4_u32, trial in prop::option::weighted(0.2, 0..500_i64),
        void in prop::bool::weighted(0.2), scaled in prop::bool::weighted(0.2), edited in prop::bool::weighted(0.2),
        retune in prop::bool::ANY, steps in 0..3_u32, ours in prop::bool::ANY,
    ) -> Situation {
        let desired = story.s.observed.workload.as_ref().map_or(0, |w| w.desired);
        story.memory(|m| {
            (m.omega_low, m.latency_high, m.errors_high) = (streaks[0], streaks[1], streaks[2]);
            (m.cpu_hot, m.latency_double) = (streaks[3], streaks[4]);
            m.recommending_since = since.map(|s| at(-s));
            let mut counts = window;
            counts.sort_unstable_by(|a, b| b.cmp(a));
            counts.dedup();
            let last = counts.len() as i64;
            m.recommendations = counts.into_iter().enumerate().map(|(i, n)| (at(15 * (i as i64 - last)), n)).collect();
            m.changes = changes.into_iter().map(|(ago, by)| (at(-ago), by)).collect();
            m.cooldown_until = cooldown.map(at);
            m.rollbacks = (0..rollbacks).map(|i| at(-ago - i as i64)).rev().collect();
            if bad {
                m.bad_templates = vec!["t-new".into()];
            }
            m.fruitless = fruitless;
            m.retune_steps = steps;
            m.retune_trial = trial.map(|ago| Box::new(RetuneTrial {
                config_map: "knobs".into(), key: "a".into(), before: "0.48".into(), trial: "0.5".into(),
                since: at(-ago), baseline: 1.0, signal: "beta".into(), void,
            }));
            m.scale_up_trial = scaled.then(|| ScaleUpTrial { at: at(-60), ready_at: None, to: desired, before: [None; 4], earlier: 0, goal: None, load: None });
            m.baseline = Some(SeenTarget {
                replicas: if edited { desired + 1 } else { desired }, template: "t-new".into(), ours,
            });
        }).with(|s| {
            if retune {
                s.spec.retune = Some(serde_json::from_value(serde_json::json!({
                    "configMapRef": {"name": "knobs"}, "parameters": [{"key": "a", "min": 0.0, "max": 1.0}],
                })).unwrap());
            }
        }).s
    }
}

/// How much harm an act can do when its evidence was wrong. Giving back what a trial borrowed does none.
fn boldness(d: &Decision) -> u8 {
    match (&d.plan, d.action) {
        (Plan::Nothing | Plan::Retune { restore: true, .. }, _) => 0,
        (_, Action::ScaleUp) => 1,
        (_, Action::Retune) => 2,
        (_, Action::ScaleDown) => 3,
        _ => 4,
    }
}

fn count(s: &Situation, d: &Decision) -> i32 {
    let desired = s.observed.workload.as_ref().map_or(0, |w| w.desired);
    if let Plan::Scale { to, .. } = d.plan { to } else { desired }
}

const CASES: u32 = 1500;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn a_reading_lost_never_makes_a_bolder_act_or_a_smaller_count(
        s in situation(), which in 0..8_usize, kind in 0_u8..8,
    ) {
        let Some(old) = s.observed.evidence.readings.get(&NAMES[which]) else { return Ok(()) };
        if !matches!(old, Reading::Fresh { .. }) {
            return Ok(());
        }
        let before = decide(&s);
        let mut blind = s.clone();
        blind.observed.evidence.readings.insert(NAMES[which].clone(), reading(1.0, kind));
        let after = decide(&blind);
        // A restore that waits for a signal takes the turn of a ScaleUp that does not.
        let restored = matches!(before.plan, Plan::Retune { restore: true, .. });
        // The judgement of a step is an act of ours, and a rollback waits for a window after it. Without its signal there
        // is no judgement, and a rollout that fails by its own pods is reverted without that wait.
        let judged = s.memory.retune_trial.is_some() && before.memory.retune_trial.is_none();
        let waited = judged && before.why == "FreshWindow" && matches!(after.proof, Some(Proof::FailingRollout { .. }));
        let allowed = if waited { 4 } else if restored { 1 } else { boldness(&before) };
        prop_assert!(boldness(&after) <= allowed, "{:?} {:#?} became {:#?}", NAMES[which], before, after);
        let desired = s.observed.workload.as_ref().unwrap().desired;
        prop_assert!(count(&blind, &after) >= count(&s, &before).min(desired));
    }

    #[test]
    fn counts_that_are_set_lie_between_min_and_max(s in situation()) {
        let d = decide(&s);
        if let Plan::Scale { from, to } = d.plan {
            prop_assert!((s.spec.min_replicas..=s.spec.max_replicas).contains(&to), "{d:#?}");
            prop_assert_eq!(from, s.observed.workload.as_ref().unwrap().desired);
            prop_assert_eq!(d.action, if to > from { Action::ScaleUp } else { Action::ScaleDown });
        }
        prop_assert!(d.confidence.is_none_or(|p| (0.0..=1.0).contains(&p)));
    }

    #[test]
    fn deciding_twice_gives_the_same_bytes_also_from_the_record(s in situation()) {
        let bytes = |s: &Situation| serde_json::to_string(&decide(s)).unwrap();
        let record = serde_json::to_string(&s).unwrap();
        let again: Situation = serde_json::from_str(&record).unwrap();
        prop_assert_eq!(bytes(&s), bytes(&s));
        prop_assert_eq!(bytes(&again), bytes(&s));
    }

    #[test]
    fn deciding_on_what_the_plan_produces_gives_noop(s in situation()) {
        // Undoing a change leaves a count below min for the next turn: one act at a time.
        let below = s.observed.workload.as_ref().unwrap().desired < s.spec.min_replicas;
        let story = Story { s };
        let d = story.decide();
        if !d.act || (below && matches!(d.action, Action::Rollback | Action::Retune)) {
            return Ok(());
        }
        let next = story.after(&d, 0);
        let again = next.decide();
        prop_assert_eq!(again.action, Action::Noop, "{:#?}\nthen {:#?}", d, again);
        let third = next.after(&again, 0).decide();
        prop_assert_eq!(third.memory, again.memory, "a Noop has nothing more to remember at the same time");
    }

    #[test]
    fn an_empty_memory_is_never_bolder(s in situation()) {
        let kept = decide(&s);
        let mut restarted = s.clone();
        // What status and ledger keep survives; streaks, windows and trials of scaling do not.
        restarted.memory = super::Memory {
            rollbacks: s.memory.rollbacks.clone(),
            bad_templates: s.memory.bad_templates.clone(),
            cooldown_until: s.memory.cooldown_until,
            retune_trial: s.memory.retune_trial.clone(),
            fruitless: s.memory.fruitless,
            ..super::Memory::default()
        };
        let fresh = decide(&restarted);
        if boldness(&fresh) > boldness(&kept) {
            // Only what it may do on facts alone, and what an edit, a rate of change or a step that settles
            // would have delayed.
            prop_assert!(matches!(fresh.action, Action::Rollback | Action::ScaleUp | Action::Retune), "{fresh:#?}");
            if fresh.action == Action::Rollback {
                let failing = matches!(fresh.proof, Some(Proof::FailingRollout { .. }));
                prop_assert!(failing || s.spec.persistence <= 1, "{fresh:#?}");
            }
        }
        prop_assert!(fresh.action != Action::ScaleDown);
    }

    #[test]
    fn below_the_floor_only_the_exempt_act(s in situation()) {
        let d = decide(&s);
        let unsure = d.confidence.is_none_or(|p| p < policy::floor(s.spec.mode));
        if unsure && matches!(d.action, Action::ScaleDown) {
            prop_assert!(s.observed.workload.as_ref().unwrap().desired > s.spec.max_replicas);
        }
        if d.act {
            let gives_back = matches!(d.plan, Plan::Retune { restore: true, .. });
            let may = s.spec.enforcement == Enforcement::Act && s.standing.namespace_may_act;
            prop_assert!(may || gives_back);
        }
        prop_assert_eq!(d.id().len(), 26);
        prop_assert!(!d.why.is_empty());
    }
}
