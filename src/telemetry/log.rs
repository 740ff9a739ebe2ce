//! The log: its lines, their format, and the filter by level.

use std::fmt::Debug;
use std::sync::Arc;
use std::{io, panic, thread};

use jiff::Timestamp;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber, error};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use super::events::Telemetry;
use super::log_queue::LogQueue;

/// The format of a log line. In both, the keys are `ts`, `level`, `message`, and those of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `level=info message=... key=value`. A value is quoted and escaped as in JSON where it needs to be.
    Logfmt,
    /// One JSON object per line.
    Json,
}

/// Starts to write the process's events and panics to standard error.
///
/// # Errors
/// If the thread that writes the lines cannot start.
pub(crate) fn init_log(level: LevelFilter, format: LogFormat, telemetry: &Arc<Telemetry>) -> io::Result<Arc<LogQueue>> {
    let queue = Arc::new(LogQueue::start(io::stderr(), telemetry)?);
    let lines = Lines { format, queue: Arc::clone(&queue) };
    // Only our own events: a library's events may contain what a client sent, including the secret in its path.
    let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    // This fails only if the process already has a log.
    if tracing_subscriber::registry().with(ours).with(lines).try_init().is_ok() {
        // The default hook waits for standard error.
        panic::set_hook(Box::new(|panic| {
            let thread = thread::current().name().unwrap_or_default().to_owned();
            error!(thread, %panic, "a thread panicked; please report this as a bug");
        }));
    }
    Ok(queue)
}

/// Formats events as lines and queues them.
struct Lines {
    format: LogFormat,
    queue: Arc<LogQueue>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        fields.add("ts", format!("{:.3}", Timestamp::now()));
        fields.add("level", event.metadata().level().as_str().to_ascii_lowercase());
        event.record(&mut fields);
        self.queue.push(fields.line(self.format));
    }
}

/// The fields of a line, in order.
#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn add(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.push((key, value.into()));
    }

    fn line(&self, format: LogFormat) -> String {
        let fields = self.0.iter().map(|(key, value)| match (format, value) {
            (LogFormat::Json, _) => format!("\"{key}\":{value}"),
            (LogFormat::Logfmt, Value::String(text)) if is_plain(text) => format!("{key}={text}"),
            (LogFormat::Logfmt, _) => format!("{key}={value}"),
        });
        let fields: Vec<_> = fields.collect();
        match format {
            LogFormat::Logfmt => fields.join(" ") + "\n",
            LogFormat::Json => format!("{{{}}}\n", fields.join(",")),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), value);
    }
}

/// Whether a string needs no quotes in logfmt.
fn is_plain(text: &str) -> bool {
    let is_special = |char: char| char.is_control() || matches!(char, ' ' | '"' | '=' | '\\');
    !text.is_empty() && !text.contains(is_special)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_and_escaped_where_they_need_to_be() {
        let mut fields = Fields::default();
        for (key, text) in [("plain", "it's-1:2/x"), ("empty", ""), ("spaces", "a b"), ("hostile", "a=\"\n\\\u{1b}[0m")]
        {
            fields.add(key, text);
        }
        fields.add("number", 7);
        let logfmt = "plain=it's-1:2/x empty=\"\" spaces=\"a b\" hostile=\"a=\\\"\\n\\\\\\u001b[0m\" number=7\n";
        assert_eq!(fields.line(LogFormat::Logfmt), logfmt);
        let json: Value = serde_json::from_str(&fields.line(LogFormat::Json)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "plain": "it's-1:2/x", "empty": "", "spaces": "a b", "hostile": "a=\"\n\\\u{1b}[0m", "number": 7
            })
        );
    }
}
