//! `openim-exporter state info`, `restore` and `export`, with real exporters.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod export;
mod info;
mod moving;
mod refused;
mod restore;
mod started;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use support::{Exporter, GROUP_MESSAGE_PATH, command, message};
use tempfile::TempDir;

/// A small state.
const CAPACITIES: [&str; 6] =
    ["--groups.max-tracked", "1000", "--senders.max-tracked", "1000", "--users.max-online", "100"];

/// The directory of an exporter.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn start(&self) -> Exporter {
        let path = self.path();
        Exporter::start(&[&["--storage.path", path.to_str().unwrap()], &CAPACITIES[..]].concat())
    }

    /// Counts messages, one each in as many groups.
    fn count(&self, messages: usize) -> Exporter {
        let exporter = self.start();
        for number in 0..messages {
            let accepted = exporter.post(GROUP_MESSAGE_PATH, message(&format!("group-{number}"), "u"));
            assert_eq!(accepted.status, 200, "{accepted:?}");
        }
        exporter
    }

    /// Counts messages and stops the exporter.
    fn count_and_stop(&self, messages: usize) {
        end(self.count(messages), "TERM");
    }

    /// Copies the state to a file next to the directory, as `cp` does.
    fn copy(&self, name: &str) -> PathBuf {
        let to = self.0.path().join(name);
        fs::copy(self.at("state"), &to).unwrap();
        to
    }

    /// `openim-exporter state` with these arguments and this directory.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&[&["state"], arguments].concat());
        command.arg("--storage.path").arg(self.path());
        command
    }

    /// Runs the command, which must succeed, and returns what it prints.
    fn run(&self, arguments: &[&str]) -> String {
        printed(&self.command(arguments).output().unwrap())
    }

    fn info(&self) -> Value {
        serde_json::from_str(&self.run(&["info", "--format", "json"])).unwrap()
    }

    /// The outcome that `info` predicts.
    fn prediction(&self) -> String {
        self.info()["next_start"]["outcome"].as_str().unwrap().to_owned()
    }

    /// The names of the directory's files.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn printed(output: &Output) -> String {
    let [out, errors] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success() && errors.is_empty(), "{out}{errors}");
    out
}

fn end(exporter: Exporter, signal: &str) {
    exporter.signal(signal);
    exporter.wait();
}

/// The outcome of a start, and the messages and tracked groups after it.
fn outcome(exporter: &Exporter) -> (String, f64, f64) {
    let samples = exporter.scrape();
    let (series, _) = samples.of("openim_exporter_state_start").find(|(_, value)| *value == 1.0).unwrap();
    let outcome = series.split('"').nth(1).unwrap().to_owned();
    (outcome, samples.sum("openim_group_messages_total"), samples.value("openim_exporter_groups_tracked"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
