//! Two Deployments and a route in memory, as far as a league sees and writes them.

use jiff::{SignedDuration, Timestamp};

use crate::decide::league::{Contestant, Plan, Revision, Route, Who};

/// Time from a new template to a complete rollout, s.
const ROLLOUT_SECONDS: i64 = 45;

/// The cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Town {
    /// The time.
    pub now: Timestamp,
    /// The one that serves.
    pub champion: Option<Contestant>,
    /// The one that wants to.
    pub challenger: Option<Contestant>,
    /// The rule in front of both; `None` by replica share.
    pub route: Option<Route>,
    /// Templates whose pods crash.
    pub crashing: Vec<String>,
}

/// A Deployment that has run `template` for a day.
fn deployment(name: &str, template: &str, replicas: i32, now: Timestamp) -> Contestant {
    Contestant {
        uid: format!("uid-{name}"),
        resource_version: "1".into(),
        generation: 1,
        template: template.into(),
        pod_template_hash: format!("hash-{template}"),
        replica_set: format!("{name}-hash-{template}"),
        desired: replicas,
        ready: replicas,
        updated: replicas,
        settled: true,
        failing: false,
        started_at: now - SignedDuration::from_hours(24),
    }
}

impl Town {
    /// A champion with template `old` and a challenger with `new`. By replica share the challenger begins with none.
    #[must_use]
    pub fn new(now: Timestamp, replicas: i32, by_route: bool) -> Self {
        let route = Route {
            uid: "uid-route".into(),
            resource_version: "1".into(),
            champion: 100,
            challenger: 0,
            mirror: false,
            shape_ok: true,
            why_not: String::new(),
        };
        Self {
            now,
            champion: Some(deployment("web", "old", replicas, now)),
            challenger: Some(deployment("next", "new", if by_route { replicas } else { 0 }, now)),
            route: by_route.then_some(route),
            crashing: Vec::new(),
        }
    }

    /// Carries out a plan in one write.
    pub fn apply(&mut self, plan: &Plan) {
        match plan {
            Plan::Nothing => {}
            Plan::Route(split) => {
                if let Some(route) = &mut self.route {
                    (route.champion, route.challenger) = (split.champion, split.challenger);
                    route.mirror = split.mirror;
                }
            }
            Plan::Share { deployment, replicas } => {
                let side = match deployment {
                    Who::Champion => &mut self.champion,
                    Who::Challenger => &mut self.challenger,
                };
                if let Some(side) = side {
                    side.desired = *replicas;
                    side.ready = side.ready.min(*replicas);
                }
            }
            Plan::Promote { to_template, .. } => {
                let to = Revision {
                    replica_set: format!("web-hash-{to_template}"),
                    pod_template_hash: format!("hash-{to_template}"),
                    template: to_template.clone(),
                };
                self.roll(&to);
            }
            Plan::Revert(to) => self.roll(to),
        }
    }

    /// The champion begins to roll out.
    fn roll(&mut self, to: &Revision) {
        if let Some(champion) = &mut self.champion {
            champion.template.clone_from(&to.template);
            champion.replica_set.clone_from(&to.replica_set);
            champion.pod_template_hash.clone_from(&to.pod_template_hash);
            champion.started_at = self.now;
            (champion.settled, champion.failing, champion.updated) = (false, false, 0);
            champion.generation += 1;
        }
    }

    /// Lets time pass: pods start, rollouts complete or fail.
    pub fn pass(&mut self, seconds: u32) {
        self.now += SignedDuration::from_secs(i64::from(seconds));
        for side in [&mut self.champion, &mut self.challenger].into_iter().flatten() {
            let crashes = self.crashing.contains(&side.template);
            let done = self.now.duration_since(side.started_at).as_secs() >= ROLLOUT_SECONDS;
            side.failing = crashes && done;
            side.settled = done && !crashes;
            if side.settled {
                (side.ready, side.updated) = (side.desired, side.desired);
            }
        }
    }

    /// Share of the users' requests that the challenger answers, 0…1.
    #[must_use]
    pub fn share(&self) -> f64 {
        if let Some(route) = &self.route {
            return f64::from(route.challenger) / f64::from((route.champion + route.challenger).max(1));
        }
        let ready = |side: &Option<Contestant>| side.as_ref().map_or(0.0, |side| f64::from(side.ready));
        let (old, new) = (ready(&self.champion), ready(&self.challenger));
        if new > 0.0 { new / (old + new) } else { 0.0 }
    }

    /// Whether the challenger gets a copy of every request.
    #[must_use]
    pub fn mirrored(&self) -> bool {
        self.route.as_ref().is_some_and(|route| route.mirror)
    }
}
