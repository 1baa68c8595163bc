//! Response times of a queue of replicas: Erlang-C, with Allen–Cunneen's correction for spread.
//!
//! p95 of the response = p95 of the service + p95 of the wait; the wait is exponential once it is there,
//! `P(W > t) = P_wait·e^{−t/θ}` with `θ = V·S/(c(1−ρ))`, V = (C²ₐ + C²ₛ)/2. The sum of two 95 % points is above the
//! 95 % point of the sum more often than not, so the error is on the side of more replicas.

/// Servers up to which the recursion runs; above, capacity is scaled linearly, which gives away the economy of
/// scale and so never promises too much.
pub(super) const LARGEST: f64 = 1024.0;

/// [`p95_over_mean`] of 1.
const P95_OVER_MEAN: f64 = 2.781_128_780_707_709;

/// Its logarithm.
pub(super) const LN_P95_OVER_MEAN: f64 = 1.022_856_881_517_939;

/// [`waits`] where everybody waits: ln 20.
pub(super) const ALL_WAIT: f64 = 2.995_732_273_553_991;

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
    let c = servers.clamp(1.0, LARGEST);
    waiting(inverse_loss(1.0, 0, c as u32, a), c, a)
}

/// Erlang's recursion for the loss B, turned over: 1/B(k) = 1 + (k/a)·1/B(k−1), from `from` servers to `to`. It needs
/// no division and grows to infinity where B vanishes.
fn inverse_loss(mut inverse: f64, from: u32, to: u32, a: f64) -> f64 {
    let per = 1.0 / a;
    for k in from + 1..=to {
        inverse = 1.0 + inverse * (f64::from(k) * per);
    }
    inverse
}

/// The same from no server on, four at a time: each step waits for the one before, and what it multiplies with does not.
fn inverse_loss_by_fours(to: u32, a: f64) -> f64 {
    let (per, first) = (1.0 / a, to % 4);
    let mut inverse = inverse_loss(1.0, 0, first, a);
    for step in 0..to / 4 {
        let [n1, n2, n3, n4] = [1, 2, 3, 4].map(|i| f64::from(first + 4 * step + i) * per);
        inverse = (1.0 + n4 * (1.0 + n3 * (1.0 + n2))) + ((n4 * n3) * (n2 * n1)) * inverse;
    }
    inverse
}

/// Erlang's C from 1/B; 1 where the servers cannot keep up.
fn waiting(inverse: f64, servers: f64, a: f64) -> f64 {
    let rho = a / servers;
    if rho >= 1.0 { 1.0 } else { 1.0 / (inverse * (1.0 - rho) + rho) }
}

/// ln(C/.05), 0 where fewer than one in twenty wait: how many mean waits the 95 % point of the wait is.
fn waits(wait: f64) -> f64 {
    if wait.to_bits() == 1.0_f64.to_bits() {
        ALL_WAIT
    } else if wait > 0.05 {
        libm::log(wait / 0.05)
    } else {
        0.0
    }
}

/// Whether `spare` is at least `variability` times [`waits`]. Mostly told by 2(x−1)/(x+1) ≤ ln x ≤ (x−1)/√x, x ≥ 1, which
/// cost less than a logarithm.
fn outlasts(spare: f64, variability: f64, wait: f64) -> bool {
    let x = (wait / 0.05).max(1.0);
    let above = variability * (x - 1.0);
    spare * x.sqrt() >= above || (spare * (x + 1.0) >= 2.0 * above && spare >= variability * waits(wait))
}

/// [`waits`] at offered load `a` and its slope there, by one pass of the recursion.
///
/// With I = 1/B, dI/da = −(I·(c/a − 1) + 1) (Erlang's B differentiated), and C = 1/(I(1−ρ) + ρ).
pub(super) fn waits_and_slope(servers: f64, a: f64) -> (f64, f64) {
    let c = servers.clamp(1.0, LARGEST);
    if a >= c {
        return (ALL_WAIT, 0.0);
    }
    let (inverse, idle) = (inverse_loss_by_fours(c as u32, a), 1.0 - a / c);
    let below = inverse * idle + (1.0 - idle);
    if below >= 1.0 / 0.05 {
        return (0.0, 0.0);
    }
    let slope = (inverse - 1.0) / c + (inverse * (c / a - 1.0) + 1.0) * idle;
    (ALL_WAIT - libm::log(below), slope / below)
}

