//! What the operator tells machines: JSON logs on standard error, and metrics in the `OpenMetrics` text format.
//!
//! Counters and histograms are kept by `prometheus-client`. Gauges that speak of a resource are not stored as numbers
//! but rebuilt at every scrape from what the last turn saw, so that a value that is no longer fresh — its reading
//! lapsed, its turns stopped, its resource is gone, this replica lost leadership — is *absent*, never stale.

mod resources;
mod steering;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;

use super::clock::Clock;
use crate::api::scaling::Mode;
use crate::decide::situation::Action;
use crate::decide::steer::Steering;
use crate::observe::Observed;
use crate::orient::Picture;
use resources::Resources;
use steering::Steerings;

/// `Content-Type` of [`Telemetry::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds of the histograms, in seconds: 10 µs to 10 s.
const BUCKETS: [f64; 19] = [
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 1e-1, 2e-1, 5e-1, 1.0,
    2.5, 5.0, 10.0,
];

/// Why telemetry could not be set up or told.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Another subscriber is installed already.
    #[error("logging is set up already")]
    AlreadyLogging,
    /// `RUST_LOG` is no filter.
    #[error("RUST_LOG is not a log filter: {0}")]
    Filter(String),
    /// The metrics could not be written as text.
    #[error("metrics could not be encoded")]
    Encode,
}

impl TelemetryError {
    /// A bounded name for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AlreadyLogging => "already_logging",
            Self::Filter(_) => "filter",
            Self::Encode => "encode",
        }
    }
}

/// Starts JSON logs on standard error, filtered by `RUST_LOG` (default `info`).
///
/// # Errors
/// `RUST_LOG` is not a filter, or logging was set up before.
pub fn init_logging() -> Result<(), TelemetryError> {
    let filter = filter(std::env::var("RUST_LOG").ok().as_deref())?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(|_| TelemetryError::AlreadyLogging)
}

fn filter(asked: Option<&str>) -> Result<EnvFilter, TelemetryError> {
    let asked = asked.map(str::trim).filter(|f| !f.is_empty()).unwrap_or("info");
    EnvFilter::try_new(asked).map_err(|e| TelemetryError::Filter(e.to_string()))
}

/// One phase of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// From Prometheus and the watches to evidence.
    Observe,
    /// From evidence to a picture.
    Orient,
    /// From a picture to a decision.
    Decide,
    /// Both appends of an act.
    Ledger,
    /// The one write of an act.
    Act,
    /// Status, events, metrics.
    Report,
}

impl Phase {
    const ALL: [Self; 6] = [Self::Observe, Self::Orient, Self::Decide, Self::Ledger, Self::Act, Self::Report];

    /// The value of the label `phase`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Orient => "orient",
            Self::Decide => "decide",
            Self::Ledger => "ledger",
            Self::Act => "act",
            Self::Report => "report",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    action: &'static str,
    mode: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActLabels {
    action: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabel {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: String,
}

/// All metrics of the operator. Share it in an `Arc`.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    clock: Clock,
    decisions: Family<DecisionLabels, Counter>,
    acts: Family<ActLabels, Counter>,
    delays: Histogram,
    phases: Family<PhaseLabel, Histogram>,
    turns: Histogram,
    errors: Family<KindLabel, Counter>,
    leader: Gauge,
    policies: Gauge,
    sources: Family<SourceLabel, Gauge>,
    resources: Arc<Resources>,
    steering: Arc<Steerings>,
}

impl Telemetry {
    /// The metrics, all of them zero or absent.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let mut whole = Registry::default();
        let steering = Arc::new(Steerings::new(clock.clone()));
        whole.register_collector(Box::new(Arc::clone(&steering)));
        let registry = whole.sub_registry_with_prefix("matverse");
        let decisions = Family::<DecisionLabels, Counter>::default();
        registry.register("decisions", "Decisions made, one a turn", decisions.clone());
        let acts = Family::<ActLabels, Counter>::default();
        registry.register("actions_executed", "Acts tried, by what came of them", acts.clone());
        let delays = Histogram::new(BUCKETS);
        registry.register(
            "act_delay_seconds",
            "From the start of a turn to the answer to its act",
            delays.clone(),
        );
        let phases = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        registry.register("phase_duration_seconds", "Duration of one phase of a turn", phases.clone());
        let turns = Histogram::new(BUCKETS);
        registry.register("turn_duration_seconds", "Duration of a whole turn", turns.clone());
        let errors = Family::<KindLabel, Counter>::default();
        registry.register("reconcile_errors", "Turns that ended in an error, by its kind", errors.clone());
        let leader = Gauge::default();
        registry.register("leader", "1 while this replica leads", leader.clone());
        let policies = Gauge::default();
        registry.register("policies_stand", "1 while the admission policies are proven", policies.clone());
        let sources = Family::<SourceLabel, Gauge>::default();
        registry.register("source_up", "1 while a source of metrics answers", sources.clone());
        let resources = Arc::new(Resources::new(clock.clone()));
        registry.register_collector(Box::new(Arc::clone(&resources)));

