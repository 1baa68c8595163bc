//! What the scripted tests share: an API server, a Prometheus, a stage with objects on it.
#![allow(dead_code, missing_docs)]

pub mod api_server;
pub mod objects;
pub mod prometheus;
pub mod record;
pub mod stage;
pub mod storage;
