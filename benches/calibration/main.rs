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
/// Utilisation objective where the model is utilisation.
const BUSY: f64 = 0.7;

/// Model and action; whether the target was missed already, where that tells ScaleUps apart.
type Kind = (&'static str, &'static str, bool);
type Statements = BTreeMap<Kind, Vec<Statement>>;

/// Whether a tick's measurement keeps the model's target; nothing asked, nothing missed.
fn kept(model: &str, row: &Row) -> bool {
    if model == "queue" {
        row.p95.is_none_or(|p95| p95 <= OBJECTIVE)
    } else {
        row.cpu.is_none_or(|cpu| cpu <= BUSY)
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
    model: &'static str,
    day: &str,
    trace: &[Vec<u32>],
    quota: i32,
    seed: u64,
    found: &mut Found,
) -> Result<()> {
    let scenario = Scenario::shared(day, trace.to_vec(), quota, seed);
    let mut spec = scenario.spec()?;
    if model == "utilisation" {
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
                let late = row.action == "ScaleUp" && !kept(model, row);
                let came = kept(model, after);
                let stated = stating.keep_probability(row.desired[1]);
                found.calibrated.entry((model, row.action, late)).or_default().push((calibrated, came));
                found.stated.entry((model, row.action, late)).or_default().push((stated, came));
            }
        }
    }
    Ok(())
}

fn name((model, action, late): Kind) -> String {
    format!("{model}, {action}{}", if late { ", target missed already" } else { "" })
}

/// The tables as `src/decide/calibration.rs` holds them.
fn print_tables(taught: &Statements) {
    for ((model, action, late), all) in taught {
        let action = action.trim_start_matches("Scale");
        let name = format!("{model}_{action}{}", if *late { "_late" } else { "" }).to_uppercase();
        println!("const {name}: Table = &[");
        for (stated, found) in isotonic(all) {
            println!("    ({stated:?}, {found:?}),");
        }
        println!("];");
    }
}

/// The rows of the report: each kind and each model whole, as stated and as calibrated, over the judging half.
fn report(taught: &Statements, stated: &Statements, calibrated: &Statements) -> Vec<serde_json::Value> {
    let mut rows = Vec::new();
    let mut row = |name: String, stated: &[Statement], calibrated: &[Statement], again: &[Statement]| {
        rows.push(json!({
            "of": name, "statements": calibrated.len(),
            "eceStated": ece(stated), "rightAbove90Stated": right_above(stated, 0.9),
            "ece": ece(calibrated), "rightAbove90": right_above(calibrated, 0.9),
            "eceRefitted": ece(again),
        }));
    };
    let refit = |kind: &Kind, all: &[Statement]| -> Vec<Statement> {
        let knots = taught.get(kind).map(|all| isotonic(all)).unwrap_or_default();
        all.iter().map(|(p, came)| (mapped(&knots, *p), *came)).collect()
    };
    for model in ["queue", "utilisation"] {
        let own: Vec<&Kind> = calibrated.keys().filter(|(of, ..)| *of == model).collect();
        let mut whole = [Vec::new(), Vec::new(), Vec::new()];
        let mut of = |kinds: &[&Kind], name: String, count: bool| {
            let pick = |from: &Statements| -> Vec<Statement> {
                kinds.iter().filter_map(|kind| from.get(*kind)).flatten().copied().collect()
            };
            let again =
                kinds.iter().flat_map(|kind| refit(kind, stated.get(*kind).map_or(&[], Vec::as_slice)));
            let all = [pick(stated), pick(calibrated), again.collect()];
            row(name, &all[0], &all[1], &all[2]);
            if count {
                whole.iter_mut().zip(all).for_each(|(whole, all)| whole.extend(all));
            }
        };
        for action in ["Noop", "ScaleDown", "ScaleUp"] {
            let kinds: Vec<&Kind> = own.iter().copied().filter(|(_, of, _)| *of == action).collect();
            of(&kinds, format!("{model}, {action}"), true);
            for kind in kinds.iter().filter(|_| kinds.len() > 1) {
                of(&[kind], name(**kind), false);
            }
        }
        row(format!("{model}, all"), &whole[0], &whole[1], &whole[2]);
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
        for (model, quota) in ["queue", "utilisation"].iter().flat_map(|m| [32, 36, 40].map(|q| (m, q))) {
            for seed in SEEDS {
                if teaches {
                    statements(model, day, trace, quota, seed, &mut taught)?;
                } else if !fit {
                    statements(model, day, trace, quota, seed, &mut judged)?;
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
        let own = of.iter().filter(|((model, of, _), _)| *model == "queue" && *of == action);
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
