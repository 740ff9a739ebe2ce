//! The text formats: Prometheus' own, and OpenMetrics.

use super::values::{Bucket, EXEMPLAR_LABEL, Head, Observed, SampleValue, seconds};
use crate::domain::UnixMillis;
use crate::exposition::format::{Escaping, Format};
use crate::stats::Exemplar;

/// Appends lines of text.
pub(super) struct Text<'a> {
    out: &'a mut Vec<u8>,
    is_open_metrics: bool,
    escaping: Escaping,
}

impl<'a> Text<'a> {
    pub(super) fn new(format: Format, escaping: Escaping, out: &'a mut Vec<u8>) -> Self {
        Self { out, is_open_metrics: format == Format::OpenMetrics, escaping }
    }

    /// The comment lines of a family.
    pub(super) fn head(&mut self, head: &Head<'_>) {
        let name = self.escaping.escaped(head.name);
        let (name, unit) = match self.is_open_metrics {
            true => (name.strip_suffix("_total").unwrap_or(&name), head.unit),
            false => (&*name, ""),
        };
        for (keyword, text) in [("# HELP ", head.help), ("# TYPE ", head.kind.name()), ("# UNIT ", unit)] {
            if !text.is_empty() {
                [keyword, name, " ", text, "\n"].into_iter().for_each(|part| self.text(part));
            }
        }
    }

    /// The line of a sample.
    pub(super) fn sample<'l>(
        &mut self,
        [name, suffix]: [&str; 2],
        labels: impl Iterator<Item = (&'l str, &'l str)>,
        value: SampleValue,
    ) {
        self.series([name, suffix], labels, value);
        self.text("\n");
    }

    /// The lines of a histogram.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        label: Option<(&str, &str)>,
        observed: &Observed,
        exemplars: &[Option<Exemplar>],
    ) {
        for Bucket { bound, count, exemplar } in observed.classic(exemplars) {
            let bound = self.bound(bound);
            self.series([name, "_bucket"], label.into_iter().chain([("le", bound.as_str())]), count.into());
            if let Some(exemplar) = exemplar.filter(|_| self.is_open_metrics) {
                self.exemplar(exemplar);
            }
            self.text("\n");
        }
        self.sample([name, "_sum"], label.into_iter(), observed.sum.into());
        self.sample([name, "_count"], label.into_iter(), observed.count.into());
    }

    fn series<'l>(
        &mut self,
        [name, suffix]: [&str; 2],
        labels: impl Iterator<Item = (&'l str, &'l str)>,
        value: SampleValue,
    ) {
        self.name(name);
        self.text(suffix);
        self.labels(labels);
        self.value(value);
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        self.text(" # ");
        self.labels([(EXEMPLAR_LABEL, exemplar.operation_id.as_str())].into_iter());
        self.value(seconds(exemplar).into());
        self.time(exemplar.at);
    }

    fn name(&mut self, name: &str) {
        self.text(&self.escaping.escaped(name));
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn labels<'l>(&mut self, labels: impl Iterator<Item = (&'l str, &'l str)>) {
        let mut separator = "{";
        for (name, value) in labels {
            self.text(separator);
            self.name(name);
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
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
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
    fn time(&mut self, at: UnixMillis) {
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
        if self.is_open_metrics && !plain.contains('.') { plain + ".0" } else { plain }
    }
}
