//! The ledger: no act without a recorded intent, no outcome that cannot be verified.
//!
//! ```text
//!  Decision ─► intend ─► Intended ─► act ─► Acted ─► conclude ─► Recorded
//! ```
//!
//! ```text
//!  recorder ─► writer (draft, seal, put, look) ─► store (ConfigMaps `tail`, `seg-…`)      the door, and the way in
//!  recovery ─► what an earlier leader left open                                          taking over
//!  statement, step, merkle, checkpoint, keys, tail                                             the forms
//!  budget                                                                                how much of it, and who
//!  verify, log, target, replay                                                           without trusting any of it
//!  proof, tiles, witness                                                                 for somebody elsewhere
//! ```
//!
//! Only this room makes an [`Intended`], so an act without an intent does not compile.
//!
//! ```compile_fail
//! # let decision: matverse::decide::Decision = todo!();
//! let forged = matverse::ledger::Intended { decision, entry: todo!() };
//! ```

pub mod attestation;
pub mod budget;
pub mod checkpoint;
pub mod configmaps;
mod draft;
pub mod error;
pub mod keys;
pub mod log;
pub mod memory;
pub mod merkle;
pub mod proof;
pub mod recorder;
pub mod recovery;
pub mod replay;
pub mod settings;
pub mod state;
pub mod statement;
pub mod states;
pub mod step;
pub mod store;
pub mod tail;
pub mod target;
pub mod text;
pub mod tiles;
pub mod verify;
pub mod witness;
mod writer;

#[cfg(test)]
mod tests;

pub use error::LedgerError;
pub use recorder::{Head, Ledger};
pub use recovery::{OpenIntent, Recovery};
pub use settings::Settings;
pub use states::{Acted, EntryRef, Intended, Outcome, Recorded};
pub use step::{Act, Step};
