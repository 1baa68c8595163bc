//! What a resource asks for, what is asked of the sources for it, and what is made of the answers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::observe::answer::{Range, Series};
use crate::observe::source::Fault;
use crate::observe::workload::{Revision, Rollout};

const NOW: i64 = 1_900_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(NOW + second).unwrap()
}

/// Parts of a joined answer: name and value.
type Parts = Vec<(&'static str, f64)>;
/// What an instant query is answered with.
type Reply = Box<dyn Fn(&str) -> Result<Parts, &'static str> + Send + Sync>;

/// A source that answers as it is told and remembers what it was asked.
struct Scripted {
    asked: Mutex<Vec<(String, Timestamp)>>,
    reply: Reply,
    rows: Vec<Range>,
    slow: AtomicBool,
}

fn labels(part: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("matverse_part".to_owned(), part.to_owned())])
}

#[async_trait::async_trait]
impl Source for Scripted {
    async fn instant(&self, query: &str, at: Timestamp) -> Result<Answer, Fault> {
        self.asked.lock().unwrap().push((query.to_owned(), at));
        if self.slow.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        let parts = (self.reply)(query).map_err(|t| Fault { token: t.into(), message: "told to".into() })?;
        Ok(Answer::Vector(parts.into_iter().map(|(p, value)| Series { labels: labels(p), value }).collect()))
    }

    async fn range(&self, query: &str, start: Timestamp, _: Timestamp, _: f64) -> Result<Vec<Range>, Fault> {
        self.asked.lock().unwrap().push((query.to_owned(), start));
        Ok(self.rows.clone())
    }
}

impl Scripted {
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(q, _)| q.clone()).collect()
    }
}

fn scripted(
    reply: impl Fn(&str) -> Result<Parts, &'static str> + Send + Sync + 'static,
    rows: Vec<Range>,
) -> Arc<Scripted> {
    Arc::new(Scripted { asked: Mutex::default(), reply: Box::new(reply), rows, slow: AtomicBool::new(true) })
}

fn definition(query: &str) -> SignalDefinition {
    SignalDefinition { query: query.to_owned(), ..SignalDefinition::default() }
}

/// Signals of one profile `mine` over one source `default`.
fn signals(profile: &[(&str, &str)], source: &Arc<Scripted>) -> Signals {
    let config: SourceConfig =
        serde_json::from_value(serde_json::json!({"url": "http://127.0.0.1:9"})).unwrap();
    let profile: Profile = profile.iter().map(|(n, q)| ((*n).to_owned(), definition(q))).collect();
    let configs = BTreeMap::from([("default".to_owned(), config.clone()), ("other".to_owned(), config)]);
    let mut signals = Signals::new(&configs, &BTreeMap::from([("mine".to_owned(), profile)])).unwrap();
    for known in signals.sources.values_mut() {
        known.source = source.clone();
    }
    signals
}

fn over(value: serde_json::Value) -> SignalSpec {
    serde_json::from_value(value).unwrap()
}

fn plan(signals: &Signals, overrides: &[SignalSpec]) -> SignalPlan {
    signals.plan("mine", overrides, Defaults::default(), "shop", "web").unwrap()
}

fn fresh(value: f64) -> Parts {
    vec![("value", value), ("age0", NOW as f64 - 5.0)]
}

fn revision(hash: &str, ready: i32) -> Revision {
    Revision {
        replica_set: format!("web-{hash}"),
        pod_template_hash: hash.into(),
        template: format!("t{hash}"),
        number: 1,
        started_at: at(-600),
        ready,
    }
}

fn workload(current: Revision, previous: Vec<Revision>) -> Workload {
    Workload {
        uid: "u".into(),
        resource_version: "1".into(),
        generation: 1,
        desired: 2,
        ready: 2,
        updated: 2,
        deployment_paused: false,
        pause_requested: false,
        fence: None,
        current,
        previous,
        rollout: Rollout::default(),
        start_seconds: None,
        config_changed_at: None,
        other_scalers: Vec::new(),
        gitops: None,
        tunable: None,
    }
}

