//! `matverse replay LEDGER`: every recorded decision, decided again.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::cli::ledger::source::{parse_keys, read_export};
use crate::decide::POLICY_VERSION;
use crate::ledger::log::Log;
use crate::ledger::replay::{Again, Replayed, replay};
use crate::ledger::tiles;
use crate::ledger::verify::{Request, Saved, Signatures, read};

/// A ledger, where `path` holds one: the folder of an export, or saved ConfigMaps.
pub fn ledger_in(path: &Path) -> Result<Option<Vec<Saved>>> {
    let name = path.display().to_string();
    if path.is_dir() {
        let (note, lines) = read_export(path)?;
        return Ok(Some(tiles::objects(note, &lines)));
    }
    let bytes = std::fs::read(path).with_context(|| name.clone())?;
    // Lines of readings never speak of an apiVersion, and saved objects always do.
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).into_owned();
    if !start.contains("apiVersion") {
        return Ok(None);
    }
    match read(&name, &bytes) {
        Ok(objects) => Ok(Some(objects)),
        Err(finding) => anyhow::bail!("{}: {}", finding.at, finding.message),
    }
}

/// Decides again, each by the version of the rules that is recorded. Exit code 0: every decision came out the same; 1: one
/// did not, or the ledger does not verify; 2: rules that this build does not know decided some, and `diff` was not asked for.
pub fn run(objects: Vec<Saved>, keys: &[String], diff: bool, json: bool) -> Result<u8> {
    ensure!(!keys.is_empty(), "a ledger is replayed under its verifier key: --key");
    let request = Request {
        objects,
        keys: parse_keys(keys)?,
        signatures: Signatures::Checkpoint,
        ..Request::default()
    };
    let log = match Log::open(&request) {
        Ok(log) => log,
        Err(report) => {
            for finding in &report.findings {
                eprintln!("matverse replay: {}: {}", finding.at, finding.message);
            }
            return Ok(report.verdict.exit_code().max(1));
        }
    };
    let all = replay(0, &log.lines).map_err(|(index, why)| anyhow::anyhow!("entry {index}: {why}"))?;
    if json {
        for one in &all {
            println!("{}", serde_json::to_string(one)?);
        }
    } else {
        print!("{}", text(&all, diff));
    }
    let differs = all.iter().any(|one| matches!(one.again, Again::Differs { .. }));
    let other = all.iter().any(|one| matches!(one.again, Again::OtherPolicy { .. }));
    Ok(if differs { 1 } else { u8::from(other && !diff) * 2 })
}

fn text(all: &[Replayed], diff: bool) -> String {
    let (mut text, mut same, mut older, mut unknown, mut changed) = (String::new(), 0, 0, 0, 0);
    for one in all {
        older += u64::from(one.policy_version < POLICY_VERSION);
        let newest = one.newest.as_ref().map(|newest| (&newest.fields, &newest.decision));
        let otherwise = match &one.again {
            Again::Same => {
                same += 1;
                newest
            }
            Again::Differs { fields } => {
                text += &format!("  entry {}: decided otherwise ({})\n", one.index, fields.join(", "));
                text += &format!("    then {}\n    now  {}\n", one.then, one.now);
                newest
            }
            Again::OtherPolicy { fields, .. } => {
                unknown += 1;
                (!fields.is_empty()).then_some((fields, &one.now))
            }
        };
        let Some((fields, now)) = otherwise else { continue };
        changed += u64::from(fields.iter().any(|field| ["action", "plan"].contains(field)));
        if diff {
            let (version, fields) = (one.policy_version, fields.join(", "));
            text += &format!("  entry {}: policy {version} decided otherwise ({fields})\n", one.index);
            text += &format!("    then {}\n    now  {now}\n", one.then);
        }
    }
    let mut summary = format!("{} decisions, {same} the same in every bit", all.len());
    if older > 0 {
        summary += &format!(", {older} by an older version of the policy than {POLICY_VERSION}");
    }
    if unknown > 0 {
        summary += &format!(", {unknown} by a version that is not known here");
    }
    if older + unknown > 0 {
        summary += &if diff {
            format!(", {changed} of which would be another act")
        } else {
            "; --diff compares those with the newest".to_owned()
        };
    }
    format!("{summary}\n{text}")
}
