//! The ledger's formats against oracles that are not ours: public vectors, other people's examples, another tree.
//!
//! ```text
//!  vectors/ed25519   Wycheproof, and signatures that lenient verifiers take
//!  vectors/notes     notes as the authors of the format and their library sign them
//!  vectors/trees     ct-merkle on random trees
//!  vectors/proofs    ct-merkle again, and the vectors of transparency-dev/merkle
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "vectors/ed25519.rs"]
mod ed25519;
#[path = "vectors/notes.rs"]
mod notes;
#[path = "vectors/proofs.rs"]
mod proofs;
#[path = "vectors/trees.rs"]
mod trees;
