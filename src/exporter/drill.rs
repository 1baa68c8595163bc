//! Stress episodes: from the first event under stress until a minute without one.
//!
//! ```text
//!  calm calm calm │ stress … stress │ 60 s without │ calm …
//!   paired with  ◄┘   one episode   └─ closed here
//! ```

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::orient::beta::{Beta, Episode, beta, convexity};

/// How long an episode stays open after its last event: two scrapes of 30 s see it.
pub const OPEN: SignedDuration = SignedDuration::from_secs(60);
/// Closed episodes that are kept, and for how long.
pub const KEPT: usize = 64;
/// As [`KEPT`].
pub const AGE: SignedDuration = SignedDuration::from_hours(24);
/// Events of each side, and of each level, below which their mean is not used.
pub const EVENTS: u32 = 3;
/// Seed of the interval: the same episodes give the same interval.
const SEED: u64 = 1;

/// A mean in the making.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    sum: f64,
    n: u32,
}

impl Mean {
    /// Takes one value in.
    pub fn push(&mut self, value: f64) {
        self.sum += value;
        self.n += 1;
    }

    /// The mean of enough values.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        (self.n >= EVENTS).then(|| self.sum / f64::from(self.n))
    }
}

/// The episodes of one workload.
#[derive(Clone, Debug, Default)]
pub struct Drills {
    open: Option<Run>,
    closed: VecDeque<Run>,
    /// Last event under stress of the episode before.
    before: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Run {
    last: Timestamp,
    calm: Mean,
    stress: Mean,
    /// Ψ by stated intensity, in hundredths.
    levels: BTreeMap<u8, Mean>,
}

/// What the episodes amount to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Resilience {
    /// β with its interval.
    pub beta: Option<Beta>,
    /// Second-order sensitivity over the widest three equally spaced levels of stress.
    pub convexity: Option<f64>,
    /// Closed episodes that count.
    pub episodes: usize,
}

impl Drills {
    /// An event under stress came at `at`. `calm` gives the mean of the calm events since the time it is handed
    /// (`None` = since ever); it is asked where an episode begins.
    pub fn push(
        &mut self,
        at: Timestamp,
        psi: f64,
        level: Option<u8>,
        calm: impl FnOnce(Option<Timestamp>) -> Mean,
    ) {
        self.turn(at);
        let before = self.before;
        let run = self.open.get_or_insert_with(|| Run {
            last: at,
            calm: calm(before),
            stress: Mean::default(),
            levels: BTreeMap::new(),
        });
        // Events that state their own time may come out of order.
        run.last = run.last.max(at);
        run.stress.push(psi);
        if let Some(level) = level {
            run.levels.entry(level).or_default().push(psi);
        }
    }

    /// Closes what is over at `now`, and forgets what is too old.
    pub fn turn(&mut self, now: Timestamp) {
        if self.open.as_ref().is_some_and(|run| now.duration_since(run.last) >= OPEN)
            && let Some(run) = self.open.take()
        {
            self.before = Some(run.last);
            // An episode of too few events, or without calm to compare with, says nothing.
            if run.calm.value().is_some() && run.stress.value().is_some() {
                self.closed.push_back(run);
            }
        }
        while self.closed.len() > KEPT
            || self.closed.front().is_some_and(|run| now.duration_since(run.last) > AGE)
        {
            self.closed.pop_front();
        }
    }

    /// Whether an episode is open at `now`.
    #[must_use]
    pub fn active(&self, now: Timestamp) -> bool {
        self.open.as_ref().is_some_and(|run| now.duration_since(run.last) < OPEN)
    }

    /// β and curvature of the closed episodes.
    #[must_use]
    pub fn resilience(&self) -> Resilience {
        let pairs: Vec<Episode> = self
            .closed
            .iter()
            .filter_map(|run| Some(Episode { stress: run.stress.value()?, calm: run.calm.value()? }))
            .collect();
        Resilience { beta: beta(&pairs, SEED), convexity: self.curvature(), episodes: pairs.len() }
    }

    /// Over the three equally spaced levels with enough events that are farthest apart, the lowest of such; calm is
    /// level 0.
    fn curvature(&self) -> Option<f64> {
        let mut levels: BTreeMap<u8, Mean> = BTreeMap::new();
        for run in &self.closed {
            for (level, mean) in [(0, run.calm)].into_iter().chain(run.levels.iter().map(|(l, m)| (*l, *m))) {
                let all = levels.entry(level).or_default();
                all.sum += mean.sum;
                all.n += mean.n;
            }
        }
        let known: BTreeMap<u8, f64> = levels.iter().filter_map(|(l, m)| Some((*l, m.value()?))).collect();
        let mut widest: Option<(u8, f64)> = None;
        for (low, below) in &known {
            for (high, above) in known.range(low.saturating_add(1)..) {
                let step = (high - low) / 2;
                let Some(at) = known.get(&(low + step)).filter(|_| step > 0 && (high - low) % 2 == 0) else {
                    continue;
                };
                if widest.is_none_or(|(found, _)| step > found)
                    && let Some(second) = convexity(*below, *at, *above)
                {
                    widest = Some((step, second));
                }
            }
        }
        widest.map(|(_, second)| second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_900_000_000 + second).unwrap()
    }

