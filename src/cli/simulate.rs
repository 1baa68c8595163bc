//! `matverse simulate`: a story or a trace through the real decision code, with no cluster.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use plotters::prelude::*;

use crate::simulate::scenario::{NAMES, Policy, Row, Scenario};
use crate::simulate::score::Worth;

/// Runs a story, or a trace of requests per minute, through the decision code in a cluster in memory.
#[derive(Args, Debug)]
pub struct Simulate {
    /// A story (steady, step, rush, bad-revision, crash-loop, slow-node, blind), or a CSV file: one row a minute,
    /// one column a service
    story: String,
    /// Pods that the services of a trace share; three a service unless given
    #[arg(long, value_name = "N")]
    quota: Option<i32>,
    /// Who scales
    #[arg(long, value_enum, default_value_t = Who::Matverse)]
    policy: Who,
    /// A MatVerseScaling spec (YAML or JSON) instead of the story's own
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    /// Ticks by which every measurement is late
    #[arg(long, value_name = "N", default_value_t = 0)]
    delay: usize,
    /// Seed of every draw
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Form of the report
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
    /// Draws counts, load and latency of the first services as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// Form of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A table.
    Text,
    /// One JSON object.
    Json,
}

/// Policies by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Who {
    /// The product.
    Matverse,
    /// The quota divided equally.
    Fairshare,
    /// Additive increase, additive decrease.
    Aiad,
    /// The HPA's rule at cpu 70 %.
    Hpa,
    /// Threshold rules.
    Thresholds,
}

impl Who {
    fn policy(self) -> Policy {
        match self {
            Self::Matverse => Policy::Ours,
            Self::Fairshare => Policy::FairShare,
            Self::Aiad => Policy::Aiad,
            Self::Hpa => Policy::Hpa(70),
            Self::Thresholds => Policy::Thresholds,
        }
    }
}

impl Simulate {
    /// Runs it to its end.
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self.simulate() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("matverse simulate: {error:#}");
                ExitCode::from(3)
            }
        }
    }

    fn simulate(&self) -> Result<()> {
        let mut scenario = self.scenario()?;
        scenario.delay = self.delay;
        let spec = match &self.spec {
            None => scenario.spec()?,
            Some(_) if self.policy != Who::Matverse => {
                bail!("--spec is for matverse; no other --policy reads it")
            }
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
                serde_saphyr::from_str(&text).with_context(|| path.display().to_string())?
            }
        };
        let bar = progress(&scenario);
        let mut rows: Vec<Row> = Vec::new();
        let worth = scenario
            .run(self.policy.policy(), &spec, &mut |tick| {
                bar.set_position(tick.first().map_or(0, |row| row.at as u64));
                rows.extend_from_slice(tick);
            })
            .map_err(|why| {
                let why = anyhow!(why.join("; "));
                self.spec.iter().fold(why, |why, path| why.context(path.display().to_string()))
            })?;
        bar.finish_and_clear();
        let report = match self.output {
            Form::Text => table(&scenario, &rows, &worth),
            Form::Json => {
                let acts: Vec<&Row> = rows.iter().filter(|row| row.action != "Noop").collect();
                let report = serde_json::json!({
                    "scenario": scenario.name,
                    "policy": self.policy.policy().name(),
                    "seed": self.seed,
                    "worth": worth,
                    "acts": acts,
                });
                serde_json::to_string_pretty(&report)? + "\n"
            }
        };
        super::tell(&report)?;
        if let Some(path) = &self.plot {
            plot(path, &scenario, &rows).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    fn scenario(&self) -> Result<Scenario> {
        if let Some(story) = Scenario::named(&self.story, self.seed) {
            if self.quota.is_some() {
                bail!("--quota is for a trace; {} has its own", self.story);
            }
            return Ok(story);
        }
        let path = Path::new(&self.story);
        if !path.exists() {
            bail!("{} is neither a file nor one of: {}", self.story, NAMES.join(", "));
        }
        let text = std::fs::read_to_string(path).with_context(|| self.story.clone())?;
        let trace = trace(&text).with_context(|| self.story.clone())?;
        let services = i32::try_from(trace.len())?;
        let quota = self.quota.unwrap_or(3 * services);
        if quota < services {
            bail!("--quota {quota}: {} has {services} services, and each keeps a pod", self.story);
        }
        let name = path.file_stem().map_or_else(|| self.story.clone(), |s| s.to_string_lossy().into_owned());
        Ok(Scenario::shared(&name, trace, quota, self.seed))
    }
}

