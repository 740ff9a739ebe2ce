//! A family of metrics: its declaration, and its samples.

use std::sync::Arc;

use crate::native::NativeReading;

/// The types of metrics that the exporter has.
///
/// <https://prometheus.io/docs/concepts/metric_types/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, except at a reset.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Observations in buckets, with their sum and count.
    Histogram,
}

impl Kind {
    /// The type's name in a `# TYPE` line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A family of metrics: all series with the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// The name, including `_total`.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The help, on one line.
    pub help: &'static str,
    /// The names of the labels, in the order of a series.
    pub labels: &'static [&'static str],
}

impl Family {
    /// Declares a family. `help` is a doc comment, which begins with a space.
    pub(crate) const fn new(
        name: &'static str,
        kind: Kind,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Self {
        Self { name, kind, help: help.trim_ascii_start(), labels }
    }

    /// The unit, which the name ends with; empty if it has none.
    #[must_use]
    pub(crate) fn unit(&self) -> &'static str {
        ["seconds", "bytes"].into_iter().find(|unit| self.name.ends_with(unit)).unwrap_or_default()
    }
}

/// The current samples of a family.
#[derive(Clone, Debug)]
pub enum Samples {
    /// One, without labels of its own.
    Single(f64),
    /// One for each value of the only label, or of the one after the target.
    ByLabel(Vec<(&'static str, u64)>),
    /// A constant 1 with these values of the labels.
    Info(&'static [&'static str]),
    /// A histogram without labels of its own, in the unit of the family.
    Histogram {
        /// The inclusive upper bound of each bucket, with the number of observations up to it.
        buckets: Vec<(f64, u64)>,
        /// The sum of the observations.
        sum: f64,
        /// The number of observations.
        count: u64,
        /// The same observations in the buckets of a native histogram, if it has them.
        native: Option<NativeReading>,
    },
    /// Those of each target, whose name is the first label's value. Sorted by name.
    ByTarget(Vec<(Arc<str>, Self)>),
}
