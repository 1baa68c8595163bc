//! The facts behind the conditions of a MatVerseScaling.

use super::{Report, Turn};
use crate::api::scaling::Enforcement;
use crate::decide::Decision;
use crate::decide::situation::Notice;
use crate::observe::reading::{Reading, Readings, SignalName, Use};
use crate::operator::conditions::{Fact, Kind, Truth};
use crate::operator::{policies, target};
use crate::orient::Consistency;

/// All facts of a report, in the order in which status lists them.
pub(super) fn of(report: &Report) -> Vec<Fact> {
    let mut facts =
        vec![ready(report), acting(report), ledger(report.standing.ledger_available, report.ledger_trouble)];
    if let Some(turn) = &report.turn {
        facts.extend(of_turn(report, turn));
    } else {
        for kind in [
            Kind::MetricsAvailable,
            Kind::TargetAvailable,
            Kind::ModelConsistent,
            Kind::Degraded,
            Kind::Contested,
            Kind::Unschedulable,
        ] {
            facts.push(Fact::new(kind, Truth::Unknown, "NotEvaluated", "no turn could be made"));
        }
        facts.push(conflict(report, &[]));
    }
    // Proposals are refused by the schema until they are built.
    facts.push(Fact::new(Kind::ApprovalPending, false, "NothingProposed", ""));
    facts
}

fn of_turn(report: &Report, turn: &Turn) -> Vec<Fact> {
    let workload = turn.observed.workload.as_ref();
    let scalers = workload.map_or(&[][..], |w| w.other_scalers.as_slice());
    let name = &report.spec.target_ref.name;
    vec![
        measured(turn),
        if workload.is_some() {
            Fact::new(Kind::TargetAvailable, true, "Found", format!("Deployment {name} exists"))
        } else {
            let message = format!("there is no Deployment {name} in this namespace");
            Fact::new(Kind::TargetAvailable, false, "NotFound", message)
        },
        consistency(turn.picture.consistency),
        noticed(turn.decision, Kind::Degraded, "NotDegraded"),
        conflict(report, scalers),
        noticed(turn.decision, Kind::Contested, "NotContested"),
        match workload.map(|w| w.rollout.unschedulable) {
            Some(pods) if pods > 0 => {
                let message = format!("{pods} pods cannot be scheduled (quota, no room or node pressure)");
                Fact::new(Kind::Unschedulable, true, "PodsPending", message)
            }
            Some(_) => Fact::new(Kind::Unschedulable, false, "Scheduled", ""),
            None => Fact::new(Kind::Unschedulable, Truth::Unknown, "NoTarget", ""),
        },
    ]
}

fn ready(report: &Report) -> Fact {
    if !report.invalid.is_empty() {
        return Fact::new(Kind::Ready, false, "InvalidSpec", report.invalid.join("; "));
    }
    if let Some(older) = &report.standing.older_claim {
        let message = format!("{older} is older and names the same Deployment; it acts, this one does not");
        return Fact::new(Kind::Ready, false, "OlderClaim", message);
    }
    match report.turn {
        Some(_) => Fact::new(Kind::Ready, true, "Evaluating", "accepted and evaluated every interval"),
        None => Fact::new(Kind::Ready, Truth::Unknown, "NotEvaluated", "no turn could be made yet"),
    }
}

/// Whether it may touch the target now; if not, the first reason, from the owner's own wish to what is in the way.
fn acting(report: &Report) -> Fact {
    let workload = report.turn.as_ref().map(|t| t.observed.workload.as_ref());
    let no = |reason: &str, message: &str| Fact::new(Kind::Acting, false, reason, message);
    let spec = report.spec;
    if !report.invalid.is_empty() {
        return no("InvalidSpec", "the spec is not accepted");
    }
    match spec.enforcement {
        Enforcement::Act => {}
        Enforcement::Observe => {
            return no("Observe", "enforcement is Observe: it decides and shows, and touches nothing");
        }
        Enforcement::Propose => return no("Propose", "enforcement is Propose: it waits for approval"),
    }
    if spec.paused {
        return no("Paused", "spec.paused is true");
    }
    if !report.standing.namespace_may_act {
        return no(
            "NamespaceNotAllowed",
            "actNamespaces of the operator's configuration leaves this namespace out",
        );
    }
    if report.standing.older_claim.is_some() {
        return no("OlderClaim", "an older resource names the same Deployment");
    }
    if !report.standing.ledger_available {
        return no(ledger_reason(report.ledger_trouble), "no act without a recorded intent");
    }
    if report.standing.unresolved_act {
        return no("UnresolvedAct", "an act of ours has no outcome yet");
    }
    match workload {
        None => no("NotEvaluated", "no turn could be made yet"),
        Some(None) => no("TargetNotFound", "there is nothing to act on"),
        Some(Some(w)) if w.pause_requested => no("Paused", "the Deployment's annotation asks for a pause"),
        Some(Some(w)) if w.deployment_paused => {
            no("DeploymentPaused", "the Deployment is paused; somebody is at work on it")
        }
        Some(Some(w)) if w.desired == 0 => {
            no("ScaledToZero", "somebody set replicas to 0; that is respected")
        }
        Some(Some(w)) if !w.other_scalers.is_empty() => no(
            "ScalerConflict",
            "something else scales the target: replicas are left alone, a rollback is not",
        ),
        Some(Some(_))
            if report.turn.is_some_and(|turn| notice_of(turn.decision, Kind::Contested).is_some()) =>
        {
            no("Contested", "acts of ours were taken back twice within a day; the day has to pass")
        }
        Some(Some(_)) => Fact::new(Kind::Acting, true, "Enforcing", ""),
    }
}

