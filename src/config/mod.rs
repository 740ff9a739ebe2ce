//! Raw flags and environment variables -> a checked [`Config`], with one part for each room that has settings.

mod duration;
mod file;
mod htpasswd;
mod networks;
mod secret;
mod serve;
pub mod simulate;
mod users;
pub mod web;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::telemetry::LogFormat;
pub use file::FileError;
pub use networks::{NetworkError, Networks};
pub use secret::PathSecret;
pub use serve::ServeFlags;
use simulate::{Simulate, SimulateError, SimulateFlags};
pub use users::{PasswordHash, Users};

/// A checked command line.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Serve.
    Serve(Config),
    /// Check the settings of [`Command::Serve`], say what they are, and end.
    CheckConfig(Config),
    /// Send made-up callbacks to an exporter.
    Simulate(Simulate),
}

/// The exporter's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses to listen at; at least one.
    pub listen: Vec<SocketAddr>,
    /// Addresses for all but callbacks; none if those of `listen` serve all.
    pub telemetry_listen: Vec<SocketAddr>,
    /// Whether to listen at the sockets that systemd passes instead.
    pub systemd_socket: bool,
    /// What `http` needs to know.
    pub http: Http,
    /// The directory of the state; `None` keeps it in memory.
    pub storage: Option<PathBuf>,
    /// How large `stats` may become.
    pub stats: Stats,
    /// What goes into the log, and how.
    pub log: Log,
}

/// The settings of `http`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Path of the metrics; starts with a slash.
    pub telemetry_path: String,
    /// Scrapes that are written at once.
    pub max_scrapes: usize,
    /// Largest body of a callback.
    pub max_body_bytes: usize,
    /// Open connections, in all.
    pub max_connections: usize,
    /// Of them, from one address.
    pub max_connections_per_address: usize,
    /// Memory for bodies that are being received.
    pub max_buffered_bytes: usize,
    /// Whether a request may have the settings read again, or end the process.
    pub lifecycle: bool,
    /// Who may do what.
    pub access: Access,
}

/// Who may do what: the files that say so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// TLS, headers, and the passwords for metrics.
    pub web_config: Option<PathBuf>,
    /// The secret in the path of callbacks.
    pub callback_secret: Option<PathBuf>,
    /// The passwords for callbacks.
    pub callback_users: Option<PathBuf>,
    /// Where callbacks are taken from; `None` takes them from everywhere.
    pub callback_networks: Option<Networks>,
}

/// How large the statistics may become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Groups that are counted one by one.
    pub max_tracked_groups: NonZeroUsize,
    /// Of them, those that get series of their own.
    pub max_exported_groups: usize,
    /// Pairs of a group and a sender that are told apart.
    pub max_sender_pairs: usize,
    /// For how long a message that comes again is not counted again; zero counts it.
    pub dedup_window: Duration,
}

/// The settings of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least important level that is written.
    pub level: LevelFilter,
    /// The form of a line.
    pub format: LogFormat,
}

/// A setting that cannot be used. Names the flag and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// One of the exporter's.
    #[error("--{flag} {given}: {problem}")]
    Serve {
        /// The flag's name.
        flag: &'static str,
        /// What was given.
        given: String,
        /// What is wrong with it, and what is right.
        problem: String,
    },
    /// One of the simulator's.
    #[error(transparent)]
    Simulate(#[from] SimulateError),
}

#[derive(Debug, Parser)]
#[command(
    name = "openim-exporter",
    version,
    about = "Counts OpenIM's group messages from its callbacks and exposes them to Prometheus",
    long_about = "Counts OpenIM's group messages from its callbacks and exposes them to Prometheus.\n\n\
        Without a subcommand it serves. Point OpenIM at it in config/webhooks.yml (url: http://HOST:10006/callback, \
        afterSendGroupMsg.enable: true) and Prometheus at http://HOST:10006/metrics.\n\n\
        Every flag is also an environment variable: OPENIM_EXPORTER_ and the flag's name in capitals, with _ for \
        every other character. A flag wins over its variable.",
    after_help = "Examples:\n  \
        openim-exporter\n  \
        openim-exporter --web.listen-address 127.0.0.1:10006 --groups.max-exported 200\n  \
        openim-exporter simulate --target http://127.0.0.1:10006 --rate 500 --duration 5m",
    args_conflicts_with_subcommands = true,
    subcommand_precedence_over_arg = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<CliCommand>,
    #[command(flatten)]
    serve: ServeFlags,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Takes callbacks and serves metrics; the same as no subcommand at all
    Serve(ServeFlags),
    /// Sends made-up callbacks as OpenIM does, to try an exporter or to size a machine for it
    Simulate(SimulateFlags),
}

/// What the command line could not become.
#[derive(Debug)]
pub enum Rejected {
    /// `clap` refuses it, or was asked for help or the version.
    Usage(clap::Error),
    /// A value cannot be used.
    Value(Error),
}

/// Reads the command line and the environment.
///
/// # Errors
/// When a flag is unknown or its value cannot be used; also when help or the version is asked for.
pub fn from_args<I, T>(args: I) -> Result<Command, Rejected>
where
    I: IntoIterator<Item = T>,
    T: Into<std::ffi::OsString> + Clone,
{
    let matches = Cli::command().try_get_matches_from(args).map_err(Rejected::Usage)?;
    let cli = Cli::from_arg_matches(&matches).map_err(Rejected::Usage)?;
    let mut flags = match cli.command {
        Some(CliCommand::Simulate(flags)) => {
            let simulate = Simulate::try_from(flags).map_err(|error| Rejected::Value(error.into()))?;
            return Ok(Command::Simulate(simulate));
        }
        Some(CliCommand::Serve(flags)) => flags,
        None => cli.serve,
    };
    flags.lower_defaults(matches.subcommand_matches("serve").unwrap_or(&matches));
    let check_only = flags.check_config;
    let config = flags.check().map_err(Rejected::Value)?;
    Ok(if check_only { Command::CheckConfig(config) } else { Command::Serve(config) })
}

/// The exporter's flags, each with its environment variable and its default: what the README's table must say.
#[must_use]
pub fn serve_flags() -> Vec<[String; 3]> {
    let command = ServeFlags::augment_args(clap::Command::new("serve"));
    command
        .get_arguments()
        .filter(|flag| !matches!(flag.get_id().as_str(), "help" | "version"))
        .map(|flag| {
            let defaults: Vec<_> = flag.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
            let variable = flag.get_env().map(|name| name.to_string_lossy().into_owned());
            [format!("--{}", flag.get_long().unwrap_or_default()), variable.unwrap_or_default(), defaults.join(",")]
        })
        .collect()
}
