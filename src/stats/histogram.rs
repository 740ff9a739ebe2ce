//! Histograms of integers: bytes, or milliseconds.

use std::io;
use std::sync::atomic::AtomicU64;

use super::carry::CarryOver;
use super::counters::{Counters, MAX_IN_PROGRESS};
use super::native::NativeCounts;
use crate::arena::{Block, Contents};
use crate::native::NativeBuckets;

/// Stored keys of the last two counters: of values above the last bound, and of the sum.
const ABOVE: &str = "+Inf";
const SUM: &str = "sum";

/// The key of the row of native buckets, if they have only one.
pub(super) const ALL: &str = "all";

/// Names of sections in a state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    pub(super) classic: &'static str,
    pub(super) native: &'static str,
}

/// The buckets of a histogram.
#[derive(Debug)]
pub(super) struct Shape {
    /// The upper bounds of the classic buckets.
    pub(super) bounds: &'static [u64],
    /// The highest value that is observed.
    pub(super) highest: u64,
    pub(super) native: NativeBuckets,
    /// The native buckets count the value divided by this.
    pub(super) per_unit: f64,
}

/// A histogram that has classic buckets and native ones. The native ones may have a row for each value of a label.
#[derive(Debug)]
pub(super) struct Histogram {
    /// A counter for each bound, one for values above the last, and the sum.
    row: Counters,
    native: NativeCounts,
    names: Names,
    shape: &'static Shape,
}

/// A histogram's values at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramReading {
    /// Each bucket's upper bound, inclusive, and the cumulative number of observations.
    pub buckets: Vec<(u64, u64)>,
    /// Sum of all observations.
    pub sum: u64,
    /// Number of all observations.
    pub count: u64,
}

impl Histogram {
    /// Reserves a histogram whose native buckets have these rows. The last one gets observations without a known row.
    pub(super) fn reserve(contents: &mut Contents, names: Names, shape: &Shape, rows: Vec<String>) {
        Counters::reserve(contents, names.classic, vec![Self::value_keys(shape.bounds).collect()]);
        NativeCounts::reserve(contents, names.native, shape.native, rows);
    }

    pub(super) fn open(block: &Block, names: Names, shape: &'static Shape) -> io::Result<Self> {
        let (row, native) =
            (Counters::open(block, names.classic)?, NativeCounts::open(block, names.native, shape.native)?);
        Ok(Self { row, native, names, shape })
    }

    /// Adds the observations of the old histogram with the same name. `row` returns the row for a key. Returns whether
    /// the old one had native buckets.
    pub(super) fn carry_from(&self, old: &CarryOver<'_>, row: impl Fn(&str) -> usize) -> bool {
        self.row.carry_from(old, self.names.classic, |key| Self::value_of_key(self.shape.bounds, key));
        let has_native = self.native.carry_from(old, row);
        if !has_native {
            self.fill_native();
        }
        has_native
    }

    /// Adds the observations of the classic buckets to the native ones, each as the highest value of its bucket.
    fn fill_native(&self) {
        let above = self.shape.bounds.last().map_or(0, |last| last + 1);
        for (bucket, upper) in self.shape.bounds.iter().copied().chain([above]).enumerate() {
            self.add_native(upper, self.row.sum(bucket));
        }
    }

    /// Adds to the last row of the native buckets.
    fn add_native(&self, value: u64, count: u64) {
        self.native.observe(self.native.last_row(), self.in_unit(value), count);
    }

    #[inline]
    fn in_unit(&self, value: u64) -> f64 {
        value as f64 / self.shape.per_unit
    }

    /// Counts one observation in a row, and returns its bucket. The sum would wrap at 2^64, but the callers limit the
    /// values.
    #[inline]
    pub(super) fn observe(&self, row: usize, value: u64) -> usize {
        // Before the classic buckets, which are read first: so the native ones lack no observation that those have.
        self.native.observe(row, self.in_unit(value), 1);
        let bucket = self.bucket(value);
        self.row.add_each([(bucket, 1), (self.shape.bounds.len() + 1, value)]);
        bucket
    }

    /// The bucket for a value.
    #[inline]
    pub(super) fn bucket(&self, value: u64) -> usize {
        bucket(self.shape.bounds, value)
    }

    /// Counts this many observations of 0.
    pub(super) fn observe_zeros(&self, count: u64) {
        self.add_native(0, count);
        self.row.add(0, count);
    }

    /// The number of observations, as counted by the classic buckets and by the native ones.
    fn counts(&self) -> [u64; 2] {
        [self.read().count, self.native.count()]
    }

    /// The number of observations, counting those that are only in the native buckets or only in the classic ones.
    pub(super) fn count(&self) -> u64 {
        self.counts().into_iter().fold(0, u64::max)
    }

