//! Taking over: what a new leader finds, and the intents that the one before left without outcome.
//!
//! ```text
//!  GET tail ─► verify ─► open intents (tail, and those that a note carries over from sealed segments)
//!      │ none, nor segment, nor `founded`           └► append epoch: every older leader's next append fails
//!      └► CREATE tail with genesis
//! ```

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::checkpoint::Checkpoint;
use super::error::LedgerError;
use super::keys::{KeyRing, Signer, VerifierKey};
use super::merkle::{Frontier, leaf_hash};
use super::settings::Settings;
use super::statement::{Body, Entry, EntryError, Parts, Predicate};
use super::states::{EntryRef, Outcome};
use super::step::Act;
use super::store::{Store, StoreError};
use super::tail::{
    EXPORTED, EXPORTED_KEYS, FOUNDED, FOUNDED_KEYS, SEGMENT_PREFIX, Segment, TAIL, Tail, TailError,
    segment_name,
};
use super::text;

/// What a new leader found, and has to conclude before it decides anything about those targets.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The epoch of this leader.
    pub epoch: u64,
    /// Intents without outcome, oldest first.
    pub open: Vec<OpenIntent>,
}

/// An intent without outcome, left by an earlier leader. Write a fence on its target, read from the answer
/// whether the act is there, and conclude it.
#[derive(Clone, Debug)]
pub struct OpenIntent {
    /// Its place in the ledger.
    pub entry: EntryRef,
    /// The act that was intended, whole.
    pub act: Act,
}

/// An intent as it was found.
pub struct FoundIntent {
    /// The act that was intended.
    pub act: Act,
    /// Its line.
    pub line: String,
    /// Epoch of the leader that recorded it.
    pub epoch: u64,
    /// Start of the segment that it lies in, if it is sealed.
    pub segment: Option<u64>,
}

/// The state of a stored ledger.
pub struct Found {
    /// The verified tail.
    pub tail: Tail,
    /// Its resourceVersion.
    pub version: String,
    /// When the newest entry was written.
    pub recorded_at: Timestamp,
    /// Intents without outcome.
    pub open: BTreeMap<u64, FoundIntent>,
    /// Whether its newest entry is signed by the retiring key still.
    pub turning: bool,
    /// Last known digest of what our acts left, by subject.
    pub left: BTreeMap<String, String>,
}

