//! What a family consists of, in any format.

use crate::native::NativeReading;
use crate::stats::{Exemplar, HistogramReading};
use crate::telemetry::{Family, Kind};

/// The label of an exemplar, which is also the message's key in OpenIM's logs.
pub const EXEMPLAR_LABEL: &str = "operation_id";

/// Milliseconds in a second.
pub(in crate::exposition) const MILLISECONDS: f64 = 1000.0;

/// A family's metadata, which comes before its samples.
#[derive(Clone, Copy)]
pub(in crate::exposition) struct Head {
    pub(in crate::exposition) name: &'static str,
    pub(in crate::exposition) kind: Kind,
    /// The unit that the name ends with, or empty.
    pub(in crate::exposition) unit: &'static str,
    pub(in crate::exposition) help: &'static str,
}

impl From<&'static Family> for Head {
    fn from(family: &'static Family) -> Self {
        Self { name: family.name, kind: family.kind, unit: family.unit(), help: family.help }
    }
}

/// A sample's value.
#[derive(Clone, Copy)]
pub(in crate::exposition) enum SampleValue {
    Integer(u64),
    Float(f64),
}

impl SampleValue {
    pub(super) const fn as_float(self) -> f64 {
        match self {
            Self::Integer(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

impl From<u64> for SampleValue {
    fn from(value: u64) -> Self {
        Self::Integer(value)
    }
}

impl From<usize> for SampleValue {
    fn from(value: usize) -> Self {
        Self::Integer(value as u64)
    }
}

impl From<f64> for SampleValue {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

/// The numbers of a histogram, in the unit of its family.
pub(in crate::exposition) struct Observed {
    /// The inclusive upper bound of each bucket, with the number of observations up to it.
    pub(in crate::exposition) buckets: Vec<(f64, u64)>,
    pub(in crate::exposition) sum: f64,
    pub(in crate::exposition) count: u64,
    /// The same observations in the buckets of a native histogram, if it has them.
    pub(in crate::exposition) native: Option<NativeReading>,
}

/// A bucket of a classic histogram.
pub(super) struct Bucket<'a> {
    /// Inclusive.
    pub(super) bound: f64,
    /// The number of observations up to the bound.
    pub(super) count: u64,
    pub(super) exemplar: Option<&'a Exemplar>,
}

impl Observed {
    /// Divides the numbers of a reading by `per_unit`.
    pub(in crate::exposition) fn from_reading(reading: &HistogramReading, per_unit: f64) -> Self {
        // Multiplying by a fraction would turn 5 ms into 0.005000000000000001.
        let in_unit = |value: u64| value as f64 / per_unit;
        Self {
            buckets: reading.buckets.iter().map(|(bound, count)| (in_unit(*bound), *count)).collect(),
            sum: in_unit(reading.sum),
            count: reading.count,
            native: None,
        }
    }

    /// The buckets, the last one with infinity as its bound, each with its exemplar if that lies within it.
    pub(super) fn classic<'a>(&'a self, exemplars: &'a [Option<Exemplar>]) -> impl Iterator<Item = Bucket<'a>> {
        let exemplars = exemplars.iter().map(Option::as_ref).chain(std::iter::repeat(None));
        let mut below = f64::NEG_INFINITY;
        let buckets = self.buckets.iter().copied().chain([(f64::INFINITY, self.count)]).zip(exemplars);
        buckets.map(move |((bound, count), exemplar)| {
            let lower = std::mem::replace(&mut below, bound);
            let exemplar = exemplar.filter(|exemplar| lower < seconds(exemplar) && seconds(exemplar) <= bound);
            Bucket { bound, count, exemplar }
        })
    }
}

/// The observed value in seconds.
pub(super) fn seconds(exemplar: &Exemplar) -> f64 {
    exemplar.value_ms as f64 / MILLISECONDS
}
