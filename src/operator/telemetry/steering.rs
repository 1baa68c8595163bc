//! The gauges of soft-steer. Their names are those of the loop they were first kept for, so they carry no prefix.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::resources::{Point, gauge};
use crate::decide::steer::{DERIVATIVES, LOOPS, Steering, pressure};
use crate::operator::clock::{Clock, Monotonic};

/// Values of the label `window`, in the order of [`DERIVATIVES`].
const WINDOWS: [&str; 3] = ["30", "60", "300"];

/// The last state of each gate that steers; key: namespace and name.
#[derive(Debug)]
pub(super) struct Steerings {
    clock: Clock,
    seen: Mutex<BTreeMap<(String, String), Seen>>,
}

#[derive(Debug)]
struct Seen {
    until: Monotonic,
    state: Steering,
    target: f64,
}

impl Steerings {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<(String, String), Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn saw(&self, namespace: &str, name: &str, interval: Duration, state: Steering, target: f64) {
        let until = self.clock.monotonic().plus(interval.saturating_mul(3));
        self.seen().insert((namespace.to_owned(), name.to_owned()), Seen { until, state, target });
    }

    pub(super) fn forget(&self, namespace: &str, name: &str) {
        self.seen().remove(&(namespace.to_owned(), name.to_owned()));
    }

    pub(super) fn clear(&self) {
        self.seen().clear();
    }
}

impl Collector for Steerings {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        debug_assert!(WINDOWS.iter().zip(DERIVATIVES).all(|(text, s)| text.parse() == Ok(s)));
        let now = self.clock.monotonic();
        let mut all = self.seen();
        all.retain(|_, seen| seen.until > now);
        let (mut phi, mut slopes, mut loops, mut pressures): (
            Vec<Point>,
            Vec<Point>,
            Vec<Point>,
            Vec<Point>,
        ) = Default::default();
        for ((namespace, name), seen) in all.iter() {
            let of = || vec![("namespace", namespace.as_str()), ("name", name.as_str())];
            let with = |label, value| [of(), vec![(label, value)]].concat();
            phi.extend(seen.state.phi.map(|v| (of(), v)));
            let windows = WINDOWS.iter().zip(seen.state.slopes);
            slopes.extend(windows.filter_map(|(w, slope)| Some((with("window", *w), slope?))));
            if let Some(each) = &seen.state.loops {
                loops.extend(LOOPS.iter().zip(each).map(|(l, v)| (with("loop", *l), *v)));
                let below = pressure(each, seen.target);
                pressures.extend(LOOPS.iter().zip(below).map(|(l, v)| (with("loop", *l), v)));
            }
        }
        gauge(&mut encoder, "wiltonos_quantum_coherence_ratio", "Stable share of effort.", &phi)?;
        let help = "Change of the stable share of effort a minute, over a window in seconds.";
        gauge(&mut encoder, "wiltonos_quantum_coherence_derivative", help, &slopes)?;
        let help = "Stable share of effort of one loop.";
        gauge(&mut encoder, "wiltonos_loop_quantum_coherence", help, &loops)?;
        let help = "How far a loop is below the target.";
        gauge(&mut encoder, "wiltonos_loop_pressure", help, &pressures)
    }
}
