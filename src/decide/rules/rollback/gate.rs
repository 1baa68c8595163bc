//! A gate with `onFail: Rollback`: it blocks, and asks for what case (a) asks for, with the same attribution.
//!
//! The gate judges evidence from after the rollout alone, so its block is a charge only where it let the revision
//! before pass: else nothing shows that the rollout brought the trouble. Where a comparison clears the signal behind
//! every gate that fails, the comparison is right: it has seen both sides.

use super::{Charge, Judged, RULE, degraded};
use crate::decide::rules::{Tried, notice};
use crate::decide::situation::{GateFault, GateView, Proof};
use crate::decide::view::{View, seconds, short};
use crate::observe::reading::SignalName;
use crate::orient::{Baseline, Verdict};

/// What the gate's charge is worth; `None` where it makes none against the revision that runs.
pub(super) fn judge(v: &View<'_>) -> Option<Judged> {
    let current = &v.w.current;
    let fault = v.s.gate_fault.as_ref().filter(|fault| {
        v.s.gate == GateView::Block
            && fault.target == v.s.object.target
            && fault.revision == current.pod_template_hash
    })?;
    let what = format!("the gate blocks: {}", fault.text);
    let reach = f64::from(v.spec().rollback.attribution_seconds);
    let began = seconds(fault.onset, v.template_started());
    if began > reach {
        let text = format!("{what}; no rollout to blame in the {} s before it began", short(reach));
        return Some(Judged::Elsewhere(text));
    }
    if began.is_nan() || began < 0.0 {
        return Some(Judged::Elsewhere(format!("{what}; it began before the rollout")));
    }
    let previous = v.w.previous.iter().find(|revision| revision.template != current.template);
    match (previous, &fault.stood) {
        (None, _) => {
            let text = format!("{what}; no rollout to blame: there is no earlier revision");
            return Some(Judged::Elsewhere(text));
        }
        (Some(previous), Some(stood)) if previous.template == *stood => {}
        (Some(previous), _) => {
            let hash = &previous.pod_template_hash;
            let text = format!("{what}; it did not let {hash} pass when this revision took over either");
            return Some(Judged::Elsewhere(text));
        }
    }
    if v.named(&SignalName::THROUGHPUT) && v.value(&SignalName::THROUGHPUT).is_none() {
        return Some(Judged::Open(format!("{what}; the load cannot be seen, so it cannot be ruled out")));
    }
    if let Some(ready) = v.w.rollout.last_ready_at
        && seconds(fault.after, ready) > v.horizon()
    {
        return Some(Judged::Cleared(format!(
            "{what}; it began more than {} s after the last pod was ready, the horizon is {} s",
            short(seconds(fault.after, ready)),
            short(v.horizon())
        )));
    }
    if !fault.gates.is_empty() && fault.gates.iter().all(|gate| cleared(v, gate)) {
        return Some(Judged::Cleared(format!("{what}; the comparison does not lay it on the revision")));
    }
    let needed = v.spec().persistence;
    if fault.turns < needed {
        return Some(Judged::Open(format!("{what} for {} of {needed} evaluations", fault.turns)));
    }
    Some(Judged::Proven(Box::new(charge(fault, &what))))
}

fn charge(fault: &GateFault, what: &str) -> Charge {
    Charge {
        proof: Proof::Gate {
            gates: fault.gates.clone(),
            samples: fault.samples,
            turns: fault.turns,
            onset: fault.onset,
        },
        why: format!("Gate:{}", fault.gates.first().map_or("", String::as_str)),
        text: format!("{what} ({} samples since the rollout; it let the one before pass)", fault.samples),
        confidence: None,
        onset: Some(fault.onset),
    }
}

/// Whether the comparison of the signal behind a gate clears the revision of it.
fn cleared(v: &View<'_>, gate: &str) -> bool {
    let signal = match gate {
        "theta" => SignalName::LATENCY,
        "psi" | "cvar" => SignalName::OMEGA,
        _ => return false,
    };
    let of = |baseline| v.s.picture.comparisons.iter().find(|c| c.signal == signal && c.baseline == baseline);
    of(Baseline::SideBySide).or_else(|| of(Baseline::Before)).is_some_and(|c| {
        c.verdict == Verdict::NotWorse || (c.baseline == Baseline::Before && c.load_explains)
    })
}

/// The gate asks and is refused: that is said, or nobody would know why nothing happens.
pub(super) fn refused(text: String, why: &str) -> Tried {
    let suppressed = notice("RollbackSuppressed", format!("no rollback: {why}"));
    Tried::no(RULE, text).with(suppressed).with(degraded(why, why))
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
