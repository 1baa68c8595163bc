//! Tests of the room as a whole.

mod campaign;
mod cluster;
mod entries;
mod fixture;
mod flips;
mod leaders;
mod replays;
mod retention;
mod rotation;
mod saved;
mod sealing;
mod seeds;
mod tamper;
mod targets;
