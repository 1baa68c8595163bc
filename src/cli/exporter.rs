//! `matverse exporter`: evidence events in, the metrics that a gate reads out.

use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::exporter::archive::Archive;
use crate::exporter::event::{Kind, Workload};
use crate::exporter::follow::Follower;
use crate::exporter::intake::{Intake, Rules};
use crate::exporter::server::{Bounds, Server};
use crate::exporter::window::{LARGEST, Settings};
use crate::exporter::{Exporter, metrics};
use crate::operator::clock::Clock;
use crate::operator::telemetry;
use crate::orient::beta::band;

/// How often a followed file is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Age of the newest event above which a server's scores are absent, unless told: that of a gate.
const MAX_AGE: u32 = 120;
/// Most words of a list, each looked for in each output, and the longest of them, bytes.
const WORDS: usize = 256;
const WORD: usize = 256;
/// Refused lines that `--once` shows.
const SHOWN: usize = 10;

/// Takes evidence over HTTP or from a file, and exposes Ω, Ψ and CVaR.
#[derive(Args, Debug)]
pub struct ExporterArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Port to listen on
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Seconds between two log lines of a workload
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// Events in a workload's window
    #[arg(long, default_value_t = 200, value_parser = window)]
    window: usize,
    /// Level of the tail
    #[arg(long, default_value_t = 0.95, value_parser = alpha)]
    alpha: f64,
    /// Reads what is there, prints one sample and ends
    #[arg(long)]
    once: bool,
    /// File of events, one JSON object a line; followed, or with --once read to its end (`-`: standard input)
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// File that each event's record is appended to
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
    /// The workload of events that name none
    #[arg(long, value_name = "NAMESPACE/NAME")]
    workload: Option<Workload>,
    /// Events a second that are taken over HTTP
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Most workloads at once
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max_workloads: u32,
    /// Age of the newest event, in seconds, above which scores are absent; 0 = never [default: 120, with --once never]
    #[arg(long, value_name = "SECONDS")]
    max_age: Option<u32>,
    /// Labelled outcomes below which calibration and contractivity are absent
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    min_samples: u32,
    /// File of the forbidden words, one a line, instead of the built-in ones
    #[arg(long, value_name = "FILE")]
    policy_words: Option<PathBuf>,
    /// Form of the sample of --once
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// The exposition format.
    Text,
    /// One JSON object.
    Json,
}

fn window(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| (1..=LARGEST).contains(n))
        .ok_or_else(|| format!("{text:?} is no number from 1 to {LARGEST}"))
}

fn alpha(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|a| *a > 0.0 && *a < 1.0)
        .ok_or_else(|| format!("{text:?} is not above 0 and below 1"))
}

impl ExporterArgs {
    /// Runs until SIGTERM or SIGINT, or once.
    pub async fn run(self) -> ExitCode {
        let done = if self.once { self.sample() } else { self.serve().await };
        match done {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(2),
            Err(error) => {
                eprintln!("matverse exporter: {error:#}");
                ExitCode::from(3)
            }
        }
    }

    fn exporter(&self) -> Result<Exporter> {
        let max_age = self.max_age.unwrap_or(if self.once { 0 } else { MAX_AGE });
        let settings = Settings {
            window: self.window,
            alpha: self.alpha,
            min_samples: self.min_samples as usize,
            max_age: (max_age > 0).then(|| SignedDuration::from_secs(max_age.into())),
        };
        let mut rules = Rules { settings, workload: self.workload.clone(), ..Rules::default() };
        rules.max_workloads = self.max_workloads as usize;
        if let Some(file) = &self.policy_words {
            rules.words = words(file)?;
        }
        let archive = match &self.records {
            None => None,
            Some(file) => Some(Archive::open(file).with_context(|| file.display().to_string())?),
        };
        Ok(Exporter::new(rules, archive, self.rate, Clock::system()))
    }

