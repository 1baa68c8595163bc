//! Leagues in memory: the real `weigh` and `decide` against a small cluster, turn by turn.
//!
//! ```text
//!  noise × behaviour of a template ─► Turn ─► weigh ─► Situation ─► decide ─► Plan ─► Town
//!                 ▲                                                                   │
//!                 └──────────── who serves how much of the traffic ───────────────────┘
//! ```

pub mod town;

use std::collections::VecDeque;

use jiff::Timestamp;

use super::chance::Chance;
use crate::api::gate::League;
use crate::decide::gate::GateAnswer;
use crate::decide::league::{Decision, Memory, Plan, Reason, Situation, Stage, decide, weigh};
use crate::decide::situation::ObjectRef;
use crate::orient::trial::{Side, Turn};
pub use town::Town;

/// How a template behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Behaviour {
    /// Every p95 is multiplied by this.
    pub factor: f64,
    /// A p95 from `.0` ms on is multiplied by `.1` as well.
    pub tail: (f64, f64),
    /// Share of requests that fail.
    pub errors: f64,
}

impl Behaviour {
    /// As the noise is, without errors.
    pub const FINE: Self = Self { factor: 1.0, tail: (f64::INFINITY, 1.0), errors: 0.0 };

    /// What it makes of a p95, ms.
    #[must_use]
    pub fn latency(&self, noise: f64) -> f64 {
        let tail = if noise >= self.tail.0 { self.tail.1 } else { 1.0 };
        self.factor * tail * noise
    }
}

/// What is played.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// The league's spec.
    pub spec: League,
    /// Length of a turn, s.
    pub interval_seconds: u32,
    /// Requests of all users in a turn.
    pub requests: f64,
    /// How well they are seen.
    pub sight: Sight,
    /// The champion's template.
    pub champion: Behaviour,
    /// The challenger's template.
    pub challenger: Behaviour,
    /// The challenger's template once it has been promoted.
    pub promoted: Behaviour,
}

/// Requests and failures of one side in one turn.
#[must_use]
pub fn side(requests: f64, behaviour: &Behaviour, noise: f64, chance: &mut Chance) -> Side {
    let failed = if behaviour.errors > 0.0 {
        (0..requests as u32).filter(|_| chance.uniform() < behaviour.errors).count() as f64
    } else {
        0.0
    };
    if requests < 1.0 {
        return Side { requests: Some(0.0), ..Side::default() };
    }
    Side {
        requests: Some(requests),
        errors: Some(failed / requests),
        latency: Some(behaviour.latency(noise)),
        ..Side::default()
    }
}

/// What a scraper sees of one side beside [`side`]: a p95 of few requests scatters, and slow ones may be counted.
#[derive(Clone, Debug, Default)]
pub struct Scraper {
    requests: VecDeque<f64>,
    errors: VecDeque<f64>,
}

/// Turns that the window of a p95 spans.
const WINDOW: usize = 4;

impl Scraper {
    /// One turn. The tail of the latencies is exponential with the p95 that the noise and the template make: of `n`
    /// requests the share below it is .95 with an error of variance .95·.05/n, of which each turn of the window
    /// brings its part.
    pub fn side(
        &mut self,
        (requests, behaviour, noise): (f64, &Behaviour, f64),
        sight: &Sight,
        chance: &mut Chance,
    ) -> Side {
        let mut seen = side(requests, behaviour, noise, chance);
        let Some(p95) = seen.latency else { return seen };
        if sight.scatter {
            for (window, value) in
                [(&mut self.requests, requests), (&mut self.errors, chance.normal() * requests.sqrt())]
            {
                window.truncate(WINDOW - 1);
                window.push_front(value);
            }
            let n: f64 = self.requests.iter().sum();
            let error = (0.95_f64 * 0.05).sqrt() * self.errors.iter().sum::<f64>() / n;
            let below = (0.95 + error).clamp(0.05, 1.0 - 0.5 / n);
            seen.latency = Some(p95 * libm::log(1.0 - below) / libm::log(0.05));
        }
        if let Some(bar) = sight.slow_ms {
            let chance_of_slow = libm::pow(0.05, bar / p95);
            let slow = (0..requests as u32).filter(|_| chance.uniform() < chance_of_slow).count();
            seen.slow = Some(slow as f64 / requests);
        }
        seen
    }
}

/// How well requests are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sight {
    /// Whether a p95 scatters as the requests behind it are few.
    pub scatter: bool,
    /// The bar above which a request is counted as slow, ms; `None`: they are not counted.
    pub slow_ms: Option<f64>,
}

