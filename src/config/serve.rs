//! The exporter's settings, each declared once, together with its flag.
//!
//! To add a setting, add a field with its flag here: the help, the environment variable, `--check-config` and the list
//! of flags that the tests compare with the documentation follow from it. Then run `UPDATE_DOCS=1 cargo test --test
//! docs`, and fill the last cell of the flag's row in `docs/flags.md`.

use std::net::IpAddr;
use std::time::Duration;

use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args as _, Command, FromArgMatches as _};
use tracing::level_filters::LevelFilter;

use super::access::AccessSettings;
use super::address::ListenAddress;
use super::exclusions::ContentTypes;
use super::external_url::ExternalUrl;
use super::flag::{Shown, settings, variable};
use super::forward::ForwardSettings;
use super::networks::Networks;
use super::parse::{bytes, calendar, dedup_window, drain_delay, metrics_path, name_of, number, switch};
use super::record::RecordSettings;
use super::replicas::ReplicasSettings;
use super::storage::Storage;
use crate::domain::{Calendar, MessageSource};
use crate::telemetry::LogFormat;

/// Groups that a table can hold: their slots are numbered in 32 bits, and each takes about 200 bytes.
const MAX_GROUPS: usize = 100_000_000;

/// Pairs of a group and a sender: their table has two to four times as many entries, of 16 bytes each.
const MAX_PAIRS: usize = 1_000_000_000;

/// Users online: their table has two to four times as many entries, of 16 bytes each.
const MAX_ONLINE: usize = 100_000_000;

/// Calendar days of the history: a hundred years.
const MAX_DAYS: usize = 36_525;

/// Maximum number of simultaneous scrapes: each may hold its whole answer in memory.
const MAX_SCRAPES: usize = 10_000;

/// Maximum number of viewers of the live page: each gets about 3 KiB a second.
const MAX_VIEWERS: usize = 10_000;

/// Open files of a process, unless the system is configured otherwise.
/// <https://docs.kernel.org/admin-guide/sysctl/fs.html#nr-open>
const MAX_CONNECTIONS: usize = 1 << 20;

settings! {
    /// The exporter's settings.
    pub struct Config {
        /// Address to receive callbacks and serve metrics on: host:port, or :port for all addresses, IPv4 and IPv6
        ///
        /// May be repeated, or be a comma-separated list. An IPv6 address has brackets: `[::1]:10006`. A link-local one also
        /// has the name or number of its network interface: `[fe80::1%eth0]:10006`.
        #[arg(value_name = "HOST:PORT", default_value = ":10006")]
        #[arg(value_delimiter = ',', value_parser = ListenAddress::parse)]
        "web.listen-address" listen: Vec<ListenAddress>,

        /// Separate address for metrics, pages and the API: host:port or :port, as above
        ///
        /// The other addresses then accept callbacks, answer /-/healthy and /-/ready, and serve nothing else. May be
        /// repeated, or be a comma-separated list.
        #[arg(value_name = "HOST:PORT", value_delimiter = ',', value_parser = ListenAddress::parse)]
        "web.telemetry-address" telemetry_listen: Vec<ListenAddress>,

        /// Use the sockets that systemd passes (LISTEN_FDS) instead of --web.listen-address
        ///
        /// The sockets outlive the process: clients that connect during a restart wait, and are not refused.
        #[arg(value_parser = switch)]
        "web.systemd-socket" systemd_socket: bool,

        /// How long to keep serving after SIGTERM or SIGINT, so that load balancers can switch to other exporters: 5s
        ///
        /// /-/ready answers 503 meanwhile, and each answer closes its connection. Then the exporter stops accepting
        /// connections and exits. A second signal ends the wait. Configure what sends the signal to wait longer than
        /// this before it kills the exporter: TimeoutStopSec of the systemd unit (90s), --stop-timeout of Docker and
        /// Podman (10s), terminationGracePeriodSeconds in Kubernetes.
        #[arg(value_name = "DURATION", default_value = "0s", value_parser = drain_delay)]
        "web.drain-delay" drain_delay: Duration,

        /// The settings of `http`.
        #[command(flatten)]
        http: Http,

        /// The settings of `stats`.
        #[command(flatten)]
        stats: StatsSettings,

        /// The settings of the log.
        #[command(flatten)]
        log: LogSettings,

        /// The settings of the records.
        #[command(flatten)]
        record: RecordSettings,

        /// The settings of the union with other exporters.
        #[command(flatten)]
        replicas: ReplicasSettings,
    }
}

