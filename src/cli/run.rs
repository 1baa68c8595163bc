//! `matverse run`: the operator.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::operator::config::Config;
use crate::operator::health::Listeners;
use crate::operator::run::{Ended, Identity, run};
use crate::operator::telemetry;

/// Arguments of `run`.
#[derive(Args, Debug)]
pub struct Run {
    /// The operator's configuration file
    #[arg(long, default_value = "/etc/matverse/config.yaml")]
    config: PathBuf,
    /// Namespace of the operator: its lease lives there
    #[arg(long, env = "POD_NAMESPACE", default_value = "matverse-system")]
    namespace: String,
    /// Name of this replica
    #[arg(long, env = "POD_NAME")]
    pod: Option<String>,
    /// Checks the configuration file and ends
    #[arg(long)]
    check: bool,
}

/// Runs the operator until SIGTERM or SIGINT. Exit 0 in good order, 2 for a bad configuration, 1 otherwise.
pub async fn main(arguments: Run) -> ExitCode {
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("{}: not started\n{errors}", arguments.config.display());
            return ExitCode::from(2);
        }
    };
    if arguments.check {
        return match super::tell_line(format_args!("{}: ok", arguments.config.display())) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("standard output: {error}");
                ExitCode::FAILURE
            }
        };
    }
    if let Err(error) = telemetry::init_logging() {
        eprintln!("matverse: {error}");
    }
    match start(arguments, config).await {
        Ok(Ended::Stopped) => ExitCode::SUCCESS,
        Ok(Ended::LostLeadership) => ExitCode::FAILURE,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the operator ended");
            ExitCode::FAILURE
        }
    }
}

async fn start(arguments: Run, config: Config) -> anyhow::Result<Ended> {
    let listeners = Listeners::bind(config.metrics, config.health)?;
    let client = crate::operator::client::connect().await.context("no API server")?;
    let pod = arguments.pod.unwrap_or_else(|| format!("matverse-{}", std::process::id()));
    let identity = Identity { namespace: arguments.namespace, pod };
    let (tell, stop) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = tell.send(true);
        // Keep the sender: a dropped one would end every wait at once.
        std::future::pending::<()>().await;
    });
    run(client, config, identity, listeners, stop).await
}
