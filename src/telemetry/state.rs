//! Events of the state.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::Duration;

use tracing::{error, info, warn};

use super::events::Telemetry;

impl Telemetry {
    /// The state is only in memory.
    pub(crate) fn state_in_memory(&self) {
        info!("the state is kept in memory and starts empty; set --storage.path to keep it across restarts");
    }

    /// A state with this many messages was opened.
    pub(crate) fn state_opened(&self, path: &Path, outcome: &str, messages: u64, took: Duration) {
        info!(path = %path.display(), outcome, messages, seconds = took.as_secs_f64(), "state opened");
    }

    /// The kernel's boot ID cannot be read.
    pub(crate) fn boot_id_unknown(&self, path: &str, error: &io::Error) {
        warn!(
            path, %error,
            "the kernel's boot ID cannot be read, so the boot time is used instead: if the clock changes by more than 5 s \
             between a kill and the next start, the counters start from 0"
        );
    }

    /// Other users had access to a file of the state, and no longer have it.
    pub(crate) fn state_mode_restricted(&self, path: &Path) {
        info!(path = %path.display(), "other users had access to this path; its mode was restricted to the owner");
    }

    /// Other users have access to a file of the state.
    pub(crate) fn state_mode_unchanged(&self, path: &Path, reason: &str) {
        warn!(
            path = %path.display(), reason,
            "other users have access to this path, and its mode was not changed; use a separate directory for the state"
        );
    }

    /// The state is on a copy-on-write file system.
    pub(crate) fn state_copy_on_write(&self, path: &Path) {
        warn!(
            path = %path.display(),
            "the state is on a copy-on-write file system, where space cannot be reserved: a full disk kills the exporter; \
             move --storage.path to another file system, or keep space free"
        );
    }

    /// The layout or the capacities of the state differ from this program's, so it is converted.
    pub(crate) fn state_has_other_layout(&self, path: &Path, differences: &str) {
        info!(path = %path.display(), differences, "the state has a different layout and is converted into a new file");
    }

    /// A part of the state is not in the converted one.
    pub(crate) fn state_part_dropped(&self, what: &str) {
        warn!(what, "this version does not know this part of the state, so it is dropped");
    }

    /// All blocks of a new file are reserved.
    pub(crate) fn state_reserved(&self, path: &Path, bytes: u64) {
        info!(path = %path.display(), bytes, "space for the new state is reserved");
    }

    /// The state before a conversion was kept under this name.
    pub(crate) fn state_previous_kept(&self, path: &Path) {
        info!(path = %path.display(), "the previous state is kept until the next graceful shutdown");
    }

    /// The state before a conversion could not be kept.
    pub(crate) fn state_previous_not_kept(&self, path: &Path, reason: &str) {
        warn!(path = %path.display(), reason, "the previous state cannot be kept under this name, so you cannot go back to it");
    }

    /// The state before an earlier conversion was still there, and was removed.
    pub(crate) fn state_previous_replaced(&self, path: &Path) {
        warn!(
            path = %path.display(),
            "the state before an earlier conversion still had this name; it was removed, so you cannot go back to it"
        );
    }

    /// A file of an earlier state or start was removed.
    pub(crate) fn state_file_removed(&self, path: &Path) {
        info!(path = %path.display(), "a file from an earlier state or start was removed");
    }

    /// A state that cannot be used, at least not all of it, was renamed.
    pub(crate) fn state_renamed(&self, path: &Path, reason: &str) {
        warn!(aside = %path.display(), reason, "the existing state was renamed to this path");
    }

    /// The state is a copy of one that was closed.
    pub(crate) fn state_restored(&self) {
        warn!(
            "the state is a copy: the counters continue from its numbers. If Prometheus has seen higher ones from this \
             instance, stop the exporter, and run: openim-exporter state reset-counters"
        );
    }

    /// The counters start from 0.
    pub(crate) fn counters_reset(&self, reason: &dyn Display) {
        warn!(%reason, "the counters start from 0; groups and windows are kept");
    }

    /// The state file was missing at shutdown, and was written again.
    pub(crate) fn state_written_again(&self, path: &Path) {
        warn!(path = %path.display(), "the state file was missing and has been written again; nothing is lost");
    }

    /// The state file is no longer at its path: it or its directory was removed or replaced. Called once per change.
    pub fn state_file_missing(&self, path: &Path) {
        self.metrics.state_file_missing.set(1);
        error!(
            path = %path.display(),
            "the state file was removed or replaced: new counts are only in memory, and are lost if the exporter is killed; \
             stop it with SIGTERM, so that it writes them to disk"
        );
    }

    /// The state file is at its path again. Called once per change.
    pub fn state_file_back(&self, path: &Path) {
        self.metrics.state_file_missing.set(0);
        info!(path = %path.display(), "the state file is at its path again");
    }
}
