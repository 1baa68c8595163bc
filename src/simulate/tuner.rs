//! Leagues of synthetic challengers with a hidden quality, for measuring what the tuner gains.
//!
//! A challenger's true parts of L∞ move with its quality; its true gain is L∞ of those less the champion's. What is seen
//! of it is noisy. How much U, S, C, L and the parts of CAOS⁺ tell of the quality is the world's: all the same, or drawn
//! for each part and hidden from the tuner. Each rule judges the same challengers.

use super::chance::Chance;
use crate::decide::tuner::{Bounds, Parameters, Tried, Tuner, passes};
use crate::orient::growth::{self, COST_FACTOR, Caos, Linf, ScoreWeights};

/// Challengers a league.
pub const CHALLENGERS: usize = 8;
/// Noise of a seen part.
const NOISE: f64 = 0.06;

/// How much the parts tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// All parts tell the same.
    Even,
    /// Each tells 0 to 1.5 times as much, drawn once.
    Uneven,
    /// One of U, S, C, L tells twice as much, and the others nothing.
    OneTells,
}

/// What a rule promoted after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Challengers judged.
    pub judged: u32,
    /// Of those promoted.
    pub promoted: u32,
    /// Sum of the true gains of the promoted.
    pub gain: f64,
}

impl Tally {
    fn count(&mut self, promoted: bool, gain: f64) {
        self.judged += 1;
        if promoted {
            self.promoted += 1;
            self.gain += gain;
        }
    }

    /// Mean true gain of the promoted; `None` where there was none.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.promoted > 0).then(|| self.gain / f64::from(self.promoted))
    }
}

/// What one seed gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The fixed parameters.
    pub fixed: Tally,
    /// The tuner.
    pub tuned: Tally,
    /// Fixed weights and a higher mark that promotes as many as the tuner did: what mere strictness gains.
    pub strict: Tally,
    /// Where the tuner ended.
    pub last: Parameters,
}

struct Field {
    score: [f64; 4],
    caos: [f64; 4],
}

impl Field {
    fn new(world: World, chance: &mut Chance) -> Self {
        let mut tells = || match world {
            World::Even | World::OneTells => 1.0,
            World::Uneven => 1.5 * chance.uniform(),
        };
        let (mut score, caos) = ([(); 4].map(|()| tells()), [(); 4].map(|()| tells()));
        if world == World::OneTells {
            let one = chance.below(4);
            score = [0, 1, 2, 3].map(|i| if i == one { 2.0 } else { 0.0 });
        }
        Self { score, caos }
    }

    /// A challenger: what is seen of it, and its true gain.
    fn challenger(&self, chance: &mut Chance) -> Option<(Tried, f64)> {
        let quality = chance.normal();
        let mut seen =
            |level: f64, moves: f64| (level + moves * quality + NOISE * chance.normal()).clamp(0.0, 1.0);
        let [utility, stable, thrift, learning] = self.score.map(|tells| seen(0.72, 0.08 * tells));
        let [c, a, o, s] = self.caos.map(|tells| seen(0.65, 0.08 * tells));
        let [rsi, synergy, novelty, stability, viability] = [(); 5].map(|()| seen(0.7, 0.05));
        let cost = seen(0.2, -0.03);
        let champion = level(0.7, 0.2);
        let tried = Tried {
            score: [utility, stable, 1.0 - thrift, learning],
            caos: Caos { c, a, o, s },
            linf: Linf { rsi, synergy, novelty, stability, viability, cost },
            champion,
        };
        let clip = |value: f64| value.clamp(0.0, 1.0);
        let truth = Tried { linf: level(clip(0.7 + 0.05 * quality), clip(0.2 - 0.03 * quality)), ..tried };
        Some((tried, truth.gain(COST_FACTOR)?))
    }
}

fn level(part: f64, cost: f64) -> Linf {
    Linf { rsi: part, synergy: part, novelty: part, stability: part, viability: part, cost }
}

/// Runs `leagues` leagues of one seed through each rule; those of the warm-up are not counted.
#[must_use]
pub fn run(world: World, seed: u64, leagues: usize, warm_up: usize) -> Outcome {
    let mut chance = Chance::new(seed, 11);
    let field = Field::new(world, &mut chance);
    let bounds = Bounds { delta_linf_min: 0.02, caos_phi_min: 0.2 };
    let fixed_rule = Parameters::default();
    let mut tuner = Tuner::default();
    let (mut fixed, mut tuned) = (Tally::default(), Tally::default());
    let mut passed = Vec::new();
    for league in 0..leagues {
        let all: Vec<(Tried, f64)> = (0..CHALLENGERS).filter_map(|_| field.challenger(&mut chance)).collect();
        if league >= warm_up {
            for (tried, gain) in &all {
                let by_fixed = passes(tried, &fixed_rule, &bounds);
                fixed.count(by_fixed, *gain);
                tuned.count(passes(tried, tuner.parameters(), &bounds), *gain);
                if by_fixed {
                    passed.push((score(tried), *gain));
                }
            }
        }
        tuner.league(all.into_iter().map(|(tried, _)| tried).collect(), &bounds);
    }
    passed.sort_by(|a, b| b.0.total_cmp(&a.0));
    let best = passed.iter().take(tuned.promoted as usize);
    let strict =
        Tally { judged: fixed.judged, promoted: best.len() as u32, gain: best.map(|(_, gain)| gain).sum() };
    Outcome { fixed, tuned, strict, last: *tuner.parameters() }
}

fn score(tried: &Tried) -> f64 {
    let [u, s, c, l] = Parameters::default().weights;
    growth::score(tried.score, &ScoreWeights { u, s, c, l }).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_an_outcome_and_tuning_promotes_no_more() {
        for world in [World::Even, World::Uneven, World::OneTells] {
            let one = run(world, 3, 40, 10);
            assert_eq!(one, run(world, 3, 40, 10));
            assert_eq!(one.fixed.judged, 30 * CHALLENGERS as u32);
            assert!(one.tuned.promoted <= one.fixed.promoted && one.fixed.promoted > 0);
            assert_eq!(one.strict.promoted, one.tuned.promoted);
        }
    }
}
