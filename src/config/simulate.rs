//! `simulate`'s flags, and what they mean once checked.

use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;

use super::duration;

const MOST_CONNECTIONS: u64 = 1024;
const MOST_IDS: u64 = 100_000_000;
const SLOWEST_RATE: f64 = 0.001;
const FASTEST_RATE: f64 = 10_000_000.0;
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
const DEFAULT_DURATION: Duration = Duration::from_secs(10);

/// Sends callbacks as an OpenIM server does, and says what became of them.
///
/// Each connection waits for its answer before it sends the next callback, nothing is ever sent again, and an answer
/// that takes longer than 5 s is given up: exactly what OpenIM does.
#[derive(Clone, Debug, clap::Args)]
pub struct SimulateFlags {
    /// Where to send, as in OpenIM's own setting: `http://host[:port][/prefix]`
    ///
    /// `/callbackAfterSendGroupMsgCommand` is appended, as OpenIM does. A callback secret is part of the prefix.
    #[arg(long, value_name = "URL")]
    pub target: String,

    /// Callbacks a second, over all connections; absent: as fast as they are answered
    ///
    /// With it the sender keeps to one schedule and catches up when an answer held it up; the report says when it could
    /// not.
    #[arg(long, value_name = "PER_SECOND", allow_negative_numbers = true)]
    pub rate: Option<f64>,

    /// How many groups there are; a few of them get most messages, as in life
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub groups: u64,

    /// How many people send
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub senders: u64,

    /// How many connections send at once; one OpenIM process has 2
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub connections: u64,

    /// How long to send: 30s, 5m, 1h30m [default: 10s, unless --count is given]
    #[arg(long, value_name = "TIME", conflicts_with = "count")]
    pub duration: Option<String>,

    /// How many callbacks to send, however long it takes
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,

    /// Which messages: the same seed and --count send the same ones again
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Writes everything that was counted, for each group too, to this file as JSON; `-` is the standard output
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// A checked simulation.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulate {
    /// Where to send.
    pub target: Target,
    /// Callbacks a second in all; `None`: as fast as they are answered.
    pub rate: Option<f64>,
    /// How many groups there are, at least 1.
    pub groups: u32,
    /// How many people send, at least 1.
    pub senders: u32,
    /// How many connections send at once, at least 1.
    pub connections: usize,
    /// When it ends.
    pub until: Until,
    /// Which messages.
    pub seed: u64,
    /// Where the full report goes.
    pub report: Option<ReportTo>,
}

/// When a simulation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After this many callbacks.
    Sent(u64),
}

/// Where the full report goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportTo {
    /// The standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

/// An HTTP server, and the path in front of the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name or address to connect to; an IPv6 address without its brackets.
    pub host: String,
    /// Port to connect to.
    pub port: u16,
    /// Host and port as they were given, for the `Host` header.
    pub authority: String,
    /// What stands before `/callbackAfterSendGroupMsgCommand`: empty, or a path.
    pub prefix: String,
}

/// A flag's value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{flag} {given}: {problem}")]
pub struct SimulateError {
    flag: &'static str,
    given: String,
    problem: String,
}

impl SimulateError {
    fn new(flag: &'static str, given: impl ToString, problem: impl Into<String>) -> Self {
        Self { flag, given: given.to_string(), problem: problem.into() }
    }
}

impl TryFrom<SimulateFlags> for Simulate {
    type Error = SimulateError;

    fn try_from(flags: SimulateFlags) -> Result<Self, SimulateError> {
        let connections = within("connections", flags.connections, MOST_CONNECTIONS)?;
        Ok(Self {
            target: target(&flags.target).map_err(|problem| SimulateError::new("target", &flags.target, problem))?,
            rate: flags.rate.map(rate).transpose()?,
            groups: within("groups", flags.groups, MOST_IDS)?,
            senders: within("senders", flags.senders, MOST_IDS)?,
            connections: usize::try_from(connections).unwrap_or(usize::MAX),
            until: until(flags.duration.as_deref(), flags.count)?,
            seed: flags.seed,
            report: flags.report.map(
                |path| {
                    if path.as_os_str() == "-" { ReportTo::Stdout } else { ReportTo::File(path) }
                },
            ),
        })
    }
}

fn within(flag: &'static str, given: u64, most: u64) -> Result<u32, SimulateError> {
    let allowed = (1..=most).contains(&given).then(|| u32::try_from(given).ok()).flatten();
    allowed.ok_or_else(|| SimulateError::new(flag, given, format!("must be from 1 to {most}")))
}

fn rate(given: f64) -> Result<f64, SimulateError> {
    if (SLOWEST_RATE..=FASTEST_RATE).contains(&given) {
        return Ok(given);
    }
    let problem =
        format!("must be from {SLOWEST_RATE} to {FASTEST_RATE} a second; leave it out to send as fast as answers come");
    Err(SimulateError::new("rate", given, problem))
}

fn until(duration: Option<&str>, count: Option<u64>) -> Result<Until, SimulateError> {
    match (duration, count) {
        (Some(text), Some(_)) => {
            Err(SimulateError::new("duration", text, "cannot be combined with --count; give one of them"))
        }
        (None, Some(0)) => Err(SimulateError::new("count", 0, "must be at least 1")),
        (None, Some(count)) => Ok(Until::Sent(count)),
        (None, None) => Ok(Until::Elapsed(DEFAULT_DURATION)),
        (Some(text), None) => match duration::parse(text) {
            Some(Duration::ZERO) => Err(SimulateError::new("duration", text, "must be longer than nothing")),
            Some(duration) if duration <= LONGEST => Ok(Until::Elapsed(duration)),
            Some(_) => Err(SimulateError::new("duration", text, "must be at most 30d")),
            None => Err(SimulateError::new("duration", text, "is not a time; write it like 30s, 500ms, 5m or 1h30m")),
        },
    }
}

