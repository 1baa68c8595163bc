//! The one clock. Everything that needs the time is handed it from here, so that a test can script it.
//!
//! Two times are kept apart: *wall* time ([`Clock::now`]) goes into records, samples and status, and may be stepped
//! by an administrator; *monotonic* time ([`Clock::monotonic`]) measures how long something took or has been
//! waiting, and never goes back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// A moment on the monotonic clock of this process; comparable only with others of the same [`Clock`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Monotonic(Duration);

impl Monotonic {
    /// Time that passed since `earlier`; zero if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `after` later.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(after))
    }
}

/// Where the time comes from. Cheap to clone; clones tell the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { origin: Instant },
    Scripted(Arc<Mutex<Moment>>),
}

#[derive(Clone, Copy, Debug)]
struct Moment {
    wall: Timestamp,
    monotonic: Duration,
}

impl Clock {
    /// The machine's clocks.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn system() -> Self {
        Self(Source::System { origin: Instant::now() })
    }

    /// A clock that stands at `start` until the [`Script`] moves it.
    #[must_use]
    pub fn scripted(start: Timestamp) -> (Self, Script) {
        let moment = Arc::new(Mutex::new(Moment { wall: start, monotonic: Duration::ZERO }));
        (Self(Source::Scripted(Arc::clone(&moment))), Script(moment))
    }

    /// The wall time.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { .. } => Timestamp::now(),
            Source::Scripted(moment) => lock(moment).wall,
        }
    }

    /// The monotonic time. On Linux it stands still while the machine is suspended.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn monotonic(&self) -> Monotonic {
        match &self.0 {
            Source::System { origin } => Monotonic(Instant::now().saturating_duration_since(*origin)),
            Source::Scripted(moment) => Monotonic(lock(moment).monotonic),
        }
    }
}

/// Moves a scripted [`Clock`].
#[derive(Clone, Debug)]
pub struct Script(Arc<Mutex<Moment>>);

impl Script {
    /// Time passes, on both clocks.
    pub fn advance(&self, by: Duration) {
        let mut moment = lock(&self.0);
        moment.monotonic = moment.monotonic.saturating_add(by);
        moment.wall = stepped(moment.wall, SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX));
    }

    /// An administrator (or a time server) steps the wall clock; the monotonic clock does not notice.
    pub fn step_wall(&self, by: SignedDuration) {
        let mut moment = lock(&self.0);
        moment.wall = stepped(moment.wall, by);
    }
}

fn stepped(from: Timestamp, by: SignedDuration) -> Timestamp {
    from.saturating_add(by).unwrap_or(from)
}

/// The two numbers cannot be half written, so a holder that panicked left nothing broken behind.
fn lock(moment: &Mutex<Moment>) -> std::sync::MutexGuard<'_, Moment> {
    moment.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scripted_clock_stands_still_until_it_is_moved() {
        let start: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        let (clock, script) = Clock::scripted(start);
        let began = clock.monotonic();
        assert_eq!((clock.now(), clock.monotonic()), (start, began));
        script.advance(Duration::from_secs(90));
        assert_eq!(clock.now().to_string(), "2030-01-01T00:01:30Z");
        assert_eq!(clock.monotonic().since(began), Duration::from_secs(90));
    }

    #[test]
    fn a_stepped_wall_clock_does_not_move_the_monotonic_one() {
        let (clock, script) = Clock::scripted("2030-01-01T00:00:00Z".parse().unwrap());
        let began = clock.monotonic();
        script.step_wall(SignedDuration::from_hours(-5));
        assert_eq!(clock.now().to_string(), "2029-12-31T19:00:00Z");
        assert_eq!(clock.monotonic().since(began), Duration::ZERO);
    }

    #[test]
    fn monotonic_differences_never_go_below_zero() {
        let early = Monotonic::default();
        let late = early.plus(Duration::from_secs(3));
        assert_eq!(late.since(early), Duration::from_secs(3));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(late.plus(Duration::MAX), Monotonic(Duration::MAX));
    }

    #[test]
    fn the_system_clock_moves() {
        let clock = Clock::system();
        let (wall, began) = (clock.now(), clock.monotonic());
        std::thread::sleep(Duration::from_millis(2));
        assert!(clock.now() > wall);
        assert!(clock.monotonic().since(began) >= Duration::from_millis(2));
    }
}
