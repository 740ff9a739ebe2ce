//! The table of pairs of a group and a sender.
//!
//! An entry has a hash of the pair, the group's slot, and the minute in which the pair was last seen. There are twice
//! as many entries as the capacity, so that searches are short. [`Pairs::scan`], in the tick, counts the pairs by group
//! and evicts the oldest ones over the capacity, which are counted.
//!
//! A hash table with linear probing: a pair's entry is the first that is free when the pair is inserted, starting at
//! the position that its hash determines, and wrapping at the end of the table. A search ends at the first entry that
//! never had a pair, or after [`MAX_PROBES`] entries. Entries never move. [`super::entry`] explains how threads share
//! an entry, and [`super::scan`] why a pair has only one entry.

use std::collections::HashSet;
use std::io;

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use super::entry::{Entry, Key, Minute, State, Words};
use super::sums::{DAY, Sums};
use crate::arena::{Block, Contents, Layout, Section, SingleWord, prefetch};
use crate::domain::UnixMillis;
use crate::named::named;
use crate::stats::carry::{CarryOver, copy_words};
use crate::stats::counters::CounterSet;
use crate::stats::groups::SlotMapping;

/// How many entries a search reads, at most.
///
/// A run of k entries is full only if at least k pairs have their home in it. With half of the entries in use that
/// number is about Poisson with mean k/2, and Chernoff's bound for its tail is e^(k(1 - a + ln a)), a = 1/2, which is
/// e^(-0.193k) (Mitzenmacher & Upfal, "Probability and Computing", theorem 5.4; Pittel, "Linear probing: the probable
/// largest search time grows logarithmically with the number of records", J. Algorithms 8, 1987, has the same
/// exponent). For 128 entries that is 2e-11, and summed over all longer runs and the two million entries of a table for
/// a million pairs, 2e-4. So no pair is evicted while a table is within its capacity. 128 entries are 2 KiB in
/// sequence.
pub(super) const MAX_PROBES: usize = 128;

/// How many times a search is tried, if other threads are faster each time. After that, the pair counts as evicted.
const MAX_ATTEMPTS: usize = 32;

named! {
    /// Counters of the table.
    pub(super) enum PairCounter {
        /// Pairs that got an entry, including those that were not seen for over a day.
        Inserted = "inserted",
        /// Pairs that lost their entry within a day, and pairs that got none.
        Evicted = "evicted",
    }
}

/// Names of sections in a state.
const TABLE: &str = "pairs";
const COUNTERS: &str = "pair tallies";
const BASE: &str = "pairs at the last scan";

/// Version of the layout of [`TABLE`] and of [`BASE`].
const LAYOUT: u32 = 1;

/// The pairs that were seen within a day.
#[derive(Debug)]
pub(in crate::stats) struct Pairs {
    table: Section,
    pub(super) counters: CounterSet<PairCounter>,
    /// Pairs at the last scan, minus the pairs inserted until then, plus the pairs evicted until then (wrapping). With
    /// [`Pairs::inserted_minus_evicted`] added, this is the current number of pairs.
    pub(super) base: SingleWord,
    pub(super) capacity: usize,
    /// Only the scan uses it. It is kept to avoid an allocation of 8 bytes per group in each scan.
    pub(super) sums: Mutex<Sums>,
}

/// A pair that was seen.
#[derive(Clone, Copy)]
struct Sighting {
    key: Key,
    minute: Minute,
    state: State,
}

