//! The table of groups.
//!
//! A group has a slot of fixed size in the block. A map finds the slot by the group's name. A slot's count changes only
//! while a shared guard for the group's entry in the map is held. So a thread that holds the guard exclusively can
//! retire the group without losing a message.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, compiler_fence};

use compact_str::CompactString;
use dashmap::DashMap;
use foldhash::fast::RandomState;
use parking_lot::Mutex;

use super::dismissed::DismissedGroups;
use super::exported::ExportedGroups;
use super::idle::{IDLE_MS, IdleSlots, RetirementPause, RetirementPauses};
use super::slot::{Group, SLOT_WORDS, Slot};
use super::slot_set::SlotSet;
use crate::arena::{Block, Contents, Layout, Section, SingleWord};
use crate::domain::UnixMillis;
use crate::named::named;
use crate::stats::counters::CounterSet;
use crate::stats::group_name::with_name;

/// Time between two rankings.
const RANK_INTERVAL_MS: i64 = 10_000;

/// The time in which the rate of a silent group halves.
const RATE_HALF_LIFE_SECONDS: f64 = 300.0;

/// How a message was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// For the tracked group in this slot.
    Known(u32),
    /// For a group that was not tracked before, in this slot.
    Added(u32),
    /// Without a group, because the table is full.
    Folded,
    /// Without a group, because it was dismissed.
    Dismissed,
    /// As a message between two users.
    Single,
    /// Not at all, because it is a duplicate.
    Duplicate,
    /// Not at all, because messages of its kind are counted from the other callback.
    OtherSource,
}

/// Average number of groups in a shard of the map when the table is full. While a shard grows, all its groups wait:
/// with this many, usually less than 50 us. So the map can start small, and its entries stay close together in memory.
const GROUPS_PER_SHARD: usize = 1024;

/// The fewest shards, so that threads rarely wait for the same one.
const MIN_SHARDS: usize = 64;

/// The number of shards: a power of two, as `DashMap` requires.
pub(super) fn shards(capacity: usize) -> usize {
    capacity.div_ceil(GROUPS_PER_SHARD).next_power_of_two().max(MIN_SHARDS)
}

named! {
    /// Counters of the table.
    pub(in crate::stats) enum GroupCounter {
        /// Messages that were received when no slot was available.
        FoldedForCapacity = "folded capacity",
        /// Messages of retired groups.
        FoldedRetired = "folded retired",
        /// Retired groups.
        Retired = "retired groups",
        /// Messages of dismissed groups.
        FoldedDismissed = "folded dismissed",
        /// Messages of erased groups.
        FoldedErased = "folded erased",
        /// Messages that were reported after the dismissal of their group. They have a counter of their own, because
        /// completing a dismissal after a kill sets the other one.
        FoldedLate = "folded late",
    }
}

/// Names of sections in a state.
pub(in crate::stats) const SLOTS: &str = "groups";
pub(in crate::stats) const COUNTERS: &str = "folded";
pub(in crate::stats) const JOURNAL: &str = "retiring";
pub(super) const RANKED_AT: &str = "ranked at";

/// Version of the layout of a slot, of the journal and of the time of the ranking.
pub(super) const LAYOUT: u32 = 1;
pub(super) const SLOT_BYTES: usize = SLOT_WORDS * size_of::<u64>();

const JOURNAL_WORDS: usize = 2;

/// Why a group is removed: the counter of its messages, and what is added to the journal's first word. Slots have 32 bits.
pub(super) const REMOVALS: [(GroupCounter, u64); 3] =
    [(GroupCounter::FoldedRetired, 0), (GroupCounter::FoldedDismissed, 1 << 32), (GroupCounter::FoldedErased, 2 << 32)];

