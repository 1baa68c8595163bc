//! A small builder of league situations: a challenger that is good enough, changed one fact at a time.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::traffic::{HOME, MIRRORED};
use super::{Contestant, Decision, Memory, Plan, Reason, Revision, Route, Situation, Split, Stage, decide};
use crate::decide::gate::GateAnswer;
use crate::decide::situation::ObjectRef;
use crate::decide::testing::at;
use crate::orient::Verdict;
use crate::orient::trial::{Evidence, Seen, Weighed};

/// The split of a canary with the default weight.
pub(crate) const CANARY: Split = Split { champion: 95, challenger: 5, mirror: false };

/// A Deployment of four pods that has run its template for a day.
pub(crate) fn contestant(template: &str) -> Contestant {
    Contestant {
        uid: format!("uid-{template}"),
        resource_version: "7".into(),
        generation: 3,
        template: template.into(),
        pod_template_hash: format!("h-{template}"),
        replica_set: format!("rs-{template}"),
        desired: 4,
        ready: 4,
        updated: 4,
        settled: true,
        failing: false,
        started_at: at(-86_400),
    }
}

fn seen(requests: f64) -> Seen {
    Seen {
        requests,
        errors: Some(0.001),
        recent_errors: Some(0.001),
        recent_requests: 110.0,
        latency: Some(60.0),
        typical_latency: Some(60.0),
        high_latency: Some(64.0),
        least_recent_latency: Some(59.0),
        slow: None,
        linf: Some(0.6),
        requests_at: Some(at(0)),
        errors_at: Some(at(0)),
        latency_at: Some(at(0)),
        linf_at: Some(at(0)),
    }
}

fn weighed(verdict: Verdict, worse: f64, not_worse: f64) -> Weighed {
    Weighed { verdict, e_worse: worse, e_not_worse: not_worse, looks: 60 }
}

/// Evidence of a stage that began `seconds` ago, with nothing wrong.
pub(crate) fn good(seconds: i64) -> Evidence {
    Evidence {
        from: Some(at(15 - seconds)),
        to: Some(at(0)),
        scrapes: 60,
        champion: seen(28_000.0),
        challenger: Seen { linf: Some(0.63), ..seen(1500.0) },
        errors: weighed(Verdict::NotWorse, 0.1, 300.0),
        latency: weighed(Verdict::NotWorse, 0.1, 90.0),
        delta_linf: Some(0.03),
    }
}

/// One story at the moment [`at`]`(0)`.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) s: Situation,
}

impl Story {
    /// No league yet; a challenger with template `new` is ready beside a champion with `old`.
    pub(crate) fn rest() -> Self {
        let spec = serde_json::from_value(json!({
            "champion": {"deployment": "web", "service": "web", "port": 80},
            "challenger": {"deployment": "next", "service": "next", "port": 80},
            "routeRef": {"name": "web"},
        }))
        .unwrap();
        let s = Situation {
            now: at(0),
            object: ObjectRef {
                namespace: "shop".into(),
                name: "web".into(),
                uid: "g-1".into(),
                target: "web".into(),
            },
            spec,
            interval_seconds: 15,
            max_age_seconds: 60,
            paused: None,
            ledger_trouble: None,
            blocked: None,
            champion: Some(contestant("old")),
            challenger: Some(contestant("new")),
            route: None,
            route_trouble: None,
            memory: Memory::default(),
            evidence: Evidence::default(),
            gate: GateAnswer::Admit,
            linf_configured: true,
            delta_linf_min: 0.02,
            omega: Some(0.9),
            calm: true,
            request: None,
        };
        Self { s }.split(HOME)
    }

    fn running(stage: Stage, seconds: i64, split: Split) -> Self {
        Self::rest().split(split).with(|s| {
            s.memory = Memory {
                stage,
                since: Some(at(-seconds)),
                until: Some(at(0)),
                run: Some("run".into()),
                champion_template: Some("old".into()),
                challenger_template: Some("new".into()),
                expected: Some(split),
                previous: Some(contestant("old").revision()),
                ..Memory::default()
            };
            s.evidence = good(seconds);
        })
    }

    /// A shadow stage at the end of its time, that passes.
    pub(crate) fn shadow() -> Self {
        Self::running(Stage::Shadow, 300, MIRRORED)
    }