/// Where `f` falls through zero between `low` (f ≥ 0) and `high` (f < 0), to a share `within` of `high`; the side
/// on which f ≥ 0. The Illinois form of regula falsi: brackets like bisection, in a fifth of its steps.
fn crossing(mut low: f64, mut high: f64, within: f64, f: impl Fn(f64) -> f64) -> f64 {
    let (mut at_low, mut at_high) = (f(low), f(high));
    let mut side = 0;
    for _ in 0..60 {
        if at_low <= 0.0 || high - low <= within * high {
            break;
        }
        let mid = low + (high - low) * (at_low / (at_low - at_high)).clamp(1e-9, 1.0 - 1e-9);
        let value = f(mid);
        if value >= 0.0 {
            (low, at_low) = (mid, value);
            at_high *= if side > 0 { 0.5 } else { 1.0 };
            side = 1;
        } else {
            (high, at_high) = (mid, value);
            at_low *= if side < 0 { 0.5 } else { 1.0 };
            side = -1;
        }
    }
    low
}

/// p95 of a lognormal of mean 1 with the spread that `variability` says.
fn p95_over_mean(variability: f64) -> f64 {
    let cs2 = (2.0 * variability - 1.0).clamp(0.01, 100.0);
    let var = libm::log(1.0 + cs2);
    libm::exp(1.644_853_626_951_472_2 * libm::sqrt(var) - 0.5 * var)
}

impl Replica {
    fn servers(&self, replicas: f64) -> f64 {
        // Rounded by a cast, a tenth of what `round` costs: counts are far below what a cast can hold.
        ((replicas * self.slots + 0.5) as i64 as f64).max(1.0)
    }

    /// One whose service time is a lognormal of the spread that `variability` says (Poisson arrivals, C²ₐ = 1).
    #[must_use]
    pub fn lognormal(service: f64, variability: f64, slots: f64) -> Self {
        // C² = 1 is assumed wherever a service is learned, several times a turn.
        #[expect(clippy::float_cmp, reason = "any other spread, however near, takes the longer way")]
        let p95_over_mean = if variability == 1.0 { P95_OVER_MEAN } else { p95_over_mean(variability) };
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
        mean_wait * waits(wait)
    }

    /// p95 of the response, s, at `rate` arrivals a second over `replicas`; infinite where they cannot keep up.
    #[must_use]
    pub fn p95(&self, replicas: f64, rate: f64) -> f64 {
        self.base + self.wait_p95(replicas, rate)
    }

