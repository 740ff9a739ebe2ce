//! Forwarding targets that are added and removed.

use std::fmt::Display;
use std::sync::Arc;

use tracing::{info, warn};

use super::events::Telemetry;
use super::forward::TargetTelemetry;
use super::forward::figures::TargetFigures;

impl Telemetry {
    /// Adds a target's metrics, or returns those that it has.
    pub fn add_target(&self, name: &str) -> Arc<TargetTelemetry> {
        self.targets.add(name)
    }

    /// The numbers of all targets, by name.
    pub(crate) fn targets(&self) -> Vec<TargetFigures> {
        self.targets.figures()
    }

    /// Removes a target's metrics.
    pub(crate) fn remove_target(&self, name: &str) {
        self.targets.remove(name);
    }

    /// A target gets callbacks from now on, with these settings.
    pub(crate) fn forwarding(&self, name: &str, host: &dyn Display, answers: bool) {
        info!(target = name, %host, answers, "forwarding callbacks");
    }

    /// A spool belongs to no target of the settings. If it is empty, this does not matter.
    pub(crate) fn spool_without_target(&self, name: &str, callbacks: u64, bytes: u64) {
        if callbacks > 0 {
            warn!(
                target = name,
                callbacks,
                bytes,
                "this spool belongs to no configured target; it is kept, and delivered when a target has this name again"
            );
        }
    }
}