    /// Adds the observations that are only in the native buckets, or only in the classic ones, to the others as zeros.
    /// Returns false if there are more than `most`.
    pub(super) fn complete(&self, most: u64) -> bool {
        let [classic, native] = self.counts();
        self.row.add(0, native.saturating_sub(classic));
        self.add_native(0, classic.saturating_sub(native));
        classic.abs_diff(native) <= most
    }

    /// Sets everything to 0. No other thread may observe meanwhile.
    pub(super) fn reset(&self) {
        self.row.reset();
        self.native.reset();
    }

    /// Whether at most this many observations can have produced the numbers.
    pub(super) fn is_plausible(&self, observations: u64) -> bool {
        let uppers = self.shape.bounds.iter().copied().chain([self.shape.highest]);
        let buckets = || uppers.clone().enumerate().map(|(bucket, upper)| (self.row.sum(bucket), upper));
        let count = buckets().fold(0, |sum: u64, (count, _)| sum.saturating_add(count));
        // A bucket may lack observations that were in progress when the process was killed.
        let max_sum =
            buckets().map(|(count, upper)| (u128::from(count) + u128::from(MAX_IN_PROGRESS)) * u128::from(upper));
        count.max(self.native.count()) <= observations
            && u128::from(self.row.sum(self.shape.bounds.len() + 1)) <= max_sum.sum()
    }

    /// The number of values of [`Histogram::values`].
    pub(super) const fn value_count(bounds: &[u64]) -> usize {
        bounds.len() + 2
    }

    /// The stored keys of [`Histogram::values`].
    pub(super) fn value_keys(bounds: &[u64]) -> impl Iterator<Item = String> {
        bounds.iter().map(u64::to_string).chain([ABOVE.to_owned(), SUM.to_owned()])
    }

    /// The value for a stored key. An unknown bucket is added to the next larger one.
    pub(super) fn value_of_key(bounds: &[u64], key: &str) -> Option<usize> {
        match key {
            SUM => Some(bounds.len() + 1),
            ABOVE => Some(bounds.len()),
            bound => bound.parse().ok().map(|bound| bucket(bounds, bound)),
        }
    }

    /// The observations of each bucket, those above the last bound, and the sum.
    pub(super) fn values(&self) -> impl Iterator<Item = u64> {
        (0..Self::value_count(self.shape.bounds)).map(|index| self.row.sum(index))
    }

    /// The words that count observations in the classic buckets.
    pub(super) fn classic_words(&self) -> impl Iterator<Item = &AtomicU64> {
        self.row.words_of(0..self.shape.bounds.len() + 1)
    }

    /// The words of the sum.
    pub(super) fn sum_words(&self) -> impl Iterator<Item = &AtomicU64> {
        self.row.words_of(self.shape.bounds.len() + 1..self.shape.bounds.len() + 2)
    }

    pub(super) fn read(&self) -> HistogramReading {
        HistogramReading::from_values(self.shape.bounds, self.values())
    }

    pub(super) const fn native(&self) -> &NativeCounts {
        &self.native
    }
}

/// The bucket for a value.
#[inline]
fn bucket(bounds: &[u64], value: u64) -> usize {
    bounds.partition_point(|bound| *bound < value)
}

impl HistogramReading {
    /// The reading of a histogram with these [`Histogram::values`].
    pub(super) fn from_values(bounds: &[u64], values: impl IntoIterator<Item = u64>) -> Self {
        let (mut values, mut count) = (values.into_iter(), 0_u64);
        let mut add_next = || {
            count = count.wrapping_add(values.next().unwrap_or_default());
            count
        };
        let buckets = bounds.iter().map(|bound| (*bound, add_next())).collect();
        let count = add_next();
        Self { buckets, sum: values.next().unwrap_or_default(), count }
    }

