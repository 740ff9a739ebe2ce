//! The exporter's own metrics, and its log.

mod events;
mod family;
mod forward;
mod log;
mod log_queue;
mod metric;
mod record;
mod record_reasons;
mod refusals;
mod replicas;
mod state;
mod targets;

pub use events::{Erasure, Telemetry};
pub use family::{Family, Kind, Samples};
pub(crate) use forward::figures::TargetFigures;
pub use forward::{AnswerFailure, Backlog, BreakerState, Outcome, TargetTelemetry, Verdict};
pub use log::LogFormat;
pub(crate) use log::init_log;
pub use record_reasons::{RecordFailure, RecordRemoval};
pub use refusals::Refusal;
pub use replicas::{DamagedPart, ReplicasFailure, ReplicasTelemetry};

/// The families of the exporter's own metrics.
pub(crate) fn families() -> impl Iterator<Item = &'static Family> {
    events::FAMILIES.iter().chain(forward::FAMILIES).chain(replicas::FAMILIES)
}
