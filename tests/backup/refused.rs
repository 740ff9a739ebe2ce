//! What the commands refuse, and what they say.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rand::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::{GROUP_MESSAGE_PATH, message};
use crate::{exporter, files, printed, read, state};

/// Words of the header that say when and where the state was used last, and that no program uses: they have no checksum.
const UNCHECKED: std::ops::Range<usize> = 16 * 8..4096;

/// The error of a command that must fail.
fn refused(arguments: &[&str]) -> String {
    let output = state(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("openim-exporter: "), "{error}");
    error
}

/// A closed state with a message, and a backup that was made while it was in use.
fn states(parent: &Path) -> [PathBuf; 2] {
    let storage = parent.join("storage");
    let running = exporter(&storage);
    running.post(GROUP_MESSAGE_PATH, message("g", "u"));
    let backup = parent.join("backup");
    printed(&["backup", "--storage.path", storage.to_str().unwrap(), "--output", backup.to_str().unwrap()]);
    running.signal("TERM");
    running.wait();
    [storage.join("state"), backup]
}

#[test]
fn verify_refuses_each_file_that_changed_after_it_was_written() {
    let parent = tempfile::tempdir().unwrap();
    let changed = parent.path().join("changed");
    let mut random = Pcg64Mcg::seed_from_u64(7);
    for original in states(parent.path()) {
        let bytes = fs::read(original).unwrap();
        for round in 0..60 {
            let mut bytes = bytes.clone();
            // Half of them in the first pages, where all numbers of a small state are.
            let end = if round % 2 == 0 { 20_000 } else { bytes.len() };
            let at = random.random_range(0..end);
            if UNCHECKED.contains(&at) {
                continue;
            }
            bytes[at] ^= 1 << random.random_range(0..8);
            fs::write(&changed, bytes).unwrap();
            let error = refused(&["verify", changed.to_str().unwrap()]);
            assert!(error.contains("changed: "), "{at}: {error}");
        }
        for length in [0, 7, 8, 100, 4096, 5000, bytes.len() - 4096, bytes.len() - 8, bytes.len() - 1] {
            fs::write(&changed, &bytes[..length]).unwrap();
            let error = refused(&["verify", changed.to_str().unwrap()]);
            let what = if length < 8 { "it is not a state" } else { "it was truncated or overwritten" };
            assert!(error.contains(what) && error.contains("changed: "), "{length}: {error}");
        }
        fs::write(&changed, [&bytes[..], &[0; 8]].concat()).unwrap();
        assert!(refused(&["verify", changed.to_str().unwrap()]).contains("its length does not match its header"));
    }
}

#[test]
fn errors_say_what_is_wrong_and_what_to_do() {
    let parent = tempfile::tempdir().unwrap();
    let [closed, backup] = states(parent.path());
    let at = |name: &str| parent.path().join(name).to_str().unwrap().to_owned();
    let storage = at("storage");
    fs::write(at("text"), "a text that is longer than a word").unwrap();
    mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    // A copy that another program made while the exporter ran, as far as the header tells.
    let mut bytes = fs::read(&backup).unwrap();
    bytes[18 * 8..19 * 8].fill(0);
    fs::write(at("torn"), bytes).unwrap();
    fs::copy(&closed, at("sparse")).unwrap();
    fs::File::options().write(true).open(at("sparse")).unwrap().set_len(1 << 40).unwrap();
    for (arguments, what, advice) in [
        (vec!["verify", &at("missing")], "No such file or directory", "name an existing file"),
        (
            vec!["verify", "--storage.path", &at("empty")],
            "empty/state: the state cannot be read",
            "set --storage.path to",
        ),
        (vec!["verify", "--storage.path", ""], "--storage.path is empty", "set it to the directory"),
        (vec!["verify", &at("text")], "it is not a state of openim-exporter", "name a state or a backup"),
        (vec!["verify", &at("pipe")], "it is not a state of openim-exporter", "name a state or a backup"),
        (vec!["verify", &storage], "it is not a state of openim-exporter", "name a state or a backup"),
        (vec!["verify", &at("sparse")], "its length does not match its header", "use another backup"),
        (vec!["export", &at("sparse")], "its length does not match its header", "use another backup"),
        (vec!["verify", &at("torn")], "its counters cannot be trusted", "`openim-exporter state backup`"),
        (vec!["backup", "--storage.path", &at("empty"), "--output", &at("new")], "cannot be read", "--storage.path"),
        (vec!["backup", "--storage.path", &storage, "--output", &at("backup")], "already exists", "--force"),
        (vec!["backup", "--storage.path", &storage, "--output", &at("text/x")], "cannot be written", "another place"),
        (
            vec!["backup", "--storage.path", &storage, "--force", "--output", &at("pipe")],
            "this is not a file",
            "choose another name",
        ),
        (
            vec!["backup", "--storage.path", &storage, "--force", "--output", &at("storage/state")],
            "it is the state itself",
            "choose another name",
        ),
    ] {
        let error = refused(&arguments);
        assert!(error.contains(what) && error.contains(advice), "{arguments:?}: {error}");
    }
    assert_eq!(read(&closed).stats.messages(), 1);
    assert!(!parent.path().join("new").exists() && !parent.path().join("empty").exists());
}

