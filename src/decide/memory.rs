//! What is remembered: advanced once a turn by what was seen, and once more by an act that was applied.
//!
//! ```text
//!  memory ─► seen (edits, streaks, windows, trials) ─► rules ─► decided(act)
//!                    └──────────── memory_if_not_applied ──────────┘ memory
//! ```
//!
//! An empty memory is always the cautious one: streaks start at 0, windows are empty, nothing is on trial. All
//! lists are bounded, because a situation is recorded whole.

use std::sync::Arc;

use jiff::Timestamp;
use smol_str::SmolStr;

use super::behavior::{self, Way};
use super::policy;
use super::regret::{self, Regrets};
use super::rules::retune::{self, Judgement};
use super::rules::{Proposal, happened, notice};
use super::situation::{Action, LastAct, Memory, Notice, Plan, RetuneTrial, SeenTarget, Situation};
use super::trial;
use super::view::{Need, Trouble, Turn, View, later, seconds, short};
use crate::api::scaling::{Enforcement, Retune};
use crate::observe::reading::SignalName;
use crate::observe::workload::Workload;

/// Templates remembered as good or bad.
const MAX_TEMPLATES: usize = 8;
/// Reverts remembered.
const MAX_REVERTS: usize = 4;

impl Memory {
    /// Whether a template is known bad.
    pub(super) fn known_bad(&self, template: &str) -> bool {
        self.bad_templates.iter().any(|bad| *bad == template)
    }
}

/// What the turn's observation makes of the memory, what it has to say, and the count that it found to be needed: what
/// comes after it changes nothing that this depends on.
pub(super) fn seen(turn: &Turn<'_>) -> (Arc<Memory>, Vec<Notice>, Option<Need>) {
    let Turn { s, w, .. } = *turn;
    // Shared once it is complete: one that is shared has to be asked, at a price, whether it may be changed.
    let mut memory = s.memory.clone();
    let m = &mut memory;
    let mut said = Vec::new();
    if m.target_uid.as_deref().is_some_and(|uid| uid != w.uid) {
        *m = recreated(m);
    }
    if m.target_uid.is_none() {
        m.target_uid = Some((&w.uid).into());
    }
    prune(m, s);
    said.extend(edits(m, s, w));
    if m.revision.as_deref() != Some(&w.current.pod_template_hash) {
        new_revision(m);
        m.revision = Some((&w.current.pod_template_hash).into());
    }
    let troubles = turn.view(m).troubles();
    if m.turn_at.is_none_or(|at| at < s.now) {
        m.turn_at = Some(s.now);
        streaks(m, turn, &troubles);
        regret::watch(m, &turn.view(&s.memory));
    }
    let need = recommend(m, turn);
    calm(m, turn, troubles.is_empty());
    trial::judge(m, turn);
    said.extend(conclude_retune(m, turn));
    (Arc::new(memory), said, need)
}

/// What is left of the memory while the target does not exist: a recreated one starts afresh.
pub(super) fn without_target(s: &Situation) -> Memory {
    let mut m = recreated(&s.memory);
    prune(&mut m, s);
    m
}

/// What outlives the Deployment: marks, budgets and reverts. Everything else was about its pods.
fn recreated(m: &Memory) -> Memory {
    Memory {
        rollbacks: m.rollbacks.clone(),
        bad_templates: m.bad_templates.clone(),
        good_templates: m.good_templates.clone(),
        reverted: m.reverted.clone(),
        retune_trial: m.retune_trial.clone(),
        retune_steps: m.retune_steps,
        retune_slopes: m.retune_slopes.clone(),
        announced: m.announced.clone(),
        ..Memory::default()
    }
}

fn prune(m: &mut Memory, s: &Situation) {
    let young = |at: &Timestamp, limit: f64| seconds(s.now, *at) < limit;
    m.rollbacks.retain(|at| young(at, policy::DAY));
    // More than the budget says nothing more than the budget does.
    let most = (s.spec.rollback.max_per_day as usize).clamp(1, 100);
    m.rollbacks.drain(..m.rollbacks.len().saturating_sub(most));
    m.reverted.retain(|at| young(at, policy::DAY));
    m.reverted.drain(..m.reverted.len().saturating_sub(MAX_REVERTS));
    let longest = behavior::longest_period(&s.spec);
    m.changes.retain(|(at, _)| young(at, longest));
    m.changes.drain(..m.changes.len().saturating_sub(behavior::MAX_ENTRIES));
    m.bad_templates.truncate(MAX_TEMPLATES);
    m.good_templates.truncate(MAX_TEMPLATES);
    m.cooldown_until = m.cooldown_until.filter(|until| *until > s.now);
    m.edited_until = m.edited_until.filter(|until| *until > s.now);
    m.regrets.forget(s.now);
}

