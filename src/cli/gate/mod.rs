//! `matverse gate check`: one evaluation of a gate, for a person or a pipeline.
//!
//! ```text
//!  --from FILE ──────────────────────────────────┐
//!  cluster ─┬─ --config: its sources are asked ──┴─► evaluate ─┬─► Verdict ─► table or JSON, exit 0, 1, 2
//!           └─ without: the status, where it is fresh ─────────┘
//! ```

pub mod file;
pub mod online;
pub mod table;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use jiff::SignedDuration;
use serde::Serialize;

use self::online::{Ask, Failure};
use crate::api::gate::GateStatus;
use crate::decide::gate::{GateAnswer, GateDecision, GateResult};
use crate::observe::signals::Signals;
use crate::operator::clock::Clock;
use crate::operator::config::Config;
use crate::operator::gate::evidence::Gathered;

/// Longest rest between two looks while waiting.
const REST: Duration = Duration::from_secs(5);

/// What there is to do with a gate.
#[derive(Subcommand, Debug)]
pub enum GateCommand {
    /// Evaluates a gate once: exit 0 admits, 1 does not, 2 unknown
    Check(Check),
}

/// Arguments of `gate check`.
#[derive(Args, Debug)]
pub struct Check {
    /// The OmegaGate, on the cluster of the present kubeconfig
    #[arg(value_name = "NAMESPACE/NAME", required_unless_present = "from", conflicts_with = "from", value_parser = named)]
    gate: Option<(String, String)>,
    /// pod-template-hash that the answer must speak of
    #[arg(long, value_name = "HASH")]
    revision: Option<String>,
    /// Asks again for so long while the answer is unknown, such as 10m
    #[arg(long, value_name = "TIME", value_parser = wait, conflicts_with = "from")]
    wait: Option<Duration>,
    /// A file with spec and readings instead of a cluster, YAML or JSON; `-` is standard input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// The operator's configuration: its sources are asked for the evidence, which is otherwise taken from status
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
    Yaml,
}

fn named(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("a gate is named NAMESPACE/NAME".into()),
    }
}

fn wait(text: &str) -> Result<Duration, String> {
    let time: SignedDuration = text.parse().map_err(|e| format!("{e}; write it as 90s or 10m"))?;
    Duration::try_from(time).map_err(|_| "a time to wait is not negative".into())
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// Evidence that was read for it.
    Evidence,
    /// What the operator wrote to the gate's status.
    Status,
    /// A file.
    File,
}

/// The answer to one check.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// `namespace/name` of the gate, or the file.
    pub gate: String,
    /// Where it comes from.
    pub basis: Basis,
    /// `pod-template-hash` that it speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The answer.
    pub decision: GateAnswer,
    /// Samples of evidence since the rollout.
    pub samples: u32,
    /// Each gate.
    pub gates: Vec<GateStatus>,
    /// One line for people.
    pub reasoning: String,
}

impl Verdict {
    /// The answer of an evaluation.
    #[must_use]
    pub fn evaluated(gate: String, basis: Basis, revision: Option<String>, decision: &GateDecision) -> Self {
        Self {
            gate,
            basis,
            revision,
            decision: decision.decision,
            samples: decision.samples,
            gates: decision.gates.iter().map(GateResult::status).collect(),
            reasoning: decision.reasoning.clone(),
        }
    }

    /// No answer, and why.
    #[must_use]
    pub fn unknown(gate: String, basis: Basis, revision: Option<String>, why: &str) -> Self {
        let reasoning = format!("Unknown: {why}");
        let decision = GateAnswer::Unknown;
        Self { gate, basis, revision, decision, samples: 0, gates: Vec::new(), reasoning }
    }

    /// 0 admits, 1 does not, 2 unknown.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.decision {
            GateAnswer::Admit => 0,
            GateAnswer::Quarantine | GateAnswer::Block => 1,
            GateAnswer::Unknown => 2,
        }
    }
}

