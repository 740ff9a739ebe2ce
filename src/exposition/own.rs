//! The exporter's own metrics, as the `prometheus` crate hands them over, in the format of all others.

use prometheus::proto::{Histogram, Metric, MetricFamily, MetricType};

use super::catalog::{CATALOG, Kind};
use super::writer::{Head, Observed, Writer};
use crate::domain::UnixMillis;

/// The crate's metric of when the process began.
const PROCESS_START: &str = "process_start_time_seconds";

/// When the process began: the time from which its own counters count. Unknown where there is no `/proc`.
pub(super) fn process_start(families: &[MetricFamily]) -> Option<UnixMillis> {
    let family = families.iter().find(|family| family.name() == PROCESS_START)?;
    let seconds = family.get_metric().first()?.get_gauge().get_value();
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    (seconds > 0.0).then_some(UnixMillis((seconds * 1000.0) as i64))
}

/// Writes a family whose counters began at a time.
pub(super) fn write(family: &MetricFamily, began: Option<UnixMillis>, writer: &mut Writer<'_>) {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => Kind::Counter,
        MetricType::HISTOGRAM => Kind::Histogram,
        _ => Kind::Gauge,
    };
    let unit = CATALOG.iter().find(|known| known.name == family.name()).map_or("", |known| known.unit);
    let head = Head { name: family.name(), kind, unit, help: family.help() };
    let mut rows = writer.foreign_family(&head, began);
    for metric in family.get_metric() {
        let labels = metric.get_label().iter().map(|label| (label.name(), label.value()));
        match kind {
            // None of them has labels.
            Kind::Histogram => rows.histogram(&observed(metric.get_histogram()), &[]),
            Kind::Counter | Kind::Gauge => {
                rows.foreign_sample(labels, value(metric, kind));
            }
        }
    }
}

fn value(metric: &Metric, kind: Kind) -> f64 {
    if kind == Kind::Counter { metric.get_counter().get_value() } else { metric.get_gauge().get_value() }
}

fn observed(histogram: &Histogram) -> Observed {
    let buckets = histogram.get_bucket().iter();
    Observed {
        buckets: buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count())).collect(),
        sum: histogram.get_sample_sum(),
        count: histogram.get_sample_count(),
    }
}
