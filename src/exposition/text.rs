//! Prometheus' text format 0.0.4, written straight into bytes.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use super::catalog::Family;
use crate::stats::HistogramReading;

/// Writes families of samples.
pub(super) struct TextWriter<'a> {
    out: &'a mut Vec<u8>,
    series: usize,
    integers: itoa::Buffer,
}

impl<'a> TextWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, series: 0, integers: itoa::Buffer::new() }
    }

    /// Lines with a value that were written.
    pub(super) const fn series(&self) -> usize {
        self.series
    }

    /// Begins a family: its samples follow.
    pub(super) fn family<'w>(&'w mut self, family: &'static Family) -> FamilyWriter<'w, 'a> {
        for (keyword, text) in [("# HELP ", family.help), ("# TYPE ", family.kind.name())] {
            self.text(keyword);
            self.text(family.name);
            self.text(" ");
            self.text(text);
            self.text("\n");
        }
        FamilyWriter { writer: self, family }
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn label(&mut self, separator: &str, name: &str, value: &str) {
        self.text(separator);
        self.text(name);
        self.text("=\"");
        self.escaped(value);
        self.text("\"");
    }

    /// A label value: backslash, quote and newline are escaped, everything else stands as it is.
    fn escaped(&mut self, value: &str) {
        let mut rest = value;
        while let Some(at) = rest.find(['\\', '"', '\n']) {
            let (plain, special) = rest.split_at(at);
            self.text(plain);
            self.text(match special.as_bytes().first() {
                Some(b'\\') => "\\\\",
                Some(b'"') => "\\\"",
                _ => "\\n",
            });
            rest = special.get(1..).unwrap_or_default();
        }
        self.text(rest);
    }

    fn integer(&mut self, value: u64) {
        self.out.extend_from_slice(self.integers.format(value).as_bytes());
    }
}

/// Writes the samples of one family.
pub(super) struct FamilyWriter<'w, 'a> {
    writer: &'w mut TextWriter<'a>,
    family: &'static Family,
}

impl FamilyWriter<'_, '_> {
    /// A sample with the values of the family's labels, in the catalogue's order.
    pub(super) fn sample<const LABELS: usize>(&mut self, labels: [&str; LABELS], value: u64) -> &mut Self {
        self.begin("");
        for (position, (name, value)) in self.family.labels.iter().zip(labels).enumerate() {
            self.writer.label(if position == 0 { "{" } else { "," }, name, value);
        }
        self.end(if LABELS == 0 { " " } else { "} " }, value)
    }

    /// A histogram without labels. `unit` is what one of its whole numbers is worth in the family's unit.
    pub(super) fn histogram(&mut self, reading: &HistogramReading, unit: f64) {
        for (bound, count) in &reading.buckets {
            self.bucket(&decimal(*bound, unit), *count);
        }
        self.bucket("+Inf", reading.count);
        self.begin("_sum");
        self.writer.text(" ");
        self.writer.text(&decimal(reading.sum, unit));
        self.writer.text("\n");
        self.begin("_count");
        self.end(" ", reading.count);
    }

    fn bucket(&mut self, bound: &str, count: u64) {
        self.begin("_bucket");
        self.writer.label("{", "le", bound);
        self.end("} ", count);
    }

    fn begin(&mut self, suffix: &str) {
        self.writer.series += 1;
        self.writer.text(self.family.name);
        self.writer.text(suffix);
    }

    fn end(&mut self, before: &str, value: u64) -> &mut Self {
        self.writer.text(before);
        self.writer.integer(value);
        self.writer.text("\n");
        self
    }
}

/// A whole number of units, in the shortest form that reads back as the same number.
fn decimal(value: u64, unit: f64) -> String {
    // Divided, not multiplied: 5 ms is then 0.005 and not 0.005000000000000001.
    (value as f64 / unit.recip().round()).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::catalog;
    use super::*;

    fn written(write: impl FnOnce(&mut TextWriter<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut TextWriter::new(&mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn labels_are_escaped_and_nothing_else_is() {
        let text = written(|writer| {
            writer.family(&catalog::BY_GROUP).sample(["g\"quoted\\back\nline\r\t}{=,\u{2028}\u{202e}\u{1f44b}"], 3);
        });
        let sample = "openim_group_messages_by_group_total{group_id=\"g\\\"quoted\\\\back\\nline\r\t}{=,\u{2028}\u{202e}\u{1f44b}\"} 3\n";
        assert!(text.ends_with(sample), "{text}");
        assert!(text.starts_with("# HELP openim_group_messages_by_group_total "), "{text}");
        assert!(text.contains("\n# TYPE openim_group_messages_by_group_total counter\n"), "{text}");
    }

    #[test]
    fn a_histogram_is_cumulative_and_in_the_family_s_unit() {
        let reading = HistogramReading { buckets: vec![(5, 1), (3_600_000, 2)], sum: 1005, count: 3 };
        let text = written(|writer| writer.family(&catalog::SUBMIT_DELAY).histogram(&reading, 0.001));
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "openim_group_message_submit_delay_seconds_bucket{le=\"0.005\"} 1",
                "openim_group_message_submit_delay_seconds_bucket{le=\"3600\"} 2",
                "openim_group_message_submit_delay_seconds_bucket{le=\"+Inf\"} 3",
                "openim_group_message_submit_delay_seconds_sum 1.005",
                "openim_group_message_submit_delay_seconds_count 3",
            ]
        );
    }
}
