//! The operator: who leads, what it watches, and the turn that each resource takes in its own time.
//!
//! ```text
//!  run ─► telemetry, health ─► watches ─► leader? ─► ledger open, open intents settled ─► fleet of turns
//! ```

pub mod client;
pub mod clock;
pub mod conditions;
pub mod config;
pub mod events;
pub mod farewell;
pub mod fleet;
pub mod gate;
mod groups;
pub mod health;
pub mod leader;
pub mod league;
pub mod memory;
pub mod owners;
pub mod policies;
pub mod pools;
mod report;
pub mod run;
mod slim;
pub mod status;
pub mod stores;
pub mod target;
pub mod telemetry;
pub mod turn;
pub mod world;

pub use run::run;

/// Name under which everything the operator writes stands in `managedFields`.
pub const FIELD_MANAGER: &str = crate::act::MANAGER;

#[cfg(test)]
pub(crate) mod testing;
