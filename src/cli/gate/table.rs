//! The table of a check.

use super::Verdict;
use crate::api::gate::GateStatus;
use crate::decide::gate::Needs;

/// Column at which the exit code of the last line begins.
const EXIT: usize = 77;
/// Decimals of a number: enough for its bound and its margin, within these.
const PLACES: std::ops::RangeInclusive<usize> = 2..=6;

/// Rows, then the answer and the exit code.
#[must_use]
pub fn text(verdict: &Verdict) -> String {
    let mut rows = vec![["GATE", "VALUE", "NEEDS", "MARGIN", "PASS", ""].map(str::to_owned)];
    rows.extend(verdict.gates.iter().map(row));
    let width = |column: usize, least: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(least) + 3
    };
    let widths = [width(0, 0), width(1, 0), width(2, 0), width(3, 0), width(4, 5)];
    let mut out = String::new();
    if !verdict.gates.is_empty() {
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                line.push_str(&format!("{cell:<width$}"));
            }
            line.push_str(&row[5]);
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    let last = &verdict.reasoning;
    let gap = EXIT.saturating_sub(last.chars().count()).max(2);
    out.push_str(&format!("{last}{:gap$}exit {}\n", "", verdict.exit_code()));
    out
}

fn row(gate: &GateStatus) -> [String; 6] {
    let places = places(gate);
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.places$}"));
    let sign = Needs::of(&gate.name).sign();
    let pass = match gate.pass.as_str() {
        "Yes" => "yes",
        "No" => "NO",
        "Off" => "off",
        _ => "unknown",
    };
    [
        gate.name.clone(),
        number(gate.value),
        gate.threshold.map_or("-".to_owned(), |bound| format!("{sign} {bound:.places$}")),
        gate.margin.map_or("-".to_owned(), |margin| format!("{margin:+.places$}")),
        pass.to_owned(),
        remark(gate).to_owned(),
    ]
}

/// The fewest decimals that give the bound exactly and do not make a miss look like a hit.
fn places(gate: &GateStatus) -> usize {
    let enough = |places: usize| {
        let unit = 10_f64.powi(-i32::try_from(places).unwrap_or(0));
        let bound = gate.threshold.is_none_or(|bound| {
            let scaled = bound / unit;
            (scaled - scaled.round()).abs() < 1e-6
        });
        bound && gate.margin.is_none_or(|margin| margin == 0.0 || margin.abs() >= 0.5 * unit)
    };
    PLACES.clone().find(|places| enough(*places)).unwrap_or(*PLACES.end())
}

/// What the reason says beyond the numbers of the row.
fn remark(gate: &GateStatus) -> &str {
    if gate.value.is_none() || !gate.reason.contains(" needs ") {
        return &gate.reason;
    }
    gate.reason.split_once("; ").map_or("", |(_, more)| more)
}

#[cfg(test)]
mod tests {
    use super::super::Basis;
    use super::*;
    use crate::decide::gate::GateAnswer;

    fn gate(name: &str, value: f64, threshold: f64, margin: f64, pass: &str, reason: &str) -> GateStatus {
        GateStatus {
            name: name.into(),
            value: Some(value),
            threshold: Some(threshold),
            margin: Some(margin),
            pass: pass.into(),
            reason: reason.into(),
        }
    }

    fn silent(name: &str, threshold: Option<f64>, pass: &str, reason: &str) -> GateStatus {
        GateStatus {
            name: name.into(),
            threshold,
            pass: pass.into(),
            reason: reason.into(),
            ..GateStatus::default()
        }
    }

    fn verdict(decision: GateAnswer, reasoning: &str, gates: Vec<GateStatus>) -> Verdict {
        Verdict {
            gate: "shop/cart".into(),
            basis: Basis::Evidence,
            revision: Some("7d9f".into()),
            decision,
            samples: 212,
            gates,
            reasoning: reasoning.into(),
        }
    }

    #[test]
    fn the_first_pages_table_to_the_letter() {
        let found = verdict(
            GateAnswer::Block,
            "Block: cvar (212 samples since the rollout)",
            vec![
                gate("psi", 0.93, 0.85, 0.93 - 0.85, "Yes", "0.93 needs ≥ 0.85"),
                gate("cvar", 0.17, 0.10, 0.10 - 0.17, "No", "0.17 needs ≤ 0.1"),
                gate("theta", 0.818_73, 0.70, 0.118_73, "Yes", "200 ms, limit 357 ms"),
                gate("omega", 0.862, 0.85, 0.012, "Yes", "0.862 needs ≥ 0.85"),
            ],
        );
        let wanted = "\
GATE    VALUE   NEEDS    MARGIN   PASS
psi     0.93    ≥ 0.85   +0.08    yes
cvar    0.17    ≤ 0.10   -0.07    NO
theta   0.82    ≥ 0.70   +0.12    yes     200 ms, limit 357 ms
omega   0.86    ≥ 0.85   +0.01    yes
Block: cvar (212 samples since the rollout)                                  exit 1
";
        assert_eq!(text(&found), wanted);
    }

    #[test]
    fn a_near_miss_does_not_look_like_a_hit_and_silence_is_said() {
        let found = verdict(
            GateAnswer::Unknown,
            "Unknown: fairness (212 samples)",
            vec![
                gate("ece", 0.0104, 0.01, -0.0004, "No", "0.01 needs ≤ 0.01"),
                gate("rho", 0.96, 1.0, 0.04, "Yes", "0.96 needs < 1; close to 1, where risk grows"),
                silent("fairness", Some(0.8), "Unknown", "fairness is Missing"),
                silent("consent", None, "Off", "its signals are not named"),
            ],
        );
        let wanted = "\
GATE       VALUE    NEEDS      MARGIN    PASS
ece        0.0104   ≤ 0.0100   -0.0004   NO
rho        0.96     < 1.00     +0.04     yes       close to 1, where risk grows
fairness   -        ≥ 0.80     -         unknown   fairness is Missing
consent    -        -          -         off       its signals are not named
";
        let given = text(&found);
        assert!(given.starts_with(wanted), "{given}");
        assert!(given.ends_with("exit 2\n"));
    }

    #[test]
    fn without_rows_there_is_the_answer_alone() {
        let why = "x".repeat(100);
        assert_eq!(text(&verdict(GateAnswer::Unknown, &why, Vec::new())), format!("{why}  exit 2\n"));
    }
}
