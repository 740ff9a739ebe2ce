//! `simulate`'s flags and settings.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::duration::{self, Notation};
use super::parse::number;
use super::tls_flags::TlsFlags;

pub use super::target::{CertificateTrust, IdentityFiles, Target};

/// Group and sender numbers: the IDs made of them are distinct at least up to here.
const IDS: RangeInclusive<u32> = 1..=100_000_000;

const MAX_CONNECTIONS: usize = 1024;

/// Callbacks per second.
const RATES: RangeInclusive<f64> = 0.001..=10_000_000.0;

/// Times the pace of the records.
const SPEEDS: RangeInclusive<f64> = 0.001..=1_000_000.0;

const DEFAULT_DURATION: Duration = Duration::from_secs(10);

const MAX_DURATION: Duration = Duration::from_secs(30 * 24 * 3600);

/// Send made-up callbacks as OpenIM does, to test or size an exporter
///
/// It reports how they were answered. Each connection waits for the answer before it sends the next callback. As in
/// OpenIM, a callback times out after 5 s and is never sent again.
#[derive(clap::Args)]
pub(super) struct SimulateFlags {
    /// Where to send, as in OpenIM's own setting: `http[s]://[user:password@]host[:port][/prefix]`
    ///
    /// Like OpenIM, it appends `/` and the callback's name. A callback secret is part of the prefix.
    /// Characters of the user or password that a URL cannot hold are written as `%XX`. Secrets are never printed, but
    /// users who may list this machine's processes can see them.
    ///
    /// With https, it uses HTTP/2 if the server supports it, like Go's client. Each connection then has one request at a
    /// time.
    #[arg(long, value_name = "URL")]
    target: String,

    #[command(flatten)]
    tls: TlsFlags,

    /// Send the callbacks of these records again: files of --record.path, compressed or not; `-` is standard input
    ///
    /// Each callback is sent as it was received, with its path and query, and with the original timing unless --speed
    /// or --rate changes it. Those of one group, or else of one user, are sent one after the other. Several files are
    /// sent in the order of their first records. The report of a replay has no table of messages and groups.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["callbacks", "groups", "senders", "seed"])]
    replay: Vec<PathBuf>,

    /// With --replay, how many times as fast as they were received: 10, or 0.5 for half as fast [default: 1]
    #[arg(long, value_name = "FACTOR", requires = "replay", conflicts_with = "rate", value_parser = number(SPEEDS))]
    speed: Option<f64>,

    /// With --replay, count lines that are not records and continue; by default, the first one ends the run
    #[arg(long, requires = "replay")]
    skip_invalid: bool,

    /// Callbacks per second, over all connections [default: as fast as they are answered]
    ///
    /// The sender keeps to one schedule and catches up after a slow answer; the report says if it could not.
    #[arg(long, value_name = "PER_SECOND", value_parser = number(RATES))]
    rate: Option<f64>,

    /// Which callbacks to send: `group-messages`, or `all`
    ///
    /// With `all`, people come online, send and read messages, join and leave groups, and go offline, and OpenIM has all
    /// callbacks enabled. Three of four callbacks are about a message in a group: one before, and one after it is sent.
    /// docs/performance.md lists what people do how often.
    #[arg(long, value_name = "KIND", default_value = "group-messages", value_parser = callbacks())]
    callbacks: Callbacks,

    /// Number of groups; a few of them get most messages
    #[arg(long, value_name = "N", default_value = "1000", value_parser = number(IDS))]
    groups: u32,

    /// Number of people
    #[arg(long, value_name = "N", default_value = "10000", value_parser = number(IDS))]
    senders: u32,

    /// Number of concurrent connections; one OpenIM process has 2
    #[arg(long, value_name = "N", default_value = "2", value_parser = number(1..=MAX_CONNECTIONS))]
    connections: usize,

    /// Duration of the run, unless --count is set: 30s, 5m, 1h30m [default: 10s; with --replay, until the last record]
    #[arg(long, value_name = "TIME", conflicts_with = "count", value_parser = run_time)]
    duration: Option<Duration>,

    /// Number of callbacks to send, however long it takes
    #[arg(long, value_name = "N", value_parser = number(1..=u64::MAX))]
    count: Option<u64>,

    /// Seed of the random messages: the same seed and --count send the same messages again
    #[arg(long, value_name = "N", default_value = "1", value_parser = number(0..=u64::MAX))]
    seed: u64,

