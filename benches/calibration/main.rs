//! `cargo bench --bench calibration -- [--data DIR] [-o json] [--fit]`: does what is stated with probability p come true
//! in a share p of the cases?
//!
//! The product runs each day of `DIR/faro` in the simulator, sized by its queue and once more by utilisation alone. Every
//! decision that states a confidence is a statement about its event: the target of the model (p95, cpu) is kept once the
//! count that results serves. Where the count has been changed again by then the event cannot be seen, and the statement is
//! left out. Every second day is the development half: `--fit` makes the tables of `src/decide/calibration.rs` of it; the
//! other days, and the day named evaluation, judge. The diagram is written to `target/calibration.svg`.

#[path = "../common/mod.rs"]
mod common;
mod draw;
mod reliability;
#[path = "../common/trace.rs"]
mod trace;

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use matverse::api::scaling::CapacityModel;
use matverse::orient::capacity::Capacity;
use matverse::simulate::scenario::{Policy, Row, Scenario};
use reliability::{Statement, ece, isotonic, mapped, right_above};
use serde_json::json;

/// Ticks of 10 s from a decision to its event: a pod starts in 35 s, and the window of the signals is 30 s, so that what is
/// read then is of the pods that were decided on.
const HORIZON: usize = 8;
/// p95 objective, ms.
const OBJECTIVE: f64 = 720.0;
/// Draws of every day: acts are few, and an ECE of few statements is mostly chance.
const SEEDS: [u64; 3] = [1, 2, 3];

/// What statements are told apart by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    /// The model that the owner asked for.
    asked: &'static str,
    /// The model that makes the statement: a queue that is not identified yet is sized by utilisation.
    stating: &'static str,
    action: &'static str,
    /// Whether the target was missed already, where that tells ScaleUps apart.
    late: bool,
}

type Statements = BTreeMap<Kind, Vec<Statement>>;

/// Whether a tick's measurement keeps the target of the model that makes the statement; nothing asked, nothing missed.
fn kept(model: &Capacity, row: &Row) -> bool {
    match model {
        Capacity::Queue { .. } => row.p95.is_none_or(|p95| p95 <= OBJECTIVE),
        Capacity::Utilisation { target, .. } => row.cpu.is_none_or(|cpu| cpu <= *target),
    }
}

/// Statements before and after calibration.
#[derive(Default)]
struct Found {
    stated: Statements,
    calibrated: Statements,
}

/// Statements on one day, for one model.
fn statements(
    asked: &'static str,
    day: &str,
    trace: &[Vec<u32>],
    quota: i32,
    seed: u64,
    found: &mut Found,
) -> Result<()> {
    let scenario = Scenario::shared(day, trace.to_vec(), quota, seed);
    let mut spec = scenario.spec()?;
    let by_latency = asked == "queue";
    if !by_latency {
        spec.predictor.capacity_model = CapacityModel::Utilisation;
        spec.targets.latency_target = None;
    }
    let mut rows: Vec<Vec<Row>> = trace.iter().map(|_| Vec::new()).collect();
    let mut told = |now: &[Row]| {
        for row in now {
            rows[row.service].push(row.clone());
        }
    };
    scenario.run(Policy::Ours, &spec, &mut told).map_err(|why| anyhow!("{}", why.join("; ")))?;
    for service in &rows {
        for (i, row) in service.iter().enumerate() {
            let Some(after) = service.get(i + HORIZON) else { continue };
            let (Some(calibrated), Some(stating)) = (row.confidence, row.model) else { continue };
            let stood = service[i..i + HORIZON].iter().all(|r| r.desired[1] == row.desired[1]);
            if stood && after.ready == row.desired[1] {
                let slow = by_latency && row.p95.is_some_and(|p95| p95 > OBJECTIVE);
                let late = row.action == "ScaleUp" && (slow || !kept(&stating, row));
                let came = kept(&stating, after);
                let kind = Kind { asked, stating: stating.model(), action: row.action, late };
                found.calibrated.entry(kind).or_default().push((calibrated, came));
                let stated = stating.keep_probability(row.desired[1]);
                found.stated.entry(kind).or_default().push((stated, came));
            }
        }
    }
    Ok(())
}

/// The table that a statement belongs to.
fn table(kind: &Kind) -> String {
    let late = if kind.late { "_late" } else { "" };
    format!("{}_{}{late}", kind.stating, kind.action.trim_start_matches("Scale")).to_uppercase()
}

/// The tables by what is taught, as `src/decide/calibration.rs` holds them.
fn fitted(taught: &Statements) -> BTreeMap<String, Vec<(f64, f64)>> {
    let mut all: BTreeMap<String, Vec<Statement>> = BTreeMap::new();
    for (kind, statements) in taught {
        all.entry(table(kind)).or_default().extend(statements);
    }
    all.into_iter().map(|(name, statements)| (name, isotonic(&statements))).collect()
}

