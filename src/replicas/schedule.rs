//! When an exporter writes and reads: by Redis' clock, so that all exporters have written before any of them reads.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::exchange::Exchange;
use super::link::{Failure, Link};
use super::manifest::{ROUND_MS, round_at};
use crate::domain::{Clock, UnixMillis};
use crate::niceness::lower_priority;
use crate::telemetry::ReplicasTelemetry;

/// When a round's reading begins, in milliseconds after its beginning: the others have written by then.
const READ_AT_MS: u64 = 5000;

/// The shortest time between two exchanges, however Redis' clock jumps.
const PAUSE: Duration = Duration::from_secs(1);

/// Time until the next attempt when Redis does not answer.
const RETRY: Duration = Duration::from_millis(ROUND_MS);

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Write,
    Read,
    /// Nothing for this long.
    Wait(Duration),
}

/// Which rounds are done. Any round other than the last one is new, because Redis' clock may be set back.
#[derive(Debug, Default)]
struct Schedule {
    written: Option<u64>,
    read: Option<u64>,
}

impl Schedule {
    fn next(&self, now: UnixMillis) -> Step {
        let (round, since_begin) = (round_at(now), now.period(1) % ROUND_MS);
        let is_read = self.read == Some(round);
        match since_begin {
            _ if self.written != Some(round) => Step::Write,
            READ_AT_MS.. if !is_read => Step::Read,
            ..READ_AT_MS if !is_read => Step::Wait(Duration::from_millis(READ_AT_MS - since_begin)),
            _ => Step::Wait(Duration::from_millis(ROUND_MS - since_begin)),
        }
    }

    /// Records that a step was done. After a failed write, nothing is read: the united numbers would lack our people.
    fn done(&mut self, step: Step, now: UnixMillis, succeeded: bool) {
        let round = Some(round_at(now));
        if step == Step::Write {
            self.written = round;
        }
        if step == Step::Read || !succeeded {
            self.read = round;
        }
    }
}

/// The thread's part of the exchange.
pub(super) struct Rounds {
    pub(super) exchange: Exchange,
    pub(super) link: Link,
    pub(super) telemetry: Arc<ReplicasTelemetry>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Rounds {
    /// Exchanges sketches until the sender is dropped, and then writes what is new, if Redis worked until then.
    pub(super) fn run(mut self, stopped: &Receiver<()>) {
        lower_priority();
        let mut schedule = Schedule::default();
        loop {
            let wait = self.reported(|rounds| rounds.step(&mut schedule));
            if stopped.recv_timeout(wait.unwrap_or(RETRY)) == Err(RecvTimeoutError::Timeout) {
                continue;
            }
            if wait.is_some() {
                self.reported(Self::write);
            }
            return;
        }
    }

    /// The result of a step. A failure is counted.
    fn reported<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Option<T> {
        step(self).inspect_err(|failure| self.telemetry.failed(failure.reason, failure)).ok()
    }

    /// Does what is due. Returns how long to wait until the next step.
    fn step(&mut self, schedule: &mut Schedule) -> Result<Duration, Failure> {
        let (now, machine) = self.times()?;
        let step = schedule.next(now);
        let result = match step {
            Step::Write => self.exchange.write(&mut self.link, now, machine),
            Step::Read => self.exchange.read(&mut self.link, now, machine),
            Step::Wait(wait) => return Ok(wait),
        };
        schedule.done(step, now, result.is_ok());
        result.map(|()| PAUSE)
    }

    fn write(&mut self) -> Result<(), Failure> {
        let (now, machine) = self.times()?;
        self.exchange.write(&mut self.link, now, machine)
    }

    /// Redis' time, and that of the machine in the middle of the exchange.
    fn times(&mut self) -> Result<(UnixMillis, UnixMillis), Failure> {
        let before = self.clock.now();
        let redis = self.link.time()?;
        Ok((redis, UnixMillis(before.0.midpoint(self.clock.now().0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: i64 = 1_795_928_400_000;

    fn wait(ms: u64) -> Step {
        Step::Wait(Duration::from_millis(ms))
    }

    /// The next step at this time after [`BEGIN`]; done at once.
    fn step(schedule: &mut Schedule, after_ms: i64) -> Step {
        let now = UnixMillis(BEGIN + after_ms);
        let step = schedule.next(now);
        if !matches!(step, Step::Wait(_)) {
            schedule.done(step, now, true);
        }
        step
    }

    #[test]
    fn a_round_is_written_at_its_beginning_and_read_five_seconds_later() {
        let mut schedule = Schedule::default();
        let steps = [0, 100, 4999, 5000, 5100, 9999, 10_000, 15_000, 15_001].map(|ms| step(&mut schedule, ms));
        let (write, read) = (Step::Write, Step::Read);
        assert_eq!(steps, [write, wait(4900), wait(1), read, wait(4900), wait(1), write, read, wait(4999)]);
    }

    #[test]
    fn an_exporter_that_begins_late_in_a_round_writes_and_reads_at_once() {
        let mut schedule = Schedule::default();
        assert_eq!([8000, 9000].map(|ms| step(&mut schedule, ms)), [Step::Write, Step::Read]);
    }

    #[test]
    fn when_redis_clock_is_set_nothing_is_left_out_and_no_wait_is_longer_than_a_round() {
        let mut schedule = Schedule::default();
        for jump in [0, 3_600_000, -86_400_000, 86_400_000 * 40, -BEGIN - 5] {
            assert_eq!(step(&mut schedule, jump), Step::Write, "{jump}");
            let Step::Wait(wait) = schedule.next(UnixMillis(BEGIN + jump)) else { panic!("{jump}") };
            assert!(wait > Duration::ZERO && wait <= RETRY);
        }
    }

    #[test]
    fn after_a_write_that_failed_nothing_is_read() {
        let mut schedule = Schedule::default();
        schedule.done(Step::Write, UnixMillis(BEGIN), false);
        assert_eq!(step(&mut schedule, 6000), wait(4000));
        assert_eq!(step(&mut schedule, 10_000), Step::Write);
    }
}
