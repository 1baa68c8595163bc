//! From a configuration file to a running fleet, and back in good order.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::clock::Clock;
use super::config::Config;
use super::events::Events;
use super::fleet;
use super::health::{Health, LedgerKey, Listeners, Servers};
use super::leader::{Elector, Leadership, Timing};
use super::policies;
use super::pools::Pools;
use super::stores::Stores;
use super::telemetry::Telemetry;
use super::world::{GateBoard, LedgerDoor, SteerBoard, World};
use crate::act;
use crate::ledger::configmaps::ConfigMaps;
use crate::ledger::keys::{KeyRing, Signer};
use crate::ledger::settings::Settings;
use crate::ledger::{Ledger, LedgerError};
use crate::observe::Signals;

/// Name of the Lease.
pub const LEASE: &str = "matverse";
/// Shortest and longest rest between two tries to open a ledger that could not be opened.
const REOPEN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// Age of the heartbeat above which the process counts as stuck.
const STUCK: Duration = Duration::from_secs(60);

/// Who this process is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Namespace of the operator.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
}

/// Why the operator stopped.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Stopped,
    /// Another replica may lead now: this process must start anew.
    LostLeadership,
}

/// Runs the operator until `stop` says so or leadership is lost.
///
/// # Errors
/// A source that cannot be asked, or a timing that cannot elect.
pub async fn run(
    client: Client,
    config: Config,
    identity: Identity,
    listeners: Listeners,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<Ended> {
    let clock = Clock::system();
    let telemetry = Arc::new(Telemetry::new(clock.clone()));
    let health = Arc::new(Health::new(clock.clone(), STUCK));
    let signals = Signals::new(&config.sources, &config.profiles).map_err(anyhow::Error::msg)?;
    let servers = Servers::start(listeners, telemetry.clone(), health.clone())?;
    let mut background = JoinSet::new();
    background.spawn(heartbeat(health.clone()));

    let (tell, changes) = mpsc::unbounded_channel();
    let stores = Stores::start(&client, &config.watch_namespaces, &tell, &mut background);
    health.stores(vec!["the API server's objects"]);
    let unique = format!("{}_{}", identity.pod, nonce()?);
    let mut leadership =
        Elector::new(client.clone(), &identity.namespace, LEASE, &unique, clock.clone(), Timing::default())?
            .spawn();
    tokio::select! {
        () = stores.ready() => health.stores(Vec::new()),
        _ = stop.wait_for(|s| *s) => {}
    }
    while !*stop.borrow() && !leadership.is_leader() {
        tokio::select! {
            _ = leadership.changed() => {}
            _ = stop.changed() => {}
        }
    }
    let mut events = None;
    let ended = if *stop.borrow() {
        Ended::Stopped
    } else {
        tracing::info!(identity = %unique, "leading");
        health.standby(false);
        telemetry.leader(true);
        let world = Arc::new(World {
            signals,
            events: events
                .insert(Arc::new(Events::start(client.clone(), &identity.pod, pod_ref(&identity))))
                .clone(),
            actor: identity.pod.clone(),
            turns: Semaphore::new(config.concurrency),
            ledger: LedgerDoor::default(),
            gates: GateBoard::default(),
            steer: SteerBoard::default(),
            pools: Pools::default(),
            leadership: leadership.clone(),
            client,
            config,
            clock,
            stores,
            telemetry: telemetry.clone(),
        });
        lead(&world, &health, changes, &mut leadership, &mut stop).await
    };
    health.stopping();
    telemetry.leader(false);
    leadership.release().await;
    if let Some(events) = events {
        events.close().await;
    }
    servers.stop().await;
    background.shutdown().await;
    tracing::info!(?ended, "ended");
    Ok(ended)
}

/// Random text: a pod keeps its name when its container starts anew, and must not take its own old lease for its own.
fn nonce() -> anyhow::Result<String> {
    let random = getrandom::u64().map_err(|e| anyhow::anyhow!("no random numbers: {e}"))?;
    Ok(format!("{random:016x}"))
}

/// The operator's own pod, which its own events are about.
fn pod_ref(identity: &Identity) -> k8s_openapi::api::core::v1::ObjectReference {
    k8s_openapi::api::core::v1::ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        namespace: Some(identity.namespace.clone()),
        name: Some(identity.pod.clone()),
        ..Default::default()
    }
}

