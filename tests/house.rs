//! The order of the house: which room may import which, what a pure room may not touch, and how long a
//! file may be. It reads the sources as text, so it also sees what the compiler would allow.
//!
//! ```text
//!  src/**.rs ─► without comments, strings and tests ─► paths (use trees, inline) ─► rules ─► violations
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "house/source.rs"]
mod source;

use std::path::{Path, PathBuf};

use source::Source;

/// Rooms, with what each may import of ours. `types` stands for the types of evidence: what `observe`
/// gives to the pure rooms. `pure` rooms touch no client, clock or runtime.
const ROOMS: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("observe", &["api"]),
    ("orient", &["types"]),
    ("decide", &["orient", "types", "api"]),
    ("act", &["decide", "ledger"]),
    ("ledger", &["decide"]),
    ("operator", &["api", "observe", "orient", "decide", "act", "ledger"]),
    ("simulate", &["api", "types", "orient", "decide"]),
    ("exporter", &["orient", "operator"]),
    ("cli", &["api", "observe", "orient", "decide", "act", "ledger", "operator", "simulate", "exporter"]),
    ("main", &["cli"]),
];

/// Rooms and single files that are pure.
const PURE: &[&str] = &[
    "api",
    "orient",
    "decide",
    "simulate",
    "observe/reading",
    "observe/sample",
    "observe/workload",
    "exporter/drill",
    "exporter/event",
    "exporter/intake",
    "exporter/json",
    "exporter/record",
    "exporter/score",
    "exporter/window",
];

/// What of `observe` counts as types of evidence.
const EVIDENCE: &[&str] = &["reading", "sample", "workload", "Observed"];

/// Crates and modules that are a client, a clock, a runtime or the outside world.
const OUTSIDE: &[&str] = &[
    "axum",
    "futures",
    "getrandom",
    "hyper",
    "hyper_util",
    "kube",
    "prometheus_client",
    "prometheus_http_query",
    "rand",
    "reqwest",
    "tokio",
    "tower",
];

/// The same, of the standard library.
const OUTSIDE_STD: &[&str] = &["env", "fs", "io", "net", "os", "process", "thread"];

/// Names that are a clock or chance wherever they stand in a path.
const CLOCKS: &[&str] = &["Instant", "SystemTime", "ThreadRng", "thread_rng", "OsRng", "SysRng"];

/// What the derive macros of the two kinds need.
const API_MAY: &[&str] = &["kube::CustomResource", "kube::CustomResourceExt", "kube::KubeSchema"];

const LONGEST: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// `src/decide/rules.rs` → `["decide", "rules"]`; `mod.rs` and `lib.rs` name their folder.
fn module_of(file: &str) -> Vec<String> {
    let inner = file.strip_prefix("src/").unwrap_or(file).trim_end_matches(".rs");
    let mut module: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod" || last == "lib") {
        module.pop();
    }
    module
}