#[test]
fn every_mistake_of_a_resource_is_reported() {
    let signals = signals(&[("cpu", "sum(up)")], &scripted(|_| Ok(vec![]), vec![]));
    let unknown = signals.plan("yours", &[], Defaults::default(), "shop", "web").unwrap_err();
    assert_eq!(unknown, [PlanError::NoProfile("yours".into())]);
    let overrides = [
        over(serde_json::json!({"name": "errors", "query": "sum(rate("})),
        over(serde_json::json!({"name": "latency"})),
        over(serde_json::json!({"name": "omega", "query": "up", "source": "nowhere"})),
        over(serde_json::json!({"name": "psi", "query": "scalar(up)"})),
        over(serde_json::json!({"name": "beta", "query": "up", "zeroWhenFresh": "sum(up)"})),
    ];
    let all = signals.plan("mine", &overrides, Defaults::default(), "shop", "web").unwrap_err();
    let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 5, "{texts:?}");
    for name in ["errors", "latency", "omega", "psi", "beta"] {
        assert!(texts.iter().any(|t| t.contains(&format!("{name:?}"))), "{name} in {texts:?}");
    }
}

#[test]
fn a_resource_overrides_the_profile_field_by_field() {
    let signals = signals(&[("cpu", "sum(up)"), ("psi", "psi")], &scripted(|_| Ok(vec![]), vec![]));
    let overrides = [
        over(serde_json::json!({"name": "cpu", "maxAgeSeconds": 7, "max": 3.0})),
        over(serde_json::json!({"name": "extra", "query": "x", "source": "other"})),
    ];
    let plan = plan(&signals, &overrides);
    let names: Vec<&str> = plan.names().map(SignalName::as_str).collect();
    assert_eq!(names, ["cpu", "extra", "psi"]);
    assert_eq!(plan.signals[0].limits, Limits { max_age: 7.0, min: 0.0, max: 3.0 });
    assert!(!plan.signals[0].tenant, "the query is still the operator's");
    assert_eq!((plan.signals[1].source.as_str(), plan.signals[1].tenant), ("other", true));
    assert_eq!(plan.signals[2].limits, Limits { max_age: 60.0, min: 0.0, max: 1.0 });
}

