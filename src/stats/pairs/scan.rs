//! The scan: counts the pairs by group, and puts the table in order.
//!
//! A pair must have one entry, or it counts twice, and a search must reach it. Both hold while nothing happens between
//! a thread's search and its claim: it has then seen that no entry in the window is the pair's, and takes one that
//! every later search comes by before its end. What can happen in between:
//! - Another thread inserts the same pair. Both take the first entry that is free to them. It is the same one, and one
//!   of them fails and finds the other's; unless an entry became free between their looks, because a day was over or
//!   the scan dropped its pair. Then the pair has two entries.
//! - The scan empties an entry before the one that the thread takes. It does that only to an entry that has been of no
//!   use for minutes, or since the scan before. A thread that looked at it in that time takes it, and does not pass it;
//!   so the thread would have had to look before.
//!
//! Neither can be ruled out without a wait, so the scan looks at each pair as a search would, and frees an entry that
//! a search does not arrive at, before it counts it. A count can have a pair twice only while the race is on.

use std::sync::atomic::Ordering;

use super::entry::{Entry, Minute, State};
use super::{DAY, Found, HOUR, Pairs, Tally, WINDOW};
use crate::domain::UnixMillis;

/// Minutes for which an entry must have been of no use before the scan empties it. Two threads read the clock at
/// different moments; the minutes over a [`DAY`] make sure that every thread sees the entry as free.
const USELESS: u32 = DAY + 2;

/// What a scan adds up.
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// For each slot: the pairs of the last hour and of the last day.
    by_slot: Vec<(u32, u32)>,
    /// For each number of minutes up to [`DAY`]: the pairs that were last seen so long ago.
    by_idle: Vec<u64>,
}

impl Sums {
    fn start(&mut self, groups: usize) {
        self.by_slot.clear();
        self.by_slot.resize(groups, (0, 0));
        self.by_idle.clear();
        self.by_idle.resize(DAY as usize + 1, 0);
    }

    fn add(&mut self, slot: u32, idle: u32) {
        if let Some((hour, day)) = self.by_slot.get_mut(slot as usize) {
            *hour += u32::from(idle <= HOUR);
            *day += 1;
        }
        if let Some(pairs) = self.by_idle.get_mut(idle as usize) {
            *pairs += 1;
        }
    }

    fn pairs(&self) -> u64 {
        self.by_idle.iter().sum()
    }

    /// Which pairs to drop so that `excess` go and no younger one goes before an older one.
    fn oldest(&self, mut excess: u64) -> Oldest {
        for (idle, pairs) in (0..=DAY).rev().zip(self.by_idle.iter().rev()) {
            if excess <= *pairs {
                return Oldest { idle, of_these: excess };
            }
            excess -= pairs;
        }
        Oldest { idle: 0, of_these: 0 }
    }
}

/// All pairs that are idle for longer than `idle` minutes, and so many of those that are idle for as long.
#[derive(Debug)]
struct Oldest {
    idle: u32,
    of_these: u64,
}

impl Oldest {
    const fn has(&self, idle: u32) -> bool {
        idle > self.idle || (idle == self.idle && self.of_these > 0)
    }

    const fn note_dropped(&mut self, idle: u32) {
        if idle == self.idle {
            self.of_these = self.of_these.saturating_sub(1);
        }
    }
}

impl Pairs {
    /// Counts the pairs of each slot below `groups` in the last hour and the last day, and hands them to `publish`,
    /// zeros too. If there are more pairs than the capacity, drops the oldest first and counts them as evicted. For the
    /// tick only: walks the whole table; a second caller at the same time would wait.
    pub(in crate::stats) fn scan(&self, now: UnixMillis, groups: usize, mut publish: impl FnMut(u32, u32, u32)) {
        let now = Minute::of(now);
        let mut sums = self.sums.lock();
        let before = self.came_less_went();
        self.survey(now, groups, &mut sums);
        if let Some(base) = self.base.first() {
            base.store(sums.pairs().wrapping_sub(before), Ordering::Relaxed);
        }
        let excess = sums.pairs().saturating_sub(self.capacity as u64);
        if excess > 0 {
            self.drop_oldest(now, excess, groups, &mut sums);
        }
        for (slot, (hour, day)) in (0..).zip(&sums.by_slot) {
            publish(slot, *hour, *day);
        }
    }

