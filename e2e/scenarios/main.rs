//! The operator on a real control plane: installed from its chart, under its own identity, as a pod.
//!
//! `e2e/run` brings the cluster up and runs these one after the other; without a cluster each says so and passes.

// A scenario that cannot go on ends, and measures its own patience.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod cluster;
mod league;
mod workload;

mod acts;
mod audit;
mod evidence;
mod gateway;
mod leagues;
mod process;
mod respect;
mod retune;
