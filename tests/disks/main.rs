//! Full disks on several file systems: either the start fails with an error, or everything is counted. A full disk
//! never ends the process later.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;
mod volume;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use support::{Exporter, GROUP_MESSAGE_PATH, command, message};
use volume::Volume;

/// How many messages to send: few on btrfs, where the first write to each block of a full disk is slow.
fn messages(volume: &Volume) -> u32 {
    if volume.kind == "btrfs" { 300 } else { 20_000 }
}

/// Enough messages to write to nearly every page of the senders, and to an eighth of those of the groups.
const EVERYWHERE: u32 = 2500;

fn serve(directory: &Path) -> Command {
    let mut serve = command(&["--web.listen-address", "127.0.0.1:0", "--storage.path", directory.to_str().unwrap()]);
    serve.args(["--groups.max-tracked", "20000", "--senders.max-tracked", "50000"]);
    serve
}

/// Sends each message from a different sender to a different group, so that many pages of the state are written. Not
/// with `simulate`, which gives up after five seconds: a busy machine may need longer.
fn send(exporter: &Exporter, messages: u32) {
    let mut client = exporter.connect();
    for number in 0..messages {
        let message = message(&format!("g{number}"), &format!("u{number}"));
        assert_eq!(client.post(GROUP_MESSAGE_PATH, message).status, 200);
    }
}

fn stop(exporter: Exporter) {
    exporter.signal("TERM");
    let (status, log) = exporter.wait();
    assert!(status.success(), "{status}: {log:#?}");
}

/// A start that must fail. Returns its standard error.
fn refused(directory: &Path) -> String {
    let serve = serve(directory);
    let mut ended = Command::new("timeout");
    ended.arg("60").arg(serve.get_program()).args(serve.get_args()).env("OPENIM_EXPORTER_STORAGE_PATH", "");
    let Output { status, stderr, .. } = ended.output().unwrap();
    let printed = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{printed}");
    printed
}

/// Opens the state in a directory, fills the disk, and counts messages until every page has been written.
fn counts_on_a_full_disk(volume: &Volume, directory: &Path, sent: u32, what: &str) {
    let exporter = Exporter::run(&mut serve(directory));
    let before = exporter.scrape().sum("openim_group_messages_total");
    let full = volume.fill();
    send(&exporter, sent);
    let expected = before + f64::from(sent);
    assert_eq!(exporter.scrape().sum("openim_group_messages_total"), expected, "{what} on {}", volume.kind);
    stop(exporter);
    drop(full);
    let exporter = Exporter::run(&mut serve(directory));
    assert_eq!(exporter.scrape().sum("openim_group_messages_total"), expected, "{what} on {}", volume.kind);
    stop(exporter);
}

fn copy(volume: &Volume, how: &str, to: &str) -> std::path::PathBuf {
    let directory = volume.path().join(to);
    fs::create_dir(&directory).unwrap();
    if volume.kind == "btrfs" && how.starts_with("--reflink") {
        // A file without copy-on-write can only be cloned to another one without. A file inherits that from its
        // directory.
        assert!(Command::new("chattr").arg("+C").arg(&directory).status().unwrap().success());
    }
    let from = volume.path().join("data/state");
    let copied = Command::new("cp").arg(how).arg(from).arg(directory.join("state")).output().unwrap();
    assert!(copied.status.success(), "{how} on {}: {}", volume.kind, String::from_utf8_lossy(&copied.stderr));
    directory
}

/// A copy whose holes or shared blocks do not fit on a full disk is an error at the start.
fn refuses_a_copy_on_a_full_disk(volume: &Volume, how: &str) {
    let directory = copy(volume, how, "late");
    let before = fs::read(directory.join("state")).unwrap();
    let full = volume.fill();
    let printed = refused(&directory);
    // There may not even be space for the lock file.
    let is_full = ["not enough space", "No space left"].iter().any(|words| printed.contains(words));
    assert!(is_full && printed.contains(directory.to_str().unwrap()), "{how} on {}: {printed}", volume.kind);
    assert!(fs::read(directory.join("state")).unwrap() == before, "{how} on {}", volume.kind);
    drop(full);
    fs::remove_dir_all(directory).unwrap();
}

fn a_full_disk(kind: &'static str) {
    let Some(volume) = Volume::of(kind) else { return };
    let sent = messages(&volume);
    let data = volume.path().join("data");
    let exporter = Exporter::run(&mut serve(&data));
    stop(exporter);
    // Before every page of the original is written, so that the copies have unwritten blocks.
    let mut copies = vec!["--sparse=always"];
    let can_clone = ["xfs", "btrfs"].contains(&kind);
    copies.extend(can_clone.then_some("--reflink=always"));
    for how in &copies {
        let directory = copy(&volume, how, "copy");
        counts_on_a_full_disk(&volume, &directory, sent, how);
        fs::remove_dir_all(directory).unwrap();
        refuses_a_copy_on_a_full_disk(&volume, how);
    }
    counts_on_a_full_disk(&volume, &data, sent, "the original");
    if can_clone {
        copy(&volume, "--reflink=always", "clone");
        counts_on_a_full_disk(&volume, &data, sent, "the original of a clone");
    }
    if kind == "btrfs" {
        volume.snapshot("snapshot");
        counts_on_a_full_disk(&volume, &data, EVERYWHERE, "the original of a snapshot");
    }
    let fresh = volume.path().join("fresh");
    fs::create_dir(&fresh).unwrap();
    let full = volume.fill();
    let printed = refused(&fresh);
    assert!(printed.contains(fresh.to_str().unwrap()) && printed.contains("--storage.path"), "{printed}");
    drop(full);
    if kind == "btrfs" {
        let attributes = Command::new("lsattr").arg(data.join("state")).output().unwrap();
        let attributes = String::from_utf8(attributes.stdout).unwrap();
        assert!(attributes.split(' ').next().unwrap().contains('C'), "copy-on-write is enabled: {attributes}");
    }
}

#[test]
fn a_removed_state_without_space_at_the_end_is_reported_as_lost() {
    let Some(volume) = Volume::of("tmpfs") else { return };
    let exporter = Exporter::run(&mut serve(&volume.path()));
    send(&exporter, 100);
    fs::remove_file(volume.path().join("state")).unwrap();
    let full = volume.fill();
    exporter.signal("TERM");
    let (status, log) = exporter.wait();
    drop(full);
    let last = log.last().unwrap();
    assert_eq!(status.code(), Some(1), "{log:#?}");
    assert!(last.contains("everything that it counted is lost") && last.contains("not enough space"), "{log:#?}");
}

#[test]
#[ignore = "needs root"]
fn on_tmpfs_a_full_disk_is_an_error_at_the_start_or_everything_is_counted() {
    a_full_disk("tmpfs");
}

#[test]
#[ignore = "needs root and loop devices"]
fn on_ext4_a_full_disk_is_an_error_at_the_start_or_everything_is_counted() {
    a_full_disk("ext4");
}

#[test]
#[ignore = "needs root and loop devices"]
fn on_xfs_a_full_disk_is_an_error_at_the_start_or_everything_is_counted() {
    a_full_disk("xfs");
}

#[test]
#[ignore = "needs root and loop devices"]
fn on_btrfs_a_full_disk_is_an_error_at_the_start_or_everything_is_counted() {
    a_full_disk("btrfs");
}
