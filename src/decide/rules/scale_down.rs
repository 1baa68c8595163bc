//! Row 4: fewer replicas, when every signal agrees for the whole stabilisation window.
//!
//! The least urgent act has the most conditions: any doubt keeps the count.

use std::borrow::Cow;

use super::{Proposal, Tried, scale_up, unrest_waits};
use crate::api::scaling::SelectPolicy;
use crate::decide::behavior::{self, Way};
use crate::decide::policy;
use crate::decide::regret::{self, Tested};
use crate::decide::situation::{Action, GateView, Load, Plan};
use crate::decide::text::Text;
use crate::decide::view::{View, short};
use crate::observe::reading::{Reading, SignalName, Use};

const RULE: Action = Action::ScaleDown;

/// One reason to keep the count for now.
struct Block {
    token: Cow<'static, str>,
    because: String,
    waiting: String,
}

pub(crate) fn try_rule(v: &View<'_>) -> Tried {
    let (spec, desired) = (v.spec(), v.w.desired);
    if let Some(owner) = scale_up::owner_of_replicas(v) {
        return Tried::no(RULE, format!("{owner} owns the replicas"));
    }
    if let Some(most) = asked_back(v) {
        return give_back(v, most);
    }
    let Some(need) = v.need() else {
        return Tried::no(RULE, "no forecast, so nothing shows that fewer would do");
    };
    let slack = f64::from(desired) * (1.0 - behavior::tolerance(&spec.behavior.scale_down).unwrap_or(0.0));
    if need.raw >= desired
        || f64::from(need.raw.max(spec.min_replicas)) >= slack.max(f64::from(spec.min_replicas))
    {
        let needed = need.raw.max(spec.min_replicas);
        return Tried::no(RULE, Text::of("needs {} of {}", [needed.into(), desired.into()]));
    }
    if spec.behavior.scale_down.select_policy == SelectPolicy::Disabled {
        return Tried::no(RULE, "behavior.scaleDown is disabled");
    }
    if let Some(waits) = gate_waits(v) {
        return waits;
    }
    let blocks = blocks(v);
    if let Some(first) = blocks.first() {
        let waiting = blocks.iter().map(|block| block.waiting.clone()).collect();
        return Tried::wait(RULE, first.token.clone(), first.because.clone(), waiting);
    }
    // The window is full and its maximum counts.
    let stable = v.m.recommendations.iter().map(|(_, count)| *count).fold(need.raw, i32::max);
    let stable = stable.max(spec.min_replicas);
    if stable >= desired {
        let text = format!("needs {} of {desired}, {stable} within the stabilisation window", need.raw);
        return Tried::wait(RULE, "Stabilising", text, vec!["the stabilisation window".into()]);
    }
    if stable > spec.max_replicas {
        return Tried::no(
            RULE,
            format!("needs {stable} > maxReplicas {}; not lowered for that alone", spec.max_replicas),
        );
    }
    let limit = behavior::limit(Way::Down, &spec.behavior.scale_down, desired, &v.m.changes, v.now());
    let known = regret::too_few(v);
    // The owner's limit holds whatever was learned.
    let held = known.map_or(stable, |known| stable.max((known.replicas + 1).min(spec.max_replicas)));
    if let Some(known) = known
        && held >= desired
    {
        return too_few(desired, stable, known);
    }
    // From above maxReplicas the first step leads inside: every count that is set lies in [min, max].
    let to = limit.map_or(held, |limit| held.max(limit)).min(spec.max_replicas);
    if to >= desired {
        let text = format!("needs {stable} of {desired}; the rate of change is used up");
        return Tried::wait(RULE, "RateLimited", text, vec!["the policy period".into()]);
    }
    let window = short(behavior::window(Way::Down, spec));
    Tried::yes(Proposal {
        action: RULE,
        plan: Plan::Scale { from: desired, to },
        why: if desired > spec.max_replicas { "AboveMax".into() } else { "Surplus".into() },
        reasoning: format!("{desired} → {to}: needed {stable} at most for {window} s").into(),
        proof: None,
        confidence: v.sure(RULE, to, false),
        exempt: desired > spec.max_replicas,
        want: Some(v.inside(need.raw)),
        provisional: false,
    })
}

/// Fewer were tried at no more load, and had to be taken back.
fn too_few(desired: i32, needed: i32, known: &Tested) -> Tried {
    let load = match known.load {
        Load { throughput: Some(rate), .. } => format!("{} requests a second", short(rate)),
        Load { work: Some(work), .. } => format!("{} replicas' worth of cpu", short(work)),
        Load { .. } => "a load that cannot be seen".into(),
    };
    let text = format!("needs {needed} of {desired}, but {} were too few for {load}", known.replicas);
    Tried::wait(RULE, "TooFewBefore", text, vec!["less load, or a day".into()])
}

/// What the gate says against it, or that there is no calm.
fn gate_waits(v: &View<'_>) -> Option<Tried> {
    let says = match v.s.gate {
        GateView::None | GateView::Admit => return unrest_waits(RULE, v),
        GateView::Quarantine => "Quarantine",
        GateView::Block => "Block",
        GateView::Unknown => "Unknown",
    };
    let waiting = vec!["the gate to admit".to_owned()];
    Some(Tried::wait(RULE, format!("Gate:{says}"), format!("the gate says {says}"), waiting))
}

/// The share of a pool, where another member gains more by what is held here.
fn asked_back(v: &View<'_>) -> Option<i32> {
    let share = v.s.standing.pool.as_ref().filter(|share| !share.short)?;
    let most = share.most.max(v.spec().min_replicas);
    (most < v.w.desired).then_some(most)
}

