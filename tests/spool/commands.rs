//! `openim-exporter spool` with the spool of a stopped and of a running exporter.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Output};

use openim_exporter::spool::{Dropped, Reader, Record, Spool};
use serde_json::Value;

use crate::store::{self, LIMITS, NOW, deliver, maintain_until_empty};

/// Runs the command on the storage directory.
fn run(storage: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_openim-exporter"));
    command.arg("spool").args(arguments).arg("--storage.path").arg(storage);
    command.output().unwrap()
}

fn printed(storage: &Path, arguments: &[&str]) -> String {
    let output = run(storage, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The error of a command that must fail, with its status.
fn refused(storage: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(storage, arguments);
    assert!(!output.status.success(), "{arguments:?}");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn lines(storage: &Path, arguments: &[&str]) -> Vec<Value> {
    printed(storage, arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Three callbacks, of which the target rejected the second.
fn build(storage: &Path) -> (std::sync::Arc<Spool>, Reader) {
    let (spool, mut reader) = Spool::open(&storage.join("forward/default"), LIMITS).unwrap();
    store::append(&spool, 0..3);
    reader.next().unwrap();
    let (position, _) = reader.next().unwrap().unwrap();
    reader.bury(position, 404, "no such path").unwrap();
    (spool, reader)
}

#[test]
fn list_says_what_waits_and_what_is_damaged() {
    let storage = tempfile::tempdir().unwrap();
    let (spool, reader) = build(storage.path());
    let empty = storage.path().join("forward/empty");
    drop(Spool::open(&empty, LIMITS).unwrap());
    let text = printed(storage.path(), &["list"]);
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let oldest = "2027-01-15T08:00:00.000Z";
    assert_eq!((rows[1][0], rows[1][1], rows[1][3], rows[1][4], rows[1][6]), ("default", "2", oldest, "1", oldest));
    assert_eq!(rows[2], ["empty", "0", "0", "-", "0", "0", "-"]);
    assert_eq!(rows.len(), 3, "{text}");
    assert_eq!(printed(storage.path(), &["list", "--target", "default"]).lines().count(), 2);

    drop((spool, reader));
    let path = store::segments(&storage.path().join("forward/default"))[0].clone();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let text = printed(storage.path(), &["list", "--target", "default"]);
    assert!(text.contains("default: 1 part of a file is damaged or missing"), "{text}");
    std::fs::rename(&path, path.with_extension("spool.damaged")).unwrap();
    let text = printed(storage.path(), &["list", "--target", "default"]);
    assert!(text.contains(".spool.damaged was set aside"), "{text}");
}

#[test]
fn show_prints_lines_of_json() {
    let storage = tempfile::tempdir().unwrap();
    let (spool, _reader) = build(storage.path());
    let body = "{\"content\":\n[1.50]}";
    spool.append(&Record { command: "callbackUserOnlineCommand", tail: "", ..store::record(body) }).unwrap();
    let shown = lines(storage.path(), &["show"]);
    let command = "callbackAfterSendGroupMsgCommand";
    assert_eq!(shown.len(), 3);
    assert_eq!(shown[0]["time"], "2027-01-15T08:00:00.000Z");
    assert_eq!((&shown[0]["path"], &shown[0]["command"]), (&Value::from(format!("/{command}")), &command.into()));
    assert_eq!((&shown[0]["query"], &shown[0]["text"]), (&"key=1".into(), &Value::Null));
    // A number is JSON.
    assert_eq!((&shown[0]["body"], &shown[1]["text"]), (&0.into(), &store::body(2).into()));
    assert_eq!(shown[0].get("status"), None);
    assert_eq!((&shown[2]["path"], &shown[2]["body"]["content"][0]), (&"".into(), &1.5.into()));
    let letters = lines(storage.path(), &["show", "--dead-letters"]);
    assert_eq!(letters.len(), 1);
    assert_eq!((&letters[0]["status"], &letters[0]["reason"]), (&404.into(), &"no such path".into()));

    let number = |arguments: &[&str]| lines(storage.path(), &[&["show"], arguments].concat()).len();
    assert_eq!(number(&["--limit", "2"]), 2);
    assert_eq!(number(&["--command", "*Online*"]), 1);
    assert_eq!(number(&["--command", "*Online*", "--command", "callbackAfter*"]), 3);
    // They are from the future.
    assert_eq!(number(&["--older-than", "1m"]), 0);
    assert_eq!(number(&["--position", shown[1]["position"].as_str().unwrap()]), 1);
}

#[test]
fn a_reader_that_ends_early_is_no_error() {
    let storage = tempfile::tempdir().unwrap();
    let _build = build(storage.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_openim-exporter"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.args(["spool", "show", "--storage.path"]).arg(storage.path()).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn a_running_exporter_replays_and_drops() {
    let storage = tempfile::tempdir().unwrap();
    let (spool, mut reader) = build(storage.path());
    spool.maintain(NOW).unwrap();
    assert_eq!(printed(storage.path(), &["replay", "--all"]).split(" of ").next(), Some("1 dead letter"));
    spool.maintain(NOW).unwrap();
    assert_eq!((spool.figures().pending, spool.figures().dead_letters), (3, 0));
    assert_eq!(lines(storage.path(), &["show", "--dead-letters"]).len(), 0);
    // The first one was read already, but is not delivered.
    let position = lines(storage.path(), &["show", "--limit", "1"])[0]["position"].as_str().unwrap().to_owned();
    let (status, error) = refused(storage.path(), &["drop", "--position", &position]);
    assert_eq!(status, Some(1));
    assert!(error.contains("1 callback would be dropped and lost; add --yes"), "{error}");
    printed(storage.path(), &["drop", "--position", &position, "--yes"]);
    reader.rewind(position.parse().unwrap());
    assert_eq!(deliver(&mut reader), [2, 1]);
    let figures = maintain_until_empty(&spool, &storage.path().join("forward/default"));
    assert_eq!(figures.dropped(Dropped::Operator), 1);
    assert_eq!(figures.dropped.iter().sum::<u64>(), 1);
}

#[test]
fn a_stopped_exporter_replays_and_drops_after_its_start() {
    let storage = tempfile::tempdir().unwrap();
    let (spool, mut reader) = build(storage.path());
    let (position, _) = reader.next().unwrap().unwrap();
    reader.bury(position, 400, "").unwrap();
    drop((spool, reader));
    let letters = lines(storage.path(), &["show", "--dead-letters"]);
    let position = |letter: &Value| letter["position"].as_str().unwrap().to_owned();
    printed(storage.path(), &["replay", "--position", &position(&letters[0])]);
    printed(storage.path(), &["drop", "--dead-letters", "--position", &position(&letters[1]), "--yes"]);
    printed(storage.path(), &["drop", "--command", "callbackAfter*", "--yes"]);
    let mode =
        |file: &str| std::fs::metadata(storage.path().join("forward/default").join(file)).unwrap().mode() & 0o777;
    assert_eq!((mode("requests"), mode("dead/requests")), (0o600, 0o600));
    let text = printed(storage.path(), &["list"]);
    assert!(text.contains("default: 2 are marked"), "{text}");
    assert!(text.contains("default: 1 is marked"), "{text}");
    let (spool, mut reader) = Spool::open(&storage.path().join("forward/default"), LIMITS).unwrap();
    spool.maintain(NOW).unwrap();
    assert_eq!(deliver(&mut reader), [1]);
    let figures = maintain_until_empty(&spool, &storage.path().join("forward/default"));
    assert_eq!((figures.dropped(Dropped::Operator), figures.dead_letters), (2, 0));
}

#[test]
fn a_limit_on_a_file_s_size_is_an_error_that_marks_nothing() {
    let storage = tempfile::tempdir().unwrap();
    drop(build(storage.path()));
    for arguments in [&["replay", "--all"][..], &["drop", "--all", "--yes"]] {
        let mut command = Command::new("sh");
        command.args(["-c", r#"ulimit -f 0; exec "$@""#, "sh", env!("CARGO_BIN_EXE_openim-exporter"), "spool"]);
        let output = command.args(arguments).arg("--storage.path").arg(storage.path()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        let advice = "the file size limit is too low: raise it (ulimit -f, LimitFSIZE)\n";
        assert!(output.status.code() == Some(1) && error.ends_with(advice), "{arguments:?}: {} {error}", output.status);
    }
    assert!(!printed(storage.path(), &["list"]).contains("marked"));
}

#[test]
fn errors_say_what_to_do() {
    let storage = tempfile::tempdir().unwrap();
    let (status, error) = refused(storage.path(), &["list"]);
    assert_eq!(status, Some(1));
    assert!(error.contains("there is no spool; set --storage.path"), "{error}");
    for name in ["one", "two"] {
        drop(Spool::open(&storage.path().join("forward").join(name), LIMITS).unwrap());
    }
    let (_, error) = refused(storage.path(), &["show"]);
    assert!(error.contains("choose one with --target: one, two"), "{error}");
    let (_, error) = refused(storage.path(), &["show", "--target", "three"]);
    assert!(error.contains("three; there are spools for one, two"), "{error}");
    for arguments in [
        &["replay", "--target", "one"][..],
        &["drop", "--target", "one"],
        &["drop", "--target", "one", "--yes"],
        &["drop", "--all", "--command", "x", "--yes"],
        &["show", "--position", "7"],
    ] {
        let (status, error) = refused(storage.path(), arguments);
        assert_eq!(status, Some(2), "{arguments:?}: {error}");
    }
    for arguments in
        [&["replay", "--dead-letters"][..], &["drop"], &["drop", "--yes"], &["drop", "--dead-letters", "--yes"]]
    {
        let (status, error) = refused(storage.path(), &[arguments, &["--target", "one", "--all"]].concat());
        assert!(status == Some(1) && error.contains("nothing matches in the ") && error.contains(" of one"), "{error}");
    }
    let (_, error) = refused(storage.path(), &["show", "--position", "7"]);
    assert!(error.contains("spool show"), "{error}");
}