fn print_tables(taught: &Statements) {
    for (name, knots) in fitted(taught) {
        println!("const {name}: Table = &[");
        for (stated, found) in knots {
            println!("    ({stated:?}, {found:?}),");
        }
        println!("];");
    }
}

/// The rows of the report: each action and each model that was asked for, as stated and as calibrated, over the judging
/// half.
fn report(taught: &Statements, stated: &Statements, calibrated: &Statements) -> Vec<serde_json::Value> {
    let tables = fitted(taught);
    let anew = |kind: &Kind, all: &[Statement]| -> Vec<Statement> {
        let knots = tables.get(&table(kind)).map_or(&[][..], Vec::as_slice);
        all.iter().map(|(p, came)| (mapped(knots, *p), *came)).collect()
    };
    let row = |name: String, of: &dyn Fn(&Kind) -> bool| {
        let all = |from: &Statements, made: &dyn Fn(&Kind, &[Statement]) -> Vec<Statement>| {
            let own = from.iter().filter(|(kind, _)| of(kind));
            own.flat_map(|(kind, all)| made(kind, all)).collect::<Vec<Statement>>()
        };
        let as_made = |_: &Kind, all: &[Statement]| all.to_vec();
        let again = all(stated, &anew);
        let (stated, calibrated) = (all(stated, &as_made), all(calibrated, &as_made));
        json!({
            "of": name, "statements": calibrated.len(),
            "eceStated": ece(&stated), "rightAbove90Stated": right_above(&stated, 0.9),
            "ece": ece(&calibrated), "rightAbove90": right_above(&calibrated, 0.9),
            "eceRefitted": ece(&again),
        })
    };
    let mut rows = Vec::new();
    for asked in ["queue", "utilisation"] {
        for action in ["Noop", "ScaleDown", "ScaleUp"] {
            rows.push(row(format!("{asked}, {action}"), &|kind| {
                kind.asked == asked && kind.action == action
            }));
        }
        for (late, name) in [(false, "in time"), (true, "target missed already")] {
            let own = |kind: &Kind| kind.asked == asked && kind.action == "ScaleUp" && kind.late == late;
            rows.push(row(format!("{asked}, ScaleUp, {name}"), &own));
        }
        rows.push(row(format!("{asked}, all"), &|kind| kind.asked == asked));
    }
    rows
}

fn main() -> Result<()> {
    let fit = std::env::args().any(|word| word == "--fit");
    let arguments = common::Arguments::read()?;
    let days = trace::days(&arguments.data.join("faro"))?;
    let (mut taught, mut judged) = (Found::default(), Found::default());
    for (i, (day, trace)) in days.iter().enumerate() {
        let teaches = i % 2 == 0 && !day.starts_with("evaluation");
        for (asked, quota) in ["queue", "utilisation"].iter().flat_map(|m| [32, 36, 40].map(|q| (m, q))) {
            for seed in SEEDS {
                if teaches {
                    statements(asked, day, trace, quota, seed, &mut taught)?;
                } else if !fit {
                    statements(asked, day, trace, quota, seed, &mut judged)?;
                }
            }
        }
    }
    if fit {
        print_tables(&taught.stated);
        return Ok(());
    }
    let Found { stated, calibrated } = judged;
    let rows = report(&taught.stated, &stated, &calibrated);
    let curve = |of: &Statements, action: &str| -> Vec<Statement> {
        let own = of.iter().filter(|(kind, _)| kind.asked == "queue" && kind.action == action);
        own.flat_map(|(_, all)| all.clone()).collect()
    };
    let drawn = ["Noop", "ScaleDown", "ScaleUp"]
        .map(|action| (action, curve(&stated, action), curve(&calibrated, action)));
    std::fs::create_dir_all("target")?;
    draw::reliability("target/calibration.svg", &drawn)?;
    if arguments.json {
        println!("{}", json!({"bench": "calibration", "rows": rows}));
        return Ok(());
    }
    println!(
        "| of | statements | ECE as stated | right where ≥ .9 | ECE calibrated | right where ≥ .9 | ECE, fitted anew |"
    );
    println!("|---|---|---|---|---|---|---|");
    for row in &rows {
        let figure = |key: &str| row[key].as_f64().map_or("–".to_owned(), |v| format!("{v:.3}"));
        println!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            row["of"].as_str().unwrap_or_default(),
            row["statements"],
            figure("eceStated"),
            figure("rightAbove90Stated"),
            figure("ece"),
            figure("rightAbove90"),
            figure("eceRefitted"),
        );
    }
    Ok(())
}
