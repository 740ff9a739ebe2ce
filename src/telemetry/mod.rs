//! The exporter about itself: its own metrics, kept by the `prometheus` crate, and its log.
//!
//! One function for each thing that can happen; it moves the metric and writes the event, so that the two agree. The
//! metrics' names are not here: whoever makes a [`Telemetry`] says what each is called.

mod callbacks;
mod log;
mod reason;
mod state;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, proto};
use tracing::{debug, error, info, warn};

use callbacks::Callbacks;

pub use log::{LogFormat, init_log};
pub use reason::Reason;

/// The exporter's own metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// Callbacks taken, by command.
    Callbacks,
    /// Requests refused, by reason.
    Rejected,
    /// Connections that could not be accepted.
    AcceptFailures,
    /// TLS handshakes that failed.
    HandshakeFailures,
    /// When the server's certificate expires.
    CertificateExpiry,
    /// Whether the settings' files could be used when they were last read.
    LastReloadSuccessful,
    /// How often they could not.
    ReloadFailures,
    /// How long callbacks took to answer.
    Duration,
    /// Callbacks being answered.
    InFlight,
    /// Open connections.
    Connections,
    /// Connections that were ended for their silence, and answers that were not read in time.
    ConnectionsEnded,
    /// When the last callback was taken.
    LastCallback,
    /// How long scrapes took to write.
    ScrapeDuration,
    /// Series in the last scrape.
    ScrapeSeries,
    /// Whether the state's file is missing at its path.
    StateFileMissing,
    /// What this program is.
    BuildInfo,
}

/// A metric's name, its help, and the names of its labels.
pub type Description = (&'static str, &'static str, &'static [&'static str]);

/// Upper bounds in seconds of a scrape's duration: a few series to a million.
const SCRAPE_BOUNDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// The same kind of refusal is logged once in this time; the counter has them all.
const REPEAT_LOG_AFTER_MS: u64 = 60_000;

/// The exporter's own metrics and log events.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    callbacks: Callbacks,
    rejected: Vec<Repeated>,
    accept_failures: Repeated,
    handshake_failures: Repeated,
    certificate_expiry: IntGauge,
    last_reload_successful: IntGauge,
    reload_failures: IntCounter,
    in_flight: IntGauge,
    connections: IntGauge,
    /// Connections that were silent for too long.
    idle: IntCounter,
    /// Answers that were not read in time.
    unread: IntCounter,
    scrape_duration: Histogram,
    scrape_series: IntGauge,
    state_file_missing: IntGauge,
}

/// Something that goes wrong again and again: all of it is counted, and once a minute it is logged.
#[derive(Debug)]
struct Repeated {
    counter: IntCounter,
    /// When it was logged last, in milliseconds since the epoch.
    logged_at: AtomicU64,
}

impl Repeated {
    const fn new(counter: IntCounter) -> Self {
        Self { counter, logged_at: AtomicU64::new(0) }
    }

