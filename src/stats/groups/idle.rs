//! Which groups may be retired, and when none may.

use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::IDLE_MS;
use crate::domain::UnixMillis;

/// The fewest groups that are kept ready to be retired, where as many are idle.
const FEWEST_CANDIDATES: usize = 1024;

/// The longest that one pause holds retiring off: whoever reads slowly must not keep new groups out.
const LONGEST_PAUSE_MS: i64 = 10_000;

/// Slots that can be had although every slot has been used.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// Slots whose groups were idle when the tick last looked; the one that was idle longest is the last.
    candidates: Mutex<Vec<u32>>,
    /// Slots that were claimed by two threads for one group.
    free: Mutex<Vec<u32>>,
    /// How many of both there are, to be looked at without a lock: usually none.
    available: AtomicUsize,
}

impl Idle {
    pub(super) fn take_free(&self) -> Option<u32> {
        self.take(&self.free)
    }

    pub(super) fn take_candidate(&self) -> Option<u32> {
        self.take(&self.candidates)
    }

    /// Whether there is none to be taken, looked at without a lock.
    pub(super) fn is_empty(&self) -> bool {
        self.available.load(Ordering::Relaxed) == 0
    }

    fn take(&self, from: &Mutex<Vec<u32>>) -> Option<u32> {
        if self.is_empty() {
            return None;
        }
        let slot = from.lock().pop();
        if slot.is_some() {
            self.available.fetch_sub(1, Ordering::Relaxed);
        }
        slot
    }

    pub(super) fn give_back(&self, slot: u32) {
        self.free.lock().push(slot);
        self.available.fetch_add(1, Ordering::Relaxed);
    }

    /// A search among all groups for those that are idle; for none unless the table is full.
    pub(super) fn search(&self, is_full: bool, capacity: usize, now: UnixMillis) -> Search {
        let most = if is_full { FEWEST_CANDIDATES.max(capacity / 16) } else { 0 };
        Search { longest: BinaryHeap::new(), most, now }
    }

    pub(super) fn replace_candidates(&self, found: Search) {
        let found = found.longest.into_sorted_vec().into_iter().rev().map(|(_, slot)| slot).collect::<Vec<_>>();
        let mut candidates = self.candidates.lock();
        self.available.fetch_add(found.len(), Ordering::Relaxed);
        self.available.fetch_sub(candidates.len(), Ordering::Relaxed);
        *candidates = found;
    }
}

/// A search for the groups that have been idle longest.
pub(super) struct Search {
    /// By when they were last seen: the heap's top is the one that was idle for the shortest time.
    longest: BinaryHeap<(UnixMillis, u32)>,
    most: usize,
    now: UnixMillis,
}

impl Search {
    pub(super) fn add(&mut self, slot: u32, last_seen: UnixMillis) {
        if self.most == 0 || self.now.since(last_seen) <= IDLE_MS {
            return;
        }
        if self.longest.len() < self.most {
            self.longest.push((last_seen, slot));
        } else if let Some(mut shortest) = self.longest.peek_mut()
            && last_seen < shortest.0
        {
            *shortest = (last_seen, slot);
        }
    }
}

/// Who reads all groups one after the other pauses retiring: a group that turned from a row into folded messages
/// meanwhile would be read twice or not at all.
#[derive(Debug, Default)]
pub(super) struct Pauses(Arc<State>);

#[derive(Debug)]
struct State {
    pauses: AtomicUsize,
    /// When the last pause began.
    began: AtomicI64,
    retiring: AtomicUsize,
}

impl Default for State {
    fn default() -> Self {
        Self { pauses: AtomicUsize::new(0), began: AtomicI64::new(i64::MIN), retiring: AtomicUsize::new(0) }
    }
}

/// No group is retired while this is held, for at most ten seconds.
#[derive(Debug)]
pub struct RetirementPause(Arc<State>);

/// A group is being retired.
pub(super) struct Retiring<'a>(&'a State);

impl Pauses {
    pub(super) fn begin(&self, now: UnixMillis) -> RetirementPause {
        let state = &self.0;
        state.began.fetch_max(now.0, Ordering::SeqCst);
        state.pauses.fetch_add(1, Ordering::SeqCst);
        // In one total order with `retire`: either that sees the pause, or this sees that it is under way, which is a
        // matter of microseconds.
        while state.retiring.load(Ordering::SeqCst) > 0 {
            std::thread::yield_now();
        }
        RetirementPause(Arc::clone(state))
    }

    /// Begins to retire, unless that is paused.
    pub(super) fn retire(&self, now: UnixMillis) -> Option<Retiring<'_>> {
        let state = &self.0;
        state.retiring.fetch_add(1, Ordering::SeqCst);
        let retiring = Retiring(state);
        let age = now.0.saturating_sub(state.began.load(Ordering::SeqCst));
        let paused = state.pauses.load(Ordering::SeqCst) > 0 && (0..LONGEST_PAUSE_MS).contains(&age);
        (!paused).then_some(retiring)
    }
}

impl Drop for RetirementPause {
    fn drop(&mut self) {
        self.0.pauses.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Retiring<'_> {
    fn drop(&mut self) {
        self.0.retiring.fetch_sub(1, Ordering::SeqCst);
    }
}
