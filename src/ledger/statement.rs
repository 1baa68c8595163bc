//! One entry of the ledger: an in-toto Statement v1 and a signature over its DSSE pre-authentication encoding.
//!
//! ```text
//!  {"statement":{…},"keyid":"9e1c02aa","sig":"…88 characters…"}            one line, at most 16 KiB
//!               └ signed bytes ┘
//! ```
//!
//! The line holds the statement's bytes untouched and ends in a part of fixed length, so the standard DSSE
//! envelope is rebuilt from it byte for byte and a line has one reading only. The leaf of the tree is the whole line.

mod gate;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use gate::{ETHICS_ATTEST, GATE_FAIL, GateChange, GateValue};

use super::keys::{Signer, VerifierKey};
use super::states::Outcome;
use super::step::Step;
use super::{state, text};
use crate::decide::situation::{Action, ObjectRef, Plan, Proof, RuleVerdict};
use crate::decide::{Decision, Situation};

/// Type of the statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// Type of the predicate.
pub const PREDICATE_TYPE: &str = "https://matverse.io/attestation/decision/v1";
/// Payload type of the DSSE envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Longest entry line, in bytes, without its newline. A situation of eight signals with estimates, three
/// comparisons and two revisions side by side takes about 9 KiB, and must not keep a rollback from being done.
pub const MAX_ENTRY: usize = 16 * 1024;

const HEAD: &str = "{\"statement\":";
const KEY_ID: &str = ",\"keyid\":\"";
const SIG: &str = "\",\"sig\":\"";
const END: &str = "\"}";
const TAIL_LENGTH: usize = KEY_ID.len() + 8 + SIG.len() + 88 + END.len();

/// Why a statement cannot be an entry, or a line is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The line would be too long; the act must not be done.
    #[error("an entry of {bytes} bytes, the limit is {MAX_ENTRY}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Written and read again, it would not be the same (a number that is not finite).
    #[error("the situation cannot be recorded exactly: {0}")]
    Inexact(String),
    /// The line is not of the form.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The signature is not by one of the keys, or does not hold.
    #[error("its signature does not hold")]
    Signature,
}

impl EntryError {
    /// Bounded name for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "entry_too_large",
            Self::Inexact(_) => "entry_inexact",
            Self::Malformed(_) => "entry_malformed",
            Self::Signature => "entry_signature",
        }
    }
}

/// in-toto Statement v1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub r#type: String,
    /// What it speaks of; always one.
    pub subject: Vec<Subject>,
    /// [`PREDICATE_TYPE`].
    pub predicate_type: String,
    /// What it says.
    pub predicate: Predicate,
}

/// What a statement speaks of (a resource descriptor of in-toto).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// Name of the object, or origin of the ledger.
    pub name: String,
    /// Where it lives in the API.
    pub uri: String,
    /// Digest of its canonical state.
    pub digest: Digests,
    /// Its uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Uid>,
}

/// Digests of a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// SHA-256, hex.
    pub sha256: String,
}

/// Annotations of a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uid {
    /// uid of the object.
    pub uid: String,
}

/// What every entry says, and the body of its kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Predicate {
    /// Index of the entry: a line cannot stand anywhere else.
    pub index: u64,
    /// Leader epoch under which it was written.
    pub epoch: u64,
    /// When it was written; never before the entry that precedes it.
    pub recorded_at: Timestamp,
    /// Who wrote it.
    pub actor: String,
    /// The rest, by kind.
    #[serde(flatten)]
    pub body: Body,
}

/// Body of an entry, by kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Body {
    /// The first entry.
    Genesis {
        /// Origin of the ledger.
        origin: String,
        /// Verifier key that signs it.
        key: String,
        /// Last good checkpoint of the ledger that it takes over from, where a person declared a succession.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        succeeds: Option<String>,
    },
    /// A new leader: every older one's next append fails.
    Epoch {
        /// Root of the tree it found, base64.
        found: String,
    },
    /// An act is about to be tried.
    Intent(Box<Intent>),
    /// A step of a league is about to be tried.
    Step(Box<Step>),
    /// What came of one of these.
    Outcome(Concluded),
    /// A gate changed its decision.
    Gate(GateChange),
    /// Another key will sign from here on.
    Key {
        /// The new verifier key.
        key: String,
    },
    /// Anything else worth a record.
    Note(Note),
}

impl Body {
    /// The kind's name.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Genesis { .. } => "genesis",
            Self::Epoch { .. } => "epoch",
            Self::Intent(_) => "intent",
            Self::Step(_) => "step",
            Self::Outcome(_) => "outcome",
            Self::Gate(_) => "gate",
            Self::Key { .. } => "key",
            Self::Note(_) => "note",
        }
    }
}

