//! Where log lines go, and their format.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `level=info msg=... key=value`.
    Logfmt,
    /// One JSON object per line.
    Json,
}

/// Writes the process's log to standard error from now on.
///
/// # Errors
/// If the process already has a log.
pub(crate) fn init_log(level: LevelFilter, format: LogFormat) -> Result<(), TryInitError> {
    // Only our own events: those of a library may quote what a client sent, including the secret in its path.
    let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    let registry = tracing_subscriber::registry().with(ours);
    match format {
        LogFormat::Logfmt => {
            let lines = tracing_logfmt::builder().with_target(false).layer();
            registry.with(lines.with_writer(std::io::stderr)).try_init()
        }
        LogFormat::Json => {
            let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false);
            registry.with(lines.with_writer(std::io::stderr)).try_init()
        }
    }
}
