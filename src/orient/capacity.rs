//! Capacity: the smallest count with P(target kept through the horizon) ≥ the probability asked for.

use serde::{Deserialize, Serialize};

use super::queue::Replica;
use super::special::{normal_cdf, normal_quantile};

/// Demand through the horizon, from the model that answered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "model")]
pub enum Capacity {
    /// Total utilisation of the cpu request, in replicas' worth.
    Utilisation {
        /// Mean of the forecast total.
        mean: f64,
        /// Its standard deviation.
        sd: f64,
        /// Utilisation of one replica to hold.
        target: f64,
    },
    /// A queue of `n` replicas with `slots` servers each.
    Queue {
        /// Mean of the forecast arrival rate, 1/s.
        mean: f64,
        /// Its standard deviation.
        sd: f64,
        /// Mean service time, s.
        service: f64,
        /// (C²ₐ + C²ₛ)/2 of Allen–Cunneen.
        variability: f64,
        /// Requests a replica serves at once.
        slots: f64,
        /// p95 of an answer that did not wait, s.
        base: f64,
        /// p95 response time to hold, s.
        target: f64,
        /// Utilisation of the servers that must not be passed either.
        bound: f64,
    },
}

/// Standard deviations below which everything of a normal distribution lies, to the last bit of a probability.
const CERTAIN: f64 = 9.0;

/// Points and weights of Gauss and Hermite for the mean over a standard normal.
const QUADRATURE: [(f64, f64); 5] = [
    (-2.856_970_013_872_806, 0.011_257_411_327_720_69),
    (-1.355_626_179_974_266, 0.222_075_922_005_612_6),
    (0.0, 0.533_333_333_333_333_3),
    (1.355_626_179_974_266, 0.222_075_922_005_612_6),
    (2.856_970_013_872_806, 0.011_257_411_327_720_69),
];

