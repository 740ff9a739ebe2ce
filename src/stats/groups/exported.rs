//! The exported groups, which have series of their own: the most active ones.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::slot::Slot;
use crate::domain::UnixMillis;
use crate::stats::top::Top;

/// The shortest time for which a group is exported, so that series do not come and go with each scrape.
const MIN_EXPORT_MS: i64 = 600_000;

/// The exported groups.
#[derive(Debug)]
pub(super) struct ExportedGroups {
    capacity: usize,
    slots: Mutex<Vec<u32>>,
    /// The length of `slots`, to be read without the lock.
    len: AtomicUsize,
}

impl ExportedGroups {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, slots: Mutex::default(), len: AtomicUsize::new(0) }
    }

    /// Exports a new group immediately if the capacity allows it.
    pub(super) fn add(&self, number: u32, slot: Slot<'_>, now: UnixMillis) {
        if self.len.load(Ordering::Relaxed) >= self.capacity {
            return;
        }
        let mut slots = self.slots.lock();
        if slots.len() < self.capacity {
            slots.push(number);
            slot.set_exported_since(Some(now));
        }
        self.len.store(slots.len(), Ordering::Relaxed);
    }

    /// Removes a retired group. Call it after the slot was freed, so that a later ranking does not choose it again.
    pub(super) fn remove(&self, number: u32, slot: Slot<'_>) {
        let mut slots = self.slots.lock();
        slots.retain(|exported| *exported != number);
        slot.set_exported_since(None);
        self.len.store(slots.len(), Ordering::Relaxed);
    }

    /// Continues with the exported groups of a stored block, as many as the capacity allows.
    pub(super) fn restore<'a>(&self, mut exported: Vec<u32>, slot: impl Fn(u32) -> Option<Slot<'a>>) {
        for dropped in exported.drain(self.capacity.min(exported.len())..).filter_map(slot) {
            dropped.set_exported_since(None);
        }
        self.len.store(exported.len(), Ordering::Relaxed);
        *self.slots.lock() = exported;
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn slots(&self) -> Vec<u32> {
        self.slots.lock().clone()
    }

    /// Starts a ranking of all groups.
    pub(super) fn ranking(&self, now: UnixMillis) -> Ranking {
        Ranking { capacity: self.capacity, now, kept: Vec::new(), best: Top::new(self.capacity) }
    }

    /// Exports the groups that the ranking has chosen.
    pub(super) fn replace<'a>(&self, ranking: Ranking, slot: impl Fn(u32) -> Option<Slot<'a>>) {
        let now = ranking.now;
        let mut chosen = ranking.into_chosen();
        let mut slots = self.slots.lock();
        // Groups that were added during the ranking stay.
        let is_recent = |number: &u32| slot(*number).and_then(Slot::exported_since).is_some_and(|since| since >= now);
        let recent: Vec<_> = slots.iter().copied().filter(is_recent).collect();
        chosen.truncate(self.capacity.saturating_sub(recent.len()));
        chosen.extend(recent);
        // Groups that were retired during the ranking do not.
        chosen.retain(|number| slot(*number).is_some_and(|slot| !slot.is_free()));
        chosen.sort_unstable();
        chosen.dedup();
        for dropped in slots.iter().filter(|number| chosen.binary_search(number).is_err()) {
            if let Some(slot) = slot(*dropped) {
                slot.set_exported_since(None);
            }
        }
        for number in &chosen {
            if let Some(slot) = slot(*number).filter(|slot| slot.exported_since().is_none()) {
                slot.set_exported_since(Some(now));
            }
        }
        self.len.store(chosen.len(), Ordering::Relaxed);
        *slots = chosen;
    }
}

/// The order of groups: by rate. If rates are equal, exported groups come first, then those that were seen later.
type Rank = (RateBits, bool, UnixMillis, u32);

/// The bits of a rate. They have the same order as rates, which are never negative or NaN.
type RateBits = u64;

/// A search for the groups to export.
pub(super) struct Ranking {
    capacity: usize,
    now: UnixMillis,
    /// Groups that have been exported for less than [`MIN_EXPORT_MS`].
    kept: Vec<u32>,
    best: Top<Reverse<Rank>>,
}

impl Ranking {
    pub(super) fn add(&mut self, number: u32, slot: Slot<'_>, rate: f64) {
        let since = slot.exported_since();
        if since.is_some_and(|since| (0..MIN_EXPORT_MS).contains(&self.now.since(since))) {
            self.kept.push(number);
        } else {
            self.best.add(Reverse((rate.to_bits(), since.is_some(), slot.last_seen(), number)));
        }
    }

    /// The groups that must stay, and then the best ones.
    fn into_chosen(self) -> Vec<u32> {
        let best = self.best.into_sorted_vec().into_iter().map(|Reverse((.., number))| number);
        let mut chosen = self.kept;
        chosen.extend(best.take(self.capacity.saturating_sub(chosen.len())));
        chosen
    }
}
