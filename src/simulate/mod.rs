//! Simulate: the real decision code, driven without a cluster.
//!
//! ```text
//!  Observed ─► Pilot: orient ─► Situation ─► decide ─► Decision
//!                ▲                                        │
//!                └── memory, settled by what the next ────┘
//!                    observation shows of the plan
//! ```
//!
//! Pure: time comes in as a value, chance as a seed. [`door`] reads and answers the lines of `matverse replay`.

pub mod door;
pub mod pilot;

pub use pilot::Pilot;
