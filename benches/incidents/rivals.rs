//! What others would do with the same points: a robust z, the HPA's rule, the original's rules.

use matverse::decide::situation::Action;

use super::data::Point;

/// Points behind a median.
const WINDOW: usize = 200;
/// Median absolute deviation to standard deviation of the normal distribution.
const MAD: f64 = 1.4826;

/// (x − median)/(1.4826·MAD) of a point against those before it, the larger of latency and errors. A deviation of
/// zero counts as a hundredth of the median, and as one in a thousand of errors.
pub fn robust_z(before: &[Point], point: &Point) -> f64 {
    let before = &before[before.len().saturating_sub(WINDOW)..];
    let z = |of: fn(&Point) -> Option<f64>, floor: f64| {
        let mut all: Vec<f64> = before.iter().filter_map(of).collect();
        let (value, middle) = (of(point)?, median(&mut all)?);
        let mut off: Vec<f64> = all.iter().map(|v| (v - middle).abs()).collect();
        let spread = (MAD * median(&mut off)?).max(0.01 * middle).max(floor);
        Some((value - middle) / spread)
    };
    let latency = z(|p| p.latency, f64::MIN_POSITIVE);
    let errors = z(|p| p.errors, 0.001);
    latency.into_iter().chain(errors).fold(0.0, f64::max)
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The horizontal autoscaler on requests a replica, with its tolerance of 10 %, set to what was usual before.
pub fn hpa(before: &[Point], point: &Point) -> Option<Action> {
    let mut usual: Vec<f64> = before.iter().filter_map(|p| p.throughput).collect();
    let ratio = point.throughput? / median(&mut usual)?;
    match ratio {
        r if r > 1.1 => Some(Action::ScaleUp),
        r if r < 0.9 => Some(Action::ScaleDown),
        _ => None,
    }
}

/// The original's rules as far as these signals reach: more replicas above its default target of 100 ms.
pub fn original(point: &Point) -> Option<Action> {
    (point.latency? > 100.0).then_some(Action::ScaleUp)
}
