//! What a turn's readings say, looked up once: estimators and rules ask for some of them dozens of times a turn.

use std::ops::Index;

use jiff::Timestamp;

use super::reading::{Known, Readings};

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

/// The documented signals.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fresh([Seen; Known::ALL.len()]);

impl Fresh {
    /// One pass over the readings.
    pub(crate) fn of(readings: &Readings) -> Self {
        let mut all = Self::default();
        for (name, reading) in readings {
            if let Some(known) = name.known() {
                all.0[known as usize] = Seen { named: true, sample: reading.believed() };
            }
        }
        all
    }
}

impl Index<Known> for Fresh {
    type Output = Seen;

    fn index(&self, known: Known) -> &Seen {
        &self.0[known as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::reading::{Reading, SignalName};

    #[test]
    fn each_signal_is_found_under_its_own_name_and_nothing_else_is() {
        let sampled_at = Timestamp::UNIX_EPOCH;
        let names = Known::ALL.map(|known| SignalName::new(known.as_str()));
        for name in names.iter().chain(&[SignalName::new("own")]) {
            let found = |reading| {
                let fresh = Fresh::of(&[(name.clone(), reading)].into());
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
