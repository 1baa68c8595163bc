//! Row 1: an earlier revision, when the present one is proven worse or its rollout fails.
//!
//! ```text
//!  trouble for `persistence` turns ─┐
//!  or a failing rollout ────────────┴─► our own retune since? undo it first
//!        ─► comparison: Worse? ─► obstacles (config change, bad mark, budget, fresh window, …) ─► plan
//!  first samples deviate (one_sided) ─┤
//!  the gate blocks and asks (gate) ───┘
//! ```
//!
//! Every no has its reason, because "why did it not roll back" is asked at night.

mod gate;
mod one_sided;

use jiff::Timestamp;

use super::{Proposal, Tried, notice, retune};
use crate::decide::situation::{Action, Notice, Plan, Proof};
use crate::decide::text::Text;
use crate::decide::view::{Trouble, View, seconds, short};
use crate::decide::{confidence, policy};
use crate::observe::reading::SignalName;
use crate::observe::workload::Revision;
use crate::orient::{Baseline, Comparison, Verdict};

const RULE: Action = Action::Rollback;

/// The verdict, and what it means for the rows below.
pub(crate) struct Finding {
    pub(crate) tried: Tried,
    /// A recent rollout is suspected and not proven: what, for people.
    pub(crate) suspected: Option<String>,
}

impl From<Tried> for Finding {
    fn from(tried: Tried) -> Self {
        Self { tried, suspected: None }
    }
}

/// What speaks against the current revision.
struct Charge {
    proof: Proof,
    why: String,
    text: String,
    confidence: Option<f64>,
    onset: Option<Timestamp>,
}

/// What the comparison says of one lasting trouble.
enum Judged {
    Proven(Box<Charge>),
    /// May still become either.
    Open(String),
    /// The comparison clears the revision; the numbers.
    Cleared(String),
    /// There is no rollout to blame; why.
    Elsewhere(String),
}

impl Judged {
    /// Why it does not speak against the revision, where it does not.
    fn refusal(&self) -> Option<&str> {
        match self {
            Self::Cleared(text) | Self::Elsewhere(text) => Some(text),
            Self::Proven(_) | Self::Open(_) => None,
        }
    }

    /// A proof before what is open, and that before what clears.
    fn weightiest(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        let weight = |judged: &Self| match judged {
            Self::Proven(_) => 0,
            Self::Open(_) => 1,
            Self::Cleared(_) => 2,
            Self::Elsewhere(_) => 3,
        };
        a.into_iter().chain(b).min_by_key(weight)
    }
}

pub(crate) fn try_rule(v: &View<'_>) -> Finding {
    let troubles = v.troubles();
    let lasting: Vec<&Trouble> = troubles.iter().filter(|t| t.turns >= v.spec().persistence).collect();
    let failing = failing(v);
    let asked = gate::judge(v);
    let refused = asked.as_ref().and_then(Judged::refusal).map(str::to_owned);
    let sided = Judged::weightiest(one_sided::judge(v), asked);
    let proven = if let Some(Judged::Proven(charge)) = &sided { Some(charge.as_ref()) } else { None };
    if lasting.is_empty() && failing.is_none() && proven.is_none() {
        return match sided {
            Some(Judged::Open(text)) => suspect(text),
            Some(Judged::Cleared(text) | Judged::Elsewhere(text)) => match refused {
                Some(why) => gate::refused(text, &why).into(),
                None => Tried::no(RULE, text).into(),
            },
            Some(Judged::Proven(_)) | None => before_persistence(v, &troubles),
        };
    }
    let texts = texts(&lasting, failing.as_ref().or(proven));
    if let Some(proposal) = retune::undo(v, &texts) {
        return Tried::under(RULE, proposal).into();
    }
    if !v.spec().rollback.enabled {
        let degraded = degraded(&texts, "rollback.enabled is false");
        return Tried::no(RULE, format!("{texts}; rollback.enabled is false")).with(degraded).into();
    }
    if let Some(charge) = failing {
        return convict(v, charge);
    }
    if let Some(Judged::Proven(charge)) = sided {
        return convict(v, *charge);
    }
    let mut verdicts: Vec<Judged> = lasting.iter().map(|trouble| judge(v, trouble)).collect();
    if let Some(place) = verdicts.iter().position(|verdict| matches!(verdict, Judged::Proven(_)))
        && let Judged::Proven(charge) = verdicts.swap_remove(place)
    {
        return convict(v, *charge);
    }
    let pick = |wanted: fn(&Judged) -> Option<&String>| verdicts.iter().find_map(wanted);
    if let Some(text) = pick(|j| if let Judged::Open(text) = j { Some(text) } else { None }) {
        return suspect(text.clone());
    }
    if let Some(text) = pick(|j| if let Judged::Cleared(text) = j { Some(text) } else { None }) {
        let suppressed = notice("RollbackSuppressed", format!("no rollback: {text}"));
        return Tried::no(RULE, text.clone()).with(suppressed).with(degraded(&texts, text)).into();
    }
    let text = pick(|j| if let Judged::Elsewhere(text) = j { Some(text) } else { None });
    let text = text.map_or("no rollout to blame", String::as_str);
    Tried::no(RULE, text.to_owned()).with(degraded(&texts, text)).into()
}

