//! How much of the cluster the ledger may fill, and who may fill it.
//!
//! ```text
//!  0 ────────── 50 % ──────────── 80 % ──────── 95 % ──────────── 100 %
//!    all kept    exported segments  a person    only Rollback     no acts
//!                are removed                     and ScaleUp
//! ```
//!
//! Segments are counted at their full size, so what is used is never understated. Outcomes, epochs and keys are
//! recorded at any level: what was begun must be concluded.

use std::collections::BTreeMap;

use super::error::LedgerError;
use crate::decide::situation::Action;

/// Shares of the budget, in percent: exported segments go, it is said, only what protects users, nothing.
const SWEEP: u64 = 50;
const WARNING: u64 = 80;
const TIGHT: u64 = 95;
/// Share of the budget, in percent, beyond which a namespace has had its part once room is short: what is left is for
/// the others. Counted since this leader began.
const QUOTA: u64 = 25;

/// What is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Enough.
    Ample,
    /// A person should export, or raise the budget.
    Warning,
    /// Only Rollback and ScaleUp are recorded, and so done.
    Tight,
    /// Nothing is: observe only.
    Full,
}

/// What is used of the budget.
#[derive(Clone, Debug)]
pub struct Budget {
    bytes: u64,
    segment_bytes: u64,
    segments: u64,
    namespaces: BTreeMap<String, u64>,
}

impl Budget {
    /// A budget of `bytes`, kept in segments of `segment_bytes`, of which there are `segments`.
    pub fn new(bytes: u64, segment_bytes: usize, segments: u64) -> Self {
        Self { bytes, segment_bytes: segment_bytes as u64, segments, namespaces: BTreeMap::new() }
    }

    /// Used, in percent.
    pub fn percent(&self) -> u64 {
        (self.segments * self.segment_bytes).saturating_mul(100) / self.bytes.max(1)
    }

    /// What is left.
    pub fn room(&self) -> Room {
        match self.percent() {
            ..WARNING => Room::Ample,
            WARNING..TIGHT => Room::Warning,
            TIGHT..100 => Room::Tight,
            100.. => Room::Full,
        }
    }

    /// Whether segments that lie elsewhere too should go.
    pub fn is_to_sweep(&self) -> bool {
        self.percent() >= SWEEP
    }

    /// Another segment was sealed.
    pub fn seal(&mut self) {
        self.segments += 1;
    }

    /// A segment was removed.
    pub fn removed(&mut self) {
        self.segments = self.segments.saturating_sub(1);
    }

    /// An entry of `bytes` was recorded for a namespace.
    pub fn spend(&mut self, namespace: &str, bytes: usize) {
        *self.namespaces.entry(namespace.to_owned()).or_default() += bytes as u64;
    }

    /// Whether an act may be recorded.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Quota`]; neither for what protects users, before it is full.
    pub fn admit(&self, namespace: &str, action: Action) -> Result<(), LedgerError> {
        let protects = matches!(action, Action::Rollback | Action::ScaleUp);
        let room = self.room();
        if room == Room::Full || room == Room::Tight && !protects {
            return Err(LedgerError::Full { percent: self.percent() });
        }
        let spent = self.namespaces.get(namespace).copied().unwrap_or_default();
        if room >= Room::Warning && !protects && spent.saturating_mul(100) >= self.bytes.saturating_mul(QUOTA)
        {
            return Err(LedgerError::Quota { namespace: namespace.to_owned() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_shrinks_in_steps_and_what_protects_users_goes_last() {
        let at = |segments| Budget::new(100, 1, segments);
        let rooms: Vec<Room> = [0, 79, 80, 94, 95, 99, 100].map(|n| at(n).room()).to_vec();
        assert_eq!(
            rooms,
            [Room::Ample, Room::Ample, Room::Warning, Room::Warning, Room::Tight, Room::Tight, Room::Full]
        );
        assert!(!at(49).is_to_sweep() && at(50).is_to_sweep());
        for (segments, scale_up, scale_down) in [(94, true, true), (95, true, false), (100, false, false)] {
            assert_eq!(at(segments).admit("shop", Action::ScaleUp).is_ok(), scale_up, "{segments}");
            assert_eq!(at(segments).admit("shop", Action::ScaleDown).is_ok(), scale_down, "{segments}");
        }
    }

    #[test]
    fn one_namespace_cannot_fill_it_alone() {
        let mut budget = Budget::new(1000, 1, 799);
        budget.spend("noisy", 249);
        budget.spend("noisy", 1);
        assert!(budget.admit("noisy", Action::Retune).is_ok(), "while there is room for everybody");
        budget.seal();
        let refused = budget.admit("noisy", Action::Retune);
        assert_eq!(refused, Err(LedgerError::Quota { namespace: "noisy".into() }));
        assert!(
            budget.admit("noisy", Action::Rollback).is_ok(),
            "what protects users is never a matter of quota"
        );
        assert!(budget.admit("quiet", Action::Retune).is_ok());
    }
}
