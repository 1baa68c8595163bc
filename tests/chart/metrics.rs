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

/// A test of one series with a sample every 10 s: how many alerts of a name fire at these seconds.
fn course(series: &str, values: &str, alert: &str, fires: &[(u32, u32)]) -> serde_json::Value {
    let expr = format!("count(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}) or vector(0)");
    let asked = fires.iter().map(|(second, count)| {
        json!({"expr": expr, "eval_time": format!("{second}s"), "exp_samples": [{"labels": "{}", "value": count}]})
    });
    let asked: Vec<_> = asked.collect();
    json!({"interval": "10s", "input_series": [{"series": series, "values": values}], "promql_expr_test": asked})
}

#[test]
fn alerts_fire_after_a_minute_below_the_band_and_half_a_minute_of_slew() {
    let Some(helm) = helm() else { return };
    let promtool = |arguments: &[&str]| std::process::Command::new("promtool").args(arguments).output();
    if promtool(&["--version"]).is_err() {
        eprintln!("skipped: no promtool");
        return;
    }
    let values = json!({"alerts": {"enabled": true}, "metrics": {"bind": "0.0.0.0:8080"}});
    let objects = render(&helm, &values);
    let folder = std::env::temp_dir().join(format!("matverse-alerts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, content: &serde_json::Value| {
        let path = folder.join(name);
        std::fs::write(&path, content.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    file("rules.json", &of_kind(&objects, "PrometheusRule")[0]["spec"]);
    let of = r#"namespace="shop",name="cart""#;
    let phi = format!("wiltonos_quantum_coherence_ratio{{{of}}}");
    let slope = |window: u32| format!("wiltonos_quantum_coherence_derivative{{{of},window=\"{window}\"}}");
    let (low, fast) = ("MatVerseEffortUnstable", "MatVerseEffortMovesTooFast");
    let tests = json!({"rule_files": ["rules.json"], "evaluation_interval": "10s", "tests": [
        // Low from 60 s on, for 100 s; then half a minute, which is no alert.
        course(&phi, "1x5 0.5x9 0.74x9 0.5x2 1x9", low, &[(50, 0), (110, 0), (130, 1), (170, 0), (290, 0)]),
        // Rest is no alarm, and what nobody measures is none either.
        course(&phi, "1x30", low, &[(300, 0)]),
        course(&slope(30), "0x5 -0.1x5 0x9", fast, &[(50, 0), (80, 0), (100, 1), (130, 0)]),
        course(&slope(300), "0.5x30", fast, &[(300, 0)]),
    ]});
    let said = promtool(&["test", "rules", &file("tests.json", &tests)]).unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{text}");
    std::fs::remove_dir_all(folder).unwrap();
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
