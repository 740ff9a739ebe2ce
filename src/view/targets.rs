//! The servers to which callbacks are forwarded. The names are those of the metrics `openim_exporter_forward_...`.

use serde::Serialize;

use super::counts::LabelCounts;
use crate::telemetry::{TargetFigures, Telemetry};

/// A target now.
#[derive(Debug, Serialize)]
pub(super) struct Target {
    name: String,
    /// `closed`, `half_open` or `open`.
    breaker: &'static str,
    /// The outcome of the last delivery or passed-through callback; `None` before the first.
    last_attempt: Option<&'static str>,
    pending_callbacks: u64,
    pending_bytes: u64,
    oldest_pending_age_seconds: u64,
    received: u64,
    delivered: u64,
    dropped: LabelCounts,
    dead_letters: u64,
    answers: LabelCounts,
}

impl From<TargetFigures> for Target {
    fn from(figures: TargetFigures) -> Self {
        Self {
            name: figures.name.as_ref().to_owned(),
            breaker: figures.breaker,
            last_attempt: figures.last_attempt,
            pending_callbacks: figures.pending_callbacks,
            pending_bytes: figures.pending_bytes,
            oldest_pending_age_seconds: figures.oldest_pending_age_seconds,
            received: figures.received,
            delivered: figures.delivered,
            dropped: LabelCounts::of(figures.dropped),
            dead_letters: figures.dead_letters,
            answers: LabelCounts::of(figures.answers),
        }
    }
}

/// All targets, by name.
pub(super) fn targets(telemetry: &Telemetry) -> Vec<Target> {
    telemetry.targets().into_iter().map(Target::from).collect()
}