/// Gives back what the pool has a better use for. The need of another does not wait for stabilisation, nor for this
/// member's own trouble, which the division has weighed; doubt about what is read does hold it.
fn give_back(v: &View<'_>, most: i32) -> Tried {
    let desired = v.w.desired;
    if let Some(waits) = gate_waits(v) {
        return waits;
    }
    let weighed = |token: &str| token == "Stabilising" || token == "Omega" || token.starts_with("Trouble:");
    let blocks: Vec<Block> = blocks(v).into_iter().filter(|block| !weighed(&block.token)).collect();
    if let Some(first) = blocks.first() {
        let waiting = blocks.iter().map(|block| block.waiting.clone()).collect();
        return Tried::wait(RULE, first.token.clone(), first.because.clone(), waiting);
    }
    let limit = behavior::limit(Way::Down, &v.spec().behavior.scale_down, desired, &v.m.changes, v.now());
    let to = limit.map_or(most, |limit| most.max(limit)).min(v.spec().max_replicas);
    if to >= desired {
        let text = format!("the pool leaves {most} of {desired}; the rate of change is used up");
        return Tried::wait(RULE, "RateLimited", text, vec!["the policy period".into()]);
    }
    Tried::yes(Proposal {
        action: RULE,
        plan: Plan::Scale { from: desired, to },
        why: "PoolShare".into(),
        reasoning: format!("{desired} → {to}: the pool's other members gain more by the difference").into(),
        proof: None,
        confidence: v.sure(RULE, to, false),
        // A budget is a limit: what is given back is not given because it is not needed.
        exempt: true,
        want: Some(most),
        provisional: false,
    })
}

/// Every reason to keep the count for now, the ones that people can act on first.
fn blocks(v: &View<'_>) -> Vec<Block> {
    let (w, m, spec) = (v.w, v.m, v.spec());
    let mut found = Vec::new();
    let mut block = |token: Cow<'static, str>, because: String, waiting: String| {
        found.push(Block { token, because, waiting });
    };

    for token in v.unbelievable(Use::ScaleDown) {
        let name = token.split_once(':').map_or("", |(_, name)| name).to_owned();
        let age = match v.s.observed.evidence.readings.get(&SignalName::new(&name)) {
            Some(Reading::Stale { age_seconds: Some(age) }) => format!(": {} s old", short(*age)),
            Some(Reading::SourceDown { why }) => format!(": {why}"),
            Some(Reading::OutOfRange { value }) => format!(": {value}"),
            _ => String::new(),
        };
        let state = token.split(':').next().unwrap_or_default().to_owned();
        block(token.into(), format!("{name} is {state}{age}"), format!("fresh {name}"));
    }
    if !v.consistent() {
        let because = "the filter's innovations are larger than it expects".into();
        block("Inconsistent".into(), because, "a consistent filter".into());
    }
    if v.omega_exists() {
        match v.omega() {
            Some(omega) if policy::omega_allows_less(spec.mode, omega) => {}
            Some(omega) => {
                block("Omega".into(), format!("omega {} is too low", short(omega)), "a higher omega".into());
            }
            None => block("Omega".into(), "omega cannot be believed".into(), "fresh omega".into()),
        }
    }
    if let Some(trouble) = v.troubles().into_iter().next() {
        block(
            format!("Trouble:{}", trouble.signal).into(),
            trouble.text(),
            format!("{} in its target", trouble.signal),
        );
    }
    if let Some(cpu) = v.cpu_hot() {
        // Pods under way may be enough; until they are there, nobody knows.
        let because = format!("cpu {} > {}", short(cpu), short(policy::cpu_bound(spec)));
        block("Trouble:cpu".into(), because, "cpu in its target".into());
    }
    for name in &v.s.observed.evidence.frozen {
        let because = format!("{name} has not moved while its neighbours did");
        block(format!("Frozen:{name}").into(), because, format!("{name} to move"));
    }
    if let Some(fresh) = v.s.observed.evidence.fresh_pods
        && i64::from(fresh) < i64::from(w.ready)
    {
        let because = format!("fresh series of {fresh} pods, {} are ready", w.ready);
        block("PodSeries".into(), because, "a fresh series of every ready pod".into());
    }
    if !w.rollout.complete && w.rollout.unschedulable == 0 {
        block("Rollout".into(), "the rollout is not complete".into(), "the rollout".into());
    }
    let settle = spec.retune.as_ref().map_or(0.0, |retune| f64::from(retune.settle_seconds));
    if m.retune_trial.is_some() || m.last_retune.is_some_and(|at| v.since(at) < settle) {
        block("Retuning".into(), "a retune is settling".into(), "the retune to settle".into());
    }
    if let Some(until) = m.cooldown_until.filter(|until| v.now() < *until) {
        let left = format!("{} s of cooldown", short(-v.since(until)));
        block("Cooldown".into(), format!("{left} left"), left);
    }
    if v.s.standing.facts_behind {
        let because = "what is known of the Deployment may be outdated".into();
        block("FactsBehind".into(), because, "a live read".into());
    }
    let window = behavior::window(Way::Down, spec);
    let gathered = m.recommending_since.map_or(0.0, |since| v.since(since));
    if gathered < window {
        let left = format!("{} s of stabilisation", short(window - gathered));
        let because = format!("needs fewer for {} of {} s", short(gathered), short(window));
        block("Stabilising".into(), because, left);
    }
    found
}

#[cfg(test)]
#[path = "scale_down_tests.rs"]
mod tests;
