//! A real Prometheus scrapes the exporter while callbacks arrive. At the end, its numbers must equal the sender's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod oracle;
mod support;

use std::collections::BTreeMap;

use oracle::{CONFIG, Prometheus, assert_clean, config_for, config_of_both_pages, promtool};
use serde_json::Value;
use support::{Exporter, GROUP_MESSAGE_PATH, callbacks};
use tempfile::TempDir;

/// Number of callbacks, and callbacks per second, chosen so that a run takes four scrapes at this interval. It is also
/// the timeout of a scrape, so a shorter one could fail on a busy machine.
const COUNT: &str = "20000";
const RATE: &str = "1000";
const INTERVAL: &str = "scrape_interval: 5s";

/// Sends callbacks, all of which must be accepted. Returns the sender's report.
fn simulate(exporter: &Exporter) -> Value {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("report.json");
    let target = format!("http://{}", exporter.address());
    let flags = ["simulate", "--yes", "--count", COUNT, "--rate", RATE, "--seed", "7", "--target", &target, "--report"];
    let ran = support::command(&flags).arg(&file).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(report["answered"].to_string(), COUNT);
    report
}

/// The answered callbacks of a part of the report, by key.
fn answered(part: &Value) -> BTreeMap<String, f64> {
    let counts =
        part.as_object().unwrap().iter().map(|(key, tally)| (key.clone(), tally["answered"].as_f64().unwrap()));
    let counts: BTreeMap<_, _> = counts.filter(|(_, answered)| *answered > 0.0).collect();
    assert!(!counts.is_empty(), "nothing to compare");
    counts
}

#[test]
#[ignore = "needs prometheus"]
fn prometheus_counts_exactly_the_callbacks_that_were_answered() {
    let exporter = Exporter::start(&[]);
    let config = config_for(exporter.address()).replace("scrape_interval: 1s", INTERVAL);
    let prometheus = Prometheus::start(&config);
    prometheus.wait_for_a_scrape();
    let report = simulate(&exporter);
    prometheus.wait_for_a_scrape();

    for (label, expression, part) in [
        ("content_type", "sum by (content_type) (openim_group_messages_total)", "by_content_type"),
        ("platform", "sum by (platform) (openim_group_messages_total)", "by_platform"),
        ("source", "sum by (source) (openim_group_messages_total)", "by_source"),
        ("status", "openim_group_messages_by_status_total", "by_status"),
        ("kind", "openim_group_mentions_total", "mentions"),
        ("group_id", "openim_group_messages_by_group_total", "by_group"),
    ] {
        assert_eq!(prometheus.values_by_label(label, expression), answered(&report[part]), "{expression}");
    }
    let total = report["answered"].as_f64().unwrap();
    for expression in [
        "sum(openim_group_messages_total)",
        "openim_group_message_content_bytes_count",
        "sum(openim_exporter_callbacks_total)",
        "openim_exporter_callback_duration_seconds_count",
        // Exported groups, and all other messages.
        "sum(openim_group_messages_by_group_total) + sum(openim_group_messages_folded_total)",
    ] {
        assert_eq!(prometheus.value(expression), total, "{expression}");
    }
    assert_eq!(prometheus.value("sum(openim_exporter_callbacks_rejected_total)"), 0.0);
    let senders = report["distinct_senders"]["answered"].as_f64().unwrap();
    let error = prometheus.value(r#"openim_active_senders{window="1h"}"#) / senders - 1.0;
    assert!(error.abs() <= 0.02, "{senders} senders: {error}");
    assert_the_api_estimates_as_prometheus_does(&exporter, &prometheus);
    assert_scraped_without_a_gap(&prometheus);
    assert_the_documented_queries_have_answers(&prometheus);
}

/// The API's quantiles equal those that Prometheus computes from the same histograms.
fn assert_the_api_estimates_as_prometheus_does(exporter: &Exporter, prometheus: &Prometheus) {
    let summary = exporter.get("/api/v1/summary").json();
    for name in ["content_bytes", "delivery_delay_seconds", "submit_delay_seconds"] {
        for (key, q) in [("p50", "0.5"), ("p95", "0.95"), ("p99", "0.99")] {
            let expected = prometheus.value(&format!("histogram_quantile({q}, openim_group_message_{name}_bucket)"));
            let found = summary[name][key].as_f64().unwrap();
            assert!((found / expected - 1.0).abs() < 1e-9, "{name} {key}: {found} {expected}");
        }
    }
}

/// Every scrape succeeded, several were during the run, and no counter decreased.
fn assert_scraped_without_a_gap(prometheus: &Prometheus) {
    assert_eq!(prometheus.value("min_over_time(up[10m])"), 1.0);
    assert!(prometheus.value("min_over_time(scrape_samples_scraped[10m])") > 500.0);
    assert!(prometheus.value("max(changes(openim_group_messages_by_status_total[10m]))") >= 3.0);
    for counter in
        ["openim_group_messages_total", "openim_group_messages_by_group_total", "openim_exporter_callbacks_total"]
    {
        assert_eq!(prometheus.value(&format!("sum(resets({counter}[10m]))")), 0.0, "{counter}");
    }
}

/// Each query has a value. For a wrong name, Prometheus returns an empty result, not an error.
fn assert_the_documented_queries_have_answers(prometheus: &Prometheus) {
    let (_, block) = include_str!("../docs/prometheus.md").split_once("```promql\n").unwrap();
    let (queries, _) = block.split_once("```").unwrap();
    let queries: Vec<_> = queries.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(queries.len() >= 5);
    for query in queries {
        assert!(!prometheus.query(query).is_empty(), "{query}");
    }
    assert!(prometheus.query("openim_messages_total").is_empty());
}

#[test]
#[ignore = "needs prometheus"]
fn prometheus_stores_a_message_s_operation_id_as_the_exemplar_of_its_bucket() {
    let exporter = Exporter::start(&[]);
    let sent = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap() - 20_000;
    let body =
        serde_json::json!({"sendID": "u", "groupID": "g", "operationID": "op-17 # {}", "sendTime": sent}).to_string();
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, body).status, 200);
    let config = config_for(exporter.address());
    let prometheus = Prometheus::start_with(&config, &["--enable-feature=exemplar-storage"]);
    prometheus.wait_for_a_scrape();
    let found = prometheus.exemplars("openim_group_message_delivery_delay_seconds_bucket");
    let [series] = found.as_array().unwrap().as_slice() else { panic!("{found}") };
    // Compared as a number, because a bound can be written in several ways.
    assert_eq!(series["seriesLabels"]["le"].as_str().unwrap().parse(), Ok(30.0), "{found}");
    let [exemplar] = series["exemplars"].as_array().unwrap().as_slice() else { panic!("{found}") };
    assert_eq!(exemplar["labels"], serde_json::json!({"operation_id": "op-17 # {}"}));
    let value: f64 = exemplar["value"].as_str().unwrap().parse().unwrap();
    assert!((20.0..25.0).contains(&value), "{value}");
}

