//! Conditions: what holds of a resource, in the form that `kubectl wait` and GitOps tools read.
//!
//! A turn states facts; [`merge`] makes conditions of them. `lastTransitionTime` moves only when the status of a
//! condition moves, and conditions of types that are not ours are not restated, so that they stay their owner's.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Longest message that is kept, in bytes; the API allows 32768, a table does not.
const MESSAGE_BYTES: usize = 1024;

/// Types of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Accepted and evaluating. The health of a source is not in it.
    Ready,
    /// It may touch the target now.
    Acting,
    /// Every named signal can be believed.
    MetricsAvailable,
    /// The target exists.
    TargetAvailable,
    /// The ledger accepts intents.
    LedgerAvailable,
    /// The innovations agree with the filters.
    ModelConsistent,
    /// Ω is low and there is no rollout to blame.
    Degraded,
    /// Something else scales the same target.
    ScalerConflict,
    /// Somebody took back acts of ours.
    Contested,
    /// Pods that we asked for stay pending.
    Unschedulable,
    /// A proposal waits for a person.
    ApprovalPending,
    /// The gate admits.
    GatePassed,
    /// A challenger is in a league.
    LeagueProgressing,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Ready,
        Self::Acting,
        Self::MetricsAvailable,
        Self::TargetAvailable,
        Self::LedgerAvailable,
        Self::ModelConsistent,
        Self::Degraded,
        Self::ScalerConflict,
        Self::Contested,
        Self::Unschedulable,
        Self::ApprovalPending,
        Self::GatePassed,
        Self::LeagueProgressing,
    ];

    /// The type as the API spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Acting => "Acting",
            Self::MetricsAvailable => "MetricsAvailable",
            Self::TargetAvailable => "TargetAvailable",
            Self::LedgerAvailable => "LedgerAvailable",
            Self::ModelConsistent => "ModelConsistent",
            Self::Degraded => "Degraded",
            Self::ScalerConflict => "ScalerConflict",
            Self::Contested => "Contested",
            Self::Unschedulable => "Unschedulable",
            Self::ApprovalPending => "ApprovalPending",
            Self::GatePassed => "GatePassed",
            Self::LeagueProgressing => "LeagueProgressing",
        }
    }
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody can say.
    Unknown,
}

impl Truth {
    /// The status as the API spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// What a turn found about one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    kind: Kind,
    truth: Truth,
    reason: String,
    message: String,
}

impl Fact {
    /// A fact. `reason` is brought into the form that the API asks for; `message` is cut where it is too long.
    #[must_use]
    pub fn new(kind: Kind, truth: impl Into<Truth>, reason: &str, message: impl Into<String>) -> Self {
        let mut message = message.into();
        cut(&mut message, MESSAGE_BYTES);
        Self { kind, truth: truth.into(), reason: camel_case(reason), message }
    }
}

/// The conditions that `facts` make, each with the time since when its status has stood.
///
/// Conditions of types that are not stated are left out: server-side apply takes away ours, and keeps those of others.
#[must_use]
pub fn merge(
    previous: &[Condition],
    facts: &[Fact],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let condition = |fact: &Fact| {
        let status = fact.truth.as_str();
        let since = find(previous, fact.kind)
            .filter(|c| c.status == status)
            .map_or_else(|| Time(whole_seconds(now)), |c| c.last_transition_time.clone());
        Condition {
            type_: fact.kind.as_str().into(),
            status: status.into(),
            reason: fact.reason.clone(),
            message: fact.message.clone(),
            last_transition_time: since,
            observed_generation: generation,
        }
    };
    facts.iter().map(condition).collect()
}

/// Whether a condition is one of ours.
#[must_use]
pub fn is_ours(condition: &Condition) -> bool {
    Kind::ALL.iter().any(|kind| kind.as_str() == condition.type_)
}

/// The condition of a type, if it stands.
#[must_use]
pub fn find(conditions: &[Condition], kind: Kind) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == kind.as_str())
}

/// Whether a condition stands and holds.
#[must_use]
pub fn holds(conditions: &[Condition], kind: Kind) -> bool {
    find(conditions, kind).is_some_and(|c| c.status == Truth::True.as_str())
}

