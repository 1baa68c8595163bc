//! The way of an event to the API server: a bounded queue, and one worker behind it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Happening, Reason};
use crate::decide::situation::Action;
use crate::operator::conditions::cut;

/// Events that may wait; a thousand acts at once are two thousand.
const QUEUE: usize = 4096;
/// Bound of one publication.
const CALL: Duration = Duration::from_secs(3);
/// How long a stop waits for what is queued.
const GRACE: Duration = Duration::from_secs(5);
/// The API's bound of a note, in bytes.
const NOTE: usize = 1024;
/// Series that are kept open.
const SERIES: usize = 256;

/// Who reports.
const CONTROLLER: &str = "matverse.io/operator";

/// Publishes events. Share it in an `Arc`.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Sender<Message>,
    worker: Mutex<Option<JoinHandle<()>>>,
    operator: ObjectReference,
    /// What of the operator's own is known to be down.
    down: Mutex<BTreeMap<String, Reason>>,
}

#[derive(Debug)]
enum Message {
    Publish(Box<Job>),
    End,
}

#[derive(Debug)]
struct Job {
    about: ObjectReference,
    related: Option<ObjectReference>,
    happening: Happening,
}

impl Events {
    /// Starts the worker. `instance` is the pod's name, `operator` the object that the operator's own events are
    /// about (its Pod or Deployment).
    #[must_use]
    pub fn start(client: Client, instance: &str, operator: ObjectReference) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let reporter = Reporter { controller: CONTROLLER.into(), instance: Some(instance.to_owned()) };
        let worker = tokio::spawn(work(client, reporter, jobs));
        Self { queue, worker: Mutex::new(Some(worker)), operator, down: Mutex::default() }
    }

    /// Publishes what happened to a resource; acts on its Deployment too, where there is one.
    pub fn publish(
        &self,
        resource: &ObjectReference,
        deployment: Option<&ObjectReference>,
        happenings: Vec<Happening>,
    ) {
        for happening in happenings {
            if let Some(deployment) = deployment.filter(|_| happening.is_act()) {
                self.push(deployment.clone(), Some(resource.clone()), happening.clone());
            }
            self.push(resource.clone(), deployment.cloned(), happening);
        }
    }

    /// A source of metrics answers (`None`), or not (why). One event each time that changes, about the operator.
    pub fn source(&self, source: &str, trouble: Option<&str>) {
        let down = Happening::of(
            Reason::MetricsUnavailable,
            format!("source {source} does not answer: {}", trouble.unwrap_or_default()),
        );
        let up = Happening::of(Reason::MetricsRecovered, format!("source {source} answers again"));
        self.edge(format!("source/{source}"), trouble.is_some(), down, Some(up));
    }

    /// The ledger accepts intents (`None`), or not (why). One event each time that it ceases to, about the operator.
    pub fn ledger(&self, trouble: Option<&str>) {
        let note = format!("no act until the ledger accepts intents again: {}", trouble.unwrap_or_default());
        let down = Happening::of(Reason::LedgerUnavailable, note);
        self.edge("ledger".into(), trouble.is_some(), down, None);
    }

    /// Publishes what is queued, for a few seconds, and ends.
    pub async fn close(&self) {
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut worker) = worker else { return };
        let ended = async {
            if self.queue.send(Message::End).await.is_ok() {
                drop((&mut worker).await);
            }
        };
        if tokio::time::timeout(GRACE, ended).await.is_err() {
            tracing::warn!("events left unpublished");
            worker.abort();
        }
    }

    fn edge(&self, what: String, is_down: bool, down: Happening, up: Option<Happening>) {
        let was_down = {
            let mut known = self.known();
            if is_down { known.insert(what, down.reason).is_some() } else { known.remove(&what).is_some() }
        };
        let news = match (was_down, is_down) {
            (false, true) => Some(down),
            (true, false) => up,
            _ => None,
        };
        if let Some(news) = news {
            self.push(self.operator.clone(), None, news);
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Reason>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, about: ObjectReference, related: Option<ObjectReference>, happening: Happening) {
        let reason = happening.reason.as_str();
        let job = Box::new(Job { about, related, happening });
        if self.queue.try_send(Message::Publish(job)).is_err() {
            tracing::warn!(reason, "event dropped: too many wait, or the operator stops");
        }
    }
}

/// A Deployment, as events refer to it.
#[must_use]
pub fn deployment_ref(namespace: &str, name: &str, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("apps/v1".into()),
        kind: Some("Deployment".into()),
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}

/// Which series an event belongs to.
type SeriesKey = (Option<String>, Option<String>, Option<String>, Reason);

async fn work(client: Client, reporter: Reporter, mut jobs: mpsc::Receiver<Message>) {
    // A recorder folds events of one object and reason into a series and keeps the *first* note, so that a second
    // scaling within minutes would be counted and its numbers lost. One recorder a note, then: only what is said in
    // the same words is a repetition.
    let mut series: HashMap<SeriesKey, (String, Recorder)> = HashMap::new();
    while let Some(Message::Publish(job)) = jobs.recv().await {
        let Job { about, related, happening } = *job;
        let Happening { reason, mut note, action } = happening;
        cut(&mut note, NOTE);
        let key = (about.kind.clone(), about.namespace.clone(), about.name.clone(), reason);
        if series.len() >= SERIES {
            series.clear();
        }
        let fresh = || (note.clone(), Recorder::new(client.clone(), reporter.clone()));
        let slot = series.entry(key).or_insert_with(fresh);
        if slot.0 != note {
            *slot = fresh();
        }
        let event = Event {
            type_: if reason.is_warning() { EventType::Warning } else { EventType::Normal },
            reason: reason.as_str().into(),
            note: Some(note.clone()),
            action: if action == Action::Noop { "Evaluate" } else { action.as_str() }.into(),
            secondary: related,
        };
        let mut done = publish(&slot.1, &event, &about).await;
        if matches!(&done, Err(PublishError::Api(e)) if matches!(&**e, kube::Error::Api(s) if s.code == 404))
        {
            // The event that this one continues has been removed.
            *slot = fresh();
            done = publish(&slot.1, &event, &about).await;
        }
        if let Err(error) = done {
            tracing::warn!(%error, reason = reason.as_str(), "event not published");
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error("no answer within {CALL:?}")]
    Timeout,
    #[error(transparent)]
    Api(Box<kube::Error>),
}

async fn publish(recorder: &Recorder, event: &Event, about: &ObjectReference) -> Result<(), PublishError> {
    match tokio::time::timeout(CALL, recorder.publish(event, about)).await {
        Ok(published) => published.map_err(|e| PublishError::Api(Box::new(e))),
        Err(_) => Err(PublishError::Timeout),
    }
}
