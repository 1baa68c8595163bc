//! Row 2: more replicas — by forecast, by the reactive bounds, or into [min, max].

use super::{Proposal, Tried, notice};
use crate::api::scaling::{Enforcement, SelectPolicy};
use crate::decide::behavior::{self, Way};
use crate::decide::policy;
use crate::decide::situation::{Action, Plan, PoolShare};
use crate::decide::text::Text;
use crate::decide::trial;
use crate::decide::view::{View, short};
use crate::observe::reading::SignalName;
use crate::orient::capacity::Capacity;
use crate::orient::surge::Surge;

const RULE: Action = Action::ScaleUp;

/// A reason for more, and how many.
struct Asked {
    why: &'static str,
    to: i32,
    text: String,
}

pub(crate) fn try_rule(v: &View<'_>, suspected: Option<&str>) -> Tried {
    let (w, spec) = (v.w, v.spec());
    if let Some(owner) = owner_of_replicas(v) {
        return Tried::no(RULE, format!("{owner} owns the replicas"));
    }
    let below = (w.desired < spec.min_replicas).then(|| Asked {
        why: "BelowMin",
        to: spec.min_replicas,
        text: format!("{} < minReplicas {}", w.desired, spec.min_replicas),
    });
    let (reactive, hot) = reactive(v);
    let forecast = forecast(v);
    let mut pending = hot;
    if let Err(Some(why)) = &forecast {
        pending.push(why.clone());
    }
    let asked: Vec<Asked> = below.into_iter().chain(forecast.ok()).chain(reactive).collect();
    let Some(most) = asked.iter().max_by_key(|asked| asked.to) else {
        return not_asked(v, pending);
    };
    let urgent = asked.iter().any(|asked| asked.why != "Forecast");
    let because = asked.iter().map(|asked| asked.text.as_str()).collect::<Vec<_>>().join("; ");
    if !urgent && let Some(until) = v.m.edited_until.filter(|until| v.now() < *until) {
        let left = format!("{} s", short(-v.since(until)));
        let text = format!("{because}; somebody lowered the count by hand, which is respected for {left}");
        return Tried::wait(RULE, "HumanEdit", text, vec![left]);
    }
    let helps = v.cpu_hot().is_some() || w.desired < spec.min_replicas;
    if v.m.fruitless >= policy::FRUITLESS_LIMIT && !helps {
        let text = format!("{because}; {} ScaleUps gained nothing", v.m.fruitless);
        let said =
            notice("Degraded", format!("{text}; held until the load changes — look at what it depends on"));
        return Tried::wait(RULE, "Fruitless", text, vec!["the load to change".into()]).with(said);
    }
    let goal = v.inside(most.to);
    let limit = behavior::limit(Way::Up, &spec.behavior.scale_up, w.desired, &v.m.changes, v.now());
    let to = limit.map_or(goal, |limit| goal.min(limit)).max(if w.desired < spec.min_replicas {
        spec.min_replicas
    } else {
        w.desired
    });
    if to <= w.desired {
        return if spec.behavior.scale_up.select_policy == SelectPolicy::Disabled {
            Tried::no(RULE, format!("{because}; behavior.scaleUp is disabled"))
        } else if goal <= w.desired
            && let Some(share) = v.pool_bound()
        {
            let left = leaves(share);
            Tried::wait(RULE, "PoolShare", format!("{because}; {left}"), vec![left])
        } else if goal <= w.desired {
            Tried::no(RULE, format!("{because}; at maxReplicas {}", spec.max_replicas))
        } else {
            Tried::wait(
                RULE,
                "RateLimited",
                format!("{because}; the rate of change is used up"),
                vec!["the policy period".into()],
            )
        };
    }
    if !helps && let Some((count, waits)) = trial::open(v, to) {
        let text = format!("{because}; {count} ScaleUps under the same load have shown no gain yet");
        return Tried::wait(RULE, "GainUnknown", text, vec![waits]);
    }
    let clamped = to < goal || v.need().is_some_and(|need| need.raw > to) || most.to > to;
    let cause =
        if most.why == "Forecast" && clamped { format!("{because}; limited to {to}") } else { because };
    Tried::yes(Proposal {
        action: RULE,
        plan: Plan::Scale { from: w.desired, to },
        why: if suspected.is_some() { format!("Provisional:{}", most.why).into() } else { most.why.into() },
        reasoning: match suspected {
            Some(what) => format!("{} → {to}: {cause}; provisional: {what}", w.desired),
            None => format!("{} → {to}: {cause}", w.desired),
        }
        .into(),
        proof: None,
        confidence: v.sure(RULE, to, late(v)).or_else(|| kept_beyond(v, to)),
        exempt: clamped || w.desired < spec.min_replicas || missed(v),
        want: Some(goal),
        provisional: suspected.is_some(),
    })
}

