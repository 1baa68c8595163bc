//! `matverse replay LEDGER`: every recorded decision, decided again.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::cli::ledger::source::{parse_keys, read_export};
use crate::cli::tell;
use crate::decide::POLICY_VERSION;
use crate::ledger::log::Log;
use crate::ledger::replay::{Again, Replayed, replay};
use crate::ledger::tiles;
use crate::ledger::verify::{Request, Saved, Signatures, read};

/// Bytes at the beginning of a file that tell what it is.
const LOOK: usize = 1 << 16;

/// What a path leads to.
pub enum Opened {
    /// The folder of an export, or saved `ConfigMaps`.
    Ledger(Vec<Saved>),
    /// Lines of readings, from the first on.
    Lines(BufReader<File>),
}

/// Opens a path and looks what is there. It is read once: of a pipe nothing comes a second time.
pub fn open(path: &Path) -> Result<Opened> {
    let name = path.display().to_string();
    if path.is_dir() {
        let (note, lines) = read_export(path)?;
        return Ok(Opened::Ledger(tiles::objects(note, &lines)));
    }
    let mut input = BufReader::with_capacity(LOOK, File::open(path).with_context(|| name.clone())?);
    if !saved(input.fill_buf().with_context(|| name.clone())?) {
        return Ok(Opened::Lines(input));
    }
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).with_context(|| name.clone())?;
    match read(&name, &bytes) {
        Ok(objects) => Ok(Opened::Ledger(objects)),
        Err(finding) => bail!("{}: {}", finding.at, finding.message),
    }
}

/// Whether this is the beginning of saved objects: they always speak of an apiVersion. A line of readings may too, in
/// its spec, but it has a time of its own.
fn saved(start: &[u8]) -> bool {
    let start = String::from_utf8_lossy(start);
    let first = start.trim_start().lines().next().unwrap_or_default();
    let line = serde_json::from_str::<Value>(first).is_ok_and(|line| line.get("time").is_some());
    start.contains("apiVersion") && !line
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
    let mut report = String::new();
    if json {
        for one in &all {
            report += &serde_json::to_string(one)?;
            report.push('\n');
        }
    } else {
        report = text(&all, diff);
    }
    tell(&report)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_objects_are_told_from_lines_by_their_beginning() {
        let line = r#"{"time":"2026-01-01T00:00:00Z","workload":"a/b","spec":{"targetRef":{"apiVersion":"apps/v1","name":"b"}}}"#;
        for lines in ["", "{", line, &format!("\n{line}\n{{"), r#"{"time":"yesterday"}"#] {
            assert!(!saved(lines.as_bytes()), "{lines}");
        }
        for ledger in [
            "apiVersion: v1\nkind: List\n",
            r#"{"apiVersion":"v1","kind":"ConfigMap"}"#,
            "{\n  \"apiVersion\": \"v1\"",
        ] {
            assert!(saved(ledger.as_bytes()), "{ledger}");
        }
    }
}
