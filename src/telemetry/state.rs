//! What happens to the state: how it began, and whether its file is still there.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::Duration;

use tracing::{error, info, warn};

use super::events::Telemetry;

impl Telemetry {
    /// The state lives in memory and dies with the process.
    pub fn state_in_memory(&self) {
        info!("the state is kept in memory and starts from nothing; --storage.path keeps it");
    }

    /// A state was opened, with this many messages in it.
    pub fn state_opened(&self, path: &Path, outcome: &str, messages: u64, took: Duration) {
        info!(path = %path.display(), outcome, messages, seconds = took.as_secs_f64(), "state opened");
    }

    /// The kernel's boot ID cannot be read, so the time of the boot is used instead.
    pub fn boot_id_unknown(&self, path: &str, error: &io::Error) {
        warn!(
            path, %error,
            "the kernel's boot ID cannot be read; the time of the boot is used instead: if the clock is set by more than 5 s \
             between a kill and the next start, the counters start from 0"
        );
    }

    /// Others could read or write a file of the state, and cannot any more.
    pub fn state_mode_narrowed(&self, path: &Path) {
        info!(path = %path.display(), "other users had access to this path; its mode was narrowed to its owner");
    }

    /// Others can read or write a file of the state.
    pub fn state_mode_stays(&self, path: &Path, reason: &str) {
        warn!(
            path = %path.display(), reason,
            "other users have access to this, and its mode is left as it is; give the state a directory of its own"
        );
    }

    /// The state is on a file system that writes changed blocks elsewhere.
    pub fn state_copy_on_write(&self, path: &Path) {
        warn!(
            path = %path.display(),
            "the state is on a copy-on-write file system, where no space can be reserved: a full disk ends the exporter; \
             move --storage.path to another file system, or keep space free"
        );
    }

    /// A state has another layout than this program, or other capacities, and will be carried over.
    pub fn state_has_other_layout(&self, path: &Path, differences: &str) {
        info!(path = %path.display(), differences, "the state has another layout and is carried over into a new file");
    }

    /// A part of the state has no place in the new file.
    pub fn state_part_left_out(&self, what: &str) {
        warn!(what, "this part of the state is unknown to this program and is left out");
    }

    /// A new file has all its space.
    pub fn state_reserved(&self, path: &Path, bytes: u64) {
        info!(path = %path.display(), bytes, "the space for the new state is reserved");
    }

    /// The state from before a carry-over has this name.
    pub fn state_previous_kept(&self, path: &Path) {
        info!(path = %path.display(), "the previous state is kept until the next orderly shutdown");
    }

    /// The state from before a carry-over could not be kept.
    pub fn state_previous_not_kept(&self, path: &Path, reason: &str) {
        warn!(path = %path.display(), reason, "the previous state cannot be kept under this name: you cannot go back to it");
    }

    /// A file from before is removed.
    pub fn state_file_removed(&self, path: &Path) {
        info!(path = %path.display(), "a file kept from an earlier state was removed");
    }

    /// A state that cannot be used, or not all of it, has this name.
    pub fn state_set_aside(&self, aside: &Path, reason: &str) {
        warn!(aside = %aside.display(), reason, "the state that was found is set aside under this name");
    }

    /// The state is whole, but is not the file that the exporter used last.
    pub fn state_restored(&self, reason: &str) {
        warn!(
            reason,
            "the state was copied or restored: the counters go on from its numbers, with a new start time, because \
             Prometheus may have seen higher ones"
        );
    }

    /// The counters start from 0.
    pub fn counters_reset(&self, reason: &dyn Display) {
        warn!(%reason, "the counters start from 0; groups and windows stay");
    }

    /// The state's file was missing at the end, and was written again.
    pub fn state_written_again(&self, path: &Path) {
        warn!(path = %path.display(), "the state's file was missing and is written again; nothing is lost");
    }

    /// The state's file is no longer at its path: it or its directory was removed or replaced. Called once per change.
    pub fn state_file_missing(&self, path: &Path) {
        self.metrics.state_file_missing.set(1);
        error!(
            path = %path.display(),
            "the state's file is missing: what is counted is kept in memory only, and a kill loses it; stop the exporter \
             with SIGTERM, and it writes the file again"
        );
    }

    /// The state's file is at its path again. Called once per change.
    pub fn state_file_back(&self, path: &Path) {
        self.metrics.state_file_missing.set(0);
        info!(path = %path.display(), "the state's file is at its path again");
    }
}
