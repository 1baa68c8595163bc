//! Leadership: at most one replica acts, elected over a `coordination.k8s.io/v1` Lease.
//!
//! ```text
//!  follower ──GET──► same resourceVersion for a whole lease (on *our* monotonic clock)? ──PUT──► leader
//!  leader ──PUT every `retry`──► ok: led until (start of the PUT + renew deadline) · else: lapses by itself
//! ```
//!
//! Three rules keep two replicas from leading at once:
//! 1. every write is a PUT with the resourceVersion that was judged, so of two takers one gets a 409;
//! 2. a lease expires by the reader's monotonic clock since the record last *changed*; times written by others are
//!    never compared with ours, so skewed wall clocks do not matter;
//! 3. a leader counts its term from *before* the PUT was sent and only for the renew deadline, which is shorter than
//!    the lease; [`Leadership::is_leader`] checks that deadline itself, so a process that was paused is not leader
//!    when it wakes.
//!
//! Leadership says who may *try*; what makes an older leader's writes fail is the epoch in the ledger.

mod office;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use tokio::sync::watch;

pub use office::Leadership;

use super::clock::{Clock, Monotonic};
use office::{Shared, Started};

/// How long things last in an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A lease that has not changed for this long is free.
    pub lease: Duration,
    /// A leader that could not renew for this long is none; shorter than `lease`.
    pub renew_deadline: Duration,
    /// Pause between two attempts.
    pub retry: Duration,
    /// Bound of one API call.
    pub call: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
            call: Duration::from_secs(4),
        }
    }
}

/// Why an attempt did not come through. None of these ends an election; the next attempt follows.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// The timing cannot keep two leaders apart.
    #[error(
        "renew deadline {renew_deadline:?} plus retry {retry:?} must be shorter than the lease {lease:?}, and none may be zero"
    )]
    Timing {
        /// As configured.
        lease: Duration,
        /// As configured.
        renew_deadline: Duration,
        /// As configured.
        retry: Duration,
    },
    /// The identity is empty or too long to stand in a Lease.
    #[error("the identity of a candidate has 1 to 253 characters")]
    Identity,
    /// No answer in time: the write may or may not have landed.
    #[error("no answer from the API server within {0:?}")]
    Timeout(Duration),
    /// The API server refused, or could not be reached.
    #[error("the lease could not be read or written: {0}")]
    Api(#[source] Box<kube::Error>),
}

impl LeaderError {
    /// A bounded name for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Timing { .. } => "timing",
            Self::Identity => "identity",
            Self::Timeout(_) => "timeout",
            Self::Api(_) => "api",
        }
    }
}

/// One candidate.
#[derive(Debug)]
pub struct Elector {
    api: Api<Lease>,
    name: String,
    identity: String,
    clock: Clock,
    timing: Timing,
    shared: Arc<Shared>,
    /// The Lease as the API server last answered it; `None` when it must be read before it may be written.
    lease: Option<Lease>,
    /// When the Lease was last seen to change.
    seen: Option<Seen>,
    /// Renew times of writes of ours that may have landed: how a write whose answer was lost is known again.
    tried: Vec<MicroTime>,
}

/// A Lease as it was first seen at one resourceVersion.
#[derive(Debug)]
struct Seen {
    version: Option<String>,
    held: bool,
    at: Monotonic,
    lasts: Duration,
}

/// What the Lease lets this candidate do.
#[derive(Debug, PartialEq, Eq)]
enum Chance {
    Create,
    Take,
    Renew,
    Wait,
}

