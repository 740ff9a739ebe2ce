//! Writes families of metrics in either [`Format`].

#[cfg(test)]
mod tests;

use std::iter::repeat;

use super::format::Format;
use crate::domain::UnixMillis;
use crate::stats::{Exemplar, HistogramReading};
use crate::telemetry::{Family, Kind};

/// The label of an exemplar, which is also the message's key in OpenIM's logs.
pub const EXEMPLAR_LABEL: &str = "operation_id";

/// Milliseconds in a second.
pub(super) const MILLISECONDS: f64 = 1000.0;

/// Appends families to bytes.
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    format: Format,
    /// When the counters began, if known.
    began: Option<UnixMillis>,
    series: usize,
    integers: itoa::Buffer,
}

/// What a family's comment lines say.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    /// The unit, which the name ends with; or empty.
    pub(super) unit: &'a str,
    pub(super) help: &'a str,
}

impl From<&'static Family> for Head<'static> {
    fn from(family: &'static Family) -> Self {
        Self { name: family.name, kind: family.kind, unit: family.unit(), help: family.help }
    }
}

/// A sample's value.
#[derive(Clone, Copy)]
pub(super) enum SampleValue {
    Integer(u64),
    Float(f64),
}

impl From<u64> for SampleValue {
    fn from(value: u64) -> Self {
        Self::Integer(value)
    }
}

impl From<usize> for SampleValue {
    fn from(value: usize) -> Self {
        Self::Integer(value as u64)
    }
}

impl From<f64> for SampleValue {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

/// The numbers of a histogram, in the unit of its family.
pub(super) struct Observed {
    /// The inclusive upper bound of each bucket, with the number of observations up to it.
    pub(super) buckets: Vec<(f64, u64)>,
    pub(super) sum: f64,
    pub(super) count: u64,
}

impl Observed {
    /// Divides the numbers of a reading by `per_unit`.
    pub(super) fn from_reading(reading: &HistogramReading, per_unit: f64) -> Self {
        // Multiplying by a fraction would turn 5 ms into 0.005000000000000001.
        let in_unit = |value: u64| value as f64 / per_unit;
        Self {
            buckets: reading.buckets.iter().map(|(bound, count)| (in_unit(*bound), *count)).collect(),
            sum: in_unit(reading.sum),
            count: reading.count,
        }
    }
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub(super) fn new(format: Format, began: Option<UnixMillis>, out: &'a mut Vec<u8>) -> Self {
        Self { out, format, began, series: 0, integers: itoa::Buffer::new() }
    }

    /// Number of samples written.
    pub(super) const fn series(&self) -> usize {
        self.series
    }

    /// Length of `out` in bytes.
    pub(super) const fn len(&self) -> usize {
        self.out.len()
    }

    /// Begins a family.
    pub(super) fn family<'w>(&'w mut self, family: &'static Family) -> FamilyWriter<'w, 'a> {
        self.family_since(&family.into(), family.labels, self.began)
    }

    /// Begins a family whose counters began at another time.
    pub(super) fn family_since<'w>(
        &'w mut self,
        head: &Head<'w>,
        labels: &'static [&'static str],
        began: Option<UnixMillis>,
    ) -> FamilyWriter<'w, 'a> {
        self.head(head);
        self.rows_of(head.name, head.kind, labels, began)
    }

    /// Continues a family.
    pub(super) fn rows<'w>(&'w mut self, family: &'static Family) -> FamilyWriter<'w, 'a> {
        self.rows_of(family.name, family.kind, family.labels, self.began)
    }

    fn rows_of<'w>(
        &'w mut self,
        name: &'w str,
        kind: Kind,
        labels: &'static [&'static str],
        began: Option<UnixMillis>,
    ) -> FamilyWriter<'w, 'a> {
        let created = began.filter(|_| self.format == Format::OpenMetrics && kind != Kind::Gauge);
        FamilyWriter { writer: self, name, labels, created }
    }

    fn head(&mut self, head: &Head<'_>) {
        let (name, unit) = match self.format {
            Format::Text => (head.name, ""),
            Format::OpenMetrics => (without_total(head.name), head.unit),
        };
        for (keyword, text) in [("# HELP ", head.help), ("# TYPE ", head.kind.name()), ("# UNIT ", unit)] {
            if !text.is_empty() {
                [keyword, name, " ", text, "\n"].into_iter().for_each(|part| self.text(part));
            }
        }
    }

    /// Ends the scrape.
    pub(super) fn end(&mut self) {
        if self.format == Format::OpenMetrics {
            self.text("# EOF\n");
        }
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn labels<'l>(&mut self, labels: impl IntoIterator<Item = (&'l str, &'l str)>) {
        let mut separator = "{";
        for (name, value) in labels {
            self.text(separator);
            self.text(name);
            self.text("=\"");
            self.escaped(value);
            self.text("\"");
            separator = ",";
        }
        if separator == "," {
            self.text("}");
        }
    }

    /// A label value. Escapes backslash, quote and newline.
    fn escaped(&mut self, value: &str) {
        let mut rest = value.as_bytes();
        while let Some(at) = memchr::memchr3(b'\\', b'"', b'\n', rest)
            && let Some((plain, [special, behind @ ..])) = rest.split_at_checked(at)
        {
            self.out.extend_from_slice(plain);
            self.out.extend_from_slice(match special {
                b'\\' => b"\\\\",
                b'"' => b"\\\"",
                _ => b"\\n",
            });
            rest = behind;
        }
        self.out.extend_from_slice(rest);
    }

    fn integer(&mut self, value: u64) {
        self.out.extend_from_slice(self.integers.format(value).as_bytes());
    }

    fn value(&mut self, value: SampleValue) {
        self.text(" ");
        match value {
            SampleValue::Integer(value) => self.integer(value),
            // The shortest number that parses to the same value, without an exponent.
            SampleValue::Float(value) => self.text(&value.to_string()),
        }
    }

    /// A time as seconds since the epoch.
    fn seconds(&mut self, at: UnixMillis) {
        let ms = at.0.max(0).unsigned_abs();
        self.text(" ");
        self.integer(ms / 1000);
        self.text(match ms % 1000 {
            0..10 => ".00",
            10..100 => ".0",
            _ => ".",
        });
        self.integer(ms % 1000);
    }

    /// The bound of a bucket, which OpenMetrics requires to be a float.
    fn bound(&self, bound: f64) -> String {
        if bound.is_infinite() {
            return "+Inf".to_owned();
        }
        let plain = bound.to_string();
        if self.format == Format::OpenMetrics && !plain.contains('.') { plain + ".0" } else { plain }
    }
}

