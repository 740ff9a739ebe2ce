//! Rows of counters in the block of memory that holds the state.

use std::io;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::carry::{CarryOver, keys};
use crate::arena::{Block, Contents, Layout, Section};
use crate::lanes::{LANES, Lanes};
use crate::named::Named;

/// Version of the layout of a row of counters.
const LAYOUT: u32 = 1;

/// How many messages may have been in progress when a process was killed: one per serving thread, on a machine that may
/// have had more of them.
pub(super) const MAX_IN_PROGRESS: u64 = 256;

/// More than is ever counted: at a million per second, it takes 36,000 years.
pub(super) const MAX_COUNT: u64 = 1 << 60;

/// A row of counters.
#[derive(Debug)]
pub(super) struct Counters {
    lanes: Lanes<Section>,
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
        Ok(Self { lanes: Lanes::new(words, lane_words) })
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
        visit_stored(old, name, LAYOUT, |keys, value| find(keys).map(|index| self.add(index, value)).is_some());
    }

    /// Adds to one counter.
    #[inline]
    pub(super) fn add(&self, index: usize, amount: u64) {
        self.lanes.add(index, amount);
    }

    /// Adds to several counters.
    #[inline]
    pub(super) fn add_each<const N: usize>(&self, additions: [(usize, u64); N]) {
        self.lanes.add_each(additions);
    }

    /// Sets one counter. No other thread may add to it meanwhile.
    fn set_sum(&self, index: usize, value: u64) {
        self.lanes.set_sum(index, value);
    }

    /// Sets all counters to 0. No other thread may add to them meanwhile.
    pub(super) fn reset(&self) {
        self.lanes.words().iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// The value of one counter.
    pub(super) fn sum(&self, index: usize) -> u64 {
        self.lanes.sum(index)
    }

    /// The words of several counters. Together they are the counters' sum.
    pub(super) fn words_of(&self, counters: Range<usize>) -> impl Iterator<Item = &AtomicU64> {
        self.lanes.words_of_each(counters)
    }

    /// The words of all counters.
    pub(super) fn words(&self) -> &[AtomicU64] {
        self.lanes.words()
    }
}

/// A row with a counter for each value of an enum. The names are keys in a stored state, so they must never change.
#[derive(Debug)]
pub(super) struct CounterSet<K> {
    row: Counters,
    name: &'static str,
    keys: PhantomData<K>,
}

impl<K: Named> CounterSet<K> {
    pub(super) fn reserve(contents: &mut Contents, name: &'static str) {
        Counters::reserve(contents, name, vec![keys(K::VALUES.iter().map(|counter| counter.name()))]);
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
            let known = K::VALUES.iter().copied().find(|counter| counter.name() == key);
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

    /// The words of one counter. Together they are its value.
    pub(super) fn words_of(&self, key: K) -> impl Iterator<Item = &AtomicU64> {
        self.row.words_of(key.index()..key.index() + 1)
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

/// Calls `add` with the keys and the value of each old counter that is not 0. If `add` returns false, the value is
/// dropped. Returns whether the old block has counters with this name.
pub(super) fn visit_stored(old: &CarryOver<'_>, name: &str, version: u32, add: impl Fn(&[&str], u64) -> bool) -> bool {
    let Some(stored) = old.section(name, version, size_of::<u64>()) else { return false };
    let count = stored.keys().iter().map(Vec::len).product();
    let counted = (0..count).map(|position| (position, stored.sum(position))).filter(|(_, value)| *value > 0);
    for (position, value) in counted {
        let keys = keys_at(stored.keys(), position);
        if !add(&keys, value) {
            old.drop_part(format!("{name}: {value} of {}", keys.join(", ")));
        }
    }
    true
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
