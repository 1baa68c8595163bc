//! The scoring of the Numenta Anomaly Benchmark (Lavin & Ahmad 2015), as its published sweeper computes it.
//!
//! ```text
//!  anomalies of a series ─► a weight per sample ─► sweep of one threshold over the whole corpus ─► 0…100
//!       in a window: +σ(position), the best one counts, a missed window costs       (null = 0, perfect = 100)
//!       elsewhere: −, less just after a window
//! ```

/// What a true alarm, a false alarm and a missed window are worth.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    pub name: &'static str,
    pub hit: f64,
    pub false_alarm: f64,
    pub miss: f64,
}

/// The three published profiles; the first one is what is quoted.
pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", hit: 1.0, false_alarm: 0.11, miss: 1.0 },
    Profile { name: "low false alarms", hit: 1.0, false_alarm: 0.22, miss: 1.0 },
    Profile { name: "low misses", hit: 1.0, false_alarm: 0.11, miss: 2.0 },
];

/// A scored sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub anomaly: f64,
    pub weight: f64,
    /// Window it lies in, counted over the corpus.
    pub window: Option<usize>,
}

/// What one threshold reaches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    pub threshold: f64,
    /// 0 for silence, 100 for the first sample of each window and nothing else; may be negative.
    pub score: f64,
    pub found: usize,
    pub false_alarms: usize,
}

/// Samples at the start of a series of `n` that are not scored: 15 %, 750 at most.
pub fn probation(n: usize) -> usize {
    (n * 15 / 100).min(750)
}

/// `2/(1+e^{5x}) − 1`: 1 well before the end of a window (x = −1), 0 at it, −1 well after.
fn sigmoid(x: f64) -> f64 {
    if x >= 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * x).exp()) - 1.0 }
}

/// The scored samples of one series. `windows` are first and last index, ascending; the first one gets the
/// number `base`.
pub fn points(anomalies: &[f64], windows: &[(usize, usize)], profile: Profile, base: usize) -> Vec<Point> {
    let mut points = Vec::with_capacity(anomalies.len());
    for (i, anomaly) in anomalies.iter().enumerate().skip(probation(anomalies.len())) {
        let inside = windows.iter().position(|(first, last)| (*first..=*last).contains(&i));
        let weight = if let Some((first, last)) = inside.map(|w| windows[w]) {
            let width = (last - first + 1) as f64;
            profile.hit * sigmoid(-((last - i + 1) as f64) / width) / sigmoid(-1.0)
        } else {
            let before = windows.iter().rev().find(|(_, last)| *last < i);
            let past = before.map_or(3.0, |(first, last)| (i - last) as f64 / (last - first) as f64);
            profile.false_alarm * sigmoid(past)
        };
        points.push(Point { anomaly: *anomaly, weight, window: inside.map(|w| w + base) });
    }
    points
}

/// Running total while a threshold comes down.
struct Tally {
    total: f64,
    best: Vec<Option<f64>>,
    false_alarms: usize,
    profile: Profile,
}

impl Tally {
    fn new(windows: usize, profile: Profile) -> Self {
        Self { total: -profile.miss * windows as f64, best: vec![None; windows], false_alarms: 0, profile }
    }

    fn alarm(&mut self, point: &Point) {
        let Some(window) = point.window else {
            self.total += point.weight;
            self.false_alarms += 1;
            return;
        };
        let before = self.best[window].unwrap_or(-self.profile.miss);
        if point.weight > before {
            self.total += point.weight - before;
            self.best[window] = Some(point.weight);
        }
    }

    fn outcome(&self, threshold: f64) -> Outcome {
        let n = self.best.len() as f64;
        let Profile { hit, miss, .. } = self.profile;
        // Without a window nothing can be won; what false alarms cost is shown in their own column.
        let score = if n > 0.0 { 100.0 * (self.total + miss * n) / (n * (hit + miss)) } else { 0.0 };
        let found = self.best.iter().flatten().count();
        Outcome { threshold, score, found, false_alarms: self.false_alarms }
    }
}

/// What `threshold` reaches.
pub fn at(points: &[Point], windows: usize, profile: Profile, threshold: f64) -> Outcome {
    let mut tally = Tally::new(windows, profile);
    points.iter().filter(|p| p.anomaly >= threshold).for_each(|p| tally.alarm(p));
    tally.outcome(threshold)
}

/// The best threshold over the corpus; silence (an infinite one) where no alarm is worth its cost.
pub fn best(points: &[Point], windows: usize, profile: Profile) -> Outcome {
    let mut order: Vec<&Point> = points.iter().collect();
    order.sort_by(|a, b| b.anomaly.total_cmp(&a.anomaly));
    let mut tally = Tally::new(windows, profile);
    let mut best = tally.outcome(f64::INFINITY);
    for level in order.chunk_by(|a, b| a.anomaly.total_cmp(&b.anomaly).is_eq()) {
        for point in level {
            tally.alarm(point);
        }
        let outcome = tally.outcome(level[0].anomaly);
        if outcome.score > best.score {
            best = outcome;
        }
    }
    best
}

/// The anomalies after de-duplication of alarms at `threshold`: an alarm silences the next `quiet` samples.
pub fn deduplicated(anomalies: &[f64], threshold: f64, quiet: usize) -> Vec<f64> {
    let mut until = 0;
    let mut keep = |(i, anomaly): (usize, &f64)| {
        let alarm = *anomaly >= threshold && i >= until;
        if alarm {
            until = i + quiet + 1;
        }
        if alarm { *anomaly } else { anomaly.min(0.0) }
    };
    anomalies.iter().enumerate().map(&mut keep).collect()
}
