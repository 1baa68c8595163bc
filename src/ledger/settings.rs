//! What can be set about the ledger's writer. The defaults are those of the reference.

use std::time::Duration;

use jiff::SignedDuration;

/// How the writer works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who writes, as entries name it (the pod's name).
    pub actor: String,
    /// Bytes of entries in the tail before they are sealed.
    pub tail_bytes: usize,
    /// Bytes that all segments may fill.
    pub budget_bytes: u64,
    /// Where the ledger is founded as the successor of another: the last good checkpoint of that one.
    pub succeeds: Option<String>,
    /// How long after its recording an act may be tried.
    pub act_limit: SignedDuration,
    /// How long the first ask waits for others to share its write.
    pub linger: Duration,
    /// Writes a second.
    pub slots: u32,
    /// Wait before a write is tried again; doubled each time.
    pub retry: Duration,
    /// How often a store in trouble is asked whether it is over.
    pub probe: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            actor: "matverse".to_owned(),
            tail_bytes: 64 * 1024,
            budget_bytes: 64 * 1024 * 1024,
            succeeds: None,
            act_limit: SignedDuration::from_secs(30),
            linger: Duration::from_millis(10),
            slots: 5,
            retry: Duration::from_millis(100),
            probe: Duration::from_secs(2),
        }
    }
}

impl Settings {
    /// Settings without any waiting, for tests and simulations.
    #[must_use]
    pub fn immediate() -> Self {
        Self {
            linger: Duration::ZERO,
            slots: 1_000_000,
            retry: Duration::ZERO,
            probe: Duration::from_millis(5),
            ..Self::default()
        }
    }

    /// Waits before try number `round` (from 0).
    pub(in crate::ledger) async fn pause_before(&self, round: u32) {
        if round > 0 && !self.retry.is_zero() {
            tokio::time::sleep(self.retry * 2_u32.saturating_pow(round - 1)).await;
        }
    }
}