/// The name of a counter's family in OpenMetrics.
fn without_total(name: &str) -> &str {
    name.strip_suffix("_total").unwrap_or(name)
}

/// Writes the samples of one family.
pub(super) struct FamilyWriter<'w, 'a> {
    writer: &'w mut Writer<'a>,
    name: &'w str,
    labels: &'static [&'static str],
    /// When its samples began, if the format has that.
    created: Option<UnixMillis>,
}

impl FamilyWriter<'_, '_> {
    /// A sample with the values of the family's labels, in the order of the declaration.
    pub(super) fn sample<'l>(
        &mut self,
        labels: impl IntoIterator<Item = &'l str>,
        value: impl Into<SampleValue>,
    ) -> &mut Self {
        self.labelled(self.labels.iter().copied().zip(labels), value.into(), self.created)
    }

    /// The same for a counter that began later than the others.
    pub(super) fn sample_since<const LABELS: usize>(
        &mut self,
        labels: [&str; LABELS],
        value: impl Into<SampleValue>,
        began: UnixMillis,
    ) -> &mut Self {
        self.labelled(self.labels.iter().copied().zip(labels), value.into(), self.created.and(Some(began)))
    }

    fn labelled<'l>(
        &mut self,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
        value: SampleValue,
        created: Option<UnixMillis>,
    ) -> &mut Self {
        self.begin(self.name, "");
        let labels_at = self.writer.out.len();
        self.writer.labels(labels);
        let labels_at = labels_at..self.writer.out.len();
        self.writer.value(value);
        self.writer.text("\n");
        if let Some(created) = created {
            self.begin(without_total(self.name), "_created");
            self.writer.out.extend_from_within(labels_at);
            self.writer.seconds(created);
            self.writer.text("\n");
        }
        self
    }

    /// A histogram with the value of the family's label, if it has one, and with the exemplars of its buckets.
    pub(super) fn histogram(&mut self, label: Option<&str>, observed: &Observed, exemplars: &[Option<Exemplar>]) {
        let names = self.labels;
        let labels = || names.iter().copied().zip(label);
        let buckets = observed.buckets.iter().copied().chain([(f64::INFINITY, observed.count)]);
        let mut below = f64::NEG_INFINITY;
        for ((bound, count), exemplar) in buckets.zip(exemplars.iter().map(Option::as_ref).chain(repeat(None))) {
            self.begin(self.name, "_bucket");
            let bound_text = self.writer.bound(bound);
            self.writer.labels(labels().chain([("le", bound_text.as_str())]));
            self.writer.value(count.into());
            if let Some(exemplar) = exemplar {
                self.exemplar(exemplar, below, bound);
            }
            self.writer.text("\n");
            below = bound;
        }
        for (suffix, value) in [("_sum", observed.sum.into()), ("_count", observed.count.into())] {
            self.begin(self.name, suffix);
            self.writer.labels(labels());
            self.writer.value(value);
            self.writer.text("\n");
        }
        if let Some(created) = self.created {
            self.begin(self.name, "_created");
            self.writer.labels(labels());
            self.writer.seconds(created);
            self.writer.text("\n");
        }
    }

    /// The exemplar of a bucket, if the format has exemplars and the value is in the bucket.
    fn exemplar(&mut self, exemplar: &Exemplar, below: f64, bound: f64) {
        let value = exemplar.value_ms as f64 / MILLISECONDS;
        if self.writer.format == Format::OpenMetrics && below < value && value <= bound {
            self.writer.text(" # ");
            self.writer.labels([(EXEMPLAR_LABEL, exemplar.operation_id.as_str())]);
            self.writer.value(value.into());
            self.writer.seconds(exemplar.at);
        }
    }

    fn begin(&mut self, name: &str, suffix: &str) {
        self.writer.series += 1;
        self.writer.text(name);
        self.writer.text(suffix);
    }
}
