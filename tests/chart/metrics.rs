//! Metrics and alerts: where they can be scraped, and with the numbers that were given.

use serde_json::json;

use super::{helm, of_kind, refusal, render};

#[test]
fn alerts_stand_where_they_are_asked_for_and_metrics_are_exposed() {
    let Some(helm) = helm() else { return };
    assert!(of_kind(&render(&helm, &json!({})), "PrometheusRule").is_empty());
    assert!(refusal(&helm, &json!({"alerts": {"enabled": true}})).contains("other than loopback"));
    let values = json!({"alerts": {"enabled": true, "phiFloor": 0.6}, "metrics": {"bind": "0.0.0.0:8080"}});
    let objects = render(&helm, &values);
    let rules = of_kind(&objects, "PrometheusRule")[0]["spec"]["groups"][0]["rules"].clone();
    let of = |i: usize, key: &str| rules[i][key].as_str().unwrap().to_owned();
    assert_eq!((of(0, "expr"), of(0, "for")), ("wiltonos_quantum_coherence_ratio < 0.6".into(), "1m".into()));
    let slope = "abs(wiltonos_quantum_coherence_derivative{window=\"30\"}) > 0.04";
    assert_eq!((of(1, "expr"), of(1, "for")), (slope.into(), "30s".into()));
    let summary = rules[0]["annotations"]["summary"].as_str().unwrap();
    assert!(summary.contains("{{ $labels.namespace }}/{{ $labels.name }}"), "{summary}");
}

#[test]
fn metrics_are_exposed_only_where_they_are_bound_outside() {
    let Some(helm) = helm() else { return };
    let objects = render(&helm, &json!({}));
    assert!(of_kind(&objects, "Service").is_empty());
    let container = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["ports"].as_array().unwrap().len(), 1);
    assert_eq!(container["readinessProbe"]["httpGet"], json!({"path": "/readyz", "port": "health"}));
    assert_eq!(container["livenessProbe"]["httpGet"], json!({"path": "/healthz", "port": "health"}));

    let objects = render(&helm, &json!({"metrics": {"bind": "0.0.0.0:9102"}}));
    assert_eq!(of_kind(&objects, "Service")[0]["spec"]["ports"][0]["port"], 9102);
    assert!(
        refusal(&helm, &json!({"serviceMonitor": {"enabled": true}}))
            .contains("metrics.bind other than loopback")
    );
}
