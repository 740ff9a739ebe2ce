//! The types of metrics that the exporter keeps about itself, and the macro that declares them.
//!
//! What every callback updates is counted per thread, so that threads do not contend for cache lines.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::family::{Kind, Samples};
use crate::domain::UnixMillis;
use crate::lanes::Lanes;
use crate::named::Named;
use crate::native::NativeBuckets;

/// Events of one counter are logged at most once in this many milliseconds.
const LOG_INTERVAL_MS: u64 = 60_000;

/// A type of metric that can be declared.
pub(super) trait Metric {
    /// The type in a scrape.
    const KIND: Kind;

    /// What it needs in addition to its declaration.
    type Settings;

    fn new(settings: Self::Settings) -> Self;

    fn samples(&self) -> Samples;
}

/// Declares metrics: the doc comment is the help text, then come field, type, name, labels and settings. Generates a
/// struct with a field for each metric, and the list of their families.
macro_rules! metrics {
    (
        $(#[doc = $doc:literal])+
        struct $metrics:ident;
        $($(#[doc = $help:literal])+ $field:ident: $metric:ty = $name:literal [$($label:literal),*] $(($setting:expr))?;)+
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug)]
        pub(super) struct $metrics {
            $($(#[doc = $help])+ pub(super) $field: $metric,)+
        }

        #[expect(non_upper_case_globals, reason = "each family has the name of its field")]
        impl $metrics {
            $(const $field: Family = Family::new($name, <$metric as Metric>::KIND, concat!($($help),+), &[$($label),*]);)+

            fn new() -> Self {
                Self { $($field: <$metric>::new(($($setting)?)),)+ }
            }

            /// The samples of the families whose names are wanted.
            fn samples(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<(&'static Family, Samples)> {
                let mut samples = Vec::new();
                $(if wanted($name) {
                    samples.push((&Self::$field, self.$field.samples()));
                })+
                samples
            }
        }

        /// The families of the exporter's own metrics.
        pub(crate) const FAMILIES: &[Family] = &[$($metrics::$field),+];
    };
}

pub(super) use metrics;

/// A number that rises and falls.
#[derive(Debug)]
pub(super) struct Gauge(AtomicI64);

impl Gauge {
    pub(super) fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metric for Gauge {
    const KIND: Kind = Kind::Gauge;
    type Settings = ();

    fn new((): ()) -> Self {
        Self(AtomicI64::new(0))
    }

    fn samples(&self) -> Samples {
        Samples::Single(self.get() as f64)
    }
}

/// A time or a difference of times: set in milliseconds, and exposed in seconds.
#[derive(Debug)]
pub(super) struct TimeGauge(Gauge);

impl TimeGauge {
    pub(super) fn set_ms(&self, value: i64) {
        self.0.set(value);
    }
}

impl Metric for TimeGauge {
    const KIND: Kind = Kind::Gauge;
    type Settings = ();

    fn new((): ()) -> Self {
        Self(Gauge::new(()))
    }

    fn samples(&self) -> Samples {
        Samples::Single(UnixMillis(self.0.get()).seconds())
    }
}

/// A constant 1 with labels.
#[derive(Debug)]
pub(super) struct Info(&'static [&'static str]);

impl Metric for Info {
    const KIND: Kind = Kind::Gauge;
    /// The values of the labels.
    type Settings = &'static [&'static str];

    fn new(values: Self::Settings) -> Self {
        Self(values)
    }

    fn samples(&self) -> Samples {
        Samples::Info(self.0)
    }
}

/// Limits the log lines of an event to one a minute. Holds the time of the last one, in milliseconds since the epoch; 0
/// before the first.
#[derive(Debug, Default)]
pub(super) struct Throttle(AtomicU64);

impl Throttle {
    /// Whether an event at a time in milliseconds since the epoch may be logged.
    pub(super) fn allows(&self, at_ms: i64) -> bool {
        let now = at_ms.unsigned_abs();
        let logged_at = self.0.load(Ordering::Relaxed);
        let is_due = logged_at == 0 || now.abs_diff(logged_at) >= LOG_INTERVAL_MS;
        is_due && self.0.compare_exchange(logged_at, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// A counter, whose events can be logged at most once a minute.
#[derive(Debug, Default)]
pub(super) struct Counter {
    count: AtomicU64,
    throttle: Throttle,
}

impl Counter {
    /// Adds 1 and returns the new count.
    pub(super) fn inc(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn add(&self, more: u64) {
        self.count.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts an event at a time in milliseconds since the epoch. Calls `log` with the count if none was logged for a
    /// minute.
    pub(super) fn inc_and_log(&self, at_ms: i64, log: impl FnOnce(u64)) {
        self.inc();
        self.log(at_ms, log);
    }

    /// Calls `log` with the count, if nothing was logged in the last minute.
    pub(super) fn log(&self, at_ms: i64, log: impl FnOnce(u64)) {
        if self.throttle.allows(at_ms) {
            log(self.get());
        }
    }

    /// Sets the counter to a total that is counted elsewhere. Returns the increase.
    pub(super) fn raise_to(&self, total: u64) -> u64 {
        total.saturating_sub(self.count.fetch_max(total, Ordering::Relaxed))
    }
}

impl Metric for Counter {
    const KIND: Kind = Kind::Counter;
    type Settings = ();

    fn new((): ()) -> Self {
        Self::default()
    }

    fn samples(&self) -> Samples {
        Samples::Single(self.get() as f64)
    }
}

/// A counter for events of callbacks: per thread.
#[derive(Debug)]
pub(super) struct BusyCounter(Lanes);

impl BusyCounter {
    #[inline]
    pub(super) fn inc(&self) {
        self.0.add(0, 1);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.sum(0)
    }
}

impl Metric for BusyCounter {
    const KIND: Kind = Kind::Counter;
    type Settings = ();

    fn new((): ()) -> Self {
        Self(Lanes::in_memory(1))
    }

    fn samples(&self) -> Samples {
        Samples::Single(self.get() as f64)
    }
}

/// A counter for each value of a label.
#[derive(Debug)]
pub(super) struct CounterVec<L> {
    counters: Vec<Counter>,
    label: PhantomData<L>,
}

impl<L: Named> CounterVec<L> {
    pub(super) fn get(&self, label: L) -> Option<&Counter> {
        self.counters.get(label.index())
    }

    /// All values of the label, with their counts.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        L::VALUES.iter().zip(&self.counters).map(|(label, counter)| (label.name(), counter.get()))
    }
}

impl<L: Named> Metric for CounterVec<L> {
    const KIND: Kind = Kind::Counter;
    type Settings = ();

    fn new((): ()) -> Self {
        Self { counters: L::VALUES.iter().map(|_| Counter::new(())).collect(), label: PhantomData }
    }

    fn samples(&self) -> Samples {
        Samples::ByLabel(self.counts().collect())
    }
}

/// The buckets of a histogram of durations.
#[derive(Debug)]
pub(super) struct DurationBuckets {
    /// The upper bounds of the classic buckets, in microseconds.
    pub(super) bounds_us: &'static [u64],
    /// The native buckets, in seconds.
    pub(super) native: Option<NativeBuckets>,
}

/// A histogram of durations, per thread.
#[derive(Debug)]
pub(super) struct Durations {
    buckets: &'static DurationBuckets,
    /// The classic buckets, the one above all bounds, the sum in nanoseconds, and the native buckets.
    counts: Lanes,
}

impl Durations {
    #[inline]
    pub(super) fn observe(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let (bounds, above) = (self.buckets.bounds_us, self.above());
        let bucket = bounds.partition_point(|bound| *bound * 1000 < nanoseconds);
        let classic = [(bucket, 1), (above + 1, nanoseconds)];
        match self.buckets.native {
            None => self.counts.add_each(classic),
            Some(native) => {
                let position = native.position(duration.as_secs_f64());
                // Native buckets first, because they are read last: then they lack no observation of the classic ones.
                let [bucket, sum] = classic;
                self.counts.add_each([(above + 2 + position, 1), bucket, sum]);
            }
        }
    }

    /// The position of the bucket above all bounds.
    const fn above(&self) -> usize {
        self.buckets.bounds_us.len()
    }
}

impl Metric for Durations {
    const KIND: Kind = Kind::Histogram;
    type Settings = &'static DurationBuckets;

    fn new(buckets: Self::Settings) -> Self {
        let native = buckets.native.map_or(0, NativeBuckets::count);
        Self { buckets, counts: Lanes::in_memory(buckets.bounds_us.len() + 2 + native) }
    }

    fn samples(&self) -> Samples {
        let mut count = 0;
        let buckets = self.buckets.bounds_us.iter().enumerate().map(|(bucket, bound)| {
            count += self.counts.sum(bucket);
            (Duration::from_micros(*bound).as_secs_f64(), count)
        });
        let (buckets, above) = (buckets.collect(), self.above());
        let count = count + self.counts.sum(above);
        let sum = Duration::from_nanos(self.counts.sum(above + 1)).as_secs_f64();
        let native = self.buckets.native.map(|native| {
            let first = above + 2;
            native.reading(self.counts.sums(first..first + native.count()))
        });
        Samples::Histogram { buckets, sum, count, native }
    }
}
