//! What an answer proves beside its value: that nothing was there, that an input is from the future, how many pods.

use proptest::prelude::*;

use super::*;
use crate::observe::promql::{Scope, check};

const LIMITS: Limits = Limits { max_age: 60.0, min: 0.0, max: 10.0 };
const NOW: i64 = 1_900_000_000;

fn answer(parts: &[(&str, f64)]) -> Answer {
    let series = |(part, value): &(&str, f64)| Series {
        labels: BTreeMap::from([(PART.to_owned(), (*part).to_owned())]),
        value: *value,
    };
    Answer::Vector(parts.iter().map(series).collect())
}

fn read(selectors: usize, parts: &[(&str, f64)]) -> Reading {
    reading(&answer(parts), selectors, false, LIMITS, Timestamp::from_second(NOW).unwrap())
}

fn ago(seconds: f64) -> f64 {
    NOW as f64 - seconds
}

fn query(text: &str) -> Query {
    check(text, &Scope { namespace_label: "namespace", namespace: None, matchers: &BTreeMap::new() }).unwrap()
}

#[test]
fn only_no_value_and_nan_are_silence() {
    for (parts, expected) in [
        (vec![], true),
        (vec![("value", f64::NAN)], true),
        (vec![("value", f64::INFINITY)], false),
        (vec![("value", 0.0)], false),
        (vec![("value", f64::NAN), ("value", f64::NAN)], false),
    ] {
        assert_eq!(silent(&answer(&parts)), expected, "{parts:?}");
    }
    assert!(!silent(&Answer::Other));
}

#[test]
fn an_older_input_does_not_hide_one_from_the_future() {
    let hidden = read(2, &[("value", 1.0), ("age0", ago(2.0)), ("age1", ago(-60.0))]);
    assert_eq!(hidden, Reading::OutOfRange { value: 1.0 });
    assert!(read(2, &[("value", 1.0), ("age0", ago(2.0)), ("age1", ago(-5.0))]).fresh().is_some());
    assert_eq!(read(1, &[("value", 1.0), ("age0", 1e300)]), Reading::OutOfRange { value: 1.0 });
}

#[test]
fn two_times_or_none_prove_no_age() {
    let unproven = Reading::Stale { age_seconds: None };
    assert_eq!(read(1, &[("value", 1.0), ("age0", ago(1.0)), ("age0", ago(2.0))]), unproven);
    assert_eq!(read(1, &[("value", 1.0), ("age0", f64::NAN)]), unproven);
    assert_eq!(read(0, &[("value", 1.0)]), unproven);
}

#[test]
fn a_native_histogram_is_the_wrong_type() {
    let body = br#"{"status":"success","data":{"resultType":"vector","result":[
        {"metric":{},"histogram":[1,{"count":"1","sum":"1"}]}]}}"#;
    assert_eq!(parse(body).unwrap(), Answer::Other);
}

#[test]
fn only_prometheus_itself_refuses_a_query() {
    let error = br#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
    assert_eq!(refusal(error).unwrap(), "bad_data: parse error");
    for other in [&b"<html>"[..], br#"{"status":"error"}"#, br#"{"status":"success","errorType":"x"}"#, b""] {
        assert_eq!(refusal(other), None);
    }
    assert!(!parse(br#"{"status":"error"}"#).unwrap_err().is_empty(), "a fault says something");
}

#[test]
fn pods_are_counted_in_the_same_question_by_their_own_label_only() {
    let load =
        query(r#"sum(rate(x_total{pod=~"web-.*"}[1m] offset 30s)) / sum(limit{exported_pod=~"web-.*"})"#);
    let text = joined(&load, None, Some(45.0));
    let part = r#"count(count by (pod) (timestamp(x_total{pod=~"web-.*"}) > time() - 45))"#;
    assert!(text.contains(part), "{text}");
    assert_eq!(text.matches("count by (pod)").count(), 1, "{text}");
    promql_parser::parser::parse(&text).unwrap();
    assert!(!joined(&load, None, None).contains("count by (pod)"));
}

#[test]
fn pods_are_counted_behind_the_least_covered_selector() {
    let two = query(r#"sum(a{pod=~"web-.*"}) / sum(b{pod=~"web-.*"})"#);
    let count = |parts: &[(&str, f64)]| fresh_pods(&answer(parts), &two);
    assert_eq!(count(&[("pods0", 3.0), ("pods1", 2.0)]), Some(2));
    assert_eq!(count(&[("pods0", 3.0)]), Some(0), "none is fresh behind the other");
    assert_eq!(count(&[("pods0", 3.0), ("pods1", f64::NAN)]), Some(0));
    assert_eq!(fresh_pods(&Answer::Other, &two), None);
    assert_eq!(fresh_pods(&answer(&[]), &query("sum(a)")), None, "nothing names pods");
}

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = (parse(&body), parse_range(&body), refusal(&body));
    }

    #[test]
    fn only_what_is_within_its_limits_is_fresh(value in any::<f64>(), sampled in any::<f64>()) {
        if let Some((v, _)) = read(1, &[("value", value), ("age0", sampled)]).fresh() {
            prop_assert!((0.0..=10.0).contains(&v));
            prop_assert!((ago(60.0)..=ago(-5.0)).contains(&sampled));
        }
    }
}
