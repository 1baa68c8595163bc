//! The ledger: no act without a recorded intent, no outcome that cannot be verified.
//!
//! ```text
//!  Decision ─► intend ─► Intended ─► act ─► Acted ─► conclude ─► Recorded
//! ```
//!
//! Only this room makes an [`Intended`], so an act without an intent does not compile.
//!
//! ```compile_fail
//! # let decision: matverse::decide::Decision = todo!();
//! let forged = matverse::ledger::Intended { decision, entry: todo!() };
//! ```

pub mod checkpoint;
pub mod configmaps;
pub mod keys;
pub mod memory;
pub mod merkle;
pub mod state;
pub mod statement;
pub mod states;
pub mod store;
pub mod text;

pub use states::{Acted, EntryRef, Intended, Outcome, Recorded};
