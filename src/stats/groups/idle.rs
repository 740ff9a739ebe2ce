//! The groups that can be retired, and pauses during which none is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::domain::UnixMillis;
use crate::stats::top::Top;

/// A group that has been silent for longer can be retired: a day, and two minutes more, so that none of its senders
/// still counts as active when another group gets its slot.
pub(super) const IDLE_MS: i64 = 24 * 3_600_000 + 120_000;

/// At least this many candidates for retirement are kept, if as many groups are idle.
const MIN_CANDIDATES: usize = 1024;

/// The longest time for which a pause has an effect: a slow reader must not keep new groups out.
const MAX_PAUSE_MS: i64 = 10_000;

/// Slots that are available although every slot has been used.
#[derive(Debug, Default)]
pub(super) struct IdleSlots {
    /// Slots whose groups were idle at the last tick. The one that was idle longest is the last.
    candidates: Mutex<Vec<u32>>,
    /// Free slots.
    free: Mutex<Vec<u32>>,
    /// The number of candidates and free slots, to be read without a lock; usually 0.
    available: AtomicUsize,
}

impl IdleSlots {
    pub(super) fn take_free(&self) -> Option<u32> {
        self.take(&self.free)
    }

    pub(super) fn take_candidate(&self) -> Option<u32> {
        self.take(&self.candidates)
    }

    /// Whether no slot is available. Takes no lock.
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

    /// Starts a search for idle groups. It finds none unless the table is full.
    pub(super) fn search(&self, is_full: bool, capacity: usize, now: UnixMillis) -> IdleSearch {
        let limit = if is_full { MIN_CANDIDATES.max(capacity / 16) } else { 0 };
        IdleSearch { longest: Top::new(limit), now }
    }

    pub(super) fn replace_candidates(&self, search: IdleSearch) {
        let found = search.longest.into_sorted_vec().into_iter().rev().map(|(_, slot)| slot).collect::<Vec<_>>();
        let mut candidates = self.candidates.lock();
        self.available.fetch_add(found.len(), Ordering::Relaxed);
        self.available.fetch_sub(candidates.len(), Ordering::Relaxed);
        *candidates = found;
    }
}

/// A search for the groups that have been idle longest.
pub(super) struct IdleSearch {
    longest: Top<(UnixMillis, u32)>,
    now: UnixMillis,
}

impl IdleSearch {
    pub(super) fn add(&mut self, slot: u32, last_seen: UnixMillis) {
        if self.now.since(last_seen) > IDLE_MS {
            self.longest.add((last_seen, slot));
        }
    }
}

/// A reader of all groups pauses their retirement: a group that is folded during the iteration would be read twice or
/// not at all.
#[derive(Debug, Default)]
pub(super) struct RetirementPauses(Arc<PauseState>);

#[derive(Debug)]
struct PauseState {
    /// When each pause started, in their order.
    starts: Mutex<Vec<i64>>,
    /// The last of them; the lowest number if there is none.
    latest: AtomicI64,
    retiring: AtomicUsize,
}

impl PauseState {
    fn change(&self, change: impl FnOnce(&mut Vec<i64>)) {
        let mut starts = self.starts.lock();
        change(&mut starts);
        self.latest.store(starts.last().copied().unwrap_or(i64::MIN), Ordering::SeqCst);
    }
}

impl Default for PauseState {
    fn default() -> Self {
        Self { starts: Mutex::default(), latest: AtomicI64::new(i64::MIN), retiring: AtomicUsize::new(0) }
    }
}

/// Until this is dropped, but for at most ten seconds, no group is retired.
#[derive(Debug)]
pub struct RetirementPause {
    state: Arc<PauseState>,
    started: i64,
}

/// The group must stay for the moment, because a reader of all groups paused their retirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paused;

/// A retirement in progress.
pub(super) struct Retiring<'a>(&'a PauseState);

impl RetirementPauses {
    pub(super) fn start(&self, now: UnixMillis) -> RetirementPause {
        let state = &self.0;
        state.change(|starts| starts.push(now.0));
        // Sequentially consistent with `retire`: either that sees the pause, or this sees the retirement, which takes
        // only microseconds.
        while state.retiring.load(Ordering::SeqCst) > 0 {
            std::thread::yield_now();
        }
        RetirementPause { state: Arc::clone(state), started: now.0 }
    }

    /// Starts a retirement, unless retirements are paused.
    pub(super) fn retire(&self, now: UnixMillis) -> Option<Retiring<'_>> {
        let state = &self.0;
        state.retiring.fetch_add(1, Ordering::SeqCst);
        let retiring = Retiring(state);
        let age = now.0.saturating_sub(state.latest.load(Ordering::SeqCst));
        // Threads read the clock at slightly different times, so the age may be negative.
        (age.saturating_abs() >= MAX_PAUSE_MS).then_some(retiring)
    }
}

impl Drop for RetirementPause {
    fn drop(&mut self) {
        self.state.change(|starts| {
            if let Some(place) = starts.iter().position(|start| *start == self.started) {
                starts.remove(place);
            }
        });
    }
}

impl Drop for Retiring<'_> {
    fn drop(&mut self) {
        self.0.retiring.fetch_sub(1, Ordering::SeqCst);
    }
}
