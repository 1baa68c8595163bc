//! The fleet: one small loop for each resource, each turn bounded, isolated and in its own time.
//!
//! A panic or an error of one resource's turn ends that turn, not the others.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::gate;
use super::stores::{Change, Gate, Scaling};
use super::turn;
use super::world::World;

/// Longest a single turn may take before it is given up and tried anew.
const TURN: Duration = Duration::from_secs(120);

/// One running loop.
struct Member {
    wake: Arc<Notify>,
    seen: Option<Mark>,
}

/// What of a resource, when it changes, calls for a turn at once: its spec, its annotations, its end.
#[derive(PartialEq, Eq)]
struct Mark {
    uid: Option<String>,
    generation: Option<i64>,
    annotations: std::collections::BTreeMap<String, String>,
    deleted: bool,
}

fn mark<K: kube::Resource>(object: &K) -> Mark {
    Mark {
        uid: object.uid(),
        generation: object.meta().generation,
        annotations: object.annotations().clone(),
        deleted: object.meta().deletion_timestamp.is_some(),
    }
}

/// Runs the fleet until `stop` says so; then lets the turns under way finish.
pub async fn run(
    world: Arc<World>,
    mut changes: mpsc::UnboundedReceiver<Change>,
    mut stop: watch::Receiver<bool>,
) {
    let mut members: HashMap<Change, Member> = HashMap::new();
    let mut loops: JoinSet<Change> = JoinSet::new();
    loop {
        tokio::select! {
            change = changes.recv() => {
                let Some(change) = change else { break };
                let seen = look(&world, &change);
                if let Some(member) = members.get_mut(&change) {
                    if member.seen != seen {
                        member.seen = seen;
                        member.wake.notify_one();
                    }
                } else if seen.is_some() {
                    let wake = Arc::new(Notify::new());
                    loops.spawn(live(world.clone(), change.clone(), wake.clone(), stop.clone()));
                    members.insert(change, Member { wake, seen });
                }
            }
            Some(ended) = loops.join_next() => {
                if let Ok(key) = ended {
                    members.remove(&key);
                    // It may have come back between its loop's last look and now.
                    if let Some(seen) = look(&world, &key) {
                        let wake = Arc::new(Notify::new());
                        loops.spawn(live(world.clone(), key.clone(), wake.clone(), stop.clone()));
                        members.insert(key, Member { wake, seen: Some(seen) });
                    }
                }
            }
            _ = stop.changed() => break,
        }
    }
    while loops.join_next().await.is_some() {}
}

fn look(world: &World, change: &Change) -> Option<Mark> {
    match change {
        Change::Scaling(namespace, name) => scaling(world, namespace, name).map(|k| mark(&*k)),
        Change::Gate(namespace, name) => gate_of(world, namespace, name).map(|k| mark(&*k)),
    }
}

pub(super) fn scaling(world: &World, namespace: &str, name: &str) -> Option<Arc<Scaling>> {
    world.stores.of(namespace)?.scalings.get(&ObjectRef::new(name).within(namespace))
}

pub(super) fn gate_of(world: &World, namespace: &str, name: &str) -> Option<Arc<Gate>> {
    world.stores.of(namespace)?.gates.get(&ObjectRef::new(name).within(namespace))
}

/// What the loop of one resource remembers.
enum Life {
    Scaling(Box<turn::Life>),
    Gate(Box<gate::Life>),
}

impl Life {
    fn new(key: &Change) -> Self {
        match key {
            Change::Scaling(..) => Self::Scaling(Box::default()),
            Change::Gate(..) => Self::Gate(Box::default()),
        }
    }

    async fn turn(&mut self, world: &World, key: &Change) -> Option<Duration> {
        let (Change::Scaling(namespace, name) | Change::Gate(namespace, name)) = key;
        match self {
            Self::Scaling(life) => turn::run(world, namespace, name, life).await,
            Self::Gate(life) => gate::run(world, namespace, name, life).await,
        }
    }
}

/// The loop of one resource: a turn, a rest, a turn, until the resource is gone.
async fn live(world: Arc<World>, key: Change, wake: Arc<Notify>, mut stop: watch::Receiver<bool>) -> Change {
    let mut life = Life::new(&key);
    while !*stop.borrow() {
        let rest = {
            let Ok(_permit) = world.turns.acquire().await else { break };
            // Boxed, so that its room is there while it runs and not all the time.
            let one = Box::pin(life.turn(&world, &key));
            match tokio::time::timeout(TURN, AssertUnwindSafe(one).catch_unwind()).await {
                Ok(Ok(rest)) => rest,
                Ok(Err(_)) => {
                    tracing::error!(?key, "a turn panicked; the resource starts afresh");
                    world.telemetry.reconcile_error("panic");
                    life = Life::new(&key);
                    Some(Duration::from_secs(15))
                }
                Err(_) => {
                    tracing::error!(?key, "a turn took longer than {} s", TURN.as_secs());
                    world.telemetry.reconcile_error("turn_timeout");
                    Some(Duration::from_secs(15))
                }
            }
        };
        let Some(rest) = rest else { break };
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = wake.notified() => {}
            _ = stop.changed() => {}
        }
    }
    key
}
