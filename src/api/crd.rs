//! The definitions of both kinds, as the API server gets them.
//!
//! ```text
//!  types (derive) ─► schema ─► tidy ─► CustomResourceDefinition ─► matverse crds, crds/, chart
//! ```
//!
//! What the derive gives is valid but not quite what a Kubernetes user would write: it says
//! `nullable` for every optional field (a `null` would then reach the CEL rules) and names integer
//! formats that the API server warns about on every install. [`all`] mends both, guards
//! fractional bounds, and takes the defaults out of status; nothing else should call `T::crd()` directly.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool, ValidationRule,
};
use kube::CustomResourceExt;

use super::{MatVerseScaling, OmegaGate};

/// Both definitions, in the order in which they are printed.
#[must_use]
pub fn all() -> [CustomResourceDefinition; 2] {
    [tidied(MatVerseScaling::crd()), tidied(OmegaGate::crd())]
}

fn tidied(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) {
            tidy(schema);
            if let Some(status) = schema.properties.as_mut().and_then(|p| p.get_mut("status")) {
                without_defaults(status);
            }
        }
    }
    crd
}

/// The API server cuts a bound to a whole number when the value is written as one: `0` passes a
/// `minimum` of 0.1. A rule compares as numbers.
fn guard_fractional_minimum(schema: &mut JSONSchemaProps) {
    if let Some(minimum) = schema.minimum.filter(|min| *min > 0.0 && min.fract() != 0.0) {
        let rule = ValidationRule {
            rule: format!("self >= {minimum:?}"),
            message: Some(format!("must be at least {minimum}")),
            ..ValidationRule::default()
        };
        schema.x_kubernetes_validations.get_or_insert_default().push(rule);
    }
}

/// Status holds what the operator wrote; a default of the API server there would be read as its answer.
fn without_defaults(schema: &mut JSONSchemaProps) {
    schema.default = None;
    schema.properties.iter_mut().flat_map(|map| map.values_mut()).for_each(without_defaults);
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = schema.items.as_mut() {
        without_defaults(item);
    }
}

/// Mends one schema and all below it.
fn tidy(schema: &mut JSONSchemaProps) {
    // The API server drops a null where the field is not nullable, which is what an optional field
    // of every built-in kind does.
    schema.nullable = None;
    match schema.format.as_deref() {
        Some("uint8" | "uint16" | "int8" | "int16") => schema.format = Some("int32".into()),
        Some("uint32" | "uint64") => schema.format = Some("int64".into()),
        _ => {}
    }
    guard_fractional_minimum(schema);
    for child in schema.properties.iter_mut().flat_map(|map| map.values_mut()) {
        tidy(child);
    }
    match schema.items.as_mut() {
        Some(JSONSchemaPropsOrArray::Schema(item)) => tidy(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(tidy),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = schema.additional_properties.as_mut() {
        tidy(values);
    }
}
