//! The exporter's own metrics, and its log.

mod events;
mod family;
mod log;
mod log_queue;
mod metric;
mod refusals;
mod state;

pub(crate) use events::FAMILIES;
pub use events::Telemetry;
pub use family::{Family, Kind, Samples};
pub use log::LogFormat;
pub(crate) use log::init_log;
pub use refusals::Refusal;
