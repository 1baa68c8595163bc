//! Comparison that may be looked at after every sample: betting on a coin.
//!
//! ```text
//!  sample ─► sign sₜ ∈ {−1, 0, +1} ─► wealth ×(1 + λ·sₜ), for several λ and several starts ─► e ≥ 1/α: proven
//! ```
//!
//! **Null** of [`EProcess`]: whatever came before, `E[sₜ] ≤ 0` — the next sign is as likely −1 as +1, or more so.
//! Each bet λ ∈ (0,1) then earns a nonnegative supermartingale, and so does any mixture of bets and of starting
//! times with weights that sum to 1. By Ville's inequality the mixture *ever* reaches 1/α with probability at
//! most α, at whatever look one stops. No distribution is assumed; ties and zeros are sign 0, no bet.
//!
//! The mixture over starting times (weight 1/(k(k+1)) on sample k) is what lets trouble that begins late be
//! seen: a bet from the first sample would first have to win back what it lost while all was well.
//!
//! **Autocorrelation.** The null speaks of the chance *given the past*. Samples of overlapping `rate()` windows
//! are alike, so a coin with an unconditional chance of ½ would break it. Hence the coins of
//! [`super::comparison`] are loaded against the alarm: "worse" must beat the baseline's 90 % point *and* the margin,
//! which a revision that is no worse does one time in ten; it is staked as if it were one in two. What is left is the assumption, and it is tested on
//! autoregressive noise (φ = .8).
//! Sources: Shafer 2021; Waudby-Smith & Ramdas 2024 (betting); Shin, Ramdas & Rinaldo 2023 (starting times).

use super::Verdict;

/// Stakes; a small one suits a small effect, a large one a plain effect.
const BETS: [f64; 5] = [0.1, 0.25, 0.5, 0.75, 0.95];
/// Wealth is not counted beyond this.
const RICH: f64 = 1e290;

/// Wealth of a gambler who bets on +1, from every starting time at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EProcess {
    wealth: [f64; BETS.len()],
    looks: u32,
}

impl EProcess {
    /// Takes in one sign; its size does not matter, NaN is no bet.
    pub fn push(&mut self, sign: f64) {
        self.looks = self.looks.saturating_add(1);
        let s = if sign > 0.0 {
            1.0
        } else if sign < 0.0 {
            -1.0
        } else {
            0.0
        };
        let k = f64::from(self.looks);
        let start = 1.0 / (k * (k + 1.0));
        for (wealth, bet) in self.wealth.iter_mut().zip(BETS) {
            *wealth = ((*wealth + start) * (1.0 + bet * s)).min(RICH);
        }
    }

    /// The e-value: mean wealth over the bets, with what has not been staked yet.
    #[must_use]
    pub fn value(&self) -> f64 {
        let waiting = 1.0 / (f64::from(self.looks) + 1.0);
        self.wealth.iter().sum::<f64>() / BETS.len() as f64 + waiting
    }

    /// Signs taken in.
    #[must_use]
    pub fn looks(&self) -> u32 {
        self.looks
    }
}

/// Two opposite gamblers over the same samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sequential {
    /// Against "not worse by more than the margin".
    worse: EProcess,
    /// Against "worse by more than the margin".
    not_worse: EProcess,
}

impl Sequential {
    /// Takes in one look: whether it speaks for "worse" (+1, −1, 0) and for "not worse".
    pub fn push(&mut self, worse: f64, not_worse: f64) {
        self.worse.push(worse);
        self.not_worse.push(not_worse);
    }

    /// e-values of "worse" and "not worse".
    #[must_use]
    pub fn values(&self) -> (f64, f64) {
        (self.worse.value(), self.not_worse.value())
    }

    /// Looks so far.
    #[must_use]
    pub fn looks(&self) -> u32 {
        self.worse.looks()
    }

