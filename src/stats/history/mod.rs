//! The history: what was counted in each minute, hour and calendar day.
//!
//! Callbacks do not change it. The tick, once a second, stores the values of the counters in the cells of the current
//! periods. So a message that arrives in the first second of a period may count in the period before, but never in two
//! or none. A period during which the exporter did not run has no cell.

mod cells;
mod columns;
mod distinct;
mod period;
mod step;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::arena::{Block, Contents, Layout, Section};
use crate::domain::{Calendar, UnixMillis};
use crate::stats::carry::{CarryOver, keys};
use crate::stats::distinct::Distinct as What;
use crate::stats::timeline::Tick;
use crate::stats::windows::{HOUR_MS, MINUTE_MS};
use cells::{BEFORE, CellRing};
pub use columns::Gauge;
pub(in crate::stats) use columns::Sample;
use columns::{BASE, DETAILED, counter_keys, counter_of_key};
pub(in crate::stats) use distinct::Sources;
use distinct::{CalendarDays, DAYS};
pub use period::Period;
pub use step::Step;

/// Complete minutes that are kept: 24 hours.
const MINUTES: usize = 24 * 60;

/// Complete hours that are kept: 35 days.
const HOURS: usize = DAYS * 24;

/// Names of sections in a state.
const NAMES: [&str; 3] = ["history of minutes", "history of hours", "history of days"];
const OFFSETS: &str = "history offsets";

/// Version of the layout of [`OFFSETS`].
const LAYOUT: u32 = 1;

/// The counters in the cells of each step.
const COUNTERS: [usize; 3] = [BASE, DETAILED, DETAILED];

/// The history.
#[derive(Debug)]
pub(super) struct History {
    /// Of minutes, hours and days.
    rings: [CellRing; 3],
    days: CalendarDays,
    /// Added to the counters, so that the values in the cells never fall although the counters may start from 0 again.
    offsets: Section,
    calendar: Calendar,
    /// True until the first tick.
    is_new: AtomicBool,
    /// Held while cells change or are read, never by a serving thread.
    in_use: Mutex<()>,
}

impl History {
    /// Reserves a history that keeps this many complete days.
    pub(super) fn reserve(contents: &mut Contents, days: usize) {
        for ((name, complete), counters) in NAMES.into_iter().zip([MINUTES, HOURS, days]).zip(COUNTERS) {
            CellRing::reserve(contents, name, complete, counters);
        }
        let layout = Layout::new(OFFSETS, LAYOUT, size_of::<u64>(), DETAILED);
        contents.reserve(Layout { keys: vec![keys(counter_keys(DETAILED))], ..layout });
        CalendarDays::reserve(contents);
    }

    /// How many complete days the history of a stored block keeps.
    pub(super) fn stored_days(contents: &Contents) -> usize {
        let [.., days] = NAMES;
        CellRing::stored_periods(contents, days)
    }

    pub(super) fn open(block: &Block) -> io::Result<Self> {
        let ([minutes, hours, days], [of_minute, of_hour, of_day]) = (NAMES, COUNTERS);
        let ring = |name, counters| CellRing::open(block, name, counters);
        Ok(Self {
            rings: [ring(minutes, of_minute)?, ring(hours, of_hour)?, ring(days, of_day)?],
            days: CalendarDays::open(block)?,
            offsets: block.section(OFFSETS)?,
            calendar: Calendar::default(),
            is_new: AtomicBool::new(true),
            in_use: Mutex::default(),
        })
    }

    /// Sets the calendar of the days.
    pub(super) fn set_calendar(&mut self, calendar: Calendar) {
        self.calendar = calendar;
    }

    /// The calendar of the days.
    pub(super) const fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// Copies an old history. `now` has the current counters, and `type_row` finds the rows of content types.
    pub(super) fn carry_from(&self, old: &CarryOver<'_>, now: &Sample, type_row: [&dyn Fn(&str) -> usize; 2]) {
        let find = |key: &str| counter_of_key(key, type_row);
        self.rings.iter().for_each(|ring| ring.carry_from(old, &now.0, find));
        if let Some(stored) = old.section(OFFSETS, LAYOUT, size_of::<u64>()) {
            for (position, key) in stored.keys().first().into_iter().flatten().enumerate() {
                // The cells report what is dropped.
                if let Some(offset) = find(key).and_then(|counter| self.offsets.get(counter)) {
                    offset.fetch_add(stored.sum(position), Ordering::Relaxed);
                }
            }
        }
        self.days.carry_from(old);
    }

    /// Whether the registers are possible.
    pub(super) fn is_plausible(&self) -> bool {
        self.days.is_plausible()
    }

