//! Simulate: the real decision code, driven without a cluster — by recorded lines, or by a cluster in memory.
//!
//! ```text
//!  Observed ─► Pilot: orient ─► Situation ─► decide ─► Decision
//!                ▲                                        │
//!                └── memory, settled by what the next ────┘
//!                    observation shows of the plan
//!
//!  trace ─► service: proxy ─► router ─► replicas ─► meter ─► what a scaler sees ─► counts ─► pods
//!                                          └─► score: violations, lost utility, replica hours
//! ```
//!
//! Pure: time comes in as a value, chance as a seed. [`door`] reads and answers the lines of `matverse replay`.
//! The queueing model of [`service`] is that of Faro (a paper of 2025), whose published figures check it.

pub mod baselines;
pub mod chance;
pub mod clairvoyant;
pub mod cluster;
pub mod door;
pub mod faults;
pub mod league;
pub mod meter;
pub mod ours;
pub mod pilot;
pub mod scenario;
pub mod score;
pub mod service;
pub mod tuner;

pub use pilot::Pilot;