/// Every rule that a file breaks, one line each.
fn violations(file: &str, source: &Source) -> Vec<String> {
    let module = module_of(file);
    let Some(room) = module.first() else { return Vec::new() };
    let place = module.join("/");
    let pure = PURE.iter().any(|p| place == *p || place.starts_with(&format!("{p}/")));
    let mut found = Vec::new();
    match ROOMS.iter().find(|(name, _)| name == room) {
        None => found.push(format!("{file}: {room} is not a room; see ROOMS in tests/house.rs")),
        Some((_, may)) => {
            for path in source.paths_from(&module) {
                found.extend(import_trouble(room, may, &path).map(|why| format!("{file}: {why}")));
                if pure {
                    found.extend(purity_trouble(room, &path).map(|why| format!("{file}: {why}")));
                }
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Whether a path leads into a room that may not be entered from here.
fn import_trouble(room: &str, may: &[&str], path: &[String]) -> Option<String> {
    let (first, rest) = path.split_first()?;
    // The binary and the integration of the library are named by the crate's own name.
    let target = if first == "crate" || first == "matverse" { rest.first()? } else { return None };
    if target == room || !ROOMS.iter().any(|(name, _)| name == target) {
        return None;
    }
    let evidence = target == "observe" && rest.get(1).is_some_and(|next| EVIDENCE.contains(&next.as_str()));
    let allowed = may.contains(&target.as_str()) || (evidence && may.contains(&"types"));
    (!allowed).then(|| format!("{room} may not import {}", path.join("::")))
}

/// Whether a path of a pure room leads outside.
fn purity_trouble(room: &str, path: &[String]) -> Option<String> {
    let whole = path.join("::");
    let first = path.first()?.as_str();
    let second = path.get(1).map_or("", String::as_str);
    let now =
        path.windows(2).any(|pair| pair[1] == "now" && ["Timestamp", "Zoned"].contains(&pair[0].as_str()));
    let clock = now || path.iter().any(|part| CLOCKS.contains(&part.as_str()));
    let outside = OUTSIDE.contains(&first) || (first == "std" && OUTSIDE_STD.contains(&second));
    if room == "api" && API_MAY.contains(&whole.as_str()) {
        return None;
    }
    (clock || outside).then(|| format!("pure, but names {whole}"))
}

/// The sources of the library and the binary, with the modules that exist only for tests taken out.
fn sources() -> Vec<(String, Source)> {
    let all: Vec<(String, Source)> = files_below(&root().join("src"))
        .into_iter()
        .map(|path| {
            let file = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            (file, Source::read(&std::fs::read_to_string(path).unwrap()))
        })
        .collect();
    let mut for_tests = Vec::new();
    for (file, source) in &all {
        for name in &source.test_modules {
            let mut module = module_of(file);
            module.push(name.clone());
            for_tests.push(module);
        }
    }
    all.into_iter().filter(|(file, _)| !for_tests.iter().any(|m| module_of(file).starts_with(m))).collect()
}

#[test]
fn every_room_imports_only_what_it_may_and_pure_rooms_stay_pure() {
    let sources = sources();
    assert!(sources.len() >= 10, "only {} files found", sources.len());
    let broken: Vec<String> = sources.iter().flat_map(|(file, source)| violations(file, source)).collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn no_file_is_longer_than_it_should_be() {
    let mut long = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for path in files_below(&root().join(folder)) {
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            if lines > LONGEST {
                long.push(format!("{}: {lines} lines", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(long.is_empty(), "more than {LONGEST} lines, so probably two files:\n{}", long.join("\n"));
}

fn verdict(file: &str, text: &str) -> Vec<String> {
    violations(file, &Source::read(text))
}

#[test]
fn a_violating_snippet_is_caught() {
    for (file, text) in [
        ("src/decide/rules.rs", "use kube::Client;"),
        ("src/decide/rules.rs", "fn f() { let c: ::kube::Client = x(); }"),
        ("src/decide/rules.rs", "use std::{fmt, time::{Duration, Instant}};"),
        ("src/decide/rules.rs", "use std::time;\nfn f() { time::SystemTime::now(); }"),
        ("src/decide/rules.rs", "use jiff::Timestamp;\nfn f() -> Timestamp { Timestamp::now() }"),
        ("src/decide/rules.rs", "fn f() { jiff::Zoned::now(); }"),
        ("src/orient/kalman.rs", "#[tokio::main]\nasync fn f() {}"),
        ("src/orient/kalman.rs", "use rand::Rng as _;"),
        ("src/orient/kalman.rs", "use tokio as runtime;"),
        ("src/orient/kalman.rs", "extern crate reqwest;"),
        ("src/api/gate.rs", "use kube::{Api, CustomResource};"),
        ("src/observe/reading.rs", "use std::fs::File;"),
        ("src/observe/workload.rs", "use futures::Stream;"),
        ("src/simulate/cluster.rs", "use std::thread;"),
        ("src/orient/mod.rs", "use crate::api::scaling::Mode;"),
        ("src/orient/mod.rs", "use crate::observe::source::Prometheus;"),
        ("src/orient/mod.rs", "use crate::{observe::reading::Reading, decide::Decision};"),
        ("src/decide/league.rs", "use super::super::act::Executor;"),
        ("src/decide/mod.rs", "fn f() { super::ledger::append(); }"),
        ("src/decide/mod.rs", "fn f() { crate::operator::clock::Clock::new(); }"),
        ("src/act/mod.rs", "use crate::observe::reading::Reading;"),
        ("src/ledger/mod.rs", "use crate::act::scale;"),
        ("src/operator/mod.rs", "use crate::cli::crds;"),
        ("src/main.rs", "use matverse::operator::run;"),
        ("src/helpers/mod.rs", "pub fn f() {}"),
    ] {
        assert_eq!(verdict(file, text).len(), 1, "{file}: {text:?} gives {:?}", verdict(file, text));
    }
}

#[test]
fn an_innocent_snippet_is_not() {
    for (file, text) in [
        (
            "src/decide/rules.rs",
            "// use kube::Client;\n/* tokio::spawn /* nested */ Instant */\n/// [`kube::Client`]\nfn f() {}",
        ),
        (
            "src/decide/rules.rs",
            "const A: &str = \"kube::Client \\\" tokio::spawn\"; const B: &str = r#\"use \"rand::x\"\"#;",
        ),
        (
            "src/decide/rules.rs",
            "const Q: char = '\"'; fn f<'a>(x: &'a str) -> &'a str { x } const R: char = '\\'';",
        ),
        (
            "src/decide/rules.rs",
            "#[cfg(test)]\nmod tests {\n use tokio::time; fn f() { if x { Instant::now(); } } }\nfn g() {}",
        ),
        ("src/decide/rules.rs", "#[cfg(test)]\n#[allow(unused)]\nuse tokio::time;\nfn g() {}"),
        ("src/decide/rules.rs", "use std::time::Duration;\nuse jiff::{SignedDuration, Timestamp};"),
        (
            "src/decide/rules.rs",
            "use super::situation::Situation;\nuse crate::observe::Observed;\nuse crate::api::Mode;",
        ),
        ("src/api/gate.rs", "use kube::{CustomResource, CustomResourceExt};"),
        (
            "src/observe/source.rs",
            "use kube::Client; use tokio::time::Instant; use crate::api::shared::TargetRef;",
        ),
        ("src/operator/clock.rs", "use std::time::Instant; use crate::act::x; use crate::ledger::y;"),
        ("src/orient/omega.rs", "use crate::observe::{Observed, reading::Reading, workload::Workload};"),
        ("src/main.rs", "use matverse::cli; fn main() { cli::run(); }"),
        ("src/lib.rs", "pub mod api;"),
    ] {
        assert_eq!(verdict(file, text), Vec::<String>::new(), "{file}: {text:?}");
    }
}

#[test]
fn a_module_that_exists_only_for_tests_is_recognised() {
    let source =
        Source::read("pub mod a;\n#[cfg(test)]\nmod testing;\n#[cfg(test)]\nmod tests { mod inner; }");
    assert_eq!(source.test_modules, ["testing"]);
}

/// The image is built where there is a container engine; that Cargo accepts what it is built from can be seen anywhere.
#[test]
fn what_the_image_is_built_from_is_a_package() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let context = std::env::temp_dir().join(format!("matverse-image-{}", std::process::id()));
    std::fs::create_dir_all(&context).unwrap();
    for name in std::fs::read_to_string(root.join(".dockerignore")).unwrap().lines() {
        let Some(name) = name.strip_prefix('!') else { continue };
        let (from, to) = (root.join(name), context.join(name));
        // Of a link to a manifest Cargo would read the folder that it leads to.
        if from.is_dir() {
            std::os::unix::fs::symlink(from, to)
        } else {
            std::fs::copy(from, to).map(|_| ())
        }
        .unwrap();
    }
    let manifest = context.join("Cargo.toml");
    let read = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(&manifest)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&context).unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
}