/// Requests of each minute, one list a service; the first row names the services, the first column the minute.
fn trace(text: &str) -> Result<Vec<Vec<u32>>> {
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let (n, header) = lines.next().context("empty: a header is needed, and one row a minute")?;
    if header.split(',').all(|name| number(name).is_some()) {
        bail!("line {n}: numbers where the header should name the minute and the services");
    }
    let services = header.split(',').count() - 1;
    let mut trace = vec![Vec::new(); services];
    let mut before: Option<f64> = None;
    for (n, line) in lines {
        let fields: Vec<&str> = line.split(',').collect();
        if fields.len() != services + 1 {
            bail!("line {n}: {} columns where the header has {}", fields.len(), services + 1);
        }
        let minute = minute(fields[0]).with_context(|| format!("line {n}: {:?} is no minute", fields[0]))?;
        if before.is_some_and(|before| minute <= before) {
            bail!(
                "line {n}: minute {} is not later than the one before; one row a minute, in order",
                fields[0]
            );
        }
        before = Some(minute);
        for (service, count) in trace.iter_mut().zip(&fields[1..]) {
            let requests = number(count).filter(|count| (0.0..=1e7).contains(count));
            let requests =
                requests.with_context(|| format!("line {n}: {count:?} is no number of requests"))?;
            service.push(requests.round() as u32);
        }
    }
    if trace.first().is_none_or(Vec::is_empty) {
        bail!("no row with a number of requests");
    }
    Ok(trace)
}

/// A minute by its number, or by its time of day and date.
fn minute(text: &str) -> Option<f64> {
    let text = text.trim();
    let time = || {
        text.parse().or_else(|_| text.parse::<DateTime>()?.to_zoned(TimeZone::UTC).map(|at| at.timestamp()))
    };
    number(text).or_else(|| time().ok().map(|at: Timestamp| at.as_second() as f64 / 60.0))
}

/// A finite number.
fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// A bar on a terminal, nothing elsewhere.
fn progress(scenario: &Scenario) -> ProgressBar {
    let seconds = 60 * scenario.plan.trace.first().map_or(0, Vec::len) as u64;
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(seconds);
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent}% of the run, {eta} left") {
        bar.set_style(style);
    }
    bar.set_message(scenario.name.clone());
    bar
}

/// The acts, and what the run was worth.
fn table(scenario: &Scenario, rows: &[Row], worth: &Worth) -> String {
    let mut text = format!("{}: {}\n\n", scenario.name, scenario.about);
    text += &format!(
        "{:>7} {:>7} {:>8} {:>9} {:>6} {:>9}  {:9} WHY\n",
        "TIME", "SERVICE", "REQ/S", "P95 MS", "READY", "DESIRED", "ACTION"
    );
    for row in rows.iter().filter(|row| row.action != "Noop") {
        let p95 = row.p95.map_or_else(|| "-".to_owned(), |p95| format!("{p95:.0}"));
        let desired = format!("{} → {}", row.desired[0], row.desired[1]);
        let clock = format!("{}:{:02}", row.at as u64 / 60, row.at as u64 % 60);
        text += &format!(
            "{clock:>7} {:>7} {:>8.1} {p95:>9} {:>6} {desired:>9}  {:9} {}\n",
            row.service, row.throughput, row.ready, row.action, row.why
        );
    }
    text += &format!(
        "\nviolation {:.4}   lost utility {:.3}   replica hours {:.1}   acts an hour {:.1}\n",
        worth.violation, worth.lost_utility, worth.replica_hours, worth.actions_an_hour
    );
    text
}

/// Services drawn at most.
const DRAWN: usize = 4;