async fn heartbeat(health: Arc<Health>) {
    loop {
        health.beat();
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

/// One term: open the ledger, settle what a former leader left open, run the fleet.
async fn lead(
    world: &Arc<World>,
    health: &Arc<Health>,
    changes: mpsc::UnboundedReceiver<super::stores::Change>,
    leadership: &mut Leadership,
    stop: &mut watch::Receiver<bool>,
) -> Ended {
    let (end, ending) = watch::channel(false);
    let keeper = tokio::spawn(keep_ledger(world.clone(), health.clone(), ending.clone()));
    let members = tokio::spawn(fleet::run(world.clone(), changes, ending));
    let term = leadership.term();
    let ended = loop {
        tokio::select! {
            _ = stop.changed() => break Ended::Stopped,
            _ = leadership.changed() => {
                if leadership.term() != term {
                    tracing::warn!("leadership is lost");
                    break Ended::LostLeadership;
                }
            }
        }
    };
    end.send_replace(true);
    health.stopping();
    for task in [keeper, members] {
        if tokio::time::timeout(Duration::from_secs(20), task).await.is_err() {
            tracing::warn!("a turn did not end in time");
        }
    }
    ended
}

/// Opens the ledger and, should a turn close it, opens it again at once; acts wait meanwhile.
async fn keep_ledger(world: Arc<World>, health: Arc<Health>, mut ending: watch::Receiver<bool>) {
    let mut rest = REOPEN.0;
    let mut policies = policies::Watch::default();
    loop {
        // What nobody guards is not opened: the policies keep the record from its own writer as well.
        let unguarded = if world.leadership.is_leader() { policies.look(&world).await.err() } else { None };
        if let Some(why) = unguarded {
            health.ledger_key(LedgerKey::Wrong(why.to_string()));
            world.ledger.set(Err(why.to_string()));
            rest = (rest * 2).min(REOPEN.1);
        // Troubles that pass are the writer's own to wait out; what is closed or lost is opened anew.
        } else if world.ledger.is_closed() && world.leadership.is_leader() {
            match open(&world).await {
                Ok(ledger) => {
                    health.ledger_key(LedgerKey::Right);
                    let head = ledger.head();
                    tracing::info!(entries = head.size, epoch = head.epoch, "the ledger is open");
                    world.ledger.set(Ok(ledger));
                    rest = REOPEN.0;
                }

                Err(error) => {
                    let why = error.to_string();
                    tracing::error!(%error, kind = error.kind(), "the ledger cannot be opened; no acts");
                    health.ledger_key(LedgerKey::Wrong(why.clone()));
                    world.ledger.set(Err(why));
                    rest = (rest * 2).min(REOPEN.1);
                }
            }
        }
        // A writer that steps down says so to its callers alone, so an open door is looked at as well.
        tokio::select! {
            () = world.ledger.shut() => {}
            () = tokio::time::sleep(rest) => {}
            _ = ending.changed() => return,
        }
    }
}

async fn open(world: &World) -> Result<Arc<Ledger>, LedgerError> {
    let settings = &world.config.ledger;
    let signer = |file| Signer::from_file(&settings.origin, file);
    let keys = KeyRing {
        current: signer(&settings.key_file)?,
        retiring: settings.retiring_key_file.as_deref().map(signer).transpose()?,
    };
    let store = Arc::new(ConfigMaps::new(world.client.clone(), &settings.namespace));
    let how = Settings {
        actor: world.actor.clone(),
        tail_bytes: usize::try_from(settings.tail_bytes).unwrap_or(usize::MAX),
        budget_bytes: settings.budget_bytes,
        succeeds: settings.succeeds.clone(),
        ..Settings::default()
    };
    let (ledger, recovery) = Ledger::open_with(store, keys, &settings.origin, how, world.clock.now()).await?;
    let now = || world.clock.now();
    for open in recovery.open {
        let outcome = act::settle(&world.client, &open.act, recovery.epoch, &now).await;
        tracing::warn!(decision = %open.act.id(), outcome = outcome.as_str(), "an open intent was settled");
        ledger.conclude_recovered(&open, outcome, now()).await?;
    }
    Ok(Arc::new(ledger))
}
