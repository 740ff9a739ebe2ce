//! Messages by group, up to a capacity.
//!
//! A group has a slot of fixed size in the block, and an entry in a map that finds the slot by the group's name. A
//! slot's count moves only while the map's guard for that group is held (a shared one), so whoever holds it exclusively
//! knows that nobody is counting there.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use compact_str::CompactString;
use dashmap::{DashMap, Entry};
use foldhash::fast::RandomState;

use super::group_name::{MAX_NAME_BYTES, with_name};
use crate::arena::{Place, Plan, Section};
use crate::domain::UnixMillis;

/// Words of a slot: two cache lines. The first holds what a message touches, the second the name.
const SLOT_WORDS: usize = 16;

// Words within a slot. Those from `LAST_SEEN` + 1 to `NAME` are kept free for what a group may get later.
/// Length of the name plus one; 0 while the slot is free. Written last, so that a slot is whole or free.
const STATE: usize = 0;
const MESSAGES: usize = 1;
const LAST_SEEN: usize = 2;
const NAME: usize = 8;

const NAME_WORDS: usize = MAX_NAME_BYTES / size_of::<u64>();
const _: () = assert!(NAME + NAME_WORDS == SLOT_WORDS);

/// What became of a message's group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The group was tracked already.
    Known,
    /// The group is tracked from this message on.
    Added,
    /// The table is full: the message is counted, but by no group.
    Folded,
}

/// One tracked group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name: the group's ID, or for an overlong one the start of it and a hash.
    pub name: String,
    /// Messages counted.
    pub messages: u64,
    /// When the last of them was received.
    pub last_seen: UnixMillis,
}

/// The tracked groups.
#[derive(Debug)]
pub(super) struct Groups {
    slots: Section,
    capacity: usize,
    /// Slots given out, in order.
    tracked: AtomicUsize,
    by_name: DashMap<CompactString, u32, RandomState>,
}

impl Groups {
    pub(super) fn reserve(plan: &mut Plan, capacity: usize) -> Place {
        plan.reserve("groups", capacity * SLOT_WORDS)
    }

    pub(super) fn over(slots: Section) -> Self {
        let capacity = slots.len() / SLOT_WORDS;
        // Made large enough at once: a shard that grows later holds every group in it up while it does.
        let by_name = DashMap::with_capacity_and_hasher(capacity, RandomState::default());
        Self { slots, capacity, tracked: AtomicUsize::new(0), by_name }
    }

    /// Counts a message of a group.
    #[inline]
    pub(super) fn record(&self, id: &str, now: UnixMillis) -> Recorded {
        with_name(id, |name| {
            if let Some(slot) = self.by_name.get(name) {
                self.count(*slot, now);
                return Recorded::Known;
            }
            self.add(name, now)
        })
    }

    fn count(&self, slot: u32, now: UnixMillis) {
        if let [_, messages, last_seen, ..] = self.slot(slot) {
            messages.fetch_add(1, Ordering::Relaxed);
            last_seen.store(now.0.cast_unsigned(), Ordering::Relaxed);
        }
    }

    /// Gives a group that is not in the map a slot, or folds the message if none is left. A full table is seen before
    /// the map is locked, so that a flood of new groups makes nobody wait.
    #[cold]
    fn add(&self, name: &str, now: UnixMillis) -> Recorded {
        if self.tracked() >= self.capacity {
            return Recorded::Folded;
        }
        match self.by_name.entry(CompactString::from(name)) {
            Entry::Occupied(entry) => {
                self.count(*entry.get(), now);
                Recorded::Known
            }
            Entry::Vacant(entry) => {
                let Some(slot) = self.claim() else {
                    return Recorded::Folded;
                };
                self.fill(slot, name, now);
                entry.insert(slot);
                Recorded::Added
            }
        }
    }

    fn claim(&self) -> Option<u32> {
        let next = |tracked| (tracked < self.capacity).then_some(tracked + 1);
        let slot = self.tracked.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        u32::try_from(slot).ok()
    }

