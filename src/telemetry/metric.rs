//! The types of metrics that the exporter keeps about itself, and the macro that declares them.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result};

use super::family::{Family, Kind};

/// Errors of the same kind are logged at most once in this many milliseconds. The counter has all of them.
const LOG_INTERVAL_MS: u64 = 60_000;

/// A type of metric that can be declared.
pub(super) trait Metric: Sized {
    /// The type in a scrape.
    const KIND: Kind;

    /// What it needs in addition to its declaration.
    type Settings;

    /// Creates the metric and adds it to the registry.
    fn register(registry: &Registry, family: &Family, settings: Self::Settings) -> Result<Self>;
}

/// Declares metrics: the doc comment is the help text, then come field, type, name, labels and settings. Generates a struct
/// with a field for each metric, a function that registers all of them, and the list of their families.
macro_rules! metrics {
    (
        $(#[doc = $doc:literal])+
        struct $metrics:ident($($parameter:ident: $parameter_type:ty),*);
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

            fn register(registry: &Registry, $($parameter: $parameter_type),*) -> prometheus::Result<Self> {
                Ok(Self { $($field: <$metric>::register(registry, &Self::$field, ($($setting)?))?,)+ })
            }
        }

        /// The families of the exporter's own metrics, by name.
        pub(crate) const FAMILIES: &[Family] = &[$($metrics::$field),+];
    };
}

pub(super) use metrics;

pub(super) fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn opts(family: &Family) -> Opts {
    Opts::new(family.name, family.help)
}

impl Metric for IntCounter {
    const KIND: Kind = Kind::Counter;
    type Settings = ();

    fn register(registry: &Registry, family: &Family, (): ()) -> Result<Self> {
        register(registry, Self::with_opts(opts(family))?)
    }
}

impl Metric for IntGauge {
    const KIND: Kind = Kind::Gauge;
    type Settings = ();

    fn register(registry: &Registry, family: &Family, (): ()) -> Result<Self> {
        register(registry, Self::with_opts(opts(family))?)
    }
}

impl Metric for IntGaugeVec {
    const KIND: Kind = Kind::Gauge;
    type Settings = ();

    fn register(registry: &Registry, family: &Family, (): ()) -> Result<Self> {
        register(registry, Self::new(opts(family), family.labels)?)
    }
}

impl Metric for Histogram {
    const KIND: Kind = Kind::Histogram;
    /// The upper bounds of the buckets.
    type Settings = &'static [f64];

    fn register(registry: &Registry, family: &Family, bounds: Self::Settings) -> Result<Self> {
        register(registry, Self::with_opts(HistogramOpts::from(opts(family)).buckets(bounds.to_vec()))?)
    }
}

/// A counter of errors, which are logged at most once a minute.
#[derive(Debug)]
pub(super) struct ErrorCounter {
    counter: IntCounter,
    /// When the last one was logged, in milliseconds since the epoch; 0 before the first.
    logged_at: AtomicU64,
}

impl ErrorCounter {
    const fn new(counter: IntCounter) -> Self {
        Self { counter, logged_at: AtomicU64::new(0) }
    }

    pub(super) fn inc(&self) {
        self.counter.inc();
    }

    pub(super) fn get(&self) -> u64 {
        self.counter.get()
    }

    /// Counts an error at a time in milliseconds since the epoch. Calls `log` with the total if none was logged for a minute.
    pub(super) fn inc_and_log(&self, at_ms: i64, log: impl FnOnce(u64)) {
        self.inc();
        let now = at_ms.unsigned_abs();
        let logged_at = self.logged_at.load(Ordering::Relaxed);
        let is_due = logged_at == 0 || now.abs_diff(logged_at) >= LOG_INTERVAL_MS;
        let is_first = || self.logged_at.compare_exchange(logged_at, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_due && is_first() {
            log(self.get());
        }
    }
}

impl Metric for ErrorCounter {
    const KIND: Kind = Kind::Counter;
    type Settings = ();

    fn register(registry: &Registry, family: &Family, (): ()) -> Result<Self> {
        Metric::register(registry, family, ()).map(Self::new)
    }
}

/// A label whose values are all known in advance.
pub(super) trait Label: Copy + 'static {
    /// All values, in the order of [`Label::index`].
    const ALL: &'static [Self];

    fn name(self) -> &'static str;

    fn index(self) -> usize;
}

/// A counter for each value of a label.
#[derive(Debug)]
pub(super) struct LabeledCounters<L> {
    counters: Vec<ErrorCounter>,
    label: PhantomData<L>,
}

impl<L: Label> LabeledCounters<L> {
    pub(super) fn get(&self, label: L) -> Option<&ErrorCounter> {
        self.counters.get(label.index())
    }

    /// All values of the label, with their counts.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        L::ALL.iter().zip(&self.counters).map(|(label, counter)| (label.name(), counter.get()))
    }
}

impl<L: Label> Metric for LabeledCounters<L> {
    const KIND: Kind = Kind::Counter;
    type Settings = ();

    fn register(registry: &Registry, family: &Family, (): ()) -> Result<Self> {
        let all = register(registry, IntCounterVec::new(opts(family), family.labels)?)?;
        let counter = |label: &L| all.get_metric_with_label_values(&[label.name()]).map(ErrorCounter::new);
        Ok(Self { counters: L::ALL.iter().map(counter).collect::<Result<_>>()?, label: PhantomData })
    }
}
