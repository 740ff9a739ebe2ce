//! A scrape, written in chunks on demand. No lock is held between two chunks.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use prometheus::proto::MetricFamily;

use super::catalog::{Declaration, Family, OfGroup, STATISTICS, SampleSource};
use super::format::Format;
use super::process;
use super::writer::{FamilyWriter, Observed, Writer};
use crate::domain::UnixMillis;
use crate::stats::{MixCell, RetirementPause, Stats};
use crate::telemetry::{Samples, Telemetry};

/// A chunk is full when it has this many bytes. It ends with the row, or the small family, that filled it.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

/// What a scrape contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `/metrics`: all families except those of [`Self::Groups`].
    Metrics,
    /// `/metrics/groups`: the families that have series for each tracked group.
    Groups,
}

impl Scope {
    /// The parts of a scrape, in order.
    fn parts(self) -> Vec<Part> {
        let (of_groups, of_metrics): (Vec<_>, Vec<_>) =
            STATISTICS.iter().partition(|declared| matches!(declared.source, SampleSource::TrackedGroups(_)));
        match self {
            Self::Metrics => of_metrics.into_iter().map(Part::Family).chain([Part::Own, Part::End]).collect(),
            Self::Groups => {
                let families = of_groups.into_iter().map(Part::Family);
                [Part::PauseRetirement].into_iter().chain(families).chain([Part::End]).collect()
            }
        }
    }
}

