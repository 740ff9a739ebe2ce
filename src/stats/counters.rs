//! Rows of counters in the block of memory that holds the state.

use super::carry::Carry;
use crate::arena::{Layout, Place, Plan, Section};
use crate::lanes::{LANES, LINE_PAIR, Lanes};

/// Version of a row's layout.
const LAYOUT: u32 = 1;

/// A row of counters, each the sum of its lanes.
#[derive(Debug)]
pub(crate) struct Counters {
    lanes: Lanes<Section>,
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
        let count = stored.keys().iter().map(Vec::len).product();
        let counted = (0..count).map(|position| (position, stored.sum(position))).filter(|(_, value)| *value > 0);
        for (position, value) in counted {
            let keys = keys_at(stored.keys(), position);
            match place(&keys) {
                Some(index) => self.add(index, value),
                None => carry.leave_out(format!("{name}: {value} of {}", keys.join(", "))),
            }
        }
    }

    /// The row of `count` counters in a section that was reserved for as many.
    pub(crate) const fn over(words: Section, count: usize) -> Self {
        Self { lanes: Lanes::new(words, count.next_multiple_of(LINE_PAIR)) }
    }

    /// Adds to one counter.
    #[inline]
    pub(crate) fn add(&self, index: usize, amount: u64) {
        self.lanes.add(index, amount);
    }

    /// Adds to several counters, with one lookup of this thread's lane.
    #[inline]
    pub(crate) fn add_each<const N: usize>(&self, additions: [(usize, u64); N]) {
        self.lanes.add_each(additions);
    }

    /// Sets one counter. No other thread may add to it meanwhile.
    pub(crate) fn set_sum(&self, index: usize, value: u64) {
        self.lanes.set_sum(index, value);
    }

    /// The section that holds the row. No other thread may add to it while it is written to.
    pub(crate) const fn section(&self) -> &Section {
        self.lanes.words()
    }

    /// The value of one counter.
    pub(crate) fn sum(&self, index: usize) -> u64 {
        self.lanes.sum(index)
    }
}

/// The key of each axis for the counter at a position, the last axis varying fastest.
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
