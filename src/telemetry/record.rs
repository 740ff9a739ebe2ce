//! Events of the records of callbacks.

use std::io;
use std::path::Path;

use tracing::{debug, info, warn};

use super::events::Telemetry;
use super::record_reasons::{RecordFailure, RecordRemoval};

impl Telemetry {
    /// Callbacks are recorded in this directory.
    pub fn recording(&self, directory: &Path) {
        info!(directory = %directory.display(), "recording callbacks");
    }

    /// Other users may list the directory of the records.
    pub fn record_directory_is_open(&self, directory: &Path, mode: u32) {
        warn!(
            directory = %directory.display(), mode = format!("{mode:o}"),
            "other users have access to the records directory; only its owner should (chmod 700)"
        );
    }

    /// A callback was recorded.
    #[inline]
    pub fn callback_recorded(&self) {
        self.metrics.record_written.inc();
    }

    /// Something failed at a time in milliseconds since the epoch.
    #[cold]
    pub fn record_failed(&self, what: RecordFailure, error: &io::Error, at_ms: i64) {
        let reason = what.name();
        if let Some(counter) = self.metrics.record_failures.get(what) {
            counter.inc_and_log(at_ms, |total| {
                warn!(reason, %error, total, "recording callbacks failed; logged at most once a minute for each reason");
            });
        }
    }

    /// A record file was started.
    pub fn record_file_begun(&self, path: &Path) {
        debug!(path = %path.display(), "a record file was started");
    }

    /// A record file was removed.
    pub fn record_file_removed(&self, limit: RecordRemoval, path: &Path) {
        if let Some(counter) = self.metrics.record_files_removed.get(limit) {
            counter.inc();
        }
        debug!(path = %path.display(), reason = limit.name(), "a record file was removed");
    }

    /// Sets the size of all record files.
    pub fn set_record_bytes(&self, bytes: u64) {
        self.metrics.record_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
