//! What is counted at every callback.
//!
//! The crate's own counters are shared by all threads: at every callback each of them would take the counter's cache
//! line from the others. So each thread has a share of its own here, and the shares are added when the metrics are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto;
use thread_local::ThreadLocal;

use super::{Description, Own};

/// Upper bounds of an answer's time in microseconds: 50 µs to 5 s, after which OpenIM gives up.
const BOUNDS_US: [u64; 16] = [
    50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000,
    5_000_000,
];

/// The label value that gathers the commands that are not known.
const OTHER: &str = "other";

/// Callbacks by command, the time of their answers, and the time of the last one.
#[derive(Clone, Debug)]
pub(super) struct Callbacks {
    commands: &'static [&'static str],
    shares: Arc<ThreadLocal<Share>>,
    by_command: Desc,
    duration: Desc,
    last: Desc,
}

/// What one thread counted. Aligned so that no two of them share a cache line or a prefetched pair of them.
#[derive(Debug)]
#[repr(align(128))]
struct Share {
    by_command: Box<[AtomicU64]>,
    durations: [AtomicU64; BOUNDS_US.len() + 1],
    nanoseconds: AtomicU64,
    last_ms: AtomicI64,
}

impl Share {
    fn new(commands: usize) -> Self {
        Self {
            // The commands, and `other`.
            by_command: (0..=commands).map(|_| AtomicU64::new(0)).collect(),
            durations: Default::default(),
            nanoseconds: AtomicU64::new(0),
            last_ms: AtomicI64::new(0),
        }
    }
}

/// Adds to a counter of this thread's share, which nobody else writes: without the wait of an atomic addition.
#[inline]
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

impl Callbacks {
    pub(super) fn new(
        describe: &impl Fn(Own) -> Description,
        commands: &'static [&'static str],
    ) -> prometheus::Result<Self> {
        let desc = |own| {
            let (name, help, labels) = describe(own);
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new(name.to_owned(), help.to_owned(), labels, std::collections::HashMap::new())
        };
        Ok(Self {
            commands,
            shares: Arc::default(),
            by_command: desc(Own::Callbacks)?,
            duration: desc(Own::Duration)?,
            last: desc(Own::LastCallback)?,
        })
    }

    #[inline]
    fn share(&self) -> &Share {
        self.shares.get_or(|| Share::new(self.commands.len()))
    }

    #[inline]
    pub(super) fn taken(&self, command: Option<usize>, at_ms: i64) {
        let share = self.share();
        if let Some(counter) = share.by_command.get(command.unwrap_or(self.commands.len())) {
            add(counter, 1);
        }
        share.last_ms.store(at_ms, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn answered(&self, after: Duration) {
        let share = self.share();
        let nanoseconds = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound * 1000 < nanoseconds);
        if let Some(counter) = share.durations.get(bucket) {
            add(counter, 1);
        }
        add(&share.nanoseconds, nanoseconds);
    }

    /// Callbacks taken, of all commands.
    pub(super) fn total(&self) -> u64 {
        (0..=self.commands.len()).map(|command| self.taken_of(command)).sum()
    }

    /// Callbacks taken, by command.
    pub(super) fn by_command(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let names = self.commands.iter().copied().chain([OTHER]);
        names.enumerate().map(|(command, name)| (name, self.taken_of(command)))
    }

    /// When the last one was taken, in milliseconds since the epoch; 0 before the first.
    pub(super) fn last_ms(&self) -> i64 {
        self.shares.iter().map(|share| share.last_ms.load(Ordering::Relaxed)).max().unwrap_or_default()
    }

    fn taken_of(&self, command: usize) -> u64 {
        self.sum(|share| share.by_command.get(command))
    }

    fn sum(&self, counter: impl Fn(&Share) -> Option<&AtomicU64>) -> u64 {
        self.shares.iter().filter_map(counter).map(|counter| counter.load(Ordering::Relaxed)).sum()
    }

    fn collect_by_command(&self) -> proto::MetricFamily {
        let metrics = self.by_command().map(|(name, taken)| {
            let mut label = proto::LabelPair::default();
            label.set_name(self.by_command.variable_labels.first().cloned().unwrap_or_default());
            label.set_value(name.to_owned());
            let mut counter = proto::Counter::default();
            counter.set_value(taken as f64);
            let mut metric = proto::Metric::default();
            metric.set_label(vec![label]);
            metric.set_counter(counter);
            metric
        });
        family(&self.by_command, proto::MetricType::COUNTER, metrics.collect())
    }

    fn collect_duration(&self) -> proto::MetricFamily {
        let mut count = 0;
        let mut histogram = proto::Histogram::default();
        let buckets = BOUNDS_US.iter().enumerate().map(|(position, bound)| {
            count += self.sum(|share| share.durations.get(position));
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(Duration::from_micros(*bound).as_secs_f64());
            bucket.set_cumulative_count(count);
            bucket
        });
        histogram.set_bucket(buckets.collect());
        count += self.sum(|share| share.durations.get(BOUNDS_US.len()));
        histogram.set_sample_count(count);
        histogram.set_sample_sum(Duration::from_nanos(self.sum(|share| Some(&share.nanoseconds))).as_secs_f64());
        let mut metric = proto::Metric::default();
        metric.set_histogram(histogram);
        family(&self.duration, proto::MetricType::HISTOGRAM, vec![metric])
    }

    fn collect_last(&self) -> proto::MetricFamily {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(self.last_ms() as f64 / 1000.0);
        let mut metric = proto::Metric::default();
        metric.set_gauge(gauge);
        family(&self.last, proto::MetricType::GAUGE, vec![metric])
    }
}

impl Collector for Callbacks {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.by_command, &self.duration, &self.last]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        vec![self.collect_by_command(), self.collect_duration(), self.collect_last()]
    }
}

fn family(desc: &Desc, kind: proto::MetricType, metrics: Vec<proto::Metric>) -> proto::MetricFamily {
    let mut family = proto::MetricFamily::default();
    family.set_name(desc.fq_name.clone());
    family.set_help(desc.help.clone());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}
