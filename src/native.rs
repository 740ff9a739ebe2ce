//! Native histograms of Prometheus: exponential buckets, eight for each power of two.
//!
//! <https://prometheus.io/docs/specs/native_histograms/>

/// The schema: a bucket's upper bound is 2^(2^-3) times that of the one before, so it is 9 % wide.
pub(crate) const SCHEMA: i32 = 3;

/// A native histogram's observations at one moment, in the unit of its family.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NativeReading {
    /// Observations up to this value are in the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// The index of the first of [`Self::buckets`]: bucket `i` ends with 2^(i/8), inclusive.
    pub first: i32,
    /// The observations of each bucket, not cumulative.
    pub buckets: Vec<u64>,
}

impl NativeReading {
    /// The number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().copied().fold(self.zero_count, u64::wrapping_add)
    }
}
