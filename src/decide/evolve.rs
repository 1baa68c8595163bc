//! Challengers by mutation: a seed and a space of parameters give a sequence of distinct candidates, always the same.
//!
//! ```text
//!  seed ─► ChaCha8 ─► a point of the space, not drawn before ─► parameters as text ─► canonical digest
//! ```
//!
//! Every parameter is drawn anew, uniformly over its values; ranges are grids, so that a value has one spelling and two
//! candidates are alike or not. Only numbers and text come out of here: who sets them, and where, is the caller's.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Steps of a range that does not declare its own.
const STEPS: f64 = 100.0;
/// Most values of one parameter.
const MOST_VALUES: u64 = 1_000_000;
/// Longest value.
const LONGEST: usize = 1024;

/// The declared parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Space {
    /// In the order in which they are drawn.
    pub parameters: Vec<Parameter>,
}

/// One parameter: a range or a set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Parameter {
    /// Name of the environment variable that carries it.
    pub env: String,
    /// Smallest value of a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Largest value of a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Distance of two values of a range; a hundredth of it where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
    /// The values of a set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

impl Parameter {
    /// A range.
    #[must_use]
    pub fn range(env: &str, min: f64, max: f64, step: f64) -> Self {
        Self { env: env.into(), min: Some(min), max: Some(max), step: Some(step), values: Vec::new() }
    }

    /// A set.
    #[must_use]
    pub fn set(env: &str, values: &[&str]) -> Self {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Self { env: env.into(), min: None, max: None, step: None, values }
    }

    /// How many values it has, and, of a range, its first value and their distance.
    fn grid(&self) -> Result<(u64, Option<(f64, f64)>), EvolveError> {
        let wrong = |why: &str| Err(EvolveError::Parameter { env: self.env.clone(), why: why.into() });
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let rest = |c: char| first(c) || c.is_ascii_digit();
        if !(self.env.starts_with(first) && self.env.chars().all(rest) && self.env.len() <= 253) {
            return wrong("the name of an environment variable is letters, digits and _");
        }
        match (self.min, self.max, self.values.as_slice()) {
            (None, None, values) if !values.is_empty() && self.step.is_none() => {
                let distinct: BTreeSet<&String> = values.iter().collect();
                if distinct.len() < values.len() {
                    return wrong("a value is listed twice");
                }
                if values.iter().any(|value| value.len() > LONGEST) {
                    return wrong("a value is longer than 1024 bytes");
                }
                Ok((values.len() as u64, None))
            }
            (Some(min), Some(max), []) => {
                let step = self.step.unwrap_or((max - min) / STEPS);
                // Written so that NaN is refused.
                if !(min.is_finite() && max.is_finite() && min < max && step > 0.0) {
                    return wrong("min must be below max and step above 0, all finite");
                }
                // The last value is max where the step divides the range, up to binary dust.
                let steps = libm::floor((max - min) / step + 1e-9);
                if steps < MOST_VALUES as f64 {
                    Ok((steps as u64 + 1, Some((min, step))))
                } else {
                    wrong("more than a million values; declare a larger step")
                }
            }
            _ => wrong("it needs min and max, or values, and not both"),
        }
    }

    /// Its `index`-th value as text.
    fn value(&self, index: u64, grid: Option<(f64, f64)>) -> String {
        let Some((min, step)) = grid else {
            return self.values.get(index as usize).cloned().unwrap_or_default();
        };
        // Places enough for a hundredth of the step, and no dust behind them.
        let places = (0..12).find(|places| step * 10_f64.powi(*places) >= 100.0).unwrap_or(12) as usize;
        let mut text = format!("{:.places$}", min + index as f64 * step);
        if text.contains('.') {
            text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
        }
        if text == "-0" { "0".into() } else { text }
    }
}

impl Default for Space {
    /// Temperature .1–1.5, nucleus .5–1, and four lengths of an answer.
    fn default() -> Self {
        Self {
            parameters: vec![
                Parameter::range("TEMPERATURE", 0.1, 1.5, 0.01),
                Parameter::range("TOP_P", 0.5, 1.0, 0.01),
                Parameter::set("MAX_TOKENS", &["100", "200", "500", "1000"]),
            ],
        }
    }
}

