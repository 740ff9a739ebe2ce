//! Time, and the clock, which a test can replace.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch: the unit of OpenIM's `sendTime` and `createTime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// Milliseconds since an earlier time. Saturates.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The time in seconds, the unit of Prometheus.
    #[must_use]
    pub const fn seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// The number of the period of `length_ms` milliseconds that this time is in, counted from the epoch; 0 before it.
    pub(crate) const fn period(self, length_ms: u64) -> u64 {
        (if self.0 < 0 { 0 } else { self.0.unsigned_abs() }) / length_ms
    }
}

/// A source of the current time.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> UnixMillis;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Not `as_millis`: its 128-bit arithmetic is slower, and this runs for every callback.
        let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
        UnixMillis(seconds.saturating_mul(1000).saturating_add(i64::from(since_epoch.subsec_millis())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_differences_saturate() {
        assert_eq!(UnixMillis(i64::MAX).since(UnixMillis(i64::MIN)), i64::MAX);
        assert_eq!(UnixMillis(i64::MIN).since(UnixMillis(i64::MAX)), i64::MIN);
    }

    #[test]
    fn times_before_the_epoch_are_in_the_first_period() {
        assert_eq!(UnixMillis(-5).period(60_000), 0);
        assert_eq!(UnixMillis(119_999).period(60_000), 1);
    }
}
