//! A ReplicaSet as far as it is asked for: a Deployment keeps ten old ones, whose templates would fill the memory and are
//! only ever compared.

use std::borrow::Cow;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::Deserialize;

use super::facts;

/// One revision of a Deployment, read from its ReplicaSet.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "ReplicaSet")]
pub struct RevisionSet {
    /// Name, labels, annotations, owner.
    pub metadata: ObjectMeta,
    /// [`facts::identity`] of its template; `None` where it has none.
    pub template: Option<String>,
    /// Pods that are ready.
    pub ready: i32,
}

impl From<ReplicaSet> for RevisionSet {
    fn from(set: ReplicaSet) -> Self {
        Self {
            template: set.spec.and_then(|spec| spec.template).as_ref().map(facts::identity),
            ready: set.status.and_then(|status| status.ready_replicas).unwrap_or(0),
            metadata: set.metadata,
        }
    }
}

impl Resource for RevisionSet {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        ReplicaSet::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        ReplicaSet::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        ReplicaSet::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        ReplicaSet::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
