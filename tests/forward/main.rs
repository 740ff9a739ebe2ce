//! Callbacks are delivered from the spools to real targets, which do everything that a target can do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod failures;
mod kills;
mod order;
mod reloads;
mod requests;
mod scene;
mod target;
