//! The records of a running exporter: what is in them, on a full disk and after kills too, and that they can be replayed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod faults;
mod lines;
mod replay;
#[path = "../support/mod.rs"]
mod support;
#[path = "../disks/volume.rs"]
#[allow(dead_code, reason = "only one file system is needed")]
mod volume;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{Exporter, command};

/// An exporter that records in this directory, with these additional flags.
fn recording(directory: &Path, flags: &[&str]) -> Exporter {
    Exporter::run(
        command(&["--web.listen-address", "127.0.0.1:0", "--record.path", directory.to_str().unwrap()]).args(flags),
    )
}

fn stop(exporter: Exporter) {
    exporter.signal("TERM");
    let (status, log) = exporter.wait();
    assert!(status.success(), "{status}: {log:#?}");
}

/// The files with records, oldest first.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The lines of all files, as `zcat` reads them. The last one may be incomplete.
fn lines(directory: &Path) -> Vec<String> {
    let read = |path: PathBuf| {
        let output = Command::new("zcat").arg("-f").arg(&path).output().unwrap();
        assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    files(directory).into_iter().flat_map(|path| read(path).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn records(directory: &Path) -> Vec<Value> {
    lines(directory)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}