    fn mean(values: &[f64]) -> Mean {
        let mut mean = Mean::default();
        for value in values {
            mean.push(*value);
        }
        mean
    }

    /// One episode of `n` events at `second`, closed a minute later.
    fn episode(drills: &mut Drills, second: i64, calm: f64, stress: &[(f64, Option<u8>)]) {
        for (psi, level) in stress {
            drills.push(at(second), *psi, *level, |_| mean(&[calm; 5]));
        }
        drills.turn(at(second + 60));
    }

    #[test]
    fn an_episode_is_open_for_a_minute_after_its_last_event() {
        let mut drills = Drills::default();
        assert!(!drills.active(at(0)));
        drills.push(at(0), 0.5, None, |_| Mean::default());
        drills.push(at(30), 0.5, None, |_| unreachable!("asked once an episode"));
        assert!(drills.active(at(89)));
        assert!(!drills.active(at(90)));
        drills.push(at(200), 0.5, None, |since| {
            assert_eq!(since, Some(at(30)), "calm is what came after the episode before");
            Mean::default()
        });
        assert!(drills.active(at(201)));
    }

    #[test]
    fn beta_needs_three_closed_episodes() {
        let mut drills = Drills::default();
        for round in 0..3 {
            assert_eq!(drills.resilience().beta, None, "{round} episodes");
            episode(&mut drills, 1000 * round, 0.8, &[(0.6, None); 3]);
        }
        let found = drills.resilience();
        let beta = found.beta.unwrap();
        assert_eq!((found.episodes, beta.episodes), (3, 3));
        assert!((beta.value - 0.75).abs() < 1e-12);
    }

    #[test]
    fn an_open_episode_or_one_of_too_few_events_does_not_count() {
        let mut drills = Drills::default();
        episode(&mut drills, 0, 0.8, &[(0.6, None); 2]);
        assert_eq!(drills.resilience().episodes, 0);
        for _ in 0..5 {
            drills.push(at(1000), 0.6, None, |_| mean(&[0.8; 2]));
        }
        drills.turn(at(1060));
        assert_eq!(drills.resilience().episodes, 0, "no calm");
        for _ in 0..5 {
            drills.push(at(2000), 0.6, None, |_| mean(&[0.8; 3]));
        }
        assert_eq!(drills.resilience().episodes, 0, "still open");
        drills.turn(at(2060));
        assert_eq!(drills.resilience().episodes, 1);
    }

    #[test]
    fn old_episodes_are_forgotten_and_their_number_is_bounded() {
        let mut drills = Drills::default();
        for round in 0..100 {
            episode(&mut drills, 100 * round, 0.8, &[(0.6, None); 3]);
        }
        assert_eq!(drills.resilience().episodes, KEPT);
        drills.turn(at(9900).checked_add(AGE).unwrap().checked_add(SignedDuration::from_secs(1)).unwrap());
        assert_eq!(drills.resilience().episodes, 0);
    }

    #[test]
    fn curvature_takes_the_widest_equal_steps() {
        let mut drills = Drills::default();
        episode(&mut drills, 0, 1.0, &[(0.9, Some(45)); 3]);
        assert_eq!(drills.resilience().convexity, None);
        episode(&mut drills, 100, 1.0, &[(0.2, Some(90)); 3]);
        assert!((drills.resilience().convexity.unwrap() - (0.2 - 1.8 + 1.0)).abs() < 1e-12);
        // 0, 10, 20 are nearer to each other.
        episode(&mut drills, 200, 1.0, &[(0.5, Some(10)); 3]);
        episode(&mut drills, 300, 1.0, &[(0.5, Some(20)); 3]);
        assert!((drills.resilience().convexity.unwrap() + 0.6).abs() < 1e-12);
    }

    #[test]
    fn events_out_of_order_do_not_close_an_episode() {
        let mut drills = Drills::default();
        drills.push(at(100), 0.5, None, |_| Mean::default());
        drills.push(at(0), 0.5, None, |_| unreachable!());
        assert!(drills.active(at(159)));
    }
}
