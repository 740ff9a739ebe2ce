//! The numbers of a period.

use super::cells::Cell;
use super::columns::{self, Gauge};
use crate::domain::{Activity, Chat, Day, UnixMillis};
use crate::stats::delays::BOUNDS_MS;
use crate::stats::histogram::HistogramReading;

/// The numbers of a minute, an hour or a calendar day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// When it begins.
    pub begin: UnixMillis,
    /// Whether it is over.
    pub is_complete: bool,
    cell: Cell,
}

impl Period {
    pub(super) const fn new(begin: UnixMillis, is_complete: bool, cell: Cell) -> Self {
        Self { begin, is_complete, cell }
    }

    /// Its day, if it is a calendar day.
    #[must_use]
    pub const fn day(&self) -> Day {
        Day(self.cell.period)
    }

    /// A number that is not the rise of a counter.
    #[must_use]
    pub fn gauge(&self, gauge: Gauge) -> u64 {
        self.cell.gauges.get(gauge as usize).copied().unwrap_or_default()
    }

    /// Messages of a kind.
    #[must_use]
    pub fn messages(&self, chat: Chat) -> u64 {
        self.rise(columns::messages(chat))
    }

    /// How often something happened.
    #[must_use]
    pub fn activity(&self, activity: Activity) -> u64 {
        self.rise(columns::activity(activity))
    }

    /// Refused requests.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.rise(columns::refusals())
    }

    /// Delivery delays of messages of both kinds, in milliseconds.
    #[must_use]
    pub fn delivery_delays(&self) -> HistogramReading {
        HistogramReading::from_values(BOUNDS_MS, self.cell.rises.get(columns::delays()).unwrap_or_default().to_vec())
    }

    /// Messages of a kind by row of content types; empty if they are not kept for this step.
    pub(in crate::stats) fn by_type(&self, chat: Chat) -> &[u64] {
        self.cell.rises.get(columns::types(chat)).unwrap_or_default()
    }

    fn rise(&self, counter: usize) -> u64 {
        self.cell.rises.get(counter).copied().unwrap_or_default()
    }
}