/// Reads and verifies the ledger; `None` where it has just been founded (or somebody else did): read again.
///
/// # Errors
/// A tail that does not verify, that is gone while segments are not, or a store in trouble.
pub async fn find(
    store: &dyn Store,
    keys: &KeyRing,
    origin: &str,
    settings: &Settings,
    now: Timestamp,
) -> Result<Option<Found>, LedgerError> {
    let object = match store.get(TAIL).await {
        Ok(object) => object,
        Err(StoreError::NotFound) => {
            found(store, keys, origin, settings, now).await?;
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let tail = Tail::parse(origin, &object.data, &keys.verifiers())?;
    let newest = turned_to(&tail);
    let is_newest = |key: &Signer| newest == text::hex(&key.verifier().id());
    let turning = !is_newest(&keys.current);
    if turning && !keys.retiring.as_ref().is_some_and(is_newest) {
        return Err(LedgerError::Turned { newest });
    }
    not_older(store, &tail).await?;
    remember(store, keys).await?;
    let mut state = Found {
        version: object.resource_version,
        recorded_at: Timestamp::MIN,
        open: BTreeMap::new(),
        left: BTreeMap::new(),
        turning,
        tail,
    };
    let mut carried = BTreeMap::new();
    let mut closed = Vec::new();
    for ((index, predicate), line) in state.tail.predicates().zip(&state.tail.lines) {
        let predicate = predicate.map_err(|why| TailError::Entry { index, why })?;
        state.recorded_at = state.recorded_at.max(predicate.recorded_at);
        match predicate.body {
            Body::Outcome(concluded) => {
                state.open.remove(&concluded.intent);
                closed.push(concluded.intent);
                if let Outcome::Applied { post, .. } = concluded.outcome {
                    state.left.insert(concluded.subject, post);
                }
            }
            Body::Note(note) => carried.extend(note.open),
            other => {
                let Some(act) = Act::of(other) else { continue };
                let found = FoundIntent { act, line: line.clone(), epoch: predicate.epoch, segment: None };
                state.open.insert(index, found);
            }
        }
    }
    carried.retain(|index, _| !closed.contains(index));
    for (index, start) in carried {
        let (line, predicate) = sealed_entry(store, keys, index, start).await?;
        if let Some(act) = Act::of(predicate.body) {
            let found = FoundIntent { act, line, epoch: predicate.epoch, segment: Some(start) };
            state.open.insert(index, found);
        }
    }
    Ok(Some(state))
}

/// A tail with fewer entries than were exported is an older one in its place.
async fn not_older(store: &dyn Store, tail: &Tail) -> Result<(), LedgerError> {
    let stated = match store.get(EXPORTED).await {
        Ok(object) => object.data.get(EXPORTED_KEYS[0]).and_then(|size| text::decimal(size)),
        Err(StoreError::NotFound) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    match stated {
        Some(size) if size <= tail.size() => Ok(()),
        Some(size) => Err(LedgerError::Stopped(format!(
            "it has {} entries, and {size} were exported: an older one was restored in its place",
            tail.size()
        ))),
        None => Err(LedgerError::Stopped(format!("{EXPORTED} does not state a size"))),
    }
}

/// Id of the key that signs the next entry: the one that the newest announces, or else the one that signed it.
fn turned_to(tail: &Tail) -> String {
    let Some(parts) = tail.lines.last().and_then(|line| Parts::of(line).ok()) else { return String::new() };
    match parts.read().map(|statement| statement.predicate.body) {
        Ok(Body::Key { key }) => VerifierKey::parse(&key).map(|key| text::hex(&key.id())).unwrap_or_default(),
        _ => parts.key_id.to_owned(),
    }
}

/// Leaves behind that there is a tail, so that one that vanishes is not founded anew in silence.
async fn remember(store: &dyn Store, keys: &KeyRing) -> Result<(), LedgerError> {
    let data = BTreeMap::from([(FOUNDED_KEYS[0].to_owned(), keys.current.verifier().to_string())]);
    match store.create(FOUNDED, &data, true).await {
        Ok(_) | Err(StoreError::AlreadyExists) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Founds the ledger: a tail with its genesis.
async fn found(
    store: &dyn Store,
    keys: &KeyRing,
    origin: &str,
    settings: &Settings,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let ours = |name: &str| [FOUNDED, EXPORTED].contains(&name) || name.starts_with(SEGMENT_PREFIX);
    if store.list().await?.iter().any(|object| ours(&object.name)) {
        return Err(LedgerError::TailVanished);
    }
    let body = Body::Genesis {
        origin: origin.to_owned(),
        key: keys.current.verifier().to_string(),
        succeeds: settings.succeeds.clone(),
    };
    let predicate = Predicate { index: 0, epoch: 0, recorded_at: now, actor: settings.actor.clone(), body };
    let entry = Entry::sign(origin, predicate, &keys.current)?;
    let mut end = Frontier::default();
    end.append(leaf_hash(entry.line().as_bytes()));
    let checkpoint =
        Checkpoint { origin: origin.to_owned(), size: end.size(), root: end.root() }.sign(&keys.current);
    let lines = vec![entry.line().to_owned()];
    let tail = Tail { start: Frontier::default(), end, lines, epoch: 0, checkpoint };
    match store.create(TAIL, &tail.data(), false).await {
        // Whether it is ours or another's is seen when it is read.
        Ok(_) | Err(StoreError::AlreadyExists | StoreError::Unreachable(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// One entry of a segment, relied on by its own signature and index.
async fn sealed_entry(
    store: &dyn Store,
    keys: &KeyRing,
    index: u64,
    start: u64,
) -> Result<(String, Predicate), LedgerError> {
    let name = segment_name(start);
    let object = match store.get(&name).await {
        Ok(object) => object,
        Err(StoreError::NotFound) => {
            return Err(LedgerError::Stopped(format!("{name} with the open intent {index} is gone")));
        }
        Err(error) => return Err(error.into()),
    };
    let segment = Segment::parse(start, &object.data)?;
    let wrong = |why| LedgerError::from(TailError::Entry { index, why });
    let line = usize::try_from(index.saturating_sub(start))
        .ok()
        .and_then(|at| segment.lines.get(at))
        .ok_or_else(|| wrong(EntryError::Malformed(format!("not in {name}"))))?;
    let parts = Parts::of(line).map_err(wrong)?;
    parts.verify(&keys.verifiers()).map_err(wrong)?;
    let predicate = parts.read().map_err(wrong)?.predicate;
    if predicate.index != index {
        return Err(wrong(EntryError::Malformed(format!("it says it is entry {}", predicate.index))));
    }
    Ok((line.clone(), predicate))
}
