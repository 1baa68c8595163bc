//! Every manifest that must be refused, with words that the refusal must say.

use serde_json::{Value, json};

/// A manifest and words of its refusal.
pub type Refusal = (Value, &'static str);

fn object(kind: &str, spec: Value) -> Value {
    let mut spec = spec;
    if spec["targetRef"].is_null() {
        spec["targetRef"] = json!({"name": "cart"});
    }
    json!({"apiVersion": "matverse.io/v1alpha1", "kind": kind, "metadata": {"name": "cart"}, "spec": spec})
}

/// A MatVerseScaling of this spec; `targetRef` is filled in.
pub fn scaling(spec: Value) -> Value {
    object("MatVerseScaling", spec)
}

/// An OmegaGate of this spec; `targetRef` is filled in.
pub fn gate(spec: Value) -> Value {
    object("OmegaGate", spec)
}

pub fn of_scaling() -> Vec<Refusal> {
    let signals = |count: usize| -> Vec<Value> {
        (0..count).map(|i| json!({"name": format!("s{i}"), "query": "up"})).collect()
    };
    let parameter = |min: f64, max: f64, delta: f64| json!({"configMapRef": {"name": "c"}, "parameters": [{"key": "k", "min": min, "max": max, "maxDelta": delta}]});
    let window = json!({"schedule": "0 8 * * 1-5", "durationSeconds": 3600, "minReplicas": 11});
    let policy = json!({"type": "Pods", "value": 1, "periodSeconds": 15});
    vec![
        // the target
        (
            scaling(json!({"targetRef": {"name": "cart", "namespace": "other"}})),
            "unknown field \"spec.targetRef.namespace\"",
        ),
        (
            scaling(json!({"targetRef": {"name": "cart", "kind": "StatefulSet"}})),
            "spec.targetRef.kind: Unsupported value",
        ),
        (
            scaling(json!({"targetRef": {"name": "cart", "apiVersion": "v1"}})),
            "spec.targetRef.apiVersion: Unsupported value",
        ),
        (scaling(json!({"targetRef": {"kind": "Deployment"}})), "spec.targetRef.name: Required value"),
        (scaling(json!({"targetRef": {"name": ""}})), "spec.targetRef.name"),
        (scaling(json!({"targetRef": {"name": "No_Such"}})), "spec.targetRef.name"),
        // bounds
        (scaling(json!({"minReplicas": 11})), "minReplicas must not exceed maxReplicas"),
        (scaling(json!({"minReplicas": 5, "maxReplicas": 4})), "minReplicas must not exceed maxReplicas"),
        (scaling(json!({"minReplicas": 0})), "spec.minReplicas"),
        (scaling(json!({"maxReplicas": 10001})), "spec.maxReplicas"),
        (scaling(json!({"maxReplicas": "ten"})), "spec.maxReplicas"),
        (scaling(json!({"intervalSeconds": 0})), "spec.intervalSeconds"),
        (scaling(json!({"intervalSeconds": 601})), "spec.intervalSeconds"),
        (scaling(json!({"persistence": 0})), "spec.persistence"),
        (scaling(json!({"targets": {"cpuTarget": 70}})), "spec.targets.cpuTarget"),
        (scaling(json!({"targets": {"omegaScore": 1.01}})), "spec.targets.omegaScore"),
        (scaling(json!({"targets": {"latencyTarget": 0}})), "spec.targets.latencyTarget"),
        (scaling(json!({"predictor": {"keepProbability": 1}})), "spec.predictor.keepProbability"),
        (scaling(json!({"predictor": {"qMin": 0.5}})), "qMin must not exceed qMax"),
        (scaling(json!({"rollback": {"alpha": 0}})), "spec.rollback.alpha"),
        (scaling(json!({"targets": {"cpuTarget": 0}})), "spec.targets.cpuTarget"),
        (scaling(json!({"predictor": {"keepProbability": 0}})), "spec.predictor.keepProbability"),
        (scaling(json!({"rollback": {"alpha": 1}})), "spec.rollback.alpha"),
        (scaling(json!({"rollback": {"maxPerDay": 101}})), "spec.rollback.maxPerDay"),
        (scaling(json!({"profile": ""})), "spec.profile"),
        (scaling(json!({"profile": "a".repeat(64)})), "spec.profile"),
        // enums
        (scaling(json!({"mode": "BALANCED"})), "spec.mode: Unsupported value"),
        (scaling(json!({"enforcement": "act"})), "spec.enforcement: Unsupported value"),
        (scaling(json!({"predictor": {"capacityModel": "Magic"}})), "capacityModel: Unsupported value"),
        // unknown fields
        (scaling(json!({"replicas": 3})), "unknown field \"spec.replicas\""),
        (scaling(json!({"targets": {"cpu": 0.5}})), "unknown field \"spec.targets.cpu\""),
        (
            scaling(json!({"signals": [{"name": "cpu", "url": "http://x"}]})),
            "unknown field \"spec.signals[0].url\"",
        ),
        // lists
        (scaling(json!({"signals": [{"name": "cpu"}, {"name": "cpu"}]})), "Duplicate value"),
        (scaling(json!({"signals": signals(17)})), "spec.signals: Too many"),
        (scaling(json!({"signals": [{"query": "up"}]})), "spec.signals[0].name: Required value"),
        (scaling(json!({"signals": [{"name": "a b"}]})), "spec.signals[0].name"),
        (scaling(json!({"signals": [{"name": "cpu", "query": "x".repeat(2049)}]})), "Too long"),
        (
            scaling(json!({"signals": [{"name": "cpu", "min": 2, "max": 1}]})),
            "min of a signal must not exceed its max",
        ),
        (scaling(json!({"signals": [{"name": "cpu", "maxAgeSeconds": 0}]})), "maxAgeSeconds"),
        (scaling(json!({"behavior": {"scaleUp": {"policies": []}}})), "spec.behavior.scaleUp.policies"),
        (
            scaling(json!({"behavior": {"scaleUp": {"policies": vec![policy; 9]}}})),
            "spec.behavior.scaleUp.policies: Too many",
        ),
        (
            scaling(json!({"behavior": {"scaleUp": {"tolerance": "0.1"}}})),
            "behavior tolerance is not built yet",
        ),
        // retune
        (scaling(json!({"retune": parameter(2.0, 1.0, 0.02)})), "min of a parameter must be below its max"),
        (scaling(json!({"retune": parameter(1.0, 1.0, 0.02)})), "min of a parameter must be below its max"),
        (scaling(json!({"retune": parameter(1.0, 2.0, 0.03)})), "maxDelta"),
        (
            scaling(json!({"retune": {"configMapRef": {"name": "c"}, "parameters": []}})),
            "spec.retune.parameters",
        ),
        (
            scaling(json!({"retune": {"configMapRef": {"name": "c"}, "parameters": [
                {"key": "k", "min": 0, "max": 1}, {"key": "k", "min": 0, "max": 2}]}})),
            "Duplicate value",
        ),
        (
            scaling(
                json!({"retune": {"configMapRef": {"name": "c", "namespace": "x"}, "parameters": [{"key": "k", "min": 0, "max": 1}]}}),
            ),
            "unknown field",
        ),
        // what is not built yet
        (scaling(json!({"enforcement": "Propose"})), "enforcement: Propose is not built yet"),
        (scaling(json!({"rollback": {"via": "Propose"}})), "rollback.via: Propose is not built yet"),
        (scaling(json!({"windows": [window.clone()]})), "windows is not built yet"),
        (scaling(json!({"windows": [window]})), "minReplicas of a window must not exceed maxReplicas"),
        (
            scaling(json!({"windows": [{"schedule": "0 8 * * *", "durationSeconds": 60}]})),
            "a window must freeze or name minReplicas",
        ),
    ]
}

pub fn of_gate() -> Vec<Refusal> {
    let league = |challenger: &str| json!({"champion": {"deployment": "a", "service": "a", "port": 80}, "challenger": {"deployment": challenger, "service": "b", "port": 80}});
    let signals: Vec<Value> = (0..65).map(|i| json!({"name": format!("s{i}")})).collect();
    vec![
        (
            gate(json!({"targetRef": {"name": "cart", "namespace": "other"}})),
            "unknown field \"spec.targetRef.namespace\"",
        ),
        (
            gate(json!({"targetRef": {"name": "cart", "kind": "DaemonSet"}})),
            "spec.targetRef.kind: Unsupported value",
        ),
        (
            gate(json!({"omega": {"weights": {"psi": 0.5, "theta": 0.3, "cvar": 0.2, "pole": 0.1}}})),
            "must sum to 1",
        ),
        (
            gate(json!({"omega": {"weights": {"psi": 0.4, "theta": 0.3, "cvar": 0.2, "pole": 0.10001}}})),
            "must sum to 1",
        ),
        (gate(json!({"omega": {"weights": {"psi": 0}}})), "must sum to 1"),
        (gate(json!({"omega": {"psiWeight": 1.1}})), "spec.omega.psiWeight"),
        (gate(json!({"omega": {"cvarAlpha": 0}})), "spec.omega.cvarAlpha"),
        (gate(json!({"omega": {"cvarAlpha": 1}})), "spec.omega.cvarAlpha"),
        (gate(json!({"omega": {"formula": "exporter"}})), "formula: Unsupported value"),
        (gate(json!({"thresholds": {"omegaMin": 85}})), "spec.thresholds.omegaMin"),
        (gate(json!({"thresholds": {"omega": 0.8}})), "unknown field"),
        (gate(json!({"evidence": {"minSamples": 201}})), "minSamples must not exceed windowSize"),
        (gate(json!({"evidence": {"windowSize": 0}})), "spec.evidence.windowSize"),
        (gate(json!({"evidence": {"signals": signals}})), "spec.evidence.signals: Too many"),
        (gate(json!({"evidence": {"signals": [{"name": "psi"}, {"name": "psi"}]}})), "Duplicate value"),
        (
            gate(json!({"evidence": {"signals": [{"name": "psi", "min": 1, "max": 0}]}})),
            "min of a signal must not exceed its max",
        ),
        (gate(json!({"cooldownSeconds": 86401})), "spec.cooldownSeconds"),
        (gate(json!({"league": league("b")})), "the champion must be the Deployment that targetRef names"),
        (gate(json!({"league": league("a")})), "champion and challenger must be two Deployments"),
        (gate(json!({"steer": {"band": 0.6}})), "spec.steer.band"),
        (gate(json!({"growth": {"agapeMin": 2}})), "spec.growth.agapeMin"),
        (gate(json!({"sigmaGuard": {"rhoBiasMax": 0.9}})), "spec.sigmaGuard.rhoBiasMax"),
        (
            gate(json!({"sigmaGuard": {"minSamples": 201}})),
            "sigmaGuard.minSamples must not exceed evidence.windowSize",
        ),
        (gate(json!({"antifragile": {"halfLifeSeconds": 0}})), "spec.antifragile.halfLifeSeconds"),
        (
            gate(json!({"antifragile": {"learn": true, "omegaCeil": 0.5}})),
            "omegaCeil must not be below omegaMin",
        ),
        (gate(json!({"onFail": "Nothing"})), "spec.onFail: Unsupported value"),
    ]
}
