//! Observe: from Prometheus and the API server's watches to [`Observed`], typed evidence.
//!
//! ```text
//!  profile + resource ─► promql (checked, scoped to the namespace) ─► source (bounded HTTP) ─► reading
//!  watches ─► facts ─► workload
//! ```

pub mod answer;
pub mod facts;
pub mod profiles;
pub mod promql;
pub mod reading;
pub mod revision_set;
pub mod sample;
mod sharing;
pub mod signals;
pub mod source;
pub mod workload;

pub use signals::{SignalPlan, Signals};

/// Name under which our writes stand in `managedFields`.
pub const MANAGER: &str = "matverse";

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Everything one turn knows from outside, at one evaluation time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// Evaluation time of every query of the turn.
    pub at: Timestamp,
    /// The signals.
    pub evidence: reading::Evidence,
    /// The Deployment; `None` when it does not exist.
    pub workload: Option<workload::Workload>,
}
