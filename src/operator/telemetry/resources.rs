//! Gauges that may be absent, rebuilt at every scrape from what the last turn of each saw.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::observe::Observed;
use crate::observe::reading::{Reading, SignalName};
use crate::operator::clock::{Clock, Monotonic};
use crate::orient::Picture;

/// What this replica knows while it leads.
#[derive(Debug)]
pub(super) struct Resources {
    clock: Clock,
    /// Entries, and what is used of the budget, in percent.
    ledger: Mutex<Option<(u64, u64)>>,
    /// What the last turn of each resource saw; key: namespace and name.
    seen: Mutex<BTreeMap<(String, String), Seen>>,
}

#[derive(Debug)]
struct Seen {
    until: Monotonic,
    omega: Option<f64>,
    psi: Option<f64>,
    nis: BTreeMap<SignalName, f64>,
    sampled_at: BTreeMap<SignalName, Timestamp>,
}

/// Labels and value of one gauge.
pub(super) type Point<'a> = (Vec<(&'static str, &'a str)>, f64);

impl Resources {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, ledger: Mutex::default(), seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<(String, String), Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn saw(
        &self,
        namespace: &str,
        name: &str,
        interval: Duration,
        observed: &Observed,
        picture: &Picture,
    ) {
        let mut nis = BTreeMap::new();
        let mut sampled_at = BTreeMap::new();
        for (signal, reading) in &observed.evidence.readings {
            match reading {
                Reading::Fresh { sampled_at: at, .. } => {
                    sampled_at.insert(signal.clone(), *at);
                    if let Some(estimate) = picture.signals.get(signal).filter(|e| e.nis.is_finite()) {
                        nis.insert(signal.clone(), estimate.nis);
                    }
                }
                // How old a stale sample is, is a fresh fact, and the one worth an alert.
                Reading::Stale { age_seconds: Some(age) } => {
                    let age = jiff::SignedDuration::try_from_secs_f64(*age).ok();
                    if let Some(at) = age.and_then(|a| observed.at.checked_sub(a).ok()) {
                        sampled_at.insert(signal.clone(), at);
                    }
                }
                Reading::Stale { age_seconds: None }
                | Reading::Missing
                | Reading::NotFinite
                | Reading::Ambiguous { .. }
                | Reading::WrongType
                | Reading::OutOfRange { .. }
                | Reading::Idle
                | Reading::SourceDown { .. } => {}
            }
        }
        let seen = Seen {
            until: self.clock.monotonic().plus(interval.saturating_mul(3)),
            omega: picture.omega.map(|o| o.value).filter(|v| v.is_finite()),
            psi: picture.psi.filter(|v| v.is_finite()),
            nis,
            sampled_at,
        };
        self.seen().insert((namespace.to_owned(), name.to_owned()), seen);
    }

    pub(super) fn forget(&self, namespace: &str, name: &str) {
        self.seen().remove(&(namespace.to_owned(), name.to_owned()));
    }

    pub(super) fn ledger(&self, entries: u64, used: u64) {
        *self.ledger.lock().unwrap_or_else(PoisonError::into_inner) = Some((entries, used));
    }

    pub(super) fn clear(&self) {
        self.seen().clear();
        *self.ledger.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Collector for Resources {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        if let Some((entries, used)) = *self.ledger.lock().unwrap_or_else(PoisonError::into_inner) {
            for (name, help, value) in [
                ("ledger_entries", "Entries in the ledger.", entries),
                ("ledger_budget_used_percent", "What is used of the ledger's budget.", used),
            ] {
                let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
                gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
            }
        }
        let (now, wall) = (self.clock.monotonic(), self.clock.now());
        let mut all = self.seen();
        all.retain(|_, seen| seen.until > now);
        let (mut omega, mut psi, mut nis, mut age) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for ((namespace, name), seen) in all.iter() {
            let of = || vec![("namespace", namespace.as_str()), ("name", name.as_str())];
            omega.extend(seen.omega.map(|v| (of(), v)));
            psi.extend(seen.psi.map(|v| (of(), v)));
            let with = |s| [of(), vec![("signal", SignalName::as_str(s))]].concat();
            nis.extend(seen.nis.iter().map(|(s, v)| (with(s), *v)));
            let age_of = |at: Timestamp| wall.duration_since(at).as_secs_f64().max(0.0);
            age.extend(seen.sampled_at.iter().map(|(s, at)| (with(s), age_of(*at))));
        }
        gauge(&mut encoder, "omega_score", "Ω, while fresh.", &omega)?;
        gauge(&mut encoder, "psi_index", "Ψ, while fresh.", &psi)?;
        let help = "Normalised innovation squared of the last sample, while fresh.";
        gauge(&mut encoder, "kalman_nis", help, &nis)?;
        gauge(&mut encoder, "evidence_age_seconds", "Age of the sample behind a signal.", &age)
    }
}

pub(super) fn gauge(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    points: &[Point],
) -> Result<(), Error> {
    if points.is_empty() {
        return Ok(());
    }
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in points {
        ConstGauge::new(*value).encode(metric.encode_family(labels)?)?;
    }
    Ok(())
}
