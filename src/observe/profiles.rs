//! Signal profiles: where the signals of a workload come from when its resource does not say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One signal of a profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignalDefinition {
    /// PromQL; `$namespace`, `$name` and `$podTemplateHash` are substituted.
    pub query: String,
    /// Source; `default` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Oldest age at which a sample may support an action, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_seconds: Option<u32>,
    /// Smallest value that makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Largest value that makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// While this selector is fresh, an empty result reads 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero_when_fresh: Option<String>,
}

/// Signals by name.
pub type Profile = BTreeMap<String, SignalDefinition>;

/// Pods of the workload, whatever their revision.
const PODS: &str =
    r#"namespace="$namespace",pod=~"$name-[bcdfghjklmnpqrstvwxz2456789]+-[bcdfghjklmnpqrstvwxz2456789]{5}""#;
/// Pods of one revision.
const REVISION: &str =
    r#"namespace="$namespace",pod=~"$name-$podTemplateHash-[bcdfghjklmnpqrstvwxz2456789]{5}""#;

fn signal(query: String) -> SignalDefinition {
    SignalDefinition { query, ..SignalDefinition::default() }
}

/// Use and request of the same pods: one that is not scraped yet would add its request alone, one without a request
/// its use alone, and either would bend the share.
fn cpu() -> SignalDefinition {
    let used = format!("rate(container_cpu_usage_seconds_total{{{PODS},container!=\"\"}}[1m])");
    let asked = format!("kube_pod_container_resource_requests{{{PODS},resource=\"cpu\"}}");
    signal(format!("sum({used} and on (pod) {asked}) / sum({asked} and on (pod) {used})"))
}

/// The profiles that every operator knows: `default`, `omega`, `sigma`, `http`, `gateway`.
#[must_use]
pub fn shipped() -> BTreeMap<String, Profile> {
    let profile = |signals: Vec<(&str, SignalDefinition)>| -> Profile {
        signals.into_iter().map(|(n, s)| (n.to_owned(), s)).collect()
    };
    let omega = |metric: &str| signal(format!(r#"{metric}{{namespace="$namespace",name="$name"}}"#));
    let http = "http_server_request_duration_seconds";
    let errors = SignalDefinition {
        query: format!(
            "sum(rate({http}_count{{{REVISION},http_response_status_code=~\"5..\"}}[1m])) / \
             sum(rate({http}_count{{{REVISION}}}[1m]))"
        ),
        zero_when_fresh: Some(format!("{http}_count{{{REVISION}}}")),
        ..SignalDefinition::default()
    };
    let route = r#"namespace="$namespace",service="$name""#;
    let gateway_errors = SignalDefinition {
        query: format!(
            "sum(rate(envoy_cluster_upstream_rq_xx{{{route},envoy_response_code_class=\"5\"}}[1m])) / \
             sum(rate(envoy_cluster_upstream_rq_xx{{{route}}}[1m]))"
        ),
        zero_when_fresh: Some(format!("envoy_cluster_upstream_rq_total{{{route}}}")),
        ..SignalDefinition::default()
    };
    BTreeMap::from([
        ("default".to_owned(), profile(vec![("cpu", cpu())])),
        (
            "omega".to_owned(),
            profile(vec![
                ("cpu", cpu()),
                ("omega", omega("symbios_omega_score")),
                ("psi", omega("symbios_psi_score")),
                ("cvar", omega("symbios_cvar_score")),
            ]),
        ),
        // Of its own and not in `omega`: a signal that is named and not there holds the gate.
        (
            "sigma".to_owned(),
            profile(vec![
                ("cpu", cpu()),
                ("omega", omega("symbios_omega_score")),
                ("psi", omega("symbios_psi_score")),
                ("cvar", omega("symbios_cvar_score")),
                ("ece", omega("symbios_ece")),
                ("rhoBias", omega("symbios_rho_bias")),
                ("fairness", omega("symbios_fairness")),
                ("consent", omega("symbios_consent")),
                ("ecoKg", omega("symbios_eco_kg")),
                ("rho", omega("symbios_rho")),
            ]),
        ),
        (
            "http".to_owned(),
            profile(vec![
                ("cpu", cpu()),
                (
                    "latency",
                    signal(format!(
                        "1000 * histogram_quantile(0.95, sum by (le) (rate({http}_bucket{{{REVISION}}}[1m])))"
                    )),
                ),
                ("throughput", signal(format!("sum(rate({http}_count{{{PODS}}}[1m]))"))),
                ("errors", errors),
            ]),
        ),
        (
            "gateway".to_owned(),
            profile(vec![
                ("cpu", cpu()),
                (
                    "latency",
                    signal(format!(
                        "histogram_quantile(0.95, sum by (le) (rate(envoy_cluster_upstream_rq_time_bucket{{{route}}}[1m])))"
                    )),
                ),
                ("throughput", signal(format!("sum(rate(envoy_cluster_upstream_rq_total{{{route}}}[1m]))"))),
                ("errors", gateway_errors),
            ]),
        ),
    ])
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::promql::{Names, Scope, check, substitute};

    #[test]
    fn cpu_takes_use_and_request_of_the_same_pods_and_reads_two_series() {
        let names = Names { namespace: "a", name: "web.v1", pod_template_hash: None };
        let matchers = BTreeMap::new();
        let scope = Scope { namespace_label: "namespace", namespace: Some("a"), matchers: &matchers };
        let query = check(&substitute(&cpu().query, &names), &scope).unwrap();
        assert_eq!(query.text.matches("and on (pod)").count(), 2, "{}", query.text);
        assert_eq!(query.selectors.len(), 2, "{:?}", query.selectors);
    }
}
