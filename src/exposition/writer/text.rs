//! The text formats: Prometheus' own, and OpenMetrics.

use super::values::{Bucket, EXEMPLAR_LABEL, Head, Observed, SampleValue, seconds};
use crate::domain::UnixMillis;
use crate::exposition::format::{Escaping, Format};
use crate::stats::Exemplar;

/// What all lines with the same name and labels have in common. Copying a few long pieces is faster than copying many
/// short ones.
pub(super) struct Line {
    /// The name, for a line without labels.
    name: String,
    /// For each label, what comes before its value. The first piece begins with the name.
    labels: Vec<String>,
}

impl Line {
    pub(super) fn new<'l>(
        [name, suffix]: [&str; 2],
        labels: impl Iterator<Item = &'l str>,
        escaping: Escaping,
    ) -> Self {
        let name = escaping.escaped(name).into_owned() + suffix;
        let mut before = format!("{name}{{");
        let labels = labels.map(|label| {
            let piece = format!("{before}{}=\"", escaping.escaped(label));
            "\",".clone_into(&mut before);
            piece
        });
        Self { labels: labels.collect(), name }
    }
}

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
    pub(super) fn head(&mut self, head: &Head) {
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

    /// The line of a sample, with the values of its labels.
    pub(super) fn sample<'l>(&mut self, line: &Line, labels: impl Iterator<Item = &'l str>, value: SampleValue) {
        self.series(line, labels, value, "\n");
    }

    /// The lines of a histogram.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        label: Option<(&str, &str)>,
        observed: &Observed,
        exemplars: &[Option<Exemplar>],
    ) {
        let (names, values) = (label.map(|(name, _)| name), label.map(|(_, value)| value));
        let escaping = self.escaping;
        let bucket = Line::new([name, "_bucket"], names.into_iter().chain(["le"]), escaping);
        for Bucket { bound, count, exemplar } in observed.classic(exemplars) {
            self.series(&bucket, values.into_iter().chain([self.bound(bound).as_str()]), count.into(), "");
            if let Some(exemplar) = exemplar.filter(|_| self.is_open_metrics) {
                self.exemplar(exemplar);
            }
            self.text("\n");
        }
        for (suffix, value) in [("_sum", observed.sum.into()), ("_count", observed.count.into())] {
            self.sample(&Line::new([name, suffix], names.into_iter(), escaping), values.into_iter(), value);
        }
    }

    /// A name, its labels and a value, followed by `after`.
    fn series<'l>(
        &mut self,
        line: &Line,
        labels: impl Iterator<Item = &'l str>,
        value: SampleValue,
        after: &'static str,
    ) {
        let mut before = " ";
        for (piece, label) in line.labels.iter().zip(labels) {
            self.text(piece);
            self.escaped(label);
            before = "\"} ";
        }
        if before == " " {
            self.text(&line.name);
        }
        match value {
            SampleValue::Integer(value) => self.integer(before, value, after),
            // The shortest number that parses to the same value, without an exponent.
            SampleValue::Float(value) => {
                [before, &value.to_string(), after].into_iter().for_each(|part| self.text(part));
            }
        }
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        let line = Line::new([" # ", ""], [EXEMPLAR_LABEL].into_iter(), self.escaping);
        self.series(&line, [exemplar.operation_id.as_str()].into_iter(), seconds(exemplar).into(), " ");
        self.time(exemplar.at);
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// A label value. Escapes backslash, quote and newline.
    fn escaped(&mut self, value: &str) {
        if has_special(value) { self.escape(value) } else { self.text(value) }
    }

    #[cold]
    fn escape(&mut self, value: &str) {
        for byte in value.bytes() {
            if is_special(byte) {
                self.out.push(b'\\');
            }
            self.out.push(if byte == b'\n' { b'n' } else { byte });
        }
    }

    /// An integer with up to three bytes before it and at most one after it, appended at once: each append is a call,
    /// because this crate is compiled for size.
    fn integer(&mut self, before: &str, mut value: u64, after: &str) {
        let mut piece = [0; 3 + MAX_DIGITS + 1];
        let mut start = piece.len();
        let mut prepend = |byte| {
            start -= 1;
            piece.get_mut(start).into_iter().for_each(|place| *place = byte);
        };
        after.bytes().rev().for_each(&mut prepend);
        while value >= 10 {
            prepend(digit(value % 10));
            value /= 10;
        }
        prepend(digit(value));
        before.bytes().rev().for_each(&mut prepend);
        self.out.extend_from_slice(piece.get(start..).unwrap_or_default());
    }

    /// A time as seconds since the epoch.
    fn time(&mut self, at: UnixMillis) {
        let ms = at.0.max(0).unsigned_abs();
        let zeros = match ms % 1000 {
            0..10 => "00",
            10..100 => "0",
            _ => "",
        };
        self.integer("", ms / 1000, ".");
        self.integer(zeros, ms % 1000, "");
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

/// The number of digits of `u64::MAX`.
const MAX_DIGITS: usize = 20;

/// The ASCII digit for a number below 10.
#[expect(clippy::cast_possible_truncation, reason = "it is below 10")]
const fn digit(number: u64) -> u8 {
    b'0' + number as u8
}

/// Whether a label value has a byte that must be escaped. Looks at all bytes: if the loop does not end early, the
/// compiler can compare several bytes at once.
fn has_special(value: &str) -> bool {
    value.bytes().fold(false, |found, byte| found | is_special(byte))
}

const fn is_special(byte: u8) -> bool {
    matches!(byte, b'\\' | b'"' | b'\n')
}
