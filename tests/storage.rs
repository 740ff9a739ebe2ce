//! Starting where the state cannot be kept: the error names the file and the way out, and nothing half-made is left.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};

use support::{Exporter, GROUP_MESSAGE_PATH, command, message};

/// Runs the exporter on a directory through a shell line that ends in `exec "$@"`; it must not come to serve.
fn refused(line: &str, directory: &Path) -> String {
    let exporter = command(&["--web.listen-address", "127.0.0.1:0", "--storage.path", directory.to_str().unwrap()]);
    let mut shell = Command::new("timeout");
    shell.args(["20", "sh", "-c", line, "sh"]).arg(exporter.get_program()).args(exporter.get_args());
    let Output { status, stderr, .. } = shell.output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(directory.to_str().unwrap()) && said.contains("--storage.path"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn names(directory: &Path) -> Vec<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_full_disk_is_an_error_at_the_start_that_says_how_much_room_is_needed() {
    let directory = tempfile::tempdir().unwrap();
    // A limit of a file's size is met where a full disk is: when the file's blocks are reserved.
    let said = refused(r#"ulimit -f 2048; exec "$@""#, directory.path());
    assert!(said.contains("MiB") && said.contains("--groups.max-tracked"), "{said}");
    assert_eq!(names(directory.path()), ["lock"]);
}

#[test]
fn a_directory_that_may_not_be_written_to_is_an_error_that_names_the_user() {
    let directory = tempfile::tempdir().unwrap();
    // Readable and searchable by all, so that only writing is refused; the program too must be within reach.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("openim-exporter");
    fs::copy(env!("CARGO_BIN_EXE_openim-exporter"), &program).unwrap();
    let state = directory.path().join("state");
    fs::create_dir(&state).unwrap();
    let as_nobody = r#"shift; exec setpriv --reuid=65534 --regid=65534 --clear-groups "$0" "$@""#;
    let line = if fs::metadata("/proc/self").unwrap().uid() == 0 {
        as_nobody.replace("\"$0\"", &format!("'{}'", program.display()))
    } else {
        // Who runs the tests is not allowed to do everything anyway.
        fs::set_permissions(&state, fs::Permissions::from_mode(0o555)).unwrap();
        r#"exec "$@""#.to_owned()
    };
    let said = refused(&line, &state);
    assert!(said.contains("writable for user"), "{said}");
}

#[test]
fn a_second_process_on_one_directory_is_told_so_and_the_first_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let first = Exporter::start(&["--storage.path", path]);
    let said = refused(r#"exec "$@""#, directory.path());
    assert!(said.contains("another process"), "{said}");
    assert_eq!(first.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    assert_eq!(first.scrape().sum("openim_group_messages_total"), 1.0);
}

#[test]
fn a_repeated_callback_is_answered_alike_and_counted_once() {
    let exporter = Exporter::start(&["--callback.dedup-window", "10m"]);
    let body = r#"{"sendID":"u","groupID":"g","serverMsgID":"0b1c"}"#;
    let answers = [(); 3].map(|()| exporter.post(GROUP_MESSAGE_PATH, body));
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.text() == support::SUCCESS));
    exporter.post(GROUP_MESSAGE_PATH, message("g", "u"));
    exporter.post(GROUP_MESSAGE_PATH, message("g", "u"));
    let samples = exporter.scrape();
    assert_eq!(samples.sum("openim_group_messages_total"), 3.0);
    assert_eq!(samples.value("openim_exporter_callback_repeats_total"), 2.0);
    assert_eq!(samples.value("openim_exporter_message_ids_capacity"), 2_097_152.0);
    assert_eq!(samples.sum("openim_exporter_callbacks_total"), 5.0);
}

/// A state that was closed in order, with one message in it.
fn closed(directory: &Path) {
    let exporter = Exporter::start(&["--storage.path", directory.to_str().unwrap()]);
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    exporter.signal("TERM");
    assert!(exporter.wait().0.success());
}

#[test]
fn a_start_that_fails_for_want_of_room_or_of_a_port_leaves_the_state_as_good_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    closed(directory.path());
    let state = directory.path().join("state");
    let before = fs::read(&state).unwrap();
    // In units of 512 bytes: as large as the state is, and no larger.
    let room = before.len().div_ceil(512);
    let more = format!(r#"ulimit -f {room}; exec "$@" --groups.max-tracked 200000 --groups.max-exported 1"#);
    refused(&more, directory.path());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let same = taken.local_addr().unwrap();
    let mut second = command(&["--web.listen-address", &same.to_string(), "--storage.path"]);
    assert_eq!(second.arg(directory.path()).output().unwrap().status.code(), Some(1));
    // Closed in order, so that not even another boot of the machine would doubt it: the clean mark is the 19th word.
    let after = fs::read(&state).unwrap();
    assert_eq!(after[18 * 8..19 * 8], before[18 * 8..19 * 8]);
    let next = Exporter::start(&["--storage.path", directory.path().to_str().unwrap()]);
    assert_eq!(next.scrape().sum("openim_group_messages_total"), 1.0);
    assert!(!names(directory.path()).iter().any(|name| name.starts_with("state.")), "{:?}", names(directory.path()));
}

#[test]
fn a_state_that_somebody_removes_meanwhile_is_an_error_at_the_end_and_no_second_process_gets_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let exporter = Exporter::start(&["--storage.path", path]);
    fs::remove_file(directory.path().join("lock")).unwrap();
    let said = refused(r#"exec "$@""#, directory.path());
    assert!(said.contains("another process"), "{said}");
    fs::remove_file(directory.path().join("state")).unwrap();
    exporter.signal("TERM");
    let (status, log) = exporter.wait();
    assert!(!status.success() && log.last().unwrap().contains("removed or replaced"), "{status} {log:#?}");
}

#[test]
fn a_state_behind_a_link_stays_where_it_is_and_a_pipe_is_none() {
    let [directory, elsewhere] = [(), ()].map(|()| tempfile::tempdir().unwrap());
    closed(elsewhere.path());
    let [link, target] = [directory.path(), elsewhere.path()].map(|path| path.join("state"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let path = directory.path().to_str().unwrap();
    let exporter = Exporter::start(&["--storage.path", path, "--groups.max-tracked", "5000"]);
    assert_eq!(exporter.scrape().sum("openim_group_messages_total"), 1.0);
    assert_eq!(fs::read_link(&link).unwrap(), target);
    drop(exporter);
    fs::remove_file(&link).unwrap();
    assert!(Command::new("mkfifo").arg(&link).status().unwrap().success());
    let exporter = Exporter::start(&["--storage.path", path]);
    assert!(exporter.log().iter().any(|line| line.contains("set aside")), "{:#?}", exporter.log());
}
