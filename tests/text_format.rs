//! Groups with any name are read back correctly from a scrape by Python's parser, promtool and Prometheus.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod oracle;
mod support;

use std::collections::BTreeMap;

use oracle::{Prometheus, assert_clean, config_for};
use support::python::read_with;
use support::{Exporter, GROUP_MESSAGE_PATH};

/// A sample as parsed by Python: name, labels, value, exemplar.
type Sample = (String, BTreeMap<String, String>, f64, Option<Exemplar>);

/// Labels, value, and time in seconds since the epoch.
type Exemplar = (BTreeMap<String, String>, f64, f64);

/// Names that have broken exporters, or could.
fn hostile_names() -> Vec<String> {
    let controls: String = (1..0x20).chain(0x7f..0xa0).filter_map(char::from_u32).collect();
    let ends: Vec<_> = (0..0x20).filter_map(char::from_u32).map(|end| format!("{end}in between{end}")).collect();
    let names = [
        " ",
        "   ",
        "\"",
        "\"\"",
        "\\",
        "\\\\",
        "ends with a backslash\\",
        "\\n is not a newline",
        "\\\" is not an end",
        "g\"quoted\\back\nline",
        "\r",
        "carriage\r\nreturn",
        "\n",
        "\t",
        "null\0byte",
        "line\u{2028}and paragraph\u{2029}",
        "next line\u{85}",
        "right \u{202e}to\u{200f} left",
        "\u{feff}with a mark",
        "\u{fffe}\u{ffff}\u{10ffff}",
        "four bytes \u{1f44b}\u{1f3fd}",
        "\u{7fa4}\u{804a}-1",
        "e\u{301} and \u{e9}",
        "{}",
        ",=\",le=\"+Inf\"",
        "# HELP openim_active_groups no",
        "# EOF",
        "x\"} 1\nopenim_active_groups{window=\"5m\"} 999",
        "x\n# TYPE y counter\ny_total 5\n",
        "NaN",
        "+Inf",
    ];
    let mut names: Vec<_> = names.map(str::to_owned).into_iter().chain(ends).collect();
    names.extend([controls, "g".repeat(63)]);
    names.iter_mut().for_each(|name| name.truncate(name.floor_char_boundary(63)));
    names
}

/// Sends one message to the first group, two to the second, and so on. Returns the expected counts.
fn feed(exporter: &Exporter, names: &[String]) -> BTreeMap<String, f64> {
    let mut client = exporter.connect();
    for (position, name) in names.iter().enumerate() {
        let body = serde_json::json!({"sendID": "u1", "groupID": name}).to_string();
        (0..=position).for_each(|_| assert_eq!(client.post(GROUP_MESSAGE_PATH, &body).status, 200, "{name:?}"));
    }
    let expected: BTreeMap<_, _> = names.iter().cloned().zip((1..).map(f64::from)).collect();
    assert_eq!(expected.len(), names.len(), "the names must differ");
    expected
}

/// Reads a scrape with Python's parser of the text format.
fn read_by_python(scrape: &[u8]) -> Vec<Sample> {
    read_by_python_as("text", scrape)
}

/// Gets a scrape of a media type in version 1.0.0.
fn scrape_of(exporter: &Exporter, path: &str, media_type: &str) -> Vec<u8> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\naccept: {media_type};version=1.0.0\r\n\r\n");
    let scrape = exporter.ask(request.as_bytes());
    let content_type = format!("{media_type}; version=1.0.0; charset=utf-8; escaping=underscores");
    assert_eq!(scrape.header("content-type"), Some(content_type.as_str()));
    scrape.body
}

/// Gets a scrape in OpenMetrics, and reads it with Python's parser, which is the reference for that format.
fn open_metrics(exporter: &Exporter, path: &str) -> Vec<Sample> {
    read_by_python_as("openmetrics", &scrape_of(exporter, path, "application/openmetrics-text"))
}

fn read_by_python_as(format: &str, scrape: &[u8]) -> Vec<Sample> {
    read_with("tests/text_format.py", format, scrape)
}

fn groups_in(samples: &[Sample]) -> BTreeMap<String, f64> {
    let families = ["openim_group_messages_by_group_total", "openim_tracked_group_messages_total"];
    let groups = samples.iter().filter(|(name, ..)| families.contains(&name.as_str()));
    groups.map(|(_, labels, value, _)| (labels["group_id"].clone(), *value)).collect()
}

