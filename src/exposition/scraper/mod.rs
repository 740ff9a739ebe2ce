//! A scrape, written in chunks on demand. No lock is held between two chunks.

mod groups;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::catalog::{Declaration, Family, STATISTICS, SampleSource};
use super::format::{Escaping, Format};
use super::names::Names;
use super::process;
use super::writer::{FamilyWriter, Observed, Writer};
use crate::domain::UnixMillis;
use crate::stats::{RetirementPause, Stats};
use crate::telemetry::{Samples, Telemetry};
use groups::{GroupRows, Slots};

pub use groups::GroupRemoved;

/// A chunk is full when it has this many bytes. It ends with the row, or the small family, that filled it.
const CHUNK_BYTES: usize = 64 * 1024;

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
    Groups(GroupRows),
    /// The exporter's own families and those of the process, and when their counters began.
    Own {
        began: Option<UnixMillis>,
        own: std::vec::IntoIter<(&'static Family, Samples)>,
    },
}

/// A scrape in progress.
pub struct Scraper {
    stats: Arc<Stats>,
    telemetry: Arc<Telemetry>,
    scope: Scope,
    format: Format,
    escaping: Escaping,
    names: Names,
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
            escaping: Escaping::default(),
            names: Names::default(),
            now,
            parts: scope.parts().into_iter(),
            rows: Rows::None,
            slots: None,
            pause: None,
            series: 0,
        }
    }

    /// Only these families.
    #[must_use]
    pub fn only(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    /// Escapes names in this way.
    #[must_use]
    pub const fn escape(mut self, escaping: Escaping) -> Self {
        self.escaping = escaping;
        self
    }

    /// Whether the scrape contains all of `/metrics`.
    #[must_use]
    pub(crate) fn is_whole(&self) -> bool {
        self.scope == Scope::Metrics && self.names == Names::default()
    }

    /// Number of series written so far.
    #[must_use]
    pub const fn series(&self) -> usize {
        self.series
    }

    /// Appends the next chunk to `out`, until that has `CHUNK_BYTES` or slightly more. Returns whether there are more
    /// chunks. The last one may be shorter.
    ///
    /// # Errors
    /// When a group was removed after its row was announced. The response must then be cut off, so that the client
    /// discards it.
    pub fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, GroupRemoved> {
        // A chunk may be a little larger than its nominal size.
        out.reserve(CHUNK_BYTES + CHUNK_BYTES / 4);
        let mut writer = Writer::new(self.format, self.escaping, Some(self.stats.started()), out);
        let mut has_more = true;
        while has_more && writer.len() < CHUNK_BYTES {
            if !self.write_row(&mut writer)? {
                match self.parts.next() {
                    Some(part) => self.begin(part, &mut writer),
                    None => has_more = false,
                }
            }
        }
        self.series += writer.series();
        Ok(has_more)
    }

    /// Writes a small part, or begins one with many rows.
    fn begin(&mut self, part: Part, writer: &mut Writer<'_>) {
        self.rows = Rows::None;
        match part {
            Part::PauseRetirement => self.pause = Some(self.stats.pause_retirement(self.now)),
            Part::Family(declared) if self.names.contains(declared.family.name) => self.begin_family(declared, writer),
            Part::Family(_) => {}
            Part::Own => {
                let wanted = |name: &str| self.names.contains(name);
                let mut own = self.telemetry.samples(&wanted);
                own.extend(process::samples(&wanted));
                self.rows = Rows::Own { began: process::start(), own: own.into_iter() };
            }
            Part::End => {
                self.pause = None;
                writer.end();
            }
        }
    }

    fn begin_family(&mut self, declared: &'static Declaration, writer: &mut Writer<'_>) {
        let (family, stats): (_, &Stats) = (declared.family, &self.stats);
        match declared.source {
            SampleSource::Value(value) => {
                writer.family(family).sample([], value(stats));
            }
            SampleSource::Samples(write) => write(stats, self.now, &mut writer.family(family)),
            SampleSource::Mix(chat) => {
                let mut rows = writer.family(family);
                for cell in stats.mix(chat) {
                    rows.sample([&*cell.content_type, cell.platform, cell.source], cell.messages);
                }
            }
            SampleSource::ExportedGroups(write) | SampleSource::TrackedGroups(write) => {
                let is_listed = matches!(declared.source, SampleSource::ExportedGroups(_));
                let slots = self.slots.get_or_insert_with(|| match is_listed {
                    true => Slots::Set(stats.exported_set()),
                    false => Slots::Below(stats.group_slots()),
                });
                let rows = GroupRows::begin(family, write, (stats, &*slots), self.now, writer);
                self.rows = rows.map_or(Rows::None, Rows::Groups);
            }
        }
    }

    /// Writes the next row of the current part. Returns whether there was one.
    fn write_row(&mut self, writer: &mut Writer<'_>) -> Result<bool, GroupRemoved> {
        match &mut self.rows {
            Rows::None => return Ok(false),
            Rows::Groups(rows) => match &self.slots {
                Some(slots) => return rows.write_next((&*self.stats, slots), writer),
                None => return Ok(false),
            },
            Rows::Own { began, own } => {
                let Some((family, samples)) = own.next() else { return Ok(false) };
                write_own(family, samples, began.filter(|_| !process::is_older(family)), writer);
            }
        }
        Ok(true)
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
        Samples::Info(values) => {
            rows.sample(values.iter().copied(), 1_u64);
        }
        Samples::ByLabel(mut counts) => {
            counts.sort_unstable();
            for (label, count) in counts {
                rows.sample(target.into_iter().chain([label]), count);
            }
        }
        Samples::Histogram { buckets, sum, count, native } => {
            rows.histogram(target, &Observed { buckets, sum, count, native }, &[]);
        }
        // A target has no targets.
        Samples::ByTarget(_) => {}
    }
}