settings! {
    /// The settings of `http`.
    pub struct Http {
        /// Path of the metrics
        #[arg(value_name = "PATH", default_value = "/metrics", value_parser = metrics_path)]
        "web.telemetry-path" telemetry_path: String,

        /// URL at which clients reach the pages, if a proxy adds a path: `https://example.com/openim-exporter/`
        ///
        /// Pages, the API and the health checks are then served below this path too. Callbacks are accepted at any path
        /// anyway.
        #[arg(value_name = "URL", value_parser = ExternalUrl::parse)]
        "web.external-url" external_url: Option<ExternalUrl>,

        /// Maximum number of concurrent scrapes; further scrapes get 503
        ///
        /// One address may use half of them, and at least one. The same limits apply to requests to the API,
        /// separately.
        #[arg(value_name = "N", default_value = "40", value_parser = number(1..=MAX_SCRAPES))]
        "web.max-requests" max_scrapes: usize,

        /// Maximum number of viewers of the live page; further ones get 503, and their page polls every 10 s
        ///
        /// One address may have all of them, because all viewers may come through one proxy. 0 allows none.
        #[arg(value_name = "N", default_value = "100", value_parser = number(0..=MAX_VIEWERS))]
        "web.max-viewers" max_viewers: usize,

        /// Maximum number of open connections; further connections get 503
        #[arg(value_name = "N", default_value = "10000", value_parser = number(1..=MAX_CONNECTIONS))]
        "web.max-connections" max_connections: usize,

        /// Maximum number of open connections per client address (IPv6: per /64); further connections get 503
        ///
        /// The default is --web.max-connections if that is lower. --web.max-connections applies first, so a higher
        /// value than that has no effect.
        #[arg(value_name = "N", default_value = "5000", value_parser = number(1..=MAX_CONNECTIONS))]
        "web.max-connections-per-address" max_connections_per_address: usize,

        /// Networks of proxies whose Forwarded and X-Forwarded-For headers are believed: 10.0.0.0/8,192.0.2.7
        ///
        /// The client that they name is then the one in the log, in --callback.allowed-networks and in the limits per
        /// address. Without this, it is the proxy. Connections from these proxies count toward --web.max-connections
        /// only.
        #[arg(value_name = "NETWORKS", value_parser = Networks::parse)]
        "web.trusted-proxies" trusted_proxies: Option<Networks>,

        /// Connections from --web.trusted-proxies must begin with a PROXY header (version 1 or 2)
        ///
        /// For proxies that do not read HTTP, such as HAProxy (send-proxy-v2) or nginx (proxy_protocol on).
        #[arg(value_parser = switch)]
        "web.proxy-protocol" proxy_protocol: bool,

        /// Enable POST /-/reload and POST /-/quit
        #[arg(value_parser = switch)]
        "web.enable-lifecycle" lifecycle: bool,

        /// Enable DELETE /api/v1/groups/{id} and DELETE /api/v1/users/{id}, which erase a group or a person
        #[arg(value_parser = switch)]
        "web.enable-admin-api" admin_api: bool,

        /// Maximum size of a callback's body in bytes, or with a unit: 64KiB, 1MiB; larger ones get 413
        #[arg(value_name = "BYTES", default_value = "1MiB", value_parser = bytes)]
        "callback.max-body-bytes" max_body_bytes: usize,

        /// Memory for callback bodies that arrive in several pieces; callbacks that exceed it get 503
        ///
        /// A value below twice --callback.max-body-bytes is raised to that, so that the largest body fits;
        /// --check-config shows the result. The bodies from one address may use half of it, but at least twice
        /// --callback.max-body-bytes.
        #[arg(value_name = "BYTES", default_value = "64MiB", value_parser = bytes)]
        "callback.max-buffered-bytes" max_buffered_bytes: usize,

        /// Content types whose messages are not counted, as a comma-separated list of names, numbers and ranges:
        /// typing,1000-5000
        ///
        /// Such callbacks are answered, and counted in openim_exporter_callbacks_excluded_total only. Names are the
        /// label values of content_type. 1000-5000 are OpenIM's notifications.
        #[arg(value_name = "TYPES", value_parser = ContentTypes::parse)]
        "stats.exclude-content-types" excluded_types: Option<ContentTypes>,

        /// Access control, and what else is read from files.
        #[command(flatten)]
        access: AccessSettings,

        /// Where callbacks are forwarded.
        #[command(flatten)]
        forward: ForwardSettings,
    }
}

