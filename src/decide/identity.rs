//! A decision's id: ULID layout, so that ids sort by time, made of content instead of chance.
//!
//! 48 bits of Unix milliseconds, then 80 bits of SHA-256 over uid, time, action and plan: the same situation
//! gives the same id on any machine, and two different decisions never share one.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use sha2::{Digest, Sha256};

use super::situation::{Action, Decision, Plan};

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Prints times as `Display` does.
const PRINTER: DateTimePrinter = DateTimePrinter::new();

impl Decision {
    /// Identifies the decision everywhere: 26 characters of Crockford base 32. Worked out when asked for, because nobody
    /// asks it of most turns.
    #[must_use]
    pub fn id(&self) -> String {
        id(&self.object.uid, self.at, self.action, &self.plan)
    }
}

fn id(uid: &str, now: Timestamp, action: Action, plan: &Plan) -> String {
    // The text that `Display` gives, by a shorter way. Writing into a String cannot fail.
    let mut at = String::with_capacity(32);
    let _ = PRINTER.print_timestamp(&now, &mut at);
    let what = match plan {
        Plan::Nothing => Cow::Borrowed("Nothing"),
        _ => Cow::Owned(format!("{plan:?}")),
    };
    of(now, &[uid, &at, action.as_str(), &what])
}

/// The id of what these parts describe at that time.
pub(super) fn of(now: Timestamp, parts: &[&str]) -> String {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0) & 0xffff_ffff_ffff;
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let forty = |bytes: &[u8]| bytes.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    let digits = |bits: u64, count: u32| (0..count).rev().map(move |place| bits >> (place * 5) & 31);
    let tail = digits(forty(&digest[..5]), 8).chain(digits(forty(&digest[5..10]), 8));
    digits(millis, 10).chain(tail).map(|digit| char::from(CROCKFORD[digit as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::testing::at;

    #[test]
    fn ids_sort_by_time_and_differ_by_content() {
        let plan = |to| Plan::Scale { from: 3, to };
        let one = id("u", at(0), Action::ScaleUp, &plan(4));
        assert_eq!(one.len(), 26);
        assert!(one.bytes().all(|c| CROCKFORD.contains(&c)));
        assert_eq!(one, id("u", at(0), Action::ScaleUp, &plan(4)));
        assert!(one < id("u", at(1), Action::Noop, &Plan::Nothing));
        for other in [
            id("v", at(0), Action::ScaleUp, &plan(4)),
            id("u", at(0), Action::ScaleUp, &plan(5)),
            id("u", at(0), Action::ScaleDown, &plan(4)),
        ] {
            assert_ne!(one, other);
            assert_eq!(one[..10], other[..10], "the time alone makes the first ten characters");
        }
    }

    #[test]
    fn the_short_ways_to_a_text_give_the_same_text() {
        for now in [at(0), at(-7) + jiff::SignedDuration::from_micros(1_250), Timestamp::MIN, Timestamp::MAX]
        {
            for plan in [Plan::Nothing, Plan::Scale { from: 3, to: 4 }] {
                let long = of(now, &["u", &now.to_string(), "Noop", &format!("{plan:?}")]);
                assert_eq!(id("u", now, Action::Noop, &plan), long);
            }
        }
    }

    #[test]
    fn the_time_part_is_a_ulids() {
        // 1469918176385 ms is the example of the ULID specification.
        let example = Timestamp::from_millisecond(1_469_918_176_385).unwrap();
        assert!(id("u", example, Action::Noop, &Plan::Nothing).starts_with("01ARYZ6S41"));
        let before = Timestamp::from_millisecond(-1).unwrap();
        assert!(id("u", before, Action::Noop, &Plan::Nothing).starts_with("0000000000"));
    }
}
