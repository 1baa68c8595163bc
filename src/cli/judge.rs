//! `matverse judge`: the sequential comparison on two columns of numbers.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::orient::Verdict;
use crate::orient::judge::{Judgement, Question, judge};

/// Judges a challenger against a baseline, as if looked at after every sample.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 NotWorse, 1 Worse, 2 Undecided, 3 no verdict: a file cannot be read or has a line \
    that is no number, or the answer cannot be written; 64 a wrong command line"
)]
pub struct Judge {
    /// File of the baseline's samples, one number a line
    #[arg(long, value_name = "FILE")]
    baseline: PathBuf,
    /// File of the challenger's; sample i of both arrived together
    #[arg(long, value_name = "FILE")]
    challenger: PathBuf,
    /// Which way is worse
    #[arg(long, value_enum, default_value_t = Worse::Higher)]
    worse: Worse,
    /// Relative difference that still counts as equal
    #[arg(long, default_value_t = 0.10, value_parser = margin)]
    margin: f64,
    /// Probability of a false alarm at any look
    #[arg(long, default_value_t = 0.05, value_parser = alpha)]
    alpha: f64,
    /// The numbers are counts of independent events a sample, or 0 and 1
    #[arg(long)]
    counts: bool,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Worse {
    Higher,
    Lower,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

fn margin(text: &str) -> Result<f64, String> {
    number(text, |m| (0.0..=100.0).contains(&m), "a share from 0 to 100")
}

fn alpha(text: &str) -> Result<f64, String> {
    number(text, |a| a > 0.0 && a < 1.0, "a probability above 0 and below 1")
}

fn number(text: &str, fits: impl Fn(f64) -> bool, wanted: &str) -> Result<f64, String> {
    text.parse().ok().filter(|n| fits(*n)).ok_or_else(|| format!("{text:?} is not {wanted}"))
}

impl Judge {
    /// Prints the verdict; the exit code says it too.
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self.answer() {
            Ok(Verdict::NotWorse) => ExitCode::SUCCESS,
            Ok(Verdict::Worse) => ExitCode::from(1),
            Ok(Verdict::Undecided) => ExitCode::from(2),
            Err(error) => {
                eprintln!("matverse judge: {error:#}");
                ExitCode::from(3)
            }
        }
    }

    fn answer(&self) -> Result<Verdict> {
        let (baseline, challenger) = (column(&self.baseline)?, column(&self.challenger)?);
        if baseline.len() != challenger.len() {
            eprintln!(
                "matverse judge: {} has {} samples and {} has {}; the first {} of both are judged",
                self.baseline.display(),
                baseline.len(),
                self.challenger.display(),
                challenger.len(),
                baseline.len().min(challenger.len()),
            );
        }
        if self.counts {
            whole(&self.baseline, &baseline)?;
            whole(&self.challenger, &challenger)?;
        }
        let pairs: Vec<(f64, f64)> = baseline.into_iter().zip(challenger).collect();
        let sign = if self.worse == Worse::Higher { 1.0 } else { -1.0 };
        let found =
            judge(&pairs, &Question { margin: self.margin, alpha: self.alpha, sign, counts: self.counts });
        super::tell(&match self.output {
            Output::Json => format!("{}\n", json!(found)),
            Output::Text => text(&found, pairs.len()),
        })?;
        Ok(found.verdict)
    }
}

/// Numbers of a file, one a line; empty lines at the end are allowed.
fn column(path: &Path) -> Result<Vec<f64>> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).context(name.clone())?;
    let mut values = Vec::new();
    for (i, line) in text.trim_end().lines().enumerate() {
        match line.trim().parse::<f64>() {
            Ok(value) if value.is_finite() => values.push(value),
            _ => bail!("{name}, line {}: {:?} is no finite number; one number a line is needed", i + 1, line),
        }
    }
    if values.is_empty() {
        bail!("{name}: no samples; one number a line is needed");
    }
    Ok(values)
}

/// Counts are whole numbers, 0 or more.
fn whole(path: &Path, values: &[f64]) -> Result<()> {
    match (1..).zip(values).find(|(_, value)| **value < 0.0 || value.fract() != 0.0) {
        Some((line, value)) => bail!("{}, line {line}: {value} is no count", path.display()),
        None => Ok(()),
    }
}

fn text(found: &Judgement, pairs: usize) -> String {
    let percent = |share: Option<f64>| share.map_or("?".to_owned(), |s| format!("{:+.1} %", 100.0 * s));
    let at = found.at.map_or("never".to_owned(), |at| format!("sample {at}"));
    let [low, high] = found.interval.map(percent);
    format!(
        "VERDICT   {:?}\nAT        {at} of {pairs}\nP         {:.3e}\nEFFECT    {} ({low} … {high})\n",
        found.verdict,
        found.p,
        percent(found.effect),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_names_file_and_line_of_what_is_no_number() {
        let dir = std::env::temp_dir().join(format!("matverse-judge-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = |text: &str| {
            let path = dir.join("column");
            std::fs::write(&path, text).unwrap();
            column(&path).map_err(|e| format!("{e:#}"))
        };
        assert_eq!(file("1\n 2.5 \n-3e2\n\n").unwrap(), [1.0, 2.5, -300.0]);
        assert!(file("1\nx\n").unwrap_err().contains("line 2"));
        assert!(file("1\nNaN\n").unwrap_err().contains("finite"));
        assert!(file("1\n\n2\n").unwrap_err().contains("line 2"));
        assert!(file("\n").unwrap_err().contains("no samples"));
        assert!(column(&dir.join("nothing")).is_err());
        assert!(whole(Path::new("f"), &[0.0, 3.0]).is_ok());
        assert!(whole(Path::new("f"), &[1.0, 2.5]).unwrap_err().to_string().contains("f, line 2"));
        assert!(whole(Path::new("f"), &[-1.0]).is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
