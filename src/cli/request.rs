//! `matverse promote` and `matverse rollback`: requests of a person to the operator, who are told from each other by
//! the API server. The request is an annotation that names who asks; the operator acts on it, not this command.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use super::evolve::{runs, split};
use crate::api::OmegaGate;
use crate::operator::league::REQUEST;

/// Longest request that the admission policy lets pass.
const LONGEST: usize = 512;

/// Asks for the promotion of a run of the league.
#[derive(Args, Debug)]
pub struct Promote {
    /// Id of the run
    #[arg(value_name = "RUN", value_parser = word)]
    pub run: String,
    /// The OmegaGate; without it the records say which
    #[arg(long, value_name = "NAMESPACE/GATE")]
    pub gate: Option<String>,
    /// Records of `matverse evolve`
    #[arg(long, value_name = "FILE", default_value = "matverse-runs.jsonl")]
    pub runs: PathBuf,
}

/// Asks for the return to the last good champion.
#[derive(Args, Debug)]
pub struct Rollback {
    /// The OmegaGate
    #[arg(value_name = "NAMESPACE/GATE")]
    pub gate: String,
    /// Where to
    #[arg(long, value_name = "LAST_GOOD", value_parser = last_good)]
    pub to: String,
}

fn word(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if !text.is_empty() && text.len() <= 128 && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("a run's id is at most 128 letters, digits, -, . and _".into())
    }
}

fn last_good(text: &str) -> Result<String, String> {
    let is = ["LAST_GOOD", "last-good"].contains(&text);
    is.then(|| "last-good".to_owned()).ok_or_else(|| "LAST_GOOD is the one place to go back to".into())
}

fn ended(verb: &str, asked: Result<String>) -> ExitCode {
    match asked.and_then(|request| Ok(super::tell_line(format_args!("asked: {request}"))?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("matverse {verb}: {error:#}");
            ExitCode::from(3)
        }
    }
}

impl Promote {
    /// Exit 0 when it was asked, 3 when it could not be.
    pub async fn run(self) -> ExitCode {
        let asked = async {
            let client = crate::operator::client::connect().await.context("no API server")?;
            self.ask(&client).await
        };
        ended("promote", asked.await)
    }

    /// Puts the request on the gate; the request.
    ///
    /// # Errors
    /// No such run or gate, or the API server refuses.
    pub async fn ask(&self, client: &Client) -> Result<String> {
        let gate = match &self.gate {
            Some(gate) => gate.clone(),
            None => runs::find(&self.runs, &self.run)?.gate,
        };
        ask(client, &gate, &format!("promote {}", self.run)).await
    }
}

impl Rollback {
    /// Exit 0 when it was asked, 3 when it could not be.
    pub async fn run(self) -> ExitCode {
        let asked = async {
            let client = crate::operator::client::connect().await.context("no API server")?;
            self.ask(&client).await
        };
        ended("rollback", asked.await)
    }

    /// Puts the request on the gate; the request.
    ///
    /// # Errors
    /// No such gate, or the API server refuses.
    pub async fn ask(&self, client: &Client) -> Result<String> {
        ask(client, &self.gate, &format!("rollback {}", self.to)).await
    }
}

/// Asks in the name under which the API server knows the caller: admission refuses any other.
async fn ask(client: &Client, gate: &str, what: &str) -> Result<String> {
    let (namespace, name) = split(gate)?;
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await;
    let user = answer.context("who asks cannot be told")?.status.and_then(|status| status.user_info);
    let user = user.and_then(|user| user.username).context("the API server names no user")?;
    let request = format!("{what} by={user}");
    ensure!(request.len() <= LONGEST, "the request is longer than {LONGEST} bytes");
    let gates: Api<OmegaGate> = Api::namespaced(client.clone(), namespace);
    let body = json!({"metadata": {"annotations": {REQUEST: request}}});
    gates
        .patch_metadata(name, &PatchParams::default(), &Patch::Merge(&body))
        .await
        .with_context(|| format!("OmegaGate {gate}"))?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_word_is_a_run_and_only_the_last_good_a_place() {
        assert!(word("01ARYZ6S41TSV4RRFFQ69G5FAV").is_ok());
        for wrong in ["", "a b", "a by=root", "é", &"x".repeat(129)] {
            assert!(word(wrong).is_err(), "{wrong}");
        }
        assert_eq!(last_good("LAST_GOOD").unwrap(), "last-good");
        assert!(last_good("yesterday").is_err());
    }
}
