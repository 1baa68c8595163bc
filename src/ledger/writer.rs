//! The one writer: from what is asked to entries that stand, through crashes, conflicts and lost answers.
//!
//! ```text
//!  asks ─► admit ─► sign ─► (seal: CREATE seg-N) ─► PUT tail {resourceVersion} ─► adopt
//!                                                     │ conflict, or no answer: GET tail
//!                                                     ├ it is what we put ─────────► adopt
//!                                                     ├ it is as before ───────────► PUT again
//!                                                     ├ it is an earlier try of ours ► adopt that, draft anew
//!                                                     └ anything else ─────────────► somebody else leads: step down
//! ```
//!
//! A try that was never settled stays *in doubt*. Its callers were told that it failed, so an intent in it that
//! turns out to stand is concluded as abandoned by the writer itself: nobody has acted on it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use super::budget::Budget;
use super::checkpoint::Checkpoint;
use super::draft::{Answer, Ask, Batch, Queue};
use super::error::LedgerError;
use super::keys::{KeyRing, Signer};
use super::merkle::leaf_hash;
use super::recovery::Found;
use super::settings::Settings;
use super::statement::{Body, Concluded};
use super::states::{EntryRef, Outcome};
use super::step::Act;
use super::store::{Store, StoreError};
use super::tail::{Segment, TAIL, Tail, segment_name, segment_start};
use super::text;
use crate::decide::situation::ObjectRef;

/// Tries of one write before it is left in doubt.
const TRIES: u32 = 3;
/// Outcomes remembered, so that one is not recorded twice when its caller was told that it failed.
const REMEMBERED: usize = 1024;

/// An intent without outcome.
#[derive(Clone, Debug)]
pub struct Open {
    /// Id of the decision.
    pub id: String,
    /// The object.
    pub object: ObjectRef,
    /// What the act changes.
    pub subject: String,
    /// Start of the segment that it lies in, once sealed.
    pub segment: Option<u64>,
}

impl Open {
    fn of(act: &Act) -> Self {
        Self {
            id: act.id().to_owned(),
            object: act.object().clone(),
            subject: act.subject().to_owned(),
            segment: None,
        }
    }

    /// Whether it is on the same Deployment as `object`.
    pub fn is_on(&self, object: &ObjectRef) -> bool {
        self.object.namespace == object.namespace && self.object.target == object.target
    }
}

/// One version of the tail that was, or is to be, put.
#[derive(Clone, Debug)]
struct Attempt {
    tail: Tail,
    bodies: Vec<Body>,
    recorded_at: Timestamp,
    /// How many of the owed outcomes it holds.
    owed: usize,
    /// Stretches that it takes out of the tail: start and end.
    sealed: Vec<(u64, u64)>,
}

/// What the stored tail turned out to be.
enum Look {
    Ours(String),
    Unchanged(String),
    Earlier(usize, String),
}

/// The one writer of a process.
pub struct Writer {
    store: Arc<dyn Store>,
    pub(super) keys: KeyRing,
    /// The ledger has yet to be told that the current key signs from here on.
    pub(super) turning: bool,
    pub(super) settings: Settings,
    pub(super) origin: String,
    tail: Tail,
    version: String,
    pub(super) epoch: u64,
    pub(super) recorded_at: Timestamp,
    pub(super) open: BTreeMap<u64, Open>,
    pub(super) left: BTreeMap<String, String>,
    pub(super) concluded: BTreeMap<u64, (Outcome, EntryRef)>,
    doubt: Vec<Attempt>,
    pub(super) owed: VecDeque<Ask>,
    trouble: Option<LedgerError>,
    pub(super) budget: Budget,
    /// Segments were sealed since they were last looked through.
    unswept: bool,
}

impl Writer {
    /// A writer that continues what was found, under a new epoch that it has yet to append.
    pub fn new(store: Arc<dyn Store>, keys: KeyRing, settings: Settings, found: &Found) -> Self {
        Self {
            store,
            turning: found.turning,
            keys,
            settings,
            origin: found.tail.checkpoint.checkpoint().origin.clone(),
            tail: found.tail.clone(),
            version: found.version.clone(),
            epoch: found.tail.epoch + 1,
            recorded_at: found.recorded_at,
            open: found
                .open
                .iter()
                .map(|(index, intent)| (*index, Open { segment: intent.segment, ..Open::of(&intent.act) }))
                .collect(),
            left: found.left.clone(),
            concluded: BTreeMap::new(),
            doubt: Vec::new(),
            owed: VecDeque::new(),
            trouble: None,
            budget: Budget::new(0, 0, 0),
            unswept: true,
        }
    }

