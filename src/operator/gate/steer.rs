//! Soft-steer of one gate: what is seen of the effort, and who is told whether there is calm.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::OmegaGate;
use crate::decide::steer::{Effort, Sample, Steering};
use crate::operator::world::World;

/// Counts what is seen now; `replicas` is `None` where the target is not seen, and then nothing is known.
pub(super) fn turn(
    world: &World,
    gate: &OmegaGate,
    replicas: Option<i32>,
    now: Timestamp,
    effort: &mut Effort,
) {
    let (namespace, name) = (gate.namespace().unwrap_or_default(), gate.name_any());
    let Some(spec) = &gate.spec.steer else {
        *effort = Effort::default();
        world.steer.remove(&namespace, &name);
        world.telemetry.forget_steering(&namespace, &name);
        return;
    };
    let retuned = world.steer.take_retuned(&namespace, &name);
    let state = if let Some(replicas) = replicas {
        effort.take(Sample { at: now, traffic: explored(gate), replicas, retuned }, spec)
    } else {
        *effort = Effort::default();
        Steering::UNKNOWN
    };
    for (alert, what) in [
        (state.alert_low, "stable effort is below its band for a minute"),
        (state.alert_steep, "stable effort moves too fast"),
    ] {
        if alert {
            tracing::warn!(%namespace, %name, phi = state.phi, slope = state.slopes[0], "{what}");
        }
    }
    let interval = Duration::from_secs(gate.spec.interval_seconds.into());
    world.steer.put(&namespace, &name, state.unrest, now);
    world.telemetry.steered(&namespace, &name, interval, state, spec.phi_target);
}

/// Share of the traffic that the league's challenger answers. Mirrored requests are answered by the champion, so they
/// are not among it; were they, no league could leave its shadow in calm.
fn explored(gate: &OmegaGate) -> f64 {
    let Some(league) = &gate.spec.league else { return 0.0 };
    let stage = gate.status.as_ref().and_then(|status| status.league.as_ref()).map(|l| l.stage.as_str());
    match stage {
        None | Some("" | "Idle" | "Shadow" | "Promoted" | "RolledBack") => 0.0,
        Some("Canary" | "Promote") => league.weight,
        // A word that nobody knows may stand for anything.
        Some(_) => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn gate(stage: Option<&str>) -> OmegaGate {
        let side = |name: &str| json!({"deployment": name, "service": name, "port": 80});
        let mut gate: OmegaGate = serde_json::from_value(json!({
            "apiVersion": "matverse.io/v1alpha1", "kind": "OmegaGate", "metadata": {"name": "g"},
            "spec": {"targetRef": {"name": "a"},
                "league": {"champion": side("a"), "challenger": side("b"), "weight": 0.1}},
        }))
        .unwrap();
        gate.status = stage.map(|stage| {
            serde_json::from_value(json!({"league": {"stage": stage, "since": "", "samples": 0}})).unwrap()
        });
        gate
    }

    #[test]
    fn only_what_the_challenger_answers_is_exploration() {
        for (stage, share) in [
            (None, 0.0),
            (Some("Idle"), 0.0),
            (Some("Shadow"), 0.0),
            (Some("Canary"), 0.1),
            (Some("Else"), 1.0),
        ] {
            assert!((explored(&gate(stage)) - share).abs() < 1e-12, "{stage:?}");
        }
        let mut none = gate(Some("Canary"));
        none.spec.league = None;
        assert!(explored(&none).abs() < 1e-12);
    }
}
