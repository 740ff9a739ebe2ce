//! What happens in the exporter: each event has one function, which counts it and logs it.
//!
//! A new metric that starts with the process needs a row in the table below, sorted by name, and a function that
//! updates it. The metrics of the targets of forwarding are in `telemetry/forward.rs`, those of the union with other
//! exporters in `telemetry/replicas.rs`. Then run `UPDATE_DOCS=1 cargo test --test docs`. If no dashboard shows the
//! metric, add it to `UNUSED` in `tests/dashboards.rs`; if it stays 0 in the simulated days, add it to `ALWAYS_ZERO` in
//! `tests/simulated_days/main.rs`.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::family::{Family, Samples};
use super::forward::Targets;
use super::metric::{BusyCounter, Counter, CounterVec, DurationBuckets, Durations, Gauge, Info, Metric, metrics};
use super::record_reasons::{RecordFailure, RecordRemoval};
use super::refusals::{Refusal, Refusals};
use super::replicas::{self, ReplicasTelemetry};
use crate::domain::{Chat, MessageSource, Stage, build};
use crate::named::named;
use crate::native::NativeBuckets;

/// The native buckets of all durations: from a microsecond to a minute.
const NATIVE: Option<NativeBuckets> = Some(NativeBuckets::between_powers(-20, 6));

/// The buckets of callback durations: the classic ones up to 5 s, when OpenIM gives up.
const CALLBACK: &DurationBuckets = &DurationBuckets {
    bounds_us: &[
        50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000,
        5_000_000,
    ],
    native: NATIVE,
};

/// The buckets of scrape durations: from a few series to a million.
const SCRAPE: &DurationBuckets = &DurationBuckets {
    bounds_us: &[1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000],
    native: NATIVE,
};

/// How the exporter was built.
const BUILD: &[&str] = &[build::VERSION, build::REVISION, build::RUSTC];

// In the order of a scrape.
metrics! {
    /// The metrics that start with the process. Counters and histograms say so in their help.
    struct Metrics;

    /// Failures to accept a connection since the process started, usually because the open file limit is too low.
    accept_failures: Counter = "openim_exporter_accept_failures_total" [];
    /// Build information; always 1.
    build_info: Info = "openim_exporter_build_info" ["version", "revision", "rustc"] (BUILD);
    /// Time from the last byte of a callback to its answer, since the process started.
    callback_duration: Durations = "openim_exporter_callback_duration_seconds" [] (CALLBACK);
    /// Time from the first to the last byte of a callback, since the process started. Over HTTP/2, from the end of its head.
    callback_receive: Durations = "openim_exporter_callback_receive_seconds" [] (CALLBACK);
    /// Callbacks being read or answered.
    in_flight: Gauge = "openim_exporter_callbacks_in_flight" [];
    /// Whether the settings files could be used when they were last read: 1 or 0.
    last_reload_successful: Gauge = "openim_exporter_config_last_reload_successful" [];
    /// Failed reloads of the settings files since the process started.
    reload_failures: Counter = "openim_exporter_config_reload_failures_total" [];
    /// Open connections.
    connections: Gauge = "openim_exporter_connections" [];
    /// Connections closed because they were idle, and answers cut off, by reason, since the process started.
    ended: CounterVec<Ended> = "openim_exporter_connections_ended_total" ["reason"];
    /// Groups and people erased on request since the process started.
    erasures: CounterVec<Erasure> = "openim_exporter_erasures_total" ["kind"];
    /// Viewers of the live page.
    live_viewers: Gauge = "openim_exporter_live_viewers" [];
    /// Log lines dropped since the process started, because standard error did not accept them.
    log_lines_dropped: Counter = "openim_exporter_log_lines_dropped_total" [];
    /// Size of all record files, in bytes.
    record_bytes: Gauge = "openim_exporter_record_bytes" [];
    /// Failures to record a callback or to maintain the record files, since the process started.
    record_failures: CounterVec<RecordFailure> = "openim_exporter_record_failures_total" ["reason"];
    /// Record files removed because of their age or their total size, since the process started.
    record_files_removed: CounterVec<RecordRemoval> = "openim_exporter_record_files_removed_total" ["reason"];
    /// Callbacks recorded since the process started.
    record_written: BusyCounter = "openim_exporter_record_written_total" [];
    /// Time taken to write a scrape, since the process started.
    scrape_duration: Durations = "openim_exporter_scrape_duration_seconds" [] (SCRAPE);
    /// Series in the previous scrape.
    scrape_series: Gauge = "openim_exporter_scrape_series" [];
    /// 1 while the state file is not at its path, because it or its directory was removed or replaced; otherwise 0.
    state_file_missing: Gauge = "openim_exporter_state_file_missing" [];
    /// Expiry time of the TLS certificate, in seconds since the epoch; 0 without TLS.
    certificate_expiry: Gauge = "openim_exporter_tls_certificate_expiry_timestamp_seconds" [];
    /// Failed TLS handshakes since the process started.
    handshake_failures: Counter = "openim_exporter_tls_handshake_failures_total" [];
}

