//! The messages of exported groups in each of the last calendar days, to compare this week with the last.
//!
//! Like the cells of the history, a row has the group's total at the end of each day and not the difference, so no
//! message counts twice.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use super::slot::Group;
use crate::arena::{Block, Contents, Layout, Section};
use crate::domain::{Calendar, Day, UnixMillis};
use crate::stats::carry::{CarryOver, copy_words};
use crate::stats::hyperloglog::hash;

/// Days that a reader gets: two weeks, the last day of which is today.
const WEEK_DAYS: usize = 14;

/// Days that a row has: two complete weeks, the day before them, and today.
const DAYS: usize = 16;

/// Time between two updates.
const UPDATE_INTERVAL_MS: i64 = 10_000;

/// The hash of the group's name; 0 if the row is free.
const NAME: usize = 0;
/// The last day with a total, plus one.
const LAST: usize = 1;
/// The first day that is known; 0 for a group that was new when its row was taken.
const FIRST: usize = 2;
/// Added to the group's messages, which may start from 0 again.
const OFFSET: usize = 3;
const TOTALS: usize = 4;
const ROW_WORDS: usize = TOTALS + DAYS;

const NAME_OF_SECTION: &str = "group weeks";
const LAYOUT: u32 = 1;
const ROW_BYTES: usize = ROW_WORDS * size_of::<u64>();

/// A group's recent days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Week {
    /// Messages on each day, the last of which is today; `None` if they are not known.
    pub days: [Option<u64>; WEEK_DAYS],
    /// Messages of the last seven complete days; `None` if they are not known.
    pub this: Option<u64>,
    /// Messages of the seven days before these.
    pub last: Option<u64>,
}

impl Week {
    /// The week of a group whose first message came today.
    const fn of_new_group(messages: u64) -> Self {
        let mut days = [Some(0); WEEK_DAYS];
        days[WEEK_DAYS - 1] = Some(messages);
        Self { days, this: Some(0), last: Some(0) }
    }
}

/// The rows of the groups that are, or recently were, exported.
#[derive(Debug)]
pub(in crate::stats) struct Weeks {
    rows: Section,
    /// The row of each name's hash. Built at the first update.
    by_name: Mutex<HashMap<u64, usize, RandomState>>,
    /// When the rows were last updated, in milliseconds since the epoch; 0 before the first time.
    updated_at: AtomicI64,
}

impl Weeks {
    /// Reserves rows for this many exported groups, and as many that were exported before.
    pub(in crate::stats) fn reserve(contents: &mut Contents, exported: usize) {
        contents.reserve(Layout::new(NAME_OF_SECTION, LAYOUT, ROW_BYTES, exported.saturating_mul(2).max(1)));
    }

    /// For how many exported groups the rows of a stored block are.
    pub(in crate::stats) fn stored_capacity(contents: &Contents) -> usize {
        contents.find(NAME_OF_SECTION).map_or(0, |rows| rows.layout.count / 2)
    }

    pub(in crate::stats) fn open(block: &Block) -> io::Result<Self> {
        Ok(Self { rows: block.section(NAME_OF_SECTION)?, by_name: Mutex::default(), updated_at: AtomicI64::new(0) })
    }

