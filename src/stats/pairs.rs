//! How many distinct senders each group had in the last hour and the last day: exact, until the table is full.
//!
//! A table of (group, sender) pairs with the group's slot and the minute in which the pair was last seen. It has room
//! for twice as many pairs as its capacity, so that a search is short; [`Pairs::scan`], in the tick, counts the pairs
//! by group and brings their number back to the capacity: the oldest go, and are counted.
//!
//! A pair's entry is the first that was free when it came, counted from the place that its hash gives, round the end
//! of the table. The search for a pair goes on to the first entry that never held one, or to the end of the window.
//! Entries are never moved. How threads share an entry is in [`entry`]; that a pair has only one entry is argued in
//! [`scan`].

mod entry;
mod scan;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::carry::{Carry, copy_words, keys};
use super::counters::Counters;
use super::groups::Moved;
use crate::arena::{Layout, Place, Plan, Section, prefetch};
use crate::domain::UnixMillis;
use entry::{Entry, Key, Minute, State, Words};
use scan::Sums;

/// A pair seen in this minute or in so many before it is in the count of the last hour.
const HOUR: u32 = 60;

/// The same for the last day. A pair that was not seen for longer is in no count, and its entry can be given away.
const DAY: u32 = 24 * HOUR;

/// Entries that a search looks at, at most.
///
/// A run of k entries is full only if at least k pairs have their home in it. With half of the entries in use that
/// number is about Poisson with mean k/2, and Chernoff's bound for its tail is e^(k(1 - a + ln a)), a = 1/2, which is
/// e^(-0.193k) (Mitzenmacher & Upfal, "Probability and Computing", theorem 5.4; Pittel, "Linear probing: the probable
/// largest search time grows logarithmically with the number of records", J. Algorithms 8, 1987, has the same
/// exponent). For 128 entries that is 2e-11, and summed over all longer runs and the two million places of a table for
/// a million pairs, 2e-4: while a table is not over its capacity, no pair is driven out. 128 entries are 2 KiB in a row.
const WINDOW: usize = 128;

/// How often a search starts over because another thread was faster, before the pair is given up and counted as
/// evicted.
const ATTEMPTS: usize = 32;

/// What is counted about the table itself.
#[derive(Clone, Copy)]
enum Tally {
    /// Pairs that got an entry; one that comes back after over a day counts again.
    Inserted = 0,
    /// Pairs that lost their entry within a day, and pairs that got none.
    Evicted,
}

const TALLIES: usize = Tally::Evicted as usize + 1;
const TALLY_KEYS: [&str; TALLIES] = ["inserted", "evicted"];

/// Version of the layout of the table and of the number beside it.
const LAYOUT: u32 = 1;

/// The pairs of group and sender that were seen within a day.
#[derive(Debug)]
pub(super) struct Pairs {
    table: Section,
    tallies: Counters,
    /// One word: pairs at the last scan, less inserted, plus evicted up to then (wrapping), so that adding today's
    /// insertions gives today's pairs.
    base: Section,
    capacity: usize,
    /// Held by the scan alone. Kept between scans, since it is 8 bytes for each group.
    sums: Mutex<Sums>,
}

/// Where [`Pairs`] lies in the block.
#[derive(Clone, Copy)]
pub(super) struct Places {
    table: Place,
    tallies: Place,
    base: Place,
}

/// What is to be recorded.
#[derive(Clone, Copy)]
struct Sighting {
    key: Key,
    minute: Minute,
    state: State,
}

