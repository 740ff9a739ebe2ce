//! Groups of a stored block: finding them, resetting them, and copying them into a table of a different size.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, Ordering};

use compact_str::CompactString;

use super::slot::{GroupName, SLOT_WORDS, Slot};
use super::table::{COUNTERS, GroupCounter, GroupTable, JOURNAL, LAYOUT, RANKED_AT, REMOVALS, SLOT_BYTES, SLOTS};
use crate::arena::Contents;
use crate::domain::UnixMillis;
use crate::stats::carry::CarryOver;

/// The new slots of an old table's groups.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::stats) enum SlotMapping {
    /// Each group has the same slot as before.
    Unchanged,
    /// The new slots by the old ones; `None` for groups that were not copied.
    Moved(Vec<Option<u32>>),
}

impl SlotMapping {
    /// The new slot of the group in an old slot.
    pub(in crate::stats) fn new_slot(&self, old: u32) -> Option<u32> {
        match self {
            Self::Unchanged => Some(old),
            Self::Moved(slots) => slots.get(old as usize).copied().flatten(),
        }
    }
}

/// The slot in the journal's first word, and the counter of its messages; `None` if no group was being removed.
fn removed_slot(word: &AtomicU64) -> Option<(u32, GroupCounter)> {
    let word = word.load(Ordering::Relaxed).checked_sub(1)?;
    REMOVALS.into_iter().find_map(|(counter, added)| Some((u32::try_from(word.checked_sub(added)?).ok()?, counter)))
}

/// The stored slots contradict each other: two have the same name, or one has no readable name or no valid rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stats) struct Contradiction;

impl GroupTable {
    /// How many groups the table of a stored block can track.
    pub(in crate::stats) fn stored_capacity(contents: &Contents) -> usize {
        contents.find(SLOTS).map_or(0, |slots| slots.layout.count)
    }

    /// Finds the groups in the slots of a stored block. Called once, before anything else. `torn`: some pages may be
    /// older than others, so slots with an invalid or duplicate name, or an invalid rate, are freed.
    ///
    /// # Errors
    /// When there is such a slot, but no page is older than others.
    pub(in crate::stats) fn restore(&self, torn: bool) -> Result<(), Contradiction> {
        self.finish_removal();
        let mut last_used = None;
        let mut exported = Vec::new();
        for (number, slot) in (0..).zip(self.slots.as_chunks().0.iter().map(Slot)) {
            let is_taken = |name: &GroupName| self.by_name.contains_key(name.as_str());
            let name = match slot.stored_name() {
                Ok(None) => continue,
                Ok(Some(name)) if !is_taken(&name) && slot.has_valid_rate() => name,
                Ok(Some(_)) | Err(_) if torn => {
                    slot.vacate();
                    continue;
                }
                Ok(Some(_)) | Err(_) => return Err(Contradiction),
            };
            self.by_name.insert(CompactString::from(name.as_str()), number);
            last_used = Some(number);
            exported.extend(slot.exported_since().map(|_| number));
        }
        let used = last_used.map_or(0, |number| number as usize + 1);
        self.used.store(used, Ordering::Relaxed);
        self.tracked.store(self.by_name.len(), Ordering::Relaxed);
        self.slots().filter(|(_, slot)| slot.is_free()).for_each(|(number, _)| self.idle.give_back(number));
        self.exported.restore(exported, |number| self.slot(number));
        Ok(())
    }

    /// Resets the counts to 0. The groups stay, with their senders and when they were seen.
    pub(in crate::stats) fn reset_counts(&self, now: UnixMillis) {
        self.counters.reset();
        self.slots.as_chunks().0.iter().map(Slot).for_each(|slot| slot.reset(now));
        // A group that was being removed has no messages any more.
        self.journal.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// Copies the groups of an old table into this empty one, where [`GroupTable::restore`] then finds them. If this
    /// one is smaller, copies only those that were seen last. The others count as retired, and their messages are
    /// folded.
    pub(in crate::stats) fn carry_from(&self, old: &CarryOver<'_>) -> SlotMapping {
        // Messages that were folded for an unknown reason count as those of retired groups.
        self.counters.carry_or(old, |key| key.starts_with("folded ").then_some(GroupCounter::FoldedRetired));
        old.copy(RANKED_AT, LAYOUT, &self.ranked_at);
        self.dismissed.carry_from(old);
        let Some(stored) = old.section(SLOTS, LAYOUT, SLOT_BYTES) else { return SlotMapping::Moved(Vec::new()) };
        let removed = self.carry_removal(old);
        let slots = (0..).zip(stored.as_chunks().0.iter().map(Slot));
        let groups: Vec<_> = slots.filter(|(number, slot)| !slot.is_free() && Some(*number) != removed).collect();
        let fit = groups.last().is_none_or(|(number, _)| (*number as usize) < self.capacity());
        if fit {
            groups.into_iter().filter_map(|(number, from)| Some((self.slot(number)?, from))).for_each(|(to, from)| {
                to.copy_from(from);
            });
            return SlotMapping::Unchanged;
        }
        self.carry_compacted(groups, stored.len() / SLOT_WORDS)
    }

    /// Copies groups into the first slots, as many as fit.
    fn carry_compacted(&self, mut groups: Vec<(u32, Slot<'_>)>, old_slots: usize) -> SlotMapping {
        if groups.len() > self.capacity() {
            groups.sort_by_key(|(number, slot)| (Reverse(slot.last_seen()), *number));
            for (_, slot) in groups.drain(self.capacity()..) {
                self.counters.add(GroupCounter::FoldedRetired, slot.messages());
                self.counters.add(GroupCounter::Retired, 1);
            }
            groups.sort_by_key(|(number, _)| *number);
        }
        let mut mapping = vec![None; old_slots];
        for ((number, from), (new, to)) in groups.into_iter().zip((0..).zip(self.slots.as_chunks().0.iter().map(Slot)))
        {
            to.copy_from(from);
            if let Some(mapped) = mapping.get_mut(number as usize) {
                *mapped = Some(new);
            }
        }
        SlotMapping::Moved(mapping)
    }

    /// Folds the messages of an old group that was being removed when the process ended, and returns its slot.
    fn carry_removal(&self, old: &CarryOver<'_>) -> Option<u32> {
        let journal = old.section(JOURNAL, LAYOUT, size_of::<u64>())?;
        let [slot, folded, ..] = &*journal else { return None };
        let (number, counter) = removed_slot(slot)?;
        // Some of them may be in the old counter, which has been copied.
        let counted = old.counter(COUNTERS, counter.name());
        self.counters.add(counter, folded.load(Ordering::Relaxed).saturating_sub(counted));
        Some(number)
    }

    /// Folds messages whose groups were dropped.
    pub(in crate::stats) fn fold_lost(&self, messages: u64) {
        self.counters.add(GroupCounter::FoldedRetired, messages);
    }

    /// Completes the removal of a group that was in progress when the process ended. May be repeated.
    fn finish_removal(&self) {
        let [slot, folded, ..] = &*self.journal else { return };
        let Some((number, counter)) = removed_slot(slot) else { return };
        self.counters.set_sum(counter, folded.load(Ordering::Relaxed));
        // Even if the slot is free: it may still have the group's name.
        self.slot(number).into_iter().for_each(Slot::vacate);
        slot.store(0, Ordering::Relaxed);
    }
}
