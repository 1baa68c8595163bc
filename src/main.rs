//! The `matverse` binary: parse, run.

fn main() {}
