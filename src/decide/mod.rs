//! Decide: one pure function from a [`Situation`] to a [`Decision`]. No meaningful choice is made after it.

pub mod situation;

pub use situation::{Decision, Situation};
