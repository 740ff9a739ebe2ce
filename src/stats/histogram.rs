//! Histograms of whole numbers: bytes, or milliseconds.

use super::MOST_UNDER_WAY;
use super::carry::{Carry, keys};
use super::counters::Counters;
use crate::arena::{Place, Plan, Section};

/// Keys of the counters behind those of the bounds: of what is above the last bound, and of the sum.
const ABOVE: &str = "+Inf";
const SUM: &str = "sum";

/// A histogram whose buckets and sum are counters.
#[derive(Debug)]
pub(super) struct Histogram {
    /// A counter for each bound, one for what is above the last, and the sum.
    row: Counters,
    bounds: &'static [u64],
}

/// A histogram's numbers at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramReading {
    /// Each bucket's upper bound, inclusive, with the number of observations up to it.
    pub buckets: Vec<(u64, u64)>,
    /// Sum of all observations.
    pub sum: u64,
    /// Number of all observations.
    pub count: u64,
}

impl Histogram {
    pub(super) fn reserve(plan: &mut Plan, name: &str, bounds: &'static [u64]) -> Place {
        let buckets = bounds.iter().map(u64::to_string).chain([ABOVE.to_owned(), SUM.to_owned()]);
        Counters::reserve(plan, name, vec![keys(buckets)])
    }

    /// Adds what a stored histogram observed. A bucket that this one does not have goes into the next larger one.
    pub(super) fn carry(&self, carry: &Carry<'_>, name: &str) {
        self.row.carry(carry, name, |key| match key {
            SUM => Some(self.bounds.len() + 1),
            ABOVE => Some(self.bounds.len()),
            bound => bound.parse().ok().map(|bound| self.bucket(bound)),
        });
    }

    pub(super) const fn over(section: Section, bounds: &'static [u64]) -> Self {
        Self { row: Counters::over(section, bounds.len() + 2), bounds }
    }

    /// Counts one observation, and returns its bucket. The sum wraps after 2^64, which the callers' bounds on a value put out of reach.
    #[inline]
    pub(super) fn observe(&self, value: u64) -> usize {
        let bucket = self.bucket(value);
        self.row.add_each([(bucket, 1), (self.bounds.len() + 1, value)]);
        bucket
    }

    /// The bucket that a value belongs to.
    #[inline]
    pub(super) fn bucket(&self, value: u64) -> usize {
        self.bounds.partition_point(|bound| *bound < value)
    }

    /// Counts this many observations of 0 at once.
    pub(super) fn observe_zeros(&self, count: u64) {
        self.row.add(0, count);
    }

    /// Whether so many observations, none of them above `highest`, can have made these numbers.
    pub(super) fn is_plausible(&self, most: u64, highest: u64) -> bool {
        let uppers = self.bounds.iter().copied().chain([highest]);
        let buckets = || uppers.clone().enumerate().map(|(bucket, upper)| (self.row.sum(bucket), upper));
        let count = buckets().fold(0, |sum: u64, (count, _)| sum.saturating_add(count));
        // Each bucket may lack what was under way: a thread adds to the bucket and to the sum one after the other.
        let most_sum =
            buckets().map(|(count, upper)| (u128::from(count) + u128::from(MOST_UNDER_WAY)) * u128::from(upper));
        count <= most && u128::from(self.row.sum(self.bounds.len() + 1)) <= most_sum.sum()
    }

    pub(super) const fn section(&self) -> &Section {
        self.row.section()
    }

    pub(super) fn read(&self) -> HistogramReading {
        let mut count = 0_u64;
        let buckets = self
            .bounds
            .iter()
            .enumerate()
            .map(|(bucket, bound)| {
                count = count.wrapping_add(self.row.sum(bucket));
                (*bound, count)
            })
            .collect();
        count = count.wrapping_add(self.row.sum(self.bounds.len()));
        HistogramReading { buckets, sum: self.row.sum(self.bounds.len() + 1), count }
    }
}

impl HistogramReading {
    /// The mean of all observations, if there is one.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// An estimate of the value that a part `q` of the observations, from 0 to 1, does not exceed; `None` without an
    /// observation. As Prometheus' `histogram_quantile` estimates it: observations are taken to lie evenly between the
    /// bounds of their bucket, and those above the last bound on it.
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
    use crate::arena::Arena;

    #[test]
    fn a_value_on_a_bound_belongs_below_it() {
        const BOUNDS: &[u64] = &[10, 20];
        let mut plan = Plan::new();
        let place = Histogram::reserve(&mut plan, "sizes", BOUNDS);
        let histogram = Histogram::over(Arena::anonymous(&plan).unwrap().section(place).unwrap(), BOUNDS);
        [0, 10, 11, 20, 21, 1000].into_iter().for_each(|value| {
            histogram.observe(value);
        });
        let reading = histogram.read();
        assert_eq!(reading.buckets, [(10, 2), (20, 4)]);
        assert_eq!((reading.count, reading.sum), (6, 1062));
    }

    #[test]
    fn a_quantile_lies_as_far_into_its_bucket_as_its_rank_does() {
        let reading = |buckets: &[(u64, u64)], count| HistogramReading { buckets: buckets.to_vec(), sum: 100, count };
        // Worked out by hand after Prometheus' documentation of histogram_quantile.
        let spread = reading(&[(10, 4), (20, 4), (50, 10)], 10);
        for (q, value) in [(0.0, 0.0), (0.2, 5.0), (0.4, 10.0), (0.5, 25.0), (0.95, 47.5), (1.0, 50.0)] {
            let found = spread.quantile(q).unwrap();
            assert!((found - value).abs() < 1e-9, "{q}: {found}");
        }
        assert_eq!(spread.mean(), Some(10.0));
        // What lies above the last bound is said to lie on it.
        assert_eq!(reading(&[(10, 1), (20, 1)], 10).quantile(0.5), Some(20.0));
        assert_eq!(reading(&[(10, 0), (20, 0)], 0).quantile(0.5), None);
        assert_eq!(reading(&[(10, 0), (20, 0)], 0).mean(), None);
    }
}