#[test]
fn a_limit_on_a_file_s_size_is_an_error_and_leaves_no_part_of_a_backup() {
    let parent = tempfile::tempdir().unwrap();
    let [closed, _] = states(parent.path());
    let before = files(parent.path());
    let storage = closed.parent().unwrap().to_str().unwrap();
    let output = parent.path().join("new");
    for (command, to) in [("backup", output.to_str().unwrap()), ("export", output.to_str().unwrap()), ("backup", "-")] {
        let exporter = crate::support::command(&["state", command, "--storage.path", storage, "--output", to]);
        let mut shell = Command::new("sh");
        // In units of 512 bytes.
        shell.args(["-c", r#"ulimit -f 16; exec "$@" >"$0""#]).arg(parent.path().join("standard"));
        shell.arg(exporter.get_program()).args(exporter.get_args());
        let Output { status, stderr, .. } = shell.output().unwrap();
        let error = String::from_utf8(stderr).unwrap();
        let (what, advice) = ("File too large (os error 27)", "; raise the file size limit (ulimit -f)\n");
        let is_error = status.code() == Some(1) && error.contains(what) && error.ends_with(advice);
        assert!(is_error, "{command} {to}: {status} {error}");
        fs::remove_file(parent.path().join("standard")).unwrap();
        assert_eq!(files(parent.path()), before, "{command} {to}");
    }
}

#[test]
fn a_state_behind_a_symbolic_link_is_copied_and_a_link_in_the_way_is_replaced() {
    let parent = tempfile::tempdir().unwrap();
    let [closed, _] = states(parent.path());
    let at = |name: &str| parent.path().join(name);
    fs::create_dir(at("linked")).unwrap();
    symlink(&closed, at("linked/state")).unwrap();
    fs::write(at("precious"), "x").unwrap();
    symlink(at("precious"), at("link")).unwrap();
    let (storage, output) = (at("linked"), at("link"));
    let arguments = ["backup", "--storage.path", storage.to_str().unwrap(), "--output", output.to_str().unwrap()];
    assert!(refused(&arguments).contains("--force"));
    printed(&[&arguments[..], &["--force"]].concat());
    assert_eq!((fs::read(at("precious")).unwrap(), read(&output).stats.messages()), (b"x".to_vec(), 1));
    assert!(!output.is_symlink());
    // The file that the state's link leads to, and the link, are the state. Each may have a lock file beside it.
    fs::write(at("linked/lock"), "").unwrap();
    for state in ["storage/state", "linked/state", "storage/lock", "linked/lock"] {
        let error = refused(&[&arguments[..4], &[at(state).to_str().unwrap(), "--force"]].concat());
        assert!(error.contains("it is the state itself"), "{state}: {error}");
    }
}
