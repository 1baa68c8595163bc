//! A check of a file: a gate's spec and its readings, with no cluster.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Basis, Verdict};
use crate::api::gate::OmegaGateSpec;
use crate::decide::gate::{EarlierLinf, GateSituation, evaluate, uses};
use crate::decide::refused_gate;
use crate::observe::profiles::{Profile, shipped};
use crate::observe::reading::{Reading, Readings, SignalName};
use crate::observe::sample::{Limits, seconds};
use crate::simulate::door::line::{RevisionLine, Sample};

/// Signals that mean something, though to no gate.
const OTHERS: [&str; 4] = ["cpu", "throughput", "errors", "beta"];

/// What stands in the file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Given {
    /// Time of the evaluation; the present where it is left out.
    #[serde(default)]
    time: Option<Timestamp>,
    /// `spec` of an `OmegaGate`; `targetRef` may be left out.
    spec: Value,
    /// Samples by signal, as the streaming door takes them; `null` is a missing one.
    readings: BTreeMap<SignalName, Option<Sample>>,
    /// Samples of evidence; none where it is left out.
    #[serde(default)]
    samples: u32,
    /// The revision that the evidence belongs to.
    #[serde(default)]
    revision: Option<RevisionLine>,
    /// L∞ of what was admitted before.
    #[serde(default)]
    earlier_linf: Option<f64>,
}

/// The file's text, and what to call it.
///
/// # Errors
/// It cannot be read.
pub fn text(path: &Path) -> Result<(String, String)> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
        return Ok((text, "standard input".into()));
    }
    let name = path.display().to_string();
    Ok((std::fs::read_to_string(path).with_context(|| name.clone())?, name))
}

/// Evaluates what stands in the file. With `profiles`, those of a configuration beside the shipped ones, the signals
/// of the spec's profile count as named too.
///
/// # Errors
/// Anything in the file that is not understood, or a spec that would not be accepted.
pub fn check(
    text: &str,
    name: &str,
    revision: Option<&str>,
    profiles: Option<&BTreeMap<String, Profile>>,
    now: Timestamp,
) -> Result<Verdict> {
    let given: Given = serde_saphyr::from_str(text).context("needs spec and readings")?;
    let now = given.time.unwrap_or(now);
    let spec = spec(given.spec)?;
    let runs = match &given.revision {
        Some(revision) => Some(revision.current.clone().context("revision: current is missing")?),
        None => None,
    };
    if let Some(asked) = revision
        && runs.as_deref() != Some(asked)
    {
        let runs_text = runs.as_deref().unwrap_or("no revision");
        let why = format!("the file speaks of {runs_text}, not of {asked}");
        return Ok(Verdict::unknown(name.to_owned(), Basis::File, runs, &why));
    }
    let readings = readings(&spec, &given.readings, profiles, now)?;
    let situation = GateSituation {
        now,
        readings,
        samples: given.samples,
        revision_started_at: given.revision.and_then(|revision| revision.started_at),
        pole: None,
        earlier_linf: given.earlier_linf.map_or(EarlierLinf::None, EarlierLinf::Of),
        paused: spec.paused,
        spec,
    };
    Ok(Verdict::evaluated(name.to_owned(), Basis::File, runs, &evaluate(&situation)))
}

fn spec(mut spec: Value) -> Result<OmegaGateSpec> {
    if let Some(fields) = spec.as_object_mut() {
        fields.entry("targetRef").or_insert_with(|| json!({"name": "unnamed"}));
    }
    let spec: OmegaGateSpec = serde_json::from_value(spec).context("spec")?;
    let refused = refused_gate(&spec);
    if refused.is_empty() { Ok(spec) } else { bail!(refused.join("; ")) }
}