impl Elector {
    /// A candidate for the Lease `namespace/name`. `identity` must be unique to this process (a pod's name is not,
    /// after a container restart: add something random).
    ///
    /// # Errors
    /// A timing that cannot keep two leaders apart, or an identity that cannot stand in a Lease.
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: &str,
        clock: Clock,
        timing: Timing,
    ) -> Result<Self, LeaderError> {
        let Timing { lease, renew_deadline, retry, call } = timing;
        let some = [renew_deadline, retry, call].iter().all(|d| !d.is_zero());
        if !some || renew_deadline.saturating_add(retry) >= lease {
            return Err(LeaderError::Timing { lease, renew_deadline, retry });
        }
        if identity.is_empty() || identity.len() > 253 {
            return Err(LeaderError::Identity);
        }
        Ok(Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            shared: Arc::new(Shared::new(clock.clone(), timing.renew_deadline)),
            clock,
            timing,
            lease: None,
            seen: None,
            tried: Vec::new(),
        })
    }

    /// Runs for office until [`Leadership::release`], or until every [`Leadership`] is gone.
    #[must_use]
    pub fn spawn(self) -> Leadership {
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(self.run(stopped));
        Leadership::new(shared, stop, task)
    }

    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            // An attempt is never cut short by a stop: its write would be left in doubt.
            if let Err(error) = self.step().await {
                tracing::warn!(%error, kind = error.kind(), lease = %self.name, "leadership not confirmed");
            }
            let pause = self.shared.left().map_or(self.timing.retry, |left| left.min(self.timing.retry));
            tokio::select! {
                () = tokio::time::sleep(pause.max(Duration::from_millis(1))) => self.shared.lapse(),
                changed = stopped.changed() => if changed.is_err() { break },
            }
        }
        self.give_up().await;
    }

    /// One attempt: read the Lease where it is not known, judge it, and write it where that is our right.
    async fn step(&mut self) -> Result<(), LeaderError> {
        self.shared.lapse();
        // Twice, because a lost race is worth one fresh look at once.
        for _ in 0..2 {
            let chance = self.look().await?;
            if chance == Chance::Wait {
                return Ok(());
            }
            let started = Started { wall: self.clock.now(), monotonic: self.clock.monotonic() };
            let lease = self.claim(chance == Chance::Renew, started.wall);
            match self.write(&lease).await {
                Ok(written) => {
                    self.tried.clear();
                    self.tried.extend(renewed(&written));
                    self.saw(Some(written));
                    self.shared.confirm(started);
                    return Ok(());
                }
                // Somebody else wrote in between; who, the next look tells.
                Err(LeaderError::Api(error)) if code(&error) == Some(409) => self.lease = None,
                Err(LeaderError::Api(error)) if code(&error) == Some(404) => {
                    // Deleted under us: anybody may create it now, so this term is over.
                    self.lease = None;
                    self.shared.drop_term();
                }
                Err(error) => {
                    self.lease = None;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Reads the Lease unless it is known from our own last write, and judges it.
    async fn look(&mut self) -> Result<Chance, LeaderError> {
        if self.lease.is_none() || !self.shared.leads() {
            let found = self.bounded(self.api.get_opt(&self.name)).await?;
            self.saw(found);
        }
        let chance = self.judge();
        if chance != Chance::Renew {
            self.shared.drop_term();
        }
        Ok(chance)
    }

    fn judge(&self) -> Chance {
        let expired =
            self.seen.as_ref().is_none_or(|s| !s.held || self.clock.monotonic().since(s.at) >= s.lasts);
        match &self.lease {
            None if expired => Chance::Create,
            Some(lease) if holder(lease) == Some(&self.identity) && self.wrote(lease) => Chance::Renew,
            Some(_) if expired => Chance::Take,
            _ => Chance::Wait,
        }
    }

    /// Whether the record is a write of this very process (not of a namesake or a former life).
    fn wrote(&self, lease: &Lease) -> bool {
        renewed(lease).is_some_and(|at| self.tried.contains(&at))
    }

    /// Notes what the API server answered, and since when it has been so.
    fn saw(&mut self, lease: Option<Lease>) {
        let version = lease.as_ref().and_then(ResourceExt::resource_version);
        let at = self.clock.monotonic();
        match (&lease, &self.seen) {
            // A deleted Lease still protects the holder that it named, for as long as it would have.
            (None, Some(_)) => {}
            (None, None) => self.seen = Some(Seen { version, held: false, at, lasts: self.timing.lease }),
            (Some(_), Some(seen)) if seen.version == version => {}
            (Some(lease), _) => {
                let theirs = lease.spec.as_ref().and_then(|s| s.lease_duration_seconds).unwrap_or(0);
                let theirs = Duration::from_secs(u64::try_from(theirs).unwrap_or(0));
                // A record that claims to last for ever must not lock everybody out.
                let lasts = theirs.clamp(self.timing.lease, self.timing.lease.saturating_mul(4));
                self.seen = Some(Seen { version, held: holder(lease).is_some(), at, lasts });
            }
        }
        self.lease = lease;
    }

    /// The record to write: the one that was judged, with us in it.
    fn claim(&mut self, renewal: bool, now: Timestamp) -> Lease {
        let mut lease = self.lease.clone().unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            spec: None,
        });
        lease.metadata.managed_fields = None;
        let existed = lease.metadata.resource_version.is_some();
        let before = lease.spec.take().unwrap_or_default();
        // The record must change with every renewal, or others would see it stand still.
        let mut at = micro(now);
        if before.renew_time.as_ref() == Some(&at) {
            at = micro(at.0.saturating_add(SignedDuration::from_micros(1)).unwrap_or(at.0));
        }
        let transitions = before.lease_transitions.unwrap_or(0);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            acquire_time: before.acquire_time.filter(|_| renewal).or_else(|| Some(at.clone())),
            lease_transitions: Some(transitions.saturating_add(i32::from(existed && !renewal))),
            lease_duration_seconds: Some(whole_seconds(self.timing.lease)),
            renew_time: Some(at.clone()),
            ..before
        });
        if self.tried.len() >= 16 {
            self.tried.remove(0);
        }
        self.tried.push(at);
        lease
    }

    async fn write(&self, lease: &Lease) -> Result<Lease, LeaderError> {
        let how = PostParams { field_manager: Some(super::FIELD_MANAGER.into()), ..PostParams::default() };
        if lease.metadata.resource_version.is_some() {
            self.bounded(self.api.replace(&self.name, &how, lease)).await
        } else {
            self.bounded(self.api.create(&how, lease)).await
        }
    }

    /// Leaves office: first in memory, then on the Lease, so that a successor need not wait.
    async fn give_up(&mut self) {
        let held = !self.tried.is_empty();
        self.shared.close();
        for _ in 0..2 {
            if !held {
                return;
            }
            if self.lease.is_none() {
                match self.bounded(self.api.get_opt(&self.name)).await {
                    Ok(found) => self.saw(found),
                    Err(error) => {
                        tracing::warn!(%error, "lease not released; a successor waits until it expires");
                        return;
                    }
                }
            }
            let ours = self.lease.clone().filter(|l| holder(l) == Some(&self.identity) && self.wrote(l));
            let Some(mut lease) = ours else { return };
            lease.metadata.managed_fields = None;
            if let Some(spec) = &mut lease.spec {
                spec.holder_identity = None;
                spec.lease_duration_seconds = Some(1);
            }
            match self.write(&lease).await {
                Ok(_) => return,
                Err(error) => {
                    tracing::debug!(%error, "lease not released at the first try");
                    self.lease = None;
                }
            }
        }
    }

    async fn bounded<T>(&self, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, LeaderError> {
        let limit = self.shared.left().map_or(self.timing.call, |left| left.min(self.timing.call));
        match tokio::time::timeout(limit, call).await {
            Ok(answer) => answer.map_err(|e| LeaderError::Api(Box::new(e))),
            Err(_) => Err(LeaderError::Timeout(limit)),
        }
    }
}

fn holder(lease: &Lease) -> Option<&String> {
    lease.spec.as_ref()?.holder_identity.as_ref().filter(|h| !h.is_empty())
}

fn renewed(lease: &Lease) -> Option<MicroTime> {
    lease.spec.as_ref()?.renew_time.clone()
}

fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// What the wire keeps of a time.
fn micro(at: Timestamp) -> MicroTime {
    MicroTime(Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at))
}

fn whole_seconds(of: Duration) -> i32 {
    i32::try_from(of.as_millis().div_ceil(1000)).unwrap_or(i32::MAX).max(1)
}

#[cfg(test)]
mod tests;
