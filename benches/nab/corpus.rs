//! The series of the benchmark: `data/FOLDER/FILE.csv` (`timestamp,value`) and `windows.json` beside it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// One labelled series.
pub struct Series {
    /// `FOLDER/FILE.csv`.
    pub name: String,
    pub times: Vec<Timestamp>,
    pub values: Vec<f64>,
    /// First and last index of each anomaly window.
    pub windows: Vec<(usize, usize)>,
}

impl Series {
    pub fn folder(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// Metrics of machines and services, as this product sees: the `CloudWatch` files and the two known causes
    /// among them.
    pub fn is_ops(&self) -> bool {
        const KNOWN: [&str; 2] =
            ["ec2_request_latency_system_failure", "cpu_utilization_asg_misconfiguration"];
        self.folder() == "realAWSCloudwatch" || KNOWN.iter().any(|known| self.name.contains(known))
    }
}

/// Every labelled series below `folder`, by name.
pub fn load(folder: &Path) -> anyhow::Result<Vec<Series>> {
    let labels = std::fs::read(folder.join("windows.json")).context("windows.json")?;
    let labels: BTreeMap<String, Vec<(String, String)>> = serde_json::from_slice(&labels)?;
    labels.into_iter().map(|(name, windows)| series(folder, &name, &windows).context(name)).collect()
}

fn series(folder: &Path, name: &str, windows: &[(String, String)]) -> anyhow::Result<Series> {
    let text = std::fs::read_to_string(folder.join("data").join(name))?;
    let (mut times, mut values) = (Vec::new(), Vec::new());
    for line in text.lines().skip(1) {
        let (time, value) = line.split_once(',').context("a line without a comma")?;
        times.push(timestamp(time)?);
        values.push(value.trim().parse()?);
    }
    let index = |text: &str| -> anyhow::Result<usize> {
        let time = timestamp(text)?;
        times.iter().position(|t| *t == time).with_context(|| format!("no sample at {text}"))
    };
    let windows = windows.iter().map(|(first, last)| Ok((index(first)?, index(last)?)));
    let windows = windows.collect::<anyhow::Result<_>>()?;
    Ok(Series { name: name.to_owned(), times, values, windows })
}

fn timestamp(text: &str) -> anyhow::Result<Timestamp> {
    Ok(text.trim().parse::<DateTime>()?.to_zoned(TimeZone::UTC)?.timestamp())
}
