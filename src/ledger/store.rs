//! Where the ledger is kept: ConfigMaps of one namespace, behind a small trait.
//!
//! The trait states exactly what the ledger relies on of the API server: optimistic concurrency by
//! resourceVersion, names that are created once, immutable objects, and that an answer may be lost although the
//! write stands.

use std::collections::BTreeMap;

use async_trait::async_trait;

/// One ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Whether its data can never change.
    pub immutable: bool,
    /// Its data.
    pub data: BTreeMap<String, String>,
}

/// A segment, without its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Whether the exporter has marked it: its entries lie elsewhere too.
    pub exported: bool,
}

/// Why a call did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The resourceVersion is not the present one; nothing was written.
    #[error("conflict: the object has changed")]
    Conflict,
    /// The name is taken; nothing was written.
    #[error("the object exists already")]
    AlreadyExists,
    /// There is no such object.
    #[error("the object does not exist")]
    NotFound,
    /// No answer that settles it: a write may have been carried out, or may still be.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// Refused by authorization, admission or validation; nothing was written.
    #[error("denied: {0}")]
    Denied(String),
}

impl StoreError {
    /// Bounded name for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::AlreadyExists => "already_exists",
            Self::NotFound => "not_found",
            Self::Unreachable(_) => "unreachable",
            Self::Denied(_) => "denied",
        }
    }
}

/// The ConfigMaps of the ledger's namespace. Every call is bounded in time.
#[async_trait]
pub trait Store: Send + Sync {
    /// Reads one, from the newest state.
    async fn get(&self, name: &str) -> Result<Object, StoreError>;

    /// Creates one; the name must be free.
    async fn create(
        &self,
        name: &str,
        data: &BTreeMap<String, String>,
        immutable: bool,
    ) -> Result<Object, StoreError>;

    /// Replaces the data of one that is still at `resource_version`.
    async fn replace(
        &self,
        name: &str,
        resource_version: &str,
        data: &BTreeMap<String, String>,
    ) -> Result<Object, StoreError>;

    /// Deletes one that still has this uid and resourceVersion.
    async fn delete(&self, name: &str, uid: &str, resource_version: &str) -> Result<(), StoreError>;

    /// The segments, without their entries, oldest first.
    async fn segments(&self) -> Result<Vec<Stored>, StoreError>;

    /// Reads all of them.
    async fn list(&self) -> Result<Vec<Object>, StoreError>;
}
