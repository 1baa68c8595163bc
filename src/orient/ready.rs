//! How many pods a sample speaks of: ready counts with their times, because a sample may be older than the last change.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::adapt::seconds;

/// Changes remembered; older samples are taken to speak of the oldest count.
const REMEMBERED: usize = 16;

/// Ready counts over the last changes.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Since when each count stood, oldest first.
    changes: VecDeque<(Timestamp, i32)>,
}

impl Counts {
    /// Takes in the ready count at `at`.
    pub fn note(&mut self, ready: i32, at: Timestamp) {
        if self.changes.back().is_some_and(|(_, known)| *known == ready) {
            return;
        }
        if self.changes.len() == REMEMBERED {
            self.changes.pop_front();
        }
        self.changes.push_back((at, ready));
    }

    /// The count that stands.
    #[must_use]
    pub fn latest(&self) -> Option<i32> {
        self.changes.back().map(|(_, ready)| *ready)
    }

    /// Least and most that were ready in the `window` seconds up to `at`.
    #[must_use]
    pub fn over(&self, at: Timestamp, window: f64) -> Option<(i32, i32)> {
        let ended = |i: usize| self.changes.get(i + 1).map(|(end, _)| seconds(*end, at));
        let spoken_of = self
            .changes
            .iter()
            .enumerate()
            .filter(|(i, (since, _))| (*since <= at || *i == 0) && ended(*i).is_none_or(|ago| ago <= window))
            .map(|(_, (_, ready))| *ready);
        spoken_of.fold(None, |found, ready| match found {
            None => Some((ready, ready)),
            Some((low, high)) => Some((low.min(ready), high.max(ready))),
        })
    }

    /// The count that stood alone for the `window` seconds up to `at`.
    #[must_use]
    pub fn settled(&self, at: Timestamp, window: f64) -> Option<i32> {
        self.over(at, window).filter(|(low, high)| low == high).map(|(low, _)| low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_sample_speaks_of_the_pods_of_its_time() {
        let mut counts = Counts::default();
        assert_eq!(counts.over(at(0), 30.0), None);
        for (t, ready) in [(0, 2), (50, 2), (100, 5), (200, 3)] {
            counts.note(ready, at(t));
        }
        assert_eq!(counts.latest(), Some(3));
        assert_eq!(counts.settled(at(90), 30.0), Some(2));
        assert_eq!(counts.over(at(110), 30.0), Some((2, 5)));
        assert_eq!(counts.settled(at(131), 30.0), Some(5));
        assert_eq!(counts.over(at(230), 30.0), Some((3, 5)), "the edge is still in doubt");
        assert_eq!(counts.settled(at(231), 30.0), Some(3));
        assert_eq!(counts.settled(at(-500), 30.0), Some(2), "before the first");
        for t in 0..100 {
            counts.note(t, at(300 + i64::from(t)));
        }
        assert_eq!(counts.changes.len(), REMEMBERED);
    }
}
