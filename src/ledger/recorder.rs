//! [`Ledger`]: the handle that the loop records through.
//!
//! ```text
//!  intend ┐
//!  conclude ├─ queue ─► one task: linger ─► slot ─► Writer::append (group commit) ─► answers
//!  note   ┘
//! ```
//!
//! One task writes, so a caller that goes away in the middle leaves no half-known write behind. An intent whose
//! caller went away is concluded as abandoned: nobody can act on it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::attestation::Attestation;
use super::checkpoint::Checkpoint;
use super::draft::Ask;
use super::error::LedgerError;
use super::keys::{KeyError, KeyRing, VerifierKey, is_name};
use super::merkle::{Hash, leaf_hash};
use super::recovery::{self, OpenIntent, Recovery};
use super::settings::Settings;
use super::statement::{Body, GateChange, Intent, Note};
use super::states::{Acted, EntryRef, Intended, Outcome, Recorded};
use super::step::{Act, Basis, Step};
use super::store::Store;
use super::text;
use super::writer::{Open, Writer};
use crate::decide::situation::ObjectRef;
use crate::decide::{Decision, Situation, league};

/// Asks that may wait before callers do.
const QUEUE: usize = 8192;
/// Tries to append an epoch while others do the same.
const ELECTIONS: u32 = 8;

/// The newest state of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Origin of the checkpoint.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root over them, base64.
    pub root: String,
    /// Epoch of this leader.
    pub epoch: u64,
    /// Number of entries in segments.
    pub sealed: u64,
    /// What is used of the budget, in percent.
    pub used: u64,
}

struct Shared {
    head: Head,
    trouble: Option<String>,
    /// Whether that trouble is for good.
    lost: bool,
    open: Vec<(u64, Open)>,
    /// Hashes of the entries in the tail.
    leaves: BTreeMap<u64, Hash>,
}

struct Message {
    ask: Ask,
    now: Timestamp,
    answer: oneshot::Sender<Result<EntryRef, LedgerError>>,
}

/// The ledger, led by this process. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    queue: mpsc::Sender<Message>,
    shared: Arc<RwLock<Shared>>,
    act_limit: jiff::SignedDuration,
    keys: Arc<[VerifierKey]>,
}

impl Ledger {
    /// Opens the ledger as its new leader, founding it where there is none. Older leaders cannot append any more.
    ///
    /// # Errors
    /// [`LedgerError`]; each of them means that nothing may be acted on.
    pub async fn open(
        store: Arc<dyn Store>,
        keys: impl Into<KeyRing>,
        origin: &str,
        now: Timestamp,
    ) -> Result<(Self, Recovery), LedgerError> {
        Self::open_with(store, keys, origin, Settings::default(), now).await
    }

