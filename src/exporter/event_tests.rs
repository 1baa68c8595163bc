use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

fn read_value(value: &Value) -> Result<Event, Refusal> {
    read(value.to_string().as_bytes(), &["malware".to_owned()], now())
}

fn refused(value: &Value) -> (String, String) {
    let refusal = read_value(value).unwrap_err();
    assert_eq!(refusal.kind, Kind::Field, "{refusal}");
    (refusal.field.unwrap(), refusal.reason)
}

fn text_event() -> Value {
    json!({
        "model": "m-1", "input": {"city": "Rome"}, "output": "{\"city\": \"Rome\"}",
        "context": {"trace": 7}, "expectedFormat": "json",
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut event = text_event();
    event[field] = value;
    event
}

#[test]
fn a_text_event_is_scored_and_kept_for_the_record() {
    let event = read_value(&text_event()).unwrap();
    assert!((event.psi - 1.0).abs() < 1e-12);
    assert_eq!(event.model, json!("m-1"));
    assert_eq!(event.input, json!({"city": "Rome"}));
    assert_eq!(event.output, json!("{\"city\": \"Rome\"}"));
    assert_eq!(event.context, json!({"trace": 7}));
    let bad = read_value(&with("output", json!("{\"city: malware"))).unwrap();
    let Subscores { format, policy, consistency, coverage } = bad.subscores;
    assert_eq!(
        (format, policy, consistency, coverage),
        (Some(0.0), Some(0.0), Some(0.6), Some(0.7)),
        "{bad:?}"
    );
    assert!((bad.psi - 1.3 / 4.0).abs() < 1e-12);
}

#[test]
fn an_output_that_is_no_text_is_scored_as_its_json() {
    let event = read_value(&with("output", json!({"city": [1, 2]}))).unwrap();
    assert!((event.psi - 1.0).abs() < 1e-12, "{:?}", event.subscores);
    let none = read_value(&with("output", Value::Null)).unwrap();
    assert_eq!(none.subscores.consistency, Some(0.0));
}

#[test]
fn a_stated_psi_counts_as_it_is() {
    let event = read_value(&json!({"psi": 0.9})).unwrap();
    assert_eq!((event.psi, event.subscores, event.model), (0.9, Subscores::default(), Value::Null));
    let parts = json!({"format": 1, "policy": 1, "consistency": 0.8, "coverage": 0.8});
    assert!(read_value(&json!({"psi": 0.9, "subscores": parts})).is_ok());
    assert_eq!(refused(&json!({"psi": 0.8, "subscores": parts})).0, "psi");
    assert!(read_value(&json!({"psi": 0.8, "subscores": {"format": 1}})).is_ok());
    assert_eq!(refused(&json!({"psi": 0.8, "subscores": {"other": 1}})).0, "subscores.other");
    assert_eq!(refused(&json!({"psi": 0.8, "expectedFormat": "json"})).0, "expectedFormat");
    assert_eq!(refused(&with("subscores", json!({}))).0, "subscores");
}

#[test]
fn labels_stress_and_the_rest_are_read() {
    let event = read_value(&json!({
        "psi": 1, "workload": "shop/cart", "timestamp": "2029-12-31T23:59:00Z",
        "outcome": {"confidence": 0.8, "correct": true, "group": "a", "positive": false},
        "consent": true, "ecoKg": 0.25, "risk": 3, "stress": true, "intensity": 0.9,
    }))
    .unwrap();
    assert_eq!(event.workload.unwrap().to_string(), "shop/cart");
    assert_eq!(event.at.unwrap().to_string(), "2029-12-31T23:59:00Z");
    assert_eq!(event.calibrated, Some((0.8, true)));
    assert_eq!(event.grouped, Some(("a".to_owned(), false)));
    assert_eq!((event.consent, event.eco_kg, event.risk), (Some(true), Some(0.25), Some(3.0)));
    assert_eq!(event.stress, Some(Stress { level: Some(90) }));
    assert_eq!(read_value(&json!({"psi": 1, "stress": false})).unwrap().stress, None);
    assert_eq!(read_value(&json!({"psi": 1, "stress": true})).unwrap().stress, Some(Stress { level: None }));
}

#[test]
fn what_is_wrong_is_said_with_its_field() {
    for (field, value) in [
        ("model", json!("")),
        ("model", json!(7)),
        ("model", json!("a\nb")),
        ("model", json!("m".repeat(254))),
        ("workload", json!("cart")),
        ("workload", json!("Shop/cart")),
        ("workload", json!("shop/cart/x")),
        ("workload", json!("shop/-cart")),
        ("workload", json!("/")),
        ("timestamp", json!("yesterday")),
        ("timestamp", json!("2030-01-01T00:00:06Z")),
        ("expectedFormat", json!("xml")),
        ("outcome", json!([])),
        ("outcome", json!({"confidence": 0.5})),
        ("outcome", json!({"positive": true})),
        ("outcome.confidence", json!({"confidence": 1.5, "correct": true})),
        ("outcome.group", json!({"group": "g".repeat(64), "positive": true})),
        ("outcome.confidense", json!({"confidense": 0.5})),
        ("consent", json!("yes")),
        ("ecoKg", json!(-1)),
        ("risk", json!("low")),
        ("intensity", json!(0.5)),
        ("stress", json!(1)),
        ("psi", json!(1.01)),
        ("psi", json!(-0.01)),
        ("psi", json!("1")),
        ("ratting", json!(1)),
    ] {
        let outer = field.split('.').next().unwrap();
        let (found, reason) = refused(&with(outer, value.clone()));
        assert_eq!(found, field, "{value}: {reason}");
    }
    for gone in ["model", "input", "output"] {
        let mut event = text_event();
        event.as_object_mut().unwrap().remove(gone);
        assert_eq!(refused(&event).0, gone);
    }
    let wide: Map<String, Value> = (0..257).map(|i| (format!("k{i}"), json!(1))).collect();
    assert_eq!(refused(&with("input", Value::Object(wide))).0, "input");
}

#[test]
fn what_is_no_event_is_said() {
    for (bytes, kind) in [
        (&b"[]"[..], Kind::NotJson),
        (b"\"psi\"", Kind::NotJson),
        (b"{\"psi\": NaN}", Kind::NotJson),
        (b"{\"psi\": 1, \"psi\": 0}", Kind::NotJson),
        (b"{\"psi\": \xff}", Kind::NotJson),
        (&vec![b' '; LONGEST + 1], Kind::TooLarge),
    ] {
        assert_eq!(read(bytes, &[], now()).unwrap_err().kind, kind);
    }
}

#[test]
fn an_event_of_the_near_future_is_taken() {
    assert!(read_value(&json!({"psi": 1, "timestamp": "2030-01-01T00:00:05Z"})).is_ok());
}