/// An act about to be tried. The readings stand in `situation.observed.evidence`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// Id of the decision.
    pub id: String,
    /// The action.
    pub action: Action,
    /// What exactly will be written.
    pub plan: Plan,
    /// Calibrated probability of the action's event.
    pub confidence: Option<f64>,
    /// Proof of a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// The token for status and events.
    pub why: String,
    /// The line for people.
    pub reasoning: String,
    /// Every rule tried.
    pub rules: Vec<RuleVerdict>,
    /// Version of the rules and of the calibration table.
    pub policy_version: u32,
    /// What the act changes: `deployments/ns/name` or `configmaps/ns/name/key`.
    pub subject: String,
    /// Digest of that before the act.
    pub pre: String,
    /// `pre` is not what our last recorded act on it left (or none is known to the writer).
    pub external: bool,
    /// Evaluation time of the queries.
    pub observed_at: Timestamp,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// The act is not tried after this.
    pub not_after: Timestamp,
    /// All that the decision saw, the mode among it; deciding on it again gives the same decision.
    pub situation: Situation,
}

impl Intent {
    /// The intent of a decision.
    ///
    /// # Errors
    /// Why it is no act that could be recorded: no plan, not to be carried out, another object, no workload.
    pub fn new(
        situation: &Situation,
        decision: &Decision,
        external: bool,
        not_after: Timestamp,
    ) -> Result<Self, &'static str> {
        if !decision.act {
            return Err("the decision is not to be carried out");
        }
        if decision.object != situation.object {
            return Err("decision and situation speak of different objects");
        }
        let pre = state::before(situation, &decision.plan).ok_or("no plan, or no workload")?;
        Ok(Self {
            id: decision.id(),
            action: decision.action,
            plan: decision.plan.clone(),
            confidence: decision.confidence,
            proof: decision.proof.clone(),
            why: decision.why.to_string(),
            reasoning: decision.reasoning.to_string(),
            rules: decision.rules.clone(),
            policy_version: decision.policy_version,
            subject: state::subject_of(&situation.object, &decision.plan),
            pre,
            external,
            observed_at: situation.observed.at,
            decided_at: decision.at,
            not_after,
            situation: situation.clone(),
        })
    }

    /// The object it speaks of.
    #[must_use]
    pub fn object(&self) -> &ObjectRef {
        &self.situation.object
    }
}

/// What came of an intent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Concluded {
    /// Index of the intent.
    pub intent: u64,
    /// Id of the decision.
    pub id: String,
    /// The object.
    pub object: ObjectRef,
    /// What the act changes, as in the intent.
    pub subject: String,
    /// The result.
    pub outcome: Outcome,
    /// When the act was tried, or when its fate was established.
    pub acted_at: Timestamp,
}

/// A record that is neither act nor gate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// A short token: `decision`, `paused`, `open`, ….
    pub topic: String,
    /// The object, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectRef>,
    /// Id of the decision, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What happened, in one line.
    pub message: String,
    /// Topic `open`: intents without outcome that lie in sealed segments, each with the segment's start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<(u64, u64)>,
}

/// The entry line of a body: statement, signature, no newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    line: String,
}

impl Entry {
    /// Writes and signs one entry of the ledger `origin`.
    ///
    /// # Errors
    /// [`EntryError::TooLarge`]; [`EntryError::Inexact`] where reading it again would give another value.
    pub fn sign(origin: &str, predicate: Predicate, signer: &Signer) -> Result<Self, EntryError> {
        let inexact = |e: serde_json::Error| EntryError::Inexact(e.to_string());
        let statement = Statement {
            r#type: STATEMENT_TYPE.to_owned(),
            subject: vec![subject(origin, &predicate.body)],
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate,
        };
        let payload = serde_json::to_string(&statement).map_err(inexact)?;
        let again: Statement = serde_json::from_str(&payload).map_err(inexact)?;
        if again != statement {
            return Err(EntryError::Inexact("a value does not survive being written".to_owned()));
        }
        let signature = signer.sign(&pre_authentication_encoding(payload.as_bytes()));
        let (id, sig) = (text::hex(&signer.verifier().id()), text::base64(&signature));
        let line = format!("{HEAD}{payload}{KEY_ID}{id}{SIG}{sig}{END}");
        if line.len() > MAX_ENTRY {
            return Err(EntryError::TooLarge { bytes: line.len() });
        }
        Ok(Self { line })
    }

    /// The line.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }
}

/// The parts of an entry line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The statement's bytes, as signed.
    pub statement: &'a str,
    /// Key id, hex.
    pub key_id: &'a str,
    /// Signature, base64.
    pub signature: &'a str,
}

