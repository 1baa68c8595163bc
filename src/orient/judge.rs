//! One verdict over two whole columns, as somebody would have had it who looked at every pair.

use serde::Serialize;

use super::Verdict;
use super::counts::Counted;
use super::paired::{Margin, Paired};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Relative difference that still counts as equal.
    pub margin: f64,
    /// Probability of a false alarm at any look.
    pub alpha: f64,
    /// +1 where more is worse, −1 where less is.
    pub sign: f64,
    /// Whether the numbers are counts of independent events (Poisson, binomial, 0 or 1), which tell more than sizes.
    pub counts: bool,
}

/// The e-processes that answer.
enum Process {
    Pairs(Paired),
    Counts(Counted),
}

impl Process {
    fn new(question: &Question, margin: Margin) -> Self {
        if question.counts {
            Self::Counts(Counted::new(margin.relative, question.sign))
        } else {
            Self::Pairs(Paired::new(margin, question.sign))
        }
    }

    fn push(&mut self, baseline: f64, challenger: f64) {
        match self {
            Self::Pairs(pairs) => pairs.push(baseline, challenger),
            Self::Counts(counts) => counts.push(baseline, challenger),
        }
    }

    fn values(&self) -> (f64, f64) {
        match self {
            Self::Pairs(pairs) => pairs.values(),
            Self::Counts(counts) => counts.values(),
        }
    }

