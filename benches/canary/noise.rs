//! Where pairs come from: real hosts, and noise of known laws.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A seeded source of chance.
pub struct Dice(ChaCha8Rng);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform().max(1e-300), self.uniform());
        (-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.uniform() * n as f64) as usize
    }
}

/// One host: its samples in the order of time.
pub struct Host {
    pub name: String,
    pub values: Vec<f64>,
    /// 95 % point of all its samples.
    pub tail: f64,
}

/// Every `*.csv` (`starttime,value`) of a folder.
pub fn hosts(folder: &Path) -> Result<Vec<Host>> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .with_context(|| folder.display().to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "csv"))
        .collect();
    files.sort();
    ensure!(!files.is_empty(), "{}: no .csv files", folder.display());
    files.iter().map(|path| host(path)).collect()
}

fn host(path: &Path) -> Result<Host> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let number = |line: &str| line.rsplit(',').next().and_then(|v| v.trim().parse::<f64>().ok());
    let values: Vec<f64> = text.lines().skip(1).filter_map(number).collect();
    ensure!(values.len() >= 2000, "{}: {} samples, 2,000 are needed", path.display(), values.len());
    let mut sorted = values.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let tail = sorted[values.len() * 95 / 100];
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Host { name, values, tail })
}

/// How the two columns are taken from one host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Both drawn at random: the same software and the same times.
    Random,
    /// Neighbours in time: even samples against odd ones.
    Neighbours,
    /// The challenger's come `n` samples after the baseline's: another stretch, other neighbours, drift.
    Later,
    /// Two stretches at random: other machines, months apart.
    Apart,
}

/// `n` pairs of one host.
pub fn pairs(host: &Host, split: Split, n: usize, dice: &mut Dice) -> Vec<(f64, f64)> {
    let v = &host.values;
    let (from, other) = (dice.below(v.len() - 2 * n), dice.below(v.len() - n));
    (0..n)
        .map(|i| match split {
            Split::Random => (v[dice.below(v.len())], v[dice.below(v.len())]),
            Split::Neighbours => (v[from + 2 * i], v[from + 2 * i + 1]),
            Split::Apart => (v[from + i], v[other + i]),
            Split::Later => (v[from + i], v[from + n + i]),
        })
        .collect()
}

/// `n` pairs of two independent stationary autoregressions of lag-1 correlation `phi`.
pub fn autoregressive(phi: f64, n: usize, dice: &mut Dice) -> Vec<(f64, f64)> {
    let spread = (1.0 - phi * phi).sqrt();
    let (mut a, mut b) = (dice.normal(), dice.normal());
    (0..n)
        .map(|_| {
            a = phi * a + spread * dice.normal();
            b = phi * b + spread * dice.normal();
            (a, b)
        })
        .collect()
}