    /// As [`Self::open`], with settings.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_with(
        store: Arc<dyn Store>,
        keys: impl Into<KeyRing>,
        origin: &str,
        settings: Settings,
        now: Timestamp,
    ) -> Result<(Self, Recovery), LedgerError> {
        if !is_name(origin) {
            return Err(KeyError::Name(origin.to_owned()).into());
        }
        let keys = keys.into();
        for _ in 0..ELECTIONS {
            let Some(found) = recovery::find(store.as_ref(), &keys, origin, &settings, now).await? else {
                continue;
            };
            let mut writer = Writer::new(Arc::clone(&store), keys.clone(), settings.clone(), &found);
            let root = text::base64(&found.tail.end.root());
            let epoch = Ask::Record(Box::new(Body::Epoch { found: root }));
            match writer.append(vec![(epoch, now)]).await.pop() {
                Some(Ok(_)) => {}
                Some(Err(LedgerError::SteppedDown)) => continue,
                Some(Err(error)) => return Err(error),
                None => return Err(LedgerError::Closed),
            }
            writer.count().await?;
            let open = found
                .open
                .into_iter()
                .map(|(index, found)| OpenIntent {
                    entry: writer.entry_ref(index, &found.line, found.epoch),
                    act: found.act,
                })
                .collect();
            let recovery = Recovery { epoch: writer.epoch(), open };
            return Ok((Self::start(writer, settings, keys.verifiers().into()), recovery));
        }
        Err(LedgerError::Unreachable("other leaders keep appending".to_owned()))
    }

    fn start(writer: Writer, settings: Settings, keys: Arc<[VerifierKey]>) -> Self {
        let (queue, messages) = mpsc::channel(QUEUE);
        let shared = Arc::new(RwLock::new(snapshot(&writer, BTreeMap::new())));
        let act_limit = settings.act_limit;
        tokio::spawn(run(writer, messages, Arc::clone(&shared), settings));
        Self { queue, shared, act_limit, keys }
    }

    /// Records that a decision is about to be carried out. Without the [`Intended`] nothing can be.
    ///
    /// # Errors
    /// [`LedgerError`]: the act must not be done. [`LedgerError::OpenIntent`] while an earlier act on the same
    /// Deployment has no outcome.
    pub async fn intend(
        &self,
        situation: &Situation,
        decision: Decision,
        now: Timestamp,
    ) -> Result<Intended, LedgerError> {
        let not_after = now.checked_add(self.act_limit).unwrap_or(now);
        let intent = Intent::new(situation, &decision, true, not_after).map_err(LedgerError::NotAnAct)?;
        let entry = self.ask(Ask::Intend(Act::Turn(Box::new(intent))), now).await?;
        Ok(Intended { situation: Box::new(situation.clone()), decision, entry, not_after })
    }

    /// The same for a step of a league.
    ///
    /// # Errors
    /// As [`Self::intend`].
    pub async fn intend_step(
        &self,
        basis: Basis,
        decision: league::Decision,
        now: Timestamp,
    ) -> Result<Intended<Basis, league::Decision>, LedgerError> {
        let not_after = now.checked_add(self.act_limit).unwrap_or(now);
        let step = Step::new(&basis, &decision, not_after).map_err(LedgerError::NotAnAct)?;
        let entry = self.ask(Ask::Intend(Act::Step(Box::new(step))), now).await?;
        Ok(Intended { situation: Box::new(basis), decision, entry, not_after })
    }

    /// Records what came of an act. May be repeated after an error until it succeeds; it is recorded once.
    ///
    /// # Errors
    /// [`LedgerError`]: the outcome is not known to be recorded.
    pub async fn conclude<S, D>(&self, acted: Acted<S, D>) -> Result<Recorded<D>, LedgerError> {
        let Acted { intended, outcome, at } = acted;
        let entry = self.ask(Ask::Conclude(intended.entry.index, outcome.clone(), at), at).await?;
        Ok(Recorded { decision: intended.decision, outcome: Some(outcome), entry: Some(entry) })
    }

    /// Records what became of an intent that an earlier leader left open.
    ///
    /// # Errors
    /// As [`Self::conclude`].
    pub async fn conclude_recovered(
        &self,
        open: &OpenIntent,
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<EntryRef, LedgerError> {
        self.ask(Ask::Conclude(open.entry.index, outcome, now), now).await
    }

    /// Records a decision that is not carried out (observing, or a change of what would be done).
    ///
    /// # Errors
    /// [`LedgerError`]: it is not known to be recorded.
    pub async fn note_decision(&self, decision: Decision, now: Timestamp) -> Result<Recorded, LedgerError> {
        let note = Note {
            topic: "decision".to_owned(),
            object: Some((*decision.object).clone()),
            id: Some(decision.id()),
            message: format!("{} ({}): {}", decision.action.as_str(), decision.why, decision.reasoning),
            open: Vec::new(),
        };
        let entry = self.note(note, now).await?;
        Ok(Recorded { decision, outcome: None, entry: Some(entry) })
    }

    /// Records anything else: a pause by a person, a restored loan, ….
    ///
    /// # Errors
    /// [`LedgerError`]: it is not known to be recorded.
    pub async fn note(&self, note: Note, now: Timestamp) -> Result<EntryRef, LedgerError> {
        // Topic and list of the writer's own notes, which a recovery relies on.
        let note = Note { open: Vec::new(), ..note };
        self.ask(Ask::Record(Box::new(Body::Note(note))), now).await
    }

    /// Records a gate's new decision.
    ///
    /// # Errors
    /// [`LedgerError`]: it is not known to be recorded.
    pub async fn gate(&self, change: GateChange, now: Timestamp) -> Result<EntryRef, LedgerError> {
        self.ask(Ask::Record(Box::new(Body::Gate(change))), now).await
    }

    /// Whether intents are accepted now.
    ///
    /// # Errors
    /// Why not, in one line.
    pub fn available(&self) -> Result<(), String> {
        if self.queue.is_closed() {
            return Err(LedgerError::Closed.to_string());
        }
        self.read(|shared| shared.trouble.clone().map_or(Ok(()), Err))
    }

    /// Whether this handle can never append again, so that the ledger must be opened anew.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.queue.is_closed() || self.read(|shared| shared.lost)
    }

    /// The newest state.
    #[must_use]
    pub fn head(&self) -> Head {
        self.read(|shared| shared.head.clone())
    }

    /// Whether an object bears a rightly signed checkpoint of this ledger that it is not the continuation of: one with
    /// more entries than it has, or another entry where its tail can tell. Then an older ledger was restored in the
    /// place of that one.
    #[must_use]
    pub fn is_behind(&self, claim: &Attestation) -> bool {
        let (head, leaf) =
            self.read(|shared| (shared.head.clone(), shared.leaves.get(&claim.index).copied()));
        let other = claim.size > head.size || leaf.is_some_and(|leaf| leaf != claim.leaf);
        let stated = Checkpoint { origin: claim.origin.clone(), size: claim.size, root: claim.root };
        other
            && claim.origin == head.origin
            && self.keys.iter().any(|key| stated.is_signed_by(key, &claim.signature))
    }

    /// Index of the intent without outcome on the Deployment of `object`, if there is one.
    #[must_use]
    pub fn unresolved(&self, object: &ObjectRef) -> Option<u64> {
        self.read(|shared| shared.open.iter().find(|(_, open)| open.is_on(object)).map(|(index, _)| *index))
    }

    fn read<T>(&self, view: impl FnOnce(&Shared) -> T) -> T {
        view(&self.shared.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn ask(&self, ask: Ask, now: Timestamp) -> Result<EntryRef, LedgerError> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(Message { ask, now, answer }).await.map_err(|_| LedgerError::Closed)?;
        answered.await.map_err(|_| LedgerError::Closed)?
    }
}