/// Every named signal: what the file says of it, else missing.
fn readings(
    spec: &OmegaGateSpec,
    given: &BTreeMap<SignalName, Option<Sample>>,
    profiles: Option<&BTreeMap<String, Profile>>,
    now: Timestamp,
) -> Result<Readings> {
    let age = spec.evidence.max_age_seconds;
    let mut named: BTreeMap<SignalName, Limits> = BTreeMap::new();
    if let Some(configured) = profiles {
        let mut all = shipped();
        all.extend(configured.clone());
        let profile = &spec.evidence.profile;
        let Some(profile) = all.remove(profile) else {
            bail!("spec.evidence.profile: {profile:?} is not in the configuration");
        };
        for (name, d) in profile {
            let limits = Limits::of(&name, d.max_age_seconds.or(Some(age)), d.min, d.max);
            named.insert(SignalName::new(&name), limits);
        }
    }
    for signal in &spec.evidence.signals {
        let limits = Limits::of(&signal.name, signal.max_age_seconds.or(Some(age)), signal.min, signal.max);
        named.insert(SignalName::new(&signal.name), limits);
    }
    for name in given.keys() {
        let known = uses(name.as_str()) || OTHERS.contains(&name.as_str()) || named.contains_key(name);
        if !known {
            // Skipped, a misspelt name would pass.
            bail!(
                "readings.{name}: no gate is made of it; correct the name, or list it under spec.evidence.signals"
            );
        }
        let limits = Limits::of(name.as_str(), Some(age), None, None);
        named.entry(name.clone()).or_insert(limits);
    }
    let read = |(name, limits): (SignalName, Limits)| {
        let reading = match given.get(&name).copied().flatten() {
            Some(Sample { value, sampled_at }) => limits.judge(value, sampled_at.map(seconds), now),
            None => Reading::Missing,
        };
        (name, reading)
    };
    Ok(named.into_iter().map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::gate::GateAnswer;

    const GOOD: &str = "
time: 2026-01-01T00:10:00Z
spec:
  sigmaGuard: {eceMax: 0.05}
samples: 212
revision: {current: 7d9f, startedAt: 2026-01-01T00:00:00Z}
readings:
  psi: {value: 0.93, sampledAt: 2026-01-01T00:09:50Z}
  cvar: {value: 0.05, sampledAt: 2026-01-01T00:09:50Z}
  latency: {value: 200, sampledAt: 2026-01-01T00:09:50Z}
  ece: {value: 0.03, sampledAt: 2026-01-01T00:09:50Z}
";

    fn late() -> Timestamp {
        "2027-01-01T00:00:00Z".parse().unwrap()
    }

    fn ask(text: &str, revision: Option<&str>) -> Result<Verdict> {
        check(text, "file", revision, None, late())
    }

    fn answer(text: &str) -> GateAnswer {
        ask(text, None).unwrap().decision
    }

    #[test]
    fn a_file_is_evaluated_as_the_operator_would() {
        let found = ask(GOOD, Some("7d9f")).unwrap();
        assert_eq!((found.decision, found.exit_code(), found.samples), (GateAnswer::Admit, 0, 212));
        assert_eq!(found.revision.as_deref(), Some("7d9f"));
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!((&json["basis"], &json["decision"]), (&json!("file"), &json!("Admit")));
        let ece = found.gates.iter().find(|gate| gate.name == "ece").unwrap();
        assert_eq!((ece.pass.as_str(), ece.threshold), ("Yes", Some(0.05)));
        assert_eq!(answer(&GOOD.replace("0.93", "0.5")), GateAnswer::Block);
        // Omega is .41: low, and nothing else fails.
        let low = GOOD.replace("spec:\n", "spec:\n  thresholds: {omegaMin: 0.95}\n");
        assert_eq!(answer(&low), GateAnswer::Quarantine);
        let as_json: Value = serde_saphyr::from_str(GOOD).unwrap();
        assert_eq!(answer(&as_json.to_string()), GateAnswer::Admit, "JSON is YAML");
    }

    #[test]
    fn what_the_file_does_not_prove_admits_nothing() {
        for (from, to) in [
            ("psi: {value: 0.93, sampledAt: 2026-01-01T00:09:50Z}", "psi: null"),
            ("psi: {value: 0.93, sampledAt: 2026-01-01T00:09:50Z}", "psi: {value: 0.93}"),
            ("value: 0.93", "value: .nan"),
            ("value: 0.93", "value: 93"),
            ("samples: 212", "samples: 19"),
            ("samples: 212\n", ""),
            ("time: 2026-01-01T00:10:00Z\n", ""),
            ("time: 2026-01-01T00:10:00Z", "time: 2026-01-01T00:20:00Z"),
            ("startedAt: 2026-01-01T00:00:00Z", "startedAt: 2026-01-01T00:09:55Z"),
            ("spec:\n", "spec:\n  paused: true\n"),
            ("spec:\n", "spec:\n  evidence: {signals: [{name: fairness}]}\n"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            assert_eq!(answer(&GOOD.replacen(from, to, 1)), GateAnswer::Unknown, "{from} → {to}");
        }
    }

    #[test]
    fn with_a_configuration_the_signals_of_the_profile_are_named_too() {
        let configured = BTreeMap::new();
        let found = check(GOOD, "file", None, Some(&configured), late()).unwrap();
        assert_eq!(found.decision, GateAnswer::Unknown, "the shipped profile names omega: {found:?}");
        let gone = GOOD.replace("spec:\n", "spec:\n  evidence: {profile: nobodys}\n");
        let error = check(&gone, "file", None, Some(&configured), late()).unwrap_err();
        assert!(error.to_string().contains("nobodys"));
    }

    #[test]
    fn another_revision_is_not_the_one_that_was_asked_for() {
        let found = ask(GOOD, Some("5c4b")).unwrap();
        assert_eq!(found.exit_code(), 2);
        assert_eq!(found.reasoning, "Unknown: the file speaks of 7d9f, not of 5c4b");
    }

    #[test]
    fn what_is_not_understood_is_an_error_and_not_skipped() {
        for (from, to, says) in [
            ("cvar:", "cvarr:", "cvarr"),
            ("sigmaGuard", "sigmaguard", "sigmaguard"),
            ("samples:", "sample:", "sample"),
            ("spec:\n", "spec:\n  steered: {}\n", "steered"),
            ("{eceMax: 0.05}", "{minSamples: 500}", "sigmaGuard.minSamples"),
        ] {
            let error = format!("{:#}", ask(&GOOD.replacen(from, to, 1), None).unwrap_err());
            assert!(error.contains(says), "{says}: {error}");
        }
        assert!(ask("readings: {}", None).is_err());
    }

    #[test]
    fn growth_is_held_to_the_file_s_earlier_value() {
        let parts = ["rsi", "synergy", "novelty", "stability", "viability"]
            .map(|p| format!("  linf.{p}: {{value: 0.6, sampledAt: 2026-01-01T00:09:50Z}}\n"))
            .concat();
        let cost = "  linf.cost: {value: 0.4, sampledAt: 2026-01-01T00:09:50Z}\n";
        let grown = |earlier: &str| answer(&format!("{earlier}{}{parts}{cost}", GOOD.trim_start()));
        assert_eq!(grown(""), GateAnswer::Admit, "nothing to compare with");
        assert_eq!(grown("earlierLinf: 0.5\n"), GateAnswer::Admit);
        assert_eq!(grown("earlierLinf: 0.57\n"), GateAnswer::Block);
        assert_eq!(grown("earlierLinf: -1\n"), GateAnswer::Unknown);
    }
}
