//! The exported groups, which have series of their own: the most active ones.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::agreed::{Agreement, LastAgreement};
use super::slot::Slot;
use super::slot_set::SlotSet;
use crate::domain::UnixMillis;
use crate::stats::top::Top;

/// The shortest time for which a group is exported, so that series do not come and go with each scrape.
const MIN_EXPORT_MS: i64 = 600_000;

/// The exported groups.
#[derive(Debug)]
pub(super) struct ExportedGroups {
    capacity: usize,
    slots: Mutex<Slots>,
    /// The number of exported groups, to be read without the lock.
    len: AtomicUsize,
    agreement: LastAgreement,
}

/// The slots of the exported groups.
#[derive(Debug, Default)]
struct Slots {
    exported: Vec<u32>,
    /// Those of them that were added since the other exporters were last told which groups are exported.
    added: Vec<u32>,
}

impl ExportedGroups {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, slots: Mutex::default(), len: AtomicUsize::new(0), agreement: LastAgreement::default() }
    }

    /// Exports a new group immediately if the capacity allows it, or if it is an agreed one.
    pub(super) fn add<'a>(&self, number: u32, name: &str, now: UnixMillis, slot: impl Fn(u32) -> Option<Slot<'a>>) {
        let agreement = self.agreement.in_force(Instant::now());
        let agreed_since = agreement.as_ref().and_then(|agreement| agreement.since(name));
        if self.len.load(Ordering::Relaxed) >= self.capacity && agreed_since.is_none() {
            return;
        }
        let mut slots = self.slots.lock();
        if let Some(agreement) = agreement.filter(|_| agreed_since.is_some() && slots.exported.len() >= self.capacity) {
            slots.drop_one(&agreement, &slot);
        }
        if slots.exported.len() < self.capacity {
            slots.exported.push(number);
            slots.added.push(number);
            slot(number).into_iter().for_each(|slot| slot.set_exported_since(agreed_since.or(Some(now))));
        }
        self.len.store(slots.exported.len(), Ordering::Relaxed);
    }

    /// Removes a retired group. Call it after the slot was freed, so that a later ranking does not choose it again.
    pub(super) fn remove(&self, number: u32, slot: Slot<'_>) {
        let mut slots = self.slots.lock();
        slots.retain(|exported| exported != number);
        slot.set_exported_since(None);
        self.len.store(slots.exported.len(), Ordering::Relaxed);
    }

    /// Continues with the exported groups of a stored block, as many as the capacity allows.
    pub(super) fn restore<'a>(&self, mut exported: Vec<u32>, slot: impl Fn(u32) -> Option<Slot<'a>>) {
        for dropped in exported.drain(self.capacity.min(exported.len())..).filter_map(slot) {
            dropped.set_exported_since(None);
        }
        self.len.store(exported.len(), Ordering::Relaxed);
        *self.slots.lock() = Slots { exported, added: Vec::new() };
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn slots(&self) -> Vec<u32> {
        self.slots.lock().exported.clone()
    }

    /// The same as a set.
    pub(super) fn slot_set(&self) -> SlotSet {
        self.slots.lock().exported.iter().copied().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Starts a ranking of all groups.
    pub(super) fn ranking(&self, now: UnixMillis) -> Ranking {
        Ranking { capacity: self.capacity, now, kept: Vec::new(), best: Top::new(self.capacity) }
    }

    /// Exports the groups that the ranking has chosen, unless an agreement is in force.
    pub(super) fn replace<'a>(&self, ranking: Ranking, slot: impl Fn(u32) -> Option<Slot<'a>>) {
        let now = ranking.now;
        let mut chosen = ranking.into_chosen();
        let mut slots = self.slots.lock();
        // Checked with the lock held, because an agreement is also set with the lock held.
        if self.agreement.in_force(Instant::now()).is_some() {
            return;
        }
        // Groups that were added during the ranking stay.
        let is_recent = |number: &u32| slot(*number).and_then(Slot::exported_since).is_some_and(|since| since >= now);
        let recent: Vec<_> = slots.exported.iter().copied().filter(is_recent).collect();
        chosen.truncate(self.capacity.saturating_sub(recent.len()));
        chosen.extend(recent);
        // Groups that were retired during the ranking do not.
        chosen.retain(|number| slot(*number).is_some_and(|slot| !slot.is_free()));
        chosen.sort_unstable();
        chosen.dedup();
        slots.replace(chosen, &slot, |slot| slot.exported_since().or(Some(now)));
        self.len.store(slots.exported.len(), Ordering::Relaxed);
    }

    pub(super) fn is_agreed(&self, name: &str, now: Instant) -> bool {
        self.agreement.in_force(now).is_some_and(|agreement| agreement.since(name).is_some())
    }

    /// Every group that is added from now on is new to the other exporters.
    pub(super) fn forget_added(&self) {
        self.slots.lock().added.clear();
    }

    /// Exports the agreed groups, and while there is room, those that are new to the other exporters. If fewer are agreed
    /// than can be exported, no other one has to make room: it may not have fitted into what exporters tell each other.
    /// `tracked` are the slots that the agreed groups were in.
    pub(super) fn export_agreed<'a>(
        &self,
        groups: &[(String, UnixMillis)],
        tracked: &[u32],
        slot: impl Fn(u32) -> Option<Slot<'a>>,
        now: Instant,
    ) {
        let mut slots = self.slots.lock();
        let agreement = self.agreement.set(groups, now);
        // A slot may have another group by now.
        let agreed =
            tracked.iter().copied().filter(|number| slot(*number).and_then(agreed_since(&agreement)).is_some());
        let mut chosen: Vec<_> = agreed.take(self.capacity).collect();
        chosen.sort_unstable();
        chosen.dedup();
        let others = if groups.len() < self.capacity { &slots.exported } else { &slots.added };
        let others: Vec<_> = others.iter().copied().filter(|number| chosen.binary_search(number).is_err()).collect();
        chosen.extend(others.into_iter().take(self.capacity.saturating_sub(chosen.len())));
        chosen.sort_unstable();
        slots.replace(chosen, &slot, |slot| agreed_since(&agreement)(slot).or(slot.exported_since()));
        self.len.store(slots.exported.len(), Ordering::Relaxed);
    }
}

