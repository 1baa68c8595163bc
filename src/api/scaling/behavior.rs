//! Rates of change, in the form of the HPA v2 `behavior`, so that an existing one can be pasted.
//!
//! As with the HPA, what one direction leaves out is filled from that direction's own defaults, both
//! by the API server (schema defaults) and when a manifest is read without one.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use crate::api::rules::not_yet;

/// Rates of change, as `autoscaling/v2` has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Behavior {
    /// Upwards: 2 pods or 100 % per 15 s, the larger, no stabilisation.
    #[serde(deserialize_with = "upwards")]
    #[schemars(schema_with = "upwards_schema")]
    pub scale_up: ScalingRules,
    /// Downwards: 1 pod or 10 % per 15 s, the larger, 300 s.
    #[serde(deserialize_with = "downwards")]
    #[schemars(schema_with = "downwards_schema")]
    pub scale_down: ScalingRules,
}

impl Default for Behavior {
    fn default() -> Self {
        Self {
            scale_up: filled(Given::default(), 0, 2, 100),
            scale_down: filled(Given::default(), 300, 1, 10),
        }
    }
}

/// The rules of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ScalingRules {
    /// Seconds of past recommendations that are taken into account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: Option<u32>,
    /// Which policy counts when several are given.
    pub select_policy: SelectPolicy,
    /// Limits of change; the direction's own defaults when left out.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub policies: Vec<ScalingPolicy>,
    /// HPA's tolerance; nothing acts on it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), extend("x-kubernetes-validations" =
        not_yet("false", "behavior tolerance", "leave it out: the stabilisation window and the mode keep small changes away")))]
    pub tolerance: Option<String>,
}

/// Which of several policies counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SelectPolicy {
    /// The one that allows the most change.
    #[default]
    Max,
    /// The one that allows the least change.
    Min,
    /// No change in this direction.
    Disabled,
}

/// One limit of change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScalingPolicy {
    /// Pods or percent of the present count.
    pub r#type: PolicyType,
    /// How many of them.
    #[schemars(range(min = 1, max = 10000))]
    pub value: i32,
    /// In how many seconds.
    #[schemars(range(min = 1, max = 1800))]
    pub period_seconds: u32,
}

/// Unit of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PolicyType {
    /// A number of pods.
    Pods,
    /// A percentage of the present count.
    Percent,
}

/// What a manifest says of one direction.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Given {
    stabilization_window_seconds: Option<u32>,
    select_policy: Option<SelectPolicy>,
    policies: Option<Vec<ScalingPolicy>>,
    tolerance: Option<String>,
}

fn filled(given: Given, window: u32, pods: i32, percent: i32) -> ScalingRules {
    ScalingRules {
        stabilization_window_seconds: Some(given.stabilization_window_seconds.unwrap_or(window)),
        select_policy: given.select_policy.unwrap_or_default(),
        policies: given.policies.unwrap_or_else(|| {
            vec![
                ScalingPolicy { r#type: PolicyType::Pods, value: pods, period_seconds: 15 },
                ScalingPolicy { r#type: PolicyType::Percent, value: percent, period_seconds: 15 },
            ]
        }),
        tolerance: given.tolerance,
    }
}

fn upwards<'de, D: Deserializer<'de>>(from: D) -> Result<ScalingRules, D::Error> {
    Given::deserialize(from).map(|given| filled(given, 0, 2, 100))
}

fn downwards<'de, D: Deserializer<'de>>(from: D) -> Result<ScalingRules, D::Error> {
    Given::deserialize(from).map(|given| filled(given, 300, 1, 10))
}

fn upwards_schema(generate: &mut SchemaGenerator) -> Schema {
    with_defaults(generate, &Behavior::default().scale_up)
}

fn downwards_schema(generate: &mut SchemaGenerator) -> Schema {
    with_defaults(generate, &Behavior::default().scale_down)
}

/// The schema of [`ScalingRules`] with the defaults of one direction.
fn with_defaults(generate: &mut SchemaGenerator, rules: &ScalingRules) -> Schema {
    let mut schema = ScalingRules::json_schema(generate);
    if let Some(properties) = schema.get_mut("properties") {
        properties["stabilizationWindowSeconds"]["default"] = json!(rules.stabilization_window_seconds);
        properties["selectPolicy"]["default"] = json!(rules.select_policy);
        properties["policies"]["default"] = json!(rules.policies);
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_direction_keeps_the_defaults_of_what_it_leaves_out() {
        let pasted: Behavior = serde_json::from_value(json!({
            "scaleDown": {"stabilizationWindowSeconds": 60},
            "scaleUp": {"selectPolicy": "Min", "policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}]},
        }))
        .unwrap();
        let stock = Behavior::default();
        assert_eq!(pasted.scale_down.stabilization_window_seconds, Some(60));
        assert_eq!(pasted.scale_down.policies, stock.scale_down.policies);
        assert_eq!(pasted.scale_up.policies.len(), 1);
        assert_eq!(pasted.scale_up.stabilization_window_seconds, Some(0));
        assert_eq!(pasted.scale_up.select_policy, SelectPolicy::Min);
    }

    #[test]
    fn nothing_given_is_the_documented_default() {
        assert_eq!(serde_json::from_value::<Behavior>(json!({})).unwrap(), Behavior::default());
        assert_eq!(serde_json::from_value::<Behavior>(json!({"scaleUp": {}})).unwrap(), Behavior::default());
    }
}
