//! The one way from a reading to a number that a gate may be held to.

use super::GateSituation;
use crate::decide::view::{seconds, short};
use crate::observe::reading::{Reading, SignalName, Use};

/// Why a gate has no value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Silent {
    /// It is not asked for; why.
    Off(&'static str),
    /// It is, and what it needs is not to be believed; why.
    Unknown(String),
}

/// A value, or why there is none.
pub(super) type Found<T> = Result<T, Silent>;

/// Why a gate is off whose signals nobody named.
pub(super) const NOT_NAMED: Silent = Silent::Off("its signals are not named");

impl GateSituation {
    pub(super) fn named(&self, name: &str) -> bool {
        self.readings.keys().any(|known| known.as_str() == name)
    }

    /// The value of a signal, if it is named, fresh, from after the rollout, and there is enough of it.
    pub(super) fn evidence(&self, name: &SignalName) -> Found<f64> {
        self.enough(name, self.spec.evidence.min_samples)
    }

    /// The same, where `least` samples are enough.
    pub(super) fn enough(&self, name: &SignalName, least: u32) -> Found<f64> {
        let reading: &Reading = self.readings.get(name).ok_or(NOT_NAMED)?;
        let unknown = |why: String| Err(Silent::Unknown(why));
        let Some((value, sampled_at)) = reading.fresh().filter(|_| reading.supports(Use::Other)) else {
            return unknown(format!("{name} is {}", reading.state()));
        };
        if !value.is_finite() {
            return unknown(format!("{name} is no number"));
        }
        if let Some(rollout) = self.revision_started_at
            && sampled_at < rollout
        {
            let age = seconds(rollout, sampled_at);
            return unknown(format!("{name} was sampled {} s before the rollout", short(age)));
        }
        if self.samples < least {
            return unknown(format!("{} of {least} samples", self.samples));
        }
        Ok(value)
    }

    /// The value, where it also lies where such a value can lie, whatever range its owner declared.
    pub(super) fn within(&self, name: &SignalName, least: u32, (min, max): (f64, f64)) -> Found<f64> {
        let value = self.enough(name, least)?;
        if (min..=max).contains(&value) {
            Ok(value)
        } else {
            Err(Silent::Unknown(format!("{name} is {}, which it cannot be", short(value))))
        }
    }

    /// All parts of one quantity; none of them named is off, some of them is unknown.
    pub(super) fn parts<const N: usize>(&self, names: [&str; N]) -> Found<[f64; N]> {
        if !names.iter().any(|name| self.named(name)) {
            return Err(NOT_NAMED);
        }
        if let Some(absent) = names.iter().find(|name| !self.named(name)) {
            return Err(Silent::Unknown(format!("{absent} is not named")));
        }
        let mut values = [0.0; N];
        for (value, name) in values.iter_mut().zip(names) {
            *value = self.evidence(&SignalName::new(name))?;
        }
        Ok(values)
    }
}
