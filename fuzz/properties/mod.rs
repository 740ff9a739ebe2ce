//! Properties that hold for any request, configuration or state. Each function `holds` panics if its property does not hold.
//! The fuzzer searches for bytes that make one panic, and each test run of `tests/properties.rs` tries the corpus and
//! variations of it.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a property that does not hold panics; each target uses one of them"
)]

pub(crate) mod carry;
pub(crate) mod decode;
mod exporter;
mod exposition;
pub(crate) mod forward_config;
mod frames;
pub(crate) mod framing;
pub(crate) mod head;
mod hpack;
pub(crate) mod judge;
pub(crate) mod multiplex;
mod protobuf;
pub(crate) mod record;
pub(crate) mod replicas;
pub(crate) mod report;
mod responses;
pub(crate) mod spool;
pub(crate) mod state;
pub(crate) mod state_header;
pub(crate) mod web_config;
pub(crate) mod writers;
