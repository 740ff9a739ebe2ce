//! When the next callback is due: one schedule for all connections.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::config::simulate::{Simulate, Until};

/// Hands out one turn after another, each with the time from which it may be sent.
pub(super) struct Schedule {
    start: Instant,
    /// Turns a second; without it a turn is due when it is asked for.
    rate: Option<f64>,
    limit: Option<u64>,
    end: Option<Instant>,
    taken: u64,
    latest: Duration,
}

/// How well a wanted rate was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pace {
    /// The rate that was wanted, in callbacks a second.
    pub wanted_per_second: f64,
    /// How late the latest callback started, because every connection was still waiting for an answer.
    pub latest_start_seconds: f64,
    /// How many callbacks were due before the end and never had their turn.
    pub never_sent: u64,
}

impl Schedule {
    pub(super) fn new(options: &Simulate, start: Instant) -> Self {
        let (limit, end) = match options.until {
            Until::Sent(count) => (Some(count), None),
            Until::Elapsed(duration) => (None, start.checked_add(duration)),
        };
        Self { start, rate: options.rate, limit, end, taken: 0, latest: Duration::ZERO }
    }

    /// Takes the next turn: when it is due, which may be past; `None` once there are no more.
    pub(super) fn take(&mut self, now: Instant) -> Option<Instant> {
        let is_over = |at: Instant| self.end.is_some_and(|end| at >= end);
        if self.limit.is_some_and(|limit| self.taken >= limit) || is_over(now) {
            return None;
        }
        let due = if self.rate.is_some() { self.due(self.taken)? } else { now };
        if is_over(due) {
            return None;
        }
        self.taken += 1;
        self.latest = self.latest.max(now.saturating_duration_since(due));
        Some(due)
    }

    /// No more turns from now on.
    pub(super) fn stop(&mut self, now: Instant) {
        self.end = Some(self.end.map_or(now, |end| end.min(now)));
    }

    /// How far the next turn is behind its time.
    pub(super) fn behind(&self, now: Instant) -> Duration {
        let due = self.due(self.taken).filter(|_| self.limit.is_none_or(|limit| self.taken < limit));
        due.map_or(Duration::ZERO, |due| now.saturating_duration_since(due))
    }

    pub(super) fn pace(&self, now: Instant) -> Option<Pace> {
        let wanted_per_second = self.rate?;
        let end = self.end.map_or(now, |end| end.min(now));
        // Less a trifle, so that a turn due at the very end is not counted for a rounding error.
        let due = (end.saturating_duration_since(self.start).as_secs_f64() * wanted_per_second - 1e-6).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates, at 0 too")]
        let due = (due as u64).min(self.limit.unwrap_or(u64::MAX));
        let latest_start_seconds = self.latest.as_secs_f64();
        Some(Pace { wanted_per_second, latest_start_seconds, never_sent: due.saturating_sub(self.taken) })
    }

    fn due(&self, turn: u64) -> Option<Instant> {
        #[expect(clippy::cast_precision_loss, reason = "2^53 turns are more than anyone waits for")]
        let seconds = turn as f64 / self.rate?;
        self.start.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::simulate::Target;

    fn schedule(rate: Option<f64>, until: Until, start: Instant) -> Schedule {
        let target = Target {
            host: String::new(),
            port: 1,
            authority: String::new(),
            prefix: String::new(),
            authorization: None,
            trust: None,
        };
        let options = Simulate { target, rate, groups: 1, senders: 1, connections: 1, until, seed: 1, report: None };
        Schedule::new(&options, start)
    }

    #[test]
    fn a_rate_gives_exactly_its_turns_within_the_time() {
        for (rate, seconds, expected) in
            [(100.0, 10, 1000), (3.0, 10, 30), (0.7, 10, 7), (0.001, 1, 1), (333.3, 3, 1000)]
        {
            let start = Instant::now();
            let mut schedule = schedule(Some(rate), Until::Elapsed(Duration::from_secs(seconds)), start);
            let mut last = start;
            let mut turns = 0;
            while let Some(due) = schedule.take(last) {
                (last, turns) = (due, turns + 1);
            }
            assert_eq!(turns, expected, "{rate} for {seconds} s");
            let pace = schedule.pace(start + Duration::from_secs(60)).unwrap();
            assert_eq!((pace.never_sent, pace.latest_start_seconds), (0, 0.0), "{rate} for {seconds} s");
        }
    }

    #[test]
    fn what_could_not_be_sent_in_time_is_told() {
        let start = Instant::now();
        let mut schedule = schedule(Some(10.0), Until::Elapsed(Duration::from_secs(2)), start);
        assert_eq!(schedule.take(start), Some(start));
        assert_eq!(schedule.take(start + Duration::from_secs(1)), Some(start + Duration::from_millis(100)));
        assert_eq!(schedule.behind(start + Duration::from_secs(1)), Duration::from_millis(800));
        assert_eq!(schedule.take(start + Duration::from_secs(2)), None);
        let pace = schedule.pace(start + Duration::from_secs(3)).unwrap();
        assert_eq!(pace, Pace { wanted_per_second: 10.0, latest_start_seconds: 0.9, never_sent: 18 });
    }

    #[test]
    fn without_a_rate_every_turn_is_due_at_once_and_a_stop_ends_them() {
        let start = Instant::now();
        let mut schedule = schedule(None, Until::Sent(3), start);
        assert_eq!(schedule.take(start), Some(start));
        assert_eq!(schedule.behind(start + Duration::from_secs(9)), Duration::ZERO);
        assert_eq!(schedule.pace(start), None);
        schedule.stop(start);
        assert_eq!(schedule.take(start), None);
    }

    #[test]
    fn a_count_is_kept() {
        let start = Instant::now();
        let mut schedule = schedule(None, Until::Sent(3), start);
        assert_eq!(std::iter::from_fn(|| schedule.take(start)).count(), 3);
    }
}
