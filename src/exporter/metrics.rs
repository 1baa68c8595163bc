//! The metrics as text. Every figure is rebuilt at each scrape, so that one that is undecided is absent.

use std::collections::HashMap;
use std::fmt::Error;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::event::{Kind, Workload};
use super::intake::Intake;
use super::window::{BOUNDS, Figures, Losses};

/// `Content-Type` of [`render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics at `now`, as `OpenMetrics` text.
///
/// # Errors
/// A value that cannot be encoded.
pub fn render(intake: &Intake, now: Timestamp) -> Result<String, Error> {
    let rows = intake.workloads().iter().map(|(workload, kept)| Row {
        workload: workload.clone(),
        figures: kept.window.figures(now),
        losses: *kept.losses(),
        events: kept.events,
        head: kept.head.clone(),
    });
    let page = Page {
        rows: rows.collect(),
        refused: Kind::ALL.map(|kind| (kind.as_str(), intake.refused(kind))).to_vec(),
    };
    let mut registry = Registry::with_prefix("symbios");
    registry.register_collector(Box::new(page));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Page {
    rows: Vec<Row>,
    refused: Vec<(&'static str, u64)>,
}

#[derive(Debug)]
struct Row {
    workload: Workload,
    figures: Figures,
    losses: Losses,
    events: [u64; 2],
    head: Option<String>,
}

impl Row {
    fn labels(&self) -> Vec<(&'static str, &str)> {
        vec![("namespace", &self.workload.namespace), ("name", &self.workload.name)]
    }
}

/// None are ever given.
type Exemplars = HashMap<usize, Exemplar<Vec<(&'static str, &'static str)>, f64>>;

/// Name, help and value of a gauge.
type Gauge = (&'static str, &'static str, fn(&Figures) -> Option<f64>);

const GAUGES: [Gauge; 18] = [
    ("omega_score", "Ω, exporter form.", |f| f.score.omega),
    ("psi_score", "Ψ, the mean quality of the window.", |f| f.score.psi),
    ("cvar_score", "CVaR, the mean of the worst losses 1 − Ψ.", |f| f.score.cvar),
    ("evidence_samples", "Events in the window.", |f| Some(f.score.samples as f64)),
    ("evidence_age_seconds", "Age of the newest event.", |f| f.age_seconds),
    ("ece", "Expected calibration error.", |f| f.ece),
    ("rho_bias", "Largest ratio of a group's rate to that of all, or its inverse.", |f| f.rho_bias),
    ("fairness", "1 − the largest difference between two groups' rates.", |f| f.fairness),
    ("consent", "1 while every event that speaks of consent says yes.", |f| f.consent),
    ("eco_kg", "Footprint of the window, kg.", |f| f.eco_kg),
    ("rho", "Upper 95 % bound of the mean ratio of successive risks.", |f| f.rho),
    ("outcome_samples", "Events of the window with confidence and correctness.", |f| {
        (f.labelled > 0).then_some(f.labelled as f64)
    }),
    ("stress_active", "1 while a stress episode is open.", |f| Some(f64::from(u8::from(f.stress)))),
    ("stress_episodes", "Closed stress episodes that count.", |f| Some(f.resilience.episodes as f64)),
    ("beta", "Mean Ψ under stress over mean Ψ at calm.", |f| f.resilience.beta.map(|b| b.value)),
    ("beta_low", "Lower end of the 95 % interval of β.", |f| f.resilience.beta.map(|b| b.low)),
    ("beta_high", "Upper end of the 95 % interval of β.", |f| f.resilience.beta.map(|b| b.high)),
    ("convexity", "Second difference of Ψ over three levels of stress.", |f| f.resilience.convexity),
];

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        for (name, help, value) in GAUGES {
            let points: Vec<_> = self.rows.iter().filter_map(|r| Some((r, value(&r.figures)?))).collect();
            if points.is_empty() {
                continue;
            }
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (row, value) in points {
                ConstGauge::new(value).encode(metric.encode_family(&row.labels())?)?;
            }
        }
        if !self.rows.is_empty() {
            let help = "Loss 1 − Ψ of every event since the start.";
            let mut metric = encoder.encode_descriptor("loss", help, None, MetricType::Histogram)?;
            for row in &self.rows {
                let count = row.losses.counts.iter().sum();
                let buckets: Vec<(f64, u64)> = BOUNDS.into_iter().zip(row.losses.counts).collect();
                let none: Option<&Exemplars> = None;
                metric.encode_family(&row.labels())?.encode_histogram(
                    row.losses.sum,
                    count,
                    &buckets,
                    none,
                )?;
            }
            let help = "Events taken since the start.";
            let mut metric = encoder.encode_descriptor("events", help, None, MetricType::Counter)?;
            for row in &self.rows {
                for (approved, count) in ["true", "false"].into_iter().zip(row.events) {
                    let labels = [row.labels(), vec![("approved", approved)]].concat();
                    ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
                }
            }
            let help = "Digest of the newest record.";
            let mut metric = encoder.encode_descriptor("evidence_head", help, None, MetricType::Info)?;
            for row in &self.rows {
                let digest = vec![("digest", row.head.as_deref().unwrap_or_default())];
                metric.encode_family(&row.labels())?.encode_info(&digest)?;
            }
        }
        let help = "Events refused since the start.";
        let mut metric = encoder.encode_descriptor("events_refused", help, None, MetricType::Counter)?;
        for (reason, count) in &self.refused {
            ConstCounter::new(*count).encode(metric.encode_family(&vec![("reason", *reason)])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::intake::Rules;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_900_000_000 + second).unwrap()
    }

    fn page(events: &[&str]) -> String {
        let mut intake =
            Intake::new(Rules { workload: Some("shop/cart".parse().unwrap()), ..Rules::default() });
        for text in events {
            let _ = intake.take(text.as_bytes(), at(0), at(0), &mut |_| Ok(()));
        }
        render(&intake, at(7)).unwrap()
    }

    fn has(page: &str, line: &str) -> bool {
        page.lines().any(|l| l == line)
    }

    #[test]
    fn without_evidence_no_figure_is_there() {
        let page = page(&[]);
        assert!(!page.contains("namespace"), "{page}");
        assert!(has(&page, "symbios_events_refused_total{reason=\"field\"} 0"), "{page}");
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn too_little_evidence_has_no_tail_and_so_no_omega() {
        let page = page(&[r#"{"psi": 0.9}"#, r#"{"psi": 0.7}"#, "nonsense"]);
        let of = "{namespace=\"shop\",name=\"cart\"}";
        assert!(has(&page, &format!("symbios_psi_score{of} 0.8")), "{page}");
        assert!(has(&page, &format!("symbios_evidence_samples{of} 2.0")), "{page}");
        assert!(has(&page, &format!("symbios_evidence_age_seconds{of} 7.0")), "{page}");
        assert!(has(&page, &format!("symbios_stress_active{of} 0.0")), "{page}");
        assert!(has(&page, "symbios_events_refused_total{reason=\"not_json\"} 1"), "{page}");
        let all = "symbios_events_total{namespace=\"shop\",name=\"cart\",approved=\"false\"} 1";
        assert!(has(&page, all), "{page}");
        for absent in ["omega", "cvar", "ece", "rho", "fairness", "consent", "eco", "beta", "convexity"] {
            assert!(!page.contains(&format!("symbios_{absent}")), "{absent}: {page}");
        }
    }

    #[test]
    fn a_full_page() {
        let event =
            r#"{"psi":0.9,"consent":true,"ecoKg":0.5,"risk":1,"outcome":{"confidence":1,"correct":true}}"#;
        let page = page(&[event; 30]);
        let of = "{namespace=\"shop\",name=\"cart\"}";
        for (name, value) in [("consent", "1.0"), ("eco_kg", "15.0"), ("ece", "0.0"), ("rho", "1.0")] {
            assert!(has(&page, &format!("symbios_{name}{of} {value}")), "{name}: {page}");
        }
        assert!(page.contains("symbios_omega_score{") && page.contains("symbios_cvar_score{"));
        assert!(has(&page, &format!("symbios_loss_count{of} 30")), "{page}");
        assert!(
            page.contains("symbios_loss_bucket{le=\"+Inf\",namespace=\"shop\",name=\"cart\"} 30"),
            "{page}"
        );
        let head = page.lines().find(|line| line.starts_with("symbios_evidence_head_info")).unwrap();
        assert!(head.starts_with("symbios_evidence_head_info{digest=\"") && head.len() > 64, "{head}");
        assert!(head.ends_with("namespace=\"shop\",name=\"cart\"} 1"), "{head}");
    }
}