    /// Prints one sample; whether Ω is known of every workload, and of one at least.
    fn sample(&self) -> Result<bool> {
        let exporter = self.exporter()?;
        if let Some(file) = &self.from {
            read(&exporter, file)?;
        }
        let (text, known) = exporter.look(|intake, now| {
            let all = intake.workloads();
            let known = all.values().all(|kept| kept.window.figures(now).score.omega.is_some());
            let text = match self.output {
                Form::Text => metrics::render(intake, now).map_err(anyhow::Error::from),
                Form::Json => Ok(format!("{:#}\n", report(intake, now))),
            };
            (text, known && !all.is_empty())
        });
        super::tell(&text?)?;
        Ok(known)
    }

    async fn serve(&self) -> Result<bool> {
        if self.from.as_deref() == Some(Path::new("-")) {
            bail!("standard input is read with --once alone");
        }
        if let Err(error) = telemetry::init_logging() {
            eprintln!("matverse exporter: {error}");
        }
        let exporter = Arc::new(self.exporter()?);
        let bind = SocketAddr::new(self.bind, self.port);
        let server = Server::start(bind, Arc::clone(&exporter), Bounds::default())
            .await
            .with_context(|| format!("cannot listen on {bind}"))?;
        tracing::info!(address = %server.address, "listening");
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let following = self.from.clone().map(|file| tokio::spawn(follow(Arc::clone(&exporter), file)));
        let mut tick = tokio::time::interval(Duration::from_secs(self.interval));
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = tick.tick() => {
                    let exporter = Arc::clone(&exporter);
                    drop(tokio::task::spawn_blocking(move || log(&exporter)).await);
                }
            }
        }
        if let Some(task) = following {
            task.abort();
        }
        server.stop().await;
        Ok(true)
    }
}

/// One line a workload.
fn log(exporter: &Exporter) {
    exporter.look(|intake, now| {
        for (workload, kept) in intake.workloads() {
            let figures = kept.window.figures(now);
            let score = figures.score;
            tracing::info!(
                %workload,
                omega = score.omega,
                psi = score.psi,
                cvar = score.cvar,
                samples = score.samples,
                age = figures.age_seconds,
                stress = figures.stress,
                "evidence"
            );
        }
    });
}

/// Takes every line of a file; what is refused is said.
fn read(exporter: &Exporter, file: &Path) -> Result<()> {
    let path = if file == Path::new("-") { Path::new("/dev/stdin") } else { file };
    let (mut lines, mut refused, mut unwritten) = (0_u64, 0_usize, None);
    let mut sink = |line: &[u8], changed| {
        lines += 1;
        match exporter.take(line, changed) {
            Err(why) if why.kind == Kind::NotRecorded => {
                unwritten = Some(why.reason);
                return ControlFlow::Break(());
            }
            Err(why) => {
                refused += 1;
                if refused <= SHOWN {
                    eprintln!("{}: event {lines} is not taken: {why}", file.display());
                }
            }
            Ok(_) => {}
        }
        ControlFlow::Continue(())
    };
    Follower::new(path).whole(&mut sink).with_context(|| file.display().to_string())?;
    if refused > SHOWN {
        eprintln!("{}: {refused} of {lines} events were not taken", file.display());
    }
    unwritten.map_or(Ok(()), |why| bail!(why))
}

