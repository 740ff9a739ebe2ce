//! When the counters began, in the API and in protobuf: a restored state keeps its start times, a reset sets new ones.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::restore::first_version;
use super::*;

#[allow(dead_code, reason = "a parser that the fuzzer uses too")]
#[path = "../../fuzz/properties/protobuf.rs"]
mod protobuf;

/// The start of 0.1.0's state in tests/state/0.1.0, and that of its first group.
const OF_FIRST_VERSION: i64 = 1_732_345_678_901;
const OF_ITS_GROUP: i64 = 1_733_123_281_401;

/// Times in milliseconds since the epoch.
#[derive(Debug, PartialEq)]
struct Began {
    /// The API's `since`.
    since: i64,
    /// When each counter and histogram of the state began, by its series.
    series: BTreeMap<String, i64>,
}

impl Began {
    fn of(exporter: &Exporter) -> Self {
        let since = exporter.get("/api/v1/summary").json()["since"].as_f64().unwrap();
        #[expect(clippy::cast_possible_truncation, reason = "a time in whole milliseconds")]
        let since = (since * 1000.0).round() as i64;
        let series: BTreeMap<_, _> =
            ["/metrics", "/metrics/groups"].iter().flat_map(|page| series(exporter, page)).collect();
        assert!(series.len() > 300, "{series:?}");
        Self { since, series }
    }

    fn group(&self, group: &str) -> i64 {
        self.series[&format!("openim_tracked_group_messages_total group_id={group}")]
    }
}

/// When each counter and histogram of a page began, except those that are not in the state.
fn series(exporter: &Exporter, page: &str) -> Vec<(String, i64)> {
    let accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let request = format!("GET {page} HTTP/1.1\r\nhost: x\r\naccept: {accept}\r\nconnection: close\r\n\r\n");
    let answer = exporter.ask(request.as_bytes());
    let mut began = Vec::new();
    for family in protobuf::parse(&answer.body).unwrap() {
        let (name, help) = (family.name.unwrap(), family.help.unwrap());
        let is_of_process = name.starts_with("process_") || help.contains("since the process started");
        // Which groups are exported depends on when they were ranked. Their counters are those of the tracked groups.
        if family.kind == Some(protobuf::GAUGE) || is_of_process || name == "openim_group_messages_by_group_total" {
            continue;
        }
        for metric in family.metrics {
            let created =
                metric.counter.map_or_else(|| metric.histogram.unwrap().created, |counter| counter.created).unwrap();
            let label = |label: &protobuf::Label| {
                format!(" {}={}", label.name.as_ref().unwrap(), label.value.as_ref().unwrap())
            };
            let labels: String = metric.labels.iter().map(label).collect();
            let ms = created.seconds.unwrap() * 1000 + i64::from(created.nanoseconds.unwrap()) / 1_000_000;
            began.push((format!("{name}{labels}"), ms));
        }
    }
    began
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A stopped exporter's state, and when its counters began.
fn counted() -> (Place, Began) {
    let place = Place::new();
    let exporter = place.count(3);
    let began = Began::of(&exporter);
    let group = began.group("group-0");
    assert!(began.since < group && group <= now(), "{began:?}");
    let of_state = began.series.iter().filter(|(series, _)| !series.contains(" group_id="));
    of_state.for_each(|(series, at)| assert_eq!(*at, began.since, "{series}"));
    end(exporter, "TERM");
    (place, began)
}

/// Starts an exporter, which must have this outcome, and returns when its counters began.
fn started(place: &Place, expected: &str) -> Began {
    let exporter = place.start();
    assert_eq!(outcome(&exporter).0, expected);
    let began = Began::of(&exporter);
    end(exporter, "KILL");
    began
}

#[test]
fn counters_that_continue_keep_their_start_times() {
    let (place, began) = counted();
    for _ in ["closed", "killed"] {
        assert_eq!(started(&place, "continued"), began);
    }
    end(place.start(), "TERM");
    let backup = place.copy("backup");
    // In the same directory, and in another one.
    let elsewhere = Place::new();
    for place in [&place, &elsewhere] {
        place.run(&["restore", text(&backup)]);
        assert_eq!(started(place, "restored"), began);
        assert_eq!(started(place, "continued"), began);
    }
    // By `cp` and `mv`.
    let copied = Place::new();
    fs::create_dir(copied.path()).unwrap();
    fs::copy(&backup, copied.at("state")).unwrap();
    assert_eq!(started(&copied, "restored"), began);
    // A backup of a running exporter, whose counters must continue.
    let backup = place.0.path().join("running");
    let exporter = place.start();
    place.run(&["backup", "--output", text(&backup)]);
    end(exporter, "KILL");
    elsewhere.run(&["restore", text(&backup), "--counters", "keep"]);
    assert_eq!(started(&elsewhere, "restored"), began);
}

#[test]
fn counters_that_are_reset_begin_at_that_start() {
    let (place, before) = counted();
    let backup = place.copy("backup");
    let commands: [&[&str]; 2] = [&["restore", text(&backup), "--counters", "reset"], &["reset-counters"]];
    for command in commands {
        place.run(command);
        let (from, began, to) = (now(), started(&place, "counters_reset"), now());
        assert!(before.since < from && (from..=to).contains(&began.since), "{command:?}: {from} {began:?}");
        assert!(began.series.values().all(|at| *at == began.since), "{command:?}: {began:?}");
        assert_eq!(began.group("group-0"), began.since, "{command:?}");
        // A kill does not change that.
        assert_eq!(started(&place, "continued"), began, "{command:?}");
    }
}

#[test]
fn counters_of_0_1_0_keep_their_start_times() {
    let (upgraded, restored) = (Place::new(), Place::new());
    fs::create_dir(upgraded.path()).unwrap();
    fs::write(upgraded.at("state"), first_version::kept()).unwrap();
    restored.run(&["restore", text(&upgraded.at("state"))]);
    for (place, expected) in [(upgraded, "continued"), (restored, "restored")] {
        let began = started(&place, expected);
        assert_eq!((began.since, began.group("group-1-1")), (OF_FIRST_VERSION, OF_ITS_GROUP), "{expected}");
        let of_state = began.series.iter().filter(|(series, _)| !series.contains(" group_id="));
        of_state.for_each(|(series, at)| assert_eq!(*at, OF_FIRST_VERSION, "{expected}: {series}"));
        assert_eq!(started(&place, "continued"), began);
    }
}
