//! `matverse stress`: good, malformed and hostile events to an exporter, as an episode of stress.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::exporter::event::Workload;
use crate::exporter::score::WORDS;
use crate::simulate::chance::Chance;

/// Intensity from which on output is malformed, and above which it is hostile too.
const MALFORMED: f64 = 0.5;
const HOSTILE: f64 = 0.75;
/// How often an event is sent again that came too fast.
const TRIES: u32 = 20;
const TIMEOUT: Duration = Duration::from_secs(15);

/// Sends events at a chosen intensity, and says what they did to Ω.
#[derive(Args, Debug)]
pub struct Stress {
    /// Share of bad events; from .5 on their output is malformed, above .75 it has a forbidden word too
    #[arg(long, default_value_t = 0.9, value_parser = share)]
    intensity: f64,
    /// Events to send
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    events: u32,
    /// The exporter
    #[arg(long, default_value = "http://127.0.0.1:8000")]
    url: String,
    /// The workload under stress; else that of the exporter's --workload
    #[arg(long, value_name = "NAMESPACE/NAME")]
    workload: Option<Workload>,
    /// Seed of their order and shape
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The forbidden word, where the exporter has a list of its own
    #[arg(long, default_value = WORDS[0])]
    word: String,
    /// Form of the summary
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Json,
}

fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|s| (0.0..=1.0).contains(s))
        .ok_or_else(|| format!("{text:?} is no share from 0 to 1"))
}

/// What came of the run.
#[derive(Debug, Default, serde::Serialize)]
struct Summary {
    sent: u32,
    taken: u32,
    approved: u32,
    refused: u32,
    malformed: u32,
    hostile: u32,
    /// Mean Ψ of the events taken.
    psi: Option<f64>,
    /// Ω after the first and the last event taken; null while unknown.
    omega: [Option<f64>; 2],
    /// The first reason for a refusal.
    reason: Option<String>,
}

impl Stress {
    /// Sends them; exit 0 where all were taken, 1 where some were not, 3 where the exporter cannot be reached.
    pub async fn run(self) -> ExitCode {
        match self.said().await {
            Ok(refused) => ExitCode::from(u8::from(refused)),
            Err(error) => {
                eprintln!("matverse stress: {error:#}");
                ExitCode::from(3)
            }
        }
    }

    /// Whether some were refused.
    async fn said(&self) -> Result<bool> {
        let summary = self.send().await?;
        match self.output {
            Form::Json => super::tell_line(json!(summary))?,
            Form::Text => super::tell(&table(&summary))?,
        }
        Ok(summary.refused > 0)
    }

