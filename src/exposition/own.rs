//! Writes the metrics that the `prometheus` crate keeps: the exporter's own, and the process's.

use prometheus::proto::{Histogram, Metric, MetricFamily, MetricType};

use super::writer::{Head, Observed, Writer};
use crate::domain::UnixMillis;
use crate::telemetry::{FAMILIES, Family, Kind};

/// The crate's metric for when the process began.
const PROCESS_START: &str = "process_start_time_seconds";

/// When the process and its counters began. Unknown without `/proc`.
pub(super) fn process_start(families: &[MetricFamily]) -> Option<UnixMillis> {
    let family = families.iter().find(|family| family.name() == PROCESS_START)?;
    let seconds = family.get_metric().first()?.get_gauge().get_value();
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    (seconds > 0.0).then_some(UnixMillis((seconds * 1000.0) as i64))
}

/// Writes a family. Its counters began at the given time.
pub(super) fn write(family: &MetricFamily, began: Option<UnixMillis>, writer: &mut Writer<'_>) {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => Kind::Counter,
        MetricType::HISTOGRAM => Kind::Histogram,
        _ => Kind::Gauge,
    };
    let unit = FAMILIES.iter().find(|own| own.name == family.name()).map_or("", Family::unit);
    let head = Head { name: family.name(), kind, unit, help: family.help() };
    let mut rows = writer.foreign_family(&head, began);
    for metric in family.get_metric() {
        let labels = metric.get_label().iter().map(|label| (label.name(), label.value()));
        match kind {
            // No histogram has labels.
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
