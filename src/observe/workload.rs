//! What the loop knows of a workload: plain facts, read from watches, free of the client's types.
//!
//! The types are pure and imported by `decide`; the functions that fill them live in `facts`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The Deployment as it stands at one turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// uid of the Deployment.
    pub uid: String,
    /// The resourceVersion that was decided on.
    pub resource_version: String,
    /// Generation of its spec.
    pub generation: i64,
    /// `spec.replicas`.
    pub desired: i32,
    /// Ready replicas.
    pub ready: i32,
    /// Replicas of the current revision.
    pub updated: i32,
    /// `spec.paused` of the Deployment.
    pub deployment_paused: bool,
    /// Our annotation asks for a pause that still holds.
    pub pause_requested: bool,
    /// The fence annotation, as found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<String>,
    /// The current revision.
    pub current: Revision,
    /// Earlier revisions, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<Revision>,
    /// How the rollout of the current revision stands.
    pub rollout: Rollout,
    /// Measured time from creation of a pod to ready, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_seconds: Option<f64>,
    /// Latest change, by somebody else, of `data` of a ConfigMap that the template references.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_changed_at: Option<Timestamp>,
    /// Other scalers that name the same target (`HorizontalPodAutoscaler/web`, …).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_scalers: Vec<String>,
    /// Who owns it through GitOps (`Argo CD`, `Flux`), if anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gitops: Option<String>,
    /// The ConfigMap under `retune`, where one is named and exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunable: Option<Tunable>,
}

/// One revision: a ReplicaSet of the Deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Name of the ReplicaSet.
    pub replica_set: String,
    /// `pod-template-hash`.
    pub pod_template_hash: String,
    /// SHA-256 (hex, first 16 characters) of the template without `pod-template-hash` and
    /// `restartedAt`: the identity that a bad mark sticks to.
    pub template: String,
    /// `deployment.kubernetes.io/revision`.
    pub number: i64,
    /// When this revision last began to roll out.
    pub started_at: Timestamp,
    /// Ready pods of it.
    pub ready: i32,
}

/// How the rollout of the current revision stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// All replicas are of the current revision and ready.
    pub complete: bool,
    /// When its last pod became ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ready_at: Option<Timestamp>,
    /// Pods of the current revision passed the progress deadline.
    pub deadline_exceeded: bool,
    /// Largest restart count among pods of the current revision that crash (evicted ones apart).
    pub crashes: i32,
    /// Pods that cannot be scheduled (quota, no room, node pressure).
    pub unschedulable: i32,
}

/// A ConfigMap with tunable keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tunable {
    /// Its name.
    pub name: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Why it cannot be tuned (`immutable`, `used as environment`, `used by subPath`), if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Values of the declared keys, as text.
    pub values: std::collections::BTreeMap<String, String>,
}
