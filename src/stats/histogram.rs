//! Histograms of integers: bytes, or milliseconds.

use std::io;

use super::carry::CarryOver;
use super::counters::{Counters, MAX_IN_PROGRESS};
use crate::arena::{Block, Contents};

/// Stored keys of the last two counters: of values above the last bound, and of the sum.
const ABOVE: &str = "+Inf";
const SUM: &str = "sum";

/// A histogram whose buckets and sum are counters.
#[derive(Debug)]
pub(super) struct Histogram {
    /// A counter for each bound, one for values above the last, and the sum.
    row: Counters,
    name: &'static str,
    bounds: &'static [u64],
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
    pub(super) fn reserve(contents: &mut Contents, name: &str, bounds: &[u64]) {
        Counters::reserve(contents, name, vec![Self::value_keys(bounds).collect()]);
    }

    pub(super) fn open(block: &Block, name: &'static str, bounds: &'static [u64]) -> io::Result<Self> {
        Ok(Self { row: Counters::open(block, name)?, name, bounds })
    }

    /// Adds the observations of the old histogram with the same name.
    pub(super) fn carry_from(&self, old: &CarryOver<'_>) {
        self.row.carry_from(old, self.name, |key| Self::value_of_key(self.bounds, key));
    }

    /// Counts one observation, and returns its bucket. The sum would wrap at 2^64, but the callers limit the values.
    #[inline]
    pub(super) fn observe(&self, value: u64) -> usize {
        let bucket = self.bucket(value);
        self.row.add_each([(bucket, 1), (self.bounds.len() + 1, value)]);
        bucket
    }

    /// The bucket for a value.
    #[inline]
    pub(super) fn bucket(&self, value: u64) -> usize {
        bucket(self.bounds, value)
    }

    /// Counts this many observations of 0.
    pub(super) fn observe_zeros(&self, count: u64) {
        self.row.add(0, count);
    }

    /// Sets everything to 0. No other thread may observe meanwhile.
    pub(super) fn reset(&self) {
        self.row.reset();
    }

    /// Whether at most this many observations, none of them above `highest`, can have produced the numbers.
    pub(super) fn is_plausible(&self, observations: u64, highest: u64) -> bool {
        let uppers = self.bounds.iter().copied().chain([highest]);
        let buckets = || uppers.clone().enumerate().map(|(bucket, upper)| (self.row.sum(bucket), upper));
        let count = buckets().fold(0, |sum: u64, (count, _)| sum.saturating_add(count));
        // A bucket may lack observations that were in progress when the process was killed.
        let max_sum =
            buckets().map(|(count, upper)| (u128::from(count) + u128::from(MAX_IN_PROGRESS)) * u128::from(upper));
        count <= observations && u128::from(self.row.sum(self.bounds.len() + 1)) <= max_sum.sum()
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
        (0..Self::value_count(self.bounds)).map(|index| self.row.sum(index))
    }

    pub(super) fn read(&self) -> HistogramReading {
        HistogramReading::from_values(self.bounds, self.values())
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

    #[test]
    fn an_upper_bound_is_inclusive() {
        const BOUNDS: &[u64] = &[10, 20];
        let mut contents = Contents::default();
        Histogram::reserve(&mut contents, "sizes", BOUNDS);
        let histogram = Histogram::open(&Block::in_memory(contents).unwrap(), "sizes", BOUNDS).unwrap();
        [0, 10, 11, 20, 21, 1000].into_iter().for_each(|value| {
            histogram.observe(value);
        });
        let reading = histogram.read();
        assert_eq!(reading.buckets, [(10, 2), (20, 4)]);
        assert_eq!((reading.count, reading.sum), (6, 1062));
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
