//! The clock of all time limits.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A longer time between two sweeps includes a stop. They are at most a few hundred milliseconds apart otherwise.
const MAX_STEP: Duration = Duration::from_secs(1);

/// How long the process has been running, without the time when it was stopped (SIGSTOP, a frozen virtual machine):
/// what a client sent during that time arrived in time, but the process could not read it.
pub(super) struct RunningTime(Mutex<Total>);

struct Total {
    until: Instant,
    time: Duration,
}

impl RunningTime {
    pub(super) fn start() -> Self {
        Self(Mutex::new(Total { until: Instant::now(), time: Duration::ZERO }))
    }

    /// Adds the time since the last call. Returns the total in milliseconds.
    pub(super) fn advance(&self) -> u64 {
        let mut total = self.0.lock();
        let until = std::mem::replace(&mut total.until, Instant::now());
        let step = total.until.duration_since(until).min(MAX_STEP);
        total.time += step;
        u64::try_from(total.time.as_millis()).unwrap_or(u64::MAX)
    }

    /// For the tests: adds time that has not passed.
    #[cfg(feature = "fuzzing")]
    pub(super) fn skip(&self, time: Duration) {
        self.0.lock().time += time;
    }
}
