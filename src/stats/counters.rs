//! Counters that many threads add to without waiting for each other.
//!
//! When two cores write to the same cache line in turn, each write costs a transfer of the line. So each counter has a
//! word per thread, in that thread's lane (up to [`LANES`]), and its value is the sum over the lanes.
//!
//! On x86, an atomic addition waits until all earlier reads are done, and later instructions wait for it, even if the core
//! owns the cache line. So the first threads have lanes of their own and add with a plain load and store. Later threads
//! share the remaining lanes and add atomically.

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::carry::{CarryOver, keys};
use crate::arena::{Block, Contents, Layout, Section};

/// Number of lanes.
const LANES: usize = 16;

/// Lanes with only one thread, which keeps its lane until the process ends. All other threads share the rest.
const OWN_LANES: usize = LANES - LANES.div_ceil(4);

/// Version of the layout of a row of counters.
const LAYOUT: u32 = 1;

/// How many messages may have been in progress when a process was killed: one per serving thread, on a machine that may
/// have had more of them.
pub(super) const MAX_IN_PROGRESS: u64 = 256;

/// A row of counters.
#[derive(Debug)]
pub(super) struct Counters {
    words: Section,
    lane_words: usize,
}

impl Counters {
    /// Reserves a row with a counter for each key, or for each combination of the keys of several axes.
    pub(super) fn reserve(contents: &mut Contents, name: &str, keys: Vec<Vec<String>>) {
        let count = keys.iter().map(Vec::len).product();
        contents.reserve(Layout { lanes: LANES, keys, ..Layout::new(name, LAYOUT, size_of::<u64>(), count) });
    }

    pub(super) fn open(block: &Block, name: &str) -> io::Result<Self> {
        let words = block.section(name)?;
        let lane_words = words.len() / LANES;
        Ok(Self { words, lane_words })
    }

    /// Adds the values of an old row with one axis. `find` returns the counter for a key.
    pub(super) fn carry_from(&self, old: &CarryOver<'_>, name: &str, find: impl Fn(&str) -> Option<usize>) {
        self.carry_combinations(old, name, |keys| match keys {
            [key] => find(key),
            _ => None,
        });
    }

    /// The same for a row with several axes. `find` returns the counter for a combination of keys.
    pub(super) fn carry_combinations(&self, old: &CarryOver<'_>, name: &str, find: impl Fn(&[&str]) -> Option<usize>) {
        let Some(stored) = old.section(name, LAYOUT, size_of::<u64>()) else { return };
        let count = stored.keys().iter().map(Vec::len).product();
        let counted = (0..count).map(|position| (position, stored.sum(position))).filter(|(_, value)| *value > 0);
        for (position, value) in counted {
            let keys = keys_at(stored.keys(), position);
            match find(&keys) {
                Some(index) => self.add(index, value),
                None => old.leave_out(format!("{name}: {value} of {}", keys.join(", "))),
            }
        }
    }

    /// Adds to one counter, in this thread's lane.
    #[inline]
    pub(super) fn add(&self, index: usize, amount: u64) {
        self.add_each([(index, amount)]);
    }

    /// Adds to several counters, with one lookup of this thread's lane.
    #[inline]
    pub(super) fn add_each<const N: usize>(&self, additions: [(usize, u64); N]) {
        let lane = lane();
        let Some(words) = self.words.get(lane * self.lane_words..) else { return };
        for (index, amount) in additions {
            match words.get(index) {
                Some(word) if lane < OWN_LANES => {
                    word.store(word.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
                }
                Some(word) => {
                    word.fetch_add(amount, Ordering::Relaxed);
                }
                None => {}
            }
        }
    }

    /// Sets one counter. No other thread may add to it meanwhile.
    fn set_sum(&self, index: usize, value: u64) {
        let lanes = self.words.iter().skip(index).step_by(self.lane_words);
        for (lane, word) in lanes.enumerate() {
            word.store(if lane == 0 { value } else { 0 }, Ordering::Relaxed);
        }
    }

    /// Sets all counters to 0. No other thread may add to them meanwhile.
    pub(super) fn reset(&self) {
        self.words.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// One counter's value. Wraps, because the lanes of a damaged state may contain any number.
    pub(super) fn sum(&self, index: usize) -> u64 {
        let lanes = self.words.iter().skip(index).step_by(self.lane_words);
        lanes.map(|word| word.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }
}

/// An enum of the counters of a [`CounterSet`].
pub(super) trait CounterKey: Copy + 'static {
    /// Every counter with its key in a stored state, which must never change, in the order of [`CounterKey::index`].
    const KEYS: &'static [(Self, &'static str)];

