//! The operator against a scripted API server and a scripted Prometheus: what it writes, what it leaves alone, and
//! that every fault between leaves one effect and one record of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(
    clippy::pedantic,
    clippy::disallowed_methods,
    reason = "the scripted servers have clocks of their own"
)]

mod support;

#[path = "operator/act.rs"]
mod act;
#[path = "operator/crash.rs"]
mod crash;
#[path = "operator/evolve.rs"]
mod evolve;
#[path = "operator/gate_check.rs"]
mod gate_check;
#[path = "operator/gates.rs"]
mod gates;
#[path = "operator/policies.rs"]
mod policies;
#[path = "operator/process.rs"]
mod process;
#[path = "operator/turns.rs"]
mod turns;
