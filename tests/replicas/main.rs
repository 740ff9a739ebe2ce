//! Several exporters that unite their numbers through real Redis servers, and everything that can go wrong.
//!
//! Most tests have several `Stats` in this process, on simulated time, so that an hour takes seconds. The others start
//! processes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests"
)]

mod clocks;
mod failing;
mod fleet;
mod groups;
mod hostile;
mod hour;
mod names;
mod online;
mod processes;
#[path = "../support/redis.rs"]
mod redis_server;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/typical.rs"]
mod typical;
