//! Everything that is known of every workload, and the one way in.
//!
//! ```text
//!  bytes ─► event ─► workload ─► score with it ─► record kept ─► into the window ─► answer
//!             └────────┴─────────────┴────────────────┴─► refused, counted, with the reason
//! ```

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::event::{self, Kind, Refusal, Workload};
use super::record::Record;
use super::score::{APPROVED, WORDS};
use super::window::{Losses, Settings, Window};

/// How long a workload may be silent before its place may be given to another.
pub const SILENCE: SignedDuration = SignedDuration::from_hours(24);

/// What the intake is told at its start.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// How windows are read.
    pub settings: Settings,
    /// The workload of events that name none.
    pub workload: Option<Workload>,
    /// Most workloads at once.
    pub max_workloads: usize,
    /// Listed words, in lower case.
    pub words: Vec<String>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            workload: None,
            max_workloads: 100,
            words: WORDS.iter().map(|word| (*word).to_owned()).collect(),
        }
    }
}

/// What the sender of an event is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Taken {
    /// Of its record.
    pub id: String,
    /// Quality of the event.
    pub psi: f64,
    /// Whether Ψ is good enough.
    pub approved: bool,
    /// Ω of the workload with this event; null while unknown.
    pub omega: Option<f64>,
    /// Events in the workload's window.
    pub samples: usize,
}

/// One workload.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its last events.
    pub window: Window,
    /// Events taken that were approved, and that were not.
    pub events: [u64; 2],
    /// Digest of the newest record.
    pub head: Option<String>,
    /// When the newest event came.
    heard: Timestamp,
}

impl Kept {
    /// Losses since the start.
    #[must_use]
    pub fn losses(&self) -> &Losses {
        self.window.losses()
    }
}

/// All workloads.
#[derive(Clone, Debug)]
pub struct Intake {
    rules: Rules,
    workloads: BTreeMap<Workload, Kept>,
    refused: BTreeMap<Kind, u64>,
}

/// Keeps the line of a record for good, or says why it cannot.
pub type Keep<'a> = &'a mut dyn FnMut(&str) -> Result<(), String>;

impl Intake {
    /// Nothing yet.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules, workloads: BTreeMap::new(), refused: BTreeMap::new() }
    }

    /// Takes one event. `now` is this clock's time, `at` that of an event that states none; `keep` gets its record.
    ///
    /// # Errors
    /// Why it is not taken; then nothing has changed but a count.
    pub fn take(
        &mut self,
        bytes: &[u8],
        now: Timestamp,
        at: Timestamp,
        keep: Keep,
    ) -> Result<Taken, Refusal> {
        let taken = self.try_take(bytes, now, at, keep);
        if let Err(refusal) = &taken {
            self.refuse(refusal.kind);
        }
        taken
    }

    fn try_take(
        &mut self,
        bytes: &[u8],
        now: Timestamp,
        at: Timestamp,
        keep: Keep,
    ) -> Result<Taken, Refusal> {
        let event = event::read(bytes, &self.rules.words, now)?;
        let at = event.at.unwrap_or(at);
        let Some(workload) = event.workload.clone().or_else(|| self.rules.workload.clone()) else {
            let why = "the event names no workload (\"namespace/name\") and the exporter was started without --workload";
            return Err(Refusal {
                kind: Kind::NoWorkload,
                field: Some("workload".to_owned()),
                reason: why.to_owned(),
            });
        };
        self.room(&workload, now)?;
        let empty = Window::new(self.rules.settings);
        let window = self.workloads.get(&workload).map_or(&empty, |kept| &kept.window);
        let score = window.with(event.psi);
        let not_recorded = |why| Refusal::new(Kind::NotRecorded, why);
        let record = Record::of(&event, &workload, at, &score).map_err(not_recorded)?;
        keep(&record.line).map_err(not_recorded)?;

        let approved = event.psi >= APPROVED;
        let kept = self.workloads.entry(workload).or_insert_with(|| Kept {
            window: Window::new(self.rules.settings),
            events: [0; 2],
            head: None,
            heard: now,
        });
        kept.window.push(&event, at);
        kept.events[usize::from(!approved)] += 1;
        kept.head = Some(record.digest);
        kept.heard = now;
        Ok(Taken { id: record.id, psi: event.psi, approved, omega: score.omega, samples: score.samples })
    }

    /// Whether there is room for this workload, the silent ones left out.
    fn room(&mut self, workload: &Workload, now: Timestamp) -> Result<(), Refusal> {
        let full = |this: &Self| this.workloads.len() >= this.rules.max_workloads;
        if self.workloads.contains_key(workload) || !full(self) {
            return Ok(());
        }
        self.workloads.retain(|_, kept| now.duration_since(kept.heard) <= SILENCE);
        if !full(self) {
            return Ok(());
        }
        let why = format!(
            "{workload} would be one workload more than the {} of --max-workloads",
            self.rules.max_workloads
        );
        Err(Refusal::new(Kind::TooManyWorkloads, why))
    }

    /// Counts a refusal.
    pub fn refuse(&mut self, kind: Kind) {
        *self.refused.entry(kind).or_default() += 1;
    }

    /// Closes stress episodes that are over.
    pub fn turn(&mut self, now: Timestamp) {
        self.workloads.values_mut().for_each(|kept| kept.window.turn(now));
    }

    /// All workloads, in order.
    #[must_use]
    pub fn workloads(&self) -> &BTreeMap<Workload, Kept> {
        &self.workloads
    }

    /// Refusals of one kind.
    #[must_use]
    pub fn refused(&self, kind: Kind) -> u64 {
        self.refused.get(&kind).copied().unwrap_or_default()
    }
}

