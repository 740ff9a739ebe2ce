//! A ring of cells, one for each period.
//!
//! A cell has the values that the counters had at the end of its period, not the differences. So each message is in
//! exactly one period whatever happens: a process may be killed between any two writes, cells may be dropped, and the
//! clock may be set. What a dropped cell counted is then part of the next one.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use super::columns::{GAUGES, Gauge, counter_keys};
use super::distinct::Distinct;
use crate::arena::{Block, Contents, KeyedSection, Layout, Section};
use crate::stats::carry::{CarryOver, keys};
use crate::stats::counters::MAX_COUNT;

/// Version of the layout of the cells' periods, and of the cells.
const LAYOUT: u32 = 1;

/// The period of the first cell of a new ring. It only holds the values from which the next period counts.
pub(super) const BEFORE: u64 = 0;

/// A ring of cells. Only one thread may change it.
#[derive(Debug)]
pub(super) struct CellRing {
    name: &'static str,
    /// The period of each cell, plus one; 0 for none.
    periods: Section,
    cells: Section,
    cell_words: usize,
    /// The number of counters in a cell.
    counters: usize,
}

/// A period's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) period: u64,
    pub(super) gauges: [u64; GAUGES],
    /// How much each counter rose in the period.
    pub(super) rises: Vec<u64>,
}

/// The name of the section with the cells' periods.
fn periods_name(name: &str) -> String {
    format!("{name}, times")
}

impl CellRing {
    /// Reserves a ring that keeps this many complete periods, with this many counters each.
    pub(super) fn reserve(contents: &mut Contents, name: &str, complete: usize, counters: usize) {
        // Also the current period, and the one before the first.
        let cells = complete + 2;
        let keys = [keys(Gauge::ALL.map(Gauge::name)), counter_keys(counters)].concat();
        contents.reserve(Layout::new(&periods_name(name), LAYOUT, size_of::<u64>(), cells));
        let layout = Layout::new(name, LAYOUT, size_of::<u64>(), keys.len());
        contents.reserve(Layout { lanes: cells, keys: vec![keys], ..layout });
    }

    /// How many complete periods a stored ring keeps.
    pub(super) fn stored_periods(contents: &Contents, name: &str) -> usize {
        contents.find(&periods_name(name)).map_or(0, |periods| periods.layout.count.saturating_sub(2))
    }

    pub(super) fn open(block: &Block, name: &'static str, counters: usize) -> io::Result<Self> {
        let (periods, cells) = (block.section(&periods_name(name))?, block.section(name)?);
        let cell_words = cells.len() / periods.len().max(1);
        Ok(Self { name, periods, cells, cell_words, counters })
    }

    /// Copies the newest cells of an old ring. `find` returns the counter for a stored key. `now` has the current
    /// values, which are used for counters that the old ring does not have.
    pub(super) fn carry_from(&self, old: &CarryOver<'_>, now: &[u64], find: impl Fn(&str) -> Option<usize>) {
        let Some(periods) = old.section(&periods_name(self.name), LAYOUT, size_of::<u64>()) else { return };
        let Some(cells) = old.section(self.name, LAYOUT, size_of::<u64>()) else { return };
        let places = self.places(old, &cells, find);
        let mut stored: Vec<_> =
            periods.iter().map(|period| period.load(Ordering::Relaxed)).zip(cells.lanes()).collect();
        stored.retain(|(period, _)| *period > 0);
        stored.sort_unstable_by_key(|(period, _)| std::cmp::Reverse(*period));
        for (position, (period, from)) in stored.into_iter().take(self.periods.len()).enumerate() {
            let mut values = vec![None; GAUGES + self.counters];
            for (place, word) in places.iter().zip(from) {
                if let Some(value) = place.and_then(|place| values.get_mut(place)) {
                    *value = Some(value.unwrap_or(0_u64).wrapping_add(word.load(Ordering::Relaxed)));
                }
            }
            let new = [0; GAUGES].iter().chain(now);
            let values = values.into_iter().zip(new).map(|(value, new)| value.unwrap_or(*new));
            self.cell(position).iter().zip(values).for_each(|(word, value)| word.store(value, Ordering::Relaxed));
            self.set_period(position, period);
        }
    }

    /// The place in a cell for each word of an old cell.
    fn places(
        &self,
        old: &CarryOver<'_>,
        cells: &KeyedSection,
        find: impl Fn(&str) -> Option<usize>,
    ) -> Vec<Option<usize>> {
        let place = |key: &String| {
            let gauge = Gauge::ALL.into_iter().position(|gauge| gauge.name() == key);
            let place = gauge.or_else(|| Some(find(key)? + GAUGES)).filter(|place| *place < GAUGES + self.counters);
            if place.is_none() {
                old.drop_part(format!("{}: {key}", self.name));
            }
            place
        };
        cells.keys().first().map_or_else(Vec::new, |keys| keys.iter().map(place).collect())
    }

