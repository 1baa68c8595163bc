//! What a turn's readings say, looked up once: estimators and rules ask for some of them dozens of times a turn.

use std::ops::Index;

use jiff::Timestamp;

use super::{Known, Readings, SignalName};

/// A finite value and the time of its sample.
pub(crate) type Sample = (f64, Timestamp);

/// One signal.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Whether anybody named it.
    pub(crate) named: bool,
    /// Its sample, where it is fresh.
    pub(crate) sample: Option<Sample>,
}

impl Seen {
    /// The value, where it is fresh.
    pub(crate) fn value(self) -> Option<f64> {
        self.sample.map(|(value, _)| value)
    }
}

/// A turn's readings; the documented ones at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fresh<'a> {
    known: [Seen; Known::ALL.len()],
    /// Whether every named signal may be believed, as is usual.
    whole: bool,
    all: &'a Readings,
}

impl<'a> Fresh<'a> {
    /// One pass over the readings.
    pub(crate) fn of(all: &'a Readings) -> Self {
        let mut fresh = Self { known: [Seen::default(); Known::ALL.len()], whole: true, all };
        for (name, reading) in all {
            let sample = reading.believed();
            fresh.whole &= sample.is_some();
            if let Some(place) = name.known() {
                fresh.known[place as usize] = Seen { named: true, sample };
            }
        }
        fresh
    }

    /// Whether every named signal may be believed.
    pub(crate) fn whole(&self) -> bool {
        self.whole
    }

    /// Whether anybody named the signal.
    pub(crate) fn named(&self, name: &SignalName) -> bool {
        name.known().map_or_else(|| self.all.contains_key(name), |known| self[known].named)
    }

    /// The signal's sample, where it is fresh.
    pub(crate) fn sample(&self, name: &SignalName) -> Option<Sample> {
        match name.known() {
            Some(known) => self[known].sample,
            None => self.all.get(name)?.believed(),
        }
    }
}

impl Index<Known> for Fresh<'_> {
    type Output = Seen;

    fn index(&self, known: Known) -> &Seen {
        &self.known[known as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::reading::Reading;

    #[test]
    fn each_signal_is_found_under_its_own_name_and_nothing_else_is() {
        let sampled_at = Timestamp::UNIX_EPOCH;
        let names = Known::ALL.map(|known| SignalName::new(known.as_str()));
        for name in names.iter().chain(&[SignalName::new("own")]) {
            let found = |reading| {
                let readings = [(name.clone(), reading)].into();
                let fresh = Fresh::of(&readings);
                assert!(fresh.named(name) && !fresh.named(&SignalName::new("other")));
                assert_eq!(fresh.sample(name), readings[name].believed());
                assert_eq!(fresh.whole(), readings[name].believed().is_some());
                Known::ALL
                    .map(|known| (fresh[known].named, fresh[known].value(), name.known() == Some(known)))
            };
            let fresh = found(Reading::Fresh { value: 0.5, sampled_at });
            assert!(fresh.iter().all(|(named, value, own)| named == own && value.is_some() == *own));
            for unknown in [Reading::Missing, Reading::Fresh { value: f64::NAN, sampled_at }] {
                let found = found(unknown);
                assert!(found.iter().all(|(named, value, own)| named == own && value.is_none()), "{name}");
            }
        }
    }
}
