use jiff::Timestamp;

use super::*;
use crate::observe::reading::{Evidence, Reading, SignalName};
use crate::orient::{Estimate, OmegaEstimate};

fn at() -> Timestamp {
    "2030-01-01T00:10:00Z".parse().unwrap()
}

fn observed(readings: &[(SignalName, Reading)]) -> Observed {
    let readings = readings.iter().cloned().collect();
    Observed { at: at(), evidence: Evidence { readings, ..Evidence::default() }, workload: None }
}

fn picture(omega: Option<f64>) -> Picture {
    let estimate = |nis| Estimate { nis, ..Estimate::default() };
    Picture {
        omega: omega.map(|value| OmegaEstimate { value, disagrees: false }),
        signals: [(SignalName::CPU, estimate(1.5)), (SignalName::LATENCY, estimate(2.5))]
            .into_iter()
            .collect(),
        ..Picture::default()
    }
}

fn fresh() -> Reading {
    Reading::Fresh { value: 0.5, sampled_at: "2030-01-01T00:09:56Z".parse().unwrap() }
}

const INTERVAL: Duration = Duration::from_secs(15);

#[test]
fn counters_begin_at_zero_and_count() {
    let telemetry = Telemetry::new(Clock::scripted(at()).0);
    let zero = telemetry.render().unwrap();
    assert!(zero.contains("matverse_decisions_total{action=\"Rollback\",mode=\"conservative\"} 0\n"));
    assert!(zero.contains("matverse_actions_executed_total{action=\"ScaleUp\",result=\"refused\"} 0\n"));
    assert!(!zero.contains("action=\"Noop\",result"), "a Noop is never executed");
    telemetry.decided(Action::ScaleUp, Mode::Balanced);
    telemetry.decided(Action::ScaleUp, Mode::Balanced);
    telemetry.executed(Action::ScaleUp, "applied", Duration::from_millis(30));
    telemetry.reconcile_error("timeout");
    let text = telemetry.render().unwrap();
    assert!(text.contains("matverse_decisions_total{action=\"ScaleUp\",mode=\"balanced\"} 2\n"), "{text}");
    assert!(text.contains("matverse_actions_executed_total{action=\"ScaleUp\",result=\"applied\"} 1\n"));
    assert!(text.contains("matverse_act_delay_seconds_sum 0.03\n"), "{text}");
    assert!(text.contains("matverse_reconcile_errors_total{kind=\"timeout\"} 1\n"));
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn phases_are_timed_by_the_clock_into_buckets_from_ten_microseconds_to_ten_seconds() {
    let (clock, script) = Clock::scripted(at());
    let telemetry = Telemetry::new(clock);
    let answer = telemetry
        .timed(Phase::Orient, async {
            script.advance(Duration::from_millis(3));
            7
        })
        .await;
    telemetry.turn(Duration::from_secs(11));
    assert_eq!(answer, 7);
    let text = telemetry.render().unwrap();
    let bucket = |le: &str, n: u32| {
        format!("matverse_phase_duration_seconds_bucket{{le=\"{le}\",phase=\"orient\"}} {n}\n")
    };
    assert!(text.contains(&bucket("0.0025", 0)), "{text}");
    assert!(text.contains(&bucket("0.005", 1)));
    assert!(text.contains(&bucket("0.00001", 0)) || text.contains(&bucket("1e-5", 0)), "{text}");
    assert!(text.contains("matverse_turn_duration_seconds_bucket{le=\"10.0\"} 0\n"), "{text}");
    assert!(text.contains("matverse_turn_duration_seconds_sum 11.0\n"));
    for phase in ["observe", "orient", "decide", "ledger", "act", "report"] {
        assert!(text.contains(&format!("matverse_phase_duration_seconds_count{{phase=\"{phase}\"}}")));
    }
}

#[test]
fn gauges_of_a_resource_show_what_is_fresh_and_nothing_else() {
    let (clock, script) = Clock::scripted(at());
    let telemetry = Telemetry::new(clock);
    let readings = [
        (SignalName::CPU, fresh()),
        (SignalName::LATENCY, Reading::Stale { age_seconds: Some(90.0) }),
        (SignalName::ERRORS, Reading::Missing),
    ];
    telemetry.saw("shop", "web", INTERVAL, &observed(&readings), &picture(Some(0.91)));
    let text = telemetry.render().unwrap();
    assert!(text.contains("# TYPE matverse_omega_score gauge\n"), "{text}");
    assert!(text.contains("matverse_omega_score{namespace=\"shop\",name=\"web\"} 0.91\n"), "{text}");
    assert!(!text.contains("matverse_psi_index"), "Ψ is not known");
    assert!(text.contains("matverse_kalman_nis{namespace=\"shop\",name=\"web\",signal=\"cpu\"} 1.5\n"));
    assert!(!text.contains("signal=\"latency\"} 2.5"), "its last sample is stale");
    let age = |signal: &str, age: &str| {
        format!(
            "matverse_evidence_age_seconds{{namespace=\"shop\",name=\"web\",signal=\"{signal}\"}} {age}\n"
        )
    };
    assert!(text.contains(&age("cpu", "4.0")), "{text}");
    assert!(text.contains(&age("latency", "90.0")));
    assert!(!text.contains("signal=\"errors\""));

    script.advance(Duration::from_secs(10));
    let text = telemetry.render().unwrap();
    assert!(text.contains(&age("cpu", "14.0")), "an age grows between turns: {text}");
    telemetry.saw("shop", "web", INTERVAL, &observed(&[(SignalName::CPU, Reading::Missing)]), &picture(None));
    let text = telemetry.render().unwrap();
    assert!(!text.contains("shop"), "nothing is fresh any more: {text}");
}

#[test]
fn gauges_go_with_the_turns_the_resource_and_leadership() {
    let (clock, script) = Clock::scripted(at());
    let telemetry = Telemetry::new(clock);
    let see = |name: &str| {
        telemetry.saw("shop", name, INTERVAL, &observed(&[(SignalName::CPU, fresh())]), &picture(Some(0.9)));
    };
    let shows = |name: &str| telemetry.render().unwrap().contains(&format!("name=\"{name}\""));
    see("web");
    see("api");
    telemetry.forget("shop", "web");
    assert!(!shows("web") && shows("api"));
    script.advance(Duration::from_secs(44));
    assert!(shows("api"));
    script.advance(Duration::from_secs(1));
    assert!(!shows("api"), "three intervals without a turn");
    see("api");
    telemetry.leader(true);
    telemetry.ledger(12, 34);
    assert!(shows("api"));
    let text = telemetry.render().unwrap();
    assert!(
        text.contains("matverse_ledger_entries 12\n")
            && text.contains("matverse_ledger_budget_used_percent 34\n")
    );
    telemetry.leader(false);
    let text = telemetry.render().unwrap();
    assert!(!shows("api") && !text.contains("matverse_ledger_entries 12"));
    assert!(text.contains("matverse_leader 0\n"));
}

#[test]
fn the_gauges_of_steer_have_their_own_names_and_go_when_they_are_old() {
    use crate::decide::steer::{Steering, Unrest};
    let (clock, script) = Clock::scripted(at());
    let telemetry = Telemetry::new(clock);
    telemetry.steered("s", "g", INTERVAL, Steering::UNKNOWN, 0.75);
    assert!(!telemetry.render().unwrap().contains("wiltonos"), "what is not known is absent");
    let state = Steering {
        phi: Some(0.5),
        loops: Some([0.95, 0.55, 1.0]),
        slopes: [Some(-1.0), Some(-0.5), None],
        unrest: Some(Unrest::Low { phi: 0.5, floor: 0.73 }),
        alert_low: false,
        alert_steep: false,
    };
    telemetry.steered("s", "g", INTERVAL, state, 0.75);
    let text = telemetry.render().unwrap();
    for line in [
        "wiltonos_quantum_coherence_ratio{namespace=\"s\",name=\"g\"} 0.5\n",
        "wiltonos_quantum_coherence_derivative{namespace=\"s\",name=\"g\",window=\"30\"} -1.0\n",
        "wiltonos_loop_quantum_coherence{namespace=\"s\",name=\"g\",loop=\"scaling\"} 0.55\n",
        "wiltonos_loop_pressure{namespace=\"s\",name=\"g\",loop=\"league\"} 0.0\n",
        "matverse_leader 0\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    assert!(!text.contains("window=\"300\""));
    script.advance(INTERVAL * 3);
    assert!(!telemetry.render().unwrap().contains("wiltonos"));
    telemetry.steered("s", "g", INTERVAL, state, 0.75);
    telemetry.forget_steering("s", "g");
    assert!(!telemetry.render().unwrap().contains("wiltonos"));
}

#[test]
fn odd_names_are_escaped_and_numbers_that_are_none_are_left_out() {
    let telemetry = Telemetry::new(Clock::scripted(at()).0);
    telemetry.source_up("a\"b\\c\nd", false);
    telemetry.saw("s", "w", INTERVAL, &observed(&[(SignalName::CPU, fresh())]), &picture(Some(f64::NAN)));
    let text = telemetry.render().unwrap();
    assert!(text.contains("matverse_source_up{source=\"a\\\"b\\\\c\\nd\"} 0\n"), "{text}");
    assert!(!text.contains("NaN") && !text.contains("matverse_omega_score"), "{text}");
}

#[test]
fn the_log_filter_defaults_to_info_and_a_wrong_one_is_said() {
    assert_eq!(filter(None).unwrap().to_string(), "info");
    assert_eq!(filter(Some(" ")).unwrap().to_string(), "info");
    assert_eq!(filter(Some("matverse=debug")).unwrap().to_string(), "matverse=debug");
    assert_eq!(filter(Some("matverse=loudest")).unwrap_err().kind(), "filter");
}
