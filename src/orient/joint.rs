//! The joint innovation: how surprising the signals are *together*.
//!
//! ```text
//!  z = standardised innovations of the per-signal filters,  C = their learned correlation
//!  d² = zᵀ C⁻¹ z  ~ χ²_k  (k = signals with a new sample this turn)
//! ```
//!
//! Cpu and latency that rise together as they always do are less surprising than either would be alone; latency
//! that rises while cpu falls is more. A signal without a sample drops out.

use super::special::surprise_chi_squared;
use crate::observe::reading::Known;

/// Ω, Ψ, β, cpu, latency and throughput.
pub const SIGNALS: usize = 6;

/// Forgetting factor of the correlation.
const LAMBDA: f64 = 0.98;
/// Weight of the identity in C: keeps it positive definite, and modest while it is young.
const SHRINK: f64 = 0.05;
/// An innovation teaches the correlation at most this much, in standard deviations.
const CLIP: f64 = 3.0;

/// The place of a signal in the joint vector.
pub(super) fn place(known: Known) -> Option<usize> {
    const PLACED: [Known; SIGNALS] =
        [Known::Omega, Known::Psi, Known::Beta, Known::Cpu, Known::Latency, Known::Throughput];
    PLACED.iter().position(|placed| *placed == known)
}

/// The learned correlation of the innovations.
#[derive(Clone, Debug)]
pub struct Joint {
    /// Of each signal with itself and with those before it.
    moments: [[f64; SIGNALS]; SIGNALS],
    last: Option<f64>,
}

impl Default for Joint {
    fn default() -> Self {
        let moments = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
        Self { moments, last: None }
    }
}

/// A signal with a new sample.
#[derive(Clone, Copy, Default)]
struct New {
    place: usize,
    z: f64,
    /// 1/√ of its own moment.
    per_root: f64,
}

impl Joint {
    /// Takes in the turn's standardised innovations (`None`: no new sample, or not warm) and gives the joint
    /// surprise −log₁₀ p, 0…300; the last one where fewer than two signals are new.
    pub fn observe(&mut self, z: [Option<f64>; SIGNALS]) -> Option<f64> {
        let (mut all, mut count) = ([New::default(); SIGNALS], 0);
        for (place, z) in z.into_iter().enumerate() {
            if let Some(z) = z.filter(|z| z.is_finite()) {
                // Beyond 1e6 σ the surprise is at its limit anyway, and squares stay finite.
                let z = z.clamp(-1e6, 1e6);
                all[count] = New { place, z, per_root: 1.0 / self.moments[place][place].sqrt() };
                count += 1;
            }
        }
        let new = &all[..count];
        if new.len() < 2 {
            return self.last;
        }
        if let Some(d2) = self.distance(new) {
            self.last = Some(surprise_chi_squared(d2, new.len() as u32));
        }
        for (i, a) in new.iter().enumerate() {
            for b in &new[..=i] {
                let product = a.z.clamp(-CLIP, CLIP) * b.z.clamp(-CLIP, CLIP);
                let moment = &mut self.moments[a.place][b.place];
                *moment += (1.0 - LAMBDA) * (product - *moment);
            }
            let own = &mut self.moments[a.place][a.place];
            *own = own.max(0.05);
        }
        self.last
    }

    /// d² = |L⁻¹z|² with C = `LLᵀ` (Cholesky), each row solved for as soon as it stands; `None` where C is not positive
    /// definite.
    fn distance(&self, new: &[New]) -> Option<f64> {
        let (mut rows, mut solved, mut d2) = ([[0.0; SIGNALS]; SIGNALS], [0.0; SIGNALS], 0.0);
        for (i, a) in new.iter().enumerate() {
            let (rows, row) = rows.split_at_mut(i);
            let (row, mut own, mut left) = (&mut row[0], 1.0, a.z);
            for (j, b) in new[..i].iter().enumerate() {
                let correlation = self.moments[a.place][b.place] * (a.per_root * b.per_root);
                let shrunk = (1.0 - SHRINK) * correlation.clamp(-1.0, 1.0);
                let before: f64 = row[..j].iter().zip(&rows[j]).map(|(a, b)| a * b).sum();
                // The diagonal holds 1/Lⱼⱼ.
                row[j] = (shrunk - before) * rows[j][j];
                own -= row[j] * row[j];
                left -= row[j] * solved[j];
            }
            if own.is_nan() || own <= 0.0 {
                return None;
            }
            row[i] = 1.0 / own.sqrt();
            solved[i] = left * row[i];
            d2 += solved[i] * solved[i];
        }
        Some(d2)
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
        assert_eq!(place(Known::Omega), Some(0));
        assert_eq!(place(Known::Throughput), Some(5));
        assert_eq!(place(Known::Errors), None);
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
    fn the_distance_is_that_of_the_inverse() {
        let mut joint = Joint::default();
        for i in 0..300_u32 {
            let v = |k: u32| libm::sin(f64::from(i * (k + 2)) * 0.7) + 0.4 * libm::sin(f64::from(i));
            joint.observe(std::array::from_fn(|k| (i % 7 != 3 || k != 2).then(|| v(k as u32))));
        }
        for absent in 0..=SIGNALS {
            let z: [Option<f64>; SIGNALS] =
                std::array::from_fn(|k| (k != absent).then_some(1.5 - 0.7 * k as f64));
            let moment = |i: usize, j: usize| joint.moments[i.max(j)][i.min(j)];
            let correlation =
                nalgebra::SMatrix::<f64, SIGNALS, SIGNALS>::from_fn(|i, j| match (i == j, z[i].and(z[j])) {
                    (true, _) => 1.0,
                    (false, None) => 0.0,
                    (false, Some(_)) => (1.0 - SHRINK) * moment(i, j) / (moment(i, i) * moment(j, j)).sqrt(),
                });
            let vector = nalgebra::SVector::<f64, SIGNALS>::from_fn(|i, _| z[i].unwrap_or(0.0));
            let d2 = vector.dot(&(correlation.try_inverse().unwrap() * vector));
            let expected = surprise_chi_squared(d2, z.iter().flatten().count() as u32);
            let found = joint.clone().observe(z).unwrap();
            assert!((found / expected - 1.0).abs() < 1e-12, "{absent}: {found} {expected}");
        }
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
