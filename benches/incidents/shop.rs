//! One service of the shop as a workload under the real decision code, one turn a point.

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use matverse::decide::Decision;
use matverse::decide::situation::Action;
use matverse::observe::Observed;
use matverse::observe::reading::{Evidence, Reading, Readings, SignalName};
use matverse::observe::workload::{Revision, Rollout, Workload};
use matverse::simulate::Pilot;
use serde_json::{Value, json};

use super::data::Point;

/// Replicas of the service; nothing here depends on how many, but a workload has some.
const REPLICAS: i32 = 3;

/// Time of a point, and of things between points.
pub fn time(at: f64) -> Result<Timestamp> {
    Ok(Timestamp::from_millisecond((at * 1000.0) as i64)?)
}

/// What the owner asks for. Nothing but the bounds differs between the variants.
pub fn spec(period: f64, targets: &Value, rollback: &Value) -> Value {
    json!({
        "targetRef": {"name": "service"}, "enforcement": "Act", "intervalSeconds": period as u32,
        "targets": targets, "rollback": rollback,
    })
}

/// A service with its operator.
pub struct Service {
    pilot: Pilot,
    rollout: Option<f64>,
    desired: i32,
}

impl Service {
    pub fn new(spec: Value) -> Result<Self> {
        let spec = serde_json::from_value(spec)?;
        let pilot = Pilot::new("shop", "service", spec).map_err(|why| anyhow!(why.join("; ")))?;
        Ok(Self { pilot, rollout: None, desired: REPLICAS })
    }

    /// A new revision begins to roll out.
    pub fn roll_out(&mut self, at: f64) {
        self.rollout = Some(at);
    }

    /// One turn, at the end of a point's period.
    pub fn turn(&mut self, point: &Point) -> Result<Decision> {
        let at = time(point.at)?;
        let reading = |value: Option<f64>| {
            value.map_or(Reading::Missing, |value| Reading::Fresh { value, sampled_at: at })
        };
        let readings: Readings = [
            (SignalName::LATENCY, reading(point.latency)),
            (SignalName::THROUGHPUT, reading(point.throughput)),
            (SignalName::ERRORS, reading(point.errors)),
        ]
        .into();
        let evidence = Evidence { readings, ..Evidence::default() };
        let workload = Some(self.workload()?);
        Ok(self.pilot.turn(Observed { at, evidence, workload }))
    }

    fn workload(&self) -> Result<Workload> {
        let old = revision("old", 1, Timestamp::UNIX_EPOCH);
        let (current, previous) = match self.rollout {
            Some(at) => (revision("new", 2, time(at)?), vec![old]),
            None => (old, Vec::new()),
        };
        Ok(Workload {
            uid: "service".into(),
            resource_version: String::new(),
            generation: 1,
            desired: self.desired,
            ready: self.desired,
            updated: self.desired,
            deployment_paused: false,
            pause_requested: false,
            fence: None,
            rollout: Rollout {
                complete: true,
                last_ready_at: Some(current.started_at),
                ..Rollout::default()
            },
            current,
            previous,
            start_seconds: None,
            config_changed_at: None,
            other_scalers: Vec::new(),
            gitops: None,
            tunable: None,
        })
    }
}

fn revision(hash: &str, number: i64, started_at: Timestamp) -> Revision {
    Revision {
        replica_set: format!("service-{hash}"),
        pod_template_hash: hash.into(),
        template: hash.into(),
        number,
        started_at,
        ready: REPLICAS,
    }
}

/// Whether a decision does something.
pub fn acts(decision: &Decision) -> Option<Action> {
    (decision.act && decision.action != Action::Noop).then_some(decision.action)
}
