//! The service time of a replica, learned from throughput, p95 latency and ready count.
//!
//! For each number of slots tried, every sample is turned around: which mean service time gives this p95 at this
//! rate over so many replicas? The right number of slots gives the same answer at every load. It counts as
//! **identified** only where
//! - the answers of the best one agree to within 15 % over 30 samples or more,
//! - the queue has been seen to build: utilisation of the slots has reached .6, and
//! - queueing explains the spread of the p95: without it (infinite slots) half as much again stays unexplained. What an
//!   answer leaves unexplained is its distance from the others times the elasticity of the p95 there: a queue that is
//!   almost full gives any p95, so answers that agree there tell nothing.
//!
//! Until then the queue model is not used. C²ₐ = C²ₛ = 1 is assumed: a p95 alone does not tell spread from mean.
//!
//! Where cpu is read too, the **utilisation law** says it sooner: busy replicas ÷ answers a second is the time that
//! one request keeps a replica busy. The median of what is left of the p95 without the wait is what an answer takes
//! that waits for nothing.

use super::queue::{ALL_WAIT, LN_P95_OVER_MEAN, Replica, waits_and_slope};

/// Slots tried.
const SLOTS: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
const MEMORY: f64 = 0.02;
const ENOUGH: u32 = 30;
const AGREE: f64 = 0.15;
const BUSY: f64 = 0.6;
const EXPLAINS: f64 = 1.5;
/// Largest elasticity that counts.
const STIFF: f64 = 1e3;
/// A step of the search for a load that is the last one, as a share; and steps at most.
const CLOSE: f64 = 0.01;
const STEPS: u32 = 30;

/// Mean and variance of the logarithms of the answers, what they leave unexplained of the p95's, and the busiest
/// utilisation seen.
#[derive(Clone, Copy, Debug, Default)]
struct Fit {
    mean: f64,
    variance: f64,
    unexplained: f64,
    busiest: f64,
}

impl Fit {
    fn push(&mut self, ln_service: f64, elasticity: f64, utilisation: f64, gain: f64) {
        let d = ln_service - self.mean;
        let off = d * elasticity.min(STIFF);
        self.mean += gain * d;
        self.variance = (1.0 - gain) * (self.variance + gain * d * d);
        self.unexplained = (1.0 - gain) * (self.unexplained + gain * off * off);
        self.busiest = utilisation.max(self.busiest * (1.0 - 0.1 * MEMORY));
    }

    fn sd(&self) -> f64 {
        self.variance.sqrt()
    }
}

/// Above this utilisation a replica may be refusing work, and the law tells less than the whole.
const SATURATED: f64 = 0.95;
/// Samples after which the law is believed.
const FEW: u32 = 2;

/// Mean and variance with a short memory.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    mean: f64,
    variance: f64,
}

impl Moments {
    fn push(&mut self, value: f64, gain: f64) {
        let d = value - self.mean;
        self.mean += gain * d;
        self.variance = (1.0 - gain) * (self.variance + gain * d * d);
    }
}

/// The utilisation law.
#[derive(Clone, Debug, Default)]
struct Law {
    /// Of the time that one request keeps a replica busy, s.
    ln_service: Moments,
    /// Its typical value, s.
    service: f64,
    /// Median of the p95 less the wait, s, with the samples behind it.
    ln_base: f64,
    bases: u32,
    samples: u32,
    /// Nothing but saturated samples so far.
    guess: bool,
}

impl Law {
    fn observe(&mut self, served: f64, p95: Option<f64>, ready: i32, cpu: f64) {
        let saturated = cpu >= SATURATED;
        if saturated && self.samples > 0 && !self.guess {
            return;
        }
        if self.guess && !saturated {
            *self = Self::default();
        }
        self.guess = saturated;
        self.samples = self.samples.saturating_add(1);
        let gain = MEMORY.max(1.0 / f64::from(self.samples));
        self.ln_service.push(libm::log(cpu * f64::from(ready) / served), gain);
        self.service = libm::exp(self.ln_service.mean);
        let replica = self.replica();
        let wait = replica.wait_p95(f64::from(ready), served);
        if let Some(p95) = p95.filter(|p95| p95 - wait >= replica.service) {
            self.bases = self.bases.saturating_add(1);
            let ln = libm::log(p95 - wait);
            // A step towards each sample's side finds the median, which a burst does not move.
            let step = 1.0 / f64::from(self.bases.min(50));
            let off = ln - self.ln_base;
            self.ln_base += if self.bases == 1 { off } else { off.clamp(-step, step) };
        }
    }

