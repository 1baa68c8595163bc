//! The published predictor, kept for comparison alone: `matverse replay --predictor original`.
//!
//! F = H = I₅, x₀ = 0, P₀ = I, Q₀ = .01·I, R = .1·I, and after each update `Q = clip(‖y‖₂, .001, .1)·I` from that
//! step's innovation. Its covariances stay multiples of the identity, so one number carries each.
//! It is not the default: its "prediction" is the smoothed present, and Q mixes units.

/// State of the published rule over [Ω, Ψ, β, cpu, latency in s].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Original {
    /// Estimate.
    pub x: [f64; 5],
    /// P = p·I.
    p: f64,
    /// Q = q·I.
    q: f64,
}

impl Default for Original {
    fn default() -> Self {
        Self { x: [0.0; 5], p: 1.0, q: 0.01 }
    }
}

impl Original {
    const R: f64 = 0.1;

    /// One predict and update with a whole measurement; gives the estimate after it.
    pub fn step(&mut self, measurement: [f64; 5]) -> [f64; 5] {
        let predicted = self.p + self.q;
        let gain = predicted / (predicted + Self::R);
        let mut square = 0.0;
        for (x, z) in self.x.iter_mut().zip(measurement) {
            let y = z - *x;
            square += y * y;
            *x += gain * y;
        }
        self.p = (1.0 - gain) * predicted;
        self.q = square.sqrt().clamp(0.001, 0.1);
        self.x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_trace() {
        let rows = [
            ([0.95, 0.98, 1.2, 0.45, 50.0], [0.8644, 0.8917, 1.0919, 0.4095, 0.0455]),
            ([0.94, 0.97, 1.18, 0.65, 85.0], [0.9140, 0.9431, 1.1497, 0.5673, 0.0714]),
            ([0.92, 0.95, 1.15, 0.82, 150.0], [0.9178, 0.9474, 1.1499, 0.7249, 0.1204]),
            ([0.88, 0.91, 1.10, 0.25, 30.0], [0.8944, 0.9243, 1.1190, 0.4310, 0.0645]),
            ([0.65, 0.70, 0.95, 0.55, 120.0], [0.7433, 0.7856, 1.0145, 0.5046, 0.0988]),
        ];
        let mut filter = Original::default();
        for (step, (mut z, expected)) in rows.into_iter().enumerate() {
            z[4] /= 1000.0;
            for (got, want) in filter.step(z).into_iter().zip(expected) {
                assert!((got - want).abs() < 6e-5, "step {}: {got} for {want}", step + 1);
            }
        }
    }
}
