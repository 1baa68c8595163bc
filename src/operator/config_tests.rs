//! Files that are taken, and files with every mistake named.

use super::*;

const GOOD: &str = "
sources: {default: {url: 'http://prometheus:9090', matchers: {cluster: prod}}}
profiles: {mine: {cpu: {query: 'sum(up)', maxAgeSeconds: 30}}}
actNamespaces: [shop]
ledger: {origin: prod/main, keyFile: /key.pem}
";

#[test]
fn a_good_file_is_taken_with_its_defaults() {
    let config = Config::parse(GOOD).unwrap();
    assert_eq!(config.sources["default"].timeout_seconds, 5);
    assert_eq!(config.sources["default"].namespace_label, "namespace");
    assert_eq!(config.ledger.namespace, "matverse-ledger");
    assert_eq!(config.metrics.to_string(), "127.0.0.1:8080");
    assert!(config.may_act("shop") && !config.may_act("other"));
    assert_eq!((config.concurrency, config.policies), (8, Policies::Enforce));
}

#[test]
fn the_explained_file_is_a_valid_one() {
    let config = Config::parse(include_str!("../../config/operator.yaml")).unwrap();
    assert_eq!(config.profiles["mine"].len(), 2);
    assert_eq!(config.ledger.origin, "prod-eu/main");
}

#[test]
fn three_mistakes_are_three_lines() {
    let text =
        GOOD.replace("http://", "ftp://").replace("actNamespaces", "actNamespace") + "concurrency: many\n";
    let errors = Config::parse(&text).unwrap_err().0;
    assert_eq!(errors.len(), 3, "{errors:?}");
    for start in ["actNamespace: unknown key", "sources.default.url: ", "concurrency: "] {
        assert!(errors.iter().any(|e| e.starts_with(start)), "{start} in {errors:?}");
    }
}

#[test]
fn each_mistake_names_its_place() {
    for (from, to, expected) in [
        ("sum(up)", "sum(", "profiles.mine.cpu.query: "),
        ("cpu: {query: 'sum(up)'", "cpu: {source: other, query: 'sum(up)'", "profiles.mine.cpu.source: "),
        ("matchers: {cluster: prod}", "matchers: [1]", "sources.default: "),
        ("matchers", "matcher", "sources.default.matcher: unknown key"),
        ("origin: prod/main", "origin: 'a b'", "ledger.origin: "),
        (", keyFile: /key.pem", "", "ledger.keyFile: "),
        ("actNamespaces: [shop]", "policies: Later", "policies: \"Later\" is neither Enforce nor Warn"),
        ("actNamespaces: [shop]", "hpa: Floor", "hpa: Floor is not built yet"),
        ("actNamespaces: [shop]", "pools: {a: {replicas: 3}}", "pools.a.maxReplicas: "),
        ("actNamespaces: [shop]", "pools: {a: {maxReplicas: 0}}", "pools.a.maxReplicas: "),
        ("actNamespaces: [shop]", "metrics: {bind: here}", "metrics.bind: "),
        ("actNamespaces: [shop]", "actNamespaces: shop", "actNamespaces: "),
    ] {
        let errors = Config::parse(&GOOD.replace(from, to)).unwrap_err().0;
        assert!(errors.iter().any(|e| e.starts_with(expected)), "{expected} in {errors:?}");
    }
    assert!(Config::parse("- a\n").is_err());
    assert!(Config::parse("a: [").is_err());
}
