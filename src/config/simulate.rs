//! `simulate`'s flags, and what they mean once checked.

mod target;

use std::path::PathBuf;
use std::time::Duration;

use super::duration;

pub use target::{Target, TargetUrl, Trust};

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
    /// Where to send, as in OpenIM's own setting: `http[s]://[user:password@]host[:port][/prefix]`
    ///
    /// `/callbackAfterSendGroupMsgCommand` is appended, as OpenIM does. A callback secret is part of the prefix. What a
    /// URL cannot hold of a user or password is written as `%XX`. None of these is ever printed, but whoever may list
    /// this machine's processes sees them.
    ///
    /// With https, HTTP/2 is spoken where the server offers it, as by Go. Each connection is then one of HTTP/2, with
    /// one request at a time.
    #[arg(long, value_name = "URL")]
    pub target: TargetUrl,

    /// Trusts the certificates of the authorities in this PEM file and no others, instead of those that the system
    /// trusts
    ///
    /// A server's own self-signed certificate will do too.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// Takes any certificate, whoever it is of: for an exporter that you reach by another name, on a network of your own
    ///
    /// Whoever is in between can read everything then, the password and the secret too.
    #[arg(long, conflicts_with = "ca_file")]
    pub tls_skip_verify: bool,

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

/// A flag's value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{flag}{given}: {problem}")]
pub struct SimulateError {
    flag: &'static str,
    /// After a space, or empty where it may hold a secret.
    given: String,
    problem: String,
}

impl SimulateError {
    fn new(flag: &'static str, given: impl std::fmt::Display, problem: impl Into<String>) -> Self {
        Self { flag, given: format!(" {given}"), problem: problem.into() }
    }
}

impl TryFrom<SimulateFlags> for Simulate {
    type Error = SimulateError;

    fn try_from(flags: SimulateFlags) -> Result<Self, SimulateError> {
        let connections = within("connections", flags.connections, MOST_CONNECTIONS)?;
        Ok(Self {
            target: target(&flags)?,
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

fn target(flags: &SimulateFlags) -> Result<Target, SimulateError> {
    let target = Target::try_from(&flags.target);
    let mut target = target.map_err(|problem| SimulateError { flag: "target", given: String::new(), problem })?;
    let (trust, flag, given) = match &flags.ca_file {
        Some(file) => (Trust::Authorities(file.clone()), "ca-file", format!(" {}", file.display())),
        None if flags.tls_skip_verify => (Trust::Anybody, "tls-skip-verify", String::new()),
        None => return Ok(target),
    };
    if target.trust.is_none() {
        let problem = "is about certificates; give it with an https:// target, or leave it out".to_owned();
        return Err(SimulateError { flag, given, problem });
    }
    target.trust = Some(trust);
    Ok(target)
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
            authorization: None,
            trust: None,
        };
        assert_eq!(simulate.target, target);
        assert_eq!(simulate.until, Until::Elapsed(Duration::from_secs(10)));
        assert_eq!((simulate.connections, simulate.groups, simulate.senders, simulate.seed), (2, 1000, 10_000, 1));
        assert_eq!((simulate.rate, simulate.report), (None, None));
    }

    #[test]
    fn whose_certificates_are_good_is_told_for_https() {
        let trust = |arguments: &[&str]| checked(arguments).unwrap().target.trust;
        assert_eq!(trust(&["--target", "https://h"]), Some(Trust::System));
        assert_eq!(trust(&["--target", "https://h", "--ca-file", "f"]), Some(Trust::Authorities("f".into())));
        assert_eq!(trust(&["--target", "https://h", "--tls-skip-verify"]), Some(Trust::Anybody));
        let both = checked(&["--target", "https://h", "--ca-file", "f", "--tls-skip-verify"]).unwrap_err();
        assert!(both.contains("--ca-file") && both.contains("--tls-skip-verify"), "{both}");
        let plain = checked(&["--target", "http://h", "--ca-file", "f"]).unwrap_err();
        assert!(plain.starts_with("--ca-file f: is about certificates; give it with an https:// target"), "{plain}");
        let plain = checked(&["--target", "http://h", "--tls-skip-verify"]).unwrap_err();
        assert!(plain.starts_with("--tls-skip-verify: is about certificates"), "{plain}");
    }

    #[test]
    fn every_refusal_names_the_flag_and_the_way_out() {
        for (arguments, expected) in [
            (["--target", "localhost:10006"], "--target: must start with http:// or https://; write it like http://"),
            (["--target", "http://"], "--target: has no host; write it like"),
            (["--target", "http://h:99999"], "--target: has no usable port; write it like"),
            (["--target", "http://h:0"], "--target: has no usable port; write it like"),
            (["--target", "http://u:%p@h"], "--target: has a user or password that a URL cannot hold; write what"),
            (["--target", "http://u:p/@h"], "--target: has an @ after its host; write / ? # of a password as %2F"),
            (["--target", "http://h/?a=b"], "--target: must end with the path"),
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
