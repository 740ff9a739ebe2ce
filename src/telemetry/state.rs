//! What happens to the state: how it began, and whether its file is still there.

use std::path::Path;
use std::time::Duration;

use tracing::{error, info, warn};

use super::Telemetry;

impl Telemetry {
    /// The state lives in memory and dies with the process.
    pub fn state_in_memory(&self) {
        info!("the state is kept in memory and starts from nothing; --storage.path keeps it");
    }

    /// A state was opened, with this many messages in it.
    pub fn state_opened(&self, path: &Path, outcome: &str, messages: u64, took: Duration) {
        info!(path = %path.display(), outcome, messages, seconds = took.as_secs_f64(), "state opened");
    }

    /// A state could not be used and was renamed; counting starts from nothing.
    pub fn state_set_aside(&self, aside: &Path, damage: &dyn std::fmt::Display) {
        warn!(
            aside = %aside.display(), %damage,
            "the state could not be used and is set aside; the counters start from 0"
        );
    }

    /// A state was moved into other capacities: of groups, and of pairs of a group and a sender.
    pub fn state_carried_over(&self, from: (usize, usize), to: (usize, usize)) {
        info!(
            groups_before = from.0,
            groups = to.0,
            sender_pairs_before = from.1,
            sender_pairs = to.1,
            "the state was carried over into other capacities"
        );
    }

    /// The state's file is no longer at its path: it or its directory was removed or replaced. Called once per change.
    pub fn state_file_missing(&self, path: &Path) {
        self.state_file_missing.set(1);
        error!(
            path = %path.display(),
            "the state's file is missing: what is counted is kept in memory only, and a kill loses it; stop the exporter \
             with SIGTERM, and it writes the file again"
        );
    }

    /// The state's file is at its path again. Called once per change.
    pub fn state_file_back(&self, path: &Path) {
        self.state_file_missing.set(0);
        info!(path = %path.display(), "the state's file is at its path again");
    }
}
