//! The signals of one workload in one turn: what is asked, and what comes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::Observed;
use super::answer::{self, Answer};
use super::profiles::{self, Profile, SignalDefinition};
use super::promql::{self, Names, PromqlError, Query, Scope};
use super::reading::{Evidence, Reading, Readings, SignalName};
use super::sample::{Limits, idle};
use super::sharing::Sharing;
use super::source::{Prometheus, Source, SourceConfig};
use super::workload::Workload;
use crate::api::shared::SignalSpec;

/// Turns of history that a warm start asks for.
pub const HISTORY: u32 = 200;
/// Bit-identical samples after which a signal counts as frozen.
const FROZEN: u32 = 10;
/// After how many new signals those of workloads that are gone are forgotten, and how old they then are, in seconds.
const FORGET_EVERY: usize = 256;
const FORGET_SECONDS: i64 = 3600;

/// Why the signals of a resource cannot be asked for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The configuration has no such profile.
    #[error("profile {0:?} is not in the operator's configuration")]
    NoProfile(String),
    /// The configuration has no such source.
    #[error("signal {signal:?}: source {source_name:?} is not in the operator's configuration")]
    NoSource {
        /// The signal.
        signal: String,
        /// What it names.
        source_name: String,
    },
    /// Neither profile nor resource gives a query.
    #[error("signal {0:?} has no query, and the profile has none of that name")]
    NoQuery(String),
    /// The query is refused.
    #[error("signal {signal:?}: {error}")]
    Query {
        /// The signal.
        signal: String,
        /// Why.
        error: PromqlError,
    },
}

/// One signal to be read.
#[derive(Clone, Debug)]
struct Planned {
    name: SignalName,
    definition: SignalDefinition,
    source: String,
    /// Whether the query comes from the resource, and so is held to its namespace.
    tenant: bool,
    limits: Limits,
}

/// The signals of one resource, checked.
#[derive(Clone, Debug, Default)]
pub struct SignalPlan {
    signals: Vec<Planned>,
}

impl SignalPlan {
    /// Names of the signals.
    pub fn names(&self) -> impl Iterator<Item = &SignalName> {
        self.signals.iter().map(|p| &p.name)
    }
}

/// What holds for a signal where neither profile nor resource says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defaults<'a> {
    /// Source; `default` otherwise.
    pub source: Option<&'a str>,
    /// Oldest age in seconds; 60 otherwise.
    pub max_age_seconds: Option<u32>,
}

struct Known {
    config: SourceConfig,
    source: Arc<dyn Source>,
}

/// Whether a profile's query may be asked at all; the error names the mistake.
pub fn acceptable(definition: &SignalDefinition) -> Result<(), PromqlError> {
    let names = Names { namespace: "n", name: "n", pod_template_hash: None };
    let scope = Scope { namespace_label: "namespace", namespace: None, matchers: &BTreeMap::new() };
    promql::check(&promql::substitute(&definition.query, &names), &scope)?;
    if let Some(selector) = &definition.zero_when_fresh {
        promql::check_selector(&promql::substitute(selector, &names), &scope)?;
    }
    Ok(())
}

/// A value, as seen last, and in how many turns it stayed while a neighbour moved.
struct Still {
    bits: u64,
    sampled_at: Timestamp,
    turns: u32,
}

/// What one signal gave in one turn.
struct Read {
    reading: Reading,
    /// Whether there was nothing to measure.
    silent: bool,
    fresh_pods: Option<u32>,
}

impl Read {
    fn nothing(reading: Reading) -> Self {
        Self { reading, silent: false, fresh_pods: None }
    }
}

/// All sources and profiles of the operator.
pub struct Signals {
    sources: BTreeMap<String, Known>,
    profiles: BTreeMap<String, Profile>,
    frozen: std::sync::Mutex<BTreeMap<String, Still>>,
    sharing: Sharing,
    faults: std::sync::Mutex<BTreeMap<String, Option<String>>>,
}