/// The result of a search.
pub(super) enum Lookup<'table> {
    /// The pair's entry.
    Found(Entry<'table>),
    /// The pair has no entry, but can have this one.
    Available(Entry<'table>),
}

impl Pairs {
    pub(in crate::stats) fn reserve(contents: &mut Contents, capacity: usize) {
        let entries = (2 * capacity).next_power_of_two();
        contents.reserve(Layout::new(TABLE, LAYOUT, size_of::<Words>(), entries));
        CounterSet::<PairCounter>::reserve(contents, COUNTERS);
        contents.reserve(Layout::new(BASE, LAYOUT, size_of::<u64>(), 1));
    }

    /// The most pairs that the table of a stored block can have been made for.
    pub(in crate::stats) fn stored_capacity(contents: &Contents) -> usize {
        contents.find(TABLE).map_or(0, |table| table.layout.count / 2)
    }

    pub(in crate::stats) fn open(block: &Block, capacity: usize) -> io::Result<Self> {
        Ok(Self {
            table: block.section(TABLE)?,
            counters: CounterSet::open(block, COUNTERS)?,
            base: block.single_word(BASE)?,
            capacity,
            sums: Mutex::default(),
        })
    }

    /// Frees the entries that threads were filling when the process ended, and those of slots without a group.
    pub(in crate::stats) fn restore(&self, has_group: impl Fn(u32) -> bool) {
        self.free(|entry| entry.state().is_claim() || !has_group(entry.state().slot()));
    }

    /// Forgets the pairs of groups that lost these slots. Returns how many there were.
    pub(in crate::stats) fn forget(&self, slots: &[u32]) -> usize {
        let slots: HashSet<u32> = slots.iter().copied().collect();
        self.free(|entry| !entry.state().is_claim() && slots.contains(&entry.state().slot()))
    }

    /// Forgets the pairs with these hashes. Returns how many there were. Reads the whole table once, which is faster than
    /// a search for each of many pairs.
    pub(in crate::stats) fn forget_hashes(&self, hashes: impl Iterator<Item = u64>) -> usize {
        let keys: HashSet<Key, RandomState> = hashes.map(Key::from_hash).collect();
        self.free(|entry| !entry.state().is_claim() && keys.contains(&entry.key()))
    }

    /// Frees the entries whose pairs are to go. Returns how many.
    fn free(&self, is_to_go: impl Fn(Entry<'_>) -> bool) -> usize {
        let used = self.entries().iter().map(Entry::read).filter(|entry| !entry.state().has_no_pair());
        used.filter(|entry| is_to_go(*entry) && entry.clear()).count()
    }

    /// Loads the cache line where the search for a pair starts.
    #[inline]
    pub(in crate::stats) fn prefetch(&self, key: u64) {
        let entries = self.entries();
        if let Some([word, ..]) = entries.get(Key::from_hash(key).home(entries.len())) {
            prefetch(word);
        }
    }

    /// Records that a pair was seen. `hash` is a well-mixed hash of the group's and the sender's IDs, `slot` the
    /// group's current slot. Lock-free, does not allocate, and does not write if the pair was already seen in this
    /// minute.
    ///
    /// A pair counts for the slot with which it was last seen. So another group may only get a slot when its group has
    /// been idle for more than [`DAY`] *and a minute*: until then the pairs of its last minute still count.
    #[inline]
    pub(in crate::stats) fn record(&self, hash: u64, slot: u32, now: UnixMillis) {
        let minute = Minute::from_time(now);
        self.record_sighting(Sighting { key: Key::from_hash(hash), minute, state: State::seen(slot, minute) });
    }

    /// Resets the counters to 0. The pairs stay.
    pub(in crate::stats) fn reset_counts(&self) {
        self.counters.reset();
        let pairs = self.entries().iter().map(Entry::read).filter(|entry| !entry.state().has_no_pair()).count();
        self.base.set(pairs as u64);
    }

    /// Copies the pairs of an old table: as they are, if it has the same size and no group has moved.
    pub(in crate::stats) fn carry_from(&self, old: &CarryOver<'_>, slots: &SlotMapping) {
        self.counters.carry_from(old);
        let Some(stored) = old.section(TABLE, LAYOUT, size_of::<Words>()) else { return };
        if stored.len() == self.table.len() && *slots == SlotMapping::Unchanged {
            copy_words(&stored, &self.table);
            old.copy(BASE, LAYOUT, &self.base);
            return;
        }
        // The table is still empty.
        self.base.set(0_u64.wrapping_sub(self.inserted_minus_evicted()));
        for entry in stored.as_chunks().0.iter().map(Entry::read) {
            let state = entry.state();
            if state.has_no_pair() || state.is_claim() {
                continue;
            }
            if let Some(slot) = slots.new_slot(state.slot()) {
                let minute = state.minute();
                self.record_sighting(Sighting { key: entry.key(), minute, state: State::seen(slot, minute) });
            }
        }
    }

    #[inline]
    fn record_sighting(&self, sighting: Sighting) {
        for _ in 0..MAX_ATTEMPTS {
            if self.find(sighting.key, sighting.minute).is_some_and(|found| self.write(found, sighting)) {
                return;
            }
        }
        self.count_lost();
    }

    /// Finds a pair's entry, or an entry for it: the first probed one that is free or idle for over a day, else the one
    /// that is idle longest. `None` if all of them are being claimed at this moment.
    #[inline]
    pub(super) fn find(&self, key: Key, now: Minute) -> Option<Lookup<'_>> {
        let mut available: Option<(u32, Entry<'_>)> = None;
        for words in self.probe(key) {
            let entry = Entry::read(words);
            if entry.is_for(key) {
                return Some(Lookup::Found(entry));
            }
            if let Some(idle) = entry.state().idle(now)
                && available.is_none_or(|(best, _)| best <= DAY && idle > best)
            {
                available = Some((idle, entry));
            }
            if entry.state() == State::EMPTY {
                break;
            }
        }
        available.map(|(_, entry)| Lookup::Available(entry))
    }

    /// The entries in which a key can be, in the order of the search.
    #[inline]
    fn probe(&self, key: Key) -> impl Iterator<Item = &Words> {
        let entries = self.entries();
        let (before, from) = entries.split_at_checked(key.home(entries.len())).unwrap_or_default();
        from.iter().chain(before).take(MAX_PROBES)
    }

    #[inline]
    pub(super) fn entries(&self) -> &[Words] {
        self.table.as_chunks().0
    }

    /// Writes a sighting to an entry. Returns false if another thread was faster, so that the search must be repeated.
    #[inline]
    fn write(&self, found: Lookup<'_>, sighting: Sighting) -> bool {
        match found {
            Lookup::Found(entry) if entry.state() == sighting.state => true,
            Lookup::Found(entry) if entry.state().is_claim() => self.fill(entry, sighting),
            Lookup::Found(entry) => self.update(entry, sighting),
            Lookup::Available(entry) => self.insert(entry, sighting),
        }
    }

    fn update(&self, entry: Entry<'_>, sighting: Sighting) -> bool {
        let changed = entry.change(sighting.state);
        if changed && entry.state().idle(sighting.minute) > Some(DAY) {
            self.counters.add(PairCounter::Inserted, 1);
        }
        changed
    }

    // Not cold: in a busy hour, half of the messages are from new pairs.
    #[inline]
    fn insert(&self, entry: Entry<'_>, sighting: Sighting) -> bool {
        if !entry.change(State::claim(sighting.key)) {
            return false;
        }
        if entry.state().idle(sighting.minute) <= Some(DAY) {
            self.counters.add(PairCounter::Evicted, 1);
        }
        self.fill(entry, sighting)
    }

    #[inline]
    fn fill(&self, entry: Entry<'_>, sighting: Sighting) -> bool {
        let filled = entry.fill(sighting.key, sighting.state);
        if filled {
            self.counters.add(PairCounter::Inserted, 1);
        }
        filled
    }

    /// Counts a pair that was seen, but has no entry: as inserted and evicted.
    #[cold]
    pub(super) fn count_lost(&self) {
        self.counters.add(PairCounter::Inserted, 1);
        self.counters.add(PairCounter::Evicted, 1);
    }

    /// Pairs seen within a day: those at the last scan and those inserted since. Approximate, because some of them may
    /// have expired since, and pairs that were inserted during the scan may count twice.
    pub(in crate::stats) fn tracked(&self) -> u64 {
        // Negative for a moment if an eviction is counted before the insertion that made it necessary.
        let tracked = self.base.get().wrapping_add(self.inserted_minus_evicted()).cast_signed().max(0).cast_unsigned();
        tracked.min(self.entries().len() as u64)
    }

    /// Pairs inserted minus pairs evicted, wrapping.
    pub(super) fn inserted_minus_evicted(&self) -> u64 {
        self.counters.sum(PairCounter::Inserted).wrapping_sub(self.evicted())
    }

    /// How many pairs can be tracked.
    pub(in crate::stats) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Pairs that were evicted, or not inserted, because the table was full.
    pub(in crate::stats) fn evicted(&self) -> u64 {
        self.counters.sum(PairCounter::Evicted)
    }
}
