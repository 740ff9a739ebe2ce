//! Kills, a full disk, and a directory that is gone.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::{Client, Exporter, GROUP_MESSAGE_PATH, command, eventually, post_bytes};
use crate::volume::Volume;
use crate::{lines, recording, records, stop};

const KILLS: usize = 10;

/// Callbacks that are answered before each kill.
const BETWEEN: usize = 150;

fn message(number: u64) -> String {
    format!(r#"{{"sendID":"1","groupID":"2","ex":"number {number}","content":"{}"}}"#, "x".repeat(500))
}

fn number(record: &Value) -> u64 {
    record["body"]["ex"].as_str().unwrap().strip_prefix("number ").unwrap().parse().unwrap()
}

#[test]
fn after_a_kill_each_answered_callback_has_a_whole_line() {
    let directory = tempfile::tempdir().unwrap();
    let (next, answered) = (AtomicU64::new(0), std::sync::Mutex::new(BTreeSet::new()));
    for kill in 1..=KILLS {
        let exporter = recording(directory.path(), &["--record.max-file-bytes", "1MiB"]);
        let address = exporter.address();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut client = Client::connect(address).unwrap();
                    while !done.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let request = post_bytes(GROUP_MESSAGE_PATH, "", message(number).as_bytes());
                        if !client
                            .send(request)
                            .is_ok_and(|()| client.try_answer().is_ok_and(|answer| answer.status == 200))
                        {
                            return;
                        }
                        answered.lock().unwrap().insert(number);
                    }
                });
            }
            eventually("the answers", || answered.lock().unwrap().len() >= kill * BETWEEN);
            exporter.signal("KILL");
            exporter.wait();
            done.store(true, Ordering::Relaxed);
        });
    }
    // The next start compresses everything that was left.
    let exporter = recording(directory.path(), &[]);
    eventually("compressed files", || {
        let plain =
            crate::files(directory.path()).iter().filter(|path| !path.to_string_lossy().ends_with(".gz")).count();
        plain == 1
    });
    stop(exporter);
    let whole = lines(directory.path()).into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let recorded: Vec<_> = whole.map(|record| number(&record)).collect();
    let distinct: BTreeSet<_> = recorded.iter().copied().collect();
    let answered = answered.into_inner().unwrap();
    assert!(
        answered.len() >= KILLS * BETWEEN && distinct.is_superset(&answered),
        "{:?}",
        answered.difference(&distinct)
    );
    assert_eq!(recorded.len(), distinct.len(), "a callback was recorded twice");
}

#[test]
fn a_full_disk_stops_no_answer_and_is_counted() {
    let volume = Volume::of("tmpfs").unwrap();
    let exporter = recording(&volume.path().join("records"), &[]);
    let post = |number| {
        let response = exporter.post(GROUP_MESSAGE_PATH, message(number));
        assert_eq!(response.status, 200, "{}", response.text());
    };
    (0..100).for_each(post);
    let full = volume.fill();
    (100..300).for_each(post);
    let scrape = exporter.scrape();
    let lost = scrape.sum("openim_exporter_record_failures_total");
    assert!(lost > 100.0, "{lost}");
    assert_eq!(scrape.sum("openim_exporter_record_written_total") + lost, 300.0);
    drop(full);
    (300..400).for_each(post);
    assert_eq!(exporter.scrape().sum("openim_exporter_record_failures_total"), lost);
    stop(exporter);
    let lines = lines(&volume.path().join("records"));
    let whole: Vec<_> = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect();
    assert_eq!(whole.len() as f64 + lost, 400.0);
    assert!(whole.iter().map(number).filter(|number| *number >= 300).eq(300..400), "the disk had space");
    // At most one line is torn; an empty one may follow.
    assert!(lines.iter().filter(|line| !line.is_empty()).count() <= whole.len() + 1, "{lines:?}");
}

/// An exporter whose files can have this many units of 512 bytes.
fn recording_with_limit(records: &Path, limit: usize) -> Exporter {
    let exporter = command(&["--web.listen-address", "127.0.0.1:0", "--record.path", records.to_str().unwrap()]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!(r#"ulimit -f {limit}; exec "$0" "$@""#)]).arg(exporter.get_program());
    Exporter::run(shell.args(exporter.get_args()).env("OPENIM_EXPORTER_STORAGE_PATH", ""))
}

#[test]
fn a_limit_on_a_file_s_size_stops_no_answer_and_is_counted_as_a_full_disk() {
    let directory = tempfile::tempdir().unwrap();
    let records = directory.path().join("records");
    // About 40 records, and too few for files that end earlier.
    let exporter = recording_with_limit(&records, 64);
    for number in 0..200 {
        assert_eq!(exporter.post(GROUP_MESSAGE_PATH, message(number)).status, 200);
    }
    let samples = exporter.scrape();
    let lost = samples.value(r#"openim_exporter_record_failures_total{reason="disk_full"}"#);
    assert!(lost > 100.0 && samples.sum("openim_exporter_record_written_total") + lost == 200.0, "{lost}");
    assert_eq!(samples.sum("openim_group_messages_total"), 200.0);
    stop(exporter);
}

#[test]
fn after_a_file_has_reached_the_limit_on_its_size_records_go_to_a_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let exporter = recording_with_limit(directory.path(), 4096);
    let (big, mut posted) = ("x".repeat(400_000), 0.0);
    let mut post = |content: &str| {
        let body = json!({"sendID": "1", "groupID": "2", "content": content}).to_string();
        assert_eq!(exporter.post(GROUP_MESSAGE_PATH, body).status, 200);
        posted += 1.0;
        let samples = exporter.scrape();
        let lost = samples.value(r#"openim_exporter_record_failures_total{reason="disk_full"}"#);
        let written = samples.sum("openim_exporter_record_written_total");
        assert_eq!(written + lost, posted);
        written
    };
    // More than 2 MiB. The last one is cut, unless a new file has already begun.
    for _ in 0..6 {
        post(&big);
    }
    let written = post("small");
    eventually("a record in a new file", || post("small") > written);
    stop(exporter);
}

#[test]
fn a_directory_that_is_removed_is_created_again() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("records");
    let exporter = recording(&directory, &[]);
    exporter.post(GROUP_MESSAGE_PATH, message(1));
    fs::remove_dir_all(&directory).unwrap();
    let failures = || exporter.scrape().sum("openim_exporter_record_failures_total");
    eventually("the failure", || failures() == 1.0 && directory.exists());
    eventually("the next record", || {
        exporter.post(GROUP_MESSAGE_PATH, message(2));
        !records(&directory).is_empty()
    });
    assert!(records(&directory).iter().all(|record| number(record) == 2));
    // Other settings are reloaded; the records go on.
    exporter.signal("HUP");
    exporter.wait_for_log("a reload", |lines| lines.iter().any(|line| line.contains("reloaded")));
    exporter.post(GROUP_MESSAGE_PATH, message(3));
    assert_eq!(records(&directory).last().map(number), Some(3));
}
