//! Histograms of whole numbers: bytes, or milliseconds.

use super::counters::Counters;
use crate::arena::{Place, Plan, Section};

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
        Counters::reserve(plan, name, bounds.len() + 2)
    }

    pub(super) const fn over(section: Section, bounds: &'static [u64]) -> Self {
        Self { row: Counters::over(section, bounds.len() + 2), bounds }
    }

    /// Counts one observation, and returns its bucket. The sum wraps after 2^64, which the callers' bounds on a value put out of reach.
    #[inline]
    pub(super) fn observe(&self, value: u64) -> usize {
        // A straight count of bounds below the value: no branch to mispredict, and the lists are short.
        let bucket = self.bounds.iter().map(|bound| usize::from(*bound < value)).sum();
        self.row.add(bucket, 1);
        self.row.add(self.bounds.len() + 1, value);
        bucket
    }

    pub(super) const fn section(&self) -> &Section {
        self.row.section()
    }

    pub(super) fn read(&self) -> HistogramReading {
        let mut count = 0;
        let buckets = self
            .bounds
            .iter()
            .enumerate()
            .map(|(bucket, bound)| {
                count += self.row.sum(bucket);
                (*bound, count)
            })
            .collect();
        count += self.row.sum(self.bounds.len());
        HistogramReading { buckets, sum: self.row.sum(self.bounds.len() + 1), count }
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
}