settings! {
    /// The settings of `stats`.
    pub struct StatsSettings {
        /// How long duplicate messages (with the same serverMsgID) are ignored; 0s counts them
        ///
        /// A duplicate is answered, but not counted again. OpenIM sends each callback once, so no window is needed. If
        /// a proxy repeats callbacks, set it to a few minutes, or to 24h at most. A window needs 16 MiB for two million
        /// message IDs; openim_exporter_message_ids_tracked shows how many are used.
        #[arg(value_name = "DURATION", default_value = "0s", value_parser = dedup_window)]
        "callback.dedup-window" dedup_window: Duration,

        /// Callbacks from which messages are counted, because OpenIM can report each message twice: auto, after-send or
        /// after-save
        ///
        /// after-send is callbackAfterSendGroupMsgCommand and callbackAfterSendSingleMsgCommand, after-save is
        /// callbackAfterMsgSaveDBCommand. With auto, the first callback that reports a message decides, separately for
        /// group messages and single messages, until the next start. Messages from the other callback are counted in
        /// openim_exporter_callback_repeats_total only.
        #[arg(value_name = "SOURCE", default_value = "auto", value_parser = name_of::<MessageSource>())]
        "callback.message-source" message_source: MessageSource,

        /// Time zone of the calendar days in the history, as an IANA name: Asia/Shanghai
        ///
        /// Days begin at midnight there. After a change, earlier days stay as they are.
        #[arg(value_name = "ZONE", default_value = "UTC", value_parser = calendar)]
        "stats.time-zone" calendar: Calendar,

        /// Number of complete calendar days that the history keeps
        ///
        /// A day takes about 2 KiB of the state. A lower number drops the earliest days at the next start.
        #[arg(value_name = "N", default_value = "400", value_parser = number(1..=MAX_DAYS))]
        "stats.history-days" history_days: usize,

        /// Directory of the state, which keeps the counts across restarts; created if it is missing
        ///
        /// If empty, the state is kept in memory: at each start the counters begin at 0, which Prometheus handles as a
        /// counter reset, and the windows of active senders and groups are empty.
        #[arg(value_name = "DIR", default_value = "data/", value_parser = OsStringValueParser::new().map(Storage::from))]
        "storage.path" storage: Storage,

        /// Maximum number of groups counted individually; messages in other groups are counted as folded
        #[arg(value_name = "N", default_value = "100000", value_parser = number(1..=MAX_GROUPS))]
        "groups.max-tracked" max_tracked_groups: usize,

        /// Maximum number of groups with their own series at the metrics' path; the most active groups have them
        ///
        /// A group keeps its series for at least ten minutes. All tracked groups are at /metrics/groups. The default is
        /// --groups.max-tracked if that is lower.
        #[arg(value_name = "N", default_value = "1000", value_parser = number(0..=MAX_GROUPS))]
        "groups.max-exported" max_exported_groups: usize,

        /// Maximum number of remembered pairs of a group and a sender, used to count each group's distinct senders
        ///
        /// A pair is forgotten 24 hours after its last message. Beyond this number the oldest pairs are evicted, and
        /// the evictions are counted.
        #[arg(value_name = "N", default_value = "1000000", value_parser = number(1..=MAX_PAIRS))]
        "senders.max-tracked" max_sender_pairs: usize,

        /// Maximum number of users online that are tracked; a user on two platforms counts twice
        ///
        /// Further users are not counted in openim_users_online; openim_exporter_users_online_overflow_total counts
        /// their reports. 0 tracks none.
        #[arg(value_name = "N", default_value = "200000", value_parser = number(0..=MAX_ONLINE))]
        "users.max-online" max_users_online: usize,
    }
}

