//! Drafting one write: which asks become entries, in which order, and what each of them says.
//!
//! An ask is admitted against the state that the entries before it produce, those of the same batch included: no
//! second intent on a Deployment whose first has no outcome, no second outcome, `pre` compared with the last `post`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use super::error::LedgerError;
use super::statement::{Body, Concluded, Entry, Intent, Note, Predicate};
use super::states::{EntryRef, Outcome};
use super::tail::Tail;
use super::writer::Writer;
use crate::decide::situation::ObjectRef;
use crate::decide::{Decision, Situation};

/// Open intents in one note: keeps the note far below the limit of an entry.
const OPEN_PER_NOTE: usize = 200;

/// What a caller wants recorded.
#[derive(Clone, Debug)]
pub enum Ask {
    /// An act is about to be tried, not after the given time.
    Intend(Box<Situation>, Box<Decision>, Timestamp),
    /// What came of an intent, and when.
    Conclude(u64, Outcome, Timestamp),
    /// Anything else.
    Record(Box<Body>),
}

/// What is in a draft so far.
#[derive(Default)]
pub struct Batch {
    /// What its entries say.
    pub bodies: Vec<Body>,
    /// The entries.
    pub lines: Vec<String>,
    /// Their bytes, newlines included.
    pub bytes: usize,
    closing: BTreeSet<u64>,
    opening: Vec<(u64, ObjectRef)>,
    left: BTreeMap<String, String>,
}

impl Batch {
    fn push(&mut self, index: u64, body: Body, line: &str) {
        match &body {
            Body::Intent(intent) => self.opening.push((index, intent.object().clone())),
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
    }

    /// Takes the last entry back, which did not fit. The batch is finished then.
    fn take_back(&mut self, bytes: usize) {
        self.bodies.pop();
        self.lines.pop();
        self.bytes = bytes;
    }
}

impl Writer {
    /// Whether `bytes` more fit into the tail.
    pub(super) fn fits(&self, base: &Tail, bytes: usize) -> bool {
        base.bytes() + bytes <= self.settings.tail_bytes
    }

    /// Takes the owed outcomes into the batch; how many were taken or are void by now.
    pub(super) fn take_owed(&mut self, batch: &mut Batch, base: &Tail) -> Result<usize, LedgerError> {
        let owed = self.owed.clone();
        for ask in &owed {
            if let Ok(Ok(body)) = self.admit(batch, ask) {
                self.sign(batch, base, body, self.recorded_at)?;
            }
        }
        Ok(owed.len())
    }

    /// Takes asks into the batch while they fit (`room`: at least one, the tail being empty). Gives the positions
    /// taken, the latest time, and whether none was left over. Asks that need no entry are answered at once.
    #[allow(clippy::type_complexity)]
    pub(super) fn take_asked(
        &mut self,
        batch: &mut Batch,
        base: &Tail,
        queue: &mut VecDeque<(usize, Ask, Timestamp)>,
        answers: &mut [Option<Result<EntryRef, LedgerError>>],
        room: bool,
    ) -> Result<(Vec<usize>, Timestamp, bool), LedgerError> {
        let mut latest = self.recorded_at;
        let mut taken = Vec::new();
        for (position, ask, now) in queue.iter() {
            let body = match self.admit(batch, ask) {
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
            let now = latest.max(*now);
            let before = batch.bytes;
            match self.sign(batch, base, body, now) {
                Ok(()) => {}
                Err(LedgerError::Entry(error)) => {
                    answers[*position] = Some(Err(error.into()));
                    continue;
                }
                Err(error) => return Err(error),
            }
            if !self.fits(base, batch.bytes) && !(room && taken.is_empty()) {
                batch.take_back(before);
                queue.retain(|(position, ..)| answers[*position].is_none());
                return Ok((taken, latest, false));
            }
            latest = now;
            taken.push(*position);
        }
        queue.retain(|(position, ..)| answers[*position].is_none());
        Ok((taken, latest, true))
    }

    /// The body that an ask becomes, or the entry that answers it already.
    pub(super) fn admit(&self, batch: &Batch, ask: &Ask) -> Result<Result<Body, EntryRef>, LedgerError> {
        match ask {
            Ask::Intend(situation, decision, not_after) => {
                let blocking = |index: &u64| !batch.closing.contains(index);
                let object = &situation.object;
                let open = self.open.iter().find(|(index, open)| open.is_on(object) && blocking(index));
                let new = batch
                    .opening
                    .iter()
                    .find(|(_, other)| other.namespace == object.namespace && other.target == object.target);
                if let Some(index) = open.map(|(i, _)| *i).or_else(|| new.map(|(i, _)| *i)) {
                    return Err(LedgerError::OpenIntent { index });
                }
                let mut intent =
                    Intent::new(situation, decision, true, *not_after).map_err(LedgerError::NotAnAct)?;
                let left = batch.left.get(&intent.subject).or_else(|| self.left.get(&intent.subject));
                intent.external = left != Some(&intent.pre);
                Ok(Ok(Body::Intent(Box::new(intent))))
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
            Ask::Record(body) => Ok(Ok((**body).clone())),
        }
    }

    /// Signs a body as the next entry of the batch.
    pub(super) fn sign(
        &self,
        batch: &mut Batch,
        base: &Tail,
        body: Body,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let index = base.size() + batch.bodies.len() as u64;
        let predicate = Predicate {
            index,
            epoch: self.epoch,
            recorded_at: now.max(self.recorded_at),
            actor: self.settings.actor.clone(),
            body: body.clone(),
        };
        let entry = Entry::sign(&self.origin, predicate, &self.signer)?;
        batch.push(index, body, entry.line());
        Ok(())
    }

    /// Notes that carry the open intents of sealed stretches into the new tail.
    pub(super) fn notes_of_open(&self, sealed: &[(u64, u64)]) -> Vec<Note> {
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
