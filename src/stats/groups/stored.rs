//! Groups that come from a stored block: found again, started over, moved into a table of another size.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, Ordering};

use compact_str::CompactString;

use super::slot::Slot;
use super::{FOLDED_RETIRED, GroupName, Groups, LAYOUT, SLOT_BYTES, SLOT_WORDS, TALLY_KEYS, Tally};
use crate::domain::UnixMillis;
use crate::stats::carry::Carry;

/// Where the groups of a stored table are now.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::stats) enum Moved {
    /// In the slots that they had.
    Nowhere,
    /// In these, by the slots that they had.
    To(Vec<Option<u32>>),
}

impl Moved {
    /// Where the group of a slot is now, if it is anywhere.
    pub(in crate::stats) fn slot(&self, before: u32) -> Option<u32> {
        match self {
            Self::Nowhere => Some(before),
            Self::To(slots) => slots.get(before as usize).copied().flatten(),
        }
    }
}

/// The slot in the journal's first word, if a group was being retired.
fn retiring_slot(word: &AtomicU64) -> Option<u32> {
    word.load(Ordering::Relaxed).checked_sub(1).and_then(|slot| u32::try_from(slot).ok())
}

/// The stored slots contradict each other: two have the same name, or one has no readable name or no valid rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stats) struct Contradiction;

impl Groups {
    /// Finds the groups in the slots, of a block that was written before. Called once, before anything else. Where
    /// pages may be older than others, a slot without a name, with one that another has, or with a rate that is none, is
    /// freed.
    pub(in crate::stats) fn restore(&self, torn: bool) -> Result<(), Contradiction> {
        self.finish_retiring();
        let mut last_used = None;
        let mut exported = Vec::new();
        for (number, slot) in (0..).zip(self.slots.as_chunks().0.iter().map(Slot)) {
            let is_taken = |name: &GroupName| self.by_name.contains_key(name.as_str());
            let name = match slot.stored_name() {
                Ok(None) => continue,
                Ok(Some(name)) if !is_taken(&name) && slot.has_rate() => name,
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

    /// Starts the counts from 0. The groups stay: when they were seen, and by how many people, is still so.
    pub(in crate::stats) fn reset_counts(&self, now: UnixMillis) {
        self.slots.as_chunks().0.iter().map(Slot).for_each(|slot| slot.reset(now));
        // What was being retired has no messages any more.
        self.journal.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// Takes the groups of a stored table into this empty one, from which [`Groups::restore`] then finds them: where
    /// this one is smaller, those that were seen last. The messages of the others are folded, as if they were retired.
    pub(in crate::stats) fn carry(&self, carry: &Carry<'_>) -> Moved {
        // A reason that this program does not know counts as retired: no tracked group has these messages.
        self.tallies.carry(carry, "folded", |key| match TALLY_KEYS.iter().position(|name| *name == key) {
            None if key.starts_with("folded ") => Some(Tally::FoldedRetired as usize),
            known => known,
        });
        carry.copy("ranked at", LAYOUT, &self.ranked_at);
        let Some(stored) = carry.section("groups", LAYOUT, SLOT_BYTES) else { return Moved::To(Vec::new()) };
        let retiring = self.carry_retiring(carry);
        let slots = (0..).zip(stored.as_chunks().0.iter().map(Slot));
        let groups: Vec<_> = slots.filter(|(number, slot)| !slot.is_free() && Some(*number) != retiring).collect();
        let have_room = groups.last().is_none_or(|(number, _)| (*number as usize) < self.capacity());
        if have_room {
            groups.into_iter().filter_map(|(number, from)| Some((self.slot(number)?, from))).for_each(|(to, from)| {
                to.copy_of(from);
            });
            return Moved::Nowhere;
        }
        self.carry_together(groups, stored.len() / SLOT_WORDS)
    }

    /// Takes stored groups into the first slots, as many as there are.
    fn carry_together(&self, mut groups: Vec<(u32, Slot<'_>)>, stored: usize) -> Moved {
        if groups.len() > self.capacity() {
            groups.sort_by_key(|(number, slot)| (Reverse(slot.last_seen()), *number));
            for (_, slot) in groups.drain(self.capacity()..) {
                self.tallies.add(Tally::FoldedRetired as usize, slot.messages());
                self.tallies.add(Tally::Retired as usize, 1);
            }
            groups.sort_by_key(|(number, _)| *number);
        }
        let mut moved = vec![None; stored];
        for ((number, from), (new, to)) in groups.into_iter().zip((0..).zip(self.slots.as_chunks().0.iter().map(Slot)))
        {
            to.copy_of(from);
            if let Some(moved) = moved.get_mut(number as usize) {
                *moved = Some(new);
            }
        }
        Moved::To(moved)
    }

    /// Folds the messages of a stored group that was being retired when the process ended, and returns its slot.
    fn carry_retiring(&self, carry: &Carry<'_>) -> Option<u32> {
        let journal = carry.section("retiring", LAYOUT, size_of::<u64>())?;
        let [slot, folded, ..] = &*journal else { return None };
        let number = retiring_slot(slot)?;
        // What the stored counter already has of them came with the other counters.
        let counted = carry.counter("folded", FOLDED_RETIRED);
        self.tallies.add(Tally::FoldedRetired as usize, folded.load(Ordering::Relaxed).saturating_sub(counted));
        Some(number)
    }

    /// Folds messages that no group of the block has, because their groups were left out.
    pub(in crate::stats) fn fold_lost(&self, messages: u64) {
        self.tallies.add(Tally::FoldedRetired as usize, messages);
    }

    /// What was under way when the process ended: the folded messages are set to what they were to become, and the slot
    /// is freed. Doing it twice does no harm.
    fn finish_retiring(&self) {
        let [slot, folded, ..] = &*self.journal else { return };
        let Some(number) = retiring_slot(slot) else { return };
        self.tallies.set_sum(Tally::FoldedRetired as usize, folded.load(Ordering::Relaxed));
        if let Some(retired) = self.slot(number).filter(|retired| !retired.is_free()) {
            retired.vacate();
        }
        slot.store(0, Ordering::Relaxed);
    }
}
