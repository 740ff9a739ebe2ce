//! The metrics that every callback updates.
//!
//! The `prometheus` crate's own types are shared by all threads, which would pass their cache lines around at each
//! callback. These count per thread, and are summed at a scrape.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::{Registry, Result, proto};

use super::family::{Family, Kind};
use super::metric::{Metric, register};
use crate::lanes::Lanes;

/// The label value for everything that is not known in advance.
const OTHER: &str = "other";

/// A counter for each value of a label.
#[derive(Clone, Debug)]
pub(super) struct PerThreadCounters {
    desc: Desc,
    known: &'static [&'static str],
    counts: Arc<Lanes>,
}

impl PerThreadCounters {
    /// Counts one for the known value at this position, or for `other`.
    #[inline]
    pub(super) fn inc(&self, position: Option<usize>) {
        self.counts.add(position.unwrap_or(self.known.len()), 1);
    }

    /// All values of the label, with their counts.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let values = self.known.iter().copied().chain([OTHER]);
        values.enumerate().map(|(position, value)| (value, self.counts.sum(position)))
    }
}

impl Metric for PerThreadCounters {
    const KIND: Kind = Kind::Counter;
    /// The values of the label that are known in advance.
    type Settings = &'static [&'static str];

    fn register(registry: &Registry, family: &Family, known: Self::Settings) -> Result<Self> {
        let counts = Arc::new(Lanes::in_memory(known.len() + 1));
        register(registry, Self { desc: desc(family)?, known, counts })
    }
}

impl Collector for PerThreadCounters {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let metrics = self.counts().map(|(value, count)| {
            let mut label = proto::LabelPair::default();
            label.set_name(self.desc.variable_labels.first().cloned().unwrap_or_default());
            label.set_value(value.to_owned());
            let mut counter = proto::Counter::default();
            counter.set_value(count as f64);
            let mut metric = proto::Metric::default();
            metric.set_label(vec![label]);
            metric.set_counter(counter);
            metric
        });
        collected(&self.desc, proto::MetricType::COUNTER, metrics.collect())
    }
}

/// A histogram of durations.
#[derive(Clone, Debug)]
pub(super) struct PerThreadHistogram {
    desc: Desc,
    bounds_us: &'static [u64],
    /// The buckets, the one above all bounds, and the sum in nanoseconds.
    counts: Arc<Lanes>,
}

impl PerThreadHistogram {
    #[inline]
    pub(super) fn observe(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.bounds_us.partition_point(|bound| *bound * 1000 < nanoseconds);
        self.counts.add_each([(bucket, 1), (self.bounds_us.len() + 1, nanoseconds)]);
    }
}

impl Metric for PerThreadHistogram {
    const KIND: Kind = Kind::Histogram;
    /// The upper bounds of the buckets in microseconds.
    type Settings = &'static [u64];

    fn register(registry: &Registry, family: &Family, bounds_us: Self::Settings) -> Result<Self> {
        let counts = Arc::new(Lanes::in_memory(bounds_us.len() + 2));
        register(registry, Self { desc: desc(family)?, bounds_us, counts })
    }
}

impl Collector for PerThreadHistogram {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let mut count = 0;
        let mut histogram = proto::Histogram::default();
        let buckets = self.bounds_us.iter().enumerate().map(|(position, bound)| {
            count += self.counts.sum(position);
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(Duration::from_micros(*bound).as_secs_f64());
            bucket.set_cumulative_count(count);
            bucket
        });
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(count + self.counts.sum(self.bounds_us.len()));
        let sum = Duration::from_nanos(self.counts.sum(self.bounds_us.len() + 1));
        histogram.set_sample_sum(sum.as_secs_f64());
        let mut metric = proto::Metric::default();
        metric.set_histogram(histogram);
        collected(&self.desc, proto::MetricType::HISTOGRAM, vec![metric])
    }
}

/// The time of the latest event.
#[derive(Clone, Debug)]
pub(super) struct PerThreadTime {
    desc: Desc,
    /// In milliseconds since the epoch.
    latest: Arc<Lanes>,
}

impl PerThreadTime {
    #[inline]
    pub(super) fn set(&self, at_ms: i64) {
        self.latest.store(0, u64::try_from(at_ms).unwrap_or_default());
    }

    /// In milliseconds since the epoch; 0 before the first event.
    pub(super) fn get(&self) -> i64 {
        let latest = self.latest.words_of(0).map(|word| word.load(Ordering::Relaxed)).max();
        i64::try_from(latest.unwrap_or_default()).unwrap_or(i64::MAX)
    }
}

impl Metric for PerThreadTime {
    const KIND: Kind = Kind::Gauge;
    type Settings = ();

    fn register(registry: &Registry, family: &Family, (): ()) -> Result<Self> {
        register(registry, Self { desc: desc(family)?, latest: Arc::new(Lanes::in_memory(1)) })
    }
}

impl Collector for PerThreadTime {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(self.get() as f64 / 1000.0);
        let mut metric = proto::Metric::default();
        metric.set_gauge(gauge);
        collected(&self.desc, proto::MetricType::GAUGE, vec![metric])
    }
}

fn desc(family: &Family) -> Result<Desc> {
    let labels = family.labels.iter().map(|label| (*label).to_owned()).collect();
    Desc::new(family.name.to_owned(), family.help.to_owned(), labels, std::collections::HashMap::new())
}

fn collected(desc: &Desc, kind: proto::MetricType, metrics: Vec<proto::Metric>) -> Vec<proto::MetricFamily> {
    let mut family = proto::MetricFamily::default();
    family.set_name(desc.fq_name.clone());
    family.set_help(desc.help.clone());
    family.set_field_type(kind);
    family.set_metric(metrics);
    vec![family]
}