    /// Copies the rows of an old block that were used last.
    pub(in crate::stats) fn carry_from(&self, old: &CarryOver<'_>) {
        let Some(stored) = old.section(NAME_OF_SECTION, LAYOUT, ROW_BYTES) else { return };
        let mut rows: Vec<_> = stored.as_chunks().0.iter().map(Row).filter(|row| row.get(NAME) != 0).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.get(LAST)));
        rows.iter().zip(self.rows()).for_each(|(from, to)| copy_words(from.0, to.0));
    }

    /// Whether the rows should be updated now, about as often as the exported groups may change. If so, the next update
    /// is due after the interval.
    pub(in crate::stats) fn is_due(&self, now: UnixMillis) -> bool {
        let is_due = !(0..UPDATE_INTERVAL_MS).contains(&now.since(UnixMillis(self.updated_at.load(Ordering::Relaxed))));
        if is_due {
            self.updated_at.store(now.0, Ordering::Relaxed);
        }
        is_due
    }

    /// Updates the rows of the groups that `exported` returns, whose names are distinct. Not on a serving thread.
    /// `started`: when the counters started.
    pub(in crate::stats) fn update(
        &self,
        exported: impl FnOnce() -> Vec<Group>,
        calendar: &Calendar,
        started: UnixMillis,
        today: Day,
    ) {
        let mut by_name = self.by_name.lock();
        // With the lock held: a group that is then erased still loses its row.
        let groups = exported();
        if by_name.is_empty() {
            by_name.extend(
                self.rows().enumerate().map(|(row, words)| (words.get(NAME), row)).filter(|(name, _)| *name != 0),
            );
        }
        let groups: HashMap<_, _, RandomState> = groups.iter().map(|group| (hash_of(&group.name), group)).collect();
        let lasts = self.rows().map(|row| row.get(LAST));
        // Later ones are of a time when the clock was ahead.
        let latest = lasts.filter(|last| *last <= today.0 + 1).max().unwrap_or_default();
        let mut reusable = None;
        for (name, group) in &groups {
            let known = by_name.get(name).and_then(|row| self.row(*row));
            if let Some(row) = known.filter(|row| row.get(LAST) < latest.min(today.0)) {
                // For a whole day or longer, other groups were exported and this one was not: nobody knows what of its
                // messages came when.
                row.begin(*name, group, false, today);
            }
            let row = known.or_else(|| {
                // Found once for all new groups: usually there are none.
                let number = reusable.get_or_insert_with(|| self.reusable(&groups)).pop()?;
                let row = self.row(number)?;
                by_name.remove(&row.get(NAME));
                by_name.insert(*name, number);
                // When the counters start from 0, all groups begin anew.
                let is_new = group.created > started && calendar.day_of(group.created) >= today;
                row.begin(*name, group, is_new, today);
                Some(row)
            });
            row.into_iter().for_each(|row| row.update(group.messages, today));
        }
    }

    /// Removes the row of the group with this name. Returns whether it had one.
    pub(in crate::stats) fn forget(&self, name: &str) -> bool {
        let mut by_name = self.by_name.lock();
        let name = hash_of(name);
        by_name.remove(&name);
        self.rows().filter(|row| row.get(NAME) == name).map(Row::clear).count() > 0
    }

    /// The rows that may be reused, because their groups are not exported. The last one is to be reused first. So free
    /// rows come last, and before them those used longest ago.
    fn reusable(&self, exported: &HashMap<u64, &Group, RandomState>) -> Vec<usize> {
        let rows = self.rows().enumerate().filter(|(_, row)| !exported.contains_key(&row.get(NAME)));
        let mut rows: Vec<_> = rows.map(|(number, row)| (row.get(LAST), number)).collect();
        rows.sort_unstable_by_key(|(last, number)| std::cmp::Reverse((*last, *number)));
        rows.into_iter().map(|(_, number)| number).collect()
    }

    /// A group's recent days; `None` if it has no row.
    pub(in crate::stats) fn read(&self, group: &Group, calendar: &Calendar, today: Day) -> Option<Week> {
        match self.by_name.lock().get(&hash_of(&group.name)) {
            Some(row) => Some(self.row(*row)?.read(today.0)),
            // Until the next update.
            None if calendar.day_of(group.created) >= today => Some(Week::of_new_group(group.messages)),
            None => None,
        }
    }

    fn row(&self, number: usize) -> Option<Row<'_>> {
        self.rows.as_chunks().0.get(number).map(Row)
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.as_chunks().0.iter().map(Row)
    }
}

/// The hash of a group's name; never 0.
fn hash_of(name: &str) -> u64 {
    hash(name.as_bytes()).max(1)
}

/// A row in the block.
#[derive(Clone, Copy)]
struct Row<'a>(&'a [AtomicU64; ROW_WORDS]);

impl Row<'_> {
    fn get(self, word: usize) -> u64 {
        self.0.get(word).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn set(self, word: usize, value: u64) {
        if let Some(word) = self.0.get(word) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// The total at the end of a day.
    fn total(self, day: u64) -> u64 {
        self.get(total_word(day))
    }

    fn clear(self) {
        self.0.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// Takes the row for a group. If it is new, it had no messages before today. Otherwise its earlier days are unknown.
    fn begin(self, name: u64, group: &Group, is_new: bool, today: Day) {
        self.clear();
        if !is_new {
            self.set(FIRST, today.0);
            self.set(total_word(today.0.saturating_sub(1)), group.messages);
        }
        self.set(LAST, today.0 + 1);
        self.set(NAME, name);
    }

    fn update(self, messages: u64, Day(today): Day) {
        let mut last = self.get(LAST).saturating_sub(1);
        if last > today + 1 {
            // The clock was ahead by days: the earlier days are lost.
            let total = self.total(last);
            last = today.saturating_sub(1);
            self.set(total_word(last), total);
            self.set(FIRST, today);
        }
        // If the clock was set back a little, the last day continues.
        let today = today.max(last);
        let before = self.total(last).max(self.total(last.saturating_sub(1)));
        if self.get(OFFSET).saturating_add(messages) < before {
            self.set(OFFSET, before.saturating_sub(messages));
        }
        for day in (last + 1..=today).rev().take(DAYS) {
            self.set(total_word(day), before);
        }
        self.set(total_word(today), self.get(OFFSET).saturating_add(messages));
        self.set(LAST, today + 1);
    }

    fn read(self, today: u64) -> Week {
        let (first, last) = (self.get(FIRST), self.get(LAST).saturating_sub(1));
        let day = |before: u64| {
            let day = today.checked_sub(before)?;
            let is_known = day >= first && day <= last && last - day + 1 < DAYS as u64;
            is_known.then(|| self.total(day).saturating_sub(self.total(day.saturating_sub(1))))
        };
        let sum = |before: std::ops::RangeInclusive<u64>| before.map(day).sum();
        let days = std::array::from_fn(|position| day((WEEK_DAYS - 1 - position) as u64));
        Week { days, this: sum(1..=7), last: sum(8..=14) }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a remainder of the number of days")]
const fn total_word(day: u64) -> usize {
    TOTALS + (day % DAYS as u64) as usize
}
