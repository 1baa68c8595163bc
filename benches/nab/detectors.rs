//! The product's detector and what it is compared with. All are causal: one pass, one number a sample.

use std::collections::BTreeMap;

use jiff::Timestamp;
use matverse::observe::Observed;
use matverse::observe::reading::{Evidence, Reading, SignalName};
use matverse::orient::original::Original;
use matverse::orient::special::surprise_normal;
use matverse::orient::{Estimate, Estimator, Settings};

use super::corpus::Series;

/// A name and the anomalies it gives to a series.
pub struct Detector {
    pub name: &'static str,
    pub run: fn(&Series) -> Vec<f64>,
}

/// The product first, then its rivals.
pub const DETECTORS: [Detector; 6] = [
    Detector { name: "matverse (Estimate.anomaly)", run: |s| oriented(s, |e| e.anomaly) },
    Detector { name: "plain filter surprise (NIS)", run: |s| oriented(s, |e| surprise_normal(e.nis)) },
    Detector { name: "original predictor's innovation", run: original },
    Detector { name: "windowed Gaussian", run: windowed_gaussian },
    Detector { name: "an alarm every 400 samples", run: metronome },
    Detector { name: "silence", run: |s| vec![0.0; s.values.len()] },
];

/// What the operator itself makes of the series, one turn a sample, as the streaming door does.
fn oriented(series: &Series, read: fn(&Estimate) -> f64) -> Vec<f64> {
    let name = SignalName::new("value");
    let settings = Settings::default();
    let mut estimator = Estimator::new();
    let turn = |at: Timestamp, value: f64| Observed {
        at,
        evidence: Evidence {
            readings: BTreeMap::from([(name.clone(), Reading::Fresh { value, sampled_at: at })]),
            ..Evidence::default()
        },
        workload: None,
    };
    let samples = series.times.iter().zip(&series.values);
    let pictures = samples.map(|(at, value)| estimator.orient(&turn(*at, *value), &settings));
    pictures.map(|picture| picture.signals.get(&name).map_or(0.0, read)).collect()
}

/// The innovation of the published rule (gain from its own Q and R), in the signal's unit: it has no other.
fn original(series: &Series) -> Vec<f64> {
    let mut filter = Original::default();
    let mut step = |value: &f64| {
        let innovation = (value - filter.x[0]).abs();
        filter.step([*value, 0.0, 0.0, 0.0, 0.0]);
        innovation
    };
    series.values.iter().map(&mut step).collect()
}

/// Tail probability under a normal fitted to a sliding window; the benchmark's own simple baseline.
fn windowed_gaussian(series: &Series) -> Vec<f64> {
    const WINDOW: usize = 6400;
    let (mut sum, mut squares) = (0.0, 0.0);
    let mut anomalies = Vec::with_capacity(series.values.len());
    // Around the first value, so that a large offset does not cancel.
    let origin = series.values.first().copied().unwrap_or(0.0);
    for (i, value) in series.values.iter().enumerate() {
        let (n, x) = (i.min(WINDOW) as f64, value - origin);
        let mean = if n > 0.0 { sum / n } else { 0.0 };
        let variance = if n > 1.0 { (squares / n - mean * mean).max(1e-12) } else { f64::INFINITY };
        anomalies.push(surprise_normal((x - mean) * (x - mean) / variance));
        sum += x;
        squares += x * x;
        if i >= WINDOW {
            let old = series.values[i - WINDOW] - origin;
            sum -= old;
            squares -= old * old;
        }
    }
    anomalies
}

/// No look at the data at all: what the scoring gives away.
fn metronome(series: &Series) -> Vec<f64> {
    (0..series.values.len()).map(|i| f64::from(u8::from(i % 400 == 399))).collect()
}
