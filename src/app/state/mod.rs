//! The state of an exporter: opens it, watches its file while the exporter runs, and the commands that look at it or
//! change it.

mod boot;
mod commands;
mod opening;
mod watching;

pub(super) use commands::{Error, run};
pub(super) use opening::{open, report};
pub(super) use watching::Watcher;
