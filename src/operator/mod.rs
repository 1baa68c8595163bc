//! The operator: the process around the loop — leadership, the clock, what it tells people and machines.

pub mod clock;
pub mod conditions;
pub mod events;
pub mod health;
pub mod leader;
pub mod memory;
pub mod status;
pub mod telemetry;

/// Name under which everything the operator writes stands in `managedFields`.
pub const FIELD_MANAGER: &str = "matverse";

#[cfg(test)]
pub(crate) mod testing;
