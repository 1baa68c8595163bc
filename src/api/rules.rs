//! Rules that the API server checks on admission, and the pieces of schema that both kinds share.
//!
//! A rule stands beside the field it guards: `#[schemars(extend("x-kubernetes-validations" = rules(…)))]`.
//! Every string, list and map that a rule walks is bounded, because the API server estimates a rule's
//! cost from those bounds and refuses the whole definition when the estimate is too high.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// Name of an object: a DNS-1123 subdomain.
pub(super) const OBJECT_NAME: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// Name of a source, profile or pool of the operator's configuration.
pub(super) const CONFIG_NAME: &str = "^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";

/// Name of a signal: `latency`, `rhoBias`, `g.1`, or one of the user's own.
pub(super) const SIGNAL_NAME: &str = "^[A-Za-z0-9_]([-A-Za-z0-9_.]*[A-Za-z0-9_])?$";

/// Longest message of a condition, in characters.
pub const MESSAGE_MAX: usize = 4096;
/// Longest sentence elsewhere in status (`reasoning`, `reason`), in characters.
pub const SENTENCE_MAX: usize = 1024;
/// Longest identifier in status (an action, a state, a decision id, a hash, a time), in characters.
pub const TOKEN_MAX: usize = 253;

/// CEL rules with their messages, as `x-kubernetes-validations` holds them.
pub(super) fn rules(list: &[(&str, &str)]) -> Value {
    list.iter().map(|(rule, message)| json!({"rule": rule, "message": message})).collect()
}

/// A rule for a field that is in the schema but that nothing acts on yet: `allowed` is the CEL
/// expression of the values that may stand, `what` names the field, `instead` says what to do.
pub(super) fn not_yet(allowed: &str, what: &str, instead: &str) -> Value {
    rules(&[(allowed, &format!("{what} is not built yet; {instead}"))])
}

/// Schema of `status.conditions`: a map by type whose every string is bounded, as
/// `metav1.Condition` documents them.
pub(super) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "Conditions by type.",
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {
                    "description": "What it speaks of.",
                    "type": "string", "minLength": 1, "maxLength": TOKEN_MAX,
                },
                "status": {
                    "description": "`True`, `False` or `Unknown`.",
                    "type": "string", "enum": ["True", "False", "Unknown"],
                },
                "reason": {
                    "description": "One word why.",
                    "type": "string", "minLength": 1, "maxLength": SENTENCE_MAX,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "message": {
                    "description": "Why, for a person.",
                    "type": "string", "maxLength": MESSAGE_MAX,
                },
                "lastTransitionTime": {
                    "description": "When `status` last changed.",
                    "type": "string", "format": "date-time", "maxLength": 64,
                },
                "observedGeneration": {
                    "description": "Generation of the spec it speaks of.",
                    "type": "integer", "format": "int64", "minimum": 0,
                },
            },
        },
    })
}

/// Cuts `text` to at most `max` characters, so that a status write is never refused for a long
/// sentence. A cut text ends in `…`.
#[must_use]
pub fn clip(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(max.saturating_sub(1)).collect();
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clip_counts_characters_and_marks_the_cut() {
        assert_eq!(clip("Ω fell", 6), "Ω fell");
        assert_eq!(clip("Ω fell", 4), "Ω f…");
        assert_eq!(clip("abc", 1), "…");
        assert_eq!(clip("ΩΩΩ", 2).chars().count(), 2);
    }

    #[test]
    fn a_refusal_names_the_field_and_the_way_out() {
        let rule = not_yet("self != 'Propose'", "enforcement: Propose", "use Observe or Act");
        assert_eq!(rule[0]["message"], "enforcement: Propose is not built yet; use Observe or Act");
    }
}