/// A league under way.
#[derive(Clone, Debug)]
pub struct Player {
    /// The cluster.
    pub town: Town,
    /// What is remembered.
    pub memory: Memory,
    /// Turns since the stage began.
    pub turns: Vec<Turn>,
    /// What the gate says.
    pub gate: GateAnswer,
    spec: League,
    interval_seconds: u32,
}

impl Player {
    /// Nothing played yet.
    #[must_use]
    pub fn new(town: Town, spec: League, interval_seconds: u32) -> Self {
        Self {
            town,
            memory: Memory::default(),
            turns: Vec::new(),
            gate: GateAnswer::Admit,
            spec,
            interval_seconds,
        }
    }

    /// What a decision would depend on now.
    #[must_use]
    pub fn situation(&self) -> Situation {
        Situation {
            now: self.town.now,
            object: ObjectRef {
                namespace: "shop".into(),
                name: "web".into(),
                uid: "uid-gate".into(),
                target: "web".into(),
            },
            spec: self.spec.clone(),
            interval_seconds: self.interval_seconds,
            max_age_seconds: 4 * self.interval_seconds,
            paused: None,
            ledger_trouble: None,
            blocked: None,
            champion: self.town.champion.clone(),
            challenger: self.town.challenger.clone(),
            route: self.town.route.clone(),
            route_trouble: None,
            memory: self.memory.clone(),
            evidence: weigh(&self.memory, &self.turns),
            gate: self.gate,
            linf_configured: false,
            delta_linf_min: 0.02,
            omega: None,
            calm: true,
            request: None,
        }
    }

    /// Takes in a turn, decides and carries out.
    pub fn play(&mut self, turn: Turn) -> Decision {
        self.turns.push(turn);
        let decision = decide(&self.situation());
        self.town.apply(&decision.plan);
        self.remember(decision.next.clone());
        decision
    }

    /// Remembers; turns of an earlier stage are let go.
    pub fn remember(&mut self, next: Memory) {
        if next.since != self.memory.since {
            self.turns.clear();
        }
        self.memory = next;
    }
}

/// How a league ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The challenger's template serves.
    Promoted,
    /// It never got beyond its slice.
    RolledBack(Reason),
    /// It was promoted and brought back.
    Reverted,
    /// Not over within the noise that there was.
    Open,
}

/// What came of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Seconds until then (until the challenger's template answered its last request).
    pub seconds: f64,
    /// Share of the users' requests of the whole time that the challenger's template answered, 0…1.
    pub reached: f64,
}

/// Plays a league over this noise, a pair (champion's host, challenger's host) in ms a turn.
#[must_use]
pub fn run(
    story: &Story,
    by_route: bool,
    noise: &[(f64, f64)],
    start: Timestamp,
    chance: &mut Chance,
) -> Outcome {
    let mut player = Player::new(Town::new(start, 20, by_route), story.spec.clone(), story.interval_seconds);
    let (mut reached, mut end, mut seconds) = (0.0, None, 0.0);
    let mut scrapers = [Scraper::default(), Scraper::default()];
    for (turn, (old, new)) in (1_u32..).zip(noise) {
        player.town.pass(story.interval_seconds);
        let promoted = player.town.champion.as_ref().is_some_and(|champion| champion.template == "new");
        let serving = if promoted { &story.promoted } else { &story.champion };
        let share = player.town.share();
        let copied = if player.town.mirrored() { story.requests } else { 0.0 };
        reached += if promoted { story.requests } else { share * story.requests };
        if end.is_some() {
            continue;
        }
        let at = player.town.now;
        let own = ((1.0 - share) * story.requests).round();
        let slice = (share * story.requests).round() + copied;
        let [of_champion, of_challenger] = &mut scrapers;
        let champion = of_champion.side((own, serving, *old), &story.sight, chance);
        let challenger = of_challenger.side((slice, &story.challenger, *new), &story.sight, chance);
        let decision = player.play(Turn { at, champion, challenger });
        let stage = decision.stage;
        end = match stage {
            Stage::Promoted => Some(End::Promoted),
            Stage::RolledBack if matches!(decision.plan, Plan::Revert(_)) => Some(End::Reverted),
            Stage::RolledBack => Some(End::RolledBack(decision.reason)),
            _ => None,
        };
        if end.is_some() {
            seconds = f64::from(turn * story.interval_seconds);
        }
    }
    let all = story.requests * noise.len() as f64;
    Outcome { end: end.unwrap_or(End::Open), seconds, reached: reached / all.max(1.0) }
}

#[cfg(test)]
mod tests;
