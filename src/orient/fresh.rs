//! What a turn's readings say, looked up once: the room asks for some of them a dozen times a turn.

use jiff::Timestamp;

use crate::observe::reading::{Readings, SignalName};

/// A finite value and the time of its sample.
pub(super) type Sample = (f64, Timestamp);

/// One signal.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Whether anybody named it.
    pub(super) named: bool,
    /// Its sample, where it is fresh.
    pub(super) sample: Option<Sample>,
}

impl Seen {
    /// The value, where it is fresh.
    pub(super) fn value(self) -> Option<f64> {
        self.sample.map(|(value, _)| value)
    }
}

/// The signals that the estimators know by name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fresh {
    pub(super) cpu: Seen,
    pub(super) cvar: Seen,
    pub(super) errors: Seen,
    pub(super) latency: Seen,
    pub(super) omega: Seen,
    pub(super) psi: Seen,
    pub(super) throughput: Seen,
}

impl Fresh {
    /// One pass over the readings.
    pub(super) fn of(readings: &Readings) -> Self {
        let mut all = Self::default();
        for (name, reading) in readings {
            let seen = match *name {
                SignalName::CPU => &mut all.cpu,
                SignalName::CVAR => &mut all.cvar,
                SignalName::ERRORS => &mut all.errors,
                SignalName::LATENCY => &mut all.latency,
                SignalName::OMEGA => &mut all.omega,
                SignalName::PSI => &mut all.psi,
                SignalName::THROUGHPUT => &mut all.throughput,
                _ => continue,
            };
            *seen = Seen { named: true, sample: reading.fresh().filter(|(value, _)| value.is_finite()) };
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::reading::Reading;

    #[test]
    fn each_signal_is_found_under_its_own_name_and_nothing_else_is() {
        let known = [
            SignalName::CPU,
            SignalName::CVAR,
            SignalName::ERRORS,
            SignalName::LATENCY,
            SignalName::OMEGA,
            SignalName::PSI,
            SignalName::THROUGHPUT,
        ];
        let others = [SignalName::BETA, SignalName::new("own")];
        let sampled_at = Timestamp::UNIX_EPOCH;
        for name in known.iter().chain(&others) {
            let found = |reading| {
                let f = Fresh::of(&[(name.clone(), reading)].into());
                [f.cpu, f.cvar, f.errors, f.latency, f.omega, f.psi, f.throughput]
                    .into_iter()
                    .zip(&known)
                    .map(|(seen, own)| (seen.named, seen.value(), own == name))
                    .collect::<Vec<_>>()
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
