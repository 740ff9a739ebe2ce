//! The exporter's flags.

mod access;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueEnum};
use tracing::level_filters::LevelFilter;

use super::{Config, Error, Http, Log, Stats, duration};
use crate::telemetry::LogFormat;
use access::AccessFlags;

/// The most groups that a table can hold: their slots are numbered in 32 bits, and each takes about 200 bytes.
const MOST_GROUPS: usize = 100_000_000;

/// The most pairs of a group and a sender: their table is twice to four times as large, of 16 bytes each.
const MOST_PAIRS: usize = 1_000_000_000;

/// The largest number of bytes that a flag may give: a callback's body is held in memory whole.
const MOST_BYTES: u64 = 1 << 30;

/// The longest time for which a repeated message is known.
const LONGEST_DEDUP: Duration = Duration::from_secs(24 * 3600);

/// The largest limit of scrapes at once.
const MOST_SCRAPES: usize = 10_000;

const LISTEN: &str = "web.listen-address";

/// The flags of `serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeFlags {
    /// Address to take callbacks and scrapes at: host:port, or :port for every address of the machine
    ///
    /// May be given more than once, or as a list with commas.
    #[arg(
        long = "web.listen-address",
        value_name = "HOST:PORT",
        env = "OPENIM_EXPORTER_WEB_LISTEN_ADDRESS",
        default_value = "0.0.0.0:10006",
        value_delimiter = ','
    )]
    listen: Vec<String>,

    /// Listens at the sockets that systemd passes (LISTEN_FDS) instead of at addresses of its own
    ///
    /// The sockets outlive the process: who connects while it is restarted waits, and is not refused.
    #[arg(
        long = "web.systemd-socket",
        env = "OPENIM_EXPORTER_WEB_SYSTEMD_SOCKET",
        value_parser = BoolishValueParser::new()
    )]
    systemd_socket: bool,

    /// Path of the metrics
    #[arg(
        long = "web.telemetry-path",
        value_name = "PATH",
        env = "OPENIM_EXPORTER_WEB_TELEMETRY_PATH",
        default_value = "/metrics"
    )]
    telemetry_path: String,

    /// Scrapes that are answered at once; more get 503
    ///
    /// Half of them, and at least one, to one address. Answers of the API count too.
    #[arg(long = "web.max-requests", value_name = "N", env = "OPENIM_EXPORTER_WEB_MAX_REQUESTS", default_value = "40")]
    max_requests: usize,

    /// Largest body of a callback in bytes, or with a unit: 64KiB, 1MiB; a larger one is refused with 413
    #[arg(
        long = "callback.max-body-bytes",
        value_name = "BYTES",
        env = "OPENIM_EXPORTER_CALLBACK_MAX_BODY_BYTES",
        default_value = "1MiB"
    )]
    max_body_bytes: String,

    /// For how long a message that comes again (the same serverMsgID) is a repeat: answered, but not counted again
    ///
    /// OpenIM never repeats a callback, so this is off; for a proxy that does, give a few minutes, at most 24h. Takes 16
    /// MiB and knows two million messages; how full it is, is a metric.
    #[arg(
        long = "callback.dedup-window",
        value_name = "DURATION",
        env = "OPENIM_EXPORTER_CALLBACK_DEDUP_WINDOW",
        default_value = "0s"
    )]
    dedup_window: String,

    /// Directory of the state, made if it is missing: what is counted outlives the process in it
    ///
    /// Empty keeps the state in memory: the counters then start from 0 at every start, which Prometheus takes for what it
    /// is, a counter reset, but the windows of active senders and groups start empty too.
    #[arg(long = "storage.path", value_name = "DIR", env = "OPENIM_EXPORTER_STORAGE_PATH", default_value = "data/")]
    storage_path: OsString,

    /// Groups that are counted one by one; the messages of further groups are counted as folded
    #[arg(
        long = "groups.max-tracked",
        value_name = "N",
        env = "OPENIM_EXPORTER_GROUPS_MAX_TRACKED",
        default_value = "100000"
    )]
    max_tracked: NonZeroUsize,

    /// Groups that get a series of their own at the metrics' path: the most active ones
    ///
    /// A group stays for at least ten minutes once it is there. All tracked groups are at /metrics/groups. The default is
    /// --groups.max-tracked, if that is lower.
    #[arg(
        long = "groups.max-exported",
        value_name = "N",
        env = "OPENIM_EXPORTER_GROUPS_MAX_EXPORTED",
        default_value = "1000"
    )]
    max_exported: usize,

    /// Pairs of a group and a sender that are remembered, for the distinct senders of each group
    ///
    /// A pair is forgotten 24 hours after its last message. Beyond this number the oldest go earlier, and are counted.
    #[arg(
        long = "senders.max-tracked",
        value_name = "N",
        env = "OPENIM_EXPORTER_SENDERS_MAX_TRACKED",
        default_value = "1000000"
    )]
    max_pairs: NonZeroUsize,

    #[command(flatten)]
    access: AccessFlags,

    /// Least important messages that are logged
    #[arg(long = "log.level", value_name = "LEVEL", env = "OPENIM_EXPORTER_LOG_LEVEL", default_value = "info")]
    log_level: Level,

    /// Form of the log's lines
    #[arg(long = "log.format", value_name = "FORMAT", env = "OPENIM_EXPORTER_LOG_FORMAT", default_value = "logfmt")]
    log_format: Format,

    /// Checks the flags, prints the settings and ends: with status 0 if they can be used
    #[arg(long = "check-config", env = "OPENIM_EXPORTER_CHECK_CONFIG", value_parser = BoolishValueParser::new())]
    pub(super) check_config: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Logfmt,
    Json,
}