    fn fill(&self, slot: u32, name: &str, now: UnixMillis) {
        let words = self.slot(slot);
        let set = |word: usize, value| {
            if let Some(word) = words.get(word) {
                word.store(value, Ordering::Relaxed);
            }
        };
        for (word, bytes) in (NAME..).zip(name.as_bytes().chunks(size_of::<u64>())) {
            set(word, bytes.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte)));
        }
        set(MESSAGES, 1);
        set(LAST_SEEN, now.0.cast_unsigned());
        if let Some(state) = words.get(STATE) {
            state.store(name.len() as u64 + 1, Ordering::Release);
        }
    }

    fn slot(&self, slot: u32) -> &[AtomicU64] {
        let start = slot as usize * SLOT_WORDS;
        self.slots.get(start..start + SLOT_WORDS).unwrap_or_default()
    }

    pub(super) fn tracked(&self) -> usize {
        self.tracked.load(Ordering::Relaxed)
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// The tracked groups, in the order in which they came.
    pub(super) fn all(&self) -> impl Iterator<Item = Group> + '_ {
        let slots = u32::try_from(self.tracked()).unwrap_or(u32::MAX);
        (0..slots).filter_map(|slot| read(self.slot(slot)))
    }
}

fn read(slot: &[AtomicU64]) -> Option<Group> {
    let name_len = usize::try_from(slot.get(STATE)?.load(Ordering::Acquire)).ok()?.checked_sub(1)?;
    let bytes = slot.get(NAME..)?.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes());
    Some(Group {
        name: String::from_utf8(bytes.take(name_len).collect()).ok()?,
        messages: slot.get(MESSAGES)?.load(Ordering::Relaxed),
        last_seen: UnixMillis(slot.get(LAST_SEEN)?.load(Ordering::Relaxed).cast_signed()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;
    use std::thread;

    fn groups(capacity: usize) -> Groups {
        let mut plan = Plan::new();
        let place = Groups::reserve(&mut plan, capacity);
        Groups::over(Arena::anonymous(&plan).unwrap().section(place).unwrap())
    }

    const NOW: UnixMillis = UnixMillis(1_732_345_678_901);

    #[test]
    fn each_group_has_its_own_count_under_its_own_name() {
        let groups = groups(10);
        let long = "\u{7fa4}".repeat(100);
        for id in ["", "a", "a", "g\"quoted\\back\nline", "\u{7fa4}\u{804a}-1", &long, &long] {
            groups.record(id, NOW);
        }
        let all: Vec<_> = groups.all().map(|group| (group.name, group.messages)).collect();
        assert_eq!(
            all[..4].iter().map(|(name, count)| (name.as_str(), *count)).collect::<Vec<_>>(),
            [("", 1), ("a", 2), ("g\"quoted\\back\nline", 1), ("\u{7fa4}\u{804a}-1", 1)]
        );
        assert_eq!(all[4].1, 2);
    }

    #[test]
    fn a_full_table_folds_new_groups_and_counts_the_old() {
        let groups = groups(2);
        assert_eq!(
            ["a", "b", "c", "a", "c"].map(|id| groups.record(id, NOW)),
            [Recorded::Added, Recorded::Added, Recorded::Folded, Recorded::Known, Recorded::Folded]
        );
        assert_eq!(groups.tracked(), 2);
    }

    #[test]
    fn threads_that_bring_the_same_new_groups_lose_no_message() {
        const CAPACITY: usize = 300;
        let groups = groups(CAPACITY);
        let folded: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let ids = (0..4000).map(|round| (round % 400).to_string());
                        ids.filter(|id| groups.record(id, NOW) == Recorded::Folded).count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        let counted: u64 = groups.all().map(|group| group.messages).sum();
        assert_eq!(counted + folded as u64, 16_000);
        assert_eq!(groups.all().count(), CAPACITY);
    }
}
