//! Rates of change: the HPA v2 `behavior`, applied to one step.
//!
//! Semantics of `autoscaling/v2`: a policy allows so much change within its period, counted from the replicas
//! at the period's start; `selectPolicy` picks among several; stabilisation takes the most cautious
//! recommendation of its window.

use jiff::Timestamp;

use super::view::{later, seconds};
use crate::api::scaling::{MatVerseScalingSpec, PolicyType, ScalingRules, SelectPolicy};

/// Entries that a remembered window holds at most: a situation must fit into a ledger entry.
pub(super) const MAX_ENTRIES: usize = 16;

/// Which way the count moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

/// A count inside [minReplicas, maxReplicas]; min wins where they cross.
pub(super) fn inside(count: i32, spec: &MatVerseScalingSpec) -> i32 {
    count.min(spec.max_replicas).max(spec.min_replicas)
}

/// The count that the policies allow at most (`Up`) or at least (`Down`) now; `None` = no limit.
pub(super) fn limit(
    way: Way,
    rules: &ScalingRules,
    current: i32,
    changes: &[(Timestamp, i32)],
    now: Timestamp,
) -> Option<i32> {
    if rules.select_policy == SelectPolicy::Disabled {
        return Some(current);
    }
    let allowed = rules.policies.iter().map(|policy| {
        let start = later(now, -f64::from(policy.period_seconds));
        let moved: i64 = changes.iter().filter(|(at, _)| *at > start).map(|(_, by)| i64::from(*by)).sum();
        let (base, value) = (i64::from(current) - moved, i64::from(policy.value));
        let count = match (policy.r#type, way) {
            (PolicyType::Pods, Way::Up) => base + value,
            (PolicyType::Pods, Way::Down) => base - value,
            (PolicyType::Percent, Way::Up) => (base * (100 + value) + 99).div_euclid(100),
            (PolicyType::Percent, Way::Down) => (base * (100 - value).max(0)).div_euclid(100),
        };
        i32::try_from(count.clamp(0, i64::from(i32::MAX))).unwrap_or(current)
    });
    match (way, rules.select_policy) {
        (Way::Up, SelectPolicy::Max) => allowed.max().map(|most| most.max(current)),
        (Way::Up, _) => allowed.min().map(|most| most.max(current)),
        (Way::Down, SelectPolicy::Max) => allowed.min().map(|least| least.min(current)),
        (Way::Down, _) => allowed.max().map(|least| least.min(current)),
    }
}

/// Length of the stabilisation window of a direction, s.
pub(super) fn window(way: Way, spec: &MatVerseScalingSpec) -> f64 {
    let (rules, otherwise) = match way {
        Way::Up => (&spec.behavior.scale_up, 0),
        Way::Down => (&spec.behavior.scale_down, 300),
    };
    f64::from(rules.stabilization_window_seconds.unwrap_or(otherwise))
}

/// The longest period of any policy, s: changes older than that limit nothing.
pub(super) fn longest_period(spec: &MatVerseScalingSpec) -> f64 {
    let policies = spec.behavior.scale_up.policies.iter().chain(&spec.behavior.scale_down.policies);
    policies.map(|policy| f64::from(policy.period_seconds)).fold(0.0, f64::max)
}

/// The share by which the wanted count must differ before it counts; 0 where none is given.
///
/// Errors: the text, where it is no quantity between 0 and 1.
pub(super) fn tolerance(rules: &ScalingRules) -> Result<f64, String> {
    let Some(text) = rules.tolerance.as_deref() else { return Ok(0.0) };
    let parsed = match text.strip_suffix('m') {
        Some(milli) => milli.parse::<f64>().map(|value| value / 1000.0),
        None => text.parse::<f64>(),
    };
    parsed.ok().filter(|value| (0.0..=1.0).contains(value)).ok_or_else(|| text.to_owned())
}

/// Adds a recommendation to a monotone window: `Down` keeps decreasing maxima, `Up` increasing minima.
///
/// Time is cut into [`MAX_ENTRIES`] − 2 slots of the window; within one slot the more cautious count stands
/// for all, so the window stays small and forgets a reason for caution at most one slot too late.
pub(super) fn remember(
    way: Way,
    window: &mut Vec<(Timestamp, i32)>,
    now: Timestamp,
    count: i32,
    length: f64,
) {
    window.retain(|(at, _)| seconds(now, *at) <= length);
    while let Some((_, last)) = window.last().copied() {
        let dominated = match way {
            Way::Down => last <= count,
            Way::Up => last >= count,
        };
        if !dominated {
            break;
        }
        window.pop();
    }
    let slot =
        |at: Timestamp| (at.as_millisecond() as f64 / 1000.0 * (MAX_ENTRIES - 2) as f64 / length).floor();
    match window.last_mut() {
        Some(last) if slot(last.0) >= slot(now) => last.0 = now,
        _ => window.push((now, count)),
    }
}