    /// Makes a stored ring usable: if the machine went down, some pages may be older than others.
    pub(super) fn restore(&self) {
        self.drop_replaced();
        let mut highest = vec![0; self.counters];
        let mut before = None;
        for (period, position) in self.in_order() {
            let counters = self.counters_at(position);
            if before == Some(period) || counters.iter().any(|word| word.load(Ordering::Relaxed) > MAX_COUNT) {
                self.set_period(position, 0);
                continue;
            }
            for (word, highest) in counters.iter().zip(&mut highest) {
                *highest = word.load(Ordering::Relaxed).max(*highest);
                word.store(*highest, Ordering::Relaxed);
            }
            before = Some(period);
        }
    }

    /// Drops new cells that have the periods of the old ones they replaced, because the page with the periods is older.
    /// They seem to be the oldest ones, but have higher values than the cells in the middle, which were written long ago.
    fn drop_replaced(&self) {
        let stored = self.in_order();
        let (oldest, newest) = stored.split_at(stored.len() / 2);
        // No cell is replaced before all are used.
        let Some((_, middle)) = newest.first().filter(|_| stored.len() == self.periods.len()) else { return };
        for (_, position) in oldest {
            let mut pairs = self.counters_at(*position).iter().zip(self.counters_at(*middle));
            if pairs.any(|(word, middle)| word.load(Ordering::Relaxed) > middle.load(Ordering::Relaxed)) {
                self.set_period(*position, 0);
            }
        }
    }

    /// The counters at the end of the latest period; `None` if the ring is empty.
    pub(super) fn latest_values(&self) -> Option<Vec<u64>> {
        let (_, position) = self.latest()?;
        Some(self.counters_at(position).iter().map(|word| word.load(Ordering::Relaxed)).collect())
    }

    /// Continues the ring after a start, with the current values. What was counted after the last tick of the previous
    /// process belongs to its last period. `is_torn`: some cells may be missing, and what they had must not count now.
    pub(super) fn resume(&self, values: &[u64], is_torn: bool) {
        match self.latest() {
            None => self.start(BEFORE, values),
            // The previous process was killed before its first tick.
            Some((BEFORE, _)) if !is_torn => {}
            Some((_, position)) => self.store(position, values),
        }
    }

    /// Stores the current values in the cell of the current period. If a period is over, they complete its cell first,
    /// except at the first tick after a start: what was counted since the start belongs to the current period.
    /// `distinct` returns the distinct numbers of a period, if they are known.
    pub(super) fn tick(
        &self,
        (expected, now): (u64, u64),
        (values, is_first): (&[u64], bool),
        online: u64,
        distinct: impl FnOnce(u64) -> Option<Distinct>,
    ) {
        self.follow_clock(expected, now);
        match self.latest() {
            Some((period, position)) if period == now => self.store(position, values),
            Some((BEFORE, _)) | None => self.start(now, values),
            Some((period, position)) => {
                if !is_first {
                    self.store(position, values);
                }
                if let Some(distinct) = distinct(period) {
                    self.set_distinct(position, distinct);
                }
                self.start(now, values);
            }
        }
        if let Some((_, position)) = self.latest()
            && let Some(peak) = self.gauges_at(position).last()
        {
            peak.fetch_max(online, Ordering::Relaxed);
        }
    }

    /// If the clock was set back, moves the cells that were filled while it was ahead to earlier periods, but not before
    /// any other cell, because the values of each cell are at least those of the cell before. `expected` is what the
    /// current period would be if the clock had not been set. Two cells of one period become one.
    fn follow_clock(&self, expected: u64, now: u64) {
        let mut stored = self.in_order();
        let ahead = stored.split_off(stored.partition_point(|(period, _)| *period <= now));
        let first = stored.last().map_or(0, |(period, _)| *period).clamp(1, now.max(1));
        for (period, position) in ahead {
            let target = period.saturating_add(now).saturating_sub(expected).clamp(first, now.max(1));
            if let Some(same) = self.find(target) {
                for (mine, other) in self.gauges_at(position).iter().zip(self.gauges_at(same)) {
                    mine.fetch_max(other.load(Ordering::Relaxed), Ordering::Relaxed);
                }
                self.set_period(same, 0);
            }
            self.set_period(position, target + 1);
        }
    }

