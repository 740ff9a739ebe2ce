//! `rate_limit`.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::config::duration::{self, Notation};
use crate::config::file::FileError;
use crate::config::yaml::Field;

/// Longest interval, so that the time of a whole burst fits a `Duration`.
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// A token bucket: it has at most `burst` tokens, and gets one in each `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Time until the next token, from a nanosecond to 24 hours.
    pub interval: Duration,
    /// Maximum number of requests in a burst.
    pub burst: NonZeroU32,
}

pub(super) fn parse(field: &Field) -> Result<Option<RateLimit>, FileError> {
    let mapping = field.mapping(&["interval", "burst"])?;
    let interval = mapping.get("interval").map_or(Ok(Duration::ZERO), |field| interval(&field))?;
    if interval.is_zero() {
        // As in the toolkit: no limit.
        return Ok(None);
    }
    let burst = mapping.get("burst").ok_or_else(|| field.error("burst is missing; give 1 or more"))?;
    let problem = "give a whole number from 1 to 4294967295, the maximum number of requests in a burst";
    let burst = burst.text()?.parse().map_err(|_| burst.error(problem))?;
    Ok(Some(RateLimit { interval, burst }))
}

fn interval(field: &Field) -> Result<Duration, FileError> {
    let interval = duration::parse(field.text()?, Notation::Go).filter(|interval| *interval <= MAX_INTERVAL);
    interval.ok_or_else(|| {
        field.error("give a time of at most 24h with its unit, as in 1s, 250ms or 1m30s; 0 means no limit")
    })
}
