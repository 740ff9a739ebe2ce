//! The answers of a running exporter, and their effect on the metrics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod activities;
mod api;
mod cases;
mod clients;
mod drain;
mod exclusions;
mod hostile;
mod hostile_json;
mod limits;
mod live;
mod mix;
mod names;
mod page;
mod people;
mod refusals;
mod routes;
mod scrapes;
mod served;
mod statistics;
#[path = "../support/mod.rs"]
mod support;
