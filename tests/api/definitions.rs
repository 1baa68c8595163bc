//! What the definitions say, without a server.

use std::path::{Path, PathBuf};

use matverse::api::crd;
use matverse::cli::crds;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Fails when the file differs from `wanted`; with `MATVERSE_BLESS` it is written instead.
fn same(path: &PathBuf, wanted: &str) {
    if std::env::var_os("MATVERSE_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "{} is not what `matverse crds` prints; run MATVERSE_BLESS=1 cargo test --test api",
        path.display()
    );
}

#[test]
fn the_folder_and_the_chart_hold_exactly_what_the_command_prints() {
    let files = crds::files().unwrap();
    for (name, yaml) in &files {
        same(&root().join("crds").join(name), yaml);
    }
    same(&root().join("charts/matverse-autonomy/files/crds.yaml"), &crds::render().unwrap());

    let mut on_disk: Vec<String> = std::fs::read_dir(root().join("crds"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    on_disk.sort();
    let mut printed: Vec<String> = files.into_iter().map(|(name, _)| name).collect();
    printed.sort();
    assert_eq!(on_disk, printed);
}

#[test]
fn printing_twice_gives_the_same_bytes_and_reads_back_as_the_same_definitions() {
    let yaml = crds::render().unwrap();
    assert_eq!(yaml, crds::render().unwrap());
    let read: Vec<Value> = serde_saphyr::from_multiple(&yaml).unwrap();
    let meant: Vec<Value> = crd::all().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect();
    // Numbers may be written as 1 or 1.0.
    assert_eq!(read.len(), 2);
    for (read, meant) in read.iter().zip(&meant) {
        same_value("", read, meant);
    }
}

fn same_value(at: &str, left: &Value, right: &Value) {
    match (left, right) {
        (Value::Object(l), Value::Object(r)) => {
            assert!(l.keys().eq(r.keys()), "{at}: {:?} and {:?}", l.keys(), r.keys());
            l.iter().for_each(|(key, value)| same_value(&format!("{at}.{key}"), value, &r[key]));
        }
        (Value::Array(l), Value::Array(r)) => {
            assert_eq!(l.len(), r.len(), "{at}");
            l.iter().zip(r).for_each(|(l, r)| same_value(&format!("{at}[]"), l, r));
        }
        (Value::Number(l), Value::Number(r)) => assert_eq!(l.as_f64(), r.as_f64(), "{at}"),
        _ => assert_eq!(left, right, "{at}"),
    }
}

/// Calls `visit` with the path and each schema node of spec and status of both kinds.
fn walk(visit: &mut dyn FnMut(&str, &Value)) {
    fn node(path: &str, schema: &Value, visit: &mut dyn FnMut(&str, &Value)) {
        visit(path, schema);
        for (key, child) in schema["properties"].as_object().into_iter().flatten() {
            node(&format!("{path}.{key}"), child, visit);
        }
        if schema["items"].is_object() {
            node(&format!("{path}[]"), &schema["items"], visit);
        }
        if schema["additionalProperties"].is_object() {
            node(&format!("{path}.*"), &schema["additionalProperties"], visit);
        }
    }
    for definition in crd::all() {
        let definition = serde_json::to_value(definition).unwrap();
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap().to_owned();
        let properties = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        for part in ["spec", "status"] {
            node(&format!("{kind}.{part}"), &properties[part], visit);
        }
    }
}

/// What a schema node leaves without a bound, if anything.
fn unbounded(schema: &Value) -> Option<&'static str> {
    if schema["x-kubernetes-preserve-unknown-fields"] == true || schema["x-kubernetes-int-or-string"] == true
    {
        return Some("anything goes");
    }
    match schema["type"].as_str() {
        Some("string") if schema["enum"].is_null() && schema["maxLength"].is_null() => Some("a string"),
        Some("array") if schema["maxItems"].is_null() => Some("a list"),
        Some("object") if schema["properties"].is_null() && schema["maxProperties"].is_null() => {
            Some("a map")
        }
        None => Some("a value without a type"),
        _ => None,
    }
}

#[test]
fn every_string_list_and_map_of_spec_and_status_is_bounded() {
    let mut seen = 0;
    let mut open = Vec::new();
    walk(&mut |path, schema| {
        seen += 1;
        open.extend(unbounded(schema).map(|what| format!("{path}: {what}")));
    });
    assert!(seen > 150, "the walk saw only {seen} nodes");
    assert!(open.is_empty(), "without a bound:\n{}", open.join("\n"));
}

#[test]
fn the_walk_notices_what_has_no_bound() {
    let cases = [
        serde_json::json!({"type": "string"}),
        serde_json::json!({"type": "array", "items": {"type": "integer"}}),
        serde_json::json!({"type": "object", "additionalProperties": {"type": "integer"}}),
        serde_json::json!({"anyOf": []}),
        serde_json::json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
    ];
    for case in cases {
        assert!(unbounded(&case).is_some(), "{case}");
    }
    assert_eq!(unbounded(&serde_json::json!({"type": "string", "maxLength": 3})), None);
}

#[test]
fn every_list_of_objects_in_spec_that_has_a_name_is_a_map_by_it() {
    walk(&mut |path, schema| {
        let properties = &schema["items"]["properties"];
        for key in ["name", "key"] {
            if path.contains(".spec") && !properties[key].is_null() {
                assert_eq!(schema["x-kubernetes-list-type"], "map", "{path}");
                assert_eq!(schema["x-kubernetes-list-map-keys"][0], key, "{path}");
            }
        }
    });
}

#[test]
fn formats_are_known_nothing_is_nullable_and_status_has_no_defaults() {
    walk(&mut |path, schema| {
        if let Some(format) = schema["format"].as_str() {
            assert!(["int32", "int64", "double", "date-time"].contains(&format), "{path}: {format}");
        }
        assert!(schema["nullable"].is_null(), "{path}");
        assert!(!path.contains(".status") || schema["default"].is_null(), "{path} has a default");
        assert!(schema["description"].is_string() || path.ends_with("[]"), "{path} says nothing");
    });
}

#[test]
fn every_optional_field_of_spec_with_a_documented_default_has_it_written_out() {
    let definition = serde_json::to_value(&crd::all()[0]).unwrap();
    let spec =
        &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let default = |pointer: &str| spec.pointer(pointer).unwrap_or_else(|| panic!("{pointer}")).clone();
    for (pointer, wanted) in [
        ("/minReplicas/default", serde_json::json!(1)),
        ("/maxReplicas/default", serde_json::json!(10)),
        ("/mode/default", serde_json::json!("balanced")),
        ("/enforcement/default", serde_json::json!("Observe")),
        ("/intervalSeconds/default", serde_json::json!(15)),
        ("/profile/default", serde_json::json!("default")),
        ("/cooldownSeconds/default", serde_json::json!(60)),
        ("/persistence/default", serde_json::json!(3)),
        ("/targetRef/properties/apiVersion/default", serde_json::json!("apps/v1")),
        ("/targets/default/cpuTarget", serde_json::json!(0.7)),
        ("/targets/properties/cpuTarget/default", serde_json::json!(0.7)),
        ("/rollback/default/maxPerDay", serde_json::json!(2)),
        (
            "/behavior/properties/scaleDown/properties/stabilizationWindowSeconds/default",
            serde_json::json!(300),
        ),
        ("/behavior/properties/scaleUp/properties/policies/default/0/value", serde_json::json!(2)),
    ] {
        assert_eq!(default(pointer), wanted, "{pointer}");
    }
    assert_eq!(spec["targets"]["properties"]["latencyTarget"]["default"], Value::Null);
}