/// The state to show. `leaves` are those shown before: an entry that stands never changes, so only new ones are hashed.
fn snapshot(writer: &Writer, mut leaves: BTreeMap<u64, Hash>) -> Shared {
    let tail = writer.tail();
    leaves.retain(|index, _| *index >= tail.sealed());
    for (index, line) in (tail.sealed()..).zip(&tail.lines) {
        leaves.entry(index).or_insert_with(|| leaf_hash(line.as_bytes()));
    }
    let checkpoint = tail.checkpoint.checkpoint();
    Shared {
        head: Head {
            origin: checkpoint.origin.clone(),
            size: checkpoint.size,
            root: text::base64(&checkpoint.root),
            epoch: writer.epoch(),
            sealed: tail.sealed(),
            used: writer.budget.percent(),
        },
        trouble: writer.trouble().map(ToString::to_string),
        lost: writer.trouble().is_some_and(LedgerError::is_final),
        leaves,
        open: writer.open_intents().iter().map(|(index, open)| (*index, open.clone())).collect(),
    }
}

/// The task that writes, until the last handle is gone.
async fn run(
    mut writer: Writer,
    mut messages: mpsc::Receiver<Message>,
    shared: Arc<RwLock<Shared>>,
    settings: Settings,
) {
    let publish = |writer: &Writer| {
        let mut shared = shared.write().unwrap_or_else(PoisonError::into_inner);
        let leaves = std::mem::take(&mut shared.leaves);
        *shared = snapshot(writer, leaves);
    };
    let mut slots = Slots::new(settings.slots);
    loop {
        let troubled = writer.trouble().is_some_and(|error| !error.is_final()) || writer.owes();
        let first = tokio::select! {
            biased;
            message = messages.recv() => message,
            () = tokio::time::sleep(settings.probe), if troubled => {
                writer.probe().await;
                publish(&writer);
                continue;
            }
        };
        let Some(first) = first else { return };
        if !settings.linger.is_zero() {
            tokio::time::sleep(settings.linger).await;
        }
        slots.wait().await;
        let mut batch = vec![first];
        while let Ok(message) = messages.try_recv() {
            batch.push(message);
        }
        let (mut asks, mut callers) = (Vec::new(), Vec::new());
        for Message { ask, now, answer } in batch {
            let is_intent = matches!(ask, Ask::Intend(..));
            // A caller that has gone away must not leave an intent behind.
            if !(is_intent && answer.is_closed()) {
                asks.push((ask, now));
                callers.push((answer, is_intent));
            }
        }
        let answers = writer.append(asks).await;
        writer.sweep().await;
        publish(&writer);
        for ((caller, is_intent), answer) in callers.into_iter().zip(answers) {
            let index = answer.as_ref().ok().map(|entry| entry.index);
            if let (Err(_), true, Some(index)) = (caller.send(answer), is_intent, index) {
                writer.abandon(index, "its caller went away before it was tried");
            }
        }
    }
}

/// At most so many writes in any second.
struct Slots {
    taken: VecDeque<Instant>,
    a_second: usize,
}

impl Slots {
    fn new(a_second: u32) -> Self {
        Self { taken: VecDeque::new(), a_second: a_second.max(1) as usize }
    }

    async fn wait(&mut self) {
        const SECOND: Duration = Duration::from_secs(1);
        while let Some(oldest) = self.taken.front() {
            if oldest.elapsed() >= SECOND {
                self.taken.pop_front();
            } else if self.taken.len() >= self.a_second {
                tokio::time::sleep_until(*oldest + SECOND).await;
            } else {
                break;
            }
        }
        self.taken.push_back(Instant::now());
    }
}
