//! Drafting one write: which asks become entries, in which order, and what each of them says.
//!
//! An ask is admitted against the state that the entries before it produce, those of the same batch included: no
//! second intent on a Deployment whose first has no outcome, no second outcome, `pre` compared with the last `post`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use super::budget::Room;
use super::error::LedgerError;
use super::statement::{Body, Concluded, Entry, Note, Predicate};
use super::states::{EntryRef, Outcome};
use super::step::Act;
use super::tail::Tail;
use super::writer::Writer;
use crate::decide::situation::ObjectRef;

/// Open intents in one note: keeps the note far below the limit of an entry.
const OPEN_PER_NOTE: usize = 200;

/// What a caller wants recorded.
#[derive(Clone, Debug)]
pub enum Ask {
    /// An act is about to be tried.
    Intend(Act),
    /// What came of an intent, and when.
    Conclude(u64, Outcome, Timestamp),
    /// Anything else.
    Record(Box<Body>),
}

/// What is asked and not answered: position, ask, time.
pub type Queue = VecDeque<(usize, Ask, Timestamp)>;
/// What an ask is answered.
pub type Answer = Result<EntryRef, LedgerError>;

/// What is in a draft so far.
pub struct Batch {
    /// What its entries say.
    pub bodies: Vec<Body>,
    /// The entries.
    pub lines: Vec<String>,
    /// For each of them the ask that it answers, by position.
    pub answers: Vec<Option<usize>>,
    /// Their bytes, newlines included.
    pub bytes: usize,
    /// Owed outcomes that it takes care of.
    pub owed: usize,
    /// When the newest was written.
    pub recorded_at: Timestamp,
    closing: BTreeSet<u64>,
    opening: Vec<(u64, ObjectRef)>,
    left: BTreeMap<String, String>,
}

impl Batch {
    fn new(now: Timestamp) -> Self {
        Self {
            bodies: Vec::new(),
            lines: Vec::new(),
            answers: Vec::new(),
            bytes: 0,
            owed: 0,
            recorded_at: now,
            closing: BTreeSet::new(),
            opening: Vec::new(),
            left: BTreeMap::new(),
        }
    }

    fn push(&mut self, index: u64, body: Body, line: &str, answers: Option<usize>) {
        match &body {
            Body::Intent(intent) => self.opening.push((index, intent.object().clone())),
            Body::Step(step) => self.opening.push((index, step.situation.object.clone())),
            Body::Outcome(concluded) => {
                self.closing.insert(concluded.intent);
                if let Outcome::Applied { post, .. } = &concluded.outcome {
                    self.left.insert(concluded.subject.clone(), post.clone());
                }
            }
            _ => {}
        }
        self.bytes += line.len() + 1;
        self.bodies.push(body);
        self.lines.push(line.to_owned());
        self.answers.push(answers);
    }
}

impl Writer {
    /// Whether `bytes` more fit into the tail.
    fn fits(&self, base: &Tail, bytes: usize) -> bool {
        base.bytes() + bytes <= self.settings.tail_bytes
    }

    /// Drafts the next write on `base`, and whether nothing that was asked is left over. Asks that need no entry
    /// are answered at once. With `room` (the tail is empty) at least one ask is taken.
    ///
    /// Order: a new epoch, a new key, the notes that carry open intents over, what is owed, what is asked.
    pub(super) fn draft(
        &self,
        base: &Tail,
        sealed: &[(u64, u64)],
        queue: &mut Queue,
        answers: &mut [Option<Answer>],
    ) -> Result<(Batch, bool), LedgerError> {
        let mut batch = Batch::new(self.recorded_at);
        let mut asked = queue.iter().peekable();
        if let Some((position, Ask::Record(body), now)) = asked.peek()
            && matches!(**body, Body::Epoch { .. })
        {
            self.sign(&mut batch, base, (**body).clone(), *now, Some(*position))?;
            asked.next();
            if self.turning {
                let key = self.keys.current.verifier().to_string();
                self.sign(&mut batch, base, Body::Key { key }, *now, None)?;
            }
        }
        for note in self.notes_of_open(sealed) {
            self.sign(&mut batch, base, Body::Note(note), self.recorded_at, None)?;
        }
        for ask in &self.owed {
            if let Ok(Ok(body)) = self.admit(&batch, ask) {
                self.sign(&mut batch, base, body, self.recorded_at, None)?;
            }
            batch.owed += 1;
        }
        let mut all = true;
        for (position, ask, now) in asked {
            let body = match self.admit(&batch, ask) {
                Ok(Ok(body)) => body,
                Ok(Err(entry)) => {
                    answers[*position] = Some(Ok(entry));
                    continue;
                }
                Err(error) => {
                    answers[*position] = Some(Err(error));
                    continue;
                }
            };
            let entry = match self.entry(&batch, base, &body, *now) {
                Ok(entry) => entry,
                Err(error) => {
                    answers[*position] = Some(Err(error));
                    continue;
                }
            };
            let first = base.lines.is_empty() && batch.answers.iter().all(Option::is_none);
            if !first && !self.fits(base, batch.bytes + entry.line().len() + 1) {
                all = false;
                break;
            }
            let index = base.size() + batch.bodies.len() as u64;
            batch.recorded_at = batch.recorded_at.max(*now);
            batch.push(index, body, entry.line(), Some(*position));
        }
        queue.retain(|(position, ..)| answers[*position].is_none());
        let fits = self.fits(base, batch.bytes);
        Ok((batch, all && fits))
    }

