//! The `matverse` binary: parse, run.

use std::process::ExitCode;

fn main() -> ExitCode {
    matverse::cli::main()
}