/// One panel a service: load and objective-relative latency over the counts.
fn plot(path: &Path, scenario: &Scenario, rows: &[Row]) -> Result<()> {
    let services = scenario.plan.trace.len().min(DRAWN);
    let root = SVGBackend::new(path, (960, 240 * services as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let end = rows.last().map_or(1.0, |row| row.at) / 60.0;
    for (service, area) in root.split_evenly((services, 1)).iter().enumerate() {
        let own: Vec<&Row> = rows.iter().filter(|row| row.service == service).collect();
        let most = own.iter().map(|row| row.desired[1].max(row.ready)).max().unwrap_or(1) + 1;
        let load = own.iter().map(|row| row.throughput).fold(1.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .caption(format!("service {service}"), ("sans-serif", 14))
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(36)
            .build_cartesian_2d(0.0..end, 0.0..f64::from(most))?;
        chart.configure_mesh().x_desc("minutes").y_desc("replicas").draw()?;
        let line = |of: fn(&Row) -> f64| own.iter().map(|row| (row.at / 60.0, of(row))).collect::<Vec<_>>();
        let scaled: Vec<(f64, f64)> =
            own.iter().map(|row| (row.at / 60.0, row.throughput / load * f64::from(most))).collect();
        chart
            .draw_series(LineSeries::new(scaled, RGBColor(170, 170, 170)))?
            .label("load, scaled")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 14, y)], RGBColor(170, 170, 170)));
        chart
            .draw_series(LineSeries::new(line(|row| f64::from(row.desired[1])), BLUE))?
            .label("desired")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 14, y)], BLUE));
        chart
            .draw_series(LineSeries::new(line(|row| f64::from(row.ready)), GREEN))?
            .label("ready")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 14, y)], GREEN));
        let late = own
            .iter()
            .filter(|row| row.p95.is_some_and(|p95| p95 > scenario.objective))
            .map(|row| Circle::new((row.at / 60.0, 0.1), 2, RED.filled()));
        chart
            .draw_series(late)?
            .label("p95 above the objective")
            .legend(|(x, y)| Circle::new((x + 7, y), 2, RED.filled()));
        chart.configure_series_labels().border_style(BLACK).background_style(WHITE.mix(0.8)).draw()?;
    }
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_by_column_and_refused_by_line() {
        assert_eq!(trace("minute,a,b\n0,1,2\n1,3,4\n").unwrap(), [[1, 3], [2, 4]]);
        for (bad, part) in [
            ("m,a\n0,x\n", "line 2"),
            ("m,a\n0,-1\n", "line 2"),
            ("m,a,b\n0,1,2\n1,3\n", "line 3: 2 columns where the header has 3"),
            ("m,a\n0,1,2\n", "line 2: 3 columns where the header has 2"),
            ("0,1\n1,2\n", "line 1: numbers where the header"),
            ("m,a\n0,1\n\n0,1\n", "line 4: minute 0 is not later"),
            ("m,a\n1,1\n0,1\n", "line 3: minute 0 is not later"),
            (
                "m,a\n2026-01-01 00:01:00,1\n2026-01-01 00:01:00,1\n",
                "line 3: minute 2026-01-01 00:01:00 is not",
            ),
            ("m,a\n2026-01-01T00:01:00Z,1\n2026-01-01T00:00:00Z,1\n", "line 3"),
            ("m,a\nnoon,1\n", "line 2: \"noon\" is no minute"),
            ("", "empty"),
            ("m\n0\n", "no row"),
        ] {
            let error = format!("{:#}", trace(bad).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(
            trace("period,count\n1998-04-30 21:30:00,2\n1998-04-30 21:32:00,11\n").unwrap(),
            [[2, 11]]
        );
        assert!(trace("minute,a\n").is_err());
    }

    #[test]
    fn every_story_runs_and_its_table_and_plot_say_so() {
        for name in NAMES {
            let mut scenario = Scenario::named(name, 1).unwrap();
            scenario.plan.trace[0].truncate(28);
            let (spec, mut rows) = (scenario.spec().unwrap(), Vec::new());
            let worth = scenario.run(Policy::Ours, &spec, &mut |tick| rows.extend_from_slice(tick)).unwrap();
            assert_eq!(rows.len(), 28 * 60 / scenario.plan.tick as usize);
            let text = table(&scenario, &rows, &worth);
            assert!(text.contains("lost utility") && text.lines().count() >= 5, "{text}");
            let file = std::env::temp_dir().join(format!("matverse-{name}-{}.svg", std::process::id()));
            plot(&file, &scenario, &rows).unwrap();
            let svg = std::fs::read_to_string(&file).unwrap();
            std::fs::remove_file(&file).unwrap();
            assert!(svg.starts_with("<svg") && svg.contains("desired"));
        }
    }
}
