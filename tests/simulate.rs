//! The counts of the simulator's report equal the exporter's metrics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::process::Output;

use openim_exporter::domain::Activity;
use serde_json::Value;
use support::terminal::Terminal;
use support::totals::assert_totals;
use support::{Client, Exporter, GROUP_MESSAGE_PATH, Samples, command, message};

/// Callbacks to send; fewer in a debug build.
const COUNT: u32 = if cfg!(debug_assertions) { 20_000 } else { 200_000 };

fn simulate(target: &str, arguments: &[&str]) -> Output {
    command(&["simulate", "--target", target]).args(arguments).output().unwrap()
}

/// The sum of a family's samples that have this label.
fn sum_where(samples: &Samples, family: &str, label: &str) -> f64 {
    let has_it = |series: &str| series.contains(&format!("{{{label}")) || series.contains(&format!(",{label}"));
    samples.of(family).filter(|(series, _)| has_it(series)).map(|(_, value)| value).sum()
}

/// Each entry of this map of the report must equal the metric, and the map must have everything that was counted.
fn assert_same(report: &Value, map: &str, samples: &Samples, family: &str, label: &str) {
    let by_name = report[map].as_object().unwrap();
    assert!(!by_name.is_empty(), "{map}");
    for (name, count) in by_name {
        assert_eq!(count["sent"], count["answered"], "{map} {name}");
        let counted = sum_where(samples, family, &format!(r#"{label}="{name}""#));
        assert_eq!(counted, count["answered"].as_f64().unwrap(), "{map} {name}");
    }
    let sum: f64 = by_name.values().map(|count| count["answered"].as_f64().unwrap()).sum();
    assert_eq!(samples.sum(family), sum, "{map}");
}

#[test]
fn the_metrics_equal_the_report_of_the_simulator() {
    let exporter = Exporter::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let target = format!("http://{}/any/prefix", exporter.address());
    let (count, file_name) = (COUNT.to_string(), file.to_str().unwrap());
    let output = simulate(&target, &["--count", &count, "--seed", "7", "--connections", "16", "--report", file_name]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!((&report["sent"], &report["answered"]), (&COUNT.into(), &COUNT.into()));
    assert_eq!((&report["failed"]["total"], &report["first_failure"]), (&0.into(), &Value::Null));

    let samples = exporter.scrape();
    let messages = "openim_group_messages_total";
    assert_eq!(samples.sum(messages), f64::from(COUNT));
    assert_same(&report, "by_content_type", &samples, messages, "content_type");
    assert_same(&report, "by_platform", &samples, messages, "platform");
    assert_same(&report, "by_source", &samples, messages, "source");
    assert_same(&report, "by_status", &samples, "openim_group_messages_by_status_total", "status");
    assert_same(&report, "by_group", &samples, "openim_group_messages_by_group_total", "group_id");
    for kind in ["user", "all"] {
        let mentions = samples.value(&format!(r#"openim_group_mentions_total{{kind="{kind}"}}"#));
        assert!(mentions > 0.0, "{kind}");
        assert_eq!(mentions, report["mentions"][kind]["answered"].as_f64().unwrap(), "{kind}");
    }
    let taken = r#"openim_exporter_callbacks_total{command="callbackAfterSendGroupMsgCommand"}"#;
    assert_eq!(
        (samples.value(taken), samples.sum("openim_exporter_callbacks_total")),
        (f64::from(COUNT), f64::from(COUNT))
    );
    assert_eq!(samples.sum("openim_exporter_callbacks_rejected_total"), 0.0);
    assert_eq!(samples.sum("openim_group_messages_folded_total"), 0.0);
    assert_estimate(&samples, "openim_active_senders", report["distinct_senders"]["answered"].as_f64().unwrap());
    assert_estimate(&samples, "openim_active_groups", report["by_group"].as_object().unwrap().len() as f64);
}

/// Every window must be within 2 percent of the exact number.
fn assert_estimate(samples: &Samples, family: &str, truth: f64) {
    assert_eq!(samples.of(family).count(), 5);
    for (series, estimate) in samples.of(family) {
        assert!((estimate - truth).abs() <= truth * 0.02, "{series} {estimate}, exactly {truth}");
    }
}

/// Sends callbacks of all kinds, all of which must be answered. Returns the exporter and the report.
fn send_all_kinds(count: u32, arguments: &[&str]) -> (Exporter, Value) {
    let exporter = Exporter::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let target = format!("http://{}", exporter.address());
    let count = count.to_string();
    let all = ["--callbacks", "all", "--count", &count, "--connections", "16", "--report", file.to_str().unwrap()];
    let output = simulate(&target, &[all.as_slice(), arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (exporter, serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap())
}

/// How many callbacks of a command were answered.
fn answered(report: &Value, command: &str) -> f64 {
    report["by_command"][command]["answered"].as_f64().unwrap()
}

#[test]
fn all_kinds_of_callbacks_are_sent_and_every_total_equals_the_report() {
    let (exporter, report) = send_all_kinds(COUNT, &[]);
    assert_eq!((&report["sent"], &report["answered"]), (&COUNT.into(), &COUNT.into()));
    let samples = exporter.scrape();
    assert_totals(&report, &samples);
    // Each total that callbacks can change was changed.
    let activities = report["activities"].as_object().unwrap();
    assert_eq!(activities.len(), Activity::ALL.len(), "{activities:?}");
    for (name, count) in activities {
        assert!(count["answered"].as_u64() > Some(0), "{name}");
        assert_eq!(count["answered"], count["sent"], "{name}");
    }
    for family in ["openim_users_online", "openim_user_disconnects_total", "openim_single_messages_total"] {
        assert!(samples.sum(family) > 0.0, "{family}");
    }
    // Messages in groups are the most frequent, and nearly all attempts to send one succeed.
    let messages = answered(&report, "callbackAfterSendGroupMsgCommand");
    assert!((0.35..0.40).contains(&(messages / f64::from(COUNT))), "{messages}");
    let lost = 1.0
        - samples.sum_of("openim_group_messages_total", "source", "user")
            / samples.value(r#"openim_message_attempts_total{chat="group"}"#);
    assert!((0.005..0.015).contains(&lost), "{lost}");
}

#[test]
fn another_run_with_the_same_seed_adds_the_same_again() {
    let (exporter, first) = send_all_kinds(COUNT, &[]);
    let before = exporter.scrape();
    let (target, count) = (format!("http://{}", exporter.address()), COUNT.to_string());
    let again = ["--yes", "--callbacks", "all", "--count", &count, "--connections", "3", "--report", "-"];
    let output = simulate(&target, &again);
    let second: Value = serde_json::from_slice(&output.stdout).unwrap();
    for part in ["by_command", "activities", "single_messages", "by_group", "users_online", "distinct_users"] {
        assert_eq!(first[part], second[part], "{part}");
    }
    let dismissed = "openim_groups_dismissed_total";
    assert!(before.value(dismissed) > 0.0);
    assert_eq!(exporter.scrape().value(dismissed), 2.0 * before.value(dismissed));
}

/// A million callbacks; takes a minute as a release build.
#[test]
#[ignore = "sends a million callbacks"]
fn every_total_of_a_million_callbacks_equals_the_report() {
    let (exporter, report) = send_all_kinds(1_000_000, &["--senders", "100000", "--seed", "2"]);
    assert_eq!(report["answered"], 1_000_000);
    assert_totals(&report, &exporter.scrape());
}

/// More groups than a Prometheus should have series.
const MANY_GROUPS: &str = "2000000";

/// Tracked groups, exported groups, and callbacks: enough for more groups than are tracked.
const TRACKED: u32 = if cfg!(debug_assertions) { 10_000 } else { 100_000 };
const EXPORTED: usize = 100;
const TO_MANY: u32 = if cfg!(debug_assertions) { 60_000 } else { 700_000 };

#[test]
fn with_more_groups_than_can_be_tracked_total_and_folded_are_exact() {
    let (tracked, exported) = (TRACKED.to_string(), EXPORTED.to_string());
    let exporter = Exporter::start(&["--groups.max-tracked", &tracked, "--groups.max-exported", &exported]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let (target, count) = (format!("http://{}", exporter.address()), TO_MANY.to_string());
    let output = simulate(&target, &["--count", &count, "--groups", MANY_GROUPS, "--report", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let answered = |group: &str| report["by_group"][group]["answered"].as_f64().unwrap();

    let samples = exporter.scrape();
    let by_group = "openim_group_messages_by_group_total";
    assert_eq!(samples.sum("openim_group_messages_total"), f64::from(TO_MANY));
    assert_eq!(samples.of(by_group).count(), EXPORTED);
    assert_eq!(samples.value("openim_exporter_groups_exported"), EXPORTED as f64);
    // Every tracked group has all of its messages; the messages of all other groups are folded.
    let (all, tracked) =
        (Samples::parse(&exporter.get("/metrics/groups").text()), "openim_tracked_group_messages_total");
    assert_eq!(
        (all.of(tracked).count(), samples.value("openim_exporter_groups_tracked")),
        (TRACKED as usize, f64::from(TRACKED))
    );
    for (series, messages) in all.of(tracked) {
        assert_eq!(messages, answered(series.split('"').nth(1).unwrap()), "{series}");
    }
    let folded = samples.value(r#"openim_group_messages_folded_total{reason="capacity"}"#);
    assert_eq!(folded, f64::from(TO_MANY) - all.sum(tracked));
    assert_eq!(samples.sum("openim_group_messages_folded_total"), folded);
    assert!(folded > 1000.0 && report["by_group"].as_object().unwrap().len() > TRACKED as usize, "{folded}");
}

#[test]
fn the_same_seed_sends_the_same_messages() {
    let report = |seed: &str| {
        let exporter = Exporter::start(&[]);
        let target = format!("http://{}", exporter.address());
        let output = simulate(&target, &["--count", "500", "--seed", seed, "--report", "-"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let report: Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
        (report["by_group"].clone(), report["by_content_type"].clone(), report["distinct_senders"].clone())
    };
    let first = report("3");
    assert_eq!(first, report("3"));
    assert_ne!(first, report("4"));
}

#[test]
fn a_simulation_without_a_server_fails_and_says_why() {
    let address = {
        let exporter = Exporter::start(&[]);
        exporter.address()
    };
    let output = simulate(&format!("http://{address}"), &["--count", "2"]);
    assert_eq!(output.status.code(), Some(1));
    let printed = [output.stdout, output.stderr].concat();
    assert!(String::from_utf8(printed).unwrap().contains("refused"));
}

/// Targets with real messages: one that says so, and one that has no pages at the address of the callbacks.
const TARGETS: [(&[&str], &str); 2] = [
    (&[], "already has 1 message, 1 group and 1 callback"),
    (&["--web.telemetry-address", "127.0.0.1:0"], "is an openim-exporter that may have messages (404 Not Found)"),
];

#[test]
fn without_a_terminal_an_exporter_with_messages_gets_no_made_up_ones() {
    for (flags, expected) in TARGETS {
        let exporter = Exporter::start(flags);
        let (url, pages) = (format!("http://{}", exporter.address()), *exporter.addresses().last().unwrap());
        exporter.post(GROUP_MESSAGE_PATH, message("real", "u"));
        let refused = simulate(&format!("{url}/any/prefix"), &["--count", "5"]);
        let error = String::from_utf8(refused.stderr).unwrap();
        assert_eq!((refused.status.code(), refused.stdout.is_empty()), (Some(1), true), "{error}");
        let begin = format!("openim-exporter: {url}/... {expected}; nothing was sent. ");
        assert!(error.starts_with(&begin) && error.ends_with("give --yes\n"), "{error}");
        assert_eq!(messages(pages), 1.0);
        assert!(simulate(&url, &["--count", "5", "--yes"]).status.success());
        assert_eq!(messages(pages), 6.0);
    }
}

#[test]
fn without_a_terminal_an_exporter_that_does_not_answer_in_time_gets_no_made_up_messages() {
    let exporter = Exporter::start(&[]);
    exporter.signal("STOP");
    for scheme in ["http", "https"] {
        let refused = simulate(&format!("{scheme}://{}", exporter.address()), &["--count", "5"]);
        let error = String::from_utf8(refused.stderr).unwrap();
        assert!(error.contains("does not answer within 5s, so it may have messages; nothing was sent."), "{error}");
        assert_eq!(refused.status.code(), Some(1));
    }
    exporter.signal("CONT");
    assert_eq!(messages(exporter.address()), 0.0);
}

fn messages(pages: SocketAddr) -> f64 {
    let mut client = Client::connect(pages).unwrap();
    client.send("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    Samples::parse(&client.answer().text()).sum("openim_group_messages_total")
}

#[test]
#[ignore = "needs script"]
fn in_a_terminal_simulate_asks_before_it_adds_made_up_messages() {
    let exporter = Exporter::start(&[]);
    exporter.post(GROUP_MESSAGE_PATH, message("real", "u"));
    let url = format!("http://{}", exporter.address());
    let question = format!(
        "{url} already has 1 message, 1 group and 1 callback. Add made-up ones? They cannot be removed. [y/N] "
    );
    for (answer, status, count) in
        [("n\r", 1, 1.0), ("\r", 1, 1.0), ("\x04", 1, 1.0), ("yes\r", 0, 6.0), ("Y\r", 0, 11.0)]
    {
        let mut terminal = Terminal::run(&command(&["simulate", "--target", &url, "--count", "5"]));
        terminal.wait_for(&["[y/N] "]);
        // Later there are more messages.
        assert!(count > 1.0 || terminal.shown().ends_with(&question), "{}", terminal.shown());
        terminal.press(answer);
        assert_eq!(
            (terminal.end(), exporter.scrape().sum("openim_group_messages_total")),
            (status, count),
            "{answer:?}"
        );
    }
    let terminal = Terminal::run(&command(&["simulate", "--target", &url, "--count", "5", "--yes"]));
    assert_eq!((terminal.end(), exporter.scrape().sum("openim_group_messages_total")), (0, 16.0));
}
