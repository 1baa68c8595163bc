//! The command line: one file a verb. Exit code 64 is a wrong command line, everywhere.

#![deny(clippy::print_stdout, reason = "a reader that has gone is no panic: see `tell`")]

pub mod crds;
pub mod evolve;
pub mod exporter;
pub mod gate;
pub mod judge;
pub mod ledger;
pub mod replay;
pub mod request;
pub mod run;
pub mod simulate;
pub mod stress;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The whole command line.
#[derive(Parser, Debug)]
#[command(name = "matverse", version, about = "Runs the OODA loop for Deployments, and can prove what it did", long_about = None)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
#[allow(clippy::large_enum_variant, reason = "one of them, once a process")]
enum Verb {
    /// The operator: watches, decides, acts, records
    Run(run::Run),
    /// Prints the custom resource definitions that this version serves
    Crds,
    /// Readings in, decisions out, line by line, with no cluster
    Replay(replay::Replay),
    /// Gates: evaluate one
    #[command(subcommand)]
    Gate(gate::GateCommand),
    /// A challenger against a baseline, on two columns of numbers
    Judge(judge::Judge),
    /// A story or a trace through the decision code, in a cluster in memory
    Simulate(simulate::Simulate),
    /// Takes evidence events, and exposes Ω, Ψ and CVaR
    Exporter(exporter::ExporterArgs),
    /// Good, malformed and hostile events to an exporter
    Stress(stress::Stress),
    /// Challengers by seeded mutation, each through the league of a gate
    Evolve(evolve::Evolve),
    /// Asks for the promotion of a run of the league
    Promote(request::Promote),
    /// Asks for the return to the last good champion
    Rollback(request::Rollback),
    /// The ledger: make keys, verify
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
}

/// Writes to standard output what somebody must take.
fn hand_over(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

/// Writes to standard output. Whoever read it may have gone: that is how a pipe ends.
fn tell(text: &str) -> io::Result<()> {
    match hand_over(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        told => told,
    }
}

/// The same with a line's end.
fn tell_line(line: impl std::fmt::Display) -> io::Result<()> {
    tell(&format!("{line}\n"))
}

/// Parses the command line and runs the verb.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 64 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("matverse: {error}");
            return ExitCode::from(3);
        }
    };
    runtime.block_on(async {
        match cli.verb {
            Verb::Run(verb) => run::main(verb).await,
            Verb::Replay(verb) => verb.run(),
            Verb::Gate(verb) => verb.run().await,
            Verb::Judge(verb) => verb.run(),
            Verb::Simulate(verb) => verb.run(),
            Verb::Exporter(verb) => verb.run().await,
            Verb::Stress(verb) => verb.run().await,
            Verb::Evolve(verb) => verb.run().await,
            Verb::Promote(verb) => verb.run().await,
            Verb::Rollback(verb) => verb.run().await,
            Verb::Ledger(verb) => verb.run().await,
            Verb::Crds => match crds::render().and_then(|text| Ok(tell(&text)?)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("matverse: {error:#}");
                    ExitCode::from(3)
                }
            },
        }
    })
}