        // A counter that appears with its first event hides that event from `rate()`.
        for action in [Action::Noop, Action::ScaleUp, Action::ScaleDown, Action::Retune, Action::Rollback] {
            for mode in [Mode::Conservative, Mode::Balanced, Mode::Aggressive] {
                let labels = DecisionLabels { action: action.as_str(), mode: mode_name(mode) };
                drop(decisions.get_or_create(&labels));
            }
            if action != Action::Noop {
                for result in ["applied", "refused", "abandoned", "unknown"] {
                    drop(acts.get_or_create(&ActLabels { action: action.as_str(), result }));
                }
            }
        }
        for phase in Phase::ALL {
            drop(phases.get_or_create(&PhaseLabel { phase: phase.as_str() }));
        }
        Self {
            registry: whole,
            clock,
            decisions,
            acts,
            delays,
            phases,
            turns,
            errors,
            leader,
            policies,
            sources,
            resources,
            steering,
        }
    }

    /// A decision was made.
    pub fn decided(&self, action: Action, mode: Mode) {
        self.decisions
            .get_or_create(&DecisionLabels { action: action.as_str(), mode: mode_name(mode) })
            .inc();
    }

    /// An act was tried; `result` is [`crate::ledger::Outcome::as_str`], `delay` the time since its turn began.
    pub fn executed(&self, action: Action, result: &'static str, delay: Duration) {
        self.delays.observe(delay.as_secs_f64());
        self.acts.get_or_create(&ActLabels { action: action.as_str(), result }).inc();
    }

    /// A phase took this long.
    pub fn phase(&self, phase: Phase, took: Duration) {
        self.phases.get_or_create(&PhaseLabel { phase: phase.as_str() }).observe(took.as_secs_f64());
    }

    /// A whole turn took this long.
    pub fn turn(&self, took: Duration) {
        self.turns.observe(took.as_secs_f64());
    }

    /// Runs a phase and notes how long it took, on success and on failure alike.
    pub async fn timed<T>(&self, phase: Phase, work: impl Future<Output = T>) -> T {
        let began = self.clock.monotonic();
        let done = work.await;
        self.phase(phase, self.clock.monotonic().since(began));
        done
    }

    /// A turn ended in an error; `kind` is the error's own bounded name.
    pub fn reconcile_error(&self, kind: &'static str) {
        self.errors.get_or_create(&KindLabel { kind }).inc();
    }

    /// Whether this replica leads. A replica that does not has no turns, and so no gauges of resources either.
    pub fn leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
        if !leads {
            self.resources.clear();
            self.steering.clear();
        }
    }

    /// Whether the admission policies stand.
    pub fn policies(&self, stand: bool) {
        self.policies.set(i64::from(stand));
    }

    /// Number of entries in the ledger, and what is used of its budget, in percent.
    pub fn ledger(&self, entries: u64, used: u64) {
        self.resources.ledger(entries, used);
    }

    /// Whether a source answers.
    pub fn source_up(&self, source: &str, up: bool) {
        self.sources.get_or_create(&SourceLabel { source: source.to_owned() }).set(i64::from(up));
    }

    /// What a turn saw of a resource. The gauges hold for three intervals, or until the next call.
    pub fn saw(
        &self,
        namespace: &str,
        name: &str,
        interval: Duration,
        observed: &Observed,
        picture: &Picture,
    ) {
        self.resources.saw(namespace, name, interval, observed, picture);
    }

    /// The resource is gone: so are its gauges.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.resources.forget(namespace, name);
    }

    /// How calm what a gate steers is. The gauges hold for three intervals, or until the next call.
    pub fn steered(&self, namespace: &str, name: &str, interval: Duration, state: Steering, target: f64) {
        self.steering.saw(namespace, name, interval, state, target);
    }

    /// The gate is gone, or steers no more.
    pub fn forget_steering(&self, namespace: &str, name: &str) {
        self.steering.forget(namespace, name);
    }

    /// All metrics as `OpenMetrics` text.
    ///
    /// # Errors
    /// A value that cannot be encoded.
    pub fn render(&self) -> Result<String, TelemetryError> {
        let mut text = String::new();
        encode(&mut text, &self.registry).map_err(|_| TelemetryError::Encode)?;
        Ok(text)
    }
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Conservative => "conservative",
        Mode::Balanced => "balanced",
        Mode::Aggressive => "aggressive",
    }
}

#[cfg(test)]
mod tests;
