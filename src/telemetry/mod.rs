//! The exporter's own metrics, which the `prometheus` crate keeps, and its log.

mod events;
mod family;
mod log;
mod metric;
mod per_thread;
mod reason;
mod state;

pub use events::{FAMILIES, Telemetry};
pub use family::{Family, Kind};
pub use log::{LogFormat, init_log};
pub use reason::Reason;