/// Sends messages to five groups: to group N, N from users and one from an administrator.
fn send_to_five_groups(exporter: &Exporter) {
    for group in 1..=5 {
        for number in 0..=group {
            let from = if number == 0 { 200 } else { 100 };
            let body = serde_json::json!({"sendID": "u", "groupID": format!("g{group}"), "msgFrom": from}).to_string();
            assert_eq!(exporter.post(GROUP_MESSAGE_PATH, body).status, 200);
        }
    }
}

#[test]
#[ignore = "needs prometheus"]
fn a_prometheus_that_scrapes_both_pages_counts_nothing_twice() {
    // Of the five groups, two are exported, two only tracked, and the last one is not tracked.
    let exporter = Exporter::start(&["--groups.max-exported", "2", "--groups.max-tracked", "4"]);
    send_to_five_groups(&exporter);
    let prometheus = Prometheus::start(&config_of_both_pages(exporter.address()));
    prometheus.wait_for_scrapes_of(2);
    send_to_five_groups(&exporter);
    prometheus.wait_for_scrapes_of(2);

    let both = |query: &str| prometheus.value(query);
    assert_eq!(both("sum(openim_group_messages_total)"), 40.0);
    let by_source = prometheus.values_by_label("source", "sum by (source) (openim_group_messages_total)");
    assert_eq!(by_source, BTreeMap::from([("user".into(), 30.0), ("admin".into(), 10.0)]));
    assert_eq!(both("sum(openim_group_messages_total) - sum(openim_group_messages_by_group_total)"), 30.0);
    assert_eq!(both("sum(openim_group_messages_folded_total)"), 12.0);
    let busiest = prometheus.query("topk(10, openim_group_messages_by_group_total)");
    let groups: Vec<_> = busiest.iter().map(|(labels, messages)| (labels["group_id"].as_str(), *messages)).collect();
    assert_eq!(groups, [("g2", 6.0), ("g1", 4.0)]);
    // All tracked groups, in the metrics of /metrics/groups.
    let tracked = prometheus.values_by_label("group_id", "openim_tracked_group_messages_total");
    assert_eq!(tracked, [("g1", 4.0), ("g2", 6.0), ("g3", 8.0), ("g4", 10.0)].map(|(g, n)| (g.to_owned(), n)).into());
    assert_eq!(both("sum(openim_tracked_group_messages_total) + sum(openim_group_messages_folded_total)"), 40.0);
    assert_eq!(both("count(openim_tracked_group_active_senders)"), 8.0);
    // In one query, so that both sides have the same scrapes.
    let of_one_job = "sum(increase(openim_group_messages_total{job=\"openim-exporter\"}[10m]))";
    assert!(both(&format!("sum(increase(openim_group_messages_total[10m])) == {of_one_job}")) > 0.0);

    let twice = "count by (__name__) (count by (__name__, job) ({__name__=~\"(openim|process)_.*\"})) > 1";
    assert_eq!(prometheus.query(twice), []);
}