/// Shortens `text` to at most `bytes`, at a character, and shows that it did.
pub(crate) fn cut(text: &mut String, bytes: usize) {
    if text.len() <= bytes {
        return;
    }
    let mut end = bytes.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.push('…');
}

/// `Stale:latency` → `StaleLatency`: letters and digits only, a letter first, at most 128 characters.
fn camel_case(reason: &str) -> String {
    let mut camel = String::new();
    for word in reason.split(|c: char| !c.is_ascii_alphanumeric()) {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        camel.extend(letters);
    }
    camel.truncate(128);
    if camel.starts_with(|c: char| c.is_ascii_alphabetic()) { camel } else { format!("Reason{camel}") }
}

/// The API keeps seconds only; a status that is read back must equal the one that was written.
fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_900_000_000 + seconds).unwrap()
    }

    #[test]
    fn the_time_of_transition_moves_only_with_the_status() {
        let down = Fact::new(Kind::MetricsAvailable, false, "Stale", "cpu is 40 s old");
        let first = merge(&[], &[down], Some(1), at(0));
        let later = Fact::new(Kind::MetricsAvailable, false, "Missing", "cpu is missing");
        let second = merge(&first, &[later], Some(2), at(60));
        assert_eq!(second.len(), 1);
        assert_eq!(second[0].last_transition_time, Time(at(0)));
        assert_eq!((second[0].reason.as_str(), second[0].message.as_str()), ("Missing", "cpu is missing"));
        assert_eq!(second[0].observed_generation, Some(2));
        let up = Fact::new(Kind::MetricsAvailable, true, "Fresh", "");
        let third = merge(&second, &[up], Some(2), at(90));
        assert_eq!(third[0].last_transition_time, Time(at(90)));
        assert!(holds(&third, Kind::MetricsAvailable) && !holds(&second, Kind::MetricsAvailable));
    }

    #[test]
    fn what_was_written_equals_what_is_read_back() {
        let now = "2030-01-01T00:00:00.987654321Z".parse().unwrap();
        let written = merge(&[], &[Fact::new(Kind::Ready, true, "Evaluating", "")], Some(1), now);
        let read: Vec<Condition> = serde_json::from_value(serde_json::to_value(&written).unwrap()).unwrap();
        assert_eq!(read, written);
    }

    #[test]
    fn conditions_of_others_are_not_restated() {
        let other = Condition {
            type_: "example.org/Checked".into(),
            status: "True".into(),
            reason: "Checked".into(),
            message: String::new(),
            last_transition_time: Time(at(0)),
            observed_generation: None,
        };
        assert!(!is_ours(&other));
        let merged = merge(&[other], &[Fact::new(Kind::Ready, true, "Ok", "")], Some(3), at(9));
        assert_eq!(merged.len(), 1);
        assert!(is_ours(&merged[0]));
        assert_eq!(find(&merged, Kind::Ready).unwrap().observed_generation, Some(3));
        assert!(find(&merged, Kind::Acting).is_none());
    }

    #[test]
    fn reasons_have_the_form_that_the_api_asks_for() {
        let reason = |r: &str| Fact::new(Kind::Ready, Truth::Unknown, r, "").reason;
        assert_eq!(reason("Stale:latency"), "StaleLatency");
        assert_eq!(reason("no signals named"), "NoSignalsNamed");
        assert_eq!(reason("Forecast"), "Forecast");
        assert_eq!(reason(""), "Reason");
        assert_eq!(reason("503"), "Reason503");
        assert_eq!(reason("Ω low"), "Low");
        assert!(reason(&"x".repeat(5000)).len() <= 1024);
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let message = Fact::new(Kind::Ready, true, "Ok", "ä".repeat(40_000)).message;
        assert!(message.len() <= MESSAGE_BYTES && message.len() > MESSAGE_BYTES - 8);
        assert!(message.ends_with("ä…"));
        let mut short = "as it is".to_owned();
        cut(&mut short, 8);
        assert_eq!(short, "as it is");
    }
}
