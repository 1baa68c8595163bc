//! The joint innovation: how surprising the signals are *together*.
//!
//! ```text
//!  z = standardised innovations of the per-signal filters,  C = their learned correlation
//!  d² = zᵀ C⁻¹ z  ~ χ²_k  (k = signals with a new sample this turn)
//! ```
//!
//! Cpu and latency that rise together as they always do are less surprising than either would be alone; latency
//! that rises while cpu falls is more. A signal without a sample drops out: its row is the identity's.

use nalgebra::{SMatrix, SVector};

use super::special::surprise_chi_squared;
use crate::observe::reading::SignalName;

/// Ω, Ψ, β, cpu, latency and throughput.
pub const SIGNALS: usize = 6;

/// Forgetting factor of the correlation.
const LAMBDA: f64 = 0.98;
/// Weight of the identity in C: keeps it positive definite, and modest while it is young.
const SHRINK: f64 = 0.05;
/// An innovation teaches the correlation at most this much, in standard deviations.
const CLIP: f64 = 3.0;

/// The place of a signal in the joint vector.
#[must_use]
pub fn place(name: &SignalName) -> Option<usize> {
    const NAMES: [SignalName; SIGNALS] = [
        SignalName::OMEGA,
        SignalName::PSI,
        SignalName::BETA,
        SignalName::CPU,
        SignalName::LATENCY,
        SignalName::THROUGHPUT,
    ];
    NAMES.iter().position(|n| n == name)
}

/// The learned correlation of the innovations.
#[derive(Clone, Debug)]
pub struct Joint {
    moments: SMatrix<f64, SIGNALS, SIGNALS>,
    last: Option<f64>,
}

impl Default for Joint {
    fn default() -> Self {
        Self { moments: SMatrix::identity(), last: None }
    }
}

impl Joint {
    /// Takes in the turn's standardised innovations (`None`: no new sample, or not warm) and gives the joint
    /// surprise −log₁₀ p, 0…300; the last one where fewer than two signals are new.
    pub fn observe(&mut self, z: [Option<f64>; SIGNALS]) -> Option<f64> {
        let present = z.iter().flatten().count();
        if present < 2 {
            return self.last;
        }
        // Beyond 1e6 σ the surprise is at its limit anyway, and squares stay finite.
        let z = z.map(|v| v.filter(|v| v.is_finite()).map(|v| v.clamp(-1e6, 1e6)));
        let vector = SVector::<f64, SIGNALS>::from_fn(|i, _| z[i].unwrap_or(0.0));
        // The decomposition reads what is on the diagonal and below.
        let correlation = SMatrix::<f64, SIGNALS, SIGNALS>::from_fn(|i, j| {
            if i == j {
                1.0
            } else if i > j && z[i].is_some() && z[j].is_some() {
                let norm = (self.moments[(i, i)] * self.moments[(j, j)]).sqrt();
                (1.0 - SHRINK) * (self.moments[(i, j)] / norm).clamp(-1.0, 1.0)
            } else {
                0.0
            }
        });
        if let Some(cholesky) = correlation.cholesky() {
            let d2 = vector.dot(&cholesky.solve(&vector));
            self.last = Some(surprise_chi_squared(d2, present as u32));
        }
        for i in 0..SIGNALS {
            for j in 0..SIGNALS {
                if let (Some(a), Some(b)) = (z[i], z[j]) {
                    let product = a.clamp(-CLIP, CLIP) * b.clamp(-CLIP, CLIP);
                    self.moments[(i, j)] += (1.0 - LAMBDA) * (product - self.moments[(i, j)]);
                }
            }
            self.moments[(i, i)] = self.moments[(i, i)].max(0.05);
        }
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(a: f64, b: f64) -> [Option<f64>; SIGNALS] {
        [None, None, None, Some(a), Some(b), None]
    }

    #[test]
    fn places() {
        assert_eq!(place(&SignalName::OMEGA), Some(0));
        assert_eq!(place(&SignalName::new("throughput")), Some(5));
        assert_eq!(place(&SignalName::ERRORS), None);
    }

    #[test]
    fn needs_two() {
        let mut joint = Joint::default();
        assert_eq!(joint.observe([Some(9.0), None, None, None, None, None]), None);
        let first = joint.observe(pair(1.0, -1.0)).unwrap();
        // χ²₂ = 2: p = e⁻¹
        assert!((first - 1.0 / std::f64::consts::LN_10).abs() < 1e-9);
        assert_eq!(joint.observe([None; SIGNALS]), Some(first));
    }

    #[test]
    fn breaking_the_usual_relation_is_the_surprise() {
        let mut joint = Joint::default();
        for i in 0..400 {
            let v = [1.2, -0.7, 0.4, -1.5, 0.9, -0.3][i % 6];
            joint.observe(pair(v, v + if i % 2 == 0 { 0.1 } else { -0.1 }));
        }
        let together = joint.clone().observe(pair(3.0, 3.0)).unwrap();
        let apart = joint.observe(pair(3.0, -3.0)).unwrap();
        assert!(apart > together + 3.0, "{apart} {together}");
    }

    #[test]
    fn nothing_saturates_or_breaks() {
        let mut joint = Joint::default();
        for _ in 0..1000 {
            let s = joint.observe([
                Some(1e300),
                Some(-1e300),
                Some(0.0),
                Some(f64::NAN),
                Some(1e-300),
                Some(5.0),
            ]);
            assert!(s.is_some_and(|s| (0.0..=300.0).contains(&s)));
        }
    }
}
