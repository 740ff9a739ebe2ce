//! Groups that come from a stored block: found again, started over, moved into a table of another size.

use std::cmp::Reverse;
use std::sync::atomic::Ordering;

use compact_str::CompactString;

use super::slot::Slot;
use super::{GroupName, Groups, Tally};
use crate::domain::UnixMillis;

/// The stored slots contradict each other: two have the same name, or one has none that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stats) struct Contradiction;

impl Groups {
    /// Finds the groups in the slots, of a block that was written before. Called once, before anything else. Where
    /// pages may be older than others, a slot without a name, or with one that another has, is freed.
    pub(in crate::stats) fn restore(&self, torn: bool) -> Result<(), Contradiction> {
        self.finish_retiring();
        let mut last_used = None;
        let mut exported = Vec::new();
        for (number, slot) in (0..).zip(self.slots.as_chunks().0.iter().map(Slot)) {
            let is_taken = |name: &GroupName| self.by_name.contains_key(name.as_str());
            let name = match slot.stored_name() {
                Ok(None) => continue,
                Ok(Some(name)) if !is_taken(&name) => name,
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

    /// Takes the groups of another table over, into this empty one: where it is smaller, those that were seen last. The
    /// messages of the others are folded, as if they had been retired. Returns each old slot's new one.
    pub(in crate::stats) fn take_over(&self, old: &Self) -> Vec<Option<u32>> {
        let mut groups: Vec<_> = old.slots().filter(|(_, slot)| !slot.is_free()).collect();
        if groups.len() > self.capacity() {
            groups.sort_by_key(|(number, slot)| (Reverse(slot.last_seen()), *number));
            for (_, slot) in groups.drain(self.capacity()..) {
                self.tallies.add(Tally::FoldedRetired as usize, slot.messages());
                self.tallies.add(Tally::Retired as usize, 1);
            }
            groups.sort_by_key(|(number, _)| *number);
        }
        let mut moved = vec![None; old.slots_used()];
        let mut exported = Vec::new();
        for ((number, from), (new, to)) in groups.into_iter().zip((0..).zip(self.slots.as_chunks().0.iter().map(Slot)))
        {
            let Some(name) = to.copy_of(from) else { continue };
            self.by_name.insert(CompactString::from(name.as_str()), new);
            exported.extend(to.exported_since().map(|_| new));
            if let Some(moved) = moved.get_mut(number as usize) {
                *moved = Some(new);
            }
            self.used.store(new as usize + 1, Ordering::Relaxed);
        }
        self.tracked.store(self.by_name.len(), Ordering::Relaxed);
        self.exported.restore(exported, |number| self.slot(number));
        moved
    }

    /// What was under way when the process ended: the folded messages are set to what they were to become, and the slot
    /// is freed. Doing it twice does no harm.
    fn finish_retiring(&self) {
        let [slot, folded, ..] = &*self.journal else { return };
        let Some(number) = slot.load(Ordering::Relaxed).checked_sub(1).and_then(|slot| u32::try_from(slot).ok()) else {
            return;
        };
        self.tallies.set_sum(Tally::FoldedRetired as usize, folded.load(Ordering::Relaxed));
        if let Some(retired) = self.slot(number).filter(|retired| !retired.is_free()) {
            retired.vacate();
        }
        slot.store(0, Ordering::Relaxed);
    }
}