impl ServeFlags {
    /// Lowers the defaults that are more than another flag allows, so that this other flag can be set alone.
    pub(super) fn lower_defaults(&mut self, matches: &ArgMatches) {
        let lower = |flag: &str, value: &mut usize, most: usize| {
            if matches.value_source(flag) == Some(ValueSource::DefaultValue) {
                *value = (*value).min(most);
            }
        };
        lower("max_exported", &mut self.max_exported, self.max_tracked.get());
        let access = &mut self.access;
        lower("max_connections_per_address", &mut access.max_connections_per_address, access.max_connections);
    }

    /// Checks every flag.
    pub(super) fn check(self) -> Result<Config, Error> {
        let listen =
            self.listen.iter().map(|address| addresses(LISTEN, address)).collect::<Result<Vec<_>, _>>()?.concat();
        check_path(&self.telemetry_path)?;
        check_groups(self.max_tracked, self.max_exported)?;
        check_pairs(self.max_pairs)?;
        check_scrapes(self.max_requests)?;
        self.access.check_connections()?;
        let max_body_bytes = bytes("callback.max-body-bytes", &self.max_body_bytes)?;
        Ok(Config {
            listen,
            telemetry_listen: self.access.telemetry_listen()?,
            systemd_socket: self.systemd_socket,
            http: Http {
                telemetry_path: self.telemetry_path,
                max_scrapes: self.max_requests,
                max_body_bytes,
                max_connections: self.access.max_connections,
                max_connections_per_address: self.access.max_connections_per_address,
                max_buffered_bytes: self.access.buffered_bytes(max_body_bytes)?,
                lifecycle: self.access.lifecycle,
                access: self.access.access()?,
            },
            storage: Some(PathBuf::from(self.storage_path)).filter(|path| !path.as_os_str().is_empty()),
            stats: Stats {
                max_tracked_groups: self.max_tracked,
                max_exported_groups: self.max_exported,
                max_sender_pairs: self.max_pairs.get(),
                dedup_window: dedup_window(&self.dedup_window)?,
            },
            log: Log {
                level: match self.log_level {
                    Level::Debug => LevelFilter::DEBUG,
                    Level::Info => LevelFilter::INFO,
                    Level::Warn => LevelFilter::WARN,
                    Level::Error => LevelFilter::ERROR,
                },
                format: match self.log_format {
                    Format::Logfmt => LogFormat::Logfmt,
                    Format::Json => LogFormat::Json,
                },
            },
        })
    }
}

impl Config {
    /// The settings as a person reads them, one on a line.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = String::new();
        let mut line = |flag: &str, value: &dyn std::fmt::Display| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{flag} = {value}");
        };
        self.listen.iter().for_each(|address| line("web.listen-address", address));
        line("web.systemd-socket", &self.systemd_socket);
        self.telemetry_listen.iter().for_each(|address| line("web.telemetry-address", address));
        if self.telemetry_listen.is_empty() {
            line("web.telemetry-address", &"(none)");
        }
        line("web.telemetry-path", &self.http.telemetry_path);
        line("web.max-requests", &self.http.max_scrapes);
        line("web.max-connections", &self.http.max_connections);
        line("web.max-connections-per-address", &self.http.max_connections_per_address);
        line("web.enable-lifecycle", &self.http.lifecycle);
        let access = &self.http.access;
        let files = [
            ("web.config.file", &access.web_config),
            ("callback.secret-file", &access.callback_secret),
            ("callback.basic-auth-file", &access.callback_users),
        ];
        for (flag, file) in files {
            line(flag, &file.as_ref().map_or("(none)".into(), |file| file.to_string_lossy()));
        }
        let networks = access.callback_networks.as_ref().map_or("(all)".to_owned(), ToString::to_string);
        line("callback.allowed-networks", &networks);
        line("callback.max-body-bytes", &self.http.max_body_bytes);
        line("callback.max-buffered-bytes", &self.http.max_buffered_bytes);
        match &self.storage {
            Some(path) => line("storage.path", &path.display()),
            None => line("storage.path", &"(in memory)"),
        }
        line("callback.dedup-window", &format!("{}s", self.stats.dedup_window.as_secs()));
        line("groups.max-tracked", &self.stats.max_tracked_groups);
        line("groups.max-exported", &self.stats.max_exported_groups);
        line("senders.max-tracked", &self.stats.max_sender_pairs);
        line("log.level", &self.log.level);
        line("log.format", &format!("{:?}", self.log.format).to_lowercase());
        text
    }
}

