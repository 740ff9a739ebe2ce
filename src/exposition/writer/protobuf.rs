//! Prometheus' protobuf format: messages of the type `MetricFamily`, each preceded by its length.
//!
//! <https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto>

use super::native::{Span, Sparse};
use super::values::{Bucket, EXEMPLAR_LABEL, Head, Observed, seconds};
use super::wire::{Fields, before_second};
use crate::domain::UnixMillis;
use crate::exposition::format::Escaping;
use crate::native::{NativeReading, SCHEMA};
use crate::stats::Exemplar;
use crate::telemetry::Kind;

/// The numbers of the fields of each message.
mod family {
    pub(super) const NAME: u8 = 1;
    pub(super) const HELP: u8 = 2;
    pub(super) const TYPE: u8 = 3;
    pub(super) const METRIC: u8 = 4;
    pub(super) const UNIT: u8 = 5;
}

mod metric {
    pub(super) const LABEL: u8 = 1;
    pub(super) const GAUGE: u8 = 2;
    pub(super) const COUNTER: u8 = 3;
    pub(super) const HISTOGRAM: u8 = 7;
}

mod label {
    pub(super) const NAME: u8 = 1;
    pub(super) const VALUE: u8 = 2;
}

/// A counter or a gauge. A gauge has no creation time.
mod number {
    pub(super) const VALUE: u8 = 1;
    pub(super) const CREATED: u8 = 3;
}

mod histogram {
    pub(super) const COUNT: u8 = 1;
    pub(super) const SUM: u8 = 2;
    pub(super) const BUCKET: u8 = 3;
    pub(super) const SCHEMA: u8 = 5;
    pub(super) const ZERO_THRESHOLD: u8 = 6;
    pub(super) const ZERO_COUNT: u8 = 7;
    pub(super) const POSITIVE_SPAN: u8 = 12;
    pub(super) const POSITIVE_DELTA: u8 = 13;
    pub(super) const CREATED: u8 = 15;
}

mod span {
    pub(super) const OFFSET: u8 = 1;
    pub(super) const LENGTH: u8 = 2;
}

mod bucket {
    pub(super) const COUNT: u8 = 1;
    pub(super) const BOUND: u8 = 2;
    pub(super) const EXEMPLAR: u8 = 3;
}

mod exemplar {
    pub(super) const LABEL: u8 = 1;
    pub(super) const VALUE: u8 = 2;
    pub(super) const TIME: u8 = 3;
}

mod timestamp {
    pub(super) const SECONDS: u8 = 1;
    pub(super) const NANOSECONDS: u8 = 2;
}

/// What all metrics with the same labels have in common: for each label, what comes before its value.
pub(super) struct Labels(Vec<Vec<u8>>);

impl Labels {
    pub(super) fn new<'l>(names: impl Iterator<Item = &'l str>, escaping: Escaping) -> Self {
        Self::of(metric::LABEL, names, escaping)
    }

    fn of<'l>(field: u8, names: impl Iterator<Item = &'l str>, escaping: Escaping) -> Self {
        Self(names.map(|name| before_second(field, (label::NAME, &escaping.escaped(name)), label::VALUE)).collect())
    }

    fn write<'l>(&self, values: impl Iterator<Item = &'l str>, fields: &mut Fields<'_>) {
        self.0.iter().zip(values).for_each(|(before, value)| fields.pair(before, value));
    }
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
        (labels, values): (&Labels, impl Iterator<Item = &'l str>),
        value: f64,
        began: Option<UnixMillis>,
    ) {
        let (field, began) = if kind == Kind::Counter { (metric::COUNTER, began) } else { (metric::GAUGE, None) };
        self.fields.message(family::METRIC, |fields| {
            labels.write(values, fields);
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
        let (names, values) = (label.map(|(name, _)| name), label.map(|(_, value)| value));
        let labels = Labels::new(names.into_iter(), self.escaping);
        self.fields.message(family::METRIC, |fields| {
            labels.write(values.into_iter(), fields);
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
            let labels = Labels::of(exemplar::LABEL, [EXEMPLAR_LABEL].into_iter(), escaping);
            labels.write([exemplar.operation_id.as_str()].into_iter(), fields);
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

fn write_time(field: u8, time: Option<UnixMillis>, fields: &mut Fields<'_>) {
    let Some(time) = time else { return };
    let ms = time.0.max(0).unsigned_abs();
    fields.message(field, |fields| {
        fields.integer(timestamp::SECONDS, ms / 1000);
        fields.integer(timestamp::NANOSECONDS, ms % 1000 * 1_000_000);
    });
}