    /// Write all counts, including those of each group, to this file as JSON; `-` is standard output
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// Also send to an exporter that already has messages
    ///
    /// Made-up messages and groups cannot be removed from an exporter's numbers. So if the target has already counted
    /// something, or does not say how much, this command asks first, or fails if it is not run in a terminal. A target
    /// that is not an openim-exporter is not asked about. The target is asked for /-/healthy and /api/v1/summary, with
    /// the user and password of --target.
    #[arg(long)]
    yes: bool,
}

/// The settings of a simulation.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulate {
    /// Where to send.
    pub target: Target,
    /// Callbacks per second in all; `None` means as fast as they are answered.
    pub rate: Option<f64>,
    /// Which callbacks are made up and sent.
    pub callbacks: Callbacks,
    /// The records that are sent instead.
    pub replay: Option<Replay>,
    /// Number of groups, at least 1.
    pub groups: u32,
    /// Number of people, at least 1.
    pub senders: u32,
    /// Number of concurrent connections, at least 1.
    pub connections: usize,
    /// When the simulation ends.
    pub until: Until,
    /// The seed of the random messages.
    pub seed: u64,
    /// Where the full report goes.
    pub report: Option<ReportTo>,
    /// Whether an exporter that already has messages may get more.
    pub is_confirmed: bool,
}

/// Which callbacks a simulation sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callbacks {
    /// Only those for group messages that were sent.
    GroupMessages,
    /// Those of everything that people do.
    All,
}

/// Records that are sent again.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The files, at least one; `-` is the standard input.
    pub files: Vec<PathBuf>,
    /// How many times as fast as they were received, unless there is a rate.
    pub speed: f64,
    /// Whether lines that are not records are skipped.
    pub skip_invalid: bool,
}

/// When a simulation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After this many callbacks.
    Sent(u64),
    /// After the last record.
    Replayed,
}

/// Where the full report goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportTo {
    /// The standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

impl SimulateFlags {
    /// # Errors
    /// Name the flag and say how to correct it; they show nothing of the target, which may have a password.
    pub(super) fn check(self) -> Result<Simulate, String> {
        let mut target: Target = self.target.parse().map_err(|problem| format!("--target: {problem}"))?;
        self.tls.give_to(&mut target, "--target")?;
        let report =
            self.report.map(|path| if path.as_os_str() == "-" { ReportTo::Stdout } else { ReportTo::File(path) });
        if self.replay.len() > 1 && self.replay.iter().any(|path| path.as_os_str() == "-") {
            return Err("--replay: standard input (-) cannot be combined with files; give either".to_owned());
        }
        let until = match (self.count, self.duration) {
            (Some(count), _) => Until::Sent(count),
            (None, None) if !self.replay.is_empty() => Until::Replayed,
            (None, duration) => Until::Elapsed(duration.unwrap_or(DEFAULT_DURATION)),
        };
        let replay = (!self.replay.is_empty()).then(|| Replay {
            files: self.replay,
            speed: self.speed.unwrap_or(1.0),
            skip_invalid: self.skip_invalid,
        });
        Ok(Simulate {
            target,
            rate: self.rate,
            callbacks: self.callbacks,
            replay,
            groups: self.groups,
            senders: self.senders,
            connections: self.connections,
            until,
            seed: self.seed,
            report,
            is_confirmed: self.yes,
        })
    }
}

fn callbacks() -> impl TypedValueParser<Value = Callbacks> {
    let kinds = PossibleValuesParser::new(["group-messages", "all"]);
    kinds.map(|kind| if kind == "all" { Callbacks::All } else { Callbacks::GroupMessages })
}

