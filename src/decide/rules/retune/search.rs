//! Which parameter is moved next, which way and how far.
//!
//! ```text
//!  turn ─► parameter (they take turns) ─► way: the sign of its last measured slope, else up, then down
//!                                      └► share of its range: maxDelta · |slope| / √(ε + Σ slope²)
//! ```
//!
//! The slope of a parameter is what a trial measured: the difference of the judged signal over the share of the
//! range moved. The step is that of `AdaGrad` (Duchi, Hazan & Singer 2011) with η₀ = maxDelta, so it never exceeds the
//! bound, starts at it, and shrinks with every measurement: trials around the best value become small ones. Where
//! a step is too small to be shown better through the noise, it is taken back, and the search stays where it is.

use super::tunable;
use crate::api::scaling::{Parameter, Retune};
use crate::decide::situation::{Memory, RetuneSlope};
use crate::decide::view::View;

/// Keeps the first division defined.
const EPSILON: f64 = 1e-12;
/// Share of `maxDelta` below which a step would show nothing.
const SMALLEST: f64 = 0.1;
/// Parameters whose slopes are remembered.
const MAX_SLOPES: usize = 32;

/// The next step.
pub(super) struct Step<'a> {
    pub(super) parameter: &'a Parameter,
    pub(super) from: &'a str,
    pub(super) to: String,
    /// Of the parameter's range.
    pub(super) share: f64,
}

/// The next possible step: parameters take turns; a value that cannot be moved is passed over.
pub(super) fn next<'a>(v: &View<'a>, retune: &'a Retune) -> Option<Step<'a>> {
    let values = &tunable(v)?.values;
    let count = retune.parameters.len();
    let turn = v.m.retune_steps as usize;
    (turn..turn + 2 * count).find_map(|turn| {
        let parameter = retune.parameters.get((turn / 2) % count)?;
        let from = values.get(&parameter.key)?;
        let known = v.m.retune_slopes.iter().find(|known| known.key == parameter.key);
        let up = known.map_or(turn.is_multiple_of(2), |known| known.slope > 0.0);
        let share = share(parameter, known);
        Some(Step { parameter, from, to: stepped(from, parameter, share, up)?, share })
    })
}

/// The step of `AdaGrad`, as a share of the parameter's range.
fn share(parameter: &Parameter, known: Option<&RetuneSlope>) -> f64 {
    let most = parameter.max_delta;
    let step = known.map_or(most, |known| most * known.slope.abs() / (EPSILON + known.squares).sqrt());
    // Written so that NaN is the smallest.
    if step > SMALLEST * most { step.min(most) } else { SMALLEST * most }
}

/// The slope that the trial has measured: difference of the judged signal over the share of the range moved. `None`
/// where it measured nothing.
pub(super) fn measured(v: &View<'_>, gain: f64) -> Option<(String, f64)> {
    let trial = v.m.retune_trial.as_ref()?;
    let parameters = &v.spec().retune.as_ref()?.parameters;
    let parameter = parameters.iter().find(|parameter| parameter.key == trial.key)?;
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let moved = (number(&trial.trial)? - number(&trial.before)?) / (parameter.max - parameter.min);
    let slope = gain / moved;
    (slope.is_finite() && moved != 0.0).then(|| (trial.key.clone(), slope))
}

/// Remembers a measured slope.
pub(crate) fn learn(memory: &mut Memory, key: &str, slope: f64) {
    let slopes = &mut memory.retune_slopes;
    let squares = slopes.iter().find(|known| known.key == key).map_or(0.0, |known| known.squares);
    slopes.retain(|known| known.key != key);
    // Beyond that its square would overflow.
    let slope = slope.clamp(-1e100, 1e100);
    slopes.push(RetuneSlope { key: key.to_owned(), slope, squares: (squares + slope * slope).min(f64::MAX) });
    slopes.drain(..slopes.len().saturating_sub(MAX_SLOPES));
}

/// A value moved by a share of its range inside it; `None` where it is no number, out of range, or at its end.
///
/// A value written as an integer stays one where the largest step is at least 1.
pub(super) fn stepped(value: &str, parameter: &Parameter, share: f64, up: bool) -> Option<String> {
    let number: f64 = value.trim().parse().ok()?;
    if !(number >= parameter.min && number <= parameter.max) {
        return None;
    }
    let range = parameter.max - parameter.min;
    let integer = value.trim().parse::<i64>().is_ok() && parameter.max_delta * range >= 1.0;
    let step = share * range;
    let step = if integer { step.floor().max(1.0) } else { step };
    let moved = if up { number + step } else { number - step };
    let moved = moved.clamp(parameter.min, parameter.max);
    let moved = if integer { moved.trunc() } else { moved };
    // Enough places for a millionth of the step, and no binary dust behind them.
    let places = (0..15).find(|places| step * 10_f64.powi(*places) >= 1e6).unwrap_or(15) as usize;
    let mut text = format!("{moved:.places$}");
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    let inside = text.parse::<f64>().is_ok_and(|v| v >= parameter.min && v <= parameter.max);
    // At its end the clamp undid the step.
    let stepped = (moved - number).abs() > 0.0;
    (inside && stepped).then_some(text)
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
