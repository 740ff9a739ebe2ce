//! Messages by group, up to a capacity.
//!
//! A group has a slot of fixed size in the block, and an entry in a map that finds the slot by the group's name. A
//! slot's count moves only while the map's guard for that group is held (a shared one), so whoever holds it exclusively
//! knows that nobody is counting there: a group can be retired without losing a message.

mod exported;
mod idle;
mod slot;
mod stored;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, compiler_fence};

use compact_str::CompactString;
use dashmap::{DashMap, Entry};
use foldhash::fast::RandomState;
use parking_lot::Mutex;

use super::carry::keys;
use super::counters::Counters;
use super::group_name::with_name;
use crate::arena::{Layout, Place, Plan, Section};
use crate::domain::UnixMillis;
use exported::Exported;
use idle::{Idle, Pauses};
use slot::{SLOT_WORDS, Slot};

pub use idle::RetirementPause;
pub use slot::{Group, GroupName};
pub(super) use stored::Moved;

/// Time between two rankings.
const RANK_EVERY_MS: i64 = 10_000;

/// In this time a group that fell silent loses half of its rate.
const RATE_HALF_LIFE_SECONDS: f64 = 300.0;

/// A group that has been silent for longer may be retired: a day, and two minutes more, so that none of its senders still
/// counts as active when another group gets its slot.
const IDLE_MS: i64 = 24 * 3_600_000 + 120_000;

/// What became of a message's group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The group, in this slot, was tracked already.
    Known(u32),
    /// The group is tracked from this message on, in this slot.
    Added(u32),
    /// The table is full: the message is counted, but by no group.
    Folded,
    /// It was counted before.
    Repeat,
}

/// Groups in a shard of the map, about, when all are tracked. A shard that grows holds every group in it up, with so few
/// usually for less than 50 us; so the map need not be made for the capacity from the start, and the entries of the groups
/// that there are stand close together.
const GROUPS_OF_A_SHARD: usize = 1024;

/// The fewest shards, so that threads seldom meet in one.
const FEWEST_SHARDS: usize = 64;

/// Shards of the map: a power of two, as the map wants it.
fn shards(capacity: usize) -> usize {
    capacity.div_ceil(GROUPS_OF_A_SHARD).next_power_of_two().max(FEWEST_SHARDS)
}

/// Counters beside the slots.
#[derive(Clone, Copy)]
enum Tally {
    /// Messages that came when no slot was to be had.
    FoldedForCapacity,
    /// Messages of groups that were retired.
    FoldedRetired,
    /// Groups that were retired.
    Retired,
}

const TALLIES: usize = Tally::Retired as usize + 1;
const FOLDED_RETIRED: &str = "folded retired";
const TALLY_KEYS: [&str; TALLIES] = ["folded capacity", FOLDED_RETIRED, "retired groups"];

/// Version of the layout of a slot, of the journal and of the time of the ranking.
const LAYOUT: u32 = 1;
const SLOT_BYTES: usize = SLOT_WORDS * size_of::<u64>();

const JOURNAL_WORDS: usize = 2;

/// Where [`Groups`] lies in the block.
#[derive(Clone, Copy)]
pub(super) struct Places {
    slots: Place,
    tallies: Place,
    journal: Place,
    ranked_at: Place,
}

/// The tracked groups.
#[derive(Debug)]
pub(super) struct Groups {
    slots: Section,
    tallies: Counters,
    /// While a group is being retired: its slot plus one, and what its messages will make of the folded ones. Should the
    /// process end in the middle, the next one ends what was begun.
    journal: Section,
    /// Held while a group is being retired: there is one journal.
    retiring: Mutex<()>,
    /// Slots that have been given out at least once: the first so many.
    used: AtomicUsize,
    tracked: AtomicUsize,
    by_name: DashMap<CompactString, u32, RandomState>,
    idle: Idle,
    pauses: Pauses,
    exported: Exported,
    /// When the last ranking was made, in milliseconds since the epoch; 0 before the first. In the block, so that rates
    /// outlive a restart.
    ranked_at: Section,
    is_new: AtomicBool,
}