/// Somebody else's edits of replicas or template become the new baseline, with a rest for what they did.
fn edits(m: &mut Memory, s: &Situation, w: &Workload) -> Vec<Notice> {
    if s.standing.facts_behind {
        // What looks like an edit may be the past.
        return Vec::new();
    }
    let known = m.baseline.as_ref();
    let count = known.is_some_and(|known| known.replicas != w.desired);
    let template = known.is_some_and(|known| known.template != w.current.template);
    if known.is_some() && !(count || template) {
        return Vec::new();
    }
    let found = SeenTarget { replicas: w.desired, template: (&w.current.template).into(), ours: false };
    let Some(known) = m.baseline.replace(found) else { return Vec::new() };
    if count {
        void_trials(m);
        m.regrets.edited();
    }
    let watching = s.spec.enforcement == Enforcement::Observe;
    if watching || (count && !template && !w.other_scalers.is_empty()) {
        // Whoever owns the count moves it every minute; that is no news and no contest.
        return Vec::new();
    }
    if known.ours && took_back(m, &known, w, s.now) {
        m.reverted.push(s.now);
    }
    m.recommendations.clear();
    m.up_recommendations.clear();
    m.recommending_since = None;
    let rest = later(s.now, f64::from(s.spec.cooldown_seconds));
    m.cooldown_until = m.cooldown_until.max((rest > s.now).then_some(rest));
    let what = if count {
        m.edited_until = (w.desired < known.replicas && rest > s.now).then_some(rest);
        format!("replicas were changed from {} to {}", known.replicas, w.desired)
    } else {
        format!("the template was changed to {}", w.current.pod_template_hash)
    };
    let message = format!(
        "{what} by somebody else; that is respected: ScaleDown and Retune rest for {} s",
        s.spec.cooldown_seconds
    );
    vec![happened("Held", message)]
}

/// Whether an edit undoes our last act rather than being one of its own.
fn took_back(m: &Memory, known: &SeenTarget, w: &Workload, now: Timestamp) -> bool {
    let Some(act) = m.last_act.as_ref().filter(|act| seconds(now, act.at) <= policy::REVERT_WINDOW) else {
        return false;
    };
    let ours = known.replicas - act.replicas;
    let theirs = w.desired - known.replicas;
    let count = w.desired > 0 && ours.signum() * theirs.signum() < 0;
    let template = act.template != known.template && act.template == w.current.template;
    count || template
}

/// Evidence older than the last rollout counts for nothing.
fn new_revision(m: &mut Memory) {
    no_streaks(m);
    m.calm_since = None;
    m.recommendations.clear();
    m.up_recommendations.clear();
    m.recommending_since = None;
    m.regrets = Regrets { usual: m.regrets.usual, ..Regrets::default() };
    void_trials(m);
}

fn no_streaks(m: &mut Memory) {
    (m.omega_low, m.latency_high, m.errors_high, m.cpu_hot, m.latency_double) = (0, 0, 0, 0, 0);
}

fn void_trials(m: &mut Memory) {
    m.scale_up_trial = None;
    if let Some(trial) = &mut m.retune_trial {
        trial.void = true;
    }
}

/// Turns in a row; a turn that cannot be believed breaks the row.
fn streaks(m: &mut Memory, turn: &Turn<'_>, troubles: &[Trouble]) {
    let v = turn.view(m);
    let (hot, urgent) = (v.cpu_hot().is_some(), v.latency_urgent().is_some());
    let bad = |name: &SignalName| troubles.iter().any(|trouble| trouble.signal == *name);
    let count = |turns: u32, bad: bool| if bad { turns.saturating_add(1) } else { 0 };
    m.omega_low = count(m.omega_low, bad(&SignalName::OMEGA));
    m.latency_high = count(m.latency_high, bad(&SignalName::LATENCY));
    m.errors_high = count(m.errors_high, bad(&SignalName::ERRORS));
    m.cpu_hot = count(m.cpu_hot, hot);
    m.latency_double = count(m.latency_double, urgent);
}