/// What a sample that does not speak of the pods there are is too early for.
fn early(v: &View<'_>) -> &'static str {
    if v.version.since_six() {
        "sampled before what was done last could show"
    } else {
        "sampled before the pods added last could show"
    }
}

/// The count that the reactive bounds ask for, whatever limits it; `None` where they ask for nothing.
pub(crate) fn asked(v: &View<'_>) -> Option<i32> {
    reactive(v).0.iter().map(|asked| asked.to).max()
}

/// Who else sets the replicas. While we only watch, what we would do is shown beside them.
pub(crate) fn owner_of_replicas<'a>(v: &View<'a>) -> Option<&'a str> {
    let owner = v.w.other_scalers.first().map(String::as_str);
    owner.filter(|_| v.spec().enforcement != Enforcement::Observe)
}

/// More by n*. `Err(Some(_))` when it would ask but may not yet.
fn forecast(v: &View<'_>) -> Result<Asked, Option<String>> {
    let need = v.need().ok_or(None)?;
    if !v.consistent() {
        return Err(None);
    }
    let (desired, rules) = (v.w.desired, &v.spec().behavior.scale_up);
    let slack = f64::from(desired) * (1.0 + behavior::tolerance(rules).unwrap_or(0.0));
    if need.want <= desired || f64::from(need.want) <= slack {
        return Err(None);
    }
    let text = format!("needs {} of {desired} within {} s", need.want, short(v.horizon()));
    let window = behavior::window(Way::Up, v.spec());
    if window <= 0.0 {
        return Ok(Asked { why: "Forecast", to: need.want, text });
    }
    // Stabilised: the smallest count wanted in the whole window, and a gap starts it anew.
    let gathered = v.m.recommending_since.map_or(0.0, |since| v.since(since));
    if gathered < window {
        return Err(Some(format!("{} s of stabilisation", short(window - gathered))));
    }
    let least = v.m.up_recommendations.iter().map(|(_, count)| *count).min().unwrap_or(desired);
    if least <= desired {
        return Err(Some("the upward stabilisation window".into()));
    }
    Ok(Asked { why: "Forecast", to: least.min(need.want), text })
}

/// More by the reactive bounds, and the bounds that have not been passed for long enough yet.
fn reactive(v: &View<'_>) -> (Vec<Asked>, Vec<String>) {
    let (w, mut asked, mut pending) = (v.w, Vec::new(), Vec::new());
    let turns = policy::REACTIVE_TURNS;
    if let Some(cpu) = v.cpu_hot() {
        let text = format!("cpu {} > {}", short(cpu), short(policy::cpu_bound(v.spec())));
        // All the work there is, over what one replica should carry; pods under way count as there.
        let to = (cpu * f64::from(w.ready) / v.spec().targets.cpu_target).ceil() as i32;
        if v.m.cpu_hot < turns {
            pending.push(format!("{text} for {} of {turns} turns", v.m.cpu_hot));
        } else if !v.speaks_of_now(&SignalName::CPU) {
            pending.push(format!("{text}; {}", early(v)));
        } else if to > w.desired {
            asked.push(Asked { why: "Reactive:cpu", to, text });
        } else {
            pending.push(format!("{text}; {} pods under way", w.desired - w.ready));
        }
    }
    if let Some((latency, target)) = v.latency_urgent() {
        let bound = policy::LATENCY_URGENT * target;
        let text = format!("latency {} > {} ms", short(latency), short(bound));
        if v.m.latency_double < turns {
            pending.push(format!("{text} for {} of {turns} turns", v.m.latency_double));
        } else if w.ready < w.desired {
            pending.push(format!("{text}; {} pods under way", w.desired - w.ready));
        } else if !v.speaks_of_now(&SignalName::LATENCY) {
            pending.push(format!("{text}; {}", early(v)));
        } else {
            // No model of latency: as much more as it is over the bound, and at least one.
            let to = (f64::from(w.desired) * latency / bound).ceil() as i32;
            asked.push(Asked { why: "Reactive:latency", to: to.max(w.desired.saturating_add(1)), text });
        }
    }
    let (more, waits) = surge(v);
    asked.extend(more);
    pending.extend(waits);
    (asked, pending)
}