named! {
    /// Why the exporter closed a connection or cut off an answer.
    pub(super) enum Ended {
        Idle = "idle",
        Unread = "unread",
        GroupRemoved = "group_removed",
    }
}

named! {
    /// What is erased on request.
    pub enum Erasure {
        /// A group.
        Group = "group",
        /// A person.
        User = "user",
    }
}

/// The exporter's own metrics and log events.
#[derive(Debug)]
pub struct Telemetry {
    pub(super) metrics: Metrics,
    refusals: Refusals,
    /// Whether it was logged that messages in groups, and those between two users, are left out.
    left_out_logged: [AtomicBool; 2],
    pub(super) targets: Targets,
    pub(super) replicas: OnceLock<Arc<ReplicasTelemetry>>,
}

impl Default for Telemetry {
    /// All metrics at 0.
    fn default() -> Self {
        let metrics = Metrics::new();
        metrics.last_reload_successful.set(1);
        Self {
            metrics,
            refusals: Refusals::default(),
            left_out_logged: Default::default(),
            targets: Targets::default(),
            replicas: OnceLock::new(),
        }
    }
}

impl Telemetry {
    /// The current samples of the families whose names are wanted, in the order of a scrape.
    #[must_use]
    pub fn samples(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<(&'static Family, Samples)> {
        let own = self.metrics.samples(wanted).into_iter();
        own.chain(self.targets.samples(wanted)).chain(replicas::samples(&self.replicas, wanted)).collect()
    }

    /// Adds the metrics of the union with other exporters, or returns them.
    pub fn add_replicas(&self) -> Arc<ReplicasTelemetry> {
        Arc::clone(self.replicas.get_or_init(|| Arc::new(ReplicasTelemetry::new())))
    }

    /// All of a callback arrived, this long after its first byte.
    #[inline]
    pub fn callback_received(&self, after: Duration) {
        self.metrics.callback_receive.observe(after);
    }

    /// A callback's answer was written, this long after its last byte arrived.
    #[inline]
    pub fn callback_answered(&self, after: Duration) {
        self.metrics.callback_duration.observe(after);
    }

    /// A request was refused. `total` is the number of refusals for this reason.
    pub fn request_refused(&self, refusal: Refusal, total: u64) {
        let Refusal { client, detail, .. } = &refusal;
        let (reason, detail) = (refusal.reason.name(), detail.as_str());
        debug!(reason, %client, detail, "request refused");
        if self.refusals.keep(&refusal) {
            warn!(reason, %client, detail, total, "request refused; logged at most once a minute for each reason");
        }
    }

    /// A message was not counted, because messages of its kind are counted from the other callback. Logged once for each
    /// kind.
    pub(crate) fn message_left_out(&self, chat: Chat, stage: Stage) {
        let [in_groups, single] = &self.left_out_logged;
        let (kind, is_logged) = match chat {
            Chat::Group => ("group", in_groups),
            Chat::Single => ("single", single),
        };
        if is_logged.swap(true, Ordering::Relaxed) {
            return;
        }
        let (sent, stored) = (MessageSource::AfterSend.name(), MessageSource::AfterSave.name());
        let [from, not_from] = if stage == Stage::Sent { [stored, sent] } else { [sent, stored] };
        warn!(
            kind,
            from,
            not_from,
            "messages of this kind are not counted from this callback; if no other reports them, or OpenIM sends both, \
             set --callback.message-source"
        );
    }

    /// A group or a person was erased on request. The log does not get the ID: nothing would erase it there.
    pub(crate) fn erased(&self, kind: Erasure, client: IpAddr) {
        if let Some(counter) = self.metrics.erasures.get(kind) {
            counter.inc();
        }
        info!(kind = kind.name(), %client, "erased on request; the log does not name what was erased");
    }

    /// Forgets the refused requests whose details contain this text.
    pub(crate) fn forget_refusals(&self, text: &str) {
        self.refusals.forget(text);
    }

    /// The last refused requests for each reason, newest first.
    pub(crate) fn last_refusals(&self) -> Vec<Refusal> {
        self.refusals.last()
    }

    /// A client's TLS handshake failed, at a time in milliseconds since the epoch.
    pub fn tls_handshake_failed(&self, client: IpAddr, error: &io::Error, at_ms: i64) {
        debug!(%client, %error, "TLS handshake failed");
        self.metrics.handshake_failures.inc_and_log(at_ms, |total| {
            warn!(%client, %error, total, "TLS handshake failed; logged at most once a minute");
        });
    }

    /// A connection was closed because it was idle for too long.
    pub fn connection_idle(&self) {
        self.count_ended(Ended::Idle);
        debug!("idle connection closed");
    }

    /// The client did not read an answer in time. Its connection, or over HTTP/2 its stream, was closed.
    pub fn answer_unread(&self) {
        self.count_ended(Ended::Unread);
        debug!("answer cut off, because the client did not read it in time");
    }

    /// A scrape was cut off, because a group was removed while it was written.
    pub(crate) fn scrape_cut_off(&self) {
        self.count_ended(Ended::GroupRemoved);
        debug!("scrape cut off, because a group was removed and the client read slowly");
    }

    fn count_ended(&self, ended: Ended) {
        if let Some(counter) = self.metrics.ended.get(ended) {
            counter.inc();
        }
    }

    /// Sets when the server's certificate expires, in seconds since the epoch; `None` without TLS.
    pub fn set_certificate_expiry(&self, at: Option<i64>) {
        self.metrics.certificate_expiry.set(at.unwrap_or_default());
    }

    /// The certificate can be served, but clients will refuse it.
    pub(crate) fn certificate_invalid(&self, problem: &dyn Display) {
        warn!(%problem, "serving with an invalid certificate");
    }

    /// The settings files were reloaded.
    pub fn reloaded(&self) {
        self.metrics.last_reload_successful.set(1);
        info!("settings files reloaded");
    }

    /// The settings files were read again and cannot be used.
    pub fn reload_failed(&self, error: &dyn Display) {
        self.metrics.last_reload_successful.set(0);
        self.metrics.reload_failures.inc();
        warn!(%error, "the settings files cannot be used; the previous settings stay in effect");
    }

    /// Sets the number of open connections, of callbacks in flight and of viewers of the live page, just before a
    /// scrape.
    pub fn set_connections(&self, open: usize, in_flight: usize, viewers: usize) {
        self.metrics.live_viewers.set(i64::try_from(viewers).unwrap_or(i64::MAX));
        self.metrics.connections.set(i64::try_from(open).unwrap_or(i64::MAX));
        self.metrics.in_flight.set(i64::try_from(in_flight).unwrap_or(i64::MAX));
    }

    /// A scrape was written completely. `took` does not include the time spent waiting for the client.
    pub fn scraped(&self, series: usize, took: Duration) {
        self.metrics.scrape_series.set(i64::try_from(series).unwrap_or(i64::MAX));
        self.metrics.scrape_duration.observe(took);
        debug!(series, seconds = took.as_secs_f64(), "scrape written");
    }

    /// The same for a scrape of all tracked groups, or of named families. The number of series is only set by ordinary
    /// scrapes: a gauge that alternates between the two numbers is useless.
    pub(crate) fn part_scraped(&self, series: usize, took: Duration) {
        self.metrics.scrape_duration.observe(took);
        debug!(series, seconds = took.as_secs_f64(), "partial scrape written");
    }

    /// A log line was dropped.
    pub(super) fn log_line_dropped(&self) {
        self.metrics.log_lines_dropped.inc();
    }

    /// How many log lines have been dropped.
    pub(super) fn dropped_log_lines(&self) -> u64 {
        self.metrics.log_lines_dropped.get()
    }

    /// Standard error accepts lines again, after this many were dropped.
    pub(super) fn log_resumed(&self, dropped: u64) {
        warn!(dropped, "log lines were dropped, because standard error did not accept them");
    }

    /// An environment variable with the exporter's prefix sets no flag. `nearest` is the most similar one that does.
    pub(crate) fn unknown_variable(&self, variable: &str, nearest: Option<&str>) {
        warn!(variable, nearest, "this environment variable sets no flag; correct its name or remove it");
    }

    /// A listening address is set, but the exporter uses the sockets that systemd passes, with these addresses.
    pub(crate) fn listen_address_ignored(&self, used: &[SocketAddr]) {
        warn!(
            ?used,
            "--web.listen-address is ignored: with --web.systemd-socket, the exporter listens on the sockets that systemd \
             passes; remove one of the settings"
        );
    }

    /// The exporter accepts connections.
    pub(crate) fn serving(&self, address: SocketAddr, threads: usize) {
        info!(version = env!("CARGO_PKG_VERSION"), %address, threads, "serving");
    }

    /// A connection could not be accepted, at a time in milliseconds since the epoch.
    pub fn accept_failed(&self, failure: &io::Error, at_ms: i64) {
        debug!(%failure, "cannot accept a connection");
        self.metrics.accept_failures.inc_and_log(at_ms, |total| {
            warn!(
                %failure, total,
                "cannot accept connections; is the open file limit (LimitNOFILE) too low? Logged at most once a minute"
            );
        });
    }

    /// The open file limit at startup, compared with the limit of connections.
    pub(crate) fn open_file_limit(&self, limit: u64, connections: usize) {
        debug!(limit, "open file limit");
        if limit <= connections as u64 {
            warn!(
                open_files = limit,
                connections,
                "the hard open file limit is not above the limit of connections; raise it (LimitNOFILE, ulimit -Hn)"
            );
        }
    }

    /// The open file limit could not be raised.
    pub(crate) fn open_file_limit_not_raised(&self, failure: &io::Error) {
        warn!(%failure, "the open file limit could not be raised");
    }

    /// The limit of the address space may be too low for this many bytes.
    pub(crate) fn address_space_limited(&self, limit: u64, needed: u64) {
        warn!(
            limit,
            needed,
            "the limit on the address space (ulimit -v, LimitAS) may be too low: an allocation beyond it ends the \
             process; raise the limit, or lower --web.max-connections or --callback.max-buffered-bytes"
        );
    }

    /// After a signal, the exporter keeps serving for this time before it shuts down.
    pub(crate) fn leaving(&self, signal: &str, delay: Duration) {
        info!(signal, ?delay, "not ready any more, so that clients move to other exporters; draining after the delay");
    }

    /// The exporter begins to shut down after a signal.
    pub(crate) fn draining(&self, signal: &str) {
        info!(signal, "draining: accepting no new connections; open ones get their answers, then are closed");
    }

    /// A serving thread has ended. It cut off this many connections.
    pub(crate) fn drained(&self, cut_off: usize) {
        if cut_off > 0 {
            warn!(connections = cut_off, "connections were still open at the end of the drain and are cut off");
        }
    }

    /// The process is about to exit, with these totals.
    pub(crate) fn stopped(&self, messages: u64, callbacks: u64) {
        info!(messages, callbacks, "stopped");
    }

    /// The process must exit because of an error.
    pub(crate) fn failed(&self, failure: &dyn Display) {
        error!(%failure, "failed");
    }
}
