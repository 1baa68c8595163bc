//! [`Store`] over the API server: ConfigMaps of one namespace.
//!
//! Every call is bounded. What is known not to have been carried out (4xx) is told apart from what may have been
//! (timeouts, broken connections, 5xx, 429 behind a proxy).

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::json;

use super::store::{Object, Store, StoreError, Stored};
use super::tail::{EXPORTED, EXPORTED_KEYS, Segment, segment_start};

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// ConfigMaps a page of a list: a segment may be as large as half a mebibyte.
const PAGE: u32 = 32;
/// Annotation of a segment whose entries lie elsewhere too.
pub const MARK: &str = "autonomy.matverse.io/exported";
/// Carried by each ConfigMap of the ledger.
const LABEL: (&str, &str) = ("app.kubernetes.io/part-of", "matverse-ledger");

/// The ConfigMaps of a namespace.
#[derive(Clone)]
pub struct ConfigMaps {
    api: Api<ConfigMap>,
}

impl ConfigMaps {
    /// The ConfigMaps of `namespace`. The client must not repeat requests by itself (`default_retry = false`).
    #[must_use]
    pub fn new(client: kube::Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client, namespace) }
    }
}

impl ConfigMaps {
    /// States that `size` entries are exported, and marks the segments whose entries all lie before that; how many
    /// were not marked before. The mark is what the admission policy asks for when the operator removes one, and
    /// the statement shows an older ledger, restored in place of this one, for what it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn mark_exported(&self, size: u64) -> Result<usize, StoreError> {
        let data = BTreeMap::from([(EXPORTED_KEYS[0].to_owned(), size.to_string())]);
        match self.get(EXPORTED).await {
            Ok(object) => drop(self.replace(EXPORTED, &object.resource_version, &data).await?),
            Err(StoreError::NotFound) => drop(self.create(EXPORTED, &data, false).await?),
            Err(error) => return Err(error),
        }
        let mut marked = 0;
        for map in self.maps().await? {
            let is_marked = map.annotations().contains_key(MARK);
            let object = object(map);
            let Some(start) = segment_start(&object.name) else { continue };
            let Ok(segment) = Segment::parse(start, &object.data) else { continue };
            if is_marked || start + segment.lines.len() as u64 > size {
                continue;
            }
            let patch = json!({"metadata": {
                "resourceVersion": object.resource_version, "uid": object.uid, "annotations": {MARK: "true"}
            }});
            bounded(self.api.patch(&object.name, &PatchParams::default(), &Patch::Merge(patch))).await?;
            marked += 1;
        }
        Ok(marked)
    }

    async fn maps(&self) -> Result<Vec<ConfigMap>, StoreError> {
        let mut all = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = bounded(self.api.list(&params)).await?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(all),
            }
        }
    }
}

async fn bounded<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, StoreError> {
    match tokio::time::timeout(TIMEOUT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(classify(error)),
        Err(_) => Err(StoreError::Unreachable(format!("no answer within {} s", TIMEOUT.as_secs()))),
    }
}

fn classify(error: kube::Error) -> StoreError {
    let kube::Error::Api(status) = error else { return StoreError::Unreachable(error.to_string()) };
    match (status.code, status.reason.as_str()) {
        (409, "AlreadyExists") => StoreError::AlreadyExists,
        (409, _) => StoreError::Conflict,
        (404, _) => StoreError::NotFound,
        (408 | 429, _) => StoreError::Unreachable(status.message),
        (400..=499, _) => StoreError::Denied(status.message),
        _ => StoreError::Unreachable(status.message),
    }
}

fn manifest(
    name: &str,
    resource_version: Option<&str>,
    data: &BTreeMap<String, String>,
    immutable: bool,
) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            resource_version: resource_version.map(str::to_owned),
            labels: Some(BTreeMap::from([(LABEL.0.to_owned(), LABEL.1.to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(data.clone()),
        immutable: immutable.then_some(true),
        binary_data: None,
    }
}

fn object(map: ConfigMap) -> Object {
    Object {
        name: map.metadata.name.unwrap_or_default(),
        uid: map.metadata.uid.unwrap_or_default(),
        resource_version: map.metadata.resource_version.unwrap_or_default(),
        immutable: map.immutable.unwrap_or(false),
        data: map.data.unwrap_or_default(),
    }
}

#[async_trait]
impl Store for ConfigMaps {
    async fn get(&self, name: &str) -> Result<Object, StoreError> {
        bounded(self.api.get(name)).await.map(object)
    }

    async fn create(
        &self,
        name: &str,
        data: &BTreeMap<String, String>,
        immutable: bool,
    ) -> Result<Object, StoreError> {
        let map = manifest(name, None, data, immutable);
        bounded(self.api.create(&PostParams::default(), &map)).await.map(object)
    }

    async fn replace(
        &self,
        name: &str,
        resource_version: &str,
        data: &BTreeMap<String, String>,
    ) -> Result<Object, StoreError> {
        let map = manifest(name, Some(resource_version), data, false);
        bounded(self.api.replace(name, &PostParams::default(), &map)).await.map(object)
    }

    #[allow(clippy::disallowed_methods, reason = "with uid and resourceVersion")]
    async fn delete(&self, name: &str, uid: &str, resource_version: &str) -> Result<(), StoreError> {
        let exactly =
            Preconditions { uid: Some(uid.to_owned()), resource_version: Some(resource_version.to_owned()) };
        bounded(self.api.delete(name, &DeleteParams::default().preconditions(exactly))).await.map(|_| ())
    }

    async fn segments(&self) -> Result<Vec<Stored>, StoreError> {
        let params = ListParams::default();
        let listed = bounded(self.api.list_metadata(&params)).await?;
        let mut segments: Vec<Stored> = listed
            .items
            .into_iter()
            .filter(|map| segment_start(&map.name_any()).is_some())
            .map(|map| Stored {
                name: map.name_any(),
                uid: map.uid().unwrap_or_default(),
                resource_version: map.resource_version().unwrap_or_default(),
                exported: map.annotations().contains_key(MARK),
            })
            .collect();
        segments.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(segments)
    }

    async fn list(&self) -> Result<Vec<Object>, StoreError> {
        Ok(self.maps().await?.into_iter().map(object).collect())
    }
}
