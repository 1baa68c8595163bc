//! What could be had at best: every minute the counts that are worth most at that minute's true load, with pods that
//! start and move in no time. No scaler reaches it; the distance to it is the regret.

use super::chance::Chance;
use super::score::Score;
use super::service::{Model, Revision, Service};

/// Requests a minute between two columns of the table.
const STEP: u32 = 50;
/// Minutes simulated for one cell.
const MINUTES: u32 = 30;

/// (violated share, utility) of a service by replicas and requests a minute.
#[derive(Clone, Debug)]
pub struct Table {
    cells: Vec<Vec<(f64, f64)>>,
}

impl Table {
    /// Simulates every count up to `most` at every load up to `load` requests a minute.
    #[must_use]
    pub fn new(model: &Model, most: u32, load: u32, objective: f64) -> Self {
        let cell = |replicas: u32, requests: u32| {
            let mut service =
                Service::new(model.clone(), Chance::new(1, u64::from(replicas * 10_000 + requests)));
            for _ in 0..replicas {
                service.add(Revision::default(), 1.0);
            }
            let mut score = Score::default();
            for minute in 1..=MINUTES {
                service.arrive(requests, 60.0);
                service.advance(60.0 * f64::from(minute));
                service.answers().iter().for_each(|answer| score.take(answer));
            }
            let all = score.by_minute(MINUTES as usize, objective);
            let mean = |of: fn(&(f64, f64)) -> f64| all.iter().map(of).sum::<f64>() / f64::from(MINUTES);
            (mean(|m| m.0), mean(|m| m.1))
        };
        let cells = (1..=most).map(|n| (0..=load / STEP + 1).map(|k| cell(n, k * STEP)).collect()).collect();
        Self { cells }
    }

    fn at(&self, replicas: usize, requests: u32) -> (f64, f64) {
        let column = (f64::from(requests) / f64::from(STEP)).round() as usize;
        self.cells
            .get(replicas.saturating_sub(1))
            .and_then(|row| row.get(column))
            .copied()
            .unwrap_or((0.0, 1.0))
    }

    /// (violation, lost utility) of the best division of `quota` pods in every minute.
    #[must_use]
    pub fn bound(&self, trace: &[Vec<u32>], quota: usize) -> (f64, f64) {
        let minutes = trace.first().map_or(0, Vec::len);
        let (mut violation, mut lost) = (0.0, 0.0);
        for minute in 0..minutes {
            let loads: Vec<u32> = trace.iter().map(|of| of[minute]).collect();
            for (replicas, load) in self.best(&loads, quota).into_iter().zip(&loads) {
                let (over, utility) = self.at(replicas, *load);
                violation += over;
                lost += 1.0 - utility;
            }
        }
        (violation / (minutes * trace.len()).max(1) as f64, lost / minutes.max(1) as f64)
    }

    /// The exact division, by dynamic programming over the services: at least one each.
    fn best(&self, loads: &[u32], quota: usize) -> Vec<usize> {
        let mut best: Vec<Option<(f64, Vec<usize>)>> = vec![None; quota + 1];
        best[0] = Some((0.0, Vec::new()));
        for load in loads {
            let mut next: Vec<Option<(f64, Vec<usize>)>> = vec![None; quota + 1];
            for (used, (worth, counts)) in best.iter().enumerate().filter_map(|(i, b)| Some((i, b.as_ref()?)))
            {
                for n in 1..=self.cells.len().min(quota - used) {
                    let (over, utility) = self.at(n, *load);
                    let total = worth + utility - over;
                    if next[used + n].as_ref().is_none_or(|(known, _)| total > *known) {
                        let counts = counts.iter().copied().chain([n]).collect();
                        next[used + n] = Some((total, counts));
                    }
                }
            }
            best = next;
        }
        let most = best.into_iter().flatten().max_by(|a, b| a.0.total_cmp(&b.0));
        most.map_or_else(|| vec![1; loads.len()], |(_, counts)| counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::scenario::faro_model;

    #[test]
    fn the_bound_grows_with_the_quota_and_gives_to_whom_it_helps() {
        let table = Table::new(&faro_model(), 5, 1000, 0.72);
        let trace = vec![vec![900, 200], vec![200, 900]];
        let (few, more) = (table.bound(&trace, 4), table.bound(&trace, 7));
        assert!(few.1 > more.1 && few.0 > more.0, "{few:?} {more:?}");
        assert_eq!(table.best(&[900, 200], 5), [3, 2].map(|n: usize| n).to_vec());
    }
}