/// Neither proven nor cleared yet.
fn suspect(text: String) -> Finding {
    let waiting = vec!["a verdict of the comparison".to_owned()];
    Finding { tried: Tried::wait(RULE, "Suspect", text.clone(), waiting), suspected: Some(text) }
}

/// Nothing has lasted long enough to ask for anything.
fn before_persistence(v: &View<'_>, troubles: &[Trouble]) -> Finding {
    let reach = f64::from(v.spec().rollback.attribution_seconds);
    let age = v.since(v.template_started());
    let Some(worst) = troubles.iter().max_by_key(|trouble| trouble.turns) else {
        let text = if age > reach {
            Text::of("no rollout in the last {} s", [reach.into()])
        } else {
            Text::of("no trouble since the rollout of {} s ago", [age.into()])
        };
        return Tried::no(RULE, text).into();
    };
    let text = format!("{} for {} of {} turns", worst.text(), worst.turns, v.spec().persistence);
    if age > reach || !v.spec().rollback.enabled {
        return Tried::no(RULE, text).into();
    }
    let left = v.spec().persistence.saturating_sub(worst.turns);
    let tried = Tried::wait(
        RULE,
        format!("Suspect:{}", worst.signal),
        text.clone(),
        vec![format!("{left} more turns of evidence")],
    );
    Finding { tried, suspected: Some(text) }
}

/// Case (b): the rollout itself fails. Needs no metrics; pods without a node never count.
fn failing(v: &View<'_>) -> Option<Charge> {
    let rollout = &v.w.rollout;
    let crashes = rollout.crashes >= policy::CRASHES;
    let deadline = rollout.deadline_exceeded && rollout.unschedulable == 0;
    let reach = f64::from(v.spec().rollback.attribution_seconds);
    if !(crashes || deadline) || v.since(v.template_started()) > reach {
        return None;
    }
    let (why, text) = if crashes {
        ("Failing:crashes", format!("its pods crashed {} times", rollout.crashes))
    } else {
        ("Failing:deadline", "its pods passed the progress deadline".to_owned())
    };
    Some(Charge {
        proof: Proof::FailingRollout { crashes: rollout.crashes, deadline_exceeded: deadline },
        why: why.to_owned(),
        text,
        confidence: None,
        onset: None,
    })
}