#[test]
#[ignore = "needs prometheus"]
fn increase_counts_the_first_message_of_each_usual_combination() {
    let exporter = Exporter::start(&[]);
    let prometheus = Prometheus::start(&config_for(exporter.address()));
    prometheus.wait_for_a_scrape();
    let messages = [
        (
            "openim_group_messages_total",
            "text",
            "ios",
            "user",
            "\"contentType\":101,\"senderPlatformID\":1,\"msgFrom\":100",
        ),
        (
            "openim_group_messages_total",
            "at_text",
            "web",
            "user",
            "\"contentType\":106,\"senderPlatformID\":5,\"msgFrom\":100",
        ),
        (
            "openim_group_messages_total",
            "custom",
            "admin",
            "admin",
            "\"contentType\":110,\"senderPlatformID\":10,\"msgFrom\":200",
        ),
        ("openim_group_messages_total", "member_quit", "unknown", "admin", "\"contentType\":1504,\"msgFrom\":200"),
        (
            "openim_single_messages_total",
            "voice",
            "android",
            "user",
            "\"contentType\":103,\"senderPlatformID\":2,\"msgFrom\":100",
        ),
        (
            "openim_single_messages_total",
            "has_read_receipt",
            "unknown",
            "admin",
            "\"contentType\":2200,\"msgFrom\":200",
        ),
        // Unusual: its first sample is the message.
        (
            "openim_group_messages_total",
            "typing",
            "ios",
            "user",
            "\"contentType\":113,\"senderPlatformID\":1,\"msgFrom\":100",
        ),
    ];
    for (family, .., fields) in messages {
        let [command, to] = if family.contains("single") {
            ["callbackAfterSendSingleMsgCommand", "recvID"]
        } else {
            ["callbackAfterSendGroupMsgCommand", "groupID"]
        };
        let body = format!("{{\"sendID\":\"u\",\"{to}\":\"x\",{fields}}}");
        assert_eq!(exporter.post(&format!("/{command}"), body).status, 200, "{fields}");
    }
    prometheus.wait_for_a_scrape();
    prometheus.wait_for_a_scrape();
    for (family, content_type, platform, source, _) in messages {
        let labels = format!("content_type=\"{content_type}\",platform=\"{platform}\",source=\"{source}\"");
        let increase = prometheus.value(&format!("increase({family}{{{labels}}}[10m])"));
        // Prometheus extrapolates by half a scrape interval.
        let expected = if content_type == "typing" { 0.0..0.1 } else { 1.0..2.0 };
        assert!(expected.contains(&increase), "{family} {labels}: {increase}");
    }
}

#[test]
#[ignore = "needs prometheus"]
fn promtool_accepts_the_metrics_of_a_new_exporter_and_after_every_kind_of_callback() {
    let exporter = Exporter::start(&[]);
    assert_clean(&exporter.get("/metrics").body);
    assert_clean(&exporter.get("/metrics/groups").body);
    for (name, body) in callbacks(".good.json") {
        assert_eq!(exporter.post(GROUP_MESSAGE_PATH, body).status, 200, "{name}");
    }
    for (name, body) in callbacks(".bad.json") {
        assert_ne!(exporter.post(GROUP_MESSAGE_PATH, body).status, 200, "{name}");
    }
    assert_clean(&exporter.get("/metrics").body);
    assert_clean(&exporter.get("/metrics/groups").body);
}

#[test]
#[ignore = "needs prometheus"]
#[should_panic(expected = "counter metrics should have \"_total\" suffix")]
fn promtool_rejects_a_counter_without_the_suffix_total() {
    assert_clean(b"# HELP openim_messages Messages.\n# TYPE openim_messages counter\nopenim_messages 1\n");
}

#[test]
#[ignore = "needs prometheus"]
fn promtool_accepts_the_configuration_and_the_tests_version_of_it() {
    let directory = TempDir::new().unwrap();
    let tested = directory.path().join("tested.yml");
    std::fs::write(&tested, config_for(([127, 0, 0, 1], 1).into())).unwrap();
    let original = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("prometheus.yml");
    let check = |file: &std::path::Path| promtool(&["check", "config", file.to_str().unwrap()], b"");
    for file in [&original, &tested] {
        let printed = check(file);
        assert!(printed.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&printed.stderr));
        // promtool also checks the rules that it names.
        assert!(String::from_utf8_lossy(&printed.stdout).contains("SUCCESS: 2 rule files found"), "{}", file.display());
    }
    // The second configuration is in a folder without rules.
    for wrong in [CONFIG.replace("static_configs", "static_config"), CONFIG.to_owned()] {
        std::fs::write(&tested, wrong).unwrap();
        assert!(!check(&tested).status.success());
    }
}
