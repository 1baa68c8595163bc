//! `matverse replay`: lines of readings in, decisions out, with no cluster at all; or a ledger, decided again.

mod ledger;

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use self::ledger::Opened;
use crate::observe::profiles::Profile;
use crate::observe::reading::SignalName;
use crate::observe::sample::Limits;
use crate::operator::config::Config;
use crate::orient::original::Original;
use crate::simulate::door::line::{self, Line};
use crate::simulate::door::{Door, Given};

/// Reads lines of evidence and answers each with a decision.
#[derive(Args, Debug)]
pub struct Replay {
    /// A file of JSON lines, or `-` for standard input; the format is in docs/reference/replay.md. Or a ledger:
    /// saved ConfigMaps, or the folder of an export
    #[arg(value_name = "FILE|LEDGER")]
    file: PathBuf,
    /// Verifier key of the ledger; repeat it while keys overlap
    #[arg(long = "key", value_name = "VKEY")]
    keys: Vec<String>,
    /// Of a ledger: what the newest version of the policy decides otherwise than an older one did
    #[arg(long)]
    diff: bool,
    /// Of a ledger: one JSON line a decision
    #[arg(long)]
    json: bool,
    /// The operator's configuration; only its profiles and pools are read
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which predictor answers: ours with a decision, or the published one with its estimate alone
    #[arg(long, value_enum, default_value_t = Predictor::Adaptive)]
    predictor: Predictor,
}

/// The predictors that can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Predictor {
    /// The product's own.
    Adaptive,
    /// The published rule, for comparison.
    Original,
}

impl Replay {
    /// Runs to the end of the stream.
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self.replay() {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                eprintln!("matverse replay: {error:#}");
                ExitCode::from(3)
            }
        }
    }

    fn replay(self) -> Result<u8> {
        let input: Box<dyn BufRead> = if self.file == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            match ledger::open(&self.file)? {
                Opened::Ledger(objects) => return ledger::run(objects, &self.keys, self.diff, self.json),
                Opened::Lines(lines) => Box::new(lines),
            }
        };
        if self.diff || self.json || !self.keys.is_empty() {
            // A check that passes because it looked at nothing is worse than none.
            bail!(
                "{}: no ledger, and --key, --diff and --json are of one; give its saved ConfigMaps or an export's folder",
                self.file.display()
            );
        }
        let given = match &self.config {
            None => Given::default(),
            Some(path) => given(path)?,
        };
        let answered = match self.predictor {
            Predictor::Adaptive => adaptive(input, given),
            Predictor::Original => original(input),
        };
        match answered {
            // Whoever read the answers has gone: that is how a pipe ends.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
            other => Ok(other.map(|()| 0)?),
        }
    }
}

fn given(path: &Path) -> Result<Given> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let parts = match Config::offline(&text) {
        Ok(parts) => parts,
        Err(errors) => bail!("{}:\n{errors}", path.display()),
    };
    let limits = |profile: Profile| {
        let signal = |(name, d): (String, crate::observe::profiles::SignalDefinition)| {
            (SignalName::new(&name), Limits::of(&name, d.max_age_seconds, d.min, d.max))
        };
        profile.into_iter().map(signal).collect()
    };
    Ok(Given {
        profiles: parts.profiles.into_iter().map(|(name, profile)| (name, limits(profile))).collect(),
        pools: parts.pools,
    })
}

/// Each line as bytes: one that is no UTF-8 is a malformed line, not the end.
fn lines(
    input: impl BufRead,
    mut each: impl FnMut(&[u8], &mut Vec<u8>),
    end: impl FnOnce(&mut Vec<u8>),
) -> io::Result<()> {
    let mut output = io::stdout().lock();
    let mut out = Vec::new();
    for line in input.split(b'\n') {
        each(&line?, &mut out);
        output.write_all(&out)?;
        output.flush()?;
        out.clear();
    }
    end(&mut out);
    output.write_all(&out)?;
    output.flush()
}

fn adaptive(input: impl BufRead, given: Given) -> io::Result<()> {
    let door = std::cell::RefCell::new(Door::new(given));
    lines(input, |text, out| door.borrow_mut().line(text, out), |out| door.borrow_mut().end(out))
}

/// Order of the published state; latency is in seconds there.
const STATE: [&str; 5] = ["omega", "psi", "beta", "cpu", "latency"];

/// The published predictor's estimate after each line; a line without all five signals changes nothing.
fn original(input: impl BufRead) -> io::Result<()> {
    let mut filters: BTreeMap<String, Original> = BTreeMap::new();
    let mut number = 0_u64;
    let each = |text: &[u8], out: &mut Vec<u8>| {
        number += 1;
        if text.trim_ascii().is_empty() {
            return;
        }
        let answer = match line::read(text) {
            Ok(Line { end_of_tick: Some(true), .. }) => return,
            Ok(line) => estimate(&mut filters, &line),
            Err(error) => json!({"error": error, "line": number}),
        };
        out.extend_from_slice(answer.to_string().as_bytes());
        out.push(b'\n');
    };
    lines(input, each, |_| ())
}

fn estimate(filters: &mut BTreeMap<String, Original>, line: &Line) -> Value {
    let workload = line.workload.clone().unwrap_or_default();
    let filter = filters.entry(workload.clone()).or_default();
    let mut measured = [0.0; STATE.len()];
    let mut whole = true;
    for (value, name) in measured.iter_mut().zip(STATE) {
        match line.readings.get(&SignalName::new(name)) {
            Some(Some(sample)) => *value = sample.value,
            _ => whole = false,
        }
    }
    measured[4] /= 1000.0;
    let x = if whole { filter.step(measured) } else { filter.x };
    let estimate: BTreeMap<&str, f64> = STATE.into_iter().zip(x).collect();
    json!({"time": line.time, "workload": workload, "estimate": estimate, "updated": whole})
}
