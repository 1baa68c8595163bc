//! Comparison of counts (failed requests, restarts, answers of each kind), valid at every look.
//!
//! ```text
//!  counts (xₜ, yₜ) ─► every event is a coin: the challenger's, or the baseline's ─► e ≥ 1/α: too many are its own
//! ```
//!
//! Of Poisson counts with rates a and b an event is the challenger's with probability b/(a+b). The null "b ≤ (1+m)·a"
//! is "at most p₀ = (1+m)/(2+m)". A bet on p > p₀ multiplies wealth by `uʸ·vˣ`, u = p/p₀, v = (1−p)/(1−p₀), whose mean
//! is `exp(b(u−1) + a(v−1)) ≤ 1` under the null. The same holds for Bernoulli and binomial counts, for which
//! the mean is smaller still (1+z ≤ eᶻ). Pairs without an event say nothing, so an all-zero baseline needs no care:
//! only the challenger's own events count, each against p₀. Counts that come in bursts (variance above the mean) break
//! it; these are for [`super::paired`], which assumes no law.
//!
//! Source: Lindon & Malek 2022, "Anytime-valid inference for multinomial count data".

use super::paired::LARGEST;

/// How far the bets lie above the null, in log odds: for a small and for a plain excess.
const ABOVE: [f64; 6] = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6];
/// ln of an e-value is not counted beyond this.
const RICH: f64 = 600.0;

/// What ln wealth of each bet gains by an event of the challenger, and by one of the baseline.
fn gains(ratio: f64) -> [(f64, f64); ABOVE.len()] {
    let share = |odds: f64| odds / (1.0 + odds);
    ABOVE.map(|above| {
        let (p, p0) = (share(ratio * libm::exp(above)), share(ratio));
        (libm::log(p / p0), libm::log((1.0 - p) / (1.0 - p0)))
    })
}

/// e-process against "an event is the challenger's with probability at most p₀".
#[derive(Clone, Debug)]
pub struct Coins {
    /// Per bet: what ln wealth gains by an event of the challenger, and by one of the baseline.
    gains: [(f64, f64); ABOVE.len()],
    wealth: [f64; ABOVE.len()],
    /// What ln wealth of a bet gains at most by one look.
    most: f64,
}

impl Coins {
    /// `ratio` = p₀/(1−p₀), above 0: how many times the baseline's rate is still allowed.
    #[must_use]
    pub fn new(ratio: f64) -> Self {
        Self { gains: gains(ratio), wealth: [0.0; ABOVE.len()], most: f64::INFINITY }
    }

    /// The same, of which one look may raise the wealth of a bet by this factor at most.
    #[must_use]
    pub fn gaining(self, factor: f64) -> Self {
        Self { most: libm::log(factor), ..self }
    }

    /// Takes in the events of one look. Counts that are negative, not finite or too large to be weighed are no look.
    pub fn push(&mut self, baseline: f64, challenger: f64) {
        if !(baseline >= 0.0 && challenger >= 0.0 && baseline + challenger <= LARGEST) {
            return;
        }
        for (wealth, (own, other)) in self.wealth.iter_mut().zip(self.gains) {
            *wealth = (*wealth + (challenger * own + baseline * other).min(self.most)).min(RICH);
        }
    }

    /// The same with a ratio of its own, where the exposure of the two sides changes from look to look.
    pub fn push_at(&mut self, ratio: f64, baseline: f64, challenger: f64) {
        self.gains = gains(ratio);
        self.push(baseline, challenger);
    }

    /// The e-value.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.wealth.iter().map(|ln| libm::exp(*ln)).sum::<f64>() / ABOVE.len() as f64
    }
}

/// Two opposite e-processes over the same counts.
#[derive(Clone, Debug)]
pub struct Counted {
    sign: f64,
    more: Coins,
    fewer: Coins,
}

impl Counted {
    /// `margin` is the relative change towards worse that still counts as equal; `sign` is +1 where more events are
    /// worse, −1 where fewer are.
    #[must_use]
    pub fn new(margin: f64, sign: f64) -> Self {
        let ratio = (1.0 + sign * margin).max(1e-9);
        Self { sign, more: Coins::new(ratio), fewer: Coins::new(1.0 / ratio) }
    }

    /// Takes in the events of one look.
    pub fn push(&mut self, baseline: f64, challenger: f64) {
        self.more.push(baseline, challenger);
        self.fewer.push(challenger, baseline);
    }

    /// e-values of "worse by more than the margin" and of "not worse by more than it".
    #[must_use]
    pub fn values(&self) -> (f64, f64) {
        let (more, fewer) = (self.more.value(), self.fewer.value());
        if self.sign > 0.0 { (more, fewer) } else { (fewer, more) }
    }
}

/// e-process against "the events fall into the kinds with these shares", in closed form: the Dirichlet mixture
/// (prior 1 a kind) over all other shares.
#[derive(Clone, Debug)]
pub struct Shares {
    null: Vec<f64>,
    seen: Vec<f64>,
}

