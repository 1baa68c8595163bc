//! What a run was worth: violations and lost utility by minute, replicas and acts paid for them.
//!
//! A request counts in the minute in which it arrived. A dropped one violates the objective, and its latency is
//! without bound, so a minute with more than one in a hundred dropped is worth nothing.

use serde::Serialize;

use super::service::Answer;

/// Latencies of one service by minute, s; a dropped request is infinite.
#[derive(Clone, Debug, Default)]
pub struct Score {
    minutes: Vec<Vec<f32>>,
}

/// The figures of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Worth {
    /// Mean over services and minutes of the share of requests above the objective or dropped.
    pub violation: f64,
    /// Services − mean over minutes of Σ min(1, objective/p99).
    pub lost_utility: f64,
    /// Hours of pods that were starting or serving.
    pub replica_hours: f64,
    /// Changes of a count, an hour, of all services together.
    pub actions_an_hour: f64,
}

impl Score {
    /// Takes in one answer.
    pub fn take(&mut self, answer: &Answer) {
        let minute = (answer.arrived / 60.0) as usize;
        if self.minutes.len() <= minute {
            self.minutes.resize_with(minute + 1, Vec::new);
        }
        let latency = if answer.served { answer.left - answer.arrived } else { f64::INFINITY };
        self.minutes[minute].push(latency as f32);
    }

    /// (share violated, utility) of each of `minutes` minutes at an objective in seconds; a minute without a
    /// request is a good one.
    #[must_use]
    pub fn by_minute(&mut self, minutes: usize, objective: f64) -> Vec<(f64, f64)> {
        self.minutes.resize_with(minutes.max(self.minutes.len()), Vec::new);
        self.minutes[..minutes].iter_mut().map(|latencies| of_minute(latencies, objective)).collect()
    }
}

fn of_minute(latencies: &mut [f32], objective: f64) -> (f64, f64) {
    let Some(p99) = percentile(latencies, 0.99) else { return (0.0, 1.0) };
    let over = latencies.iter().filter(|latency| f64::from(**latency) > objective).count();
    (over as f64 / latencies.len() as f64, (objective / p99).min(1.0))
}

/// A percentile by linear interpolation between the order statistics; `None` of nothing. Sorts in part.
#[must_use]
pub fn percentile(values: &mut [f32], p: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let place = p * last as f64;
    let below = (place as usize).min(last);
    let share = place - below as f64;
    let (_, low, above) = values.select_nth_unstable_by(below, f32::total_cmp);
    let low = f64::from(*low);
    let high = above.iter().copied().min_by(f32::total_cmp).map_or(low, f64::from);
    Some(if share > 0.0 && high > low { low + share * (high - low) } else { low })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_interpolate() {
        let mut values: Vec<f32> = (1..=5_u8).map(f32::from).collect();
        assert_eq!(percentile(&mut values, 0.5), Some(3.0));
        assert_eq!(percentile(&mut values, 0.875), Some(4.5));
        assert_eq!(percentile(&mut values, 1.0), Some(5.0));
        assert_eq!(percentile(&mut [], 0.5), None);
    }

    #[test]
    fn drops_are_violations_and_cost_the_minute() {
        let mut score = Score::default();
        let mut take = |arrived: f64, latency: f64, served| {
            score.take(&Answer { arrived, left: arrived + latency, served });
        };
        for i in 0..200_u8 {
            take(f64::from(i) / 10.0, 0.1, true);
            take(60.0 + f64::from(i) / 10.0, 1.0, true);
            take(120.0 + f64::from(i) / 10.0, 0.1, i >= 20);
        }
        let minutes = score.by_minute(4, 0.72);
        assert_eq!(minutes[0], (0.0, 1.0));
        assert!((minutes[1].0 - 1.0).abs() < 1e-9 && (minutes[1].1 - 0.72).abs() < 1e-6);
        assert!((minutes[2].0 - 0.1).abs() < 1e-9 && minutes[2].1 < 1e-9);
        assert_eq!(minutes[3], (0.0, 1.0), "nothing asked, nothing missed");
    }
}