    /// Position in [`CounterKey::KEYS`].
    fn index(self) -> usize;
}

/// A row with a counter for each value of an enum.
#[derive(Debug)]
pub(super) struct CounterSet<K> {
    row: Counters,
    name: &'static str,
    keys: PhantomData<K>,
}

impl<K: CounterKey> CounterSet<K> {
    pub(super) fn reserve(contents: &mut Contents, name: &'static str) {
        Counters::reserve(contents, name, vec![keys(K::KEYS.iter().map(|(_, key)| key))]);
    }

    pub(super) fn open(block: &Block, name: &'static str) -> io::Result<Self> {
        Ok(Self { row: Counters::open(block, name)?, name, keys: PhantomData })
    }

    /// Adds the values of the old row with the same name.
    pub(super) fn carry_from(&self, old: &CarryOver<'_>) {
        self.carry_or(old, |_| None);
    }

    /// The same. `fallback` returns the counter for a key that this program does not know.
    pub(super) fn carry_or(&self, old: &CarryOver<'_>, fallback: impl Fn(&str) -> Option<K>) {
        self.row.carry_from(old, self.name, |key| {
            let known = K::KEYS.iter().find(|(_, known)| *known == key).map(|(counter, _)| *counter);
            known.or_else(|| fallback(key)).map(K::index)
        });
    }

    #[inline]
    pub(super) fn add(&self, key: K, amount: u64) {
        self.row.add(key.index(), amount);
    }

    pub(super) fn sum(&self, key: K) -> u64 {
        self.row.sum(key.index())
    }

    /// Sets one counter. No other thread may add to it meanwhile.
    pub(super) fn set_sum(&self, key: K, value: u64) {
        self.row.set_sum(key.index(), value);
    }

    /// Sets all counters to 0. No other thread may add to them meanwhile.
    pub(super) fn reset(&self) {
        self.row.reset();
    }
}

/// The combination of keys for the counter at a position. The last axis varies fastest.
fn keys_at(axes: &[Vec<String>], mut position: usize) -> Vec<&str> {
    let mut keys: Vec<_> = axes
        .iter()
        .rev()
        .map(|axis| {
            let key = axis.get(position % axis.len().max(1));
            position /= axis.len().max(1);
            key.map_or("", String::as_str)
        })
        .collect();
    keys.reverse();
    keys
}

/// This thread's lane. The first threads that ask get lanes of their own.
#[inline]
fn lane() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static LANE: Cell<Option<usize>> = const { Cell::new(None) });
    LANE.with(|lane| {
        lane.get().unwrap_or_else(|| {
            let mine = NEXT.fetch_add(1, Ordering::Relaxed);
            let mine = if mine < OWN_LANES { mine } else { OWN_LANES + mine % (LANES - OWN_LANES) };
            lane.set(Some(mine));
            mine
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_counter_is_the_sum_over_more_threads_than_lanes() {
        let mut contents = Contents::default();
        Counters::reserve(&mut contents, "row", vec![keys(["a", "b", "c"])]);
        let row = Counters::open(&Block::in_memory(contents).unwrap(), "row").unwrap();
        thread::scope(|scope| {
            for _ in 0..LANES * 2 {
                scope.spawn(|| (0..1000).for_each(|round| row.add(round % 3, 2)));
            }
        });
        let sums = [row.sum(0), row.sum(1), row.sum(2)];
        assert_eq!(sums, [334, 333, 333].map(|adds| adds * 2 * LANES as u64 * 2));
    }
}
