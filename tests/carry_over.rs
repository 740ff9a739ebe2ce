//! Interrupting the conversion of a state to a different layout, by a kill at any moment or an error in each step.
//! Either the old state or the new one must remain, and be complete.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use support::{Exporter, Samples, command, signal};

const ROUNDS: usize = 50;

/// A directory with a closed state of 5,000 messages.
fn closed() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let exporter = Exporter::run(&mut serve(directory.path(), 100_000));
    let target = format!("http://{}", exporter.address());
    let sent = command(&["simulate", "--target", &target, "--count", "5000", "--groups", "2000"]).output().unwrap();
    assert!(sent.status.success());
    exporter.signal("TERM");
    assert!(exporter.wait().0.success());
    let state = directory.path().join("state");
    (directory, state)
}

fn serve(directory: &Path, groups: usize) -> Command {
    let mut serve = command(&["--web.listen-address", "127.0.0.1:0", "--senders.max-tracked", "200000"]);
    serve.args(["--storage.path", directory.to_str().unwrap(), "--groups.max-tracked", &groups.to_string()]);
    serve
}

/// The samples of all groups, and the totals.
fn shown(exporter: &Exporter) -> (Vec<String>, [f64; 4]) {
    let groups = exporter.get("/metrics/groups").text();
    let mut lines: Vec<_> =
        groups.lines().filter(|line| line.starts_with("openim_tracked_group_messages")).map(str::to_owned).collect();
    lines.sort();
    let (samples, groups) = (exporter.scrape(), Samples::parse(&groups));
    let totals = [
        samples.sum("openim_group_messages_total"),
        samples.sum("openim_group_messages_by_status_total"),
        samples.value("openim_group_message_content_bytes_count"),
        groups.sum("openim_tracked_group_messages_total") + samples.sum("openim_group_messages_folded_total"),
    ];
    assert_eq!(samples.value(r#"openim_exporter_state_start{outcome="continued"}"#), 1.0);
    (lines, totals)
}

#[test]
fn a_kill_at_any_moment_leaves_the_complete_old_or_new_state() {
    let (directory, state) = closed();
    let new = directory.path().join("state.new");
    let mut random = Pcg64Mcg::seed_from_u64(14);
    let begin = Instant::now();
    let exporter = Exporter::run(&mut serve(directory.path(), 100_001));
    let whole = begin.elapsed();
    let expected = shown(&exporter);
    assert_eq!(expected.1, [5000.0; 4]);
    drop(exporter);
    let (mut old, mut half, mut after) = (0, 0, 0);
    for round in 0..ROUNDS {
        // Each round has a different capacity, so each start converts the state.
        let groups = 100_002 + 1000 * round;
        let before = fs::read(&state).unwrap();
        if round % 5 == 4 {
            // This one is killed when it serves.
            drop(Exporter::run(&mut serve(directory.path(), groups)));
        } else {
            let mut killed = serve(directory.path(), groups).stderr(Stdio::null()).spawn().unwrap();
            // Every second time, wait for the new file first: the machine may be busy.
            let is_early = round % 2 == 0;
            let deadline = Instant::now() + support::PATIENCE;
            while is_early && !new.exists() && Instant::now() < deadline {
                thread::sleep(Duration::from_micros(200));
            }
            thread::sleep(whole.mul_f64(random.random_range(0.0..if is_early { 0.3 } else { 3.0 })));
            killed.kill().unwrap();
            killed.wait().unwrap();
        }
        let now = fs::read(&state).unwrap();
        match (now == before, new.exists()) {
            (true, false) => old += 1,
            (true, true) => half += 1,
            (false, false) => {
                assert!(now.len() > before.len(), "round {round}: the old state has changed");
                after += 1;
            }
            (false, true) => panic!("round {round}: the state was replaced before the new one was complete"),
        }
        let next = Exporter::run(&mut serve(directory.path(), groups));
        assert!(shown(&next) == expected, "round {round}: {:#?}", next.log());
        next.signal(["TERM", "KILL"][round % 2]);
        next.wait();
    }
    // The kills were spread over the whole conversion.
    assert!(half >= 5 && after >= ROUNDS / 5, "old {old}, half {half}, after {after}");
    println!(
        "killed before the new file existed: {old} times, while it was written: {half} times, afterwards: {after} times"
    );
}

/// Runs an exporter, which gets SIGTERM as soon as it serves. Returns its exit status and its log.
fn ended(exporter: &mut Command) -> (Option<i32>, String) {
    let mut child = exporter.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains("message=serving ") {
            signal(child.id(), "TERM");
        }
        log += &(line + "\n");
    }
    (child.wait().unwrap().code(), log)
}

/// A start that converts the state, while strace makes some system calls fail.
fn with_failing(directory: &Path, rules: &[&str]) -> (Option<i32>, String) {
    let serve = serve(directory, 150_000);
    let mut strace = Command::new("strace");
    // With -D, the exporter is not strace's child, but ours.
    strace.args(["-D", "-f", "-o", "/dev/null"]).args(rules).arg(serve.get_program()).args(serve.get_args());
    ended(strace.env("OPENIM_EXPORTER_STORAGE_PATH", ""))
}

#[test]
#[ignore = "needs strace"]
fn a_step_that_fails_is_an_error_that_names_the_files_and_leaves_the_old_state() {
    let (directory, state) = closed();
    let before = fs::read(&state).unwrap();
    let new = directory.path().join("state.new");
    let only_new = ["-P", new.to_str().unwrap()];
    let no_reserving = "inject=fallocate:error=EOPNOTSUPP";
    let steps: [(&[&str], &str); 9] = [
        (&["-e", "inject=openat:error=ENOSPC"], "state.new"),
        (&["-e", "inject=fallocate:error=ENOSPC"], "not enough space"),
        (&["-e", "inject=fallocate:error=EDQUOT"], "lower --groups.max-tracked or --senders.max-tracked"),
        // Zeros are written instead.
        (&["-e", no_reserving, "-e", "inject=pwrite64:error=ENOSPC"], "not enough space"),
        (&["-e", no_reserving, "-e", "inject=fsync:error=ENOSPC"], "not enough space"),
        (&["-e", "inject=mmap:error=ENOMEM"], "state.new"),
        (&["-e", "inject=msync:error=ENOSPC"], "cannot be written"),
        (&["-e", "inject=rename,renameat,renameat2:error=ENOSPC"], "put in place"),
        // Of the directory, after the rename, which is undone.
        (&["-e", "inject=fsync:error=ENOSPC"], "put in place"),
    ];
    for (rules, words) in steps {
        // Calls that do not name the file only occur here.
        let names_it = !["inject=msync", "inject=fsync"].iter().any(|call| rules[1].starts_with(call));
        let rules = if names_it { [&only_new[..], rules].concat() } else { rules.to_vec() };
        let (status, text) = with_failing(directory.path(), &rules);
        assert_eq!(status, Some(1), "{rules:?}: {text}");
        let failed = text.lines().find(|line| line.contains("level=error")).unwrap_or_default();
        let names = [directory.path().to_str().unwrap(), words, "state is unchanged"];
        assert!(names.iter().all(|name| failed.contains(name)), "{rules:?}: {text}");
        assert!(text.contains("has a different layout"), "{rules:?}: the step before was not logged: {text}");
        assert!(fs::read(&state).unwrap() == before, "{rules:?}: the old state has changed");
        assert!(!new.exists() && !directory.path().join("state.previous").exists(), "{rules:?}");
    }
    let exporter = Exporter::run(&mut serve(directory.path(), 100_000));
    assert_eq!(shown(&exporter).1, [5000.0; 4]);
}

#[test]
#[ignore = "needs strace"]
fn an_error_mentions_the_old_state_only_if_it_is_unchanged() {
    let empty = tempfile::tempdir().unwrap();
    let (status, text) = with_failing(empty.path(), &["-e", "inject=rename,renameat,renameat2:error=ENOSPC"]);
    assert!(status == Some(1) && text.contains("put in place") && !text.contains("unchanged"), "{text}");
    assert!(!empty.path().join("state").exists() && !empty.path().join("state.new").exists());

    let (directory, state) = closed();
    let before = fs::read(&state).unwrap();
    let no_second_name = "inject=link,linkat:error=EPERM";
    let (status, text) = with_failing(directory.path(), &["-e", no_second_name, "-e", "inject=fsync:error=ENOSPC"]);
    assert!(status == Some(1) && text.contains("put in place") && !text.contains("unchanged"), "{text}");
    assert!(fs::read(&state).unwrap() != before, "the old state was put back");
    // The new state is complete.
    let exporter = Exporter::run(&mut serve(directory.path(), 150_000));
    assert_eq!(shown(&exporter).1, [5000.0; 4]);
}

#[test]
#[ignore = "needs strace"]
fn a_conversion_works_without_optional_features_of_file_systems() {
    let cases: [(&[&str], &str); 3] = [
        // As on SMB and 9p.
        (&["-e", "inject=fsync:error=EINVAL"], "is kept until"),
        // As on FAT, which has no hard links.
        (&["-e", "inject=link,linkat:error=EPERM"], "cannot be kept"),
        // As on NFS before 4.2.
        (&["-e", "inject=fallocate:error=EOPNOTSUPP"], "is reserved"),
    ];
    for (rules, words) in cases {
        let (directory, _) = closed();
        let (_, text) = with_failing(directory.path(), rules);
        assert!(
            text.contains(words) && text.contains("outcome=continued") && text.contains("message=stopped"),
            "{text}"
        );
        let exporter = Exporter::run(&mut serve(directory.path(), 150_000));
        assert_eq!(shown(&exporter).1, [5000.0; 4], "{rules:?}");
    }
}

/// A tmpfs of some size, mounted until it is dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    fn of(bytes: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(directory.path()).status();
        assert!(mounted.unwrap().success(), "cannot mount a file system, which needs root");
        Self(directory)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
#[ignore = "needs root"]
fn on_a_disk_of_any_size_the_state_is_converted_or_unchanged() {
    let (_directory, state) = closed();
    let old = fs::read(&state).unwrap();
    let size = old.len() as u64;
    let (mut refused, mut served) = (0, 0);
    for step in 0..12 {
        let disk = Disk::of(size + 65_536 + step * (size + (8 << 20)) / 8);
        let copy = disk.0.path().join("state");
        fs::copy(&state, &copy).unwrap();
        let (status, text) = ended(&mut serve(disk.0.path(), 110_000));
        if status == Some(1) {
            let names = ["state.new", "not enough space", "MiB", "state is unchanged"];
            assert!(names.iter().all(|name| text.contains(name)), "{text}");
            assert!(fs::read(&copy).unwrap() == old && !disk.0.path().join("state.new").exists());
            refused += 1;
        } else {
            assert!(text.contains("message=stopped messages=5000"), "{status:?} {text}");
            served += 1;
        }
    }
    assert!(refused >= 3 && served >= 1, "refused {refused}, served {served}");
}
