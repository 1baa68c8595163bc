//! Other scalers, to compare with: FairShare, AIAD, the HPA's rule, threshold rules.
//!
//! Each sees the same [`Seen`] of every service at each tick and gives the counts that it wants.

use super::cluster::Seen;

/// A scaler: counts wanted, from what is seen at a time in seconds.
pub trait Scaler {
    /// The count of each service.
    fn scale(&mut self, now: f64, seen: &[Seen]) -> Vec<i32>;
}

/// The quota divided equally, once.
#[derive(Clone, Copy, Debug)]
pub struct FairShare {
    /// Pods of all services together.
    pub quota: i32,
}

impl Scaler for FairShare {
    fn scale(&mut self, _: f64, seen: &[Seen]) -> Vec<i32> {
        let services = i32::try_from(seen.len()).unwrap_or(i32::MAX).max(1);
        vec![(self.quota / services).max(1); seen.len()]
    }
}

/// One more after 30 s with the mean latency of 30 s above the objective, one fewer after 600 s below it; nothing
/// while pods of an earlier step start (the additive rule that Faro compares itself with).
#[derive(Clone, Debug)]
pub struct Aiad {
    /// Objective, ms.
    pub objective: f64,
    /// Pods of all services together.
    pub quota: i32,
    /// Length of a tick, s.
    pub tick: f64,
    streaks: Vec<i32>,
}

impl Aiad {
    /// A new one.
    #[must_use]
    pub fn new(objective: f64, quota: i32, tick: f64) -> Self {
        Self { objective, quota, tick, streaks: Vec::new() }
    }
}

impl Scaler for Aiad {
    fn scale(&mut self, _: f64, seen: &[Seen]) -> Vec<i32> {
        self.streaks.resize(seen.len(), 0);
        let (up, down) = ((30.0 / self.tick) as i32, (600.0 / self.tick) as i32);
        let mut steps = vec![0; seen.len()];
        for ((streak, step), one) in self.streaks.iter_mut().zip(&mut steps).zip(seen) {
            let high = one.signals.mean.unwrap_or(0.0) > self.objective;
            *streak = if high { (*streak).max(0) + 1 } else { (*streak).min(0) - 1 };
            if *streak >= up || -*streak >= down {
                *step = streak.signum();
                *streak = 0;
            }
        }
        let mut wanted: Vec<i32> = seen.iter().map(|one| one.desired).collect();
        let settled = |one: &Seen| one.ready >= one.desired;
        for (i, one) in seen.iter().enumerate().filter(|(i, one)| steps[*i] < 0 && settled(one)) {
            wanted[i] = (one.desired - 1).max(1);
        }
        for (i, _) in seen.iter().enumerate().filter(|(i, one)| steps[*i] > 0 && settled(one)) {
            if wanted.iter().sum::<i32>() < self.quota {
                wanted[i] += 1;
            }
        }
        wanted
    }
}

/// The HPA's published rule on cpu: ⌈ready · cpu/target⌉ outside a tolerance of .1, at most doubled or four more
/// in 15 s, down by the largest count wanted within 300 s. Each service up to its share of what is free.
#[derive(Clone, Debug)]
pub struct Hpa {
    /// Utilisation to hold.
    pub target: f64,
    /// Pods of all services together.
    pub quota: i32,
    wanted: Vec<Vec<(f64, i32)>>,
}

impl Hpa {
    /// A new one.
    #[must_use]
    pub fn new(target: f64, quota: i32) -> Self {
        Self { target, quota, wanted: Vec::new() }
    }

    fn recommend(&self, one: &Seen) -> i32 {
        let Some(cpu) = one.signals.cpu else { return one.desired };
        let ratio = cpu / self.target;
        if (ratio - 1.0).abs() <= 0.1 {
            return one.desired;
        }
        let by_ready = (ratio * f64::from(one.ready)).ceil() as i32;
        // Pods under way count as idle when it scales up, and as busy when it scales down.
        if ratio > 1.0 && by_ready <= one.desired { one.desired } else { by_ready.max(1) }
    }
}

impl Scaler for Hpa {
    fn scale(&mut self, now: f64, seen: &[Seen]) -> Vec<i32> {
        self.wanted.resize(seen.len(), Vec::new());
        let mut counts: Vec<i32> = seen.iter().map(|one| one.desired).collect();
        for (i, one) in seen.iter().enumerate() {
            let want = self.recommend(one);
            self.wanted[i].retain(|(at, _)| now - at < 300.0);
            self.wanted[i].push((now, want));
            let stable = self.wanted[i].iter().map(|(_, want)| *want).max().unwrap_or(want);
            counts[i] = if want > one.desired {
                want.min((2 * one.desired).max(one.desired + 4))
            } else {
                one.desired.min(stable)
            };
        }
        within(&mut counts, seen, self.quota);
        counts
    }
}

/// Threshold rules on the present values: more by half above 80 % cpu or twice the objective, fewer below 30 %.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// Objective, ms.
    pub objective: f64,
    /// Pods of all services together.
    pub quota: i32,
}

impl Scaler for Thresholds {
    fn scale(&mut self, _: f64, seen: &[Seen]) -> Vec<i32> {
        let count = |one: &Seen| {
            let cpu = one.signals.cpu.unwrap_or(0.5);
            let slow = one.signals.p95.is_some_and(|p95| p95 > 2.0 * self.objective);
            if cpu > 0.8 || slow {
                one.desired + 1
            } else if cpu < 0.3 {
                (one.desired - 1).max(1)
            } else {
                one.desired
            }
        };
        let mut counts: Vec<i32> = seen.iter().map(count).collect();
        within(&mut counts, seen, self.quota);
        counts
    }
}

/// Growth is served in the order of services until the quota is used up, as a `ResourceQuota` would.
fn within(counts: &mut [i32], seen: &[Seen], quota: i32) {
    let mut free = quota - counts.iter().zip(seen).map(|(count, one)| *count.min(&one.desired)).sum::<i32>();
    for (count, one) in counts.iter_mut().zip(seen) {
        let more = (*count - one.desired).max(0).min(free.max(0));
        *count = (*count).min(one.desired) + more;
        free -= more;
    }
}
