//! The one place where a client of the API server is made.

use std::time::Duration;

use kube::{Client, Config};

/// Connects with the pod's identity, or with the kubeconfig of a person.
///
/// The client's own retry is off: it repeats creates and hides conflicts. What is tried again is decided where
/// the meaning of the call is known.
#[allow(clippy::disallowed_methods)]
pub async fn connect() -> Result<Client, kube::Error> {
    let config = Config::infer().await.map_err(kube::Error::InferConfig)?;
    with(config)
}

/// A client with our bounds from any configuration.
pub fn with(mut config: Config) -> Result<Client, kube::Error> {
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.write_timeout = Some(Duration::from_secs(10));
    Client::try_from(config)
}