impl Shares {
    /// `None` unless there are two shares or more, each above 0, of sum 1 (to 1e-9).
    #[must_use]
    pub fn new(null: &[f64]) -> Option<Self> {
        let good = null.len() > 1
            && null.iter().all(|share| *share > 0.0)
            && (null.iter().sum::<f64>() - 1.0).abs() < 1e-9;
        good.then(|| Self { null: null.to_vec(), seen: vec![0.0; null.len()] })
    }

    /// Takes in one event of kind `kind`, from 0; one that is not there says nothing.
    pub fn push(&mut self, kind: usize) {
        if let Some(seen) = self.seen.get_mut(kind) {
            *seen += 1.0;
        }
    }

    /// The e-value: `Γ(K)·∏Γ(1+nᵢ) / Γ(K+n) / ∏θᵢ^nᵢ`.
    #[must_use]
    pub fn value(&self) -> f64 {
        let kinds = self.null.len() as f64;
        let events: f64 = self.seen.iter().sum();
        let each: f64 = self
            .seen
            .iter()
            .zip(&self.null)
            .map(|(n, share)| libm::lgamma(1.0 + n) - n * libm::log(*share))
            .sum();
        libm::exp((libm::lgamma(kinds) - libm::lgamma(kinds + events) + each).min(RICH))
    }
}

#[cfg(test)]
mod tests {
    use super::super::sequential::tests::Dice;
    use super::*;

    /// Share of 1,000 runs of 300 looks in which e ≥ 20 ever stood.
    fn ever(ratio: f64, mut draw: impl FnMut(&mut Dice) -> (f64, f64)) -> f64 {
        let raised = (0..1000_u64).filter(|run| {
            let mut dice = Dice(run * 7919 + 17);
            let mut coins = Coins::new(ratio);
            (0..300).any(|_| {
                let (baseline, challenger) = draw(&mut dice);
                coins.push(baseline, challenger);
                coins.value() >= 20.0
            })
        });
        raised.count() as f64 / 1000.0
    }

    fn poisson(dice: &mut Dice, mean: f64) -> f64 {
        let (mut product, mut count) = (dice.uniform(), 0.0);
        while product > libm::exp(-mean) {
            product *= dice.uniform();
            count += 1.0;
        }
        count
    }

    fn happens(dice: &mut Dice, p: f64) -> f64 {
        f64::from(u8::from(dice.uniform() < p))
    }

    #[test]
    fn false_alarms_stay_under_alpha_at_the_edge_of_the_null() {
        let sparse = ever(1.0, |d| (poisson(d, 0.05), poisson(d, 0.05)));
        let dense = ever(1.1, |d| (poisson(d, 5.0), poisson(d, 5.5)));
        let bernoulli = ever(1.1, |d| (happens(d, 0.3), happens(d, 0.33)));
        for (name, share) in [("sparse", sparse), ("dense", dense), ("bernoulli", bernoulli)] {
            // Three standard errors of a thousand runs.
            assert!(share <= 0.07, "{name}: {share}");
        }
        assert!(dense > 0.005, "a test that never fires proves nothing: {dense}");
    }

    #[test]
    fn more_events_are_seen_also_against_none() {
        assert!(ever(1.1, |d| (poisson(d, 5.0), poisson(d, 7.0))) >= 0.99);
        assert!(ever(1.1, |d| (happens(d, 0.05), happens(d, 0.25))) >= 0.99);
        let mut none = Coins::new(1.1);
        none.push(0.0, 0.0);
        assert!((none.value() - 1.0).abs() < 1e-12, "nothing happened");
        for _ in 0..8 {
            none.push(0.0, 1.0);
        }
        assert!(none.value() >= 20.0 / 4.0, "eight events against none: {}", none.value());
        none.push(f64::NAN, 1.0);
        none.push(-1.0, 1.0);
        for _ in 0..1000 {
            none.push(0.0, 1e6);
        }
        assert!(none.value().is_finite());
    }

    #[test]
    fn shares_are_the_closed_form() {
        let mut shares = Shares::new(&[0.5, 0.5]).unwrap();
        for kind in [0, 0, 1, 0] {
            shares.push(kind);
        }
        shares.push(7);
        // 2⁴ · B(4, 2) = 16 · 3!·1!/5!
        assert!((shares.value() - 0.8).abs() < 1e-12, "{}", shares.value());
        assert!(Shares::new(&[1.0]).is_none() && Shares::new(&[0.5, 0.4]).is_none());
        assert!(Shares::new(&[1.0, 0.0]).is_none() && Shares::new(&[f64::NAN, 0.5]).is_none());
    }

    #[test]
    fn shares_raise_rarely_where_they_hold_and_surely_where_they_do_not() {
        let ever = |p: f64| {
            let raised = (0..500_u64).filter(|run| {
                let mut dice = Dice(run * 31 + 5);
                let mut shares = Shares::new(&[0.9, 0.1]).unwrap();
                (0..300).any(|_| {
                    shares.push(usize::from(dice.uniform() < p));
                    shares.value() >= 20.0
                })
            });
            raised.count() as f64 / 500.0
        };
        let (held, broken) = (ever(0.1), ever(0.3));
        assert!(held <= 0.07 && broken >= 0.99, "{held} {broken}");
    }
}
