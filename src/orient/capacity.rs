//! Capacity: the smallest count with P(target kept through the horizon) ≥ the probability asked for.

use serde::{Deserialize, Serialize};

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
        /// p95 response time to hold, s.
        target: f64,
    },
}