/// Follows a file for as long as the process lives.
async fn follow(exporter: Arc<Exporter>, file: PathBuf) {
    let mut follower = Follower::new(&file);
    let mut tick = tokio::time::interval(LOOK);
    let mut trouble = None;
    loop {
        tick.tick().await;
        let (exporter, shown) = (Arc::clone(&exporter), file.clone());
        let look = move || {
            let (mut notes, mut unwritten) = (Vec::new(), None);
            let mut sink = |line: &[u8], changed| match exporter.take(line, changed) {
                Err(why) if why.kind == Kind::NotRecorded => {
                    unwritten = Some(why.reason);
                    ControlFlow::Break(())
                }
                Err(why) => {
                    tracing::warn!(file = %shown.display(), reason = %why, "an event is not taken");
                    ControlFlow::Continue(())
                }
                Ok(_) => ControlFlow::Continue(()),
            };
            let done = follower.poll(&mut sink, &mut notes).map_err(|e| e.to_string());
            for note in notes {
                tracing::info!(file = %shown.display(), ?note, "followed");
            }
            (follower, unwritten.map_or(done, Err))
        };
        let Ok((back, done)) = tokio::task::spawn_blocking(look).await else { return };
        follower = back;
        // Said when it begins and not twice a second.
        if done.as_ref().err() != trouble.as_ref() {
            if let Err(error) = &done {
                tracing::error!(file = %file.display(), %error, "the file cannot be followed; trying again");
            }
            trouble = done.err();
        }
    }
}

/// Words of a file, one a line, in lower case; `#` begins a comment.
fn words(file: &Path) -> Result<Vec<String>> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).context(name.clone())?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim().to_lowercase());
    let words: Vec<String> = lines.filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        bail!("{name}: no words; one a line is needed");
    }
    if words.len() > WORDS || words.iter().any(|word| word.len() > WORD) {
        bail!("{name}: at most {WORDS} words of at most {WORD} bytes");
    }
    Ok(words)
}

/// All workloads; what is absent is null.
fn report(intake: &Intake, now: jiff::Timestamp) -> Value {
    let workloads = intake.workloads().iter().map(|(workload, kept)| {
        let figures = kept.window.figures(now);
        let beta = figures.resilience.beta;
        json!({
            "namespace": workload.namespace,
            "name": workload.name,
            "omega": figures.score.omega,
            "psi": figures.score.psi,
            "cvar": figures.score.cvar,
            "cvarInterval": figures.score.cvar.and_then(|_| kept.window.cvar_interval()),
            "samples": figures.score.samples,
            "ageSeconds": figures.age_seconds,
            "ece": figures.ece,
            "rhoBias": figures.rho_bias,
            "fairness": figures.fairness,
            "consent": figures.consent,
            "ecoKg": figures.eco_kg,
            "rho": figures.rho,
            "stress": figures.stress,
            "beta": beta.map(|b| json!({
                "value": b.value,
                "interval": [b.low, b.high],
                "episodes": b.episodes,
                "band": band(b.value).map(crate::orient::beta::Band::as_str),
            })),
            "convexity": figures.resilience.convexity,
            "evidenceHead": kept.head,
        })
    });
    let refused: serde_json::Map<String, Value> = Kind::ALL
        .into_iter()
        .filter(|kind| intake.refused(*kind) > 0)
        .map(|kind| (kind.as_str().to_owned(), intake.refused(kind).into()))
        .collect();
    json!({"workloads": workloads.collect::<Vec<_>>(), "refused": refused})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_one_a_line() {
        let file = std::env::temp_dir().join(format!("matverse-words-{}", std::process::id()));
        std::fs::write(&file, "# ours\nMalware # bad\n\n two words \n").unwrap();
        assert_eq!(words(&file).unwrap(), ["malware", "two words"]);
        std::fs::write(&file, "# none\n").unwrap();
        assert!(words(&file).unwrap_err().to_string().contains("no words"));
        std::fs::write(&file, "w\n".repeat(257)).unwrap();
        assert!(words(&file).unwrap_err().to_string().contains("at most 256"));
        std::fs::remove_file(&file).unwrap();
        assert!(words(&file).is_err());
    }

    #[test]
    fn bounds_of_the_flags() {
        assert_eq!(window("10000"), Ok(10_000));
        assert!(window("0").is_err() && window("10001").is_err() && window("x").is_err());
        assert!(alpha("0.9").is_ok() && alpha("1").is_err() && alpha("NaN").is_err());
    }
}
