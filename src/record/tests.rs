use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;

use super::{Record, Recorder};
use crate::config::{RecordContent, RecordSettings};
use crate::domain::{Clock, FileSync, UnixMillis};
use crate::telemetry::{Samples, Telemetry};

/// 2026-11-28T20:17:21.067Z.
const NOW: i64 = 1_795_897_041_067;
const DAY: i64 = 24 * 3600 * 1000;

struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }
}

/// A recorder with small limits, whose clock can be set.
struct Recording {
    recorder: Recorder,
    telemetry: Arc<Telemetry>,
    clock: Arc<SetClock>,
    directory: PathBuf,
}

fn settings() -> RecordSettings {
    RecordSettings {
        path: None,
        content: RecordContent::Full,
        max_file_bytes: 1000,
        max_bytes: 1 << 20,
        max_age: Duration::from_secs(7 * 24 * 3600),
        sync: FileSync::Second,
    }
}

impl Recording {
    fn start(directory: &Path, settings: &RecordSettings) -> Self {
        let telemetry = Arc::new(Telemetry::default());
        let clock = Arc::new(SetClock(AtomicI64::new(NOW)));
        let shared: Arc<dyn Clock> = Arc::<SetClock>::clone(&clock);
        let recorder = Recorder::start(directory, settings, &telemetry, &shared).unwrap();
        Self { recorder, telemetry, clock, directory: directory.to_owned() }
    }

    fn append(&self, body: &str) {
        let received = self.clock.now();
        let (path, command) = ("/callbackX", "callbackX");
        self.recorder.append(&Record { received, path, query: "", command, body: body.as_bytes(), is_json: true });
    }

    fn stop(&self) {
        self.recorder.stop(Instant::now() + Duration::from_secs(10));
    }

    fn counted(&self, name: &str, label: &str) -> f64 {
        let (_, samples) = self.telemetry.samples(&|family| family.ends_with(name)).remove(0);
        match samples {
            Samples::Single(value) => value,
            Samples::ByLabel(values) => values.iter().find(|(found, _)| *found == label).unwrap().1 as f64,
            _ => panic!("{name}"),
        }
    }
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "timeout while waiting for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(files) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn text(path: &Path) -> String {
    let mut text = String::new();
    let mut file = File::open(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "gz") {
        GzDecoder::new(file).read_to_string(&mut text).unwrap();
    } else {
        file.read_to_string(&mut text).unwrap();
    }
    text
}

#[test]
fn a_large_file_is_compressed_and_a_new_one_begun() {
    let directory = tempfile::tempdir().unwrap();
    let recording = Recording::start(&directory.path().join("new/records"), &settings());
    (0..20).for_each(|number| recording.append(&format!("{{\"number\":{number}}}")));
    eventually("a compressed file", || names(&recording.directory).iter().any(|name| name.ends_with(".jsonl.gz")));
    recording.append("{\"number\":20}");
    eventually("the size of both files", || recording.counted("record_bytes", "") > 200.0);
    recording.stop();
    let files = names(&recording.directory);
    assert_eq!(files.iter().filter(|name| name.ends_with(".jsonl")).count(), 1, "{files:?}");
    let all: String = files.iter().map(|name| text(&recording.directory.join(name))).collect();
    let numbers: Vec<_> = all.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).collect();
    assert_eq!(numbers.iter().map(|record| record["body"]["number"].as_i64().unwrap()).collect::<Vec<_>>(), {
        (0..=20).collect::<Vec<_>>()
    });
    for (path, mode) in files.iter().map(|name| (name.as_str(), 0o600)).chain([("", 0o700)]) {
        let path = recording.directory.join(path);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
    }
    assert_eq!(recording.counted("record_written_total", ""), 21.0);
}

#[test]
fn a_day_s_records_end_with_the_day_and_are_removed_when_they_are_old() {
    let directory = tempfile::tempdir().unwrap();
    let recording = Recording::start(directory.path(), &settings());
    recording.append("1");
    recording.clock.0.store(NOW + DAY, Ordering::Relaxed);
    eventually("the next day's file", || names(directory.path()).last().is_some_and(|name| name.contains("20261129")));
    recording.append("2");
    let first = directory.path().join("callbacks-20261128T201721.067Z.jsonl.gz");
    eventually("the first day's file", || first.exists());
    assert!(text(&first).contains("\"body\":1}"));
    recording.stop();

    // The file's own time is that of the test, not of the clock.
    let old = std::time::UNIX_EPOCH + Duration::from_millis((NOW - 61_000).unsigned_abs());
    File::options().write(true).open(&first).unwrap().set_modified(old).unwrap();
    let settings = RecordSettings { max_age: Duration::from_secs(60), ..settings() };
    let recording = Recording::start(directory.path(), &settings);
    eventually("the removal of the first file", || !first.exists());
    eventually("its count", || recording.counted("record_files_removed_total", "age") == 1.0);
}

