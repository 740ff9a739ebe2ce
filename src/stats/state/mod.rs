//! Statistics in a mapped file, so that they survive the process: opening the file, checking it, converting it into
//! another layout, and closing it.

mod checks;
mod copy;
mod first_version;
#[cfg(feature = "fuzzing")]
mod fuzz;
mod opening;
mod restoring;

use std::path::Path;

use super::recording::{Capacities, Stats};
use super::state_start::StateStart;
use crate::arena::{Boot, Directory, Error, Steps};
use crate::domain::UnixMillis;
use opening::Opening;

pub use copy::{CopyError, Source, StateCopy};

impl Stats {
    /// Opens the statistics in a directory, or creates new ones whose counters start at `now`. Each step is reported
    /// before the next one can fail.
    ///
    /// # Errors
    /// When the directory cannot be used. A state that cannot be used is not an error: it is renamed.
    pub fn open(
        path: &Path,
        capacities: Capacities,
        boot: Boot,
        now: UnixMillis,
        steps: Steps<'_>,
    ) -> Result<Self, Error> {
        let directory = Directory::lock(path, steps)?;
        let opening = Opening { directory: &directory, capacities, boot, now, steps };
        let mut stats = opening.open()?;
        stats.directory = Some(directory);
        Ok(stats)
    }

    /// Records on disk that the state is in use, so that an older copy can be recognized, and returns whether the file
    /// is still at its path. Call it about once a second. Always true in memory.
    #[must_use]
    pub fn check_state_file(&self) -> bool {
        let Some(directory) = &self.directory else { return true };
        directory.set_generation(&self.arena, self.arena.generation().saturating_add(1));
        self.arena.is_at(directory.state())
    }

    /// The path of the state's file; `None` in memory.
    pub(crate) fn state_path(&self) -> Option<&Path> {
        self.directory.as_ref().map(Directory::state)
    }

    /// Writes everything to disk and marks the state as clean. Nothing may be recorded afterwards. If the file was
    /// removed, it is written again. Does nothing in memory.
    ///
    /// # Errors
    /// When the file cannot be written, or another one is at its path.
    pub fn close(&self, now: UnixMillis, steps: Steps<'_>) -> Result<(), Error> {
        let Some(directory) = &self.directory else { return Ok(()) };
        self.arena.close().map_err(|error| {
            directory.io_error("it cannot be written to disk; nothing is lost unless the machine is restarted", error)
        })?;
        if !self.arena.is_at(directory.state()) {
            let written = directory.write_again(&self.arena, now.0, steps);
            return written.map_err(|error| error.into_lost(directory.state()));
        }
        directory.remove_previous(steps);
        Ok(())
    }

    /// Closes the state after a failed start, without removing the previous one. Nothing has been recorded.
    pub(crate) fn abandon(&self) {
        if self.directory.is_some() {
            // Only the failure of the start is reported.
            let _ = self.arena.close();
        }
    }

    /// How the counters started.
    #[must_use]
    pub const fn state_start(&self) -> StateStart {
        self.state_start
    }
}