    /// Counts the segments.
    pub async fn count(&mut self) -> Result<(), LedgerError> {
        let segments = self.store.segments().await?.len() as u64;
        self.budget = Budget::new(self.settings.budget_bytes, self.settings.tail_bytes, segments);
        Ok(())
    }

    /// Removes exported segments, the oldest first, while the budget asks for it. One that holds an intent without
    /// outcome stays. What fails is tried again after the next seal.
    pub async fn sweep(&mut self) {
        if !std::mem::take(&mut self.unswept) || !self.budget.is_to_sweep() {
            return;
        }
        let Ok(segments) = self.store.segments().await else { return };
        let needed: Vec<u64> = self.open.values().filter_map(|open| open.segment).collect();
        for segment in segments.iter().filter(|segment| segment.exported) {
            let start = segment_start(&segment.name);
            if !self.budget.is_to_sweep() || start.is_none_or(|start| needed.contains(&start)) {
                continue;
            }
            if self.store.delete(&segment.name, &segment.uid, &segment.resource_version).await.is_ok() {
                self.budget.removed();
            }
        }
    }

    /// The tail as it stands.
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The epoch of this writer.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Intents without outcome.
    pub fn open_intents(&self) -> &BTreeMap<u64, Open> {
        &self.open
    }

    /// Who signs the next entry of a batch: until the current key is announced, the one that announces it.
    pub(super) fn signer(&self, batch: &[Body]) -> &Signer {
        let announced = !self.turning || batch.iter().any(|body| matches!(body, Body::Key { .. }));
        self.keys.retiring.as_ref().filter(|_| !announced).unwrap_or(&self.keys.current)
    }

    /// Why it cannot append now, if so.
    pub fn trouble(&self) -> Option<&LedgerError> {
        self.trouble.as_ref()
    }

    /// Whether outcomes of its own wait to be written.
    pub fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Owes an intent the outcome *abandoned*, because nobody will act on it.
    pub fn abandon(&mut self, intent: u64, why: &str) {
        let outcome = Outcome::Abandoned { why: why.to_owned() };
        self.owed.push_back(Ask::Conclude(intent, outcome, self.recorded_at));
    }

    /// Reference to an entry of the present tree.
    pub fn entry_ref(&self, index: u64, line: &str, epoch: u64) -> EntryRef {
        let checkpoint = &self.tail.checkpoint;
        EntryRef {
            origin: self.origin.clone(),
            index,
            leaf: text::hex(&leaf_hash(line.as_bytes())),
            size: checkpoint.checkpoint().size,
            root: text::base64(&checkpoint.checkpoint().root),
            signature: text::base64(checkpoint.signature()),
            epoch,
        }
    }