/// Gathers n* for stabilisation, and gives it; a turn without one, or a pause between turns, starts the window anew.
fn recommend(m: &mut Memory, turn: &Turn<'_>) -> Option<Need> {
    let (s, v) = (turn.s, turn.view(m));
    let gap = (3.0 * f64::from(s.spec.interval_seconds)).max(60.0);
    let broken = m.recommendations.last().is_some_and(|(at, _)| seconds(s.now, *at) > gap);
    let found = v.need();
    let need = found.filter(|_| v.consistent());
    if broken || need.is_none() {
        m.recommendations.clear();
        m.up_recommendations.clear();
        m.recommending_since = None;
    }
    let Some(need) = need else { return found };
    m.recommending_since = m.recommending_since.or(Some(s.now));
    let (down, up) = (behavior::window(Way::Down, &s.spec), behavior::window(Way::Up, &s.spec));
    behavior::remember(Way::Down, &mut m.recommendations, s.now, need.raw.max(s.spec.min_replicas), down);
    if up > 0.0 {
        behavior::remember(Way::Up, &mut m.up_recommendations, s.now, need.want, up);
    }
    found
}

/// Records a template good once it has served for `attributionSeconds` without trouble, seen as such.
fn calm(m: &mut Memory, turn: &Turn<'_>, well: bool) {
    let Turn { s, w, .. } = *turn;
    if !well || w.rollout.crashes > 0 || w.rollout.deadline_exceeded {
        m.calm_since = None;
        return;
    }
    let reach = f64::from(s.spec.rollback.attribution_seconds);
    let long = |since: Timestamp| seconds(s.now, since) >= reach;
    let since = *m.calm_since.get_or_insert(s.now);
    let template = &w.current.template;
    if long(since)
        && w.rollout.last_ready_at.is_some_and(long)
        && w.rollout.complete
        && turn.view(m).troubles_visible()
        && !m.known_bad(template)
    {
        to_front(&mut m.good_templates, template);
    }
}

fn to_front(list: &mut Vec<SmolStr>, item: &str) {
    let mut places = list.iter().enumerate().filter(|(_, known)| ***known == *item).map(|(place, _)| place);
    if (places.next(), places.next()) != (Some(0), None) {
        list.retain(|known| **known != *item);
        list.insert(0, item.into());
    }
    list.truncate(MAX_TEMPLATES);
}

/// A trial that needs no act to end: the step was better, or somebody else took the key over.
fn conclude_retune(m: &mut Memory, turn: &Turn<'_>) -> Option<Notice> {
    m.retune_trial.as_ref()?;
    let (s, before) = (turn.s, m.clone());
    let v = turn.view(&before);
    let judgement = retune::judge(&v);
    if !matches!(judgement, Judgement::Kept(_) | Judgement::Theirs { .. }) {
        return None;
    }
    let trial = m.retune_trial.take()?;
    m.last_retune = Some(s.now);
    match judgement {
        Judgement::Kept(text) => {
            m.kept_retune = Some(trial);
            // What a count carries has changed with it.
            (m.regrets.vain_steps, m.regrets.too_few) = (0, Vec::new());
            learn(m, &v);
            Some(happened("Retuned", text))
        }
        Judgement::Theirs { reverted } => {
            if reverted {
                m.reverted.push(s.now);
            }
            Some(happened("Held", format!("somebody else changed {}; the trial ends", trial.key)))
        }
        _ => None,
    }
}

/// Remembers what the trial that ends has measured.
fn learn(m: &mut Memory, v: &View<'_>) {
    if let Some((key, slope)) = retune::measured(v) {
        retune::search::learn(m, &key, slope);
    }
}

