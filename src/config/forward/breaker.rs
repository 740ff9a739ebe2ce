//! When a target counts as down.

use std::time::Duration;

use super::values::{number, time};
use crate::config::file::FileError;
use crate::config::yaml::Field;

pub(super) const KEYS: [&str; 4] = ["window", "min_requests", "failure_rate", "open_for"];

/// The settings of a target's breaker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breaker {
    /// The time over which failures are counted.
    pub window: Duration,
    /// The breaker stays closed while fewer requests than this ended in the window.
    pub min_requests: u32,
    /// The share of failures at which it opens: more than 0, at most 1.
    pub failure_rate: f64,
    /// Time until the first probe. It doubles with each probe that fails, up to 30 s.
    pub open_for: Duration,
}

// The share is a number that was read from a file, never NaN.
impl Eq for Breaker {}

impl Default for Breaker {
    fn default() -> Self {
        Self { window: Duration::from_secs(10), min_requests: 20, failure_rate: 0.5, open_for: Duration::from_secs(5) }
    }
}

/// The settings of a breaker; what is missing has its default.
pub(super) fn parse(field: &Field) -> Result<Breaker, FileError> {
    let mapping = field.mapping(&KEYS)?;
    let default = Breaker::default();
    let seconds = Duration::from_secs;
    Ok(Breaker {
        window: time(&mapping, "window", default.window, seconds(1)..=seconds(600))?,
        min_requests: number(&mapping, "min_requests", default.min_requests, 1..=100_000)?,
        failure_rate: number(&mapping, "failure_rate", default.failure_rate, 0.01..=1.0)?,
        open_for: time(&mapping, "open_for", default.open_for, Duration::from_millis(100)..=seconds(30))?,
    })
}