#[test]
#[ignore = "needs python3-prometheus-client and prometheus"]
fn python_s_parser_and_prometheus_read_hostile_names_back_exactly() {
    let exporter = Exporter::start(&[]);
    let expected = feed(&exporter, &hostile_names());
    let scrape = exporter.get("/metrics").body;
    assert_clean(&scrape);
    let groups = groups_in(&read_by_python(&scrape));
    for (name, messages) in &expected {
        assert_eq!(groups.get(name), Some(messages), "Python: {name:?}");
    }
    assert_eq!(groups.len(), expected.len());
    for path in ["/metrics", "/metrics/groups"] {
        let groups = groups_in(&open_metrics(&exporter, path));
        assert_eq!(groups, expected, "Python, OpenMetrics at {path}");
        let scrape = scrape_of(&exporter, path, "text/plain");
        assert_clean(&scrape);
        assert_eq!(groups_in(&read_by_python(&scrape)), expected, "Python, text 1.0.0 at {path}");
    }

    let prometheus = Prometheus::start(&config_for(exporter.address()));
    prometheus.wait_for_a_scrape();
    let groups = prometheus.values_by_label("group_id", "openim_group_messages_by_group_total");
    for (name, messages) in &expected {
        assert_eq!(groups.get(name), Some(messages), "Prometheus: {name:?}");
    }
    assert_eq!(groups.len(), expected.len());
}

#[test]
#[ignore = "needs python3-prometheus-client and prometheus"]
fn names_of_5000_bytes_are_shortened_and_distinguished_by_their_hash() {
    let exporter = Exporter::start(&[]);
    let names = [format!("{}1", "\"\\\n\u{7fa4}".repeat(833)), format!("{}2", "\"\\\n\u{7fa4}".repeat(833))];
    assert!(names[0].len() >= 4999);
    feed(&exporter, &names);
    let scrape = exporter.get("/metrics").body;
    assert_clean(&scrape);
    let groups = groups_in(&read_by_python(&scrape));
    assert_eq!(groups.values().sum::<f64>(), 3.0);
    let parts: Vec<_> = groups.keys().map(|name| name.rsplit_once('~').unwrap()).collect();
    let [(start, hash), (other_start, other_hash)] = parts[..] else { panic!("{groups:?}") };
    let id_start = start.trim_end_matches('~');
    assert!(start == other_start && id_start.len() > 27 && names[0].starts_with(id_start), "{start:?}");
    assert!(hash != other_hash && hash.len() == 32 && start.len() + 1 + hash.len() == 64, "{hash} {other_hash}");
}

#[test]
#[ignore = "needs python3-prometheus-client and prometheus"]
fn the_reported_number_of_series_equals_the_number_that_prometheus_counts() {
    let exporter = Exporter::start(&[]);
    feed(&exporter, &hostile_names());
    // The first scrape after the messages. From now on, the series stay the same.
    let samples = read_by_python(&exporter.get("/metrics").body).len() as f64;
    // A scrape of `/metrics/groups` in between, which must not set the number.
    exporter.get("/metrics/groups");
    assert_eq!(exporter.scrape().value("openim_exporter_scrape_series"), samples);
    // Prometheus requests OpenMetrics.
    let samples = open_metrics(&exporter, "/metrics").len() as f64;
    assert_eq!(exporter.scrape().value("openim_exporter_scrape_series"), samples);
    let prometheus = Prometheus::start(&config_for(exporter.address()));
    prometheus.wait_for_a_scrape();
    assert_eq!(prometheus.value("scrape_samples_scraped"), samples);
}

#[test]
#[ignore = "needs python3-prometheus-client"]
fn python_s_parser_finds_the_exemplar_of_a_message_s_bucket() {
    let exporter = Exporter::start(&[]);
    let now_ms = || i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    // Without braces, which Python's parser does not support in an exemplar. The test with Prometheus uses them.
    let (begin, id) = (now_ms(), "op-17,le='1' 5\u{1f44b}");
    let body = serde_json::json!({"sendID": "u", "groupID": "g", "operationID": id, "sendTime": begin - 70_000});
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, body.to_string()).status, 200);
    let samples = open_metrics(&exporter, "/metrics");
    let found: Vec<_> = samples.iter().filter_map(|sample| Some((sample, sample.3.as_ref()?))).collect();
    let [((name, labels, count, _), (exemplar, value, at))] = found[..] else { panic!("{found:?}") };
    assert_eq!(name, "openim_group_message_delivery_delay_seconds_bucket");
    assert_eq!((labels["le"].as_str(), *count), ("300.0", 1.0));
    assert_eq!(exemplar, &BTreeMap::from([("operation_id".to_owned(), id.to_owned())]));
    let took = (now_ms() - begin) as f64 / 1000.0;
    assert!((70.0..=70.0 + took).contains(value), "{value}");
    assert!((begin as f64 / 1000.0..=now_ms() as f64 / 1000.0).contains(at), "{at}");
}

#[test]
#[ignore = "needs python3-prometheus-client"]
#[should_panic(expected = "Python's parser refuses the scrape")]
fn python_s_parser_does_not_accept_the_wrong_format() {
    read_by_python_as("openmetrics", &Exporter::start(&[]).get("/metrics").body);
}
