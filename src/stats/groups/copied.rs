//! The groups in a copy of the table of a running exporter.

use std::sync::atomic::{AtomicU64, Ordering};

use super::slot::{SLOT_WORDS, Slot};
use super::table::{GroupCounter, GroupTable};
use crate::named::Named as _;

/// Slots that are read with one system call: 128 KiB.
const SLOTS_AT_ONCE: usize = 1024;

/// How many times one slot is read at most. Its group changes rarely.
const MAX_TRIES: usize = 1000;

/// Reads words of the table's section from a position.
type Read<'a, E> = &'a dyn Fn(usize, &mut [u64]) -> Result<(), E>;

impl GroupTable {
    /// Fills this table, which is in a copy, by reading the original. Returns false if a slot changes too often.
    ///
    /// Each slot is read three times. If its state is the same before and after the second, no group was added to or
    /// removed from the slot in between, so everything that the second has read belongs to one group.
    ///
    /// # Errors
    /// When the original cannot be read.
    pub(in crate::stats) fn read_slots<E>(&self, read: Read<'_, E>) -> Result<bool, E> {
        let mut readings = [const { Vec::new() }; 3];
        let mut at = 0;
        for slots in self.slots.chunks(SLOTS_AT_ONCE * SLOT_WORDS) {
            for reading in &mut readings {
                reading.resize(slots.len(), 0);
                read(at, reading)?;
            }
            let [before, during, after] = &readings;
            let [before, during, after] = [before, during, after].map(|reading| reading.as_chunks::<SLOT_WORDS>().0);
            for (number, slot) in slots.as_chunks().0.iter().map(Slot).enumerate() {
                let [before, during, after] = [before, during, after].map(|slots| slots.get(number));
                if state(before) == state(after) {
                    during.into_iter().for_each(|words| slot.fill(words));
                } else if !read_slot(slot, at + number * SLOT_WORDS, read)? {
                    return Ok(false);
                }
            }
            at += slots.len();
        }
        Ok(true)
    }

    /// Makes this table, an earlier reading, have the groups of a later one. The groups keep their counts of the
    /// earlier reading; a group that was added since then has 0. Returns the slots whose group has changed.
    pub(in crate::stats) fn take_groups(&self, later: &Self) -> Vec<u32> {
        let slots =
            self.slots.as_chunks().0.iter().zip(later.slots.as_chunks().0).map(|(mine, its)| (Slot(mine), Slot(its)));
        let mut changed = Vec::new();
        for (number, (mine, its)) in (0..).zip(slots) {
            let is_same = mine.state() == its.state();
            if is_same && mine.is_free() {
                continue;
            }
            let messages = if is_same { mine.messages() } else { 0 };
            mine.copy_from(its);
            mine.set_messages(messages);
            if !is_same {
                changed.push(number);
            }
        }
        changed
    }

    /// The words that count messages: those of each group, and of the groups that are no longer tracked.
    pub(in crate::stats) fn message_words(&self) -> impl Iterator<Item = &AtomicU64> {
        let used = self.slots.as_chunks().0.iter().map(Slot).filter(|slot| !slot.is_free());
        let folded = GroupCounter::VALUES.iter().filter(|counter| counter.name().starts_with("folded "));
        used.map(Slot::message_word).chain(folded.flat_map(|counter| self.counters.words_of(*counter)))
    }

    /// Whether a group is being retired, dismissed or erased, as far as the journal tells.
    pub(in crate::stats) fn is_retiring(&self) -> bool {
        self.journal.first().is_some_and(|word| word.load(Ordering::Relaxed) != 0)
    }
}

/// The state in words that were read.
fn state(words: Option<&[u64; SLOT_WORDS]>) -> Option<u64> {
    words.and_then(|words| words.first().copied())
}

/// Reads one slot. Returns false if it changes too often.
fn read_slot<E>(slot: Slot<'_>, at: usize, read: Read<'_, E>) -> Result<bool, E> {
    for _ in 0..MAX_TRIES {
        let mut readings = [[0; SLOT_WORDS]; 3];
        for reading in &mut readings {
            read(at, reading)?;
        }
        let [before, during, after] = &readings;
        if state(Some(before)) == state(Some(after)) {
            slot.fill(during);
            return Ok(true);
        }
    }
    Ok(false)
}
