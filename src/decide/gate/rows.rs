//! One row: a value held to its bound.

use super::evidence::{Found, Silent};
use super::{GateResult, Pass};
use crate::decide::view::short;

/// Which way a value must lie from its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// At least the bound.
    AtLeast,
    /// At most the bound.
    AtMost,
    /// Below the bound.
    Below,
}

impl Needs {
    /// What the gate of that name needs.
    #[must_use]
    pub fn of(gate: &str) -> Self {
        match gate {
            "cvar" | "ece" | "rhoBias" | "ecoKg" => Self::AtMost,
            "rho" => Self::Below,
            _ => Self::AtLeast,
        }
    }

    /// The sign between value and bound.
    #[must_use]
    pub fn sign(self) -> char {
        match self {
            Self::AtLeast => '≥',
            Self::AtMost => '≤',
            Self::Below => '<',
        }
    }

    /// Distance in the direction of better, and whether it is enough. Written so that NaN fails.
    fn margin(self, value: f64, bound: f64) -> (f64, bool) {
        match self {
            Self::AtLeast => (value - bound, value >= bound),
            Self::AtMost => (bound - value, value <= bound),
            Self::Below => (bound - value, value < bound),
        }
    }
}

/// Holds one value to its bound.
pub(super) fn judge(name: &str, value: &Found<f64>, threshold: f64) -> GateResult {
    let result = |value, margin, pass, reason| GateResult {
        name: name.to_owned(),
        value,
        threshold,
        margin,
        pass,
        reason,
    };
    match value {
        Err(Silent::Off(why)) => result(None, None, Pass::Off, (*why).to_owned()),
        Err(Silent::Unknown(why)) => result(None, None, Pass::Unknown, why.clone()),
        Ok(value) => {
            let needs = Needs::of(name);
            let (margin, enough) = needs.margin(*value, threshold);
            let pass = if enough { Pass::Yes } else { Pass::No };
            let reason = format!("{} needs {} {}", short(*value), needs.sign(), short(threshold));
            result(Some(*value), Some(margin), pass, reason)
        }
    }
}

impl GateResult {
    /// Says more than the numbers, where there are any.
    pub(super) fn saying(mut self, more: &str) -> Self {
        if matches!(self.pass, Pass::Yes | Pass::No) {
            self.reason = format!("{}; {more}", self.reason);
        }
        self
    }
}
