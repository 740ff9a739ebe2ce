//! Several exporters behind real balancers, each on a machine of its own: a network namespace.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod balancer;
mod exporters;
mod handshakes;
mod network;
mod redis;
mod rollouts;
mod sender;
mod union;
