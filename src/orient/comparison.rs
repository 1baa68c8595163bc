//! Which revision is compared with which baseline, on latency, errors and Ω.
//!
//! ```text
//!                 rollout starts                      now
//!  ───────────────────┼────────────────────────────────┤
//!   window before:    │ since: one look per new sample
//!   ≤ 200 samples ────┘   · old pods beside the new? a pair per turn        (SideBySide)
//!   frozen                · else against the window's 90 % point + margin  (Before)
//! ```
//! Where samples come minutes apart, the first of them are judged by their size as well ([`super::local`]).
//!
//! Everything is keyed on the current revision's pod-template-hash and start: a new rollout (or a rollback)
//! resets it, and samples are told apart by their own times, so replayed history gives the same answer.
//! The window before begins at the rollout before, so a bad revision that was reverted sets no baseline.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::adapt::seconds;
use super::local::{COARSE_SECONDS, LOOKS, Past, looked_at};
use super::paired::{Margin, Paired};
pub use super::samples::Load;
use super::samples::{Kept, Sample};
use super::sequential::Sequential;
use super::settings::Settings;
use super::special::upper_quantile;
use super::{Baseline, Comparison, OneSided, Verdict};
use crate::observe::reading::{RevisionReadings, SignalName};
use crate::observe::workload::Workload;

/// Samples of the window before a rollout.
const WINDOW: usize = 200;
/// A window below this is no baseline.
const SMALLEST_BASELINE: usize = 10;
/// Share of the baseline's samples that "worse" must exceed.
const POINT: f64 = 0.9;
/// Load per replica above this multiple of the baseline's 90 % point explains an excess.
const LOAD: f64 = 1.2;
/// A run of bad samples that has lasted this long outlives a single good one.
const ESTABLISHED: u32 = 3;

/// Samples nearer than this to the last look, s, are the same scrape seen twice.
const THIN_SECONDS: f64 = 1.0;

/// The signals that can be compared: which way is worse, and how much always counts as equal (in the signal's
/// unit), so that a baseline of zeros has a margin too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judged {
    /// p95, ms; 1 ms counts as equal.
    Latency,
    /// Share of failed requests; one in a hundred counts as equal.
    Errors,
    /// Ω; less is worse; .02 counts as equal.
    Omega,
}

impl Judged {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Latency, Self::Errors, Self::Omega];

    fn name(self) -> SignalName {
        match self {
            Self::Latency => SignalName::LATENCY,
            Self::Errors => SignalName::ERRORS,
            Self::Omega => SignalName::OMEGA,
        }
    }

    /// +1 where more is worse.
    fn sign(self) -> f64 {
        match self {
            Self::Latency | Self::Errors => 1.0,
            Self::Omega => -1.0,
        }
    }

    fn equal_within(self) -> f64 {
        match self {
            Self::Latency => 1.0,
            Self::Errors => 0.01,
            Self::Omega => 0.02,
        }
    }

    /// Margin over a baseline value, in the signal's unit.
    fn margin(self, baseline: f64, relative: f64) -> f64 {
        (relative * baseline.abs()).max(self.equal_within())
    }

    /// Smallest scale of noise to believe in: a quarter of what counts as equal and, of a share of failures, what
    /// chance alone does to so many requests a sample.
    fn noise(self, baseline: f64, requests: Option<f64>, settings: &Settings) -> f64 {
        let believed = 0.25 * self.margin(baseline, settings.equivalence_margin);
        let chance = match (self, requests.filter(|n| *n > 0.0)) {
            (Self::Errors, Some(n)) => (baseline.max(1.0 / n) / n).sqrt(),
            _ => 0.0,
        };
        believed.max(chance)
    }

    /// Whether a value is trouble by itself.
    fn misses(self, value: f64, settings: &Settings) -> bool {
        match self {
            Self::Latency => settings.latency_target_ms.is_some_and(|target| value > target),
            Self::Errors => value > settings.errors_above,
            Self::Omega => value < settings.omega_below,
        }
    }
}

/// A run of bad samples.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    onset: Option<Timestamp>,
    bad: u32,
    good: u32,
}

impl Run {
    /// A run ends at a good sample, an established one at two in a row.
    fn push(&mut self, at: Timestamp, bad: bool) {
        if bad {
            self.onset.get_or_insert(at);
            self.bad = self.bad.saturating_add(1);
            self.good = 0;
        } else {
            self.good = self.good.saturating_add(1);
            if self.bad < ESTABLISHED || self.good >= 2 {
                *self = Self::default();
            }
        }
    }
}