/// The tracked groups.
#[derive(Debug)]
pub(in crate::stats) struct GroupTable {
    pub(super) slots: Section,
    pub(super) counters: CounterSet<GroupCounter>,
    /// While a group is being removed: its slot plus one, with the reason from [`REMOVALS`] added, and the number of
    /// folded messages afterwards. If the process ends meanwhile, the next one completes it.
    pub(super) journal: Section,
    /// Held while a group is being removed, because there is only one journal.
    retiring: Mutex<()>,
    pub(super) dismissed: DismissedGroups,
    /// Whether dismissed groups may still be tracked, because a reader paused the retirement.
    pub(super) has_waiting: AtomicBool,
    /// Slots of dismissed and erased groups. They are free, but must not be used: the groups' pairs are not forgotten
    /// yet, and a message that was received just before may still add one.
    pub(super) vacated: Mutex<Vec<u32>>,
    /// Slots below this number have been used.
    pub(super) used: AtomicUsize,
    pub(super) tracked: AtomicUsize,
    pub(super) by_name: DashMap<CompactString, u32, RandomState>,
    pub(super) idle: IdleSlots,
    pub(super) pauses: RetirementPauses,
    pub(super) exported: ExportedGroups,
    /// When the groups were last ranked, in milliseconds since the epoch; 0 before the first time. In the block, so
    /// that rates survive a restart.
    pub(super) ranked_at: SingleWord,
    is_new: AtomicBool,
}

impl GroupTable {
    pub(in crate::stats) fn reserve(contents: &mut Contents, capacity: usize) {
        contents.reserve(Layout::new(SLOTS, LAYOUT, SLOT_BYTES, capacity));
        CounterSet::<GroupCounter>::reserve(contents, COUNTERS);
        contents.reserve(Layout::new(JOURNAL, LAYOUT, size_of::<u64>(), JOURNAL_WORDS));
        contents.reserve(Layout::new(RANKED_AT, LAYOUT, size_of::<u64>(), 1));
        DismissedGroups::reserve(contents);
    }

    pub(in crate::stats) fn open(block: &Block, max_exported: usize) -> io::Result<Self> {
        let slots = block.section(SLOTS)?;
        let capacity = slots.len() / SLOT_WORDS;
        Ok(Self {
            slots,
            counters: CounterSet::open(block, COUNTERS)?,
            journal: block.section(JOURNAL)?,
            retiring: Mutex::default(),
            dismissed: DismissedGroups::open(block)?,
            // The process may have been killed during a pause.
            has_waiting: AtomicBool::new(true),
            vacated: Mutex::default(),
            used: AtomicUsize::new(0),
            tracked: AtomicUsize::new(0),
            by_name: DashMap::with_hasher_and_shard_amount(RandomState::default(), shards(capacity)),
            idle: IdleSlots::default(),
            pauses: RetirementPauses::default(),
            exported: ExportedGroups::new(max_exported),
            ranked_at: block.single_word(RANKED_AT)?,
            is_new: AtomicBool::new(true),
        })
    }

    /// Counts a message of a group. `meanwhile` runs while the slot's memory is loaded into the cache: it should take
    /// some time, but not wait.
    #[inline]
    pub(in crate::stats) fn record(&self, id: &str, now: UnixMillis, meanwhile: impl FnOnce()) -> Recorded {
        with_name(id, |name| {
            if let Some(entry) = self.by_name.get(name) {
                let slot = self.slot(*entry);
                slot.inspect(|slot| slot.prefetch());
                meanwhile();
                slot.inspect(|slot| slot.count(now));
                return Recorded::Known(*entry);
            }
            meanwhile();
            let recorded = self.add(name, now);
            match recorded {
                Recorded::Folded => self.counters.add(GroupCounter::FoldedForCapacity, 1),
                Recorded::Dismissed => self.counters.add(GroupCounter::FoldedLate, 1),
                _ => {}
            }
            recorded
        })
    }

    fn count(&self, slot: u32, now: UnixMillis) {
        if let Some(slot) = self.slot(slot) {
            slot.count(now);
        }
    }

