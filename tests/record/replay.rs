//! Sending records again.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::{Exporter, Samples, command};
use crate::{files, recording, records, stop};

fn simulate(exporter: &Exporter, flags: &[&str]) -> Command {
    let mut simulate = command(&["simulate", "--yes", "--target", &format!("http://{}/secret", exporter.address())]);
    simulate.args(flags);
    simulate
}

fn run(exporter: &Exporter, flags: &[&str]) -> Output {
    simulate(exporter, flags).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The counters of what OpenIM reports.
fn totals(samples: &Samples) -> Vec<(String, f64)> {
    const FAMILIES: [&str; 10] = [
        "openim_group_messages_total",
        "openim_single_messages_total",
        "openim_exporter_callbacks_total",
        "openim_message_attempts_total",
        "openim_messages_read_total",
        "openim_user_disconnects_total",
        "openim_users_registered_total",
        "openim_groups_created_total",
        "openim_groups_dismissed_total",
        "openim_offline_pushes_total",
    ];
    FAMILIES.map(|family| (family.to_owned(), samples.sum(family))).to_vec()
}

#[test]
fn a_replay_of_a_recorded_run_gives_the_same_totals() {
    let directory = tempfile::tempdir().unwrap();
    let exporter = recording(directory.path(), &["--record.max-file-bytes", "1MiB"]);
    let sent = run(&exporter, &["--callbacks", "all", "--count", "5000", "--groups", "50", "--senders", "500"]);
    assert!(sent.status.success(), "{}", text(&sent));
    let expected = totals(&exporter.scrape());
    assert!(expected.iter().filter(|(_, total)| *total > 0.0).count() >= 8, "{expected:?}");
    stop(exporter);

    let again = tempfile::tempdir().unwrap();
    let exporter = recording(again.path(), &[]);
    let files = files(directory.path());
    let mut replay = simulate(&exporter, &["--speed", "1000", "--connections", "8", "--report", "-", "--replay"]);
    // Not in the order of time.
    let replayed = replay.args(files.iter().rev()).output().unwrap();
    assert!(replayed.status.success(), "{}", text(&replayed));
    let report: Value = serde_json::from_slice(&replayed.stdout).unwrap();
    assert_eq!((&report["sent"], &report["answered"]), (&json!(5000), &json!(5000)));
    assert_eq!(totals(&exporter.scrape()), expected);
    stop(exporter);
    // Recorded again, all is the same but the times, and the order between groups.
    let without_time = |directory: &Path| {
        let mut records = records(directory);
        records.iter_mut().for_each(|record| record["time"] = Value::Null);
        let mut lines: Vec<_> = records.iter().map(Value::to_string).collect();
        lines.sort();
        lines
    };
    assert!(without_time(directory.path()) == without_time(again.path()));
}

fn record(time: &str, number: u32) -> String {
    let body = format!(r#"{{"sendID":"{number}","groupID":"1"}}"#);
    format!(r#"{{"time":"2026-11-28T19:{time}Z","command":"callbackAfterSendGroupMsgCommand","body":{body}}}"#)
}

#[test]
fn records_keep_their_pace_and_the_order_of_their_group() {
    let (directory, recorded) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let exporter = recording(recorded.path(), &[]);
    let write = |name: &str, time: fn(u32) -> String| {
        let lines: Vec<_> = (0..20).map(|number| record(&time(number), number)).collect();
        fs::write(directory.path().join(name), lines.join("\n")).unwrap();
    };
    write("near", |number| format!("37:2{}.{}", number / 10, number % 10));
    // These span more than three minutes.
    write("far", |number| format!("{}:{}0", 37 + number / 6, number % 6));
    let paces = [
        ("near", &["--speed", "2"][..], 0.95),
        ("far", &["--rate", "1000"], 0.019),
        ("far", &["--speed", "100"], 1.9),
        ("near", &[], 1.9),
    ];
    for (name, pace, least) in paces {
        let mut replay = simulate(&exporter, pace);
        replay.args(["--report", "-", "--connections", "16", "--replay"]).arg(directory.path().join(name));
        let replayed = replay.output().unwrap();
        assert!(replayed.status.success(), "{}", text(&replayed));
        let report: Value = serde_json::from_slice(&replayed.stdout).unwrap();
        assert!((least..60.0).contains(&report["elapsed_seconds"].as_f64().unwrap()), "{pace:?}: {report}");
    }
    let senders: Vec<_> = records(recorded.path()).iter().map(|record| record["body"]["sendID"].clone()).collect();
    let expected: Vec<_> = (0..80).map(|number| json!((number % 20).to_string())).collect();
    assert_eq!(senders, expected);
}

#[test]
fn standard_input_is_replayed_while_it_comes() {
    let exporter = Exporter::start(&[]);
    let mut replay = simulate(&exporter, &["--speed", "1000", "--replay", "-"]);
    let mut child = replay.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for number in 1..=3 {
        writeln!(input, "{}", record("37:20", number)).unwrap();
        crate::support::eventually("the record", || {
            exporter.scrape().sum("openim_group_messages_total") == f64::from(number)
        });
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && text(&output).contains("answered  3"), "{}", text(&output));
}

#[test]
fn a_line_that_is_not_a_record_ends_the_replay_or_is_skipped() {
    let (directory, exporter) = (tempfile::tempdir().unwrap(), Exporter::start(&[]));
    let file = directory.path().join("records.jsonl");
    let bytes = r#"{"time":"2026-11-28T19:37:20Z","command":"callbackX","bytes":7}"#;
    fs::write(&file, format!("{}\n\n{bytes}\n{{\"torn\n{}\n", record("37:20", 1), record("37:20", 2))).unwrap();
    let path = file.to_str().unwrap();
    let ended = run(&exporter, &["--replay", path]);
    let printed = text(&ended);
    assert_eq!(ended.status.code(), Some(1), "{printed}");
    assert!(
        printed.contains("answered  1\n") && printed.contains("records.jsonl: line 4 is not a record"),
        "{printed}"
    );
    let skipped = run(&exporter, &["--skip-invalid", "--replay", path]);
    let printed = text(&skipped);
    assert!(skipped.status.success() && printed.contains("answered  2\n"), "{printed}");
    for line in ["1 file of records", "1 record has no body", "1 line is not a record\n"] {
        assert!(printed.contains(line), "{printed}");
    }
    let missing = run(&exporter, &["--replay", "/nowhere"]);
    assert!(missing.status.code() == Some(1) && text(&missing).contains("--replay: cannot read /nowhere"));
}