/// The window before the rollout, frozen.
#[derive(Clone, Debug)]
struct Window {
    /// Typical value.
    median: f64,
    /// Value that speaks for "worse" when passed.
    threshold: f64,
    /// Value that speaks for "not worse" when not passed.
    equal: f64,
    throughput: Option<f64>,
    cpu: Option<f64>,
    /// The values and their distance, s, where that is too long for a sequential verdict to come in time.
    past: Option<(Past, f64)>,
}

impl Window {
    fn of(samples: &[Sample], judged: Judged, margin: f64) -> Option<Self> {
        let samples = &samples[samples.len().saturating_sub(WINDOW)..];
        if samples.len() < SMALLEST_BASELINE {
            return None;
        }
        let sign = judged.sign();
        // Ascending badness, whichever way is worse.
        let mut bad: Vec<f64> = samples.iter().map(|s| sign * s.value).collect();
        bad.sort_unstable_by(f64::total_cmp);
        let median = sign * upper_quantile(&bad, 0.5)?;
        let point = sign * upper_quantile(&bad, POINT)?;
        let equal = median + sign * judged.margin(median, margin);
        let spacing = spacing(samples);
        let load = |of: &dyn Fn(&Load) -> Option<f64>| {
            let mut values: Vec<f64> = samples.iter().filter_map(|s| of(&s.load)).collect();
            values.sort_unstable_by(f64::total_cmp);
            let point =
                (values.len() >= SMALLEST_BASELINE).then(|| upper_quantile(&values, POINT)).flatten()?;
            // A load that was carried well twice explains nothing either, however rare it was; once, where a sample
            // speaks of minutes.
            let well = |s: &&Sample| sign * (s.value - equal) <= 0.0;
            let mut carried: Vec<f64> = samples.iter().filter(well).filter_map(|s| of(&s.load)).collect();
            carried.sort_unstable_by(f64::total_cmp);
            let last = if spacing >= COARSE_SECONDS { 1 } else { 2 };
            let well = carried.len().checked_sub(last).and_then(|i| carried.get(i)).copied();
            Some(well.map_or(point, |well| point.max(well)))
        };
        Some(Self {
            median,
            threshold: point + sign * judged.margin(point, margin),
            equal,
            throughput: load(&|l| l.throughput),
            cpu: load(&|l| l.cpu),
            past: (spacing >= COARSE_SECONDS)
                .then(|| Some((Past::of(samples.iter().map(|s| sign * s.value).collect())?, spacing)))
                .flatten(),
        })
    }

    /// Whether load per replica explains an excess. Throughput says it best; cpu stands in where throughput is
    /// not measured (a revision that burns cpu is then excused: hold, rather than blame on no evidence). Where
    /// a load signal is named but cannot be read, it might explain it.
    fn explained_by(&self, load: &Load) -> bool {
        match (self.throughput, load.throughput, self.cpu, load.cpu) {
            (Some(before), Some(now), _, _) | (_, _, Some(before), Some(now)) => now > LOAD * before,
            _ => load.named,
        }
    }
}

/// Median distance of samples, s.
fn spacing(samples: &[Sample]) -> f64 {
    let mut gaps: Vec<f64> = samples.windows(2).map(|w| seconds(w[0].at, w[1].at)).collect();
    gaps.sort_unstable_by(f64::total_cmp);
    gaps.get(gaps.len() / 2).copied().unwrap_or(0.0)
}

/// Comparison of one signal since one rollout.
#[derive(Clone, Debug, Default)]
struct Track {
    samples: Kept,
    window: Option<Window>,
    before: Sequential,
    beside: Option<Paired>,
    last_pair: Option<(Timestamp, Timestamp)>,
    pair_levels: (f64, f64),
    run: Run,
    /// The same of samples since the rollout alone: what differs from old pods now did not begin before it.
    run_since: Run,
    /// Whether the last sample was one since the rollout began.
    begun: bool,
    recent: VecDeque<f64>,
    /// The first samples since the rollout, at most [`LOOKS`] of them.
    first: Vec<Sample>,
    /// What the first samples say, not yet corrected for the number of signals.
    one_sided: Option<OneSided>,
}

/// The comparisons of one workload.
#[derive(Clone, Debug, Default)]
pub struct Comparer {
    key: Option<(String, Timestamp)>,
    tracks: [Option<Box<Track>>; Judged::ALL.len()],
}

/// A judged value and the time of its sample.
pub type Judgement = (f64, Timestamp);

