//! When a target counts as down.

use std::time::Duration;

/// The settings of a target's breaker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breaker {
    /// The time over which failures are counted.
    pub window: Duration,
    /// The breaker stays closed while fewer requests ended in the window.
    pub min_requests: u32,
    /// The share of failures at which it opens: more than 0, at most 1.
    pub failure_rate: f64,
    /// Until the first probe. The time doubles with each probe that fails, up to 30 s.
    pub open_for: Duration,
}

// The share is a number that was read from a file, never NaN.
impl Eq for Breaker {}

impl Default for Breaker {
    fn default() -> Self {
        Self { window: Duration::from_secs(10), min_requests: 20, failure_rate: 0.5, open_for: Duration::from_secs(5) }
    }
}
