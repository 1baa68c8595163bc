//! The evidence intake: whatever the lines are, each is answered or refused, what is answered has a record of the
//! stated id, and what is exposed is a number in its range.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use matverse::exporter::intake::{Intake, Rules};
use matverse::exporter::metrics;
use matverse::exporter::record::sha256;
use matverse::exporter::window::Settings;

fuzz_target!(|bytes: &[u8]| {
    let settings = Settings { window: 24, min_samples: 2, ..Settings::default() };
    let workload = Some("shop/cart".parse().unwrap());
    let mut intake = Intake::new(Rules { settings, workload, max_workloads: 3, ..Rules::default() });
    let mut now = Timestamp::from_second(1_900_000_000).unwrap();
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        now = Timestamp::from_second(now.as_second() + 30).unwrap();
        let mut record = None;
        let taken = intake.take(line, now, now, &mut |line| {
            record = Some(line.to_owned());
            Ok(())
        });
        match taken {
            Ok(taken) => {
                let record = record.unwrap();
                let read: serde_json::Value = serde_json::from_str(&record).unwrap();
                assert_eq!(read["id"], taken.id);
                let heads: Vec<_> = intake.workloads().values().filter_map(|k| k.head.clone()).collect();
                assert!(heads.contains(&sha256(&record)));
                assert!((0.0..=1.0).contains(&taken.psi));
                assert!(taken.omega.is_none_or(|omega| (0.0..=1.0).contains(&omega)));
            }
            Err(why) => assert!(record.is_none() && !why.to_string().is_empty()),
        }
        intake.turn(now);
    }
    let page = metrics::render(&intake, now).unwrap();
    assert!(page.ends_with("# EOF\n") && !page.contains("NaN"));
    for kept in intake.workloads().values() {
        let f = kept.window.figures(now);
        let unit = |value: Option<f64>| value.is_none_or(|v| (-1e-9..=1.0 + 1e-9).contains(&v));
        assert!(unit(f.score.psi) && unit(f.score.cvar) && unit(f.ece) && unit(f.fairness) && unit(f.consent));
        assert!(f.rho_bias.is_none_or(|bias| bias >= 1.0 && bias.is_finite()));
        assert!(f.rho.is_none_or(|rho| rho >= 0.0 && rho.is_finite()));
    }
});