    /// The mean of all observations; `None` without an observation.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// The `q`-quantile (0 <= q <= 1), estimated as Prometheus' `histogram_quantile` does: observations are assumed to
    /// be spread evenly over their bucket, and those above the last bound to be equal to it. `None` without an
    /// observation.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = q * self.count as f64;
        let (mut lower, mut before) = (0, 0);
        for (bound, up_to) in &self.buckets {
            if *up_to as f64 >= rank && *up_to > before {
                let part = (rank - before as f64).max(0.0) / (up_to - before) as f64;
                return Some(lower as f64 + (bound - lower) as f64 * part);
            }
            (lower, before) = (*bound, *up_to);
        }
        (self.count > 0).then_some(lower as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::NativeReading;

    const NAMES: Names = Names { classic: "sizes", native: "sizes, native" };
    const SHAPE: &Shape =
        &Shape { bounds: &[10, 20], highest: 1000, native: NativeBuckets::between_powers(-1, 4), per_unit: 1.0 };

    /// A histogram with a row for each of two labels, and one for none.
    fn new_histogram() -> (Block, Histogram) {
        let mut contents = Contents::default();
        Histogram::reserve(&mut contents, NAMES, SHAPE, ["a", "b", "none"].map(str::to_owned).to_vec());
        let block = Block::in_memory(contents).unwrap();
        let histogram = Histogram::open(&block, NAMES, SHAPE).unwrap();
        (block, histogram)
    }

    fn observe(histogram: &Histogram, row: usize, values: &[u64]) {
        for value in values {
            histogram.observe(row, *value);
        }
    }

    /// The observations of each native bucket that has any, by the rounded bound, for each row.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive bound")]
    fn native(histogram: &Histogram) -> Vec<Vec<(u64, u64)>> {
        let counted = |reading: NativeReading| {
            let buckets = (reading.first..).zip(reading.buckets);
            let buckets = buckets.map(|(index, count)| ((f64::from(index) / 8.0).exp2() as u64, count));
            [(0, reading.zero_count)].into_iter().chain(buckets).filter(|(_, count)| *count > 0).collect()
        };
        histogram.native().rows().map(counted).collect()
    }

    #[test]
    fn an_upper_bound_is_inclusive() {
        let (_block, histogram) = new_histogram();
        observe(&histogram, 0, &[0, 10, 11]);
        observe(&histogram, 1, &[20, 21, 1000]);
        let reading = histogram.read();
        assert_eq!(reading.buckets, [(10, 2), (20, 4)]);
        assert_eq!((reading.count, reading.sum), (6, 1062));
        // 2^(27/8) = 10.4, and 2^(28/8) = 11.3; values above the last bucket are in it.
        assert_eq!(native(&histogram), [vec![(0, 1), (10, 1), (11, 1)], vec![(16, 3)], vec![]]);
        assert_eq!(histogram.native().read().count(), 6);
    }

    #[test]
    fn what_only_one_of_the_two_kinds_of_buckets_has_is_added_to_the_other() {
        let (_block, histogram) = new_histogram();
        observe(&histogram, 0, &[16, 16]);
        histogram.native.observe(1, 2.0, 3);
        assert_eq!((histogram.count(), histogram.complete(3)), (5, true));
        assert_eq!((histogram.read().buckets[0], histogram.counts()), ((10, 3), [5, 5]));
        histogram.row.add(1, 2);
        assert_eq!((histogram.count(), histogram.complete(1)), (7, false), "more than one was missing");
        assert_eq!((native(&histogram)[2].as_slice(), histogram.counts()), ([(0, 2)].as_slice(), [7, 7]));
        histogram.observe_zeros(4);
        assert_eq!((histogram.read().buckets[0], histogram.counts()), ((10, 7), [11, 11]));
    }

    #[test]
    fn native_buckets_are_carried_by_row_and_key_or_filled_from_the_classic_ones() {
        let (old_block, old) = new_histogram();
        observe(&old, 0, &[0, 10, 16]);
        observe(&old, 1, &[9, 11, 1000]);
        let carried = |block: &Block| {
            let (_, new) = new_histogram();
            new.carry_from(&CarryOver::new(block), |key| ["b", "a"].iter().position(|row| *row == key).unwrap_or(2));
            assert_eq!(new.read(), old.read());
            native(&new)
        };
        let [a, b] = [vec![(0, 1), (10, 1), (16, 1)], vec![(9, 1), (11, 1), (16, 1)]];
        assert_eq!(carried(&old_block), [b, a, vec![]]);
        let mut contents = old_block.contents().clone();
        contents.sections.retain(|entry| entry.layout.name == NAMES.classic);
        // Three up to 10, and three more, which are above the last native bucket or in it.
        assert_eq!(carried(&Block::new(old_block.arena().clone(), contents)), [vec![], vec![], vec![(10, 3), (16, 3)]]);
    }

    #[test]
    fn a_quantile_is_interpolated_within_its_bucket() {
        let reading = |buckets: &[(u64, u64)], count| HistogramReading { buckets: buckets.to_vec(), sum: 100, count };
        // Calculated by hand from Prometheus' documentation of histogram_quantile.
        let spread = reading(&[(10, 4), (20, 4), (50, 10)], 10);
        for (q, value) in [(0.0, 0.0), (0.2, 5.0), (0.4, 10.0), (0.5, 25.0), (0.95, 47.5), (1.0, 50.0)] {
            let found = spread.quantile(q).unwrap();
            assert!((found - value).abs() < 1e-9, "{q}: {found}");
        }
        assert_eq!(spread.mean(), Some(10.0));
        // A value above the last bound counts as equal to it.
        assert_eq!(reading(&[(10, 1), (20, 1)], 10).quantile(0.5), Some(20.0));
        assert_eq!(reading(&[(10, 0), (20, 0)], 0).quantile(0.5), None);
        assert_eq!(reading(&[(10, 0), (20, 0)], 0).mean(), None);
    }
}