impl Comparer {
    /// Takes in a turn. `value` gives the fresh value of a judged signal out of the workload's readings, and
    /// `of_revision` out of one revision's.
    pub fn observe(
        &mut self,
        workload: Option<&Workload>,
        value: impl Fn(Judged) -> Option<Judgement>,
        by_revision: &RevisionReadings,
        of_revision: impl Fn(Judged, &str) -> Option<Judgement>,
        load: Load,
        settings: &Settings,
    ) {
        let current = workload.map(|w| &w.current);
        let known = self.key.as_ref().map(|(hash, started)| (hash.as_str(), *started));
        let rolled = current.filter(|r| known != Some((r.pod_template_hash.as_str(), r.started_at)));
        if let Some(revision) = rolled {
            self.key = Some((revision.pod_template_hash.clone(), revision.started_at));
        }
        for judged in Judged::ALL {
            let fresh = value(judged);
            if fresh.is_none() && self.tracks[judged as usize].is_none() && by_revision.is_empty() {
                continue;
            }
            let track = self.tracks[judged as usize].get_or_insert_default();
            if let (Some(_), Some(workload)) = (rolled, workload) {
                track.restart(workload, judged, settings);
            }
            if let Some((value, at)) = fresh {
                track.push(Sample { at, value, load }, self.key.as_ref().map(|k| k.1), judged, settings);
            }
            if let Some(workload) = workload.filter(|_| !by_revision.is_empty()) {
                let current = of_revision(judged, &workload.current.pod_template_hash);
                let old = old_revision(workload, by_revision, |hash| of_revision(judged, hash));
                if let (Some(current), Some(old)) = (current, old) {
                    track.pair(old, current, workload.current.started_at, judged, settings);
                }
            }
        }
    }

    /// The comparisons as they stand at `at`, `load` being the present one.
    #[must_use]
    pub fn comparisons(&self, at: Timestamp, load: &Load, settings: &Settings) -> Vec<Comparison> {
        if self.key.is_none() {
            return Vec::new();
        }
        let looked_at = self.tracks.iter().flatten().filter(|track| track.window.is_some()).count();
        Judged::ALL
            .into_iter()
            .zip(&self.tracks)
            .filter_map(|(judged, track)| track.as_ref()?.comparison(judged, at, load, settings))
            .map(|mut comparison| {
                if let Some(said) = &mut comparison.one_sided {
                    said.p = (said.p * looked_at as f64).min(1.0);
                }
                comparison
            })
            .collect()
    }
}

/// The reading of the newest earlier revision that has one.
fn old_revision(
    workload: &Workload,
    by_revision: &RevisionReadings,
    of: impl Fn(&str) -> Option<Judgement>,
) -> Option<Judgement> {
    let current = workload.current.pod_template_hash.as_str();
    let known = workload.previous.iter().map(|r| r.pod_template_hash.as_str());
    let others = by_revision.keys().map(String::as_str);
    known.chain(others).filter(|hash| *hash != current).find_map(of)
}

impl Track {
    /// A new rollout: freeze the window before it, forget all evidence, and take what came since in again.
    fn restart(&mut self, workload: &Workload, judged: Judged, settings: &Settings) {
        let started = workload.current.started_at;
        let earlier = workload.previous.iter().map(|r| r.started_at).filter(|at| *at < started).max();
        let before: Vec<Sample> =
            self.samples.iter().filter(|s| s.at <= started && earlier.is_none_or(|e| s.at > e)).collect();
        *self = Self {
            window: Window::of(&before, judged, settings.equivalence_margin),
            samples: std::mem::take(&mut self.samples),
            ..Self::default()
        };
        let all: Vec<Sample> = self.samples.iter().collect();
        for sample in all {
            self.judge(sample, Some(started), judged, settings);
        }
    }

    fn push(&mut self, sample: Sample, started: Option<Timestamp>, judged: Judged, settings: &Settings) {
        if self.samples.newest().is_some_and(|at| seconds(at, sample.at) < THIN_SECONDS) {
            return;
        }
        self.samples.push(sample);
        self.judge(sample, started, judged, settings);
    }

    fn judge(&mut self, sample: Sample, started: Option<Timestamp>, judged: Judged, settings: &Settings) {
        let excess = |bar: f64| judged.sign() * (sample.value - bar);
        let passes = self.window.as_ref().is_some_and(|w| excess(w.threshold) > 0.0);
        let bad = passes || judged.misses(sample.value, settings);
        let begun = started.is_some_and(|started| sample.at >= started);
        if begun && !self.begun && self.run.bad < ESTABLISHED {
            // One or two bad samples before a rollout are noise (every tenth is beyond the 90 % point); trouble
            // that was there before it has shown itself more often.
            self.run = Run::default();
        }
        self.begun = begun;
        self.run.push(sample.at, bad);
        if started.is_none_or(|started| sample.at <= started) {
            return;
        }
        self.run_since.push(sample.at, bad);
        if self.recent.len() == 5 {
            self.recent.pop_front();
        }
        self.recent.push_back(sample.value);
        if let Some(window) = &self.window {
            self.before.push(excess(window.threshold), -excess(window.equal));
        }
        if let Some(started) = started {
            self.look(sample, started, judged, settings);
        }
    }

