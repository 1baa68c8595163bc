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

/// The last samples, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept(VecDeque<Small>);

/// A sample in half the size. Loads are only held against a multiple of one another; NaN where there is none.
#[derive(Clone, Copy, Debug)]
struct Small {
    at: Timestamp,
    value: f64,
    throughput: f32,
    cpu: f32,
    arrivals: f32,
    named: bool,
}

impl From<Sample> for Small {
    fn from(Sample { at, value, load }: Sample) -> Self {
        let small = |load: Option<f64>| load.map_or(f32::NAN, |load| load as f32);
        let (throughput, cpu, arrivals) = (small(load.throughput), small(load.cpu), small(load.arrivals));
        Self { at, value, throughput, cpu, arrivals, named: load.named }
    }
}

impl From<Small> for Sample {
    fn from(small: Small) -> Self {
        let load = |load: f32| Some(f64::from(load)).filter(|load| !load.is_nan());
        let (throughput, cpu, arrivals) = (load(small.throughput), load(small.cpu), load(small.arrivals));
        Self {
            at: small.at,
            value: small.value,
            load: Load { throughput, cpu, named: small.named, arrivals },
        }
    }
}

impl Kept {
    /// Keeps one more; the oldest leaves when there are enough.
    pub(super) fn push(&mut self, sample: Sample) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        } else if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(ROOM);
        }
        self.0.push_back(sample.into());
    }

    /// When the newest was taken.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.0.back().map(|sample| sample.at)
    }

    /// All, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Sample> {
        self.0.iter().copied().map(Sample::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(i: i64, throughput: Option<f64>) -> Sample {
        let load = Load { throughput, cpu: Some(0.25), named: true, arrivals: None };
        Sample { at: Timestamp::from_second(i).expect("a time"), value: 0.1 * i as f64, load }
    }

    #[test]
    fn the_newest_are_kept_and_come_back_as_they_were() {
        let mut kept = Kept::default();
        assert_eq!(kept.newest(), None);
        for i in 0..1000 {
            kept.push(sample(i, (i % 2 == 0).then_some(1.0 / 3.0)));
        }
        assert_eq!(kept.newest(), Timestamp::from_second(999).ok());
        let all: Vec<Sample> = kept.iter().collect();
        assert_eq!((all.len(), kept.0.capacity()), (KEPT, KEPT), "and no room is left over");
        for (was, is) in
            (1000 - KEPT as i64..1000).map(|i| sample(i, (i % 2 == 0).then_some(1.0 / 3.0))).zip(all)
        {
            assert_eq!((was.at, was.value.to_bits()), (is.at, is.value.to_bits()));
            assert_eq!((is.load.cpu, is.load.arrivals, is.load.named), (Some(0.25), None, true));
            let off = was.load.throughput.zip(is.load.throughput).map(|(was, is)| (was / is - 1.0).abs());
            assert!(
                was.load.throughput.is_some() == is.load.throughput.is_some()
                    && off.is_none_or(|off| off < 1e-7)
            );
        }
    }
}
