//! Row 3: one bounded step of one parameter, settled, judged, kept only if better, else taken back.
//!
//! ```text
//!  trigger ─► step (|Δ| ≤ maxDelta of the range) ─► settle ─► judge once ─► better: keep │ else: restore
//!                                                     └ void (ScaleUp, rollout, edit of replicas) ─► restore
//! ```
//!
//! The restore is part of the step's plan: it waits for no gate, cooldown or floor, and it happens after a
//! restart too, because the trial lives in the memory that is rebuilt from status. Every judged trial measures a
//! slope, kept or not; [`search`] makes the next step of it.

pub(crate) mod search;

use super::{Proposal, Tried, unrest_waits};
use crate::api::scaling::Retune;
use crate::decide::situation::{Action, GateView, Plan, RetuneTrial};
use crate::decide::view::{View, short};
use crate::decide::{confidence, policy};
use crate::observe::reading::{SignalName, Use};
use crate::observe::workload::Tunable;

const RULE: Action = Action::Retune;

/// What is to be done about a step under trial.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Judgement {
    /// There is none.
    None,
    /// Not settled, or not visible: seconds or reason.
    Wait(String),
    /// Better; it stays.
    Kept(String),
    /// Somebody else changed the value; it is theirs now. Whether they took ours back.
    Theirs { reverted: bool },
    /// Take it back.
    Restore(String),
}

/// Judges the step under trial. Pure in the situation, so it is called where memory advances and here.
pub(crate) fn judge(v: &View<'_>) -> Judgement {
    let Some(trial) = &v.m.retune_trial else { return Judgement::None };
    let Some(value) = value_of(v, trial) else {
        return Judgement::Wait(format!("ConfigMap {} to be seen", trial.config_map));
    };
    if value != trial.trial {
        return Judgement::Theirs { reverted: value == trial.before };
    }
    let configured = v.spec().retune.as_ref().map(|retune| f64::from(retune.settle_seconds));
    let settle = configured.unwrap_or(policy::SETTLE);
    let passed = v.since(trial.since);
    let overdue = passed > policy::TRIAL_DEADLINE * settle;
    if trial.void || configured.is_none() {
        // One change at a time: the one that voids the trial first comes to rest, if it ever does.
        let acted = v.m.last_act.as_ref().map_or(trial.since, |act| act.at.max(trial.since));
        let unrest = v.w.ready != v.w.desired || !v.w.rollout.complete;
        return if unrest && v.since(acted) <= policy::TRIAL_DEADLINE * settle {
            Judgement::Wait("the change of count or revision".into())
        } else if trial.void {
            Judgement::Restore(
                "the count or the revision changed meanwhile, so the trial compares nothing".into(),
            )
        } else {
            Judgement::Restore("retune is no longer configured".into())
        };
    }
    if passed < settle {
        return Judgement::Wait(format!("{} s of settling", short(settle - passed)));
    }
    let (name, level) = judged_signal(v, &trial.signal);
    let estimate = v.s.picture.signals.get(&name);
    let (Some(_), Some(estimate)) = (level, estimate) else {
        return if overdue {
            Judgement::Restore(format!("{name} could not be judged for {} s", short(passed)))
        } else {
            Judgement::Wait(format!("fresh {name}"))
        };
    };
    // One look, at the end of settling, so that α needs no correction for looking often. The baseline's own
    // error is taken as large as the present one.
    let gain = estimate.level - trial.baseline;
    let sure = confidence::normal_cdf(gain / (std::f64::consts::SQRT_2 * estimate.level_sd));
    let numbers = format!("{name} {} against {} before", short(estimate.level), short(trial.baseline));
    if sure >= 1.0 - v.spec().rollback.alpha {
        Judgement::Kept(format!("{} = {} kept: {numbers}", trial.key, trial.trial))
    } else {
        Judgement::Restore(format!("not shown to be better: {numbers}"))
    }
}

/// The slope that the step under trial has measured, with its key; `None` before it settled, and of a void one.
pub(crate) fn measured(v: &View<'_>) -> Option<(String, f64)> {
    let trial = v.m.retune_trial.as_ref().filter(|trial| !trial.void)?;
    let settle = f64::from(v.spec().retune.as_ref()?.settle_seconds);
    let (name, level) = judged_signal(v, &trial.signal);
    let estimate = v.s.picture.signals.get(&name).filter(|_| level.is_some())?;
    (v.since(trial.since) >= settle).then(|| search::measured(v, estimate.level - trial.baseline))?
}

/// The rule's row; `None` where retuning is neither configured nor under way.
pub(crate) fn try_rule(v: &View<'_>, suspected: bool) -> Option<Tried> {
    match judge(v) {
        Judgement::Restore(why) => return Some(restore(v, &why)),
        Judgement::Wait(on) => {
            return Some(Tried::wait(RULE, "Retuning", format!("a step is under trial; {on}"), vec![on]));
        }
        Judgement::None | Judgement::Kept(_) | Judgement::Theirs { .. } => {}
    }
    let retune = v.spec().retune.as_ref()?;
    Some(match reason(v) {
        Err(why) => Tried::no(RULE, why),
        Ok(reason) => match obstacle(v, retune, suspected) {
            Some(tried) => tried,
            None => step(v, retune, &reason),
        },
    })
}