    /// Tracks a new group, or folds the message if no slot is available. The slot is found before the map is locked, so
    /// that a flood of new groups does not delay other threads.
    #[cold]
    fn add(&self, name: &str, now: UnixMillis) -> Recorded {
        if self.dismissed.contains(name) {
            return Recorded::Dismissed;
        }
        let Some(number) = self.claim(now) else {
            return Recorded::Folded;
        };
        match self.by_name.entry(CompactString::from(name)) {
            dashmap::Entry::Occupied(entry) => {
                self.idle.give_back(number);
                self.count(*entry.get(), now);
                Recorded::Known(*entry.get())
            }
            dashmap::Entry::Vacant(entry) => {
                if let Some(slot) = self.slot(number) {
                    slot.occupy(name, now);
                    self.exported.add(number, name, now, |number| self.slot(number));
                }
                self.tracked.fetch_add(1, Ordering::Relaxed);
                entry.insert(number);
                Recorded::Added(number)
            }
        }
    }

    /// Finds a free slot: one that was never used, one that was given back, or that of a group which can be retired.
    fn claim(&self, now: UnixMillis) -> Option<u32> {
        let next = |used| (used < self.capacity()).then_some(used + 1);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(slot) => u32::try_from(slot).ok(),
            Err(_) => self.idle.take_free().or_else(|| self.retire_one(now)),
        }
    }

    /// Retires the group that was idle longest at the last tick and is still idle.
    fn retire_one(&self, now: UnixMillis) -> Option<u32> {
        if self.idle.is_empty() {
            return None;
        }
        // While a reader iterates over the groups, none of them may be folded.
        let _retiring = self.pauses.retire(now)?;
        std::iter::from_fn(|| self.idle.take_candidate()).find(|number| self.retire(*number, now))
    }

    fn retire(&self, number: u32, now: UnixMillis) -> bool {
        let Some((slot, group)) = self.slot(number).and_then(|slot| Some((slot, slot.read()?))) else {
            return false;
        };
        let vacate = || {
            self.move_to_folded(number, slot, GroupCounter::FoldedRetired);
            true
        };
        let is_idle = |mapped: &u32| *mapped == number && now.since(slot.last_seen()) > IDLE_MS;
        let retired = self.by_name.remove_if(group.name.as_str(), |_, mapped| is_idle(mapped) && vacate()).is_some();
        if retired {
            self.tracked.fetch_sub(1, Ordering::Relaxed);
        }
        retired
    }

    /// Whether a slot has a group.
    pub(in crate::stats) fn is_used(&self, slot: u32) -> bool {
        self.slot(slot).is_some_and(|slot| !slot.is_free())
    }

    /// Frees a slot and folds its messages. The order of the writes ensures that no message is lost or counted twice if
    /// the process is killed in between. The caller holds the map's entry exclusively, so no thread is counting.
    pub(super) fn move_to_folded(&self, number: u32, slot: Slot<'_>, reason: GroupCounter) {
        let _retiring = self.retiring.lock();
        let folded = self.counters.sum(reason).wrapping_add(slot.messages());
        let added = REMOVALS.iter().find(|(counter, _)| *counter == reason).map_or(0, |(_, added)| *added);
        if let [journal_slot, journal_folded, ..] = &*self.journal {
            // A killed process has done all stores before some instruction, and none after it. So only the order of the
            // instructions matters.
            journal_folded.store(folded, Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
            journal_slot.store(u64::from(number) + 1 + added, Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
            self.counters.add(reason, slot.messages());
            self.counters.add(GroupCounter::Retired, u64::from(reason == GroupCounter::FoldedRetired));
            slot.vacate();
            compiler_fence(Ordering::SeqCst);
            journal_slot.store(0, Ordering::Relaxed);
        }
        self.exported.remove(number, slot);
    }

    /// Periodic work, not on a serving thread: updates the rates, chooses the exported groups, and finds groups that
    /// can be retired. Returns whether it was due.
    pub(in crate::stats) fn tick(&self, now: UnixMillis) -> bool {
        let elapsed_ms = now.0.saturating_sub(self.ranked_at.get().cast_signed());
        // Always due after a start, and after the clock was set back.
        let is_new = self.is_new.swap(false, Ordering::Relaxed);
        if (0..RANK_INTERVAL_MS).contains(&elapsed_ms) && !is_new {
            return false;
        }
        self.ranked_at.set(now.0.cast_unsigned());
        let seconds = (elapsed_ms.clamp(1000, IDLE_MS) as f64) / 1000.0;
        let weight = (-seconds / RATE_HALF_LIFE_SECONDS).exp2();
        let is_full = self.used.load(Ordering::Relaxed) == self.capacity();
        let mut idle = self.idle.search(is_full, self.capacity(), now);
        let mut ranking = self.exported.ranking(now);
        for (number, slot) in self.slots().filter(|(_, slot)| !slot.is_free()) {
            ranking.add(number, slot, slot.update_rate(seconds, weight));
            idle.add(number, slot.last_seen());
        }
        self.idle.replace_candidates(idle);
        self.exported.replace(ranking, |number| self.slot(number));
        true
    }

    pub(super) fn slot(&self, number: u32) -> Option<Slot<'_>> {
        self.slots.as_chunks().0.get(number as usize).map(Slot)
    }

    /// The slots that have been used, with their numbers.
    pub(super) fn slots(&self) -> impl Iterator<Item = (u32, Slot<'_>)> {
        (0..).zip(self.slots.as_chunks().0.iter().take(self.used.load(Ordering::Relaxed)).map(Slot))
    }

    /// The group in a slot; `None` if the slot is free.
    pub(in crate::stats) fn read(&self, slot: u32) -> Option<Group> {
        self.slot(slot)?.read()
    }

    /// Sets the distinct senders of the group in a slot in the last hour, and in the last 24 hours.
    pub(in crate::stats) fn set_active_senders(&self, slot: u32, in_an_hour: u32, in_a_day: u32) {
        if let Some(slot) = self.slot(slot).filter(|slot| !slot.is_free()) {
            slot.set_active_senders(in_an_hour, in_a_day);
        }
    }

    /// Pauses the retirement of groups.
    pub(in crate::stats) fn pause_retirement(&self, now: UnixMillis) -> RetirementPause {
        self.pauses.start(now)
    }

    /// The slots of the exported groups.
    pub(in crate::stats) fn exported(&self) -> Vec<u32> {
        self.exported.slots()
    }

    /// The same as a set.
    pub(in crate::stats) fn exported_set(&self) -> SlotSet {
        self.exported.slot_set()
    }

    /// How many groups are exported.
    pub(in crate::stats) fn exported_len(&self) -> usize {
        self.exported.len()
    }

    /// How many groups can be exported.
    pub(in crate::stats) const fn exported_capacity(&self) -> usize {
        self.exported.capacity()
    }

    /// Slots below this number have been used.
    pub(in crate::stats) fn slots_used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(in crate::stats) fn tracked(&self) -> usize {
        self.tracked.load(Ordering::Relaxed)
    }

    pub(in crate::stats) fn capacity(&self) -> usize {
        self.slots.len() / SLOT_WORDS
    }

    pub(in crate::stats) fn folded_for_capacity(&self) -> u64 {
        self.counters.sum(GroupCounter::FoldedForCapacity)
    }

    pub(in crate::stats) fn folded_retired(&self) -> u64 {
        self.counters.sum(GroupCounter::FoldedRetired)
    }

    pub(in crate::stats) fn folded_dismissed(&self) -> u64 {
        let [dismissed, late] = [GroupCounter::FoldedDismissed, GroupCounter::FoldedLate];
        self.counters.sum(dismissed).saturating_add(self.counters.sum(late))
    }

    pub(in crate::stats) fn folded_erased(&self) -> u64 {
        self.counters.sum(GroupCounter::FoldedErased)
    }

    pub(in crate::stats) fn retired(&self) -> u64 {
        self.counters.sum(GroupCounter::Retired)
    }
}