/// Why there are no candidates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvolveError {
    /// No parameter is declared.
    #[error("no parameter is declared")]
    Empty,
    /// A parameter is not one.
    #[error("parameter {env}: {why}")]
    Parameter {
        /// Its name.
        env: String,
        /// What is wrong.
        why: String,
    },
    /// Fewer points than candidates.
    #[error("{asked} distinct candidates are asked for, and the space has {size}")]
    TooSmall {
        /// Candidates asked for.
        asked: u64,
        /// Points of the space.
        size: u64,
    },
}

impl EvolveError {
    /// A bounded name for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Parameter { .. } => "parameter",
            Self::TooSmall { .. } => "too_small",
        }
    }
}

/// One candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// SHA-256, hex, of the canonical JSON (RFC 8785) of `{"parameters": …}`.
    pub digest: String,
    /// Value of each environment variable.
    pub parameters: BTreeMap<String, String>,
}

/// The first `n` candidates of a seed: distinct, and the same on any machine.
///
/// # Errors
/// [`EvolveError`]: a space that is none, or is smaller than `n`.
pub fn candidates(space: &Space, n: u64, seed: u64) -> Result<Vec<Candidate>, EvolveError> {
    if space.parameters.is_empty() {
        return Err(EvolveError::Empty);
    }
    let grids = space.parameters.iter().map(Parameter::grid).collect::<Result<Vec<_>, _>>()?;
    for (i, parameter) in space.parameters.iter().enumerate() {
        if space.parameters[..i].iter().any(|other| other.env == parameter.env) {
            let why = "it is declared twice".into();
            return Err(EvolveError::Parameter { env: parameter.env.clone(), why });
        }
    }
    let size = grids.iter().fold(1_u64, |size, (values, _)| size.saturating_mul(*values));
    if n > size {
        return Err(EvolveError::TooSmall { asked: n, size });
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn = BTreeSet::new();
    let mut found = Vec::new();
    while (found.len() as u64) < n {
        // The high half of a product is uniform below `size`.
        let mut point = ((u128::from(rng.next_u64()) * u128::from(size)) >> 64) as u64;
        // One that was drawn gives way to the next free one, so the draw ends in the smallest space.
        while !drawn.insert(point) {
            point = (point + 1) % size;
        }
        found.push(candidate(space, &grids, point));
    }
    Ok(found)
}

/// A point of the space, its parameters as the digits of a number of mixed radix.
fn candidate(space: &Space, grids: &[(u64, Option<(f64, f64)>)], mut point: u64) -> Candidate {
    let mut parameters = BTreeMap::new();
    for (parameter, (values, grid)) in space.parameters.iter().zip(grids) {
        parameters.insert(parameter.env.clone(), parameter.value(point % values, *grid));
        point /= values;
    }
    Candidate { digest: digest(&parameters), parameters }
}

/// The canonical digest of a candidate's parameters.
#[must_use]
pub fn digest(parameters: &BTreeMap<String, String>) -> String {
    let value = serde_json::json!({ "parameters": parameters });
    // Text and maps of text always have a canonical form.
    let canonical = serde_json_canonicalizer::to_vec(&value).unwrap_or_default();
    Sha256::digest(&canonical).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn small() -> Space {
        Space {
            parameters: vec![Parameter::set("A", &["1", "2", "3"]), Parameter::range("B", 0.0, 1.0, 0.5)],
        }
    }

    #[test]
    fn a_seed_is_a_sequence_and_a_longer_one_begins_with_it() {
        let eight = candidates(&Space::default(), 8, 7).unwrap();
        assert_eq!(eight, candidates(&Space::default(), 8, 7).unwrap());
        assert_eq!(eight[..], candidates(&Space::default(), 20, 7).unwrap()[..8]);
        assert_ne!(eight, candidates(&Space::default(), 8, 8).unwrap());
        let text: Vec<String> = eight[..2].iter().map(|c| format!("{:?}", c.parameters)).collect();
        assert_eq!(
            text,
            [
                r#"{"MAX_TOKENS": "100", "TEMPERATURE": "0.36", "TOP_P": "0.82"}"#,
                r#"{"MAX_TOKENS": "100", "TEMPERATURE": "0.48", "TOP_P": "0.84"}"#
            ],
            "a sequence that was published does not change"
        );
    }

    #[test]
    fn values_lie_in_their_range_to_both_ends_and_have_one_spelling() {
        let space = Space { parameters: vec![Parameter::range("T", 0.1, 1.5, 0.01)] };
        let all = candidates(&space, 141, 1).unwrap();
        let values: BTreeSet<String> = all.iter().map(|c| c.parameters["T"].clone()).collect();
        assert_eq!(values.len(), 141);
        assert!(values.contains("0.1") && values.contains("1.5") && values.contains("0.57"));
        assert!(values.iter().all(|v| (0.1..=1.5).contains(&v.parse::<f64>().unwrap()) && v.len() <= 4));
        let negative = Parameter::range("T", -1.0, 1.0, 0.5);
        let grid = negative.grid().unwrap();
        assert_eq!(
            (0..5).map(|i| negative.value(i, grid.1)).collect::<Vec<_>>(),
            ["-1", "-0.5", "0", "0.5", "1"]
        );
    }

    #[test]
    fn a_space_is_used_up_before_it_is_too_small() {
        let all = candidates(&small(), 9, 3).unwrap();
        assert_eq!(all.iter().map(|c| &c.digest).collect::<BTreeSet<_>>().len(), 9);
        assert_eq!(candidates(&small(), 10, 3), Err(EvolveError::TooSmall { asked: 10, size: 9 }));
    }

    #[test]
    fn the_digest_is_that_of_the_canonical_json() {
        let parameters = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        // printf '{"parameters":{"A":"1"}}' | sha256sum
        assert_eq!(digest(&parameters), "1c225f98e335448702897f7238bcee14311e086aa233a06222424f915e6e9091");
    }

    #[test]
    fn what_is_no_parameter_is_refused() {
        let refused = |parameter: Parameter| {
            let kind = candidates(&Space { parameters: vec![parameter] }, 1, 0).unwrap_err().kind();
            assert_eq!(kind, "parameter");
        };
        refused(Parameter::set("A B", &["1"]));
        refused(Parameter::set("", &["1"]));
        refused(Parameter::set("A", &["1", "1"]));
        refused(Parameter::set("A", &[]));
        refused(Parameter::range("A", 1.0, 1.0, 0.1));
        refused(Parameter::range("A", 0.0, f64::NAN, 0.1));
        refused(Parameter::range("A", 0.0, 1.0, 0.0));
        refused(Parameter::range("A", 0.0, 1.0, 1e-9));
        refused(Parameter { values: vec!["1".into()], ..Parameter::range("A", 0.0, 1.0, 0.1) });
        let twice = Space { parameters: vec![Parameter::set("A", &["1"]), Parameter::set("A", &["2"])] };
        assert_eq!(candidates(&twice, 1, 0).unwrap_err().kind(), "parameter");
        assert_eq!(candidates(&Space { parameters: Vec::new() }, 1, 0), Err(EvolveError::Empty));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_two_are_alike(seed in any::<u64>(), n in 0_u64..60, a in 1_usize..8, steps in 1_u64..12) {
            let values: Vec<String> = (0..a).map(|i| i.to_string()).collect();
            let set = Parameter { env: "A".into(), min: None, max: None, step: None, values };
            let range = Parameter::range("B", 0.0, steps as f64, 1.0);
            let space = Space { parameters: vec![set, range] };
            let size = a as u64 * (steps + 1);
            match candidates(&space, n, seed) {
                Ok(all) => {
                    prop_assert!(n <= size);
                    let distinct: BTreeSet<_> = all.iter().map(|c| &c.digest).collect();
                    prop_assert_eq!(distinct.len() as u64, n);
                    prop_assert!(all.iter().all(|c| digest(&c.parameters) == c.digest));
                }
                Err(error) => prop_assert_eq!(error, EvolveError::TooSmall { asked: n, size }),
            }
        }
    }
}