/// Case (a): what the sequential comparison says of a signal that has been bad for long enough.
fn judge(v: &View<'_>, trouble: &Trouble) -> Judged {
    let spec = &v.spec().rollback;
    let reach = f64::from(spec.attribution_seconds);
    let started = v.template_started();
    let of_signal = |baseline| move |c: &&Comparison| c.signal == trouble.signal && c.baseline == baseline;
    let all = &v.s.picture.comparisons;
    let found = all
        .iter()
        .find(of_signal(Baseline::SideBySide))
        .or_else(|| all.iter().find(of_signal(Baseline::Before)));
    let what = trouble.text();
    let age = v.since(started);
    let Some(c) = found else {
        return if age > reach {
            Judged::Elsewhere(format!("{what}; no rollout in the last {} s", short(reach)))
        } else {
            Judged::Open(format!("{what}; not compared with the revision before yet"))
        };
    };
    let began = c.onset.map_or(age, |onset| age - v.since(onset));
    if began > reach {
        return Judged::Elsewhere(format!("{what}; no rollout in the {} s before it began", short(reach)));
    }
    if began < 0.0 || c.onset.is_some_and(|onset| onset < v.w.current.started_at) {
        return Judged::Elsewhere(format!("{what}; it began before the rollout"));
    }
    let beside = match c.baseline {
        Baseline::SideBySide => "beside old pods",
        Baseline::Before => "before the rollout",
    };
    let needed = 1.0 / spec.alpha;
    let numbers = format!(
        "{} {} against {} {beside}; e = {} of {}",
        trouble.signal,
        short(c.current_level),
        short(c.baseline_level),
        short(c.e_worse),
        short(needed)
    );
    if c.baseline == Baseline::Before {
        if v.named(&SignalName::THROUGHPUT) && v.value(&SignalName::THROUGHPUT).is_none() {
            return Judged::Open(format!("{numbers}; the load cannot be seen, so it cannot be ruled out"));
        }
        if c.load_explains {
            return Judged::Cleared(format!("{numbers}; the load per replica explains it"));
        }
        let Some(onset) = c.onset else {
            return Judged::Open(format!("{numbers}; when it began is not known"));
        };
        if let Some(ready) = v.w.rollout.last_ready_at
            && seconds(onset, ready) > v.horizon()
        {
            let late = seconds(onset, ready);
            return Judged::Cleared(format!(
                "{numbers}; it began {} s after the last pod was ready, the horizon is {} s",
                short(late),
                short(v.horizon())
            ));
        }
    }
    match c.verdict {
        Verdict::Worse if c.e_worse >= needed => {
            let margin = spec.equivalence_margin;
            let since =
                c.onset.map(|onset| format!("; {} s after the first bad sample", short(v.since(onset))));
            Judged::Proven(Box::new(Charge {
                proof: Proof::Sequential {
                    signal: trouble.signal.to_string(),
                    e: c.e_worse,
                    alpha: spec.alpha,
                    looks: c.looks,
                    onset: c.onset,
                },
                why: format!("Worse:{}", trouble.signal),
                text: format!("{}{}", numbers.replace(" of ", " ≥ "), since.unwrap_or_default()),
                confidence: confidence::rollback(c, v.s.picture.signals.get(&trouble.signal), margin),
                onset: c.onset,
            }))
        }
        Verdict::Worse | Verdict::Undecided => Judged::Open(numbers),
        Verdict::NotWorse => Judged::Cleared(format!("{numbers}; both fell equally")),
    }
}

/// The charge stands; only an obstacle is left between it and the plan.
fn convict(v: &View<'_>, charge: Charge) -> Finding {
    let current = &v.w.current;
    if let Some((tried, suspected)) = obstacle(v, &charge) {
        return Finding { tried, suspected: suspected.then(|| charge.text.clone()) };
    }
    let Some(target) = target(v) else {
        let text = format!("{}; there is no earlier revision that is not known bad", charge.text);
        return Tried::no(RULE, text).with(degraded(&charge.text, "no earlier revision to restore")).into();
    };
    let reasoning = format!(
        "{} → {}: {}; ConfigMaps unchanged since the rollout, Secrets are not read",
        current.pod_template_hash, target.pod_template_hash, charge.text
    );
    Tried::yes(Proposal {
        action: RULE,
        plan: Plan::Rollback {
            replica_set: target.replica_set.clone(),
            to: target.pod_template_hash.clone(),
            from: current.pod_template_hash.clone(),
            bad_template: current.template.clone(),
            good_template: target.template.clone(),
        },
        why: charge.why.into(),
        reasoning: reasoning.into(),
        proof: Some(charge.proof),
        confidence: charge.confidence,
        exempt: true,
        want: None,
        provisional: false,
    })
    .into()
}

