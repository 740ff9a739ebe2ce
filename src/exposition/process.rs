//! The metrics of the process, which the `prometheus` crate reads.

use prometheus::proto::{MetricFamily, MetricType};
use rustix::time::{ClockId, clock_gettime};

use super::writer::{Head, Writer};
use crate::domain::UnixMillis;
use crate::telemetry::Kind;

/// The crate's metric for when the process began.
const START: &str = "process_start_time_seconds";

/// The CPU time, which the crate rounds to seconds.
const CPU: &str = "process_cpu_seconds_total";

/// When the process and its counters began. Unknown without `/proc`.
pub(super) fn start(families: &[MetricFamily]) -> Option<UnixMillis> {
    let family = families.iter().find(|family| family.name() == START)?;
    let seconds = family.get_metric().first()?.get_gauge().get_value();
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    (seconds > 0.0).then_some(UnixMillis((seconds * 1000.0) as i64))
}

/// Writes a family, which has one sample without labels. Its counter began at the given time.
pub(super) fn write(family: &MetricFamily, began: Option<UnixMillis>, writer: &mut Writer<'_>) {
    let is_counter = family.get_field_type() == MetricType::COUNTER;
    let kind = if is_counter { Kind::Counter } else { Kind::Gauge };
    let head = Head { name: family.name(), kind, unit: "", help: family.help() };
    let mut rows = writer.family_since(&head, &[], began);
    for metric in family.get_metric() {
        let value = match family.name() {
            CPU => cpu_seconds(),
            _ if is_counter => metric.get_counter().get_value(),
            _ => metric.get_gauge().get_value(),
        };
        rows.sample([], value);
    }
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
