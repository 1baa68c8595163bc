//! MatVerse Autonomy: a Kubernetes operator that runs the OODA loop for Deployments.
//!
//! ```text
//!             ┌────────────── one turn, once per resource and interval ──────────────┐
//!  Prometheus ─► observe ─► orient ─► decide ─► ledger ─► act ─► ledger ─► report ─► status, events,
//!  watches    ─┘    (IO)    (pure)    (pure)    intend    (IO)  conclude    (IO)     metrics
//!
//!  the data:   Observed → Picture → Decision → Intended → Acted → Recorded
//! ```
//!
//! Each arrow is a function that takes the value before it and gives the next. `act` takes only an
//! [`ledger::Intended`], which only the ledger can make; `report` takes only a [`ledger::Recorded`].
//! Data goes one way, and nothing downstream calls upstream.

#![forbid(unsafe_code)]

pub mod act;
pub mod api;
pub mod cli;
pub mod decide;
pub mod exporter;
pub mod ledger;
pub mod observe;
pub mod operator;
pub mod orient;
pub mod simulate;
