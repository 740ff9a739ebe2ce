//! `openim-exporter state`: looks at the state of a running or a stopped exporter, copies it, and changes it.

mod backup;
mod copied;
mod error;
mod export;
mod info;
mod next_start;
mod reset_counters;
mod restore;
mod verify;
mod words;

use std::io::Write;
use std::path::PathBuf;

pub(in crate::app) use error::Error;

use crate::arena::state_path;
use crate::config::{StateAction, StateCommand};

/// Does what the command line says, and writes to `output`.
pub(in crate::app) fn run(command: &StateCommand, output: &mut dyn Write) -> Result<(), Error> {
    let StateCommand { storage, action } = command;
    let directory = || if storage.as_os_str().is_empty() { Err(Error::NoDirectory) } else { Ok(storage.as_path()) };
    let chosen = |file: &Option<_>| match file {
        Some(file) => Ok(PathBuf::clone(file)),
        None => directory().map(state_path),
    };
    match action {
        StateAction::Info(format) => info::print(directory()?, *format, output)?,
        StateAction::Verify { file } => {
            verify::verify(&chosen(file)?, file.is_none().then_some(storage.as_path()), output)?;
        }
        StateAction::Backup { output: to, force } => backup::back_up(&state_path(directory()?), to, *force, output)?,
        StateAction::Export(what) => export::export(&chosen(&what.file)?, what, output)?,
        StateAction::Restore { backup, counters } => {
            restore::restore(backup.as_deref(), directory()?, *counters, output)?;
        }
        StateAction::ResetCounters => {
            reset_counters::request(directory()?)?;
            writeln!(output, "the counters will start from 0 at the next start; groups and windows are kept")?;
        }
    }
    Ok(output.flush()?)
}
