//! The Ω exporter: evidence events in, the metrics that a gate reads out.
//!
//! ```text
//!  POST /v1/evidence ─┐                         ┌─► window ─► figures ─► GET /metrics
//!                     ├─► event ─► Ψ ─► record ─┤
//!  --from FILE.jsonl ─┘              └─► file   └─► answer {id, psi, approved, omega}
//! ```
//!
//! Reading, scoring, windows and records are pure; time comes in as a value. Around them stand the file of records,
//! the file that is followed, and the server.

pub mod archive;
pub mod drill;
pub mod event;
pub mod follow;
pub mod intake;
pub mod json;
pub mod metrics;
pub mod record;
pub mod score;
pub mod server;
pub mod window;

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::operator::clock::{Clock, Monotonic};
use archive::Archive;
use event::{Kind, Refusal};
use intake::{Bucket, Intake, Rules, Taken};

/// What the server, the follower and the log share. Share it in an `Arc`.
#[derive(Debug)]
pub struct Exporter {
    clock: Clock,
    began: Monotonic,
    bucket: Mutex<Bucket>,
    desk: Mutex<Desk>,
}

/// The record of an event is written before the event counts, and no other comes between.
#[derive(Debug)]
struct Desk {
    intake: Intake,
    archive: Option<Archive>,
}

impl Exporter {
    /// Nothing yet; `rate` in events a second bounds what the server takes.
    #[must_use]
    pub fn new(rules: Rules, archive: Option<Archive>, rate: u32, clock: Clock) -> Self {
        Self {
            began: clock.monotonic(),
            clock,
            bucket: Mutex::new(Bucket::new(rate)),
            desk: Mutex::new(Desk { intake: Intake::new(rules), archive }),
        }
    }

    /// Whether one more event may come now.
    ///
    /// # Errors
    /// The refusal for its sender.
    pub fn admit(&self) -> Result<(), Refusal> {
        let now = self.clock.monotonic().since(self.began);
        if lock(&self.bucket).take(now) {
            return Ok(());
        }
        Err(self.refuse(Refusal::new(Kind::TooFast, "more events a second than --rate lets through")))
    }

    /// Takes one event; one without a time of its own is as old as `written`, or of now. Writes to a file: not for
    /// an asynchronous task.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn take(&self, bytes: &[u8], written: Option<Timestamp>) -> Result<Taken, Refusal> {
        let now = self.clock.now();
        let Desk { intake, archive } = &mut *self.desk();
        let mut keep = |line: &str| archive.as_mut().map_or(Ok(()), |archive| archive.append(line));
        intake.take(bytes, now, written.map_or(now, |at| at.min(now)), &mut keep)
    }

    /// Counts a refusal, and gives it back.
    #[must_use]
    pub fn refuse(&self, refusal: Refusal) -> Refusal {
        self.desk().intake.refuse(refusal.kind);
        refusal
    }

    /// Looks at everything as it is now.
    pub fn look<T>(&self, at: impl FnOnce(&Intake, Timestamp) -> T) -> T {
        let now = self.clock.now();
        let mut desk = self.desk();
        desk.intake.turn(now);
        at(&desk.intake, now)
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        lock(&self.desk)
    }
}

/// An event is taken whole or not at all, so a holder that panicked left nothing half done.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
