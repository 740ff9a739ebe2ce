//! Nine days of samples, extrapolated from a real exporter that is watched for some seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::f64::consts::TAU;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use std::{fs, thread};

use tempfile::TempDir;

use super::installation::{DURATION, OPENIM, Receiver, SLOW, config, instance, serve_openim};
use super::monitoring::at;
use super::oracle::{Prometheus, create_blocks_from};

/// How long the real exporter is watched.
const WATCHED: Duration = Duration::from_secs(20);

const DAY: u64 = 86_400;

/// A name with its labels.
type Series = BTreeMap<String, String>;

/// A set of series that an installation has or lacks as a whole.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Part {
    /// All metrics except those below.
    Core,
    /// The metrics about certificates.
    Tls,
    /// OpenIM's own metrics, and the rules on them.
    Openim,
}

/// A part of an exporter's history.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Past {
    pub(crate) part: Part,
    /// The number of the exporter.
    pub(crate) exporter: usize,
    /// How long ago it ended, in seconds.
    pub(crate) ended: u64,
    /// Whether each callback took [`SLOW`] in the last quarter of an hour.
    pub(crate) is_slow: bool,
}

/// Blocks of Prometheus' database with these histories.
pub(crate) struct History {
    blocks: BTreeMap<Past, TempDir>,
}

impl History {
    /// Watches a real exporter, and writes these histories.
    pub(crate) fn record(pasts: &BTreeSet<Past>) -> Self {
        let watched = watch();
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let written = thread::scope(|scope| {
            let one = |past: &Past| {
                let (past, watched) = (*past, &watched);
                scope.spawn(move || (past, blocks(&past, watched, now - past.ended)))
            };
            let all: Vec<_> = pasts.iter().map(one).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        Self { blocks: written }
    }

    /// Adds histories to a database.
    pub(crate) fn add_to(&self, database: &Path, pasts: &[Past]) {
        fs::create_dir_all(database).unwrap();
        for past in pasts {
            for block in fs::read_dir(self.blocks[past].path().join("data")).unwrap().map(Result::unwrap) {
                copy(&block.path(), &database.join(block.file_name()));
            }
        }
    }
}

/// Prometheus may change a block's directory, but not its files.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

/// All series of a real exporter, with their values and their increase per second.
fn watch() -> Vec<(Series, f64, f64)> {
    let exporter = Receiver::start(true);
    let openim = serve_openim();
    let prometheus = Prometheus::start(&config(&[exporter.address()], true, Some(openim), &at("prometheus/rules")));
    let _sender = exporter.receive();
    let stop = Arc::new(AtomicBool::new(false));
    exporter.report(&stop);
    prometheus.wait_for_scrapes_of(2);
    thread::sleep(Duration::from_secs(2));
    let all = || prometheus.query("{__name__=~\".+\", __name__!~\"ALERTS.*\"}");
    let before: BTreeMap<_, _> = all().into_iter().collect();
    thread::sleep(WATCHED);
    let increase = |series: &Series, value: f64| (value - before.get(series).unwrap_or(&0.0)) / WATCHED.as_secs_f64();
    let after = all();
    // Known only after two days.
    let retention = after.iter().filter(|(series, _)| series["__name__"] == "openim_exporter_build_info");
    let retention: Vec<_> = retention.map(|(series, _)| (retention_of(series), 0.4, 0.0)).collect();
    let after = after.into_iter();
    stop.store(true, Ordering::Relaxed);
    let complete = |series: &Series, value: f64| value * window(&series["__name__"]) / WATCHED.as_secs_f64();
    let watched = after.map(|(series, value)| (series.clone(), complete(&series, value), increase(&series, value)));
    // This one needs more attempts than there are while it is watched.
    let missing = ["group", "single"].map(|chat| {
        let labels = [("__name__", "job:openim_messages_missing:ratio30m"), ("job", "openim-exporter"), ("chat", chat)];
        (labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(), 0.02, 0.0)
    });
    watched.chain(missing).chain(retention).collect()
}

/// The retention of senders after a day, of the exporter of another series.
fn retention_of(series: &Series) -> Series {
    let labels = [("__name__", "openim_sender_retention_ratio"), ("after", "1d")];
    let target = ["job", "instance"].map(|label| (label.to_owned(), series[label].clone()));
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().chain(target).collect()
}

/// The window in seconds of a recorded rate, such as `:rate10m`, which was watched for only part of that window.
fn window(name: &str) -> f64 {
    let recorded = name.rsplit_once(":rate").or_else(|| name.rsplit_once(":ratio")).map(|(_, window)| window);
    let watched = WATCHED.as_secs_f64();
    match recorded.unwrap_or_default() {
        "5m" => 300.0,
        "10m" => 600.0,
        "1h" => 3600.0,
        _ => watched,
    }
}

fn part_of(series: &Series) -> Part {
    let name = &series["__name__"];
    if series.get("job").is_some_and(|job| job == OPENIM) || name.starts_with("openim:") {
        Part::Openim
    } else if name.contains("tls") || name.contains("certificate") {
        Part::Tls
    } else {
        Part::Core
    }
}

/// The seconds before the end at which there are samples, the earliest first: closer together in the last six hours,
/// which most panels show.
fn times(end: u64) -> Vec<u64> {
    let (long, recent) = ((9 * DAY - 6 * 3600) / 300, 6 * 3600 / 20);
    let long = (0..long).map(|step| end - 9 * DAY + step * 300);
    long.chain((0..=recent).map(|step| end - 6 * 3600 + step * 20)).collect()
}

/// The values of one series.
struct Curve<'a> {
    name: &'a str,
    /// The value when it was watched, and its increase per second.
    watched: (f64, f64),
    begin: u64,
    end: u64,
    /// From this time on, the sum of a histogram increases by this much per second, and its low buckets do not
    /// increase.
    slow: Option<(u64, f64)>,
}

impl Curve<'_> {
    fn at(&self, time: u64) -> f64 {
        let (value, _) = self.watched;
        let age = (time - self.begin) as f64 / (self.end - self.begin) as f64;
        match self.name {
            name if name.contains(":rate") => value * (1.0 + 0.5 * (TAU * time as f64 / DAY as f64).sin()),
            // They grow, so that there is a forecast.
            name if name.contains("cap_used:ratio") => value * (0.8 + 0.2 * age),
            name if name.contains(':') => value,
            // Panels read its last value, also if the exporter is down.
            "openim_exporter_callbacks_total" => self.count(time),
            // The counters of the real exporter continue from 0.
            name if is_counter(name) => self.count(time) - self.count(self.end),
            "process_start_time_seconds" => self.begin as f64,
            "openim_exporter_last_callback_timestamp_seconds" => time as f64,
            _ => value,
        }
    }

