//! Digests of what an act changes, so that one act's *before* can be compared with the last act's *after*.
//!
//! A digest is SHA-256 over the canonical JSON (RFC 8785) of a few facts: of a Deployment its uid, its count and
//! the identity of its template; of a tuned parameter its ConfigMap, key and value. No environment value, no secret.

use std::collections::BTreeMap;

use serde::Serialize;

use super::text;
use crate::decide::Situation;
use crate::decide::situation::{ObjectRef, Plan};

/// What a plan changes, as `pre` and `post` are chained by.
#[must_use]
pub fn subject_of(object: &ObjectRef, plan: &Plan) -> String {
    match plan {
        Plan::Retune { config_map, key, .. } => format!("configmaps/{}/{config_map}/{key}", object.namespace),
        Plan::Nothing | Plan::Scale { .. } | Plan::Rollback { .. } => {
            format!("deployments/{}/{}", object.namespace, object.target)
        }
    }
}

/// Digest (hex) of a Deployment: its uid, `spec.replicas`, and the identity of its template
/// ([`crate::observe::workload::Revision::template`]).
#[must_use]
pub fn deployment(uid: &str, replicas: i32, template: &str) -> String {
    let replicas = replicas.to_string();
    digest(&BTreeMap::from([("uid", uid), ("replicas", &replicas), ("template", template)]))
}

/// Digest (hex) of how one rule of an `HTTPRoute` divides requests: shares in percent, and whether it mirrors.
#[must_use]
pub fn route(uid: &str, rule: u32, champion: u32, challenger: u32, mirror: bool) -> String {
    let numbers = [rule, champion, challenger].map(|n| n.to_string());
    let mirror = mirror.to_string();
    digest(&BTreeMap::from([
        ("uid", uid),
        ("rule", &numbers[0]),
        ("champion", &numbers[1]),
        ("challenger", &numbers[2]),
        ("mirror", &mirror),
    ]))
}

/// Digest (hex) of one key of a ConfigMap.
#[must_use]
pub fn config_key(namespace: &str, config_map: &str, key: &str, value: &str) -> String {
    digest(&BTreeMap::from([
        ("namespace", namespace),
        ("configMap", config_map),
        ("key", key),
        ("value", value),
    ]))
}

/// Digest of the state that a plan was decided on; `None` without a workload or a plan.
#[must_use]
pub fn before(situation: &Situation, plan: &Plan) -> Option<String> {
    let workload = situation.observed.workload.as_ref()?;
    match plan {
        Plan::Nothing => None,
        Plan::Scale { .. } | Plan::Rollback { .. } => {
            Some(deployment(&workload.uid, workload.desired, &workload.current.template))
        }
        Plan::Retune { config_map, key, from, .. } => {
            Some(config_key(&situation.object.namespace, config_map, key, from))
        }
    }
}

/// Digest of the state that a plan produces where it is carried out exactly; `None` as for [`before`].
#[must_use]
pub fn after(situation: &Situation, plan: &Plan) -> Option<String> {
    let workload = situation.observed.workload.as_ref()?;
    match plan {
        Plan::Nothing => None,
        Plan::Scale { to, .. } => Some(deployment(&workload.uid, *to, &workload.current.template)),
        Plan::Rollback { good_template, .. } => {
            Some(deployment(&workload.uid, workload.desired, good_template))
        }
        Plan::Retune { config_map, key, to, .. } => {
            Some(config_key(&situation.object.namespace, config_map, key, to))
        }
    }
}

fn digest(facts: &impl Serialize) -> String {
    // A map of strings always has a canonical form; the empty one would only ever differ from everything.
    text::hex(&text::sha256(&[&serde_json_canonicalizer::to_vec(facts).unwrap_or_default()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_the_canonical_json() {
        let json = br#"{"replicas":"3","template":"t1","uid":"u"}"#;
        assert_eq!(deployment("u", 3, "t1"), text::hex(&text::sha256(&[json])));
        assert_ne!(deployment("u", 3, "t1"), deployment("u", 4, "t1"));
        assert_ne!(config_key("n", "c", "k", "1"), config_key("n", "c", "k", "2"));
    }
}
