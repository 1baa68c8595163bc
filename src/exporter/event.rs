//! What an evidence event may say, and the reading of it: every field by name, with the reason where one is refused.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::json::{self, shown};
use super::score::{Format, Subscores, score};

/// Longest event, bytes.
pub const LONGEST: usize = 64 * 1024;
/// Most keys of an input; each is looked for in the output.
pub const KEYS: usize = 256;
/// Longest name of a group or model, bytes.
const GROUP: usize = 63;
const MODEL: usize = 253;
/// How far ahead of this clock an event's own time may be.
const SKEW: SignedDuration = SignedDuration::from_secs(5);
/// How far a stated Ψ may be from the mean of stated sub-scores.
const ROUNDING: f64 = 1e-6;

/// Why an event is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Longer than [`LONGEST`].
    TooLarge,
    /// Not JSON of one meaning.
    NotJson,
    /// A field that is missing, unknown, or says what it may not.
    Field,
    /// It belongs to no workload.
    NoWorkload,
    /// Its workload would be one too many.
    TooManyWorkloads,
    /// Its record cannot be written.
    NotRecorded,
    /// More events than may come in a second.
    TooFast,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::TooLarge,
        Self::NotJson,
        Self::Field,
        Self::NoWorkload,
        Self::TooManyWorkloads,
        Self::NotRecorded,
        Self::TooFast,
    ];

    /// A bounded name for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::NotJson => "not_json",
            Self::Field => "field",
            Self::NoWorkload => "no_workload",
            Self::TooManyWorkloads => "too_many_workloads",
            Self::NotRecorded => "not_recorded",
            Self::TooFast => "too_fast",
        }
    }
}

/// A refusal, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Of which kind.
    pub kind: Kind,
    /// The field it is about, where it is about one: `outcome.group`.
    pub field: Option<String>,
    /// For people.
    pub reason: String,
}

impl Refusal {
    /// A refusal that is about no single field.
    #[must_use]
    pub fn new(kind: Kind, reason: impl Into<String>) -> Self {
        Self { kind, field: None, reason: reason.into() }
    }

    fn of(field: &str, reason: impl Into<String>) -> Self {
        Self { kind: Kind::Field, field: Some(field.to_owned()), reason: reason.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{field}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl std::error::Error for Refusal {}

/// The workload that evidence speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl std::str::FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |part: &str, longest: usize, dots: bool| {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
            let mut bytes = part.bytes();
            part.len() <= longest
                && bytes.next().is_some_and(plain)
                && part.bytes().next_back().is_some_and(plain)
                && bytes.all(|b| plain(b) || b == b'-' || (dots && b == b'.'))
        };
        match text.split_once('/') {
            Some((namespace, name)) if part(namespace, 63, false) && part(name, 253, true) => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err(format!("{} is not namespace/name of a workload", shown(text))),
        }
    }
}

/// One event, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The workload it names.
    pub workload: Option<Workload>,
    /// Its own time, where it has one.
    pub at: Option<Timestamp>,
    /// Quality, 0…1.
    pub psi: f64,
    /// What Ψ is made of, as far as it is known.
    pub subscores: Subscores,
    /// What goes into the record: each null where it was not sent.
    pub model: Value,
    /// As `model`.
    pub input: Value,
    /// As `model`.
    pub output: Value,
    /// As `model`.
    pub context: Value,
    /// Confidence and whether the answer was correct.
    pub calibrated: Option<(f64, bool)>,
    /// Group, and whether the answer was positive for it.
    pub grouped: Option<(String, bool)>,
    /// What was said of consent.
    pub consent: Option<bool>,
    /// Footprint, kg.
    pub eco_kg: Option<f64>,
    /// Risk, 0 or more, in the sender's unit.
    pub risk: Option<f64>,
    /// Sent under stress.
    pub stress: Option<Stress>,
}

/// How hard the stress is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stress {
    /// Intensity in hundredths, where it is stated.
    pub level: Option<u8>,
}

