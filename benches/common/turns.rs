//! A typical workload, for what measures time or counts allocations.

use jiff::{SignedDuration, Timestamp};
use matverse::api::scaling::MatVerseScalingSpec;
use matverse::observe::Observed;
use matverse::observe::reading::{Evidence, Reading, Readings, SignalName};
use matverse::observe::workload::{Revision, Rollout, Workload};
use matverse::orient::adapt::{Channel, Limits};
use matverse::orient::joint::{Joint, SIGNALS};
use matverse::orient::kalman::Motion;
use matverse::simulate::Pilot;

/// A wave with a bit of noise, the same everywhere.
fn wave(i: u64, k: u64) -> f64 {
    let noise =
        (i.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(k * 1_442_695_040_888_963_407) >> 40) as f64;
    libm::sin(i as f64 / 40.0 + k as f64) + noise / (1_u64 << 24) as f64
}

fn time(i: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_900_000_000 + 15 * i.cast_signed())
}

/// The filters of six signals and their joint innovation.
pub struct HotStep {
    channels: Vec<Channel>,
    joint: Joint,
    i: u64,
}

impl HotStep {
    /// Past its first hundred steps.
    pub fn warm() -> Self {
        let channels = (0..SIGNALS).map(|_| Channel::new(Motion::Trend)).collect();
        let mut step = Self { channels, joint: Joint::default(), i: 0 };
        for _ in 0..100 {
            step.next();
        }
        step
    }

    /// One predict and update of all.
    pub fn next(&mut self) -> Option<f64> {
        self.i += 1;
        let limits = Limits { interval: 15.0, q_min: 0.001, q_max: 0.1, r_floor: 0.0, r_extra: 0.0 };
        let mut z = [None; SIGNALS];
        for (k, (channel, z)) in self.channels.iter_mut().zip(&mut z).enumerate() {
            *z = channel.observe(10.0 + wave(self.i, k as u64), time(self.i), &limits);
        }
        self.joint.observe(z)
    }
}

/// Observations of one workload with four signals, turn by turn.
pub struct Feed {
    workload: Workload,
    i: u64,
}

impl Feed {
    /// The next turn.
    pub fn next(&mut self) -> Observed {
        self.i += 1;
        let at = time(self.i);
        let fresh = |value: f64| Reading::Fresh { value, sampled_at: at };
        let readings: Readings = [
            (SignalName::CPU, fresh(0.65 + 0.02 * wave(self.i, 1))),
            (SignalName::LATENCY, fresh(120.0 + 10.0 * wave(self.i, 2))),
            (SignalName::THROUGHPUT, fresh(100.0 + 5.0 * wave(self.i, 3))),
            (SignalName::ERRORS, fresh(0.001)),
        ]
        .into();
        let evidence = Evidence { readings, ..Evidence::default() };
        Observed { at, evidence, workload: Some(self.workload.clone()) }
    }
}

/// A pilot of one workload, warm, and what it is fed.
pub fn pilot() -> (Pilot, Feed) {
    let spec: MatVerseScalingSpec = serde_json::from_value(serde_json::json!({
        "targetRef": {"name": "web"}, "enforcement": "Act", "targets": {"latencyTarget": 250.0},
    }))
    .unwrap_or_else(|e| unreachable!("{e}"));
    let revision = |hash: &str, ready: i32| Revision {
        replica_set: hash.into(),
        pod_template_hash: hash.into(),
        template: hash.into(),
        number: 1,
        started_at: time(0) - SignedDuration::from_hours(24),
        ready,
    };
    let workload = Workload {
        uid: "u".into(),
        resource_version: "1".into(),
        generation: 1,
        desired: 4,
        ready: 4,
        updated: 4,
        deployment_paused: false,
        pause_requested: false,
        fence: None,
        current: revision("abc", 4),
        previous: vec![revision("def", 0)],
        rollout: Rollout { complete: true, last_ready_at: Some(time(0)), ..Rollout::default() },
        start_seconds: Some(12.0),
        config_changed_at: None,
        other_scalers: Vec::new(),
        gitops: None,
        tunable: None,
    };
    let mut pilot = Pilot::new("shop", "web", spec).unwrap_or_else(|why| unreachable!("{why:?}"));
    let mut feed = Feed { workload, i: 0 };
    for _ in 0..300 {
        pilot.turn(feed.next());
    }
    (pilot, feed)
}
