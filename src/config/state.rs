//! `state`'s flags and settings.

use std::ffi::OsString;
use std::path::{self, PathBuf};

use clap::{Args, Subcommand};

use super::flag::{STORAGE_FLAG, variable};
use super::parse::{absolute_path, calendar, name_of};
use crate::domain::Calendar;
use crate::named::named;

/// Look at an exporter's state, back it up, restore it, export it, or reset its counters
///
/// `info`, `verify`, `backup` and `export` only read. They may be used while the exporter runs: they read a consistent copy
/// of its state, in which all totals agree, and neither stop it nor slow it down. For `restore` and `reset-counters`, stop
/// it first. Run these commands as the exporter's user or as root.
#[derive(Subcommand)]
#[command(after_help = "Examples:\n  \
    openim-exporter state verify\n  \
    openim-exporter state backup --output /backup/openim-exporter.state\n  \
    openim-exporter state restore /backup/openim-exporter.state")]
pub(super) enum StateFlags {
    /// Print what a state contains, whether it is in use, and what the next start does with it
    ///
    /// Also lists the files beside it and the spools. Reads the whole file.
    Info {
        #[command(flatten)]
        place: Place,
        /// The format: text for people, json for scripts
        #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = name_of::<InfoFormat>())]
        format: InfoFormat,
    },
    /// Check that a state or a backup is complete and its numbers agree; status 0 if so
    ///
    /// Makes the checks that a start makes, and changes nothing.
    Verify {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        file: StateFile,
    },
    /// Write a consistent copy of the state, even while the exporter runs
    ///
    /// The copy gets its name when it is complete, checked and on disk. Only its owner may read it (mode 0600).
    Backup {
        #[command(flatten)]
        place: Place,
        /// The new file; `-` is standard output
        #[arg(long, value_name = "FILE")]
        output: OsString,
        /// Replace the file if it exists
        #[arg(long)]
        force: bool,
    },
    /// Write the numbers of a state as JSON or CSV
    ///
    /// The names and numbers are those of /metrics and of the API. The windows end at the time of the export.
    Export {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        file: StateFile,
        /// The format: json for everything in one object, csv for one table
        #[arg(long, value_name = "FORMAT", default_value = "json", value_parser = name_of::<ExportFormat>())]
        format: ExportFormat,
        /// The table, for csv
        #[arg(long, value_name = "TABLE", value_parser = name_of::<ExportTable>())]
        table: Option<ExportTable>,
        /// The new file; `-` is standard output
        #[arg(long, value_name = "FILE", default_value = "-")]
        output: OsString,
        /// Time zone of the calendar days; give the same as the exporter's
        #[arg(long = TIME_ZONE, value_name = "ZONE", default_value = "UTC", env = variable(TIME_ZONE))]
        #[arg(value_parser = zone)]
        calendar: Calendar,
    },
    /// Put a backup in the place of the state; the present state is kept under another name
    ///
    /// Checks the backup first, and that there is space for it. If that fails, nothing is changed. Prints what the next
    /// start does with the counters.
    Restore {
        #[command(flatten)]
        place: Place,
        /// The backup: a state or a copy of one; `-` is standard input
        #[arg(value_name = "FILE")]
        backup: OsString,
        /// What the counters do at the next start: continue from the backup's values (keep), or start from 0 (reset)
        ///
        /// If a counter continues from a lower value than Prometheus has seen, Prometheus adds the whole value again.
        /// With `auto`, the counters continue only if the backup is of an exporter that was stopped, and this directory
        /// has had no later state; otherwise they start from 0.
        #[arg(long, value_name = "WHAT", default_value = "auto", value_parser = name_of::<RestoredCounters>())]
        counters: RestoredCounters,
    },
    /// Reset the counters at the next start; groups and windows are kept
    ///
    /// For a backup that was copied to another directory or machine: Prometheus may have seen higher counters, and would
    /// add the restored ones again. `restore` does this itself. If an older state is put into the same directory, the
    /// exporter resets the counters itself.
    ResetCounters {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Args)]
