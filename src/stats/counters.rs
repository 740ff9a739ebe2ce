//! Counters that many threads add to without waiting for each other.
//!
//! A cache line that two cores write in turn costs each of them a transfer at every write, so a counter is a lane of
//! words, one for each thread that counts (up to [`LANES`]), and its value is their sum.
//!
//! An atomic addition, even to a line that the core has, waits on x86 until all that was read before it has come, and
//! has all that is behind it wait. So the first threads have lanes of their own, and add by reading and writing; those after
//! them share the rest, and add atomically.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::carry::Carry;
use crate::arena::{Layout, Place, Plan, Section};

/// Threads that count without sharing a cache line; the next ones share. The fuzzer counts on one thread,
/// and makes and reads a state at each run.
pub(crate) const LANES: usize = if cfg!(fuzzing) { 2 } else { 16 };

/// Lanes that are one thread's own; the rest are for all other threads. A thread keeps its own until the process ends.
const OWN: usize = LANES - LANES.div_ceil(4);

/// Version of a row's layout.
const LAYOUT: u32 = 1;

/// Words in two cache lines: lanes start on a multiple, so that no two lanes share a line or a prefetched pair.
const LINE_PAIR: usize = 16;

/// A row of counters, each the sum of its lanes.
#[derive(Debug)]
pub(crate) struct Counters {
    words: Section,
    stride: usize,
}

impl Counters {
    /// Reserves a row with a counter for each key, or for each combination of the keys of several axes.
    pub(crate) fn reserve(plan: &mut Plan, name: &str, keys: Vec<Vec<String>>) -> Place {
        let count = keys.iter().map(Vec::len).product();
        plan.reserve(Layout { lanes: LANES, keys, ..Layout::of(name, LAYOUT, size_of::<u64>(), count) })
    }

    /// Adds what a stored row with one axis counted. `place` finds the counter for a key.
    pub(crate) fn carry(&self, carry: &Carry<'_>, name: &str, place: impl Fn(&str) -> Option<usize>) {
        self.carry_cells(carry, name, |keys| match keys {
            [key] => place(key),
            _ => None,
        });
    }

    /// The same for a row with several axes. `place` finds the counter for a key of each.
    pub(crate) fn carry_cells(&self, carry: &Carry<'_>, name: &str, place: impl Fn(&[&str]) -> Option<usize>) {
        let Some(stored) = carry.section(name, LAYOUT, size_of::<u64>()) else { return };
        for (position, keys) in combinations(stored.keys()).into_iter().enumerate() {
            let value = stored.sum(position);
            // Finding a counter may take one of a few places, which are for keys that have counted.
            if value == 0 {
                continue;
            }
            match place(&keys) {
                Some(index) => self.add(index, value),
                None => carry.leave_out(format!("{name}: {value} of {}", keys.join(", "))),
            }
        }
    }

    /// The row of `count` counters in a section that was reserved for as many.
    pub(crate) const fn over(words: Section, count: usize) -> Self {
        Self { words, stride: Self::stride(count) }
    }

    const fn stride(count: usize) -> usize {
        count.next_multiple_of(LINE_PAIR)
    }

    /// Adds to one counter, in this thread's lane.
    #[inline]
    pub(crate) fn add(&self, index: usize, amount: u64) {
        self.add_each([(index, amount)]);
    }

    /// Adds to several counters, in this thread's lane, which is looked for once.
    #[inline]
    pub(crate) fn add_each<const N: usize>(&self, additions: [(usize, u64); N]) {
        let lane = lane();
        let Some(words) = self.words.get(lane * self.stride..) else { return };
        for (index, amount) in additions {
            match words.get(index) {
                Some(word) if lane < OWN => {
                    word.store(word.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
                }
                Some(word) => {
                    word.fetch_add(amount, Ordering::Relaxed);
                }
                None => {}
            }
        }
    }

    /// Sets one counter. Nobody may add to it meanwhile.
    pub(crate) fn set_sum(&self, index: usize, value: u64) {
        let lanes = self.words.iter().skip(index).step_by(self.stride);
        for (lane, word) in lanes.enumerate() {
            word.store(if lane == 0 { value } else { 0 }, Ordering::Relaxed);
        }
    }

    /// The section that holds the row. Nobody may add to it while it is written to.
    pub(crate) const fn section(&self) -> &Section {
        &self.words
    }

    /// One counter's value. Wraps as the lanes do, which a damaged state may have brought to the end of their range.
    pub(crate) fn sum(&self, index: usize) -> u64 {
        let lanes = self.words.iter().skip(index).step_by(self.stride);
        lanes.map(|word| word.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }
}

/// Every combination of a key of each axis, the last axis varying fastest.
fn combinations<'axes>(axes: &'axes [Vec<String>]) -> Vec<Vec<&'axes str>> {
    let start = vec![Vec::with_capacity(axes.len())];
    axes.iter().fold(start, |before, axis| {
        let with_each = |keys: Vec<&'axes str>| axis.iter().map(move |key| [&keys[..], &[key.as_str()]].concat());
        before.into_iter().flat_map(with_each).collect()
    })
}

/// This thread's lane: the first threads that ask get one of their own.
#[inline]
fn lane() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static LANE: Cell<Option<usize>> = const { Cell::new(None) });
    LANE.with(|lane| {
        lane.get().unwrap_or_else(|| {
            let mine = NEXT.fetch_add(1, Ordering::Relaxed);
            let mine = if mine < OWN { mine } else { OWN + mine % (LANES - OWN) };
            lane.set(Some(mine));
            mine
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;
    use std::thread;

    #[test]
    fn a_counter_is_the_sum_over_more_threads_than_lanes() {
        let mut plan = Plan::new();
        let place = Counters::reserve(&mut plan, "row", vec![crate::stats::carry::keys(["a", "b", "c"])]);
        let row = Counters::over(Arena::anonymous(&plan).unwrap().section(place).unwrap(), 3);
        thread::scope(|scope| {
            for _ in 0..LANES * 2 {
                scope.spawn(|| (0..1000).for_each(|round| row.add(round % 3, 2)));
            }
        });
        let sums = [row.sum(0), row.sum(1), row.sum(2)];
        assert_eq!(sums, [334, 333, 333].map(|adds| adds * 2 * LANES as u64 * 2));
    }
}