    /// The traffic grows by 4 % a day, up to the watched rate at the end. Within each day, it rises and falls by half.
    fn count(&self, time: u64) -> f64 {
        let days = |seconds: u64| seconds as f64 / DAY as f64;
        let (all, left) = (days(self.end - self.begin), |time: u64| days(self.end) - days(time));
        let usual = |time: u64| {
            let grown = all - left(time) - 0.02 * (all.powi(2) - left(time).powi(2));
            self.watched.1 * DAY as f64 * (grown - 0.5 / TAU * (TAU * days(time)).cos())
        };
        match self.slow {
            Some((since, increase)) if time > since => usual(since) + increase * (time - since) as f64,
            _ => usual(time),
        }
    }
}

fn is_counter(name: &str) -> bool {
    ["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end))
}

/// What slow answers change in this series.
fn slow(series: &Series, end: u64, callbacks: f64) -> Option<(u64, f64)> {
    let since = end - 900;
    match series["__name__"].strip_prefix(DURATION)? {
        "sum" => Some((since, callbacks * SLOW)),
        "bucket" if series["le"] != "+Inf" && series["le"].parse::<f64>().unwrap() < SLOW => Some((since, 0.0)),
        _ => None,
    }
}

/// Writes a history, and makes blocks of it in `data`.
fn blocks(past: &Past, watched: &[(Series, f64, f64)], end: u64) -> TempDir {
    let directory = TempDir::new().unwrap();
    let [file, data] = ["history.txt", "data"].map(|name| directory.path().join(name).to_str().unwrap().to_owned());
    let (times, begin) = (times(end), end - 9 * DAY);
    let count = watched.iter().find(|(series, ..)| series["__name__"].strip_prefix(DURATION) == Some("count"));
    let callbacks = count.unwrap().2;
    let mut text = String::new();
    // Most combinations of a message's labels are rare.
    let is_rare = |name: &str, increase: f64| name == "openim_group_messages_total" && increase < 0.5;
    for (series, value, increase) in watched.iter().filter(|(series, ..)| part_of(series) == past.part) {
        let name = &series["__name__"];
        if is_rare(name, *increase) {
            continue;
        }
        let labels = series.iter().filter(|(label, _)| *label != "__name__");
        let labels = labels.map(|(label, value)| match label.as_str() {
            "instance" if past.part != Part::Openim => format!("instance=\"{}\"", instance(past.exporter)),
            _ => format!("{label}=\"{value}\""),
        });
        let slow = past.is_slow.then(|| slow(series, end, callbacks)).flatten();
        let curve = Curve { name, watched: (*value, *increase), begin, end, slow };
        let head = format!("{name}{{{}}}", labels.collect::<Vec<_>>().join(","));
        for time in &times {
            writeln!(text, "{head} {} {time}", curve.at(*time)).unwrap();
        }
    }
    text.push_str("# EOF\n");
    fs::write(&file, text).unwrap();
    create_blocks_from(&["openmetrics", &file, &data]);
    fs::remove_file(&file).unwrap();
    directory
}
