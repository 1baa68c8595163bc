//! A query of a resource: refused, or scoped to its namespace wherever it reads; and taken again as it was sent.
#![no_main]

use std::collections::BTreeMap;
use std::panic;
use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use matverse::observe::promql::{Names, PromqlError, Scope, check, check_selector, substitute};

static QUIET: Once = Once::new();

fuzz_target!(|text: &str| {
    // The parser's own panics are caught and count as syntax errors; the fuzzer's hook would end the process first.
    // A panic of ours still ends it, because nobody catches that.
    QUIET.call_once(|| {
        panic::set_hook(Box::new(|info| {
            if info.location().is_none_or(|at| !at.file().contains("promql-parser")) {
                eprintln!("{info}");
            }
        }));
    });
    let matchers = BTreeMap::from([("cluster".to_owned(), "a\"b".to_owned())]);
    let scope = Scope { namespace_label: "namespace", namespace: Some("shop"), matchers: &matchers };
    let names = Names { namespace: "shop", name: "web", pod_template_hash: Some("6d4cf56db6") };
    let text = substitute(text, &names);
    let _ = check_selector(&text, &scope);
    let Ok(query) = check(&text, &scope) else { return };
    assert!(!query.selectors.is_empty());
    for selector in &query.selectors {
        assert!(selector.contains("namespace=\"shop\""), "{selector}");
        assert!(selector.contains("cluster=\"a\\\"b\""), "{selector}");
    }
    match check(&query.text, &scope) {
        Ok(again) => assert_eq!(again, query),
        Err(PromqlError::TooLong(_)) => {}
        Err(error) => panic!("{error}: {:?}", query.text),
    }
});
