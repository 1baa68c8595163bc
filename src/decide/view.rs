//! One situation seen through the question every rule asks first: may this be believed?
//!
//! A value leaves this file only when [`Reading::believed`] lets it; everything else is `None`, and a rule
//! that gets `None` does not hold. There is no default for a missing number anywhere below.

use std::cell::OnceCell;

use jiff::{SignedDuration, Timestamp};

use super::calibration::calibrated;
use super::policy::Version;
use super::situation::{Action, Load, Memory, PoolShare, Situation};
use super::{behavior, policy};
use crate::api::scaling::{CapacityModel, MatVerseScalingSpec};
use crate::observe::reading::{Fresh, Reading, SignalName, Use};
use crate::observe::workload::Workload;
use crate::orient::Consistency;
use crate::orient::capacity::Capacity;

/// A situation whose target exists, to be decided by the rules of a version.
pub(super) struct Turn<'a> {
    pub(super) s: &'a Situation,
    pub(super) w: &'a Workload,
    pub(super) version: Version,
    fresh: Fresh<'a>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(version: Version, s: &'a Situation, w: &'a Workload) -> Self {
        Self { s, w, version, fresh: Fresh::of(&s.observed.evidence.readings) }
    }

    /// The turn with what is remembered at one point of it.
    pub(super) fn view<'b>(&'b self, m: &'b Memory) -> View<'b> {
        let Self { s, w, version, ref fresh } = *self;
        View { s, w, m, version, fresh, need: OnceCell::new() }
    }
}

/// A [`Turn`] with what is remembered at one point of it.
pub(super) struct View<'a> {
    pub(super) s: &'a Situation,
    pub(super) w: &'a Workload,
    pub(super) m: &'a Memory,
    pub(super) version: Version,
    fresh: &'a Fresh<'a>,
    /// Worked out once: half of the rules ask for it.
    need: OnceCell<Option<Need>>,
}

/// The smallest count that keeps the target, from a model whose own reading is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// n*, unclamped but for the search bound `max(maxReplicas, desired)`: one more than that is "more".
    pub(super) raw: i32,
    /// n* inside [min, max].
    pub(super) want: i32,
}

/// The signals that may be a trouble.
const TROUBLES: [SignalName; 3] = [SignalName::OMEGA, SignalName::LATENCY, SignalName::ERRORS];

/// One of the three troubles that a revision may be blamed for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trouble {
    pub(super) signal: SignalName,
    /// Turns in a row.
    pub(super) turns: u32,
    value: f64,
    /// What it passes.
    bound: f64,
}

impl Trouble {
    /// The value and the bound it passes, for people.
    pub(super) fn text(&self) -> String {
        let (value, bound) = (short(self.value), short(self.bound));
        if self.signal == SignalName::OMEGA {
            format!("omega {value} < {bound}")
        } else if self.signal == SignalName::LATENCY {
            format!("latency {value} > {bound} ms")
        } else {
            format!("errors {value} > {bound}")
        }
    }
}

impl<'a> View<'a> {
    /// The same where the count that is needed has been worked out.
    pub(super) fn needing(self, need: Option<Need>) -> Self {
        Self { need: OnceCell::from(need), ..self }
    }

