//! The tuner of the score's own parameters: κ of CAOS⁺, the cost factor of L∞, four weights, the pass mark.
//!
//! ```text
//!  leagues, each a few challengers with measured parts and gains
//!     ─► J = mean gain of those that pass − mean gain of those that do not, smoothed, over the last ten leagues
//!     ─► its slope in each parameter (central difference) ─► AdaGrad ascent, |Δ| ≤ .02 of a range a league
//! ```
//!
//! Gains are measured with the untuned cost factor, or the tuner would mark its own work. A challenger passes only where
//! it passes untuned as well and holds the gate's thresholds both ways: tuning cannot loosen.
//!
//! It is not served: no resource and no value of the chart turns it on. What it gains by simulation, and why that is not
//! enough, is in `docs/results/tuner.md`.

use crate::orient::growth::{self, Caos, GAMMA, Linf, ScoreWeights};

/// Largest step a league, as a share of a parameter's range.
pub const MOST: f64 = 0.02;
/// Leagues before the first step.
pub const WARM_UP: usize = 10;
/// Leagues that the slope is measured over.
const WINDOW: usize = 10;
/// Keeps the first division of `AdaGrad` defined.
const EPSILON: f64 = 1e-12;
/// Half of a central difference, as a share of a range.
const DIFFERENCE: f64 = 0.02;
/// Width of the smoothed pass, in units of score, φ and L∞ alike. A mark without width has no slope.
const WIDTH: f64 = 0.03;
/// Numbers that are tuned.
const NUMBERS: usize = 7;
/// Their smallest and largest values: κ, cost factor, four weights, pass mark.
const RANGES: [(f64, f64); NUMBERS] =
    [(10.0, 50.0), (0.05, 0.5), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0), (0.7, 0.95)];

/// What is tuned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters {
    /// κ of CAOS⁺, 10 to 50.
    pub kappa: f64,
    /// Cost factor of L∞, .05 to .5.
    pub cost_factor: f64,
    /// Weights of U, S, 1 − C and L; their sum is 1.
    pub weights: [f64; 4],
    /// Smallest score that passes, at least .7.
    pub pass: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        let ScoreWeights { u, s, c, l } = ScoreWeights::default();
        Self {
            kappa: growth::KAPPA,
            cost_factor: growth::COST_FACTOR,
            weights: [u, s, c, l],
            pass: growth::SCORE_PASS,
        }
    }
}

impl Parameters {
    fn numbers(&self) -> [f64; NUMBERS] {
        let [u, s, c, l] = self.weights;
        [self.kappa, self.cost_factor, u, s, c, l, self.pass]
    }

    fn of([kappa, cost_factor, u, s, c, l, pass]: [f64; NUMBERS]) -> Self {
        Self { kappa, cost_factor, weights: [u, s, c, l], pass }
    }
}

/// The gate's own thresholds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// `growth.deltaLinfMin`.
    pub delta_linf_min: f64,
    /// `growth.caosPhiMin`.
    pub caos_phi_min: f64,
}

/// A challenger as it was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tried {
    /// U, S, C and L.
    pub score: [f64; 4],
    /// Parts of CAOS⁺.
    pub caos: Caos,
    /// Parts of its L∞.
    pub linf: Linf,
    /// Parts of the champion's L∞.
    pub champion: Linf,
}

impl Tried {
    /// Gain of L∞ over the champion; `None` where a part is no share.
    #[must_use]
    pub fn gain(&self, cost_factor: f64) -> Option<f64> {
        Some(growth::linf(&self.linf, cost_factor, true)? - growth::linf(&self.champion, cost_factor, true)?)
    }

    /// How far it is above each mark: score, gain, φ.
    fn margins(&self, by: &Parameters, bounds: &Bounds) -> Option<[f64; 3]> {
        let [u, s, c, l] = by.weights;
        Some([
            growth::score(self.score, &ScoreWeights { u, s, c, l })? - by.pass,
            self.gain(by.cost_factor)? - bounds.delta_linf_min,
            growth::caos_phi(self.caos, by.kappa, GAMMA)? - bounds.caos_phi_min,
        ])
    }
}

/// Whether a challenger passes: by the parameters, and untuned. What cannot be computed does not pass.
#[must_use]
pub fn passes(tried: &Tried, parameters: &Parameters, bounds: &Bounds) -> bool {
    [&Parameters::default(), parameters]
        .iter()
        .all(|p| tried.margins(p, bounds).is_some_and(|margins| margins.iter().all(|margin| *margin >= 0.0)))
}

/// The tuner's state.
#[derive(Clone, Debug, Default)]
pub struct Tuner {
    parameters: Parameters,
    squares: [f64; NUMBERS],
    leagues: usize,
    window: Vec<Vec<Tried>>,
}

