//! What a resource may ask for and nothing acts on yet, and what the schema cannot check.
//!
//! A field that would be ignored is refused by name, with the way out: silence would be a promise.

use std::collections::BTreeSet;

use super::behavior;
use crate::api::gate::OmegaGateSpec;
use crate::api::scaling::{CapacityModel, Enforcement, MatVerseScalingSpec, RollbackVia};
use crate::api::shared::{SignalSpec, TargetRef};

/// Why a `MatVerseScaling` is not accepted; empty when it is.
#[must_use]
pub fn refused(spec: &MatVerseScalingSpec) -> Vec<String> {
    let mut why = Vec::new();
    let mut unless = |ok: bool, message: &str| {
        if !ok {
            why.push(message.to_owned());
        }
    };
    unless(
        spec.enforcement != Enforcement::Propose,
        "spec.enforcement: Propose is not served by this version; use Observe to see decisions, or Act",
    );
    unless(
        spec.rollback.via != RollbackVia::Propose,
        "spec.rollback.via: Propose is not served by this version; use Patch, or rollback.enabled: false",
    );
    unless(
        spec.windows.is_empty(),
        "spec.windows is not served by this version; remove it, and pause by annotation",
    );
    unless(spec.min_replicas >= 1, "spec.minReplicas: must be at least 1");
    unless(spec.min_replicas <= spec.max_replicas, "spec.minReplicas: must not exceed spec.maxReplicas");
    unless(
        spec.predictor.q_min <= spec.predictor.q_max,
        "spec.predictor.qMin: must not exceed spec.predictor.qMax",
    );
    unless(
        spec.predictor.capacity_model != CapacityModel::Queue || spec.targets.latency_target.is_some(),
        "spec.predictor.capacityModel: Queue needs spec.targets.latencyTarget; set it, or use Auto",
    );
    let positive = |value: f64| value.is_finite() && value > 0.0;
    unless(positive(spec.targets.cpu_target), "spec.targets.cpuTarget: must be a number above 0");
    unless(
        spec.targets.latency_target.is_none_or(positive),
        "spec.targets.latencyTarget: must be a number above 0, in milliseconds",
    );
    unless(
        positive(spec.rollback.alpha) && spec.rollback.alpha < 1.0,
        "spec.rollback.alpha: must be a probability above 0 and below 1",
    );
    target(&spec.target_ref, &mut why);
    signals("spec.signals", &spec.signals, &mut why);
    for (name, rules) in [("scaleUp", &spec.behavior.scale_up), ("scaleDown", &spec.behavior.scale_down)] {
        if let Err(text) = behavior::tolerance(rules) {
            why.push(format!(
                "spec.behavior.{name}.tolerance: {text:?} is no quantity between 0 and 1, as 0.1 or 100m is"
            ));
        }
    }
    if let Some(retune) = &spec.retune {
        let mut seen = BTreeSet::new();
        for parameter in &retune.parameters {
            let key = &parameter.key;
            if !seen.insert(key) {
                why.push(format!("spec.retune.parameters: key {key} is named twice"));
            }
            let range = parameter.max - parameter.min;
            if !(range.is_finite() && range > 0.0) {
                why.push(format!("spec.retune.parameters[{key}]: min must be below max, both finite"));
            }
            if !(parameter.max_delta > 0.0 && parameter.max_delta <= 0.02) {
                why.push(format!("spec.retune.parameters[{key}].maxDelta: must be above 0 and at most 0.02"));
            }
        }
    }
    why
}

/// Why an `OmegaGate` is not accepted; empty when it is.
#[must_use]
pub fn refused_gate(spec: &OmegaGateSpec) -> Vec<String> {
    let mut why = Vec::new();
    if let Some(league) = &spec.league {
        let (champion, challenger) = (&league.champion.deployment, &league.challenger.deployment);
        if *champion != spec.target_ref.name {
            why.push("spec.league.champion.deployment: must be the Deployment that targetRef names".into());
        }
        if champion == challenger {
            why.push(
                "spec.league.challenger.deployment: must be another Deployment than the champion's".into(),
            );
        }
    }
    let w = &spec.omega.weights;
    let sum = w.psi + w.theta + w.cvar + w.pole;
    if sum.is_nan() || (sum - 1.0).abs() > 1e-6 {
        why.push(format!("spec.omega.weights: their sum is {sum}, it must be 1"));
    }
    if spec.evidence.min_samples > spec.evidence.window_size {
        why.push("spec.evidence.minSamples: must not exceed spec.evidence.windowSize".into());
    }
    if spec.sigma_guard.as_ref().is_some_and(|guard| guard.min_samples > spec.evidence.window_size) {
        why.push("spec.sigmaGuard.minSamples: must not exceed spec.evidence.windowSize".into());
    }
    target(&spec.target_ref, &mut why);
    signals("spec.evidence.signals", &spec.evidence.signals, &mut why);
    why
}

fn target(target: &TargetRef, why: &mut Vec<String>) {
    if target.api_version != "apps/v1" || target.kind != "Deployment" {
        why.push(format!(
            "spec.targetRef: {} {} is not served; name an apps/v1 Deployment",
            target.api_version, target.kind
        ));
    }
}

