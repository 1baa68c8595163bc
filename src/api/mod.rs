//! The two custom resources as types: what a user writes and what the operator answers.
//!
//! One file a kind; `shared` and `rules` hold what both use. The CRDs in `crds/` are generated from these
//! types by `matverse crds`, so a rule that is not here does not exist.

pub mod crd;
pub mod gate;
pub mod rules;
pub mod scaling;
pub mod shared;

pub use gate::{OmegaGate, OmegaGateSpec, OmegaGateStatus};
pub use scaling::{MatVerseScaling, MatVerseScalingSpec, MatVerseScalingStatus};
