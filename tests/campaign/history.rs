//! What really happened, as a watch saw it: every change of a count, and when each entry of a ledger first stood.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Client, Resource, ResourceExt};
use matverse::act::DECISION;
use matverse::decide::situation::Plan;
use matverse::ledger::statement::{Body, Parts};
use matverse::ledger::states::Outcome;

/// A write that changed a count or the decision behind it.
#[derive(Clone, Debug)]
struct Effect {
    version: u64,
    target: String,
    to: i32,
    decision: Option<String>,
}

/// An entry, and the resourceVersion at which it first stood.
#[derive(Clone, Debug)]
struct Stood {
    version: u64,
    line: String,
    body: Body,
}

#[derive(Default)]
struct Story {
    states: BTreeMap<String, (i32, Option<String>)>,
    effects: Vec<Effect>,
    /// By namespace of the ledger and index.
    entries: BTreeMap<(String, u64), Stood>,
    rewritten: Vec<String>,
    seen: BTreeMap<String, u64>,
}

/// The judgement.
#[derive(Default)]
pub struct Report {
    pub cases: usize,
    pub fired: usize,
    pub decisions: usize,
    pub effects: usize,
    pub results: BTreeMap<&'static str, usize>,
    pub violations: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cases, fired, decisions, effects, results, violations } = self;
        writeln!(
            f,
            "{cases} cases with a fault, {fired} fired; {decisions} decisions, {effects} effects, outcomes {results:?}"
        )?;
        writeln!(f, "{} violations", violations.len())?;
        violations.iter().take(12).try_for_each(|violation| writeln!(f, "  {violation}"))
    }
}

/// The watcher's memory.
#[derive(Clone, Default)]
pub struct History(Arc<Mutex<Story>>);

fn version(meta: &impl Resource) -> u64 {
    meta.meta().resource_version.as_ref().and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// Follows every change of a kind in a namespace from a list on; `tell` is called in order.
async fn follow<K>(api: Api<K>, mut tell: impl FnMut(K))
where
    K: Resource + Clone + serde::de::DeserializeOwned + fmt::Debug + Send + 'static,
{
    let list = api.list(&ListParams::default()).await.unwrap();
    let mut since = list.metadata.resource_version.unwrap_or_default();
    list.items.into_iter().for_each(&mut tell);
    loop {
        let params = WatchParams::default().timeout(240);
        let Ok(stream) = api.watch(&params, &since).await else {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let mut stream = stream.boxed();
        while let Ok(Some(event)) = stream.try_next().await {
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    since = object.meta().resource_version.clone().unwrap_or_default();
                    tell(object);
                }
                WatchEvent::Deleted(object) => {
                    since = object.meta().resource_version.clone().unwrap_or_default()
                }
                WatchEvent::Bookmark(mark) => since = mark.metadata.resource_version,
                WatchEvent::Error(error) => panic!("the history has a gap: {error:?}"),
            }
        }
    }
}

impl History {
    /// Watches the targets.
    pub fn of_targets(&self, client: &Client, namespace: &str) -> tokio::task::JoinHandle<()> {
        let (story, api) = (Arc::clone(&self.0), Api::<Deployment>::namespaced(client.clone(), namespace));
        tokio::spawn(follow(api, move |object| {
            let mut story = story.lock().unwrap();
            let target = object.name_any();
            let to = object.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
            let decision = object.annotations().get(DECISION).cloned();
            let before = story.states.insert(target.clone(), (to, decision.clone()));
            story.seen.insert(target.clone(), version(&object));
            if before.is_some_and(|before| before != (to, decision.clone())) {
                story.effects.push(Effect { version: version(&object), target, to, decision });
            }
        }))
    }

    /// Watches a ledger.
    pub fn of_ledger(&self, client: &Client, namespace: &str) -> tokio::task::JoinHandle<()> {
        let (story, ledger) = (Arc::clone(&self.0), namespace.to_owned());
        let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
        tokio::spawn(follow(api, move |map| {
            let mut story = story.lock().unwrap();
            story.seen.insert(format!("{ledger}/{}", map.name_any()), version(&map));
            let data = map.data.clone().unwrap_or_default();
            let number = |key: &str| data.get(key).and_then(|value| value.parse::<u64>().ok());
            // The tail alone says what stands: a segment is written before the tail gives up its entries.
            let (Some(sealed), Some(entries)) = (number("sealed"), data.get("entries")) else { return };
            for (index, line) in (sealed..).zip(entries.lines()) {
                let key = (ledger.clone(), index);
                match story.entries.get(&key) {
                    Some(stood) if stood.line == line => {}
                    Some(_) => story.rewritten.push(format!("{ledger}: entry {index} was rewritten")),
                    None => {
                        let body = Parts::of(line).unwrap().read().unwrap().predicate.body;
                        let stood = Stood { version: version(&map), line: line.to_owned(), body };
                        story.entries.insert(key, stood);
                    }
                }
            }
        }))
    }