    pub(super) fn spec(&self) -> &'a MatVerseScalingSpec {
        &self.s.spec
    }

    pub(super) fn now(&self) -> Timestamp {
        self.s.now
    }

    /// Seconds from `then` to now; negative for the future.
    pub(super) fn since(&self, then: Timestamp) -> f64 {
        seconds(self.s.now, then)
    }

    /// Whether anybody named the signal.
    pub(super) fn named(&self, name: &SignalName) -> bool {
        self.fresh.named(name)
    }

    /// Value and sample time of a signal that may support any action.
    pub(super) fn sample(&self, name: &SignalName) -> Option<(f64, Timestamp)> {
        self.fresh.sample(name)
    }

    /// The value of a signal that may support any action.
    pub(super) fn value(&self, name: &SignalName) -> Option<f64> {
        self.sample(name).map(|(value, _)| value)
    }

    /// The current revision's own value, where the signal is asked per revision.
    fn value_of_revision(&self, name: &SignalName) -> Option<f64> {
        let own = self.s.observed.evidence.by_revision.get(&self.w.current.pod_template_hash)?;
        own.get(name)?.believed().map(|(value, _)| value)
    }

    /// Ω, where what it is made of is fresh: the read value where it is named, else Ψ and `CVaR`.
    pub(super) fn omega(&self) -> Option<f64> {
        let fresh = if self.named(&SignalName::OMEGA) {
            self.value(&SignalName::OMEGA).is_some()
        } else {
            self.value(&SignalName::PSI).is_some() && self.value(&SignalName::CVAR).is_some()
        };
        self.s.picture.omega.map(|omega| omega.value).filter(|value| fresh && value.is_finite())
    }

    /// Whether Ω is named, read or to be computed.
    pub(super) fn omega_exists(&self) -> bool {
        self.named(&SignalName::OMEGA) || (self.named(&SignalName::PSI) && self.named(&SignalName::CVAR))
    }

    /// Named signals that do not support `what`, as `State:name` tokens.
    pub(super) fn unbelievable(&self, what: Use) -> Vec<String> {
        if self.fresh.whole() {
            return Vec::new();
        }
        let readings = &self.s.observed.evidence.readings;
        let idle = self.value(&SignalName::THROUGHPUT) == Some(0.0);
        readings
            .iter()
            .filter(|(name, reading)| match reading {
                Reading::Fresh { .. } => reading.believed().is_none(),
                // Idle says "nothing to measure", so it needs the fresh zero that it follows from.
                Reading::Idle => {
                    !(reading.supports(what)
                        && idle
                        && (**name == SignalName::LATENCY || **name == SignalName::ERRORS))
                }
                _ => !reading.supports(what),
            })
            .map(|(name, reading)| format!("{}:{name}", reading.state()))
            .collect()
    }

    /// Demand through the horizon, where the reading behind the model is fresh and younger than the last
    /// rollback or retune: what a reverted revision burned says nothing of the one that serves.
    pub(super) fn capacity(&self) -> Option<&'a Capacity> {
        if self.spec().predictor.capacity_model == CapacityModel::Rules {
            return None;
        }
        let capacity = self.s.picture.capacity.as_ref()?;
        let source = match capacity {
            Capacity::Utilisation { .. } => SignalName::CPU,
            Capacity::Queue { .. } => SignalName::THROUGHPUT,
        };
        let (_, sampled_at) = self.sample(&source)?;
        // A step that is only judged this turn, and kept, has long been in the samples.
        let ours = self.m.rollbacks.last().copied().max(self.s.memory.last_retune);
        let outdated = ours.is_some_and(|ours| sampled_at <= ours);
        (!outdated).then_some(capacity)
    }

    /// P(target kept through the horizon) with `replicas`, where a model answers that is not too sure of itself.
    pub(super) fn keep(&self, replicas: i32) -> Option<f64> {
        self.capacity()
            .filter(|_| self.consistent())
            .map(|capacity| capacity.keep_probability(replicas))
            .filter(|p| p.is_finite())
            .map(|p| p.clamp(0.0, 1.0))
    }

    /// [`Self::keep`] as it has come true after an `action` that leads to `replicas`; `late` where the target was missed
    /// already.
    pub(super) fn sure(&self, action: Action, replicas: i32, late: bool) -> Option<f64> {
        let stated = self.keep(replicas)?;
        calibrated(self.version, self.capacity()?, action, late, stated)
    }

    /// n*, where a model answers.
    pub(super) fn need(&self) -> Option<Need> {
        *self.need.get_or_init(|| self.size())
    }

    fn size(&self) -> Option<Need> {
        let spec = self.spec();
        let most = spec.max_replicas.max(self.w.desired);
        let (capacity, keep) = (self.capacity()?, policy::keep_probability(spec));
        let found = capacity.needed(keep, most).clamp(1, most.max(1));
        // Written so that NaN is not enough either.
        let enough = found < most || capacity.keep_probability(found) >= keep;
        let raw = if enough { found } else { most.saturating_add(1) };
        Some(Need { raw, want: self.inside(raw) })
    }

    /// A count inside [min, max] and inside the share of the pool.
    pub(super) fn inside(&self, count: i32) -> i32 {
        let most = self.s.standing.pool.as_ref().map_or(i32::MAX, |share| share.most);
        behavior::inside(count.min(most), self.spec())
    }

    /// The share of a pool, where it allows less than maxReplicas. Before version 4 no text named it.
    pub(super) fn pool_bound(&self) -> Option<&'a PoolShare> {
        let share = self.s.standing.pool.as_ref().filter(|_| self.version.since_four());
        share.filter(|share| share.most < self.spec().max_replicas)
    }

    /// Whether the forecast may be used at all.
    pub(super) fn consistent(&self) -> bool {
        self.s.picture.consistency != Consistency::Overconfident
    }

    /// How far ahead the forecast looks, s.
    pub(super) fn horizon(&self) -> f64 {
        let asked = self.s.picture.horizon_seconds;
        if asked.is_finite() && asked > 0.0 {
            return asked;
        }
        self.w.start_seconds.filter(|s| s.is_finite() && *s > 0.0).unwrap_or(0.0)
            + f64::from(self.spec().interval_seconds)
    }

    /// The time in which a full set of fresh evidence is gathered, s.
    pub(super) fn fresh_window(&self) -> f64 {
        let turns = f64::from(self.spec().persistence) * f64::from(self.spec().interval_seconds);
        turns.max(self.horizon())
    }

    /// cpu, where it is fresh and above the reactive bound.
    pub(super) fn cpu_hot(&self) -> Option<f64> {
        self.value(&SignalName::CPU).filter(|cpu| *cpu > policy::cpu_bound(self.spec()))
    }

    /// Latency and its target, where it is fresh and urgently above.
    pub(super) fn latency_urgent(&self) -> Option<(f64, f64)> {
        let target = self.spec().targets.latency_target?;
        let latency = self.value(&SignalName::LATENCY)?;
        (latency > policy::LATENCY_URGENT * target).then_some((latency, target))
    }

    /// Whether a signal's sample speaks of the pods there are: not while those of our last ScaleUp start, nor before a
    /// window of samples has passed with them, or with those that our last rollback brought back. Without this a late
    /// measurement is answered again and again.
    pub(super) fn speaks_of_now(&self, name: &SignalName) -> bool {
        let added = self.m.last_act.as_ref().filter(|act| act.replicas < self.w.desired);
        let added = added.map(|act| (act.at, self.horizon() + policy::RATE_WINDOW));
        let restored = self.m.rollbacks.last().filter(|_| self.version.since_six());
        let restored = restored.map(|at| (*at, policy::RATE_WINDOW));
        let mut waits = added.into_iter().chain(restored).peekable();
        if waits.peek().is_none() {
            return true;
        }
        let Some((_, sampled_at)) = self.sample(name) else { return false };
        waits.all(|(at, wait)| seconds(sampled_at, at) > wait)
    }

    /// The troubles of this turn. A signal asked per revision counts by the current revision's value too.
    pub(super) fn troubles(&self) -> Vec<Trouble> {
        let roll = &self.spec().rollback;
        let mut found = Vec::new();
        if let Some(omega) = self.worst(&SignalName::OMEGA, self.omega(), f64::min)
            && omega < roll.omega_below
        {
            let (signal, turns, bound) = (SignalName::OMEGA, self.m.omega_low, roll.omega_below);
            found.push(Trouble { signal, turns, value: omega, bound });
        }
        if let Some(target) = self.spec().targets.latency_target
            && let Some(latency) =
                self.worst(&SignalName::LATENCY, self.value(&SignalName::LATENCY), f64::max)
            && latency > target
        {
            let (signal, turns) = (SignalName::LATENCY, self.m.latency_high);
            found.push(Trouble { signal, turns, value: latency, bound: target });
        }
        if let Some(errors) = self.worst(&SignalName::ERRORS, self.value(&SignalName::ERRORS), f64::max)
            && errors > roll.errors_above
        {
            let (signal, turns, bound) = (SignalName::ERRORS, self.m.errors_high, roll.errors_above);
            found.push(Trouble { signal, turns, value: errors, bound });
        }
        found
    }

    fn worst(&self, name: &SignalName, whole: Option<f64>, worse: fn(f64, f64) -> f64) -> Option<f64> {
        match (whole, self.value_of_revision(name)) {
            (Some(a), Some(b)) => Some(worse(a, b)),
            (a, b) => a.or(b),
        }
    }

    /// Whether every named trouble signal could be looked at, and there is one.
    pub(super) fn troubles_visible(&self) -> bool {
        (self.omega_exists() || TROUBLES.iter().any(|name| self.named(name))) && !self.troubles_hidden()
    }

    /// Whether a named trouble signal could not be looked at.
    pub(super) fn troubles_hidden(&self) -> bool {
        let blind = self.unbelievable(Use::ScaleDown);
        let hidden = |name: &SignalName| blind.iter().any(|token| token.ends_with(&format!(":{name}")));
        TROUBLES.iter().any(hidden) || (self.omega_exists() && self.omega().is_none())
    }

    /// Work that comes in, as far as it is fresh.
    pub(super) fn load(&self) -> Load {
        self.load_of(|name| self.value(name))
    }

    fn load_of(&self, value: impl Fn(&SignalName) -> Option<f64>) -> Load {
        // Utilisation of the pods before, times the count of now, would look like more work after each ScaleUp.
        let cpu = value(&SignalName::CPU)
            .filter(|_| !self.version.since_five() || self.speaks_of_now(&SignalName::CPU));
        Load {
            throughput: value(&SignalName::THROUGHPUT),
            work: cpu.map(|cpu| cpu * f64::from(self.w.ready.max(0))),
        }
    }

    /// Filtered level of a signal and its standard deviation, where its reading supports any action.
    pub(super) fn level(&self, name: &SignalName) -> Option<(f64, f64)> {
        self.sample(name)?;
        let estimate = self.s.picture.signals.get(name)?;
        Some((estimate.level, estimate.level_sd)).filter(|(level, sd)| level.is_finite() && sd.is_finite())
    }

    /// [`Self::load`] without the noise of one sample.
    pub(super) fn load_level(&self) -> Load {
        self.load_of(|name| self.level(name).map(|(level, _)| level))
    }

    /// When the current *template* began to roll out: a restart of the same template is no new revision.
    pub(super) fn template_started(&self) -> Timestamp {
        self.w
            .previous
            .iter()
            .take_while(|revision| revision.template == self.w.current.template)
            .map(|revision| revision.started_at)
            .fold(self.w.current.started_at, Timestamp::min)
    }
}