    /// A canary stage at the end of its time, that passes.
    pub(crate) fn canary() -> Self {
        Self::running(Stage::Canary, 600, CANARY)
    }

    /// The rollout after a promotion, complete; the route has returned.
    pub(crate) fn promote() -> Self {
        Self::running(Stage::Promote, 60, HOME).with(|s| {
            s.champion = Some(Contestant { started_at: at(-60), ..contestant("new") });
            s.memory.until = None;
            s.memory.baseline = Some(good(600));
            s.evidence.errors.verdict = Verdict::Undecided;
            s.evidence.latency.verdict = Verdict::Undecided;
        })
    }

    /// A watch at the end of its time, that passes.
    pub(crate) fn watch() -> Self {
        Self::promote().with(|s| {
            s.memory.stage = Stage::Watch;
            s.memory.since = Some(at(-300));
            s.memory.until = Some(at(0));
            s.evidence.from = Some(at(-285));
        })
    }

    /// Every stage in which a league runs, at the moment at which it would go on.
    pub(crate) fn every_stage() -> [Self; 4] {
        [Self::shadow(), Self::canary(), Self::promote(), Self::watch()]
    }

    /// The same by replica share, as far as a canary goes.
    pub(crate) fn shares() -> Self {
        Self::canary().with(|s| {
            s.spec.route_ref = None;
            (s.route, s.memory.expected) = (None, None);
            s.memory.expected_replicas = Some(1);
            s.challenger = Some(Contestant { desired: 1, ready: 1, updated: 1, ..contestant("new") });
        })
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Situation)) -> Self {
        change(&mut self.s);
        self
    }

    /// The route as it is.
    pub(crate) fn split(self, split: Split) -> Self {
        self.with(|s| {
            s.route = Some(Route {
                uid: "r-1".into(),
                resource_version: "9".into(),
                champion: split.champion,
                challenger: split.challenger,
                mirror: split.mirror,
                shape_ok: true,
                why_not: String::new(),
            });
        })
    }

    /// The same, some seconds later; the evidence is kept fresh.
    pub(crate) fn later(self, seconds: i64) -> Self {
        self.with(|s| {
            let by = SignedDuration::from_secs(seconds);
            s.now += by;
            let move_on = |at: &mut Option<Timestamp>| *at = at.map(|at| at + by);
            move_on(&mut s.evidence.to);
            for side in [&mut s.evidence.champion, &mut s.evidence.challenger] {
                move_on(&mut side.requests_at);
                move_on(&mut side.errors_at);
                move_on(&mut side.latency_at);
                move_on(&mut side.linf_at);
            }
        })
    }

    /// The situation that a decision leaves.
    pub(crate) fn after(self, d: &Decision) -> Self {
        self.with(|s| {
            s.memory = d.next.clone();
            let roll = |champion: &mut Option<Contestant>, to: &Revision| {
                *champion =
                    Some(Contestant { settled: false, ready: 4, updated: 0, ..contestant(&to.template) });
            };
            match &d.plan {
                Plan::Nothing => {}
                Plan::Route(split) => {
                    if let Some(route) = &mut s.route {
                        (route.champion, route.challenger) = (split.champion, split.challenger);
                        route.mirror = split.mirror;
                    }
                }
                Plan::Share { replicas, .. } => {
                    if let Some(challenger) = &mut s.challenger {
                        challenger.desired = *replicas;
                    }
                }
                Plan::Promote { to_template, .. } => {
                    roll(&mut s.champion, &contestant(to_template).revision());
                }
                Plan::Revert(to) => roll(&mut s.champion, to),
            }
        })
    }

    pub(crate) fn decide(&self) -> Decision {
        decide(&self.s)
    }
}

/// Asserts stage, token and plan of a decision.
#[track_caller]
pub(crate) fn expect(d: &Decision, stage: Stage, reason: Reason, plan: &Plan) {
    assert_eq!((d.stage, d.reason, &d.plan), (stage, reason, plan), "{}\n{:#?}", d.reasoning, d.rules);
}

/// Asserts that nothing is done or remembered, and why.
#[track_caller]
pub(crate) fn holds(story: &Story, reason: Reason) -> Decision {
    let d = story.decide();
    assert_eq!((d.reason, &d.plan), (reason, &Plan::Nothing), "{}\n{:#?}", d.reasoning, d.rules);
    assert_eq!(d.next, story.s.memory, "nothing new is remembered");
    d
}
