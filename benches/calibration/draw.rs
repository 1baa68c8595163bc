//! The reliability diagram.

use anyhow::Result;
use plotters::prelude::*;

use crate::reliability::{Statement, bins};

/// Draws one line an action as stated (thin) and as calibrated (with points): stated probability against what came true.
pub fn reliability(path: &str, rows: &[(&str, Vec<Statement>, Vec<Statement>)]) -> Result<()> {
    let root = SVGBackend::new(path, (520, 520)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
    chart.configure_mesh().x_desc("stated").y_desc("came true").draw()?;
    chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.4)))?;
    for (i, (name, before, after)) in rows.iter().enumerate() {
        let colour = Palette99::pick(i).to_rgba();
        let points = |all: &[Statement]| -> Vec<(f64, f64)> {
            bins(all).iter().filter(|bin| bin.count >= 10).map(|bin| (bin.stated, bin.found)).collect()
        };
        chart
            .draw_series(LineSeries::new(points(before), colour.mix(0.35)))?
            .label(format!("{name}, as stated"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.mix(0.35)));
        chart
            .draw_series(LineSeries::new(points(after), colour))?
            .label(format!("{name}, calibrated"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour));
        chart.draw_series(points(after).into_iter().map(|point| Circle::new(point, 3, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .border_style(BLACK)
        .background_style(WHITE.mix(0.8))
        .draw()?;
    root.present()?;
    Ok(())
}
