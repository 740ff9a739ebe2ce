//! Time, and the seam through which a test sets the clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch: the unit of OpenIM's `sendTime` and `createTime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// This time less an earlier one, in milliseconds; stops at the ends of the range instead of wrapping.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The time in seconds, as Prometheus has it.
    #[must_use]
    pub const fn seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// Which stretch of `length_ms` milliseconds since the epoch this time lies in; 0 for times before it.
    #[must_use]
    pub const fn stretch(self, length_ms: u64) -> u64 {
        (if self.0 < 0 { 0 } else { self.0.unsigned_abs() }) / length_ms
    }
}

/// Where the time of day comes from.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> UnixMillis;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Not `as_millis`, whose 128 bits nobody needs: at every callback.
        let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
        UnixMillis(seconds.saturating_mul(1000).saturating_add(i64::from(since_epoch.subsec_millis())))
    }
}

/// A clock that stands where it was set.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `at`.
    #[must_use]
    pub const fn new(at: UnixMillis) -> Self {
        Self(AtomicI64::new(at.0))
    }

    /// Sets the clock, forwards or backwards.
    pub fn set(&self, to: UnixMillis) {
        self.0.store(to.0, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_differences_stop_at_the_end_of_the_range() {
        assert_eq!(UnixMillis(i64::MAX).since(UnixMillis(i64::MIN)), i64::MAX);
        assert_eq!(UnixMillis(i64::MIN).since(UnixMillis(i64::MAX)), i64::MIN);
    }

    #[test]
    fn times_before_the_epoch_fall_into_the_first_stretch() {
        assert_eq!(UnixMillis(-5).stretch(60_000), 0);
        assert_eq!(UnixMillis(119_999).stretch(60_000), 1);
    }
}
