//! `openim-exporter state`: looks at the state of a running or a stopped exporter, copies it, and changes it.

mod backup;
mod error;
mod export;
mod info;
mod reset_counters;
mod restore;
mod verify;

use std::io::Write;

pub(in crate::app) use error::Error;

use crate::arena::state_path;
use crate::config::{StateAction, StateCommand};

/// Does what the command line says, and writes to `output`.
pub(in crate::app) fn run(command: &StateCommand, output: &mut dyn Write) -> Result<(), Error> {
    let StateCommand { storage, action } = command;
    if storage.as_os_str().is_empty() {
        return Err(Error::NoDirectory);
    }
    let chosen = |file: &Option<_>| file.clone().unwrap_or_else(|| state_path(storage));
    match action {
        StateAction::Info { file } => info::print(&chosen(file), output)?,
        StateAction::Verify { file } => verify::verify(&chosen(file), output)?,
        StateAction::Backup { output: to, force } => backup::back_up(&state_path(storage), to, *force, output)?,
        StateAction::Export { file, format, output: to } => export::export(&chosen(file), *format, to, output)?,
        StateAction::Restore { backup, counters } => restore::restore(backup, storage, *counters, output)?,
        StateAction::ResetCounters => {
            reset_counters::request(storage)?;
            writeln!(output, "the counters will start from 0 at the next start; groups and windows are kept")?;
        }
    }
    Ok(output.flush()?)
}