/// The load beyond what was carried well as a demand, for workloads that no model sizes.
fn beyond<'a>(v: &View<'a>) -> Option<(&'a Surge, Capacity)> {
    v.value(&SignalName::THROUGHPUT)?;
    let surge = v.s.picture.surge.as_ref().filter(|_| v.capacity().is_none())?;
    let demand = Capacity::Utilisation { mean: surge.rate, sd: surge.sd, target: surge.carried };
    Some((surge, demand))
}

/// P(no replica carries more than it has carried well), with `to` of them.
fn kept_beyond(v: &View<'_>, to: i32) -> Option<f64> {
    beyond(v).map(|(_, demand)| demand.keep_probability(to)).filter(|p| p.is_finite())
}

/// More by a load beyond what was carried well, for two turns.
fn surge(v: &View<'_>) -> (Option<Asked>, Option<String>) {
    let Some((surge, demand)) = beyond(v) else { return (None, None) };
    let each = surge.rate / f64::from(v.w.ready.max(1));
    let text =
        format!("{} requests a second a replica, {} were carried well", short(each), short(surge.carried));
    let turns = policy::REACTIVE_TURNS;
    let most = v.spec().max_replicas.max(v.w.desired);
    let to = demand.needed(policy::keep_probability(v.spec()), most);
    if surge.turns < turns {
        (None, Some(format!("{text} for {} of {turns} turns", surge.turns)))
    } else if v.w.ready < v.w.desired {
        (None, Some(format!("{text}; {} pods under way", v.w.desired - v.w.ready)))
    } else {
        ((to > v.w.desired).then_some(Asked { why: "Reactive:load", to, text }), None)
    }
}

/// Whether a set point is missed already, so that no forecast is needed to ask for more.
fn missed(v: &View<'_>) -> bool {
    v.value(&SignalName::CPU).is_some_and(|cpu| cpu > v.spec().targets.cpu_target) || slow(v)
}

fn slow(v: &View<'_>) -> bool {
    let latency = v.value(&SignalName::LATENCY).zip(v.spec().targets.latency_target);
    latency.is_some_and(|(latency, target)| latency > target)
}

/// Whether the set point that the model sizes for is missed already.
fn late(v: &View<'_>) -> bool {
    match v.capacity() {
        Some(Capacity::Queue { .. }) => slow(v),
        Some(Capacity::Utilisation { .. }) | None => missed(v),
    }
}

/// What a pool has for a member, of which the others have the rest.
fn leaves(share: &PoolShare) -> String {
    format!("pool {} leaves {}", share.pool, share.most)
}

fn not_asked(v: &View<'_>, mut pending: Vec<String>) -> Tried {
    let (desired, bound) = (v.w.desired, policy::cpu_bound(v.spec()));
    let lacks = v.consistent() && v.need().is_some_and(|need| need.raw > desired && need.want <= desired);
    let short = v.pool_bound().filter(|_| lacks);
    let mut text = match v.need() {
        Some(_) if !v.consistent() => {
            "the filter is not consistent, so only the reactive bounds count".into()
        }
        Some(need) if need.raw > need.want && short.is_none() => {
            let most = v.spec().max_replicas;
            Text::of("needs {} of {}, maxReplicas is {}", [need.raw.into(), desired.into(), most.into()])
        }
        Some(need) => Text::of("needs {} of {}", [need.raw.into(), desired.into()]),
        None => "no forecast".into(),
    };
    if let Some(cpu) = v.value(&SignalName::CPU) {
        let more = if cpu > bound { "; cpu {} > {}" } else { "; cpu {} < {}" };
        text = text.and(more, [cpu.into(), bound.into()]);
    }
    pending.extend(short.map(leaves));
    if pending.is_empty() {
        return Tried::no(RULE, text);
    }
    let text = format!("{text}; {}", pending.join("; "));
    Tried::wait(RULE, if short.is_some() { "PoolShare" } else { "Reactive" }, text, pending)
}

#[cfg(test)]
#[path = "scale_up_tests.rs"]
mod tests;
