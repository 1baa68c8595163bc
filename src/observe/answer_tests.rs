//! Every state of a reading, from the bytes that Prometheus sends.

use super::*;
use crate::observe::promql::{Scope, check};

const LIMITS: Limits = Limits { max_age: 60.0, min: 0.0, max: 1000.0 };

fn at() -> Timestamp {
    Timestamp::from_second(1_900_000_000).unwrap()
}

/// A joined answer: values, then the newest sample time of each selector.
fn body(values: &[&str], ages: &[(&str, &str)]) -> String {
    let mut rows: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(i, v)| {
            format!(r#"{{"metric":{{"pod":"p{i}","matverse_part":"value"}},"value":[1900000000,"{v}"]}}"#)
        })
        .collect();
    rows.extend(
        ages.iter().map(|(part, t)| {
            format!(r#"{{"metric":{{"matverse_part":"{part}"}},"value":[1900000000,"{t}"]}}"#)
        }),
    );
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#, rows.join(","))
}

fn read(values: &[&str], ages: &[(&str, &str)]) -> Reading {
    reading(&parse(body(values, ages).as_bytes()).unwrap(), 1, true, LIMITS, at())
}

const NOW: (&str, &str) = ("age0", "1899999990");

#[test]
fn one_finite_young_number_in_range_is_fresh() {
    let sampled_at = Timestamp::from_second(1_899_999_990).unwrap();
    assert_eq!(read(&["42.5"], &[NOW]), Reading::Fresh { value: 42.5, sampled_at });
}

#[test]
fn every_other_answer_has_a_state_of_its_own() {
    assert_eq!(read(&[], &[]), Reading::Missing);
    assert_eq!(read(&[], &[NOW]), Reading::Missing);
    for text in ["NaN", "+Inf", "-Inf"] {
        assert_eq!(read(&[text], &[NOW]), Reading::NotFinite, "{text}");
    }
    assert_eq!(read(&["1", "2"], &[NOW]), Reading::Ambiguous { series: 2 });
    assert_eq!(read(&["1001"], &[NOW]), Reading::OutOfRange { value: 1001.0 });
    assert_eq!(read(&["-1"], &[NOW]), Reading::OutOfRange { value: -1.0 });
    assert_eq!(read(&["1"], &[("age0", "1900000010")]), Reading::OutOfRange { value: 1.0 });
    assert_eq!(read(&["1"], &[("age0", "1899996400")]), Reading::Stale { age_seconds: Some(3600.0) });
    assert_eq!(read(&["1"], &[]), Reading::Stale { age_seconds: None });
}

#[test]
fn the_oldest_input_is_the_age_and_one_without_a_sample_leaves_it_unproven() {
    let answer = parse(body(&["1"], &[NOW, ("age1", "1899999900")]).as_bytes()).unwrap();
    assert_eq!(reading(&answer, 2, false, LIMITS, at()), Reading::Stale { age_seconds: Some(100.0) });
    assert_eq!(reading(&answer, 3, false, LIMITS, at()), Reading::Stale { age_seconds: None });
}

#[test]
fn nothing_reads_zero_only_while_the_named_selector_is_fresh() {
    let sampled_at = Timestamp::from_second(1_899_999_995).unwrap();
    assert_eq!(read(&[], &[("zero", "1899999995")]), Reading::Fresh { value: 0.0, sampled_at });
    assert_eq!(read(&[], &[("zero", "1899990000")]), Reading::Stale { age_seconds: Some(10_000.0) });
    let answer = parse(body(&[], &[("zero", "1899999995")]).as_bytes()).unwrap();
    assert_eq!(reading(&answer, 1, false, LIMITS, at()), Reading::Missing);
}

#[test]
fn a_scalar_a_string_and_a_range_are_the_wrong_type() {
    for kind in ["scalar", "string", "matrix"] {
        let text = format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":[1,"1"]}}}}"#);
        assert_eq!(
            reading(&parse(text.as_bytes()).unwrap(), 1, true, LIMITS, at()),
            Reading::WrongType,
            "{kind}"
        );
    }
}

#[test]
fn what_is_no_answer_is_an_error_and_never_a_number() {
    for text in [
        "",
        "<html><body>502</body></html>",
        r#"{"status":"success"}"#,
        r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#,
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"many"]}]}}"#,
        &body(&["1"], &[NOW])[..40],
    ] {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn a_range_query_gives_one_reading_for_each_turn() {
    let text = r#"{"status":"success","data":{"resultType":"matrix","result":[
        {"metric":{"matverse_part":"value"},"values":[[1900000000,"5"],[1900000015,"NaN"],[1900000030,"7"]]},
        {"metric":{"matverse_part":"age0"},"values":[[1900000000,"1899999999"],[1900000015,"1900000010"]]}]}}"#;
    let rows = parse_range(text.as_bytes()).unwrap();
    let turns = readings(&rows, 1, false, LIMITS);
    assert_eq!(turns.len(), 3);
    assert_eq!(turns[0].1.fresh().map(|f| f.0), Some(5.0));
    assert_eq!(turns[1].1, Reading::NotFinite);
    assert_eq!(turns[2].1, Reading::Stale { age_seconds: None });
    assert!(parse_range(body(&["1"], &[]).as_bytes()).is_err());
}

#[test]
fn the_joined_query_is_promql_and_asks_for_every_age() {
    let none = BTreeMap::new();
    let scope = Scope { namespace_label: "namespace", namespace: None, matchers: &none };
    let query = check("sum(rate(a[1m])) / sum(b)", &scope).unwrap();
    let zero = check("c", &scope).unwrap();
    let text = joined(&query, Some(&zero), None);
    promql_parser::parser::parse(&text).unwrap();
    assert_eq!(text.matches("max(timestamp(").count(), 3);
}

proptest::proptest! {
    #[test]
    fn no_body_makes_it_panic(text in "\\PC{0,300}") {
        let _ = parse(text.as_bytes());
        let _ = parse_range(text.as_bytes());
    }
}
