//! The current numbers as plain values, for the API and the live page. No HTTP.

mod counts;
pub(crate) mod groups;
pub(crate) mod history;
pub(crate) mod live;
pub(crate) mod summary;

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
}