/// The memory once an act was applied.
pub(super) fn decided(v: &View<'_>, proposal: &Proposal) -> Memory {
    let (w, now) = (v.w, v.now());
    let mut m = v.m.clone();
    let cooldown = Some(later(now, f64::from(v.spec().cooldown_seconds))).filter(|until| *until > now);
    let template = SmolStr::from(&w.current.template);
    let last_act = LastAct { at: now, replicas: w.desired, template: template.clone() };
    match &proposal.plan {
        Plan::Nothing => {}
        Plan::Scale { from, to } => {
            behavior::record(&mut m.changes, now, to - from);
            m.baseline = Some(SeenTarget { replicas: *to, template, ours: true });
            m.last_act = Some(last_act);
            m.edited_until = None;
            regret::scaled(&mut m, v, proposal, *from, *to);
            if proposal.action == Action::ScaleUp {
                // What was asked for now counts against taking it back within the window.
                let window = behavior::window(Way::Down, v.spec());
                behavior::remember(Way::Down, &mut m.recommendations, now, *to, window);
                (m.cpu_hot, m.latency_double) = (0, 0);
                m.scale_up_trial = Some(trial::begun(v, *to, proposal.want));
                if let Some(trial) = &mut m.retune_trial {
                    trial.void = true;
                }
            } else {
                m.scale_up_trial = None;
                m.cooldown_until = m.cooldown_until.max(cooldown);
            }
        }
        Plan::Rollback { to, bad_template, good_template, .. } => {
            new_revision(&mut m);
            m.rollbacks.push(now);
            to_front(&mut m.bad_templates, bad_template);
            to_front(&mut m.good_templates, good_template);
            m.baseline = Some(SeenTarget { replicas: w.desired, template: good_template.into(), ours: true });
            m.last_act = Some(last_act);
            m.revision = Some(to.into());
            m.fruitless = 0;
            m.fruitless_load = None;
            m.cooldown_until = m.cooldown_until.max(cooldown);
        }
        Plan::Retune { restore: true, .. } => {
            learn(&mut m, v);
            m.retune_trial = None;
            m.kept_retune = None;
            m.last_retune = Some(now);
            m.retune_steps = m.retune_steps.wrapping_add(1);
            m.regrets.in_vain(v);
            // What follows is judged without the step.
            no_streaks(&mut m);
            m.cooldown_until = m.cooldown_until.max(cooldown);
        }
        Plan::Retune { config_map, key, from, to, restore: false, .. } => {
            let signal = if proposal.why.ends_with(":beta") { SignalName::BETA } else { SignalName::OMEGA };
            m.retune_trial = Some(Box::new(RetuneTrial {
                config_map: config_map.clone(),
                key: key.clone(),
                before: from.clone(),
                trial: to.clone(),
                since: now,
                baseline: v.s.picture.signals.get(&signal).map_or(f64::MAX, |estimate| estimate.level),
                signal: signal.to_string(),
                void: false,
            }));
            m.cooldown_until = m.cooldown_until.max(cooldown);
        }
    }
    m
}

/// Notices that follow from the facts alone, whatever was decided.
pub(super) fn standing_notices(s: &Situation, w: &Workload) -> Vec<Notice> {
    let mut said = Vec::new();
    if w.rollout.unschedulable > 0 {
        let text = format!("{} pods cannot be scheduled; look at quota and nodes", w.rollout.unschedulable);
        said.push(notice("Unschedulable", text));
    }
    if !w.other_scalers.is_empty() {
        let text =
            format!("{} also scale the Deployment; replicas are left to them", w.other_scalers.join(", "));
        said.push(notice("ScalerConflict", text));
    }
    if let Some(share) = s.standing.pool.as_ref().filter(|share| share.short) {
        let text = format!(
            "the minimums of pool {} exceed its budget, so nobody shrinks for it; raise its maxReplicas or lower minReplicas",
            share.pool
        );
        said.push(notice("Degraded", text));
    }
    if let Some(why) = s.spec.retune.as_ref().and_then(|retune| untunable(retune, w)) {
        said.push(notice("Degraded", format!("nothing is retuned: {why}")));
    }
    if !s.observed.evidence.frozen.is_empty() {
        let names: Vec<_> = s.observed.evidence.frozen.iter().map(ToString::to_string).collect();
        let text =
            format!("{} did not move while the others did; not trusted for ScaleDown", names.join(", "));
        said.push(notice("FrozenSignal", text));
    }
    if let Some(omega) = s.picture.omega.filter(|omega| omega.disagrees) {
        let text = format!(
            "read and computed omega differ by more than 0.05; the smaller, {}, counts",
            short(omega.value)
        );
        said.push(notice("OmegaDisagrees", text));
    }
    said
}

/// Why a configured retune can do nothing, with the way out.
fn untunable(retune: &Retune, w: &Workload) -> Option<String> {
    let name = &retune.config_map_ref.name;
    let Some(tunable) = &w.tunable else {
        return Some(format!("ConfigMap {name} does not exist; create it or take retune out of the spec"));
    };
    let why = tunable.refused.as_ref()?;
    Some(format!("ConfigMap {name}: {why}; it must be mutable, hold numbers and be mounted as a folder"))
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
