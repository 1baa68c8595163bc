//! `matverse evolve`: challengers by seeded mutation, each through the league of a gate, one after the other.
//!
//! ```text
//!  seed ─► candidates ─► dry run of all ─► set one ─► wait for status.league ─► record ─┬─► the next
//!                                                                     Promoted ─► champion pointer
//! ```
//!
//! It decides nothing: the operator's league does. What is printed and kept is what the status said.

mod champion;
mod league;
pub mod runs;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use kube::Client;
use serde_json::json;

use crate::decide::evolve::{Candidate, Space, candidates};
use crate::operator::clock::Clock;
use league::League;
use runs::{Run, append};

/// Tries seeded candidates as challengers of a league.
#[derive(Args, Debug)]
pub struct Evolve {
    /// The OmegaGate whose league tries them
    #[arg(value_name = "NAMESPACE/GATE")]
    pub gate: String,
    /// How many distinct candidates
    #[arg(short, long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub n: u64,
    /// Time for all of them together, such as 90s, 30m or 2h
    #[arg(long, default_value = "30m", value_parser = duration)]
    pub budget: Duration,
    /// The same seed gives the same sequence
    #[arg(long)]
    pub seed: u64,
    /// YAML file that declares the parameters
    #[arg(long, value_name = "FILE")]
    pub parameters: Option<PathBuf>,
    /// The container that gets them, where the challenger has more than one
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// The API server checks every candidate, and nothing is written
    #[arg(long)]
    pub dry_run: bool,
    /// JSON lines that the records are appended to
    #[arg(long, value_name = "FILE", default_value = "matverse-runs.jsonl")]
    pub runs: PathBuf,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A line a candidate.
    Text,
    /// A JSON object a line.
    Json,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|d| Duration::try_from(d).ok());
    parsed.filter(|d| !d.is_zero()).ok_or_else(|| format!("{text:?} is no time such as 90s, 30m or 2h"))
}

/// `NAMESPACE/NAME` in two.
pub(super) fn split(text: &str) -> Result<(&str, &str)> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace, name))
        }
        _ => bail!("{text:?} is not NAMESPACE/NAME"),
    }
}

impl Evolve {
    /// Exit 0 when a candidate was promoted (or the dry run passed), 1 when none was, 3 on a failure.
    pub async fn run(self) -> ExitCode {
        let tried = async {
            let client = crate::operator::client::connect().await.context("no API server")?;
            self.with(&client, &Clock::system(), Duration::from_secs(2)).await
        };
        match tried.await {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(1),
            Err(error) => {
                eprintln!("matverse evolve: {error:#}");
                ExitCode::from(3)
            }
        }
    }

    fn candidates(&self) -> Result<Vec<Candidate>> {
        let space = match &self.parameters {
            None => Space::default(),
            Some(file) => {
                let name = file.display().to_string();
                let text = std::fs::read_to_string(file).context(name.clone())?;
                serde_saphyr::from_str::<Space>(&text).map_err(|error| anyhow::anyhow!("{name}: {error}"))?
            }
        };
        Ok(candidates(&space, self.n, self.seed)?)
    }

    /// The whole verb; `rest` passes between two looks at the status. Whether one was promoted, or, in a dry run, all
    /// would be accepted.
    ///
    /// # Errors
    /// A space that is none, no such gate or league, a candidate that the API server refuses, a file that cannot be
    /// written.
    pub async fn with(&self, client: &Client, clock: &Clock, rest: Duration) -> Result<bool> {
        let all = self.candidates()?;
        let (namespace, name) = split(&self.gate)?;
        let league = League::open(client, namespace, name, self.container.as_deref()).await?;
        for candidate in &all {
            let refused = || format!("candidate {}: the API server would refuse it", candidate.digest);
            league.set(candidate, true).await.with_context(refused)?;
        }
        if self.dry_run {
            for candidate in &all {
                self.say_candidate(candidate)?;
            }
            return Ok(true);
        }
        let deadline = clock.monotonic().plus(self.budget);
        let mut promoted = false;
        for candidate in &all {
            let ended = league.try_one(candidate, clock, deadline, rest).await?;
            let run = Run::new(&self.gate, self.seed, candidate, &ended, clock.now());
            append(&self.runs, &run)?;
            if ended.promoted() {
                promoted = true;
                champion::point(client, namespace, name, &run).await?;
            }
            self.say(&run)?;
        }
        Ok(promoted)
    }

    fn say_candidate(&self, candidate: &Candidate) -> io::Result<()> {
        match self.output {
            Output::Json => super::tell_line(json!(candidate)),
            Output::Text => {
                super::tell_line(format_args!("{}  {}", &candidate.digest[..12], parameters(candidate)))
            }
        }
    }

    fn say(&self, run: &Run) -> io::Result<()> {
        match self.output {
            Output::Json => super::tell_line(json!(run)),
            Output::Text => {
                let candidate =
                    Candidate { digest: run.candidate.clone(), parameters: run.parameters.clone() };
                super::tell_line(format_args!(
                    "{:<26}  {:<8}  {}  {}  {}",
                    run.id,
                    run.verdict.as_str(),
                    &run.candidate[..12],
                    parameters(&candidate),
                    run.reason
                ))
            }
        }
    }
}

fn parameters(candidate: &Candidate) -> String {
    let each: Vec<String> = candidate.parameters.iter().map(|(k, v)| format!("{k}={v}")).collect();
    each.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_names_are_read_or_refused() {
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert!(duration("0s").is_err() && duration("-5m").is_err() && duration("soon").is_err());
        assert_eq!(split("shop/cart").unwrap(), ("shop", "cart"));
        for wrong in ["cart", "/cart", "shop/", "a/b/c"] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }
}