    async fn send(&self) -> Result<Summary> {
        let client = reqwest::Client::builder()
            .connect_timeout(TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        let url = format!("{}/v1/evidence", self.url.trim_end_matches('/'));
        let bar = progress(self.events);
        let bad = plan(self.intensity, self.events, self.seed);
        let mut chance = Chance::new(self.seed, 1);
        let mut summary = Summary::default();
        let mut psi = 0.0;
        for (n, bad) in bad.into_iter().enumerate() {
            let (malformed, hostile) = (bad && self.intensity >= MALFORMED, bad && self.intensity > HOSTILE);
            let event = self.event(n, malformed, hostile, &mut chance);
            let (status, answer) = post(&client, &url, &event).await.with_context(|| url.clone())?;
            summary.sent += 1;
            summary.malformed += u32::from(malformed);
            summary.hostile += u32::from(hostile);
            if status.is_success() {
                let omega = answer["omega"].as_f64();
                if summary.taken == 0 {
                    summary.omega[0] = omega;
                }
                summary.omega[1] = omega;
                summary.taken += 1;
                summary.approved += u32::from(answer["approved"] == true);
                psi += answer["psi"].as_f64().context("the answer has no psi: is it an exporter?")?;
                summary.psi = Some(psi / f64::from(summary.taken));
            } else {
                summary.refused += 1;
                let why = answer["error"].as_str().unwrap_or("no reason given");
                summary.reason.get_or_insert_with(|| format!("{status}: {why}"));
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(summary)
    }

    /// One event: a good one answers every key of its input, in JSON.
    fn event(&self, n: usize, malformed: bool, hostile: bool, chance: &mut Chance) -> Value {
        let input = json!({"request": n, "topic": "stress"});
        let mut output = input.to_string();
        // Drawn for every event, so that the shape of one does not hang on how many before it were bad.
        let shape = chance.below(3);
        if malformed {
            output = match shape {
                0 => output[..output.len() / 2].to_owned(),
                1 => format!("({output}\n\n"),
                _ => "}".repeat(8),
            };
        }
        if hostile {
            output.push(' ');
            output.push_str(&self.word);
        }
        let mut event = json!({
            "model": "matverse-stress",
            "input": input,
            "output": output,
            "context": null,
            "expectedFormat": "json",
            "stress": true,
            "intensity": self.intensity,
        });
        if let Some(workload) = &self.workload {
            event["workload"] = workload.to_string().into();
        }
        event
    }
}

/// Which events are bad: the share of the intensity, rounded up, in an order of the seed; none below .5.
fn plan(intensity: f64, events: u32, seed: u64) -> Vec<bool> {
    let bad =
        if intensity >= MALFORMED { libm::ceil(intensity * f64::from(events) - 1e-9) as u32 } else { 0 };
    let mut plan: Vec<bool> = (0..events).map(|n| n < bad).collect();
    let mut chance = Chance::new(seed, 0);
    for last in (1..plan.len()).rev() {
        plan.swap(last, chance.below(last + 1));
    }
    plan
}

/// The answer to one event; one that came too fast is sent again.
async fn post(client: &reqwest::Client, url: &str, event: &Value) -> Result<(StatusCode, Value)> {
    for _ in 0..TRIES {
        let answer = client.post(url).json(event).send().await?;
        let status = answer.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            tokio::time::sleep(Duration::from_millis(250)).await;
            continue;
        }
        let body = answer.json().await.unwrap_or_default();
        return Ok((status, body));
    }
    bail!("still too fast for the exporter's --rate; send fewer events at once")
}

/// A bar on a terminal, nothing elsewhere.
fn progress(events: u32) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(events.into());
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos} of {len} events, {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn table(s: &Summary) -> String {
    let number = |value: Option<f64>| value.map_or("unknown".to_owned(), |v| format!("{v:.3}"));
    let mut text = format!(
        "SENT        {}   malformed {}, hostile {}\n\
         TAKEN       {}   approved {}\n\
         REFUSED     {}\n\
         PSI         {}\n\
         OMEGA       {} → {}\n",
        s.sent,
        s.malformed,
        s.hostile,
        s.taken,
        s.approved,
        s.refused,
        number(s.psi),
        number(s.omega[0]),
        number(s.omega[1]),
    );
    if let Some(reason) = &s.reason {
        text += &format!("REASON      {reason}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exporter::event::read;

    fn stress(intensity: f64) -> Stress {
        Stress {
            intensity,
            events: 10,
            url: String::new(),
            workload: Some("shop/cart".parse().unwrap()),
            seed: 1,
            word: WORDS[0].to_owned(),
            output: Form::Text,
        }
    }

    fn worth(stress: &Stress, malformed: bool, hostile: bool) -> Vec<f64> {
        let words = [WORDS[0].to_owned()];
        let now = "2030-01-01T00:00:00Z".parse().unwrap();
        let mut chance = Chance::new(1, 1);
        (0..30)
            .map(|n| {
                let event = stress.event(n, malformed, hostile, &mut chance).to_string();
                let event = read(event.as_bytes(), &words, now).unwrap();
                assert!(event.stress.is_some() && event.workload.is_some());
                event.psi
            })
            .collect()
    }

    #[test]
    fn a_good_event_is_perfect_and_each_step_of_badness_costs() {
        let stress = stress(0.9);
        let (good, malformed, hostile) =
            (worth(&stress, false, false), worth(&stress, true, false), worth(&stress, true, true));
        assert!(good.iter().all(|psi| (psi - 1.0).abs() < 1e-12));
        assert!(malformed.iter().all(|psi| *psi < 0.65), "{malformed:?}");
        assert!(hostile.iter().zip(&malformed).all(|(h, m)| (m - h - 0.25).abs() < 1e-12), "{hostile:?}");
    }

    #[test]
    fn the_share_is_exact_and_the_order_is_the_seeds() {
        for (intensity, wanted) in [(0.0, 0), (0.49, 0), (0.5, 5), (0.51, 6), (0.9, 9), (1.0, 10)] {
            assert_eq!(plan(intensity, 10, 1).iter().filter(|bad| **bad).count(), wanted, "{intensity}");
        }
        assert_eq!(plan(0.5, 1, 7), [true]);
        assert_eq!(plan(0.5, 100, 3), plan(0.5, 100, 3));
        assert_ne!(plan(0.5, 100, 3), plan(0.5, 100, 4));
    }

    #[test]
    fn a_share_is_a_share() {
        assert!(
            share("0.9").is_ok() && share("1.1").is_err() && share("NaN").is_err() && share("-1").is_err()
        );
    }
}