/// The restoration of our own latest change, where it is the latest change to the workload: of a step under
/// trial, or of one kept so recently that trouble may come from it.
pub(crate) fn undo(v: &View<'_>, trouble: &str) -> Option<Proposal> {
    let reach = f64::from(v.spec().rollback.attribution_seconds);
    let recent = |trial: &&RetuneTrial| trial.since >= v.w.current.started_at;
    let kept = || v.m.kept_retune.as_deref().filter(|kept| v.since(kept.since) <= reach);
    let trial = v.m.retune_trial.as_deref().filter(recent).or_else(|| kept().filter(recent))?;
    let why = format!("{trouble}; our own retune came after the rollout and is undone first");
    (!v.s.standing.facts_behind).then(|| restoration(v, trial, &why))?
}

/// The plan that gives back what a trial borrowed, whatever the rules say: for deletion, pause and `Observe`.
pub(crate) fn release(v: &View<'_>) -> Option<Proposal> {
    restoration(v, v.m.retune_trial.as_ref()?, "the resource lets go")
}

fn restore(v: &View<'_>, why: &str) -> Tried {
    if v.s.standing.facts_behind {
        let because = format!("{why}; what is known of the ConfigMap may be outdated");
        return Tried::wait(RULE, "FactsBehind", because, vec!["a live read".into()]);
    }
    let proposal = v.m.retune_trial.as_ref().and_then(|trial| restoration(v, trial, why));
    proposal.map_or_else(
        || {
            let refused = tunable(v).and_then(|tunable| tunable.refused.clone()).unwrap_or_default();
            let because = format!("{why}; the ConfigMap cannot be changed: {refused}");
            Tried::wait(RULE, "RetuneRefused", because, vec!["the ConfigMap to be tunable".into()])
        },
        Tried::yes,
    )
}

fn restoration(v: &View<'_>, trial: &RetuneTrial, why: &str) -> Option<Proposal> {
    let tunable = tunable(v).filter(|t| t.name == trial.config_map && t.refused.is_none())?;
    let value = tunable.values.get(&trial.key).filter(|value| **value == trial.trial)?;
    Some(Proposal {
        action: RULE,
        plan: Plan::Retune {
            config_map: tunable.name.clone(),
            resource_version: tunable.resource_version.clone(),
            key: trial.key.clone(),
            from: value.clone(),
            to: trial.before.clone(),
            restore: true,
        },
        why: "Restore".into(),
        reasoning: format!("{} {value} → {}: {why}", trial.key, trial.before).into(),
        proof: None,
        confidence: None,
        exempt: true,
        want: None,
        provisional: false,
    })
}

fn tunable<'a>(v: &View<'a>) -> Option<&'a Tunable> {
    v.w.tunable.as_ref()
}

fn value_of<'a>(v: &View<'a>, trial: &RetuneTrial) -> Option<&'a str> {
    let tunable = tunable(v).filter(|tunable| tunable.name == trial.config_map)?;
    tunable.values.get(&trial.key).map(String::as_str)
}

fn judged_signal(v: &View<'_>, name: &str) -> (SignalName, Option<f64>) {
    let name = SignalName::new(name);
    let level = if name == SignalName::OMEGA { v.omega() } else { v.value(&name) };
    (name, level)
}

/// Why a step should be tried.
struct Reason {
    signal: SignalName,
    /// P(it really is so).
    sure: f64,
    /// The signal's whole range.
    span: f64,
    text: String,
}

fn reason(v: &View<'_>) -> Result<Reason, String> {
    let mut seen = Vec::new();
    if v.value(&SignalName::BETA).is_some()
        && let Some(beta) = v.s.picture.signals.get(&SignalName::BETA)
    {
        let (trend, sd) = (beta.slope * 60.0, beta.slope_sd * 60.0);
        let upper = trend + policy::INTERVAL_Z * sd;
        let text = format!("beta moves {} a minute, at most {}", short(trend), short(upper));
        if trend < policy::BETA_TREND && upper < 0.0 {
            let sure = confidence::normal_cdf(-trend / sd);
            return Ok(Reason { signal: SignalName::BETA, sure, span: 2.0, text });
        }
        seen.push(text);
    }
    if let Some(omega) = v.omega()
        && let Some(estimate) = v.s.picture.signals.get(&SignalName::OMEGA)
    {
        let target = v.spec().targets.omega_score;
        let idle = policy::IDLE_SHARE * v.spec().targets.cpu_target;
        let cpu = v.value(&SignalName::CPU);
        if omega < target && cpu.is_some_and(|cpu| cpu < idle) {
            let sure = confidence::normal_cdf((target - estimate.level) / estimate.level_sd);
            let text = format!("omega {} < {} while cpu is idle", short(omega), short(target));
            return Ok(Reason { signal: SignalName::OMEGA, sure, span: 1.0, text });
        }
        seen.push(format!("omega {} of {}", short(omega), short(target)));
    }
    Err(if seen.is_empty() { "neither beta nor omega is fresh".into() } else { seen.join("; ") })
}

