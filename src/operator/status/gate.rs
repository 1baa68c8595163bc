//! The status of an OmegaGate.

use jiff::Timestamp;

use super::{ConditionGist, condition_gist, due, facts, signal};
use crate::api::gate::{AdmittedStatus, GateStatus, LeagueStatus, OmegaGateStatus};
use crate::api::shared::LedgerStatus;
use crate::ledger::EntryRef;
use crate::observe::reading::Readings;
use crate::operator::conditions::{Fact, Kind, Truth, cut, is_ours, merge};

/// What there is to report about a gate.
#[derive(Clone, Copy, Debug)]
pub struct GateReport<'a> {
    /// `metadata.generation` of the gate that the evaluation was about.
    pub generation: Option<i64>,
    /// What is wrong with the spec, one line each; then there is no evaluation.
    pub invalid: &'a [String],
    /// Whether the target exists; `None` where it was not looked for.
    pub target_found: Option<bool>,
    /// Whether the ledger accepts entries.
    pub ledger_available: bool,
    /// Why not, where it does not.
    pub ledger_trouble: Option<&'a str>,
    /// `pod-template-hash` of the revision that was judged.
    pub revision: Option<&'a str>,
    /// Revisions that were admitted.
    pub admitted: &'a [AdmittedStatus],
    /// The named signals, as read.
    pub readings: &'a Readings,
    /// The evaluation; `None` where none could be made.
    pub answer: Option<Answer<'a>>,
    /// Place in the ledger, where something was recorded.
    pub entry: Option<&'a EntryRef>,
    /// The league, where the gate has one.
    pub league: Option<&'a LeagueStatus>,
    /// The time of the report.
    pub now: Timestamp,
}

/// What the gate answered, and from what.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// `Admit`, `Quarantine`, `Block` or `Unknown`; anything else counts as `Unknown`.
    pub decision: &'a str,
    /// Ω, where it may be believed.
    pub omega: Option<f64>,
    /// Ψ, where it may be believed.
    pub psi: Option<f64>,
    /// `CVaR`, where it may be believed.
    pub cvar: Option<f64>,
    /// Θ̂, where it may be believed.
    pub theta: Option<f64>,
    /// Samples of evidence since the rollout.
    pub samples: u32,
    /// Each gate with its verdict.
    pub gates: &'a [GateStatus],
    /// One line for people.
    pub reasoning: &'a str,
}

/// The status after an evaluation. A gate that could not be evaluated is `Unknown`, never what it was before.
#[must_use]
pub fn gate_status(previous: &OmegaGateStatus, report: &GateReport) -> OmegaGateStatus {
    let answer = report.answer.as_ref();
    let finite = |of: fn(&Answer) -> Option<f64>| answer.and_then(of).filter(|v| v.is_finite());
    let decision = answer.map_or("Unknown", |a| known(a.decision));
    let mut gates = answer.map_or_else(Vec::new, |a| a.gates.to_vec());
    gates.truncate(32);
    for gate in &mut gates {
        for number in [&mut gate.value, &mut gate.threshold, &mut gate.margin] {
            *number = number.filter(|v| v.is_finite());
        }
        cut(&mut gate.reason, 256);
    }
    OmegaGateStatus {
        observed_generation: report.generation,
        conditions: merge(&previous.conditions, &facts_of(report, decision), report.generation, report.now),
        decision: Some(decision.into()),
        revision: report.revision.map(str::to_owned),
        omega: finite(|a| a.omega),
        psi: finite(|a| a.psi),
        cvar: finite(|a| a.cvar),
        theta: finite(|a| a.theta),
        samples: answer.map(|a| a.samples),
        gates,
        signals: report.readings.iter().take(64).map(signal).collect(),
        admitted: report.admitted.to_vec(),
        league: report.league.cloned(),
        rollbacks: previous.rollbacks,
        learned: previous.learned.clone(),
        evidence_head: previous.evidence_head.clone(),
        antifragile_gain: previous.antifragile_gain,
        ledger: report.entry.map_or_else(
            || previous.ledger.clone(),
            |entry| {
                Some(LedgerStatus {
                    origin: entry.origin.clone(),
                    index: entry.index,
                    size: entry.size,
                    root: entry.root.clone(),
                    decision: Some(decision.into()),
                })
            },
        ),
    }
}

/// Only a word that means an admission is one.
fn known(decision: &str) -> &'static str {
    match decision {
        "Admit" => "Admit",
        "Quarantine" => "Quarantine",
        "Block" => "Block",
        _ => "Unknown",
    }
}

