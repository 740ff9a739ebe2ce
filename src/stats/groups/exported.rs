//! Which groups have series of their own: the most active.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::slot::Slot;
use crate::domain::UnixMillis;

/// Once chosen, a group stays exported for this long, so that series do not flicker.
const LEAST_MS: i64 = 600_000;

/// The exported groups.
#[derive(Debug)]
pub(super) struct Exported {
    most: usize,
    slots: Mutex<Vec<u32>>,
    /// How many there are, to be looked at without the lock.
    len: AtomicUsize,
}

impl Exported {
    pub(super) fn new(most: usize) -> Self {
        Self { most, slots: Mutex::default(), len: AtomicUsize::new(0) }
    }

    /// Exports a new group at once if there is a place left.
    pub(super) fn add(&self, number: u32, slot: Slot<'_>, now: UnixMillis) {
        if self.len.load(Ordering::Relaxed) >= self.most {
            return;
        }
        let mut slots = self.slots.lock();
        if slots.len() < self.most {
            slots.push(number);
            slot.set_exported_since(Some(now));
        }
        self.len.store(slots.len(), Ordering::Relaxed);
    }

    /// Takes out a group that was retired. After its slot was freed: whoever chooses it later sees that it is free.
    pub(super) fn remove(&self, number: u32, slot: Slot<'_>) {
        let mut slots = self.slots.lock();
        slots.retain(|exported| *exported != number);
        slot.set_exported_since(None);
        self.len.store(slots.len(), Ordering::Relaxed);
    }

    /// Goes on with the groups that a stored block says are exported: as many as may be.
    pub(super) fn restore<'a>(&self, mut exported: Vec<u32>, slot: impl Fn(u32) -> Option<Slot<'a>>) {
        for dropped in exported.drain(self.most.min(exported.len())..).filter_map(slot) {
            dropped.set_exported_since(None);
        }
        self.len.store(exported.len(), Ordering::Relaxed);
        *self.slots.lock() = exported;
    }

    pub(super) const fn capacity(&self) -> usize {
        self.most
    }

    pub(super) fn slots(&self) -> Vec<u32> {
        self.slots.lock().clone()
    }

    /// A ranking of all groups, to be made at a time.
    pub(super) fn ranking(&self, now: UnixMillis) -> Ranking {
        Ranking { most: self.most, now, kept: Vec::new(), best: BinaryHeap::new() }
    }

    /// Exports what the ranking found.
    pub(super) fn replace<'a>(&self, ranking: Ranking, slot: impl Fn(u32) -> Option<Slot<'a>>) {
        let now = ranking.now;
        let mut chosen = ranking.chosen();
        let mut slots = self.slots.lock();
        // Groups that were added while the ranking was made stay too.
        let came = |number: &u32| slot(*number).and_then(Slot::exported_since).is_some_and(|since| since >= now);
        let came: Vec<_> = slots.iter().copied().filter(came).collect();
        chosen.truncate(self.most.saturating_sub(came.len()));
        chosen.extend(came);
        // One that was retired meanwhile does not.
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

/// How high a group ranks: by its rate; among equals one that is exported already, then the one seen last.
type Rank = (RateBits, bool, UnixMillis, u32);

/// The bits of a rate, which is never negative and never NaN: they are ordered as it is.
type RateBits = u64;

/// The groups to be exported, found one by one in bounded memory.
pub(super) struct Ranking {
    most: usize,
    now: UnixMillis,
    /// Those that have not been exported for long enough to be dropped.
    kept: Vec<u32>,
    best: BinaryHeap<Reverse<Rank>>,
}

impl Ranking {
    pub(super) fn add(&mut self, number: u32, slot: Slot<'_>, rate: f64) {
        let since = slot.exported_since();
        if since.is_some_and(|since| (0..LEAST_MS).contains(&self.now.since(since))) {
            self.kept.push(number);
            return;
        }
        let rank = (rate.to_bits(), since.is_some(), slot.last_seen(), number);
        if self.best.len() < self.most {
            self.best.push(Reverse(rank));
        } else if let Some(mut worst) = self.best.peek_mut()
            && worst.0 < rank
        {
            *worst = Reverse(rank);
        }
    }

    /// Those that must stay, and then the best.
    fn chosen(self) -> Vec<u32> {
        // Sorted by `Reverse`: the best comes first.
        let best = self.best.into_sorted_vec().into_iter().map(|Reverse((.., number))| number);
        let mut chosen = self.kept;
        chosen.extend(best.take(self.most.saturating_sub(chosen.len())));
        chosen
    }
}
