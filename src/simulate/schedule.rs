//! When each callback is due: one schedule for all connections.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::config::simulate::{Simulate, Until};
use crate::domain::UnixMillis;

/// Hands out turns. A turn is the right to send one callback from a certain time on.
pub(super) struct Schedule {
    start: Instant,
    /// Turns per second; `None` makes each turn due at once.
    rate: Option<f64>,
    limit: Option<u64>,
    end: Option<Instant>,
    taken: u64,
    latest: Duration,
    records: Option<Records>,
}

/// The pace of records.
struct Records {
    speed: f64,
    /// When the first one was received, and when it was due.
    first: Option<(UnixMillis, Instant)>,
    /// When the last one was due.
    due: Instant,
    /// How late it was.
    late: Duration,
}

/// How closely the rate was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pace {
    /// The requested rate, in callbacks per second.
    pub wanted_per_second: f64,
    /// How late the latest callback started, because every connection was still waiting for an answer.
    pub latest_start_seconds: f64,
    /// Number of callbacks that were due before the end but were not sent.
    pub never_sent: u64,
}

impl Schedule {
    pub(super) fn new(options: &Simulate, start: Instant) -> Self {
        let (limit, end) = match options.until {
            Until::Sent(count) => (Some(count), None),
            Until::Elapsed(duration) => (None, start.checked_add(duration)),
            Until::Replayed => (None, None),
        };
        let speed = options.replay.as_ref().filter(|_| options.rate.is_none()).map(|replay| replay.speed);
        let records = speed.map(|speed| Records { speed, first: None, due: start, late: Duration::ZERO });
        Self { start, rate: options.rate, limit, end, taken: 0, latest: Duration::ZERO, records }
    }

    /// Takes the next turn and returns when it is due, possibly in the past; `None` after the last one.
    pub(super) fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = if self.rate.is_some() { self.due(self.taken)? } else { now };
        self.take_due(due, now)
    }

    /// The same for a record that was received at this time.
    pub(super) fn take_recorded(&mut self, time: UnixMillis, now: Instant) -> Option<Instant> {
        let Some(Records { speed, first, due, late }) = &mut self.records else { return self.take(now) };
        let (first, start) = *first.get_or_insert((time, now));
        let seconds = Duration::from_millis(time.since(first).max(0).unsigned_abs()).as_secs_f64() / *speed;
        // Records of several threads are not quite in the order of time.
        *due = start.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?.max(*due);
        *late = now.saturating_duration_since(*due);
        let due = *due;
        self.take_due(due, now)
    }

    fn take_due(&mut self, due: Instant, now: Instant) -> Option<Instant> {
        let is_past_end = |at: Instant| self.end.is_some_and(|end| at >= end);
        if self.limit.is_some_and(|limit| self.taken >= limit) || is_past_end(now) || is_past_end(due) {
            return None;
        }
        self.taken += 1;
        self.latest = self.latest.max(now.saturating_duration_since(due));
        Some(due)
    }

    /// There are no more records.
    pub(super) const fn exhaust(&mut self) {
        self.limit = Some(self.taken);
    }

    /// The longest delay of a turn.
    pub(super) const fn latest(&self) -> Duration {
        self.latest
    }

    /// Hands out no more turns from now on.
    pub(super) fn stop(&mut self, now: Instant) {
        self.end = Some(self.end.map_or(now, |end| end.min(now)));
    }

    /// How late the next turn is.
    pub(super) fn behind(&self, now: Instant) -> Duration {
        if let Some(records) = &self.records {
            return records.late;
        }
        let due = self.due(self.taken).filter(|_| self.limit.is_none_or(|limit| self.taken < limit));
        due.map_or(Duration::ZERO, |due| now.saturating_duration_since(due))
    }

    pub(super) fn pace(&self, now: Instant) -> Option<Pace> {
        let wanted_per_second = self.rate?;
        let end = self.end.map_or(now, |end| end.min(now));
        // Slightly less, so that a turn due exactly at the end is not counted because of a rounding error.
        let due = (end.saturating_duration_since(self.start).as_secs_f64() * wanted_per_second - 1e-6).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates, at 0 too")]
        let due = (due as u64).min(self.limit.unwrap_or(u64::MAX));
        let latest_start_seconds = self.latest.as_secs_f64();
        Some(Pace { wanted_per_second, latest_start_seconds, never_sent: due.saturating_sub(self.taken) })
    }

    fn due(&self, turn: u64) -> Option<Instant> {
        #[expect(clippy::cast_precision_loss, reason = "2^53 turns take too long to matter")]
        let seconds = turn as f64 / self.rate?;
        self.start.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::simulate::{Callbacks, Replay, Target};

    fn schedule(rate: Option<f64>, until: Until, start: Instant) -> Schedule {
        Schedule::new(&options(rate, until), start)
    }

    fn options(rate: Option<f64>, until: Until) -> Simulate {
        let target = Target {
            host: String::new(),
            port: 1,
            authority: String::new(),
            prefix: String::new(),
            authorization: None,
            trust: None,
            identity: None,
            proxy_header: false,
        };
        Simulate {
            target,
            rate,
            callbacks: Callbacks::GroupMessages,
            replay: None,
            groups: 1,
            senders: 1,
            connections: 1,
            until,
            seed: 1,
            report: None,
            is_confirmed: false,
        }
    }

    #[test]
    fn a_rate_gives_its_exact_number_of_turns() {
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
    fn callbacks_that_were_late_or_not_sent_are_reported() {
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
    fn without_a_rate_turns_are_due_at_once_until_a_stop() {
        let start = Instant::now();
        let mut schedule = schedule(None, Until::Sent(3), start);
        assert_eq!(schedule.take(start), Some(start));
        assert_eq!(schedule.behind(start + Duration::from_secs(9)), Duration::ZERO);
        assert_eq!(schedule.pace(start), None);
        schedule.stop(start);
        assert_eq!(schedule.take(start), None);
    }

    #[test]
    fn a_record_is_due_at_its_time_since_the_first_one_divided_by_the_speed() {
        let start = Instant::now();
        for (rate, speed, expected) in
            [(None, 1.0, [0, 1000, 1000, 1900]), (None, 2.0, [0, 500, 500, 950]), (Some(10.0), 2.0, [0, 100, 200, 300])]
        {
            let replay = Some(Replay { files: Vec::new(), speed, skip_invalid: false });
            let mut schedule = Schedule::new(&Simulate { replay, ..options(rate, Until::Replayed) }, start);
            // The third one is earlier than the second, because another thread received it.
            let due = [5000, 6000, 5900, 6900].map(|ms| schedule.take_recorded(UnixMillis(ms), start).unwrap() - start);
            assert_eq!(due.map(|due| due.as_millis()), expected, "{rate:?} {speed}");
        }
    }

    #[test]
    fn the_count_limits_the_turns() {
        let start = Instant::now();
        let mut schedule = schedule(None, Until::Sent(3), start);
        assert_eq!(std::iter::from_fn(|| schedule.take(start)).count(), 3);
    }
}
