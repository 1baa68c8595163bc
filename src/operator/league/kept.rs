//! What a league keeps in status: its memory, the step under way, and what was borrowed.

use serde::{Deserialize, Serialize};

use crate::api::gate::{League, LeagueStatus};
use crate::decide::league::{Decision, Memory, Reason, Situation, Stage, borrows};
use crate::ledger::step::Kind;
use crate::operator::conditions::cut;
use crate::orient::Verdict;

/// Kept in status between turns, and over restarts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Kept {
    /// The league's memory.
    pub memory: Memory,
    /// Why the present stage began, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub said: String,
    /// A step that was about to be tried, and what to remember once it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// The setup whose route or replicas are borrowed: they go back to it even if the resource names another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub borrowed: Option<League>,
}

/// A step that was about to be tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// Id of its decision, which the object bears if it was carried out.
    pub id: String,
    /// What it writes to.
    pub kind: Kind,
    /// The object's name.
    pub name: String,
    /// What to remember then.
    pub next: Memory,
}

impl Kept {
    /// From status. A memory that cannot be read is none: the league starts afresh, and what stands at the route
    /// then is somebody else's.
    #[must_use]
    pub fn from_status(status: Option<&LeagueStatus>) -> Self {
        let Some(text) = status.map(|s| s.memory.as_str()).filter(|text| !text.is_empty()) else {
            return Self::default();
        };
        serde_json::from_str(text).unwrap_or_else(|error| {
            tracing::warn!(%error, "the league's memory in status was not believed");
            Self::default()
        })
    }

    /// Remembers what a decision leaves where its plan stands, or where it has none.
    pub fn take(&mut self, situation: &Situation, decision: &Decision) {
        let next = &decision.next;
        self.borrowed = borrows(next).then(|| situation.spec.clone());
        if (self.memory.stage, self.memory.since) != (next.stage, next.since) {
            let hint = hint(situation, decision);
            self.said.clone_from(&decision.reasoning);
            cut(&mut self.said, 256 - hint.len());
            self.said.push_str(hint);
        }
        self.memory = next.clone();
        self.pending = None;
    }

    /// The status for people, with this memory in it.
    #[must_use]
    pub fn status(&self, situation: &Situation, decision: &Decision) -> LeagueStatus {
        let memory = &self.memory;
        let evidence = &situation.evidence;
        let side = if memory.stage == Stage::Shadow || memory.stage == Stage::Canary {
            &evidence.challenger
        } else {
            &evidence.champion
        };
        // At rest it says how the last league ended, not that there is no new one.
        let ended = memory.reason.filter(|_| !memory.stage.running());
        let mut message = if ended.is_some() { self.said.clone() } else { decision.reasoning.clone() };
        cut(&mut message, 256);
        LeagueStatus {
            stage: memory.stage.as_str().to_owned(),
            since: memory.since.map(|at| at.to_string()).unwrap_or_default(),
            samples: if memory.stage.running() { side.requests.max(0.0) as u64 } else { 0 },
            run: memory.run.clone(),
            reason: ended.unwrap_or(decision.reason).as_str().to_owned(),
            message,
            champion_template: memory.champion_template.clone(),
            challenger_template: memory.challenger_template.clone(),
            weight: situation.route.as_ref().map(|route| route.challenger),
            mirrored: situation.route.as_ref().map(|route| route.mirror),
            last_good: memory.last_good.as_ref().map(|good| good.template.clone()),
            memory: serde_json::to_string(self).unwrap_or_default(),
        }
    }
}

/// The way out for a league that ended without a verdict on latency.
fn hint(situation: &Situation, decision: &Decision) -> &'static str {
    let evidence = &situation.evidence;
    let counted = evidence.challenger.slow.is_some() || evidence.latency.verdict == Verdict::NotWorse;
    if decision.reason == Reason::Undecided && !counted {
        "; fewer requests are enough where slow ones are counted: name the signal slow"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::league::testing::Story;

    #[test]
    fn an_end_without_a_verdict_names_the_way_out_where_there_is_one() {
        let said = |slow: Option<f64>, reason: Reason| {
            let mut situation = Story::canary().s;
            situation.evidence.challenger.slow = slow;
            situation.evidence.latency.verdict = Verdict::Undecided;
            let mut decision = crate::decide::league::decide(&situation);
            (decision.reason, decision.reasoning) = (reason, "x".repeat(300));
            decision.next.stage = Stage::RolledBack;
            let mut kept = Kept::default();
            kept.take(&situation, &decision);
            assert!(kept.said.len() <= 256);
            kept.said.contains("name the signal slow")
        };
        assert!(said(None, Reason::Undecided));
        assert!(!said(Some(0.01), Reason::Undecided));
        assert!(!said(None, Reason::ErrorsWorse));
    }
}
