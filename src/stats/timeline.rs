//! The time of the statistics: the machine's clock, corrected while it seems to be wrong.
//!
//! A machine without a clock battery boots in 1970, and NTP corrects its clock seconds or minutes later. So a clock
//! that is behind the state, or that is set back, is not trusted at once: the time continues from its latest value. A
//! clock that is set forward is trusted, because this cannot be distinguished from a suspended machine; if it is set
//! back within an hour, the time goes back too. A clock that was not set for an hour is trusted in any case.

use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;

use crate::domain::UnixMillis;

/// A clock that was not set for this long is trusted. In milliseconds.
const TRUST_AFTER_MS: i64 = 3_600_000;

/// If more time than this passes between two ticks, the clock was set. In milliseconds.
const MAX_TICK_MS: i64 = 5000;

/// The usual time between two ticks, in milliseconds: assumed if the clock was set in between.
const TICK_MS: i64 = 1000;

/// The time of the statistics.
#[derive(Debug)]
pub(super) struct Timeline {
    /// What the time would have been at the last tick without any step of the clock, in milliseconds since the epoch.
    continued_ms: AtomicI64,
    ticks: Mutex<Ticks>,
}

/// What the ticks have seen of the clock.
#[derive(Debug, Default)]
struct Ticks {
    /// The clock at the last tick; `None` before the first.
    clock_ms: Option<i64>,
    /// The time since the clock was last set, in milliseconds.
    steady_ms: i64,
}

/// The result of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tick {
    /// What the time would be if the clock had not been set since the last tick.
    pub(super) expected: UnixMillis,
    /// The time now.
    pub(super) now: UnixMillis,
    /// What the time would be if the clock had never been set.
    pub(super) continued: UnixMillis,
}

impl Timeline {
    /// The corrected time for this time of the clock.
    #[inline]
    pub(super) fn at(&self, clock: UnixMillis) -> UnixMillis {
        UnixMillis(clock.0.max(self.continued_ms.load(Ordering::Relaxed)))
    }

    /// Continues the time. `clock` is the machine's clock now. The time begins at the first tick, with the clock or
    /// with `latest`, the latest time in the state, whichever is later.
    pub(super) fn tick(&self, clock: UnixMillis, latest: impl FnOnce() -> UnixMillis) -> Tick {
        let mut ticks = self.ticks.lock();
        let Some(before) = ticks.clock_ms.replace(clock.0) else {
            let begin = clock.max(latest());
            self.continued_ms.store(begin.0, Ordering::Relaxed);
            return Tick { expected: begin, now: begin, continued: begin };
        };
        let before_ms = self.at(UnixMillis(before)).0;
        let elapsed = match clock.0.saturating_sub(before) {
            elapsed @ 0..=MAX_TICK_MS => {
                ticks.steady_ms = ticks.steady_ms.saturating_add(elapsed);
                elapsed
            }
            _ => {
                ticks.steady_ms = 0;
                TICK_MS
            }
        };
        let mut continued = self.continued_ms.load(Ordering::Relaxed).saturating_add(elapsed);
        if ticks.steady_ms >= TRUST_AFTER_MS {
            continued = clock.0;
        }
        self.continued_ms.store(continued, Ordering::Relaxed);
        let expected = UnixMillis(before_ms.saturating_add(elapsed));
        Tick { expected, now: self.at(clock), continued: UnixMillis(continued) }
    }
}

impl Default for Timeline {
    /// A timeline that begins with its first tick. Until then, the clock is the time.
    fn default() -> Self {
        Self { continued_ms: AtomicI64::new(i64::MIN), ticks: Mutex::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_732_345_678_901;
    const DAY: i64 = 86_400_000;

    /// A timeline after its first tick, with a state whose latest time is [`START`].
    fn timeline(clock: i64) -> Timeline {
        let timeline = Timeline::default();
        timeline.tick(UnixMillis(clock), || UnixMillis(START));
        timeline
    }

    fn tick(timeline: &Timeline, clock: i64) -> Tick {
        timeline.tick(UnixMillis(clock), || UnixMillis(0))
    }

    /// The time after each tick.
    fn ticks(timeline: &Timeline, clocks: impl IntoIterator<Item = i64>) -> Vec<i64> {
        clocks.into_iter().map(|clock| tick(timeline, clock).now.0).collect()
    }

    #[test]
    fn a_correct_clock_is_the_time() {
        let clocks = [1000, 1990, 3020, 8000].map(|ms| START + ms);
        assert_eq!(ticks(&timeline(START), clocks), clocks);
    }

    #[test]
    fn a_clock_behind_the_state_is_ignored_until_it_is_set() {
        let timeline = timeline(5000);
        assert_eq!(timeline.at(UnixMillis(5500)).0, START);
        assert_eq!(ticks(&timeline, [6000, 7000]), [START + 1000, START + 2000]);
        assert_eq!(ticks(&timeline, [START + 60_000, START + 61_000]), [START + 60_000, START + 61_000]);
    }

    #[test]
    fn a_clock_that_is_set_forward_and_back_is_the_time_at_each_moment() {
        let timeline = timeline(START);
        let clocks = [1000, 40 * DAY, 40 * DAY + 1000, 4000].map(|ms| START + ms);
        assert_eq!(ticks(&timeline, clocks), clocks);
        let back = tick(&timeline, START + 5000);
        assert_eq!((back.expected.0, back.now.0), (START + 5000, START + 5000));
    }

    #[test]
    fn a_clock_is_trusted_after_an_hour() {
        let timeline = timeline(START);
        let behind = ticks(&timeline, (0..=3600).map(|second| START - DAY + second * 1000));
        assert_eq!((behind[0], behind[3599], behind[3600]), (START + 1000, START + 3_600_000, START - DAY + 3_600_000));
        let jumped = tick(&timeline, START + DAY);
        assert!(jumped.continued.0 < START);
        ticks(&timeline, (1..3600).map(|second| START + DAY + second * 1000));
        assert_eq!(tick(&timeline, START + DAY + 3_600_000).continued.0, START + DAY + 3_600_000);
    }

    #[test]
    fn extreme_clocks_do_not_overflow() {
        let timeline = timeline(i64::MIN);
        for clock in [i64::MAX, i64::MIN, 0, i64::MAX] {
            tick(&timeline, clock);
        }
        assert_eq!(timeline.at(UnixMillis(0)).0, START + 4000);
    }
}