pub(super) struct Place {
    /// Directory of the exporter's state
    #[arg(long = STORAGE_FLAG, value_name = "DIR", default_value = "data/", env = variable(STORAGE_FLAG))]
    #[arg(value_parser = absolute_path())]
    storage: PathBuf,
}

#[derive(Args)]
pub(super) struct StateFile {
    /// A state or a backup [default: the state in --storage.path]
    #[arg(value_name = "FILE", value_parser = absolute_path())]
    file: Option<PathBuf>,
}

named! {
    /// How information is printed.
    pub enum InfoFormat {
        /// For people.
        Text = "text",
        /// One JSON object.
        Json = "json",
    }
}

named! {
    /// How numbers are exported.
    pub enum ExportFormat {
        /// One JSON object.
        Json = "json",
        /// Comma-separated values.
        Csv = "csv",
    }
}

named! {
    /// A table that can be exported as CSV.
    pub enum ExportTable {
        /// The samples of `/metrics`.
        Metrics = "metrics",
        /// All tracked groups.
        Groups = "groups",
        /// The calendar days of the history.
        Days = "days",
        /// The hours of the history.
        Hours = "hours",
    }
}

named! {
    /// What happens to the counters of a restored backup.
    pub enum RestoredCounters {
        /// They continue only if nothing was counted after the backup.
        Auto = "auto",
        /// They start from 0.
        Reset = "reset",
        /// They continue from the backup's values.
        Keep = "keep",
    }
}

/// Where a command writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To standard output.
    Standard,
    /// To this file.
    File(PathBuf),
}

impl From<OsString> for Output {
    fn from(path: OsString) -> Self {
        if path == "-" { Self::Standard } else { Self::File(path::absolute(&path).unwrap_or_else(|_| path.into())) }
    }
}

/// What to do with which state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateCommand {
    /// Directory of the exporter's state.
    pub storage: PathBuf,
    /// What to do.
    pub action: StateAction,
}

/// What to do with a state. A `file` of `None` is the state in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateAction {
    /// Print what it contains.
    Info(InfoFormat),
    /// Check it.
    Verify {
        /// The state or backup.
        file: Option<PathBuf>,
    },
    /// Write a consistent copy.
    Backup {
        /// The copy.
        output: Output,
        /// Replace an existing file.
        force: bool,
    },
    /// Write its numbers.
    Export(Export),
    /// Put a backup in its place.
    Restore {
        /// The backup; `None` is standard input.
        backup: Option<PathBuf>,
        /// What happens to the counters.
        counters: RestoredCounters,
    },
    /// Reset its counters at the next start.
    ResetCounters,
}

/// What to export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The state or backup; `None` is the state in the directory.
    pub file: Option<PathBuf>,
    /// How.
    pub format: ExportFormat,
    /// The part that is exported; `None` is everything.
    pub table: Option<ExportTable>,
    /// Where.
    pub output: Output,
    /// The calendar of the days.
    pub calendar: Calendar,
}

/// The flag of `serve`.
const TIME_ZONE: &str = "stats.time-zone";

/// An empty variable counts as unset.
fn zone(name: &str) -> Result<Calendar, &'static str> {
    if name.is_empty() { Ok(Calendar::default()) } else { calendar(name) }
}

impl StateFlags {
    pub(super) fn check(self) -> StateCommand {
        let (Place { storage }, action) = match self {
            Self::Info { place, format } => (place, StateAction::Info(format)),
            Self::Verify { place, file } => (place, StateAction::Verify { file: file.file }),
            Self::Backup { place, output, force } => (place, StateAction::Backup { output: output.into(), force }),
            Self::Export { place, file, format, table, output, calendar } => {
                let export = Export { file: file.file, format, table, output: output.into(), calendar };
                (place, StateAction::Export(export))
            }
            Self::Restore { place, backup, counters } => {
                let backup = match backup.into() {
                    Output::Standard => None,
                    Output::File(path) => Some(path),
                };
                (place, StateAction::Restore { backup, counters })
            }
            Self::ResetCounters { place } => (place, StateAction::ResetCounters),
        };
        StateCommand { storage, action }
    }
}