/// Reads and scores one event; `words` are the listed ones, in lower case.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read(bytes: &[u8], words: &[String], now: Timestamp) -> Result<Event, Refusal> {
    if bytes.len() > LONGEST {
        return Err(Refusal::new(Kind::TooLarge, format!("longer than {LONGEST} bytes")));
    }
    let Value::Object(map) = json::read(bytes).map_err(|why| Refusal::new(Kind::NotJson, why))? else {
        return Err(Refusal::new(Kind::NotJson, "an event is a JSON object"));
    };
    let mut fields = Fields { map, within: "" };
    let workload = match fields.text("workload", MODEL + GROUP + 1)? {
        Some(text) => Some(text.parse().map_err(|why: String| Refusal::of("workload", why))?),
        None => None,
    };
    let at = time(&mut fields, now)?;
    let (calibrated, grouped) = match fields.object("outcome")? {
        None => (None, None),
        Some(outcome) => labels(outcome)?,
    };
    let consent = fields.truth("consent")?;
    let eco_kg = fields.number("ecoKg", f64::MAX)?;
    let risk = fields.number("risk", f64::MAX)?;
    let stress = stress(&mut fields)?;
    let (psi, subscores) = quality(&mut fields, words)?;
    let [model, input, output, context] =
        ["model", "input", "output", "context"].map(|name| fields.take(name).unwrap_or_default());
    fields.done()?;
    Ok(Event {
        workload,
        at,
        psi,
        subscores,
        model,
        input,
        output,
        context,
        calibrated,
        grouped,
        consent,
        eco_kg,
        risk,
        stress,
    })
}

fn time(fields: &mut Fields, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
    let Some(text) = fields.text("timestamp", 64)? else { return Ok(None) };
    let at: Timestamp = text
        .parse()
        .map_err(|_| Refusal::of("timestamp", format!("{} is no time of RFC 3339", shown(&text))))?;
    if at.duration_since(now) > SKEW {
        return Err(Refusal::of("timestamp", format!("{at} is ahead of this clock, which says {now}")));
    }
    Ok(Some(at))
}

type Labels = (Option<(f64, bool)>, Option<(String, bool)>);

/// Two pairs, each whole or absent: half of one would count in no figure, and nobody would notice.
fn labels(mut outcome: Fields) -> Result<Labels, Refusal> {
    let calibrated = match (outcome.number("confidence", 1.0)?, outcome.truth("correct")?) {
        (Some(confidence), Some(correct)) => Some((confidence, correct)),
        (None, None) => None,
        _ => return Err(Refusal::of("outcome", "confidence and correct go together")),
    };
    let grouped = match (outcome.text("group", GROUP)?, outcome.truth("positive")?) {
        (Some(group), Some(positive)) => Some((group, positive)),
        (None, None) => None,
        _ => return Err(Refusal::of("outcome", "group and positive go together")),
    };
    outcome.done()?;
    Ok((calibrated, grouped))
}

fn stress(fields: &mut Fields) -> Result<Option<Stress>, Refusal> {
    let under = fields.truth("stress")? == Some(true);
    let level = fields.number("intensity", 1.0)?;
    if level.is_some() && !under {
        return Err(Refusal::of("intensity", "goes with \"stress\": true"));
    }
    Ok(under.then(|| Stress { level: level.map(|level| libm::round(100.0 * level) as u8) }))
}

