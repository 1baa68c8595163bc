//! What the scripted tests share.
#![allow(dead_code, missing_docs)]

pub mod api_server;
