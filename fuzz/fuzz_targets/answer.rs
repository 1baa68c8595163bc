//! What Prometheus answers, to instant and range queries; and what it says against one.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use matverse::observe::answer::{parse, parse_range, reading, readings, refusal, silent};
use matverse::observe::reading::Reading;
use matverse::observe::sample::Limits;

fuzz_target!(|body: &[u8]| {
    let limits = Limits::of("cpu", Some(60), None, None);
    let at = Timestamp::from_second(1_700_000_000).unwrap();
    let judge = |reading: Reading| {
        if let Reading::Fresh { value, sampled_at } = reading {
            assert!(value.is_finite() && value >= limits.min && value <= limits.max, "{value}");
            assert!((at.as_second() - sampled_at.as_second()).abs() <= 61, "{sampled_at}");
        }
    };
    if let Ok(answer) = parse(body) {
        let _ = silent(&answer);
        for selectors in 0..3 {
            judge(reading(&answer, selectors, true, limits, at));
        }
    }
    if let Ok(rows) = parse_range(body) {
        let _ = readings(&rows, 1, false, limits);
    }
    let _ = refusal(body);
});