#[tokio::test]
async fn a_resource_reads_its_own_namespace_alone_and_the_profile_what_it_says() {
    let source = scripted(|_| Ok(vec![]), vec![]);
    let signals = signals(&[("cpu", r#"sum(up{namespace="$namespace"})"#), ("psi", "cluster_wide")], &source);
    let overrides = [over(serde_json::json!(
        {"name": "errors", "query": r#"sum(x{namespace=~".*"}) / sum(y)"#, "zeroWhenFresh": r#"z{namespace="bank"}"#}
    ))];
    signals.read(&plan(&signals, &overrides), "shop", "web", None, at(0)).await;
    let asked = source.asked();
    let errors = asked.iter().find(|q| q.contains("sum(x")).unwrap();
    assert!(!errors.contains("bank") && !errors.contains(".*"), "{errors}");
    for selector in ["x{", "y{", "z{"] {
        for place in errors.match_indices(selector) {
            assert!(errors[place.0 + 2..].starts_with(r#"namespace="shop""#), "{errors}");
        }
    }
    assert!(asked.iter().any(|q| q.contains(r#"up{namespace="shop"}"#)));
    assert!(asked.iter().any(|q| q.contains("cluster_wide") && !q.contains("shop")));
}

#[tokio::test]
async fn revisions_are_asked_side_by_side_only_while_two_run() {
    let per_revision = r#"sum(x{pod=~"$name-$podTemplateHash-.*"})"#;
    for (previous, expected) in [
        (vec![], vec![]),
        (vec![revision("old", 0)], vec![]),
        (vec![revision("old", 1), revision("older", 0)], vec!["new", "old"]),
    ] {
        let source = scripted(|_| Ok(fresh(0.5)), vec![]);
        let signals = signals(&[("errors", per_revision), ("psi", "psi")], &source);
        let workload = workload(revision("new", 2), previous);
        let evidence = signals.read(&plan(&signals, &[]), "shop", "web", Some(&workload), at(0)).await;
        let sides: Vec<&str> = evidence.by_revision.keys().map(String::as_str).collect();
        assert_eq!(sides, expected);
        assert_eq!(source.asked().len(), 2 + expected.len(), "psi names no revision");
        for (hash, readings) in &evidence.by_revision {
            assert_eq!(readings.keys().map(SignalName::as_str).collect::<Vec<_>>(), ["errors"]);
            assert!(source.asked().iter().any(|q| q.contains(&format!("web-{hash}-.*"))));
        }
    }
    let source = scripted(|_| Ok(fresh(0.5)), vec![]);
    let signals = signals(&[("errors", per_revision)], &source);
    let unborn = workload(revision("", 0), vec![revision("old", 2)]);
    let evidence = signals.read(&plan(&signals, &[]), "shop", "web", Some(&unborn), at(0)).await;
    assert!(evidence.by_revision.is_empty(), "a revision without a ReplicaSet cannot be told apart");
}

#[tokio::test]
async fn idle_is_nothing_or_nan_while_throughput_is_fresh_and_zero() {
    let state = async |throughput: Parts, latency: Parts| {
        let reply =
            move |q: &str| Ok(if q.contains("requests") { throughput.clone() } else { latency.clone() });
        let signals = signals(&[("throughput", "requests"), ("latency", "p95")], &scripted(reply, vec![]));
        let evidence = signals.read(&plan(&signals, &[]), "shop", "web", None, at(0)).await;
        evidence.readings[&SignalName::LATENCY].state()
    };
    assert_eq!(state(fresh(0.0), vec![]).await, "Idle");
    assert_eq!(state(fresh(0.0), fresh(f64::NAN)).await, "Idle");
    assert_eq!(state(fresh(0.0), fresh(f64::INFINITY)).await, "NotFinite", "infinitely slow is not idle");
    assert_eq!(state(fresh(0.0), fresh(12.0)).await, "Fresh");
    assert_eq!(state(fresh(1.0), vec![]).await, "Missing");
    assert_eq!(state(vec![], vec![]).await, "Missing");
    assert_eq!(state(vec![("value", 0.0)], vec![]).await, "Missing", "a stale zero is no zero");
}

#[tokio::test]
async fn a_source_that_fails_is_a_reading_and_is_told_of() {
    let source = scripted(|q| if q.contains("psi") { Ok(fresh(0.9)) } else { Err("timeout") }, vec![]);
    let signals = signals(&[("cpu", "sum(up)"), ("psi", "psi")], &source);
    let overrides = [over(serde_json::json!({"name": "psi", "source": "other"}))];
    let evidence = signals.read(&plan(&signals, &overrides), "shop", "web", None, at(0)).await;
    assert_eq!(evidence.readings[&SignalName::CPU], Reading::SourceDown { why: "timeout".into() });
    assert!(
        evidence.readings[&SignalName::PSI].fresh().is_some(),
        "one source does not take the other with it"
    );
    assert_eq!(evidence.fresh_pods, None);
    assert_eq!(signals.sources()["default"].as_deref(), Some("timeout: told to"));
    assert_eq!(signals.sources()["other"], None);
}

#[tokio::test]
async fn pods_are_counted_in_the_same_question_and_the_least_covered_load_signal_counts() {
    let cpu = r#"sum(c{pod=~"$name-.*"})"#;
    let throughput = r#"sum(t{pod=~"$name-.*"})"#;
    let count = async |cpu_pods: Option<f64>, throughput_pods: Option<f64>, throughput_value: Option<f64>| {
        let reply = move |q: &str| {
            let (value, pods) =
                if q.contains("sum(c") { (Some(1.0), cpu_pods) } else { (throughput_value, throughput_pods) };
            let mut parts = value.map(fresh).unwrap_or_default();
            parts.extend(pods.map(|p| ("pods0", p)));
            Ok(parts)
        };
        let source = scripted(reply, vec![]);
        let signals = signals(&[("cpu", cpu), ("throughput", throughput), ("psi", "psi")], &source);
        let pods = signals.read(&plan(&signals, &[]), "shop", "web", None, at(0)).await.fresh_pods;
        assert_eq!(source.asked().len(), 3, "one question for each signal and turn");
        pods
    };
    assert_eq!(count(Some(4.0), Some(2.0), Some(9.0)).await, Some(2));
    assert_eq!(count(Some(4.0), None, Some(9.0)).await, Some(0), "no fresh pod behind a fresh value");
    assert_eq!(count(Some(4.0), None, None).await, Some(4), "a signal that is missing speaks for itself");
    let source = scripted(|_| Ok(fresh(1.0)), vec![]);
    let signals = signals(&[("cpu", "sum(up)")], &source);
    assert_eq!(signals.read(&plan(&signals, &[]), "shop", "web", None, at(0)).await.fresh_pods, None);
}

#[test]
fn a_signal_that_stands_still_while_its_neighbour_moves_is_frozen_until_it_moves() {
    let signals = signals(&[("omega", "omega"), ("psi", "psi")], &scripted(|_| Ok(vec![]), vec![]));
    let plan = plan(&signals, &[]);
    let turn = |second: i64, omega: f64, psi: f64| {
        let reading = |value| Reading::Fresh { value, sampled_at: at(second) };
        let readings = Readings::from([(SignalName::OMEGA, reading(omega)), (SignalName::PSI, reading(psi))]);
        signals.frozen(&plan, "shop", "web", &readings)
    };
    for second in 0..40 {
        assert!(
            turn(second, 0.91, 0.5).is_empty(),
            "both stand still: nothing tells them from honest constants"
        );
    }
    let mut reported = Vec::new();
    for second in 40..60 {
        reported.push(!turn(second, 0.91, 0.3 + second as f64 / 1000.0).is_empty());
    }
    assert_eq!(reported.iter().position(|r| *r), Some(FROZEN as usize - 1));
    assert_eq!(
        turn(60, 0.91, 0.359),
        [SignalName::OMEGA],
        "still frozen where the neighbour rests for a turn"
    );
    assert!(turn(61, 0.92, 0.359).is_empty(), "it moved");
}

#[test]
fn an_honest_constant_and_an_old_sample_are_not_frozen() {
    let signals = signals(&[("errors", "e"), ("psi", "psi")], &scripted(|_| Ok(vec![]), vec![]));
    let plan = plan(&signals, &[]);
    for second in 0..40 {
        let moving = Reading::Fresh { value: 0.1 + second as f64 / 1000.0, sampled_at: at(second) };
        let zero = Reading::Fresh { value: 0.0, sampled_at: at(second) };
        let same_sample = Reading::Fresh { value: 0.5, sampled_at: at(0) };
        let readings = Readings::from([
            (SignalName::PSI, moving),
            (SignalName::ERRORS, zero),
            (SignalName::OMEGA, same_sample),
        ]);
        assert!(signals.frozen(&plan, "shop", "web", &readings).is_empty());
    }
}

#[test]
fn what_is_remembered_of_workloads_that_are_gone_is_forgotten() {
    let signals = signals(&[("psi", "psi")], &scripted(|_| Ok(vec![]), vec![]));
    let plan = plan(&signals, &[]);
    for i in 0..5000 {
        let reading = Reading::Fresh { value: 0.5, sampled_at: at(i * 60) };
        signals.frozen(&plan, "shop", &format!("web{i}"), &Readings::from([(SignalName::PSI, reading)]));
    }
    assert!(signals.frozen.lock().unwrap().len() < 1000);
}

#[tokio::test]
async fn the_same_question_of_one_second_is_asked_once() {
    let source = scripted(|_| Ok(fresh(0.9)), vec![]);
    let signals = signals(&[("psi", "psi")], &source);
    let plan = plan(&signals, &[]);
    let read = |millisecond: i64| {
        let at = Timestamp::from_millisecond(NOW * 1000 + millisecond).unwrap();
        signals.read(&plan, "shop", "web", None, at)
    };
    let together = futures::future::join_all((0..20).map(|i| read(i * 10))).await;
    assert!(together.iter().all(|e| e.readings[&SignalName::PSI].fresh().is_some()));
    read(999).await;
    assert_eq!(source.asked().len(), 1, "also by one that comes after the answer");
    read(1000).await;
    assert_eq!(source.asked().len(), 2, "another second is another question");
    assert!(source.asked.lock().unwrap().iter().all(|(_, at)| at.as_millisecond() % 1000 == 0));
}

#[tokio::test]
async fn a_failure_is_shared_only_by_those_who_asked_together() {
    let source = scripted(|_| Err("http_503"), vec![]);
    let signals = signals(&[("psi", "psi")], &source);
    let plan = plan(&signals, &[]);
    let both = futures::join!(
        signals.read(&plan, "shop", "web", None, at(0)),
        signals.read(&plan, "shop", "web", None, at(0))
    );
    assert_eq!(both.0, both.1);
    assert_eq!(source.asked().len(), 1);
    signals.read(&plan, "shop", "web", None, at(0)).await;
    assert_eq!(source.asked().len(), 2, "the next one asks again");
}

#[tokio::test]
async fn shared_answers_do_not_pile_up_and_an_abandoned_question_is_asked_anew() {
    let source = scripted(|_| Ok(fresh(0.9)), vec![]);
    let signals = signals(&[("psi", "psi")], &source);
    let plan = plan(&signals, &[]);
    for second in -100..0 {
        signals.read(&plan, "shop", "web", None, at(second)).await;
    }
    assert!(signals.sharing.len() <= 3, "{}", signals.sharing.len());
    let mut abandoned = Box::pin(signals.read(&plan, "shop", "web", None, at(5)));
    assert!(futures::poll!(&mut abandoned).is_pending());
    drop(abandoned);
    let before = source.asked().len();
    let evidence = signals.read(&plan, "shop", "web", None, at(5)).await;
    assert!(evidence.readings[&SignalName::PSI].fresh().is_some());
    assert_eq!(source.asked().len(), before + 1);
}

#[tokio::test]
async fn history_becomes_turns_before_now_with_the_workload_since_its_rollout() {
    let times = [-900, -300, 0];
    let row = |part: &str, value: f64, age: f64| -> Range {
        let value = |t: i64| if part == "value" { value } else { (NOW + t) as f64 - age };
        (labels(part), times.iter().map(|t| ((NOW + t) as f64, value(*t))).collect())
    };
    let source = scripted(|_| Ok(vec![]), vec![row("value", 0.9, 0.0), row("age0", 0.0, 5.0)]);
    let signals = signals(&[("psi", "psi")], &source);
    let plan = plan(&signals, &[]);
    let workload = workload(revision("new", 2), vec![]);
    let observed = Observed { at: at(0), evidence: Evidence::default(), workload: Some(workload) };
    let past = signals.history(&plan, "shop", "web", &observed, 15).await;
    assert_eq!(
        past.iter().map(|o| o.at).collect::<Vec<_>>(),
        [at(-900), at(-300)],
        "now itself is no history"
    );
    let (value, sampled) = past[0].evidence.readings[&SignalName::PSI].fresh().unwrap();
    assert!((value - 0.9).abs() < 1e-12 && sampled == at(-905));
    assert!(past[0].workload.is_none(), "before the rollout it was another");
    assert!(past[1].workload.is_some());
    assert_eq!(source.asked.lock().unwrap()[0].1, at(-15 * i64::from(HISTORY)));
}