/// A step of a scrape.
enum Part {
    PauseRetirement,
    Family(&'static Declaration),
    /// The exporter's own metrics, and the process's.
    Own,
    End,
}

/// The remaining rows of the current part.
enum Rows {
    None,
    /// Read at once, so that all chunks have the same cells. There are about two thousand.
    Mix(&'static Family, std::vec::IntoIter<MixCell>),
    /// The groups from a position in [`Slots`].
    Groups(&'static Family, OfGroup, usize),
    /// The exporter's own families and those of the process, and when their counters began.
    Own {
        began: Option<UnixMillis>,
        own: std::vec::IntoIter<(&'static Family, Samples)>,
        process: std::vec::IntoIter<MetricFamily>,
    },
}

/// The slots of the scraped groups, which are the same in each family.
enum Slots {
    Listed(Vec<u32>),
    Below(usize),
}

impl Slots {
    fn get(&self, place: usize) -> Option<u32> {
        match self {
            Self::Listed(slots) => slots.get(place).copied(),
            Self::Below(end) => (place < *end).then_some(place).and_then(|slot| u32::try_from(slot).ok()),
        }
    }
}

/// A scrape in progress.
pub struct Scraper {
    stats: Arc<Stats>,
    telemetry: Arc<Telemetry>,
    scope: Scope,
    format: Format,
    /// The end of the windows.
    now: UnixMillis,
    parts: std::vec::IntoIter<Part>,
    rows: Rows,
    /// Chosen when the first family with groups begins.
    slots: Option<Slots>,
    pause: Option<RetirementPause>,
    series: usize,
}

impl Scraper {
    /// A scrape with windows that end `now`. Reads nothing yet and takes no lock.
    #[must_use]
    pub fn new(scope: Scope, format: Format, stats: Arc<Stats>, telemetry: Arc<Telemetry>, now: UnixMillis) -> Self {
        Self {
            stats,
            telemetry,
            scope,
            format,
            now,
            parts: scope.parts().into_iter(),
            rows: Rows::None,
            slots: None,
            pause: None,
            series: 0,
        }
    }

    /// What the scrape contains.
    #[must_use]
    pub(crate) const fn scope(&self) -> Scope {
        self.scope
    }

    /// Number of series written so far.
    #[must_use]
    pub const fn series(&self) -> usize {
        self.series
    }

    /// Appends the next chunk to `out`, until that has `CHUNK_BYTES` or slightly more. Returns whether there are more
    /// chunks. The last one may be shorter.
    pub fn next_chunk(&mut self, out: &mut Vec<u8>) -> bool {
        let mut writer = Writer::new(self.format, Some(self.stats.started()), out);
        let mut has_more = true;
        while has_more && writer.len() < CHUNK_BYTES {
            if !self.write_row(&mut writer) {
                match self.parts.next() {
                    Some(part) => self.begin(part, &mut writer),
                    None => has_more = false,
                }
            }
        }
        self.series += writer.series();
        has_more
    }

    /// Writes a small part, or begins one with many rows.
    fn begin(&mut self, part: Part, writer: &mut Writer<'_>) {
        match part {
            Part::PauseRetirement => self.pause = Some(self.stats.pause_retirement(self.now)),
            Part::Family(declared) => self.begin_family(declared, writer),
            Part::Own => {
                let process = self.telemetry.process();
                let began = process::start(&process);
                let own = self.telemetry.samples().into_iter();
                self.rows = Rows::Own { began, own, process: process.into_iter() };
            }
            Part::End => {
                self.pause = None;
                writer.end();
            }
        }
    }

    fn begin_family(&mut self, declared: &'static Declaration, writer: &mut Writer<'_>) {
        let stats = &self.stats;
        let mut family = writer.family(declared.family);
        match declared.source {
            SampleSource::Value(value) => {
                family.sample([], value(stats));
            }
            SampleSource::Samples(write) => write(stats, self.now, &mut family),
            SampleSource::Mix(chat) => {
                self.rows = Rows::Mix(declared.family, stats.mix(chat).collect::<Vec<_>>().into_iter());
            }
            SampleSource::ExportedGroups(write) => {
                self.slots.get_or_insert_with(|| Slots::Listed(stats.exported_groups()));
                self.rows = Rows::Groups(declared.family, write, 0);
            }
            SampleSource::TrackedGroups(write) => {
                self.slots.get_or_insert_with(|| Slots::Below(stats.group_slots()));
                self.rows = Rows::Groups(declared.family, write, 0);
            }
        }
    }

    /// Writes the next row of the current part. Returns whether there was one.
    fn write_row(&mut self, writer: &mut Writer<'_>) -> bool {
        match &mut self.rows {
            Rows::None => return false,
            Rows::Mix(family, cells) => {
                let Some(cell) = cells.next() else { return false };
                let labels = [&*cell.content_type, cell.platform, cell.source];
                writer.rows(family).sample(labels, cell.messages);
            }
            Rows::Groups(family, write, position) => {
                let Some(slot) = self.slots.as_ref().and_then(|slots| slots.get(*position)) else { return false };
                *position += 1;
                if let Some(group) = self.stats.group(slot) {
                    write(&group, self.stats.started(), &mut writer.rows(family));
                }
            }
            Rows::Own { began, own, process } => {
                if let Some((family, samples)) = own.next() {
                    write_own(family, samples, *began, writer);
                } else {
                    let Some(family) = process.next() else { return false };
                    process::write(&family, *began, writer);
                }
            }
        }
        true
    }
}

/// Writes a family of the exporter's own, with the values of its label in order.
fn write_own(family: &'static Family, samples: Samples, began: Option<UnixMillis>, writer: &mut Writer<'_>) {
    let mut rows = writer.family_since(&family.into(), family.labels, began);
    match samples {
        Samples::ByTarget(targets) => {
            for (target, samples) in targets {
                write_samples(samples, Some(&target), &mut rows);
            }
        }
        samples => write_samples(samples, None, &mut rows),
    }
}

/// Writes the samples of a family, or those of one target.
fn write_samples(samples: Samples, target: Option<&str>, rows: &mut FamilyWriter<'_, '_>) {
    match samples {
        Samples::Single(value) => {
            rows.sample(target, value);
        }
        Samples::ByLabel(mut counts) => {
            counts.sort_unstable();
            for (label, count) in counts {
                rows.sample(target.into_iter().chain([label]), count);
            }
        }
        Samples::Histogram { buckets, sum, count } => rows.histogram(target, &Observed { buckets, sum, count }, &[]),
        // A target has no targets.
        Samples::ByTarget(_) => {}
    }
}
