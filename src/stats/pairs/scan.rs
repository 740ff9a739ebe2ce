//! The scan: counts the pairs by group, and cleans up the table.
//!
//! A pair must have only one entry, or it counts twice, and a search must reach that entry. Both are true if nothing
//! happens between a thread's search and its claim: then no probed entry is the pair's, and the claimed one is probed
//! by every later search. But in between,
//! - another thread may insert the same pair. Usually both claim the same entry, the first free one, and the slower
//!   thread fails and then finds the other's entry. But if another entry became free between the two searches, because
//!   it expired or the scan evicted its pair, the pair gets two entries.
//! - the scan may empty an entry before the claimed one, where later searches then end. It only empties entries that
//!   expired minutes ago, or were freed before the last scan. A thread that searched since then would have
//!   claimed that entry instead of passing it. So this happens only to a thread that searched even earlier.
//!
//! Preventing both would need locks. Instead, the scan searches for each pair before it counts it, and frees the entry
//! if the search does not end there. So a pair counts twice only while such a race is in progress.

use super::entry::{Entry, Minute, State};
use super::sums::{DAY, Sums};
use super::table::{Lookup, MAX_PROBES, PairCounter, Pairs};
use crate::domain::UnixMillis;

/// How many minutes an entry must be idle before the scan empties it: more than a [`DAY`], so that every thread sees
/// the entry as free, although threads read the clock at different moments.
const EMPTY_AFTER: u32 = DAY + 2;

impl Pairs {
    /// Counts the pairs of each slot below `groups` in the last hour and in the last day, and passes them to `publish`,
    /// including zeros. If there are more pairs than the capacity, evicts the oldest and counts them. Only for the
    /// tick: reads the whole table, and a second caller would wait.
    pub(in crate::stats) fn scan(&self, now: UnixMillis, groups: usize, mut publish: impl FnMut(u32, u32, u32)) {
        let now = Minute::from_time(now);
        let mut sums = self.sums.lock();
        let before = self.inserted_minus_evicted();
        self.count_all(now, groups, &mut sums);
        self.base.set(sums.pairs().wrapping_sub(before));
        let excess = sums.pairs().saturating_sub(self.capacity as u64);
        if excess > 0 {
            self.evict_oldest(now, excess, groups, &mut sums);
        }
        for (slot, (hour, day)) in (0..).zip(&sums.by_slot) {
            publish(slot, *hour, *day);
        }
    }

    /// Counts the pairs, and cleans up each entry. In reverse order, so that it is known whether searches pass an
    /// entry.
    fn count_all(&self, now: Minute, groups: usize, sums: &mut Sums) {
        sums.clear(groups);
        let mut passed = self.passed_at_the_end();
        for (index, words) in self.entries().iter().enumerate().rev() {
            let distance = self.clean_up(index, Entry::read(words), now, passed > 0, sums);
            passed = passed.saturating_sub(1).max(distance);
        }
    }

    /// How many entries at the table's end are passed by searches for pairs at its beginning.
    fn passed_at_the_end(&self) -> usize {
        let first = self.entries().iter().map(Entry::read).enumerate().take(MAX_PROBES);
        let passed = first.map(|(index, entry)| match entry.state() {
            state if state.has_no_pair() => 0,
            state if state.is_claim() => MAX_PROBES,
            _ => self.distance(entry, index).saturating_sub(index),
        });
        passed.max().unwrap_or(0)
    }

    /// The distance of an entry from its key's home.
    fn distance(&self, entry: Entry<'_>, index: usize) -> usize {
        let entries = self.entries().len();
        index.wrapping_sub(entry.key().home(entries)) & entries.wrapping_sub(1)
    }

    /// Counts an entry's pair, or frees the entry, or empties it if no search passes it. Returns how many entries
    /// before it a search for its pair passes; if another thread was faster, the maximum.
    fn clean_up(&self, index: usize, entry: Entry<'_>, now: Minute, is_passed: bool, sums: &mut Sums) -> usize {
        match entry.state().idle(now) {
            // A thread is filling it. The next scan counts it.
            None => MAX_PROBES,
            Some(idle) if idle <= DAY => {
                if !self.check_reachable(entry, now) {
                    return MAX_PROBES;
                }
                sums.add(entry.state().slot(), idle);
                self.distance(entry, index)
            }
            // Its pair may be seen again before other threads see the entry as free.
            Some(idle) if idle <= EMPTY_AFTER => self.distance(entry, index),
            Some(_) if entry.state() == State::EMPTY => 0,
            Some(_) => {
                let to = if is_passed { State::FREE } else { State::EMPTY };
                if entry.change(to) { 0 } else { MAX_PROBES }
            }
        }
    }

    /// Returns whether a search for the entry's pair ends at this entry. If not, frees the entry.
    fn check_reachable(&self, entry: Entry<'_>, now: Minute) -> bool {
        match self.find(entry.key(), now) {
            // The pair has another entry, closer to its home, so nothing is lost.
            Some(Lookup::Found(found)) if !found.is_same_as(entry) => {
                entry.change(State::FREE);
                false
            }
            // The search ends before the entry. Or another thread has just reused the entry: then its state has
            // changed.
            Some(Lookup::Available(_)) => {
                if entry.change(State::FREE) {
                    self.count_lost();
                }
                false
            }
            Some(Lookup::Found(_)) | None => true,
        }
    }

    /// Evicts the oldest pairs, and counts the others again.
    fn evict_oldest(&self, now: Minute, excess: u64, groups: usize, sums: &mut Sums) {
        let mut oldest = sums.oldest(excess);
        sums.clear(groups);
        for entry in self.entries().iter().map(Entry::read) {
            let Some(idle) = entry.state().idle(now).filter(|idle| *idle <= DAY) else {
                continue;
            };
            // A pair that is seen again at this moment stays.
            if oldest.contains(idle) && entry.change(State::FREE) {
                oldest.remove(idle);
                self.counters.add(PairCounter::Evicted, 1);
            } else {
                sums.add(entry.state().slot(), idle);
            }
        }
    }
}
