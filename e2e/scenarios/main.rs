//! The operator on a real control plane: installed from its chart, under its own identity, as a pod.
//!
//! `e2e/run` brings the cluster up and runs these side by side, each in a namespace of its own, and then those of [`alone`];
//! without a cluster each says so and passes.

// A scenario that cannot go on ends, and measures its own patience.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod cluster;
mod league;
mod workload;

mod acts;
mod alone;
mod audit;
mod canary;
mod evidence;
mod gateway;
mod respect;
