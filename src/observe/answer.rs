//! From Prometheus's answer to a typed reading. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::promql::Query;
use super::reading::Reading;
use super::sample::{Limits, SKEW, seconds};

/// Label that tells the value of a joined query from the ages of its inputs.
const PART: &str = "matverse_part";

/// One series of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value; NaN and infinities are values here.
    pub value: f64,
}

/// An answer to an instant query.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// An instant vector.
    Vector(Vec<Series>),
    /// A scalar, a string or a range vector.
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    status: String,
    #[serde(default)]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Sample {
    metric: BTreeMap<String, String>,
    /// Left out where the sample is a native histogram.
    value: Option<(f64, String)>,
}

/// Parses the body of an instant query's answer; the error is one line for people.
pub fn parse(body: &[u8]) -> Result<Answer, String> {
    let data = data(body)?;
    if data.result_type != "vector" {
        return Ok(Answer::Other);
    }
    let samples: Vec<Sample> = serde_json::from_value(data.result).map_err(|e| e.to_string())?;
    let mut series = Vec::with_capacity(samples.len());
    for sample in samples {
        let Some((_, value)) = sample.value else { return Ok(Answer::Other) };
        series.push(Series { labels: sample.metric, value: number(&value)? });
    }
    Ok(Answer::Vector(series))
}

/// What Prometheus itself says against a query; `None` where the body is not its word.
#[must_use]
pub fn refusal(body: &[u8]) -> Option<String> {
    let body: Body = serde_json::from_slice(body).ok()?;
    (body.status == "error" && !body.error_type.is_empty())
        .then(|| format!("{}: {}", body.error_type, body.error))
}

/// One series of a range query: labels, then (unix seconds, value).
pub type Range = (BTreeMap<String, String>, Vec<(f64, f64)>);

/// Parses the body of a range query's answer.
pub fn parse_range(body: &[u8]) -> Result<Vec<Range>, String> {
    #[derive(Deserialize)]
    struct Row {
        metric: BTreeMap<String, String>,
        values: Vec<(f64, String)>,
    }
    let data = data(body)?;
    if data.result_type != "matrix" {
        return Err(format!("a matrix was expected, not a {}", data.result_type));
    }
    let rows: Vec<Row> = serde_json::from_value(data.result).map_err(|e| e.to_string())?;
    let one = |r: Row| {
        let values = r.values.iter().map(|(t, v)| Ok((*t, number(v)?))).collect::<Result<_, String>>()?;
        Ok((r.metric, values))
    };
    rows.into_iter().map(one).collect()
}

fn data(body: &[u8]) -> Result<Data, String> {
    let body: Body = serde_json::from_slice(body).map_err(|e| format!("no Prometheus answer: {e}"))?;
    // A global store that could not reach all of its parts says so here, and its sums are too low.
    if let Some(warning) = body.warnings.first() {
        return Err(format!("partial answer: {warning}"));
    }
    match (body.status.as_str(), body.data) {
        ("success", Some(data)) => Ok(data),
        (status, _) => Err(format!("status {status:?} without data: {}", body.error)),
    }
}

/// Prometheus spells NaN and infinities in its own way.
fn number(text: &str) -> Result<f64, String> {
    match text {
        "NaN" => Ok(f64::NAN),
        "+Inf" | "Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        _ => text.parse().map_err(|_| format!("not a number: {text:.40}")),
    }
}

