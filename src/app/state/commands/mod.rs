//! `openim-exporter state`: looks at the state of a running or a stopped exporter, copies it, and changes it.

mod backup;
mod error;
mod export;
mod info;
mod reset_counters;
mod restore;
mod verify;

use std::io::Write;
use std::path::{Path, PathBuf};

pub(in crate::app) use error::Error;
use jiff::Timestamp;

use super::boot::current_boot;
use crate::arena::state_path;
use crate::config::{StateAction, StateCommand};
use crate::domain::{Clock as _, SystemClock, UnixMillis};
use crate::stats::{StateCopy, Stats};

/// Does what the command line says, and writes to `output`.
pub(in crate::app) fn run(command: &StateCommand, output: &mut dyn Write) -> Result<(), Error> {
    let StateCommand { storage, action } = command;
    let directory = || if storage.as_os_str().is_empty() { Err(Error::NoDirectory) } else { Ok(storage.as_path()) };
    let chosen = |file: &Option<_>| match file {
        Some(file) => Ok(PathBuf::clone(file)),
        None => directory().map(state_path),
    };
    match action {
        StateAction::Info { file } => info::print(&chosen(file)?, output)?,
        StateAction::Verify { file } => verify::verify(&chosen(file)?, output)?,
        StateAction::Backup { output: to, force } => backup::back_up(&state_path(directory()?), to, *force, output)?,
        StateAction::Export { file, format, output: to } => export::export(&chosen(file)?, *format, to, output)?,
        StateAction::Restore { backup, counters } => restore::restore(backup, directory()?, *counters, output)?,
        StateAction::ResetCounters => {
            reset_counters::request(directory()?)?;
            writeln!(output, "the counters will start from 0 at the next start; groups and windows are kept")?;
        }
    }
    Ok(output.flush()?)
}

/// A consistent copy of a state or a backup.
fn copy_of(state: &Path) -> Result<StateCopy, Error> {
    let now = SystemClock.now();
    Ok(Stats::copy_of(state, current_boot(now), now)?)
}

/// A time for people.
fn time(at: UnixMillis) -> String {
    Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |time| format!("{time:.0}"))
}

/// A size for people.
fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes < MIB { format!("{bytes} bytes") } else { format!("{:.1} MiB", bytes as f64 / MIB as f64) }
}