    /// The body that an ask becomes, or the entry that answers it already.
    fn admit(&self, batch: &Batch, ask: &Ask) -> Result<Result<Body, EntryRef>, LedgerError> {
        match ask {
            Ask::Intend(act) => {
                let blocking = |index: &u64| !batch.closing.contains(index);
                let object = act.object();
                let open = self.open.iter().find(|(index, open)| open.is_on(object) && blocking(index));
                let new = batch
                    .opening
                    .iter()
                    .find(|(_, other)| other.namespace == object.namespace && other.target == object.target);
                if let Some(index) = open.map(|(i, _)| *i).or_else(|| new.map(|(i, _)| *i)) {
                    return Err(LedgerError::OpenIntent { index });
                }
                self.budget.admit(&object.namespace, act.action())?;
                let mut act = act.clone();
                act.follows(batch.left.get(act.subject()).or_else(|| self.left.get(act.subject())));
                Ok(Ok(act.body()))
            }
            Ask::Conclude(index, outcome, acted_at) => {
                if let Some((recorded, entry)) = self.concluded.get(index)
                    && recorded == outcome
                {
                    return Ok(Err(entry.clone()));
                }
                let open = self.open.get(index).filter(|_| !batch.closing.contains(index));
                let open = open.ok_or(LedgerError::UnknownIntent(*index))?;
                Ok(Ok(Body::Outcome(Concluded {
                    intent: *index,
                    id: open.id.clone(),
                    object: open.object.clone(),
                    subject: open.subject.clone(),
                    outcome: outcome.clone(),
                    acted_at: *acted_at,
                })))
            }
            Ask::Record(body) => {
                let is_extra = matches!(**body, Body::Note(_) | Body::Gate(_));
                if is_extra && self.budget.room() == Room::Full {
                    return Err(LedgerError::Full { percent: self.budget.percent() });
                }
                Ok(Ok((**body).clone()))
            }
        }
    }

    /// A body as the next entry of the batch.
    fn entry(&self, batch: &Batch, base: &Tail, body: &Body, now: Timestamp) -> Result<Entry, LedgerError> {
        let predicate = Predicate {
            index: base.size() + batch.bodies.len() as u64,
            epoch: self.epoch,
            recorded_at: now.max(batch.recorded_at),
            actor: self.settings.actor.clone(),
            body: body.clone(),
        };
        Ok(Entry::sign(&self.origin, predicate, self.signer(&batch.bodies))?)
    }

    /// Takes a body into the batch, whether it fits or not.
    fn sign(
        &self,
        batch: &mut Batch,
        base: &Tail,
        body: Body,
        now: Timestamp,
        answers: Option<usize>,
    ) -> Result<(), LedgerError> {
        let entry = self.entry(batch, base, &body, now)?;
        let index = base.size() + batch.bodies.len() as u64;
        batch.recorded_at = batch.recorded_at.max(now);
        batch.push(index, body, entry.line(), answers);
        Ok(())
    }

    /// Notes that carry the open intents of sealed stretches into the new tail.
    fn notes_of_open(&self, sealed: &[(u64, u64)]) -> Vec<Note> {
        if sealed.is_empty() {
            return Vec::new();
        }
        let now_in = |index: u64| {
            sealed.iter().find(|(start, end)| (*start..*end).contains(&index)).map(|(start, _)| *start)
        };
        let carried: Vec<(u64, u64)> = self
            .open
            .iter()
            .filter_map(|(index, open)| Some((*index, open.segment.or_else(|| now_in(*index))?)))
            .collect();
        carried
            .chunks(OPEN_PER_NOTE)
            .map(|open| Note {
                topic: "open".to_owned(),
                message: "intents without outcome in sealed segments".to_owned(),
                open: open.to_vec(),
                ..Note::default()
            })
            .collect()
    }
}