/// What forbids a step now.
fn obstacle(v: &View<'_>, retune: &Retune, suspected: bool) -> Option<Tried> {
    let (w, m) = (v.w, v.m);
    let no = |why: String| Some(Tried::no(RULE, why));
    let wait =
        |token: String, on: &str, why: String| Some(Tried::wait(RULE, token, why, vec![on.to_owned()]));
    match tunable(v) {
        None => return no(format!("ConfigMap {} does not exist", retune.config_map_ref.name)),
        Some(tunable) => {
            if let Some(why) = &tunable.refused {
                return no(format!("ConfigMap {} cannot be tuned: {why}", tunable.name));
            }
        }
    }
    let gate = match v.s.gate {
        GateView::None | GateView::Admit => None,
        GateView::Quarantine => Some("Quarantine"),
        GateView::Block => Some("Block"),
        GateView::Unknown => Some("Unknown"),
    };
    if let Some(says) = gate {
        return wait(format!("Gate:{says}"), "the gate to admit", format!("the gate says {says}"));
    }
    if let Some(waits) = unrest_waits(RULE, v) {
        return Some(waits);
    }
    if let Some(token) = v.unbelievable(Use::Other).into_iter().next() {
        return wait(token.clone(), "fresh signals", format!("{token}: no step in the dark"));
    }
    if let Some(name) = v.s.observed.evidence.frozen.first() {
        let why = format!("{name} has not moved while its neighbours did");
        return wait(format!("Frozen:{name}"), "it to move", why);
    }
    if !v.consistent() {
        return wait("Inconsistent".into(), "a consistent filter", "the filter is not consistent".into());
    }
    let alarm = v.troubles().into_iter().next().map(|trouble| trouble.text());
    let alarm = alarm.or_else(|| v.cpu_hot().map(|cpu| format!("cpu {}", short(cpu))));
    if let Some(alarm) = alarm {
        return wait("Alarm".into(), "the alarm to pass", format!("never during an alarm: {alarm}"));
    }
    // What cannot be rolled back would be answered by taking the step back at once.
    let failing = w.rollout.crashes > 0 || w.rollout.deadline_exceeded;
    if suspected || !w.rollout.complete || (failing && v.version.since_four()) {
        return wait("Rollout".into(), "the rollout", "never during a rollout".into());
    }
    if m.scale_up_trial.is_some() || w.ready != w.desired {
        return wait("Scaling".into(), "the last ScaleUp to settle", "a change of count is settling".into());
    }
    let settle = f64::from(retune.settle_seconds);
    let rest = (settle * m.regrets.rest(retune.parameters.len())).min(policy::DAY.max(settle));
    if let Some(last) = m.last_retune.filter(|last| v.since(*last) < rest) {
        let left = format!("{} s since the last step", short(rest - v.since(last)));
        if v.since(last) >= settle {
            let why = format!("{} steps in a row gained nothing", m.regrets.vain_steps);
            return wait("Resting".into(), &left, why);
        }
        return wait("Settling".into(), &left, "the last step is settling".into());
    }
    if let Some(until) = m.cooldown_until.filter(|until| v.now() < *until) {
        let left = format!("{} s of cooldown", short(-v.since(until)));
        return wait("Cooldown".into(), &left, format!("{left} left"));
    }
    if v.s.standing.facts_behind {
        return wait("FactsBehind".into(), "a live read", "what is known may be outdated".into());
    }
    None
}

/// The next possible step, as a proposal.
fn step(v: &View<'_>, retune: &Retune, reason: &Reason) -> Tried {
    let Some(tunable) = tunable(v).filter(|tunable| tunable.name == retune.config_map_ref.name) else {
        return Tried::no(RULE, format!("ConfigMap {} does not exist", retune.config_map_ref.name));
    };
    let Some(estimate) = v.s.picture.signals.get(&reason.signal) else {
        return Tried::no(RULE, format!("{} is not filtered", reason.signal));
    };
    let Some(search::Step { parameter, from, to, share }) = search::next(v, retune) else {
        return Tried::no(
            RULE,
            format!("{}; no declared key holds a number that can be stepped", reason.text),
        );
    };
    let margin = v.spec().rollback.equivalence_margin;
    Tried::yes(Proposal {
        action: RULE,
        plan: Plan::Retune {
            config_map: tunable.name.clone(),
            resource_version: tunable.resource_version.clone(),
            key: parameter.key.clone(),
            from: from.to_owned(),
            to: to.clone(),
            restore: false,
        },
        why: format!("{}:{}", if reason.signal == SignalName::BETA { "Trend" } else { "Low" }, reason.signal)
            .into(),
        reasoning: format!("{} {from} → {to}: {}", parameter.key, reason.text).into(),
        proof: None,
        confidence: confidence::retune(reason.sure, estimate, margin, share, reason.span),
        exempt: false,
        want: None,
        provisional: false,
    })
}

#[cfg(test)]
#[path = "retune_tests.rs"]
mod tests;