/// What a search found.
enum Found<'table> {
    /// The pair's entry.
    Held(Entry<'table>),
    /// The pair has none, but could have this one.
    Room(Entry<'table>),
}

impl Pairs {
    pub(super) fn reserve(plan: &mut Plan, capacity: usize) -> Places {
        let entries = (2 * capacity).next_power_of_two();
        Places {
            table: plan.reserve(Layout::of("pairs", LAYOUT, size_of::<Words>(), entries)),
            tallies: Counters::reserve(plan, "pair tallies", vec![keys(TALLY_KEYS)]),
            base: plan.reserve(Layout::of("pairs at the last scan", LAYOUT, size_of::<u64>(), 1)),
        }
    }

    /// The pairs in sections that were reserved for as many; before any thread uses them.
    pub(super) fn over(
        places: Places,
        capacity: usize,
        section: impl Fn(Place) -> io::Result<Section>,
    ) -> io::Result<Self> {
        Ok(Self {
            table: section(places.table)?,
            tallies: Counters::over(section(places.tallies)?, TALLIES),
            base: section(places.base)?,
            capacity,
            sums: Mutex::default(),
        })
    }

    /// Frees the entries that threads were about to fill when their process ended.
    pub(super) fn restore(&self) {
        for entry in self.entries().iter().map(Entry::read).filter(|entry| entry.state().is_claim()) {
            entry.change(State::FREE);
        }
    }

    /// Asks for the memory where the search for a pair begins.
    #[inline]
    pub(super) fn prefetch(&self, key: u64) {
        let entries = self.entries();
        if let Some([word, ..]) = entries.get(Key::of(key).home(entries.len())) {
            prefetch(word);
        }
    }

    /// Notes that a pair was seen. `key` is a hash of the group's name and the sender's id of which every bit is mixed;
    /// `slot` the group's slot now. Lock-free, allocates nothing, and writes nothing for a pair that was seen in this
    /// minute already.
    ///
    /// A pair counts for the slot that it was last seen with. So a slot may go to another group only when its group has
    /// been idle for more than [`DAY`] *and a minute*: until then the pairs of its last minute still count.
    #[inline]
    pub(super) fn record(&self, key: u64, slot: u32, now: UnixMillis) {
        let minute = Minute::of(now);
        self.note(Sighting { key: Key::of(key), minute, state: State::seen(slot, minute) });
    }

    /// Starts what is counted about the table from 0. The pairs stay.
    pub(super) fn reset_counts(&self) {
        self.tallies.section().iter().for_each(|word| word.store(0, Ordering::Relaxed));
        let pairs = self.entries().iter().map(Entry::read).filter(|entry| !entry.state().has_no_pair()).count();
        self.base.iter().for_each(|base| base.store(pairs as u64, Ordering::Relaxed));
    }

    /// Takes the pairs of a stored table: as they are, if the table has the same size and no group has moved.
    pub(super) fn carry(&self, carry: &Carry<'_>, moved: &Moved) {
        self.tallies.carry(carry, "pair tallies", |key| TALLY_KEYS.iter().position(|name| *name == key));
        let Some(stored) = carry.section("pairs", LAYOUT, size_of::<Words>()) else { return };
        if stored.len() == self.table.len() && *moved == Moved::Nowhere {
            copy_words(&stored, &self.table);
            carry.copy("pairs at the last scan", LAYOUT, &self.base);
            return;
        }
        // Those that came and went before leave nothing.
        self.base.iter().for_each(|base| base.store(0_u64.wrapping_sub(self.came_less_went()), Ordering::Relaxed));
        for entry in stored.as_chunks().0.iter().map(Entry::read) {
            let state = entry.state();
            if state.has_no_pair() || state.is_claim() {
                continue;
            }
            if let Some(slot) = moved.slot(state.slot()) {
                let minute = state.minute();
                self.note(Sighting { key: entry.key(), minute, state: State::seen(slot, minute) });
            }
        }
    }

    #[inline]
    fn note(&self, sighting: Sighting) {
        for _ in 0..ATTEMPTS {
            if self.find(sighting.key, sighting.minute).is_some_and(|found| self.put(found, sighting)) {
                return;
            }
        }
        self.lose();
    }

    /// Looks a pair up, or a place for it: the first entry in its window that is free or idle for over a day, else the
    /// one that is idle longest. Nothing if all of them are just being claimed.
    #[inline]
    fn find(&self, key: Key, now: Minute) -> Option<Found<'_>> {
        let mut room: Option<(u32, Entry<'_>)> = None;
        for words in self.window(key) {
            let entry = Entry::read(words);
            if entry.is_for(key) {
                return Some(Found::Held(entry));
            }
            if let Some(idle) = entry.state().idle(now)
                && room.is_none_or(|(best, _)| best <= DAY && idle > best)
            {
                room = Some((idle, entry));
            }
            if entry.state() == State::EMPTY {
                break;
            }
        }
        room.map(|(_, entry)| Found::Room(entry))
    }

    /// The entries in which a key can be, in the order of the search.
    #[inline]
    fn window(&self, key: Key) -> impl Iterator<Item = &Words> {
        let entries = self.entries();
        let (before, from) = entries.split_at_checked(key.home(entries.len())).unwrap_or_default();
        from.iter().chain(before).take(WINDOW)
    }

    #[inline]
    fn entries(&self) -> &[Words] {
        self.table.as_chunks().0
    }

    /// Writes a sighting where it belongs. False if another thread was faster there: the search must start over.
    #[inline]
    fn put(&self, found: Found<'_>, sighting: Sighting) -> bool {
        match found {
            Found::Held(entry) if entry.state() == sighting.state => true,
            Found::Held(entry) if entry.state().is_claim() => self.fill(entry, sighting),
            Found::Held(entry) => self.see_again(entry, sighting),
            Found::Room(entry) => self.insert(entry, sighting),
        }
    }

    fn see_again(&self, entry: Entry<'_>, sighting: Sighting) -> bool {
        let changed = entry.change(sighting.state);
        if changed && entry.state().idle(sighting.minute) > Some(DAY) {
            self.tallies.add(Tally::Inserted as usize, 1);
        }
        changed
    }

    // Not cold: half of the messages of a busy hour bring a new pair.
    #[inline]
    fn insert(&self, entry: Entry<'_>, sighting: Sighting) -> bool {
        if !entry.change(State::claim(sighting.key)) {
            return false;
        }
        if entry.state().idle(sighting.minute) <= Some(DAY) {
            self.tallies.add(Tally::Evicted as usize, 1);
        }
        self.fill(entry, sighting)
    }

    #[inline]
    fn fill(&self, entry: Entry<'_>, sighting: Sighting) -> bool {
        let filled = entry.fill(sighting.key, sighting.state);
        if filled {
            self.tallies.add(Tally::Inserted as usize, 1);
        }
        filled
    }

    /// Counts a pair that has no entry though it was seen: as one that came and went.
    #[cold]
    fn lose(&self) {
        self.tallies.add(Tally::Inserted as usize, 1);
        self.tallies.add(Tally::Evicted as usize, 1);
    }

    /// Pairs seen within a day: those at the last scan and those that came since. Some of them may have grown too old
    /// since, and those that came during the scan may be in it twice; so it is exact only at a scan, if nothing comes.
    pub(super) fn tracked(&self) -> u64 {
        let base = self.base.first().map_or(0, |base| base.load(Ordering::Relaxed));
        // Negative for a moment if an eviction shows before the insertion that made it necessary.
        let tracked = base.wrapping_add(self.came_less_went()).cast_signed().max(0).cast_unsigned();
        tracked.min(self.entries().len() as u64)
    }

    /// Pairs inserted less pairs evicted, wrapping.
    fn came_less_went(&self) -> u64 {
        self.tallies.sum(Tally::Inserted as usize).wrapping_sub(self.evicted())
    }

    /// How many pairs can be tracked.
    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Pairs that were dropped, or not taken, for want of room.
    pub(super) fn evicted(&self) -> u64 {
        self.tallies.sum(Tally::Evicted as usize)
    }
}