/// Remembers a change of ours within the longest policy period.
pub(super) fn record(changes: &mut Vec<(Timestamp, i32)>, now: Timestamp, by: i32) {
    changes.push((now, by));
    if changes.len() > MAX_ENTRIES {
        let (_, oldest) = changes.remove(0);
        changes[0].1 = changes[0].1.saturating_add(oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::scaling::{Behavior, ScalingPolicy};
    use crate::decide::testing::{at, spec};

    fn rules(select: SelectPolicy, policies: &[(PolicyType, i32, u32)]) -> ScalingRules {
        ScalingRules {
            select_policy: select,
            policies: policies
                .iter()
                .map(|(r#type, value, period_seconds)| ScalingPolicy {
                    r#type: *r#type,
                    value: *value,
                    period_seconds: *period_seconds,
                })
                .collect(),
            ..ScalingRules::default()
        }
    }

    #[test]
    fn the_default_allows_the_larger_of_pods_and_percent() {
        let behavior = Behavior::default();
        let up = |current, changes: &[_]| limit(Way::Up, &behavior.scale_up, current, changes, at(0));
        let down = |current, changes: &[_]| limit(Way::Down, &behavior.scale_down, current, changes, at(0));
        assert_eq!([1, 2, 5, 40].map(|n| up(n, &[])), [Some(3), Some(4), Some(10), Some(80)]);
        assert_eq!([1, 2, 5, 40].map(|n| down(n, &[])), [Some(0), Some(1), Some(4), Some(36)]);
        assert_eq!(up(8, &[(at(-10), 4)]), Some(8), "four of four were added in this period");
        assert_eq!(up(8, &[(at(-15), 4)]), Some(16), "that period is over");
        assert_eq!(down(9, &[(at(-3), -1)]), Some(9));
        assert_eq!(up(6, &[(at(-3), -2)]), Some(16), "what went down in the period counts back");
    }

    #[test]
    fn select_policy_chooses() {
        let both = [(PolicyType::Pods, 1, 15), (PolicyType::Percent, 50, 15)];
        let at_ten = |way, select| limit(way, &rules(select, &both), 10, &[], at(0));
        assert_eq!(at_ten(Way::Up, SelectPolicy::Max), Some(15));
        assert_eq!(at_ten(Way::Up, SelectPolicy::Min), Some(11));
        assert_eq!(at_ten(Way::Down, SelectPolicy::Max), Some(5));
        assert_eq!(at_ten(Way::Down, SelectPolicy::Min), Some(9));
        assert_eq!(at_ten(Way::Up, SelectPolicy::Disabled), Some(10));
        assert_eq!(at_ten(Way::Down, SelectPolicy::Disabled), Some(10));
        assert_eq!(limit(Way::Up, &rules(SelectPolicy::Max, &[]), 10, &[], at(0)), None);
    }

    #[test]
    fn percents_round_towards_movement_as_in_the_hpa() {
        let ten = rules(SelectPolicy::Max, &[(PolicyType::Percent, 10, 60)]);
        assert_eq!(limit(Way::Up, &ten, 1, &[], at(0)), Some(2));
        assert_eq!(limit(Way::Down, &ten, 3, &[], at(0)), Some(2));
        let all = rules(SelectPolicy::Max, &[(PolicyType::Percent, 300, 60)]);
        assert_eq!(limit(Way::Down, &all, 3, &[], at(0)), Some(0));
        assert_eq!(limit(Way::Up, &all, i32::MAX, &[], at(0)), Some(i32::MAX));
    }

    #[test]
    fn tolerance_is_a_quantity() {
        let parse =
            |text: &str| tolerance(&ScalingRules { tolerance: Some(text.into()), ..ScalingRules::default() });
        assert_eq!(parse("0.1"), Ok(0.1));
        assert_eq!(parse("50m"), Ok(0.05));
        for bad in ["", "ten", "-0.1", "2", "NaN", "inf", "10%"] {
            assert_eq!(parse(bad), Err(bad.to_owned()));
        }
        assert_eq!(tolerance(&ScalingRules::default()), Ok(0.0));
    }

    #[test]
    fn the_window_keeps_its_extreme_and_stays_small() {
        let mut down = Vec::new();
        for (t, n) in [(0, 5), (30, 9), (60, 7), (90, 7), (120, 3)] {
            remember(Way::Down, &mut down, at(t), n, 300.0);
        }
        assert_eq!(down, [(at(30), 9), (at(90), 7), (at(120), 3)]);
        remember(Way::Down, &mut down, at(331), 4, 300.0);
        assert_eq!(down, [(at(90), 7), (at(331), 4)]);

        let (mut down, mut up) = (Vec::new(), Vec::new());
        for t in 0..2000 {
            remember(Way::Down, &mut down, at(t), 5000 - t as i32, 600.0);
            remember(Way::Up, &mut up, at(t), 1000 + t as i32, 600.0);
            assert!(down.len() <= MAX_ENTRIES && up.len() <= MAX_ENTRIES);
        }
        // The exact extremes are 5000 - 1399 and 1000 + 1399; a slot lasts 43 s.
        assert!((3601..=3644).contains(&down[0].1), "{down:?}");
        assert!((2356..=2399).contains(&up[0].1), "{up:?}");

        let mut changes = Vec::new();
        for t in 0..100 {
            record(&mut changes, at(t), 1);
        }
        assert_eq!(changes.len(), MAX_ENTRIES);
        assert_eq!(changes.iter().map(|(_, by)| by).sum::<i32>(), 100);
    }

    #[test]
    fn the_window_of_a_direction_has_the_hpas_default() {
        let mut s = spec();
        assert_eq!((window(Way::Up, &s), window(Way::Down, &s)), (0.0, 300.0));
        s.behavior.scale_down = ScalingRules::default();
        assert_eq!(window(Way::Down, &s), 300.0);
        assert_eq!(longest_period(&s), 15.0);
    }
}
