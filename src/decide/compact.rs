//! A situation small enough to be recorded whole.

use sha2::{Digest, Sha256};

use super::situation::Situation;
use crate::observe::reading::SignalName;

/// Signals whose filtered state a rule reads; the others stand in the picture for status alone.
const JUDGED: [SignalName; 5] =
    [SignalName::OMEGA, SignalName::LATENCY, SignalName::ERRORS, SignalName::BETA, SignalName::THROUGHPUT];

/// Earlier revisions that are looked at: a rollback further back than that is a person's choice.
const MAX_PREVIOUS: usize = 5;

impl Situation {
    /// The same situation without what no rule looks at, so that an entry of the ledger can hold it.
    ///
    /// To be called before [`decide`](super::decide()): what is recorded is then exactly what was decided on.
    /// Queries are replaced by their SHA-256, older revisions than the five newest go, values by revision stay
    /// for the current one, estimates for the signals that are judged by them.
    #[must_use]
    pub fn compacted(mut self) -> Self {
        for signal in &mut self.spec.signals {
            for text in [&mut signal.query, &mut signal.zero_when_fresh].into_iter().flatten() {
                *text = format!("sha256:{}", hex(text));
            }
        }
        // The load is arrivals, and cpu where those are not known.
        let arrivals = self.picture.signals.get(&SignalName::THROUGHPUT).is_some();
        let load = |name: &SignalName| *name == SignalName::CPU && !arrivals;
        self.picture.signals.retain(|name| JUDGED.contains(name) || load(name));
        if let Some(w) = &mut self.observed.workload {
            w.previous.truncate(MAX_PREVIOUS);
            let current = &w.current.pod_template_hash;
            self.observed.evidence.by_revision.retain(|hash, _| hash == current);
        }
        self
    }
}

/// The first 12 hexadecimal characters of the SHA-256 of a text.
fn hex(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let head = digest.iter().take(6).fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    format!("{head:012x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::shared::SignalSpec;
    use crate::decide::regret::{Regrets, Tested};
    use crate::decide::situation::Load;
    use crate::decide::testing::{Story, at, revision};
    use crate::orient::{Baseline, Verdict};

    /// Every bounded list full, sixteen signals with the longest queries, five earlier revisions.
    fn full() -> Story {
        let mut story = Story::bad_rollout()
            .omega(0.61)
            .needs_for_long(4)
            .fresh(SignalName::THROUGHPUT, 123.456_789_012_3)
            .fresh(SignalName::PSI, 0.912_345_678_9)
            .fresh(SignalName::CVAR, 0.123_456_789)
            .compared(SignalName::OMEGA, Baseline::Before, Verdict::Undecided)
            .compared(SignalName::ERRORS, Baseline::Before, Verdict::Undecided);
        for name in
            [SignalName::OMEGA, SignalName::PSI, SignalName::CVAR, SignalName::CPU, SignalName::THROUGHPUT]
        {
            story = story.estimate(
                name,
                0.123_456_789_012_345_6,
                -0.001_234_567_890_123_4,
                0.012_345_678_901_234_5,
            );
        }
        story
            .workload(|w| {
                w.previous = (0..11)
                    .map(|i| revision(&format!("5c4b{i}"), &format!("{i:016x}"), i, at(-i * 900)))
                    .collect();
            })
            .memory(|m| {
                m.rollbacks = vec![at(-80_000), at(-70_000)];
                m.reverted = vec![at(-60_000)];
                m.bad_templates = (0..8).map(|i| format!("{i:016x}").into()).collect();
                m.good_templates = (0..8).map(|i| format!("{i:016x}").into()).collect();
                m.recommendations = (0..16).map(|i| (at(-300 + i * 19), 100 - i as i32)).collect();
                m.changes = (0..4).map(|i| (at(-15 + i), 1)).collect();
                let load = Load { throughput: Some(123.456_789_012_345_6), work: None };
                let tested = |replicas| Tested { at: at(-900), replicas, load };
                m.regrets = Regrets {
                    usual: Some((at(0), load)),
                    lowered: Some(tested(12)),
                    too_few: (9..13).map(tested).collect(),
                    vain_steps: 12,
                };
            })
            .with(|s| {
                s.spec.signals = (0..16)
                    .map(|i| SignalSpec {
                        name: format!("signal-{i}"),
                        source: None,
                        query: Some("x".repeat(2048)),
                        max_age_seconds: None,
                        min: None,
                        max: None,
                        zero_when_fresh: None,
                    })
                    .collect();
            })
    }

    #[test]
    fn a_full_situation_leaves_room_in_an_entry() {
        let s = full().s;
        assert!(serde_json::to_string(&s).unwrap().len() > 32_000);
        let small = serde_json::to_value(s.compacted()).unwrap();
        let sizes: Vec<_> =
            small.as_object().unwrap().iter().map(|(k, v)| (k, v.to_string().len())).collect();
        assert!(small.to_string().len() <= 7168, "{sizes:?}");
        let usual = serde_json::to_string(&Story::bad_rollout().s.compacted()).unwrap().len();
        assert!(usual <= 4 * 1024, "{usual}");
    }

    #[test]
    fn compaction_changes_no_decision_and_is_done_once() {
        let s = full().with(|s| s.spec.signals.clear()).s;
        let small = s.clone().compacted();
        assert_eq!(small.clone().compacted(), small);
        let (mut a, mut b) = (super::super::decide(&s), super::super::decide(&small));
        // The memory is the same but for nothing; ids come from the plan.
        assert_eq!(a.id(), b.id());
        (a.reasoning, b.reasoning) = ("".into(), "".into());
        assert_eq!(a, b);
    }

    #[test]
    fn queries_leave_their_hash() {
        let s = full().s.compacted();
        let query = s.spec.signals[0].query.as_deref().unwrap();
        assert!(query.starts_with("sha256:") && query.len() == 7 + 12, "{query}");
    }
}