    /// Share of requests answered within `target` seconds at `rate` arrivals a second over `replicas`: those that wait no
    /// longer than a slow service leaves; 0 where they cannot keep up.
    #[must_use]
    pub fn in_time(&self, replicas: f64, rate: f64, target: f64) -> f64 {
        let c = self.servers(replicas);
        let a = rate.max(0.0) * self.service;
        if replicas <= 0.0 || a >= c {
            return 0.0;
        }
        let mean_wait = self.variability * self.service / (c - a);
        let late = erlang_c(c, a) * libm::exp(-(target - self.base).max(0.0) / mean_wait);
        (1.0 - late).clamp(0.0, 1.0)
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

    /// Whether [`Self::largest_rate`] of `replicas` is above `rate` beyond the doubt of its search. One step instead of
    /// a dozen, where another bound is the lower one.
    pub(super) fn surely_holds(&self, replicas: i32, rate: f64, target: f64) -> bool {
        let n = f64::from(replicas);
        if replicas <= 0 || n * self.slots > LARGEST || !(self.service > 0.0 && self.slots > 0.0) {
            return false;
        }
        let (c, slack) = (self.servers(n), self.slack(target));
        let a = rate * self.service * (1.0 + 1e-6);
        let spare = slack * (c - a);
        slack > 0.0
            && a < c
            && (self.whoever_waits(spare) || outlasts(spare, self.variability, erlang_c(c, a)))
    }

    /// Whether the target is kept even if everybody waits: then nobody needs to know how many do.
    fn whoever_waits(&self, spare: f64) -> bool {
        spare > self.variability * ALL_WAIT
    }

    fn search(&self, n: f64, target: f64) -> f64 {
        let slack = self.slack(target);
        if slack < 0.0 {
            return 0.0;
        }
        let c = self.servers(n);
        // Nobody waits more than everybody: at this load the target is kept even if all do.
        let low = (c - self.variability * waits(1.0) / slack).max(0.0);
        let held = |a: f64| slack * (c - a) - self.variability * waits(erlang_c(c, a));
        crossing(low, c, 1e-10, held) / self.service
    }

    /// What the target leaves for waiting, in mean service times.
    fn slack(&self, target: f64) -> f64 {
        (target - self.base) / self.service
    }

    /// The smallest count in 1…`max` that holds the p95 at `target` seconds at `rate` arrivals a second; `max`
    /// where none does. One pass of the recursion over all counts.
    #[must_use]
    pub fn fewest(&self, rate: f64, target: f64, max: i32) -> i32 {
        if !(self.service > 0.0 && self.slots > 0.0) || self.slack(target) < 0.0 {
            return max;
        }
        let (a, slack) = (rate.max(0.0) * self.service, self.slack(target));
        let (mut inverse, mut before) = (1.0, 0);
        // Of fewer servers than the load, none keeps up; rounding adds less than one to a count of them.
        let first = ((a - 1.0).min(LARGEST) / self.slots).max(1.0) as i32;
        for n in first..max {
            let c = self.servers(f64::from(n));
            if c > LARGEST {
                let base = f64::from(n - 1).max(1.0);
                let each = self.largest_rate(base as i32, target) / base;
                return (libm::ceil(rate / each) as i32).clamp(n, max);
            }
            inverse = inverse_loss(inverse, before, c as u32, a);
            before = c as u32;
            let spare = slack * (c - a);
            let kept = || outlasts(spare, self.variability, waiting(inverse, c, a));
            if a < c && (self.whoever_waits(spare) || kept()) {
                return n;
            }
        }
        max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_is_worked_out_beforehand_to_the_last_bit() {
        let worked_out = libm::log(1.0 / 0.05);
        assert_eq!(waits(1.0).to_bits(), worked_out.to_bits(), "{worked_out:?}");
    }

    #[test]
    fn the_usual_spread_is_worked_out_beforehand_to_the_last_bit() {
        assert_eq!(P95_OVER_MEAN.to_bits(), p95_over_mean(1.0).to_bits(), "{:?}", p95_over_mean(1.0));
        let ln = libm::log(P95_OVER_MEAN);
        assert_eq!(LN_P95_OVER_MEAN.to_bits(), ln.to_bits(), "{ln:?}");
    }

    #[test]
    fn the_bounds_of_the_wait_change_no_answer() {
        for i in 0..=4000 {
            let wait = f64::from(i) / 4000.0;
            for share in [0.0, 0.3, 0.9, 0.999, 1.0, 1.001, 1.1, 3.0] {
                let spare = share * 1.7 * waits(wait);
                assert_eq!(outlasts(spare, 1.7, wait), spare >= 1.7 * waits(wait), "{wait} {share}");
            }
        }
    }

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
    fn the_slope_of_the_waits_is_their_difference() {
        for c in [1.0, 2.0, 7.0, 64.0, 900.0] {
            for rho in [0.3, 0.6, 0.9, 0.99] {
                let (a, h) = (rho * c, 1e-6 * c);
                let ((now, slope), at) = (waits_and_slope(c, a), |a| waits_and_slope(c, a).0);
                assert!((now - waits(erlang_c(c, a))).abs() < 1e-12, "{c} {rho}");
                let difference = (at(a + h) - at(a - h)) / (2.0 * h);
                assert!(
                    (slope - difference).abs() <= 1e-5 * (1.0 + difference),
                    "{c} {rho}: {slope} {difference}"
                );
            }
        }
        assert_eq!(waits_and_slope(2000.0, 1500.0), (ALL_WAIT, 0.0), "beyond the recursion");
    }

    #[test]
    fn the_fewest_are_the_first_that_carry_the_rate() {
        for (slots, target) in [(1.0, 0.3), (4.0, 0.2), (32.0, 0.15), (3.0, 0.01)] {
            let replica = Replica::lognormal(0.05, 1.0, slots);
            for rate in [0.1, 17.0, 80.0, 333.0, 4000.0, 60_000.0] {
                let found = replica.fewest(rate, target, 3000);
                let carries = |n: i32| replica.largest_rate(n, target) >= rate * (1.0 - 1e-9);
                assert!(found == 3000 || carries(found), "{slots} {rate}: {found}");
                assert!(found == 1 || !carries(found - 1), "{slots} {rate}: {found}");
            }
        }
    }

    #[test]
    fn the_share_in_time_by_hand() {
        // M/M/1 at ρ = .8: P(W > t) = ρ·e^{−(1−ρ)t/S}. Service 50 ms, p95 of it 100 ms, target 350 ms.
        let replica = Replica { service: 0.05, variability: 1.0, slots: 1.0, base: 0.1 };
        let share = replica.in_time(1.0, 16.0, 0.35);
        assert!((share - (1.0 - 0.8 * (-0.2_f64 * 5.0).exp())).abs() < 1e-12, "{share}");
        assert!(replica.in_time(2.0, 16.0, 0.35) > share && replica.in_time(1.0, 8.0, 0.35) > share);
        assert!(replica.in_time(1.0, 20.0, 0.35).abs() < 1e-12, "it cannot keep up");
        assert!(replica.in_time(0.0, 1.0, 0.35).abs() < 1e-12);
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