    /// Records what is asked, in as few writes as fit; one answer each, in order. Outcomes owed go first.
    pub async fn append(&mut self, asks: Vec<(Ask, Timestamp)>) -> Vec<Answer> {
        let mut answers: Vec<Option<Answer>> = asks.iter().map(|_| None).collect();
        let mut queue: Queue = asks.into_iter().enumerate().map(|(i, (ask, now))| (i, ask, now)).collect();
        while !queue.is_empty() || self.owes() {
            if let Err(error) = self.step(&mut queue, &mut answers).await {
                self.trouble = Some(error);
                break;
            }
            self.trouble = None;
        }
        let unanswered = self.trouble.clone().unwrap_or(LedgerError::Closed);
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(unanswered.clone()))).collect()
    }

    /// Asks the store whether the trouble is over, and writes what is owed.
    pub async fn probe(&mut self) {
        if self.trouble.as_ref().is_some_and(LedgerError::is_final) {
            return;
        }
        match self.settle().await {
            Ok(()) => {
                self.trouble = None;
                self.append(Vec::new()).await;
            }
            Err(error) => self.trouble = Some(error),
        }
    }

    /// One write: as many of the asks as fit.
    async fn step(&mut self, queue: &mut Queue, answers: &mut [Option<Answer>]) -> Result<(), LedgerError> {
        if let Some(error) = self.trouble.as_ref().filter(|error| error.is_final()) {
            return Err(error.clone());
        }
        if !self.doubt.is_empty() {
            self.settle().await?;
        }
        let mut base = self.tail.clone();
        let mut sealed = Vec::new();
        let batch = loop {
            let (batch, all) = self.draft(&base, &sealed, queue, answers)?;
            if all || base.lines.is_empty() {
                break batch;
            }
            base = self.seal(base, &mut sealed).await?;
        };
        if batch.bodies.is_empty() {
            // Every ask was answered without an entry, and nothing owed needs one any more.
            self.owed.drain(..batch.owed);
            return Ok(());
        }
        let first = base.size();
        for line in &batch.lines {
            base.end.append(leaf_hash(line.as_bytes()));
        }
        base.lines.extend_from_slice(&batch.lines);
        base.epoch = self.epoch;
        base.checkpoint =
            Checkpoint { origin: self.origin.clone(), size: base.end.size(), root: base.end.root() }
                .sign_all(&self.keys);
        let Batch { bodies, lines, answers: positions, owed, recorded_at, .. } = batch;
        if self.put(Attempt { tail: base, bodies, recorded_at, owed, sealed }).await? {
            for ((position, index), line) in positions.iter().zip(first..).zip(&lines) {
                if let Some(position) = position {
                    answers[*position] = Some(Ok(self.entry_ref(index, line, self.epoch)));
                }
            }
            queue.retain(|(position, ..)| answers[*position].is_none());
        }
        Ok(())
    }

    /// Puts the entries of `base` into a segment (or adopts the one that is there); the tail without them.
    async fn seal(&self, mut base: Tail, sealed: &mut Vec<(u64, u64)>) -> Result<Tail, LedgerError> {
        let start = base.sealed();
        let segment = Segment { start: base.start.clone(), lines: base.lines.clone() };
        let lines = self.create_segment(&segment_name(start), &segment).await?;
        for line in base.lines.drain(..lines) {
            base.start.append(leaf_hash(line.as_bytes()));
        }
        sealed.push((start, base.sealed()));
        Ok(base)
    }

    /// Creates a segment; how many of its lines the stored one holds.
    async fn create_segment(&self, name: &str, segment: &Segment) -> Result<usize, LedgerError> {
        let mut why = String::new();
        for round in 0..TRIES {
            self.settings.pause_before(round).await;
            match self.store.create(name, &segment.data(), true).await {
                Ok(_) => return Ok(segment.lines.len()),
                Err(StoreError::Denied(why)) => return Err(LedgerError::Denied(why)),
                Err(error) => why = error.to_string(),
            }
            match self.store.get(name).await {
                Ok(object) => {
                    let found = Segment::parse(segment.start.size(), &object.data).ok();
                    let prefix = found.filter(|found| {
                        object.immutable
                            && found.start == segment.start
                            && segment.lines.starts_with(&found.lines)
                    });
                    return prefix.map(|found| found.lines.len()).ok_or_else(|| {
                        LedgerError::Stopped(format!("{name} exists and is not what the tail begins with"))
                    });
                }
                Err(StoreError::Denied(why)) => return Err(LedgerError::Denied(why)),
                Err(error) => why = format!("{why}; {error}"),
            }
        }
        Err(LedgerError::Unreachable(why))
    }

    /// Puts a new tail. `true`: it stands. `false`: an earlier try stands; draft anew.
    async fn put(&mut self, attempt: Attempt) -> Result<bool, LedgerError> {
        let data = attempt.tail.data();
        let (mut uncertain, mut why) = (false, String::new());
        for round in 0..TRIES {
            self.settings.pause_before(round).await;
            match self.store.replace(TAIL, &self.version, &data).await {
                Ok(object) => {
                    self.adopt(attempt, object.resource_version);
                    return Ok(true);
                }
                Err(StoreError::Denied(why)) => {
                    if uncertain {
                        self.doubt.push(attempt);
                    }
                    return Err(LedgerError::Denied(why));
                }
                Err(error) => {
                    uncertain |= matches!(error, StoreError::Unreachable(_));
                    why = error.to_string();
                }
            }
            match self.look(Some(&data)).await {
                Ok(Look::Ours(version)) => {
                    self.adopt(attempt, version);
                    return Ok(true);
                }
                Ok(Look::Unchanged(version)) => self.version = version,
                Ok(Look::Earlier(which, version)) => {
                    self.adopt_earlier(which, version);
                    return Ok(false);
                }
                Err(error) if error.is_final() => return Err(error),
                Err(error) => {
                    uncertain = true;
                    why = format!("{why}; {error}");
                }
            }
        }
        if uncertain {
            self.doubt.push(attempt);
        }
        Err(LedgerError::Unreachable(why))
    }

    /// Establishes what became of tries in doubt.
    async fn settle(&mut self) -> Result<(), LedgerError> {
        match self.look(None).await? {
            Look::Ours(version) | Look::Unchanged(version) => self.version = version,
            Look::Earlier(which, version) => self.adopt_earlier(which, version),
        }
        Ok(())
    }

    /// Reads the tail and says what it is; anything but one of ours is final.
    async fn look(&self, put: Option<&BTreeMap<String, String>>) -> Result<Look, LedgerError> {
        let object = match self.store.get(TAIL).await {
            Ok(object) => object,
            Err(StoreError::NotFound) => return Err(LedgerError::TailVanished),
            Err(error) => return Err(error.into()),
        };
        if put == Some(&object.data) {
            return Ok(Look::Ours(object.resource_version));
        }
        if object.data == self.tail.data() {
            return Ok(Look::Unchanged(object.resource_version));
        }
        if let Some(which) = self.doubt.iter().position(|earlier| earlier.tail.data() == object.data) {
            return Ok(Look::Earlier(which, object.resource_version));
        }
        Tail::parse(&self.origin, &object.data, &self.keys.verifiers())?;
        Err(LedgerError::SteppedDown)
    }

    /// A try in doubt stands after all; what it intended was never handed out.
    fn adopt_earlier(&mut self, which: usize, version: String) {
        let attempt = self.doubt.swap_remove(which);
        let first = attempt.tail.size() - attempt.bodies.len() as u64;
        let intents: Vec<u64> = (first..)
            .zip(&attempt.bodies)
            .filter_map(|(index, body)| matches!(body, Body::Intent(_) | Body::Step(_)).then_some(index))
            .collect();
        self.adopt(attempt, version);
        for intent in intents {
            self.abandon(intent, "its recording was in doubt, so it was not tried");
        }
    }

    fn adopt(&mut self, attempt: Attempt, version: String) {
        let first = attempt.tail.size() - attempt.bodies.len() as u64;
        let lines = attempt.tail.lines.len() - attempt.bodies.len();
        self.tail = attempt.tail;
        self.version = version;
        self.recorded_at = attempt.recorded_at.max(self.recorded_at);
        // The object has moved on from every version that an older try was for.
        self.doubt.clear();
        self.owed.drain(..attempt.owed.min(self.owed.len()));
        for (start, end) in attempt.sealed {
            self.budget.seal();
            self.unswept = true;
            for (_, open) in self.open.range_mut(start..end) {
                open.segment = Some(start);
            }
        }
        for (offset, body) in attempt.bodies.into_iter().enumerate() {
            let index = first + offset as u64;
            match body {
                Body::Outcome(concluded) => {
                    let line = self.tail.lines[lines + offset].clone();
                    let entry = self.entry_ref(index, &line, self.epoch);
                    self.conclude(concluded, entry);
                }
                Body::Key { .. } => self.turning = false,
                other => {
                    let Some(act) = Act::of(other) else { continue };
                    let bytes = self.tail.lines[lines + offset].len();
                    self.budget.spend(&act.object().namespace, bytes);
                    self.open.insert(index, Open::of(&act));
                }
            }
        }
    }

    fn conclude(&mut self, concluded: Concluded, entry: EntryRef) {
        self.open.remove(&concluded.intent);
        if let Outcome::Applied { post, .. } = &concluded.outcome {
            self.left.insert(concluded.subject, post.clone());
        }
        self.concluded.insert(concluded.intent, (concluded.outcome, entry));
        while self.concluded.len() > REMEMBERED {
            self.concluded.pop_first();
        }
    }
}
