//! The current numbers as plain values, for the API and the live page. No HTTP.

mod counts;
pub(crate) mod csv;
pub(crate) mod groups;
pub(crate) mod history;
pub(crate) mod live;
pub(crate) mod summary;
mod targets;
mod united;

use serde::Serialize;

use crate::domain::UnixMillis;
use crate::stats::Stats;
use crate::telemetry::Telemetry;

/// Milliseconds in a second.
const SECOND: f64 = 1000.0;

/// What is read, and when.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) stats: &'a Stats,
    pub(crate) telemetry: &'a Telemetry,
    pub(crate) now: UnixMillis,
    /// Milliseconds since the process started, which no step of the clock changes.
    pub(crate) uptime_ms: u64,
    pub(crate) setup: Setup,
}

/// What OpenIM's URL needs, as far as the exporter knows.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Setup {
    /// The port for callbacks; `None` if it is the page's.
    pub(crate) port: Option<u16>,
    /// Whether the path must begin with a secret.
    pub(crate) secret: bool,
    /// Whether the URL needs a user and a password.
    pub(crate) password: bool,
}