/// So many events a second, and as many at once.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: f64,
    left: f64,
    filled: std::time::Duration,
}

impl Bucket {
    /// A full bucket; `rate` in events a second.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self { rate: rate.into(), left: rate.into(), filled: std::time::Duration::ZERO }
    }

    /// Whether one more may come, at `now` after any fixed moment.
    pub fn take(&mut self, now: std::time::Duration) -> bool {
        let passed = now.saturating_sub(self.filled).as_secs_f64();
        self.filled = self.filled.max(now);
        self.left = (self.left + passed * self.rate).min(self.rate);
        let some = self.left >= 1.0;
        if some {
            self.left -= 1.0;
        }
        some
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_900_000_000 + second).unwrap()
    }

    fn take(intake: &mut Intake, text: &str, second: i64) -> Result<Taken, Refusal> {
        intake.take(text.as_bytes(), at(second), at(second), &mut |_| Ok(()))
    }

    fn rules() -> Rules {
        Rules { workload: Some("shop/cart".parse().unwrap()), ..Rules::default() }
    }

    #[test]
    fn an_event_is_answered_and_counted_approved_or_not() {
        let mut intake = Intake::new(rules());
        let good = take(&mut intake, r#"{"psi": 0.85}"#, 0).unwrap();
        assert!(good.approved && good.omega.is_none());
        let bad = take(&mut intake, r#"{"psi": 0.84}"#, 0).unwrap();
        assert!(!bad.approved);
        assert_eq!(bad.samples, 2);
        let kept = &intake.workloads()[&"shop/cart".parse().unwrap()];
        assert_eq!(kept.events, [1, 1]);
        assert!((kept.window.score().psi.unwrap() - 0.845).abs() < 1e-12);
        assert_eq!(kept.head.as_ref().unwrap().len(), 64);
    }

    #[test]
    fn omega_is_answered_from_twenty_events_on() {
        let mut intake = Intake::new(rules());
        let answers: Vec<Option<f64>> =
            (0..21).map(|_| take(&mut intake, r#"{"psi": 1}"#, 0).unwrap().omega).collect();
        assert_eq!(answers.iter().position(Option::is_some), Some(19));
        assert_eq!(answers[20], Some(1.0));
    }

    #[test]
    fn the_field_goes_before_the_flag_and_without_both_it_is_said() {
        let mut intake = Intake::new(rules());
        take(&mut intake, r#"{"psi": 1, "workload": "a/b"}"#, 0).unwrap();
        assert_eq!(intake.workloads().keys().map(ToString::to_string).collect::<Vec<_>>(), ["a/b"]);
        let mut intake = Intake::new(Rules::default());
        let refusal = take(&mut intake, r#"{"psi": 1}"#, 0).unwrap_err();
        assert_eq!((refusal.kind, refusal.field.as_deref()), (Kind::NoWorkload, Some("workload")));
        assert_eq!(intake.refused(Kind::NoWorkload), 1);
    }

    #[test]
    fn a_record_that_cannot_be_kept_refuses_the_event_and_leaves_no_trace() {
        let mut intake = Intake::new(rules());
        let full = |_: &str| Err("No space left on device".to_owned());
        let refusal = intake.take(b"{\"psi\": 1}", at(0), at(0), &mut { full }).unwrap_err();
        assert_eq!((refusal.kind, refusal.reason.as_str()), (Kind::NotRecorded, "No space left on device"));
        assert!(intake.workloads().is_empty());
        let mut lines = Vec::new();
        intake
            .take(b"{\"psi\": 1}", at(0), at(0), &mut |line| {
                lines.push(line.to_owned());
                Ok(())
            })
            .unwrap();
        let head = intake.workloads().values().next().unwrap().head.clone();
        assert_eq!(head, Some(super::super::record::sha256(&lines[0])));
    }

    #[test]
    fn workloads_are_bounded_and_silent_ones_give_way() {
        let mut intake = Intake::new(Rules { max_workloads: 2, ..Rules::default() });
        for name in ["a", "b"] {
            take(&mut intake, &format!(r#"{{"psi": 1, "workload": "x/{name}"}}"#), 0).unwrap();
        }
        let third = r#"{"psi": 1, "workload": "x/c"}"#;
        assert_eq!(take(&mut intake, third, 86_400).unwrap_err().kind, Kind::TooManyWorkloads);
        take(&mut intake, r#"{"psi": 1, "workload": "x/b"}"#, 86_400).unwrap();
        take(&mut intake, third, 86_401).unwrap();
        assert_eq!(
            intake.workloads().keys().map(|w| w.name.as_str()).collect::<Vec<_>>(),
            ["b", "c"],
            "a was silent"
        );
    }

    #[test]
    fn the_time_of_an_event_is_its_own_or_the_given_one() {
        let mut intake = Intake::new(rules());
        intake.take(b"{\"psi\": 1}", at(100), at(40), &mut |_| Ok(())).unwrap();
        let age = |intake: &Intake| {
            intake.workloads().values().next().unwrap().window.figures(at(100)).age_seconds.unwrap()
        };
        assert_eq!(age(&intake).to_bits(), 60.0_f64.to_bits());
        let own = format!(r#"{{"psi": 1, "timestamp": "{}"}}"#, at(90));
        intake.take(own.as_bytes(), at(100), at(40), &mut |_| Ok(())).unwrap();
        assert_eq!(age(&intake).to_bits(), 10.0_f64.to_bits());
    }

    #[test]
    fn the_bucket_lets_through_its_rate_and_no_more() {
        let mut bucket = Bucket::new(10);
        let second = |s: f64| Duration::from_secs_f64(s);
        assert_eq!((0..30).filter(|_| bucket.take(second(5.0))).count(), 10);
        assert!(!bucket.take(second(5.05)));
        assert!(bucket.take(second(5.11)));
        assert!(!bucket.take(second(4.0)), "a clock that goes back fills nothing");
        assert_eq!((0..1000).filter(|i| bucket.take(second(10.0 + 0.01 * f64::from(*i)))).count(), 109);
    }
}