    /// Makes a stored history usable and continues it with the current counters, which may have started from 0.
    pub(super) fn restore(&self, now: &Sample, is_torn: bool) {
        self.rings.iter().for_each(CellRing::restore);
        for values in self.rings.iter().filter_map(CellRing::latest_values) {
            for ((offset, now), before) in self.offsets.iter().zip(&now.0).zip(values) {
                if offset.load(Ordering::Relaxed).saturating_add(*now) < before {
                    offset.store(before - now, Ordering::Relaxed);
                }
            }
        }
        self.resume(now, is_torn);
    }

    /// Begins a new history with the current counters. Called once, before the first tick.
    pub(super) fn begin(&self, now: &Sample) {
        self.resume(now, false);
    }

    fn resume(&self, now: &Sample, is_torn: bool) {
        let values = self.values(now);
        self.rings.iter().for_each(|ring| ring.resume(&values, is_torn));
    }

    /// The values for the cells.
    fn values(&self, now: &Sample) -> Vec<u64> {
        let offsets = self.offsets.iter().map(|offset| offset.load(Ordering::Relaxed));
        offsets.zip(&now.0).map(|(offset, now)| offset.wrapping_add(*now)).collect()
    }

    /// Stores the current numbers. Call it about once a second, not on a serving thread.
    pub(super) fn tick(&self, tick: Tick, now: &Sample, sources: Sources<'_>, online: u64) {
        let is_first = self.is_new.swap(false, Ordering::Relaxed);
        let _in_use = self.in_use.lock();
        self.days.tick(sources, tick, &self.calendar, is_first);
        let values = self.values(now);
        for (ring, step) in self.rings.iter().zip(Step::ALL) {
            let periods = (self.period(step, tick.expected), self.period(step, tick.now));
            let distinct = |period| self.days.of_period(sources, step, period);
            ring.tick(periods, (&values, is_first), online, distinct);
        }
    }

    /// The number of the period that a time is in. The first one counts as part of the second, because its number has
    /// another meaning.
    fn period(&self, step: Step, time: UnixMillis) -> u64 {
        let period = match step {
            Step::Minute => time.period(MINUTE_MS),
            Step::Hour => time.period(HOUR_MS),
            Step::Day => self.calendar.day_of(time).0,
        };
        period.max(BEFORE + 1)
    }

    /// The sketches of the calendar days, with their numbers.
    pub(super) fn sketches_of_days(&self, of: What) -> impl Iterator<Item = (u64, &[AtomicU64])> {
        self.days.sketches(of)
    }

    /// When a period begins.
    fn begin_of(&self, step: Step, period: u64) -> UnixMillis {
        let times = |length_ms: u64| UnixMillis(period.saturating_mul(length_ms).try_into().unwrap_or(i64::MAX));
        match step {
            Step::Minute => times(MINUTE_MS),
            Step::Hour => times(HOUR_MS),
            Step::Day => self.calendar.begin_of(crate::domain::Day(period)),
        }
    }

    /// The periods that have a cell and begin at `from` or later, and before `to`, the earliest first.
    pub(super) fn read(
        &self,
        step: Step,
        (from, to): (UnixMillis, UnixMillis),
        now: UnixMillis,
        sources: Sources<'_>,
    ) -> Vec<Period> {
        // The first period that begins at a time or after it.
        let first = |time| {
            let period = self.period(step, time);
            if self.begin_of(step, period) < time { period + 1 } else { period }
        };
        let [minutes, hours, days] = &self.rings;
        let ring = match step {
            Step::Minute => minutes,
            Step::Hour => hours,
            Step::Day => days,
        };
        let _in_use = self.in_use.lock();
        // A period is not over before the tick that completes its cell.
        let current = self.period(step, now).min(ring.latest().map_or(BEFORE, |(period, _)| period));
        let periods = ring.read(first(from), first(to).min(current + 1)).into_iter();
        periods
            .map(|mut cell| {
                let is_complete = cell.period < current;
                if !is_complete && let Some(distinct) = self.days.of_period(sources, step, cell.period) {
                    cell.gauges.iter_mut().zip(distinct).for_each(|(gauge, value)| *gauge = value);
                }
                Period::new(self.begin_of(step, cell.period), is_complete, cell)
            })
            .collect()
    }

    /// Of the people who sent messages on the day `after` days before yesterday, the share that also sent messages
    /// yesterday. `None` if one of the days is not known, or nobody sent messages on the first.
    ///
    /// `|A and B| = |A| + |B| - |A or B|`, each estimated from the same registers.
    pub(super) fn sender_retention(&self, after: u64, now: UnixMillis) -> Option<f64> {
        let yesterday = self.period(Step::Day, now).checked_sub(1)?;
        let [then, later] = [yesterday.checked_sub(after)?, yesterday].map(|day| self.days.senders_of_day(day));
        let (then, later) = (then?, later?);
        let mut either = then.clone();
        either.merge_union(&later);
        let [then, later, either] = [&then, &later, &either].map(|people| people.estimate() as f64);
        (then > 0.0).then(|| ((then + later - either) / then).clamp(0.0, 1.0))
    }
}
