//! Seeded chance: the same seed and stream give the same numbers on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Chance {
    rng: ChaCha8Rng,
    spare: Option<f64>,
}

impl Chance {
    /// Stream number `stream` of a seed; streams of one seed are independent.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self { rng, spare: None }
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// A whole number below `n`; 0 for `n` = 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.uniform() * n as f64) as usize).min(n.saturating_sub(1))
    }

    /// Exponential of a mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * libm::log(1.0 - self.uniform())
    }

    /// Standard normal, by Marsaglia's polar method.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square < 1.0 && square > 0.0 {
                let scale = (-2.0 * libm::log(square) / square).sqrt();
                self.spare = Some(y * scale);
                return x * scale;
            }
        }
    }

    /// A draw of a delay, s.
    pub fn delay(&mut self, of: &Delay) -> f64 {
        of.floor + of.median * libm::exp(of.sigma * self.normal())
    }
}

/// A delay of at least `floor` seconds: floor + LogNormal(ln `median`, `sigma`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delay {
    /// Smallest value, s.
    pub floor: f64,
    /// Median of the part above it, s.
    pub median: f64,
    /// Standard deviation of its logarithm.
    pub sigma: f64,
}

impl Delay {
    /// Mean, s.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.floor + self.median * libm::exp(0.5 * self.sigma * self.sigma)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_story_and_streams_differ() {
        let draw = |seed, stream| {
            let mut chance = Chance::new(seed, stream);
            [chance.uniform(), chance.normal(), chance.exponential(2.0)].map(f64::to_bits)
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }

    #[test]
    fn moments() {
        let mut chance = Chance::new(7, 0);
        let n = 200_000;
        let delay = Delay { floor: 0.0793, median: 0.0686, sigma: 0.4225 };
        let (mut normal, mut square, mut exponential, mut service) = (0.0, 0.0, 0.0, 0.0);
        for _ in 0..n {
            let z = chance.normal();
            normal += z;
            square += z * z;
            exponential += chance.exponential(3.0);
            service += chance.delay(&delay);
        }
        let mean = |sum: f64| sum / f64::from(n);
        assert!(mean(normal).abs() < 0.01 && (mean(square) - 1.0).abs() < 0.02);
        assert!((mean(exponential) - 3.0).abs() < 0.03);
        assert!((mean(service) - delay.mean()).abs() < 0.001);
        assert!((delay.mean() - 0.1543).abs() < 0.001);
    }
}
