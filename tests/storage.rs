//! Starts without a usable storage path: the error names the file and what to do, and no incomplete file remains.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};

use support::{Exporter, GROUP_MESSAGE_PATH, command, message};

/// Starts the exporter on a directory through a shell line that ends in `exec "$@"`. The start must fail.
fn refused(line: &str, directory: &Path) -> String {
    let exporter = command(&["--web.listen-address", "127.0.0.1:0", "--storage.path", directory.to_str().unwrap()]);
    let mut shell = Command::new("timeout");
    shell.args(["20", "sh", "-c", line, "sh"]).arg(exporter.get_program()).args(exporter.get_args());
    let Output { status, stderr, .. } = shell.output().unwrap();
    let printed = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(printed.contains(directory.to_str().unwrap()) && printed.contains("--storage.path"), "{printed}");
    assert!(!printed.contains("panicked"), "{printed}");
    printed
}

/// A file's inode, mode and length, which show whether it was replaced or changed.
fn look(path: &Path) -> (u64, u32, u64) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.ino(), metadata.mode(), metadata.len())
}

fn names(directory: &Path) -> Vec<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_file_size_limit_is_an_error_at_the_start_that_says_how_to_raise_it() {
    let directory = tempfile::tempdir().unwrap();
    let printed = refused(r#"ulimit -f 2048; exec "$@""#, directory.path());
    let advice = "the file size limit is too low: raise it (ulimit -f, LimitFSIZE), or lower --groups.max-tracked or ";
    assert!(printed.contains(advice) && printed.contains(" MiB cannot be reserved: File too large"), "{printed}");
    assert_eq!(names(directory.path()), ["lock"]);
}

#[test]
fn an_unwritable_directory_is_an_error_that_names_the_user() {
    let directory = tempfile::tempdir().unwrap();
    // Readable by everyone, so that only writing fails. The program must be readable too.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("openim-exporter");
    support::copy_exporter(&program);
    let state = directory.path().join("state");
    fs::create_dir(&state).unwrap();
    let as_nobody = r#"shift; exec setpriv --reuid=65534 --regid=65534 --clear-groups "$0" "$@""#;
    let line = if fs::metadata("/proc/self").unwrap().uid() == 0 {
        as_nobody.replace("\"$0\"", &format!("'{}'", program.display()))
    } else {
        // The tests do not run as root.
        fs::set_permissions(&state, fs::Permissions::from_mode(0o555)).unwrap();
        r#"exec "$@""#.to_owned()
    };
    let printed = refused(&line, &state);
    assert!(printed.contains("must be able to create and write files"), "{printed}");
}

#[test]
fn a_path_that_cannot_hold_a_state_is_an_error_that_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "mine").unwrap();
    for (path, advice) in [
        (file.clone(), "something else has this name: move it away, or set --storage.path to another directory"),
        (file.join("below"), "a part of this path is a file, not a directory: set --storage.path to another directory"),
        ("/proc".into(), "(/proc, for example, cannot): set --storage.path to another directory"),
        ("/proc/below".into(), "(/proc, for example, cannot): set --storage.path to another directory"),
    ] {
        let printed = refused(r#"exec "$@""#, &path);
        assert!(printed.contains(advice) && !printed.contains("must be able to create"), "{printed}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[test]
fn a_second_process_on_a_directory_fails_and_the_first_continues() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let first = Exporter::start(&["--storage.path", path]);
    let printed = refused(r#"exec "$@""#, directory.path());
    assert!(printed.contains("another process"), "{printed}");
    assert_eq!(first.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    assert_eq!(first.scrape().sum("openim_group_messages_total"), 1.0);
}

#[test]
fn a_duplicate_callback_gets_the_same_answer_and_is_counted_once() {
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

/// Creates a closed state with one message.
fn closed(directory: &Path) {
    let exporter = Exporter::start(&["--storage.path", directory.to_str().unwrap()]);
    assert_eq!(exporter.post(GROUP_MESSAGE_PATH, message("g", "u")).status, 200);
    exporter.signal("TERM");
    assert!(exporter.wait().0.success());
}

#[test]
fn a_start_that_fails_leaves_the_state_clean() {
    let directory = tempfile::tempdir().unwrap();
    closed(directory.path());
    let state = directory.path().join("state");
    let before = fs::read(&state).unwrap();
    // In units of 512 bytes: only just enough for the state.
    let room = before.len().div_ceil(512);
    let more = format!(r#"ulimit -f {room}; exec "$@" --groups.max-tracked 200000 --groups.max-exported 1"#);
    refused(&more, directory.path());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let same = taken.local_addr().unwrap();
    let mut second = command(&["--web.listen-address", &same.to_string(), "--storage.path"]);
    assert_eq!(second.arg(directory.path()).output().unwrap().status.code(), Some(1));
    // The clean mark, which is the 19th word: without it, the counters would start from 0 on another boot.
    let after = fs::read(&state).unwrap();
    assert_eq!(after[18 * 8..19 * 8], before[18 * 8..19 * 8]);
    let next = Exporter::start(&["--storage.path", directory.path().to_str().unwrap()]);
    assert_eq!(next.scrape().sum("openim_group_messages_total"), 1.0);
    assert!(!names(directory.path()).iter().any(|name| name.starts_with("state.")), "{:?}", names(directory.path()));
}

/// Whether the exporter reports that its state's file is missing.
fn is_missing(exporter: &Exporter) -> bool {
    exporter.scrape().value("openim_exporter_state_file_missing") == 1.0
}

#[test]
fn a_state_that_is_removed_while_in_use_is_reported_once_and_written_again_at_the_end() {
    for (whole_directory, is_made_again) in [(false, false), (true, false), (true, true)] {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("data");
        let exporter = Exporter::start(&["--storage.path", directory.to_str().unwrap()]);
        exporter.post(GROUP_MESSAGE_PATH, message("g", "u"));
        assert!(!is_missing(&exporter));
        fs::remove_file(directory.join("lock")).unwrap();
        let printed = refused(r#"exec "$@""#, &directory);
        assert!(printed.contains("another process"), "a second process could use the state: {printed}");
        fs::remove_file(directory.join("state")).unwrap();
        if whole_directory {
            fs::remove_dir_all(&directory).unwrap();
        }
        if is_made_again {
            fs::create_dir(&directory).unwrap();
        }
        support::eventually("the file to be reported missing", || is_missing(&exporter));
        std::thread::sleep(std::time::Duration::from_millis(2500));
        exporter.post(GROUP_MESSAGE_PATH, message("g", "u"));
        exporter.signal("TERM");
        let (status, log) = exporter.wait();
        assert!(status.success(), "{whole_directory} {is_made_again}: {status} {log:#?}");
        let errors: Vec<_> = log.iter().filter(|line| line.contains("level=error")).collect();
        let state = directory.join("state");
        assert!(errors.iter().all(|line| line.contains(state.to_str().unwrap())), "{errors:?}");
        let errors = errors.len();
        assert_eq!((errors, log.iter().filter(|line| line.contains("written again")).count()), (1, 1), "{log:#?}");
        let next = Exporter::start(&["--storage.path", directory.to_str().unwrap()]);
        let samples = next.scrape();
        assert_eq!(samples.sum("openim_group_messages_total"), 2.0);
        assert_eq!(samples.value(r#"openim_exporter_state_start{outcome="continued"}"#), 1.0);
    }
}

#[test]
fn a_file_that_replaces_the_state_is_not_changed_and_the_counts_are_saved_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let exporter = Exporter::start(&["--storage.path", directory.path().to_str().unwrap()]);
    let state = directory.path().join("state");
    fs::remove_file(&state).unwrap();
    fs::write(&state, "mine").unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o644)).unwrap();
    let before = look(&state);
    exporter.post(GROUP_MESSAGE_PATH, message("g", "u"));
    exporter.signal("TERM");
    let (status, log) = exporter.wait();
    let last = log.last().unwrap();
    assert_eq!(status.code(), Some(1), "{log:#?}");
    let saved = names(directory.path()).into_iter().find(|name| name.starts_with("state.replaced-")).unwrap();
    let saved = directory.path().join(saved);
    let printed = [saved.to_str().unwrap(), state.to_str().unwrap(), "that file was not changed"];
    assert!(printed.iter().all(|word| last.contains(word)), "{log:#?}");
    assert_eq!((look(&state), fs::read(&state).unwrap()), (before, b"mine".to_vec()));
    // As the error recommends: moved to its path, it continues.
    fs::rename(&saved, &state).unwrap();
    let next = Exporter::start(&["--storage.path", directory.path().to_str().unwrap()]);
    let samples = next.scrape();
    assert_eq!(samples.sum("openim_group_messages_total"), 1.0);
    assert_eq!(samples.value(r#"openim_exporter_state_start{outcome="continued"}"#), 1.0);
}

#[test]
fn only_the_three_newest_renamed_files_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut made = Vec::new();
    for round in 0..5 {
        let content = format!("not a state {round}");
        fs::write(directory.path().join("state"), &content).unwrap();
        let exporter = Exporter::start(&["--storage.path", directory.path().to_str().unwrap()]);
        let removed = exporter.log().iter().filter(|line| line.contains("removed")).count();
        assert_eq!(removed, usize::from(round >= 3), "{:#?}", exporter.log());
        made.push(content);
        drop(exporter);
        let aside = names(directory.path()).into_iter().filter(|name| name.starts_with("state.foreign-"));
        let mut kept: Vec<_> = aside.map(|name| fs::read_to_string(directory.path().join(name)).unwrap()).collect();
        kept.sort();
        assert_eq!(kept, made[made.len().saturating_sub(3)..]);
    }
}

#[test]
fn a_state_behind_a_link_stays_there_and_a_pipe_is_renamed() {
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
    assert!(exporter.log().iter().any(|line| line.contains("was renamed to this path")), "{:#?}", exporter.log());
}

#[test]
fn a_link_to_anything_else_is_an_error_and_nothing_behind_it_changes() {
    let elsewhere = tempfile::tempdir().unwrap();
    let damaged = elsewhere.path().join("damaged/state");
    fs::create_dir(damaged.parent().unwrap()).unwrap();
    closed(damaged.parent().unwrap());
    fs::OpenOptions::new().write(true).open(&damaged).unwrap().set_len(5000).unwrap();
    let foreign = elsewhere.path().join("state");
    fs::write(&foreign, "x".repeat(9000)).unwrap();
    let neighbour = elsewhere.path().join("state.new");
    fs::write(&neighbour, "mine").unwrap();
    let named = elsewhere.path().join("passwords");
    fs::write(&named, "secret").unwrap();
    let missing = elsewhere.path().join("missing/state");
    for target in [&damaged, &foreign, &named, &missing, Path::new("/dev/null")] {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("state");
        std::os::unix::fs::symlink(target, &link).unwrap();
        let is_file = target.is_file();
        if is_file {
            fs::set_permissions(target, fs::Permissions::from_mode(0o644)).unwrap();
        }
        let look = || {
            let metadata = fs::metadata(target).ok();
            let content = is_file.then(|| fs::read(target).unwrap());
            (metadata.map(|metadata| (metadata.ino(), metadata.mode(), metadata.len())), content)
        };
        let before = look();
        let printed = refused(r#"exec "$@""#, directory.path());
        assert!(printed.contains("symbolic link") && printed.contains(target.to_str().unwrap()), "{printed}");
        assert!(look() == before && fs::read_link(&link).unwrap() == target, "{printed}");
        assert_eq!(fs::read(&neighbour).unwrap(), b"mine");
    }
}

#[test]
fn a_lock_that_is_a_link_is_an_error_and_another_program_s_lock_is_not_changed() {
    let directory = tempfile::tempdir().unwrap();
    let [mine, lock] = ["mine", "lock"].map(|name| directory.path().join(name));
    fs::write(&mine, "mine").unwrap();
    fs::set_permissions(&mine, fs::Permissions::from_mode(0o644)).unwrap();
    std::os::unix::fs::symlink(&mine, &lock).unwrap();
    let before = look(&mine);
    let printed = refused(r#"exec "$@""#, directory.path());
    assert!(printed.contains("lock") && look(&mine) == before, "{printed}");
    let advice =
        "a symbolic link has this name, or leads to itself: remove it, or set --storage.path to another directory";
    assert!(printed.contains(advice), "{printed}");
    fs::remove_file(&lock).unwrap();
    fs::write(&lock, "another program's lock").unwrap();
    closed(directory.path());
    assert_eq!([fs::read(&mine).unwrap(), fs::read(&lock).unwrap()], [&b"mine"[..], b"another program's lock"]);
}

#[test]
fn only_the_owner_can_read_the_state_with_any_umask() {
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    for umask in ["000", "022", "077", "777"] {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("data");
        let exporter = command(&["--web.listen-address", "127.0.0.1:0", "--storage.path", directory.to_str().unwrap()]);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!(r#"umask {umask}; exec "$0" "$@""#)]).arg(exporter.get_program());
        let exporter = Exporter::run(shell.args(exporter.get_args()));
        let state = directory.join("state");
        assert_eq!(
            [&directory, &state, &directory.join("lock")].map(|path| mode(path)),
            [0o700, 0o600, 0o600],
            "{umask}"
        );
        drop(exporter);
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&state, fs::Permissions::from_mode(0o664)).unwrap();
        let exporter = Exporter::start(&["--storage.path", directory.to_str().unwrap()]);
        assert_eq!([mode(&directory), mode(&state)], [0o700, 0o600], "{umask}");
        assert_eq!(exporter.log().iter().filter(|line| line.contains("restricted to the owner")).count(), 2);
        drop(exporter);
        // A directory with other files.
        fs::write(directory.join("mine"), "").unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        let exporter = Exporter::start(&["--storage.path", directory.to_str().unwrap()]);
        assert!(mode(&directory) == 0o755 && exporter.log().iter().any(|line| line.contains("level=warn")));
    }
}

#[test]
#[ignore = "needs root"]
fn without_a_boot_id_a_kill_loses_nothing_and_the_start_warns() {
    let directory = tempfile::tempdir().unwrap();
    let start = || {
        let path = directory.path().to_str().unwrap();
        let exporter = command(&["--web.listen-address", "127.0.0.1:0", "--storage.path", path]);
        let mut hidden = Command::new("unshare");
        let line = r#"mount -t tmpfs none /proc/sys/kernel/random && exec "$0" "$@""#;
        hidden.args(["--mount", "sh", "-c", line]).arg(exporter.get_program());
        Exporter::run(hidden.args(exporter.get_args()))
    };
    let exporter = start();
    exporter.post(GROUP_MESSAGE_PATH, message("g", "u"));
    let warned = |exporter: &Exporter| exporter.log().iter().any(|line| line.contains("boot ID cannot be read"));
    assert!(warned(&exporter), "{:#?}", exporter.log());
    exporter.signal("KILL");
    exporter.wait();
    let exporter = start();
    assert_eq!(exporter.scrape().sum("openim_group_messages_total"), 1.0);
    // With the ID again, the boot cannot be recognized. The log says why the counters start from 0.
    exporter.signal("KILL");
    exporter.wait();
    let exporter = Exporter::start(&["--storage.path", directory.path().to_str().unwrap()]);
    assert_eq!(exporter.scrape().sum("openim_group_messages_total"), 0.0);
    let says_why =
        |line: &String| line.contains("level=warn") && line.contains("start from 0") && line.contains("boot ID");
    assert!(exporter.log().iter().any(says_why), "{:#?}", exporter.log());
}
