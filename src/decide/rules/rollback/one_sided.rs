//! The supplement to case (a): where samples come minutes apart, the first of them since a rollout by their size.
//!
//! It asks for no lasting trouble and no bound of the spec: a workload that is looked at every five minutes would be
//! bad for a quarter of an hour before three turns are over. It asks for a deviation beyond the equivalence margin
//! whose probability, over all looks and signals, is at most `rollback.alpha`; and, as the comparison with the
//! window before does, for trouble that began with the rollout and that the load does not explain.

use super::{Charge, Judged};
use crate::decide::confidence;
use crate::decide::situation::Proof;
use crate::decide::view::{View, seconds, short};
use crate::observe::reading::SignalName;
use crate::orient::{Baseline, Comparison, OneSided};

/// What the deviating signals say: a proof where there is one, else the first that says anything.
pub(super) fn judge(v: &View<'_>) -> Option<Judged> {
    let reach = f64::from(v.spec().rollback.attribution_seconds);
    if v.since(v.template_started()) > reach {
        return None;
    }
    let mut said: Vec<Judged> = v.s.picture.comparisons.iter().filter_map(|c| judge_one(v, c)).collect();
    let proven = said.iter().position(|judged| matches!(judged, Judged::Proven(_)));
    (!said.is_empty()).then(|| said.swap_remove(proven.unwrap_or(0)))
}

fn judge_one(v: &View<'_>, c: &Comparison) -> Option<Judged> {
    let spec = &v.spec().rollback;
    let said = c.one_sided.as_ref().filter(|said| said.p <= spec.alpha && c.baseline == Baseline::Before)?;
    seen(v, &c.signal)?;
    let numbers = format!(
        "{} {} against {} before the rollout; p = {} over {} samples",
        c.signal,
        short(c.current_level),
        short(c.baseline_level),
        tiny(said.p),
        said.samples
    );
    if v.named(&SignalName::THROUGHPUT) && v.value(&SignalName::THROUGHPUT).is_none() {
        return Some(Judged::Open(format!("{numbers}; the load cannot be seen, so it cannot be ruled out")));
    }
    if c.load_explains {
        return Some(Judged::Cleared(format!("{numbers}; the load per replica explains it")));
    }
    if let Some(why) = unrelated(v, said) {
        return Some(Judged::Cleared(format!("{numbers}; {why}")));
    }
    let margin = spec.equivalence_margin;
    Some(Judged::Proven(Box::new(Charge {
        proof: Proof::OneSided {
            signal: c.signal.to_string(),
            p: said.p,
            alpha: spec.alpha,
            samples: said.samples,
            onset: said.onset,
        },
        why: format!("Worse:{}", c.signal),
        text: format!("{numbers} ≤ {}", short(spec.alpha)),
        confidence: confidence::one_sided(said.p, c, v.s.picture.signals.get(&c.signal), margin),
        onset: Some(said.onset),
    })))
}

/// The signal's present value, where it may be believed.
fn seen(v: &View<'_>, name: &SignalName) -> Option<f64> {
    if *name == SignalName::OMEGA { v.omega() } else { v.value(name) }
}

/// Why the rollout is not to blame. A sample speaks of the time since the one before it, so the trouble may have
/// begun any time after that; it must have been possible before one horizon was over.
fn unrelated(v: &View<'_>, said: &OneSided) -> Option<String> {
    let started = v.w.current.started_at;
    if said.onset <= started {
        return Some("it began before the rollout".into());
    }
    let ready = v.w.rollout.last_ready_at.unwrap_or(started).max(started);
    let late = seconds(said.after, ready);
    (late > v.horizon()).then(|| {
        let horizon = short(v.horizon());
        format!(
            "it began more than {} s after the last pod was ready, the horizon is {horizon} s",
            short(late)
        )
    })
}

/// A probability for people: never 0.
fn tiny(p: f64) -> String {
    if p < 0.001 { "<0.001".into() } else { short(p) }
}
