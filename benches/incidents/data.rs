//! The shop's files: one row a point, one column a service, metric and statistic, in the order of time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Share of a point that must lie in the incident for it to count as one of its points.
const MOSTLY: f64 = 0.5;

/// What one service shows in one period, in the units of signals; `None` where nothing was measured.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// End of the period, unix seconds: what is known of it is known then.
    pub at: f64,
    /// ms.
    pub latency: Option<f64>,
    /// Requests a second.
    pub throughput: Option<f64>,
    /// Share of failed requests.
    pub errors: Option<f64>,
}

/// A file.
pub struct Table {
    times: Vec<f64>,
    period: f64,
    columns: BTreeMap<(String, String, String), Vec<Option<f64>>>,
}

impl Table {
    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let mut rows = text.lines().map(|line| line.split(',').map(str::trim).collect::<Vec<_>>());
        let mut head = || rows.next().context("a header of four rows");
        let (services, metrics, statistics) = (head()?, head()?, head()?);
        head()?;
        let rows: Vec<Vec<&str>> = rows.filter(|row| row.len() == services.len()).collect();
        let times: Vec<f64> = rows.iter().map(|row| Ok(row[0].parse()?)).collect::<Result<_>>()?;
        let mut gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort_by(f64::total_cmp);
        let period = *gaps.get(gaps.len() / 2).context("two rows at least")?;
        let column =
            |i: usize| rows.iter().map(|row| row[i].parse().ok().filter(|v: &f64| v.is_finite())).collect();
        let columns = (1..services.len())
            .map(|i| ((services[i].into(), metrics[i].into(), statistics[i].into()), column(i)))
            .collect();
        Ok(Self { times, period, columns })
    }

    /// Services with a latency.
    pub fn services(&self) -> Vec<String> {
        let mut all: Vec<String> =
            self.columns.keys().filter(|key| key.1 == "latency").map(|key| key.0.clone()).collect();
        all.dedup();
        all
    }

    /// The points of one service; `statistic` chooses the latency.
    pub fn points(&self, service: &str, statistic: &str) -> Vec<Point> {
        let column = |metric: &str, statistic: &str| {
            self.columns.get(&(service.into(), metric.into(), statistic.into()))
        };
        let (latency, requests, available) =
            (column("latency", statistic), column("requests", "Sum"), column("availability", "Average"));
        let value = |column: Option<&Vec<Option<f64>>>, i: usize| column.and_then(|c| c[i]);
        (0..self.times.len())
            .map(|i| Point {
                at: self.times[i] + self.period,
                latency: value(latency, i).map(|s| 1000.0 * s),
                throughput: value(requests, i).map(|n| n / self.period),
                errors: value(available, i).map(|percent| (1.0 - percent / 100.0).clamp(0.0, 1.0)),
            })
            .collect()
    }
}

/// What was done to the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A bug that sleeps or fails, released.
    Deployed,
    /// A parameter changed.
    Parameter,
    /// Requests beyond what it carries.
    Flood,
}

/// One injected incident.
pub struct Incident {
    pub name: String,
    pub kind: Kind,
    /// Unix seconds.
    pub began: f64,
    /// The service whose objective broke, and the one at fault.
    pub shown_at: String,
    pub caused_by: String,
    /// Traffic of the scenario, as its folder is called.
    pub traffic: String,
    pub table: Table,
}

impl Incident {
    fn read(folder: &Path, root: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(folder.join("target.json"))?;
        let said: Value = serde_json::from_str(&text)?;
        let word = |pointer: &str| said.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let name = folder.strip_prefix(root).unwrap_or(folder).display().to_string();
        let command = word("/metadata/reproducibility/command").unwrap_or_default();
        Ok(Self {
            kind: kind(&command),
            began: said.pointer("/target/timestamp").and_then(Value::as_f64).context("target.timestamp")?,
            shown_at: word("/target/node").context("target.node")?,
            caused_by: word("/root_cause/node").context("root_cause.node")?,
            traffic: name.split('/').next().unwrap_or_default().to_owned(),
            table: Table::read(&folder.join("metrics.csv"))?,
            name,
        })
    }

    /// Index of its first point.
    pub fn first(&self) -> Option<usize> {
        let bar = self.began + MOSTLY * self.table.period;
        (0..self.table.times.len()).find(|i| self.table.times[*i] + self.table.period >= bar)
    }

    /// Seconds between points.
    pub fn period(&self) -> f64 {
        self.table.period
    }
}

fn kind(command: &str) -> Kind {
    let has = |words: &[&str]| words.iter().any(|word| command.contains(word));
    if has(&["put-parameter", "configmap", "update-table", "modify-"]) {
        Kind::Parameter
    } else if has(&["desired-count", "traffic", "locust", "requests", "--rate"]) {
        Kind::Flood
    } else {
        Kind::Deployed
    }
}

/// Everything in a folder.
pub struct Shop {
    pub incidents: Vec<Incident>,
    /// Normal operation, by file name.
    pub normal: Vec<(String, Table)>,
}

impl Shop {
    pub fn read(data: &Path) -> Result<Self> {
        let inner = data.join("petshop");
        let root = if inner.is_dir() { inner } else { data.to_owned() };
        let (mut folders, mut files) = (Vec::new(), Vec::new());
        walk(&root, &mut folders, &mut files)?;
        let incidents =
            folders.iter().map(|folder| Incident::read(folder, &root)).collect::<Result<Vec<_>>>()?;
        let name = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let normal =
            files.iter().map(|path| Ok((name(path), Table::read(path)?))).collect::<Result<Vec<_>>>()?;
        if incidents.is_empty() || normal.is_empty() {
            bail!(
                "{}: incidents (target.json beside metrics.csv) and normal*.csv are needed",
                root.display()
            );
        }
        Ok(Self { incidents, normal })
    }

    /// Normal operation to precede an incident: of its own traffic where there is one.
    pub fn before(&self, incident: &Incident) -> &Table {
        let own = self.normal.iter().find(|(name, _)| name.ends_with(&incident.traffic));
        &own.unwrap_or(&self.normal[0]).1
    }
}

fn walk(folder: &Path, incidents: &mut Vec<PathBuf>, normal: &mut Vec<PathBuf>) -> Result<()> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| folder.display().to_string())?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    entries.sort();
    if folder.join("target.json").is_file() && folder.join("metrics.csv").is_file() {
        incidents.push(folder.to_owned());
    }
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            walk(&path, incidents, normal)?;
        } else if name.starts_with("normal") && path.extension().is_some_and(|e| e == "csv") {
            normal.push(path);
        }
    }
    Ok(())
}
