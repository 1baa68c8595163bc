//! The two kinds: their schema, their definitions on disk, and what a real API server makes of them.
//!
//! The tests in `server` need a cluster: `MATVERSE_E2E_KUBECONFIG` names its kubeconfig. Without it
//! they say so and pass. The definitions are written anew by `MATVERSE_BLESS=1 cargo test --test api`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "api/definitions.rs"]
mod definitions;
#[path = "api/refusals.rs"]
mod refusals;
#[path = "api/samples.rs"]
mod samples;
#[path = "api/server.rs"]
mod server;
