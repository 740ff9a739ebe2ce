//! Prometheus' protobuf format: messages of the type `MetricFamily`, each preceded by its length.
//!
//! <https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto>

use super::native::{Span, Sparse};
use super::values::{Bucket, EXEMPLAR_LABEL, Head, Observed, seconds};
use super::wire::Fields;
use crate::domain::UnixMillis;
use crate::exposition::format::Escaping;
use crate::native::{NativeReading, SCHEMA};
use crate::stats::Exemplar;
use crate::telemetry::Kind;

/// The numbers of the fields of each message.
mod family {
    pub(super) const NAME: u32 = 1;
    pub(super) const HELP: u32 = 2;
    pub(super) const TYPE: u32 = 3;
    pub(super) const METRIC: u32 = 4;
    pub(super) const UNIT: u32 = 5;
}

mod metric {
    pub(super) const LABEL: u32 = 1;
    pub(super) const GAUGE: u32 = 2;
    pub(super) const COUNTER: u32 = 3;
    pub(super) const HISTOGRAM: u32 = 7;
}

mod label {
    pub(super) const NAME: u32 = 1;
    pub(super) const VALUE: u32 = 2;
}

/// A counter or a gauge. A gauge has no creation time.
mod number {
    pub(super) const VALUE: u32 = 1;
    pub(super) const CREATED: u32 = 3;
}

mod histogram {
    pub(super) const COUNT: u32 = 1;
    pub(super) const SUM: u32 = 2;
    pub(super) const BUCKET: u32 = 3;
    pub(super) const SCHEMA: u32 = 5;
    pub(super) const ZERO_THRESHOLD: u32 = 6;
    pub(super) const ZERO_COUNT: u32 = 7;
    pub(super) const POSITIVE_SPAN: u32 = 12;
    pub(super) const POSITIVE_DELTA: u32 = 13;
    pub(super) const CREATED: u32 = 15;
}

mod span {
    pub(super) const OFFSET: u32 = 1;
    pub(super) const LENGTH: u32 = 2;
}

mod bucket {
    pub(super) const COUNT: u32 = 1;
    pub(super) const BOUND: u32 = 2;
    pub(super) const EXEMPLAR: u32 = 3;
}

mod exemplar {
    pub(super) const LABEL: u32 = 1;
    pub(super) const VALUE: u32 = 2;
    pub(super) const TIME: u32 = 3;
}

mod timestamp {
    pub(super) const SECONDS: u32 = 1;
    pub(super) const NANOSECONDS: u32 = 2;
}

/// Appends parts of a family.
pub(super) struct Protobuf<'a> {
    fields: Fields<'a>,
    escaping: Escaping,
}

impl<'a> Protobuf<'a> {
    pub(super) const fn new(escaping: Escaping, out: &'a mut Vec<u8>) -> Self {
        Self { fields: Fields(out), escaping }
    }

    /// The fields before the metrics.
    pub(super) fn head(&mut self, head: &Head) {
        self.fields.text(family::NAME, &self.escaping.escaped(head.name));
        self.fields.text(family::HELP, head.help);
        let kind = match head.kind {
            Kind::Counter => 0,
            Kind::Gauge => 1,
            Kind::Histogram => 4,
        };
        self.fields.integer(family::TYPE, kind);
        if !head.unit.is_empty() {
            self.fields.text(family::UNIT, head.unit);
        }
    }

    /// A counter, or a gauge. `began` is when a counter began.
    pub(super) fn number<'l>(
        &mut self,
        kind: Kind,
        labels: impl Iterator<Item = (&'l str, &'l str)>,
        value: f64,
        began: Option<UnixMillis>,
    ) {
        let (field, began) = if kind == Kind::Counter { (metric::COUNTER, began) } else { (metric::GAUGE, None) };
        self.fields.message(family::METRIC, |fields| {
            write_labels(metric::LABEL, labels, self.escaping, fields);
            fields.message(field, |fields| {
                fields.float(number::VALUE, value);
                write_time(number::CREATED, began, fields);
            });
        });
    }

    /// A histogram: its classic buckets, and those of a native one if it has them.
    pub(super) fn histogram(
        &mut self,
        label: Option<(&str, &str)>,
        observed: &Observed,
        exemplars: &[Option<Exemplar>],
        began: Option<UnixMillis>,
    ) {
        // Prometheus refuses a native histogram whose buckets do not add up to its count. The classic count may be a
        // little different, because observations may be in progress during the reading.
        let count = observed.native.as_ref().map_or(observed.count, NativeReading::count);
        self.fields.message(family::METRIC, |fields| {
            write_labels(metric::LABEL, label.into_iter(), self.escaping, fields);
            fields.message(metric::HISTOGRAM, |fields| {
                fields.integer(histogram::COUNT, count);
                fields.float(histogram::SUM, observed.sum);
                let buckets = observed.classic(exemplars);
                // The last bucket has the histogram's count, so it is written only for its exemplar.
                for bucket in buckets.filter(|bucket| bucket.bound.is_finite() || bucket.exemplar.is_some()) {
                    fields.message(histogram::BUCKET, |fields| write_bucket(&bucket, count, self.escaping, fields));
                }
                observed.native.iter().for_each(|native| write_native(native, fields));
                write_time(histogram::CREATED, began, fields);
            });
        });
    }
}

fn write_bucket(bucket: &Bucket<'_>, at_most: u64, escaping: Escaping, fields: &mut Fields<'_>) {
    fields.integer(bucket::COUNT, bucket.count.min(at_most));
    fields.float(bucket::BOUND, bucket.bound);
    if let Some(exemplar) = bucket.exemplar {
        fields.message(bucket::EXEMPLAR, |fields| {
            let labels = [(EXEMPLAR_LABEL, exemplar.operation_id.as_str())];
            write_labels(exemplar::LABEL, labels.into_iter(), escaping, fields);
            fields.float(exemplar::VALUE, seconds(exemplar));
            write_time(exemplar::TIME, Some(exemplar.at), fields);
        });
    }
}

fn write_native(native: &NativeReading, fields: &mut Fields<'_>) {
    fields.signed(histogram::SCHEMA, SCHEMA.into());
    fields.float(histogram::ZERO_THRESHOLD, native.zero_threshold);
    fields.integer(histogram::ZERO_COUNT, native.zero_count);
    let Sparse { mut spans, deltas } = Sparse::new(native);
    if spans.is_empty() && native.zero_count == 0 {
        // Without it, readers would take an empty histogram for one that has only classic buckets.
        spans.push(Span { offset: 0, len: 0 });
    }
    for span in spans {
        fields.message(histogram::POSITIVE_SPAN, |fields| {
            fields.signed(span::OFFSET, span.offset);
            fields.integer(span::LENGTH, span.len);
        });
    }
    if !deltas.is_empty() {
        fields.all_signed(histogram::POSITIVE_DELTA, &deltas);
    }
}

fn write_labels<'l>(
    field: u32,
    labels: impl Iterator<Item = (&'l str, &'l str)>,
    escaping: Escaping,
    fields: &mut Fields<'_>,
) {
    for (name, value) in labels {
        fields.message(field, |fields| {
            fields.text(label::NAME, &escaping.escaped(name));
            fields.text(label::VALUE, value);
        });
    }
}

fn write_time(field: u32, time: Option<UnixMillis>, fields: &mut Fields<'_>) {
    let Some(time) = time else { return };
    let ms = time.0.max(0).unsigned_abs();
    fields.message(field, |fields| {
        fields.integer(timestamp::SECONDS, ms / 1000);
        fields.integer(timestamp::NANOSECONDS, ms % 1000 * 1_000_000);
    });
}