impl GateCommand {
    /// Runs it.
    pub async fn run(self) -> ExitCode {
        let Self::Check(check) = self;
        match check.run().await {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                eprintln!("matverse gate check: {error:#}");
                ExitCode::from(3)
            }
        }
    }
}

impl Check {
    async fn run(&self) -> Result<u8> {
        let verdict = match (&self.from, &self.gate) {
            (Some(path), _) => {
                let profiles = self.config()?.map(|(_, profiles)| profiles);
                let (text, name) = file::text(path)?;
                let now = Clock::system().now();
                file::check(&text, &name, self.revision.as_deref(), profiles.as_ref(), now)
                    .with_context(|| name.clone())?
            }
            (None, Some((namespace, name))) => self.online(namespace, name).await?,
            (None, None) => bail!("name a gate as NAMESPACE/NAME, or a file with --from"),
        };
        match self.output {
            Output::Text => super::tell(&table::text(&verdict))?,
            Output::Json => super::tell_line(serde_json::to_string(&verdict)?)?,
            Output::Yaml => super::tell(&serde_saphyr::to_string(&verdict)?)?,
        }
        Ok(verdict.exit_code())
    }

    /// Sources and profiles of `--config`.
    fn config(&self) -> Result<Option<crate::operator::config::Reading>> {
        let Some(path) = &self.config else { return Ok(None) };
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        match Config::reading(&text) {
            Ok(reading) => Ok(Some(reading)),
            Err(errors) => bail!("{}:\n{errors}", path.display()),
        }
    }

    /// Asks until the answer is known or the time is up.
    async fn online(&self, namespace: &str, name: &str) -> Result<Verdict> {
        let signals = match self.config()? {
            None => None,
            Some((sources, _)) if sources.is_empty() => {
                bail!("--config has no sources: name one under sources.default.url")
            }
            Some((sources, profiles)) => Some(Signals::new(&sources, &profiles).map_err(anyhow::Error::msg)?),
        };
        let client = crate::operator::client::connect()
            .await
            .context("no cluster: set KUBECONFIG, or check a file with --from")?;
        let clock = Clock::system();
        let until = clock.monotonic().plus(self.wait.unwrap_or_default());
        let mut gathered = Gathered::default();
        let mut said = String::new();
        loop {
            let revision = self.revision.as_deref();
            let ask = Ask { namespace, name, revision, signals: signals.as_ref(), now: clock.now() };
            let answer = online::ask(&client, &ask, &mut gathered).await;
            let left = until.since(clock.monotonic());
            let why = match answer {
                Ok(verdict) if verdict.decision != GateAnswer::Unknown || left.is_zero() => {
                    if verdict.basis == Basis::Status {
                        eprintln!("matverse gate check: from the status of OmegaGate {}", verdict.gate);
                    }
                    return Ok(verdict);
                }
                Ok(verdict) => verdict.reasoning,
                Err(Failure::Passing(error)) if !left.is_zero() => format!("{error:#}"),
                Err(Failure::Passing(error) | Failure::Final(error)) => return Err(error),
            };
            if std::io::stderr().is_terminal() && why != said {
                eprintln!("waiting, at most {} s more: {why}", left.as_secs());
                said = why;
            }
            tokio::time::sleep(REST.min(left)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_times_are_checked_before_anything_is_asked() {
        assert_eq!(named("shop/cart"), Ok(("shop".into(), "cart".into())));
        for wrong in ["cart", "/cart", "shop/", "a/b/c", ""] {
            assert!(named(wrong).is_err(), "{wrong}");
        }
        assert_eq!(wait("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(wait("90s"), Ok(Duration::from_secs(90)));
        for wrong in ["10", "-5m", "soon", ""] {
            assert!(wait(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_an_admission_ends_well() {
        let code = |decision| {
            let unknown = Verdict::unknown("a/b".into(), Basis::File, None, "why");
            Verdict { decision, ..unknown }.exit_code()
        };
        let all = [GateAnswer::Admit, GateAnswer::Quarantine, GateAnswer::Block, GateAnswer::Unknown];
        assert_eq!(all.map(code), [0, 1, 1, 2]);
    }
}