fn facts_of(report: &GateReport, decision: &str) -> Vec<Fact> {
    let ready = if !report.invalid.is_empty() {
        Fact::new(Kind::Ready, false, "InvalidSpec", report.invalid.join("; "))
    } else if report.answer.is_some() {
        Fact::new(Kind::Ready, true, "Evaluating", "accepted and evaluated every interval")
    } else {
        Fact::new(Kind::Ready, Truth::Unknown, "NotEvaluated", "no evaluation could be made yet")
    };
    let target = match report.target_found {
        Some(true) => Fact::new(Kind::TargetAvailable, true, "Found", "the Deployment exists"),
        Some(false) => Fact::new(
            Kind::TargetAvailable,
            false,
            "NotFound",
            "there is no such Deployment in this namespace",
        ),
        None => Fact::new(Kind::TargetAvailable, Truth::Unknown, "NotEvaluated", ""),
    };
    let passed = match decision {
        "Admit" => Truth::True,
        "Quarantine" | "Block" => Truth::False,
        _ => Truth::Unknown,
    };
    let metrics = if report.answer.is_some() {
        facts::metrics(report.readings)
    } else {
        Fact::new(Kind::MetricsAvailable, Truth::Unknown, "NotEvaluated", "")
    };
    let reasoning = report.answer.map_or("no evaluation could be made", |a| a.reasoning);
    vec![
        ready,
        target,
        metrics,
        facts::ledger(report.ledger_available, report.ledger_trouble),
        Fact::new(Kind::GatePassed, passed, decision, reasoning),
        league_fact(report.league),
    ]
}

/// A league progresses while it runs and nothing holds it.
fn league_fact(league: Option<&LeagueStatus>) -> Fact {
    let Some(league) = league else { return Fact::new(Kind::LeagueProgressing, false, "NoLeague", "") };
    let goes_on = [
        "Collecting",
        "LeagueStarted",
        "ShadowPassed",
        "Extended",
        "Promoted",
        "RollingOut",
        "WatchStarted",
        "Returned",
    ];
    let progresses = crate::decide::league::runs(&league.stage) && goes_on.contains(&league.reason.as_str());
    let message = format!("{}: {}", league.stage, league.message);
    Fact::new(Kind::LeagueProgressing, progresses, &league.reason, message)
}

/// Whether `new` differs from `old` in what is worth a write, or the heartbeat is due.
#[must_use]
pub fn gate_worth_writing(
    old: &OmegaGateStatus,
    new: &OmegaGateStatus,
    last_write: Option<Timestamp>,
    now: Timestamp,
) -> bool {
    due(last_write, now) || gist(old) != gist(new)
}