/// Finds out since when the group in a slot has been exported, if it is an agreed one.
fn agreed_since(agreement: &Agreement) -> impl Fn(Slot<'_>) -> Option<UnixMillis> + '_ {
    |slot| agreement.since(slot.read()?.name.as_str())
}

impl Slots {
    fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        self.exported.retain(|number| keep(*number));
        self.added.retain(|number| keep(*number));
    }

    /// Stops exporting the group that was added last and is not an agreed one.
    fn drop_one<'a>(&mut self, agreement: &Agreement, slot: impl Fn(u32) -> Option<Slot<'a>>) {
        let is_agreed = |number: u32| slot(number).and_then(agreed_since(agreement)).is_some();
        if let Some(dropped) = self.exported.iter().rev().copied().find(|number| !is_agreed(*number)) {
            self.retain(|number| number != dropped);
            slot(dropped).into_iter().for_each(|slot| slot.set_exported_since(None));
        }
    }

    /// Exports these groups, which are sorted, and no others. `since` returns the time since which a group has been
    /// exported.
    fn replace<'a>(
        &mut self,
        chosen: Vec<u32>,
        slot: impl Fn(u32) -> Option<Slot<'a>>,
        since: impl Fn(Slot<'a>) -> Option<UnixMillis>,
    ) {
        let is_chosen = |number: u32| chosen.binary_search(&number).is_ok();
        let dropped = self.exported.iter().filter(|number| !is_chosen(**number));
        dropped.filter_map(|number| slot(*number)).for_each(|slot| slot.set_exported_since(None));
        for slot in chosen.iter().filter_map(|number| slot(*number)) {
            slot.set_exported_since(since(slot));
        }
        self.added.retain(|number| is_chosen(*number));
        self.exported = chosen;
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