impl<'a> Parts<'a> {
    /// Takes a line apart.
    ///
    /// # Errors
    /// [`EntryError::Malformed`].
    pub fn of(line: &'a str) -> Result<Self, EntryError> {
        let malformed = |why: &str| EntryError::Malformed(why.to_owned());
        if line.len() > MAX_ENTRY {
            return Err(malformed("longer than 16 KiB"));
        }
        let split = line.len().checked_sub(TAIL_LENGTH).ok_or_else(|| malformed("too short"))?;
        let (front, back) = line.split_at_checked(split).ok_or_else(|| malformed("not an entry"))?;
        let statement = front.strip_prefix(HEAD).ok_or_else(|| malformed("its beginning"))?;
        let back = back
            .strip_prefix(KEY_ID)
            .and_then(|rest| rest.strip_suffix(END))
            .ok_or_else(|| malformed("its end"))?;
        let (key_id, rest) = back.split_at_checked(8).ok_or_else(|| malformed("key id"))?;
        let signature = rest.strip_prefix(SIG).ok_or_else(|| malformed("its signature's name"))?;
        Ok(Self { statement, key_id, signature })
    }

    /// Checks the signature by the key that `key_id` names.
    ///
    /// # Errors
    /// [`EntryError::Signature`].
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<(), EntryError> {
        let signature = text::unbase64(self.signature).ok_or(EntryError::Signature)?;
        let message = pre_authentication_encoding(self.statement.as_bytes());
        keys.iter()
            .filter(|key| text::hex(&key.id()) == self.key_id)
            .any(|key| key.verifies(&message, &signature))
            .then_some(())
            .ok_or(EntryError::Signature)
    }

    /// Reads the statement.
    ///
    /// # Errors
    /// [`EntryError::Malformed`].
    pub fn read(&self) -> Result<Statement, EntryError> {
        let statement: Statement =
            serde_json::from_str(self.statement).map_err(|e| EntryError::Malformed(e.to_string()))?;
        if statement.r#type != STATEMENT_TYPE || statement.predicate_type != PREDICATE_TYPE {
            return Err(EntryError::Malformed("another type of statement".to_owned()));
        }
        Ok(statement)
    }

    /// The standard DSSE envelope, as JSON.
    #[must_use]
    pub fn envelope(&self) -> String {
        let payload = text::base64(self.statement.as_bytes());
        format!(
            "{{\"payloadType\":\"{PAYLOAD_TYPE}\",\"payload\":\"{payload}\",\"signatures\":[{{\"keyid\":\"{}\",\"sig\":\"{}\"}}]}}",
            self.key_id, self.signature
        )
    }
}

/// `"DSSEv1" SP LEN(type) SP type SP LEN(body) SP body` (DSSE protocol v1).
fn pre_authentication_encoding(payload: &[u8]) -> Vec<u8> {
    let mut encoded = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    encoded.extend_from_slice(payload);
    encoded
}

fn subject(origin: &str, body: &Body) -> Subject {
    let object = |of: &ObjectRef, uri: String, uid: &str, sha256: String| Subject {
        name: of.target.clone(),
        uri,
        digest: Digests { sha256 },
        annotations: Some(Uid { uid: uid.to_owned() }),
    };
    let deployment =
        |of: &ObjectRef| format!("kubernetes:apps/v1/deployments/{}/{}", of.namespace, of.target);
    let digest_of = |of: &dyn AsRef<[u8]>| text::hex(&text::sha256(&[of.as_ref()]));
    let ledger = |sha256: String| Subject {
        name: origin.to_owned(),
        uri: format!("matverse:ledger/{origin}"),
        digest: Digests { sha256 },
        annotations: None,
    };
    match body {
        Body::Genesis { key, .. } | Body::Key { key } => ledger(digest_of(key)),
        Body::Epoch { found } => ledger(text::hex(&text::unbase64(found).unwrap_or_default())),
        Body::Intent(intent) => {
            let uid = intent.situation.observed.workload.as_ref().map_or("", |w| w.uid.as_str());
            let (of, pre) = (intent.object(), intent.pre.clone());
            match &intent.plan {
                Plan::Retune { .. } => object(of, format!("kubernetes:v1/{}", intent.subject), uid, pre),
                _ => object(of, deployment(of), uid, pre),
            }
        }
        Body::Step(step) => {
            let (of, on) = (&step.situation.object, &step.touched);
            Subject { name: on.name.clone(), ..object(of, on.uri(), &on.uid, on.pre.clone()) }
        }
        Body::Outcome(concluded) => {
            let sha256 = match &concluded.outcome {
                Outcome::Applied { post, .. } => post.clone(),
                _ => digest_of(&concluded.id),
            };
            object(&concluded.object, deployment(&concluded.object), &concluded.object.uid, sha256)
        }
        Body::Gate(gate) => {
            object(&gate.object, deployment(&gate.object), &gate.object.uid, digest_of(&gate.decision))
        }
        Body::Note(note) => match &note.object {
            Some(of) => object(of, deployment(of), &of.uid, digest_of(&note.message)),
            None => ledger(digest_of(&note.message)),
        },
    }
}