fn refused(flag: &'static str, given: &str, problem: impl Into<String>) -> Error {
    Error::Serve { flag, given: format!("{given:?}"), problem: problem.into() }
}

/// The addresses that a host and port stand for. A name may stand for several.
fn addresses(flag: &'static str, given: &str) -> Result<Vec<SocketAddr>, Error> {
    let whole = if given.starts_with(':') { format!("0.0.0.0{given}") } else { given.to_owned() };
    let found: Vec<_> = whole
        .to_socket_addrs()
        .map_err(|error| refused(flag, given, format!("{error}; give host:port, as in 127.0.0.1:10006")))?
        .collect();
    if found.is_empty() {
        return Err(refused(flag, given, "the name has no address; give host:port, as in 127.0.0.1:10006"));
    }
    Ok(found)
}

fn check_path(path: &str) -> Result<(), Error> {
    let flag = "web.telemetry-path";
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    if !path.starts_with('/') || !path.bytes().all(plain) {
        let problem = "give a path that starts with / and holds letters, digits and - . _ ~ / only, as in /metrics";
        return Err(refused(flag, path, problem));
    }
    if path == "/" || path.starts_with("/-/") || path.starts_with("/api/") {
        return Err(refused(
            flag,
            path,
            "that path is taken by the landing page, by health or by the API; give another, as in /metrics",
        ));
    }
    Ok(())
}

fn check_scrapes(max_requests: usize) -> Result<(), Error> {
    let problem = match max_requests {
        0 => "no scrape would be answered; give at least 1".to_owned(),
        1..=MOST_SCRAPES => return Ok(()),
        _ => format!("the most is {MOST_SCRAPES}: each of them may hold a whole scrape in memory"),
    };
    Err(refused("web.max-requests", &max_requests.to_string(), problem))
}

fn check_groups(max_tracked: NonZeroUsize, max_exported: usize) -> Result<(), Error> {
    if max_tracked.get() > MOST_GROUPS {
        let problem = format!("the most is {MOST_GROUPS}");
        return Err(refused("groups.max-tracked", &max_tracked.to_string(), problem));
    }
    if max_exported > max_tracked.get() {
        let problem =
            format!("only {max_tracked} groups are tracked; give at most as many, or raise --groups.max-tracked");
        return Err(refused("groups.max-exported", &max_exported.to_string(), problem));
    }
    Ok(())
}

fn dedup_window(given: &str) -> Result<Duration, Error> {
    let window = duration::parse(given).filter(|window| *window <= LONGEST_DEDUP && window.subsec_nanos() == 0);
    window.ok_or_else(|| {
        let problem = "give whole seconds up to 24h, as in 10m, 90s or 1h30m; 0s is off";
        refused("callback.dedup-window", given, problem)
    })
}

fn check_pairs(max_pairs: NonZeroUsize) -> Result<(), Error> {
    if max_pairs.get() <= MOST_PAIRS {
        return Ok(());
    }
    let problem = format!("the most is {MOST_PAIRS}: each takes up to 64 bytes");
    Err(refused("senders.max-tracked", &max_pairs.to_string(), problem))
}

/// A number of bytes, with or without a unit.
fn bytes(flag: &'static str, given: &str) -> Result<usize, Error> {
    let problem = "give a number of bytes from 1 to 1GiB, as in 1048576, 64KiB or 1MiB";
    let digits = given.trim_end_matches(|character: char| !character.is_ascii_digit());
    let unit = match given.get(digits.len()..) {
        Some("" | "B") => 1,
        Some("KiB" | "K" | "k") => 1 << 10,
        Some("MiB" | "M") => 1 << 20,
        Some("GiB" | "G") => 1 << 30,
        _ => 0,
    };
    let bytes = digits.parse().ok().and_then(|number: u64| number.checked_mul(unit));
    bytes
        .filter(|bytes| (1..=MOST_BYTES).contains(bytes))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| refused(flag, given, problem))
}