    /// The verdict now. It is not latched, but wealth once won is lost slowly, so both may stand: a revision that
    /// was fine for an hour and then fell is worse. Whether the trouble still lasts is asked apart from this, by
    /// the run of bad samples.
    #[must_use]
    pub fn verdict(&self, alpha: f64) -> Verdict {
        Verdict::of(self.values(), alpha)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A seeded generator, good enough for a simulation and the same everywhere.
    pub struct Dice(pub u64);

    impl Dice {
        pub fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        }

        pub fn normal(&mut self) -> f64 {
            let (u, v) = (self.uniform().max(1e-300), self.uniform());
            libm::sqrt(-2.0 * libm::log(u)) * libm::cos(2.0 * std::f64::consts::PI * v)
        }
    }

    /// Share of `runs` in which `Worse` stood at any of `looks` looks, at the null's edge.
    fn alarms(runs: u64, looks: u32, mut draw: impl FnMut(&mut Dice) -> (f64, f64)) -> f64 {
        let mut alarms = 0_u32;
        for run in 0..runs {
            let mut dice = Dice(run * 7919 + 17);
            let mut process = EProcess::default();
            for _ in 0..looks {
                let (baseline, current) = draw(&mut dice);
                process.push(current - baseline);
                if process.value() >= 20.0 {
                    alarms += 1;
                    break;
                }
            }
        }
        f64::from(alarms) / runs as f64
    }

    #[test]
    fn any_time_false_alarms_stay_under_alpha() {
        let normal = alarms(2000, 300, |d| (d.normal(), d.normal()));
        let heavy = alarms(2000, 300, |d| {
            let mut cauchy = || libm::tan(3.1 * (d.uniform() - 0.5));
            (cauchy(), cauchy())
        });
        let ties = alarms(2000, 300, |d| {
            let sparse = |u: f64| if u < 0.9 { 0.0 } else { libm::floor(10.0 * u) };
            (sparse(d.uniform()), sparse(d.uniform()))
        });
        let zeros = alarms(2000, 300, |_| (0.0, 0.0));
        for (name, share) in [("normal", normal), ("heavy", heavy), ("ties", ties), ("zeros", zeros)] {
            assert!(share <= 0.05, "{name}: {share}");
        }
        assert!(normal > 0.001, "a test that never fires proves nothing: {normal}");
    }

    #[test]
    fn the_wealth_is_fair_on_average() {
        // E[e] ≤ 1 at a fixed look, exactly 1 for a fair coin
        let mut total = 0.0;
        for run in 0..20_000 {
            let mut dice = Dice(run);
            let mut process = EProcess::default();
            for _ in 0..6 {
                process.push(dice.uniform() - 0.5);
            }
            total += process.value();
        }
        assert!((total / 20_000.0 - 1.0).abs() < 0.1, "{}", total / 20_000.0);
    }

    #[test]
    fn plain_trouble_is_proven_in_ten_samples_and_late_trouble_in_twenty() {
        let mut now = Sequential::default();
        let mut looks = 0;
        while now.verdict(0.05) != Verdict::Worse {
            now.push(1.0, -1.0);
            looks += 1;
        }
        assert!(looks <= 10, "{looks}");
        let mut late = Sequential::default();
        for _ in 0..100 {
            late.push(-1.0, 1.0);
        }
        assert_eq!(late.verdict(0.05), Verdict::NotWorse);
        let mut looks = 0;
        while late.verdict(0.05) != Verdict::Worse {
            late.push(1.0, -1.0);
            looks += 1;
        }
        assert!(looks <= 20, "{looks}");
    }

    proptest! {
        #[test]
        fn finite_whatever_comes(signs in prop::collection::vec(any::<f64>(), 0..3000)) {
            let mut process = EProcess::default();
            for sign in &signs {
                process.push(*sign);
                prop_assert!(process.value().is_finite() && process.value() > 0.0);
            }
        }

        #[test]
        fn worse_evidence_never_lowers_the_value(signs in prop::collection::vec(-1i8..=1, 1..80), at in 0usize..80) {
            let mut base = EProcess::default();
            let mut worse = EProcess::default();
            for (i, sign) in signs.iter().enumerate() {
                base.push(f64::from(*sign));
                worse.push(if i == at % signs.len() { 1.0 } else { f64::from(*sign) });
            }
            prop_assert!(worse.value() >= base.value() - 1e-12);
        }
    }
}