/// Ψ as stated, or as the text is worth.
fn quality(fields: &mut Fields, words: &[String]) -> Result<(f64, Subscores), Refusal> {
    if let Some(psi) = fields.number("psi", 1.0)? {
        if fields.map.contains_key("expectedFormat") {
            return Err(Refusal::of("expectedFormat", "a stated psi is not computed from the output"));
        }
        let subscores = match fields.object("subscores")? {
            None => Subscores::default(),
            Some(mut parts) => {
                let mut part = |name| parts.number(name, 1.0);
                let subscores = Subscores {
                    format: part("format")?,
                    policy: part("policy")?,
                    consistency: part("consistency")?,
                    coverage: part("coverage")?,
                };
                parts.done()?;
                subscores
            }
        };
        if subscores.mean().is_some_and(|mean| (mean - psi).abs() > ROUNDING) {
            return Err(Refusal::of("psi", "is not the mean of the four subscores"));
        }
        return Ok((psi, subscores));
    }
    for (name, wanted) in [("model", "a text"), ("input", "anything"), ("output", "a text")] {
        if !fields.map.contains_key(name) {
            let why = format!("{wanted} is needed here; an event has model, input and output, or else a psi");
            return Err(Refusal::of(name, why));
        }
    }
    if fields.map.contains_key("subscores") {
        return Err(Refusal::of("subscores", "goes with psi"));
    }
    // Read for its bounds, and put back for the record.
    let model = fields.text("model", MODEL)?.ok_or_else(|| Refusal::of("model", "a text is needed here"))?;
    fields.map.insert("model".to_owned(), Value::String(model));
    let expected = match fields.text("expectedFormat", MODEL)? {
        None => None,
        Some(text) => {
            Some(Format::NAMES.iter().find(|(name, _)| *name == text).map(|(_, f)| *f).ok_or_else(|| {
                let names = Format::NAMES.map(|(name, _)| name).join(", ");
                Refusal::of("expectedFormat", format!("{} is none of {names}", shown(&text)))
            })?)
        }
    };
    let null = Value::Null;
    let input = fields.map.get("input").unwrap_or(&null);
    if input.as_object().is_some_and(|keys| keys.len() > KEYS) {
        return Err(Refusal::of("input", format!("more than {KEYS} keys")));
    }
    let subscores = match fields.map.get("output").unwrap_or(&null) {
        Value::String(output) => score(input, output, expected, words),
        Value::Null => score(input, "", expected, words),
        other => score(input, &other.to_string(), expected, words),
    };
    let psi = subscores.mean().ok_or_else(|| Refusal::of("output", "has no score"))?;
    Ok((psi, subscores))
}

/// The fields of an object that nobody has taken yet. Null counts as not sent.
struct Fields {
    map: Map<String, Value>,
    /// Prefix of the names, for reasons.
    within: &'static str,
}

impl Fields {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name)
    }

    fn refused(&self, name: &str, reason: impl Into<String>) -> Refusal {
        Refusal::of(&format!("{}{name}", self.within), reason)
    }

    /// A text of 1 to `longest` bytes without control characters.
    fn text(&mut self, name: &str, longest: usize) -> Result<Option<String>, Refusal> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text))
                if (1..=longest).contains(&text.len()) && !text.chars().any(char::is_control) =>
            {
                Ok(Some(text))
            }
            Some(_) => Err(self.refused(
                name,
                format!("a text of 1 to {longest} bytes without control characters is needed here"),
            )),
        }
    }

    /// A finite number from 0 to `most`.
    fn number(&mut self, name: &str, most: f64) -> Result<Option<f64>, Refusal> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let fits = value.as_f64().filter(|v| v.is_finite() && *v >= 0.0 && *v <= most);
                let range =
                    if most < f64::MAX { format!("from 0 to {most}") } else { "of 0 or more".to_owned() };
                fits.map(Some).ok_or_else(|| self.refused(name, format!("a number {range} is needed here")))
            }
        }
    }

    fn truth(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(self.refused(name, "true or false is needed here")),
        }
    }

    fn object(&mut self, name: &'static str) -> Result<Option<Self>, Refusal> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(map)) => {
                let within = if name == "outcome" { "outcome." } else { "subscores." };
                Ok(Some(Self { map, within }))
            }
            Some(_) => Err(self.refused(name, "an object is needed here")),
        }
    }

    /// A field that is left is one that nobody knows: a slip of the pen must not pass for an absent one.
    fn done(self) -> Result<(), Refusal> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(name) => {
                let name = format!("{}{}", self.within, shown(name).trim_matches('"'));
                Err(Refusal::of(&name, "no such field"))
            }
        }
    }
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