impl Groups {
    pub(super) fn reserve(plan: &mut Plan, capacity: usize) -> Places {
        Places {
            slots: plan.reserve(Layout::of("groups", LAYOUT, SLOT_BYTES, capacity)),
            tallies: Counters::reserve(plan, "folded", vec![keys(TALLY_KEYS)]),
            journal: plan.reserve(Layout::of("retiring", LAYOUT, size_of::<u64>(), JOURNAL_WORDS)),
            ranked_at: plan.reserve(Layout::of("ranked at", LAYOUT, size_of::<u64>(), 1)),
        }
    }

    pub(super) fn over(
        places: Places,
        max_exported: usize,
        section: impl Fn(Place) -> std::io::Result<Section>,
    ) -> std::io::Result<Self> {
        let slots = section(places.slots)?;
        let capacity = slots.len() / SLOT_WORDS;
        Ok(Self {
            slots,
            tallies: Counters::over(section(places.tallies)?, TALLIES),
            journal: section(places.journal)?,
            retiring: Mutex::default(),
            used: AtomicUsize::new(0),
            tracked: AtomicUsize::new(0),
            by_name: DashMap::with_hasher_and_shard_amount(RandomState::default(), shards(capacity)),
            idle: Idle::default(),
            pauses: Pauses::default(),
            exported: Exported::new(max_exported),
            ranked_at: section(places.ranked_at)?,
            is_new: AtomicBool::new(true),
        })
    }