    /// One of the first looks since the rollout; what they said then stands until a sample is fine again.
    fn look(&mut self, sample: Sample, started: Timestamp, judged: Judged, settings: &Settings) {
        let Some(window) = &self.window else { return };
        let Some((past, spacing)) = &window.past else { return };
        let excess = |value: f64, bar: f64| judged.sign() * (value - bar);
        let fine = excess(sample.value, window.median) <= 0.0;
        if fine {
            self.one_sided = None;
        }
        if self.first.len() == LOOKS {
            return;
        }
        self.first.push(sample);
        self.one_sided = None;
        let since: Vec<f64> = self.first.iter().map(|s| judged.sign() * s.value).collect();
        let taken = looked_at(&since);
        let mean = judged.sign() * taken.iter().sum::<f64>() / taken.len() as f64;
        let bad = self.first.iter().position(|s| excess(s.value, window.equal) > 0.0);
        let Some(bad) = bad.filter(|_| !fine && excess(mean, window.equal) > 0.0) else { return };
        let p = past.tail(
            taken,
            judged.noise(window.median, sample.load.arrivals.map(|rate| rate * spacing), settings),
        );
        self.one_sided = Some(OneSided {
            p: (p * LOOKS as f64).min(1.0),
            samples: since.len() as u32,
            onset: self.first[bad].at,
            after: bad.checked_sub(1).map_or(started, |before| self.first[before].at),
        });
    }

    fn pair(
        &mut self,
        old: Judgement,
        new: Judgement,
        started: Timestamp,
        judged: Judged,
        settings: &Settings,
    ) {
        if old.1 <= started || new.1 <= started {
            return;
        }
        if let Some((o, n)) = self.last_pair
            && (seconds(o, old.1) < THIN_SECONDS || seconds(n, new.1) < THIN_SECONDS)
        {
            return;
        }
        let margin = Margin { relative: settings.equivalence_margin, absolute: judged.equal_within() };
        let beside = self.beside.get_or_insert_with(|| Paired::new(margin, judged.sign()));
        beside.push(old.0, new.0);
        let share = 1.0 / f64::from(beside.looks().clamp(1, 5));
        self.pair_levels.0 += share * (old.0 - self.pair_levels.0);
        self.pair_levels.1 += share * (new.0 - self.pair_levels.1);
        self.last_pair = Some((old.1, new.1));
    }

    fn comparison(
        &self,
        judged: Judged,
        at: Timestamp,
        load: &Load,
        settings: &Settings,
    ) -> Option<Comparison> {
        // Pairs speak while they come; when the old pods are gone, the window before does.
        let patience = (3.0 * settings.interval_seconds).max(60.0);
        let pairing = self.last_pair.is_some_and(|(_, new)| seconds(new, at) <= patience);
        let side_by_side = self.last_pair.is_some() && (pairing || self.window.is_none());
        let beside = self.beside.as_ref().filter(|_| side_by_side);
        let (baseline, levels, load_explains, said) = if let Some(pairs) = beside {
            let said = (pairs.typical(), pairs.looks());
            (Baseline::SideBySide, self.pair_levels, false, said)
        } else {
            let window = self.window.as_ref()?;
            let mut recent: Vec<f64> = self.recent.iter().copied().collect();
            recent.sort_unstable_by(f64::total_cmp);
            let current = recent.get(recent.len() / 2).copied().unwrap_or(window.median);
            let process = &self.before;
            let said = (process.values(), process.looks());
            (Baseline::Before, (window.median, current), window.explained_by(load), said)
        };
        let ((e_worse, e_not_worse), looks) = said;
        let one_sided = self.one_sided.clone().filter(|_| !side_by_side);
        Some(Comparison {
            signal: judged.name(),
            baseline,
            verdict: Verdict::of((e_worse, e_not_worse), settings.alpha),
            e_worse,
            e_not_worse,
            looks,
            baseline_level: levels.0,
            current_level: levels.1,
            onset: if side_by_side { self.run_since.onset } else { self.run.onset },
            load_explains,
            one_sided,
        })
    }
}

#[cfg(test)]
#[path = "comparison_tests.rs"]
mod tests;
