//! A decision as a person reads it: what was decided, every rule that led there, what comes next, what to fix.
//!
//! ```text
//! Noop: keeps 5, would want 3
//! RULE       HOLDS   BECAUSE
//! Rollback   no      no rollout in the last 1800 s
//! ScaleUp    no      needs 3 of 5; cpu 0.41 < 0.8
//! ScaleDown  wait    latency is Stale: 74 s old
//! NEXT       fresh latency, then 212 s of stabilisation
//! FIX        the samples behind latency are too old: look at the scrape of its pods
//! ```

use std::fmt::Write as _;

use super::situation::{Action, Decision, Holds, Plan};

/// The text of `explain`, with a line end after each line.
#[must_use]
pub fn explain(decision: &Decision) -> String {
    let mut text = headline(decision);
    text.push('\n');
    let mut line = |a: &str, b: &str, c: &str| {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{a:<10} {b:<7} {c}");
    };
    line("RULE", "HOLDS", "BECAUSE");
    for row in &decision.rules {
        line(row.rule.as_str(), holds(row.holds), &row.because.to_string());
    }
    if let Some(next) = next(decision) {
        let _ = writeln!(text, "{:<10} {next}", "NEXT");
    }
    for fix in fixes(decision) {
        let _ = writeln!(text, "{:<10} {fix}", "FIX");
    }
    text
}

/// What was decided, in one line.
#[must_use]
pub fn headline(decision: &Decision) -> String {
    let present = decision.memory_if_not_applied.baseline.as_ref().map(|seen| seen.replicas);
    let mut line = match (&decision.plan, present) {
        (Plan::Nothing, None) => "Noop".to_owned(),
        (Plan::Nothing, Some(present)) if present == decision.want => format!("Noop: keeps {present}"),
        (Plan::Nothing, Some(present)) => format!("Noop: keeps {present}, would want {}", decision.want),
        (Plan::Scale { from, to }, _) => format!("{}: {from} → {to}", decision.action.as_str()),
        (Plan::Rollback { from, to, .. }, _) => format!("Rollback: {from} → {to}"),
        (Plan::Retune { config_map, key, from, to, restore, .. }, _) => {
            let what = if *restore { ", restored" } else { "" };
            format!("Retune: {config_map}/{key} {from} → {to}{what}")
        }
    };
    if decision.action != Action::Noop && !decision.act {
        let _ = write!(line, " (not carried out: {})", decision.why);
    } else if let Some(confidence) = decision.confidence {
        let _ = write!(line, " (confidence {confidence:.2})");
    }
    line
}

/// What has to come before anything else happens; `None` where it waits on nothing.
#[must_use]
pub fn next(decision: &Decision) -> Option<String> {
    (!decision.waiting_on.is_empty()).then(|| decision.waiting_on.join(", then "))
}

/// What a person can do about what it waits on.
#[must_use]
pub fn fixes(decision: &Decision) -> Vec<String> {
    let mut fixes: Vec<String> = fix(&decision.why).into_iter().collect();
    for notice in &decision.notices {
        if !fixes.contains(&notice.message) {
            fixes.push(notice.message.clone());
        }
    }
    fixes
}

fn holds(holds: Holds) -> &'static str {
    match holds {
        Holds::Yes => "yes",
        Holds::No => "no",
        Holds::Wait => "wait",
    }
}

fn fix(why: &str) -> Option<String> {
    let (token, signal) = why.split_once(':').unwrap_or((why, ""));
    let text = match token {
        "Stale" => format!("the samples behind {signal} are too old: look at the scrape of its pods"),
        "Missing" => {
            format!("the query of {signal} finds nothing: look at its selector, or name zeroWhenFresh")
        }
        "NotFinite" => format!("the query of {signal} gives NaN or infinity: look for a division by zero"),
        "Ambiguous" => format!("the query of {signal} gives several series: aggregate it to one"),
        "WrongType" => {
            format!("the query of {signal} is not an instant vector: remove the range or the scalar")
        }
        "OutOfRange" => {
            format!("{signal} is outside its range: a percent where a share is meant, or a clock ahead")
        }
        "SourceDown" => format!("the source of {signal} does not answer: look at its url and its health"),
        "Gate" => format!("the gate says {signal}: `kubectl describe og` shows which rule"),
        "NoForecast" => "name cpu, or throughput and latency, and wait for the filter to be warm".into(),
        "AtMax" => "raise maxReplicas if the target is to be kept".into(),
        "Observe" => "set enforcement: Act to let it act".into(),
        "NamespaceMayNotAct" => "add the namespace to actNamespaces of the operator's configuration".into(),
        "Inconsistent" => {
            "the signals jump more than the filter expects: look for a noisy or frozen signal".into()
        }
        _ => return None,
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::testing::{Story, expect};
    use crate::observe::reading::{Reading, SignalName};

    #[test]
    fn a_held_scale_down_reads_as_on_the_first_page() {
        let d = Story::new()
            .needs_for_long(3)
            .memory(|m| m.recommending_since = Some(super::super::testing::at(-88)))
            .reading(SignalName::LATENCY, Reading::Stale { age_seconds: Some(74.0) })
            .decide();
        expect(&d, Action::Noop, "Stale:latency");
        let text = explain(&d);
        let want = "\
Noop: keeps 5, would want 3 (confidence 0.98)
RULE       HOLDS   BECAUSE
Rollback   no      no rollout in the last 1800 s
ScaleUp    no      needs 3 of 5; cpu 0.41 < 0.8
ScaleDown  wait    latency is Stale: 74 s old
NEXT       fresh latency, then 212 s of stabilisation
FIX        the samples behind latency are too old: look at the scrape of its pods
";
        assert_eq!(text, want);
    }

    #[test]
    fn every_plan_has_its_headline() {
        let rollback = Story::bad_rollout().decide();
        assert!(headline(&rollback).starts_with("Rollback: 7d9f → 5c4b"), "{}", headline(&rollback));
        let up = Story::new().needs(8).with(|s| s.standing.namespace_may_act = false).decide();
        assert_eq!(headline(&up), "ScaleUp: 5 → 8 (not carried out: NamespaceMayNotAct)");
        assert!(explain(&up).contains("actNamespaces"));
        let gone = Story::new().with(|s| s.observed.workload = None).decide();
        assert_eq!(headline(&gone), "Noop");
        assert!(explain(&gone).contains("NEXT       the Deployment"));
        let steady = Story::new().needs(5).decide();
        assert!(headline(&steady).starts_with("Noop: keeps 5 ("));
        let mut step = steady;
        step.plan = Plan::Retune {
            config_map: "knobs".into(),
            resource_version: "1".into(),
            key: "t".into(),
            from: "0.5".into(),
            to: "0.48".into(),
            restore: true,
        };
        step.confidence = None;
        assert_eq!(headline(&step), "Retune: knobs/t 0.5 → 0.48, restored");
    }

    #[test]
    fn every_reading_state_has_a_way_out() {
        for state in ["Stale", "Missing", "NotFinite", "Ambiguous", "WrongType", "OutOfRange", "SourceDown"] {
            assert!(fix(&format!("{state}:cpu")).is_some_and(|text| text.contains("cpu")), "{state}");
        }
        for token in ["Gate:Block", "NoForecast", "AtMax", "Observe", "NamespaceMayNotAct", "Inconsistent"] {
            assert!(fix(token).is_some(), "{token}");
        }
        assert_eq!(fix("Steady"), None);
    }
}
