//! Samples of a judged signal, and the last of them kept small: every workload has some for each such signal.

use std::collections::VecDeque;

use jiff::Timestamp;

/// What the workload carried when a sample was taken, per ready replica.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Requests a second.
    pub throughput: Option<f64>,
    /// Utilisation of the cpu request.
    pub cpu: Option<f64>,
    /// Whether one of the two is named at all: if so and it is not fresh, nobody can say.
    pub named: bool,
    /// Requests a second of the whole workload.
    pub arrivals: Option<f64>,
}

/// One sample of a judged signal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) at: Timestamp,
    pub(super) value: f64,
    pub(super) load: Load,
}

/// Samples kept: the window before a rollout, and an eighth more that came since, should it be noticed late.
const KEPT: usize = 225;
/// Room is made for so many at a time: doubling would leave half of it empty.
const ROOM: usize = 25;
/// Longest time between the oldest and the newest, ms.
const SPAN: i64 = (u32::MAX >> 1) as i64;

/// The last samples, oldest first, within 24 days.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// Times are counted from here, ms since the epoch.
    since: i64,
    small: VecDeque<Small>,
}

/// A sample in a third of the size: its time to a millisecond, as sources give it, and loads, which are only held against a
/// multiple of one another, in half the digits.
#[derive(Clone, Copy, Debug)]
struct Small {
    /// Milliseconds, and in the last bit whether a load is named.
    when: u32,
    /// Throughput, cpu, arrivals; NaN where there is none.
    loads: [f32; 3],
    value: f64,
}

impl Small {
    fn of(sample: &Sample, ms: u32) -> Self {
        let Load { throughput, cpu, named, arrivals } = sample.load;
        let small = |load: Option<f64>| load.map_or(f32::NAN, |load| load as f32);
        Self {
            when: ms << 1 | u32::from(named),
            loads: [throughput, cpu, arrivals].map(small),
            value: sample.value,
        }
    }

    fn ms(self) -> i64 {
        (self.when >> 1).into()
    }

    fn at(self, since: i64) -> Timestamp {
        // Never before what was kept, nor 24 days after, so it is a time.
        Timestamp::from_millisecond(since + self.ms()).unwrap_or(Timestamp::MAX)
    }

    fn sample(self, since: i64) -> Sample {
        let load = |load: f32| Some(f64::from(load)).filter(|load| !load.is_nan());
        let [throughput, cpu, arrivals] = self.loads.map(load);
        Sample {
            at: self.at(since),
            value: self.value,
            load: Load { throughput, cpu, named: self.when & 1 == 1, arrivals },
        }
    }
}

impl Kept {
    /// Keeps one more, later than all before; the oldest leaves when there are enough.
    pub(super) fn push(&mut self, sample: Sample) {
        let at = sample.at.as_millisecond();
        if self.small.len() == KEPT {
            self.small.pop_front();
        }
        while self.small.front().is_some_and(|oldest| at - self.since - oldest.ms() > SPAN) {
            self.small.pop_front();
        }
        if self.small.is_empty() {
            self.since = at;
        } else if at - self.since > SPAN {
            self.count_from_oldest();
        }
        if self.small.len() == self.small.capacity() {
            self.small.reserve_exact(ROOM);
        }
        self.small.push_back(Small::of(&sample, (at - self.since).clamp(0, SPAN) as u32));
    }

    fn count_from_oldest(&mut self) {
        let Some(oldest) = self.small.front().copied() else { return };
        let by = oldest.ms();
        self.since += by;
        self.small.iter_mut().for_each(|small| small.when -= (by as u32) << 1);
    }

    /// When the newest was taken.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.small.back().map(|small| small.at(self.since))
    }

    /// All, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Sample> {
        self.small.iter().map(|small| small.sample(self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_900_000_000_123 + ms).expect("a time")
    }

    fn sample(i: i64) -> Sample {
        let throughput = (i % 2 == 0).then_some(1.0 / 3.0);
        let load = Load { throughput, cpu: Some(0.25), named: i % 3 == 0, arrivals: None };
        Sample { at: at(15_001 * i), value: 0.1 * i as f64, load }
    }

    #[test]
    fn the_newest_are_kept_and_come_back_as_they_were() {
        let mut kept = Kept::default();
        assert_eq!(kept.newest(), None);
        (0..1000).for_each(|i| kept.push(sample(i)));
        assert_eq!(kept.newest(), Some(sample(999).at));
        let all: Vec<Sample> = kept.iter().collect();
        assert_eq!((all.len(), kept.small.capacity()), (KEPT, KEPT), "and no room is left over");
        assert_eq!(size_of::<Small>(), 24);
        for (was, is) in (0..1000).map(sample).skip(1000 - KEPT).zip(all) {
            assert_eq!((was.at, was.value.to_bits()), (is.at, is.value.to_bits()));
            assert_eq!((is.load.cpu, is.load.arrivals, is.load.named), (Some(0.25), None, was.load.named));
            let throughput = was.load.throughput.map(|load| f64::from(load as f32));
            assert_eq!(is.load.throughput, throughput);
        }
    }

    #[test]
    fn what_is_older_than_24_days_goes() {
        let day = 86_400_000;
        let mut kept = Kept::default();
        let mut push = |ms: i64| {
            kept.push(Sample { at: at(ms), ..sample(0) });
            kept.iter().map(|s| s.at).collect::<Vec<_>>()
        };
        assert_eq!(push(0), [at(0)]);
        assert_eq!(push(20 * day), [at(0), at(20 * day)]);
        assert_eq!(push(25 * day), [at(20 * day), at(25 * day)]);
        for eighth in 201..500 {
            push(eighth * day / 8);
        }
        let all = push(70 * day);
        assert_eq!((all.first(), all.last()), (Some(&at(362 * day / 8)), Some(&at(70 * day))));
        assert_eq!(push(7000 * day), [at(7000 * day)]);
    }
}
