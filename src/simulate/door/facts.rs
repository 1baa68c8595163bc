//! What the stream has said of one workload so far, as the facts a decision is made on.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use super::line::{Line, RevisionLine};
use crate::api::scaling::MatVerseScalingSpec;
use crate::decide::policy;
use crate::observe::workload::{Revision, Rollout, Tunable, Workload};

/// Start times that the median is taken over.
const STARTS: usize = 9;

/// Facts of one workload, kept from line to line.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    replicas: Option<(i32, i32)>,
    revision: Option<Running>,
    /// When each revision's rollout began, as far as said or seen.
    started: BTreeMap<String, Timestamp>,
    last_ready_at: Option<Timestamp>,
    config_changed_at: Option<Timestamp>,
    parameters: Option<BTreeMap<String, String>>,
    /// A count that was asked for and is not ready yet.
    asked: Option<(Timestamp, i32)>,
    starts: VecDeque<f64>,
}

/// The revision that runs.
#[derive(Clone, Debug)]
struct Running {
    current: String,
    previous: Vec<String>,
    failing: bool,
}

impl Facts {
    /// Why a line cannot be taken in; nothing is learned by asking.
    ///
    /// # Errors
    /// A count below 0, or a part of what nobody has said the whole of.
    pub fn check(&self, line: &Line) -> Result<(), String> {
        let replicas = line.replicas.unwrap_or_default();
        for (name, count) in [("desired", replicas.desired), ("ready", replicas.ready)] {
            if let Some(count) = count.filter(|count| *count < 0) {
                return Err(format!("replicas.{name}: {count} is no count"));
            }
        }
        if replicas.ready.is_some() && replicas.desired.is_none() && self.replicas.is_none() {
            return Err("replicas.desired has not been said yet".into());
        }
        let says = line.revision.as_ref().is_some_and(|said| *said != RevisionLine::default());
        let current = line.revision.as_ref().is_some_and(|said| said.current.is_some());
        if says && !current && self.revision.is_none() {
            return Err("revision.current has not been said yet".into());
        }
        Ok(())
    }

    /// Takes in what a line says.
    pub fn learn(&mut self, line: &Line) {
        if let Some(replicas) = line.replicas
            && let Some(desired) = replicas.desired.or(self.desired())
        {
            self.count(desired, replicas.ready, line.time);
        }
        if let Some(revision) = &line.revision {
            self.rollout(revision, line.time);
        }
        if line.config_changed_at.is_some() {
            self.config_changed_at = line.config_changed_at;
        }
        if let Some(parameters) = &line.parameters {
            let told = parameters.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
            self.parameters = Some(told.collect());
        }
        if self.complete() && self.last_ready_at.is_none() {
            self.last_ready_at = Some(line.time);
        }
    }

    /// The count that was said last.
    #[must_use]
    pub fn desired(&self) -> Option<i32> {
        self.replicas.map(|(desired, _)| desired)
    }

    /// How long pods take to start shows in how long a higher count takes to be ready.
    fn count(&mut self, desired: i32, ready: Option<i32>, at: Timestamp) {
        let (before, had) = self.replicas.unwrap_or((desired, desired));
        let ready = ready.unwrap_or(had);
        if desired > before {
            self.asked = Some((at, desired));
        } else if desired < before {
            self.asked = None;
        }
        if let Some((since, count)) = self.asked
            && ready >= count
        {
            if at > since {
                if self.starts.len() == STARTS {
                    self.starts.pop_front();
                }
                self.starts.push_back(at.duration_since(since).as_secs_f64());
            }
            self.asked = None;
        }
        self.replicas = Some((desired, ready));
    }

    fn rollout(&mut self, said: &RevisionLine, at: Timestamp) {
        let known = self.revision.take();
        let Some(current) =
            said.current.clone().or_else(|| known.as_ref().map(|known| known.current.clone()))
        else {
            return;
        };
        // What ran before the first line began nobody knows when: long ago, so nothing is blamed on it.
        let seen = if known.is_some() { at } else { Timestamp::UNIX_EPOCH };
        let same = known.as_ref().is_some_and(|known| known.current == current);
        let kept = self.started.get(&current).copied().filter(|_| same);
        let started = said.started_at.or(kept).unwrap_or(seen);
        if kept != Some(started) {
            self.last_ready_at = None;
        }
        self.started.insert(current.clone(), started);
        let was_failing = known.as_ref().is_some_and(|known| known.failing && same);
        let mut previous = Vec::new();
        if let Some(known) = known {
            previous = known.previous;
            if !same {
                // A revision that is no longer current has become a previous one.
                previous.insert(0, known.current);
            }
        }
        let previous = said.previous.clone().unwrap_or(previous);
        let failing = said.new_pods_failing.unwrap_or(was_failing);
        self.revision = Some(Running { current, previous, failing });
    }

    fn failing(&self) -> bool {
        self.revision.as_ref().is_some_and(|running| running.failing)
    }

    fn complete(&self) -> bool {
        self.replicas.is_some_and(|(desired, ready)| ready >= desired) && !self.failing()
    }

    fn start_seconds(&self) -> Option<f64> {
        let mut all: Vec<f64> = self.starts.iter().copied().collect();
        all.sort_unstable_by(f64::total_cmp);
        all.get(all.len() / 2).copied()
    }

    /// The workload as it stands; `None` until its replicas have been said.
    #[must_use]
    pub fn workload(&self, name: &str, spec: &MatVerseScalingSpec, line: &Line) -> Option<Workload> {
        let (desired, ready) = self.replicas?;
        let complete = self.complete();
        let revision = |hash: &str, ready: i32| Revision {
            replica_set: hash.to_owned(),
            pod_template_hash: hash.to_owned(),
            template: hash.to_owned(),
            number: 0,
            started_at: self.started.get(hash).copied().unwrap_or(Timestamp::UNIX_EPOCH),
            ready,
        };
        let (current, previous) = match &self.revision {
            Some(known) => {
                let beside = |hash: &String| i32::from(line.by_revision.contains_key(hash));
                let old = known.previous.iter().filter(|hash| **hash != known.current);
                let own = if self.failing() { 0 } else { ready };
                (revision(&known.current, own), old.map(|hash| revision(hash, beside(hash))).collect())
            }
            None => (revision("", ready), Vec::new()),
        };
        Some(Workload {
            uid: name.to_owned(),
            resource_version: String::new(),
            generation: 0,
            desired,
            ready,
            updated: if complete { desired } else { ready },
            deployment_paused: false,
            pause_requested: false,
            fence: None,
            current,
            previous,
            rollout: Rollout {
                complete,
                last_ready_at: self.last_ready_at,
                crashes: if self.failing() { policy::CRASHES } else { 0 },
                ..Rollout::default()
            },
            start_seconds: self.start_seconds(),
            config_changed_at: self.config_changed_at,
            other_scalers: Vec::new(),
            gitops: None,
            tunable: spec.retune.as_ref().zip(self.parameters.clone()).map(|(retune, values)| Tunable {
                name: retune.config_map_ref.name.clone(),
                resource_version: String::new(),
                refused: None,
                values,
            }),
        })
    }
}