    fn replica(&self) -> Replica {
        Replica::lognormal(self.service, 1.0, 1.0)
    }

    fn identified(&self) -> Option<Replica> {
        if self.samples < FEW || self.ln_service.variance.sqrt() > AGREE {
            return None;
        }
        let replica = self.replica();
        let known = self.bases >= FEW && !self.guess;
        Some(if known { Replica { base: libm::exp(self.ln_base), ..replica } } else { replica })
    }
}

/// What is known of the service time.
#[derive(Clone, Debug, Default)]
pub struct Service {
    fits: [Fit; SLOTS.len()],
    flat: Fit,
    samples: u32,
    law: Law,
}

impl Service {
    /// Takes in one sample: arrivals a second of the whole workload, p95 in ms, ready replicas.
    pub fn observe(&mut self, rate: f64, p95_ms: f64, ready: i32) {
        let p95 = p95_ms / 1000.0;
        let sane = |v: f64| v.is_finite() && (1e-9..1e12).contains(&v);
        if !sane(rate) || !sane(p95) || ready < 1 {
            return;
        }
        self.samples = self.samples.saturating_add(1);
        let gain = MEMORY.max(1.0 / f64::from(self.samples));
        let own = Replica::lognormal(1.0, 1.0, 1.0).base;
        let (ln_p95, mut idle) = (libm::log(p95), false);
        for (fit, slots) in self.fits.iter_mut().zip(SLOTS) {
            let servers = f64::from(ready) * slots;
            let (load, elasticity) = load_behind(rate * p95, servers, own, &mut idle);
            // Once nobody waits the answer stays, and a logarithm costs more than the rest.
            let ln_service = if idle { ln_p95 - LN_P95_OVER_MEAN } else { libm::log(load / rate) };
            fit.push(ln_service, elasticity, load / servers, gain);
        }
        self.flat.push(ln_p95, 1.0, 0.0, gain);
    }

    /// Takes in one sample with cpu: answers a second, p95 in ms where there is one, ready replicas, mean
    /// utilisation of them.
    pub fn busy(&mut self, served: f64, p95_ms: Option<f64>, ready: i32, cpu: f64) {
        let sane = |v: f64| v.is_finite() && (1e-6..1e9).contains(&v);
        if sane(served) && sane(cpu) && ready > 0 {
            self.law.observe(served, p95_ms.filter(|p95| sane(*p95)).map(|p95| p95 / 1000.0), ready, cpu);
        }
    }

    /// The replica's service by the utilisation law, where cpu has been read and agrees with itself.
    #[must_use]
    pub fn by_law(&self) -> Option<Replica> {
        self.law.identified()
    }

    /// The replica's service by its latency alone, where it is identified.
    #[must_use]
    pub fn identified(&self) -> Option<Replica> {
        if self.samples < ENOUGH {
            return None;
        }
        let fits = self.fits.iter().zip(SLOTS);
        let (fit, slots) = fits.min_by(|a, b| a.0.unexplained.total_cmp(&b.0.unexplained))?;
        let explained = self.flat.sd() >= EXPLAINS * fit.unexplained.sqrt();
        (fit.sd() <= AGREE && fit.busiest >= BUSY && explained)
            .then(|| Replica::lognormal(libm::exp(fit.mean), 1.0, slots))
    }
}

