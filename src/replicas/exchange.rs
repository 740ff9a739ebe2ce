//! A round of the exchange: writes what is new here, and a few seconds later reads what is new at any exporter.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::keys::Name;
use super::link::{Failure, Link};
use super::moment::Moment;
use super::read::Reader;
use super::write::Writer;
use crate::domain::UnixMillis;
use crate::stats::Stats;
use crate::telemetry::ReplicasTelemetry;

/// If Redis' clock is set back by more than this, in milliseconds, what was written for a time that has not come yet is
/// removed, and everything is read again: what was outside of the windows was forgotten.
const MAX_STEP_MS: i64 = 60_000;

/// Exchanges the sketches of an exporter with those of the others.
pub(super) struct Exchange {
    stats: Arc<Stats>,
    telemetry: Arc<ReplicasTelemetry>,
    writer: Writer,
    reader: Reader,
    is_stopping: Arc<AtomicBool>,
    /// Redis' time of the last write.
    last: Option<UnixMillis>,
}

impl Exchange {
    /// The exchange of an exporter with this name. Reading ends when `is_stopping` is set.
    pub(super) fn new(
        name: &Name,
        stats: &Arc<Stats>,
        telemetry: &Arc<ReplicasTelemetry>,
        is_stopping: &Arc<AtomicBool>,
    ) -> Self {
        stats.keep_disconnects();
        Self {
            stats: Arc::clone(stats),
            telemetry: Arc::clone(telemetry),
            writer: Writer::new(name.clone(), stats, telemetry),
            reader: Reader::new(name.clone(), stats, telemetry, is_stopping),
            is_stopping: Arc::clone(is_stopping),
            last: None,
        }
    }

    /// Writes what is new, at this time by Redis' clock and by the machine's.
    pub(super) fn write(&mut self, link: &mut Link, redis: UnixMillis, machine: UnixMillis) -> Result<(), Failure> {
        self.telemetry.set_clock_skew(machine.since(redis));
        let moment = self.moment(redis, machine);
        if self.last.is_some_and(|last| last.since(redis) > MAX_STEP_MS) {
            self.reader.begin_anew(&moment.current);
            self.writer.erase_future(link, &moment.current)?;
        }
        self.last = Some(redis);
        self.writer.write(link, &moment, self.reader.united())
    }

    /// Reads what is new, and publishes the united numbers.
    pub(super) fn read(&mut self, link: &mut Link, redis: UnixMillis, machine: UnixMillis) -> Result<(), Failure> {
        let (began, moment) = (Instant::now(), self.moment(redis, machine));
        match self.reader.read(link, &moment) {
            Ok(active) => self.telemetry.united(redis, began.elapsed(), active),
            Err(_) if self.is_stopping.load(Ordering::Relaxed) => {}
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    fn moment(&self, redis: UnixMillis, machine: UnixMillis) -> Moment {
        Moment::new(redis, self.stats.time(machine), self.stats.calendar())
    }
}