/// One request for a value, the ages of everything behind it and, where `max_age` (seconds) is given, the number
/// of pods with a sample of at most that age behind each selector that names pods.
#[must_use]
pub fn joined(query: &Query, zero_when_fresh: Option<&Query>, max_age: Option<f64>) -> String {
    let part =
        |expression: &str, name: &str| format!(r#"label_replace({expression},"{PART}","{name}","","")"#);
    let mut text = part(&query.text, "value");
    for (i, selector) in query.selectors.iter().enumerate() {
        text.push_str(" or ");
        text.push_str(&part(&format!("max(timestamp({selector}))"), &format!("age{i}")));
    }
    if let Some(zero) = zero_when_fresh {
        text.push_str(" or ");
        text.push_str(&part(&format!("max(timestamp({}))", zero.text), "zero"));
    }
    if let Some(age) = max_age {
        for (i, selector) in naming_pods(query).enumerate() {
            let young = format!("timestamp({selector}) > time() - {age}");
            text.push_str(" or ");
            text.push_str(&part(&format!("count(count by (pod) ({young}))"), &format!("pods{i}")));
        }
    }
    text
}

/// Selectors that choose by the label `pod`: behind any other, the label may be the exporter's own.
fn naming_pods(query: &Query) -> impl Iterator<Item = &String> {
    query.selectors.iter().filter(|s| s.contains("{pod=~") || s.contains(",pod=~"))
}

/// The values of one part of a joined answer.
fn part(all: &[Series], name: &str) -> Vec<f64> {
    all.iter().filter(|s| s.labels.get(PART).map(String::as_str) == Some(name)).map(|s| s.value).collect()
}

/// Pods with a young sample behind every selector that names pods; `None` where no selector does.
#[must_use]
pub fn fresh_pods(answer: &Answer, query: &Query) -> Option<u32> {
    let Answer::Vector(all) = answer else { return None };
    let count = |i: usize| match part(all, &format!("pods{i}")).as_slice() {
        [one] => *one as u32,
        _ => 0,
    };
    (0..naming_pods(query).count()).map(count).min()
}

/// Whether there was nothing to measure: no value, or 0/0. An infinity is a value, though not one to believe.
#[must_use]
pub fn silent(answer: &Answer) -> bool {
    match answer {
        Answer::Vector(all) => match part(all, "value").as_slice() {
            [] => true,
            [one] => one.is_nan(),
            _ => false,
        },
        Answer::Other => false,
    }
}

/// Reads a joined answer.
#[must_use]
pub fn reading(answer: &Answer, selectors: usize, zero: bool, limits: Limits, at: Timestamp) -> Reading {
    let Answer::Vector(all) = answer else { return Reading::WrongType };
    let stamp = |name: &str| match part(all, name).as_slice() {
        [one] if one.is_finite() => Some(*one),
        _ => None,
    };
    let (value, sampled) = match part(all, "value").as_slice() {
        [] => match stamp("zero") {
            Some(sampled) if zero => (0.0, Some(sampled)),
            _ => return Reading::Missing,
        },
        [value] => {
            let stamps: Vec<Option<f64>> = (0..selectors).map(|i| stamp(&format!("age{i}"))).collect();
            // Every input is needed: the oldest counts, and one without a sample leaves the age unproven.
            let oldest = stamps.iter().copied().collect::<Option<Vec<f64>>>().filter(|all| !all.is_empty());
            // The oldest input may hide another that claims to come from the future.
            let newest = stamps.into_iter().flatten().fold(f64::NEG_INFINITY, f64::max);
            if value.is_finite() && newest - seconds(at) > SKEW {
                return Reading::OutOfRange { value: *value };
            }
            (*value, oldest.map(|all| all.into_iter().fold(f64::INFINITY, f64::min)))
        }
        several => return Reading::Ambiguous { series: several.len() },
    };
    limits.judge(value, sampled, at)
}

/// Reads the rows of a joined range query: one reading for each evaluation time (unix seconds), and whether it was
/// [`silent`].
#[must_use]
pub fn readings(rows: &[Range], selectors: usize, zero: bool, limits: Limits) -> Vec<(i64, Reading, bool)> {
    let mut turns: BTreeMap<i64, Vec<Series>> = BTreeMap::new();
    for (labels, values) in rows {
        for (time, value) in values {
            let series = Series { labels: labels.clone(), value: *value };
            turns.entry(libm::round(*time) as i64).or_default().push(series);
        }
    }
    turns
        .into_iter()
        .filter_map(|(second, series)| {
            let at = Timestamp::from_second(second).ok()?;
            let answer = Answer::Vector(series);
            Some((second, reading(&answer, selectors, zero, limits, at), silent(&answer)))
        })
        .collect()
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "answer_evidence_tests.rs"]
mod evidence;