    /// Whether the object's newest state was seen.
    pub fn has_seen(&self, name: &str, version: u64) -> bool {
        self.0.lock().unwrap().seen.get(name).is_some_and(|seen| *seen >= version)
    }

    /// Decisions recorded so far.
    pub fn decisions(&self) -> usize {
        let story = self.0.lock().unwrap();
        story.entries.values().filter(|stood| matches!(stood.body, Body::Intent(_))).count()
    }

    /// Compares what happened with what was recorded.
    pub fn judge(&self) -> Report {
        let story = self.0.lock().unwrap();
        let mut report = Report { violations: story.rewritten.clone(), ..Report::default() };
        let mut wrong = Vec::new();
        let mut intents = BTreeMap::new();
        let mut outcomes: BTreeMap<(&str, u64), Vec<(u64, &Outcome)>> = BTreeMap::new();
        for ((ledger, index), stood) in &story.entries {
            match &stood.body {
                Body::Intent(intent) => {
                    let entry = (ledger.as_str(), *index, stood.version, &**intent);
                    let twice = intents.insert(intent.id.as_str(), entry).is_some();
                    wrong.extend(twice.then(|| format!("decision {} was intended twice", intent.id)));
                }
                Body::Outcome(concluded) => {
                    outcomes
                        .entry((ledger, concluded.intent))
                        .or_default()
                        .push((stood.version, &concluded.outcome));
                }
                _ => {}
            }
        }
        let mut effects: BTreeMap<&str, Vec<&Effect>> = BTreeMap::new();
        for effect in &story.effects {
            let Some(id) = effect.decision.as_deref() else {
                wrong.push(format!("{} at {}: an effect without a decision", effect.target, effect.version));
                continue;
            };
            effects.entry(id).or_default().push(effect);
            match intents.get(id) {
                None => wrong.push(format!("{id}: an effect without an intent")),
                Some((.., stood, intent)) => {
                    if *stood >= effect.version {
                        wrong.push(format!(
                            "{id}: the effect at {} is older than its intent at {stood}",
                            effect.version
                        ));
                    }
                    let planned = matches!(intent.plan, Plan::Scale { to, .. } if to == effect.to);
                    if !planned || intent.object().target != effect.target {
                        wrong.push(format!(
                            "{id}: {} to {} was not what was intended",
                            effect.target, effect.to
                        ));
                    }
                }
            }
        }
        for (id, (ledger, index, _, _)) in &intents {
            let done = effects.get(id).map(Vec::as_slice).unwrap_or_default();
            if done.len() > 1 {
                wrong.push(format!("{id}: {} effects", done.len()));
            }
            let concluded = outcomes.get(&(*ledger, *index)).map(Vec::as_slice).unwrap_or_default();
            let [(stood, outcome)] = concluded else {
                wrong.push(format!("{id}: {} outcomes", concluded.len()));
                continue;
            };
            *report.results.entry(outcome.as_str()).or_default() += 1;
            match (outcome, done.first()) {
                (Outcome::Applied { .. }, None) => {
                    wrong.push(format!("{id}: called applied, and nothing happened"))
                }
                (Outcome::Applied { .. }, Some(effect)) if *stood < effect.version => {
                    wrong.push(format!(
                        "{id}: called applied at {stood}, before the effect at {}",
                        effect.version
                    ));
                }
                (Outcome::Applied { .. }, Some(_)) => {}
                (other, Some(effect)) => {
                    wrong.push(format!(
                        "{id}: called {}, and it happened at {}",
                        other.as_str(),
                        effect.version
                    ));
                }
                (Outcome::Unknown { why }, None) => wrong.push(format!("{id}: unknown: {why}")),
                (_, None) => {}
            }
        }
        report.decisions = intents.len();
        report.effects = story.effects.len();
        report.violations.extend(wrong);
        report
    }
}