/// What stands between a proven charge and the rollback; with whether the rollout stays suspected.
fn obstacle(v: &View<'_>, charge: &Charge) -> Option<(Tried, bool)> {
    let (w, m, spec) = (v.w, v.m, &v.spec().rollback);
    let no = |why: &str, notices: Vec<Notice>| {
        let mut tried = Tried::no(RULE, format!("{}; {why}", charge.text));
        tried.notices = notices;
        Some((tried, false))
    };
    let wait = |token: &'static str, why: &str, on: String| {
        Some((Tried::wait(RULE, token, format!("{}; {why}", charge.text), vec![on]), true))
    };
    let bad = |why: &str| vec![degraded(&charge.text, why)];

    let owner =
        w.other_scalers.iter().find(|name| name.starts_with("Canary/") || name.starts_with("Rollout/"));
    if let Some(owner) = owner {
        return no(&format!("{owner} owns the rollouts"), bad("another controller owns the rollouts"));
    }
    if m.known_bad(&w.current.template) {
        let why = "this template was reverted before and is not undone automatically twice; \
                   release a changed template";
        return no(why, bad(why));
    }
    let restored = m.rollbacks.last().filter(|back| {
        v.since(**back) <= f64::from(spec.attribution_seconds)
            && m.good_templates.first().is_some_and(|newest| *newest == w.current.template)
    });
    if let Some(back) = restored {
        let why =
            format!("this revision was restored {} s ago, so it is not the cause", short(v.since(*back)));
        return no(&why, bad(&why));
    }
    let used = m.rollbacks.len();
    if used >= spec.max_per_day as usize {
        let why = format!("{used} rollbacks in the last day, maxPerDay is {}", spec.max_per_day);
        return no(&why, bad(&why));
    }
    if let Some(changed) = w.config_changed_at
        && changed > w.current.started_at
        && charge.onset.is_none_or(|onset| changed <= onset)
    {
        let why = format!(
            "suspended: somebody changed a ConfigMap of the template {} s after the rollout (Secrets are not read)",
            short(seconds(changed, w.current.started_at))
        );
        let said = notice("RollbackSuppressed", format!("no rollback: {}; {why}", charge.text));
        return no(&why, bad(&why).into_iter().chain([said]).collect());
    }
    let latest = m.rollbacks.last().copied().max(m.last_retune.filter(|at| *at > w.current.started_at));
    if let Some(latest) = latest
        && v.since(latest) < v.fresh_window()
    {
        let left = v.fresh_window() - v.since(latest);
        return wait(
            "FreshWindow",
            "an act of ours is younger than a full window",
            format!("{} s of fresh evidence", short(left)),
        );
    }
    if let (Some(onset), Some(back)) = (charge.onset, m.rollbacks.last())
        && onset < *back
    {
        return no("it began before the last rollback", bad("the trouble outlived a rollback"));
    }
    if v.s.standing.facts_behind {
        return wait("FactsBehind", "what is known of the Deployment may be outdated", "a live read".into());
    }
    None
}

/// The newest revision recorded good, else the newest that is not known bad; never the present template.
fn target<'a>(v: &View<'a>) -> Option<&'a Revision> {
    let usable = |r: &&'a Revision| r.template != v.w.current.template && !v.m.known_bad(&r.template);
    let mut all = v.w.previous.iter().filter(usable);
    let newest = all.clone().next();
    all.find(|revision| v.m.good_templates.iter().any(|good| *good == revision.template)).or(newest)
}

fn texts(lasting: &[&Trouble], failing: Option<&Charge>) -> String {
    let mut texts: Vec<String> = lasting.iter().map(|trouble| trouble.text()).collect();
    texts.extend(failing.map(|charge| charge.text.clone()));
    texts.join(", ")
}

fn degraded(what: &str, why: &str) -> Notice {
    let message = if why.contains(what) { why.to_owned() } else { format!("{what}; {why}") };
    notice("Degraded", message)
}

#[cfg(test)]
#[path = "rollback_tests.rs"]
mod tests;