    /// Counts it, at a time in milliseconds since the epoch, and has it logged, with the total, if that is due.
    fn happened(&self, at_ms: i64, log: impl FnOnce(u64)) {
        self.counter.inc();
        let now = at_ms.unsigned_abs();
        let logged_at = self.logged_at.load(Ordering::Relaxed);
        let due = logged_at == 0 || now.abs_diff(logged_at) >= REPEAT_LOG_AFTER_MS;
        let mine = || self.logged_at.compare_exchange(logged_at, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if due && mine() {
            log(self.counter.get());
        }
    }
}

impl Telemetry {
    /// Makes and registers the metrics. `describe` names them, `commands` are the values that are known in advance of
    /// the label of [`Own::Callbacks`].
    ///
    /// # Errors
    /// When a name or label is not valid, or is used twice.
    pub fn new(describe: impl Fn(Own) -> Description, commands: &'static [&'static str]) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let opts = |own| {
            let (name, help, _) = describe(own);
            Opts::new(name, help)
        };
        let callbacks = Callbacks::new(&describe, commands)?;
        let rejections = IntCounterVec::new(opts(Own::Rejected), describe(Own::Rejected).2)?;
        let rejected = Reason::ALL
            .iter()
            .map(|reason| Ok(Repeated::new(rejections.get_metric_with_label_values(&[reason.name()])?)))
            .collect::<prometheus::Result<_>>()?;
        let ended = IntCounterVec::new(opts(Own::ConnectionsEnded), describe(Own::ConnectionsEnded).2)?;
        let scrape_duration = HistogramOpts::from(opts(Own::ScrapeDuration)).buckets(SCRAPE_BOUNDS.to_vec());
        let telemetry = Self {
            callbacks,
            rejected,
            accept_failures: Repeated::new(IntCounter::with_opts(opts(Own::AcceptFailures))?),
            handshake_failures: Repeated::new(IntCounter::with_opts(opts(Own::HandshakeFailures))?),
            certificate_expiry: IntGauge::with_opts(opts(Own::CertificateExpiry))?,
            last_reload_successful: IntGauge::with_opts(opts(Own::LastReloadSuccessful))?,
            reload_failures: IntCounter::with_opts(opts(Own::ReloadFailures))?,
            in_flight: IntGauge::with_opts(opts(Own::InFlight))?,
            connections: IntGauge::with_opts(opts(Own::Connections))?,
            idle: ended.get_metric_with_label_values(&["idle"])?,
            unread: ended.get_metric_with_label_values(&["unread"])?,
            scrape_duration: Histogram::with_opts(scrape_duration)?,
            scrape_series: IntGauge::with_opts(opts(Own::ScrapeSeries))?,
            state_file_missing: IntGauge::with_opts(opts(Own::StateFileMissing))?,
            registry,
        };
        telemetry.register(Box::new(rejections))?;
        telemetry.register(Box::new(ended))?;
        telemetry.register(Box::new(build_info(&describe)?))?;
        telemetry.register_own()?;
        telemetry.last_reload_successful.set(1);
        Ok(telemetry)
    }

    fn register_own(&self) -> prometheus::Result<()> {
        self.register(Box::new(self.callbacks.clone()))?;
        self.register(Box::new(self.accept_failures.counter.clone()))?;
        self.register(Box::new(self.handshake_failures.counter.clone()))?;
        self.register(Box::new(self.certificate_expiry.clone()))?;
        self.register(Box::new(self.last_reload_successful.clone()))?;
        self.register(Box::new(self.reload_failures.clone()))?;
        self.register(Box::new(self.in_flight.clone()))?;
        self.register(Box::new(self.connections.clone()))?;
        self.register(Box::new(self.scrape_duration.clone()))?;
        self.register(Box::new(self.scrape_series.clone()))?;
        self.register(Box::new(self.state_file_missing.clone()))?;
        self.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
    }

    fn register(&self, collector: Box<dyn Collector>) -> prometheus::Result<()> {
        self.registry.register(collector)
    }

    /// The metrics at this moment.
    #[must_use]
    pub fn gather(&self) -> Vec<proto::MetricFamily> {
        self.registry.gather()
    }

    /// Callbacks taken, by command.
    pub fn callbacks(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.callbacks.by_command()
    }

    /// Requests refused, by reason.
    pub fn rejections(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Reason::ALL.iter().zip(&self.rejected).map(|(reason, rejections)| (reason.name(), rejections.counter.get()))
    }

    /// When the last callback was taken, in milliseconds since the epoch; 0 before the first.
    #[must_use]
    pub fn last_callback_ms(&self) -> i64 {
        self.callbacks.last_ms()
    }

    /// A callback was taken at a time in milliseconds since the epoch. `command` is the position of a known one.
    #[inline]
    pub fn callback_taken(&self, command: Option<usize>, at_ms: i64) {
        self.callbacks.taken(command, at_ms);
    }

    /// A callback's answer was written, this long after its head was read.
    #[inline]
    pub fn callback_answered(&self, after: Duration) {
        self.callbacks.answered(after);
    }

    /// A request was refused at a time in milliseconds since the epoch.
    pub fn request_rejected(&self, reason: Reason, detail: &str, at_ms: i64) {
        debug!(reason = reason.name(), detail, "request refused");
        if let Some(rejections) = self.rejected.get(reason as usize) {
            rejections.happened(at_ms, |total| {
                warn!(
                    reason = reason.name(),
                    detail, total, "request refused; the next for this reason is logged in a minute"
                );
            });
        }
    }

    /// TLS could not be agreed upon with a client, at a time in milliseconds since the epoch.
    pub fn tls_handshake_failed(&self, error: &std::io::Error, at_ms: i64) {
        debug!(%error, "TLS handshake failed");
        self.handshake_failures.happened(at_ms, |total| {
            warn!(%error, total, "TLS handshake failed; the next is logged in a minute");
        });
    }

    /// A connection was ended because it was silent for too long.
    pub fn connection_idle(&self) {
        self.idle.inc();
        debug!("a connection was silent for too long, and is ended");
    }

    /// An answer was not read in time; its connection, or over HTTP/2 its request, is ended.
    pub fn answer_unread(&self) {
        self.unread.inc();
        debug!("an answer was not read in time, and is cut off");
    }

    /// When the server's certificate expires, in seconds since the epoch; `None` without TLS.
    pub fn certificate_expires(&self, at: Option<i64>) {
        self.certificate_expiry.set(at.unwrap_or_default());
    }

    /// The settings can be used, and will not do.
    pub fn settings_doubtful(&self, problem: &dyn std::fmt::Display) {
        warn!(%problem, "serving all the same");
    }

    /// The settings' files were read again and are in effect.
    pub fn settings_reloaded(&self) {
        self.last_reload_successful.set(1);
        info!("the settings' files have been read again and are in effect");
    }

    /// The settings' files were read again and cannot be used.
    pub fn settings_kept(&self, error: &dyn std::fmt::Display) {
        self.last_reload_successful.set(0);
        self.reload_failures.inc();
        warn!(%error, "the settings' files cannot be used; those read before stay in effect");
    }

    /// What the connections are doing, just before the metrics are read.
    pub fn connections_are(&self, open: usize, in_flight: usize) {
        self.connections.set(i64::try_from(open).unwrap_or(i64::MAX));
        self.in_flight.set(i64::try_from(in_flight).unwrap_or(i64::MAX));
    }

    /// A scrape was written to its end, which took this long without the waiting for its reader.
    pub fn scraped(&self, series: usize, took: Duration) {
        self.scrape_series.set(i64::try_from(series).unwrap_or(i64::MAX));
        self.scrape_duration.observe(took.as_secs_f64());
        debug!(series, seconds = took.as_secs_f64(), "scrape written");
    }

    /// The same of a scrape of every tracked group. The number of series is that of the ordinary scrape only: a gauge
    /// that went to and fro between the two would tell nothing.
    pub fn groups_scraped(&self, series: usize, took: Duration) {
        self.scrape_duration.observe(took.as_secs_f64());
        debug!(series, seconds = took.as_secs_f64(), "scrape of all groups written");
    }

    /// The process serves now.
    pub fn serving(&self, address: std::net::SocketAddr, threads: usize) {
        info!(version = env!("CARGO_PKG_VERSION"), %address, threads, "serving");
    }

    /// A connection could not be accepted, at a time in milliseconds since the epoch.
    pub fn accept_failed(&self, failure: &std::io::Error, at_ms: i64) {
        debug!(%failure, "a connection could not be accepted");
        self.accept_failures.happened(at_ms, |total| {
            warn!(
                %failure, total,
                "connections cannot be accepted and wait; is the limit of open files (LimitNOFILE) too low? The next \
                 is logged in a minute"
            );
        });
    }

    /// The limit of open files, at the start, beside the limit of connections.
    pub fn open_files_are(&self, most: u64, connections: usize) {
        debug!(most, "limit of open files");
        if most <= connections as u64 {
            warn!(
                open_files = most,
                connections,
                "the hard limit of open files is below the limit of connections; raise it (LimitNOFILE, ulimit -Hn)"
            );
        }
    }

    /// The limit of open files could not be raised.
    pub fn open_files_stay(&self, failure: &std::io::Error) {
        warn!(%failure, "the limit of open files could not be raised");
    }

    /// A signal asked for the end; connections are told to close.
    pub fn draining(&self, signal: &str) {
        info!(signal, "draining: no new connections; open ones are answered and told to close");
    }

    /// The end of a thread that served, with the connections that had to be cut off.
    pub fn drained(&self, cut_off: usize) {
        if cut_off > 0 {
            warn!(connections = cut_off, "connections were still open at the end of the drain and are cut off");
        }
    }

    /// The process is about to end; `messages` is the total that it counted.
    pub fn stopped(&self, messages: u64) {
        info!(messages, callbacks = self.callbacks.total(), "stopped");
    }

    /// Something that the process cannot go on after.
    pub fn failed(&self, failure: &dyn std::fmt::Display) {
        error!(%failure, "failed");
    }
}

/// A constant 1 whose label says the version.
fn build_info(describe: &impl Fn(Own) -> Description) -> prometheus::Result<IntGauge> {
    let (name, help, labels) = describe(Own::BuildInfo);
    let values = [env!("CARGO_PKG_VERSION")];
    let opts =
        labels.iter().zip(values).fold(Opts::new(name, help), |opts, (label, value)| opts.const_label(*label, value));
    let gauge = IntGauge::with_opts(opts)?;
    gauge.set(1);
    Ok(gauge)
}
