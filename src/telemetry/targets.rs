//! Forwarding targets that are added and removed.

use std::sync::Arc;

use tracing::warn;

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

    /// A spool belongs to no target of the settings.
    pub(crate) fn spool_without_target(&self, name: &str, callbacks: Option<u64>, bytes: u64) {
        warn!(
            target = name,
            callbacks,
            bytes,
            "this spool belongs to no configured target; it is kept, and delivered when a target has this name again"
        );
    }
}
