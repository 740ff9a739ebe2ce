//! The numbers of the targets, for the API and the page.

use std::sync::Arc;

use super::{TargetTelemetry, Targets};

/// The numbers of a target now, which are those of its metrics.
#[derive(Clone, Debug)]
pub(crate) struct TargetFigures {
    pub(crate) name: Arc<str>,
    pub(crate) breaker: &'static str,
    pub(crate) last_attempt: Option<&'static str>,
    pub(crate) pending_callbacks: u64,
    pub(crate) pending_bytes: u64,
    pub(crate) oldest_pending_age_seconds: u64,
    pub(crate) received: u64,
    pub(crate) delivered: u64,
    pub(crate) dropped: Vec<(&'static str, u64)>,
    pub(crate) dead_letters: u64,
    pub(crate) answers: Vec<(&'static str, u64)>,
}

impl Targets {
    /// The numbers of all targets, by name.
    pub(in crate::telemetry) fn figures(&self) -> Vec<TargetFigures> {
        self.0.read().values().map(|target| target.figures()).collect()
    }
}

impl TargetTelemetry {
    fn figures(&self) -> TargetFigures {
        let metrics = &self.metrics;
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        TargetFigures {
            name: Arc::clone(&self.name),
            breaker: match metrics.breaker_state.get() {
                0 => "closed",
                1 => "half_open",
                _ => "open",
            },
            last_attempt: self.last_attempt.name(),
            pending_callbacks: number(metrics.pending_callbacks.get()),
            pending_bytes: number(metrics.pending_bytes.get()),
            oldest_pending_age_seconds: number(metrics.oldest_pending_age.get()),
            received: metrics.received.get(),
            delivered: metrics.delivered.get(),
            dropped: metrics.dropped.counts().collect(),
            dead_letters: number(metrics.dead_letters.get()),
            answers: metrics.answers.counts().collect(),
        }
    }
}
