//! Response times of a queue of replicas: Erlang-C, with Allen–Cunneen's correction for spread.
//!
//! p95 of the response = p95 of the service + p95 of the wait; the wait is exponential once it is there,
//! `P(W > t) = P_wait·e^{−t/θ}` with `θ = V·S/(c(1−ρ))`, V = (C²ₐ + C²ₛ)/2. The sum of two 95 % points is above the
//! 95 % point of the sum more often than not, so the error is on the side of more replicas.

/// Servers up to which the recursion runs; above, capacity is scaled linearly, which gives away the economy of
/// scale and so never promises too much.
pub(super) const LARGEST: f64 = 1024.0;

/// One replica's service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replica {
    /// Mean service time, s.
    pub service: f64,
    /// V = (C²ₐ + C²ₛ)/2.
    pub variability: f64,
    /// Requests it serves at once.
    pub slots: f64,
    /// p95 of an answer that did not wait, s.
    pub base: f64,
}

/// P(wait) in M/M/c at offered load `a` = λS erlangs; 1 where a ≥ c.
#[must_use]
pub fn erlang_c(servers: f64, a: f64) -> f64 {
    if a.is_nan() || a >= servers {
        return 1.0;
    }
    if a <= 0.0 {
        return 0.0;
    }
    let c = servers.clamp(1.0, LARGEST) as u32;
    let mut blocked = 1.0;
    for k in 1..=c {
        blocked = a * blocked / (f64::from(k) + a * blocked);
    }
    let rho = a / f64::from(c);
    if rho >= 1.0 { 1.0 } else { blocked / (1.0 - rho * (1.0 - blocked)) }
}

impl Replica {
    fn servers(&self, replicas: f64) -> f64 {
        libm::round(replicas * self.slots).max(1.0)
    }

    /// One whose service time is a lognormal of the spread that `variability` says (Poisson arrivals, C²ₐ = 1).
    #[must_use]
    pub fn lognormal(service: f64, variability: f64, slots: f64) -> Self {
        let cs2 = (2.0 * variability - 1.0).clamp(0.01, 100.0);
        let var = libm::log(1.0 + cs2);
        let p95_over_mean = libm::exp(1.644_853_626_951_472_2 * libm::sqrt(var) - 0.5 * var);
        Self { service, variability, slots, base: service * p95_over_mean }
    }

    /// p95 of the wait, s, at `rate` arrivals a second over `replicas`; infinite where they cannot keep up.
    #[must_use]
    pub fn wait_p95(&self, replicas: f64, rate: f64) -> f64 {
        let c = self.servers(replicas);
        let a = rate.max(0.0) * self.service;
        if a >= c {
            return f64::INFINITY;
        }
        let wait = erlang_c(c, a);
        let mean_wait = self.variability * self.service / (c - a);
        if wait > 0.05 { mean_wait * libm::log(wait / 0.05) } else { 0.0 }
    }

    /// p95 of the response, s, at `rate` arrivals a second over `replicas`; infinite where they cannot keep up.
    #[must_use]
    pub fn p95(&self, replicas: f64, rate: f64) -> f64 {
        self.base + self.wait_p95(replicas, rate)
    }

    /// The largest arrival rate at which `replicas` hold the p95 at `target` seconds; 0 where none does.
    #[must_use]
    pub fn largest_rate(&self, replicas: i32, target: f64) -> f64 {
        if replicas <= 0 || !(self.service > 0.0 && self.slots > 0.0) {
            return 0.0;
        }
        let n = f64::from(replicas);
        if n * self.slots > LARGEST {
            let base = libm::floor(LARGEST / self.slots).max(1.0);
            return if n > base {
                self.largest_rate(base as i32, target) * n / base
            } else {
                self.search(n, target)
            };
        }
        self.search(n, target)
    }

    fn search(&self, n: f64, target: f64) -> f64 {
        if self.p95(n, 0.0) > target {
            return 0.0;
        }
        let (mut low, mut high) = (0.0, self.servers(n) / self.service);
        for _ in 0..50 {
            let mid = 0.5 * (low + high);
            if self.p95(n, mid) <= target { low = mid } else { high = mid }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erlang_c_by_hand() {
        // M/M/1: P(wait) = ρ. M/M/2: 2ρ²/(1+ρ). Five servers at 4 erlangs: .5541.
        assert!((erlang_c(1.0, 0.7) - 0.7).abs() < 1e-12);
        assert!((erlang_c(2.0, 1.0) - 2.0 * 0.25 / 1.5).abs() < 1e-12);
        assert!((erlang_c(5.0, 4.0) - 0.5541).abs() < 5e-5);
        assert!((erlang_c(3.0, 3.0) - 1.0).abs() < 1e-12);
        assert!(erlang_c(3.0, 0.0).abs() < 1e-12);
        assert!((erlang_c(3.0, f64::NAN) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_largest_rate_is_the_edge_and_grows_with_replicas() {
        let replica = Replica::lognormal(0.05, 1.0, 4.0);
        let mut before = 0.0;
        for n in 1..=400 {
            let rate = replica.largest_rate(n, 0.3);
            assert!(rate > before, "n={n}: {rate} after {before}");
            before = rate;
            if n <= 200 {
                assert!(replica.p95(f64::from(n), rate) <= 0.3 + 1e-9);
                assert!(replica.p95(f64::from(n), rate * 1.001) > 0.3);
            }
        }
        assert!(replica.largest_rate(3, 0.01).abs() < 1e-12, "the service alone is slower than that");
        assert!(replica.largest_rate(0, 0.3).abs() < 1e-12);
        assert!((Replica::lognormal(1.0, 1.0, 1.0).base - 2.7817).abs() < 1e-3);
    }
}