/// The load in erlangs behind `erlangs` = rate × p95: the p95 grows with it, without bound towards saturation. With it the
/// elasticity of the p95 there: by how many percent it grows with one percent of load.
///
/// `idle`: with fewer servers fewer than one in twenty waited, so with more nobody does; then the p95 is the
/// service's own. Servers come in ascending order; `own` is the p95 of a service with a mean of 1.
fn load_behind(erlangs: f64, servers: f64, own: f64, idle: &mut bool) -> (f64, f64) {
    let without = erlangs / own;
    // p95·rate = a·(own + ln(20C)/(c−a)), times (c−a): where this is 0, and its slope.
    let off = |a: f64, (waits, slope): (f64, f64)| {
        let (left, free) = (erlangs - a * own, servers - a);
        (left * free - a * waits, -own * free - left - waits - a * slope)
    };
    let (mut low, mut high) = (0.0, servers.min(without));
    let (mut load, mut waiting);
    if without < servers {
        if *idle {
            return (without, 1.0);
        }
        (load, waiting) = (without, waits_and_slope(servers, without));
        if waiting.0 <= 0.0 {
            *idle = true;
            return (without, 1.0);
        }
    } else {
        // With C = 1 it is a quadratic; its root is below the one sought, and near it where the servers are busy.
        let b = erlangs + own * servers + ALL_WAIT;
        low = 2.0 * erlangs * servers / (b + libm::sqrt(b * b - 4.0 * own * erlangs * servers));
        (load, waiting) = (low, waits_and_slope(servers, low));
    }
    // Newton's steps, halving where one leaves the bracket. A small one leaves an error of its square.
    for _ in 0..STEPS {
        let (value, slope) = off(load, waiting);
        let side = if value > 0.0 { &mut low } else { &mut high };
        *side = load;
        let next = load - value / slope;
        let next = if next > low && next < high { next } else { 0.5 * (low + high) };
        let step = (next - load).abs();
        load = next;
        if step <= CLOSE * high {
            break;
        }
        waiting = waits_and_slope(servers, load);
    }
    // E(a) = a·own + a·w/(c−a): a·E′/E.
    let ((waits, slope), free) = (waiting, (servers - load).max(f64::MIN_POSITIVE));
    (load, load * (own + (waits * servers / free + load * slope) / free) / erlangs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A triangle of loads over four replicas of a known service, latency with ±5 % of noise.
    fn learn(truth: Replica, busiest: f64) -> Service {
        let mut service = Service::default();
        for i in 0..200_u32 {
            let phase = f64::from(i % 40) / 40.0;
            let share = busiest * (0.2 + 0.8 * (1.0 - (2.0 * phase - 1.0).abs()));
            let rate = share * 4.0 * truth.slots / truth.service;
            let noise = 1.0 + 0.05 * [0.3, -0.9, 0.6, -0.2, 0.9, -0.7, 0.1][(i % 7) as usize];
            service.observe(rate, 1000.0 * truth.p95(4.0, rate) * noise, 4);
        }
        service
    }

    #[test]
    fn a_service_that_has_been_busy_is_identified() {
        for slots in [1.0, 4.0] {
            let truth = Replica::lognormal(0.05, 1.0, slots);
            let found = learn(truth, 0.97).identified().expect("identified");
            assert!((found.slots - slots).abs() < 1e-12, "{found:?}");
            assert!((found.service / truth.service - 1.0).abs() < 0.1, "{found:?}");
            let (a, b) = (found.largest_rate(6, 0.4), truth.largest_rate(6, 0.4));
            assert!((a / b - 1.0).abs() < 0.1, "{a} for {b}");
        }
    }

    #[test]
    fn the_load_behind_a_p95_is_the_one_that_makes_it() {
        for servers in [1.0, 2.0, 5.0, 8.0, 33.0, 250.0, 1000.0] {
            for rho in [0.05, 0.4, 0.55, 0.7, 0.8, 0.9, 0.97, 0.995, 0.9999] {
                let (load, own) = (rho * servers, Replica::lognormal(1.0, 1.0, 1.0).base);
                let erlangs = load * (own + waits_and_slope(servers, load).0 / (servers - load));
                let (found, elasticity) = load_behind(erlangs, servers, own, &mut false);
                assert!((found / load - 1.0).abs() < 5e-4, "{servers} {rho}: {found} for {load}");
                // At 0.05 of one server the first begin to wait: there the elasticity jumps.
                if rho > 0.05 {
                    let more = load_behind(erlangs * 1.001, servers, own, &mut false).0;
                    let measured = 0.001 / libm::log(more / found);
                    assert!(
                        (elasticity / measured - 1.0).abs() < 0.1,
                        "{servers} {rho}: {elasticity} {measured}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_idle_one_or_pure_noise_is_not() {
        assert_eq!(learn(Replica::lognormal(0.05, 1.0, 4.0), 0.3).identified(), None);
        assert_eq!(Service::default().identified(), None);
        let mut noise = Service::default();
        for i in 0..300_u32 {
            let wild = [1.0, 7.0, 0.3, 2.0, 11.0][(i % 5) as usize];
            noise.observe(50.0 + f64::from(i % 13), 100.0 * wild, 3);
        }
        assert_eq!(noise.identified(), None);
    }

    #[test]
    fn a_slow_answer_is_no_full_queue() {
        // An answer that takes 1.6 s of waiting for something else, whatever the count: any count of one slot seems full of
        // them, and the service time that this seems to show would grow with the count.
        let mut service = Service::default();
        for ready in [6, 12, 24] {
            for i in 0..100_u32 {
                let noise = 0.15 * [0.3, -0.9, 0.6, -0.2, 0.9, -0.7, 0.1][(i % 7) as usize];
                service.observe(88.0, 1600.0 * libm::exp(noise), ready);
                assert_eq!(service.identified(), None, "{ready} {i}");
            }
        }
    }

    #[test]
    fn the_utilisation_law_needs_two_samples() {
        let truth = Replica { base: 0.25, ..Replica::lognormal(0.15, 1.0, 1.0) };
        let mut service = Service::default();
        assert_eq!(service.by_law(), None);
        for i in 0..200_u32 {
            let rate = 20.0 * (0.5 + 0.4 * libm::sin(f64::from(i) / 9.0));
            let noise = 1.0 + 0.03 * [0.3, -0.9, 0.6, -0.2, 0.9, -0.7, 0.1][(i % 7) as usize];
            service.busy(rate, Some(1000.0 * truth.p95(4.0, rate)), 4, rate * 0.15 / 4.0 * noise);
            if i == 3 {
                let found = service.by_law().expect("known at once");
                assert!((found.service / 0.15 - 1.0).abs() < 0.05, "{found:?}");
            }
        }
        let found = service.by_law().expect("identified");
        assert!((found.service / 0.15 - 1.0).abs() < 0.02 && (found.base - 0.25).abs() < 0.05, "{found:?}");
    }

    #[test]
    fn a_saturated_start_is_a_guess_until_there_is_better() {
        let mut service = Service::default();
        for _ in 0..5 {
            service.busy(6.5, Some(9000.0), 1, 1.0);
        }
        let guess = service.by_law().expect("better than nothing");
        assert!(
            (guess.service - 1.0 / 6.5).abs() < 1e-9 && guess.base < 1.0,
            "its p95 is all wait: {guess:?}"
        );
        service.busy(10.0, Some(300.0), 4, 0.5);
        service.busy(10.0, Some(300.0), 4, 0.5);
        let found = service.by_law().expect("identified");
        assert!((found.service - 0.2).abs() < 1e-9, "{found:?}");
        for wild in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
            service.busy(wild, Some(300.0), 4, 0.5);
            service.busy(10.0, Some(300.0), 4, wild);
        }
        assert_eq!(service.by_law(), Some(found));
    }

    #[test]
    fn absurd_samples_teach_nothing() {
        let mut service = Service::default();
        for (rate, p95, ready) in
            [(0.0, 100.0, 3), (f64::NAN, 1.0, 3), (1e300, 1.0, 3), (5.0, -1.0, 3), (5.0, 100.0, 0)]
        {
            service.observe(rate, p95, ready);
        }
        assert_eq!(service.samples, 0);
        for _ in 0..100 {
            service.observe(1e11, 1e12, i32::MAX);
            service.observe(1e-8, 1e-5, 1);
        }
        assert!(service.fits.iter().all(|f| f.mean.is_finite() && f.variance.is_finite()));
    }
}