    /// Counts, and puts each entry in order. Backwards, so that it is known of each entry whether searches pass it.
    fn survey(&self, now: Minute, groups: usize, sums: &mut Sums) {
        sums.start(groups);
        let mut passed = self.passed_round_the_end();
        for (index, words) in self.entries().iter().enumerate().rev() {
            let reach = self.tidy(index, Entry::read(words), now, passed > 0, sums);
            passed = passed.saturating_sub(1).max(reach);
        }
    }

    /// How many entries at the table's end are passed by the search for a pair at its beginning.
    fn passed_round_the_end(&self) -> usize {
        let first = self.entries().iter().map(Entry::read).enumerate().take(WINDOW);
        let reaches = first.map(|(index, entry)| match entry.state() {
            state if state.has_no_pair() => 0,
            state if state.is_claim() => WINDOW,
            _ => self.way(entry, index).saturating_sub(index),
        });
        reaches.max().unwrap_or(0)
    }

    /// How far an entry is from its key's home.
    fn way(&self, entry: Entry<'_>, index: usize) -> usize {
        let entries = self.entries().len();
        index.wrapping_sub(entry.key().home(entries)) & entries.wrapping_sub(1)
    }

    /// Counts an entry's pair; or frees the entry, and empties it if no search passes it. Gives the number of entries
    /// before it that a search for its pair passes; where another thread was faster, as many as can be.
    fn tidy(&self, index: usize, entry: Entry<'_>, now: Minute, is_passed: bool, sums: &mut Sums) -> usize {
        match entry.state().idle(now) {
            // Just being filled: it is in the next scan's count.
            None => WINDOW,
            Some(idle) if idle <= DAY => {
                if !self.is_in_place(entry, now) {
                    return WINDOW;
                }
                sums.add(entry.state().slot(), idle);
                self.way(entry, index)
            }
            // It may still be its pair's again.
            Some(idle) if idle <= USELESS => self.way(entry, index),
            Some(_) if entry.state() == State::EMPTY => 0,
            Some(_) => {
                let to = if is_passed { State::FREE } else { State::EMPTY };
                if entry.change(to) { 0 } else { WINDOW }
            }
        }
    }

    /// Whether a search for the entry's pair ends at this entry; frees the entry if not.
    fn is_in_place(&self, entry: Entry<'_>, now: Minute) -> bool {
        match self.find(entry.key(), now) {
            // The pair has another entry, nearer to its home: nothing is lost.
            Some(Found::Held(found)) if !found.is_same_as(entry) => {
                entry.change(State::FREE);
                false
            }
            // The chain ends before the entry; or another thread has just given the entry away, so that it is no
            // longer in the state that was seen.
            Some(Found::Room(_)) => {
                if entry.change(State::FREE) {
                    self.lose();
                }
                false
            }
            Some(Found::Held(_)) | None => true,
        }
    }

    /// Drops the oldest pairs, and counts those that are left anew.
    fn drop_oldest(&self, now: Minute, excess: u64, groups: usize, sums: &mut Sums) {
        let mut oldest = sums.oldest(excess);
        sums.start(groups);
        for entry in self.entries().iter().map(Entry::read) {
            let Some(idle) = entry.state().idle(now).filter(|idle| *idle <= DAY) else {
                continue;
            };
            // A pair that is seen again at this very moment stays.
            if oldest.has(idle) && entry.change(State::FREE) {
                oldest.note_dropped(idle);
                self.tallies.add(Tally::Evicted as usize, 1);
            } else {
                sums.add(entry.state().slot(), idle);
            }
        }
    }
}