impl Capacity {
    /// The model's name, as status spells it.
    #[must_use]
    pub fn model(&self) -> &'static str {
        match self {
            Self::Utilisation { .. } => "Utilisation",
            Self::Queue { .. } => "Queue",
        }
    }

    /// The largest demand that `replicas` carry with the target kept, in the unit of `mean`.
    #[must_use]
    pub fn carried(&self, replicas: i32) -> f64 {
        match *self {
            Self::Utilisation { target, .. } => f64::from(replicas.max(0)) * target,
            Self::Queue { service, variability, slots, base, target, bound, .. } => {
                let replica = Replica { service, variability, slots, base };
                let most = f64::from(replicas.max(0)) * slots * bound / service;
                if replica.surely_holds(replicas, most, target) {
                    return most;
                }
                replica.largest_rate(replicas, target).min(most)
            }
        }
    }

    /// P(target kept through the horizon) with `replicas` ready; in [0, 1], never falling with the count.
    #[must_use]
    pub fn keep_probability(&self, replicas: i32) -> f64 {
        let (Self::Utilisation { mean, sd, .. } | Self::Queue { mean, sd, .. }) = *self;
        if replicas <= 0 {
            return 0.0;
        }
        if self.surely_carries(replicas, mean + CERTAIN * sd.max(1e-12)) {
            return 1.0;
        }
        normal_cdf((self.carried(replicas) - mean) / sd.max(1e-12))
    }

    /// Whether [`Self::carried`] of `replicas` is above `demand`, where one step tells; false where it takes the search.
    fn surely_carries(&self, replicas: i32, demand: f64) -> bool {
        match *self {
            Self::Utilisation { .. } => false,
            Self::Queue { service, variability, slots, base, target, bound, .. } => {
                let replica = Replica { service, variability, slots, base };
                demand < f64::from(replicas) * slots * bound / service
                    && replica.surely_holds(replicas, demand, target)
            }
        }
    }

    /// Mean and standard deviation of the demand through the horizon, in the unit of the model.
    #[must_use]
    pub fn demand(&self) -> (f64, f64) {
        let (Self::Utilisation { mean, sd, .. } | Self::Queue { mean, sd, .. }) = *self;
        (mean, sd)
    }

    /// What `replicas` are worth, 0…1: the share of requests answered in time where the model knows latency, else the
    /// share of the demand that they carry, in the mean over the demand that is forecast. (At its mean alone, a replica
    /// too few would look as bad as three.)
    #[must_use]
    pub fn utility(&self, replicas: i32) -> f64 {
        let (mean, sd) = self.demand();
        QUADRATURE
            .iter()
            .map(|(z, weight)| weight * self.utility_at(replicas, (mean + z * sd).max(1e-12)))
            .sum()
    }

    fn utility_at(&self, replicas: i32, demand: f64) -> f64 {
        match *self {
            Self::Utilisation { .. } => (self.carried(replicas) / demand).min(1.0),
            Self::Queue { service, variability, slots, base, target, .. } => {
                let replica = Replica { service, variability, slots, base };
                replica.in_time(f64::from(replicas.max(0)), demand, target)
            }
        }
    }

    /// The smallest count in 1…`max` that keeps the target with probability `keep`; `max` where none does
    /// (then [`Self::keep_probability`] of it says how far it falls short).
    #[must_use]
    pub fn needed(&self, keep: f64, max: i32) -> i32 {
        let (Self::Utilisation { mean, sd, .. } | Self::Queue { mean, sd, .. }) = *self;
        // The demand that is not passed with that probability must be carried.
        let demand = mean + normal_quantile(keep) * sd.max(1e-12);
        if demand.is_nan() {
            return max;
        }
        match *self {
            Self::Utilisation { target, .. } => {
                let found = libm::ceil(demand / target * (1.0 - 1e-12)) as i32;
                found.min(max).max(1)
            }
            Self::Queue { service, variability, slots, base, target, bound, .. } => {
                let busy = libm::ceil(demand * service / (slots * bound) * (1.0 - 1e-12)) as i32;
                Replica { service, variability, slots, base }.fewest(demand, target, max).max(busy.min(max))
            }
        }
    }

    /// The same capacity with the demand at least a share `more` above what `replicas` carry.
    pub(super) fn at_least_beyond(self, replicas: i32, more: f64) -> Self {
        let floor = self.carried(replicas) * (1.0 + more);
        match self {
            Self::Utilisation { mean, sd, target } => Self::Utilisation { mean: mean.max(floor), sd, target },
            Self::Queue { mean, sd, service, variability, slots, base, target, bound } => {
                Self::Queue { mean: mean.max(floor), sd, service, variability, slots, base, target, bound }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn queue(mean: f64, sd: f64) -> Capacity {
        Capacity::Queue {
            mean,
            sd,
            service: 0.05,
            variability: 1.0,
            slots: 4.0,
            base: 0.139,
            target: 0.3,
            bound: 1.0,
        }
    }

    #[test]
    fn by_hand() {
        // 2.8 replicas' worth ± .14 at .7: four carry 2.8 (P = .5), five 3.5 (z = 5).
        let capacity = Capacity::Utilisation { mean: 2.8, sd: 0.14, target: 0.7 };
        assert!((capacity.keep_probability(4) - 0.5).abs() < 1e-9);
        assert_eq!(capacity.needed(0.5, 10), 4);
        assert_eq!(capacity.needed(0.95, 10), 5);
        assert_eq!(capacity.needed(0.95, 4), 4, "the most there is");
        assert_eq!(capacity.needed(0.95, 1), 1);
        assert_eq!(capacity.model(), "Utilisation");
        assert_eq!(Capacity::Utilisation { mean: 0.0, sd: 0.0, target: 0.7 }.needed(0.99, 10), 1);
        assert_eq!(Capacity::Utilisation { mean: f64::NAN, sd: 0.1, target: 0.7 }.needed(0.9, 10), 10);
        assert_eq!(queue(f64::NAN, 0.1).needed(0.9, 10), 10);
        assert!(capacity.keep_probability(0).abs() < 1e-12);
        assert!(capacity.keep_probability(-3).abs() < 1e-12);
    }

    #[test]
    fn a_queue_needs_more_when_more_arrives_and_room_for_doubt() {
        let sure = queue(200.0, 1.0).needed(0.95, 100);
        assert!(queue(400.0, 1.0).needed(0.95, 100) > sure);
        assert!(queue(200.0, 60.0).needed(0.95, 100) > sure);
        assert!(queue(200.0, 60.0).needed(0.99, 100) >= queue(200.0, 60.0).needed(0.80, 100));
        // A p95 of .3 s where service alone has .139: 200/s need 10 erlangs of 4 slots each, and air.
        assert!((3..=5).contains(&sure), "{sure}");
        assert_eq!(queue(200.0, 1.0).model(), "Queue");
    }

    #[test]
    fn what_is_missed_already_needs_more_than_there_is() {
        for capacity in [Capacity::Utilisation { mean: 0.3, sd: 0.01, target: 0.7 }, queue(10.0, 1.0)] {
            for ready in [1, 3, 17] {
                assert!(capacity.at_least_beyond(ready, 0.1).needed(0.8, 1000) > ready);
            }
        }
    }

    proptest! {
        #[test]
        fn monotone_and_a_probability(
            mean in 0.0..1e4f64, sd in 0.0..1e3f64, target in 0.01..1.0f64, service in 1e-4..10.0f64,
            slots in 1u8..33, wanted in 1e-3..60.0f64, keep in 0.5..0.9999f64
        ) {
            for capacity in [
                Capacity::Utilisation { mean, sd, target },
                Capacity::Queue {
                    mean,
                    sd,
                    service,
                    variability: 1.0,
                    slots: f64::from(slots),
                    base: 2.8 * service,
                    target: wanted,
                    bound: 1.0,
                },
            ] {
                let mut before = 0.0;
                for n in [0, 1, 2, 3, 5, 8, 13, 40, 200, 1000, 10_000] {
                    let p = capacity.keep_probability(n);
                    prop_assert!((0.0..=1.0).contains(&p) && p >= before - 1e-9, "{n}: {p} after {before}");
                    before = p;
                }
                let n = capacity.needed(keep, 50);
                prop_assert!((1..=50).contains(&n));
                prop_assert!(n == 50 || capacity.keep_probability(n) >= keep);
                prop_assert!(n == 1 || capacity.keep_probability(n - 1) < keep);
            }
        }

        #[test]
        fn the_lower_of_two_bounds_is_found_to_the_last_bit(
            service in 1e-3..2.0f64, slots in 1u8..40, air in 0.2..30.0f64, bound in 0.5..1.0f64, n in 1..60
        ) {
            let replica = Replica::lognormal(service, 1.0, f64::from(slots));
            let (base, target, slots) = (replica.base, air * replica.base, f64::from(slots));
            let queue =
                Capacity::Queue { mean: 1.0, sd: 1.0, service, variability: 1.0, slots, base, target, bound };
            let both = replica.largest_rate(n, target).min(f64::from(n) * slots * bound / service);
            prop_assert_eq!(queue.carried(n).to_bits(), both.to_bits());
        }

        #[test]
        fn certainty_is_found_to_the_last_bit(
            service in 1e-3..2.0f64, slots in 1u8..40, air in 0.2..30.0f64, bound in 0.5..1.0f64, n in 1..60,
            load in 0.0..1.2f64, sd in 0.0..0.2f64
        ) {
            let (base, target, slots) = (2.8 * service, air * 2.8 * service, f64::from(slots));
            let all = f64::from(n) * slots / service;
            let (mean, sd) = (load * all, sd * all);
            let queue = Capacity::Queue { mean, sd, service, variability: 1.0, slots, base, target, bound };
            let searched = normal_cdf((queue.carried(n) - mean) / sd.max(1e-12));
            prop_assert_eq!(queue.keep_probability(n).to_bits(), searched.to_bits());
        }

        #[test]
        fn more_demand_never_needs_fewer(mean in 0.0..50.0f64, more in 0.0..20.0f64, sd in 0.001..5.0f64) {
            let need = |mean: f64| Capacity::Utilisation { mean, sd, target: 0.7 }.needed(0.95, 1000);
            prop_assert!(need(mean + more) >= need(mean));
            prop_assert!(queue(mean + more, sd).needed(0.95, 1000) >= queue(mean, sd).needed(0.95, 1000));
        }
    }
}
