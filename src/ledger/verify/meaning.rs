//! What a ledger must mean, beyond being intact: one genesis, epochs and times that never go back, for each intent
//! exactly one outcome, and each act beginning where the last one ended, or saying that it does not.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::{Finding, unique};
use crate::ledger::keys::VerifierKey;
use crate::ledger::statement::{PREDICATE_TYPE, Parts, STATEMENT_TYPE};
use crate::ledger::states::Outcome;
use crate::ledger::text;

/// How long after its `notAfter` an intent may be without outcome: time for another leader to take over.
const GRACE: SignedDuration = SignedDuration::from_secs(120);

/// The part of a statement that the checks need.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    #[serde(rename = "_type")]
    r#type: String,
    predicate_type: String,
    predicate: Said,
}

/// The part of a predicate that the checks need.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Said {
    /// Index that the entry states.
    pub index: u64,
    /// Epoch that it states.
    pub epoch: u64,
    recorded_at: Timestamp,
    /// Its kind.
    pub kind: String,
    /// Id of the key that signed it, hex.
    #[serde(skip)]
    key_id: String,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    origin: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    intent: Option<u64>,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    pre: Option<String>,
    #[serde(default)]
    external: Option<bool>,
    #[serde(default)]
    not_after: Option<Timestamp>,
    #[serde(default)]
    outcome: Option<Outcome>,
}

/// Reads what an entry says.
///
/// # Errors
/// Why it is no statement of ours.
pub fn said(parts: &Parts<'_>) -> Result<Said, String> {
    unique::check(parts.statement).map_err(|e| e.to_string())?;
    let seen: Seen = serde_json::from_str(parts.statement).map_err(|e| e.to_string())?;
    if seen.r#type != STATEMENT_TYPE || seen.predicate_type != PREDICATE_TYPE {
        return Err("another type of statement".to_owned());
    }
    Ok(Said { key_id: parts.key_id.to_owned(), ..seen.predicate })
}

/// Figures of a ledger.
#[derive(Default)]
pub struct Figures {
    /// Intents.
    pub intents: u64,
    /// Outcomes.
    pub outcomes: u64,
    /// Intents without outcome.
    pub open: u64,
}

struct OpenIntent {
    id: Option<String>,
    subject: Option<String>,
    not_after: Option<Timestamp>,
}

/// Checks the entries in order. `gap_before` is where the known entries begin (again): what lies before is unknown.
pub fn check(
    entries: &[(u64, Said)],
    origin: Option<&str>,
    now: Option<Timestamp>,
    findings: &mut Vec<Finding>,
) -> Figures {
    let mut figures = Figures::default();
    let mut open: BTreeMap<u64, OpenIntent> = BTreeMap::new();
    let mut waiting: BTreeSet<Option<String>> = BTreeSet::new();
    let mut left: BTreeMap<&str, &str> = BTreeMap::new();
    let mut last: Option<(u64, u64, Timestamp)> = None;
    let mut known_from = 0;
    // Id of the key that the ledger has turned to; unknown behind a gap.
    let mut signer: Option<String> = None;
    for (index, said) in entries {
        let index = *index;
        let mut wrong = |message: &str| findings.push(Finding::entry(index, message.to_owned()));
        let contiguous = last.map_or(index == 0, |(before, ..)| before + 1 == index);
        if !contiguous {
            known_from = index;
            left.clear();
            signer = None;
        }
        if (said.kind == "genesis") != (index == 0) {
            wrong("a genesis must be the first entry, and only that");
        }
        if said.kind == "genesis" && origin.is_some_and(|origin| said.origin.as_deref() != Some(origin)) {
            wrong("its origin is not that of the checkpoint");
        }
        if let Some((_, epoch, recorded_at)) = last {
            let moved = if said.kind == "epoch" { said.epoch > epoch } else { said.epoch == epoch };
            if contiguous && !moved || said.epoch < epoch {
                wrong("its epoch does not follow the one before");
            }
            if said.recorded_at < recorded_at {
                wrong("it was recorded before the entry that precedes it");
            }
        }
        last = Some((index, said.epoch, said.recorded_at));
        let announces = ["genesis", "key"].contains(&said.kind.as_str());
        let announced =
            said.key.as_deref().filter(|_| announces).and_then(|key| VerifierKey::parse(key).ok());
        if announces && announced.is_none() {
            wrong("it announces no key");
        }
        let announced = announced.map(|key| text::hex(&key.id()));
        let expected = if said.kind == "genesis" { announced.as_ref() } else { signer.as_ref() };
        if expected.is_some_and(|id| *id != said.key_id) {
            wrong("signed by another key than the one that the ledger had turned to");
        }
        signer = announced.or(signer).or_else(|| Some(said.key_id.clone()));
        match said.kind.as_str() {
            "intent" | "step" => {
                figures.intents += 1;
                if said.id.is_none() || said.not_after.is_none() || said.pre.is_none() {
                    wrong("an intent without id, limit or state");
                }
                if said.external != Some(true)
                    && let Some(left) = said.subject.as_deref().and_then(|subject| left.get(subject).copied())
                    && said.pre.as_deref() != Some(left)
                {
                    wrong("its state before is not what the last act left, and it does not say so");
                }
                if !waiting.insert(said.subject.clone()) {
                    wrong("an intent on what has one without outcome");
                }
                let intent = OpenIntent {
                    id: said.id.clone(),
                    subject: said.subject.clone(),
                    not_after: said.not_after,
                };
                open.insert(index, intent);
            }
            "outcome" => {
                figures.outcomes += 1;
                let named = said.intent.map(|intent| (intent, open.remove(&intent)));
                if let Some((_, Some(intent))) = &named {
                    waiting.remove(&intent.subject);
                }
                match named {
                    Some((_, Some(intent))) if intent.id == said.id && intent.subject == said.subject => {}
                    Some((_, Some(_))) => wrong("an outcome that is not of the intent it names"),
                    Some((intent, None)) if intent < known_from => {}
                    _ => wrong("an outcome without an intent that waits for one"),
                }
                if let (Some(Outcome::Applied { post, .. }), Some(subject)) =
                    (&said.outcome, said.subject.as_deref())
                {
                    left.insert(subject, post);
                }
                if said.outcome.is_none() {
                    wrong("an outcome without a result");
                }
            }
            "genesis" | "epoch" | "gate" | "key" | "note" => {}
            _ => wrong("of an unknown kind"),
        }
    }
    let now = now.or(last.map(|(_, _, recorded_at)| recorded_at));
    for (index, intent) in &open {
        let limit = intent.not_after.and_then(|at| at.checked_add(GRACE).ok());
        if limit.zip(now).is_none_or(|(limit, now)| now > limit) {
            let message = "an intent without outcome, older than its limit".to_owned();
            findings
                .push(Finding { severity: super::Severity::Incomplete, ..Finding::entry(*index, message) });
        }
    }
    figures.open = open.len() as u64;
    figures
}
