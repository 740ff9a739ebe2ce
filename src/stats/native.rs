//! Native histograms in the block of memory that holds the state: one word for each bucket, which all threads add to.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use super::carry::CarryOver;
use super::counters;
use crate::arena::{Block, Contents, Layout, Section};
use crate::native::{NativeBuckets, NativeReading};

/// Version of the layout.
const LAYOUT: u32 = 1;

/// A native histogram for each row.
#[derive(Debug)]
pub(super) struct NativeCounts {
    words: Section,
    name: &'static str,
    buckets: NativeBuckets,
}

impl NativeCounts {
    pub(super) fn reserve(contents: &mut Contents, name: &str, buckets: NativeBuckets, rows: Vec<String>) {
        let (count, keys) = (rows.len() * buckets.count(), vec![rows, buckets.keys().collect()]);
        contents.reserve(Layout { keys, ..Layout::new(name, LAYOUT, size_of::<u64>(), count) });
    }

    pub(super) fn open(block: &Block, name: &'static str, buckets: NativeBuckets) -> io::Result<Self> {
        Ok(Self { words: block.section(name)?, name, buckets })
    }

    /// Adds the observations of old histograms. `row` returns the row for a key. Returns false if there are none.
    pub(super) fn carry_from(&self, old: &CarryOver<'_>, row: impl Fn(&str) -> usize) -> bool {
        counters::visit_stored(old, self.name, LAYOUT, |keys, count| {
            let [of, bucket] = keys else { return false };
            self.buckets.position_of_key(bucket).is_some_and(|bucket| self.add_to(row(of), bucket, count))
        })
    }

    /// Counts this many observations of a value in a row.
    #[inline]
    pub(super) fn observe(&self, row: usize, value: f64, count: u64) {
        self.add_to(row, self.buckets.position(value), count);
    }

    /// The position of the last row.
    pub(super) fn last_row(&self) -> usize {
        (self.words.len() / self.buckets.count()).saturating_sub(1)
    }

    #[inline]
    fn add_to(&self, row: usize, bucket: usize, count: u64) -> bool {
        let word = self.words.get(row * self.buckets.count() + bucket);
        word.map(|word| word.fetch_add(count, Ordering::Relaxed)).is_some()
    }

    /// Sets everything to 0. No other thread may observe meanwhile.
    pub(super) fn reset(&self) {
        self.words.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// The number of observations in all rows, at most `u64::MAX`.
    pub(super) fn count(&self) -> u64 {
        self.words.iter().map(|word| word.load(Ordering::Relaxed)).fold(0, u64::saturating_add)
    }

    /// The words that count observations.
    pub(super) fn words(&self) -> &[AtomicU64] {
        &self.words
    }

    /// The histogram of each row.
    pub(super) fn rows(&self) -> impl Iterator<Item = NativeReading> + '_ {
        let rows = self.words.chunks_exact(self.buckets.count());
        rows.map(|row| self.buckets.reading(row.iter().map(|word| word.load(Ordering::Relaxed))))
    }

    /// The histogram of all rows together.
    pub(super) fn read(&self) -> NativeReading {
        let mut sums = vec![0_u64; self.buckets.count()];
        for row in self.words.chunks_exact(self.buckets.count()) {
            add_each(&mut sums, row);
        }
        self.buckets.reading(sums)
    }
}

fn add_each(sums: &mut [u64], words: &[AtomicU64]) {
    for (sum, word) in sums.iter_mut().zip(words) {
        *sum = sum.wrapping_add(word.load(Ordering::Relaxed));
    }
}
