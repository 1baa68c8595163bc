//! The sample manifests are read by the types, and say what they claim to say.

use std::path::Path;

use matverse::api::scaling::{Enforcement, Mode};
use matverse::api::{MatVerseScaling, OmegaGate};
use serde_json::Value;

/// Every document of every sample, with the file it comes from.
pub fn all() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        found.extend(documents.into_iter().map(|document| (name.clone(), document)));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(found.len() >= 4, "samples are missing: {found:?}");
    found
}

#[test]
fn every_sample_is_one_of_the_two_kinds_and_is_read_without_an_unknown_field() {
    for (file, document) in all() {
        match document["kind"].as_str() {
            Some("MatVerseScaling") => {
                serde_json::from_value::<MatVerseScaling>(document).unwrap_or_else(|e| panic!("{file}: {e}"));
            }
            Some("OmegaGate") => {
                serde_json::from_value::<OmegaGate>(document).unwrap_or_else(|e| panic!("{file}: {e}"));
            }
            other => panic!("{file}: {other:?}"),
        }
    }
}

#[test]
fn the_first_sample_is_five_lines_and_touches_nothing() {
    let (_, document) = all().into_iter().find(|(file, _)| file == "scaling.yaml").unwrap();
    let first: MatVerseScaling = serde_json::from_value(document).unwrap();
    assert_eq!(first.spec.enforcement, Enforcement::Observe);
    assert_eq!(first.spec.mode, Mode::Balanced);
    assert_eq!((first.spec.min_replicas, first.spec.max_replicas), (1, 40));
    assert_eq!(first.spec.targets.latency_target, Some(250.0));
    assert_eq!(first.spec.targets.omega_score.to_bits(), 0.95_f64.to_bits());
    let text = include_str!("../../config/samples/scaling.yaml");
    assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 4);
}

#[test]
fn the_retune_sample_steps_within_two_percent() {
    let (_, document) = all().into_iter().find(|(file, _)| file == "retune.yaml").unwrap();
    let resource: MatVerseScaling = serde_json::from_value(document).unwrap();
    let retune = resource.spec.retune.unwrap();
    assert_eq!(retune.config_map_ref.name, "search-settings");
    assert!(retune.parameters.iter().all(|p| p.min < p.max && p.max_delta <= 0.02));
    assert_eq!(resource.spec.gate_ref.unwrap().name, "search");
}

#[test]
fn a_mode_may_be_written_either_way_and_is_given_back_in_lower_case() {
    for (written, meant) in [
        ("balanced", Mode::Balanced),
        ("Balanced", Mode::Balanced),
        ("Conservative", Mode::Conservative),
        ("aggressive", Mode::Aggressive),
    ] {
        assert_eq!(serde_json::from_value::<Mode>(written.into()).unwrap(), meant);
    }
    assert_eq!(serde_json::to_value(Mode::Aggressive).unwrap(), "aggressive");
    assert!(serde_json::from_value::<Mode>("BALANCED".into()).is_err());
}
