//! The time of an exchange, by both clocks.

use super::place::Current;
use crate::domain::{Calendar, UnixMillis};

/// How far a time in Redis may be ahead of Redis' clock, which may have been set back since, in milliseconds.
pub(super) const MAX_AHEAD_MS: i64 = 60_000;

/// The time of an exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Redis' time.
    pub(super) redis: UnixMillis,
    /// The stretches that are current at Redis' time.
    pub(super) current: Current,
    /// How far Redis' time is ahead of that of the statistics, in milliseconds.
    pub(super) offset_ms: i64,
}

impl Moment {
    pub(super) fn new(redis: UnixMillis, of_stats: UnixMillis, calendar: &Calendar) -> Self {
        Self { redis, current: Current::at(redis, calendar), offset_ms: redis.since(of_stats) }
    }

    /// The time by Redis' clock for a time of the statistics.
    pub(super) const fn by_redis(&self, time: UnixMillis) -> UnixMillis {
        UnixMillis(time.0.saturating_add(self.offset_ms))
    }

    /// The statistics' time for a time by Redis' clock.
    pub(super) const fn by_stats(&self, time: UnixMillis) -> UnixMillis {
        UnixMillis(time.0.saturating_sub(self.offset_ms))
    }
}