fn signals(field: &str, signals: &[SignalSpec], why: &mut Vec<String>) {
    for (place, signal) in signals.iter().enumerate() {
        let name = &signal.name;
        if signals.iter().take(place).any(|earlier| earlier.name == *name) {
            why.push(format!("{field}: {name} is named twice"));
        }
        if let (Some(min), Some(max)) = (signal.min, signal.max)
            && (min.is_nan() || max.is_nan() || min > max)
        {
            why.push(format!("{field}[{name}]: min must not exceed max"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decide::testing::spec;

    fn gate(extra: &serde_json::Value) -> Vec<String> {
        let mut value = json!({"targetRef": {"name": "web"}});
        value.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        refused_gate(&serde_json::from_value(value).unwrap())
    }

    fn scaling(extra: &serde_json::Value) -> Vec<String> {
        let mut value = json!({"targetRef": {"name": "web"}});
        value.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        refused(&serde_json::from_value(value).unwrap())
    }

    #[track_caller]
    fn only(found: &[String], field: &str) {
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(field), "{found:?}");
    }

    #[test]
    fn the_defaults_are_accepted() {
        assert_eq!(refused(&spec()), Vec::<String>::new());
        assert_eq!(gate(&json!({})), Vec::<String>::new());
    }

    #[test]
    fn each_unserved_field_of_a_scaling_is_named() {
        only(&scaling(&json!({"enforcement": "Propose"})), "spec.enforcement: Propose");
        only(&scaling(&json!({"rollback": {"via": "Propose"}})), "spec.rollback.via: Propose");
        let window = json!({"windows": [{"schedule": "0 8 * * 1-5", "durationSeconds": 3600}]});
        only(&scaling(&window), "spec.windows");
    }

    #[test]
    fn what_the_schema_cannot_check_is_checked() {
        only(&scaling(&json!({"minReplicas": 5, "maxReplicas": 4})), "spec.minReplicas: must not exceed");
        only(&scaling(&json!({"minReplicas": 0})), "spec.minReplicas: must be at least");
        only(&scaling(&json!({"predictor": {"qMin": 0.2, "qMax": 0.1}})), "spec.predictor.qMin");
        only(&scaling(&json!({"predictor": {"capacityModel": "Queue"}})), "spec.predictor.capacityModel");
        only(&scaling(&json!({"targets": {"cpuTarget": 0.0}})), "spec.targets.cpuTarget");
        only(&scaling(&json!({"targets": {"latencyTarget": -1.0}})), "spec.targets.latencyTarget");
        only(&scaling(&json!({"rollback": {"alpha": 0.0}})), "spec.rollback.alpha");
        only(&scaling(&json!({"targetRef": {"name": "web", "kind": "StatefulSet"}})), "spec.targetRef");
        only(&scaling(&json!({"behavior": {"scaleUp": {"tolerance": "ten"}}})), "spec.behavior.scaleUp");
        let signals = json!({"signals": [{"name": "cpu", "min": 2, "max": 1}, {"name": "cpu"}]});
        assert_eq!(scaling(&signals).len(), 2);
        let retune = |parameters: serde_json::Value| {
            scaling(&json!({"retune": {"configMapRef": {"name": "knobs"}, "parameters": parameters}}))
        };
        assert!(retune(json!([{"key": "a", "min": 0, "max": 1}])).is_empty());
        only(&retune(json!([{"key": "a", "min": 1, "max": 1}])), "spec.retune.parameters[a]: min");
        only(
            &retune(json!([{"key": "a", "min": 0, "max": 1, "maxDelta": 0.5}])),
            "spec.retune.parameters[a].maxDelta",
        );
        let twice = json!([{"key": "a", "min": 0, "max": 1}, {"key": "a", "min": 0, "max": 1}]);
        only(&retune(twice), "spec.retune.parameters: key a is named twice");
    }

    #[test]
    fn each_unserved_field_of_a_gate_is_named() {
        let side = json!({"deployment": "a", "service": "a", "port": 80});
        let league = |champion: &serde_json::Value| {
            gate(&json!({"league": {"champion": champion, "challenger": side}}))
        };
        only(
            &league(&json!({"deployment": "c", "service": "a", "port": 80})),
            "spec.league.champion.deployment",
        );
        assert_eq!(league(&json!({"deployment": "web", "service": "a", "port": 80})), Vec::<String>::new());
        assert!(gate(&json!({"steer": {}, "antifragile": {"learn": true}})).is_empty());
        only(&gate(&json!({"sigmaGuard": {"minSamples": 201}})), "spec.sigmaGuard.minSamples");
        let served = json!({"sigmaGuard": {}, "growth": {"agapeMin": 0.5}, "onFail": "Rollback"});
        assert_eq!(gate(&served), Vec::<String>::new());
        only(&gate(&json!({"omega": {"weights": {"psi": 0.9}}})), "spec.omega.weights");
        only(&gate(&json!({"evidence": {"minSamples": 300}})), "spec.evidence.minSamples");
        only(&gate(&json!({"targetRef": {"name": "web", "apiVersion": "v1"}})), "spec.targetRef");
        let every = gate(&json!({"targetRef": {"name": "web", "apiVersion": "v1"},
            "omega": {"weights": {"psi": 0.9}}, "evidence": {"minSamples": 300}}));
        assert_eq!(every.len(), 3, "every mistake is said at once: {every:?}");
    }
}