pub(super) fn ledger(available: bool, trouble: Option<&str>) -> Fact {
    if available {
        return Fact::new(Kind::LedgerAvailable, true, "Available", "");
    }
    let why = trouble.unwrap_or("the ledger does not accept intents");
    Fact::new(Kind::LedgerAvailable, false, ledger_reason(trouble), why)
}

/// A ledger that is closed for want of its policies is whole; somebody has to install something. One that is not the
/// one that objects remember needs a person too.
fn ledger_reason(trouble: Option<&str>) -> &'static str {
    if trouble.is_some_and(|why| why.starts_with(policies::UNPROVEN)) {
        policies::REASON
    } else if trouble.is_some_and(|why| why.contains(target::RESTORED)) {
        "LedgerRestored"
    } else {
        "LedgerUnavailable"
    }
}

/// Every named signal can be believed for something; an idle workload has no latency to speak of.
pub(super) fn metrics(readings: &Readings) -> Fact {
    if readings.is_empty() {
        let message = "neither the profile nor the resource names a signal";
        return Fact::new(Kind::MetricsAvailable, Truth::Unknown, "NoSignals", message);
    }
    let bad: Vec<_> = readings.iter().filter(|(_, r)| !r.supports(Use::ScaleDown)).collect();
    let Some((_, first)) = bad.first() else {
        return Fact::new(Kind::MetricsAvailable, true, "Fresh", "every named signal is fresh");
    };
    let same = bad.iter().all(|(_, r)| r.state() == first.state());
    let reason = if same { first.state() } else { "SeveralReasons" };
    let message = bad.iter().map(|(n, r)| described(n, r)).collect::<Vec<_>>().join("; ");
    Fact::new(Kind::MetricsAvailable, false, reason, message)
}

/// The same of a turn; fresh signals that cannot all be right are said, for they are trusted less.
fn measured(turn: &Turn) -> Fact {
    let readings = &turn.observed.evidence.readings;
    let doubts = |notice: &&Notice| ["FrozenSignal", "OmegaDisagrees"].contains(&notice.reason.as_str());
    match turn.decision.notices.iter().find(doubts) {
        Some(doubt) if readings.values().all(|r| r.supports(Use::ScaleDown)) => {
            Fact::new(Kind::MetricsAvailable, true, &doubt.reason, doubt.message.as_str())
        }
        _ => metrics(readings),
    }
}

fn described(name: &SignalName, reading: &Reading) -> String {
    match reading {
        Reading::Stale { age_seconds: Some(age) } => format!("{name} is {age:.0} s old"),
        Reading::Stale { age_seconds: None } => format!("the age of {name} could not be proven"),
        Reading::Missing => format!("{name} has no series"),
        Reading::NotFinite => format!("{name} is no finite number"),
        Reading::Ambiguous { series } => format!("{name} has {series} series instead of one"),
        Reading::WrongType => format!("the query of {name} gives no instant vector"),
        Reading::OutOfRange { value } => format!("{name} is out of its range at {value}"),
        Reading::SourceDown { why } => format!("the source of {name} is down ({why})"),
        Reading::Fresh { .. } | Reading::Idle => format!("{name} is {}", reading.state()),
    }
}

fn consistency(consistency: Consistency) -> Fact {
    let (truth, reason, message) = match consistency {
        Consistency::Unknown => (Truth::Unknown, "TooFewSamples", "too few samples to say"),
        Consistency::Consistent => (Truth::True, "Consistent", "innovations agree with the filters"),
        Consistency::Overconfident => (
            Truth::False,
            "Overconfident",
            "the filters are too sure of themselves: only the reactive bounds scale up, nothing scales down",
        ),
        Consistency::Underconfident => {
            (Truth::True, "Underconfident", "the signals vary less than the filters expect; harmless")
        }
    };
    Fact::new(Kind::ModelConsistent, truth, reason, message)
}

fn notice_of(decision: &Decision, kind: Kind) -> Option<&Notice> {
    decision.notices.iter().find(|notice| notice.reason == kind.as_str())
}

/// A condition that the decision itself states, by a notice of the same name.
fn noticed(decision: &Decision, kind: Kind, otherwise: &str) -> Fact {
    match notice_of(decision, kind) {
        Some(notice) => Fact::new(kind, true, &notice.reason, notice.message.as_str()),
        None => Fact::new(kind, false, otherwise, ""),
    }
}

fn conflict(report: &Report, scalers: &[String]) -> Fact {
    let older = report.standing.older_claim.as_ref().map(|o| format!("MatVerseScaling/{o}"));
    let all: Vec<&str> = scalers.iter().map(String::as_str).chain(older.as_deref()).collect();
    if all.is_empty() {
        return Fact::new(Kind::ScalerConflict, false, "NoConflict", "");
    }
    let reason = if scalers.is_empty() { "OlderClaim" } else { "OtherScaler" };
    let message = format!("{} names the same Deployment; remove one of them", all.join(", "));
    Fact::new(Kind::ScalerConflict, true, reason, message)
}
