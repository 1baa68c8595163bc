//! `matverse ledger verify`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};

use super::source::Source;
use super::target::VerifyTarget;
use crate::cli::{tell, tell_line};
use crate::ledger::keys::VerifierKey;
use crate::ledger::proof::Proof;
use crate::ledger::verify::{Finding, Report, Request, Severity, Signatures, Verdict, verify};
use crate::ledger::witness::cosigned_at;
use crate::operator::policies::{self, Unproven};

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Verify {
    #[command(subcommand)]
    of: Option<Of>,
    #[command(flatten)]
    source: Source,
    /// A proof that `prove` wrote, instead of a ledger.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "cluster", "since", "archive"])]
    proof: Option<PathBuf>,
    /// An older checkpoint (a signed note) that the ledger must continue.
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// Key of a witness who must have cosigned the older checkpoint, or that of the proof.
    #[arg(long, value_name = "VKEY")]
    witness: Option<String>,
    /// Which signatures are checked.
    #[arg(long, value_enum, default_value_t = Which::All)]
    signatures: Which,
    /// Form of the report.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Something else than a whole ledger.
#[derive(Debug, Subcommand)]
enum Of {
    /// What the annotations of a Deployment are worth: VALID, STALE, FORGED or EXTERNAL.
    Target(VerifyTarget),
}

/// Which signatures are checked.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Which {
    /// The checkpoint's and every entry's.
    All,
    /// The checkpoint's; entries' only where the root does not match.
    Checkpoint,
}

/// Form of the report.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Verify {
    /// Verifies; the exit code of the verdict.
    ///
    /// # Errors
    /// Usage, or input that cannot be read.
    pub async fn run(&self) -> Result<u8> {
        if let Some(Of::Target(target)) = &self.of {
            return target.run().await;
        }
        let witness = self.witness.as_ref();
        let witness = witness
            .map(|key| VerifierKey::parse_witness(key.trim()).with_context(|| format!("--witness {key:?}")))
            .transpose()?;
        if let Some(path) = &self.proof {
            return self.proof(path, witness.as_ref());
        }
        let given = self.source.read().await?;
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).with_context(|| format!("--since {}", path.display()))
        };
        let since = self.since.as_ref().map(read).transpose()?;
        let mut damaged = given.damaged;
        if let Some(witness) = &witness {
            let note = since.as_ref().context("--witness is asked about the checkpoint of --since")?;
            if let Err(error) = cosigned_at(note, witness) {
                damaged.push(Finding::tampered("older checkpoint", error.to_string()));
            }
        }
        let signatures = match self.signatures {
            Which::All => Signatures::All,
            Which::Checkpoint => Signatures::Checkpoint,
        };
        let keys = self.source.keys()?;
        let mut report = verify(&Request { objects: given.objects, keys, since, now: given.now, signatures });
        if !damaged.is_empty() {
            // What a damaged file held counts as missing besides; the damage is what matters.
            report.verdict = Verdict::Tampered;
            report.findings.splice(0..0, damaged);
        }
        if self.source.cluster {
            self.policies(&mut report).await?;
        }
        match self.output {
            Output::Json => tell_line(serde_json::to_string_pretty(&report)?)?,
            Output::Text => tell(&text(&report))?,
        }
        Ok(report.verdict.exit_code())
    }

    /// Whether the admission policies refuse what they must; an auditor without the right to ask is not told.
    async fn policies(&self, report: &mut Report) -> Result<()> {
        let client = crate::operator::client::connect().await.context("no cluster")?;
        match policies::prove(&client, &self.source.namespace).await {
            Ok(policy) => report.policies = format!("{policy} refused a write, as it must"),
            Err(Unproven::Unclear(why)) => report.policies = format!("not checked: {why}"),
            Err(Unproven::Missing(why)) => {
                "missing".clone_into(&mut report.policies);
                report.findings.push(Finding::incomplete("policies", why));
                if report.verdict == Verdict::Good {
                    report.verdict = Verdict::Incomplete;
                }
            }
        }
        Ok(())
    }

    fn proof(&self, path: &PathBuf, witness: Option<&VerifierKey>) -> Result<u8> {
        let keys = self.source.keys()?;
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let checked = Proof::parse(&String::from_utf8_lossy(&bytes)).and_then(|proof| {
            let signed = proof.verify(&keys)?;
            let at = witness.map(|witness| cosigned_at(signed.note(), witness)).transpose()?;
            Ok((proof, signed, at))
        });
        match checked {
            Ok((proof, signed, cosigned)) => {
                let stated = signed.checkpoint();
                tell_line(format_args!(
                    "entry {} of {} is in the tree of {} entries",
                    proof.index, stated.origin, stated.size
                ))?;
                if let Some(at) = cosigned {
                    tell_line(format_args!("cosigned at {at}"))?;
                }
                tell_line(&proof.entry)?;
                Ok(0)
            }
            Err(error) => {
                tell_line(format_args!("{}: {error}", path.display()))?;
                Ok(1)
            }
        }
    }
}

/// The report for people.
fn text(report: &Report) -> String {
    let verdict = match report.verdict {
        Verdict::Good => "good",
        Verdict::Tampered => "TAMPERED",
        Verdict::Incomplete => "incomplete",
    };
    let mut text = format!("ledger {}: {verdict}\n", report.origin.as_deref().unwrap_or("(unknown)"));
    for finding in &report.findings {
        let severity = match finding.severity {
            Severity::Tampered => "tampered  ",
            Severity::Incomplete => "incomplete",
        };
        let index = match finding.index {
            Some(index) if !finding.at.starts_with("entry") => format!(" (entry {index})"),
            _ => String::new(),
        };
        text += &format!("  {severity} {}{index}: {}\n", finding.at, finding.message);
    }
    if let (Some(size), Some(root)) = (report.size, &report.root) {
        text += &format!("  checkpoint  {size} entries, root {root}\n");
    }
    text + &format!(
        "  seen        {} entries in {} segments and the tail: {} intents, {} outcomes, {} open\n  \
         signatures  {} of entries checked\n  older       {}\n  policies    {}\n",
        report.entries,
        report.segments,
        report.intents,
        report.outcomes,
        report.open,
        report.signatures,
        report.since,
        report.policies
    )
}