    /// The same without the tail.
    fn typical(&self) -> (f64, f64) {
        match self {
            Self::Pairs(pairs) => pairs.typical(),
            Self::Counts(counts) => counts.values(),
        }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    /// `Worse` where it ever stood; else `NotWorse` where that did; else `Undecided`.
    pub verdict: Verdict,
    /// First pair, from 1, at which the verdict stood.
    pub at: Option<u32>,
    /// Any-time valid p-value: the largest e-value so far for the verdict (for `Worse` where undecided), inverted.
    pub p: f64,
    /// Relative change of the challenger's median (of counts, the mean); `None` where the baseline's is 0 or the change is beyond
    /// any number.
    pub effect: Option<f64>,
    /// Relative changes that no look has refuted, each side with confidence 1 − α; `None` = no bound found.
    pub interval: [Option<f64>; 2],
}

/// The largest e-values of both sides, and when each first reached 1/α.
#[derive(Clone, Copy, Debug, Default)]
struct Course {
    worse: f64,
    worse_at: Option<u32>,
    not_worse: f64,
    not_worse_at: Option<u32>,
}

fn course(pairs: &[(f64, f64)], question: &Question, margin: f64) -> Course {
    let mut process = Process::new(question, Margin { relative: margin, absolute: 0.0 });
    let mut found = Course::default();
    let bar = 1.0 / question.alpha;
    for (look, (baseline, challenger)) in (1..).zip(pairs) {
        process.push(*baseline, *challenger);
        let (worse, not_worse) = process.values();
        found.worse = found.worse.max(worse);
        found.not_worse = found.not_worse.max(not_worse);
        if worse >= bar {
            found.worse_at = found.worse_at.or(Some(look));
        }
        if not_worse >= bar {
            found.not_worse_at = found.not_worse_at.or(Some(look));
        }
    }
    found
}

/// Verdict, first pair at which it stood, and p-value alone.
#[must_use]
pub fn verdict(pairs: &[(f64, f64)], question: &Question) -> (Verdict, Option<u32>, f64) {
    let seen = course(pairs, question, question.margin);
    let (verdict, at, e) = match (seen.worse_at, seen.not_worse_at) {
        (Some(at), _) => (Verdict::Worse, Some(at), seen.worse),
        (None, Some(at)) => (Verdict::NotWorse, Some(at), seen.not_worse),
        (None, None) => (Verdict::Undecided, None, seen.worse),
    };
    (verdict, at, 1.0 / e.max(1.0))
}

/// Judges pairs (baseline, challenger) in the order they arrived.
#[must_use]
pub fn judge(pairs: &[(f64, f64)], question: &Question) -> Judgement {
    let (verdict, at, p) = verdict(pairs, question);
    let typical = |values: Vec<f64>| if question.counts { mean(&values) } else { median(values) };
    let base = typical(pairs.iter().map(|(a, _)| *a).collect());
    let now = typical(pairs.iter().map(|(_, b)| *b).collect());
    let effect = base.zip(now).filter(|(base, _)| *base != 0.0).map(|(base, now)| (now - base) / base.abs());
    let effect = effect.filter(|effect| effect.is_finite());
    Judgement { verdict, at, p, effect, interval: interval(pairs, question, effect) }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn median(mut all: Vec<f64>) -> Option<f64> {
    all.sort_unstable_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}

/// Changes of the challenger that no look has refuted: the margins at which "worse" is just proven, and "typically
/// not worse" just is, found by bisection around the effect.
fn interval(pairs: &[(f64, f64)], question: &Question, effect: Option<f64>) -> [Option<f64>; 2] {
    let Some(effect) = effect.map(|effect| question.sign * effect) else { return [None, None] };
    let bar = 1.0 / question.alpha;
    let ever = |margin: f64, value: fn(&Process) -> f64| {
        let mut process = Process::new(question, Margin { relative: margin, absolute: f64::NEG_INFINITY });
        pairs.iter().any(|(a, b)| {
            process.push(*a, *b);
            value(&process) >= bar
        })
    };
    let worse_than = |margin| ever(margin, |process| process.typical().0);
    let not_worse_than = |margin| ever(margin, |process| process.typical().1);
    let lower = edge(effect, -1.0, worse_than);
    let upper = edge(effect, 1.0, not_worse_than);
    let signed = |margin: f64| question.sign * margin;
    if question.sign > 0.0 {
        [lower.map(signed), upper.map(signed)]
    } else {
        [upper.map(signed), lower.map(signed)]
    }
}

/// The margin next to `from`, in the direction of `way`, at which `proven` begins to hold.
fn edge(from: f64, way: f64, proven: impl Fn(f64) -> bool) -> Option<f64> {
    let mut step = 0.01;
    let mut far = from + way * step;
    while !proven(far) {
        step *= 2.0;
        if step > 10.0 {
            return None;
        }
        far = from + way * step;
    }
    let mut near = from;
    for _ in 0..10 {
        let middle = 0.5 * (near + far);
        if proven(middle) { far = middle } else { near = middle }
    }
    Some(far)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(margin: f64) -> Question {
        Question { margin, alpha: 0.05, sign: 1.0, counts: false }
    }

    /// A baseline of ±10 % that repeats itself, and the same a bit later times `factor`.
    fn pairs(n: usize, factor: f64) -> Vec<(f64, f64)> {
        let wave = |i: usize| 100.0 + 10.0 * libm::sin(i as f64 * 2.399_963);
        (0..n).map(|i| (wave(i), factor * wave(i + 7))).collect()
    }

    #[test]
    fn plain_cases() {
        let worse = judge(&pairs(200, 1.5), &question(0.1));
        assert_eq!(worse.verdict, Verdict::Worse);
        assert!(worse.at.is_some_and(|at| at <= 10), "{worse:?}");
        assert!(worse.p <= 0.05 && worse.effect.is_some_and(|e| (e - 0.5).abs() < 0.05));
        let [Some(low), Some(high)] = worse.interval else { panic!("{worse:?}") };
        assert!(low > 0.3 && low < 0.5 && high > 0.5 && high < 0.7, "{worse:?}");
        let same = judge(&pairs(300, 1.0), &question(0.1));
        assert_eq!(same.verdict, Verdict::NotWorse, "{same:?}");
        let few = judge(&pairs(3, 1.5), &question(0.1));
        assert_eq!((few.verdict, few.at), (Verdict::Undecided, None));
        let none = judge(&[], &question(0.1));
        assert_eq!((none.verdict, none.effect, none.interval), (Verdict::Undecided, None, [None, None]));
    }

    #[test]
    fn where_less_is_worse_the_interval_is_still_low_to_high() {
        let fell = judge(&pairs(200, 0.6), &Question { sign: -1.0, ..question(0.1) });
        assert_eq!(fell.verdict, Verdict::Worse);
        let [Some(low), Some(high)] = fell.interval else { panic!("{fell:?}") };
        assert!(low < -0.4 && high > -0.4 && high < -0.2, "{fell:?}");
    }

    #[test]
    fn values_too_large_to_be_subtracted_say_nothing() {
        for (base, now) in [(1.7e308, -1.7e308), (-1.7e308, 1.7e308), (1.7e308, 1.7e308)] {
            for (sign, counts) in [(1.0, false), (-1.0, false), (1.0, true), (-1.0, true)] {
                let found = judge(&vec![(base, now); 60], &Question { sign, counts, ..question(0.1) });
                assert_eq!(found.verdict, Verdict::Undecided, "{base} {now} {counts} {sign}");
                assert!(found.effect.is_none_or(f64::is_finite));
            }
        }
        let large = judge(
            &pairs(60, 1.5).iter().map(|(a, b)| (a * 1e290, b * 1e290)).collect::<Vec<_>>(),
            &question(0.1),
        );
        assert_eq!(large.verdict, Verdict::Worse);
    }

    #[test]
    fn counts_against_none_and_the_other_way_round() {
        let counts = |sign| Question { sign, counts: true, ..question(0.1) };
        let none: Vec<(f64, f64)> = vec![(0.0, 0.0); 50];
        assert_eq!(judge(&none, &counts(1.0)).verdict, Verdict::Undecided, "nothing happened");
        let some: Vec<(f64, f64)> = (0..60).map(|i| (0.0, f64::from(u8::from(i % 4 == 0)))).collect();
        let found = judge(&some, &counts(1.0));
        assert_eq!((found.verdict, found.effect), (Verdict::Worse, None), "{found:?}");
        let fewer: Vec<(f64, f64)> = vec![(20.0, 12.0); 30];
        let found = judge(&fewer, &counts(1.0));
        assert_eq!(found.verdict, Verdict::NotWorse);
        let [Some(low), Some(high)] = found.interval else { panic!("{found:?}") };
        assert!(low < -0.4 && high > -0.4 && high < -0.2, "{found:?}");
        assert_eq!(judge(&fewer, &counts(-1.0)).verdict, Verdict::Worse);
    }

    #[test]
    fn seven_hundreds_among_ten_do_not_pass() {
        let pairs: Vec<(f64, f64)> = (0..10).map(|i| (1.0, if i % 10 < 7 { 100.0 } else { 1.0 })).collect();
        assert_ne!(judge(&pairs, &question(0.1)).verdict, Verdict::NotWorse);
        let rare: Vec<(f64, f64)> = (0..300).map(|i| (1.0, if i % 5 == 0 { 100.0 } else { 1.0 })).collect();
        assert_ne!(judge(&rare, &question(0.1)).verdict, Verdict::NotWorse, "a fifth of them a hundred");
    }
}
