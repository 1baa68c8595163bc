//! The office itself: whether this process leads, until when, and who is told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::operator::clock::{Clock, Monotonic};

/// The moment before a write was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Started {
    pub(super) wall: Timestamp,
    pub(super) monotonic: Monotonic,
}

/// What the candidate and everybody who asks it share.
#[derive(Debug)]
pub(super) struct Shared {
    clock: Clock,
    renew_deadline: Duration,
    office: Mutex<Office>,
    announce: watch::Sender<Option<u64>>,
}

#[derive(Debug, Default)]
struct Office {
    term: Option<Term>,
    terms: u64,
    closed: bool,
}

/// A term, unless renewed, ends at the earlier of the two: the monotonic clock stands still in a suspended machine,
/// the wall clock may be stepped.
#[derive(Clone, Copy, Debug)]
struct Term {
    number: u64,
    until: Monotonic,
    wall_until: Timestamp,
}

impl Shared {
    pub(super) fn new(clock: Clock, renew_deadline: Duration) -> Self {
        Self { clock, renew_deadline, office: Mutex::default(), announce: watch::channel(None).0 }
    }

    fn office(&self) -> MutexGuard<'_, Office> {
        self.office.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn valid(&self, term: Term) -> bool {
        self.clock.monotonic() < term.until && self.clock.now() < term.wall_until
    }

    pub(super) fn number(&self) -> Option<u64> {
        self.office().term.filter(|t| self.valid(*t)).map(|t| t.number)
    }

    pub(super) fn leads(&self) -> bool {
        self.number().is_some()
    }

    /// Time left of the present term.
    pub(super) fn left(&self) -> Option<Duration> {
        let term = self.office().term.filter(|t| self.valid(*t))?;
        Some(term.until.since(self.clock.monotonic()))
    }

    /// A write of ours stands. A term that had lapsed is not revived: a new one begins.
    pub(super) fn confirm(&self, started: Started) {
        let mut office = self.office();
        if office.closed {
            return;
        }
        let lasts = SignedDuration::try_from(self.renew_deadline).unwrap_or(SignedDuration::MAX);
        let mut term = Term {
            number: office.terms,
            until: started.monotonic.plus(self.renew_deadline),
            wall_until: started.wall.saturating_add(lasts).unwrap_or(started.wall),
        };
        if !self.valid(term) {
            return; // The answer took longer than the term that it would have given.
        }
        if !office.term.is_some_and(|t| self.valid(t)) {
            office.terms += 1;
            term.number = office.terms;
            tracing::info!(term = term.number, "leading");
        }
        office.term = Some(term);
        self.announce(&office);
    }

    /// Forgets a term that has run out, and tells.
    pub(super) fn lapse(&self) {
        let mut office = self.office();
        if office.term.is_some_and(|t| !self.valid(t)) {
            tracing::warn!("leadership lapsed: not renewed in time");
            office.term = None;
            self.announce(&office);
        }
    }

    pub(super) fn drop_term(&self) {
        let mut office = self.office();
        if office.term.take().is_some() {
            tracing::warn!("leadership lost");
            self.announce(&office);
        }
    }

    pub(super) fn close(&self) {
        let mut office = self.office();
        office.closed = true;
        office.term = None;
        self.announce(&office);
    }

    fn announce(&self, office: &Office) {
        let now = office.term.map(|t| t.number);
        self.announce.send_if_modified(|last| std::mem::replace(last, now) != now);
    }
}

/// Whether this process leads. Clones ask the same candidate.
#[derive(Clone, Debug)]
pub struct Leadership {
    shared: Arc<Shared>,
    changes: watch::Receiver<Option<u64>>,
    stop: Arc<watch::Sender<bool>>,
    task: Arc<tokio::sync::Mutex<Option<JoinHandle<()>>>>,
}

impl Leadership {
    pub(super) fn new(shared: Arc<Shared>, stop: watch::Sender<bool>, task: JoinHandle<()>) -> Self {
        let changes = shared.announce.subscribe();
        Self { shared, changes, stop: Arc::new(stop), task: Arc::new(tokio::sync::Mutex::new(Some(task))) }
    }

    /// Leadership without an election, for a process that is alone by construction.
    #[must_use]
    pub fn unelected(clock: Clock) -> Self {
        let shared = Shared::new(clock, Duration::MAX);
        {
            let mut office = shared.office();
            office.terms = 1;
            let until = Monotonic::default().plus(Duration::MAX);
            office.term = Some(Term { number: 1, until, wall_until: Timestamp::MAX });
            shared.announce(&office);
        }
        Self::new(Arc::new(shared), watch::channel(false).0, tokio::spawn(async {}))
    }

    /// Whether this process leads at this very moment.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.shared.leads()
    }

    /// Number of the present term, from 1; it differs after every gap, however short, in which this process did not
    /// lead, so what a leader does once per term (a new epoch in the ledger) hangs on it.
    #[must_use]
    pub fn term(&self) -> Option<u64> {
        self.shared.number()
    }

    /// Waits until leadership is won, lost or won anew since the last call; answers whether this process leads now.
    pub async fn changed(&mut self) -> bool {
        if self.changes.changed().await.is_err() {
            // Cannot happen while `shared` holds the sender; a loop over it must not spin all the same.
            std::future::pending::<()>().await;
        }
        self.is_leader()
    }

    /// Steps down: leadership is gone in memory when this is called, and off the Lease when it returns (within a few
    /// bounded calls). Stop the work that needs leadership first.
    pub async fn release(&self) {
        self.shared.close();
        self.stop.send_replace(true);
        if let Some(task) = self.task.lock().await.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the elector ended badly");
        }
    }
}