#[test]
fn the_oldest_files_go_first_when_all_take_too_much_space() {
    let directory = tempfile::tempdir().unwrap();
    for day in 1..=4 {
        // Already compressed, as far as the name says.
        fs::write(directory.path().join(format!("callbacks-2026110{day}T000000.000Z.jsonl.gz")), [7; 1000]).unwrap();
    }
    fs::write(directory.path().join("other.jsonl"), [7; 5000]).unwrap();
    let recording = Recording::start(directory.path(), &RecordSettings { max_bytes: 2500, ..settings() });
    eventually("the removal of two files", || recording.counted("record_files_removed_total", "bytes") == 2.0);
    let files = names(directory.path());
    assert!(files[0].contains("20261103") && files.contains(&"other.jsonl".to_owned()), "{files:?}");
}

#[test]
fn what_a_killed_process_left_is_compressed_and_its_torn_line_ended() {
    let directory = tempfile::tempdir().unwrap();
    let left = directory.path().join("callbacks-20261101T000000.000Z.jsonl");
    fs::write(&left, "{\"a\":1}\n{\"tor").unwrap();
    fs::write(directory.path().join("callbacks-20261101T000000.000Z.jsonl.gz.part"), "x").unwrap();
    fs::write(directory.path().join("callbacks-20261102T000000.000Z.jsonl"), "").unwrap();
    let recording = Recording::start(directory.path(), &settings());
    let compressed = directory.path().join("callbacks-20261101T000000.000Z.jsonl.gz");
    eventually("the compressed file", || compressed.exists() && !left.exists());
    assert_eq!(text(&compressed), "{\"a\":1}\n{\"tor\n");
    eventually("the removal of the empty file", || names(directory.path()).len() == 2);
    recording.stop();
    assert_eq!(names(directory.path()).len(), 1, "the current file was empty too");
}

#[test]
fn a_directory_that_is_removed_or_replaced_is_noticed() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("records");
    let recording = Recording::start(&directory, &settings());
    recording.append("1");
    // The new file exists a little before the recorder writes lines to it.
    let has_begun = || names(&directory).len() == 1 && recording.recorder.current.load().is_some();
    fs::remove_dir_all(&directory).unwrap();
    eventually("a new directory", has_begun);
    assert_eq!(recording.counted("record_failures_total", "lost"), 1.0);
    recording.append("2");
    assert!(text(&directory.join(&names(&directory)[0])).contains("\"body\":2}"));

    fs::rename(&directory, parent.path().join("aside")).unwrap();
    fs::create_dir(&directory).unwrap();
    eventually("a new file", has_begun);
    recording.append("3");
    assert!(text(&directory.join(&names(&directory)[0])).contains("\"body\":3}"));
    assert_eq!(recording.counted("record_failures_total", "lost"), 2.0);

    // It cannot be created at first.
    fs::rename(&directory, parent.path().join("aside too")).unwrap();
    fs::write(&directory, "").unwrap();
    eventually("a failure", || recording.counted("record_failures_total", "begin") > 0.0);
    recording.append("4");
    assert_eq!(recording.counted("record_failures_total", "no_file"), 1.0);
    fs::remove_file(&directory).unwrap();
    eventually("a new directory", || names(&directory).len() == 1);
}

#[test]
fn a_directory_has_one_recorder() {
    let directory = tempfile::tempdir().unwrap();
    let recording = Recording::start(directory.path(), &settings());
    let clock: Arc<dyn Clock> = Arc::<SetClock>::clone(&recording.clock);
    let second = Recorder::start(directory.path(), &settings(), &recording.telemetry, &clock);
    assert!(second.is_err_and(|error| error.to_string().contains("another exporter")));
    recording.stop();
    assert!(Recorder::start(directory.path(), &settings(), &recording.telemetry, &clock).is_ok());
}