impl Signals {
    /// Sources as configured; the error is one line for people.
    pub fn new(
        sources: &BTreeMap<String, SourceConfig>,
        profiles: &BTreeMap<String, Profile>,
    ) -> Result<Self, String> {
        let mut known = BTreeMap::new();
        for (name, config) in sources {
            let source = Prometheus::new(config.clone()).map_err(|e| format!("sources.{name}: {e}"))?;
            known.insert(name.clone(), Known { config: config.clone(), source: Arc::new(source) });
        }
        let mut all = profiles::shipped();
        all.extend(profiles.clone());
        Ok(Self {
            sources: known,
            profiles: all,
            sharing: Sharing::default(),
            frozen: std::sync::Mutex::default(),
            faults: std::sync::Mutex::default(),
        })
    }

    /// How each source answered when it was asked last: `None` well, else why not.
    pub fn sources(&self) -> BTreeMap<String, Option<String>> {
        self.faults.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// What a resource asks for, checked; every mistake is reported.
    pub fn plan(
        &self,
        profile: &str,
        overrides: &[SignalSpec],
        defaults: Defaults<'_>,
        namespace: &str,
        name: &str,
    ) -> Result<SignalPlan, Vec<PlanError>> {
        let Some(base) = self.profiles.get(profile) else {
            return Err(vec![PlanError::NoProfile(profile.to_owned())]);
        };
        let mut names: BTreeSet<&str> = base.keys().map(String::as_str).collect();
        names.extend(overrides.iter().map(|s| s.name.as_str()));
        let mut plan = SignalPlan::default();
        let mut errors = Vec::new();
        for signal in names {
            let over = overrides.iter().find(|s| s.name == signal);
            match self.planned(signal, base.get(signal), over, defaults, namespace, name) {
                Ok(planned) => plan.signals.push(planned),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(plan) } else { Err(errors) }
    }

    fn planned(
        &self,
        signal: &str,
        base: Option<&SignalDefinition>,
        over: Option<&SignalSpec>,
        defaults: Defaults<'_>,
        namespace: &str,
        name: &str,
    ) -> Result<Planned, PlanError> {
        let mut definition = base.cloned().unwrap_or_default();
        let tenant = over.is_some_and(|o| o.query.is_some() || o.zero_when_fresh.is_some());
        if let Some(over) = over {
            if let Some(query) = &over.query {
                definition.query.clone_from(query);
                definition.zero_when_fresh = None;
            }
            definition.source = over.source.clone().or(definition.source);
            definition.max_age_seconds = over.max_age_seconds.or(definition.max_age_seconds);
            definition.min = over.min.or(definition.min);
            definition.max = over.max.or(definition.max);
            definition.zero_when_fresh = over.zero_when_fresh.clone().or(definition.zero_when_fresh);
        }
        if definition.query.is_empty() {
            return Err(PlanError::NoQuery(signal.to_owned()));
        }
        let source =
            definition.source.clone().unwrap_or_else(|| defaults.source.unwrap_or("default").to_owned());
        if !self.sources.contains_key(&source) {
            return Err(PlanError::NoSource { signal: signal.to_owned(), source_name: source });
        }
        let planned = Planned {
            name: SignalName::new(signal),
            limits: Limits::of(
                signal,
                definition.max_age_seconds.or(defaults.max_age_seconds),
                definition.min,
                definition.max,
            ),
            definition,
            source,
            tenant,
        };
        let names = Names { namespace, name, pod_template_hash: None };
        self.queries(&planned, &names)
            .map_err(|error| PlanError::Query { signal: signal.to_owned(), error })?;
        Ok(planned)
    }

    /// The checked query of a signal, and its `zeroWhenFresh` selector.
    fn queries(&self, planned: &Planned, names: &Names<'_>) -> Result<(Query, Option<Query>), PromqlError> {
        let Some(known) = self.sources.get(&planned.source) else {
            return Err(PromqlError::Refused("the source is not configured"));
        };
        let scope = Scope {
            namespace_label: &known.config.namespace_label,
            namespace: planned.tenant.then_some(names.namespace),
            matchers: &known.config.matchers,
        };
        let query = promql::check(&promql::substitute(&planned.definition.query, names), &scope)?;
        let zero = match &planned.definition.zero_when_fresh {
            Some(selector) => Some(promql::check_selector(&promql::substitute(selector, names), &scope)?),
            None => None,
        };
        Ok((query, zero))
    }

    /// Reads every signal of a plan at one evaluation time, all at once.
    ///
    /// The time is taken down to the whole second, so that workloads of one second share their questions.
    pub async fn read(
        &self,
        plan: &SignalPlan,
        namespace: &str,
        name: &str,
        workload: Option<&Workload>,
        at: Timestamp,
    ) -> Evidence {
        let at = whole_second(at);
        let whole = futures::future::join_all(plan.signals.iter().map(|p| {
            let names = Names { namespace, name, pod_template_hash: None };
            async move { (p.name.clone(), self.one(p, &names, at).await) }
        }));
        let revisions = running(workload);
        let sides = futures::future::join_all(revisions.iter().flat_map(|hash| {
            plan.signals.iter().filter(|p| promql::per_revision(&p.definition.query)).map(move |p| {
                let names = Names { namespace, name, pod_template_hash: Some(hash) };
                async move { (hash.clone(), p.name.clone(), self.one(p, &names, at).await) }
            })
        }));
        let (whole, sides) = futures::join!(whole, sides);
        // A signal that is not fresh speaks for itself; of the others each load signal must cover the pods.
        let fresh_pods =
            whole.iter().filter(|(_, r)| r.reading.fresh().is_some()).filter_map(|(_, r)| r.fresh_pods).min();
        let silent: BTreeSet<SignalName> =
            whole.iter().filter(|(_, r)| r.silent).map(|(n, _)| n.clone()).collect();
        let mut readings: Readings = whole.into_iter().map(|(n, r)| (n, r.reading)).collect();
        idle(&mut readings, &silent);
        let mut by_revision: BTreeMap<String, Readings> = BTreeMap::new();
        for (hash, signal, read) in sides {
            by_revision.entry(hash).or_default().insert(signal, read.reading);
        }
        let frozen = self.frozen(plan, namespace, name, &readings);
        Evidence { readings, by_revision, fresh_pods, frozen }
    }

    async fn one(&self, planned: &Planned, names: &Names<'_>, at: Timestamp) -> Read {
        let Ok((query, zero)) = self.queries(planned, names) else {
            return Read::nothing(Reading::WrongType);
        };
        let load = [SignalName::CPU, SignalName::THROUGHPUT].contains(&planned.name);
        let text = answer::joined(&query, zero.as_ref(), load.then_some(planned.limits.max_age));
        match self.ask(&planned.source, &text, at).await {
            Ok(answer) => Read {
                reading: answer::reading(&answer, query.selectors.len(), zero.is_some(), planned.limits, at),
                silent: answer::silent(&answer),
                fresh_pods: if load { answer::fresh_pods(&answer, &query) } else { None },
            },
            Err(why) => Read::nothing(Reading::SourceDown { why }),
        }
    }

    async fn ask(&self, source: &str, query: &str, at: Timestamp) -> Result<Arc<Answer>, String> {
        let Some(known) = self.sources.get(source) else { return Err("not_configured".into()) };
        let answer = self.sharing.ask(source, &known.source, query, at).await;
        let fault = answer.as_ref().err().filter(|f| f.token != "query").map(ToString::to_string);
        self.faults
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(source.to_owned(), fault);
        answer.map_err(|fault| {
            tracing::debug!(%source, %fault, "no answer");
            fault.token
        })
    }

    /// Signals whose value stays the same to the bit while time and neighbours move.
    fn frozen(&self, plan: &SignalPlan, namespace: &str, name: &str, readings: &Readings) -> Vec<SignalName> {
        let mut seen = self.frozen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A quantile or a mean over a window may well stand still; what is read bare should not.
        let bare = |signal: &SignalName| {
            !plan.signals.iter().any(|p| p.name == *signal && p.definition.query.contains('['))
        };
        let fresh: Vec<(String, &SignalName, f64, Timestamp)> = readings
            .iter()
            .filter_map(|(signal, reading)| reading.fresh().map(|(v, at)| (signal, v, at)))
            .map(|(signal, v, at)| (format!("{namespace}/{name}/{signal}"), signal, v, at))
            .collect();
        let moved = |seen: &BTreeMap<String, Still>, key: &str, value: f64| {
            seen.get(key).is_some_and(|s| s.bits != value.to_bits())
        };
        let moving = fresh.iter().any(|(key, _, value, _)| moved(&seen, key, *value));
        let mut still = Vec::new();
        for (key, signal, value, at) in fresh {
            if let Some(newest) =
                (!seen.contains_key(&key) && seen.len() % FORGET_EVERY == FORGET_EVERY - 1).then_some(at)
            {
                seen.retain(|_, s| newest.duration_since(s.sampled_at).as_secs() < FORGET_SECONDS);
            }
            let entry = seen.entry(key).or_insert(Still { bits: value.to_bits(), sampled_at: at, turns: 0 });
            if entry.bits != value.to_bits() {
                *entry = Still { bits: value.to_bits(), sampled_at: at, turns: 0 };
            } else if at > entry.sampled_at {
                entry.sampled_at = at;
                entry.turns = entry.turns.saturating_add(u32::from(moving));
            }
            // 0 and 1 are honest constants: no errors, no load, full consent.
            if entry.turns >= FROZEN && value.fract() != 0.0 && bare(signal) {
                still.push(signal.clone());
            }
        }
        still
    }

    /// The last turns before `observed`, oldest first, as a running operator would have read them.
    pub async fn history(
        &self,
        plan: &SignalPlan,
        namespace: &str,
        name: &str,
        observed: &Observed,
        interval: u32,
    ) -> Vec<Observed> {
        let step = f64::from(interval.max(1));
        let back = SignedDuration::from_secs(i64::from(interval.max(1)) * i64::from(HISTORY));
        let Ok(start) = observed.at.checked_sub(back) else { return Vec::new() };
        let mut turns: BTreeMap<i64, (Readings, BTreeSet<SignalName>)> = BTreeMap::new();
        for planned in &plan.signals {
            let names = Names { namespace, name, pod_template_hash: None };
            let Ok((query, zero)) = self.queries(planned, &names) else { continue };
            let Some(known) = self.sources.get(&planned.source) else { continue };
            let text = answer::joined(&query, zero.as_ref(), None);
            match known.source.range(&text, start, observed.at, step).await {
                Ok(rows) => {
                    let all = answer::readings(&rows, query.selectors.len(), zero.is_some(), planned.limits);
                    for (second, reading, silent) in all {
                        let (readings, quiet) = turns.entry(second).or_default();
                        readings.insert(planned.name.clone(), reading);
                        if silent {
                            quiet.insert(planned.name.clone());
                        }
                    }
                }
                Err(fault) => tracing::info!(signal = %planned.name, %fault, "no history"),
            }
        }
        let started = observed.workload.as_ref().map(|w| w.current.started_at);
        turns
            .into_iter()
            .filter_map(|(second, (mut readings, silent))| {
                let at = Timestamp::from_second(second).ok()?;
                idle(&mut readings, &silent);
                // What the workload looked like then is not recorded; before the present rollout it was another.
                let workload = observed.workload.clone().filter(|_| started.is_none_or(|s| at >= s));
                let evidence = Evidence { readings, ..Evidence::default() };
                (at < observed.at).then_some(Observed { at, evidence, workload })
            })
            .collect()
    }
}

/// Revisions with ready pods, where there is more than one to tell apart.
fn running(workload: Option<&Workload>) -> Vec<String> {
    let Some(workload) = workload else { return Vec::new() };
    let old = workload.previous.iter().filter(|r| r.ready > 0);
    let all: Vec<String> = std::iter::once(&workload.current)
        .chain(old)
        .map(|r| r.pod_template_hash.clone())
        .filter(|hash| !hash.is_empty())
        .collect();
    if all.len() > 1 { all } else { Vec::new() }
}

fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
#[path = "signals_tests.rs"]
mod tests;
