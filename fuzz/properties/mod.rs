//! What holds for whatever is sent, configured or stored: each `holds` panics if it does not. The fuzzer looks for
//! bytes for which it does not, and `tests/properties.rs` tries the corpus and bytes like it at every test run.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what does not hold panics; each target uses one of the properties"
)]

pub(crate) mod carry;
pub(crate) mod decode;
mod exporter;
mod exposition;
mod frames;
pub(crate) mod framing;
pub(crate) mod head;
mod hpack;
pub(crate) mod multiplex;
mod responses;
pub(crate) mod state;
pub(crate) mod state_header;
pub(crate) mod web_config;
pub(crate) mod writers;
