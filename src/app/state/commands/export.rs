//! `openim-exporter state export`: the numbers of a state, under the names of the metrics and of the API.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::error::Error;
use crate::app::state::boot::current_boot;
use crate::config::{Export, ExportFormat, ExportTable, Output};
use crate::domain::{Clock as _, SystemClock, UnixMillis};
use crate::exposition::{Sample, for_each_sample};
use crate::stats::{Stats, Step};
use crate::view::{csv, groups, history};

/// Every period of the history.
const EVER: [UnixMillis; 2] = [UnixMillis(0), UnixMillis(i64::MAX)];

/// Only the owner may read an export, because it has group IDs.
const MODE: u32 = 0o600;

/// Writes the numbers of the state in this file.
pub(super) fn export(state: &Path, what: &Export, output: &mut dyn Write) -> Result<(), Error> {
    let is_complete = matches!((what.format, what.table), (ExportFormat::Json, None) | (ExportFormat::Csv, Some(_)));
    if !is_complete {
        return Err(Error::Table);
    }
    let now = SystemClock.now();
    let stats = Arc::new(Stats::copy_of(state, current_boot(now), now)?.stats.in_calendar(what.calendar.clone()));
    let write = |output: &mut dyn Write| match what.table {
        None => write_document(&stats, now, output),
        Some(table) => write_table(&stats, table, now, output),
    };
    match &what.output {
        Output::Standard => Ok(write(&mut BufWriter::new(output))?),
        Output::File(path) => write_file(path, write).map_err(|error| Error::Export(path.clone(), error)),
    }
}

/// Writes a new file, and removes it after an error.
fn write_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut file = BufWriter::new(OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?);
    let written = write(&mut file).and_then(|()| file.into_inner()?.sync_all());
    written.inspect_err(|_| drop(fs::remove_file(path)))
}

/// Everything as one JSON object, which is written as it is read.
#[derive(Serialize)]
struct Document<'a> {
    version: &'static str,
    /// In seconds since the epoch, like `since`. The windows end then.
    exported_at: f64,
    /// When the counters began.
    since: f64,
    time_zone: String,
    metrics: Metrics<'a>,
    #[serde(serialize_with = "all_groups")]
    groups: (&'a Stats, UnixMillis),
    days: Vec<history::Row>,
    hours: Vec<history::Row>,
}

fn write_document(stats: &Arc<Stats>, now: UnixMillis, output: &mut dyn Write) -> io::Result<()> {
    let document = Document {
        version: env!("CARGO_PKG_VERSION"),
        exported_at: now.seconds(),
        since: stats.started().seconds(),
        time_zone: stats.calendar().to_string(),
        metrics: Metrics(stats, now),
        groups: (stats.as_ref(), now),
        days: history::rows(stats, Step::Day, EVER, now),
        hours: history::rows(stats, Step::Hour, EVER, now),
    };
    serde_json::to_writer(&mut *output, &document)?;
    output.write_all(b"\n")?;
    output.flush()
}

fn all_groups<S: Serializer>((stats, now): &(&Stats, UnixMillis), serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(groups::all(stats, *now))
}

struct Metrics<'a>(&'a Arc<Stats>, UnixMillis);

impl Serialize for Metrics<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut samples = serializer.serialize_seq(None)?;
        for_each_sample(self.0, self.1, |sample| samples.serialize_element(&Entry(sample)))?;
        samples.end()
    }
}

/// A sample as JSON.
struct Entry<'a>(Sample<'a>);

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entry = serializer.serialize_map(Some(3))?;
        entry.serialize_entry("name", self.0.name)?;
        entry.serialize_entry("labels", &Labels(self.0))?;
        // Digit for digit as in a scrape.
        entry.serialize_entry("value", &serde_json::from_str::<&RawValue>(self.0.value).ok())?;
        entry.end()
    }
}

struct Labels<'a>(Sample<'a>);

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.pairs())
    }
}

/// A table as CSV: <https://www.rfc-editor.org/rfc/rfc4180>.
fn write_table(stats: &Arc<Stats>, table: ExportTable, now: UnixMillis, output: &mut dyn Write) -> io::Result<()> {
    let periods = |step| history::csv(&history::rows(stats, step, EVER, now), step, stats.calendar());
    match table {
        ExportTable::Metrics => {
            output.write_all(b"name,labels,value\r\n")?;
            for_each_sample(stats, now, |Sample { name, labels, value }| {
                write!(output, "{name},{},{value}\r\n", csv::text(labels))
            })?;
        }
        ExportTable::Groups => {
            output.write_all(groups::Row::CSV.as_bytes())?;
            groups::all(stats, now).try_for_each(|group| output.write_all(group.csv().as_bytes()))?;
        }
        ExportTable::Days => output.write_all(periods(Step::Day).as_bytes())?,
        ExportTable::Hours => output.write_all(periods(Step::Hour).as_bytes())?,
    }
    output.flush()
}
