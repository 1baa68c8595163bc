//! `cargo bench --bench calibration -- [--data DIR] [-o json]`: does what is stated with probability p come true in
//! a share p of the cases?
//!
//! The product runs each day of `DIR/faro` in the simulator. Every decision that states a confidence is a statement
//! about its event: the p95 target is kept once the count that results serves. Where the count has been
//! changed again by then the event cannot be seen, and the statement is left out. The diagram is written to
//! `target/calibration.svg`.

#[path = "../common/mod.rs"]
mod common;
mod reliability;
#[path = "../common/trace.rs"]
mod trace;

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use matverse::simulate::scenario::{Policy, Row, Scenario};
use plotters::prelude::*;
use reliability::{Statement, bins, ece, isotonic, mapped, right_above};
use serde_json::json;

/// Ticks of 10 s from a decision to its event: a pod starts in 35 s, and the window of the signals is 30 s, so that what is
/// read then is of the pods that were decided on.
const HORIZON: usize = 8;
/// p95 objective, ms.
const OBJECTIVE: f64 = 720.0;

/// Statements of each action on one day.
fn statements(day: &str, trace: &[Vec<u32>], quota: i32) -> Result<BTreeMap<&'static str, Vec<Statement>>> {
    let scenario = Scenario::shared(day, trace.to_vec(), quota, 1);
    let spec = scenario.spec()?;
    let mut rows: Vec<Vec<Row>> = trace.iter().map(|_| Vec::new()).collect();
    let mut told = |now: &[Row]| {
        for row in now {
            rows[row.service].push(row.clone());
        }
    };
    scenario.run(Policy::Ours, &spec, &mut told).map_err(|why| anyhow!("{}", why.join("; ")))?;
    let mut found: BTreeMap<&'static str, Vec<Statement>> = BTreeMap::new();
    for service in &rows {
        for (i, row) in service.iter().enumerate() {
            let (Some(stated), Some(after)) = (row.confidence, service.get(i + HORIZON)) else { continue };
            let stood = service[i..i + HORIZON].iter().all(|r| r.desired[1] == row.desired[1]);
            if stood && after.ready == row.desired[1] {
                let kept = after.p95.is_none_or(|p95| p95 <= OBJECTIVE);
                found.entry(row.action).or_default().push((stated, kept));
            }
        }
    }
    Ok(found)
}

fn draw(path: &str, rows: &[(String, Vec<Statement>)]) -> Result<()> {
    let root = SVGBackend::new(path, (520, 520)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
    chart.configure_mesh().x_desc("stated").y_desc("came true").draw()?;
    chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.4)))?;
    for (i, (name, all)) in rows.iter().enumerate() {
        let colour = Palette99::pick(i).to_rgba();
        let points: Vec<(f64, f64)> = bins(all).iter().map(|bin| (bin.stated, bin.found)).collect();
        chart
            .draw_series(LineSeries::new(points.clone(), colour))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour));
        chart.draw_series(points.into_iter().map(|point| Circle::new(point, 3, colour.filled())))?;
    }
    chart.configure_series_labels().border_style(BLACK).background_style(WHITE.mix(0.8)).draw()?;
    root.present()?;
    Ok(())
}

fn main() -> Result<()> {
    let arguments = common::Arguments::read()?;
    let days = trace::days(&arguments.data.join("faro"))?;
    // Odd days teach the table, even days judge it.
    let mut halves: [BTreeMap<&'static str, Vec<Statement>>; 2] = [BTreeMap::new(), BTreeMap::new()];
    for (i, (day, trace)) in days.iter().enumerate() {
        for quota in [32, 36, 40] {
            for (action, all) in statements(day, trace, quota)? {
                halves[i % 2].entry(action).or_default().extend(all);
            }
        }
    }
    let [taught, judged] = &halves;
    let everything: Vec<Statement> = taught.values().flatten().copied().collect();
    let knots = isotonic(&everything);
    let mut rows = Vec::new();
    let mut drawn = Vec::new();
    let whole: Vec<Statement> = judged.values().flatten().copied().collect();
    let named = judged.iter().map(|(name, all)| ((*name).to_owned(), all.clone()));
    for (name, all) in named.chain([("all".to_owned(), whole)]) {
        let table: Vec<Statement> = all.iter().map(|(p, came)| (mapped(&knots, *p), *came)).collect();
        rows.push(json!({
            "action": name, "statements": all.len(), "ece": ece(&all), "rightAbove90": right_above(&all, 0.9),
            "eceWithTable": ece(&table), "rightAbove90WithTable": right_above(&table, 0.9),
        }));
        drawn.push((name, all));
    }
    std::fs::create_dir_all("target")?;
    draw("target/calibration.svg", &drawn)?;
    if arguments.json {
        println!("{}", json!({"bench": "calibration", "rows": rows, "table": knots}));
        return Ok(());
    }
    println!("| action | statements | ECE | right where ≥ .9 | ECE with a table | right where ≥ .9 |");
    println!("|---|---|---|---|---|---|");
    for row in &rows {
        let figure = |key: &str| row[key].as_f64().map_or("–".to_owned(), |v| format!("{v:.3}"));
        println!(
            "| {} | {} | {} | {} | {} | {} |",
            row["action"].as_str().unwrap_or_default(),
            row["statements"],
            figure("ece"),
            figure("rightAbove90"),
            figure("eceWithTable"),
            figure("rightAbove90WithTable"),
        );
    }
    Ok(())
}
