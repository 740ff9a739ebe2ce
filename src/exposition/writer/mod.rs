//! Writes families of metrics in any [`Format`].

mod native;
mod protobuf;
#[cfg(test)]
mod tests;
mod text;
mod values;
mod wire;

use super::format::{Escaping, Format};
use crate::domain::UnixMillis;
use crate::stats::Exemplar;
use crate::telemetry::{Family, Kind};
use protobuf::{Labels, Protobuf};
use text::{Line, Text};
use wire::Fields;

pub use values::EXEMPLAR_LABEL;
pub(super) use values::{Head, MILLISECONDS, Observed, SampleValue};

/// Appends families to bytes.
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    format: Format,
    escaping: Escaping,
    /// When the counters began, if known.
    began: Option<UnixMillis>,
    series: usize,
    /// The name of the last family whose numbers were written, and what these have in common.
    common: Option<(&'static str, Common)>,
}

/// What the numbers of a family have in common.
enum Common {
    Text(Line),
    Protobuf(Labels),
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub(super) const fn new(
        format: Format,
        escaping: Escaping,
        began: Option<UnixMillis>,
        out: &'a mut Vec<u8>,
    ) -> Self {
        Self { out, format, escaping, began, series: 0, common: None }
    }

    /// A writer with the same settings that appends to another buffer.
    pub(super) const fn like<'b>(&self, out: &'b mut Vec<u8>) -> Writer<'b> {
        Writer::new(self.format, self.escaping, self.began, out)
    }

    /// Number of series written: samples, and native histograms.
    pub(super) const fn series(&self) -> usize {
        self.series
    }

    /// Discards what was written.
    pub(super) fn clear(&mut self) {
        self.out.clear();
    }

    /// Length of `out` in bytes.
    pub(super) const fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether a family begins with its length.
    pub(super) fn has_lengths(&self) -> bool {
        self.format == Format::Protobuf
    }

    /// Begins a family, which ends when the result is dropped.
    pub(super) fn family<'w>(&'w mut self, family: &'static Family) -> FamilyWriter<'w, 'a> {
        self.family_since(&family.into(), family.labels, self.began)
    }

    /// Begins a family whose counters began at another time.
    pub(super) fn family_since<'w>(
        &'w mut self,
        head: &Head,
        labels: &'static [&'static str],
        began: Option<UnixMillis>,
    ) -> FamilyWriter<'w, 'a> {
        let start = self.out.len();
        if self.has_lengths() {
            // A place for the length.
            self.out.push(0);
        }
        write_head(self.format, self.escaping, head, self.out);
        let extent = self.has_lengths().then_some(Extent { start, rows: self.out.len() });
        FamilyWriter { writer: self, name: head.name, kind: head.kind, labels, began, extent }
    }

    /// Begins a family whose rows have this many bytes in total, and are written with [`Self::rows`].
    pub(super) fn family_of_length(&mut self, family: &'static Family, rows: usize) {
        let mut head = Vec::new();
        write_head(self.format, self.escaping, &family.into(), &mut head);
        Fields(self.out).varint((head.len() + rows) as u64);
        self.out.append(&mut head);
    }

    /// Continues a family.
    pub(super) fn rows<'w>(&'w mut self, family: &'static Family) -> FamilyWriter<'w, 'a> {
        let (name, kind, labels, began) = (family.name, family.kind, family.labels, self.began);
        FamilyWriter { writer: self, name, kind, labels, began, extent: None }
    }

    /// Ends the scrape.
    pub(super) fn end(&mut self) {
        if self.format == Format::OpenMetrics {
            self.out.extend_from_slice(b"# EOF\n");
        }
    }
}

fn write_head(format: Format, escaping: Escaping, head: &Head, out: &mut Vec<u8>) {
    match format {
        Format::Protobuf => Protobuf::new(escaping, out).head(head),
        _ => Text::new(format, escaping, out).head(head),
    }
}

/// The place of a family that begins with its length, as positions in the output.
struct Extent {
    start: usize,
    rows: usize,
}

/// Writes the samples of one family.
pub(super) struct FamilyWriter<'w, 'a> {
    writer: &'w mut Writer<'a>,
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    /// When its counters began, if known.
    began: Option<UnixMillis>,
    extent: Option<Extent>,
}

impl FamilyWriter<'_, '_> {
    /// A sample with the values of the family's labels, in the order of the declaration.
    pub(super) fn sample<'l>(
        &mut self,
        labels: impl IntoIterator<Item = &'l str>,
        value: impl Into<SampleValue>,
    ) -> &mut Self {
        self.number(labels.into_iter(), value.into(), self.began)
    }

    /// The same for a counter that began later than the others.
    pub(super) fn sample_since<const LABELS: usize>(
        &mut self,
        labels: [&str; LABELS],
        value: impl Into<SampleValue>,
        began: UnixMillis,
    ) -> &mut Self {
        self.number(labels.into_iter(), value.into(), Some(began))
    }

    fn number<'l>(
        &mut self,
        labels: impl Iterator<Item = &'l str>,
        value: SampleValue,
        began: Option<UnixMillis>,
    ) -> &mut Self {
        let Writer { out, format, escaping, series, common, .. } = self.writer;
        *series += 1;
        // The names are constants, so it is enough to compare where they are.
        let common = match common {
            Some((name, common)) if std::ptr::eq(*name, self.name) => common,
            _ => {
                let names = self.labels.iter().copied();
                let new = match format {
                    Format::Protobuf => Common::Protobuf(Labels::new(names, *escaping)),
                    _ => Common::Text(Line::new([self.name, ""], names, *escaping)),
                };
                &mut common.insert((self.name, new)).1
            }
        };
        match common {
            Common::Text(line) => Text::new(*format, *escaping, out).sample(line, labels, value),
            Common::Protobuf(names) => {
                Protobuf::new(*escaping, out).number(self.kind, (names, labels), value.as_float(), began);
            }
        }
        self
    }

    /// A histogram with the value of the family's label, if it has one, and with the exemplars of its buckets.
    pub(super) fn histogram(&mut self, label: Option<&str>, observed: &Observed, exemplars: &[Option<Exemplar>]) {
        let Writer { out, format, escaping, series, .. } = self.writer;
        let label = self.labels.first().copied().zip(label);
        *series += match format {
            Format::Protobuf if observed.native.is_some() => 1,
            _ => observed.buckets.len() + 3,
        };
        match format {
            Format::Protobuf => Protobuf::new(*escaping, out).histogram(label, observed, exemplars, self.began),
            _ => Text::new(*format, *escaping, out).histogram(self.name, label, observed, exemplars),
        }
    }
}

impl Drop for FamilyWriter<'_, '_> {
    fn drop(&mut self) {
        let Some(Extent { start, rows }) = self.extent else { return };
        let out = &mut self.writer.out;
        if out.len() > rows {
            Fields(out).insert_length(start);
        } else {
            // Leave out a family without a metric.
            out.truncate(start);
        }
    }
}