/// Seconds from `b` to `a`.
pub(super) fn seconds(a: Timestamp, b: Timestamp) -> f64 {
    a.duration_since(b).as_secs_f64()
}

/// `at` moved by some seconds; `at` itself where that leaves the calendar.
pub(super) fn later(at: Timestamp, by: f64) -> Timestamp {
    SignedDuration::try_from_secs_f64(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(at)
}

/// A number for people: three significant decimals at most, no trailing zeros.
pub(super) fn short(value: f64) -> String {
    let places = if value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        3
    };
    let mut text = format!("{value:.places$}");
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::testing::{Story, at};

    #[test]
    fn numbers_for_people() {
        assert_eq!(
            [0.41, 410.26, 12.34, 1.0, 0.0, -0.0704].map(short),
            ["0.41", "410", "12.3", "1", "0", "-0.07"]
        );
    }

    #[test]
    fn a_fresh_reading_that_is_no_number_is_not_believed() {
        let s =
            Story::new().reading(SignalName::CPU, Reading::Fresh { value: f64::NAN, sampled_at: at(0) }).s;
        let w = s.observed.workload.as_ref().unwrap();
        let turn = Turn::new(Version::NEWEST, &s, w);
        let v = turn.view(&s.memory);
        assert_eq!(v.value(&SignalName::CPU), None);
        assert_eq!(v.unbelievable(Use::Other), ["Fresh:cpu"]);
    }

    #[test]
    fn idle_needs_its_fresh_zero_and_a_signal_that_can_be_idle() {
        let idle = |throughput, name: SignalName| {
            let s = Story::new().fresh(SignalName::THROUGHPUT, throughput).reading(name, Reading::Idle).s;
            let w = s.observed.workload.clone().unwrap();
            Turn::new(Version::NEWEST, &s, &w).view(&s.memory).unbelievable(Use::ScaleDown)
        };
        assert!(idle(0.0, SignalName::LATENCY).is_empty());
        assert_eq!(idle(0.1, SignalName::LATENCY), ["Idle:latency"]);
        assert_eq!(idle(0.0, SignalName::CPU), ["Idle:cpu"]);
    }

    #[test]
    fn omega_needs_what_it_is_made_of() {
        let omega = |story: Story| {
            let s = story.omega(0.8).s;
            let w = s.observed.workload.clone().unwrap();
            Turn::new(Version::NEWEST, &s, &w).view(&s.memory).omega()
        };
        let mut bare = Story::new();
        bare.s.observed.evidence.readings.clear();
        let computed = bare.fresh(SignalName::PSI, 0.9).fresh(SignalName::CVAR, 0.25);
        let mut only_parts = computed.clone().omega(0.8);
        only_parts.s.observed.evidence.readings.remove(&SignalName::OMEGA);
        let v = |story: &Story| {
            let s = &story.s;
            let w = s.observed.workload.as_ref().unwrap();
            Turn::new(Version::NEWEST, s, w).view(&s.memory).omega()
        };
        assert_eq!(v(&only_parts), Some(0.8));
        assert_eq!(v(&only_parts.clone().reading(SignalName::CVAR, Reading::Missing)), None);
        assert_eq!(omega(computed.clone()), Some(0.8));
        assert_eq!(v(&computed.omega(0.8).reading(SignalName::OMEGA, Reading::NotFinite)), None);
    }

    #[test]
    fn a_restart_keeps_the_start_of_its_template() {
        let mut story = Story::new().rollout(100.0);
        let w = story.s.observed.workload.as_mut().unwrap();
        let mut before = w.current.clone();
        before.pod_template_hash = "restarted".into();
        before.started_at = at(-5000);
        w.previous.insert(0, before);
        let s = story.s;
        let w = s.observed.workload.as_ref().unwrap();
        assert_eq!(Turn::new(Version::NEWEST, &s, w).view(&s.memory).template_started(), at(-5000));
    }
}
