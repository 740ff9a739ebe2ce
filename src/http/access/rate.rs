//! Rate limit.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::config::web::RateLimit;

/// A token bucket, kept as the time at which it will be full again: the generic cell rate algorithm.
/// <https://www.itu.int/rec/T-REC-I.371> (annex A)
#[derive(Debug)]
pub(crate) struct Rate {
    begin: Instant,
    /// Nanoseconds per token.
    interval: u64,
    /// Nanoseconds to fill an empty bucket.
    whole: u64,
    /// When the bucket will be full, in nanoseconds since `begin`.
    full_at: AtomicU64,
}

impl Rate {
    pub(crate) fn new(limit: RateLimit) -> Self {
        let interval = u64::try_from(limit.interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        let whole = interval.saturating_mul(limit.burst.get().into());
        Self { begin: Instant::now(), interval, whole, full_at: AtomicU64::new(0) }
    }

    /// Takes a token if there is one.
    pub(crate) fn allows(&self) -> bool {
        self.allows_at(u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn allows_at(&self, now: u64) -> bool {
        let taken = |full_at: u64| {
            let full_at = full_at.max(now).saturating_add(self.interval);
            (full_at - now <= self.whole).then_some(full_at)
        };
        self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_one_request_per_interval() {
        let rate = Rate::new(RateLimit { interval: Duration::from_nanos(10), burst: NonZeroU32::new(3).unwrap() });
        assert_eq!([100, 100, 100, 100].map(|now| rate.allows_at(now)), [true, true, true, false]);
        assert_eq!([109, 110, 110, 119, 120].map(|now| rate.allows_at(now)), [false, true, false, false, true]);
        // After any pause, at most a burst is allowed.
        assert_eq!([9000, 9000, 9000, 9000].map(|now| rate.allows_at(now)), [true, true, true, false]);
    }
}
