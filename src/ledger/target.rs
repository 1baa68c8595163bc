//! Whether what a Deployment's annotations claim is what the ledger says, and still so.
//!
//! Annotations are hints: the Deployment controller copies them to ReplicaSets, and an undo brings old ones back.
//! Nothing is decided from them; this is for a person who looks at an object and wants to know.

use std::fmt;

use serde::Serialize;

use super::attestation::{ATTESTATION, DECISION, parse};
use super::checkpoint::Checkpoint;
use super::keys::VerifierKey;
use super::log::Log;
use super::merkle::{leaf_hash, root_of};
use super::state;
use super::statement::{Body, Parts};
use super::states::Outcome;
use super::step::Act;

/// A Deployment as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// `spec.replicas`.
    pub replicas: i32,
    /// Identity of its template.
    pub template: String,
    /// The annotation with the id of a decision.
    pub decision: Option<String>,
    /// The annotation with the place of its intent.
    pub attestation: Option<String>,
}

/// What its annotations are worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "standing")]
pub enum Standing {
    /// The last recorded act on it is the one that they name, and it is as that act left it.
    Valid {
        /// Index of the intent.
        index: u64,
    },
    /// They name an act that was recorded, and is not the last one.
    Stale {
        /// Why.
        why: String,
    },
    /// They name what was never recorded.
    Forged {
        /// Why.
        why: String,
    },
    /// It is not as an act of ours left it: somebody else changed or made it.
    External {
        /// Why.
        why: String,
    },
}

impl Standing {
    /// Exit code of the command line: 0 valid, 1 forged, 2 stale or external.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Valid { .. } => 0,
            Self::Forged { .. } => 1,
            Self::Stale { .. } | Self::External { .. } => 2,
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Valid { index } => write!(f, "VALID: as the act of entry {index} left it"),
            Self::Stale { why } => write!(f, "STALE: {why}"),
            Self::Forged { why } => write!(f, "FORGED: {why}"),
            Self::External { why } => write!(f, "EXTERNAL: {why}"),
        }
    }
}

/// The last act on a subject that was applied.
struct Last {
    intent: u64,
    post: String,
}

/// Judges a target by a verified ledger.
#[must_use]
pub fn standing(target: &Target, log: &Log, keys: &[VerifierKey]) -> Standing {
    let forged = |why: &str| Standing::Forged { why: why.to_owned() };
    let last = last_applied(target, log);
    let Some(text) = &target.attestation else {
        return match (&target.decision, last) {
            (Some(_), _) => forged(&format!("{DECISION} without {ATTESTATION}")),
            (None, None) => external("no act on it is recorded, and it names none"),
            (None, Some(last)) => external(&format!(
                "it names no act, and entry {} is one on it: the annotation was removed, or the object made anew",
                last.intent
            )),
        };
    };
    let Some(claim) = parse(text) else { return forged("its attestation cannot be read") };
    let stated = Checkpoint { origin: claim.origin, size: claim.size, root: claim.root };
    if !keys.iter().any(|key| stated.is_signed_by(key, &claim.signature)) {
        return forged("no given key has signed its checkpoint");
    }
    let leaves = log.leaves();
    let covered = usize::try_from(stated.size).ok().and_then(|size| leaves.get(..size));
    let Some(covered) = covered else {
        return forged(&format!(
            "its checkpoint has {} entries and the ledger {}: this ledger is older, restored or another",
            stated.size,
            leaves.len()
        ));
    };
    if stated.origin != log.checkpoint.checkpoint().origin || root_of(covered) != stated.root {
        return forged("its checkpoint is of another history than this ledger");
    }
    let entry = usize::try_from(claim.index).ok().and_then(|index| log.lines.get(index));
    let Some(entry) = entry.filter(|line| leaf_hash(line.as_bytes()) == claim.leaf) else {
        return forged(&format!("entry {} is not the one that it names", claim.index));
    };
    let body = Parts::of(entry).and_then(|parts| parts.read()).map(|statement| statement.predicate.body);
    let Some(act) = body.ok().and_then(Act::of) else {
        return forged(&format!("entry {} is no intent", claim.index));
    };
    if act.subject() != subject(target) || Some(act.id()) != target.decision.as_deref() {
        return forged(&format!("entry {} is the intent of another act ({})", claim.index, act.subject()));
    }
    match last {
        Some(last) if last.intent == claim.index => {
            let now = state::deployment(&target.uid, target.replicas, &target.template);
            if now == last.post {
                Standing::Valid { index: claim.index }
            } else {
                external("its count, its template or its uid is not what that act left")
            }
        }
        Some(last) => Standing::Stale {
            why: format!("it names entry {}, and the last act on it is entry {}", claim.index, last.intent),
        },
        None => Standing::Stale { why: format!("the act of entry {} has no applied outcome", claim.index) },
    }
}

fn external(why: &str) -> Standing {
    Standing::External { why: why.to_owned() }
}

fn subject(target: &Target) -> String {
    format!("deployments/{}/{}", target.namespace, target.name)
}

fn last_applied(target: &Target, log: &Log) -> Option<Last> {
    let subject = subject(target);
    let body = |line: &String| Some(Parts::of(line).ok()?.read().ok()?.predicate.body);
    log.lines.iter().rev().filter_map(body).find_map(|body| match body {
        Body::Outcome(concluded) if concluded.subject == subject => match concluded.outcome {
            Outcome::Applied { post, .. } => Some(Last { intent: concluded.intent, post }),
            _ => None,
        },
        _ => None,
    })
}
