//! Records of the callbacks that were received: a line of JSON for each, in files of their own.
//!
//! A serving thread writes a line with one `write` to a file that is open for appending, so it takes no lock. A thread of
//! the records' own does the rest: it begins a new file when the current one is large or the UTC day ends, compresses the
//! old one, removes old files, syncs to disk, and notices if a file or the directory is gone.

mod compression;
mod files;
mod keeper;
mod line;
mod lines;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use parking_lot::Mutex;

use crate::config::{RecordContent, RecordSettings};
use crate::domain::Clock;
use crate::telemetry::{RecordFailure, Telemetry};
use crate::threads::wait_for_end;
use files::Directory;
use keeper::Keeper;
use lines::CurrentLines;

pub use line::Record;

/// The largest buffer that a thread keeps for its next line. Bodies are nearly always smaller.
const MAX_KEPT_BYTES: usize = 1 << 20;

/// The line of a record, with a line break in front.
#[cfg(feature = "fuzzing")]
#[must_use]
pub fn line(record: &Record<'_>, content: RecordContent) -> Vec<u8> {
    let mut line = Vec::new();
    record.write(content, &mut line);
    line
}

/// Writes records of callbacks.
pub struct Recorder {
    current: Arc<CurrentLines>,
    content: RecordContent,
    telemetry: Arc<Telemetry>,
    /// Until it is stopped.
    keeper: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl Recorder {
    /// Starts recording in a directory, which is created if it is missing.
    ///
    /// # Errors
    /// When the directory or a file in it cannot be created, another exporter uses the directory, or no thread can be
    /// started. A full disk is no error: recording begins once there is space.
    pub fn start(
        directory: &Path,
        settings: &RecordSettings,
        telemetry: &Arc<Telemetry>,
        clock: &Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let directory = Directory::lock(directory, telemetry)?;
        let current = Arc::new(CurrentLines::empty());
        let parts = (Arc::clone(&current), Arc::clone(telemetry), Arc::clone(clock));
        let keeper = Keeper::new(directory, settings, parts)?;
        let (stop, stopped) = channel();
        let thread = thread::Builder::new().name("record".to_owned()).spawn(move || keeper.run(&stopped))?;
        let keeper = Mutex::new(Some((stop, thread)));
        Ok(Self { current, content: settings.content, telemetry: Arc::clone(telemetry), keeper })
    }

    /// Appends a record. A failure is counted.
    pub fn append(&self, record: &Record<'_>) {
        thread_local!(static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) });
        let mut line = BUFFER.take();
        record.write(self.content, &mut line);
        let appended = match &*self.current.load() {
            Some(lines) => lines.append(&line).map_err(|error| (lines::failure(&error), error)),
            None => Err((RecordFailure::NoFile, io::ErrorKind::NotFound.into())),
        };
        match appended {
            Ok(()) => self.telemetry.callback_recorded(),
            Err((reason, error)) => self.telemetry.record_failed(reason, &error, record.received.0),
        }
        if line.capacity() <= MAX_KEPT_BYTES {
            BUFFER.set(line);
        }
    }

    /// Stops recording, and syncs what was written to disk. Waits until the deadline at most, because a disk may hang.
    pub fn stop(&self, deadline: Instant) {
        let Some((stop, thread)) = self.keeper.lock().take() else { return };
        drop(stop);
        wait_for_end(&thread, deadline);
    }
}