fn run_time(text: &str) -> Result<Duration, &'static str> {
    duration::parse(text, Notation::Flags)
        .filter(|duration| !duration.is_zero() && *duration <= MAX_DURATION)
        .ok_or("give a time from 1ms to 30d, as in 30s, 500ms, 5m or 1h30m")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct SimulateCommand {
        #[command(flatten)]
        flags: SimulateFlags,
    }

    fn checked(arguments: &[&str]) -> Result<Simulate, String> {
        let all = ["simulate"].iter().chain(arguments);
        SimulateCommand::try_parse_from(all).map_err(|error| error.to_string())?.flags.check()
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
            identity: None,
            proxy_header: false,
        };
        assert_eq!(simulate.target, target);
        assert_eq!(simulate.until, Until::Elapsed(Duration::from_secs(10)));
        assert_eq!((simulate.connections, simulate.groups, simulate.senders, simulate.seed), (2, 1000, 10_000, 1));
        assert_eq!((simulate.rate, simulate.callbacks, simulate.report), (None, Callbacks::GroupMessages, None));
    }

    #[test]
    fn trusted_certificates_are_set_for_https_only() {
        let trust = |arguments: &[&str]| checked(arguments).unwrap().target.trust;
        assert_eq!(trust(&["--target", "https://h"]), Some(CertificateTrust::System));
        assert_eq!(
            trust(&["--target", "https://h", "--ca-file", "/f"]),
            Some(CertificateTrust::Authorities("/f".into()))
        );
        assert_eq!(trust(&["--target", "https://h", "--tls-skip-verify"]), Some(CertificateTrust::Any));
        let both = checked(&["--target", "https://h", "--ca-file", "f", "--tls-skip-verify"]).unwrap_err();
        assert!(both.contains("--ca-file") && both.contains("--tls-skip-verify"), "{both}");
        let plain = checked(&["--target", "http://h", "--ca-file", "f"]).unwrap_err();
        assert!(
            plain.starts_with(
                "--ca-file: only an https:// target has certificates; change --target, or remove --ca-file"
            ),
            "{plain}"
        );
        let plain = checked(&["--target", "http://h", "--tls-skip-verify"]).unwrap_err();
        assert!(plain.starts_with("--tls-skip-verify: only an https:// target has certificates"), "{plain}");
    }

    #[test]
    fn errors_name_the_flag_and_say_how_to_correct_it() {
        for (arguments, expected) in [
            (["--target", "localhost:10006"], "--target: must start with http:// or https://; write it like http://"),
            (["--target", "http://"], "--target: has no host; write it like"),
            (["--target", "http://h:99999"], "--target: has no usable port; write it like"),
            (["--target", "http://h:0"], "--target: has no usable port; write it like"),
            (["--target", "http://u:%p@h"], "--target: has a user or password that a URL cannot hold; write each"),
            (["--target", "http://u:p/@h"], "--target: has an @ after its host; write / ? # of a password as %2F"),
            (["--target", "http://h/?a=b"], "--target: must end with the path"),
            (
                ["--rate", "0"],
                "error: invalid value '0' for '--rate <PER_SECOND>': give a number from 0.001 to 10000000",
            ),
            (["--rate", "nan"], "error: invalid value 'nan' for '--rate <PER_SECOND>': give a number from"),
            (["--groups", "0"], "error: invalid value '0' for '--groups <N>': give a number from 1 to 100000000"),
            (
                ["--senders", "100000001"],
                "error: invalid value '100000001' for '--senders <N>': give a number from 1 to 100000000",
            ),
            (
                ["--connections", "1025"],
                "error: invalid value '1025' for '--connections <N>': give a number from 1 to 1024",
            ),
            (
                ["--duration", "30"],
                "error: invalid value '30' for '--duration <TIME>': give a time from 1ms to 30d, as in 30s",
            ),
            (["--duration", "0s"], "error: invalid value '0s' for '--duration <TIME>': give a time from 1ms"),
            (["--duration", "31d"], "error: invalid value '31d' for '--duration <TIME>': give a time from 1ms to 30d"),
            (["--count", "0"], "error: invalid value '0' for '--count <N>': give a number from 1"),
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
    }

    #[test]
    fn all_callbacks_are_sent_if_wanted() {
        let callbacks = |kind| checked(&["--target", "http://h", "--callbacks", kind]).map(|all| all.callbacks);
        assert_eq!(callbacks("all"), Ok(Callbacks::All));
        assert_eq!(callbacks("group-messages"), Ok(Callbacks::GroupMessages));
        assert!(callbacks("most").unwrap_err().contains("[possible values: group-messages, all]"));
    }

    #[test]
    fn records_are_sent_until_the_last_one_at_their_own_pace() {
        let simulate = checked(&["--replay", "a", "b.gz", "--target", "http://h"]).unwrap();
        let replay = Replay { files: vec!["a".into(), "b.gz".into()], speed: 1.0, skip_invalid: false };
        assert_eq!((simulate.replay, simulate.until), (Some(replay), Until::Replayed));
        for [flag, value] in [["--groups", "5"], ["--callbacks", "all"], ["--seed", "7"], ["--senders", "7"]] {
            let both = checked(&["--target", "http://h", flag, value, "--replay", "a"]).unwrap_err();
            assert!(both.contains("--replay") && both.contains(flag), "{both}");
        }
        assert!(checked(&["--target", "http://h", "--speed", "2"]).unwrap_err().contains("--replay"));
        assert!(checked(&["--target", "http://h", "--replay", "a", "--speed", "0"]).is_err());
    }

    #[test]
    fn the_report_goes_to_a_file_or_to_the_standard_output() {
        let report = |to| checked(&["--target", "http://h", "--report", to]).unwrap().report;
        assert_eq!(report("-"), Some(ReportTo::Stdout));
        assert_eq!(report("r.json"), Some(ReportTo::File("r.json".into())));
    }
}