    /// Counts a message of a group. The slot's memory has come, more often than not, when `meanwhile` is done, which may
    /// be anything that takes some time and does not wait.
    #[inline]
    pub(super) fn record(&self, id: &str, now: UnixMillis, meanwhile: impl FnOnce()) -> Recorded {
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
            if recorded == Recorded::Folded {
                self.tallies.add(Tally::FoldedForCapacity as usize, 1);
            }
            recorded
        })
    }

    fn count(&self, slot: u32, now: UnixMillis) {
        if let Some(slot) = self.slot(slot) {
            slot.count(now);
        }
    }

    /// Gives a group that is not in the map a slot, or folds the message if none is to be had. The slot is looked for
    /// before the map is locked, so that a flood of new groups makes nobody wait.
    #[cold]
    fn add(&self, name: &str, now: UnixMillis) -> Recorded {
        let Some(number) = self.claim(now) else {
            return Recorded::Folded;
        };
        match self.by_name.entry(CompactString::from(name)) {
            Entry::Occupied(entry) => {
                self.idle.give_back(number);
                self.count(*entry.get(), now);
                Recorded::Known(*entry.get())
            }
            Entry::Vacant(entry) => {
                if let Some(slot) = self.slot(number) {
                    slot.occupy(name, now);
                    self.exported.add(number, slot, now);
                }
                self.tracked.fetch_add(1, Ordering::Relaxed);
                entry.insert(number);
                Recorded::Added(number)
            }
        }
    }

    /// A free slot: one that was never used, one that was given back, or that of a group that can be retired.
    fn claim(&self, now: UnixMillis) -> Option<u32> {
        let next = |used| (used < self.capacity()).then_some(used + 1);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(slot) => u32::try_from(slot).ok(),
            Err(_) => self.idle.take_free().or_else(|| self.retire_one(now)),
        }
    }

    /// Retires the group that was idle longest when the tick last looked, unless it has woken up since.
    fn retire_one(&self, now: UnixMillis) -> Option<u32> {
        if self.idle.is_empty() {
            return None;
        }
        // While the groups are being read one after the other, none may change from a row into the folded ones.
        let _retiring = self.pauses.retire(now)?;
        std::iter::from_fn(|| self.idle.take_candidate()).find(|number| self.retire(*number, now))
    }

    fn retire(&self, number: u32, now: UnixMillis) -> bool {
        let Some((slot, group)) = self.slot(number).and_then(|slot| Some((slot, slot.read()?))) else {
            return false;
        };
        let vacate = || {
            self.move_to_folded(number, slot);
            true
        };
        let is_idle = |mapped: &u32| *mapped == number && now.since(slot.last_seen()) > IDLE_MS;
        let retired = self.by_name.remove_if(group.name.as_str(), |_, mapped| is_idle(mapped) && vacate()).is_some();
        if retired {
            self.tracked.fetch_sub(1, Ordering::Relaxed);
        }
        retired
    }

    /// Frees a slot and folds its messages, in such an order that neither an end in the middle loses any or has them
    /// twice. The map's entry is held exclusively: nobody is counting.
    fn move_to_folded(&self, number: u32, slot: Slot<'_>) {
        let _one_at_a_time = self.retiring.lock();
        let folded = self.folded_retired().wrapping_add(slot.messages());
        if let [journal_slot, journal_folded, ..] = &*self.journal {
            // A process that is killed has done the stores before some instruction and none after it: they only must be
            // in this order.
            journal_folded.store(folded, Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
            journal_slot.store(u64::from(number) + 1, Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
            self.tallies.add(Tally::FoldedRetired as usize, slot.messages());
            self.tallies.add(Tally::Retired as usize, 1);
            slot.vacate();
            compiler_fence(Ordering::SeqCst);
            journal_slot.store(0, Ordering::Relaxed);
        }
        self.exported.remove(number, slot);
    }

    /// Periodic work, off the serving threads: rates, what is exported, which groups may be retired. Returns whether it
    /// was due.
    pub(super) fn tick(&self, now: UnixMillis) -> bool {
        let Some(ranked_at) = self.ranked_at.first() else { return false };
        let elapsed_ms = now.0.saturating_sub(ranked_at.load(Ordering::Relaxed).cast_signed());
        // A clock that was set back starts a new stretch, and so does a start: what was stored is looked at at once.
        let is_new = self.is_new.swap(false, Ordering::Relaxed);
        if (0..RANK_EVERY_MS).contains(&elapsed_ms) && !is_new {
            return false;
        }
        ranked_at.store(now.0.cast_unsigned(), Ordering::Relaxed);
        let seconds = (elapsed_ms.clamp(1000, IDLE_MS) as f64) / 1000.0;
        let kept = (-seconds / RATE_HALF_LIFE_SECONDS).exp2();
        let is_full = self.used.load(Ordering::Relaxed) == self.capacity();
        let mut idle = self.idle.search(is_full, self.capacity(), now);
        let mut ranking = self.exported.ranking(now);
        for (number, slot) in self.slots().filter(|(_, slot)| !slot.is_free()) {
            ranking.add(number, slot, slot.rate_after(seconds, kept));
            idle.add(number, slot.last_seen());
        }
        self.idle.replace_candidates(idle);
        self.exported.replace(ranking, |number| self.slot(number));
        true
    }

    fn slot(&self, number: u32) -> Option<Slot<'_>> {
        self.slots.as_chunks().0.get(number as usize).map(Slot)
    }

    /// The slots that are or were in use, with their numbers.
    fn slots(&self) -> impl Iterator<Item = (u32, Slot<'_>)> {
        (0..).zip(self.slots.as_chunks().0.iter().take(self.used.load(Ordering::Relaxed)).map(Slot))
    }

    /// The group in a slot, if one has it.
    pub(super) fn read(&self, slot: u32) -> Option<Group> {
        self.slot(slot)?.read()
    }

    /// Notes the distinct senders of the group in a slot: of the last hour, and of the last 24 hours.
    pub(super) fn set_active_senders(&self, slot: u32, in_an_hour: u32, in_a_day: u32) {
        if let Some(slot) = self.slot(slot).filter(|slot| !slot.is_free()) {
            slot.set_active_senders(in_an_hour, in_a_day);
        }
    }

    /// No group is retired while the pause lasts.
    pub(super) fn pause_retirement(&self, now: UnixMillis) -> RetirementPause {
        self.pauses.begin(now)
    }

    /// The slots of the groups that have series of their own.
    pub(super) fn exported(&self) -> Vec<u32> {
        self.exported.slots()
    }

    /// How many groups can have series of their own.
    pub(super) const fn exported_capacity(&self) -> usize {
        self.exported.capacity()
    }

    /// Slots below this number are or were in use.
    pub(super) fn slots_used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn tracked(&self) -> usize {
        self.tracked.load(Ordering::Relaxed)
    }

    pub(super) fn capacity(&self) -> usize {
        self.slots.len() / SLOT_WORDS
    }

    pub(super) fn folded_for_capacity(&self) -> u64 {
        self.tallies.sum(Tally::FoldedForCapacity as usize)
    }

    pub(super) fn folded_retired(&self) -> u64 {
        self.tallies.sum(Tally::FoldedRetired as usize)
    }

    /// The section of the counters beside the slots.
    pub(super) const fn tallies(&self) -> &Section {
        self.tallies.section()
    }

    pub(super) fn retired(&self) -> u64 {
        self.tallies.sum(Tally::Retired as usize)
    }
}