fn target(url: &str) -> Result<Target, String> {
    const SHAPE: &str = "write it like http://127.0.0.1:10006 or http://host:port/prefix";
    let uri: Uri = url.parse().map_err(|error| format!("is not a URL ({error}); {SHAPE}"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err("https is not supported yet; send to a plain http listener".to_owned()),
        _ => return Err(format!("must start with http://; {SHAPE}")),
    }
    let authority = uri.authority().ok_or_else(|| format!("has no host; {SHAPE}"))?;
    if authority.as_str().contains('@') {
        return Err("a user and password are not supported yet; use a callback secret as the path's prefix".to_owned());
    }
    if uri.query().is_some() || url.contains('#') {
        return Err(
            "must end with the path: OpenIM appends the command to it, so what follows the path does not survive"
                .to_owned(),
        );
    }
    let port = match authority.as_str().strip_prefix(authority.host()) {
        Some("") => 80,
        _ => authority.port_u16().filter(|port| *port != 0).ok_or_else(|| format!("has no usable port; {SHAPE}"))?,
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    // The parser gives `/` for an absent path; OpenIM glues `/` and the command to what was really written.
    let prefix = if uri.path() == "/" && !url.ends_with('/') { "" } else { uri.path() };
    Ok(Target { host: host.to_owned(), port, authority: authority.to_string(), prefix: prefix.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        flags: SimulateFlags,
    }

    fn checked(arguments: &[&str]) -> Result<Simulate, String> {
        let all = ["simulate"].iter().chain(arguments);
        let command = Command::try_parse_from(all).map_err(|error| error.to_string())?;
        Simulate::try_from(command.flags).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_an_openim_process_for_ten_seconds() {
        let simulate = checked(&["--target", "http://localhost:10006"]).unwrap();
        let target = Target {
            host: "localhost".into(),
            port: 10006,
            authority: "localhost:10006".into(),
            prefix: String::new(),
        };
        assert_eq!(simulate.target, target);
        assert_eq!(simulate.until, Until::Elapsed(Duration::from_secs(10)));
        assert_eq!((simulate.connections, simulate.groups, simulate.senders, simulate.seed), (2, 1000, 10_000, 1));
        assert_eq!((simulate.rate, simulate.report), (None, None));
    }

    #[test]
    fn a_target_is_taken_as_openim_would_take_it() {
        for (url, host, port, prefix) in [
            ("http://h", "h", 80, ""),
            ("http://h/", "h", 80, "/"),
            ("http://10.0.0.1:81/secret/cb", "10.0.0.1", 81, "/secret/cb"),
            ("http://[::1]:9/x/", "::1", 9, "/x/"),
        ] {
            let target = target(url).unwrap();
            assert_eq!((target.host.as_str(), target.port, target.prefix.as_str()), (host, port, prefix), "{url}");
        }
    }

    #[test]
    fn every_refusal_names_the_flag_and_the_way_out() {
        for (arguments, expected) in [
            (
                ["--target", "https://h"],
                "--target https://h: https is not supported yet; send to a plain http listener",
            ),
            (["--target", "localhost:10006"], "--target localhost:10006: must start with http://"),
            (["--target", "http://h:99999"], "--target http://h:99999: has no usable port"),
            (["--target", "http://h:0"], "--target http://h:0: has no usable port"),
            (["--target", "http://u:p@h"], "--target http://u:p@h: a user and password are not supported yet"),
            (["--target", "http://h/?a=b"], "--target http://h/?a=b: must end with the path"),
            (["--rate", "-5"], "--rate -5: must be from 0.001 to 10000000 a second; leave it out"),
            (["--rate", "nan"], "--rate NaN: must be from"),
            (["--groups", "0"], "--groups 0: must be from 1 to 100000000"),
            (["--senders", "100000001"], "--senders 100000001: must be from 1 to 100000000"),
            (["--connections", "1025"], "--connections 1025: must be from 1 to 1024"),
            (["--duration", "30"], "--duration 30: is not a time; write it like 30s"),
            (["--duration", "0s"], "--duration 0s: must be longer than nothing"),
            (["--duration", "31d"], "--duration 31d: must be at most 30d"),
            (["--count", "0"], "--count 0: must be at least 1"),
        ] {
            let mut all = arguments.to_vec();
            if arguments[0] != "--target" {
                all.extend(["--target", "http://h"]);
            }
            let error = checked(&all).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        let both = checked(&["--target", "http://h", "--count", "5", "--duration", "1s"]).unwrap_err();
        assert!(both.contains("--duration") && both.contains("--count"), "{both}");
        assert!(until(Some("1s"), Some(5)).is_err());
    }

    #[test]
    fn a_report_goes_to_a_file_or_to_the_standard_output() {
        let report = |to| checked(&["--target", "http://h", "--report", to]).unwrap().report;
        assert_eq!(report("-"), Some(ReportTo::Stdout));
        assert_eq!(report("r.json"), Some(ReportTo::File("r.json".into())));
    }
}