    /// Starts the cell of a period, in place of the oldest one if all are used.
    fn start(&self, period: u64, values: &[u64]) {
        let oldest = (0..self.periods.len()).min_by_key(|position| self.period_at(*position));
        let Some(position) = oldest else { return };
        self.set_period(position, 0);
        self.gauges_at(position).iter().for_each(|gauge| gauge.store(0, Ordering::Relaxed));
        self.store(position, values);
        self.set_period(position, period + 1);
    }

    fn store(&self, position: usize, values: &[u64]) {
        self.counters_at(position).iter().zip(values).for_each(|(word, value)| word.store(*value, Ordering::Relaxed));
    }

    fn set_distinct(&self, position: usize, distinct: Distinct) {
        self.gauges_at(position).iter().zip(distinct).for_each(|(gauge, value)| gauge.store(value, Ordering::Relaxed));
    }

    /// The periods that have a cell, from `from` up to but not including `to`, the earliest first.
    pub(super) fn read(&self, from: u64, to: u64) -> Vec<Cell> {
        let stored = self.in_order();
        let pairs = stored.iter().zip(stored.iter().skip(1));
        let wanted = pairs.filter(|(_, (period, _))| (from..to).contains(period));
        wanted
            .map(|((_, before), (period, position))| {
                let mut gauges = [0; GAUGES];
                let words = self.gauges_at(*position).iter().zip(&mut gauges);
                words.for_each(|(word, gauge)| *gauge = word.load(Ordering::Relaxed));
                let ends = self.counters_at(*position).iter().zip(self.counters_at(*before));
                let rise = |(end, begin): (&AtomicU64, &AtomicU64)| {
                    end.load(Ordering::Relaxed).saturating_sub(begin.load(Ordering::Relaxed))
                };
                Cell { period: *period, gauges, rises: ends.map(rise).collect() }
            })
            .collect()
    }

    /// The periods that have a cell, with the cell's position, the earliest first.
    fn in_order(&self) -> Vec<(u64, usize)> {
        let stored = (0..self.periods.len()).filter_map(|place| Some((self.period_at(place).checked_sub(1)?, place)));
        let mut stored: Vec<_> = stored.collect();
        stored.sort_unstable();
        stored
    }

    /// The latest period that has a cell, and its position.
    pub(super) fn latest(&self) -> Option<(u64, usize)> {
        let latest = (0..self.periods.len()).map(|position| (self.period_at(position), position)).max()?;
        Some((latest.0.checked_sub(1)?, latest.1))
    }

    fn find(&self, period: u64) -> Option<usize> {
        (0..self.periods.len()).find(|position| self.period_at(*position) == period + 1)
    }

    /// The period at a position, plus one; 0 for none.
    fn period_at(&self, position: usize) -> u64 {
        self.periods.get(position).map_or(0, |stored| stored.load(Ordering::Relaxed))
    }

    fn set_period(&self, position: usize, stored: u64) {
        // A killed process has done all stores before some instruction, and none after it. So only the order of the
        // instructions matters: a cell with a period is complete.
        compiler_fence(Ordering::SeqCst);
        if let Some(word) = self.periods.get(position) {
            word.store(stored, Ordering::Relaxed);
        }
        compiler_fence(Ordering::SeqCst);
    }

    fn cell(&self, position: usize) -> &[AtomicU64] {
        self.cells.get(position * self.cell_words..(position + 1) * self.cell_words).unwrap_or_default()
    }

    fn gauges_at(&self, position: usize) -> &[AtomicU64] {
        self.cell(position).get(..GAUGES).unwrap_or_default()
    }

    fn counters_at(&self, position: usize) -> &[AtomicU64] {
        self.cell(position).get(GAUGES..GAUGES + self.counters).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_with_the_period_of_the_one_it_replaced_spoils_no_other() {
        let mut contents = Contents::default();
        CellRing::reserve(&mut contents, "ring", 3, 1);
        let ring = CellRing::open(&Block::in_memory(contents).unwrap(), "ring", 1).unwrap();
        ring.resume(&[0], false);
        let tick = |period: u64| ring.tick((period, period), (&[period * 10], false), 0, |_| None);
        (1..=8).for_each(tick);
        let periods: Vec<_> = ring.periods.iter().map(|period| period.load(Ordering::Relaxed)).collect();
        (9..=10).for_each(tick);
        // After a power loss, the page with the periods may be older than those with the cells.
        ring.periods.iter().zip(&periods).for_each(|(word, period)| word.store(*period, Ordering::Relaxed));
        ring.restore();
        let rises: Vec<_> = ring.read(0, 100).iter().map(|cell| (cell.period, cell.rises[0])).collect();
        assert_eq!(rises, [(7, 10), (8, 10)]);
    }
}