settings! {
    /// The settings of the log.
    #[derive(Copy)]
    pub struct LogSettings {
        /// Minimum log level
        #[arg(value_name = "LEVEL", default_value = "info", value_parser = log_level())]
        "log.level" level: LevelFilter,

        /// Format of log lines
        #[arg(value_name = "FORMAT", default_value = "logfmt", value_parser = log_format())]
        "log.format" format: LogFormat,
    }
}

fn log_level() -> impl TypedValueParser<Value = LevelFilter> {
    PossibleValuesParser::new(["debug", "info", "warn", "error"]).try_map(|name| name.parse::<LevelFilter>())
}

fn log_format() -> impl TypedValueParser<Value = LogFormat> {
    PossibleValuesParser::new(["logfmt", "json"]).map(|name| match name.as_str() {
        "json" => LogFormat::Json,
        _ => LogFormat::Logfmt,
    })
}

impl Http {
    /// Whether an address is that of a trusted proxy.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.as_ref().is_some_and(|proxies| proxies.contains(address))
    }

    /// The settings without any flag, for tests that change some of them.
    ///
    /// # Errors
    /// When a default is not valid.
    pub fn defaults() -> Result<Self, clap::Error> {
        let matches =
            Self::augment_args(Command::new("defaults")).no_binary_name(true).try_get_matches_from([""; 0])?;
        Self::from_arg_matches(&matches)
    }
}

/// Names the environment variable of a flag, if the value comes from there.
fn source(matches: &ArgMatches, field: &str, flag: &str) -> String {
    let is_variable = matches.value_source(field) == Some(ValueSource::EnvVariable);
    if is_variable { format!(" ({})", variable(flag)) } else { String::new() }
}

impl Config {
    /// Adapts settings to those that limit them: a default is lowered, a configured value is not.
    ///
    /// # Errors
    /// When a configured value is higher than another flag allows.
    pub(super) fn reconcile(&mut self, matches: &ArgMatches) -> Result<(), String> {
        fn lower_default<T: Ord + Copy>(matches: &ArgMatches, field: &str, value: &mut T, max: T) {
            if matches.value_source(field) == Some(ValueSource::DefaultValue) {
                *value = (*value).min(max);
            }
        }
        let (http, stats) = (&mut self.http, &mut self.stats);
        lower_default(
            matches,
            "max_connections_per_address",
            &mut http.max_connections_per_address,
            http.max_connections,
        );
        lower_default(matches, "max_exported_groups", &mut stats.max_exported_groups, stats.max_tracked_groups);
        if http.proxy_protocol && http.trusted_proxies.is_none() {
            return Err(
                "--web.proxy-protocol: no proxy is trusted; set --web.trusted-proxies to the proxies' networks".into(),
            );
        }
        // An address that is left was set, but has no effect: `app` logs a warning.
        if self.systemd_socket && matches.value_source("listen") == Some(ValueSource::DefaultValue) {
            self.listen.clear();
        }
        http.forward.check(&stats.storage)?;
        self.replicas.check()?;
        let record = &mut self.record;
        lower_default(matches, "max_file_bytes", &mut record.max_file_bytes, record.max_bytes);
        if record.max_file_bytes > record.max_bytes {
            return Err("--record.max-file-bytes: a file would be larger than --record.max-bytes; lower it".into());
        }
        // A body takes up to twice its size while it grows.
        http.max_buffered_bytes = http.max_buffered_bytes.max(http.max_body_bytes.saturating_mul(2));
        if stats.max_exported_groups > stats.max_tracked_groups {
            let flag = "groups.max-exported";
            let source = source(matches, "max_exported_groups", flag);
            return Err(format!(
                "--{flag} {}{source}: only {} groups are tracked; lower it to that number, or raise --groups.max-tracked",
                stats.max_exported_groups, stats.max_tracked_groups
            ));
        }
        Ok(())
    }

    /// The settings for a person to read, one on each line.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        self.show("", &mut text);
        text
    }
}