impl Tuner {
    /// The parameters as they stand.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Takes the challengers of a league in, promoted and rejected, and makes at most one step.
    pub fn league(&mut self, tried: Vec<Tried>, bounds: &Bounds) {
        self.window.push(tried);
        self.window.drain(..self.window.len().saturating_sub(WINDOW));
        self.leagues += 1;
        if self.leagues <= WARM_UP {
            return;
        }
        let present = self.parameters.numbers();
        let mut slopes = [0.0; NUMBERS];
        for (i, (least, most)) in RANGES.iter().enumerate() {
            let at = |by: f64| {
                let mut moved = present;
                moved[i] = (moved[i] + by * (most - least)).clamp(*least, *most);
                (moved[i], self.objective(&Parameters::of(moved), bounds))
            };
            let ((below, low), (above, high)) = (at(-DIFFERENCE), at(DIFFERENCE));
            let slope = low.zip(high).map(|(low, high)| (high - low) * (most - least) / (above - below));
            // What cannot be measured moves nothing.
            slopes[i] = slope.filter(|slope| slope.is_finite()).unwrap_or(0.0);
        }
        // Weights move along their sum.
        let mean = slopes[2..6].iter().sum::<f64>() / 4.0;
        slopes[2..6].iter_mut().for_each(|slope| *slope -= mean);
        let mut next = present;
        for (i, (least, most)) in RANGES.iter().enumerate() {
            self.squares[i] += slopes[i] * slopes[i];
            let step = MOST * slopes[i] / (EPSILON + self.squares[i]).sqrt();
            next[i] = (next[i] + step.clamp(-MOST, MOST) * (most - least)).clamp(*least, *most);
        }
        on_simplex(&present, &mut next);
        self.parameters = Parameters::of(next);
    }

    /// Mean gain of those that pass less that of those that do not, each challenger counted by how clearly it does;
    /// `None` where nobody is on one of the sides.
    fn objective(&self, p: &Parameters, bounds: &Bounds) -> Option<f64> {
        let (mut inside, mut outside) = ([0.0; 2], [0.0; 2]);
        for tried in self.window.iter().flatten() {
            let (Some(gain), Some(margins)) = (tried.gain(growth::COST_FACTOR), tried.margins(p, bounds))
            else {
                continue;
            };
            let passes: f64 = margins.iter().map(|margin| 1.0 / (1.0 + libm::exp(-margin / WIDTH))).product();
            inside = [inside[0] + passes, inside[1] + passes * gain];
            outside = [outside[0] + 1.0 - passes, outside[1] + (1.0 - passes) * gain];
        }
        let both = inside[0] > 0.0 && outside[0] > 0.0;
        both.then(|| inside[1] / inside[0] - outside[1] / outside[0]).filter(|j| j.is_finite())
    }
}

/// Brings the weights back to a sum of 1, none of them moved by more than the largest step.
fn on_simplex(present: &[f64; NUMBERS], next: &mut [f64; NUMBERS]) {
    let sum: f64 = next[2..6].iter().sum();
    let far = (2..6).map(|i| (next[i] / sum - present[i]).abs()).fold(0.0, f64::max);
    let part = if far > MOST { MOST / far } else { 1.0 };
    for i in 2..6 {
        next[i] = present[i] + part * (next[i] / sum - present[i]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { delta_linf_min: 0.02, caos_phi_min: 0.2 };

    fn linf(level: f64) -> Linf {
        Linf { rsi: level, synergy: level, novelty: level, stability: level, viability: level, cost: 0.2 }
    }

    /// U tells the quality, the others tell nothing.
    fn tried(quality: f64, other: f64) -> Tried {
        Tried {
            score: [quality, other, 1.0 - other, other],
            caos: Caos { c: 0.7, a: 0.7, o: 0.7, s: 0.7 },
            linf: linf(0.6 + 0.2 * quality),
            champion: linf(0.7),
        }
    }

    fn league(n: u64) -> Vec<Tried> {
        // Two sequences without a common period.
        (0..8)
            .map(|i| tried(((n * 8 + i) % 11) as f64 / 10.0, 0.5 + ((n * 8 + i) % 7) as f64 / 14.0))
            .collect()
    }

    #[test]
    fn it_warms_up_and_then_weighs_what_tells_the_gain() {
        let mut tuner = Tuner::default();
        for n in 0..WARM_UP as u64 {
            tuner.league(league(n), &BOUNDS);
        }
        assert_eq!(*tuner.parameters(), Parameters::default());
        for n in 10..60 {
            tuner.league(league(n), &BOUNDS);
        }
        let weights = tuner.parameters().weights;
        assert!(weights[0] > 0.35 && weights[1..].iter().all(|w| *w < 0.3), "{weights:?}");
    }

    #[test]
    fn what_cannot_be_measured_moves_nothing_and_does_not_pass() {
        let mut nonsense = tried(0.9, 0.9);
        nonsense.score[0] = f64::NAN;
        assert!(!passes(&nonsense, &Parameters::default(), &BOUNDS));
        let mut tuner = Tuner::default();
        for _ in 0..20 {
            tuner.league(vec![nonsense; 8], &BOUNDS);
        }
        assert_eq!(*tuner.parameters(), Parameters::default());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

        #[test]
        fn steps_are_bounded_and_tuning_never_loosens(
            all in prop::collection::vec(prop::collection::vec((0.0..1.0, 0.0..1.0), 1..6), 11..30),
        ) {
            let mut tuner = Tuner::default();
            for league in all {
                let tried: Vec<Tried> = league.into_iter().map(|(q, other)| tried(q, other)).collect();
                let before = tuner.parameters().numbers();
                tuner.league(tried.clone(), &BOUNDS);
                let p = *tuner.parameters();
                for ((old, new), (least, most)) in before.iter().zip(p.numbers()).zip(RANGES) {
                    prop_assert!((new - old).abs() <= MOST * (most - least) + 1e-12);
                    prop_assert!(new >= least - 1e-12 && new <= most + 1e-12);
                }
                prop_assert!((p.weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                for tried in tried {
                    prop_assert!(!passes(&tried, &p, &BOUNDS) || passes(&tried, &Parameters::default(), &BOUNDS));
                }
            }
        }
    }
}