/// What causes a write of a gate's status.
#[derive(PartialEq)]
struct Gist<'a> {
    generation: Option<i64>,
    conditions: Vec<ConditionGist<'a>>,
    decision: Option<&'a str>,
    revision: Option<&'a str>,
    admitted: Vec<(&'a str, bool)>,
    gates: Vec<(&'a str, &'a str)>,
    signals: Vec<(&'a str, &'a str)>,
    league: Option<(&'a str, &'a str, &'a str)>,
    rollbacks: u32,
    /// A measurement that is still to come must survive a restart, and one that is done must not come again.
    settling: bool,
}

/// Every field is named, so that a new one must be placed.
fn gist(status: &OmegaGateStatus) -> Gist<'_> {
    let OmegaGateStatus {
        observed_generation,
        conditions,
        decision,
        revision,
        omega: _,
        psi: _,
        cvar: _,
        theta: _,
        samples: _,
        gates,
        signals,
        admitted,
        league,
        rollbacks,
        ledger: _,
        learned,
        evidence_head: _,
        antifragile_gain: _,
    } = status;
    Gist {
        generation: *observed_generation,
        conditions: conditions.iter().filter(|c| is_ours(c)).map(condition_gist).collect(),
        decision: decision.as_deref(),
        revision: revision.as_deref(),
        admitted: admitted.iter().map(|a| (a.template.as_str(), a.stands)).collect(),
        gates: gates.iter().map(|g| (g.name.as_str(), g.pass.as_str())).collect(),
        signals: signals.iter().map(|s| (s.name.as_str(), s.state.as_str())).collect(),
        league: league.as_ref().map(|l| (l.stage.as_str(), l.reason.as_str(), l.memory.as_str())),
        rollbacks: *rollbacks,
        settling: learned.as_ref().is_some_and(|learned| learned.settling),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::observe::reading::{Reading, SignalName};
    use crate::operator::conditions::find;

    fn now() -> Timestamp {
        "2030-01-02T12:00:00Z".parse().unwrap()
    }

    fn row(pass: &str, margin: f64) -> GateStatus {
        GateStatus {
            name: "psi".into(),
            value: Some(0.9),
            threshold: Some(0.85),
            margin: Some(margin),
            pass: pass.into(),
            reason: "0.9 needs ≥ 0.85".into(),
        }
    }

    fn status(previous: &OmegaGateStatus, decision: &str, samples: u32, gate: GateStatus) -> OmegaGateStatus {
        let fresh = Reading::Fresh { value: 0.9, sampled_at: now() };
        let readings: Readings = BTreeMap::from([(SignalName::PSI, fresh)]);
        let answer = Answer {
            decision,
            omega: Some(f64::INFINITY),
            psi: Some(0.9),
            cvar: None,
            theta: None,
            samples,
            gates: &[gate],
            reasoning: "Admit: all gates hold",
        };
        gate_status(previous, &GateReport { readings: &readings, answer: Some(answer), ..blank(&readings) })
    }

    fn blank(readings: &Readings) -> GateReport<'_> {
        GateReport {
            generation: Some(2),
            invalid: &[],
            target_found: Some(true),
            ledger_available: true,
            ledger_trouble: None,
            revision: Some("7d9f"),
            admitted: &[],
            readings,
            answer: None,
            entry: None,
            league: None,
            now: now(),
        }
    }

    fn condition(status: &OmegaGateStatus, kind: Kind) -> (&str, &str) {
        let condition = find(&status.conditions, kind).unwrap();
        (&condition.status, &condition.reason)
    }

    #[test]
    fn each_answer_has_its_condition() {
        for (decision, passed) in
            [("Admit", "True"), ("Quarantine", "False"), ("Block", "False"), ("Unknown", "Unknown")]
        {
            let status = status(&OmegaGateStatus::default(), decision, 30, row("Yes", 0.05));
            assert_eq!(status.decision.as_deref(), Some(decision));
            assert_eq!(condition(&status, Kind::GatePassed), (passed, decision));
            assert_eq!(condition(&status, Kind::Ready), ("True", "Evaluating"));
            assert_eq!(condition(&status, Kind::MetricsAvailable), ("True", "Fresh"));
            assert_eq!((status.psi, status.omega, status.samples), (Some(0.9), None, Some(30)));
            assert_eq!(status.revision.as_deref(), Some("7d9f"));
            assert_eq!(status.gates, [row("Yes", 0.05)]);
            assert_eq!(status.conditions.len(), 6);
        }
        let status = status(&OmegaGateStatus::default(), "admit!", 30, row("Yes", f64::NAN));
        assert_eq!(status.decision.as_deref(), Some("Unknown"), "a word nobody knows admits nothing");
        assert_eq!(status.gates[0].margin, None);
    }

    #[test]
    fn a_gate_that_cannot_be_evaluated_admits_nothing_whatever_it_said_before() {
        let before = status(&OmegaGateStatus::default(), "Admit", 30, row("Yes", 0.05));
        let none = Readings::new();
        let invalid = ["league is not built yet".to_owned()];
        for report in [
            GateReport { target_found: Some(false), ..blank(&none) },
            GateReport { invalid: &invalid, target_found: None, ..blank(&none) },
        ] {
            let after = gate_status(&before, &report);
            assert_eq!(after.decision.as_deref(), Some("Unknown"));
            assert_eq!(condition(&after, Kind::GatePassed), ("Unknown", "Unknown"));
            assert_eq!((after.omega, after.psi, after.gates.len()), (None, None, 0));
            let (ready, target) = (condition(&after, Kind::Ready), condition(&after, Kind::TargetAvailable));
            if report.invalid.is_empty() {
                assert_eq!((ready, target), (("Unknown", "NotEvaluated"), ("False", "NotFound")));
            } else {
                assert_eq!((ready, target), (("False", "InvalidSpec"), ("Unknown", "NotEvaluated")));
            }
            assert!(gate_worth_writing(&before, &after, Some(now()), now()));
        }
    }

    #[test]
    fn a_steady_gate_writes_only_the_heartbeat() {
        let old = status(&OmegaGateStatus::default(), "Admit", 30, row("Yes", 0.05));
        let new = status(&old, "Admit", 31, row("Yes", 0.04));
        assert_ne!(old, new);
        assert!(!gate_worth_writing(&old, &new, Some(now()), now()));
        assert!(gate_worth_writing(&old, &new, None, now()));
        assert!(gate_worth_writing(&old, &new, Some(now()), now() + super::super::HEARTBEAT));
        let failing = status(&old, "Admit", 31, row("No", -0.04));
        assert!(gate_worth_writing(&old, &failing, Some(now()), now()));
        let mut admitted = new.clone();
        admitted.admitted.push(AdmittedStatus { template: "t".into(), linf: Some(0.6), stands: true });
        assert!(gate_worth_writing(&old, &admitted, Some(now()), now()));
        let mut moved = admitted.clone();
        moved.admitted[0].linf = Some(0.61);
        assert!(!gate_worth_writing(&admitted, &moved, Some(now()), now()), "its value rides along");
        let blocked = status(&old, "Block", 31, row("Yes", 0.05));
        assert!(gate_worth_writing(&old, &blocked, Some(now()), now()));
    }
}
